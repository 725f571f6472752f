"""The result of a run from the list endpoints of the Assistants API: `AssistantsResync`.

This protocol cannot resume a stream, so what a broken one missed is asked for: poll the run until it has ended or waits
for tool outputs, then list its steps and messages. Objects keep their complete JSON. Whatever a server can make grow
is bounded: bytes of an answer, pages and objects of a list, time.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import quote

import aiohttp
import anyio
import msgspec
from msgspec import UNSET, Raw, Struct
from multidict import CIMultiDict
from yarl import URL

from streamproc.core.lifecycle import STREAM_ENDING
from streamproc.errors import SourceError, SourceUnavailable
from streamproc.model.message import Message
from streamproc.model.run import Run
from streamproc.model.run_step import RunStep
from streamproc.model.wire import attach_wire, from_wire
from streamproc.sources._http import Border, WallClock, checked_url, refusal, session_of, split_credentials, where

__all__ = ["AssistantsResync"]

S = TypeVar("S")
T = TypeVar("T", Run, RunStep, Message)

_PAGE: Final = 100  # the largest that the API gives
_POLL_GROWTH: Final = 1.5


class _Page(Struct):
    data: list[Raw] = []
    has_more: bool | None = False


class AssistantsResync:
    """Asks the API for a run, its steps and its messages; see `ResyncingSource.resync`.

    Azure speaks the same protocol with `params={"api-version": ...}`.

    Args:
        base_url: what comes before `/threads`.
        headers: of every request; redirects are not followed.
        params: of every request.
        session: stays open; unless given, each resync has one of its own.
        poll_s: the first wait between two looks at the run; each is half as long again as the one before.
        max_poll_s: the longest one.
        timeout_s: how long the run may take to end.
        request_timeout_s: for one answer, from the connection to its last byte.
        max_bytes: of one answer.
        max_objects: steps, and messages, of the run.

    Raises:
        ConfigError: the URL is not an absolute one of HTTP.
    """

    def __init__(
        self,
        base_url: str | URL,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        session: aiohttp.ClientSession | None = None,
        poll_s: float = 0.5,
        max_poll_s: float = 5.0,
        timeout_s: float = 900.0,
        request_timeout_s: float = 30.0,
        max_bytes: int = 64 * 1024 * 1024,
        max_objects: int = 10_000,
        now: WallClock = time.time,
    ) -> None:
        base, credentials = split_credentials(checked_url(base_url))
        self._base = base.with_query(None).with_fragment(None)
        self._params = {**base.query, **(params or {})}
        self._headers = CIMultiDict({"Accept": "application/json", "Accept-Encoding": "identity", **credentials})
        self._headers.update(headers or {})
        self._session = session
        self._poll_s = poll_s
        self._max_poll_s = max_poll_s
        self._timeout_s = timeout_s
        self._request_timeout_s = request_timeout_s
        self._max_bytes = max_bytes
        self._max_objects = max_objects
        self._now = now
        self._host = where(self._base)
        self._border = Border(self._host)

    def __repr__(self) -> str:
        return f"AssistantsResync({self._host}{self._base.raw_path})"

    async def resync(self, run_id: str, thread_id: str | None) -> Sequence[Run | RunStep | Message]:
        """The steps in order of creation, the messages likewise, then the run.

        Raises:
            SourceUnavailable: the API cannot be reached now, or the run goes on for longer than `timeout_s`.
            SourceError: the API refuses, answers with something else, or with more than the bounds allow.
        """
        if thread_id is None:
            raise SourceError(f"expected the thread of run {run_id!r}, none is known")
        thread = f"threads/{self._segment(thread_id)}"
        path = f"{thread}/runs/{self._segment(run_id)}"
        async with session_of(self._session) as session:
            run = await self._ended(session, path)
            steps = await self._list(session, f"{path}/steps", {}, RunStep)
            messages = await self._list(session, f"{thread}/messages", {"run_id": run_id}, Message)
        # some servers do not know the filter and list the whole thread
        return [*steps, *(message for message in messages if message.run_id in (run_id, UNSET)), run]

    async def _ended(self, session: aiohttp.ClientSession, path: str) -> Run:
        """The run once nothing happens to it by itself any more."""
        wait_s = self._poll_s
        give_up_at = anyio.current_time() + self._timeout_s
        while True:
            run = self._object(await self._get(session, path, {}), Run)
            if run.status in STREAM_ENDING:
                return run
            if anyio.current_time() + wait_s > give_up_at:
                raise SourceUnavailable(f"{self._host}: run {run.id!r} did not end within {self._timeout_s:g} s")
            await anyio.sleep(wait_s)
            wait_s = min(wait_s * _POLL_GROWTH, self._max_poll_s)

    async def _list(
        self, session: aiohttp.ClientSession, path: str, params: Mapping[str, str], cls: type[T]
    ) -> Sequence[T]:
        """All objects of a list, each once, in order of creation."""
        found: dict[str, T] = {}
        query = {"limit": str(_PAGE), "order": "asc", **params}
        while True:
            raw = await self._get(session, path, query)
            page = self._decoded(raw, _Page)
            known = len(found)
            for entry in page.data:
                item = self._object(bytes(entry), cls)
                found[item.id] = item
                query["after"] = item.id
            if len(found) > self._max_objects:
                raise SourceError(f"expected at most {self._max_objects} objects in a list of {self._host}, more came")
            if not page.has_more or len(found) == known:  # a page without news would come again without end
                return list(found.values())

    def _object(self, raw: bytes, cls: type[T]) -> T:
        obj = from_wire(cls, self._decoded(raw, dict[str, Any]))
        attach_wire(obj, raw)
        return obj

    def _decoded(self, raw: bytes, form: type[S]) -> S:
        try:
            return msgspec.json.decode(raw, type=form)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            # its text may quote the content
            raise SourceError(f"expected an object of the API from {self._host}, {len(raw)} other bytes came") from None

    async def _get(self, session: aiohttp.ClientSession, path: str, params: Mapping[str, str]) -> bytes:
        """The body of an answer."""
        # the ids are quoted already
        url = URL(f"{str(self._base).rstrip('/')}/{path}", encoded=True).with_query({**self._params, **params})
        timeout = aiohttp.ClientTimeout(total=self._request_timeout_s)
        with self._border:
            async with session.get(
                url, headers=self._headers, timeout=timeout, allow_redirects=False, raise_for_status=False
            ) as response:
                body = bytearray()
                async for chunk in response.content.iter_any():
                    body += chunk
                    if len(body) > self._max_bytes:
                        raise SourceError(f"expected at most {self._max_bytes} bytes from {self._host}, more came")
                if response.status != 200:
                    raise refusal(self._host, response.status, response.headers, len(body), self._now)
        return bytes(body)

    def _segment(self, id: str) -> str:
        """An id as one segment of a path, whatever is in it."""
        if id in ("", ".", ".."):
            raise SourceError(f"{self._host}: no object has the id {id!r}")
        return quote(id, safe="")
