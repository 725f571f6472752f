"""OtlpSink against a collector on loopback: what arrives, and what each of its answers leads to."""

import ssl
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trustme
from structlog.testing import capture_logs

from streamproc import Change
from streamproc.core.change import Origin
from streamproc.errors import ConfigError, SinkRejected, SinkUnavailable
from streamproc.protocols import Sink
from streamproc.secret import Secret
from streamproc.sinks import otlp
from streamproc.sinks.otlp import OtlpSink
from streamproc.testing.changes import ordinary_changes
from streamproc.testing.sinks import Key, check_sink
from tests.otlp_receiver import OtlpReceiver, Told, keys, latest, running
from tests.worker.process import free_port

CHANGES = ordinary_changes("s", deltas=2)
FINAL = [change for change in CHANGES if change.is_final and change.kind in ("run", "step")]


@asynccontextmanager
async def sending(
    receiver: OtlpReceiver | None = None, **options: Any
) -> AsyncGenerator[tuple[OtlpSink, OtlpReceiver]]:
    """A sink, and the receiver that it sends to."""
    async with running(receiver or OtlpReceiver()) as there, OtlpSink(there.url, env={}, **options) as sink:
        yield sink, there


# --- the contract -----------------------------------------------------------------------------------------------------


class Offered:
    """A sink that notes what it was offered, in order: a collector knows nothing of changes that are no spans."""

    def __init__(self, sink: OtlpSink, offered: list[Change]) -> None:
        self._sink = sink
        self._offered = offered

    async def __aenter__(self) -> Sink:
        await self._sink.__aenter__()
        return self

    async def __aexit__(self, *raised: Any) -> None:
        await self._sink.__aexit__(*raised)

    async def write(self, batch: Sequence[Change]) -> None:
        self._offered += batch
        await self._sink.write(batch)


@pytest.mark.asyncio
@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}, {"content": True}, {"max_request_bytes": 1024}])
async def test_contract(options: dict[str, Any]) -> None:
    """Whatever is a span has arrived once it was acknowledged, in order; all other changes are acknowledged, too."""
    offered: list[Change] = []
    receiver = OtlpReceiver()
    async with running(receiver):

        def arrived() -> Iterable[Key]:
            there = set(keys(receiver.spans))
            for change in offered:
                key = (change.stream, change.epoch, change.seq)
                if key in there or not makes_spans(change):
                    yield key

        def make() -> Sink:
            return Offered(OtlpSink(receiver.url, env={}, **options), offered)

        await check_sink(make, far_side=arrived)
    with_spans = {(change.stream, change.epoch, change.seq) for change in offered if makes_spans(change)}

    assert with_spans == set(keys(receiver.spans))


def makes_spans(change: Change) -> bool:
    if not change.is_final or change.kind not in ("run", "step"):
        return False
    if change.kind == "run":
        return True
    details = getattr(change.state.step_details, "type", None)
    return details == "message_creation" or (details == "tool_calls" and bool(change.state.step_details.tool_calls))


# --- what is sent -----------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_request() -> None:
    """To /v1/traces, as protobuf, with the headers and the resource that were given."""
    headers = {"Authorization": Secret("Bearer t0ken"), "User-Agent": "ours"}
    async with sending(headers=headers, service_name="tests") as (sink, receiver):
        await sink.write(CHANGES)
    (request,) = receiver.requests

    assert request.path == "/v1/traces"
    assert request.headers["content-type"] == "application/x-protobuf"
    assert request.headers["authorization"] == "Bearer t0ken"
    assert request.headers["user-agent"] == "ours"
    assert "content-encoding" not in request.headers
    assert (request.resource, request.scope) == ({"service.name": "tests"}, "streamproc")
    assert [span.name for span in request.spans] == ["execute_tool search", "invoke_agent"]
    assert "t0ken" not in repr(sink)
    assert sink.sent == 2


@pytest.mark.asyncio
async def test_a_request_that_is_compressed() -> None:
    async with sending(compression="gzip") as (sink, receiver):
        await sink.write(CHANGES)
    (request,) = receiver.requests

    assert request.headers["content-encoding"] == "gzip"
    assert int(request.headers["content-length"]) < request.size_bytes
    assert len(request.spans) == 2


@pytest.mark.asyncio
async def test_what_the_environment_says() -> None:
    """Where to, with what, as whom: all of it by the variables that any exporter reads."""
    receiver = OtlpReceiver()
    async with running(receiver):
        env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"{receiver.url}/base/",
            "OTEL_EXPORTER_OTLP_HEADERS": "api-key=1",
            "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip",
            "OTEL_SERVICE_NAME": "named",
            "OTEL_SDK_DISABLED": "true",
        }
        async with OtlpSink(env=env, semconv="1.36") as sink:
            await sink.write(CHANGES)
    (request,) = receiver.requests

    assert request.path == "/base/v1/traces"
    assert (request.headers["api-key"], request.headers["content-encoding"]) == ("1", "gzip")
    assert request.resource == {"service.name": "named"}
    assert request.schema_url == "https://opentelemetry.io/schemas/1.36.0"
    assert request.spans[-1].attributes["gen_ai.system"] == "openai"


