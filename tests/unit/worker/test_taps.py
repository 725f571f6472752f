"""What a proxy makes of the copies: which are processed, within which bounds, and that the traffic feels none of it."""

import gzip
import tracemalloc
import zlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import anyio
import msgspec
import pytest
from structlog.testing import capture_logs

from streamproc import Change, DeliveryPolicy, Event, Limits, Pipeline, to_wire
from streamproc.errors import StoreError
from streamproc.sinks.memory import MemorySink
from streamproc.stores.memory import MemoryStore
from streamproc.testing.memory import HANG, Raise, ScriptedSink, Slow
from streamproc.worker.proxy import Proxy
from streamproc.worker.tap_inflate import Inflate, Unreadable, decoder
from streamproc.worker.tap_objects import objects_in
from tests.streams import arguments, call, done, error, message, run, sse, step, text
from tests.unit.worker.wire import LIMIT_S, Peer, connected, exchange, get, listening, parsed

pytestmark = pytest.mark.asyncio

OPENING = sse(run("created"), step("created"), arguments("a"))
ENDING = sse(arguments("b"), step("completed", "step_1", call("ab")), run("completed"), done())
WHOLE = OPENING + ENDING
UNKNOWN = b'data: {"hello":1}\n\n' * 100
RUN = "/v1/threads/thread_1/runs/run_1"


