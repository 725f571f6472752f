"""Published clients through the proxy, beside the same clients without it: what they see and raise, and what is kept.

Each client runs in a thread as programs run it. What it gets is taken down where its HTTP library hands it over:
status, header list, body bytes.
"""

import json
import sqlite3
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import anyio
import httpx2
import openai
import pytest
from anyio import to_thread
from azure.ai.agents import AgentsClient
from azure.ai.agents.models import AgentEventHandler
from azure.core.credentials import AccessToken, AzureKeyCredential
from azure.core.pipeline import PipelineResponse
from azure.core.pipeline.policies import AzureKeyCredentialPolicy
from openai import APIStatusError, AssistantEventHandler, OpenAI

from streamproc import Pipeline
from streamproc.core.dialect import dialect_names
from streamproc.stores.sqlite import SqliteStore
from streamproc.testing import Response, ScriptedServer, cut_at, json_response, reset_at, slices
from streamproc.testing.server import Send, Wait
from streamproc.worker.proxy import Proxy
from tests.streams import call, creation, done, message, run, sse, step, step_delta, text, words

pytestmark = [
    pytest.mark.asyncio,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The Assistants API is deprecated:DeprecationWarning"),
]

STREAM: Final = sse(
    run("created", assistant_id="a"),
    run("in_progress", assistant_id="a"),
    step("created", "step_1"),
    step_delta(call('{"city":', index=0, id="call_1", name="weather", output=None)),
    step_delta(call('"Oslo"}', index=0, output=None)),
    step("completed", "step_1", call('{"city":"Oslo"}', id="call_1", name="weather")),
    step("created", "step_2", step_details=creation(), type="message_creation"),
    message("created"),
    words("It will "),
    words("rain."),
    message("completed", "msg_1", text("It will rain.", annotations=[])),
    step("completed", "step_2", step_details=creation(), type="message_creation"),
    run("completed", assistant_id="a"),
    done(),
)
STEPS: Final = {"step_1": "completed", "step_2": "completed"}
RUN: Final = {
    "id": "run_1",
    "object": "thread.run",
    "thread_id": "thread_1",
    "status": "completed",
    "assistant_id": "a",
}
STEP: Final = {"id": "step_9", "object": "thread.run.step", "run_id": "run_1", "thread_id": "thread_1"}


def responses_stream() -> bytes:
    """A Responses stream: a text of two pieces."""
    item: dict[str, Any] = {"id": "m_1", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    part = {"type": "output_text", "text": "It rains.", "annotations": []}
    ended = {**item, "status": "completed", "content": [part]}
    place = {"item_id": "m_1", "output_index": 0, "content_index": 0}

    def response(status: str, *output: Any) -> dict[str, Any]:
        return {"id": "resp_1", "object": "response", "status": status, "created_at": 1, "model": "m", "output": output}

    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": response("in_progress")},
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        {"type": "response.content_part.added", **place, "part": {**part, "text": ""}},
        {"type": "response.output_text.delta", **place, "delta": "It "},
        {"type": "response.output_text.delta", **place, "delta": "rains."},
        {"type": "response.output_text.done", **place, "text": "It rains."},
        {"type": "response.content_part.done", **place, "part": part},
        {"type": "response.output_item.done", "output_index": 0, "item": ended},
        {"type": "response.completed", "response": response("completed", ended)},
    ]
    return b"".join(
        b"event: %b\ndata: %b\n\n" % (each["type"].encode(), json.dumps({**each, "sequence_number": number}).encode())
        for number, each in enumerate(events)
    )


