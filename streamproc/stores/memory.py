"""MemoryStore: the contract of a store without a disk, for tests and for programs that embed a pipeline.

It outlives its pipeline, not its process: enter the same store again, and everything goes on where it was.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any, Final, Self

import anyio
import anyio.lowlevel
from msgspec import Struct

from streamproc.columns import is_snapshot, status_of
from streamproc.core.change import Change
from streamproc.core.patch import awaited_calls
from streamproc.core.stored import StoredObject, shape_of
from streamproc.errors import StoreError
from streamproc.protocols import DeadLetter, JournalBatch
from streamproc.stores._codec import payload_size

__all__ = ["MemoryStore"]

_LETTERS_MAX: Final = 1_000


class _Cursor(Struct):
    position: int
    required: bool = False
    is_asked: bool = False  # since the store was entered


class _Kept(Struct):
    """The newest state of an object: a view of it, and what the view does not say."""

    change: Change
    status: str | None
    provisional: bool


class MemoryStore:
    """Keeps the newest `changes_max` changes, and the states of all runs that are open and of `ended_max` that ended.

    When there are more changes, the oldest ones go; while a required sink needs them, `append` waits. `now` is the wall
    clock, in seconds since 1970: the first epoch of each stream.
    """

    def __init__(
        self, *, changes_max: int = 100_000, ended_max: int = 1_000, now: Callable[[], float] = time.time
    ) -> None:
        self.head = 0
        self.dead_letters: deque[DeadLetter] = deque(maxlen=_LETTERS_MAX)
        self._changes_max = changes_max
        self._ended_max = ended_max
        self._now = now
        self._journal: deque[Change] = deque()  # the last one is at `head`
        self._objects: dict[tuple[str, str], _Kept] = {}
        self._of_run: dict[str, list[tuple[str, str]]] = {}
        self._ended: dict[str, None] = {}  # ids of runs, the oldest first
        self._epochs: dict[str, int] = {}
        self._cursors: dict[str, _Cursor] = {}
        self._is_open = False

    async def __aenter__(self) -> Self:
        self._moved, self._turn = anyio.Event(), anyio.Lock()
        for cursor in self._cursors.values():
            cursor.is_asked = False
        self._is_open = True
        return self

    async def __aexit__(self, *error: object) -> bool | None:
        self._is_open = False
        return None

    async def append(self, changes: Sequence[Change]) -> int:
        """Store changes; see `Store`.

        Raises:
            StoreError: the store is not open.
        """
        self._check_open()
        async with self._turn:  # calls take effect in their order
            while not self._make_room(len(changes)):
                self._moved = anyio.Event()
                await self._moved.wait()
            self._journal.extend(changes)
            self.head += len(changes)
            for change in changes:
                self._epochs[change.stream] = max(self._epochs.get(change.stream, 0), change.epoch)
                if change.kind != "error" and change.kind != "anomaly":
                    self._keep(change)
            self._forget_ended()
            return self.head

    async def read(self, after: int, *, count_max: int, size_max: int) -> JournalBatch:
        """Read from the journal; see `Store`. The views are those of the moment at which the changes were made."""
        self._check_open()
        await anyio.lowlevel.checkpoint()
        oldest = self.head - len(self._journal) + 1
        first = max(after + 1, oldest)
        found: list[Change] = []
        size = 0
        for change in islice(self._journal, first - oldest, None):
            size += payload_size(change)
            if found and (size > size_max or len(found) >= count_max):
                break
            found.append(change)
        return JournalBatch(first=first, changes=tuple(found), missing=first - after - 1)

    async def cursor(self, sink: str, *, required: bool) -> int:
        """Return how far a sink is; see `Store`."""
        self._check_open()
        cursor = self._cursors.setdefault(sink, _Cursor(self.head))
        cursor.required, cursor.is_asked = required, True
        self._moved.set()  # one that is no longer required makes room
        return cursor.position

    def acknowledge(self, sink: str, position: int) -> None:
        """Note how far a sink is; see `Store`."""
        self._check_open()
        cursor = self._cursors.setdefault(sink, _Cursor(0))
        cursor.position = max(cursor.position, position)
        self._moved.set()

    async def bury(self, letters: Sequence[DeadLetter], position: int) -> None:
        """Store dead letters of one sink, and its cursor; the newest 1,000 are kept."""
        self._check_open()
        if letters:
            self.dead_letters.extend(letters)
            self.acknowledge(letters[0].sink, position)

    async def next_epoch(self, stream: str) -> int:
        """Return the epoch for a new pass over a stream; see `Store`."""
        self._check_open()
        # A process before this one had epochs that nobody remembers, but sinks do: 1 would be one of theirs.
        known = self._epochs.get(stream)
        self._epochs[stream] = int(self._now() * 1000) if known is None else known + 1
        return self._epochs[stream]

    async def open_objects(self) -> tuple[Sequence[StoredObject], Sequence[Change]]:
        """Return what a reducer goes on from; see `Store`."""
        self._check_open()
        open_ones, waiting = [], []
        for kept in self._objects.values():
            if kept.change.run_id not in self._ended if kept.change.run_id else not kept.change.note.ended:
                open_ones.append(kept)
            elif kept.change.kind == "step" and not kept.change.note.ended and awaited_calls(_members(kept.change)):
                waiting.append(kept)
        runs = {kept.change.run_id for kept in waiting}
        ended = [kept for kept in self._objects.values() if kept.change.kind == "run" and kept.change.id in runs]
        return [_stored(kept) for kept in (*open_ones, *ended, *waiting)], ()

    def statistics(self) -> Mapping[str, int]:
        """How many changes and dead letters are kept."""
        return {
            "head": self.head,
            "journal_changes": len(self._journal),
            "dead_letters": len(self.dead_letters),
        }

    # -- the inside -----------------------------------------------------------------------------------------------

    def _make_room(self, count: int) -> bool:
        """Forget what must make room for more changes; returns whether that was possible."""
        over = min(len(self._journal) + count - self._changes_max, len(self._journal))
        if over <= 0:
            return True
        needed = [cursor.position for cursor in self._cursors.values() if cursor.is_asked and cursor.required]
        if needed and min(needed) < self.head - len(self._journal) + over:
            return False
        for _ in range(over):
            self._journal.popleft()
        return True

    def _keep(self, change: Change) -> None:
        """Take the state of an object, if it is newer: see _objects.py for the rule."""
        key = change.kind, change.id
        kept = self._objects.get(key)
        if is_snapshot(change) or kept is None or kept.change.note.ended:
            status = status_of(change, _members(change))
        else:
            status = None
        if kept is None:
            self._objects[key] = _Kept(change, status, not is_snapshot(change))
            self._of_run.setdefault(change.run_id or "", []).append(key)
        elif _is_newer(change, kept.change) and (
            not kept.change.note.ended or (change.note.ended and (status or kept.status) == kept.status)
        ):
            kept.change = change
            kept.status = status or kept.status
            kept.provisional = kept.provisional and not is_snapshot(change)
        if change.kind == "run" and change.note.ended:
            self._ended.setdefault(change.id)

    def _forget_ended(self) -> None:
        while len(self._ended) > self._ended_max:
            run_id = next(iter(self._ended))
            del self._ended[run_id]
            for key in self._of_run.pop(run_id, ()):
                self._objects.pop(key, None)

    def _check_open(self) -> None:
        if not self._is_open:
            raise StoreError("the store is not open; enter it with `async with`")


def _is_newer(change: Change, kept: Change) -> bool:
    if change.stream == kept.stream:
        return (change.epoch, change.revision) > (kept.epoch, kept.revision)
    return change.revision > kept.revision or (change.note.ended and not kept.note.ended)


def _members(change: Change) -> dict[str, Any]:
    """The object as plain JSON data."""
    return change.body.data(change.revision)


def _stored(kept: _Kept) -> StoredObject:
    change = kept.change
    return StoredObject(
        kind=change.kind,
        id=change.id,
        run_id=change.run_id,
        thread_id=change.thread_id,
        wire=change.body.wire(change.revision),
        revision=change.revision,
        stream=change.stream,
        epoch=change.epoch,
        status=kept.status,
        provisional=kept.provisional,
        note=change.note,
        shape=shape_of(change.body, change.revision),
    )
