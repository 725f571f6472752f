"""`Tap`: the copy of one stream that passes, on its way to a pipeline. `Backlog` is what all of them share.

Who passes the stream on calls `offer`, which never waits and never raises; a task of its own reads the copy, finds out
what it is, and has the pipeline follow it. So whatever the pipeline, its sinks or its store do, the traffic does not
feel it. When they do not keep up and the backlog is full, the tap ends early and its stream is marked as truncated.

Waking a task for each event would cost the traffic more than processing does, so pieces are gathered for a moment. And
of all that is ready one piece is processed at a time, see `Backlog.turn`: many streams at once would stop the traffic.
"""

from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any, Final

import anyio
import msgspec
from anyio.lowlevel import checkpoint

from streamproc.core.dialect import detect
from streamproc.core.sse import Frame, SSEParser
from streamproc.errors import LimitExceeded, SourceError
from streamproc.worker.proxy_statistics import Untapped
from streamproc.worker.tap_inflate import Decoder, Unreadable

__all__ = ["Backlog", "Tap"]

_PIECE_BYTES: Final = 64 * 1024  # processed at a time; then the traffic has its turn
_LOOK_BYTES: Final = 256 * 1024  # of a stream, in which a dialect has to recognise an event ...
_LOOK_FRAMES: Final = 64  # ... and events
_ROOM_BYTES: Final = 1024 * 1024  # more than this waits for the pipeline where the traffic waits too


class Backlog:
    """What waits to be processed, of all taps together, and whose turn it is.

    Args:
        max_bytes: so much may.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._turns = anyio.Lock(fast_acquire=True)
        self.used_bytes = 0

    def takes(self, size: int) -> bool:
        """Whether there was room for so many bytes more, which then count."""
        if self.used_bytes + size > self._max_bytes:
            return False
        self.used_bytes += size
        return True

    def leave(self, size: int) -> None:
        self.used_bytes -= size

    async def turn(self) -> None:
        """Return when it is somebody's turn to process a piece, in the order of the calls; the traffic is first."""
        async with self._turns:
            await checkpoint()


class Tap:
    """The copy of one stream; a `Source`, to be opened once.

    Args:
        gather_s: once it is opened, for how long pieces are gathered before they are processed.

    Attributes:
        name: of the stream.
        ended_by: why it ended before the stream did; None if it did not.
    """

    resumable = False
    repeatable = False

    def __init__(self, name: str, decoder: Decoder, backlog: Backlog, *, gather_s: float = 0.0) -> None:
        self.name = name
        self.ended_by: Untapped | None = None
        self._decoder = decoder
        self._backlog = backlog
        self._gather_s = gather_s
        self._is_open = False
        self._waiting: deque[bytes] = deque()
        self._size = 0  # of them
        self._is_complete = False  # nothing more will be offered
        self._news = anyio.Event()
        self._progress = anyio.Event()
        self._seen: list[bytes] = []  # pieces that `dialect` has looked at
        self._pieces: Iterator[bytes] = iter(())  # of what was taken last

    # -- the traffic's side -------------------------------------------------------------------------------------------

    def offer(self, chunk: bytes) -> None:
        """Take in what has passed."""
        if self.ended_by is not None or not chunk:
            return
        if not self._backlog.takes(len(chunk)):
            self._end_early("backlog")
            return
        if not self._waiting:
            self._news.set()
        self._waiting.append(chunk)
        self._size += len(chunk)

    def complete(self, is_whole: bool) -> None:
        """Nothing more will pass. What the stream is worth shows in its events, not in how it ended."""
        self._is_complete = True
        self._news.set()

    async def room(self) -> None:
        """Return once the pipeline has taken most of what was offered, or will take nothing more."""
        while self._size > _ROOM_BYTES and self.ended_by is None:
            self._progress = anyio.Event()
            await self._progress.wait()

    # -- the pipeline's side ------------------------------------------------------------------------------------------

    async def dialect(self) -> str | None:
        """The dialect that recognises the stream; None when none does. Asked once, before it is opened."""
        parser, size, count = SSEParser(), 0, 0
        with suppress(LimitExceeded, SourceError):
            while size <= _LOOK_BYTES and count <= _LOOK_FRAMES and (piece := await self._next()) is not None:
                self._seen.append(piece)
                size += len(piece)
                for frame in parser.feed(piece):
                    count += 1
                    if (name := detect(frame.event, _payload(frame))) is not None:
                        return name
        return None

    @asynccontextmanager
    async def open(self, cursor: str | None) -> AsyncGenerator[AsyncIterator[bytes]]:
        """The stream from its beginning; see `Source.open`. Reading raises `SourceError` when the tap ended early."""
        self._is_open = True
        async with aclosing(self._chunks()) as chunks:
            yield chunks

    def abandon(self, reason: Untapped) -> None:
        """Nobody reads on: let go of what waits, and take nothing more in."""
        self._end_early(reason)
        self._take(self._size)
        self._seen.clear()

    async def _chunks(self) -> AsyncGenerator[bytes]:
        if self._seen:
            yield b"".join(self._seen)
            self._seen.clear()
        while (piece := await self._next()) is not None:
            yield piece

    async def _next(self) -> bytes | None:
        """The next piece, decompressed; None at the end."""
        while True:
            try:
                piece = next(self._pieces, None)
            except Unreadable as error:
                self.abandon(error.reason)
                continue
            if piece is not None:
                await self._backlog.turn()
                return piece
            if self._waiting:
                if self._is_open and self._gather_s and self._size < _PIECE_BYTES and not self._is_complete:
                    await anyio.sleep(self._gather_s)
                self._pieces = self._cut(self._take(_PIECE_BYTES))
            elif self.ended_by is not None:
                raise SourceError(f"{self.name}: the tap ended early ({self.ended_by})")
            elif self._is_complete:
                return None
            else:
                self._news = anyio.Event()
                await self._news.wait()

    def _cut(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), _PIECE_BYTES):
            yield from self._decoder.pieces(data[start : start + _PIECE_BYTES])

    def _take(self, size: int) -> bytes:
        """What waits, as far as a piece reaches that makes it `size`."""
        taken: list[bytes] = []
        while self._waiting and size > 0:
            taken.append(self._waiting.popleft())
            size -= len(taken[-1])
        data = b"".join(taken)
        self._backlog.leave(len(data))
        self._size -= len(data)
        self._progress.set()
        return data

    def _end_early(self, reason: Untapped) -> None:
        if self.ended_by is None:
            self.ended_by = reason
        self._news.set()
        self._progress.set()


def _payload(frame: Frame) -> Mapping[str, Any]:
    """The payload, if it is a JSON object; else nothing to recognise it by."""
    try:
        data = msgspec.json.decode(frame.data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
