"""Ingest: `POST /v1/streams/{stream}` takes a stream as it arrives, and answers with what became of it.

A stream is known by its name. While it is open, one request at a time brings its bytes; reading the next ones waits
until there is room for what came of these. A request that breaks off leaves the stream open for `resume_window_s`: its
client asks for the offset (`HEAD`, or `GET` for the whole summary), which counts the bytes of the body that are
processed and durable, and sends the rest with `Stream-Offset: N`. After the window the stream is truncated.

A body that ends as HTTP says ends its stream. See docs/ingest.md for the whole of it.
"""

from collections import Counter, OrderedDict
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Final, Self

import anyio
import structlog
from aiohttp import ClientPayloadError, StreamReader, hdrs, web
from anyio import create_task_group, current_time, get_cancelled_exc_class, move_on_after
from msgspec import Struct

from streamproc.core.dialect import dialect_names
from streamproc.errors import ConfigError, LimitExceeded, StoreError
from streamproc.pipeline import Pipeline
from streamproc.worker.http import Refused, Route, json_response
from streamproc.worker.ingest_body import BadGzip, Bomb, Gunzip
from streamproc.worker.ingest_stream import BodyKind, IngestStream, Stopped, StreamSummary
from streamproc.worker.ingest_turns import Turns

__all__ = ["Ingest", "IngestLimits"]

log = structlog.get_logger("streamproc")

OFFSET: Final = "Stream-Offset"

_PATH: Final = "/v1/streams/{stream}"
_NAME_MAX: Final = 200
_OWN: Final = "streamproc."  # inferred statuses, probes of the store and objects that pass the proxy have such streams
_KINDS: Final[Mapping[str, BodyKind]] = {"text/event-stream": "sse", "application/x-ndjson": "ndjson"}
_BROKEN: Final = (ConnectionError, ClientPayloadError, web.RequestPayloadError)
_PIECE_BYTES: Final = 16 * 1024
_TAKE_OVER_S: Final = 5.0  # that a request which was replaced may take to let go
_ANSWERS: Final[Mapping[Stopped, tuple[int, str, str]]] = {
    "silent": (408, "silent", "nothing came for too long; the stream waits for the rest"),
    "replaced": (409, "replaced", "another request goes on with this stream"),
    "draining": (503, "draining", "this server is stopping; another one may take the stream, from its beginning"),
}


class IngestLimits(Struct, frozen=True, kw_only=True):
    """What clients of the ingest server may use."""

    max_streams: int = 2000  # with a request
    max_interrupted: int = 1024  # without one, in their window; beyond that the oldest are truncated
    max_ended: int = 1024  # whose summaries are kept, for as long as the window
    resume_window_s: float = 120.0
    idle_timeout_s: float = 60.0  # for how long nothing at all of a body may come
    max_body_bytes: int = 256 * 1024 * 1024  # of one stream, inflated
    durable_timeout_s: float = 30.0  # for the store to take what an answer speaks of


