"""A stream over HTTP: `HttpSource`.

One `open` is one request. Bytes are handed on as they come; every byte counts as a sign of life, comments too, and
there is no limit on how long a stream may last. What an answer means follows the WHATWG rules for event sources: only
200 with the MIME type `text/event-stream` is a stream, 204 ends it for good, an answer that a further attempt can
change is `SourceUnavailable`, any other `SourceError`. Nothing is tried again here.
"""

import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, Final

import aiohttp
import anyio
import msgspec
from msgspec import Struct
from multidict import CIMultiDict
from yarl import URL

from streamproc.errors import ConfigError, SourceError, SourceUnavailable
from streamproc.sources._body import Body
from streamproc.sources._http import (
    Border,
    WallClock,
    checked_url,
    mime_of,
    new_session,
    refusal,
    session_of,
    split_credentials,
    where,
)
from streamproc.sources._resume import AddressAfter, Resume
from streamproc.sources._resync import AskForResult, Resync

__all__ = ["HttpSource"]

_MIME: Final = "text/event-stream"
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS: Final = 10
_PREFIX_BYTES: Final = 2048  # of an answer that is no stream; how much there is helps to tell what it is
_PREFIX_TIMEOUT_S: Final = 1.0
_NOT_IN_HEADERS: Final = re.compile("[\\0\r\n\\ud800-\\udfff]")  # a lone surrogate has no UTF-8


class _Asked(Struct, frozen=True):
    """What is requested, and whether that goes on with a stream at another address than it began."""

    method: str
    url: URL
    headers: CIMultiDict[str]  # that the caller gave
    body: bytes | None
    resumes: bool = False


