"""What follows a lost connection: every rule of `Recovery`, with sources that only say what they can do."""

from random import Random
from typing import Any

import pytest

from streamproc.delivery.policy import Retry
from streamproc.errors import SourceError, SourceUnavailable
from streamproc.protocols import Source
from streamproc.recovery import Attempt, Recovery
from streamproc.sources.iterable import IterableSource
from streamproc.testing.memory import ScriptedSource

GONE = SourceUnavailable("gone")
REFUSED = SourceError("refused")
RETRY = Retry(base_s=1.0, cap_s=8.0, retry_after_cap_s=60.0)


class Asking:
    """The ability to ask for a result; nobody does here."""

    async def resync(self, run_id: str, thread_id: str | None) -> Any:
        raise AssertionError


class AskingSource(ScriptedSource, Asking):
    """One that may be reopened as told, and asked."""


def recovery(source: Source, retry: Retry = RETRY) -> Recovery:
    return Recovery(source, retry, Random(1), 0.0)


def after(
    it: Recovery,
    error: SourceError | None = GONE,
    *,
    now_s: float = 0.0,
    cursor: str | None = None,
    run_id: str | None = "run_1",
    retry_ms: int | None = None,
) -> Attempt | None:
    return it.after(error, now_s=now_s, cursor=cursor, run_id=run_id, retry_ms=retry_ms)


def way(attempt: Attempt | None) -> tuple[str, str | None] | None:
    return None if attempt is None else (attempt.way, attempt.cursor)


# --- the way ----------------------------------------------------------------------------------------------------------

PLAIN = IterableSource([])
ASKED = IterableSource([], resync=Asking())


@pytest.mark.parametrize("error", [None, GONE], ids=["ended", "lost"])
@pytest.mark.parametrize(
    ("source", "cursor", "run_id", "expected"),
    [
        (ScriptedSource(resumable=True, repeatable=True), "7", "run_1", ("resume", "7")),
        (ScriptedSource(resumable=True, repeatable=True), None, "run_1", ("restart", None)),
        (ScriptedSource(resumable=True, repeatable=False), None, "run_1", None),
        (ScriptedSource(resumable=False, repeatable=True), "7", "run_1", ("restart", None)),
        (ScriptedSource(resumable=False, repeatable=False), "7", "run_1", None),
        (AskingSource(resumable=True, repeatable=False), "7", "run_1", ("resume", "7")),
        (AskingSource(resumable=True, repeatable=False), None, "run_1", ("resync", None)),
        (AskingSource(resumable=False, repeatable=True), "7", "run_1", ("restart", None)),
        (AskingSource(resumable=False, repeatable=False), "7", None, None),
        (ASKED, None, "run_1", ("resync", None)),
        (ASKED, "7", "run_1", ("resync", None)),
        (ASKED, "7", None, None),
        (PLAIN, "7", "run_1", None),
    ],
)
def test_best_way_that_the_source_allows(
    source: Source, cursor: str | None, run_id: str | None, error: SourceError | None, expected: Any
) -> None:
    """Resume needs a cursor, resync a run; an end that came too early is as good a reason as an error."""
    attempt = after(recovery(source), error, cursor=cursor, run_id=run_id)

    assert expected == way(attempt)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (ScriptedSource(resumable=True, repeatable=True), None),
        (AskingSource(resumable=True, repeatable=True), ("resync", None)),
        (ASKED, ("resync", None)),
        (PLAIN, None),
    ],
)
def test_error_that_stays_closes_the_stream_but_not_the_question(source: Source, expected: Any) -> None:
    """A stream that may not be opened again may still have a result."""
    assert expected == way(after(recovery(source), REFUSED, cursor="7"))


def test_result_that_is_refused_is_not_asked_for_again() -> None:
    """After the last way nothing is left; what may pass is waited for."""
    it = recovery(ASKED)

    assert [way(after(it, error)) for error in (REFUSED, GONE, None, REFUSED)] == [("resync", None)] * 3 + [None]


def test_stream_that_was_given_up_is_not_tried_again() -> None:
    """Its states are those of another epoch once a result was asked for, whether it came or not."""
    it = recovery(AskingSource(resumable=True, repeatable=True))

    assert [way(after(it, error, cursor="7")) for error in (GONE, REFUSED, GONE, None)] == [
        ("resume", "7"),
        *[("resync", None)] * 3,
    ]


def test_resumed_stream_that_ends_without_news_is_asked_about() -> None:
    """There is nothing more to be had on that way; a connection that was lost says no such thing."""
    it = recovery(AskingSource(resumable=True, repeatable=False))
    seen = [way(after(it, error, cursor=cursor)) for error, cursor in ((None, "7"), (GONE, "7"), (None, "8"))]

    assert seen == [("resume", "7"), ("resume", "7"), ("resume", "8")]
    assert way(after(it, None, cursor="8")) == ("resync", None)


def test_resumed_stream_that_ends_without_news_and_cannot_be_asked_about() -> None:
    """Then it is resumed as often as the budget allows."""
    it = recovery(ScriptedSource(resumable=True, repeatable=True), Retry(max_attempts=3))

    assert [way(after(it, None, cursor="7")) for _ in range(3)] == [("resume", "7"), ("resume", "7"), None]


def test_abilities_are_looked_at_each_time() -> None:
    """A source may lose one, as by 204, or have it for a while, as by 429."""
    source = ScriptedSource(resumable=False, repeatable=True)
    it = recovery(source)
    before = way(after(it))
    source.repeatable = False

    assert (before, way(after(it))) == (("restart", None), None)


