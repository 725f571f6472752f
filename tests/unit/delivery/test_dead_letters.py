"""Dead letters: how many are kept, who is told, and which changes a sink named."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace
from structlog.testing import capture_logs

from streamproc import StreamProcessor
from streamproc.delivery.dead_letters import DeadLetter, DeadLetters, rejected_of
from tests.streams import message, sse
from tests.unit.delivery.sinks import deltas, seqs

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_the_oldest_go_first_and_are_counted() -> None:
    """Even more at once than are kept; the callback sees all of them."""
    seen: list[DeadLetter] = []
    letters = DeadLetters(seen.append, lambda: NOON, kept_max=3)
    letters.bury("s", deltas(2), "a", 1)
    letters.bury("s", deltas(5)[2:], "b", 2)

    assert [(letter.change.seq, letter.reason, letter.attempts) for letter in letters] == [
        (3, "b", 2),
        (4, "b", 2),
        (5, "b", 2),
    ]
    assert (len(letters), letters.forgotten) == (3, 2)
    assert seqs([letter.change for letter in seen]) == [1, 2, 3, 4, 5]


def test_time_is_the_wall_clock_in_utc() -> None:
    before = datetime.now(UTC)
    letters = DeadLetters()
    letters.bury("s", deltas(1), "a", 1)
    (letter,) = letters

    assert before <= letter.at <= datetime.now(UTC)
    assert letter.at.tzinfo is UTC


def test_a_callback_that_raises_hides_no_letter() -> None:
    """The next ones are handed to it all the same."""
    seen = []

    def fail(letter: DeadLetter) -> None:
        seen.append(letter.change.seq)
        raise ValueError

    letters = DeadLetters(fail)
    with capture_logs() as logs:
        letters.bury("s", deltas(2), "a", 1)

    assert (len(letters), seen) == (2, [1, 2])
    assert [entry["event"] for entry in logs] == ["sink.dead_lettered", *["dead_letter.callback_failed"] * 2]


def test_the_log_names_each_object_once_and_not_too_many() -> None:
    change = deltas(1)[0]
    messages = StreamProcessor().feed(sse(*(message("created", f"msg_{n}") for n in range(20))))
    with capture_logs() as logs:
        DeadLetters().bury("s", [change, change, *messages], "a", 1)

    assert logs[0]["ids"] == ["step_1", *(f"msg_{n}" for n in range(9))]
    assert logs[0]["count"] == 22


def test_rejected_changes_are_told_apart_by_their_place_in_the_log() -> None:
    """A sink may hand back copies, in any order and twice."""
    sent = deltas(4)
    copies = [replace(sent[2]), replace(sent[0]), replace(sent[2])]

    assert rejected_of(sent, copies) == [sent[0], sent[2]]
    assert rejected_of(sent, []) == []


@pytest.mark.parametrize("other", [deltas(9)[8], replace(deltas(1)[0], seq=99), None, "x"])
def test_something_else_among_the_rejected(other: object) -> None:
    sent = deltas(2)

    assert rejected_of(sent, [sent[0], other]) is None
