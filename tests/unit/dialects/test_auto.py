"""The dialect that is found out from the first frame."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from streamproc import AssistantsDialect, Event, StreamProcessor
from streamproc.core import dialect as module
from streamproc.core.change import encode_change
from streamproc.core.dialect import detect, register_dialect
from streamproc.core.sse import Frame
from streamproc.dialects import AutoDialect
from tests.streams import arguments, call, done, error, run, sse, step


class Beeps:
    """Each frame is a run of its own."""

    def __init__(self) -> None:
        self.cursor: str | None = None
        self._count = 0

    def decode(self, frame: Frame) -> Sequence[Event]:
        self._count += 1
        self.cursor = str(self._count)
        return [run("created", f"beep_{self._count}")]

    def finish(self) -> Sequence[Event]:
        return [run("completed", "beep_1")]


def is_beep(event: str, payload: Mapping[str, Any]) -> bool:
    return event == "beep" or "beep" in payload


@pytest.fixture
def beeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A further dialect, for one test."""
    monkeypatch.setattr(module, "_FACTORIES", dict(module._FACTORIES))
    monkeypatch.setattr(module, "_MATCHES", dict(module._MATCHES))
    register_dialect("beeps", Beeps, is_beep)


RUN = sse(run("created"), step("created", "step_1", call("", name="f")), *(arguments(f"{n}") for n in range(9)), done())


@pytest.mark.parametrize(
    ("event", "payload", "expected"),
    [
        ("thread.run.created", {}, "assistants"),
        ("thread.message.chunk", {}, "assistants"),
        ("message", {"object": "thread.run"}, "assistants"),
        ("message", {"event": "thread.run.created", "data": {}}, "assistants"),
        ("message", {"object": 7, "event": []}, None),
        ("error", {"object": "thread.run"}, None),
        ("done", {}, None),
        ("message", {"error": {}}, None),
        ("ping", {}, None),
    ],
)
def test_what_is_recognised(event: str, payload: dict[str, Any], expected: str | None) -> None:
    """By the name of the event or by the payload; what every protocol has decides nothing."""
    assert detect(event, payload) == expected


@pytest.mark.parametrize("size", [1, 50, 5000])
def test_same_changes_as_by_name(size: int) -> None:
    """Also within the chunk in which it was found out, and the fast path is taken afterwards."""
    chunks = [RUN[at : at + size] for at in range(0, len(RUN), size)]
    auto, named = StreamProcessor("auto"), StreamProcessor("assistants")
    changes = [encode_change(change) for chunk in chunks for change in auto.feed(chunk)]

    assert changes == [encode_change(change) for chunk in chunks for change in named.feed(chunk)]
    assert auto._hot == named._hot
    assert isinstance(auto._dialect, AssistantsDialect)


@pytest.mark.usefixtures("beeps")
def test_frames_that_tell_nothing() -> None:
    """A ping, bytes that are no JSON, or an error before the first event leave it open."""
    dialect = AutoDialect()
    undecided = [
        *dialect.decode(Frame("ping", b"{}", "")),
        *dialect.decode(Frame("message", b"\xff{", "")),
        *dialect.decode(Frame("message", b"{", "")),
        *dialect.decode(Frame("message", b"[7]", "")),
        *dialect.decode(Frame("done", b"", "")),
    ]
    before = dialect.chosen, dialect.cursor, dialect.finish()
    decided = dialect.decode(Frame("message", b' {"beep":1}', ""))

    assert [event.name for event in undecided] == ["ping", "message", "message", "message", "done"]
    assert before == (None, None, ())
    assert [event.name for event in decided] == ["thread.run.created"]
    assert isinstance(dialect.chosen, Beeps)
    assert dialect.cursor == "1"
    assert [event.name for event in dialect.finish()] == ["thread.run.completed"]


@pytest.mark.usefixtures("beeps")
def test_each_stream_anew() -> None:
    """The next stream may be of another dialect."""
    proc = StreamProcessor("auto")
    first = proc.feed(sse(error("server_error")) + b"event: beep\ndata: 1\n\nevent: beep\ndata: 2\n\n")
    cursor = proc.cursor
    proc.close()
    proc.open()
    second = proc.feed(RUN)

    assert [change.kind for change in first] == ["error", "run", "run"]
    assert cursor == "2"
    assert {change.kind for change in second} == {"run", "step"}


def test_every_recording_is_recognised(corpus: Path) -> None:
    """Of the protocol that the canonical events are; some hold no complete event."""
    recognised = 0
    for path in sorted((corpus / "assistants").glob("*.sse")):
        proc = StreamProcessor("auto")
        if proc.feed(path.read_bytes()):
            assert isinstance(proc._dialect, AssistantsDialect), path.name
            recognised += 1

    assert recognised > 20
