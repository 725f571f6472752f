"""`IterableSource`: iterators of bytes, text and events, sync and async, and real clients' responses."""

import json
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import closing
from types import MappingProxyType, SimpleNamespace
from typing import Any

import aiohttp
import anyio
import httpx
import openai
import pytest
from openai.types.beta import AssistantStreamEvent
from pydantic import TypeAdapter
from structlog.testing import capture_logs

from streamproc import Event, Run, StreamProcessor
from streamproc.errors import SourceError, SourceUnavailable
from streamproc.protocols import ReopeningSource, ResyncingSource
from streamproc.sources.assistants_resync import AssistantsResync
from streamproc.sources.iterable import IterableSource
from streamproc.testing.server import Response, ScriptedServer, cut_at, slices
from streamproc.testing.sources import check_source
from tests.streams import arguments, done, message, run, sse, step, words

EVENTS = (run("created"), step("created"), arguments('{"a"'), arguments(":1}"), step("completed"), done())
STREAM = sse(*EVENTS)


class Closing:
    """An iterator that says whether it was closed."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items
        self.closed = 0

    def __iter__(self) -> Iterator[Any]:
        return iter(self.items)

    def close(self) -> None:
        self.closed += 1


async def later(*items: Any) -> AsyncIterator[Any]:
    for item in items:
        yield item


async def read(source: IterableSource) -> bytes:
    async with source.open(None) as chunks:
        return b"".join([chunk async for chunk in chunks])


# --- items ------------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (b"abc", b"abc"),
        (bytearray(b"abc"), b"abc"),
        (memoryview(b"abc"), b"abc"),
        ("data: ü\n\n", "data: ü\n\n".encode()),
        ("\ud83e", b"?"),
        (EVENTS[0], sse(EVENTS[0])),
        (done(), b"event: done\ndata: [DONE]\n\n"),
        (Event("done"), b"event: done\ndata: [DONE]\n\n"),
        (Event("x", {"a": 1}), b'event: x\ndata: {"a":1}\n\n'),
        ({"event": "x", "data": {"a": None}}, b'event: x\ndata: {"a":null}\n\n'),
        ({"event": "x", "data": '{"a":\n1}'}, b'event: x\ndata: {"a":\ndata: 1}\n\n'),
        (SimpleNamespace(event="done", data=None), b"event: done\ndata: [DONE]\n\n"),
        (SimpleNamespace(event="x", data=MappingProxyType({"a": 1})), b'event: x\ndata: {"a":1}\n\n'),
        (SimpleNamespace(event="x", data=Run(id="run_1")), b'event: x\ndata: {"id":"run_1"}\n\n'),
    ],
)
async def test_item_becomes_bytes(item: Any, expected: bytes) -> None:
    """Bytes as they are; an event as a server would write it."""
    assert await read(IterableSource([item])) == expected
    assert await read(IterableSource(later(item))) == expected


@pytest.mark.asyncio
async def test_object_of_the_model_is_a_snapshot() -> None:
    """With the members that its struct does not declare."""
    proc = StreamProcessor()
    proc.feed(sse(run("completed", unknown=[1]), step("completed"), message("completed")))
    items = [*proc.runs.values(), *proc.steps.values(), *proc.messages.values()]

    expected = sse(run("completed", unknown=[1]), step("completed"), message("completed"))
    assert await read(IterableSource(items)) == expected


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "item",
    [
        7,
        None,
        {},
        {"event": 1, "data": {}},
        SimpleNamespace(event="x", data=object()),
        SimpleNamespace(event="x\ny", data={}),
        SimpleNamespace(event="x", data={"secret": object()}),
        Run(id="secret"),
    ],
)
async def test_item_that_is_no_event(item: Any) -> None:
    """Named by its type, never shown."""
    with pytest.raises(SourceError, match=rf"an item of type {type(item).__name__} came$") as caught:
        await read(IterableSource([b"", item], name="s"))

    assert not isinstance(caught.value, SourceUnavailable)


# --- objects of the openai package ------------------------------------------------------------------------------------


def as_client_events(*events: Event) -> list[Any]:
    """What the package makes of them."""
    adapter: TypeAdapter[Any] = TypeAdapter(AssistantStreamEvent)
    return [adapter.validate_python({"event": event.name, "data": event.data}) for event in events]


@pytest.mark.asyncio
async def test_objects_of_the_openai_package_lose_nothing() -> None:
    """Absent and null members, unknown ones, and members whose names in Python differ from those on the wire."""
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    usual: dict[str, Any] = {
        **{"assistant_id": "a", "created_at": 1, "instructions": "", "model": "m", "parallel_tool_calls": True},
        **{"tools": [], "last_error": None, "required_action": None, "brand_new": {"x": None}},
    }
    first = run("created", **usual, response_format=schema)
    second = step("created", assistant_id="a", created_at=1, type="tool_calls", unknown=1)
    data = await read(IterableSource(as_client_events(first, second, arguments("{}"))))

    frames = [line.removeprefix(b"data: ") for line in data.split(b"\n") if line.startswith(b"data: ")]
    assert [json.loads(frame) for frame in frames] == [first.data, second.data, arguments("{}").data]


@pytest.mark.asyncio
@pytest.mark.filterwarnings("ignore:The Assistants API is deprecated:DeprecationWarning")
async def test_event_stream_of_the_openai_client() -> None:
    """The real client against a real server: the objects it yields, and the bytes of its raw response."""
    async with ScriptedServer() as server:
        server.script("/threads/t/runs", [Response(slices(STREAM, 50))], method="POST")
        async with openai.AsyncOpenAI(api_key="k", base_url=server.url, max_retries=0) as client:
            runs = client.beta.threads.runs
            # the package deprecates the API, which is what streams come from
            objects = await runs.create("t", assistant_id="a", stream=True)  # pyright: ignore[reportDeprecated]
            from_objects = await read(IterableSource(objects))
            async with runs.with_streaming_response.create("t", assistant_id="a", stream=True) as response:
                from_bytes = await read(IterableSource(response.iter_bytes()))

    assert from_bytes == STREAM
    assert states(from_objects) == states(STREAM)


def states(data: bytes) -> Mapping[str, Any]:
    proc = StreamProcessor()
    proc.feed(data)
    return dict(proc.steps)


# --- responses of clients ---------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_responses_of_other_clients() -> None:
    """The one-liners of the module's docstring."""
    async with ScriptedServer() as server:
        server.script(None, [Response(slices(STREAM, 50))])
        async with aiohttp.ClientSession() as session, session.get(server.url) as response:
            assert await read(IterableSource(response.content.iter_any())) == STREAM
        async with httpx.AsyncClient() as client, client.stream("GET", server.url) as answer:
            assert await read(IterableSource(answer.aiter_bytes())) == STREAM

        def open_sync() -> tuple[httpx.Client, httpx.Response]:
            sync = httpx.Client()
            return sync, sync.send(sync.build_request("GET", server.url), stream=True)

        sync, given = await anyio.to_thread.run_sync(open_sync)
        with closing(sync):
            assert await read(IterableSource(given.iter_bytes(), threaded=True)) == STREAM