class Ingest:
    """The streams that are open, and the routes that bring them.

        async with Pipeline(...) as pipeline, Ingest(pipeline) as ingest, HttpServer("ingest", ingest.routes):
            ...

    Leaving it ends the streams that are still open as truncated; `stop` lets the requests under way end before.

    Attributes:
        totals: streams that ended, by dialect and outcome: complete, truncated or failed.
        received_bytes: of bodies, inflated.
    """

    def __init__(self, pipeline: Pipeline, *, dialect: str = "auto", limits: IngestLimits | None = None) -> None:
        """
        Args:
            dialect: of the streams whose requests name none.

        Raises:
            ConfigError: there is no such dialect.
        """
        if dialect not in dialect_names():
            raise ConfigError(f"no dialect {dialect!r}; known: {', '.join(dialect_names())}")
        self.limits = limits or IngestLimits()
        self.totals: Counter[tuple[str, str]] = Counter()
        self.received_bytes = 0
        self._pipeline = pipeline
        self._dialect = dialect
        self._turns = Turns()
        self._open: dict[str, IngestStream] = {}
        self._waiting: OrderedDict[str, float] = OrderedDict()  # interrupted streams, and until when
        self._ended: OrderedDict[str, tuple[StreamSummary, float]] = OrderedDict()
        self.routes = (
            Route("POST", _PATH, self._post),
            Route("GET", _PATH, self._get),
            Route("HEAD", _PATH, self._get),
        )

    @property
    def active(self) -> int:
        """Streams with a request."""
        return len(self._open) - len(self._waiting)

    @property
    def interrupted(self) -> int:
        """Streams that wait for their next request."""
        return len(self._waiting)

    async def __aenter__(self) -> Self:
        self._group = create_task_group()
        await self._group.__aenter__()
        self._group.start_soon(self._watch)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.stop()
            with move_on_after(_TAKE_OVER_S, shield=True):
                for stream in [*self._open.values()]:
                    await stream.released()
            for stream in [*self._open.values()]:
                self._end(stream)
        finally:
            self._group.cancel_scope.cancel()
            if not isinstance(error, get_cancelled_exc_class()):  # the group would wrap any other error
                error = None
            await self._group.__aexit__(type(error) if error else None, error, None)

    def stop(self) -> None:
        """Let all requests under way end; for `HttpServer.on_stop`."""
        for stream in self._open.values():
            stream.stop("draining")

    # -- requests -----------------------------------------------------------------------------------------------------

    async def _post(self, request: web.BaseRequest, parts: Mapping[str, str]) -> web.StreamResponse:
        name = _name(parts["stream"])
        kind, gunzip, offset = _kind(request), _encoding(request), _offset(request)
        dialect = self._dialect_of(request)
        stream = await self._find(name, kind, dialect, offset)
        scope = stream.attach()
        broken: Refused | Exception | None = None
        try:
            with scope:
                await self._read(stream, request.content, gunzip)
                return await self._finish(stream)
        except (*_BROKEN, BadGzip) as error:
            broken = error
        except (LimitExceeded, Bomb) as error:
            stream.failure = str(error)
            raise _too_large(self._end(stream), str(error)) from error
        finally:
            stopped = stream.detach()
            if self._open.get(name) is stream:
                self._interrupt(stream, stopped, broken)
        headers = {OFFSET: str(stream.offset)}
        if stopped is not None:
            raise Refused(*_ANSWERS[stopped], headers=headers)
        text = str(broken) if isinstance(broken, BadGzip) else "the body cannot be read, or was cut"
        raise Refused(400, "bad_body", text, headers=headers)

    async def _get(self, request: web.BaseRequest, parts: Mapping[str, str]) -> web.StreamResponse:
        name = _name(parts["stream"])
        stream, ended = self._open.get(name), self._ended.get(name)
        if stream is not None:
            summary = stream.summary()
        elif ended is not None:
            summary = ended[0]
        else:
            raise Refused(404, "unknown_stream", "no such stream, or it is too long ago")
        await self._durable()
        headers = {OFFSET: str(summary.offset), "Cache-Control": "no-store"}
        return json_response(summary, headers=headers)

    def _dialect_of(self, request: web.BaseRequest) -> str:
        dialect = request.rel_url.query.get("dialect", self._dialect)
        if dialect not in dialect_names():
            raise Refused(400, "unknown_dialect", f"known dialects: {', '.join(dialect_names())}")
        return dialect

    async def _find(self, name: str, kind: BodyKind, dialect: str, offset: int | None) -> IngestStream:
        """The stream that a request goes on with, or a new one."""
        stream = self._open.get(name)
        if stream is not None and offset is not None and stream.is_attached:
            stream.stop("replaced")  # its connection is lost, or else its client would not ask for another one
            with move_on_after(_TAKE_OVER_S):
                await stream.released()
            stream = self._open.get(name)
        if stream is not None and stream.is_attached:
            raise _conflict("active", "a request brings this stream already", stream.offset)
        if stream is None or offset is None:
            if offset:
                ended = self._ended.get(name)
                if ended is not None:
                    raise _conflict("ended", "this stream has ended", ended[0].offset)
                raise _conflict("unknown_stream", "no such stream is open: begin it again", 0)
            if stream is not None:
                self._end(stream)
            return await self._begin(name, kind, dialect)
        if offset != stream.offset:
            raise _conflict("wrong_offset", "expected another offset", stream.offset)
        if kind != stream.kind:
            raise _conflict("other_type", "expected the content type of the request before", stream.offset)
        del self._waiting[name]
        return stream

    async def _begin(self, name: str, kind: BodyKind, dialect: str) -> IngestStream:
        if self.active >= self.limits.max_streams:
            raise Refused(503, "too_many_streams", "as many streams as are allowed", headers={"Retry-After": "1"})
        spoken = "assistants" if kind == "ndjson" else dialect
        try:
            pushed = await self._pipeline.push(name, dialect=spoken)
        except ConfigError as error:
            raise _conflict("active", "a stream of this name is followed already", 0) from error
        except StoreError as error:
            raise Refused(
                503, "store_unavailable", "the store does not answer", headers={"Retry-After": "1"}
            ) from error
        self._ended.pop(name, None)
        stream = self._open[name] = IngestStream(name, kind, spoken, pushed, self._pipeline)
        return stream

    # -- bodies -------------------------------------------------------------------------------------------------------

    async def _read(self, stream: IngestStream, content: StreamReader, gunzip: Gunzip | None) -> None:
        """Feed a body to its end.

        Raises:
            LimitExceeded, Bomb: the stream cannot go on.
            BadGzip, ConnectionError, ...: the body cannot.
        """
        while not content.at_eof():
            stream.heard_s = current_time()
            data = await content.readany()
            stream.heard_s = None
            for piece in _cut(data) if gunzip is None else gunzip.pieces(data):
                await self._turns.take(len(piece))
                await self._feed(stream, piece)
        if gunzip is not None:
            gunzip.end()
        stream.end_of_body()

    async def _feed(self, stream: IngestStream, piece: bytes) -> None:
        limit = self.limits.max_body_bytes
        if stream.offset + len(piece) > limit:
            raise LimitExceeded("max_body_bytes", limit)
        self.received_bytes += len(piece)
        await stream.feed(piece)

    async def _finish(self, stream: IngestStream) -> web.Response:
        summary = self._end(stream)
        if summary.failure is not None:
            raise _too_large(summary, summary.failure)
        await self._durable()
        return json_response(summary, headers={OFFSET: str(summary.offset)})

    async def _durable(self) -> None:
        """Wait until what an answer is about to say has been stored."""
        with move_on_after(self.limits.durable_timeout_s):
            await self._pipeline.flush()
            return
        raise Refused(503, "not_durable", "the store does not take changes: ask again", headers={"Retry-After": "5"})

    # -- lives of streams ---------------------------------------------------------------------------------------------

    def _interrupt(self, stream: IngestStream, stopped: Stopped | None, broken: Exception | None) -> None:
        """Let a stream wait for its next request."""
        now_s = current_time()
        self._waiting[stream.name] = now_s + self.limits.resume_window_s
        cause = stopped or (type(broken).__name__ if broken is not None else "cancelled")
        log.info("ingest.interrupted", stream=stream.name, offset=stream.offset, cause=cause)
        while len(self._waiting) > self.limits.max_interrupted:
            self._end(self._open[next(iter(self._waiting))])

    def _end(self, stream: IngestStream) -> StreamSummary:
        del self._open[stream.name]
        self._waiting.pop(stream.name, None)
        summary = stream.end()
        outcome = "failed" if summary.failure is not None else "truncated" if summary.truncated else "complete"
        self.totals[stream.dialect, outcome] += 1
        self._ended[stream.name] = summary, current_time() + self.limits.resume_window_s
        while len(self._ended) > self.limits.max_ended:
            self._ended.popitem(last=False)
        return summary

    async def _watch(self) -> None:
        """End what waited too long, and requests that bring nothing any more."""
        limits = self.limits
        while True:
            await anyio.sleep(min(1.0, limits.resume_window_s / 4, limits.idle_timeout_s / 4))
            now_s = current_time()
            while self._waiting and next(iter(self._waiting.values())) <= now_s:
                self._end(self._open[next(iter(self._waiting))])
            while self._ended and next(iter(self._ended.values()))[1] <= now_s:
                self._ended.popitem(last=False)
            for stream in self._open.values():
                if stream.heard_s is not None and now_s - stream.heard_s > limits.idle_timeout_s:
                    stream.stop("silent")


