"""Ids of traces and spans: the same for ever, and different for what is different."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.sinks import _otlp_ids
from streamproc.sinks._otlp_ids import span_id, trace_id


def test_ids_never_change() -> None:
    """A span that was sent by another version of this package has its id still."""
    assert trace_id("run_1").hex() == "b8f54c675683049edd28705447bd26dd"
    assert span_id("run", "run_1").hex() == "f21672be932a6519"
    assert span_id("call", "step_1", "call_1").hex() == "92d93d310e84881c"


@given(st.lists(st.text(max_size=4), min_size=1, max_size=3), st.lists(st.text(max_size=4), min_size=1, max_size=3))
def test_different_ids_make_different_spans(one: list[str], other: list[str]) -> None:
    """However they are cut: ("ab", "c") is not ("a", "bc")."""
    assert (span_id("step", *one) == span_id("step", *other)) == (one == other)


@given(st.text())
def test_sizes(text: str) -> None:
    assert (len(trace_id(text)), len(span_id("run", text))) == (16, 8)


def test_half_a_surrogate_pair() -> None:
    """Only an id that a program made by hand can hold one."""
    assert len(trace_id("\ud800")) == 16


def test_no_id_is_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    """The standard has no such id; a hash that begins with zeros is none either."""

    class Zeros:
        def digest(self) -> bytes:
            return bytes(32)

    def zeros(_: bytes) -> Zeros:
        return Zeros()

    monkeypatch.setattr(_otlp_ids, "sha256", zeros)

    assert all(any(one) for one in (trace_id("run_1"), span_id("run", "run_1")))