@pytest.mark.asyncio
async def test_response_that_breaks_off() -> None:
    """What the client raises is the cause; the result may still be had elsewhere."""
    async with ScriptedServer() as server:
        server.script(None, [Response(cut_at(STREAM, 100))])
        async with httpx.AsyncClient() as client, client.stream("GET", server.url) as response:
            source = IterableSource(response.aiter_bytes(), name="s", resync=AssistantsResync(server.url))
            with pytest.raises(SourceUnavailable, match=r"^s: the iterable raised RemoteProtocolError$") as caught:
                await read(source)

    assert isinstance(caught.value.__cause__, httpx.RemoteProtocolError)


# --- the contract -----------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("threaded", [False, True])
async def test_contract_of_a_source(threaded: bool) -> None:
    """As checked for any source."""

    def broken() -> Iterator[bytes]:
        yield b"data: x"
        raise RuntimeError

    items = [STREAM[:50], *(STREAM[start : start + 10] for start in range(50, len(STREAM), 10))]
    failing = [lambda: IterableSource(broken(), threaded=threaded), lambda: IterableSource([7], threaded=threaded)]
    await check_source(lambda: IterableSource(iter(items), threaded=threaded), STREAM, failing=failing)
    await check_source(lambda: IterableSource(later(*items)), STREAM)


