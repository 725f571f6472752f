"""SqliteStore: everything in one SQLite file, beside which lies its lock.

Work that comes while a commit is under way waits and goes into the next one, so commits are as many as the disk can do
and no more: one change is stored at once, many at a time under load. States are encoded in the event loop, since they
are views of what the processor goes on building; the database is used in worker threads, one writing at a time and one
reading. See _growing.py for which states are written when, _writer.py for the transaction.
"""

import sqlite3
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from importlib.util import find_spec
from os import O_CREAT, O_RDWR, PathLike, close
from os import open as open_file
from pathlib import Path
from typing import Any, Final, Generic, Self, TypeVar

import anyio
import anyio.to_thread
import structlog
from anyio import CancelScope, CapacityLimiter, Event, create_task_group, current_time

from streamproc.core.change import Change
from streamproc.core.stored import StoredObject
from streamproc.errors import ConfigError, StoreError
from streamproc.protocols import DeadLetter, JournalBatch
from streamproc.stores._growing import Growing, Key, key_of
from streamproc.stores._reading import fill, open_objects, read_journal, states_of
from streamproc.stores._recovery import late_states
from streamproc.stores._schema import inspect, open_reading, store_errors
from streamproc.stores._writer import Append, Bury, Cursor, NextEpoch, Synchronous, Work, Writer

__all__ = ["SqliteStore"]

log = structlog.get_logger("streamproc")

T = TypeVar("T")

_CURSOR_WAIT_S: Final = 0.05  # that a cursor waits for changes to be committed with
_RETRY_S: Final = 1.0  # after a commit failed that nobody waited for
_COMMIT_BYTES: Final = 8 * 1024 * 1024  # of journal in one transaction
_MODE: Final = 0o600  # states hold what people said


