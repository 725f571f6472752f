"""The programs of docs/live.md, each with the real client over loopback; the page shows the files that are run here.

Client and server are real, and so is the socket between them; only what the server says is written down.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
import anyio
import msgspec
import pytest
from aiohttp import web
from anyio.from_thread import start_blocking_portal
from anyio.lowlevel import checkpoint
from azure.ai.agents import AgentsClient
from azure.ai.agents.aio import AgentsClient as AsyncAgentsClient
from azure.core.credentials import AccessToken, AzureKeyCredential
from azure.core.pipeline.policies import AzureKeyCredentialPolicy
from openai import AsyncOpenAI, OpenAI

from streamproc import Change, Pipeline, RunHooks, RunStep, StreamResult
from streamproc.sinks import MemorySink
from streamproc.testing import Response, ScriptedServer, cut_at, slices
from streamproc.testing.server import Action, Request, Send, Wait
from tests.conftest import ROOT
from tests.examples.live import (
    aiohttp_response,
    azure_agents,
    azure_agents_sync,
    changes,
    openai_events,
    openai_response,
    openai_sync,
    reading_a_step,
    resume_responses,
    resync,
    tee_proxy,
    tool_loop,
)
from tests.streams import call, creation, done, message, run, sse, step, step_delta, text, wire, words
from tests.toy_responses import PIECES, Toy, frames

LIVE: Final = Path(__file__).parent / "live"
DOCUMENT: Final = ROOT / "docs" / "live.md"

SAID: Final = ("It will ", "rain.")
STREAM: Final = sse(
    *(run("created", assistant_id="a"), run("in_progress", assistant_id="a")),
    step("created", "step_1", step_details=creation(), type="message_creation"),
    message("created"),
    *map(words, SAID),
    message("completed", "msg_1", text("".join(SAID), annotations=[])),
    step("completed", "step_1", step_details=creation(), type="message_creation"),
    *(run("completed", assistant_id="a"), done()),
)
RUNS: Final = "/threads/thread_1/runs"
DEPRECATED: Final = "Assistants API is deprecated"  # so the client says; the protocol lives on elsewhere
HEADERS: Final = {"Authorization": "Bearer secret", "OpenAI-Beta": "assistants=v2"}


class Noting(RunHooks):
    """What was said, piece by piece, and which steps ended."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.steps: list[tuple[str, object]] = []

    def on_text_delta(self, delta: Any, change: Change) -> None:
        self.said.append(delta.value)

    def on_step_done(self, step: RunStep, change: Change) -> None:
        self.steps.append((step.id, step.status))


def assert_whole(result: StreamResult, hooks: Noting) -> None:
    """The stream came to its end, and every piece to the hooks."""
    assert (result.run_id, result.truncated, result.error, result.connections) == ("run_1", False, None, 1)
    assert hooks.said == [*SAID]
    assert hooks.steps == [("step_1", "completed")]


@asynccontextmanager
async def serving(*answers: Any, path: str = "*/runs") -> AsyncGenerator[ScriptedServer]:
    """A server that answers a POST with the usual stream in slices of 50 bytes, or as it is told."""
    async with ScriptedServer() as server:
        server.script(path, answers or (Response(slices(STREAM, 50)),), method="POST")
        yield server


def sent(request: Request) -> Any:
    return msgspec.json.decode(request.body)


# --- clients ----------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_response_of_aiohttp() -> None:
    """The bytes as they come, from a session of the program's own."""
    async with serving() as server:
        result = await aiohttp_response.follow(f"{server.url}{RUNS}", {"assistant_id": "a", "stream": True})

    assert (result.run_id, result.truncated, result.error) == ("run_1", False, None)
    assert sent(server.requests[0]) == {"assistant_id": "a", "stream": True}


@pytest.mark.asyncio
@pytest.mark.parametrize("example", [openai_response.follow, openai_events.follow], ids=["bytes", "events"])
async def test_async_openai_client(example: Callable[..., Any]) -> None:
    """`with_streaming_response`, and event objects: the same comes out."""
    hooks = Noting()
    async with serving() as server, AsyncOpenAI(api_key="secret", base_url=server.url, max_retries=0) as client:
        with pytest.warns(DeprecationWarning, match=DEPRECATED):
            result = await example(client, "thread_1", "a", hooks)

    assert_whole(result, hooks)
    assert sent(server.requests[0]) == {"assistant_id": "a", "stream": True}


@pytest.mark.asyncio
async def test_sync_openai_client() -> None:
    """Its request blocks the thread that makes it, so the server has to run in another one."""
    hooks = Noting()
    async with in_a_thread() as url:
        with (
            OpenAI(api_key="secret", base_url=url, max_retries=0) as client,
            pytest.warns(DeprecationWarning, match=DEPRECATED),
        ):
            result = await openai_sync.follow(client, "thread_1", "a", hooks)

    assert_whole(result, hooks)


