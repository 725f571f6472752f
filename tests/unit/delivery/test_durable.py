"""Delivery with a store: the journal before the sinks, a durable cursor for each, and lag that holds nobody up."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Self

import anyio
import pytest
from anyio.lowlevel import checkpoint
from structlog.testing import capture_logs

from streamproc import Change
from streamproc.delivery.fanout import Fanout
from streamproc.delivery.journal import Journal
from streamproc.delivery.policy import DeliveryPolicy
from streamproc.errors import ConfigError, SinkGone, SinkRejected, SinkUnavailable, StoreError
from streamproc.protocols import DeadLetter, JournalBatch, Sink
from streamproc.stores.memory import MemoryStore
from tests.unit.delivery.sinks import NEVER, Scripted, deltas, imbalance, of, seqs, unavailable, virtual

SMALL = DeliveryPolicy(inbox_max=4, batch_max=3)


class Failing(MemoryStore):
    """A store that fails as often as it is told to."""

    def __init__(self, *, appends: int = 0, reads: int = 0, burials: int = 0) -> None:
        super().__init__()
        self.appends, self.reads, self.burials = appends, reads, burials
        self.read_calls = 0

    async def append(self, changes: Sequence[Change]) -> int:
        self.appends -= 1
        if self.appends >= 0:
            raise StoreError("disk full")
        return await super().append(changes)

    async def read(self, after: int, *, count_max: int, size_max: int) -> JournalBatch:
        self.reads -= 1
        self.read_calls += 1
        if self.reads >= 0:
            raise StoreError("not readable")
        return await super().read(after, count_max=count_max, size_max=size_max)

    async def bury(self, letters: Sequence[DeadLetter], position: int) -> None:
        self.burials -= 1
        if self.burials >= 0:
            raise StoreError("disk full")
        await super().bury(letters, position)


@asynccontextmanager
async def delivering(
    store: MemoryStore, *sinks: Sink | tuple[Sink, DeliveryPolicy], drain_s: float = 100.0
) -> AsyncGenerator[tuple[Journal, Fanout]]:
    """What a pipeline with a store has behind its reader."""
    fanout = Fanout(sinks, random=Random(1))
    journal = Journal(store, fanout, Random(1))
    async with store, anyio.create_task_group() as group:
        await fanout.start(group, store)
        group.start_soon(journal.run)
        yield journal, fanout
        await journal.drain(drain_s)
        await fanout.drain(drain_s)


async def cursor(store: MemoryStore, sink: str = "Scripted") -> int:
    async with store:
        return await store.cursor(sink, required=True)


def named(sink: Scripted, name: str) -> Scripted:
    sink.name = name  # type: ignore[attr-defined]  # what users set on sinks of their own
    return sink


# --- the journal before the sinks -------------------------------------------------------------------------------------


@virtual
async def test_changes_are_stored_before_a_sink_sees_them() -> None:
    """Each write finds its changes in the journal."""
    store = MemoryStore()
    heads: list[tuple[int, int]] = []

    async def look(batch: Sequence[Change]) -> None:
        heads.append((batch[-1].seq, store.head))

    async with delivering(store, Scripted(look, look, look)) as (journal, _):
        for change in deltas(3):
            journal.offer([change])
            await anyio.sleep(1)

    assert heads == [(1, 1), (2, 2), (3, 3)]
    assert await cursor(store) == 3


@virtual
async def test_all_sinks_are_asked_for_before_one_is_entered() -> None:
    """A store may forget what nobody has asked for: the first sink must not cost the second one its changes."""
    seen: list[str] = []

    class Telling(MemoryStore):
        async def cursor(self, sink: str, *, required: bool) -> int:
            seen.append(f"asked for {sink}")
            return await super().cursor(sink, required=required)

    class Entered(Scripted):
        async def __aenter__(self) -> Self:
            seen.append("entered")
            return self

        async def __aexit__(self, *error: object) -> None: ...

    async with delivering(Telling(), Entered(), Entered()):
        pass

    assert seen == ["asked for Entered", "asked for Entered-2", "entered", "entered"]


@virtual
async def test_what_comes_during_a_transaction_goes_into_the_next_one() -> None:
    """Many offers, few transactions, the same order."""
    store, sink = MemoryStore(), Scripted()
    async with delivering(store, sink) as (journal, fanout):
        for change in deltas(50):
            journal.offer([change])
        assert journal.pending == 50

    assert seqs(sink.arrived) == [*range(1, 51)]
    assert len(sink.calls) < 5
    assert (of(fanout).acked, of(fanout).lag, imbalance(of(fanout))) == (50, 0, 0)


@virtual
async def test_a_store_that_fails_is_tried_again() -> None:
    """Nothing is skipped, sinks see nothing before, and it is logged with what the store said."""
    store, sink = Failing(appends=3), Scripted()
    with capture_logs() as logs:
        async with delivering(store, sink) as (journal, _):
            journal.offer(deltas(2))
            await checkpoint()
            journal.offer(deltas(4)[2:])

    assert seqs(sink.arrived) == [1, 2, 3, 4]
    assert [log["event"] for log in logs] == ["store.unavailable"] * 3 + ["store.recovered"]
    assert [log.get("cause") for log in logs] == ["disk full"] * 3 + [None]


@virtual
async def test_reading_pauses_while_the_store_fails() -> None:
    """Only so many changes wait in memory."""
    store = Failing(appends=1)
    full: list[bool] = []
    fanout = Fanout([Scripted()], random=Random(1))
    journal = Journal(store, fanout, Random(1), inbox_max=3)
    async with store, anyio.create_task_group() as group:
        await fanout.start(group, store)
        for _ in range(2):
            journal.offer(deltas(2))
            full.append(journal.is_full)
        group.start_soon(journal.run)
        await journal.room()
        full.append(journal.is_full)
        await journal.drain(10)
        await fanout.drain(10)

    assert full == [False, True, False]


@virtual
async def test_a_store_that_fails_for_good_holds_no_exit_up() -> None:
    """What is not stored by the deadline is lost, counted and logged."""
    with capture_logs() as logs:
        async with delivering(Failing(appends=10**6), Scripted(), drain_s=3) as (journal, _):
            journal.offer(deltas(2))

    assert anyio.current_time() == 3
    assert {"event": "store.drain_expired", "log_level": "error", "deadline_s": 3, "lost": 2} in logs


# --- cursors ----------------------------------------------------------------------------------------------------------


@virtual
async def test_a_sink_goes_on_where_it_stood() -> None:
    """What it had not settled comes again, nothing else does, and a sink that is new starts at the end."""
    store = MemoryStore()
    first = Scripted(None, NEVER)
    async with delivering(store, (first, DeliveryPolicy(batch_max=3)), drain_s=1) as (journal, fanout):
        journal.offer(deltas(8))
    account = of(fanout)
    assert (account.received, account.acked, account.dropped, account.pending, account.lag) == (3, 3, 0, 0, 5)
    assert imbalance(account) == 0

    again, new = Scripted(), named(Scripted(), "new")
    async with delivering(store, again, new) as (journal, fanout):
        await anyio.sleep(1)
        journal.offer(deltas(10)[8:])

    assert seqs(again.arrived) == [4, 5, 6, 7, 8, 9, 10]
    assert seqs(new.arrived) == [9, 10]
    assert [each.lag for each in fanout.statistics()] == [0, 0]


@virtual
async def test_a_sink_that_lags_holds_nobody_up() -> None:
    """Its inbox is full, the journal has the rest: same order, no gap, and the other sink is not slowed down."""
    store = MemoryStore()
    slow, fast = Scripted(*[1.0] * 40), named(Scripted(), "fast")
    async with delivering(store, (slow, SMALL), fast) as (journal, fanout):
        for change in deltas(60):
            journal.offer([change])
            await anyio.sleep(0.01)
            assert not fanout.is_full
        lag = fanout.statistics()[0].lag
        await anyio.sleep(0.1)
        assert seqs(fast.arrived) == [*range(1, 61)]

    assert lag > 50
    assert seqs(slow.arrived) == [*range(1, 61)]
    assert max(len(batch) for _, batch in slow.calls) <= 3
    assert await cursor(store) == 60


@virtual
async def test_lag_in_seconds() -> None:
    """From when changes began to be left in the journal, until the last of them was taken out of it."""
    store, seen = MemoryStore(), []
    policy = DeliveryPolicy(inbox_max=2, batch_max=2)
    async with delivering(store, (Scripted(10.0, 1.0, 1.0), policy)) as (journal, fanout):
        for change in deltas(6):
            journal.offer([change])
            await anyio.sleep(1)
        for wait_s in (2, 2.5, 2):
            seen.append((of(fanout).lag, round(of(fanout).oldest_pending_s)))
            await anyio.sleep(wait_s)
        seen.append((of(fanout).lag, round(of(fanout).oldest_pending_s)))

    assert [lag for lag, _ in seen] == sorted((lag for lag, _ in seen), reverse=True)
    assert seen[0] == (6, 6)
    assert seen[1] == (6, 8)
    assert seen[-1] == (0, 0)


@virtual
async def test_a_sink_that_is_closed_leaves_the_rest_to_the_next_start() -> None:
    """Nothing of it is dropped."""
    store = MemoryStore()
    broken = Scripted(*[ValueError()] * 9)
    policy = DeliveryPolicy(batch_max=1, max_bugs=2)
    async with delivering(store, (broken, policy)) as (journal, fanout):
        journal.offer(deltas(5))
        await anyio.sleep(100)
        journal.offer(deltas(6)[5:])
    account = of(fanout)
    assert (account.state, account.dead, account.dropped, imbalance(account)) == ("closed", 2, 0, 0)

    again = Scripted()
    async with delivering(store, again):
        pass

    assert seqs(again.arrived) == [3, 4, 5, 6]


@virtual
async def test_a_sink_that_is_gone_leaves_the_rest_to_the_next_start() -> None:
    """Its cursor stands after what it took, so that an endpoint that is back misses nothing that is still kept."""
    store = MemoryStore()
    gone = Scripted(None, SinkGone("answered 410"))
    async with delivering(store, (gone, DeliveryPolicy(batch_max=2))) as (journal, fanout):
        journal.offer(deltas(5))
        await anyio.sleep(1)
        journal.offer(deltas(6)[5:])
    account = of(fanout)
    assert (account.state, account.acked, account.dropped, imbalance(account)) == ("closed", 2, 0, 0)
    assert await cursor(store) == 2

    again = Scripted()
    async with delivering(store, again):
        pass

    assert seqs(again.arrived) == [3, 4, 5, 6]


@virtual
async def test_a_sink_that_is_gone_holds_up_nobody() -> None:
    """It was required; yet a journal that is full does not wait for what nobody wants."""
    store, other = MemoryStore(changes_max=10), Scripted()
    gone = Scripted(SinkGone("answered 410"))
    async with delivering(store, gone, other) as (journal, _):
        for change in deltas(30):
            journal.offer([change])
            await anyio.sleep(1)

    assert seqs(other.arrived) == [*range(1, 31)]


@virtual
async def test_a_store_that_cannot_be_read_is_asked_again() -> None:
    """A sink that lags waits for it."""
    store = Failing()
    async with delivering(store, (Scripted(NEVER), SMALL), drain_s=0) as (journal, _):
        journal.offer(deltas(9))
        await anyio.sleep(1)
    store.reads, again = 2, Scripted()
    with capture_logs() as logs:
        async with delivering(store, (again, SMALL)):
            pass

    assert seqs(again.arrived) == [*range(1, 10)]
    assert [(log["event"], log["sink"]) for log in logs] == [("store.unavailable", "Scripted")] * 2


@virtual
async def test_what_is_no_longer_kept_is_counted() -> None:
    """A best-effort sink that fell behind the retention goes on behind the gap."""
    store = MemoryStore(changes_max=10)
    best_effort = DeliveryPolicy(required=False)
    async with delivering(store, (Scripted(NEVER), best_effort), drain_s=0) as (journal, _):
        for change in deltas(30):
            journal.offer([change])
            await anyio.sleep(1)

    again = Scripted()
    async with delivering(store, (again, best_effort)) as (_, fanout):
        pass
    (account,) = fanout.statistics()

    assert seqs(again.arrived)[-1] == 30
    assert account.missing > 0
    assert account.missing + len(again.arrived) == 30


# --- latest and final -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("deliver", ["latest", "final"])
def test_states_come_in_rounds(deliver: str) -> None:
    """While a round is under way the next one gathers in the journal; the cursor never passes what has not arrived."""

    @virtual
    async def rounds() -> None:
        store = MemoryStore()
        policy = DeliveryPolicy(deliver=deliver)  # type: ignore[arg-type]  # both are literals of it
        sink = Scripted(10.0)
        changes = [change for change in deltas(30) if deliver == "latest" or change.is_final or change.seq]
        async with delivering(store, (sink, policy)) as (journal, fanout):
            for change in changes:
                journal.offer([change])
                await anyio.sleep(0.1)

        assert imbalance(of(fanout)) == 0
        assert of(fanout).lag == 0
        assert await cursor(store) == 30
        if deliver == "latest":
            assert [batch for _, batch in sink.calls] == [[1], [30]]
        else:
            assert sink.calls == []

    rounds()


@virtual
async def test_a_round_that_did_not_arrive_comes_again() -> None:
    """After a restart the newest state is delivered, whether or not a part of the round had been."""
    store = MemoryStore()
    policy = DeliveryPolicy(deliver="latest")
    async with delivering(store, (Scripted(NEVER), policy), drain_s=0) as (journal, _):
        journal.offer(deltas(5))
        await anyio.sleep(1)

    again = Scripted()
    async with delivering(store, (again, policy)):
        pass

    assert seqs(again.arrived) == [5]
    assert again.arrived[0].delta is None


# --- dead letters -----------------------------------------------------------------------------------------------------


@virtual
async def test_dead_letters_are_stored_before_the_cursor_passes_them() -> None:
    """Also when the store fails at first: no write comes before they are."""

    async def reject_first(batch: Sequence[Change]) -> None:
        raise SinkRejected("no", batch[:1])

    store, sink = Failing(burials=2), Scripted(reject_first)
    async with delivering(store, (sink, DeliveryPolicy(batch_max=2))) as (journal, fanout):
        journal.offer(deltas(2))
        await checkpoint()
        journal.offer(deltas(4)[2:])

    assert [(letter.change.seq, letter.reason, letter.attempts) for letter in store.dead_letters] == [(1, "no", 1)]
    assert seqs(sink.arrived) == [3, 4]
    assert (of(fanout).acked, of(fanout).dead, imbalance(of(fanout))) == (3, 1, 0)
    assert await cursor(store) == 4


@virtual
async def test_a_crash_before_dead_letters_are_stored_repeats_the_batch() -> None:
    """The cursor has not passed it."""

    async def reject_all(batch: Sequence[Change]) -> None:
        raise SinkRejected("no", batch)

    store = Failing(burials=10**6)
    async with delivering(store, Scripted(reject_all), drain_s=1) as (journal, _):
        journal.offer(deltas(2))

    again = Scripted()
    async with delivering(store, again):
        pass

    assert seqs(again.arrived) == [1, 2]


@virtual
async def test_a_probe_moves_the_cursor_by_one() -> None:
    """While the breaker is open single changes are settled, each for itself."""
    store = MemoryStore()
    policy = DeliveryPolicy(breaker_failures=1, breaker_pause_s=5)
    sink = Scripted(unavailable(), None, NEVER)
    async with delivering(store, (sink, policy), drain_s=20) as (journal, _):
        journal.offer(deltas(4))

    assert [batch for _, batch in sink.calls] == [[1, 2, 3, 4], [1], [2, 3, 4]]
    assert await cursor(store) == 1


# --- a sink that cannot be entered yet --------------------------------------------------------------------------------


class Away(Scripted):
    """A sink that cannot be entered until it has raised all of these."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors = [*errors]
        self.is_left = False

    async def __aenter__(self) -> Self:
        if self.errors:
            raise self.errors.pop(0)
        return self

    async def __aexit__(self, *error: object) -> None:
        self.is_left = True


