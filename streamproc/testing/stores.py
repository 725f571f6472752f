"""check_store: what every store must do, as `streamproc.protocols.Store` says it.

    async def test_my_store(tmp_path):
        await check_store(lambda: MyStore(tmp_path / "store"))

Each check makes its store, enters it and leaves it. They share what is stored, but no stream, no run and no sink.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final, TypeAlias, TypeVar

import anyio
import msgspec

from streamproc.core.change import Change
from streamproc.core.processor import StreamProcessor
from streamproc.core.reducer import Reducer
from streamproc.model.wire import to_wire
from streamproc.protocols import DeadLetter, JournalBatch, Store
from streamproc.testing.changes import odd_changes, ordinary_changes

__all__ = ["MakeStore", "check_store"]

MakeStore: TypeAlias = Callable[[], Store]
T = TypeVar("T")

_EVERYTHING: Final = 2**40
_CONCURRENT: Final = 20


async def check_store(make_store: MakeStore, *, timeout_s: float = 10.0) -> None:
    """Check a store against its contract; returns when all is well.

    Args:
        make_store: makes one store, or gives it again, each time at the same place. Called several times, never while
            another one is entered. It must be able to keep some thousand changes.
        timeout_s: for one call.

    Raises:
        AssertionError: the store broke the contract; the text names the check and what happened.
    """
    checks = _Checks(make_store, timeout_s)
    for check in (
        checks.enter_and_leave,
        checks.journal,
        checks.bounds,
        checks.odd_changes,
        checks.order,
        checks.cursors,
        checks.needed_changes,
        checks.dead_letters,
        checks.epochs,
        checks.open_objects,
        checks.late_writer,
    ):
        await check()


class _Checks:
    """The checks, each a method that raises AssertionError."""

    def __init__(self, make_store: MakeStore, timeout_s: float) -> None:
        self._make_store = make_store
        self._timeout_s = timeout_s
        self._check = ""

    async def enter_and_leave(self) -> None:
        """With an exception, which must come through; while being cancelled; and nothing is in the way afterwards."""
        self._check = "enter and leave"
        error = _OfTheCheck()
        try:
            async with self._entered():
                raise error
        except _OfTheCheck:
            pass
        else:
            raise self._failure("leaving it swallowed the exception that ended the block")
        with anyio.CancelScope() as scope:
            async with self._entered():
                scope.cancel()
                await anyio.lowlevel.checkpoint()
        self._assert(scope.cancelled_caught, "leaving it swallowed a cancellation")
        async with self._entered():
            pass

    async def journal(self) -> None:
        """What was appended is read back, by this store and by the next one."""
        self._check = "journal"
        changes = _run_of("check.journal")
        async with self._entered() as store:
            before = store.head
            await self._cursor(store, "check.journal", required=True)
            self._assert(await self._call(store.append(()), "append") == before, "appending nothing moved the head")
            last = await self._call(store.append(changes[:10]), "append")
            self._assert(last == before + 10, f"`append` returned {last} for 10 changes after {before}")
            self._assert(store.head == last, f"`head` is {store.head} after an append up to {last}")
            await self._call(store.append((*changes[10:],)), "append")
            await self._reads(store, before, changes)
        async with self._entered() as store:
            self._assert(store.head == before + len(changes), f"`head` is {store.head} after it was entered again")
            await self._cursor(store, "check.journal", required=True)
            await self._reads(store, before, changes)
            store.acknowledge("check.journal", store.head)

    async def bounds(self) -> None:
        """`read` keeps to both bounds, and returns at least one change if there is one."""
        self._check = "bounds"
        changes = _run_of("check.bounds")
        async with self._entered() as store:
            after = store.head
            await self._cursor(store, "check.bounds", required=True)
            await self._call(store.append(changes), "append")
            batch = await self._read(store, after, count_max=3)
            self._assert(len(batch.changes) == 3, f"`read` of at most 3 returned {len(batch.changes)}")
            batch = await self._read(store, after, size_max=1)
            self._assert(len(batch.changes) == 1, f"`read` of at most 1 byte returned {len(batch.changes)} changes")
            size = sum(len(change.raw) for change in changes[:5])
            batch = await self._read(store, after, size_max=size)
            self._assert(len(batch.changes) == 5, f"`read` of the size of 5 changes returned {len(batch.changes)}")
            for position in (store.head, store.head + 1):
                batch = await self._read(store, position)
                self._assert(not batch.changes and not batch.missing, f"there is something after {position}")
            found: list[Change] = []
            while found_now := (await self._read(store, after + len(found), count_max=7)).changes:
                found += found_now
            self._same(changes, found)
            store.acknowledge("check.bounds", store.head)

    async def odd_changes(self) -> None:
        """Whatever a stream may hold comes back as it was, its state at least as new."""
        self._check = "odd changes"
        changes = [*odd_changes("check.odd"), *(c.as_snapshot() for c in odd_changes("check.odd_states"))]
        async with self._entered() as store:
            after = store.head
            await self._cursor(store, "check.odd", required=True)
            await self._call(store.append(changes), "append")
            await self._reads(store, after, changes)
            store.acknowledge("check.odd", store.head)

    async def order(self) -> None:
        """Calls of `append` at one time take effect in the order in which they were made."""
        self._check = "order"
        parts = [_run_of(f"check.order_{number}", deltas=2) for number in range(_CONCURRENT)]
        lasts: dict[int, int] = {}
        async with self._entered() as store:
            after = store.head
            await self._cursor(store, "check.order", required=True)

            async def append(number: int) -> None:
                lasts[number] = await self._call(store.append(parts[number]), "append")

            async with anyio.create_task_group() as tasks:
                for number in range(_CONCURRENT):
                    tasks.start_soon(append, number)
            sums = [after + sum(map(len, parts[: number + 1])) for number in range(_CONCURRENT)]
            self._assert([lasts[n] for n in range(_CONCURRENT)] == sums, "the positions are not in the order of calls")
            await self._reads(store, after, [change for part in parts for change in part])
            store.acknowledge("check.order", store.head)

    async def cursors(self) -> None:
        """A new sink starts at the head; what a sink settled is known to the next store, and never goes back."""
        self._check = "cursors"
        changes = _run_of("check.cursors")
        async with self._entered() as store:
            start = await self._cursor(store, "check.cursors", required=True)
            self._assert(start == store.head, f"a new sink starts at {start}, the head is {store.head}")
            await self._call(store.append(changes), "append")
            store.acknowledge("check.cursors", start + 5)
            store.acknowledge("check.cursors", start + 3)
            now = await self._cursor(store, "check.cursors", required=True)
            self._assert(now == start + 5, f"the cursor is {now} after {start + 5} and {start + 3} were acknowledged")
        async with self._entered() as store:
            now = await self._cursor(store, "check.cursors", required=True)
            self._assert(now == start + 5, f"the cursor is {now} after the store was entered again, not {start + 5}")
            store.acknowledge("check.cursors", store.head)

    async def needed_changes(self) -> None:
        """What a required sink has not settled is kept, whatever other sinks have."""
        self._check = "needed changes"
        async with self._entered() as store:
            start = await self._cursor(store, "check.needed_slow", required=True)
            await self._cursor(store, "check.needed_fast", required=True)
            changes: list[Change] = []
            for number in range(10):
                part = _run_of(f"check.needed_{number}")
                changes += part
                await self._call(store.append(part), "append")
                store.acknowledge("check.needed_fast", store.head)
            await self._reads(store, start, changes)
            store.acknowledge("check.needed_slow", store.head)

    async def dead_letters(self) -> None:
        """Burying settles what it is given."""
        self._check = "dead letters"
        changes = _run_of("check.dead")
        async with self._entered() as store:
            start = await self._cursor(store, "check.dead", required=True)
            await self._call(store.append(changes), "append")
            at = datetime(2020, 1, 1, tzinfo=UTC)
            letters = [
                DeadLetter(sink="check.dead", change=change, reason="no", attempts=2, at=at)
                for change in (changes[0], *odd_changes("check.dead_odd"))
            ]
            await self._call(store.bury(letters, start + 1), "bury")
            now = await self._cursor(store, "check.dead", required=True)
            self._assert(now == start + 1, f"the cursor is {now} after dead letters up to {start + 1}")
        async with self._entered() as store:
            now = await self._cursor(store, "check.dead", required=True)
            self._assert(now == start + 1, f"the cursor is {now} after the store was entered again, not {start + 1}")
            store.acknowledge("check.dead", store.head)

    async def epochs(self) -> None:
        """Each epoch is one more than the last one, those of changes included."""
        self._check = "epochs"
        async with self._entered() as store:
            first = await self._call(store.next_epoch("check.epochs"), "next_epoch")
            second = await self._call(store.next_epoch("check.epochs"), "next_epoch")
            self._assert(second == first + 1, f"epoch {second} follows epoch {first}")
        async with self._entered() as store:
            third = await self._call(store.next_epoch("check.epochs"), "next_epoch")
            self._assert(third == first + 2, f"epoch {third} after the store was entered again, not {first + 2}")
            await self._call(store.append(_run_of("check.epochs", epoch=first + 10)), "append")
            after = await self._call(store.next_epoch("check.epochs"), "next_epoch")
            self._assert(after == first + 11, f"epoch {after} after changes of epoch {first + 10}")

    async def open_objects(self) -> None:
        """A reducer goes on from what is stored; runs that ended are not in it."""
        self._check = "open objects"
        proc = StreamProcessor(stream="check.open")
        data = b"".join(_payload(change) for change in _run_of("check.open"))
        half = len(data) // 3
        changes = proc.feed(data[:half])
        async with self._entered() as store:
            await self._call(store.append(_run_of("check.ended")), "append")
            await self._call(store.append(changes), "append")
        async with self._entered() as store:
            objects, later = await self._call(store.open_objects(), "open_objects")
        reducer = Reducer()
        reducer.restore(objects, later)
        self._assert("check.ended:run_1" not in reducer.runs, "a run that ended is among the open ones")
        for before, now in ((proc.runs, reducer.runs), (proc.steps, reducer.steps), (proc.messages, reducer.messages)):
            for id, obj in before.items():
                self._assert(id in now, f"{id} is not among the open objects")
                self._assert(_json(to_wire(obj)) == _json(to_wire(now[id])), f"the stored state of {id} differs")

    async def late_writer(self) -> None:
        """A state never goes back: neither to an older epoch or revision, nor from an end."""
        self._check = "late writer"
        old = _run_of("check.late")
        async with self._entered() as store:
            await self._cursor(store, "check.late", required=True)
            await self._call(store.append(_run_of("check.late", epoch=2)[:8]), "append")
            newest = await self._newest(store)
            await self._call(store.append(old[:5]), "append")
            self._assert(await self._newest(store) == newest, "a state of an older epoch replaced a newer one")
            await self._call(store.append(_run_of("check.late", epoch=2)), "append")
            ended = await self._newest(store)
            await self._call(store.append(_run_of("check.late", epoch=3)[:8]), "append")
            self._assert(await self._newest(store) == ended, "an object that had ended is open again")
            store.acknowledge("check.late", store.head)

    # --- parts of checks ----------------------------------------------------------------------------------------------

    async def _newest(self, store: Store) -> object:
        """The open objects of the late writer's run."""
        objects, later = await self._call(store.open_objects(), "open_objects")
        reducer = Reducer()
        reducer.restore(objects, later)
        return {id: _json(to_wire(step)) for id, step in reducer.steps.items() if id.startswith("check.late:")}

    @asynccontextmanager
    async def _entered(self) -> AsyncGenerator[Store]:
        store = self._make_store()
        await store.__aenter__()  # without a time limit: it may open a task group
        error: BaseException | None = None
        try:
            yield store
        except BaseException as raised:
            error = raised
        kind, traceback = (type(error), error.__traceback__) if error is not None else (None, None)
        try:
            swallowed = await store.__aexit__(kind, error, traceback)
        except Exception as raised:
            if raised is error:
                raise
            raise self._failure(f"leaving it raised {type(raised).__name__}: {raised}") from raised
        if error is not None and not swallowed:
            raise error

    async def _cursor(self, store: Store, sink: str, *, required: bool) -> int:
        return await self._call(store.cursor(sink, required=required), "cursor")

    async def _read(
        self, store: Store, after: int, *, count_max: int = _EVERYTHING, size_max: int = _EVERYTHING
    ) -> JournalBatch:
        return await self._call(store.read(after, count_max=count_max, size_max=size_max), "read")

    async def _reads(self, store: Store, after: int, changes: Sequence[Change]) -> None:
        batch = await self._read(store, after)
        self._assert(batch.first == after + 1, f"`read` after {after} begins at {batch.first}")
        self._assert(batch.missing == 0, f"{batch.missing} changes that are needed are missing")
        self._same(changes, batch.changes)

    def _same(self, changes: Sequence[Change], found: Sequence[Change]) -> None:
        self._assert(len(found) == len(changes), f"{len(found)} changes instead of {len(changes)}")
        for expected, actual in zip(changes, found, strict=True):
            key = expected.stream, expected.epoch, expected.seq
            self._assert(_facts(expected) == _facts(actual), f"change {key} came back as another one")
            if expected.kind in ("run", "step", "message"):
                self._assert(actual.state.id == expected.id, f"the state of change {key} is another object's")

    async def _call(self, call: Awaitable[T], what: str) -> T:
        try:
            with anyio.fail_after(self._timeout_s):
                return await call
        except TimeoutError:
            raise self._failure(f"{what} did not return within {self._timeout_s:g} s") from None
        except Exception as error:
            raise self._failure(f"{what} raised {type(error).__name__}: {error}") from error

    def _assert(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise self._failure(otherwise)

    def _failure(self, what: str) -> AssertionError:
        return AssertionError(f"check_store, {self._check}: {what}")


class _OfTheCheck(Exception):
    """Raised inside an entered store."""


def _run_of(stream: str, deltas: int = 20, epoch: int = 1) -> list[Change]:
    """An ordinary run whose objects have ids of their own."""
    data = b"".join(map(_payload, ordinary_changes(stream, deltas)))
    proc = StreamProcessor(stream=stream, epoch=epoch)
    proc.stamp("2020-01-01T00:00:00.000Z")
    return proc.feed(data)


def _payload(change: Change) -> bytes:
    """The event of a change, about an object of that change's stream."""
    raw = change.raw
    for id in (b"run_1", b"step_1", b"msg_1"):
        raw = raw.replace(b'"%b"' % id, b'"%b:%b"' % (change.stream.encode(), id))
    return b"event: %b\ndata: %b\n\n" % (change.event.encode(), raw)


def _facts(change: Change) -> tuple[object, ...]:
    return (
        *(change.origin, change.seq, change.event, change.kind, change.id, change.run_id, change.thread_id),
        *(change.revision, change.raw, change.data, change.note, change.is_delta),
    )


def _json(wire: bytes) -> object:
    return msgspec.json.decode(wire)
