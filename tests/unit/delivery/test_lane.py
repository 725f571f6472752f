"""A lane: batches, outcomes of a write, time limits, the breaker, and how it ends."""

import asyncio
import gc
import weakref
from collections.abc import Sequence
from datetime import UTC, datetime

import anyio
import pytest
from structlog.testing import capture_logs

from streamproc import Change
from streamproc.delivery.fanout import Fanout
from streamproc.delivery.policy import DeliveryPolicy, Retry
from streamproc.errors import SinkGone, SinkRejected
from tests.unit.delivery.sinks import (
    AT_ONCE,
    HALF,
    NEVER,
    Scripted,
    deltas,
    imbalance,
    of,
    unavailable,
    virtual,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def fan(sink: Scripted, policy: DeliveryPolicy | None = None) -> Fanout:
    return Fanout([(sink, policy or DeliveryPolicy())], random=HALF, now=lambda: NOON)


async def deliver(sink: Scripted, changes: Sequence[Change], policy: DeliveryPolicy | None = None) -> Fanout:
    """Offer the changes as one batch and drain for as long as it takes."""
    fanout = fan(sink, policy)
    async with anyio.create_task_group() as group:
        await fanout.start(group)
        fanout.offer(changes)
        await fanout.drain(1e6)
    assert imbalance(of(fanout)) == 0
    return fanout


def events(logs: Sequence[object], *fields: str) -> list[object]:
    """The names of log events, or tuples of the name and some fields."""
    rows = [dict(entry) for entry in logs if isinstance(entry, dict)]
    return [tuple(row.get(name) for name in ("event", *fields)) if fields else row["event"] for row in rows]


# --- batches ----------------------------------------------------------------------------------------------------------


@virtual
async def test_a_batch_arrives_whole_and_as_it_was_offered() -> None:
    sink = Scripted()
    offered = deltas(3)

    fanout = await deliver(sink, offered)

    assert sink.calls == [(0, [1, 2, 3])]
    assert all(one is other for one, other in zip(offered, sink.arrived, strict=True))
    assert (of(fanout).received, of(fanout).acked, of(fanout).writes, of(fanout).state) == (3, 3, 1, "closed")


@virtual
async def test_what_came_during_a_write_is_joined_to_one_batch() -> None:
    sink = Scripted(1.0)
    first, *rest = [deltas(9)[i : i + 3] for i in (0, 3, 6)]
    fanout = fan(sink)
    async with anyio.create_task_group() as group:
        await fanout.start(group)
        fanout.offer(first)
        await anyio.sleep(0.5)
        for batch in rest:
            fanout.offer(batch)
        await fanout.drain(9)

    assert sink.calls == [(0, [1, 2, 3]), (1, [4, 5, 6, 7, 8, 9])]


@virtual
async def test_batches_are_cut_by_count_across_what_was_offered() -> None:
    sink = Scripted()
    fanout = fan(sink, DeliveryPolicy(batch_max=4))
    changes = deltas(10)
    async with anyio.create_task_group() as group:
        await fanout.start(group)
        fanout.offer(changes[:3])
        fanout.offer(changes[3:])
        await fanout.drain(1)

    assert [numbers for _, numbers in sink.calls] == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]


@virtual
async def test_batches_are_cut_by_bytes_and_one_change_may_be_larger() -> None:
    sink = Scripted()
    changes = deltas(7, size=40)

    await deliver(sink, changes, DeliveryPolicy(batch_max_bytes=100))

    assert [len(change.piece) > 100 for change in changes] == [True, True, *[False] * 5]
    assert [numbers for _, numbers in sink.calls] == [[1], [2], [3, 4], [5, 6], [7]]


@virtual
async def test_a_batch_waits_to_fill_up_but_not_longer_than_stated() -> None:
    sink = Scripted()
    fanout = fan(sink, DeliveryPolicy(batch_max=4, batch_wait_s=2))
    changes = deltas(9)
    async with anyio.create_task_group() as group:
        await fanout.start(group)
        fanout.offer(changes[:1])
        await anyio.sleep(1)
        fanout.offer(changes[1:2])
        await anyio.sleep(3)  # time is up at 2
        fanout.offer(changes[2:4])
        await anyio.sleep(1)
        fanout.offer(changes[4:6])  # full at 5
        await anyio.sleep(0.5)
        fanout.offer(changes[6:])
        await fanout.drain(9)  # waits no longer

    assert sink.calls == [(2, [1, 2]), (5, [3, 4, 5, 6]), (5.5, [7, 8, 9])]


