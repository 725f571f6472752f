"""The agent loop of docs/dialects/chat.md over loopback; the page shows the program that is run here."""

from pathlib import Path

import msgspec
import pytest

from streamproc import Change, RunHooks, RunStep
from streamproc.model import Run
from streamproc.testing import Response, ScriptedServer
from tests.chats import DONE, Json, calling, ends, piece, says, stream, usage, wire
from tests.conftest import ROOT
from tests.examples import chat_loop

PROGRAM = Path(chat_loop.__file__)
PAGE = ROOT / "docs" / "dialects" / "chat.md"
QUESTION = {"role": "user", "content": "How is the weather in Oslo?"}


class Noting(RunHooks):
    """Which steps ended, and how the run went."""

    def __init__(self) -> None:
        self.steps: list[Json] = []
        self.statuses: list[object] = []
        self.runs: list[Json] = []

    def on_step_done(self, step: RunStep, change: Change) -> None:
        self.steps.append(wire(step))

    def on_run_status(self, run: Run, change: Change) -> None:
        self.statuses.append(run.status)
        self.runs.append(wire(run))


@pytest.mark.asyncio
async def test_a_loop_of_two_model_calls() -> None:
    """They are one run: its steps, its usage, and the output of the tool in the step that asked for it."""
    hooks = Noting()
    call = {"name": "weather", "arguments": '{"city":"Oslo"}'}
    asks = stream(calling(piece(call["arguments"], "weather", id="call_1")), ends("tool_calls"), usage(10, 2), DONE)
    answers = stream(says("It "), says("rains."), ends("stop"), usage(20, 3), DONE)
    async with ScriptedServer() as server:
        server.script("/chat/completions", [Response(asks), Response(answers)], method="POST")
        result = await chat_loop.follow(server.url, "run_1", {"model": "m", "messages": [QUESTION]}, hooks)

    assert (result.run_id, result.truncated, result.error, result.connections) == ("run_1", False, None, 2)
    assert hooks.statuses == ["in_progress", "requires_action", "in_progress", "completed"]
    assert [(step["id"], step["status"]) for step in hooks.steps] == [
        ("run_1:1:tools:0", "completed"),
        ("run_1:2:msg:0", "completed"),
    ]
    assert hooks.steps[0]["step_details"]["tool_calls"] == [
        {"id": "call_1", "type": "function", "function": {**call, "output": "It rains in Oslo."}}
    ]
    assert hooks.runs[-1]["usage"] == {"prompt_tokens": 30, "completion_tokens": 5, "total_tokens": 35}
    assert msgspec.json.decode(server.requests[1].body)["messages"] == [
        QUESTION,
        {"role": "assistant", "tool_calls": [{"id": "call_1", "type": "function", "function": call}]},
        {"role": "tool", "tool_call_id": "call_1", "content": "It rains in Oslo."},
    ]


def test_the_page_shows_this_program() -> None:
    """As it is run here."""
    assert f"```python\n{PROGRAM.read_text(encoding='utf-8')}```\n" in PAGE.read_text(encoding="utf-8")