def answer(body: bytes, kind: str = "text/event-stream", *headers: str, status: int = 200) -> bytes:
    fields = [f"Content-Type: {kind}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([f"HTTP/1.1 {status} OK", *fields, "", ""]).encode() + body


def serving(*answers: bytes) -> Any:
    """An upstream that answers each request with the next of these; the last one goes on."""
    left = list(answers)

    async def serve(peer: Peer) -> None:
        await peer.head()
        await peer.send(left.pop(0) if len(left) > 1 else left[0])

    return serve


@asynccontextmanager
async def tapping(
    *answers: bytes, sinks: Sequence[Any] = (), store: Any = None, **options: Any
) -> AsyncGenerator[tuple[Proxy, Pipeline]]:
    """A proxy for an upstream that gives these answers; leaving waits until their copies are processed."""
    with anyio.fail_after(LIMIT_S):
        async with (
            listening(serving(*answers)) as upstream,
            Pipeline(sinks, store=store, drain_s=0.5) as pipeline,
            Proxy(upstream, pipeline, drain_s=0.5, random=Random(1), **options) as proxy,
        ):
            yield proxy, pipeline


async def asked(*answers: bytes, path: str = "/v1/x", **options: Any) -> tuple[Proxy, Pipeline, list[bytes]]:
    """Ask for each of these answers; gives the bodies that came."""
    async with tapping(*answers, **options) as (proxy, pipeline):
        bodies = [parsed(await exchange(proxy.url, get(path))).body for _ in answers]
    return proxy, pipeline, bodies


async def streamed(*pieces: bytes, headers: bytes = b"", sinks: Sequence[Any] = (), wait_s: float = 0.001) -> bytes:
    """The body that a client gets of a stream that is sent in these pieces, with time between them."""

    async def serve(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n" + headers)
        await peer.send(b"\r\n")
        for piece in pieces:
            await peer.send(piece)
            await anyio.sleep(wait_s)

    async with listening(serve) as upstream, Pipeline(sinks) as pipeline, Proxy(upstream, pipeline) as proxy:
        return parsed(await exchange(proxy.url, get())).body


# --- streams ----------------------------------------------------------------------------------------------------------


async def test_stream_is_processed() -> None:
    """Its states are in the pipeline, and its bytes with the client."""
    proxy, pipeline, bodies = await asked(answer(WHOLE))

    assert bodies == [WHOLE]
    assert {step.status for step in pipeline.steps.values()} == {"completed"}
    assert (proxy.statistics().tapped, dict(proxy.statistics().untapped)) == (1, {})


async def test_name_of_a_stream() -> None:
    """Method, path and a number that no other stream has, also after a restart; the query is a place for secrets."""
    sink = MemorySink()
    await asked(answer(WHOLE), answer(WHOLE), path="/v1/x?key=secret", sinks=[sink])

    names = {change.stream for change in sink.changes}
    assert len(names) == 2
    assert {name[:-16] for name in names} == {"GET /v1/x "}


async def test_stream_that_nobody_knows_passes_untapped() -> None:
    """It is counted, and the pipeline never hears of it."""
    sink = MemorySink()
    with capture_logs() as logs:
        proxy, _, bodies = await asked(answer(UNKNOWN), answer(b""), answer(sse(error("x"))), sinks=[sink])

    assert bodies == [UNKNOWN, b"", sse(error("x"))]
    assert dict(proxy.statistics().untapped) == {"unknown_dialect": 3}
    assert (proxy.statistics().tapped, sink.changes) == (0, [])
    assert {log["event"] for log in logs} == {"proxy.listening", "proxy.closed"}


@pytest.mark.slow
@pytest.mark.parametrize("size", [7, 100_000])
async def test_dialect_is_recognised_in_a_later_event(size: int) -> None:
    """Comments, pings and errors tell nothing; however it is cut."""
    data = b": hello\n\n" + sse(Event("ping", None, b"{}")) + WHOLE
    sink = MemorySink()
    seen = await streamed(*(data[start : start + size] for start in range(0, len(data), size)), sinks=[sink])

    assert seen == data
    events = [change.event for change in sink.changes if change.kind != "anomaly"]
    assert (events[0], events[-1]) == ("thread.run.created", "thread.run.completed")


async def test_endless_stream_that_nobody_knows_is_looked_at_no_longer() -> None:
    """A dialect has to recognise it soon, or what was seen is let go."""
    async with tapping(answer(b"data: x\n\n" * 100_000)) as (proxy, _), connected(proxy.url) as client:
        await client.send(get())
        await client.head()
        await client.exactly(800_000)
        while not proxy.statistics().untapped:
            await anyio.lowlevel.checkpoint()

        assert proxy.statistics().backlog_bytes == 0
        assert dict(proxy.statistics().untapped) == {"unknown_dialect": 1}


async def test_named_dialect_is_not_looked_for() -> None:
    """Whatever comes is read as that one."""
    sink = MemorySink()
    proxy, _, _ = await asked(answer(sse(error("x"))), dialect="assistants", sinks=[sink])

    assert [change.kind for change in sink.changes] == ["error"]
    assert proxy.statistics().tapped == 1


@pytest.mark.parametrize(("kind", "status"), [("text/plain", 200), ("text/event-stream", 500)])
async def test_what_is_no_stream_is_not_read_as_one(kind: str, status: int) -> None:
    """By its type and status."""
    proxy, pipeline, _ = await asked(answer(WHOLE, kind, status=status))

    assert (proxy.statistics().tapped, dict(pipeline.runs)) == (0, {})


async def test_stream_that_breaks_off_is_truncated() -> None:
    """What was seen is kept, and says so."""
    whole = answer(WHOLE)
    sink = MemorySink()
    await asked(whole[: -len(ENDING)], sinks=[sink])

    assert sink.changes[-1].truncated


async def test_stream_that_the_client_left_is_truncated() -> None:
    """The rest was never asked for."""
    sink = MemorySink()

    async def serve(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n" + OPENING)
        await peer.gone()

    async with (
        listening(serve) as upstream,
        Pipeline([sink]) as pipeline,
        Proxy(upstream, pipeline) as proxy,
        connected(proxy.url) as client,
    ):
        await client.send(get())
        await client.until(OPENING)

    assert sink.changes[-1].truncated


@pytest.mark.slow
async def test_stream_beyond_a_limit_ends_the_tap_only() -> None:
    """An event larger than the core takes; what came before is kept."""
    data = OPENING + b"data: " + b"x" * (Limits().max_line_bytes + 1) + b"\n\n" + ENDING
    sink = MemorySink()
    with capture_logs():
        proxy, _, bodies = await asked(answer(data), sinks=[sink])

    assert bodies == [data]
    assert dict(proxy.statistics().untapped) == {"limit": 1}
    assert sink.changes[-1].truncated


# --- compressed -------------------------------------------------------------------------------------------------------

PACKED = {
    "gzip": gzip.compress(WHOLE),
    "x-gzip": gzip.compress(OPENING) + gzip.compress(ENDING),
    "deflate": zlib.compress(WHOLE),
    "DEFLATE": zlib.compress(WHOLE, wbits=-15),
    "identity": WHOLE,
}


@pytest.mark.parametrize("encoding", PACKED)
async def test_compressed_stream_is_processed(encoding: str) -> None:
    """The client gets the compressed bytes, the pipeline what they stand for."""
    proxy, pipeline, bodies = await asked(
        answer(PACKED[encoding], "text/event-stream", f"Content-Encoding: {encoding}")
    )

    assert bodies == [PACKED[encoding]]
    assert pipeline.runs["run_1"].status == "completed"
    assert dict(proxy.statistics().untapped) == {}


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip"])
async def test_unknown_encoding_passes_untapped(encoding: str) -> None:
    """Nothing here can read it."""
    proxy, _, bodies = await asked(answer(b"\x1b\x03", "text/event-stream", f"Content-Encoding: {encoding}"))

    assert bodies == [b"\x1b\x03"]
    assert dict(proxy.statistics().untapped) == {"encoding": 1}


@pytest.mark.slow
async def test_damaged_compression_ends_the_tap_only() -> None:
    """What came before it is kept as a stream that broke off."""
    packer = zlib.compressobj(wbits=31)
    pieces = [packer.compress(OPENING) + packer.flush(zlib.Z_SYNC_FLUSH), b"\xff" * 1000, b"more"]
    sink = MemorySink()
    body = await streamed(*pieces, headers=b"Content-Encoding: gzip\r\n", sinks=[sink], wait_s=0.2)

    assert body == b"".join(pieces)
    assert [change.event for change in sink.changes if change.kind != "anomaly"][:2] == [
        "thread.run.created",
        "thread.run.step.created",
    ]
    assert sink.changes[-1].truncated


def bomb(size: int) -> bytes:
    """A stream that begins as a usual one and goes on with comments, a thousandth of its size."""
    packer = zlib.compressobj(9, wbits=31)
    piece = b":" + b"x" * 1022 + b"\n"
    packed = [packer.compress(OPENING), *(packer.compress(piece) for _ in range(size // len(piece))), packer.flush()]
    return b"".join(packed)


@pytest.mark.slow
async def test_bomb_ends_the_tap_only() -> None:
    """It passes as it is; what it stands for is never made."""
    packed = bomb(64 * 1024 * 1024)
    async with tapping(answer(packed, "text/event-stream", "Content-Encoding: gzip")) as (proxy, pipeline):
        tracemalloc.start()
        seen = parsed(await exchange(proxy.url, get()))
        while not proxy.statistics().untapped:
            await anyio.lowlevel.checkpoint()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

    assert seen.body == packed
    assert dict(proxy.statistics().untapped) == {"bomb": 1}
    assert peak < 32 * 1024 * 1024
    assert "run_1" in pipeline.runs


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
async def test_inflating_piece_by_piece(size: int) -> None:
    """Whatever the cut; a second member is read like the first."""
    packed = PACKED["x-gzip"]
    inflate = Inflate(31)
    pieces = [piece for at in range(0, len(packed), size) for piece in inflate.pieces(packed[at : at + size])]

    assert b"".join(pieces) == WHOLE


async def test_deflate_that_is_none() -> None:
    """Neither with nor without its first two bytes."""
    decode = decoder("deflate")
    assert decode is not None
    with pytest.raises(Unreadable, match="damaged"):
        list(decode.pieces(b"\xff\xff\xff"))


# --- objects ----------------------------------------------------------------------------------------------------------


def as_json(made: Event, **members: Any) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.json.decode(made.raw)
    return {**data, **members}


def listed(*objects: object, **members: Any) -> bytes:
    return msgspec.json.encode({"object": "list", "data": objects, "has_more": False, **members})


async def test_objects_become_states() -> None:
    """A run that is retrieved, steps and messages that are listed: unknown members are kept."""
    bodies = [
        msgspec.json.encode(as_json(run("in_progress"), new=1)),
        listed(as_json(step("completed", "step_1", call("ab"))), as_json(step("failed", "step_2"))),
        listed(as_json(message("completed", "msg_1", text("hi"))), as_json(message("completed", "msg_2"), status=None)),
    ]
    proxy, pipeline, seen = await asked(*(answer(body, "application/json") for body in bodies), path=RUN)

    assert seen == bodies
    assert msgspec.json.decode(to_wire(pipeline.runs["run_1"]))["new"] == 1
    assert {id: step.status for id, step in pipeline.steps.items()} == {"step_1": "completed", "step_2": "failed"}
    assert list(pipeline.messages) == ["msg_1"]
    assert proxy.statistics().hydrated == 3


async def test_object_beside_the_stream_of_its_run() -> None:
    """A client that polls while it streams changes nothing for the stream."""
    sink = MemorySink()
    polled = answer(msgspec.json.encode(as_json(run("in_progress"))), "application/json; charset=utf-8")
    _, pipeline, _ = await asked(polled, answer(WHOLE), polled, path=RUN, sinks=[sink])

    assert pipeline.runs["run_1"].status == "completed"
    assert {change.event for change in sink.changes if change.kind == "anomaly"} <= {"thread.run.in_progress"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"[" * 100_000,
        b'{"object":"list","data":{}}',
        b'{"object":"list","data":[1,null,"x",{}]}',
        b'{"object":"thread.run"}',
        b'{"object":"thread.run","id":1,"status":"x"}',
        b'{"object":"thread.run","id":"run_1","status":null}',
        b'{"object":["thread.run"],"id":"run_1"}',
        b'{"object":"thread","id":"thread_1"}',
        b'{"object":"thread.run","id":"\xff"}',
    ],
)
async def test_what_holds_no_object(body: bytes) -> None:
    """JSON or not, it says nothing of a run."""
    assert objects_in(body) == []


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/mythreads/x", "/v1/x?threads/"])
async def test_answers_from_elsewhere_are_not_read(path: str) -> None:
    """Only those of threads hold such objects."""
    body = msgspec.json.encode(as_json(run("in_progress")))
    proxy, pipeline, _ = await asked(answer(body, "application/json"), path=path)

    assert (proxy.statistics().hydrated, dict(pipeline.runs)) == (0, {})


async def test_object_that_is_too_large_passes() -> None:
    """As it came, or once it is decompressed."""
    body = msgspec.json.encode(as_json(run("in_progress"), metadata={"k": "x" * 5000}))
    packed = gzip.compress(body)
    proxy, pipeline, seen = await asked(
        answer(body, "application/json"),
        answer(packed, "application/json", "Content-Encoding: gzip"),
        path=RUN,
        max_hydrate_bytes=1000,
    )

    assert seen == [body, packed]
    assert dict(proxy.statistics().untapped) == {"size": 2}
    assert (dict(pipeline.runs), proxy.statistics().backlog_bytes) == ({}, 0)


async def test_objects_are_not_taken_over_if_none_is_wanted() -> None:
    """Nothing is counted either."""
    body = msgspec.json.encode(as_json(run("in_progress")))
    proxy, pipeline, _ = await asked(answer(body, "application/json"), path=RUN, max_hydrate_bytes=0)

    assert (dict(pipeline.runs), dict(proxy.statistics().untapped)) == ({}, {})


async def test_part_of_an_object_is_none() -> None:
    """An answer that broke off is not taken over, even if what came is JSON."""
    whole = answer(msgspec.json.encode(as_json(run("in_progress"))), "application/json")
    proxy, pipeline, _ = await asked(whole.replace(b"Content-Length: ", b"Content-Length: 9"), path=RUN)

    assert (dict(pipeline.runs), proxy.statistics().backlog_bytes) == ({}, 0)


# --- pipelines that fail ----------------------------------------------------------------------------------------------


class BrokenStore(MemoryStore):
    """Takes nothing."""

    async def next_epoch(self, stream: str) -> int:
        raise StoreError("the disk is full")

    async def append(self, changes: Sequence[Change]) -> int:
        raise StoreError("the disk is full")


async def test_store_that_fails_is_not_felt() -> None:
    """Stream and object pass; both are counted and logged, without content."""
    body = msgspec.json.encode(as_json(run("in_progress")))
    with capture_logs() as logs:
        proxy, _, bodies = await asked(answer(WHOLE), answer(body, "application/json"), path=RUN, store=BrokenStore())

    assert bodies == [WHOLE, body]
    assert dict(proxy.statistics().untapped) == {"failed": 2}
    failures = [log for log in logs if log["event"] == "proxy.tap_failed"]
    assert [(log["stream"][:4], log["cause"]) for log in failures] == [("GET ", "StoreError"), ("stre", "StoreError")]


@pytest.mark.slow
@pytest.mark.parametrize("fault", [Raise(ValueError("no")), HANG], ids=["raises", "hangs"])
async def test_sink_that_fails_is_not_felt(fault: Any) -> None:
    """Each of many streams passes, however long the sink is stuck."""
    policy = DeliveryPolicy(inbox_max=1, batch_max=1, max_pause_s=60.0)
    with capture_logs():
        _, _, bodies = await asked(*[answer(WHOLE)] * 20, sinks=[(ScriptedSink(*[fault] * 100), policy)])

    assert bodies == [WHOLE] * 20


@pytest.mark.slow
async def test_backlog_is_bounded() -> None:
    """What a stuck pipeline leaves waiting ends the tap, not the traffic; the stream is marked."""
    policy = DeliveryPolicy(inbox_max=1, batch_max=1, max_pause_s=60.0)
    deltas = [sse(arguments("x" * 1000)) for _ in range(500)]
    pieces = [OPENING, *deltas, ENDING]

    async def serve(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        for piece in pieces:
            await peer.send(piece)
            await anyio.lowlevel.checkpoint()

    with capture_logs() as logs, anyio.fail_after(LIMIT_S):
        async with (
            listening(serve) as upstream,
            Pipeline([(ScriptedSink(HANG), policy)], drain_s=0.1) as pipeline,
            Proxy(upstream, pipeline, drain_s=0.1, max_backlog_bytes=100_000) as proxy,
        ):
            seen = parsed(await exchange(proxy.url, get()))
            used = proxy.statistics().backlog_bytes

    assert seen.body == b"".join(pieces)
    assert 0 < used <= 100_000
    assert dict(proxy.statistics().untapped) == {"backlog": 1}
    assert proxy.statistics().backlog_bytes == 0
    assert [log["event"] for log in logs if log["event"] == "stream.truncated"] == ["stream.truncated"]


@pytest.mark.slow
async def test_what_waits_for_a_stuck_pipeline_is_bounded() -> None:
    """However small each stream and object: their number is, too."""
    policy = DeliveryPolicy(inbox_max=1, batch_max=1, max_pause_s=60.0)
    body = msgspec.json.encode(as_json(run("in_progress")))
    with capture_logs():
        proxy, _, bodies = await asked(
            *[answer(WHOLE), answer(body, "application/json")] * 10,
            path=RUN,
            max_requests=4,
            sinks=[(ScriptedSink(HANG), policy)],
        )

    assert bodies == [WHOLE, body] * 10
    assert proxy.statistics().untapped["backlog"] == 12
    assert proxy.statistics().backlog_bytes == 0


async def test_fail_closed_waits_for_a_sink_that_is_busy() -> None:
    """A moment; then the request goes on."""
    policy = DeliveryPolicy(inbox_max=1, batch_max=1)
    proxy, _, bodies = await asked(
        *[answer(WHOLE)] * 3, fail="closed", sinks=[(ScriptedSink(*[Slow(0.02)] * 100), policy)]
    )

    assert bodies == [WHOLE] * 3
    assert (proxy.statistics().refused, proxy.statistics().tapped) == (0, 3)


@pytest.mark.slow
async def test_fail_closed_holds_a_stream_that_gets_ahead() -> None:
    """Of a stream that the pipeline does not take, the client gets no more than may wait; with "open" all of it."""
    policy = DeliveryPolicy(inbox_max=1, batch_max=1, max_pause_s=60.0)
    data = OPENING + sse(arguments("x" * 10_000)) * 800
    got: dict[str, int] = {}
    for fail in ("open", "closed"):
        with capture_logs():
            async with (
                tapping(answer(data), fail=fail, sinks=[(ScriptedSink(HANG), policy)]) as (proxy, _),
                connected(proxy.url) as client,
            ):
                await client.send(get())
                await client.head()
                size = 0
                with anyio.move_on_after(0.5):
                    while size + 100_000 <= len(data):
                        await client.exactly(100_000)
                        size += 100_000
                got[fail] = size

    assert got["open"] == len(data) // 100_000 * 100_000
    assert got["closed"] < 3_000_000


@pytest.mark.slow
async def test_fail_closed_refuses_before_the_upstream_hears_of_it() -> None:
    """503, as long as the store cannot be written."""
    heard: list[Peer] = []

    async def serve(peer: Peer) -> None:
        heard.append(peer)

    async with (
        listening(serve) as upstream,
        Pipeline(store=BrokenStore()) as pipeline,
        Proxy(upstream, pipeline, fail="closed") as proxy,
    ):
        seen = parsed(await exchange(proxy.url, get()))

    assert seen.line == b"HTTP/1.1 503 Service Unavailable"
    assert b'"code":"pipeline_unavailable"' in seen.body
    assert (heard, proxy.statistics().refused) == ([], 1)


async def test_fail_closed_passes_on_while_the_pipeline_works() -> None:
    """The same bytes, and the same states."""
    proxy, pipeline, bodies = await asked(answer(WHOLE), fail="closed", store=MemoryStore())

    assert bodies == [WHOLE]
    assert pipeline.runs["run_1"].status == "completed"
    assert proxy.statistics().refused == 0


async def test_fail_closed_breaks_off_what_can_no_longer_be_recorded() -> None:
    """A stream that began in a store which then fails does not go on unrecorded."""

    class Later(BrokenStore):
        calls = 0

        async def next_epoch(self, stream: str) -> int:
            self.calls += 1
            if self.calls == 1:  # asked whether a stream could begin
                return 1
            raise StoreError("the disk is full")

    goes_on = anyio.Event()

    async def serve(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9999\r\n\r\n" + OPENING)
        await goes_on.wait()
        await peer.send(ENDING)
        await peer.gone()

    with capture_logs(), anyio.fail_after(LIMIT_S):
        async with (
            listening(serve) as upstream,
            Pipeline(store=Later(), drain_s=0.1) as pipeline,
            Proxy(upstream, pipeline, fail="closed") as proxy,
            connected(proxy.url) as client,
        ):
            await client.send(get())
            await client.until(OPENING)
            while not proxy.statistics().untapped:
                await anyio.lowlevel.checkpoint()
            goes_on.set()
            rest = await client.rest()

    assert rest == b""


# --- secrets ----------------------------------------------------------------------------------------------------------


async def test_secrets_are_nowhere() -> None:
    """Credentials, queries and bodies: not in logs, names of streams, errors, statistics or the store."""
    sink = MemorySink()
    store = MemoryStore()
    secret = "sk-canary"
    request = get(f"/v1/x?api-key={secret}", f"Authorization: Bearer {secret}", f"api-key: {secret}")
    with capture_logs() as logs:
        async with tapping(answer(WHOLE), b"", answer(UNKNOWN), sinks=[sink], store=store) as (proxy, _):
            seen = [await exchange(proxy.url, request) for _ in range(3)]
            bad = await exchange(proxy.url, f"GET / HTTP/1.1\r\nHost: x\r\nX {secret}\r\n\r\n".encode())

    said = [str(logs), str(seen), str(proxy.statistics()), str([change.stream for change in sink.changes])]
    assert bad.startswith(b"HTTP/1.1 400")
    assert [text for text in said if secret in text] == []