def chat_stream() -> bytes:
    """A Chat Completions stream: a text of two pieces."""
    base = {"id": "chat_1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    deltas: list[tuple[dict[str, str], str | None]] = [
        ({"role": "assistant", "content": ""}, None),
        ({"content": "It "}, None),
        ({"content": "rains."}, None),
        ({}, "stop"),
    ]
    chunks = [{**base, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]} for delta, reason in deltas]
    return b"".join(b"data: %b\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]\n\n"


# --- both sides -------------------------------------------------------------------------------------------------------


class Wire(NamedTuple):
    """An answer as the client's HTTP library hands it over."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class Seen(NamedTuple):
    """What became of one use of a client."""

    wire: list[Wire]
    outcome: Any  # what the program made of it
    raised: str | None


Use = Callable[[str, list[Wire]], Any]


def used(use: Use, url: str) -> Seen:
    wire: list[Wire] = []
    try:
        return Seen(wire, use(url, wire), None)
    except (openai.OpenAIError, httpx2.HTTPError) as error:
        status = error.status_code if isinstance(error, APIStatusError) else None
        return Seen(wire, status, f"{type(error).__module__}.{type(error).__name__}")
    except Exception as error:
        return Seen(wire, getattr(error, "status_code", None), f"{type(error).__module__}.{type(error).__name__}")


class Both(NamedTuple):
    direct: Seen
    through: Seen
    statistics: Any


@asynccontextmanager
async def upstream(*answers: Any) -> AsyncGenerator[ScriptedServer]:
    async with ScriptedServer() as server:
        server.script(None, answers)
        yield server


async def both(use: Use, *answers: Any, store: Path | None = None) -> Both:
    """Use a client without and with the proxy; each time the upstream gives these answers, the last one for good."""
    with anyio.fail_after(30):
        async with upstream(*answers) as server:
            direct = await to_thread.run_sync(used, use, server.url)
        pipeline = Pipeline(store=None if store is None else SqliteStore(store))
        async with upstream(*answers) as server, pipeline, Proxy(server.url, pipeline) as proxy:
            through = await to_thread.run_sync(used, use, proxy.url)
    return Both(direct, through, proxy.statistics())


def stored(path: Path, table: str) -> dict[str, str]:
    """Id -> status, as SQL gives them."""
    connection = sqlite3.connect(path)
    found = dict(connection.execute(f"SELECT id, status FROM {table} ORDER BY id").fetchall())
    connection.close()
    return found


# --- the openai package -----------------------------------------------------------------------------------------------


class Recorder(httpx2.HTTPTransport):
    """Notes what comes, before anything reads it."""

    def __init__(self, wire: list[Wire]) -> None:
        super().__init__()
        self._wire = wire

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = super().handle_request(request)
        body = bytearray()
        index = len(self._wire)
        self._wire.append(Wire(response.status_code, tuple(response.headers.raw), b""))
        response.stream = Noted(response.stream, body, lambda: self._note(index, bytes(body)))
        return response

    def _note(self, index: int, body: bytes) -> None:
        self._wire[index] = self._wire[index]._replace(body=body)


class Noted(httpx2.SyncByteStream):
    def __init__(self, stream: Any, body: bytearray, note: Callable[[], None]) -> None:
        self._stream = stream
        self._body = body
        self._note = note

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._stream:
            self._body += piece
            self._note()
            yield piece

    def close(self) -> None:
        self._stream.close()


def openai_client(url: str, wire: list[Wire]) -> OpenAI:
    http = httpx2.Client(transport=Recorder(wire), timeout=10)
    return OpenAI(api_key="sk-secret", base_url=f"{url}/v1", max_retries=0, http_client=http)


class Texts(AssistantEventHandler):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[tuple[str, str]] = []

    def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        self.said.append((delta.value, snapshot.value))


def assistants(url: str, wire: list[Wire]) -> Any:
    """A run that is streamed to an event handler."""
    handler = Texts()
    with (
        openai_client(url, wire) as client,
        client.beta.threads.runs.stream(thread_id="thread_1", assistant_id="a", event_handler=handler) as stream,
    ):
        stream.until_done()
    return handler.said, [each.to_dict() for each in handler.get_final_run_steps()]


def responses(url: str, wire: list[Wire]) -> Any:
    with openai_client(url, wire) as client:
        return [event.to_dict() for event in client.responses.create(model="m", input="?", stream=True)]


def chat(url: str, wire: list[Wire]) -> Any:
    messages: Any = [{"role": "user", "content": "?"}]
    with openai_client(url, wire) as client:
        return [chunk.to_dict() for chunk in client.chat.completions.create(model="m", messages=messages, stream=True)]


def retrieve(url: str, wire: list[Wire]) -> Any:
    """A run, its steps, and a page of messages."""
    with openai_client(url, wire) as client:
        threads = client.beta.threads
        return (
            threads.runs.retrieve("run_1", thread_id="thread_1").to_dict(),
            [one.to_dict() for one in threads.runs.steps.list("run_1", thread_id="thread_1")],
            [one.to_dict() for one in threads.messages.list("thread_1")],
        )


async def test_assistants_stream(tmp_path: Path) -> None:
    """The same events, states, headers and bytes; the steps are in the store."""
    answer = Response(slices(STREAM, 100), headers={"X-Request-Id": "req_1", "openai-version": "2020-10-01"})
    seen = await both(assistants, answer, store=tmp_path / "runs.db")

    assert seen.through == seen.direct
    assert seen.direct.wire[0].body == STREAM
    assert [said for said, _ in seen.direct.outcome[0]] == ["It will ", "rain."]
    assert stored(tmp_path / "runs.db", "steps") == STEPS
    assert stored(tmp_path / "runs.db", "messages") == {"msg_1": "completed"}


@pytest.mark.parametrize(
    ("dialect", "use", "stream"), [("responses", responses, responses_stream()), ("chat", chat, chat_stream())]
)
async def test_other_streams(dialect: str, use: Use, stream: bytes, tmp_path: Path) -> None:
    """The same, whether the dialect is known or the stream passes untapped."""
    seen = await both(use, Response(slices(stream, 100)), store=tmp_path / "runs.db")
    is_known = dialect in dialect_names()

    assert seen.through == seen.direct
    assert seen.direct.wire[0].body == stream
    assert len(stored(tmp_path / "runs.db", "steps")) == int(is_known)
    assert (seen.statistics.tapped, dict(seen.statistics.untapped)) == (
        (1, {}) if is_known else (0, {"unknown_dialect": 1})
    )


async def test_answers_that_are_no_streams(tmp_path: Path) -> None:
    """They pass, and what they say of run and steps is in the store."""

    def listed(*objects: Any) -> Response:
        return json_response({"object": "list", "data": objects, "has_more": False})

    step_9 = {
        **STEP,
        "status": "failed",
        "type": "tool_calls",
        "step_details": {"type": "tool_calls", "tool_calls": []},
    }
    said = {"id": "msg_9", "object": "thread.message", "thread_id": "thread_1", "role": "user", "content": []}
    seen = await both(retrieve, json_response(RUN), listed(step_9), listed(said), store=tmp_path / "runs.db")

    assert seen.through == seen.direct
    assert seen.direct.raised is None
    assert stored(tmp_path / "runs.db", "runs") == {"run_1": "completed"}
    assert stored(tmp_path / "runs.db", "steps") == {"step_9": "failed"}
    assert seen.statistics.hydrated == 2  # this message says no status


HALF: Final = len(STREAM) // 2
ERROR: Final = {"error": {"message": "slow down", "type": "rate_limit", "param": None, "code": "rate_limit_exceeded"}}
FAULTS: Final = {
    "cut": Response(cut_at(STREAM, HALF)),
    "cut-length": Response(cut_at(STREAM, HALF), framing="length"),
    "reset": Response(reset_at(STREAM, HALF)),
    "bad-chunk": Response(
        [
            Send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"),
            *(Send(b"%x\r\n%b\r\n" % (HALF, STREAM[:HALF])), Wait(0.02), Send(b"ZZ\r\n"), Wait(0.02)),
        ],
        status=None,
    ),
    "429": json_response(ERROR, 429, {"Retry-After": "7", "x-ratelimit-remaining-requests": "0"}),
    "500": json_response(ERROR, 500),
    "404-html": Response(b"<html>", 404, {}, "text/html", "length"),
    "no-json": Response(b"oops", 200, {}, "text/event-stream"),
    "empty": Response(b"", 200),
}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("use", [assistants, responses, chat, retrieve])
async def test_same_exceptions(use: Use, name: str) -> None:
    """Whatever the upstream does wrong, the program cannot tell that there is a proxy."""
    seen = await both(use, FAULTS[name])

    assert seen.through == seen.direct


async def test_faults_are_faults() -> None:
    """The comparison above is of what it says."""
    names = ("cut", "reset", "429", "500", "bad-chunk")
    raised = {name: (await both(assistants, FAULTS[name])).through.raised for name in names}

    assert raised == {
        "cut": "httpx2.RemoteProtocolError",
        "reset": "httpx2.ReadError",
        "429": "openai.RateLimitError",
        "500": "openai.InternalServerError",
        "bad-chunk": "httpx2.RemoteProtocolError",
    }


async def test_upstream_that_is_not_there() -> None:
    """The proxy's own error is one that the client knows, with what to look for."""
    async with upstream(Response()) as server:
        gone = server.url
    wire: list[Wire] = []
    async with Pipeline() as pipeline, Proxy(gone, pipeline) as proxy:
        with pytest.raises(openai.InternalServerError, match="the upstream cannot be reached") as caught:
            await to_thread.run_sync(retrieve, proxy.url, wire)

    assert (caught.value.status_code, caught.value.code) == (502, "upstream_unreachable")


# --- azure-ai-agents --------------------------------------------------------------------------------------------------


class Token:
    def get_token(self, *scopes: str, **options: Any) -> AccessToken:
        raise AssertionError("no token is asked for where a key is sent")


class Agents(AgentEventHandler[Any]):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Any] = []

    def on_event(self, event_type: Any, event_data: Any) -> Any:
        return None

    def on_message_delta(self, delta: Any) -> Any:
        self.seen.append(delta.text)
        return delta.text

    def on_run_step(self, step: Any) -> Any:
        self.seen.append((step.id, step.status))

    def on_error(self, data: str) -> Any:
        self.seen.append(("error", data))


