"""The ingest server over real sockets: streams that arrive in pieces, break off and go on, and what must not get in."""

import gzip
import json
import logging
import random
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import anyio
import pytest
from anyio.abc import SocketAttribute
from structlog.testing import capture_logs

from streamproc import DeliveryPolicy, Limits, Pipeline, to_wire
from streamproc.errors import ConfigError, StoreError
from streamproc.sinks.memory import MemorySink
from streamproc.stores.memory import MemoryStore
from streamproc.stores.queries import find, open_store
from streamproc.stores.sqlite import SqliteStore
from streamproc.testing import ScriptedSink
from streamproc.testing.memory import Slow
from streamproc.worker.http import ServerLimits
from streamproc.worker.ingest import Ingest, IngestLimits
from streamproc.worker.telemetry import Telemetry
from tests.streams import arguments, call, done, message, run, sse, step, text, words
from tests.worker.ingest_fixture import Answer, Serving, chunk, head, serving
from tests.worker.ingest_smuggling import AMBIGUOUS, INNER, ORDINARY, SMUGGLED

EVENTS: Final = [
    *(run("created"), step("created"), arguments('{"city":'), arguments('"Rom"}')),
    *(step("completed", "step_1", call('{"city":"Rom"}')), message("created"), words("Es "), words("ist 🌞 warm")),
    *(message("completed", "msg_1", text("Es ist 🌞 warm", annotations=[])), run("completed"), done()),
]
WHOLE: Final = sse(*EVENTS)
LINES: Final = b"".join(
    b'{"event":"%b","data":%b}\n' % (event.name.encode(), event.raw if event.data is not None else b'"[DONE]"')
    for event in EVENTS
)
NDJSON: Final = "application/x-ndjson"
GZIP: Final = "Content-Encoding: gzip"
CANARY: Final = "c4n4ry-t0ken-0f-sixteen"


async def until(holds: Callable[[], object]) -> None:
    """Wait for what a server does by itself."""
    with anyio.fail_after(5):
        while not holds():  # noqa: ASYNC110 - it has no event of its own
            await anyio.sleep(0.005)


async def break_off(serving: Serving, name: str, body: bytes, content_type: str = "text/event-stream") -> None:
    """Send the beginning of a stream and close the connection; returns once the server has noticed."""
    interrupted = serving.ingest.interrupted
    async with await serving.connect() as connection:
        await connection.send(head("POST", f"/v1/streams/{name}", -1, f"Content-Type: {content_type}"))
        if body:
            await connection.send(chunk(body))
        await until(lambda: name in serving.ingest._open and serving.ingest._open[name].offset == len(body))
    await until(lambda: serving.ingest.interrupted > interrupted)


def words_of(serving: Serving) -> str:
    """The text of the message, which has grown by deltas and been compared with its end."""
    wire = to_wire(serving.pipeline.messages["msg_1"])
    return str(json.loads(wire)["content"][0]["text"]["value"])


# --- whole streams ----------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (WHOLE, "text/event-stream"),
        (WHOLE, "text/event-stream; charset=utf-8"),
        (LINES, NDJSON),
        (LINES.replace(b"\n", b"\r\n\r\n"), NDJSON),
        (LINES.rstrip(), NDJSON),
        (b"\n \n" + LINES, NDJSON),
    ],
    ids=["sse", "sse with a charset", "lines", "lines with CRLF and empty ones", "no last line end", "empty first"],
)
async def test_a_stream_in_one_request(body: bytes, content_type: str) -> None:
    """The answer says what became of it, and its states are those of the stream."""
    async with serving() as at:
        answer = await at.post("one", body, content_type=content_type)
        shown = await at.get("one")
        short = await at.get("one", "HEAD")

        assert (answer.status, answer.data["state"]) == (200, "ended")
        assert answer.data["offset"] == len(body)
        assert answer.data["runs"] == [{"id": "run_1", "status": "completed", "steps": 1, "messages": 1}]
        assert (answer.data["changes"], answer.data["anomalies"], answer.data["truncated"]) == (10, {}, False)
        assert shown.data == answer.data
        assert (short.status, short.headers["stream-offset"], short.content) == (200, str(len(body)), b"")
        assert words_of(at) == "Es ist 🌞 warm"