@virtual
async def test_a_full_batch_or_inbox_waits_for_nothing() -> None:
    """By count, by bytes, and when there is no room for more."""
    began: list[float] = []
    for policy in (
        DeliveryPolicy(batch_wait_s=9, batch_max=3),
        DeliveryPolicy(batch_wait_s=9, batch_max_bytes=1),
        DeliveryPolicy(batch_wait_s=9, inbox_max=3),
    ):
        sink = Scripted()
        fanout = fan(sink, policy)
        async with anyio.create_task_group() as group:
            await fanout.start(group)
            began.append(anyio.current_time())
            fanout.offer(deltas(3))
            await anyio.sleep(1)
            await fanout.drain(1)

        assert sink.calls[0][0] == began[-1]


@virtual
async def test_a_sink_that_never_waits_lets_the_reader_go_on() -> None:
    """After some batches; one alone would be fewer changes than many streams bring in one turn of the loop."""
    sink = Scripted()
    fanout = fan(sink, DeliveryPolicy(batch_max=1))
    seen = []
    async with anyio.create_task_group() as group:
        await fanout.start(group)
        fanout.offer(deltas(40))
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
            seen.append(len(sink.calls))
        await fanout.drain(1)

    assert seen == [16, 32, 40]


# --- unavailable ------------------------------------------------------------------------------------------------------


@virtual
async def test_unavailable_is_tried_again_with_growing_waits() -> None:
    sink = Scripted(unavailable(), unavailable(), unavailable())

    with capture_logs() as logs:
        fanout = await deliver(sink, deltas(2), DeliveryPolicy(retry=Retry(base_s=1, cap_s=3)))

    assert sink.calls == [(0, [1, 2]), (0.5, [1, 2]), (1.5, [1, 2]), (3, [1, 2])]
    it = of(fanout)
    assert (it.acked, it.writes, it.failed, it.retried) == (2, 4, 3, 3)
    assert events(logs, "attempt", "wait_s", "cause", "sink") == [
        ("sink.retry_scheduled", 2, 0.5, "busy", "Scripted"),
        ("sink.retry_scheduled", 3, 1.0, "busy", "Scripted"),
        ("sink.retry_scheduled", 4, 1.5, "busy", "Scripted"),
    ]


@virtual
async def test_retry_after_is_honoured_up_to_its_cap() -> None:
    sink = Scripted(unavailable(7), unavailable(500))

    await deliver(sink, deltas(1), DeliveryPolicy(retry=Retry(base_s=1, retry_after_cap_s=10)))

    assert [when for when, _ in sink.calls] == [0, 7, 17]


@virtual
async def test_attempts_are_bounded_per_batch() -> None:
    """The second batch has attempts of its own; both become dead letters with the sink's reason."""
    sink = Scripted(*[unavailable() for _ in range(4)])
    policy = DeliveryPolicy(batch_max=2, retry=Retry(base_s=1, max_attempts=2), breaker_failures=9)

    with capture_logs() as logs:
        fanout = await deliver(sink, deltas(5), policy)

    assert [numbers for _, numbers in sink.calls] == [[1, 2], [1, 2], [3, 4], [3, 4], [5]]
    assert [(letter.change.seq, letter.attempts) for letter in fanout.dead_letters] == [(1, 2), (2, 2), (3, 2), (4, 2)]
    assert {(letter.sink, letter.reason, letter.at) for letter in fanout.dead_letters} == {("Scripted", "busy", NOON)}
    assert (of(fanout).dead, of(fanout).acked) == (4, 1)
    assert events(logs, "count", "ids", "attempts")[1] == ("sink.dead_lettered", 2, ["step_1"], 2)


@virtual
async def test_time_for_retries_counts_from_the_first_failed_write() -> None:
    """An idle hour before it is not part of it, the time that the write took is."""
    sink = Scripted(None, *[unavailable() for _ in range(9)])
    fanout = fan(sink, DeliveryPolicy(retry=Retry(base_s=2, cap_s=2, max_elapsed_s=3), breaker_failures=99))
    async with anyio.create_task_group() as group:
        await fanout.start(group)
        fanout.offer(deltas(1))
        await anyio.sleep(3600)
        fanout.offer(deltas(1))
        await anyio.sleep(10)
        await fanout.drain(0)

    assert [when - 3600 for when, _ in sink.calls[1:]] == [0, 1, 2, 3]
    assert of(fanout).dead == 1


