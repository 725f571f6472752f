"""An agent loop over Chat Completions: one run, and as many model calls as it takes."""

from typing import Any

from streamproc import Pipeline, RunHooks, StreamResult
from streamproc.actions import RequiredAction, RequiredCall
from streamproc.dialects import ChatDialect
from streamproc.sources import HttpSource


def weather(call: RequiredCall) -> str:
    if call.problem is not None:  # arguments are text that a model wrote
        return f"Please try again: {call.problem}."
    return f"It rains in {call.arguments['city']}."


async def follow(api: str, run_id: str, request: dict[str, Any], hooks: RunHooks) -> StreamResult:
    turns = ChatDialect.turns(run_id)
    messages = [*request["messages"]]

    def ask() -> HttpSource:
        options = {"stream": True, "stream_options": {"include_usage": True}}
        body = {**request, "messages": [*messages], **options}
        return HttpSource(f"{api}/chat/completions", method="POST", json=body, name=run_id)

    def submit(action: RequiredAction) -> HttpSource:
        calls = [{"name": call.name, "arguments": call.arguments_json} for call in action.calls]
        ids = [call.id for call in action.calls]
        tool_calls = [{"id": id, "type": "function", "function": call} for id, call in zip(ids, calls, strict=True)]
        messages.append({"role": "assistant", "tool_calls": tool_calls})
        for call in action.calls:
            output = weather(call)
            turns.answer(call.id, output)  # completes the step, with the output in it
            messages.append({"role": "tool", "tool_call_id": call.id, "content": output})
        return ask()

    async with Pipeline(hooks=hooks) as pipeline:
        return await pipeline.run(ask(), dialect=turns, submit=submit)
