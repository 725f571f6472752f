"""What everything here that speaks HTTP shares: a session, one border for foreign errors, and what an answer means.

Errors name the host, the status, the MIME type and sizes. They never show a path's query, a header's value, user names
or content, and keep no foreign exception as their cause, because the texts of those may hold all of it.
"""

import re
import socket
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Final, TypeAlias
from urllib.parse import quote

import aiohttp
import anyio
from aiohttp.http_exceptions import HttpProcessingError
from anyio.lowlevel import checkpoint
from yarl import URL

from streamproc.errors import ConfigError, SourceError, SourceUnavailable
from streamproc.retry_after import retry_after_s
from streamproc.wording import system_reason

__all__ = [
    "Border",
    "WallClock",
    "checked_url",
    "mime_of",
    "new_session",
    "path_segment",
    "refusal",
    "session_of",
    "where",
]

WallClock: TypeAlias = Callable[[], float]
"""Gives seconds since 1970."""

_FOREIGN: Final = (aiohttp.ClientError, HttpProcessingError, OSError)  # `TimeoutError` is an `OSError`
_RETRIED: Final = frozenset({408, 409, 429})
_MIME: Final = re.compile(r"[\w!#$&^.+-]{1,80}/[\w!#$&^.+-]{1,80}", re.ASCII)
# Many servers decode a path before they take it apart, so a quoted slash may be a slash to them.
_NO_SEGMENT: Final = re.compile(r"[/\\\x00-\x1f\x7f\ud800-\udfff]|\A\.{0,2}\Z")
_KEEPALIVE: Final = (("TCP_KEEPIDLE", 30), ("TCP_KEEPALIVE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
_CLOSE_TIMEOUT_S: Final = 5.0


class Border:
    """Inside this block the errors of aiohttp and of the system become ours; all others pass."""

    __slots__ = ("_host",)

    def __init__(self, host: str) -> None:
        self._host = host

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if not isinstance(error, _FOREIGN):
            return
        reason = f"{self._host}: {type(error).__name__}"
        if isinstance(error, aiohttp.InvalidURL):
            raise SourceError(reason) from None
        if (cause := system_reason(error)) is not None:
            reason += f" ({cause})"
        raise SourceUnavailable(reason) from None


def checked_url(url: str | URL) -> URL:
    """The URL, if HTTP can be spoken with it.

    Raises:
        ConfigError: it is no absolute one of http or https; the text does not show it.
    """
    try:
        parsed = URL(url)
    except ValueError:
        parsed = URL()
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigError("expected an absolute http or https URL, something else came")
    return parsed


def split_credentials(url: URL) -> tuple[URL, dict[str, str]]:
    """The URL without user name and password, and the header that says them instead."""
    if url.user is None and url.password is None:
        return url, {}
    return url.with_user(None), {"Authorization": aiohttp.encode_basic_auth(url.user or "", url.password or "")}


def path_segment(id: str, host: str) -> str:
    """An id, whoever chose it, as one segment of a path.

    Raises:
        SourceError: it could lead to another path.
    """
    if _NO_SEGMENT.search(id):
        raise SourceError(f"{host}: an id of {len(id)} characters came that cannot be a segment of a path")
    return quote(id, safe="")


def where(url: URL) -> str:
    """The host of a URL as errors name it, with the port if it is not the usual one."""
    host = url.raw_host or "no host"
    return host if url.port is None or url.is_default_port() else f"{host}:{url.port}"


def mime_of(headers: Mapping[str, str]) -> str:
    """The MIME type without its parameters, in lower case; "" when there is none or what is there is not one."""
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return kind if _MIME.fullmatch(kind) else ""


def refusal(host: str, status: int, headers: Mapping[str, str], size_bytes: int, now: WallClock) -> SourceError:
    """The error that a status other than 200 means.

    Args:
        size_bytes: how much of its body was read.
    """
    reason = f"{host} answered {status} ({mime_of(headers) or 'no MIME type'}, {size_bytes} bytes read)"
    if status in _RETRIED or status >= 500:
        return SourceUnavailable(reason, retry_after_s(headers, now()))
    return SourceError(reason)


def new_session(like: aiohttp.ClientSession | None = None) -> aiohttp.ClientSession:
    """A session without default headers or credentials.

    Args:
        like: use the connections of this one (and its proxies), which stay open.
    """
    if like is not None:
        return aiohttp.ClientSession(
            connector=like.connector, connector_owner=False, auto_decompress=False, trust_env=like.trust_env
        )
    connector = aiohttp.TCPConnector(force_close=True, socket_factory=_socket)
    return aiohttp.ClientSession(connector=connector, auto_decompress=False)


@asynccontextmanager
async def session_of(given: aiohttp.ClientSession | None) -> AsyncGenerator[aiohttp.ClientSession]:
    """The given session, which stays open, or a new one for this block."""
    if given is not None:
        yield given
        return
    session = new_session()
    try:
        yield session
    finally:
        with anyio.move_on_after(_CLOSE_TIMEOUT_S, shield=True):
            await session.close()
            await checkpoint()  # the loop closes a socket one turn after its transport


def _socket(address: tuple[Any, ...]) -> socket.socket:
    """A socket whose peer is asked for a sign of life when it is silent; a lost one would look like a quiet one."""
    family, kind, protocol = address[:3]
    sock = socket.socket(family, kind, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE:  # platforms have some of these
        option = getattr(socket, name, None)
        if option is not None:
            sock.setsockopt(socket.IPPROTO_TCP, option, value)
    return sock
