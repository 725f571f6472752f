"""Fan-out: names, room and its limits, sinks that are entered, and draining."""

from collections.abc import Sequence

import anyio
import pytest
from structlog.testing import capture_logs

from streamproc import Change
from streamproc.delivery.dead_letters import DeadLetter
from streamproc.delivery.fanout import Fanout
from streamproc.delivery.policy import DeliveryPolicy, Retry
from streamproc.errors import SinkUnavailable
from tests.unit.delivery.sinks import NEVER, Scripted, deltas, imbalance, of, unavailable, virtual


class Other(Scripted):
    pass


async def feed(fanout: Fanout, changes: Sequence[Change]) -> list[float]:
    """Offer one change after the other as a reader does; returns when each was offered."""
    times = []
    for change in changes:
        if fanout.is_full:
            await fanout.room()
        fanout.offer([change])
        times.append(anyio.current_time())
        await anyio.lowlevel.checkpoint()
    return times


# --- all sinks --------------------------------------------------------------------------------------------------------


@virtual
async def test_sinks_are_named_after_their_classes_and_numbered() -> None:
    fanout = Fanout([Scripted(), (Other(), DeliveryPolicy()), Scripted(), Scripted()])

    assert [it.name for it in fanout.statistics()] == ["Scripted", "Other", "Scripted-2", "Scripted-3"]


@virtual
async def test_all_sinks_get_the_same_batch_and_none_can_change_it() -> None:
    """Nor can the caller, who goes on using its list."""
    sinks = [Scripted(), Scripted()]
    fanout = Fanout(sinks)
    batch = deltas(3)
    async with anyio.create_task_group() as group:
        await fanout.start(group)
        fanout.offer(batch)
        batch.clear()
        fanout.offer(batch)  # nothing at all
        await fanout.drain(1)

    assert [sink.calls for sink in sinks] == [[(0, [1, 2, 3])]] * 2


@virtual
async def test_without_sinks_nothing_waits() -> None:
    fanout = Fanout([])
    async with anyio.create_task_group() as group:
        await fanout.start(group)
        fanout.offer(deltas(1))
        await fanout.room()
        await fanout.drain(1)

    assert (fanout.is_full, fanout.statistics()) == (False, ())


@virtual
async def test_a_sink_that_cannot_be_entered_stops_the_start() -> None:
    """Its exception comes out as it is; the sinks before it are left, those after it are never entered."""
    notes = []

    class Noted(Scripted):
        async def __aenter__(self) -> None:
            notes.append("entered")

        async def __aexit__(self, *exc_info: object) -> None:
            notes.append("left")

    class Locked(Scripted):
        async def __aenter__(self) -> None:
            raise OSError("locked")

        async def __aexit__(self, *exc_info: object) -> None:
            notes.append("wrong")

    fanout = Fanout([Noted(), Locked(), Noted()])
    async with anyio.create_task_group() as group:
        with pytest.raises(OSError, match="locked"):
            await fanout.start(group)
        group.cancel_scope.cancel()

    assert notes == ["entered", "left"]


@virtual
async def test_dead_letters_are_kept_and_handed_out() -> None:
    seen: list[DeadLetter] = []
    fanout = Fanout([Scripted(ValueError())], on_dead_letter=seen.append)
    async with anyio.create_task_group() as group:
        await fanout.start(group)
        fanout.offer(deltas(2))
        await fanout.drain(1)

    assert [letter.change.seq for letter in fanout.dead_letters] == [1, 2]
    assert seen == list(fanout.dead_letters)


# --- room -------------------------------------------------------------------------------------------------------------


@virtual
async def test_reading_pauses_while_a_required_sink_is_full() -> None:
    """The inbox holds 2 beside the batch that is being written; each write takes a second."""
    times: list[float] = []
    sink = Scripted(*[1.0] * 6)
    fanout = Fanout([(sink, DeliveryPolicy(inbox_max=2, batch_max=1))])
    with capture_logs() as logs:
        async with anyio.create_task_group() as group:
            await fanout.start(group)
            times += await feed(fanout, deltas(6))
            await fanout.drain(9)

    assert times == [0, 0, 0, 1, 2, 3]
    assert of(fanout).acked == 6
    assert [(entry["event"], entry["pending"]) for entry in logs] == [("sink.paused_reading", 3)]


@virtual
async def test_a_sink_that_pauses_reading_says_so_once_a_minute() -> None:
    """However often it does; which is once a batch for a sink that is slower than its stream."""
    sink = Scripted(*[1.0] * 100)
    fanout = Fanout([(sink, DeliveryPolicy(inbox_max=1, batch_max=1))])
    with capture_logs() as logs:
        async with anyio.create_task_group() as group:
            await fanout.start(group)
            await feed(fanout, deltas(100))
            await fanout.drain(9)

    assert [entry["event"] for entry in logs] == ["sink.paused_reading"] * 2


