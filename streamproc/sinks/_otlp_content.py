"""Texts in the JSON form of the GenAI conventions, for those who ask for content in their spans.

A message is not part of its step, and a step's span shows it; so with content, and only then, messages that have ended
are kept for their steps: the newest 1,000 of them, and 16 Mi characters. A step whose message is not among them, after
a restart for instance, has a span without its text.
"""

from collections import OrderedDict
from typing import Any, Final

import msgspec
from msgspec import UNSET

from streamproc.model.message import (
    ImageFile,
    ImageFileBlock,
    ImageUrl,
    ImageUrlBlock,
    Message,
    RefusalBlock,
    Text,
    TextBlock,
)
from streamproc.model.run import IncompleteDetails
from streamproc.model.tool_calls import (
    CodeInterpreter,
    CodeInterpreterToolCall,
    FileSearch,
    FileSearchToolCall,
    Function,
    McpToolCall,
    ToolCall,
)

__all__ = ["Messages", "arguments_and_result", "definitions", "instructions", "output_messages", "tool_name"]

_MAX_MESSAGES: Final = 1_000
_MAX_CHARS: Final = 16 * 1024 * 1024


class Messages:
    """Messages that have ended, by id, until their step asks for them; the oldest go first."""

    def __init__(self, max_messages: int = _MAX_MESSAGES, max_chars: int = _MAX_CHARS) -> None:
        self._max_messages = max_messages
        self._max_chars = max_chars
        self._kept: OrderedDict[str, str] = OrderedDict()
        self._chars = 0

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, message: Message) -> None:
        """Keep what a message says; a newer state of it takes the place of the older."""
        self._chars -= len(self._kept.pop(message.id, ""))
        self._kept[message.id] = text = output_messages(message)
        self._chars += len(text)
        while len(self._kept) > self._max_messages or self._chars > self._max_chars:
            self._chars -= len(self._kept.popitem(last=False)[1])

    def take(self, message_id: str) -> str | None:
        """What a message said, as the value of `gen_ai.output.messages`; it stays, as its step may come again."""
        return self._kept.get(message_id)


def output_messages(message: Message) -> str:
    """One message as the value of `gen_ai.output.messages`."""
    blocks = message.content if isinstance(message.content, tuple) else ()
    out: dict[str, Any] = {
        "role": message.role if isinstance(message.role, str) else "assistant",
        "parts": [_part(block) for block in blocks],
    }
    if isinstance(message.incomplete_details, IncompleteDetails) and message.incomplete_details.reason:
        out["finish_reason"] = message.incomplete_details.reason
    return _json([out])


def instructions(text: object) -> str | None:
    """The value of `gen_ai.system_instructions`."""
    return _json([{"type": "text", "content": text}]) if isinstance(text, str) and text else None


def definitions(tools: object) -> str | None:
    """The value of `gen_ai.tool.definitions`: functions are flat there, other tools stay as they are."""
    if not isinstance(tools, tuple) or not tools:
        return None
    return _json([_definition(tool) for tool in tools])


def tool_name(call: ToolCall) -> str | None:
    """What a call itself names its tool; None if it is told by its type alone."""
    function = _member(call, "function")
    if isinstance(function, Function):
        name: object = function.name
    elif isinstance(call, McpToolCall):
        name = call.name
    else:
        name = _member(_payload(call), "name")
    return name if isinstance(name, str) and name else None


def arguments_and_result(call: ToolCall) -> tuple[str | None, str | None]:
    """What a tool was given and what it gave back: text as it came, anything else as JSON."""
    function = _member(call, "function")
    if isinstance(function, Function):
        return _text(function.arguments), _text(function.output)
    if isinstance(call, McpToolCall):
        return _text(call.arguments), _text(call.output)
    if isinstance(call, CodeInterpreterToolCall):
        ran = call.code_interpreter
        if not isinstance(ran, CodeInterpreter):
            return None, None
        return _text({"input": ran.input} if isinstance(ran.input, str) else None), _text(ran.outputs)
    if isinstance(call, FileSearchToolCall):
        found = call.file_search
        return None, _text(found.results) if isinstance(found, FileSearch) else None
    payload = _payload(call)
    arguments = next((payload[name] for name in ("arguments", "input", "action") if name in payload), None)
    return _text(arguments), _text(payload.get("output"))


def _part(block: object) -> dict[str, Any]:
    match block:
        case TextBlock(text=Text(value=str(value))):
            return {"type": "text", "content": value}
        case RefusalBlock(refusal=str(refusal)):
            return {"type": "refusal", "content": refusal}
        case ImageFileBlock(image_file=ImageFile(file_id=str(file_id))):
            return {"type": "file", "modality": "image", "file_id": file_id}
        case ImageUrlBlock(image_url=ImageUrl(url=str(url))):
            return {"type": "uri", "modality": "image", "uri": url}
        case _:
            kind = _member(block, "type")
            return {"type": kind if isinstance(kind, str) else "unknown"}


def _definition(tool: dict[str, Any]) -> dict[str, Any]:
    function = tool.get("function")
    return {"type": "function", **function} if isinstance(function, dict) else tool


def _payload(call: ToolCall) -> dict[str, Any]:
    """The open map that a call of most kinds holds under the name of its type."""
    payload = _member(call, call.type)
    return payload if isinstance(payload, dict) else {}


def _member(obj: object, name: str) -> object:
    return obj.get(name) if isinstance(obj, dict) else getattr(obj, name, None)


def _text(value: object) -> str | None:
    if value is None or value is UNSET or value == ():
        return None
    return value if isinstance(value, str) else _json(value)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