def test_cursor_outlives_connections_without_news() -> None:
    """A new connection knows of no cursor until its first event; the last one counts until then."""
    it = recovery(ScriptedSource(resumable=True, repeatable=True))

    assert [way(after(it, cursor=cursor)) for cursor in ("7", None, "9", None)] == [
        ("resume", "7"),
        ("resume", "7"),
        ("resume", "9"),
        ("resume", "9"),
    ]


# --- the wait ---------------------------------------------------------------------------------------------------------


class Longest(Random):
    """Throws the highest number there is."""

    def uniform(self, a: float, b: float) -> float:
        return b


@pytest.mark.parametrize(
    ("error", "retry_ms", "expected_s"),
    [
        (None, None, 1.0),
        (GONE, None, 1.0),
        (REFUSED, None, 1.0),
        (SourceUnavailable("busy", 20.0), None, 20.0),
        (SourceUnavailable("busy", 0.25), None, 1.0),
        (GONE, 2500, 2.5),
        (None, 2500, 2.5),
        (SourceUnavailable("busy", 20.0), 2500, 20.0),
        (SourceUnavailable("busy", 2.0), 2500, 2.5),
        (SourceUnavailable("busy", 3600.0), None, 60.0),
        (None, 3_600_000, 60.0),
    ],
)
def test_wait_is_at_least_what_was_asked_for(error: Any, retry_ms: int | None, expected_s: float) -> None:
    """By Retry-After, or by the stream; up to a cap."""
    attempt = after(Recovery(ASKED, RETRY, Longest(), 0.0), error, retry_ms=retry_ms)

    assert attempt is not None
    assert expected_s == attempt.wait_s


def test_reconnection_time_outlives_connections_without_one() -> None:
    """What a stream asked for once holds until it asks for something else, zero included."""
    it = Recovery(ASKED, Retry(base_s=0.0), Longest(), 0.0)

    assert [
        attempt and attempt.wait_s for attempt in (after(it, retry_ms=ms) for ms in (None, 2500, None, 0, None))
    ] == [
        0.0,
        2.5,
        2.5,
        0.0,
        0.0,
    ]


def test_waits_grow_while_it_fails() -> None:
    """The ceiling doubles up to the cap, and attempts are numbered."""
    it = Recovery(ASKED, RETRY, Longest(), 0.0)
    attempts = [attempt for _ in range(5) if (attempt := after(it))]

    assert [(attempt.number, attempt.wait_s) for attempt in attempts] == [(1, 1), (2, 2), (3, 4), (4, 8), (5, 8)]


# --- the budget -------------------------------------------------------------------------------------------------------


def test_attempts_in_a_row_are_bounded() -> None:
    """Three failures in a row are the end of it."""
    it = recovery(ScriptedSource(resumable=True, repeatable=True), Retry(max_attempts=3))

    assert [attempt and attempt.number for attempt in (after(it), after(it), after(it))] == [1, 2, None]


def test_time_in_a_row_is_bounded() -> None:
    """From the first failure on, not from the first connection."""
    it = recovery(ScriptedSource(resumable=True, repeatable=True), Retry(max_elapsed_s=300.0))
    times = (1000.0, 1299.0, 1300.0)

    assert [after(it, now_s=now_s) is not None for now_s in times] == [True, True, False]


def test_cursor_that_moved_ends_a_row_of_failures() -> None:
    """A stream that gets on bit by bit goes on for ever; its clock starts anew too."""
    it = recovery(ScriptedSource(resumable=True, repeatable=True), Retry(max_attempts=2, max_elapsed_s=300.0))
    seen = [after(it, cursor=cursor, now_s=now_s) for cursor, now_s in (("1", 0.0), ("2", 400.0), ("3", 800.0))]

    assert [attempt and attempt.number for attempt in seen] == [1, 1, 1]
    assert after(it, cursor="3", now_s=801.0) is None


def test_cursor_that_is_gone_has_not_moved() -> None:
    """A connection without any event is no progress."""
    it = recovery(ScriptedSource(resumable=True, repeatable=True), Retry(max_attempts=2))

    assert [after(it, cursor=cursor) is not None for cursor in ("1", None)] == [True, False]


@pytest.mark.parametrize(("heard_s", "expected"), [(60.0, 1), (59.9, None)])
def test_minute_of_bytes_ends_a_row_of_failures(heard_s: float, expected: int | None) -> None:
    """Counted from the connection to its last byte, also where nothing has a cursor."""
    it = recovery(ScriptedSource(resumable=False, repeatable=True), Retry(max_attempts=2))
    after(it)
    it.opened(100.0)
    it.heard(100.0 + heard_s)
    attempt = after(it, now_s=100.0 + heard_s)

    assert expected == (attempt and attempt.number)


def test_minutes_of_silence_do_not() -> None:
    """A server that accepts and says nothing until the idle timeout is asked as often as the budget allows, no more."""
    it = recovery(ScriptedSource(resumable=False, repeatable=True), Retry(max_attempts=3))
    numbers = []
    for start_s in (0.0, 100.0, 200.0):
        it.opened(start_s)
        attempt = after(it, now_s=start_s + 70.0)
        numbers.append(attempt and attempt.number)

    assert numbers == [1, 2, None]


def test_result_that_takes_minutes_does_not_either() -> None:
    """Asking for a run that never ends is bounded, however long each attempt polls."""
    it = recovery(ASKED, Retry(max_elapsed_s=1000.0))
    it.opened(0.0)
    it.heard(90.0)
    attempts = [after(it, now_s=90.0)]
    for start_s in (100.0, 1100.0):
        it.opened(start_s)
        attempts.append(after(it, now_s=start_s + 900.0))

    assert [attempt and attempt.number for attempt in attempts] == [1, 2, None]
