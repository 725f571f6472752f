"""Asking an API for the result of a run: one bounded GET, and polling until something has ended.

Whatever a server can make grow is bounded here: the bytes of an answer, and time. Redirects are not followed.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Final, TypeVar

import aiohttp
import anyio
import msgspec
from msgspec import Struct
from multidict import CIMultiDict
from yarl import URL

from streamproc.errors import SourceError, SourceUnavailable
from streamproc.sources._http import Border, WallClock, checked_url, refusal, session_of, split_credentials, where

__all__ = ["Api", "Patience"]

T = TypeVar("T")

_POLL_GROWTH: Final = 1.5


class Patience(Struct, frozen=True):
    """How often to look, and for how long."""

    poll_s: float  # the first wait between two looks; each is half as long again as the one before
    max_poll_s: float  # the longest one
    timeout_s: float

    async def until_over(self, look: Callable[[], Awaitable[T]], is_over: Callable[[T], bool], what: str) -> T:
        """Return the first of what `look` finds that is over.

        Raises:
            SourceUnavailable: there is none in time; the text says that `what` did not end.
        """
        wait_s = self.poll_s
        give_up_at = anyio.current_time() + self.timeout_s
        while True:
            found = await look()
            if is_over(found):
                return found
            if anyio.current_time() + wait_s > give_up_at:
                raise SourceUnavailable(f"{what} did not end within {self.timeout_s:g} s")
            await anyio.sleep(wait_s)
            wait_s = min(wait_s * _POLL_GROWTH, self.max_poll_s)


class Api:
    """Where to ask, and as whom.

    Args:
        url: what all paths begin with; its query goes with every request, a user name and password become a header.
        headers: of every request.
        params: of every request, beside the query of `url`.
        session: stays open; unless given, `session()` makes one.
        request_timeout_s: for one answer, from the connection to its last byte.
        max_bytes: of one answer.

    Raises:
        ConfigError: the URL is not an absolute one of HTTP.
    """

    def __init__(
        self,
        url: str | URL,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        session: aiohttp.ClientSession | None = None,
        request_timeout_s: float,
        max_bytes: int,
        now: WallClock = time.time,
    ) -> None:
        base, credentials = split_credentials(checked_url(url))
        self._base = base.with_query(None).with_fragment(None)
        self._params = {**base.query, **(params or {})}
        self._headers = CIMultiDict({"Accept": "application/json", "Accept-Encoding": "identity", **credentials})
        self._headers.update(headers or {})
        self._session = session
        self._request_timeout_s = request_timeout_s
        self._max_bytes = max_bytes
        self._now = now
        self.host = where(self._base)
        self._border = Border(self.host)

    def __str__(self) -> str:
        return f"{self.host}{self._base.raw_path}"

    def session(self) -> AbstractAsyncContextManager[aiohttp.ClientSession]:
        """The session to ask with."""
        return session_of(self._session)

    async def get(self, session: aiohttp.ClientSession, path: str, params: Mapping[str, str] | None = None) -> bytes:
        """The body of an answer.

        Args:
            path: below the URL, quoted already.

        Raises:
            SourceUnavailable, SourceError: as for any request, see `refusal`; or the answer is too long.
        """
        url = URL(f"{str(self._base).rstrip('/')}/{path}", encoded=True).with_query({**self._params, **(params or {})})
        timeout = aiohttp.ClientTimeout(total=self._request_timeout_s)
        with self._border:
            async with session.get(
                url, headers=self._headers, timeout=timeout, allow_redirects=False, raise_for_status=False
            ) as response:
                body = bytearray()
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > self._max_bytes:
                        raise SourceError(f"expected at most {self._max_bytes} bytes from {self.host}, more came")
                if response.status != 200:
                    raise refusal(self.host, response.status, response.headers, len(body), self._now)
        return bytes(body)

    def decoded(self, raw: bytes, form: type[T]) -> T:
        """An answer as what it should be.

        Raises:
            SourceError: it is something else.
        """
        try:
            return msgspec.json.decode(raw, type=form)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            # its text may quote the content
            raise SourceError(f"expected an object of the API from {self.host}, {len(raw)} other bytes came") from None