@pytest.mark.asyncio
async def test_a_stream_of_which_only_steps_are_known() -> None:
    """Its run is named, with no status. An offset of 0 begins a stream as none does."""
    async with serving() as at:
        answer = await at.post("one", sse(step("created")), "Stream-Offset: 0")

    assert answer.data["runs"] == [{"id": "run_1", "status": None, "steps": 1, "messages": 0}]


@pytest.mark.asyncio
async def test_another_dialect_is_found_out_or_named() -> None:
    """As the query says it."""
    async with serving() as at:
        named = await at.post("one?dialect=assistants", WHOLE)
        other = await at.post("two?dialect=auto", WHOLE)
        unknown = await at.post("three?dialect=nope", WHOLE)

    assert [answer.status for answer in (named, other, unknown)] == [200, 200, 400]
    assert unknown.data["error"]["code"] == "unknown_dialect"


@pytest.mark.asyncio
async def test_a_stream_is_processed_while_it_arrives() -> None:
    """Byte by byte at that, with no answer before its end."""
    async with serving() as at, await at.connect() as connection:
        await connection.send(head("POST", "/v1/streams/slow", -1, "Content-Type: text/event-stream"))
        for position in range(300):
            await connection.send(chunk(WHOLE[position : position + 1]))
        await until(lambda: "run_1" in at.pipeline.runs)
        active = await at.get("slow")
        await connection.send(chunk(WHOLE[300:]) + chunk(b""))
        answer = await connection.receive()

    assert (active.data["state"], active.data["runs"][0]["status"]) == ("active", "queued")
    assert answer.startswith(b"HTTP/1.1 200 OK")


@pytest.mark.asyncio
async def test_a_client_that_waits_to_be_asked_for_its_body() -> None:
    """As curl does for a large one."""
    async with serving() as at, await at.connect() as connection:
        lines = ("Content-Type: text/event-stream", "Expect: 100-continue")
        await connection.send(head("POST", "/v1/streams/one", len(WHOLE), *lines))
        asked = await connection.receive()
        await connection.send(WHOLE)
        answer = await connection.receive()

    assert asked == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert answer.startswith(b"HTTP/1.1 200 OK")


@pytest.mark.asyncio
async def test_a_body_that_ends_before_its_stream() -> None:
    """Its sender has said that this is all: the stream is truncated."""
    async with serving() as at:
        answer = await at.post("one", WHOLE[:600])

        assert (answer.status, answer.data["truncated"], answer.data["anomalies"]) == (200, True, {"truncated": 1})
        assert at.ingest.totals == {("auto", "truncated"): 1}


@pytest.mark.asyncio
async def test_the_answer_comes_when_it_is_durable(tmp_path: Path) -> None:
    """Whoever got it finds the states in the file."""
    async with serving(store=SqliteStore(tmp_path / "runs.db")) as at:
        await at.post("one", WHOLE)
        with open_store(tmp_path / "runs.db") as store:
            (row,) = find(store, "step")

    assert (row["id"], row["status"]) == ("step_1", "completed")


# --- streams that break off -------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["sse", "ndjson"])
async def test_a_stream_goes_on_from_any_place(kind: str) -> None:
    """With the rest and nothing else, also compressed; nothing is lost or doubled."""
    whole, content_type = (WHOLE, "text/event-stream") if kind == "sse" else (LINES, NDJSON)
    found: list[Any] = []
    async with serving() as at:
        for cut in range(1, len(whole), 89):
            name = f"s{cut}"
            body = whole.replace(b'_1"', b'_%d"' % cut)
            cut = min(cut, len(body))
            await break_off(at, name, body[:cut], content_type)
            asked = await at.get(name, "HEAD")
            rest, lines = body[cut:], [f"Stream-Offset: {asked.headers['stream-offset']}"]
            if cut % 2:
                rest, lines = gzip.compress(rest), [*lines, "Content-Encoding: gzip"]
            answer = await at.post(name, rest, *lines, content_type=content_type)
            found.append((answer.status, answer.data["offset"] - len(body), answer.data["changes"]))
            assert answer.data["anomalies"] == {}

    assert found == [(200, 0, 10)] * len(found)