@virtual
async def test_what_was_given_up_last_does_not_delay_the_end() -> None:
    sink = Scripted(unavailable(100))
    fanout = await deliver(sink, deltas(1), DeliveryPolicy(retry=Retry(max_attempts=1)))

    assert anyio.current_time() == 0
    assert of(fanout).dead == 1


@virtual
async def test_a_reason_is_cut() -> None:
    sink = Scripted(SinkRejected("x" * 10_000, deltas(1)))

    with capture_logs() as logs:
        fanout = await deliver(sink, deltas(1))

    assert [len(letter.reason) for letter in fanout.dead_letters] == [500]
    assert events(logs, "reason") == [("sink.dead_lettered", "x" * 500)]


# --- too late ---------------------------------------------------------------------------------------------------------


@virtual
async def test_a_write_that_takes_too_long_is_cancelled_and_tried_again() -> None:
    sink = Scripted(NEVER, 4.0)
    policy = DeliveryPolicy(timeout_s=5, retry=AT_ONCE)

    with capture_logs() as logs:
        fanout = await deliver(sink, deltas(1), policy)

    assert sink.calls == [(0, [1]), (5, [1])]
    assert anyio.current_time() == 9
    assert (of(fanout).failed, of(fanout).retried, of(fanout).acked) == (1, 1, 1)
    assert events(logs, "cause") == [("sink.retry_scheduled", "no answer within 5 s")]


@virtual
async def test_each_write_has_the_whole_time() -> None:
    """Writes of 4 s each, in a row and after a pause, never meet a limit of 5 s; one of 6 s does, on time."""
    sink = Scripted(4.0, 4.0, 4.0, 6.0)
    fanout = fan(sink, DeliveryPolicy(timeout_s=5, retry=AT_ONCE))
    async with anyio.create_task_group() as group:
        await fanout.start(group)
        for pause_s in (1, 10, 20.5, 0):
            fanout.offer(deltas(1))
            await anyio.sleep(pause_s)
        await fanout.drain(99)

    assert [when for when, _ in sink.calls] == [0, 4, 11, 31.5, 36.5]
    assert of(fanout).failed == 1


@virtual
async def test_a_late_write_that_hides_its_cancellation_is_late_all_the_same() -> None:
    """It raises something else instead, as clients do that wrap what they catch."""

    async def wrap(batch: Sequence[Change]) -> None:
        try:
            await anyio.sleep_forever()
        except BaseException as error:
            raise ValueError("wrapped") from error

    sink = Scripted(wrap)

    fanout = await deliver(sink, deltas(1), DeliveryPolicy(timeout_s=5, retry=AT_ONCE))

    assert [when for when, _ in sink.calls] == [0, 5]
    assert (of(fanout).acked, of(fanout).dead, of(fanout).failed) == (1, 0, 1)


@virtual
async def test_a_write_that_finishes_in_spite_of_its_cancellation_has_succeeded() -> None:
    """And what waits is written at once, although the scope of that write is used up."""

    async def finish(batch: Sequence[Change]) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(7)

    sink = Scripted(finish)
    fanout = await deliver(sink, deltas(2), DeliveryPolicy(timeout_s=5, batch_max=1))

    assert sink.calls == [(0, [1]), (7, [2])]
    assert (of(fanout).acked, of(fanout).failed) == (2, 0)


@virtual
async def test_no_timer_outlives_its_lane() -> None:
    """The time limit of its last write is far away."""
    fanout = await deliver(Scripted(), deltas(1), DeliveryPolicy(timeout_s=1e6))
    kept = weakref.ref(fanout._lanes[0]._timeout)
    del fanout
    gc.collect()

    assert kept() is None


# --- rejected ---------------------------------------------------------------------------------------------------------


@virtual
async def test_rejected_changes_become_dead_letters_and_the_rest_has_arrived() -> None:
    async def reject(batch: Sequence[Change]) -> None:
        raise SinkRejected("too long", [batch[2], batch[0]])

    with capture_logs() as logs:
        fanout = await deliver(Scripted(reject), deltas(4))

    assert [(letter.change.seq, letter.reason, letter.attempts) for letter in fanout.dead_letters] == [
        (1, "too long", 1),
        (3, "too long", 1),
    ]
    assert (of(fanout).acked, of(fanout).dead, of(fanout).failed) == (2, 2, 0)
    assert events(logs, "count") == [("sink.dead_lettered", 2)]