@pytest.mark.asyncio
async def test_a_batch_that_ends_nothing_is_no_request() -> None:
    async with sending() as (sink, receiver):
        await sink.write([change for change in CHANGES if not change.is_final])
        await sink.write([])

    assert receiver.requests == []


@pytest.mark.asyncio
async def test_what_comes_again_is_the_same_span() -> None:
    """Whoever sends it, alone or among others, by whatever policy: a collector that overwrites has each once."""
    receiver = OtlpReceiver()
    async with running(receiver):
        for batch in (CHANGES, FINAL, [change.as_snapshot() for change in FINAL], FINAL[:1], FINAL[1:]):
            async with OtlpSink(receiver.url, env={}) as sink:
                await sink.write(batch)
    spans = receiver.spans

    assert len(spans) == 8
    assert all(span == latest(spans)[span.trace_id, span.span_id] for span in spans)
    assert len(latest(spans)) == 2


@pytest.mark.asyncio
async def test_a_large_batch_is_several_requests() -> None:
    async with sending(max_request_bytes=2048) as (sink, receiver):
        changes = [change for number in range(10) for change in ordinary_changes(f"s{number}", deltas=0)]
        await sink.write(changes)

    assert len(receiver.requests) > 3
    assert all(request.size_bytes <= 2048 for request in receiver.requests)
    assert len(receiver.spans) == sink.sent == 20


# --- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_a_collector_that_is_busy(status: int) -> None:
    async with sending() as (sink, receiver):
        receiver.tell(Told(status=status, headers={"Retry-After": "7"}, text="secret", times=1))
        with pytest.raises(SinkUnavailable, match=rf"^127\.0\.0\.1:\d+ answered {status}\b") as raised:
            await sink.write(CHANGES)
        await sink.write(CHANGES)

    assert raised.value.retry_after_s == 7.0
    assert len(receiver.spans) == 2


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [302, 400, 401, 404, 413, 500])
async def test_a_collector_that_refuses(status: int) -> None:
    """The changes of that request alone become dead letters; a redirect is not followed."""
    async with sending(max_request_bytes=1024) as (sink, receiver):
        receiver.tell(Told(status=status, headers={"Location": "/elsewhere"}, text="secret", times=1))
        with pytest.raises(SinkRejected, match=rf"^127\.0\.0\.1:\d+ answered {status}\b") as raised:
            await sink.write([*CHANGES, *ordinary_changes("other", deltas=2)])

    assert [*raised.value.changes] == FINAL
    assert [span.attributes["streamproc.stream"] for span in receiver.spans] == ["other", "other"]


@pytest.mark.asyncio
async def test_spans_that_a_collector_rejects() -> None:
    """It does not say which: the batch is acknowledged, as the protocol forbids to send it again. They are counted."""
    async with sending() as (sink, receiver):
        receiver.tell(Told(rejected_spans=1, error_message="secret", times=1))
        with capture_logs() as logs:
            await sink.write(CHANGES)
            await sink.write(CHANGES)

    assert (sink.rejected, sink.sent) == (1, 4)
    assert logs == [
        {"event": "sink.spans_rejected", "log_level": "warning", "sink": "otlp", "count": 1, "of": 2},
    ]


@pytest.mark.asyncio
async def test_a_warning_of_a_collector() -> None:
    """It took all of it; what it says may quote what spans hold."""
    async with sending() as (sink, receiver):
        receiver.tell(Told(error_message="secret"))
        with capture_logs() as logs:
            await sink.write(CHANGES)

    assert (sink.rejected, logs) == (0, [])


@pytest.mark.asyncio
async def test_a_change_that_cannot_be_a_span() -> None:
    """Half a surrogate pair, which no stream can hold; the others of its batch are sent."""
    bad = msgspec.structs.replace(FINAL[0], origin=Origin("\ud800", 1))
    async with sending() as (sink, receiver):
        with pytest.raises(SinkRejected, match="no span can be made of them") as raised:
            await sink.write([bad, FINAL[1]])

    assert [*raised.value.changes] == [bad]
    assert len(receiver.spans) == 1


@pytest.mark.asyncio
async def test_rejected_changes_are_in_the_order_of_the_batch() -> None:
    """Whoever rejects them, and when."""
    bad = msgspec.structs.replace(FINAL[0], origin=Origin("\ud800", 1))
    async with sending() as (sink, receiver):
        receiver.tell(Told(status=400, times=1))
        with pytest.raises(SinkRejected) as raised:
            await sink.write([FINAL[0], bad, FINAL[1]])

    assert [*raised.value.changes] == [FINAL[0], bad, FINAL[1]]