@pytest.mark.asyncio
@pytest.mark.parametrize("seed", range(8))
async def test_a_stream_that_breaks_off_again_and_again(seed: int) -> None:
    """At any byte, within chunks too, with the connection closed or reset; its client asks each time."""
    dice = random.Random(seed)
    async with serving() as at:
        offset = cuts = 0
        while True:
            rest = WHOLE[offset:]
            lines = ("Content-Type: text/event-stream", f"Stream-Offset: {offset}")
            request = head("POST", "/v1/streams/one", -1, *lines)
            for start in range(0, len(rest), 60):
                request += chunk(rest[start : start + 60])
            request += chunk(b"")
            cut = dice.randrange(150, 900)
            if cut >= len(request):
                break
            async with await at.connect() as connection:
                await connection.send(request[:cut])
                await until(lambda: at.ingest.active)
                if dice.random() < 0.5:
                    raw: socket.socket = connection.extra(SocketAttribute.raw_socket)
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await until(lambda: at.ingest.interrupted)
            offset = int((await at.get("one", "HEAD")).headers["stream-offset"])
            cuts += 1
        (answer,) = await at.ask(request.replace(b"Host:", b"Connection: close\r\nHost:", 1))

        assert (answer.status, answer.data["offset"], answer.data["changes"]) == (200, len(WHOLE), 10)
        assert answer.data["anomalies"] == {}
        assert words_of(at) == "Es ist 🌞 warm"
        assert cuts >= 2


@pytest.mark.asyncio
async def test_offsets_that_are_wrong() -> None:
    """Each answer has the right one."""
    async with serving() as at:
        await break_off(at, "open", WHOLE[:400])
        await at.post("ended", WHOLE)
        answers = [
            await at.post("open", WHOLE, "Stream-Offset: 0"),
            await at.post("open", WHOLE, "Stream-Offset: 401"),
            await at.post("open", LINES, "Stream-Offset: 400", content_type=NDJSON),
            await at.post("unknown", WHOLE, "Stream-Offset: 5"),
            await at.post("ended", WHOLE, "Stream-Offset: 5"),
        ]
        good = await at.post("open", WHOLE[400:], "Stream-Offset: 400")

    assert [(answer.status, answer.data["error"]["code"], answer.data["offset"]) for answer in answers] == [
        (409, "wrong_offset", 400),
        (409, "wrong_offset", 400),
        (409, "other_type", 400),
        (409, "unknown_stream", 0),
        (409, "ended", len(WHOLE)),
    ]
    assert [answer.headers["stream-offset"] for answer in answers] == ["400", "400", "400", "0", str(len(WHOLE))]
    assert good.status == 200


@pytest.mark.asyncio
@pytest.mark.parametrize("lines", [["Stream-Offset: -1"], ["Stream-Offset: 1, 2"], ["Stream-Offset: 1"] * 2])
async def test_offsets_that_are_none(lines: list[str]) -> None:
    """Refused before anything is read."""
    async with serving() as at:
        answer = await at.post("one", WHOLE, *lines)

    assert (answer.status, answer.data["error"]["code"]) == (400, "bad_offset")


@pytest.mark.asyncio
async def test_a_stream_that_begins_again() -> None:
    """Without an offset what was open is truncated, and the new pass has a higher epoch."""
    async with serving() as at:
        await break_off(at, "one", WHOLE[:400])
        before = (await at.get("one")).data
        answer = (await at.post("one", WHOLE)).data

        assert (before["state"], before["offset"]) == ("interrupted", 400)
        assert answer["epoch"] > before["epoch"]
        assert answer["runs"][0]["status"] == "completed"
        assert at.ingest.totals == {("auto", "truncated"): 1, ("auto", "complete"): 1}


@pytest.mark.asyncio
async def test_one_request_at_a_time() -> None:
    """A second one is refused, unless it knows the offset: then the connection of the first was lost."""
    async with serving() as at, await at.connect() as first:
        await first.send(head("POST", "/v1/streams/one", -1, "Content-Type: text/event-stream") + chunk(WHOLE[:400]))
        await until(lambda: at.ingest.active and at.ingest._open["one"].offset == 400)
        second = await at.post("one", WHOLE)
        third = await at.post("one", WHOLE[400:], "Stream-Offset: 400")
        ended = await first.receive()

    assert (second.status, second.data["error"]["code"]) == (409, "active")
    assert (third.status, third.data["offset"], third.data["changes"]) == (200, len(WHOLE), 10)
    assert ended.startswith(b"HTTP/1.1 409 ")


