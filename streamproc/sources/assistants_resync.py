"""The result of a run from the list endpoints of the Assistants API: `AssistantsResync`.

This protocol cannot resume a stream, so what a broken one missed is asked for: poll the run until it has ended or waits
for tool outputs, then list its steps and messages. Objects keep their complete JSON. Whatever a server can make grow
is bounded: bytes of an answer, pages and objects of a list, time.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeVar

import aiohttp
from msgspec import UNSET, Raw, Struct
from yarl import URL

from streamproc.core.lifecycle import STREAM_ENDING
from streamproc.errors import SourceError
from streamproc.model.message import Message
from streamproc.model.run import Run
from streamproc.model.run_step import RunStep
from streamproc.model.wire import attach_wire, from_wire
from streamproc.sources._api import Api, Patience
from streamproc.sources._http import WallClock, path_segment

__all__ = ["AssistantsResync"]

T = TypeVar("T", Run, RunStep, Message)

_PAGE: Final = 100  # the largest that the API gives


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
        self._api = Api(
            base_url,
            headers=headers,
            params=params,
            session=session,
            request_timeout_s=request_timeout_s,
            max_bytes=max_bytes,
            now=now,
        )
        self._patience = Patience(poll_s, max_poll_s, timeout_s)
        self._max_objects = max_objects

    def __repr__(self) -> str:
        return f"AssistantsResync({self._api})"

    async def resync(self, run_id: str, thread_id: str | None) -> Sequence[Run | RunStep | Message]:
        """The steps in order of creation, the messages likewise, then the run.

        Raises:
            SourceUnavailable: the API cannot be reached now, or the run goes on for longer than `timeout_s`.
            SourceError: the API refuses, answers with something else, or with more than the bounds allow.
        """
        if thread_id is None:
            raise SourceError(f"expected the thread of run {run_id!r}, none is known")
        thread = f"threads/{path_segment(thread_id, self._api.host)}"
        path = f"{thread}/runs/{path_segment(run_id, self._api.host)}"
        async with self._api.session() as session:
            run = await self._ended(session, path, run_id)
            steps = await self._list(session, f"{path}/steps", {}, RunStep)
            messages = await self._list(session, f"{thread}/messages", {"run_id": run_id}, Message)
        # some servers do not know the filter and list the whole thread
        return [*steps, *(message for message in messages if message.run_id in (run_id, UNSET)), run]

    async def _ended(self, session: aiohttp.ClientSession, path: str, run_id: str) -> Run:
        """The run once nothing happens to it by itself any more."""

        async def look() -> Run:
            return self._object(await self._api.get(session, path), Run)

        what = f"{self._api.host}: run {run_id!r}"
        return await self._patience.until_over(look, lambda run: run.status in STREAM_ENDING, what)

    async def _list(
        self, session: aiohttp.ClientSession, path: str, params: Mapping[str, str], cls: type[T]
    ) -> Sequence[T]:
        """All objects of a list, each once, in order of creation."""
        found: dict[str, T] = {}
        query = {"limit": str(_PAGE), "order": "asc", **params}
        while True:
            page = self._api.decoded(await self._api.get(session, path, query), _Page)
            known = len(found)
            for entry in page.data:
                item = self._object(bytes(entry), cls)
                found[item.id] = item
                query["after"] = item.id
            if len(found) > self._max_objects:
                host = self._api.host
                raise SourceError(f"expected at most {self._max_objects} objects in a list of {host}, more came")
            if not page.has_more or len(found) == known:  # a page without news would come again without end
                return list(found.values())

    def _object(self, raw: bytes, cls: type[T]) -> T:
        obj = from_wire(cls, self._api.decoded(raw, dict[str, Any]))
        attach_wire(obj, raw)
        return obj
