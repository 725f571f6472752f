"""The contracts of plug-ins: all that their authors need to read.

A source brings the bytes of a stream, a dialect translates its frames, a sink takes what came out. None of them keeps a
queue, tries again or reconnects: the pipeline and its delivery do that, in one place and for all.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from msgspec import Struct

from streamproc.core.change import Change
from streamproc.core.dialect import Dialect
from streamproc.core.stored import StoredObject
from streamproc.model.message import Message
from streamproc.model.run import Run
from streamproc.model.run_step import RunStep

__all__ = [
    "DeadLetter",
    "Dialect",
    "JournalBatch",
    "PolledChunks",
    "ReopeningSource",
    "ResyncingSource",
    "Sink",
    "Source",
    "Store",
    "StoredObject",
]


class Source(Protocol):
    """Where the bytes of one stream come from. One `open` is one connection; the pipeline opens the next one."""

    name: str
    """Name of the stream in every change; unique in a pipeline."""

    def open(self, cursor: str | None) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Connect, and give the bytes as they come, cut anywhere; leaving the context closes the connection.

        Called once for a plain source, which can be read once. Never called while an earlier connection is open.

        Args:
            cursor: what the stream last said of its position; None for its beginning.

        Returns:
            An iterator, best one that is `PolledChunks` too.

        Raises:
            SourceUnavailable: on entering or while reading: not now, another attempt may succeed.
            SourceError: no further attempt can succeed.
        """
        ...


@runtime_checkable
class PolledChunks(Protocol):
    """Chunks that need not be waited for: many lively streams cost least when they are looked at in turn."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    def poll(self) -> bytes | None:
        """Give what has come, at once: empty if nothing has, None if the stream has ended.

        A silent or broken connection may look as if nothing came: who gets nothing for a while must iterate, which goes
        on where polling stopped, and tells. Never raises; not called while an iteration waits.
        """
        ...


@runtime_checkable
class ReopeningSource(Source, Protocol):
    """A source that says what a further `open` does; without these members there is none."""

    resumable: bool
    """Whether `open(cursor)` goes on right after the event of that cursor."""

    repeatable: bool
    """Whether `open(None)` gives the same stream from its beginning again, and does nothing else."""


@runtime_checkable
class ResyncingSource(Source, Protocol):
    """A source of a stream that cannot be resumed, which can ask its server for the result instead."""

    async def resync(self, run_id: str, thread_id: str | None) -> Sequence[Run | RunStep | Message]:
        """Wait until the run has ended or requires action; return it, its steps and its messages, complete.

        Called with no connection open. The steps and messages come in order of creation, the run last.

        Raises:
            SourceUnavailable: not now, another attempt may succeed.
            SourceError: no further attempt can succeed.
        """
        ...


class Sink(Protocol):
    """Where changes go.

    A sink that is an async context manager is entered before its first batch and left after its last one. So a file or
    a connection that cannot be opened shows before anything is read. With a store, a sink that raises `SinkUnavailable`
    there is entered again later, and reading goes on: what it misses is in the journal.
    """

    async def write(self, batch: Sequence[Change]) -> None:
        """Take a batch; returning says that all of it arrived.

        Called for one batch after the other, never concurrently, in the order of the changes. The same batch comes
        again, perhaps cut or joined differently, after `SinkUnavailable`, a time-out or a restart; `(stream, epoch,
        seq)` of a change tells it apart, `(epoch, revision)` of an object's state says which one is newer. May be
        cancelled at any await: a batch that takes longer than `DeliveryPolicy.timeout_s` is.

        Raises:
            SinkUnavailable: not now; the batch will come again, at once after `retry_after_s` if it is given.
            SinkRejected: its changes will never be taken, all others of the batch have been; they become dead letters.
            SinkGone: the far side wants no more; the sink is closed at once, as one that was given up: what is pending
                counts as dropped, or stays in the journal, for which it is no longer a required one.
            Exception: anything else is a bug; the batch becomes dead letters, after some of those the sink is closed.
        """
        ...


class DeadLetter(Struct, frozen=True, kw_only=True):
    """One change that one sink did not take."""

    sink: str
    change: Change
    reason: str
    attempts: int  # writes that it was part of, the last one included
    at: datetime


class JournalBatch(Struct, frozen=True, kw_only=True):
    """Consecutive changes read back from a journal."""

    first: int  # position of the first one; positions count changes from 1, without gaps
    changes: tuple[Change, ...]
    missing: int = 0  # changes before the first one that were asked for and are no longer kept

    @property
    def last(self) -> int:
        """Position of the last one; `first - 1` if there is none."""
        return self.first + len(self.changes) - 1


class Store(Protocol):
    """Keeps the journal of all changes, the newest state of each object, and how far each sink is.

    An async context manager; entered by the pipeline before anything else and left last. One process has a store open
    at a time. All methods may be called concurrently.
    """

    head: int
    """Position of the newest change that is stored."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> bool | None: ...

    async def append(self, changes: Sequence[Change]) -> int:
        """Store changes: journal, states and stream positions in one transaction, durable when this returns.

        Calls take effect in the order in which they were made.

        Returns:
            Position of the last change.

        Raises:
            StoreError: nothing of it was stored; the same changes may be appended again.
        """
        ...

    async def read(self, after: int, *, count_max: int, size_max: int) -> JournalBatch:
        """Read changes from position `after + 1` on, within both bounds (changes, payload bytes); at least one if any.

        `change.state` of a delta that is read is the newest stored state, whose revision is at least the change's; of
        any other change it is the state that it left behind.

        Raises:
            StoreError: the journal cannot be read, or is damaged there.
        """
        ...

    async def cursor(self, sink: str, *, required: bool) -> int:
        """Return the position of the last change that a sink has settled; a sink that is new starts at `head`.

        What no required sink that was asked for since the store was opened needs any more, may be forgotten.
        """
        ...

    def acknowledge(self, sink: str, position: int) -> None:
        """Note that a sink has settled everything up to `position`; becomes durable soon, at the latest on leaving."""
        ...

    async def bury(self, letters: Sequence[DeadLetter], position: int) -> None:
        """Store dead letters of one sink and its cursor in one transaction, durable when this returns.

        Raises:
            StoreError: nothing of it was stored.
        """
        ...

    async def next_epoch(self, stream: str) -> int:
        """Return the epoch for a new pass over a stream: one more than the last one, durable when this returns."""
        ...

    async def open_objects(self) -> tuple[Sequence[StoredObject], Sequence[Change]]:
        """Return what a reducer goes on from, and the changes of these objects that came after.

        That is all objects of the runs that have not ended, and of those that have, the newest steps that wait for
        outputs of tool calls (see core/patch.py), each with its run.
        """
        ...

    def statistics(self) -> Mapping[str, int]:
        """What an operator wants to know: bytes, changes and batches in the journal, dead letters, ..."""
        ...
