"""Builders of Chat Completions streams for tests: every chunk in one short call, as one JSON object.

feed(role(), says("Hel"), says("lo"), ends("stop"), DONE)
"""

import json
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from streamproc import StreamProcessor, to_wire
from streamproc.core.dialect import Dialect

__all__ = [
    "DONE",
    "ID",
    "Json",
    "after",
    "calling",
    "chunk",
    "delta",
    "ends",
    "feed",
    "message",
    "piece",
    "role",
    "run",
    "says",
    "steps",
    "stream",
    "tools",
    "usage",
    "wire",
]

Json: TypeAlias = Any
ID: Final = "chatcmpl-AAAAAAAAAAAA"
DONE: Final = b"[DONE]"


def chunk(*choices: Json, **members: Json) -> Json:
    """A chunk; a member that is None is left out."""
    usual = {"id": ID, "object": "chat.completion.chunk", "created": 7, "model": "m", "choices": [*choices]}
    return {name: value for name, value in {**usual, **members}.items() if value is not None}


def delta(index: int = 0, finish_reason: str | None = None, **members: Json) -> Json:
    """A chunk with one choice."""
    return chunk({"index": index, "delta": members, "finish_reason": finish_reason})


def role(index: int = 0) -> Json:
    """How most streams begin."""
    return delta(index, role="assistant", content="")


def says(text: Json, index: int = 0) -> Json:
    return delta(index, content=text)


def calling(*entries: Json, index: int = 0) -> Json:
    return delta(index, tool_calls=[*entries])


def piece(arguments: Json = "", name: Json = None, **members: Json) -> Json:
    """An entry of `tool_calls`; index 0 unless it says another, and none if that is None."""
    function = {"arguments": arguments} if name is None else {"name": name, "arguments": arguments}
    entry = {"index": 0, "type": "function", **members, "function": function}
    return {member: value for member, value in entry.items() if value is not None}


def ends(reason: str | None, index: int = 0, **members: Json) -> Json:
    return delta(index, reason, **members)


def usage(given: int, made: int, **members: Json) -> Json:
    """The last chunk of a stream that was asked for its usage."""
    return chunk(usage={"prompt_tokens": given, "completion_tokens": made, "total_tokens": given + made, **members})


def stream(*chunks: Json) -> bytes:
    """A stream of chunks, or of payloads as they stand."""
    payloads = [item if isinstance(item, bytes) else json.dumps(item).encode() for item in chunks]
    return b"".join(b"data: " + payload + b"\n\n" for payload in payloads)


def feed(
    *chunks: Json, dialect: str | Dialect | Callable[[], Dialect] = "chat", closes: bool = True
) -> StreamProcessor:
    """Process one whole stream."""
    proc = StreamProcessor(dialect)
    proc.feed(stream(*chunks))
    if closes:
        proc.close()
    return proc


def wire(obj: Any) -> Json:
    return json.loads(to_wire(obj))


def run(proc: StreamProcessor) -> Json:
    """The only run, as JSON data."""
    (found,) = proc.runs.values()
    return wire(found)


def steps(proc: StreamProcessor) -> list[Json]:
    """All steps, as JSON data, in order of appearance."""
    return [wire(step) for step in proc.steps.values()]


def message(proc: StreamProcessor) -> Json:
    """The only message, as JSON data."""
    (found,) = proc.messages.values()
    return wire(found)


def tools(proc: StreamProcessor) -> list[tuple[str, str, str]]:
    """Id, name and arguments of all tool calls."""
    return [
        (call["id"], call["function"]["name"], call["function"]["arguments"])
        for step in steps(proc)
        for call in step["step_details"].get("tool_calls", [])
    ]


def after(objects: list[Json], *names: str) -> list[Mapping[str, Json]]:
    """Some members of each object."""
    return [{name: item.get(name) for name in names} for item in objects]
