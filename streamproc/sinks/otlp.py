"""OtlpSink: runs, model calls and tool calls as spans of OpenTelemetry, posted to a collector as OTLP/HTTP.

This module holds what becomes of a batch. What a change is as a span is in _otlp_spans.py, what its attributes are
called in _otlp_names.py, how spans become the body of a request in _otlp_request.py, what an answer means in
_otlp_answer.py, and where it all goes in _otlp_settings.py.
"""

import gzip
import io
import os
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import aiohttp
import anyio
import anyio.to_thread
import structlog
from aiohttp.http_exceptions import HttpProcessingError
from anyio.lowlevel import checkpoint
from msgspec import MsgspecError
from yarl import URL

from streamproc.core.change import Change
from streamproc.errors import ConfigError, SinkRejected, SinkUnavailable
from streamproc.secret import Secret
from streamproc.sinks._otlp_content import Messages
from streamproc.sinks._otlp_names import NAMES, PROVIDERS, Semconv
from streamproc.sinks._otlp_settings import Compression, Options, Settings, settings_of
from streamproc.sinks._otlp_spans import SpanMaker
from streamproc.wording import system_reason

if TYPE_CHECKING:
    from opentelemetry.proto.trace.v1.trace_pb2 import Span as SpanMessage

    from streamproc.sinks._otlp_answer import Answer
    from streamproc.sinks._otlp_request import Request

__all__ = ["OtlpSink"]

log = structlog.get_logger("streamproc")

_USER_AGENT: Final = "streamproc"
_FOREIGN: Final = (aiohttp.ClientError, HttpProcessingError, OSError)  # `TimeoutError` is an `OSError`
_UNENCODABLE: Final = (TypeError, ValueError, OverflowError, RecursionError, MsgspecError)
_ANSWER_BYTES: Final = 64 * 1024
_ANSWER_S: Final = 1.0  # for the rest of an answer, once its status is known
_CLOSE_S: Final = 5.0


