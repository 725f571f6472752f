"""An OTLP/HTTP receiver: it decodes traces with `opentelemetry-proto`, records what arrived, and does as it is told.

As a process of its own, which can be killed and started again on its port:

    with OtlpReceiverProcess(tmp_path / "arrived.jsonl") as receiver:
        config_url = receiver.url                       # http://127.0.0.1:PORT, the endpoint; spans go to /v1/traces
        receiver.tell(status=503, times=3)              # the next three are refused; all later ones taken again
        receiver.kill(); receiver.start()               # forgets what it was told, goes on with its file
        taken(receiver.record)                          # the spans of what it answered 2xx, in order of arrival
        latest(taken(receiver.record))                  # what a backend has that overwrites: span id -> newest span

In the test's own event loop: `async with running(OtlpReceiver()) as receiver`. One line of the file is one request,
written before it is answered: status (what it was answered; 0: nothing was), its spans, its resource, its size. A line
that a kill tore is skipped when it is read.
"""

import argparse
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import anyio
import msgspec
from aiohttp import web
from google.protobuf.message import DecodeError
from msgspec import Struct
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from tests.worker.process import ROOT, environment, free_port

__all__ = [
    "OtlpReceiver",
    "OtlpReceiverProcess",
    "OtlpRequest",
    "ReceivedSpan",
    "Told",
    "keys",
    "latest",
    "requests",
    "running",
    "spans_of",
    "taken",
]

_START_S: Final = 30.0
_POLL_S: Final = 0.01
_BODY_MAX: Final = 64 * 1024 * 1024
_PROTOBUF: Final = "application/x-protobuf"


class Told(Struct, frozen=True, kw_only=True):
    """How requests are answered."""

    status: int = 200
    headers: dict[str, str] = {}
    text: str = ""  # of the answer, in place of a message
    rejected_spans: int = 0  # a partial success, with `error_message`
    error_message: str = ""
    delay_s: float = 0.0  # before the answer
    hang: bool = False  # no answer at all, as long as the client waits
    cut: bool = False  # the connection is closed in place of an answer
    times: int | None = None  # how many requests; None: all


class ReceivedSpan(Struct, frozen=True, kw_only=True):
    """One span; ids as lower-case hex, times in nanoseconds since 1970, kind and status by their short names."""

    name: str
    trace_id: str
    span_id: str
    parent_span_id: str  # "": none
    kind: str  # "CLIENT", "INTERNAL", ...
    start_ns: int
    end_ns: int
    status: str  # "UNSET", "OK", "ERROR"
    status_message: str
    attributes: dict[str, Any]
    events: list[dict[str, Any]]


class OtlpRequest(Struct, frozen=True, kw_only=True):
    """One request to /v1/traces."""

    status: int
    spans: list[ReceivedSpan]
    resource: dict[str, Any]
    schema_url: str
    scope: str
    size_bytes: int  # decompressed
    path: str
    headers: dict[str, str]  # by lower-case name