@pytest.mark.asyncio
async def test_a_name_that_a_source_has() -> None:
    """Is not free for requests."""
    async with serving() as at:
        other = await at.pipeline.push("taken")
        answer = await at.post("taken", WHOLE)
        other.end()

    assert (answer.status, answer.data["error"]["code"]) == (409, "active")


@pytest.mark.asyncio
async def test_after_the_window_a_stream_is_truncated() -> None:
    """And after another one forgotten."""
    sink = MemorySink()
    async with serving(ingest=IngestLimits(resume_window_s=0.1), sinks=[sink]) as at:
        await break_off(at, "one", WHOLE[:400])
        await until(lambda: not at.ingest.interrupted)
        late = await at.post("one", WHOLE[400:], "Stream-Offset: 400")
        await until(lambda: not at.ingest._ended)
        gone = await at.get("one")

    assert (late.status, late.data["error"]["code"]) == (409, "ended")
    assert gone.status == 404
    assert "truncated" in {change.event for change in sink.changes}


@pytest.mark.asyncio
async def test_only_so_many_streams_wait() -> None:
    """The oldest gives way."""
    async with serving(ingest=IngestLimits(max_interrupted=1, max_ended=1)) as at:
        await break_off(at, "one", WHOLE[:100])
        await break_off_anyhow(at, "two")
        await break_off_anyhow(at, "three")
        states = [(await at.get(name)).status for name in ("one", "two", "three")]

    assert states == [404, 200, 200]


async def break_off_anyhow(serving: Serving, name: str) -> None:
    """As `break_off`, where another stream ends for it."""
    ended = sum(serving.ingest.totals.values())
    async with await serving.connect() as connection:
        await connection.send(head("POST", f"/v1/streams/{name}", -1, "Content-Type: text/event-stream") + chunk(b"x"))
        await until(lambda: name in serving.ingest._open)
    await until(lambda: sum(serving.ingest.totals.values()) > ended)


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_request_that_falls_silent() -> None:
    """Is ended; its stream waits for the rest."""
    async with serving(ingest=IngestLimits(idle_timeout_s=0.2)) as at:
        (silent,) = await at.ask(
            head("POST", "/v1/streams/one", -1, "Content-Type: text/event-stream") + chunk(WHOLE[:400])
        )
        rest = await at.post("one", WHOLE[400:], "Stream-Offset: 400")

    assert (silent.status, silent.headers["stream-offset"]) == (408, "400")
    assert rest.status == 200


@pytest.mark.asyncio
async def test_a_body_that_is_shorter_than_it_said() -> None:
    """The connection is closed, and the stream waits."""
    async with serving() as at:
        answers = await at.ask(
            head("POST", "/v1/streams/one", len(WHOLE), "Content-Type: text/event-stream") + WHOLE[:400], is_cut=True
        )
        await until(lambda: at.ingest.interrupted)

    assert [answer.status for answer in answers] in ([], [400])


@pytest.mark.slow
@pytest.mark.asyncio
async def test_draining_stops_requests_in_the_end() -> None:
    """Their clients are told how far they came; new ones are refused before that."""
    async with serving() as at, await at.connect() as first, await at.connect() as idle:
        await idle.send(head("GET", "/v1/streams/none", None))
        await idle.receive()
        await first.send(head("POST", "/v1/streams/one", -1, "Content-Type: text/event-stream") + chunk(WHOLE[:400]))
        await until(lambda: at.ingest.active)
        await until(lambda: at.ingest._open["one"].offset == 400)
        await at.server.drain(0.05)
        answer = await first.receive()
        with pytest.raises(OSError, match="connect"):
            await at.connect()

    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"Stream-Offset: 400\r\n" in answer


@pytest.mark.asyncio
async def test_draining_lets_a_stream_end() -> None:
    """Within the deadline, and without a word of it."""
    async with serving() as at, await at.connect() as connection, anyio.create_task_group() as group:
        await connection.send(
            head("POST", "/v1/streams/one", -1, "Content-Type: text/event-stream") + chunk(WHOLE[:400])
        )
        await until(lambda: at.ingest.active)
        group.start_soon(at.server.drain, 5.0)
        await until(lambda: at.server.is_draining)
        await connection.send(chunk(WHOLE[400:]) + chunk(b""))

        assert (await connection.receive()).startswith(b"HTTP/1.1 200 OK")