class OtlpSink:
    """Sends each run, each model call and each tool call that ended as a span.

    Promise: at-least-once delivery, idempotent apply. The ids of traces and spans are functions of the ids of runs,
    steps and calls, and a span is a function of its change, so one that comes again is the same again, byte by byte. A
    later state of the object (usage that comes after its end) is a later span of the same id. What a backend makes of
    two spans of one id is its own affair.

    Needs the `otlp` extra. Enter it before the first batch:

        async with OtlpSink("http://localhost:4318") as sink:
            await sink.write(batch)
    """

    def __init__(
        self,
        endpoint: str | Secret | None = None,
        *,
        traces_endpoint: str | Secret | None = None,
        headers: Mapping[str, str | Secret] | None = None,
        timeout_s: float | None = None,
        compression: Compression | None = None,
        ca_file: str | PathLike[str] | None = None,
        client_cert_file: str | PathLike[str] | None = None,
        client_key_file: str | PathLike[str] | None = None,
        service_name: str | None = None,
        resource: Mapping[str, str] | None = None,
        semconv: Semconv = "0.1",
        provider: str = "openai",
        content: bool = False,
        max_request_bytes: int = 4 * 1024 * 1024,
        env: Mapping[str, str] | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """
        What is None is what `env` says, by the variables that OTLP exporters know, else their default.

        Args:
            endpoint: of the collector; `/v1/traces` is added to it.
            traces_endpoint: the URL to post to, as it is.
            headers: of every request, added to those of the environment.
            timeout_s: for one request.
            compression: of the bodies.
            ca_file: certificate authorities (PEM) in place of the system's.
            client_cert_file: our certificate (PEM), for collectors that ask for one.
            client_key_file: its key, if that is not in the same file.
            service_name: `service.name` of the resource.
            resource: more attributes of it.
            semconv: the version of the GenAI conventions.
            provider: who runs the model, in the words of the conventions: "openai", "azure.ai.openai", "anthropic", ...
            content: whether spans hold instructions, messages, arguments, results and texts of errors.
            max_request_bytes: of a body before compression; what is more becomes several requests.
            env: None: that of the process.
            now: the wall clock, in seconds since 1970.

        Raises:
            ConfigError: a value cannot work, or the extra is not installed.
        """
        if find_spec("opentelemetry") is None or find_spec("opentelemetry.proto") is None:
            raise ConfigError('OtlpSink needs an extra: pip install "streamproc[otlp]"')
        if semconv not in NAMES:
            raise ConfigError(f"semconv is {semconv!r}; expected one of {', '.join(map(repr, NAMES))}")
        if content and NAMES[semconv].output_messages is None:
            raise ConfigError(f"content: version {semconv} of the conventions has no place for it in spans")
        if not provider or len(provider) > 64:
            raise ConfigError("provider: expected a name of 1 to 64 characters")
        if max_request_bytes < 1024:
            raise ConfigError(f"max_request_bytes is {max_request_bytes}; expected 1024 or more bytes")
        from streamproc.sinks._otlp_request import Encoder

        options = Options(
            endpoint=endpoint,
            traces_endpoint=traces_endpoint,
            headers=headers,
            timeout_s=timeout_s,
            compression=compression,
            ca_file=ca_file,
            client_cert_file=client_cert_file,
            client_key_file=client_key_file,
            service_name=service_name,
            resource=resource,
        )
        self._settings = settings_of(options, os.environ if env is None else env)
        self._host = URL(self._settings.url.reveal()).host_port_subcomponent or ""
        names = NAMES[semconv]
        provider = PROVIDERS.get(semconv, {}).get(provider, provider)
        self._maker = SpanMaker(names, provider, Messages() if content else None)
        self._encoder = Encoder(self._settings.resource, names.schema_url, max_request_bytes)
        self._now = now
        self._session: aiohttp.ClientSession | None = None
        self._sent = 0
        self._rejected = 0

    def __repr__(self) -> str:
        return f"OtlpSink({self._host})"

    @property
    def sent(self) -> int:
        """How many spans were taken, those that came again included."""
        return self._sent

    @property
    def rejected(self) -> int:
        """How many spans of requests that were taken the collector said it rejected."""
        return self._rejected

    async def __aenter__(self) -> Self:
        """
        Raises:
            ConfigError: a file of certificates or keys cannot be read.
        """
        tls = await anyio.to_thread.run_sync(_tls, self._settings)
        settings = self._settings
        headers = {"user-agent": _USER_AGENT, "accept-encoding": "identity"}  # lower case, as those of the settings
        headers |= {name: secret.reveal() for name, secret in settings.headers.items()}
        headers["content-type"] = "application/x-protobuf"
        if settings.is_compressed:
            headers["content-encoding"] = "gzip"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls),
            headers=headers,
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
        """Send the spans of a batch, one request after the other.

        Raises:
            SinkUnavailable: the collector asks to be left alone, or gave no answer.
            SinkRejected: it will never take some of them, or no span can be made of them.
        """
        session = self._session
        if session is None:
            raise RuntimeError("an OtlpSink has to be entered before its first batch")
        spans: list[tuple[Change, SpanMessage]] = []
        rejected: set[int] = set()
        reasons: set[str] = set()
        for change in batch:
            try:
                spans += [(change, self._encoder.encode(span)) for span in self._maker.spans_of(change)]
            except _UNENCODABLE:
                rejected.add(id(change))
                reasons.add("no span can be made of them")
        for request in self._encoder.requests(spans):
            answer = await self._send(session, request)
            if answer.outcome == "later":
                raise SinkUnavailable(f"{self._host} {answer.what}", answer.retry_after_s)
            if answer.outcome == "rejected":
                rejected |= {id(change) for change in request.changes}
                reasons.add(f"{self._host} {answer.what}")
                continue
            self._sent += request.spans
            if answer.rejected_spans:
                self._rejected += answer.rejected_spans
                log.warning("sink.spans_rejected", sink="otlp", count=answer.rejected_spans, of=request.spans)
        if rejected:
            raise SinkRejected(", ".join(sorted(reasons)), [change for change in batch if id(change) in rejected])

    async def _send(self, session: aiohttp.ClientSession, request: "Request") -> "Answer":
        """Post one request, once."""
        from streamproc.sinks._otlp_answer import Answer, answer_of

        body = request.body
        if self._settings.is_compressed:
            body = await anyio.to_thread.run_sync(lambda: gzip.compress(request.body, mtime=0))
        answer: Answer | None = None
        timeout_s = self._settings.timeout_s
        try:
            with anyio.move_on_after(timeout_s):
                # As a file, because aiohttp warns of bytes that are many.
                async with session.post(
                    self._settings.url.reveal(), data=io.BytesIO(body), allow_redirects=False
                ) as response:
                    answer = answer_of(response.status, response.headers, b"", self._now())
                    said = await _read(response)
                    answer = answer_of(response.status, response.headers, said, self._now())
        except _FOREIGN as error:
            return answer or Answer(
                outcome="later", what=f"gave no answer ({system_reason(error) or type(error).__name__})"
            )
        return answer or Answer(outcome="later", what=f"gave no answer (within {timeout_s:g} s)")


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """A short body to its end, so that its connection serves again; of any other nothing, it closes."""
    said = b""
    with anyio.move_on_after(_ANSWER_S):
        while len(said) <= _ANSWER_BYTES:
            piece = await response.content.read(_ANSWER_BYTES)
            if not piece:
                return said
            said += piece
    response.close()
    return b""


def _tls(settings: Settings) -> ssl.SSLContext | bool:
    if settings.ca_file is None and settings.client_cert_file is None:
        return True
    name = "ca_file"
    try:
        context = ssl.create_default_context(cafile=settings.ca_file)
        if settings.client_cert_file is not None:
            name = "client_cert_file"
            # A password would be asked for on the terminal.
            context.load_cert_chain(settings.client_cert_file, settings.client_key_file, password="")
    except OSError as error:  # `SSLError` is one
        raise ConfigError(f"{name}: {error.strerror or type(error).__name__}") from None
    return context
