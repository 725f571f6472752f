"""The proxy's side towards the upstream: one session, the body of a request, the pieces of an answer, what errors mean.

aiohttp's client is told to add nothing, follow nothing, decompress nothing and remember nothing.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any, Final, Literal, TypeAlias, cast

import aiohttp
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.payload import AsyncIterablePayload
from yarl import URL

from streamproc.errors import ConfigError

__all__ = ["FOREIGN", "Answer", "Trouble", "Upload", "base_of", "new_session", "trouble_of"]

FOREIGN: Final = (aiohttp.ClientError, HttpProcessingError, OSError, ValueError)
"""What aiohttp raises for an upstream that is not there, is silent (an `OSError`, too), or speaks no HTTP."""

Trouble: TypeAlias = Literal["unreachable", "timeout", "bad_answer"]

_AUTO_HEADERS: Final = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")  # what aiohttp would add
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


def base_of(upstream: str | URL) -> URL:
    """The upstream as what every path is added to.

    Raises:
        ConfigError: it is no absolute URL of HTTP, or has parts that a base cannot have; the text does not show it.
    """
    try:
        url = URL(upstream)
    except ValueError:
        url = URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise ConfigError("upstream: expected an absolute http or https URL, something else came")
    if url.user is not None or url.password is not None:
        raise ConfigError("upstream: expected a URL without user name and password; clients send their own credentials")
    if url.query_string or url.fragment:
        raise ConfigError("upstream: expected a URL without query and fragment")
    return url


def new_session(*, connect_timeout_s: float, idle_timeout_s: float, max_header_bytes: int) -> aiohttp.ClientSession:
    """The session for all requests of a proxy.

    Args:
        idle_timeout_s: for the head of an answer and then between any two pieces of it.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_timeout_s, sock_read=idle_timeout_s),
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=_AUTO_HEADERS,
        auto_decompress=False,
        raise_for_status=False,
        max_line_size=max_header_bytes,
        max_field_size=max_header_bytes,
    )


class Upload(AsyncIterablePayload):
    """The body of a request, in the pieces in which it comes.

    Attributes:
        is_broken: the client sent something that is no body.
        is_unasked: the client waits for a 100 before it sends anything, and the upstream has not said it.
    """

    def __init__(self, request: web.BaseRequest, *, expects_continue: bool) -> None:
        self.is_broken = False
        self._request = request
        self.is_unasked = expects_continue
        super().__init__(self._pieces())

    @property
    def consumed(self) -> bool:
        """Always, so that aiohttp does not send the request again, with nothing."""
        return True

    async def _pieces(self) -> AsyncIterator[bytes]:
        # With Expect, aiohttp asks for the first piece once the upstream said 100.
        if self.is_unasked and (transport := self._request.transport) is not None:
            transport.write(_CONTINUE)
        self.is_unasked = False
        try:
            while piece := await self._request.content.readany():
                yield piece
        except Exception:
            self.is_broken = True
            raise


class Answer:
    """The body of an upstream's answer, in the pieces in which it comes. Call `close` at the end.

    Two things aiohttp leaves open. It sets a timer for each piece, which costs as much as reading one; here one timer
    lasts for many. And of a chunk that is none it tells whoever waits for a head, not whoever waits for a body.

    Args:
        idle_timeout_s: how long nothing may come while somebody waits for it.

    Attributes:
        was_reset: the connection was torn down rather than ended. Ask only about a body that is not complete: after
            that the connection may serve another request.
    """

    def __init__(self, response: aiohttp.ClientResponse, idle_timeout_s: float) -> None:
        self._content = response.content
        self._loop = asyncio.get_running_loop()
        self._idle_timeout_s = idle_timeout_s
        self._waits_since_s: float | None = None  # when the wait under way began
        self._timer = self._loop.call_later(idle_timeout_s, self._look)
        self._protocol = None if response.connection is None else response.connection.protocol
        self._closed = None if self._protocol is None else self._protocol.closed
        if self._protocol is not None:
            self._protocol.read_timeout = None
        if self._closed is not None:
            self._closed.remove_done_callback(_heard)  # of an earlier answer over the same connection
            self._closed.add_done_callback(_heard)
            self._closed.add_done_callback(self._lost)

    def close(self) -> None:
        self._timer.cancel()
        if self._closed is not None:
            self._closed.remove_done_callback(self._lost)

    async def next(self) -> bytes:
        """The next piece; b"" at the end.

        Raises:
            Exception: one of `FOREIGN`, after the last piece that came; the body is not complete.
        """
        self._waits_since_s = self._loop.time()
        try:
            return await self._content.readany()
        except FOREIGN as error:
            rest = self._rest(error)
            if not rest:
                raise
            return rest
        finally:
            self._waits_since_s = None

    @property
    def was_reset(self) -> bool:
        error = None if self._protocol is None else self._protocol.exception()
        return isinstance(error, ConnectionResetError | aiohttp.ClientOSError)

    def _look(self) -> None:
        now_s = self._loop.time()
        since_s = now_s if self._waits_since_s is None else self._waits_since_s
        if now_s - since_s < self._idle_timeout_s:
            self._timer = self._loop.call_at(since_s + self._idle_timeout_s, self._look)
        else:
            self._content.set_exception(aiohttp.SocketTimeoutError("silent"))

    def _lost(self, _: object) -> None:
        error = None if self._protocol is None else self._protocol.exception()
        if isinstance(error, HttpProcessingError) and not self._content.is_eof():
            self._content.set_exception(aiohttp.ClientPayloadError("no HTTP"))

    def _rest(self, error: BaseException) -> bytes:
        """What came before the error and is still unread: aiohttp raises at once, whatever it holds."""
        self._content.set_exception(cast(Any, None))
        try:
            return self._content.read_nowait()
        finally:
            self._content.set_exception(error)


def _heard(closed: "asyncio.Future[None]") -> None:
    """Take notice of how a connection ended, or asyncio would complain that nobody did."""
    if not closed.cancelled():
        closed.exception()


def trouble_of(error: BaseException) -> Trouble:
    """What an error before the head of an answer means."""
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, aiohttp.ClientConnectorError | socket.gaierror):
        return "unreachable"
    return "bad_answer"