@pytest.mark.asyncio
async def test_a_collector_that_is_silent() -> None:
    async with sending(timeout_s=0.1) as (sink, receiver):
        receiver.tell(Told(hang=True, times=1))
        with pytest.raises(SinkUnavailable, match=r"gave no answer \(within 0\.1 s\)"):
            await sink.write(CHANGES)
        await sink.write(CHANGES)

    assert len(receiver.spans) == 2


@pytest.mark.asyncio
async def test_a_collector_that_hangs_up() -> None:
    async with sending() as (sink, receiver):
        receiver.tell(Told(cut=True, times=1))
        with pytest.raises(SinkUnavailable, match=r"gave no answer \(ServerDisconnectedError\)"):
            await sink.write(CHANGES)
        await sink.write(CHANGES)

    assert len(receiver.spans) == 2


@pytest.mark.asyncio
async def test_a_collector_that_is_not_there() -> None:
    """The reason has its host and nothing else of the URL."""
    async with OtlpSink(f"http://user:secret@127.0.0.1:{free_port()}/path?key=secret", env={}) as sink:
        with pytest.raises(SinkUnavailable, match=r"^127\.0\.0\.1:\d+ gave no answer \(Connection refused\)$"):
            await sink.write(CHANGES)


@pytest.mark.asyncio
async def test_a_name_that_nobody_knows() -> None:
    async with OtlpSink("http://collector.invalid", env={}) as sink:
        with pytest.raises(SinkUnavailable, match=r"^collector\.invalid gave no answer"):
            await sink.write(CHANGES)


@pytest.mark.asyncio
@pytest.mark.parametrize("size", [1_000, 1_000_000])
async def test_a_long_answer(size: int) -> None:
    """It was taken whatever else is said; what is too long is not read."""
    async with sending() as (sink, receiver):
        receiver.tell(Told(text="x" * size, times=1))
        await sink.write(CHANGES)
        await sink.write(CHANGES)

    assert len(receiver.spans) == 4


# --- TLS --------------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_certificates_of_both_sides(tmp_path: Path) -> None:
    """A collector of an authority of its own, which asks for ours; without it, or without that authority, no spans."""
    authority = trustme.CA()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    authority.configure_trust(server)
    server.verify_mode = ssl.CERT_REQUIRED
    client = authority.issue_cert("streamproc.example")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    client.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    client.private_key_pem.write_to_path(tmp_path / "key.pem")
    client.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    known: dict[str, Any] = {"ca_file": tmp_path / "ca.pem"}
    ours: list[dict[str, Any]] = [
        {"client_cert_file": tmp_path / "both.pem"},
        {"client_cert_file": tmp_path / "cert.pem", "client_key_file": tmp_path / "key.pem"},
    ]
    receiver = OtlpReceiver()
    async with running(receiver, tls=server):
        for more in ours:
            async with OtlpSink(receiver.url, env={}, **known, **more) as sink:
                await sink.write(CHANGES)
        for options in (known, {}):
            async with OtlpSink(receiver.url, env={}, **options) as sink:
                with pytest.raises(SinkUnavailable, match="gave no answer"):
                    await sink.write(CHANGES)

    assert len(receiver.spans) == 4


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"ca_file": "none.pem"}, "ca_file: No such file or directory"),
        ({"ca_file": "text.pem"}, "ca_file: "),
        ({"client_cert_file": "none.pem"}, "client_cert_file: No such file or directory"),
        ({"client_cert_file": "text.pem"}, "client_cert_file: "),
    ],
)
async def test_files_that_are_no_certificates(tmp_path: Path, options: dict[str, Any], text: str) -> None:
    (tmp_path / "text.pem").write_text("no certificate", encoding="utf-8")
    paths = {**options}
    paths.update((name, tmp_path / file) for name, file in options.items())
    with pytest.raises(ConfigError, match=f"^{text}"):
        async with OtlpSink(env={}, **paths):
            pass


# --- wrong use --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"semconv": "1.37"}, "semconv is '1.37'; expected one of '0.1', '1.36'"),
        ({"semconv": "1.36", "content": True}, "content: version 1.36 of the conventions has no place for it in spans"),
        ({"provider": ""}, "provider: expected a name of 1 to 64 characters"),
        ({"max_request_bytes": 1023}, "max_request_bytes is 1023; expected 1024 or more bytes"),
        ({"timeout_s": -1}, "timeout_s is -1; expected more than 0 seconds"),
    ],
)
def test_what_cannot_work(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        OtlpSink(env={}, **options)

    assert str(raised.value) == text


def test_without_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        return None

    monkeypatch.setattr(otlp, "find_spec", missing)
    with pytest.raises(ConfigError, match=r"^OtlpSink needs an extra: pip install \"streamproc\[otlp\]\"$"):
        OtlpSink(env={})


@pytest.mark.asyncio
async def test_a_write_before_it_was_entered() -> None:
    with pytest.raises(RuntimeError, match="has to be entered"):
        await OtlpSink(env={}).write(CHANGES)
