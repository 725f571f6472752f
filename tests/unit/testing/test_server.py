"""The scripted server, seen by real clients and over bare sockets."""

import json
import socket
import time
from collections.abc import AsyncIterator
from random import Random
from typing import Any, cast

import anyio
import anyio.lowlevel
import httpx
import openai
import pytest
from anyio import to_thread
from azure.ai.agents import AgentsClient
from azure.core.credentials import AccessToken
from azure.core.pipeline.policies import SansIOHTTPPolicy
from hypothesis import given
from hypothesis import strategies as st

from streamproc import StreamProcessor
from streamproc.testing.server import (
    Cut,
    Request,
    Reset,
    Response,
    ScriptedServer,
    Send,
    Stall,
    Wait,
    corrupted,
    cut_at,
    duplicated,
    json_response,
    reset_at,
    slices,
    stall_at,
)
from tests.streams import arguments, done, message, run, sse, step

STREAM = sse(run("created"), step("created"), arguments("{}"), step("completed"), run("completed"), done())


async def exchange(server: ScriptedServer, request: bytes, *, leave_after: int | None = None) -> bytes:
    """All bytes that a request is answered with, or the first ones."""
    port = int(server.url.rpartition(":")[2])
    came = b""
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(request)
        try:
            while leave_after is None or len(came) < leave_after:
                came += await stream.receive()
        except anyio.EndOfStream:
            pass
        return came


GET = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"


# --- faults as data ---------------------------------------------------------------------------------------------------


@given(st.binary(max_size=50), st.integers(1, 9), st.none() | st.integers())
def test_slices_are_the_data(data: bytes, size: int, seed: int | None) -> None:
    """Whatever their sizes; none is longer than asked, none is empty."""
    random = None if seed is None else Random(seed)
    parts = [action.data for action in slices(data, size, random=random) if isinstance(action, Send)]

    assert b"".join(parts) == data
    assert all(1 <= len(part) <= size for part in parts)


def test_slices_with_waits() -> None:
    """One after each."""
    assert slices(b"abc", 2, 0.1) == [Send(b"ab"), Wait(0.1), Send(b"c"), Wait(0.1)]


def test_actions_of_a_fault() -> None:
    """What came before it is sent; before a reset there is a moment to read it."""
    assert cut_at(b"abc", 2) == [Send(b"ab"), Cut()]
    assert reset_at(b"abc", 2) == [Send(b"ab"), Wait(0.02), Reset()]
    assert stall_at(b"abc", 2) == [Send(b"ab"), Stall()]


def test_damaged_bytes() -> None:
    """A part twice, or bits turned over."""
    assert duplicated(b"abcdef", 1, 3) == b"abcbcdef"
    assert corrupted(b"abc", 1) == b"a\x9dc"
    assert corrupted(b"abc", 1, 0x20) == b"aBc"


# --- on the wire ------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("response", "expected"),
    [
        (
            Response([Send(b"ab"), Send(b""), Send(b"c")]),
            b"chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
        ),
        (Response(), b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (Response(b"abc", framing="length"), b"Content-Length: 3\r\n\r\nabc"),
        (Response(cut_at(b"abc", 2), framing="length"), b"Content-Length: 3\r\n\r\nab"),
        (Response(b"abc", framing="close"), b"\r\n\r\nabc"),
        (Response(cut_at(b"abc", 2)), b"Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n"),
    ],
)
async def test_framing(response: Response, expected: bytes) -> None:
    """To the byte."""
    async with ScriptedServer() as server:
        server.script("/a", [response])
        came = await exchange(server, GET)

    head = b"HTTP/1.1 200 Scripted\r\nConnection: close\r\nContent-Type: text/event-stream\r\n"
    assert came.startswith(head)
    assert came.endswith(expected)


@pytest.mark.asyncio
async def test_head() -> None:
    """Status, headers and MIME type are as scripted; without a status there is none."""
    async with ScriptedServer() as server:
        server.script("/a", [Response(b"", 429, {"Retry-After": "1"}, None, "close"), Response(b"raw", status=None)])

        assert await exchange(server, GET) == b"HTTP/1.1 429 Scripted\r\nConnection: close\r\nRetry-After: 1\r\n\r\n"
        assert await exchange(server, GET) == b"raw"


@pytest.mark.asyncio
async def test_reset_is_one() -> None:
    """The client's system is told so, after it could read what came before."""
    async with ScriptedServer() as server:
        server.script("/a", [Response(reset_at(b"abc", 2), status=None)])
        sock = socket.create_connection(("127.0.0.1", int(server.url.rpartition(":")[2])))
        with sock:
            sock.sendall(GET)
            sock.setblocking(False)
            await anyio.wait_readable(sock)
            assert sock.recv(10) == b"ab"
            await anyio.wait_readable(sock)
            with pytest.raises(ConnectionResetError):
                sock.recv(10)