class OtlpReceiver:
    """Answers each request as it is told, in the order of telling; 200 when there is nothing else.

    A body that is not an `ExportTraceServiceRequest` is answered 400 and not recorded.

    Args:
        record: the file to append to; None: only `requests` is kept.
    """

    def __init__(self, *, record: Path | None = None) -> None:
        self.requests: list[OtlpRequest] = []
        self.url = ""
        self._told: list[Told] = []
        self._file = None if record is None else os.open(record, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    @property
    def spans(self) -> list[ReceivedSpan]:
        """The spans that were taken, in order of arrival."""
        return _taken(self.requests)

    def tell(self, *told: Told) -> None:
        """What comes after what it was told before; a `Told` without `times` is the last that counts."""
        self._told += told

    def forget(self) -> None:
        """Take everything again."""
        self._told.clear()

    def app(self) -> web.Application:
        app = web.Application(client_max_size=_BODY_MAX)
        app.router.add_put("/told", self._take_orders)
        app.router.add_post("/{path:.*}", self._take)
        return app

    async def _take_orders(self, request: web.Request) -> web.Response:
        self.forget()
        self.tell(*msgspec.json.decode(await request.read(), type=list[Told]))
        return web.Response(status=204)

    async def _take(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()  # aiohttp has decompressed it
        try:
            decoded = ExportTraceServiceRequest.FromString(body)
        except DecodeError:
            return web.Response(status=400)
        told = self._next()
        self._record(request, decoded, len(body), 0 if told.hang or told.cut else told.status)
        if told.delay_s:
            await anyio.sleep(told.delay_s)
        if told.hang:
            await anyio.sleep_forever()
        if told.cut:
            assert request.transport is not None
            request.transport.abort()
        answer = ExportTraceServiceResponse()
        if told.rejected_spans or told.error_message:
            answer.partial_success.rejected_spans = told.rejected_spans
            answer.partial_success.error_message = told.error_message
        text = told.text.encode() or answer.SerializeToString()
        return web.Response(status=told.status, headers={"Content-Type": _PROTOBUF, **told.headers}, body=text)

    def _next(self) -> Told:
        if not self._told:
            return Told()
        told = self._told.pop(0)
        if told.times is None:
            self._told.insert(0, told)
        elif told.times > 1:
            self._told.insert(0, msgspec.structs.replace(told, times=told.times - 1))
        return told

    def _record(self, request: web.Request, decoded: ExportTraceServiceRequest, size: int, status: int) -> None:
        resource = decoded.resource_spans[0] if decoded.resource_spans else None
        one = OtlpRequest(
            status=status,
            spans=spans_of(decoded),
            resource={} if resource is None else _members(resource.resource.attributes),
            schema_url="" if resource is None else resource.schema_url,
            scope=resource.scope_spans[0].scope.name if resource is not None and resource.scope_spans else "",
            size_bytes=size,
            path=request.path,
            headers={name.lower(): value for name, value in request.headers.items()},
        )
        self.requests.append(one)
        if self._file is not None:
            os.write(self._file, msgspec.json.encode(one) + b"\n")


def spans_of(request: ExportTraceServiceRequest | bytes) -> list[ReceivedSpan]:
    """The spans of a request, or of its body, in their order."""
    decoded = ExportTraceServiceRequest.FromString(request) if isinstance(request, bytes) else request
    return [
        _span(span) for resource in decoded.resource_spans for scope in resource.scope_spans for span in scope.spans
    ]


def _span(span: trace_pb2.Span) -> ReceivedSpan:
    return ReceivedSpan(
        name=span.name,
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_span_id=span.parent_span_id.hex(),
        kind=trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        status=trace_pb2.Status.StatusCode.Name(span.status.code).removeprefix("STATUS_CODE_"),
        status_message=span.status.message,
        attributes=_members(span.attributes),
        events=[{"name": event.name, "attributes": _members(event.attributes)} for event in span.events],
    )


def _members(pairs: Iterable[KeyValue]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _value(value: AnyValue) -> Any:
    match value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [_value(one) for one in value.array_value.values]
        case "kvlist_value":
            return _members(value.kvlist_value.values)
        case name:
            return getattr(value, name)


@asynccontextmanager
async def running(
    receiver: OtlpReceiver, *, port: int = 0, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncGenerator[OtlpReceiver]:
    """The receiver, listening; `receiver.url` says where."""
    runner = web.AppRunner(receiver.app(), access_log=None, shutdown_timeout=0, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, ssl_context=tls)
        await site.start()
        receiver.url = f"{'https' if tls else 'http'}://{host}:{runner.addresses[0][1]}"
        yield receiver
    finally:
        await runner.cleanup()


def requests(record: Path) -> list[OtlpRequest]:
    """The requests in a record, in order of arrival."""
    try:
        lines = record.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    return [one for one in map(_read, lines) if one is not None]


def taken(record: Path) -> list[ReceivedSpan]:
    """The spans of those that were answered 2xx, in order of arrival."""
    return _taken(requests(record))


def _taken(made: Iterable[OtlpRequest]) -> list[ReceivedSpan]:
    return [span for request in made if 200 <= request.status < 300 for span in request.spans]


def latest(spans: Iterable[ReceivedSpan]) -> Mapping[tuple[str, str], ReceivedSpan]:
    """What a backend has that overwrites: the span that came last, by trace id and span id."""
    return {(span.trace_id, span.span_id): span for span in spans}


def keys(spans: Iterable[ReceivedSpan]) -> list[tuple[str, int, int]]:
    """Of which changes they were made: (stream, epoch, seq)."""
    members = [span.attributes for span in spans]
    return [(each["streamproc.stream"], each["streamproc.epoch"], each["streamproc.seq"]) for each in members]


def _read(line: bytes) -> OtlpRequest | None:
    try:
        return msgspec.json.decode(line, type=OtlpRequest)
    except msgspec.DecodeError:
        return None


class OtlpReceiverProcess:
    """A receiver as a process; leaving it kills what still lives.

    Args:
        record: the file that it appends to.
    """

    def __init__(self, record: Path) -> None:
        self.record = record
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._command = [sys.executable, "-m", "tests.otlp_receiver", str(self.port), str(record)]
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._child is not None:
            self.kill()

    def start(self) -> None:
        """Begin a life of it; returns once it listens."""
        assert self._child is None
        self._child = subprocess.Popen(
            self._command, cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
        )
        assert self._child.stdout is not None
        line = self._child.stdout.readline()  # it says one line, or ends
        assert line.strip() == b"listening", f"ended with {self._child.wait(_START_S)}"

    def kill(self) -> None:
        """End its life with SIGKILL; returns once it is over."""
        child, self._child = self._child, None
        assert child is not None
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()

    def pause(self) -> None:
        """Stop it with SIGSTOP: connections are accepted by the system, and nothing is answered."""
        assert self._child is not None
        self._child.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._child is not None
        self._child.send_signal(signal.SIGCONT)

    def tell(self, **told: Any) -> None:
        """What it does from now on, see `Told`; without any argument: take everything."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=_START_S)
        try:
            connection.request("PUT", "/told", body=msgspec.json.encode([Told(**told)] if told else []))
            assert connection.getresponse().status == 204
        finally:
            connection.close()

    def await_taken(self, count: int, timeout_s: float = 30.0) -> list[ReceivedSpan]:
        """What it has taken, once that is so many different spans."""
        deadline = time.monotonic() + timeout_s
        while len(latest(found := taken(self.record))) < count:
            assert time.monotonic() < deadline, f"{len(latest(found))} of {count}"
            time.sleep(_POLL_S)
        return found


async def _listen(port: int, receiver: OtlpReceiver) -> None:
    async with running(receiver, port=port):
        sys.stdout.write("listening\n")
        sys.stdout.flush()
        await anyio.sleep_forever()


def _main() -> None:
    parser = argparse.ArgumentParser(description="An OTLP/HTTP receiver that records the spans that arrive.")
    parser.add_argument("port", type=int)
    parser.add_argument("record", type=Path)
    args = parser.parse_args()
    anyio.run(_listen, args.port, OtlpReceiver(record=args.record))


if __name__ == "__main__":
    _main()
