"""Responses streams for tests: payloads, the bytes of a stream of them, and what became of it."""

import json
from typing import Any, TypeAlias

from streamproc import Change, StreamProcessor
from streamproc.core.dialect import DialectFactory
from streamproc.model.wire import WireObject
from tests.streams import wire

__all__ = [
    "CALL",
    "HELLO",
    "MESSAGE",
    "OPEN",
    "RESPONSE",
    "Json",
    "added",
    "call_of",
    "changed",
    "delta",
    "done",
    "event",
    "fed",
    "function_call",
    "message",
    "numbered",
    "only_run",
    "only_step",
    "refusal",
    "response",
    "sse",
    "state",
    "text",
    "texts_of",
]

Json: TypeAlias = dict[str, Any]

RESPONSE = "resp_0123456789abcdef"
MESSAGE = "msg_0123456789abcdef"
CALL = "fc_0123456789abcdef"


def response(what: str = "created", *output: Json, **members: Any) -> Json:
    """An event of a response's life, with the whole of it."""
    status = "in_progress" if what == "created" else what
    native = {"id": RESPONSE, "object": "response", "created_at": 5, "status": status, "model": "m", **members}
    return {"type": f"response.{what}", "response": {**native, "output": [*output]}}


def added(item: Json, index: int = 0, **members: Any) -> Json:
    """An item appears."""
    return {"type": "response.output_item.added", "output_index": index, "item": item, **members}


def done(item: Json, index: int = 0, **members: Any) -> Json:
    """An item is complete."""
    return {"type": "response.output_item.done", "output_index": index, "item": item, **members}


def event(what: str, index: int | None = 0, id: str | None = None, **members: Any) -> Json:
    """Any event about an item."""
    place = {"output_index": index, "item_id": id}
    return {"type": f"response.{what}", **{k: v for k, v in place.items() if v is not None}, **members}


def delta(what: str, fragment: str, index: int | None = 0, id: str | None = None, **members: Any) -> Json:
    """A fragment of a text."""
    return event(f"{what}.delta", index, id, delta=fragment, **members)


def message(*parts: Json, id: str | None = MESSAGE, status: str | None = "completed", **members: Any) -> Json:
    """A message item."""
    item = {"id": id, "type": "message", "status": status, "role": "assistant", "content": [*parts], **members}
    return {name: value for name, value in item.items() if value is not None}


def text(value: str = "", *annotations: Json) -> Json:
    """A part of a message."""
    return {"type": "output_text", "text": value, "annotations": [*annotations], "logprobs": []}


def refusal(value: str = "") -> Json:
    """The other kind of part."""
    return {"type": "refusal", "refusal": value}


def function_call(
    arguments: str = "", *, id: str | None = CALL, call_id: str = "call_1", status: str | None = None, **members: Any
) -> Json:
    """A call of a function; `status` None for none."""
    item = {"id": id, "type": "function_call", "call_id": call_id, "name": "f", "arguments": arguments, **members}
    return {name: value for name, value in {**item, "status": status}.items() if value is not None}


def numbered(*payloads: Json, first: int = 0) -> list[Json]:
    """The same with sequence numbers."""
    return [{**payload, "sequence_number": number} for number, payload in enumerate(payloads, first)]


def sse(*payloads: Json | str, named: bool = True) -> bytes:
    """The bytes of a stream; text stands for itself."""
    blocks: list[str] = []
    for payload in payloads:
        if isinstance(payload, str):
            blocks.append(f"data: {payload}\n\n")
            continue
        line = f"event: {payload['type']}\n" if named and "type" in payload else ""
        blocks.append(f"{line}data: {json.dumps(payload)}\n\n")
    return "".join(blocks).encode()


def fed(*payloads: Json | str, dialect: str | DialectFactory = "responses") -> StreamProcessor:
    """A processor that saw a stream, and its end."""
    proc = StreamProcessor(dialect)
    proc.feed(sse(*payloads))
    proc.close()
    return proc


def changed(proc: StreamProcessor, *payloads: Json | str) -> list[Change]:
    """The changes of further payloads."""
    return proc.feed(sse(*payloads))


def state(obj: WireObject) -> Json:
    """An object's members that say something."""
    return {name: value for name, value in wire(obj).items() if value not in (None, [], {})}


def only_run(proc: StreamProcessor) -> Json:
    """The one run that there is."""
    (run,) = proc.runs.values()
    return state(run)


def only_step(proc: StreamProcessor) -> Json:
    """The one step that there is."""
    (step,) = proc.steps.values()
    return state(step)


def call_of(proc: StreamProcessor, id: str = CALL) -> Json:
    """The tool call of a step."""
    (call,) = wire(proc.steps[id])["step_details"]["tool_calls"]
    return call  # type: ignore[no-any-return]


def texts_of(proc: StreamProcessor) -> list[str]:
    """The texts of all messages."""
    return [each.text for each in proc.messages.values()]


OPEN = message(status="in_progress")
"""A message that was begun."""

HELLO = [
    response(),
    added(OPEN),
    event("content_part.added", id=MESSAGE, content_index=0, part=text()),
    delta("output_text", "Hel", id=MESSAGE, content_index=0),
    delta("output_text", "lo", id=MESSAGE, content_index=0),
    event("output_text.done", id=MESSAGE, content_index=0, text="Hello"),
    done(message(text("Hello"))),
    response("completed", message(text("Hello")), usage={"input_tokens": 3, "output_tokens": 4}),
]
"""A response that is one message."""
