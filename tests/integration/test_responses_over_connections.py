"""A background response in its own dialect, over connections that break: what one undisturbed connection would give.

test_responses_resume.py looks at each request; here it is the states that count, with texts, calls and reasoning.
"""

from collections.abc import Callable
from random import Random
from typing import Any, Final

import msgspec
import pytest

from streamproc import Pipeline, StreamProcessor, StreamResult
from streamproc.delivery.policy import Retry
from streamproc.sinks import MemorySink
from streamproc.sources import HttpSource, ResponsesResume, ResponsesResync
from streamproc.testing import Response, ScriptedServer
from streamproc.testing.server import Request, Reset, Send, json_response
from tests.response_streams import MESSAGE, added, delta, done, event, function_call, message, response, text
from tests.streams import wire

QUICK: Final = Retry(base_s=0.001, max_attempts=4)
WORDS: Final = [f"word {number}, " for number in range(6)]
ARGUMENTS: Final = ['{"city"', ':"Os', 'lo"}']
CALLED: Final = function_call("".join(ARGUMENTS))
SAID: Final = message(text("".join(WORDS)))
EVENTS: Final[list[dict[str, Any]]] = [
    response("created", background=True),
    added(function_call("", status="in_progress"), 0),
    *(delta("function_call_arguments", piece, 0) for piece in ARGUMENTS),
    done(CALLED, 0),
    added(message(status="in_progress"), 1),
    event("content_part.added", 1, MESSAGE, content_index=0, part=text()),
    *(delta("output_text", word, 1, content_index=0) for word in WORDS),
    done(SAID, 1),
    response("completed", CALLED, SAID, background=True, usage={"input_tokens": 3, "output_tokens": 4}),
]
FRAMES: Final = [
    b"event: %b\ndata: %b\n\n" % (each["type"].encode(), msgspec.json.encode({**each, "sequence_number": number}))
    for number, each in enumerate(EVENTS)
]


def states(runs: Any) -> list[dict[str, Any]]:
    """Runs, steps and messages of a pipeline or processor, as JSON data."""
    return [{id: wire(state) for id, state in table.items()} for table in (runs.runs, runs.steps, runs.messages)]


def undisturbed() -> list[dict[str, Any]]:
    proc = StreamProcessor("responses")
    proc.feed(b"".join(FRAMES))
    proc.close()
    return states(proc)


async def followed(
    count: int, then: Callable[[Request], Response], **more: Any
) -> tuple[StreamResult, list[dict[str, Any]], MemorySink]:
    """Follow a response whose first connection breaks after so many events."""
    sink = MemorySink()
    async with ScriptedServer() as server:
        url = f"{server.url}/v1/responses"
        server.script("/v1/responses", [Response([Send(b"".join(FRAMES[:count])), Reset()])], method="POST")
        server.script("/v1/responses/*", [then], method="GET")
        resync = {name: make(url) for name, make in more.items()}
        source = HttpSource(url, method="POST", json={}, resume=ResponsesResume(), **resync)
        async with Pipeline([sink], dialect="auto", retry=QUICK, random=Random(1)) as pipeline:
            result = await pipeline.run(source)
            return result, states(pipeline), sink


@pytest.mark.parametrize("overlap", [0, 2, 99])
@pytest.mark.parametrize("count", range(1, len(FRAMES)))
@pytest.mark.asyncio
async def test_resumed_after_any_event(count: int, overlap: int) -> None:
    """The states are those of one connection, no fragment came twice, and nothing is odd."""

    def rest(request: Request) -> Response:
        after = int(request.query["starting_after"])
        return Response(b"".join(FRAMES[max(0, after + 1 - overlap) :]))

    result, found, sink = await followed(count, rest)
    fragments = [change for change in sink.changes if change.is_delta]

    assert (result.truncated, result.connections) == (False, 2)
    assert found == undisturbed()
    assert [change.kind for change in sink.changes if change.kind == "anomaly"] == []
    assert len(fragments) == len(ARGUMENTS) + 1 + len(WORDS)  # the block of text appears by one of its own


@pytest.mark.parametrize("count", range(1, len(FRAMES)))
@pytest.mark.asyncio
async def test_final_state_is_asked_for(count: int) -> None:
    """When the stream cannot be had any more, the response tells what came of it."""

    def state(request: Request) -> Response:
        if "stream" in request.query:
            return Response(b"", status=404)
        return json_response(EVENTS[-1]["response"])

    result, found, _ = await followed(count, state, resync=lambda url: ResponsesResync(url))
    whole = undisturbed()

    assert not result.truncated
    assert {id: step["step_details"] for id, step in found[1].items()} == {
        id: step["step_details"] for id, step in whole[1].items()
    }
    assert [each["content"][0]["text"]["value"] for each in found[2].values()] == ["".join(WORDS)]
    assert {each["status"] for each in found[0].values()} == {"completed"}
