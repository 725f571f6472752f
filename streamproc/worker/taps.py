"""`Taps`: which of the answers that pass a proxy are processed, and what becomes of their copies.

Streams of events are followed by the pipeline, each under a name of its own. Objects of the Assistants API in other
answers are taken over as states. Everything else passes untapped.
"""

from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Final, Protocol

import anyio
import structlog
from anyio.abc import TaskGroup

from streamproc.errors import LimitExceeded
from streamproc.pipeline import Pipeline
from streamproc.worker.proxy_statistics import Counts, Untapped
from streamproc.worker.tap import Backlog, Tap
from streamproc.worker.tap_inflate import Decoder, Unreadable, decoder
from streamproc.worker.tap_objects import is_about_threads, objects_in

__all__ = ["Copy", "Taps"]

log = structlog.get_logger("streamproc")

_STREAM: Final = "text/event-stream"
_JSON: Final = "application/json"
_HYDRATED: Final = "streamproc.hydrated"
_NAME_MAX: Final = 200  # characters of a path in the name of a stream
_AUTO: Final = "auto"


class Copy(Protocol):
    """What a proxy does with the copy of an answer."""

    @property
    def ended_by(self) -> Untapped | None:
        """Why nothing more is taken in; None while it is."""
        ...

    def offer(self, chunk: bytes) -> None:
        """Take in what has passed; never waits or raises."""
        ...

    async def room(self) -> None:
        """Return once most of it was processed, or nothing more will be; for traffic that must not get ahead."""
        ...

    def complete(self, is_whole: bool) -> None:
        """Nothing more will pass, because the answer ended or broke off."""
        ...


class Taps:
    """All taps of a proxy.

    Args:
        group: runs their tasks.
        dialect: of all streams; "auto" finds each one's out.
        max_hydrate_bytes: of an answer whose objects are taken over, as it passes and decompressed.
        gather_s: see `Tap`.
        max_tasks: streams and answers under way or waiting for the pipeline.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        group: TaskGroup,
        counts: Counts,
        backlog: Backlog,
        random: Random,
        *,
        dialect: str,
        max_hydrate_bytes: int,
        gather_s: float,
        max_tasks: int,
    ) -> None:
        self._pipeline = pipeline
        self._group = group
        self._counts = counts
        self._backlog = backlog
        self._random = random
        self._dialect = dialect
        self._gather_s = gather_s
        self._max_tasks = max_tasks
        self._active = 0
        self._idle = anyio.Event()
        self._max_hydrate_bytes = max_hydrate_bytes

    def begin(self, method: str, path: str, status: int, headers: Mapping[str, str]) -> Copy | None:
        """Get ready for the body of an answer; None when it is not one to process.

        Args:
            path: of the request, without its query.
            headers: of the answer.
        """
        kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
        is_stream = status == 200 and kind == _STREAM
        is_object = status in (200, 201) and kind == _JSON and self._max_hydrate_bytes > 0 and is_about_threads(path)
        if not is_stream and not is_object:
            return None
        if self._active >= self._max_tasks:
            self._counts.untapped["backlog"] += 1
            return None
        decode = decoder(headers.get("Content-Encoding", ""))
        if decode is None:
            self._counts.untapped["encoding"] += 1
            return None
        if is_stream:
            name = f"{method} {path[:_NAME_MAX]} {self._random.getrandbits(64):016x}"
            tap = Tap(name, decode, self._backlog, gather_s=self._gather_s)
            self._start(self._follow, tap)
            return tap
        return _Body(self._backlog, self._max_hydrate_bytes, lambda body: self._finish(body, decode))

    async def drain(self, deadline_s: float) -> None:
        """Wait until what has passed is processed, at most so long."""
        with anyio.move_on_after(deadline_s):
            while self._active:
                self._idle = anyio.Event()
                await self._idle.wait()

    def _start(self, work: Callable[..., Awaitable[None]], *args: object) -> None:
        self._active += 1
        self._group.start_soon(self._run, work, args)

    async def _run(self, work: Callable[..., Awaitable[None]], args: tuple[object, ...]) -> None:
        try:
            await work(*args)
        finally:
            self._active -= 1
            self._idle.set()

    async def _follow(self, tap: Tap) -> None:
        """Process a stream; whatever happens, nobody but the counters hears of it."""
        try:
            dialect = self._dialect if self._dialect != _AUTO else await tap.dialect()
            if dialect is None:
                tap.abandon("unknown_dialect")
            else:
                self._counts.tapped += 1
                result = await self._pipeline.run(tap, dialect=dialect)
                if isinstance(result.error, LimitExceeded):
                    tap.abandon("limit")
        except Exception as error:
            self._failed(tap.name, error)
            tap.abandon("failed")
        finally:
            if tap.ended_by is not None:
                self._counts.untapped[tap.ended_by] += 1
            tap.abandon("failed")  # what is left of it

    def _finish(self, body: "_Body", decode: Decoder) -> None:
        if body.ended_by is None:
            self._start(self._hydrate, body, decode)
        else:
            self._counts.untapped[body.ended_by] += 1

    async def _hydrate(self, body: "_Body", decode: Decoder) -> None:
        try:
            data = bytearray()
            for piece in decode.pieces(body.data()):
                data += piece
                if len(data) > self._max_hydrate_bytes:
                    raise Unreadable("size")
            objects = objects_in(bytes(data))
            if objects:
                await self._pipeline.hydrate(objects, stream=_HYDRATED)
                self._counts.hydrated += 1
        except Unreadable as error:
            self._counts.untapped[error.reason] += 1
        except Exception as error:
            self._failed(_HYDRATED, error)
            self._counts.untapped["failed"] += 1
        finally:
            body.drop()

    def _failed(self, stream: str, error: Exception) -> None:
        log.error("proxy.tap_failed", stream=stream, cause=type(error).__name__)


class _Body:
    """The copy of an answer that is no stream."""

    def __init__(self, backlog: Backlog, max_bytes: int, finish: "Callable[[_Body], None]") -> None:
        self.ended_by: Untapped | None = None
        self._backlog = backlog
        self._max_bytes = max_bytes
        self._finish = finish
        self._chunks: list[bytes] = []
        self._size = 0

    def offer(self, chunk: bytes) -> None:
        """Take in what has passed."""
        if self.ended_by is not None:
            return
        if self._size + len(chunk) > self._max_bytes:
            self.ended_by = "size"
        elif not self._backlog.takes(len(chunk)):
            self.ended_by = "backlog"
        else:
            self._chunks.append(chunk)
            self._size += len(chunk)
            return
        self.drop()

    async def room(self) -> None:
        """Objects hold nobody up."""

    def complete(self, is_whole: bool) -> None:
        """Nothing more will pass; a part of an object is none."""
        if is_whole:
            self._finish(self)
        else:
            self.drop()

    def data(self) -> bytes:
        """All of it."""
        return b"".join(self._chunks)

    def drop(self) -> None:
        """Forget it."""
        self._backlog.leave(self._size)
        self._chunks.clear()
        self._size = 0