class HttpSource:
    """The stream that an HTTP request answers with.

    It is a `ResyncingSource` only when `resync` is given.

    Args:
        url: a user name and password in it become an Authorization header, and are not shown anywhere.
        json: the body, as an object to encode.
        body: the body, as it is.
        headers: of every request; after a redirect to another origin none of them is sent.
        name: of the stream; host and path unless given.
        session: stays open; its default headers and cookies are sent. Unless given, each `open` has one of its own.
        idempotent: whether the request may be repeated. Unless given, a GET may and nothing else.
        idle_timeout_s: how long nothing at all may come.
        connect_timeout_s: for finding the host and connecting to it.
        resume: how the stream goes on at another address, e.g. `ResponsesResume`; unless given, the same request is
            sent again with the cursor as its Last-Event-ID.
        resync: where the result can be had when the stream cannot be resumed, e.g. `AssistantsResync`.
        now: the wall clock, for dates in Retry-After.

    Raises:
        ConfigError: the URL is not an absolute one of HTTP, both `json` and `body` are given, or `resume` cannot work.
    """

    def __init__(
        self,
        url: str | URL,
        *,
        method: str = "GET",
        json: Any = None,
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        name: str | None = None,
        session: aiohttp.ClientSession | None = None,
        idempotent: bool | None = None,
        idle_timeout_s: float = 60.0,
        connect_timeout_s: float = 10.0,
        resume: Resume | None = None,
        resync: Resync | None = None,
        now: WallClock = time.time,
    ) -> None:
        self._url, credentials = split_credentials(checked_url(url))
        self._method = method.upper()
        if json is not None and body is not None:
            raise ConfigError("expected json or body, both came")
        self._body = msgspec.json.encode(json) if json is not None else body.encode() if isinstance(body, str) else body
        self._headers: CIMultiDict[str] = CIMultiDict(credentials)
        self._headers.update(headers or {})
        if json is not None:
            self._headers.setdefault("Content-Type", "application/json")
        self._host = where(self._url)
        self._border = Border(self._host)
        self._session = session
        self._idle_timeout_s = idle_timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._now = now
        self._address_after: AddressAfter | None = None if resume is None else resume.address(self._url)
        self._was_opened = False

        self.name = name if name is not None else f"{self._host}{self._url.raw_path}"
        self._may_repeat = self._method == "GET" if idempotent is None else idempotent
        self.resumable = self._may_repeat or resume is not None
        """Whether `open(cursor)` is allowed; the cursor goes out as Last-Event-ID, or as `resume` says. False after a
        204."""
        self.repeatable = self._may_repeat
        """Whether `open(None)` is allowed again. It is also True while the last attempt surely started nothing: there
        was no connection, or the answer was 429. False after a 204."""
        if resync is not None:
            # an attribute that is there or not, since that is what `isinstance(source, ResyncingSource)` looks at
            self.resync: AskForResult = resync.resync

    def __repr__(self) -> str:
        return f"HttpSource({self._method} {self._url.with_query(None).with_fragment(None)}, name={self.name!r})"

    @asynccontextmanager
    async def open(self, cursor: str | None) -> AsyncGenerator[AsyncIterator[bytes]]:
        """Send the request; see `Source.open`.

        Raises:
            SourceUnavailable: no connection, a broken or silent one, or the answer 408, 409, 429 or 5xx.
            SourceError: any other answer that is no stream, or a request that must not be sent again; or a cursor that
                cannot be sent.
        """
        asked = self._asked(cursor)
        headers = self._headers_for(None if asked.resumes else cursor)
        if self._was_opened and not (self.resumable if cursor else self.repeatable):
            raise SourceError(f"{self._host}: this {self._method} must not be sent again")
        self._was_opened = True
        self.repeatable = self._may_repeat
        async with AsyncExitStack() as stack:
            with self._border:
                response = await self._answer(stack, asked, headers)
                await self._check(response, asked)
            body = Body(response.content, self._border, self._host, self._idle_timeout_s)
            stack.callback(body.close)
            yield body

    def _asked(self, cursor: str | None) -> _Asked:
        if not cursor or self._address_after is None:
            return _Asked(self._method, self._url, self._headers, self._body)
        headers = CIMultiDict(item for item in self._headers.items() if not item[0].lower().startswith("content-"))
        return _Asked("GET", self._address_after(cursor), headers, None, resumes=True)

    def _headers_for(self, cursor: str | None) -> CIMultiDict[str]:
        """What is sent wherever the request goes, whatever its credentials."""
        headers = CIMultiDict({"Accept": _MIME, "Accept-Encoding": "identity", "Cache-Control": "no-cache"})
        if cursor:  # by the standard, an empty id is none
            if _NOT_IN_HEADERS.search(cursor):
                raise SourceError(f"{self._host}: the cursor ({len(cursor)} characters) cannot be sent in a header")
            headers["Last-Event-ID"] = cursor
        return headers

    async def _answer(self, stack: AsyncExitStack, asked: _Asked, headers: CIMultiDict[str]) -> aiohttp.ClientResponse:
        """The response after redirects, which the stack closes. Only a GET follows them.

        aiohttp would take Authorization and cookies off a request to another origin, but not an `api-key` header.
        """
        session = await stack.enter_async_context(session_of(self._session))
        url, body = asked.url, asked.body
        own = headers
        headers = own.copy()
        headers.update(asked.headers)
        for _ in range(_MAX_REDIRECTS + 1):
            response = await self._request(session, asked, url, headers, body)
            stack.callback(response.close)
            if asked.method != "GET" or response.status not in _REDIRECTS:
                return response
            target = self._target(url, response.headers.get("Location", ""))
            if target.origin() != url.origin():
                session = await stack.enter_async_context(new_session(session))
                headers, body = own, None
            url = target
        raise SourceError(f"{self._host}: more than {_MAX_REDIRECTS} redirects")

    async def _request(
        self,
        session: aiohttp.ClientSession,
        asked: _Asked,
        url: URL,
        headers: CIMultiDict[str],
        body: bytes | None,
    ) -> aiohttp.ClientResponse:
        timeout = aiohttp.ClientTimeout(total=None, connect=self._connect_timeout_s)
        try:
            # This bounds the wait for the head of the answer; aiohttp's own limit on reading loses what is buffered.
            with anyio.move_on_after(self._connect_timeout_s + self._idle_timeout_s):
                return await session.request(
                    asked.method,
                    url,
                    headers=headers,
                    data=body,
                    timeout=timeout,
                    allow_redirects=False,
                    raise_for_status=False,
                )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            self.repeatable = self.repeatable or not asked.resumes
            raise
        raise SourceUnavailable(f"{self._host} did not answer for {self._idle_timeout_s:g} s")

    def _target(self, url: URL, location: str) -> URL:
        try:
            target = url.join(URL(location))
        except ValueError:
            target = URL()
        if not location or target.scheme not in ("http", "https") or not target.host:
            raise SourceError(f"{self._host} redirects to no HTTP address")
        return target.with_user(None)  # credentials are the caller's to give

    async def _check(self, response: aiohttp.ClientResponse, asked: _Asked) -> None:
        """Raise unless the answer is a stream, or 204."""
        status, headers = response.status, response.headers
        if status == 204:
            self.resumable = self.repeatable = False
            return
        if status != 200:
            self.repeatable = self.repeatable or (status == 429 and not asked.resumes)
            raise refusal(self._host, status, headers, await self._prefix_bytes(response), self._now)
        if (mime := mime_of(headers)) != _MIME:
            size = await self._prefix_bytes(response)
            raise SourceError(f"expected {_MIME} from {self._host}, {mime or 'no MIME type'} came ({size} bytes read)")
        if headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
            raise SourceError(f"expected a stream without Content-Encoding from {self._host}, an encoded one came")

    async def _prefix_bytes(self, response: aiohttp.ClientResponse) -> int:
        """How long the answer is, as far as its beginning tells."""
        size = 0
        with anyio.move_on_after(min(_PREFIX_TIMEOUT_S, self._idle_timeout_s)), suppress(aiohttp.ClientError, OSError):
            while size < _PREFIX_BYTES and (chunk := await response.content.readany()):
                size += len(chunk)
        return min(size, _PREFIX_BYTES)
