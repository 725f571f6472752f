"""Builders of events and streams for tests: every canonical event in one short call.

A builder returns an `Event` as the dialect would make it (name, data, payload bytes), so it can go to a `Reducer` as it
is, or through `sse` to a `StreamProcessor` as bytes. Objects hold the few members that a test needs and nothing more;
any other member is a keyword, and a member that is `UNSET` is left out.

    sse(run("created"), step("created"), arguments('{"a"'), arguments(":1}"), step("completed"), done())
"""

import json
from collections.abc import Iterable
from typing import Any

from msgspec import UNSET, Struct

from streamproc import Change, Event, to_wire

__all__ = [
    "anomalies",
    "arguments",
    "by_hand",
    "call",
    "calls",
    "code",
    "creation",
    "done",
    "error",
    "event",
    "message",
    "message_delta",
    "run",
    "sse",
    "step",
    "step_delta",
    "text",
    "thread",
    "visible",
    "wire",
    "words",
]

_FIRST_STATUS = {"thread.run": "queued", "thread.run.step": "in_progress", "thread.message": "in_progress"}


# --- events -----------------------------------------------------------------------------------------------------------


def event(name: str, payload: object = None) -> Event:
    """Any event; bytes and text are the payload itself and only good for `sse`, anything else becomes JSON."""
    if isinstance(payload, (bytes, str)):
        return Event(name, None, payload.encode() if isinstance(payload, str) else payload)
    data = _without_unset(payload)
    return Event(name, data, json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode())


def by_hand(made: Event) -> Event:
    """The same event as a program makes it, without payload bytes."""
    return Event(made.name, made.data)


def thread(id: str = "thread_1", **members: Any) -> Event:
    """thread.created"""
    return event("thread.created", {"id": id, "object": "thread", **members})


def run(what: str = "in_progress", id: str = "run_1", **members: Any) -> Event:
    """thread.run.WHAT; its status is WHAT too, or "queued" for "created"."""
    return _snapshot("thread.run", what, id, {"thread_id": "thread_1"}, members)


def step(what: str = "created", id: str = "step_1", *tool_calls: Any, **members: Any) -> Event:
    """thread.run.step.WHAT with the given tool calls; other details as `step_details=`."""
    usual = {"run_id": "run_1", "thread_id": "thread_1", "step_details": calls(*tool_calls)}
    return _snapshot("thread.run.step", what, id, usual, members)


def message(what: str = "created", id: str = "msg_1", *content: Any, **members: Any) -> Event:
    """thread.message.WHAT with the given content blocks."""
    usual = {"run_id": "run_1", "thread_id": "thread_1", "role": "assistant", "content": [*content]}
    return _snapshot("thread.message", what, id, usual, members)


def step_delta(*tool_calls: Any, id: Any = "step_1", delta: Any = UNSET) -> Event:
    """thread.run.step.delta with entries of tool calls, or with any other `delta`."""
    delta = {"step_details": calls(*tool_calls)} if delta is UNSET else delta
    return event("thread.run.step.delta", {"id": id, "object": "thread.run.step.delta", "delta": delta})


def message_delta(*content: Any, id: Any = "msg_1", delta: Any = UNSET) -> Event:
    """thread.message.delta with content blocks, or with any other `delta`."""
    delta = {"content": [*content]} if delta is UNSET else delta
    return event("thread.message.delta", {"id": id, "object": "thread.message.delta", "delta": delta})


def arguments(fragment: str, index: int = 0, id: str = "step_1") -> Event:
    """The commonest step delta: a fragment of a function call's arguments."""
    return step_delta(call(fragment, index=index), id=id)


def words(fragment: str, index: int = 0, id: str = "msg_1") -> Event:
    """The commonest message delta: a fragment of text."""
    return message_delta(text(fragment, index=index), id=id)


def error(payload: object) -> Event:
    """An error as it stands on the wire, an object or plain text; only good for `sse`."""
    return event("error", payload)


def done() -> Event:
    """The end of a stream."""
    return Event("done", None, b"[DONE]")


# --- parts of objects -------------------------------------------------------------------------------------------------


def calls(*tool_calls: Any) -> dict[str, Any]:
    """Step details with tool calls."""
    return {"type": "tool_calls", "tool_calls": [*tool_calls]}


def creation(message_id: str = "msg_1") -> dict[str, Any]:
    """Step details of a step that wrote a message."""
    return {"type": "message_creation", "message_creation": {"message_id": message_id}}


def call(
    arguments: Any = UNSET, *, index: Any = UNSET, id: Any = UNSET, name: Any = UNSET, output: Any = UNSET
) -> dict[str, Any]:
    """A function call, whole or a fragment of it."""
    function = {"name": name, "arguments": arguments, "output": output}
    return _present({"index": index, "id": id, "type": "function", "function": function})


def code(input: Any = UNSET, *, index: Any = UNSET, id: Any = UNSET, outputs: Any = UNSET) -> dict[str, Any]:
    """A call of the code interpreter, whole or a fragment of it."""
    payload = {"input": input, "outputs": outputs}
    return _present({"index": index, "id": id, "type": "code_interpreter", "code_interpreter": payload})


def text(value: Any = UNSET, *, index: Any = UNSET, annotations: Any = UNSET) -> dict[str, Any]:
    """A text block, whole or a fragment of it."""
    return _present({"index": index, "type": "text", "text": {"value": value, "annotations": annotations}})


# --- streams ----------------------------------------------------------------------------------------------------------


def sse(*events: Event, end: str = "\n", named: bool = True) -> bytes:
    """The events as the bytes of a stream, with any line end, with or without `event:` lines."""
    lines: list[bytes] = []
    for item in events:
        if named:
            lines.append(b"event: " + item.name.encode())
        payload = item.raw or json.dumps(item.data).encode()
        lines += (b"data: " + line for line in payload.split(b"\n"))
        lines.append(b"")
    return b"".join(line + end.encode() for line in lines)


# --- what came out ----------------------------------------------------------------------------------------------------


def wire(obj: Struct) -> Any:
    """An object's complete JSON, decoded."""
    return json.loads(to_wire(obj))


def anomalies(changes: Iterable[Change]) -> list[str]:
    """The kinds of the anomalies among changes, in order."""
    return [change.data.kind for change in changes if change.kind == "anomaly"]


def visible(changes: Iterable[Change]) -> list[tuple[str, int]]:
    """Id and revision of all changes that are no anomalies."""
    return [(change.id, change.revision) for change in changes if change.kind != "anomaly"]


def _snapshot(prefix: str, what: str, id: str, usual: dict[str, Any], members: dict[str, Any]) -> Event:
    status = _FIRST_STATUS[prefix] if what == "created" else what
    return event(f"{prefix}.{what}", {"id": id, "object": prefix, **usual, "status": status, **members})


def _present(members: dict[str, Any]) -> dict[str, Any]:
    """The members that are not UNSET, at any depth."""
    return {name: _without_unset(value) for name, value in members.items() if value is not UNSET}


def _without_unset(value: Any) -> Any:
    if isinstance(value, dict):
        return _present(value)
    return [_without_unset(item) for item in value] if isinstance(value, list) else value
