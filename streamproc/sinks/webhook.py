"""WebhookSink: each change is one signed POST, as Standard Webhooks 1.0 says.

This module holds the order of requests and what becomes of a batch. What is sent is in _webhook_message.py, what an
answer means in _webhook_answer.py, where requests may go in _webhook_guard.py, and what is remembered of a batch that
comes again in _webhook_batch.py.
"""

import io
import ssl
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from importlib.util import find_spec
from os import PathLike
from types import TracebackType
from typing import Final, Self

import aiohttp
import anyio
import anyio.to_thread
from aiohttp.abc import AbstractResolver
from aiohttp.http_exceptions import HttpProcessingError
from anyio.lowlevel import checkpoint
from msgspec import MsgspecError

from streamproc.core.change import Change
from streamproc.errors import ConfigError, SinkGone, SinkRejected, SinkUnavailable
from streamproc.secret import Secret
from streamproc.sinks._webhook_answer import Answer, answer_of
from streamproc.sinks._webhook_batch import Memory, lanes_of
from streamproc.sinks._webhook_guard import Guard, TargetRefused, guarded_connector
from streamproc.sinks._webhook_message import body_of, checked_headers, id_of, rfc3339, signed, signers
from streamproc.wording import system_reason

__all__ = ["WebhookSink"]

_USER_AGENT: Final = "streamproc"
_FOREIGN: Final = (aiohttp.ClientError, HttpProcessingError, OSError)  # `TimeoutError` is an `OSError`
_ANSWER_BYTES: Final = 16 * 1024  # read of an answer's body, so that the connection can be used again
_ANSWER_S: Final = 1.0
_CLOSE_S: Final = 5.0
_UNENCODABLE: Final = "no JSON can be made of them"