@virtual
async def test_a_rejection_after_retries_counts_all_attempts() -> None:
    changes = deltas(1)

    fanout = await deliver(Scripted(unavailable(), SinkRejected("no", changes)), changes)

    assert [letter.attempts for letter in fanout.dead_letters] == [2]


@virtual
async def test_rejecting_nothing_takes_all() -> None:
    fanout = await deliver(Scripted(SinkRejected("odd", [])), deltas(2))

    assert (of(fanout).acked, of(fanout).dead) == (2, 0)


@pytest.mark.parametrize("others", [[deltas(9)[8]], ["text"], [None]], ids=["another change", "text", "None"])
@virtual
async def test_rejecting_what_was_not_written_is_a_bug(others: list[object]) -> None:
    changes = deltas(2)

    with capture_logs() as logs:
        fanout = await deliver(Scripted(SinkRejected("no", [changes[0], *others])), changes)

    assert of(fanout).dead == 2
    assert events(logs) == ["sink.failed", "sink.dead_lettered"]


# --- bugs -------------------------------------------------------------------------------------------------------------


@virtual
async def test_a_bug_is_logged_and_its_batch_buried() -> None:
    """The reason names the exception's type alone: its text may hold content."""
    error = ValueError("secret")

    with capture_logs() as logs:
        fanout = await deliver(Scripted(error), deltas(3), DeliveryPolicy(batch_max=2))

    assert [letter.reason for letter in fanout.dead_letters] == ["the sink raised ValueError"] * 2
    assert (of(fanout).acked, of(fanout).dead, of(fanout).failed, of(fanout).retried) == (1, 2, 1, 0)
    assert logs[0]["exception"].endswith("ValueError: secret")
    assert events(logs, "in_a_row") == [("sink.failed", 1), ("sink.dead_lettered", None)]


@virtual
async def test_bugs_in_a_row_close_the_sink() -> None:
    """A success between them starts the count again, a wait does not."""
    sink = Scripted(ValueError(), None, ValueError(), unavailable(), ValueError())
    policy = DeliveryPolicy(batch_max=1, max_bugs=2, retry=AT_ONCE)

    with capture_logs() as logs:
        fanout = await deliver(sink, deltas(9), policy)

    it = of(fanout)
    assert (it.acked, it.dead, it.dropped, it.state) == (1, 3, 5, "closed")
    assert events(logs, "reason", "dropped")[-1] == ("sink.closed", "unexpected exceptions", 5)


@virtual
async def test_a_sink_that_is_gone_is_closed_at_once() -> None:
    """One event says so; what it was given and what comes later is dropped, and no dead letter."""
    sink = Scripted(None, SinkGone("answered 410"))
    fanout = fan(sink, DeliveryPolicy(batch_max=2))
    with capture_logs() as logs:
        async with anyio.create_task_group() as group:
            await fanout.start(group)
            fanout.offer(deltas(5))
            await anyio.sleep(1)
            fanout.offer(deltas(7)[5:])
            await fanout.drain(9)

    it = of(fanout)
    assert sink.calls == [(0, [1, 2]), (0, [3, 4])]
    assert (it.acked, it.dead, it.dropped, it.pending, it.failed, it.state) == (2, 0, 5, 0, 1, "closed")
    assert imbalance(it) == 0
    assert events(logs, "reason", "dropped") == [("sink.closed", "answered 410", 3)]


@virtual
async def test_a_sink_that_is_gone_after_failures() -> None:
    """A retry may find that out, a probe of the open breaker too."""
    sink = Scripted(unavailable(), unavailable(), SinkGone("x" * 9999))
    with capture_logs() as logs:
        fanout = await deliver(sink, deltas(3), DeliveryPolicy(breaker_failures=2))

    assert (of(fanout).failed, of(fanout).retried, of(fanout).dropped) == (3, 2, 3)
    assert events(logs, "reason")[-1] == ("sink.closed", "x" * 500)


@virtual
async def test_a_cancellation_out_of_nowhere_is_a_bug_of_the_sink() -> None:
    """It awaited a task of its own that was cancelled; nobody cancelled the lane."""

    async def await_a_cancelled_task(batch: Sequence[Change]) -> None:
        task = asyncio.ensure_future(asyncio.sleep(9))
        task.cancel()
        await task

    sink = Scripted(await_a_cancelled_task)

    with capture_logs() as logs:
        fanout = await deliver(sink, deltas(2), DeliveryPolicy(batch_max=1))

    assert (of(fanout).acked, of(fanout).dead) == (1, 1)
    assert events(logs) == ["sink.failed", "sink.dead_lettered"]