@virtual
async def test_a_sink_without_room_is_closed_after_the_longest_pause() -> None:
    """The other one gets all, and what the closed one misses is counted."""
    times: list[float] = []
    stuck, other = Scripted(NEVER), Other()
    policy = DeliveryPolicy(inbox_max=2, batch_max=1, max_pause_s=7)
    fanout = Fanout([(stuck, policy), other])
    with capture_logs() as logs:
        async with anyio.create_task_group() as group:
            await fanout.start(group)
            times += await feed(fanout, deltas(6))
            await fanout.drain(9)

    assert times == [0, 0, 0, 7, 7, 7]
    assert [(it.acked, it.dropped) for it in fanout.statistics()] == [(0, 6), (6, 0)]
    assert logs[1] == {
        "event": "sink.closed",
        "log_level": "error",
        "sink": "Scripted",
        "reason": "no room within max_pause_s",
        "dropped": 3,
    }


@virtual
async def test_pauses_of_several_sinks_run_at_the_same_time() -> None:
    times: list[float] = []
    long = DeliveryPolicy(inbox_max=1, batch_max=1, max_pause_s=9)
    short = DeliveryPolicy(inbox_max=1, batch_max=1, max_pause_s=4)
    fanout = Fanout([(Scripted(NEVER), long), (Scripted(NEVER), short), (Scripted(6.0), long)])
    async with anyio.create_task_group() as group:
        await fanout.start(group)
        times += await feed(fanout, deltas(3))
        await fanout.drain(99)

    assert times == [0, 0, 9]
    assert [it.acked for it in fanout.statistics()] == [0, 0, 3]


@virtual
async def test_each_pause_counts_by_itself() -> None:
    """Three pauses of 3 s close nothing when 4 s are allowed."""
    times: list[float] = []
    fanout = Fanout([(Scripted(3.0, 3.0, 3.0), DeliveryPolicy(inbox_max=1, batch_max=1, max_pause_s=4))])
    async with anyio.create_task_group() as group:
        await fanout.start(group)
        times += await feed(fanout, deltas(5))
        await fanout.drain(99)

    assert times == [0, 0, 3, 6, 9]
    assert of(fanout).acked == 5


@virtual
async def test_a_pause_goes_on_when_its_reader_is_cancelled() -> None:
    """Readers that come and go do not add up to a longer pause."""
    seen: list[tuple[str, float]] = []
    fanout = Fanout([(Scripted(NEVER), DeliveryPolicy(inbox_max=1, batch_max=1, max_pause_s=4))])
    async with anyio.create_task_group() as group:
        await fanout.start(group)
        await feed(fanout, deltas(2))
        for _ in range(3):
            with anyio.move_on_after(1):
                await fanout.room()
        seen.append((of(fanout).state, anyio.current_time()))
        await fanout.room()
        seen.append((of(fanout).state, anyio.current_time()))
        await fanout.drain(1)

    assert seen == [("delivering", 3), ("closed", 4)]


@virtual
async def test_two_readers_wait_for_the_same_room() -> None:
    """The one that comes second finds it taken again; its pause is a new one, and no sink is closed for it."""
    fanout = Fanout([(Scripted(3.0, 3.0, 3.0), DeliveryPolicy(inbox_max=1, batch_max=1, max_pause_s=4))])
    times: list[float] = []

    async def read() -> None:
        await fanout.room()
        fanout.offer(deltas(1))
        times.append(anyio.current_time())

    async with anyio.create_task_group() as group:
        await fanout.start(group)
        await feed(fanout, deltas(2))
        async with anyio.create_task_group() as readers:
            readers.start_soon(read)
            readers.start_soon(read)
        await fanout.drain(99)

    assert times == [3, 6]
    assert (of(fanout).acked, of(fanout).dropped) == (4, 0)


@pytest.mark.parametrize("policy", [{"when_full": "close_sink"}, {"required": False}], ids=["close_sink", "optional"])
@virtual
async def test_a_sink_that_must_not_pause_reading_is_closed_instead(policy: dict[str, object]) -> None:
    """Not when it is full, but when more comes."""
    settings = DeliveryPolicy(inbox_max=2, batch_max=1, **policy)  # type: ignore[arg-type]
    fanout = Fanout([(Scripted(NEVER), settings)])
    states = []
    with capture_logs() as logs:
        async with anyio.create_task_group() as group:
            await fanout.start(group)
            for change in deltas(5):
                assert not fanout.is_full
                fanout.offer([change])
                await anyio.lowlevel.checkpoint()
                states.append(of(fanout).state)
            await fanout.drain(9)

    assert states == ["delivering"] * 3 + ["closed"] * 2
    assert (of(fanout).dropped, anyio.current_time()) == (5, 0)
    assert [(entry["event"], entry["reason"], entry["dropped"]) for entry in logs] == [("sink.closed", "inbox full", 3)]


@virtual
async def test_one_batch_may_exceed_the_inbox() -> None:
    was_full = False
    fanout = Fanout([(Scripted(), DeliveryPolicy(inbox_max=2))])
    async with anyio.create_task_group() as group:
        await fanout.start(group)
        fanout.offer(deltas(5))
        was_full = fanout.is_full
        await fanout.room()
        await fanout.drain(1)

    assert was_full
    assert of(fanout).acked == 5