# --- compressed bodies ------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_compressed_body() -> None:
    """In one piece or several; the offset counts what it holds."""
    body = gzip.compress(WHOLE[:300]) + gzip.compress(WHOLE[300:])
    async with serving() as at:
        answer = await at.post("one", body, GZIP)

    assert (answer.status, answer.data["offset"]) == (200, len(WHOLE))


@pytest.mark.asyncio
async def test_a_compressed_body_that_is_cut_or_damaged() -> None:
    """Says so, and can be gone on with."""
    async with serving() as at:
        cut = await at.post("one", gzip.compress(WHOLE)[:-9], GZIP)
        offset = int(cut.headers["stream-offset"])
        rest = await at.post("one", WHOLE[offset:], f"Stream-Offset: {offset}")
        none = await at.post("two", WHOLE, GZIP)
        other = await at.post("three", WHOLE, "Content-Encoding: br")

    assert (cut.status, cut.data["error"]["code"], rest.status) == (400, "bad_body", 200)
    assert (none.status, none.headers["stream-offset"]) == (400, "0")
    assert (other.status, other.headers["accept-encoding"]) == (415, "gzip, identity")


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_body_that_is_made_to_be_large() -> None:
    """It ends at a hundred times its size."""
    async with serving() as at:
        answer = await at.post("one", gzip.compress(b":" + b"x" * 2**24), GZIP)

        assert (answer.status, answer.data["error"]["code"]) == (413, "limit")
        assert answer.data["error"]["message"].endswith("the body grows more than 100 times")
        assert at.ingest.totals == {("auto", "failed"): 1}
        assert at.ingest.received_bytes <= 2 * 2**20


# --- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_a_stream_beyond_its_limits() -> None:
    """Is ended, as truncated: no more of it can be processed."""
    limits = Limits(max_line_bytes=4000, max_frame_bytes=4000)
    async with serving(ingest=IngestLimits(max_body_bytes=5000)) as at:
        large = await at.post("one", WHOLE[:400] + b": ping\n" * 1000)
    async with serving(pipeline_limits=limits) as at:
        long = await at.post("two", WHOLE[:400] + b"data: " + b"x" * 5000)
        shown = await at.get("two")

    assert (large.status, large.data["error"]["code"]) == (413, "limit")
    assert (long.status, shown.data["truncated"]) == (413, True)
    assert shown.data["failure"] == "expected at most 4000 (max_frame_bytes), more came"


class Refusing(MemoryStore):
    """A store that takes no changes."""

    async def append(self, changes: Any) -> int:
        raise StoreError("the disk is full")


class Silent(MemoryStore):
    """A store that begins no stream."""

    async def next_epoch(self, stream: str) -> int:
        raise StoreError("the disk is full")


@pytest.mark.asyncio
async def test_a_store_that_takes_nothing() -> None:
    """No answer says that something was stored."""
    async with serving(store=Refusing(), ingest=IngestLimits(durable_timeout_s=0.05), drain_s=0.0) as at:
        told = await at.post("one", WHOLE)
        asked = await at.get("one")
    async with serving(store=Silent()) as at:
        begun = await at.post("one", WHOLE)

    assert [(answer.status, answer.data["error"]["code"]) for answer in (told, asked, begun)] == [
        (503, "not_durable"),
        (503, "not_durable"),
        (503, "store_unavailable"),
    ]


@pytest.mark.asyncio
async def test_a_dialect_that_there_is_not() -> None:
    """Is a mistake of the configuration."""
    async with Pipeline() as pipeline:
        with pytest.raises(ConfigError, match="no dialect 'nope'; known: "):
            Ingest(pipeline, dialect="nope")