# --- the breaker ------------------------------------------------------------------------------------------------------


@virtual
async def test_the_breaker_opens_probes_with_one_change_and_closes() -> None:
    sink = Scripted(*[unavailable() for _ in range(4)])
    policy = DeliveryPolicy(breaker_failures=3, breaker_pause_s=10, retry=AT_ONCE)

    with capture_logs() as logs:
        fanout = await deliver(sink, deltas(5), policy)

    assert sink.calls == [*[(0, [1, 2, 3, 4, 5])] * 3, (10, [1]), (20, [1]), (20, [2, 3, 4, 5])]
    assert of(fanout).acked == 5
    assert events(logs, "wait_s", "failures") == [
        ("sink.retry_scheduled", 0, None),
        ("sink.retry_scheduled", 0, None),
        ("sink.circuit_opened", 10, 3),
        ("sink.retry_scheduled", 10, None),
        ("sink.circuit_closed", None, None),
    ]


@virtual
async def test_an_open_breaker_honours_retry_after() -> None:
    sink = Scripted(unavailable(25), unavailable(5), unavailable(999))
    policy = DeliveryPolicy(breaker_failures=1, breaker_pause_s=10, retry=Retry(retry_after_cap_s=30))

    await deliver(sink, deltas(1), policy)

    assert [when for when, _ in sink.calls] == [0, 25, 35, 65]


@virtual
async def test_a_rejection_closes_the_breaker_and_a_bug_does_not() -> None:
    changes = deltas(4)
    sink = Scripted(unavailable(), ValueError(), SinkRejected("no", changes[1:2]))
    policy = DeliveryPolicy(breaker_failures=1, breaker_pause_s=10)

    fanout = await deliver(sink, changes, policy)

    assert sink.calls == [(0, [1, 2, 3, 4]), (10, [1]), (10, [2]), (10, [3, 4])]
    assert (of(fanout).acked, of(fanout).dead) == (2, 2)


@virtual
async def test_giving_up_while_open_buries_the_whole_batch() -> None:
    sink = Scripted(unavailable(), unavailable())
    policy = DeliveryPolicy(breaker_failures=1, breaker_pause_s=10, retry=Retry(max_attempts=2))

    with capture_logs() as logs:
        fanout = await deliver(sink, deltas(3), policy)

    assert sink.calls == [(0, [1, 2, 3]), (10, [1])]
    assert of(fanout).dead == 3
    assert events(logs) == ["sink.circuit_opened", "sink.dead_lettered"]


# --- statistics -------------------------------------------------------------------------------------------------------


@virtual
async def test_the_state_says_what_the_lane_is_doing() -> None:
    sink = Scripted(1.0, unavailable(), unavailable(), 1.0)
    fanout = fan(sink, DeliveryPolicy(breaker_failures=2, breaker_pause_s=10, retry=Retry(base_s=4)))
    seen = []
    async with anyio.create_task_group() as group:
        await fanout.start(group)
        seen.append((of(fanout).state, of(fanout).oldest_pending_s))
        fanout.offer(deltas(3))
        for pause_s in (0.5, 1, 4, 8.5, 2):  # writing; failed at 1, 3 (open), probe from 13 to 14
            await anyio.sleep(pause_s)
            seen.append((of(fanout).state, of(fanout).oldest_pending_s))
            fanout.offer(deltas(1)) if pause_s == 0.5 else None
        await fanout.drain(9)
        seen.append((of(fanout).state, of(fanout).oldest_pending_s))

    assert seen == [
        ("delivering", 0),
        ("delivering", 0.5),
        ("retrying", 1),
        ("open", 5),
        ("half_open", 13.5),
        ("delivering", 0),
        ("closed", 0),
    ]


# --- the end ----------------------------------------------------------------------------------------------------------


class Entered(Scripted):
    """A sink that is an async context manager and notes what happens."""

    def __init__(self, *script: float | Exception | None, leaving: float | Exception | None = None) -> None:
        super().__init__(*script)
        self.notes: list[object] = []
        self._leaving = leaving

    async def __aenter__(self) -> "Entered":
        await anyio.sleep(0.25)
        self.notes.append("entered")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.notes.append("leaving")
        if isinstance(self._leaving, Exception):
            raise self._leaving
        await anyio.sleep(self._leaving or 0.0)
        self.notes.append("left")