@pytest.mark.asyncio
async def test_async_azure_client() -> None:
    """The one of `azure-ai-agents`. A key is sent over plain HTTP, a token would not be."""
    hooks = Noting()
    async with serving() as server, AsyncAgentsClient(server.url, AsyncToken(), **over_http()) as client:
        result = await azure_agents.follow(client, "thread_1", "a", hooks)

    assert_whole(result, hooks)
    assert sent(server.requests[0])["assistant_id"] == "a"


@pytest.mark.asyncio
async def test_sync_azure_client() -> None:
    """As the sync OpenAI client: a thread waits for each piece."""
    hooks = Noting()
    async with in_a_thread() as url:
        with AgentsClient(url, Token(), **over_http()) as client:
            result = await azure_agents_sync.follow(client, "thread_1", "a", hooks)

    assert_whole(result, hooks)


class Token:
    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        raise AssertionError("no token is asked for where a key is sent")


class AsyncToken:
    async def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        raise AssertionError("no token is asked for where a key is sent")

    async def close(self) -> None:
        """Nothing is open."""

    async def __aenter__(self) -> "AsyncToken":
        return self

    async def __aexit__(self, exc_type: object = None, exc_value: object = None, traceback: object = None) -> None:
        """Nothing is open."""


def over_http() -> dict[str, Any]:
    """Settings of an Azure client that lets it talk to a server without TLS."""
    return {"authentication_policy": AzureKeyCredentialPolicy(AzureKeyCredential("secret"), "api-key")}


