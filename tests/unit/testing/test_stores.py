"""check_store: sound stores pass, and each way to break the contract is found and named."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import msgspec
import pytest

from streamproc import Change
from streamproc.core.change import NO_NOTE
from streamproc.core.stored import StoredObject
from streamproc.errors import StoreError
from streamproc.protocols import DeadLetter, JournalBatch
from streamproc.stores.memory import MemoryStore
from streamproc.stores.sqlite import SqliteStore
from streamproc.testing.stores import check_store
from tests.loopback import in_loopback_time


@pytest.mark.asyncio
async def test_memory_store_passes() -> None:
    store = MemoryStore()

    await check_store(lambda: store)


@pytest.mark.asyncio
async def test_store_may_raise_the_exception_again_that_ended_the_block() -> None:
    store = RaisesItsOwn()

    await check_store(lambda: store)


@pytest.mark.slow
@pytest.mark.asyncio
@pytest.mark.parametrize("keep_changes", [0, 10_000])
async def test_sqlite_store_passes(tmp_path: Path, keep_changes: int) -> None:
    """Also when it forgets at once what nobody needs."""
    await check_store(lambda: SqliteStore(tmp_path / "runs.db", keep_changes=keep_changes))


class ReplacesExceptions(MemoryStore):
    async def __aexit__(self, *error: object) -> None:
        await super().__aexit__(*error)
        if error[1] is not None:
            raise ValueError


class SwallowsExceptions(MemoryStore):
    async def __aexit__(self, *error: object) -> bool:
        await super().__aexit__(*error)
        return isinstance(error[1], Exception)


class SwallowsCancellation(MemoryStore):
    async def __aexit__(self, *error: object) -> bool:
        await super().__aexit__(*error)
        return error[1] is not None and not isinstance(error[1], Exception)


class Raises(MemoryStore):
    async def append(self, changes: Sequence[Change]) -> int:
        raise StoreError("no")


class RaisesItsOwn(MemoryStore):
    """On leaving, always the same exception."""

    async def __aexit__(self, *error: object) -> bool | None:
        await super().__aexit__(*error)
        if isinstance(error[1], Exception):
            raise error[1]
        return None


class Hangs(MemoryStore):
    async def append(self, changes: Sequence[Change]) -> int:
        await anyio.sleep_forever()
        return 0


class MovesForNothing(MemoryStore):
    async def append(self, changes: Sequence[Change]) -> int:
        self.head += not changes
        return await super().append(changes)


class ReturnsTheFirst(MemoryStore):
    async def append(self, changes: Sequence[Change]) -> int:
        last = await super().append(changes)
        return last - max(len(changes) - 1, 0)


class LosesAChange(MemoryStore):
    async def append(self, changes: Sequence[Change]) -> int:
        return await super().append(changes[:-1] if len(changes) > 10 else changes)


class ForgetsOnLeaving(MemoryStore):
    async def __aexit__(self, *error: object) -> None:
        await super().__aexit__(*error)
        self.head = 0
        self._journal.clear()


class ReadsTooMany(MemoryStore):
    async def read(self, after: int, *, count_max: int, size_max: int) -> JournalBatch:
        return await super().read(after, count_max=count_max + 1, size_max=size_max)


class ReadsTooMuch(MemoryStore):
    async def read(self, after: int, *, count_max: int, size_max: int) -> JournalBatch:
        return await super().read(after, count_max=count_max, size_max=2**60)


class ReadsTheLastOneAgain(MemoryStore):
    async def read(self, after: int, *, count_max: int, size_max: int) -> JournalBatch:
        return await super().read(min(after, self.head - 1), count_max=count_max, size_max=size_max)


class ReadsNothingOfBigChanges(MemoryStore):
    async def read(self, after: int, *, count_max: int, size_max: int) -> JournalBatch:
        batch = await super().read(after, count_max=count_max, size_max=size_max)
        if sum(len(change.raw) for change in batch.changes) > size_max:
            return JournalBatch(first=batch.first, changes=())
        return batch


class LosesNotes(MemoryStore):
    async def read(self, after: int, *, count_max: int, size_max: int) -> JournalBatch:
        batch = await super().read(after, count_max=count_max, size_max=size_max)
        replace = msgspec.structs.replace
        return replace(batch, changes=tuple(replace(change, note=NO_NOTE) for change in batch.changes))


class TurnsRound(MemoryStore):
    """Of several calls at a time the newest one goes first."""

    async def append(self, changes: Sequence[Change]) -> int:
        _, is_ordered, number = changes[0].stream.partition("order_") if changes else ("", "", "")
        for _ in range(20 - int(number) if is_ordered else 0):
            await anyio.lowlevel.checkpoint()
        return await super().append(changes)


class StartsAtZero(MemoryStore):
    async def cursor(self, sink: str, *, required: bool) -> int:
        new = sink not in self._cursors
        position = await super().cursor(sink, required=required)
        return 0 if new else position


class GoesBack(MemoryStore):
    def acknowledge(self, sink: str, position: int) -> None:
        super().acknowledge(sink, position)
        self._cursors[sink].position = position


class ForgetsCursors(MemoryStore):
    async def __aexit__(self, *error: object) -> None:
        await super().__aexit__(*error)
        self._cursors.clear()


class ForgetsWhatIsNeeded(MemoryStore):
    def acknowledge(self, sink: str, position: int) -> None:
        super().acknowledge(sink, position)
        if sink == "check.needed_fast":
            self._journal.clear()


class BuriesOnly(MemoryStore):
    async def bury(self, letters: Sequence[DeadLetter], position: int) -> None:
        self.dead_letters.extend(letters)


class RepeatsEpochs(MemoryStore):
    async def next_epoch(self, stream: str) -> int:
        return 1


class ForgetsEpochs(MemoryStore):
    async def __aexit__(self, *error: object) -> None:
        await super().__aexit__(*error)
        self._epochs.clear()


class IgnoresEpochsOfChanges(MemoryStore):
    async def append(self, changes: Sequence[Change]) -> int:
        epochs = dict(self._epochs)
        head = await super().append(changes)
        self._epochs = epochs
        return head


class HasNothingOpen(MemoryStore):
    async def open_objects(self) -> tuple[Sequence[StoredObject], Sequence[Change]]:
        return (), ()


class HasAllOpen(MemoryStore):
    async def open_objects(self) -> tuple[Sequence[StoredObject], Sequence[Change]]:
        self._ended.clear()
        return await super().open_objects()


class HasOldStates(MemoryStore):
    async def open_objects(self) -> tuple[Sequence[StoredObject], Sequence[Change]]:
        objects, later = await super().open_objects()
        return [msgspec.structs.replace(one, wire=b"{}") for one in objects], later


class Unguarded(MemoryStore):
    """Whatever comes last is the newest state."""

    def _keep(self, change: Change) -> None:
        self._objects.pop((change.kind, change.id), None)
        super()._keep(change)


class Reopens(MemoryStore):
    """Guarded, but for what ended."""

    def _keep(self, change: Change) -> None:
        if change.epoch == 3:
            self._objects.pop((change.kind, change.id), None)
            self._ended.clear()
        super()._keep(change)


BROKEN: list[tuple[Callable[[], MemoryStore], str]] = [
    (ReplacesExceptions, "enter and leave: leaving it raised ValueError"),
    (SwallowsExceptions, "enter and leave: leaving it swallowed the exception"),
    (SwallowsCancellation, "enter and leave: leaving it swallowed a cancellation"),
    (Raises, "journal: append raised StoreError"),
    (Hangs, "journal: append did not return within 0.1 s"),
    (MovesForNothing, "journal: appending nothing"),
    (ReturnsTheFirst, "journal: `append` returned"),
    (LosesAChange, "journal"),
    (ForgetsOnLeaving, "journal: `head` is 0"),
    (ReadsTooMany, "bounds: `read` of at most 3"),
    (ReadsTooMuch, "bounds: `read` of at most 1 byte"),
    (ReadsTheLastOneAgain, "bounds: there is something after"),
    (ReadsNothingOfBigChanges, "bounds: `read` of at most 1 byte"),
    (LosesNotes, "came back as another one"),
    (TurnsRound, "order"),
    (StartsAtZero, "cursors: a new sink starts at 0"),
    (GoesBack, "cursors: the cursor is"),
    (ForgetsCursors, "cursors: the cursor is"),
    (ForgetsWhatIsNeeded, "needed changes"),
    (BuriesOnly, "dead letters: the cursor is"),
    (RepeatsEpochs, "epochs: epoch 1 follows epoch 1"),
    (ForgetsEpochs, "after the store was entered again"),
    (IgnoresEpochsOfChanges, "epochs"),
    (HasNothingOpen, "open objects: check.open:run_1 is not among"),
    (HasAllOpen, "open objects: a run that ended"),
    (HasOldStates, "open objects: the stored state of"),
    (Unguarded, "late writer: a state of an older epoch"),
    (Reopens, "late writer: an object that had ended"),
]


@pytest.mark.parametrize(("make", "fault"), BROKEN, ids=[make.__name__ for make, _ in BROKEN])
@in_loopback_time
async def test_broken_store_is_found(make: Callable[[], Any], fault: str) -> None:
    store = make()

    with pytest.raises(AssertionError) as caught:
        await check_store(lambda: store, timeout_s=0.1 if make is Hangs else 10.0)

    assert fault in str(caught.value)
