"""HttpServer: what all servers of the worker share, around aiohttp's, which does the HTTP.

* A connection must bring the head of a request within `header_timeout_s` of its beginning or of the answer before.
  Connections, headers, requests per client and the time that an answer takes to be read have bounds, too.
* What two servers could read as different requests is refused, and the connection closed: most of it by aiohttp's
  parser, the rest by `_oddity`. Nothing more is read from a connection that was refused something.
* Handlers answer with a response or raise `Refused`. Errors are JSON, and say nothing that came with the request.
* Logged are method, route, status and sizes. Paths, headers and bodies are not.
"""

import math
import socket
from asyncio import AbstractEventLoop, get_running_loop
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic
from traceback import format_tb
from types import TracebackType
from typing import Any, Final, Self, TypeAlias
from urllib.parse import unquote

import msgspec
import structlog
from aiohttp import hdrs, web
from anyio import CancelScope, Event, move_on_after
from msgspec import Struct

from streamproc.errors import ConfigError
from streamproc.worker.http_guards import Buckets, Tokens

__all__ = ["Handler", "HttpServer", "Refused", "Route", "ServerLimits", "json_response"]

log = structlog.get_logger("streamproc")

Handler: TypeAlias = Callable[[web.BaseRequest, Mapping[str, str]], Awaitable[web.StreamResponse]]
"""Takes a request and the named parts of its path."""

_NAME: Final = "streamproc"
_BACKLOG: Final = 1024
_LINGER_S: Final = 1.0  # that the rest of a body is read and dropped after an answer, so that the answer arrives
_LEAVE_S: Final = 1.0  # that answers to requests which were stopped may take
_RECEIVE_BYTES: Final = 64 * 1024  # that the kernel holds for a connection; a thousand of them wait at times
_LINE_BYTES: Final = 8190
_LENGTH_DIGITS: Final = 18
_SINGLE: Final = (hdrs.HOST, hdrs.CONTENT_LENGTH, hdrs.TRANSFER_ENCODING, hdrs.AUTHORIZATION, hdrs.CONTENT_ENCODING)


class ServerLimits(Struct, frozen=True, kw_only=True):
    """What clients of one server may use."""

    max_header_bytes: int = 32 * 1024  # of all headers of a request; of one of them, and of the first line, 8190
    max_headers: int = 64  # how many
    header_timeout_s: float = 10.0
    """For the head of a request, also of the next one on a connection that stays open."""
    answer_timeout_s: float = 30.0  # for an answer to be read
    max_connections: int = 4000  # further ones are closed at once
    read_buffer_bytes: int = 16 * 1024  # of a body, before reading pauses
    rate_per_s: float | None = None  # of one client, on the whole
    rate_burst: int = 400  # requests that one client may make at once