@pytest.mark.asyncio
async def test_error_of_a_source_passes_as_it_is() -> None:
    """An iterable may be a source's own."""

    def items() -> Iterator[bytes]:
        yield b"a"
        raise SourceUnavailable("later", 3.0)

    with pytest.raises(SourceUnavailable, match=r"^later \(retry after 3 s\)$"):
        await read(IterableSource(items()))


def test_what_it_says_of_itself() -> None:
    """An iterable can be read once; asking for the result is possible if a way was given."""
    assert not isinstance(IterableSource([]), ReopeningSource)
    assert not isinstance(IterableSource([]), ResyncingSource)
    assert isinstance(IterableSource([], resync=AssistantsResync("http://host")), ResyncingSource)
    assert IterableSource([]).name == "default"
    assert repr(IterableSource(["secret"], name="s")) == "IterableSource(list, name='s')"


@pytest.mark.asyncio
async def test_opened_twice_or_at_a_position() -> None:
    """Neither is possible."""
    source = IterableSource([b"a"])
    with pytest.raises(SourceError, match="a cursor came"):
        async with source.open("7"):
            pass
    assert await read(source) == b"a"
    with pytest.raises(SourceError, match="can be read once"):
        await read(source)


@pytest.mark.asyncio
@pytest.mark.parametrize("threaded", [False, True])
async def test_what_was_given_is_closed(threaded: bool) -> None:
    """Once, at the end and when it is left early; a generator gets to its `finally`."""
    for stop_early in (False, True):
        ended: list[str] = []

        def items(into: list[str] = ended) -> Iterator[bytes]:
            try:
                yield b"a"
                yield b"b"
            finally:
                into.append(threading.current_thread().name)

        thing = Closing([b"a", b"b"])
        for given in (items(), thing):
            async with IterableSource(given, threaded=threaded).open(None) as chunks:
                assert await anext(chunks) == b"a"
                if not stop_early:
                    assert [chunk async for chunk in chunks] == [b"b"]
        assert thing.closed == 1
        assert len(ended) == 1
        assert (ended[0] == "MainThread") is not threaded


@pytest.mark.asyncio
async def test_async_generator_is_closed_when_cancelled() -> None:
    """Even though its own clean-up has to wait for something."""
    ended = False

    async def items() -> AsyncIterator[bytes]:
        nonlocal ended
        try:
            yield b"a"
            yield b"b"
        finally:
            await anyio.sleep(0.001)
            ended = True

    with anyio.CancelScope() as scope:
        async with IterableSource(items()).open(None) as chunks:
            await anext(chunks)
            scope.cancel()
            await anyio.sleep(1)

    assert ended


@pytest.mark.asyncio
async def test_closing_that_fails_is_logged() -> None:
    """The bytes are there already, so it is no reason to fail."""

    async def items() -> AsyncIterator[bytes]:
        try:
            yield b"a"
        finally:
            raise RuntimeError("secret")

    with capture_logs() as logs:
        async with IterableSource(items(), name="s").open(None) as chunks:
            await anext(chunks)

    assert logs == [{"event": "source.close_failed", "source": "s", "cause": "RuntimeError", "log_level": "warning"}]


@pytest.mark.asyncio
async def test_blocking_iterator_in_a_thread_leaves_the_loop_free() -> None:
    """The iterator waits for something that only the event loop does."""
    go_on = threading.Event()

    def items() -> Iterator[bytes]:
        go_on.wait(10)
        yield b"a"

    async with anyio.create_task_group() as tasks:

        async def release() -> None:
            await anyio.sleep(0.01)
            go_on.set()

        tasks.start_soon(release)
        assert await read(IterableSource(items(), threaded=True)) == b"a"


@pytest.mark.asyncio
async def test_endless_sync_iterator_can_be_cancelled() -> None:
    """It gives the loop a turn for each item."""

    def items() -> Iterator[bytes]:
        while True:
            yield b"a"

    with anyio.move_on_after(0.01) as scope:
        await read(IterableSource(items()))

    assert scope.cancelled_caught


@pytest.mark.asyncio
async def test_words_of_a_message_survive() -> None:
    """From events to bytes to states: nothing is lost or changed on the way."""
    events = [message("created"), words("Grüß "), words("Gott\n"), done()]
    proc = StreamProcessor()
    proc.feed(await read(IterableSource(events)))
    expected = StreamProcessor()
    expected.feed(sse(*events))

    assert proc.messages["msg_1"] == expected.messages["msg_1"]
