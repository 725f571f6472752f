"""Plug-ins that do as they are told: a sink with an outcome for each write, a source with a script for each connection.

For tests of what stands on the other side of a plug-in. Both remember what was asked of them.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from types import TracebackType
from typing import Final, Self, TypeAlias

import anyio
import anyio.lowlevel
from msgspec import Struct

from streamproc.core.change import Change
from streamproc.errors import SinkRejected, SinkUnavailable, SourceError

__all__ = [
    "ACK",
    "HANG",
    "Ack",
    "Hang",
    "Item",
    "Outcome",
    "Raise",
    "Reject",
    "ScriptedSink",
    "ScriptedSource",
    "Slow",
    "Unavailable",
]


class Ack(Struct, frozen=True):
    """The write succeeds."""


class Unavailable(Struct, frozen=True):
    """The write raises SinkUnavailable."""

    retry_after_s: float | None = None


class Reject(Struct, frozen=True):
    """The write raises SinkRejected for the changes at these positions in the batch; those beyond its end do not count.

    A batch that has none of these positions succeeds.
    """

    indices: tuple[int, ...] = (0,)


class Raise(Struct, frozen=True):
    """The write, or the connection at this point, raises this very exception."""

    error: Exception


class Hang(Struct, frozen=True):
    """Nothing more happens until it is cancelled."""


class Slow(Struct, frozen=True):
    """The write succeeds, or the connection goes on, after so many seconds."""

    seconds: float


Outcome: TypeAlias = Ack | Unavailable | Reject | Raise | Hang | Slow
Item: TypeAlias = bytes | Raise | Hang | Slow

ACK: Final = Ack()
HANG: Final = Hang()


class ScriptedSink:
    """A sink whose writes end as they are told to.

    Attributes:
        calls: the batch of every write that began, in order.
        taken: what was acknowledged: all changes of writes that succeeded, and what a `Reject` left over.
        entered, left: how often.
        cancelled: how many writes were cancelled.
    """

    def __init__(self, *outcomes: Outcome, then: Outcome = ACK) -> None:
        """
        Args:
            outcomes: of the first writes, one each.
            then: of all further ones.
        """
        self._outcomes = outcomes
        self._then = then
        self.calls: list[tuple[Change, ...]] = []
        self.taken: list[Change] = []
        self.entered = 0
        self.left = 0
        self.cancelled = 0

    async def __aenter__(self) -> Self:
        self.entered += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.left += 1

    async def write(self, batch: Sequence[Change]) -> None:
        """Do what the script says."""
        number = len(self.calls)
        self.calls.append((*batch,))
        try:
            await anyio.lowlevel.checkpoint()
            await self._follow(self._outcomes[number] if number < len(self._outcomes) else self._then, batch)
        except anyio.get_cancelled_exc_class():
            self.cancelled += 1
            raise

    async def _follow(self, outcome: Outcome, batch: Sequence[Change]) -> None:
        match outcome:
            case Ack():
                self.taken += batch
            case Slow(seconds):
                await anyio.sleep(seconds)
                self.taken += batch
            case Hang():
                await anyio.sleep_forever()
            case Raise(error):
                raise error
            case Unavailable(retry_after_s):
                raise SinkUnavailable("scripted", retry_after_s)
            case Reject(indices):
                rejected = [change for position, change in enumerate(batch) if position in indices]
                self.taken += (change for position, change in enumerate(batch) if position not in indices)
                if rejected:
                    raise SinkRejected("scripted", rejected)


class ScriptedSource:
    """A source whose connections bring what they are told to.

    A connection is a sequence of items: bytes are handed over as they are, `Raise` raises, `Slow` waits, `Hang` waits
    for ever; after its last item the stream has ended. A connection that is a `Raise` itself fails on entering.

    Attributes:
        name: of the stream.
        cursors: what each `open` was given, in order.
        open_connections: how many are open at the moment.
    """

    resumable: bool
    repeatable: bool

    def __init__(
        self,
        *connections: Sequence[Item] | Raise,
        name: str = "scripted",
        resumable: bool | None = None,
        repeatable: bool | None = None,
    ) -> None:
        """
        Args:
            connections: one after the other; whoever opens more of them gets a SourceError.
            name: of the stream.
            resumable: what a further `open` does, see `ReopeningSource`. With neither this nor `repeatable` the source
                is a plain one and says nothing of it.
            repeatable: likewise.
        """
        self._connections = connections
        self.name = name
        if resumable is not None or repeatable is not None:
            self.resumable = bool(resumable)
            self.repeatable = bool(repeatable)
        self.cursors: list[str | None] = []
        self.open_connections = 0

    def open(self, cursor: str | None) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Begin the next connection."""
        return self._connect(cursor)

    @asynccontextmanager
    async def _connect(self, cursor: str | None) -> AsyncGenerator[AsyncIterator[bytes]]:
        number = len(self.cursors)
        self.cursors.append(cursor)
        await anyio.lowlevel.checkpoint()
        if number >= len(self._connections):
            raise SourceError(f"source {self.name!r} has a script for {len(self._connections)} connections only")
        connection = self._connections[number]
        if isinstance(connection, Raise):
            raise connection.error
        self.open_connections += 1
        try:
            async with aclosing(_play(connection)) as chunks:
                yield chunks
        finally:
            self.open_connections -= 1


async def _play(items: Sequence[Item]) -> AsyncGenerator[bytes]:
    for item in items:
        await anyio.lowlevel.checkpoint()
        match item:
            case bytes():
                yield item
            case Slow(seconds):
                await anyio.sleep(seconds)
            case Hang():
                await anyio.sleep_forever()
            case Raise(error):
                raise error