def azure_client(url: str, wire: list[Wire]) -> AgentsClient:
    def note(answer: PipelineResponse[Any, Any]) -> None:
        raw = answer.http_response.internal_response
        headers = [(name.encode(), value.encode()) for name, value in raw.raw.headers.items()]
        index = len(wire)
        wire.append(Wire(raw.status_code, tuple(headers), raw.content if raw._content_consumed else b""))
        pieces = raw.raw.stream

        def noted(*given: Any, **options: Any) -> Iterator[bytes]:
            for piece in pieces(*given, **options):
                wire[index] = wire[index]._replace(body=wire[index].body + piece)
                yield piece

        raw.raw.stream = noted

    return AgentsClient(
        url,
        Token(),
        authentication_policy=AzureKeyCredentialPolicy(AzureKeyCredential("secret"), "api-key"),
        raw_response_hook=note,
        retry_total=0,
    )


def agents_stream(url: str, wire: list[Wire]) -> Any:
    """A run that is streamed to an event handler; the pieces are read as they come, too."""
    handler = Agents()
    with (
        azure_client(url, wire) as client,
        client.runs.stream("thread_1", agent_id="a", event_handler=handler) as stream,
    ):
        said = list(stream)
    return handler.seen, [str(each) for each in said]


def agents_retrieve(url: str, wire: list[Wire]) -> Any:
    with azure_client(url, wire) as client:
        found = client.runs.get("thread_1", "run_1").as_dict()
        return found, [each.as_dict() for each in client.run_steps.list("thread_1", "run_1")]


async def test_azure_stream(tmp_path: Path) -> None:
    """The same events, headers and states; the steps are in the store."""
    seen = await both(agents_stream, Response(slices(STREAM, 100)), store=tmp_path / "runs.db")

    assert seen.through == seen.direct
    assert seen.direct.wire[0].body == STREAM
    assert seen.direct.raised is None
    assert "rain." in seen.direct.outcome[0]
    assert stored(tmp_path / "runs.db", "steps") == STEPS


async def test_azure_answers_that_are_no_streams(tmp_path: Path) -> None:
    """A run and its steps."""
    steps = {"object": "list", "data": [{**STEP, "status": "completed"}], "has_more": False}
    seen = await both(agents_retrieve, json_response(RUN), json_response(steps), store=tmp_path / "runs.db")

    assert seen.through == seen.direct
    assert seen.direct.raised is None
    assert stored(tmp_path / "runs.db", "steps") == {"step_9": "completed"}


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("use", [agents_stream, agents_retrieve])
async def test_same_exceptions_of_azure(use: Use, name: str) -> None:
    """As above."""
    seen = await both(use, FAULTS[name])

    assert seen.through == seen.direct