class WebhookSink:
    """Posts each change to an endpoint, signed.

    Promise: at-least-once delivery, idempotent apply. `webhook-id` is a function of a change's (stream, epoch, seq),
    the same in each attempt and after a restart, so a receiver that keeps the ids it has seen applies each change once.
    The changes of one run arrive in order, as do those of one stream: one is sent after the endpoint has taken the one
    before it.

    Requests go to public addresses only, unless `allow_networks` says otherwise; redirects are not followed.

    Needs the `webhook` extra. Enter it before the first batch:

        async with WebhookSink("https://example.com/hook", secrets=[secret]) as sink:
            await sink.write(batch)
    """

    def __init__(
        self,
        url: str | Secret,
        *,
        secrets: Sequence[str | Secret],
        headers: Mapping[str, str | Secret] | None = None,
        timeout_s: float = 15.0,
        max_in_flight: int = 8,
        allow_http: bool = False,
        allow_networks: Sequence[str] = (),
        ports: Collection[int] | None = None,
        ca_file: str | PathLike[str] | None = None,
        resolver: AbstractResolver | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            url: of the endpoint.
            secrets: `whsec_` and base64 of 24 to 64 bytes; each of them signs, so that receivers can change theirs.
            headers: of every request.
            timeout_s: for one request, from finding the host to the answer.
            max_in_flight: how many requests may be under way, each for another run.
            allow_http: without TLS, for tests and internal networks.
            allow_networks: requests may go to these, in CIDR form, even if they are not public.
            ports: the only ones that requests may go to; None: any.
            ca_file: certificate authorities (PEM) in place of the system's.
            resolver: who resolves names; what it says is checked. Stays open. None: the system.
            now: the wall clock, in seconds since 1970.

        Raises:
            ConfigError: a value cannot work, the extra is not installed, or the URL's host is an address to which no
                request may go. A name is looked up when it is used.
        """
        if find_spec("standardwebhooks") is None:
            raise ConfigError('WebhookSink needs an extra: pip install "streamproc[webhook]"')
        if timeout_s <= 0:
            raise ConfigError(f"timeout_s is {timeout_s:g}; expected more than 0 seconds")
        if max_in_flight < 1:
            raise ConfigError(f"max_in_flight is {max_in_flight}; expected 1 or more requests")
        self._guard = Guard(allow_networks=allow_networks, ports=ports, allow_http=allow_http)
        self._url = self._guard.check_url(url.reveal() if isinstance(url, Secret) else url)
        self._host = self._url.host_port_subcomponent or ""
        self._signers = signers(secrets)
        self._headers = {"User-Agent": _USER_AGENT, "Accept-Encoding": "identity"}
        self._headers |= checked_headers(headers or {})
        self._headers["Content-Type"] = "application/json"
        self._timeout_s = timeout_s
        self._max_in_flight = max_in_flight
        self._ca_file = ca_file
        self._resolver = resolver
        self._now = now
        self._memory = Memory()
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"WebhookSink({self._host})"

    async def __aenter__(self) -> Self:
        """
        Raises:
            ConfigError: `ca_file` cannot be read.
        """
        tls: ssl.SSLContext | bool = True
        if self._ca_file is not None:
            try:
                tls = await anyio.to_thread.run_sync(lambda: ssl.create_default_context(cafile=self._ca_file))
            except OSError as error:  # `SSLError` is one
                raise ConfigError(f"ca_file: {error.strerror or type(error).__name__}") from None
        self._session = aiohttp.ClientSession(
            connector=guarded_connector(self._guard, self._resolver, ssl=tls, limit=self._max_in_flight),
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(),  # ours is around the request
            auto_decompress=False,
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        session, self._session = self._session, None
        if session is not None:
            with anyio.move_on_after(_CLOSE_S, shield=True):
                await session.close()
                await checkpoint()  # the loop closes a socket one turn after its transport

    async def write(self, batch: Sequence[Change]) -> None:
        """Post each change of a batch.

        Raises:
            SinkUnavailable: the endpoint, or its name, asks to be left alone or gave no answer.
            SinkRejected: it will never take some of them (4xx), or no JSON can be made of them.
            SinkGone: it wants no more (410).
        """
        session = self._session
        if session is None:
            raise RuntimeError("a WebhookSink has to be entered before its first batch")
        self._memory.begin(batch)
        bad: list[Answer] = []
        lanes = lanes_of(batch)
        waiting = iter(lanes)
        async with anyio.create_task_group() as group:
            for _ in range(min(self._max_in_flight, len(lanes))):
                group.start_soon(self._send_lanes, session, waiting, bad)
        self._settle(batch, bad)

    async def _send_lanes(
        self, session: aiohttp.ClientSession, lanes: Iterator[list[Change]], bad: list[Answer]
    ) -> None:
        """Send lane after lane, until there is none left or an answer concerns all of them."""
        for lane in lanes:
            for change in lane:
                if any(answer.concerns_all for answer in bad):
                    return
                if self._memory.of(change).outcome is not None:
                    continue
                answer = await self._send(session, change)
                if answer.meaning in ("taken", "rejected"):
                    known = self._memory.of(change)
                    known.outcome, known.reason = answer.meaning, answer.what
                else:
                    bad.append(answer)
                    break  # what follows in this lane must not arrive before it

    def _settle(self, batch: Sequence[Change], bad: Sequence[Answer]) -> None:
        """Tell delivery what became of a batch."""
        for answer in bad:
            if answer.meaning == "gone":
                raise SinkGone(f"{self._host} {answer.what}")
        if bad:
            waits = [answer.retry_after_s for answer in bad if answer.retry_after_s is not None]
            raise SinkUnavailable(f"{self._host} {bad[0].what}", max(waits, default=None))
        rejected = [change for change in batch if self._memory.of(change).outcome == "rejected"]
        reasons = sorted({self._memory.of(change).reason for change in rejected})
        self._memory.settle(batch)
        if rejected:
            raise SinkRejected(f"{self._host}: {', '.join(reasons)}", rejected)

    async def _send(self, session: aiohttp.ClientSession, change: Change) -> Answer:
        """Post one change, once."""
        now_s = self._now()
        known = self._memory.of(change)
        known.begun = known.begun or rfc3339(now_s)
        try:
            body = body_of(change, known.begun)
            text = body.decode()
        except (TypeError, ValueError, OverflowError, RecursionError, MsgspecError):
            return Answer(meaning="rejected", what=_UNENCODABLE)
        headers = signed(id_of(change), text, self._signers, now_s)
        answer: Answer | None = None
        try:
            with anyio.move_on_after(self._timeout_s):
                # As a file, because aiohttp warns of bytes that are many.
                async with session.post(
                    self._url, data=io.BytesIO(body), headers=headers, allow_redirects=False
                ) as response:
                    answer = answer_of(response.status, response.headers, self._now())
                    await _drain(response)
        except _FOREIGN as error:
            return answer or _no_answer(_cause(error))
        return answer or _no_answer(f"within {self._timeout_s:g} s")


def _no_answer(why: str) -> Answer:
    return Answer(meaning="later", what=f"gave no answer ({why})", concerns_all=True)


async def _drain(response: aiohttp.ClientResponse) -> None:
    """Read a short body to its end, so that its connection serves again; any other closes with its connection.

    The status has said all there is to know, so nothing that happens here is an error.
    """
    left = _ANSWER_BYTES
    try:
        with anyio.move_on_after(_ANSWER_S):
            while left > 0 and (piece := await response.content.read(left)):
                left -= len(piece)
    except _FOREIGN:
        response.close()


def _cause(error: BaseException) -> str:
    """Why there was no answer."""
    system = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return str(system) if isinstance(system, TargetRefused) else system_reason(system) or type(system).__name__
