"""Hooks and a tool loop: a model asks for the weather as often as it likes, its words are printed as they come."""

from typing import Any

from streamproc import Change, Pipeline, RunHooks, StreamResult
from streamproc.actions import RequiredAction, RequiredCall
from streamproc.hooks import TextFragment
from streamproc.model import ToolCall
from streamproc.sources import HttpSource


class Printing(RunHooks):
    def on_tool_call_done(self, call: ToolCall, change: Change) -> None:
        print(f"[{call.id} is done]")

    def on_text_delta(self, delta: TextFragment, change: Change) -> None:
        print(delta.value, end="", flush=True)


def weather(call: RequiredCall) -> str:
    if call.problem is not None:  # arguments are text that a model wrote
        return f"Please try again: {call.problem}."
    return f"It rains in {call.arguments['city']}."


async def follow(api: str, headers: dict[str, str], thread_id: str, assistant_id: str) -> StreamResult:
    runs = f"{api}/threads/{thread_id}/runs"

    def post(url: str, body: dict[str, Any]) -> HttpSource:
        return HttpSource(url, method="POST", headers=headers, json={**body, "stream": True}, name=thread_id)

    def submit(action: RequiredAction) -> HttpSource:
        outputs = [{"tool_call_id": call.id, "output": weather(call)} for call in action.calls]
        return post(f"{runs}/{action.run.id}/submit_tool_outputs", {"tool_outputs": outputs})

    async with Pipeline(hooks=Printing()) as pipeline:
        return await pipeline.run(post(runs, {"assistant_id": assistant_id}), submit=submit)