@virtual
async def test_a_sink_is_entered_before_and_left_after_its_batches() -> None:
    sink = Entered(leaving=0.5)
    await deliver(sink, deltas(1))

    assert sink.notes == ["entered", "leaving", "left"]
    assert sink.calls == [(0.25, [1])]


@virtual
async def test_a_cancelled_lane_counts_what_it_gave_up_and_leaves_its_sink() -> None:
    """Leaving takes a while, which cancellation does not cut short."""
    sink = Entered(NEVER, leaving=3.0)
    fanout = fan(sink, DeliveryPolicy(batch_max=1))
    with capture_logs() as logs:
        async with anyio.create_task_group() as group:
            await fanout.start(group)
            fanout.offer(deltas(3))
            await anyio.sleep(1)
            group.cancel_scope.cancel()

    assert sink.notes == ["entered", "leaving", "left"]
    assert (of(fanout).dropped, of(fanout).pending, imbalance(of(fanout))) == (3, 0, 0)
    assert events(logs, "reason", "dropped") == [("sink.closed", "cancelled", 3)]


@virtual
async def test_an_idle_lane_is_cancelled_without_a_word() -> None:
    fanout = fan(Scripted())
    with capture_logs() as logs:
        async with anyio.create_task_group() as group:
            await fanout.start(group)
            await anyio.sleep(1)
            group.cancel_scope.cancel()

    assert logs == []
    assert of(fanout).state == "closed"


@pytest.mark.parametrize("is_cancelled", [False, True])
@virtual
async def test_leaving_a_sink_is_bounded(is_cancelled: bool) -> None:
    sink = Entered(leaving=NEVER)
    fanout = fan(sink)
    with capture_logs() as logs:
        async with anyio.create_task_group() as group:
            await fanout.start(group)
            if is_cancelled:
                group.cancel_scope.cancel()
            else:
                await fanout.drain(1)

    assert anyio.current_time() == 5.25
    assert events(logs, "cause") == [("sink.failed", "not left within 5 s")]


@virtual
async def test_what_a_sink_raises_on_leaving_is_logged() -> None:
    with capture_logs() as logs:
        fanout = await deliver(Entered(leaving=OSError("disk")), deltas(1))

    assert events(logs, "cause") == [("sink.failed", "on leaving it")]
    assert logs[0]["exception"].endswith("OSError: disk")
    assert of(fanout).acked == 1


@virtual
async def test_a_sink_may_keep_a_task_group_open_and_its_crash_ends_this_lane_alone() -> None:
    class Crashing(Scripted):
        async def __aenter__(self) -> None:
            self._group = await anyio.create_task_group().__aenter__()
            self._group.start_soon(self._crash)

        async def __aexit__(self, *exc_info: object) -> bool | None:
            return await self._group.__aexit__(*exc_info)  # type: ignore[arg-type]

        async def _crash(self) -> None:
            await anyio.sleep(1)
            raise OSError("gone")

    other = Scripted()
    fanout = Fanout([Crashing(9.0), other])
    with capture_logs() as logs:
        async with anyio.create_task_group() as group:
            await fanout.start(group)
            fanout.offer(deltas(2))
            await anyio.sleep(2)
            fanout.offer(deltas(2))
            await fanout.drain(1)

    assert events(logs) == ["sink.closed", "sink.failed"]
    assert [it.acked for it in fanout.statistics()] == [0, 4]
    assert [it.dropped for it in fanout.statistics()] == [4, 0]


@virtual
async def test_cancelling_at_any_moment_keeps_the_accounts_and_leaves_nothing() -> None:
    """Every quarter of a second of a run with writes, time-outs, retries, an open breaker and a bug."""
    for quarter in range(1, 120):
        sink = Entered(1.0, NEVER, unavailable(), unavailable(), 1.0, ValueError(), leaving=1.0)
        policy = DeliveryPolicy(
            batch_max=2, batch_wait_s=1, timeout_s=3, breaker_failures=3, breaker_pause_s=5, retry=Retry(base_s=2)
        )
        fanout = fan(sink, policy)
        with anyio.move_on_after(quarter / 4), capture_logs():
            async with anyio.create_task_group() as group:
                await fanout.start(group)
                for change in deltas(7):
                    fanout.offer([change])
                    await anyio.sleep(0.3)
                await fanout.drain(20)

        assert imbalance(of(fanout)) == 0
        assert of(fanout).pending == 0
        assert sink.notes in ([], ["entered", "leaving", "left"])
        assert asyncio.all_tasks() == {asyncio.current_task()}