@pytest.mark.parametrize(("when_full", "pauses"), [("block", True), ("coalesce", False)])
@virtual
async def test_an_inbox_that_coalesces_counts_objects(when_full: str, pauses: bool) -> None:
    """Nine changes of one object fill an inbox of 3 unless only the newest of them waits."""
    times: list[float] = []
    policy = DeliveryPolicy(deliver="latest", inbox_max=3, when_full=when_full)  # type: ignore[arg-type]
    sink = Scripted(5.0)
    fanout = Fanout([(sink, policy)])
    async with anyio.create_task_group() as group:
        await fanout.start(group)
        times += await feed(fanout, deltas(10))
        await fanout.drain(9)

    assert [time > 0 for time in times[-1:]] == [pauses]
    assert sink.calls[-1:] == [(5, [10])]
    assert imbalance(of(fanout)) == 0


# --- drain ------------------------------------------------------------------------------------------------------------


@virtual
async def test_draining_waits_for_all_sinks_and_no_longer() -> None:
    drained_s = 0.0
    fanout = Fanout([Scripted(2.0), Scripted(), Scripted(3.0)])
    async with anyio.create_task_group() as group:
        await fanout.start(group)
        fanout.offer(deltas(2))
        await fanout.drain(10)
        drained_s = anyio.current_time()

    assert drained_s == 3
    assert [(it.acked, it.state) for it in fanout.statistics()] == [(2, "closed")] * 3


@pytest.mark.parametrize("act", [NEVER, unavailable()], ids=["writing", "waiting to try again"])
@virtual
async def test_what_is_pending_at_the_deadline_is_dropped(act: float | Exception) -> None:
    policy = DeliveryPolicy(batch_max=1, retry=Retry(base_s=1e5, cap_s=1e5), timeout_s=1e5)
    fanout = Fanout([(Scripted(None, act), policy), Other()])
    with capture_logs() as logs:
        async with anyio.create_task_group() as group:
            await fanout.start(group)
            fanout.offer(deltas(4))
            await anyio.sleep(1)
            logs.clear()
            await fanout.drain(6)

    assert anyio.current_time() == 7
    assert [(it.acked, it.dropped, it.pending) for it in fanout.statistics()] == [(1, 3, 0), (4, 0, 0)]
    assert logs == [
        {"event": "sink.drain_expired", "log_level": "error", "sink": "Scripted", "deadline_s": 6, "pending": 3}
    ]


@virtual
async def test_what_comes_after_draining_is_dropped() -> None:
    fanout = Fanout([Scripted()])
    async with anyio.create_task_group() as group:
        await fanout.start(group)
        await fanout.drain(1)
        await fanout.drain(1)
        fanout.offer(deltas(2))

    assert (of(fanout).received, of(fanout).dropped) == (2, 2)


@virtual
async def test_draining_in_vain_and_twice_at_once() -> None:
    fanout = Fanout([Scripted(2.0)])
    async with anyio.create_task_group() as group:
        await fanout.start(group)
        fanout.offer(deltas(1))
        group.start_soon(fanout.drain, 5)
        await fanout.drain(5)

    assert (of(fanout).acked, anyio.current_time()) == (1, 2)


@virtual
async def test_a_write_that_ends_after_its_lane_was_closed_changes_no_account() -> None:
    """Whether it returns or raises: its changes are dropped already."""
    for outcome in (None, SinkUnavailable("late"), ValueError()):

        async def outlive(batch: Sequence[Change], outcome: Exception | None = outcome) -> None:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(3)
            if outcome is not None:
                raise outcome

        fanout = Fanout([Scripted(outlive)])
        async with anyio.create_task_group() as group:
            await fanout.start(group)
            fanout.offer(deltas(2))
            await anyio.sleep(0.5)
            await fanout.drain(1)

        it = of(fanout)
        assert (it.acked, it.dropped, it.dead, it.failed, it.state) == (0, 2, 0, 0, "closed")


@virtual
async def test_a_write_that_is_late_and_whose_lane_was_closed_meanwhile() -> None:
    """Both cancel it; it is dropped, and no retry is scheduled."""

    async def outlive(batch: Sequence[Change]) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.sleep(3)

    fanout = Fanout([(Scripted(outlive), DeliveryPolicy(timeout_s=1))])
    with capture_logs() as logs:
        async with anyio.create_task_group() as group:
            await fanout.start(group)
            fanout.offer(deltas(2))
            await anyio.sleep(0.5)
            await fanout.drain(1)

    assert [entry["event"] for entry in logs] == ["sink.drain_expired"]
    assert (of(fanout).dropped, of(fanout).failed) == (2, 0)


@virtual
async def test_draining_what_was_never_started() -> None:
    """Nobody will take it: it is dropped at the deadline, as ever."""
    fanout = Fanout([Scripted()])
    fanout.offer(deltas(2))
    await fanout.drain(1)

    assert (of(fanout).dropped, anyio.current_time()) == (2, 1)
