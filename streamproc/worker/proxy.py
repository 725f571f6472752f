"""`Proxy`: stands between a client and an API, passes everything on as it is, and has a pipeline follow the streams.

    async with Pipeline(store=SqliteStore("runs.db")) as pipeline, Proxy("https://api.openai.com", pipeline) as proxy:
        print(proxy.url)  # the client's base URL, with the path that the API's has
        await sleep_forever()

Here is the server: it listens, counts, refuses what cannot be passed on, and drains. What becomes of one request is in
proxy_exchange.py. A client that leaves cancels its handler, and with it the request to the upstream.
"""

import logging
from contextlib import AsyncExitStack
from random import Random
from types import TracebackType
from typing import Final, Literal, Self

import aiohttp
import anyio
import structlog
from aiohttp import web
from anyio.abc import TaskGroup
from yarl import URL

from streamproc.core.dialect import dialect_factory
from streamproc.errors import ConfigError
from streamproc.pipeline import Pipeline
from streamproc.worker.config.servers import is_loopback
from streamproc.worker.headers import size_bytes, tokens
from streamproc.worker.proxy_exchange import Exchanges
from streamproc.worker.proxy_response import Relayed, refused
from streamproc.worker.proxy_server import ProxyServer
from streamproc.worker.proxy_statistics import Counts, ProxyStatistics
from streamproc.worker.proxy_upstream import base_of, new_session
from streamproc.worker.tap import Backlog
from streamproc.worker.taps import Taps

__all__ = ["Proxy"]

log = structlog.get_logger("streamproc")

_KEEP_ALIVE_S: Final = 75.0  # for a client's next request, or the rest of its head
_FULL_S: Final = 1.0  # that a request waits for a pipeline that must take it, looking ...
_FULL_TRIES: Final = 20  # ... so many times
_GATHER_S: Final = 0.1  # waking a task for each event would cost the traffic more than processing it
_CUT_S: Final = 0.1  # for a request to notice that it is cut off
_LEAST_S: Final = 1.0  # for what has passed to be processed, even when nothing is waited for