@pytest.mark.asyncio
async def test_only_so_many_streams() -> None:
    """Further ones are asked to come again."""
    async with serving(ingest=IngestLimits(max_streams=1)) as at, await at.connect() as first:
        await first.send(head("POST", "/v1/streams/one", -1, "Content-Type: text/event-stream"))
        await until(lambda: at.ingest.active)
        answer = await at.post("two", WHOLE)

    assert (answer.status, answer.headers["retry-after"]) == (503, "1")


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_sink_that_is_behind_pauses_reading() -> None:
    """The client cannot send much more than buffers hold, and nothing is lost."""
    body = WHOLE[:200] + b"".join(sse(arguments("x" * 1000)) for _ in range(8000))
    sink = ScriptedSink(Slow(0.5))
    policy = DeliveryPolicy(inbox_max=64, batch_max=64, max_pause_s=30.0)
    async with serving(sinks=[(sink, policy)]) as at, await at.connect() as connection:
        await connection.send(head("POST", "/v1/streams/one", len(body), "Content-Type: text/event-stream"))
        with anyio.move_on_after(0.3) as sending:
            await connection.send(body)
        offset = at.ingest._open["one"].offset

    assert sending.cancelled_caught
    assert offset < 1_000_000


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (head("POST", "/v1/streams/" + "x" * 201, 0, "Content-Type: text/event-stream"), 400),
        (head("POST", "/v1/streams/a%2Fb", 0, "Content-Type: text/event-stream"), 400),
        (head("POST", "/v1/streams/streamproc.idle", 0, "Content-Type: text/event-stream"), 400),
        (head("POST", "/v1/streams/a%20b", 0, "Content-Type: text/event-stream"), 400),
        (head("POST", "/v1/streams/", 0, "Content-Type: text/event-stream"), 400),
        (head("POST", "/v1/streams/%C3%A4", 0, "Content-Type: text/event-stream"), 400),
        (head("POST", "/v1/streams/a", 0, "Content-Type: text/html"), 415),
        (head("POST", "/v1/streams/a", 0), 415),
        (head("POST", "/v1/streams/a", 0, "Content-Type: text/event-stream", "Expect: a-miracle"), 417),
        (head("GET", "/v1/streams/a", None, *[f"X-{number}: {'x' * 8000}" for number in range(5)]), 431),
        (head("PUT", "/v1/streams/a", 0), 405),
        (head("GET", "/v1/streams", None), 404),
        (head("GET", "/v1/streams/a/b", None), 404),
    ],
)
async def test_requests_that_are_refused(request_line: bytes, status: int) -> None:
    """With an error as JSON, and the end of the connection."""
    async with serving() as at:
        (answer,) = await at.ask(request_line)

    assert (answer.status, answer.headers["connection"]) == (status, "close")
    assert set(answer.data["error"]) == {"code", "message"}
    assert answer.headers["server"] == "streamproc"


# --- who may ask ------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_tokens() -> None:
    """One of several, and nothing that is nearly one."""
    tokens = [CANARY, "another-token-of-many"]
    async with serving(tokens=tokens) as at:
        statuses = [
            (await at.post(f"s{number}", WHOLE, *lines)).status
            for number, lines in enumerate(
                [
                    *([f"Authorization: Bearer {token}"] for token in tokens),
                    *([f"Authorization: {text}"] for text in (CANARY, f"Basic {CANARY}", f"Bearer {CANARY[:-1]}")),
                    *([], ["Authorization: Bearer "], [f"Authorization: Bearer {CANARY}x"]),
                    [f"Authorization: Bearer {CANARY}"] * 2,
                ]
            )
        ]

    assert statuses == [200, 200, 401, 401, 401, 401, 401, 401, 400]


@pytest.mark.asyncio
async def test_a_client_that_asks_too_often() -> None:
    """Is told when to come again."""
    limits = ServerLimits(rate_per_s=0.5, rate_burst=2)
    async with serving(limits=limits) as at:
        answers = [await at.get("none") for _ in range(3)]

    assert [answer.status for answer in answers] == [404, 404, 429]
    assert answers[-1].headers["retry-after"] == "2"