@virtual
async def test_a_sink_that_is_away_at_the_start_gets_everything_later() -> None:
    """It holds nobody up, and every attempt is told."""
    away, other = Away(SinkUnavailable("no server"), SinkUnavailable("busy", 7.0)), Scripted()
    with capture_logs() as logs:
        async with delivering(MemoryStore(), away, other) as (journal, fanout):
            journal.offer(deltas(3))
            await anyio.sleep(0.01)
            assert (seqs(other.arrived), away.arrived) == ([1, 2, 3], [])
            await anyio.sleep(0.6)
            assert away.arrived == []

    assert seqs(away.arrived) == [1, 2, 3]
    account = fanout.statistics()[0]
    assert (account.acked, account.lag, account.state) == (3, 0, "closed")
    assert [(log["event"], log["attempt"], log["cause"]) for log in logs] == [
        ("sink.retry_scheduled", 2, "no server"),
        ("sink.retry_scheduled", 3, "busy"),
    ]
    assert away.is_left


@virtual
async def test_a_sink_that_stays_away_leaves_its_changes_in_the_journal() -> None:
    """Draining waits no longer than it may, whatever the wait for the next attempt."""
    store, away = MemoryStore(), Away(SinkUnavailable("no server", 100.0))
    async with delivering(store, away, drain_s=5.0) as (journal, fanout):
        journal.offer(deltas(3))
        started_s = anyio.current_time()

    assert anyio.current_time() - started_s == pytest.approx(5.0)
    assert (of(fanout).acked, of(fanout).dropped, imbalance(of(fanout))) == (0, 0, 0)
    assert not away.is_left  # it was never entered
    assert await cursor(store, "Away") == 0