class SqliteStore:
    """Keeps the journal, the newest states, cursors and dead letters in one SQLite file.

    Promise: at-least-once delivery, idempotent apply guarded by (epoch, revision), order per run, and no loss of a
    change once `append` has returned. Any SQLite tool may read the file while it is in use; docs/store.md has the
    tables. Needs the `store` extra.

        async with Pipeline(sinks=[...], store=SqliteStore("runs.db")) as pipeline:
            await pipeline.run(source)
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        synchronous: Synchronous = "normal",
        max_bytes: int | None = None,
        keep_changes: int = 10_000,
        busy_timeout_s: float = 5.0,
    ) -> None:
        """
        Args:
            path: of the file; made with mode 0600. Beside it are SQLite's `PATH-wal` and `PATH-shm`, and `PATH.lock`.
            synchronous: what a loss of power may cost. normal: the last commits before it · full: nothing, for a sync
                of the disk with each commit. A process that dies loses nothing either way.
            max_bytes: of the journal; when it holds more, `append` waits until sinks have caught up. None: no bound.
            keep_changes: how many of the newest changes are kept although every sink has them, for those who look.
            busy_timeout_s: how long a commit waits for another program that has the file locked.

        Raises:
            ConfigError: a value is out of range, or the extra is not installed.
        """
        if synchronous not in ("normal", "full"):
            raise ConfigError(f'synchronous is {synchronous!r}; expected "normal" or "full"')
        if max_bytes is not None and max_bytes < 1:
            raise ConfigError(f"max_bytes is {max_bytes}; expected 1 or more bytes")
        if keep_changes < 0:
            raise ConfigError(f"keep_changes is {keep_changes}; expected 0 or more")
        if busy_timeout_s < 0:
            raise ConfigError(f"busy_timeout_s is {busy_timeout_s:g}; expected 0 or more seconds")
        if find_spec("filelock") is None:
            raise ConfigError('SqliteStore needs an extra: pip install "streamproc[store]"')
        self.path = Path(path).absolute()
        self._synchronous: Synchronous = synchronous
        self._max_bytes = max_bytes
        self._keep_changes = keep_changes
        self._busy_timeout_s = busy_timeout_s
        self._appends: deque[_Call[Append]] = deque()
        self._others: deque[_Call[Any]] = deque()
        self._is_open = False
        self.head = 0

    # -- open and close -------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """
        Raises:
            StoreError: another process has the store open, the file is none of ours, damaged, or cannot be written.
        """
        self._resources = ExitStack()
        self._writing, self._reading = CapacityLimiter(1), CapacityLimiter(1)
        with CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._open, limiter=self._writing)
        self.head = self._writer.last
        self._growing = Growing()
        self._wake, self._ended = Event(), Event()
        self._is_full = False
        self._failed = False  # the last commit
        self._was_appended = False  # since it was opened
        self._due_s: float | None = None  # when cursors are committed at the latest
        self._is_open = True
        self._group = create_task_group()
        await self._group.__aenter__()
        self._group.start_soon(self._run)
        log.info("store.opened", path=str(self.path), head=self.head, bytes=self._writer.size)
        return self

    async def __aexit__(self, *error: object) -> bool | None:
        self._is_open = False
        self._wake.set()
        with CancelScope(shield=True):
            await self._ended.wait()
            await anyio.to_thread.run_sync(self._resources.close, limiter=self._writing)
        await self._group.__aexit__(None, None, None)
        log.info("store.closed", path=str(self.path), head=self.head)
        return None

    def _open(self) -> None:
        """All that opening takes, in a worker thread; what is opened is closed by `_resources`."""
        from filelock import FileLock, Timeout

        with ExitStack() as resources:
            with store_errors(self.path, "opened"):
                if not self.path.parent.is_dir():  # the lock would make it
                    raise StoreError(f"store {self.path} cannot be opened: there is no such folder")
                lock = FileLock(f"{self.path}.lock", timeout=0, mode=_MODE, thread_local=False)
                try:
                    resources.enter_context(lock)
                except Timeout as error:
                    raise StoreError(f"store {self.path} is open in another process; only one may use it") from error
                inspect(self.path)
                close(open_file(self.path, O_RDWR | O_CREAT, _MODE))
                self._writer = Writer(self.path, self._synchronous, self._busy_timeout_s)
                resources.callback(self._writer.close)
                self._connection = resources.enter_context(open_reading(self.path))
                self._cursors = self._writer.cursors()
                late = late_states(self._connection)
                self._writer.commit((), states=late)
            self._resources.push(resources.pop_all())
        if late:
            log.info("store.recovered", path=str(self.path), objects=len(late))

    # -- the contract ---------------------------------------------------------------------------------------------

    async def append(self, changes: Sequence[Change]) -> int:
        """Store changes in one transaction; see `Store`. A call that is cancelled may have stored them or not.

        Raises:
            StoreError: nothing of it was stored; the same changes may be appended again.
        """
        self._check_open()
        if not changes:
            return self.head
        self._was_appended = True
        work = Append(changes)
        self._growing.choose(work.touched)
        await self._call(self._appends, work)
        return work.last

    async def read(self, after: int, *, count_max: int, size_max: int) -> JournalBatch:
        """Read from the journal; see `Store`.

        Raises:
            StoreError: the journal cannot be read, or is damaged there.
        """
        batch, states = await self._read(lambda connection: _read(connection, after, count_max, size_max))
        for key in {key_of(change) for change in batch.changes}:
            newest = self._growing.newest(key)
            if newest is not None:
                states[key] = newest.body.wire(newest.revision)
        fill(batch.changes, states)
        return batch

    async def cursor(self, sink: str, *, required: bool) -> int:
        """Return how far a sink is; see `Store`."""
        self._check_open()
        cursor = self._cursors.setdefault(sink, Cursor(self.head, required))
        cursor.required, cursor.is_asked, cursor.is_dirty = required, True, True
        self._wake.set()
        return cursor.position

    def acknowledge(self, sink: str, position: int) -> None:
        """Note how far a sink is; see `Store`."""
        self._check_open()
        cursor = self._cursors.setdefault(sink, Cursor(0, required=False))
        if position > cursor.position:
            cursor.position, cursor.is_dirty = position, True
            self._wake.set()

    async def bury(self, letters: Sequence[DeadLetter], position: int) -> None:
        """Store dead letters of one sink, and its cursor; see `Store`.

        Raises:
            StoreError: nothing of it was stored.
        """
        if letters:
            work = Bury(letters, position)
            await self._call(self._others, work)
            self.acknowledge(work.sink, position)

    async def next_epoch(self, stream: str) -> int:
        """Return the epoch for a new pass over a stream; see `Store`.

        Raises:
            StoreError: it could not be made durable, or there is none left.
        """
        work = NextEpoch(stream)
        await self._call(self._others, work)
        return work.epoch

    async def open_objects(self) -> tuple[Sequence[StoredObject], Sequence[Change]]:
        """Return what a reducer goes on from; see `Store`. Call it before the first `append`.

        Rows that a process left behind were brought up to the journal on opening, so there are no changes beside them.
        """
        return await self._read(open_objects), ()

    def statistics(self) -> Mapping[str, int]:
        """What an operator wants to know: changes, batches and bytes in the journal, its head, dead letters."""
        writer = self._writer
        return {
            "head": writer.last,
            "journal_changes": writer.last - writer.first + 1,
            "journal_batches": writer.rows,
            "journal_bytes": writer.size,
            "dead_letters": writer.letters,
            "is_full": int(self._is_full),
        }

    # -- reading --------------------------------------------------------------------------------------------------

    async def _read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        self._check_open()

        def run() -> T:
            with store_errors(self.path, "read"):
                self._connection.execute("BEGIN")  # one view of all tables
                try:
                    return read(self._connection)
                finally:
                    self._connection.execute("ROLLBACK")

        return await anyio.to_thread.run_sync(run, limiter=self._reading)

    # -- writing --------------------------------------------------------------------------------------------------

    async def _call(self, queue: "deque[_Call[Any]]", work: Work) -> None:
        """Wait until a piece of work is committed."""
        self._check_open()
        call = _Call(work)
        queue.append(call)
        self._wake.set()
        await call.done.wait()
        if call.error is not None:
            raise StoreError(str(call.error)) from call.error

    async def _run(self) -> None:
        """Commit whatever waits, again and again, until the store is left and nothing waits.

        Shielded: whoever is cancelled may still have something to store on its way out.
        """
        try:
            with CancelScope(shield=True):
                while True:
                    calls = self._take()
                    if calls or (self._can_make_room() and not self._failed):
                        await self._commit(calls)
                    elif not self._is_open:
                        break
                    else:
                        await self._something()
                self._refuse()
                await self._commit([], leaving=True)
        finally:  # asyncio's own cancelling, after a second Ctrl-C, minds no shield
            self._ended.set()

    async def _something(self) -> None:
        """Wait for work; cursors alone wait a little for work to go with."""
        self._wake = Event()
        if not self._can_make_room() and not any(cursor.is_dirty for cursor in self._cursors.values()):
            await self._wake.wait()
            return
        if self._due_s is None:
            self._due_s = current_time() + (_RETRY_S if self._failed else _CURSOR_WAIT_S)
        with CancelScope(deadline=self._due_s):
            await self._wake.wait()
            return
        await self._commit([])

    def _can_make_room(self) -> bool:
        """Whether a commit would forget something that changes are waiting for."""
        return self._is_full and (self._forget_to() >= self._writer.first or self._growing.needed_from() is not None)

    def _take(self) -> "list[_Call[Any]]":
        """The work for the next commit; no changes while the journal is full."""
        calls = [*self._others]
        self._others.clear()
        size = 0
        is_full = self._max_bytes is not None and self._writer.size >= self._max_bytes
        if is_full and self._appends and not self._is_full:
            log.warning("store.full", path=str(self.path), bytes=self._writer.size, max_bytes=self._max_bytes)
            self._is_full = True
        elif not is_full and self._is_full:
            log.info("store.resumed", path=str(self.path), bytes=self._writer.size)
            self._is_full = False
        while self._appends and not is_full and size < _COMMIT_BYTES:
            calls.append(self._appends.popleft())
            size += calls[-1].work.size
        return calls

    async def _commit(self, calls: "list[_Call[Any]]", *, leaving: bool = False) -> None:
        """Commit work, cursors that moved, and states that are too far behind; tell those who wait."""
        states = self._growing.behind(self.head, everything=leaving or self._is_full)
        moved = {sink: cursor for sink, cursor in self._cursors.items() if cursor.is_dirty}
        for cursor in moved.values():
            cursor.is_dirty = False
        works: list[Work] = [call.work for call in calls]
        failure: Exception | None = None
        forget_to = self._forget_to()

        def commit() -> None:
            with store_errors(self.path, "written"):
                self._writer.commit(works, states=states, cursors=moved, forget_to=forget_to)

        try:
            await anyio.to_thread.run_sync(commit, limiter=self._writing)
        except Exception as error:
            failure = error
            for cursor in moved.values():
                cursor.is_dirty = True
            for work in works:
                if isinstance(work, Append):
                    self._growing.failed(work.touched)
            log.error("store.commit_failed", path=str(self.path), cause=str(error))
        else:
            self.head = self._writer.last
            self._growing.refreshed(states)
            for work in works:
                if isinstance(work, Append):
                    self._growing.committed(work.touched, work.first)
        self._failed, self._due_s = failure is not None, None
        for call in calls:
            call.error = failure
            call.done.set()

    def _refuse(self) -> None:
        """What still waits for room when the store is left, waits for nothing."""
        for call in self._appends:
            call.error = StoreError(f"store {self.path} was closed while its journal was full")
            call.done.set()
        self._appends.clear()

    def _forget_to(self) -> int:
        """The last position that nobody needs any more."""
        asked = [cursor for cursor in self._cursors.values() if cursor.is_asked]
        if not asked and not self._is_full and not self._was_appended:
            return 0  # nobody said yet what is needed; whoever has sinks asks for them before the first change
        settled = min((cursor.position for cursor in asked if cursor.required), default=self.head)
        needed = self._growing.needed_from()
        kept = 0 if self._is_full else self._keep_changes
        return min(settled, self.head - kept, settled if needed is None else needed)

    def _check_open(self) -> None:
        if not self._is_open:
            raise StoreError(f"store {self.path} is not open; enter it with `async with`")


class _Call(Generic[T]):
    """A piece of work, and whoever waits for it."""

    def __init__(self, work: T) -> None:
        self.work = work
        self.done = Event()
        self.error: Exception | None = None


def _read(
    connection: sqlite3.Connection, after: int, count_max: int, size_max: int
) -> tuple[JournalBatch, dict[Key, bytes]]:
    batch = read_journal(connection, after, count_max=count_max, size_max=size_max)
    return batch, states_of(connection, {key_of(change) for change in batch.changes})