class Proxy:
    """Passes requests on to one API; listens while its context is open.

    Args:
        upstream: the API; paths are added to its own.
        pipeline: open, and longer than the proxy; follows the streams.
        host: where to listen, loopback unless `allow_public`: the proxy knows no tokens of its own.
        port: 0 is any free one.
        fail: what a pipeline that cannot take streams does to the traffic: "open" nothing; "closed" refuses requests
            with 503, makes streams wait for it, and breaks off those that it can no longer take.
        dialect: of all streams; "auto" finds each one's out.
        connect_timeout_s: for a connection to the upstream.
        idle_timeout_s: how long an answer may take to begin, and then say nothing.
        max_requests: at a time; further ones get 503.
        max_header_bytes: of a request or an answer.
        max_hydrate_bytes: of an answer whose objects are taken over; 0: none is.
        max_backlog_bytes: that wait for the pipeline, of all streams together.
        drain_s: how long leaving waits for the requests under way, and then for their copies to be processed.
        random: for the names of streams.

    Raises:
        ConfigError: an argument cannot work.
    """

    def __init__(
        self,
        upstream: str | URL,
        pipeline: Pipeline,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        allow_public: bool = False,
        fail: Literal["open", "closed"] = "open",
        dialect: str = "auto",
        connect_timeout_s: float = 10.0,
        idle_timeout_s: float = 600.0,
        max_requests: int = 2000,
        max_header_bytes: int = 32 * 1024,
        max_hydrate_bytes: int = 2 * 1024 * 1024,
        max_backlog_bytes: int = 64 * 1024 * 1024,
        drain_s: float = 10.0,
        random: Random | None = None,
    ) -> None:
        self._base = base_of(upstream)
        self._prefix = f"{self._base.origin()}{self._base.raw_path.rstrip('/')}"
        dialect_factory(dialect)
        if not allow_public and not is_loopback(host):
            raise ConfigError(
                f"{host!r} is not loopback, and the proxy asks nobody for a token; allow_public if that is meant"
            )
        self._pipeline = pipeline
        self._host, self._port = host, port
        self._is_closed_on_failure = fail == "closed"
        self._dialect = dialect
        self._connect_timeout_s, self._idle_timeout_s = connect_timeout_s, idle_timeout_s
        self._max_requests = max_requests
        self._max_header_bytes, self._max_hydrate_bytes = max_header_bytes, max_hydrate_bytes
        self._drain_s = drain_s
        self._random = random or Random()
        self._counts = Counts()
        self._backlog = Backlog(max_backlog_bytes)
        self._stack = AsyncExitStack()
        self._progress = anyio.Event()  # a request has ended
        self._group: TaskGroup  # while it is open
        self._exchanges: Exchanges

    async def __aenter__(self) -> Self:
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        try:
            async with AsyncExitStack() as stack:
                await self._open(stack, self._group)
                self._stack = stack.pop_all()
        except BaseException:
            await self._leave_group()
            raise
        log.info("proxy.listening", host=self._host, port=self._port, upstream=self._base.host)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            with anyio.CancelScope(shield=True):  # each step has its own deadline
                await self._stack.aclose()
        finally:
            await self._leave_group()
        log.info("proxy.closed", requests=self._counts.requests)

    async def _open(self, stack: AsyncExitStack, group: TaskGroup) -> None:
        taps = Taps(
            self._pipeline,
            group,
            self._counts,
            self._backlog,
            self._random,
            dialect=self._dialect,
            max_hydrate_bytes=self._max_hydrate_bytes,
            max_tasks=2 * self._max_requests,
            gather_s=0.0 if self._is_closed_on_failure else _GATHER_S,
        )
        stack.push_async_callback(taps.drain, max(self._drain_s, _LEAST_S))
        session = await stack.enter_async_context(self._new_session())
        self._exchanges = Exchanges(
            session,
            self._prefix,
            taps,
            self._counts,
            waits_for_pipeline=self._is_closed_on_failure,
            idle_timeout_s=self._idle_timeout_s,
        )
        await self._listen(stack)

    async def _leave_group(self) -> None:
        self._group.cancel_scope.cancel()
        await self._group.__aexit__(None, None, None)  # an error of the block goes on as it is, in no group

    async def _drain(self, runner: web.ServerRunner, server: ProxyServer) -> None:
        """Take no more connections, and wait for the requests under way."""
        for site in runner.sites:
            await site.stop()
        server.close_idle()
        with anyio.move_on_after(self._drain_s):
            while self._counts.active:
                self._progress = anyio.Event()
                await self._progress.wait()

    def _new_session(self) -> aiohttp.ClientSession:
        return new_session(
            connect_timeout_s=self._connect_timeout_s,
            idle_timeout_s=self._idle_timeout_s,
            max_header_bytes=self._max_header_bytes,
        )

    async def _listen(self, stack: AsyncExitStack) -> None:
        silent = logging.Logger("streamproc.worker")  # what aiohttp says of bad requests shows their content
        silent.disabled = True
        server = ProxyServer(
            self._handle,
            handler_cancellation=True,
            keepalive_timeout=_KEEP_ALIVE_S,
            logger=silent,
            access_log=None,
            max_line_size=self._max_header_bytes,
            max_field_size=self._max_header_bytes,
            auto_decompress=False,
        )
        runner = web.ServerRunner(server, shutdown_timeout=_CUT_S)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        stack.push_async_callback(self._drain, runner, server)
        try:
            await web.TCPSite(runner, self._host, self._port).start()
        except OSError as error:
            raise ConfigError(f"cannot listen on {self._host}, port {self._port}: {error.strerror}") from None
        self._port = runner.addresses[0][1]

    @property
    def port(self) -> int:
        """The port, once it listens."""
        return self._port

    @property
    def url(self) -> str:
        """Scheme, host and port, once it listens."""
        return str(URL.build(scheme="http", host=self._host, port=self._port))

    @property
    def upstream(self) -> str:
        """What comes before the path of each request."""
        return self._prefix

    def statistics(self) -> ProxyStatistics:
        """The accounts since it was opened."""
        return self._counts.frozen(self._backlog.used_bytes)

    # -- one request --------------------------------------------------------------------------------------------------

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        counts = self._counts
        counts.requests += 1
        counts.active += 1
        try:
            refusal = await self._refusal(request)
            if refusal is not None:
                counts.refused += 1
                return refusal
            return await self._exchanges.carry_out(request)
        except ConnectionError:
            counts.client_disconnects += 1
            raise
        except anyio.get_cancelled_exc_class():
            counts.client_disconnects += 1
            raise
        except Exception as error:
            log.error("proxy.failed", method=request.method, cause=type(error).__name__)
            raise ConnectionResetError from None  # which ends the connection
        finally:
            counts.active -= 1
            self._progress.set()

    async def _refusal(self, request: web.BaseRequest) -> Relayed | None:
        """The answer to what cannot be passed on."""
        target, raw = request.raw_path, request.raw_headers
        if request.method == "CONNECT" or not target.startswith("/"):
            return refused(request, 400, "no_path", "expected a path; this proxy is a base URL and no forward proxy")
        if not target.isascii() or not target.isprintable() or " " in target or "#" in target:
            return refused(request, 400, "bad_path", "expected a path in visible ASCII characters, quoted where needed")
        if size_bytes(raw) > self._max_header_bytes:
            return refused(request, 431, "headers_too_large", f"expected at most {self._max_header_bytes} bytes")
        if b"websocket" in tokens(raw, b"upgrade"):
            return refused(request, 501, "no_websocket", "WebSockets are not passed on; connect to the API itself")
        if tokens(raw, b"transfer-encoding") - {b"chunked"}:
            return refused(request, 501, "transfer_encoding", "expected no transfer coding but chunked")
        if self._counts.active > self._max_requests:
            return refused(request, 503, "too_many_requests", f"{self._max_requests} requests are under way")
        if self._is_closed_on_failure and not await self._pipeline_takes():
            return refused(
                request, 503, "pipeline_unavailable", "the stream could not be recorded; nothing was sent on"
            )
        return None

    async def _pipeline_takes(self) -> bool:
        """Whether a stream could be recorded now, or in a moment: a sink may just have its hands full."""
        with anyio.move_on_after(_FULL_S):
            for _ in range(_FULL_TRIES):
                if await self._pipeline.can_take():
                    return True
                await anyio.sleep(_FULL_S / _FULL_TRIES)
        return False