@pytest.mark.asyncio
async def test_stall_lasts_until_the_client_leaves() -> None:
    """And the end of the server does not wait for it."""
    async with ScriptedServer() as server:
        server.script("/a", [Response(stall_at(b"abc", 2), status=None)])
        assert await exchange(server, GET, leave_after=2) == b"ab"
        with anyio.move_on_after(0.03) as scope:
            await exchange(server, GET)

        assert scope.cancelled_caught

        async with await anyio.connect_tcp("127.0.0.1", int(server.url.rpartition(":")[2])) as stream:
            await stream.send(GET)
            assert await stream.receive() == b"ab"


@pytest.mark.asyncio
async def test_client_that_does_not_read() -> None:
    """More than sockets hold: the server waits, and goes on when it is read."""
    data = b"x" * 20_000_000
    async with ScriptedServer() as server:
        server.script("/a", [Response(data, status=None)])
        async with await anyio.connect_tcp("127.0.0.1", int(server.url.rpartition(":")[2])) as stream:
            await stream.send(GET)
            await anyio.sleep(0.02)
            size = 0
            async for chunk in stream:
                size += len(chunk)

    assert size == len(data)


@pytest.mark.asyncio
async def test_client_that_leaves_early() -> None:
    """In the middle of an answer, of a head, of a body: the server goes on."""
    async with ScriptedServer() as server:
        server.script("/a", [Response(b"x" * 20_000_000, status=None), Response(b"fine", status=None)])
        await exchange(server, GET, leave_after=1)
        for part in (b"", b"GET /", b"POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nabc"):
            await exchange(server, part, leave_after=0)
        for part in (b"1", b"5\r\nab", b"zz\r\n"):
            await exchange(server, b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + part, leave_after=0)

        assert await exchange(server, GET) == b"fine"
        assert {request.method for request in server.requests} == {"GET"}