class Refused(Exception):
    """A request that is answered with an error.

    Attributes:
        status: of HTTP.
        code: what is wrong, for programs.
        text: the same for people; never content.
        headers: of the answer.
        more: members of the answer beside `error`.
    """

    def __init__(
        self,
        status: int,
        code: str,
        text: str,
        *,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(status, code, text)
        self.status = status
        self.code = code
        self.text = text
        self.headers = headers or {}
        self.more = more or {}

    def response(self) -> web.Response:
        body = {"error": {"code": self.code, "message": self.text}, **self.more}
        return json_response(body, self.status, self.headers)


class Route(Struct, frozen=True):
    """One method of one path. Parts of the path in braces are handed to the handler, percent-decoded."""

    method: str
    path: str
    handle: Handler
    is_open: bool = False  # to everybody, without a token and also while draining


def json_response(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer that holds one JSON object, on one line."""
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return web.Response(body=content + b"\n", status=status, content_type="application/json", headers=headers)


class HttpServer:
    """Serves routes on one port, from entering to leaving it.

        async with HttpServer("admin", routes, port=8765) as server:
            print(server.url)

    Whoever offers it on a public address (see `is_public`) without tokens, offers it to everybody: to refuse that is up
    to the caller.
    """

    def __init__(
        self,
        name: str,
        routes: Sequence[Route],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        tokens: Sequence[str] = (),
        limits: ServerLimits | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """
        Args:
            name: in logs and metrics.
            port: 0 for any that is free, see `port`.
            clock: seconds, for the rate limit.

        Raises:
            ConfigError: a token cannot work.
        """
        self.name = name
        self.limits = limits or ServerLimits()
        self.port = port
        self.is_draining = False
        self.counts: Counter[tuple[str, int]] = Counter()  # answers by route ("" for none) and status
        self.refused_connections = 0
        self.on_stop: list[Callable[[], object]] = []  # called when requests under way must come to an end
        self._host = host
        self._routes = [(route, route.path.split("/")) for route in routes]
        self._tokens = Tokens(tokens)
        rate = self.limits.rate_per_s
        self._buckets = None if rate is None else Buckets(rate, self.limits.rate_burst, clock)
        self._server: _Server | None = None
        self._scopes: set[CancelScope] = set()  # of requests under way
        self._idle = Event()

    @property
    def url(self) -> str:
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self.port}"

    @property
    def connections(self) -> int:
        return 0 if self._server is None else len(self._server.connections)

    async def __aenter__(self) -> Self:
        """
        Raises:
            ConfigError: the address cannot be bound.
        """
        limits = self.limits
        self._server = _Server(
            self,
            keepalive_timeout=limits.header_timeout_s,
            max_line_size=min(_LINE_BYTES, limits.max_header_bytes),
            max_field_size=min(_LINE_BYTES, limits.max_header_bytes),
            max_headers=limits.max_headers,
            read_bufsize=limits.read_buffer_bytes,
            lingering_time=_LINGER_S,
            auto_decompress=False,
            access_log=None,
        )
        self._runner = web.ServerRunner(self._server, shutdown_timeout=_LEAVE_S)
        await self._runner.setup()
        try:
            listening = await _listen(self._host, self.port)
            self.port = listening.getsockname()[1]
            self._site = web.SockSite(self._runner, listening, backlog=_BACKLOG)
            await self._site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise ConfigError(f"cannot listen on {self._host}:{self.port}: {error.strerror or error}") from error
        log.info("server.started", server=self.name, host=self._host, port=self.port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with CancelScope(shield=True):
            if not self.is_draining:
                await self.drain(0.0)
            await self._runner.cleanup()
        log.info("server.stopped", server=self.name)

    async def drain(self, deadline_s: float) -> None:
        """Take no more connections or requests, and wait for those under way; after the deadline they are stopped."""
        self.is_draining = True
        await self._site.stop()
        if self._server is not None:
            self._server.close_idle()
        with move_on_after(deadline_s):
            await self._all_answered()
        if self._scopes:
            log.warning("server.drain_expired", server=self.name, deadline_s=deadline_s, requests=len(self._scopes))
            for stop in self.on_stop:
                stop()
            with move_on_after(_LEAVE_S):
                await self._all_answered()
            for scope in self._scopes:
                scope.cancel()
            with move_on_after(_LEAVE_S):
                await self._all_answered()

    async def _all_answered(self) -> None:
        while self._scopes:
            self._idle = Event()
            await self._idle.wait()

    # -- one request --------------------------------------------------------------------------------------------------

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; called by aiohttp."""
        since_s = get_running_loop().time()
        protocol = request.protocol
        assert isinstance(protocol, _Connection)
        protocol.is_busy = True
        scope = CancelScope()
        self._scopes.add(scope)
        try:
            route, response = await self._answer(request, scope)
            self._count(request, route, response.status, get_running_loop().time() - since_s)
            response.headers["Server"] = _NAME  # and nothing of versions
            if response.status >= 400 or self.is_draining or _is_last(request):
                response.force_close()
            with move_on_after(self.limits.answer_timeout_s) as answering:
                await response.prepare(request)
                await response.write_eof()
            if answering.cancelled_caught and request.transport is not None:
                request.transport.abort()  # to close it would wait for the client
            return response
        finally:
            protocol.is_busy = False
            self._scopes.discard(scope)
            if not self._scopes:
                self._idle.set()

    async def _answer(self, request: web.BaseRequest, scope: CancelScope) -> tuple[Route | None, web.StreamResponse]:
        route: Route | None = None
        try:
            with scope:
                route, parts = self._route(request)
                self._check(request, route)
                await _continue(request)
                return route, await route.handle(request, parts)
            return route, _DRAINING.response()
        except Refused as refused:
            return route, refused.response()
        except ConnectionError:
            raise
        except Exception as error:
            where = "".join(format_tb(error.__traceback__))  # without what it says, which may be content
            log.error("request.failed", server=self.name, exception=f"{where}{type(error).__name__}")
            return route, Refused(500, "internal", "something went wrong here; the log says where").response()

    def _count(self, request: web.BaseRequest, route: Route | None, status: int, duration_s: float) -> None:
        self.counts["" if route is None else route.path, status] += 1
        fields = {
            "server": self.name,
            "method": "" if route is None else route.method,
            "route": "" if route is None else route.path,
            "status": status,
            "duration_s": round(duration_s, 3),
        }
        if route is None or status in (401, 429):
            log.debug("request.refused", **fields)  # anybody can make as many as they like
        else:
            log.info("request.served", **fields)

    def _route(self, request: web.BaseRequest) -> tuple[Route, dict[str, str]]:
        if (what := _oddity(request)) is not None:
            raise Refused(400, "bad_request", what)
        if sum(len(name) + len(value) + 4 for name, value in request.raw_headers) > self.limits.max_header_bytes:
            raise Refused(431, "headers_too_large", "the headers are longer than is allowed")
        pieces = request.rel_url.raw_path.split("/")
        allowed: list[str] = []
        for route, names in self._routes:
            parts = _parts(names, pieces)
            if parts is None:
                continue
            if route.method == request.method:
                return route, parts
            allowed.append(route.method)
        if allowed:
            raise Refused(405, "method_not_allowed", "no such method here", headers={"Allow": ", ".join(allowed)})
        raise Refused(404, "not_found", "no such path here")

    def _check(self, request: web.BaseRequest, route: Route) -> None:
        if route.is_open:
            return
        if self._buckets is not None and (wait_s := self._buckets.take(request.remote or "")):
            headers = {"Retry-After": str(math.ceil(wait_s))}
            raise Refused(429, "too_many_requests", "too many requests of this client", headers=headers)
        if not self._tokens.allow(request.headers.get(hdrs.AUTHORIZATION, "")):
            headers = {"WWW-Authenticate": "Bearer"}
            raise Refused(401, "unauthorized", "expected Authorization: Bearer with a known token", headers=headers)
        if self.is_draining:
            raise _DRAINING


_DRAINING: Final = Refused(503, "draining", "this server is stopping; another one may take it")


def _parts(names: Sequence[str], pieces: Sequence[str]) -> dict[str, str] | None:
    """The named parts of a path that has the form of a route, None of another one."""
    if len(names) != len(pieces):
        return None
    found: dict[str, str] = {}
    for name, piece in zip(names, pieces, strict=True):
        if name.startswith("{"):
            found[name[1:-1]] = unquote(piece)
        elif name != piece:
            return None
    return found


async def _continue(request: web.BaseRequest) -> None:
    """Ask for the body, where the client waits for that."""
    expect = request.headers.get(hdrs.EXPECT)
    if expect is not None and request.version >= (1, 1):
        if expect.lower() != "100-continue":
            raise Refused(417, "expectation_failed", "expected Expect: 100-continue, or none")
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer itself has not begun


def _oddity(request: web.BaseRequest) -> str | None:
    """What makes a request ambiguous although it could be parsed; None for an ordinary one."""
    headers = request.headers
    if not (1, 0) <= request.version <= (1, 1):
        return "no HTTP/1.1"
    if len(headers.get(hdrs.CONTENT_LENGTH, "")) > _LENGTH_DIGITS:
        return "a Content-Length beyond 64 bits"
    for name in _SINGLE:
        if len(headers.getall(name, ())) > 1:
            return f"more than one header {name}"
    if hdrs.HOST not in headers and request.version >= (1, 1):
        return "no header Host"
    if hdrs.TRANSFER_ENCODING in headers:
        if request.version < (1, 1) or headers[hdrs.TRANSFER_ENCODING].lower() != "chunked":
            return "an unknown Transfer-Encoding"
        if hdrs.CONTENT_LENGTH in headers:
            return "both Transfer-Encoding and Content-Length"
    if hdrs.UPGRADE in headers or request.method == hdrs.METH_CONNECT:
        return "no other protocol is spoken here"
    return None


def _is_last(request: web.BaseRequest) -> bool:
    """Whether its connection must not bring another one: it has a body where none is expected, or is of HTTP/1.0."""
    return request.version < (1, 1) or (request.method in ("GET", "HEAD") and request.body_exists)


class _Server(web.Server):
    """aiohttp's server, with a bound on connections."""

    def __init__(self, owner: HttpServer, **options: Any) -> None:
        super().__init__(owner.serve, **options)
        self._owner = owner
        self._options = options

    def __call__(self) -> web.RequestHandler:
        return _Connection(self._owner, self, loop=get_running_loop(), **self._options)

    def connection_made(self, handler: web.RequestHandler, transport: Any) -> None:
        super().connection_made(handler, transport)
        if len(self._connections) > self._owner.limits.max_connections or self._owner.is_draining:
            self._owner.refused_connections += 1
            handler.force_close()

    def close_idle(self) -> None:
        """Close the connections that wait for a request."""
        for connection in self.connections:
            if isinstance(connection, _Connection) and not connection.is_busy:
                connection.force_close()


class _Connection(web.RequestHandler):
    """aiohttp's connection, whose own errors are answered and logged as all others here."""

    def __init__(self, owner: HttpServer, manager: web.Server, *, loop: AbstractEventLoop, **options: Any) -> None:
        super().__init__(manager, loop=loop, **options)
        self._owner = owner
        self.is_busy = False

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """What cannot be parsed, and anything that `serve` let through."""
        self._owner.counts["", status] += 1
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is under way already")
        log.debug("request.malformed", server=self._owner.name, status=status, cause=type(exc).__name__)
        response = Refused(status, "bad_request", "no request of HTTP/1.1 that can be read without doubt").response()
        response.headers["Server"] = _NAME
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Its text may hold what came."""
        error = kw.get("exc_info")
        log.error("server.failed", server=self._owner.name, cause=type(error).__name__)


async def _listen(host: str, port: int) -> socket.socket:
    """A socket that is bound, to the first address of that name."""
    found = await get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    family, kind, protocol, _, address = found[0]
    listening = socket.socket(family, kind, protocol)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.setblocking(False)
        listening.bind(address)
    except BaseException:
        listening.close()
        raise
    return listening
