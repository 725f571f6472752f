"""The contracts of plug-ins: all that their authors need to read.

A source brings the bytes of a stream, a dialect translates its frames, a sink takes what came out. None of them keeps a
queue, tries again or reconnects: the pipeline and its delivery do that, in one place and for all.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol, runtime_checkable

from streamproc.core.change import Change
from streamproc.core.dialect import Dialect
from streamproc.model.message import Message
from streamproc.model.run import Run
from streamproc.model.run_step import RunStep

__all__ = ["Dialect", "ReopeningSource", "ResyncingSource", "Sink", "Source"]


class Source(Protocol):
    """Where the bytes of one stream come from. One `open` is one connection; the pipeline opens the next one."""

    name: str
    """Name of the stream in every change; unique in a pipeline."""

    def open(self, cursor: str | None) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Connect, and give the bytes as they come, cut anywhere; leaving the context closes the connection.

        Called once for a plain source, which can be read once. Never called while an earlier connection is open.

        Args:
            cursor: what the stream last said of its position; None for its beginning.

        Raises:
            SourceUnavailable: on entering or while reading: not now, another attempt may succeed.
            SourceError: no further attempt can succeed.
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
    a connection that cannot be opened shows before anything is read.
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
            Exception: anything else is a bug; the batch becomes dead letters, after some of those the sink is closed.
        """
        ...