@virtual
async def test_a_sink_that_was_away_and_cannot_be_entered_at_all() -> None:
    """Its lane ends, with what it raised in the log; the others go on."""
    away, other = Away(SinkUnavailable("no server"), ConfigError("a password is wrong")), Scripted()
    with capture_logs() as logs:
        async with delivering(MemoryStore(), away, other) as (journal, fanout):
            await anyio.sleep(1)
            journal.offer(deltas(3))

    assert seqs(other.arrived) == [1, 2, 3]
    assert fanout.statistics()[0].state == "closed"
    assert [log["event"] for log in logs] == ["sink.retry_scheduled", "sink.failed", "sink.closed"]
    assert logs[1]["cause"] == "on entering it"


@virtual
@pytest.mark.parametrize("error", [ConfigError("a password is wrong"), OSError("a bug")])
async def test_a_sink_that_cannot_be_entered_for_another_reason(error: Exception) -> None:
    """A store does not help there."""
    with pytest.RaisesGroup(type(error)):
        async with delivering(MemoryStore(), Away(error)):
            pass


@virtual
async def test_without_a_store_a_sink_that_is_away_is_told_at_once() -> None:
    """What it would miss could not be kept."""
    with pytest.RaisesGroup(SinkUnavailable):
        async with anyio.create_task_group() as group:
            await Fanout([Away(SinkUnavailable("no server"))]).start(group)