@asynccontextmanager
async def in_a_thread() -> AsyncGenerator[str]:
    """The usual server in an event loop of its own, in a thread: for clients that block ours."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(serving()) as server:
        yield server.url


# --- hooks and tools --------------------------------------------------------------------------------------------------


def requires(id: str, city: str) -> bytes:
    """A stream that ends because the run asks for the weather."""
    wanted = call(f'{{"city":"{city}"}}', id=id, name="weather")
    action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": [wanted]}}
    name = f"step_{id}"
    return sse(
        run("in_progress"),
        step("created", name),
        step_delta(call(f'{{"city":"{city}"}}', index=0, id=id, name="weather", output=None), id=name),
        run("requires_action", required_action=action),
        done(),
    )


@pytest.mark.asyncio
async def test_tool_loop_of_two_rounds(capsys: pytest.CaptureFixture[str]) -> None:
    """Each answer goes to the right address and opens the next stream; all of them are one run and one result."""
    ended = [sse(step("completed", f"step_{id}", call("{}", id=id, name="weather", output="x"))) for id in ("c1", "c2")]
    async with serving(Response(requires("c1", "Oslo"))) as server:
        server.script(
            f"{RUNS}/run_1/submit_tool_outputs",
            [Response(ended[0] + requires("c2", "Rome")), Response(ended[1] + STREAM)],
            method="POST",
        )
        result = await tool_loop.follow(server.url, HEADERS, "thread_1", "a")

    assert (result.run_id, result.truncated, result.error, result.connections) == ("run_1", False, None, 3)
    assert [sent(request) for request in server.requests] == [
        {"assistant_id": "a", "stream": True},
        {"tool_outputs": [{"tool_call_id": "c1", "output": "It rains in Oslo."}], "stream": True},
        {"tool_outputs": [{"tool_call_id": "c2", "output": "It rains in Rome."}], "stream": True},
    ]
    assert all(request.headers["authorization"] == "Bearer secret" for request in server.requests)
    assert capsys.readouterr().out == "[c1 is done]\n[c2 is done]\nIt will rain."


@pytest.mark.asyncio
async def test_arguments_that_are_no_json_are_told_to_the_model() -> None:
    """A model that writes nonsense gets to know it, and can try again."""
    nonsense = requires("c1", "Oslo").replace(rb"{\"city\":", rb"{\"city")
    async with serving(Response(nonsense)) as server:
        server.script(f"{RUNS}/run_1/submit_tool_outputs", [Response(STREAM)], method="POST")
        await tool_loop.follow(server.url, HEADERS, "thread_1", "a")

    (output,) = sent(server.requests[1])["tool_outputs"]
    assert re.fullmatch(r"Please try again: the arguments are no JSON \(\d+ characters\)\.", output["output"])


# --- the rest ---------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_tee_passes_bytes_unchanged_and_records_steps() -> None:
    """What a browser gets is what the server sent, byte by byte; the pipeline has the states, the sink all changes."""
    sink = MemorySink()
    async with serving() as server, aiohttp.ClientSession() as session, Pipeline(sinks=[sink]) as pipeline:
        app = tee_proxy.proxy(pipeline, session, f"{server.url}{RUNS}")
        async with listening(app) as url, session.post(f"{url}/runs", data=b'{"stream":true}') as answer:
            body = await answer.read()
            kind = answer.content_type

    assert (body, kind) == (STREAM, "text/event-stream")
    assert server.requests[0].body == b'{"stream":true}'
    assert {id: each.status for id, each in pipeline.steps.items()} == {"step_1": "completed"}
    assert sink.changes[-1].event == "thread.run.completed"


class Truncated(RunHooks):
    """Waits for a stream that broke off."""

    def __init__(self) -> None:
        self.seen = anyio.Event()

    def on_truncated(self, change: Change) -> None:
        self.seen.set()


@pytest.mark.asyncio
async def test_a_client_of_the_tee_that_leaves_ends_the_stream() -> None:
    """It is marked as truncated at once, although the server goes on."""
    hooks = Truncated()
    head = STREAM[:500]
    comments: list[Action] = [Send(b": still there\n\n"), Wait(0.02)]
    async with (
        serving(Response([Send(head), *comments * 5000])) as server,
        aiohttp.ClientSession() as session,
        Pipeline(hooks=hooks) as pipeline,
        listening(tee_proxy.proxy(pipeline, session, f"{server.url}{RUNS}")) as url,
    ):
        async with session.post(f"{url}/runs") as answer:
            assert await answer.content.readexactly(len(head)) == head
            answer.close()
        with anyio.fail_after(60):  # the comments take longer
            await hooks.seen.wait()


@asynccontextmanager
async def listening(app: web.Application) -> AsyncGenerator[str]:
    """The application on a free port of the loopback interface."""
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        yield f"http://{host}:{port}"
    finally:
        await runner.cleanup()


@pytest.mark.asyncio
async def test_what_a_broken_connection_missed_is_asked_for() -> None:
    """The connection ends in the middle; the result is whole, and the POST was sent once."""
    final = {"id": "run_1", "object": "thread.run", "thread_id": "thread_1", "status": "completed"}
    async with serving(Response(cut_at(STREAM, 500))) as server:
        server.script_run(final)
        result = await resync.follow(server.url, HEADERS, "thread_1", "a")

    assert (result.truncated, result.error) == (False, None)
    assert [request.method for request in server.requests] == ["POST", "GET", "GET", "GET"]


@pytest.mark.asyncio
async def test_background_response_goes_on_where_it_broke_off() -> None:
    """Its POST is sent once, and the rest comes by a GET."""
    events = frames()
    async with serving(Response(cut_at(b"".join(events), 500)), path="/responses") as server:
        server.script("/responses/resp_1", [Response(b"".join(events))], method="GET")
        async with Pipeline(dialect=Toy) as pipeline:
            result = await resume_responses.follow(pipeline, server.url, HEADERS, {"model": "m", "input": "?"})
            said = wire(pipeline.messages["msg_1"])["content"]

    assert (result.truncated, result.error, result.connections) == (False, None, 2)
    assert [entry["text"]["value"] for entry in said] == ["".join(PIECES)]
    assert sent(server.requests[0]) == {"model": "m", "input": "?", "background": True, "stream": True}
    assert [request.method for request in server.requests] == ["POST", "GET"]


@pytest.mark.asyncio
async def test_changes_in_a_loop() -> None:
    """Each step that ended, once."""
    ended: list[RunStep] = []

    async def response() -> AsyncIterator[bytes]:
        for at in range(0, len(STREAM), 100):
            yield STREAM[at : at + 100]
            await checkpoint()

    await changes.follow(response(), ended.append)

    assert [wire(each)["id"] for each in ended] == ["step_1"]


@pytest.mark.asyncio
async def test_kinds_of_steps_are_told_apart() -> None:
    """Also one that nobody knows."""
    async with Pipeline() as pipeline:
        await pipeline.run(
            [
                sse(
                    step("created", "step_1", call("{}", id="c", name="weather")),
                    step("created", "step_2", step_details=creation(), type="message_creation"),
                    step("created", "step_3", step_details={"type": "dream"}, type="dream"),
                )
            ]
        )

    assert [*map(reading_a_step.describe, pipeline.steps.values())] == [
        "step_1 calls ['weather']",
        "step_2 writes a message",
        "step_3 does something new: dream",
    ]


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_shows_the_programs_that_are_run_here() -> None:
    """Each block is one of the files, whole and as it is, below its name; and each file is shown."""
    page = DOCUMENT.read_text(encoding="utf-8")
    shown = dict(re.findall(r"^<!-- tests/examples/live/(\w+)\.py -->\n```python\n(.*?)^```$", page, re.M | re.S))

    assert shown == {path.stem: path.read_text(encoding="utf-8") for path in LIVE.glob("*.py")}
    assert page.count("```python\n") == len(shown)