@pytest.mark.asyncio
@pytest.mark.parametrize("request_bytes", [b"hello\r\n\r\n", b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n"])
async def test_request_that_is_no_http(request_bytes: bytes) -> None:
    """It is told so, and not recorded."""
    async with ScriptedServer() as server:
        assert (await exchange(server, request_bytes)).startswith(b"HTTP/1.1 400 ")
        assert server.requests == []


@pytest.mark.asyncio
async def test_head_without_end() -> None:
    """64 KiB are enough."""
    async with ScriptedServer() as server:
        with pytest.raises(anyio.BrokenResourceError):
            await exchange(server, b"x" * 1_000_000)

        assert server.requests == []


# --- scripts ----------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_requests_are_recorded() -> None:
    """Method, path, query, headers and body, however it is framed."""

    async def chunks() -> AsyncIterator[bytes]:
        yield b"ab"
        yield b"c"

    async with ScriptedServer() as server, httpx.AsyncClient() as client:
        server.script("/a", [Response()])
        await client.get(f"{server.url}/a?x=1&y=%C3%BC", headers=[(b"X-Test", "ü".encode())])
        await client.post(f"{server.url}/a", content=b"body")
        await client.post(f"{server.url}/a", content=chunks())

    first, second, third = server.requests
    assert (first.method, first.path, first.query, first.headers["x-test"]) == ("GET", "/a", {"x": "1", "y": "ü"}, "ü")
    assert (second.method, second.body, third.body) == ("POST", b"body", b"abc")


@pytest.mark.asyncio
async def test_which_script_answers() -> None:
    """By path, pattern and method, the last one set first; its answers in turn, the last one for ever."""
    async with ScriptedServer() as server, httpx.AsyncClient(base_url=server.url) as client:

        async def get(path: str, method: str = "GET") -> tuple[int, str]:
            answer = await client.request(method, path)
            return answer.status_code, answer.text

        server.script("/a/*", [Response(b"any")])
        server.script("/a/1", [Response(b"first"), Response(b"second")], method="GET")

        assert [await get("/a/1") for _ in range(3)] == [(200, "first"), (200, "second"), (200, "second")]
        assert await get("/a/1", "POST") == (200, "any")
        assert await get("/a/b/c") == (200, "any")
        assert (await get("/b"))[0] == 404
        server.script(None, [lambda request: json_response({"path": request.path}, 418)])
        assert await get("/b") == (418, '{"path":"/b"}')


def test_script_without_an_answer() -> None:
    """What should be said?"""
    with pytest.raises(ValueError, match="expected at least one answer"):
        ScriptedServer().script(None, [])


@pytest.mark.asyncio
async def test_error_of_the_block_goes_on_as_it_is() -> None:
    """Not in a group, so that a test's failure is the one that is shown; and the server is gone."""
    server = ScriptedServer()
    with pytest.raises(KeyError, match="mine"):
        async with server:
            raise KeyError("mine")
    with pytest.raises(OSError, match="connect"):
        await exchange(server, GET)
    with anyio.CancelScope() as scope:
        async with ScriptedServer():
            scope.cancel()
            await anyio.sleep(1)
    await anyio.lowlevel.checkpoint()

    assert scope.cancelled_caught


@pytest.mark.asyncio
async def test_script_that_raises_is_not_hidden() -> None:
    """A function that answers wrongly is a fault of the test."""

    def answer(request: Request) -> Response:
        raise LookupError(request.path)

    async def ask() -> None:
        async with ScriptedServer() as server:
            server.script("/a", [answer])
            await exchange(server, GET)

    with pytest.raises(ExceptionGroup) as caught:
        await ask()

    assert caught.group_contains(LookupError, match="/a")


# --- the API ----------------------------------------------------------------------------------------------------------

STEPS = [step("completed", f"step_{n}", x=n).data for n in range(45)]
MESSAGES = [message("completed", "msg_0", run_id="run_0").data, message("completed", "msg_1").data]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("query", "first", "last", "count", "has_more"),
    [
        ("", "step_44", "step_25", 20, True),
        ("order=asc", "step_0", "step_19", 20, True),
        ("order=asc&limit=100", "step_0", "step_44", 45, False),
        ("order=asc&limit=10&after=step_34", "step_35", "step_44", 10, False),
        ("order=asc&after=step_44", None, None, 0, False),
    ],
)
async def test_pages_of_a_list(query: str, first: Any, last: Any, count: int, has_more: bool) -> None:
    """As the API cuts them: 20 and the newest first unless told, with the ids at the ends."""
    async with ScriptedServer() as server, httpx.AsyncClient() as client:
        server.script_run(run("completed").data, STEPS)
        page = (await client.get(f"{server.url}/threads/thread_1/runs/run_1/steps?{query}")).json()

    assert (page["first_id"], page["last_id"], len(page["data"]), page["has_more"]) == (first, last, count, has_more)
    assert [found["id"] for found in page["data"][:1]] == ([first] if first else [])


@pytest.mark.asyncio
async def test_openai_client_reads_the_result() -> None:
    """Retrieve, list steps over pages, list messages of a run, with objects of the model as the script."""
    proc = StreamProcessor()
    proc.feed(STREAM)
    before = {**run("in_progress").data}
    async with ScriptedServer() as server:
        server.script_run(proc.runs["run_1"], STEPS, MESSAGES, prefix="/v1", before=[before])
        async with openai.AsyncOpenAI(api_key="k", base_url=f"{server.url}/v1", max_retries=0) as client:
            runs: Any = client.beta.threads.runs
            messages: Any = client.beta.threads.messages
            with pytest.deprecated_call():
                statuses = [(await runs.retrieve("run_1", thread_id="thread_1")).status for _ in range(2)]
                listed = runs.steps.list("run_1", thread_id="thread_1", order="asc")
                steps = [found.id async for found in listed]
                found = [found.id async for found in messages.list("thread_1", run_id="run_1")]

    assert statuses == ["in_progress", "completed"]
    assert steps == [data["id"] for data in STEPS]
    assert found == ["msg_1"]


class _Credential:
    """What the Azure client wants for its header."""

    def get_token(self, *_: Any, **__: Any) -> AccessToken:
        return AccessToken("token", int(time.time()) + 3600)


@pytest.mark.asyncio
async def test_azure_client_reads_a_stream() -> None:
    """The sync client, from a thread; over loopback it has to be told that plain HTTP is fine."""
    async with ScriptedServer() as server:
        server.script("/api/threads/*/runs", [Response(slices(STREAM, 100))], method="POST")

        def read() -> list[bytes]:
            policy: SansIOHTTPPolicy[Any, Any] = SansIOHTTPPolicy()
            client = AgentsClient(f"{server.url}/api", cast(Any, _Credential()), authentication_policy=policy)
            with client, client.runs.stream("thread_1", agent_id="a") as stream:
                return list(stream.response_iterator or ())

        data = b"".join(await to_thread.run_sync(read))

    assert data == STREAM
    (request,) = server.requests
    assert request.path == "/api/threads/thread_1/runs"
    assert json.loads(request.body)["stream"] is True