def _cut(data: bytes) -> Sequence[bytes]:
    """What one read gave, in pieces that keep the others waiting for a moment only."""
    if len(data) <= _PIECE_BYTES:
        return (data,)
    return [data[at : at + _PIECE_BYTES] for at in range(0, len(data), _PIECE_BYTES)]


def _conflict(code: str, text: str, offset: int) -> Refused:
    return Refused(409, code, text, headers={OFFSET: str(offset)}, more={"offset": offset})


def _too_large(summary: StreamSummary, why: str) -> Refused:
    return Refused(413, "limit", f"the stream was ended: {why}", headers={OFFSET: str(summary.offset)})


def _name(text: str) -> str:
    """
    Raises:
        Refused: no stream can have this name.
    """
    if not 0 < len(text) <= _NAME_MAX or "/" in text or not all("!" <= character <= "~" for character in text):
        raise Refused(400, "bad_name", f"expected a name of 1 to {_NAME_MAX} visible ASCII characters, without a slash")
    if text.startswith(_OWN):
        raise Refused(400, "bad_name", f"names that begin with {_OWN} are the worker's own")
    return text


def _kind(request: web.BaseRequest) -> BodyKind:
    kind = _KINDS.get(request.content_type)
    if kind is None:
        raise Refused(415, "unsupported_type", f"expected Content-Type: {' or '.join(_KINDS)}")
    return kind


def _encoding(request: web.BaseRequest) -> Gunzip | None:
    match request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower():
        case "identity":
            return None
        case "gzip" | "x-gzip":
            return Gunzip()
        case _:
            headers = {"Accept-Encoding": "gzip, identity"}
            raise Refused(415, "unsupported_encoding", "expected Content-Encoding: gzip, or none", headers=headers)


def _offset(request: web.BaseRequest) -> int | None:
    """Where a request goes on; None for one that does not."""
    texts = request.headers.getall(OFFSET, [])
    if not texts:
        return None
    if len(texts) > 1 or not texts[0].isascii() or not texts[0].isdigit() or len(texts[0]) > 18:
        raise Refused(400, "bad_offset", f"expected one header {OFFSET}, a number of bytes")
    return int(texts[0])
