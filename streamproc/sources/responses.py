"""What becomes of a Responses stream whose connection was lost: `ResponsesResume` and `ResponsesResync`.

A response that was created with `background: true` runs on without a listener, and its stream can be had again from any
event on: GET `{responses}/{id}?stream=true&starting_after={sequence number}`. That ends some minutes after the response
did (400 or 404 then), and a cancelled one just ends; its final state can be asked for all the same. Closing the stream
of any other response cancels it.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

import aiohttp
from multidict import MultiDict
from yarl import URL

from streamproc.dialects.responses import response_objects
from streamproc.errors import ConfigError, SourceError
from streamproc.model.message import Message
from streamproc.model.run import Run
from streamproc.model.run_step import RunStep
from streamproc.sources._api import Api, Patience
from streamproc.sources._http import WallClock, checked_url, path_segment, split_credentials, where
from streamproc.sources._resume import AddressAfter

__all__ = ["ResponsesResume", "ResponsesResync"]

Translate: TypeAlias = Callable[[dict[str, Any]], Sequence[Run | RunStep | Message]]
"""Makes canonical objects of a Response object."""

_ENDED: Final = frozenset({"completed", "failed", "cancelled", "incomplete"})


class ResponsesResume:
    """How the stream of a background response goes on: `HttpSource(url, ..., resume=ResponsesResume())`.

    A cursor is `{response id}/{sequence number}`, as the dialect gives it. What the server sends twice, the dialect
    drops.

    Args:
        url: where responses are, if not where the source sends its request; with the query that each request needs,
            e.g. `api-version`. It has to be of the same origin, since the source's own headers are sent.
    """

    def __init__(self, url: str | URL | None = None) -> None:
        """
        Raises:
            ConfigError: the URL is not an absolute one of HTTP.
        """
        self._url = None if url is None else split_credentials(checked_url(url))[0]

    def address(self, url: URL) -> AddressAfter:
        """See `Resume.address`."""
        responses = url if self._url is None else self._url
        if _origin(responses) != _origin(url):
            raise ConfigError("expected the responses at the origin of the source, another one came")
        return partial(_address, responses)


class ResponsesResync:
    """Asks for a response until it has ended; see `ResyncingSource.resync`.

    Args:
        url: where responses are; their ids come behind it.
        headers: of every request; redirects are not followed.
        params: of every request, beside the query of `url`.
        session: stays open; unless given, each resync has one of its own.
        poll_s: the first wait between two looks at the response; each is half as long again as the one before.
        max_poll_s: the longest one.
        timeout_s: how long the response may take to end.
        request_timeout_s: for one answer, from the connection to its last byte.
        max_bytes: of one answer.
        translate: what makes objects of the response.

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
        poll_s: float = 0.5,
        max_poll_s: float = 5.0,
        timeout_s: float = 900.0,
        request_timeout_s: float = 30.0,
        max_bytes: int = 64 * 1024 * 1024,
        translate: Translate = response_objects,
        now: WallClock = time.time,
    ) -> None:
        self._api = Api(
            url,
            headers=headers,
            params=params,
            session=session,
            request_timeout_s=request_timeout_s,
            max_bytes=max_bytes,
            now=now,
        )
        self._patience = Patience(poll_s, max_poll_s, timeout_s)
        self._translate = translate

    def __repr__(self) -> str:
        return f"ResponsesResync({self._api})"

    async def resync(self, run_id: str, thread_id: str | None) -> Sequence[Run | RunStep | Message]:
        """The steps and messages of a response, then its run.

        Args:
            run_id: the id of the response.
            thread_id: does not matter here.

        Raises:
            SourceUnavailable: the API cannot be reached now, or the response goes on for longer than `timeout_s`.
            SourceError: the API refuses, or answers with something else or with more than the bounds allow.
        """
        api = self._api
        path = path_segment(run_id, api.host)
        async with api.session() as session:

            async def look() -> dict[str, Any]:
                return api.decoded(await api.get(session, path), dict[str, Any])

            response = await self._patience.until_over(look, _is_over, f"{api.host}: response {run_id!r}")
        return sorted(self._translate(response), key=lambda obj: isinstance(obj, Run))  # which changes no other order


def _address(responses: URL, cursor: str) -> URL:
    """Where the stream goes on."""
    id, slash, number = cursor.rpartition("/")
    if not slash or not (number.isascii() and number.isdigit()):
        raise SourceError(
            f"{where(responses)}: expected the cursor of a background response, another ({len(cursor)} characters) came"
        )
    query = MultiDict(responses.query)
    query["stream"] = "true"
    query["starting_after"] = number
    base = str(responses.with_query(None).with_fragment(None)).rstrip("/")
    return URL(f"{base}/{path_segment(id, where(responses))}", encoded=True).with_query(query)


def _origin(url: URL) -> tuple[str, str | None, int | None]:
    """`URL.origin` tells an explicit port from the same one left out."""
    return url.scheme, url.raw_host, url.port


def _is_over(response: dict[str, Any]) -> bool:
    """Whether nothing happens to it any more; of a status that is not known, one cannot tell yet."""
    status = response.get("status")
    return isinstance(status, str) and status in _ENDED
