"""The changes that plug-ins are checked with."""

import pytest

from streamproc import Change, encode_change
from streamproc.testing.changes import odd_changes, ordinary_changes


@pytest.mark.parametrize("deltas", [0, 3])
def test_ordinary_changes_are_one_clean_run(deltas: int) -> None:
    """Nothing odd in it, all objects ended, and as many deltas as asked for."""
    changes = ordinary_changes("s", deltas)

    assert [change.seq for change in changes] == [*range(1, len(changes) + 1)]
    assert {change.kind for change in changes} == {"run", "step", "message"}
    assert sum(change.is_delta for change in changes) == 2 * deltas + 1
    assert [change.kind for change in changes if change.is_final] == ["step", "message", "run"]


def test_odd_changes_hold_all_there_is_to_get_wrong() -> None:
    changes = odd_changes("s")
    anomalies = {change.data.kind for change in changes if change.kind == "anomaly"}
    newest = {change.id: change for change in changes}
    text = newest["msg_1"].state.text

    assert {"bad_json", "unknown_event", "unknown_type", "index_gap", "provisional", "truncated"} <= anomalies
    assert {change.kind for change in changes} == {"run", "step", "message", "error", "anomaly"}
    assert {"", "s/../é \u2028*>.\0"} <= newest.keys()
    assert len(text) > 1024 * 1024
    assert {"\0", "\x1b", "\u202e", "\U0010ffff", "\ufffe"} <= set(text)
    assert not any("\ud800" <= char <= "\udfff" for char in text)


def test_streams_differ_in_their_name_alone() -> None:
    def forms(changes: list[Change]) -> list[bytes]:
        return [encode_change(change) for change in changes]

    for make in (ordinary_changes, odd_changes):
        first, second = forms(make("a")), forms(make("b"))

        assert [form.replace(b'"stream":"a"', b'"stream":"b"') for form in first] == second