@pytest.mark.asyncio
async def test_secrets_are_told_to_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """In headers, paths, queries and bodies, well formed or not: in no log event, no metric, and no error."""
    bodies = [CANARY.encode(), sse(arguments(CANARY)), b"data: {" + CANARY.encode() + b"\n\n", WHOLE]
    secret = [f"Authorization: Bearer {CANARY}", f"Cookie: {CANARY}", f"X-Secret: {CANARY}"]
    with capture_logs() as entries, caplog.at_level(logging.DEBUG):
        async with serving(tokens=[CANARY], ingest=IngestLimits(max_body_bytes=300)) as at:
            answers = [
                *[await at.post(f"s{number}?dialect={CANARY}", body, *secret) for number, body in enumerate(bodies)],
                *[await at.post(f"t{number}", body, *secret) for number, body in enumerate(bodies)],
                *[await at.post(f"u{number}", body, *secret, GZIP) for number, body in enumerate(bodies)],
                await at.post("v", b"", f"Authorization: Bearer x{CANARY}", *secret[1:]),
                await at.post("w", b"", *secret, content_type=CANARY),
                await at.post("x", b"", *secret, f"Stream-Offset: {CANARY}"),
                *await at.ask(f"GET /{CANARY} HTTP/1.1\r\nHost: {CANARY}\r\n\r\n".encode()),
                *await at.ask(f"{CANARY} / HTTP/1.1\r\n\r\n".encode()),
                *await at.ask(f"GET / HTTP/1.1\r\nHost: a\r\n{CANARY} : {CANARY}\r\n\r\n".encode()),
                *await at.ask(head("POST", "/v1/streams/y", -1, *secret) + f"{CANARY}\r\n".encode()),
            ]
            metrics = Telemetry(at.pipeline, ingest=at.ingest, servers=[at.server]).text()

    assert len(answers) == 19
    assert [answer for answer in answers if CANARY in str(answer)] == []
    assert [entry for entry in entries if CANARY in str(entry)] == []
    assert CANARY not in caplog.text
    assert b"http_answers_total" in metrics
    assert CANARY.encode() not in metrics
    assert {"request.refused", "request.malformed", "request.served"} <= {entry["event"] for entry in entries}


# --- connections ------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("data", SMUGGLED.values(), ids=SMUGGLED)
async def test_one_request_is_never_two(data: bytes) -> None:
    """What two servers might cut differently gets 400, or is the last one of its connection."""
    async with serving() as at:
        answers = await at.ask(data)
        hidden = await at.get("hidden")

    assert [answer.status for answer in answers] in ([], [400], [200])
    assert hidden.status == 404


@pytest.mark.asyncio
@pytest.mark.parametrize("data", AMBIGUOUS.values(), ids=AMBIGUOUS)
async def test_what_is_ambiguous_is_refused(data: bytes) -> None:
    """Not just answered."""
    async with serving() as at:
        (answer,) = await at.ask(data)

    assert answer.status == 400


@pytest.mark.slow
@pytest.mark.asyncio
@pytest.mark.parametrize("data", ORDINARY.values(), ids=ORDINARY)
async def test_two_requests_are_two(data: bytes) -> None:
    """Or else the test above would show nothing."""
    async with serving() as at:
        answers = await at.ask(data + INNER, stays_open=True)
        hidden = await at.get("hidden")

    assert [answer.status for answer in answers] == [200, 200]
    assert hidden.status == 200


@pytest.mark.slow
@pytest.mark.asyncio
async def test_slow_heads_do_not_hold_connections() -> None:
    """Whether nothing comes, or a byte now and then; others are served meanwhile."""
    async with serving(limits=ServerLimits(header_timeout_s=0.3)) as at:
        connections = [await at.connect() for _ in range(100)]
        for number, connection in enumerate(connections):
            await connection.send(head("GET", "/", None)[: number % 30])
        times: list[float] = []
        for _ in range(5):
            since_s = anyio.current_time()
            await at.get("none")
            times.append(anyio.current_time() - since_s)
        await until(lambda: at.server.connections == 0)
        for connection in connections:
            await connection.aclose()

    assert sorted(times)[2] < 0.1


@pytest.mark.asyncio
async def test_only_so_many_connections() -> None:
    """Further ones are closed at once."""
    async with serving(limits=ServerLimits(max_connections=2)) as at, await at.connect(), await at.connect():
        await until(lambda: at.server.connections == 2)
        third: list[Answer] = await at.ask(head("GET", "/", None))
        refused = at.server.refused_connections

    assert (third, refused) == ([], 1)


@pytest.mark.asyncio
async def test_a_port_that_is_taken() -> None:
    """Is told as a mistake of the configuration."""
    from streamproc.worker.http import HttpServer

    async with serving() as at:
        with pytest.raises(ConfigError, match=rf"cannot listen on 127\.0\.0\.1:{at.server.port}: .*in use"):
            async with HttpServer("second", [], port=at.server.port):
                pass
