"""Items: what each type of output item is in the protocol, as functions of the item alone.

A message becomes a message with its step, every call a step with one tool call. Three calls have a type of their own
in the protocol; all others are generic ones, see `GenericToolCall`. Nothing here knows of order or state.

What the canonical form has no member for stays in the native form, see `rest`; images never do, only their length.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec

from streamproc.core.fragments import TextPath
from streamproc.dialects.responses.parts import without_images
from streamproc.model.tool_calls import GENERIC_TYPES

__all__ = [
    "Awaits",
    "Category",
    "Item",
    "argument_text",
    "awaits",
    "call_id",
    "category",
    "error_of",
    "output_text",
    "rest",
    "text_path",
    "tool_call",
]

Item: TypeAlias = Mapping[str, Any]
Category: TypeAlias = Literal["message", "tools", "reasoning", "output", "aside", "unknown"]
Awaits: TypeAlias = Literal["output", "approval", ""]

_TYPES: Final[Mapping[str, str]] = {
    "function_call": "function",
    "custom_tool_call": "custom",
    "code_interpreter_call": "code_interpreter",
    "file_search_call": "file_search",
}
"""Type of an item -> type of its tool call, where they differ."""

_ASIDE: Final = frozenset({"mcp_list_tools", "compaction", "additional_tools", "agent_message"})
_TEXTS: Final = ("arguments", "input", "code")  # where an item has what counts as its arguments, as text,
_OBJECTS: Final = ("arguments", "action", "actions", "operation")  # or as data
_CLIENT_RUN: Final = frozenset(
    {"function_call", "custom_tool_call", "local_shell_call", "apply_patch_call", "computer_call", "program"}
)
"""Calls whose outputs are items of their own: those that the client runs, and programs, which call its tools."""

_COMMON: Final = frozenset({"type", "status", "role", "content", "name", "call_id", "output", "outputs", "results"})


def category(item: Item) -> Category:
    """What becomes of an item: an object of its own, the output of another one, or something noted beside."""
    kind = item.get("type")
    if not isinstance(kind, str):
        return "unknown"
    if kind == "message":
        return "message" if item.get("role", "assistant") == "assistant" else "aside"
    if kind == "reasoning":
        return "reasoning"
    if kind in _TYPES or kind in GENERIC_TYPES or kind.endswith("_call"):
        return "tools"
    if kind.endswith("_output") or kind == "mcp_approval_response":
        return "output"
    return "aside" if kind in _ASIDE else "unknown"


def awaits(item: Item) -> Awaits:
    """What a call waits for once it is complete; nothing if the server runs it."""
    kind = item["type"]
    if kind == "mcp_approval_request":
        return "approval"
    if kind == "shell_call":
        environment = item.get("environment")
        is_hosted = isinstance(environment, Mapping) and environment.get("type") not in (None, "local")
        return "" if is_hosted else "output"
    if kind in _CLIENT_RUN or (kind == "tool_search_call" and item.get("execution") == "client"):
        return "output"
    return ""


def call_id(item: Item) -> str:
    """The id by which outputs name the call; "" if it has none, and then it is the item's."""
    id = item.get("approval_request_id" if item.get("type") == "mcp_approval_response" else "call_id")
    return id if isinstance(id, str) else ""


def tool_call(item: Item, id: str) -> dict[str, Any]:
    """The tool call of an item; its texts may be empty and grow."""
    kind = item["type"]
    if kind == "code_interpreter_call":
        payload = {"input": argument_text(item), "outputs": [_code_output(entry) for entry in _list(item, "outputs")]}
        return {"id": id, "type": "code_interpreter", "code_interpreter": payload}
    if kind == "file_search_call":
        results = [_search_result(entry) for entry in _list(item, "results")]
        return {"id": id, "type": "file_search", "file_search": {"results": results}}
    name, output = item.get("name"), item.get("output")
    function = {
        "name": name if isinstance(name, str) else "" if kind in ("function_call", "custom_tool_call") else kind,
        "arguments": argument_text(item),
        "output": None if output is None else output_text(item),
    }
    return {"id": id, "type": _TYPES.get(kind, kind), "function": function}


def text_path(kind: str) -> TextPath | None:
    """Which text of a tool call grows; None if it has none."""
    if kind == "code_interpreter_call":
        return ("code_interpreter", "code_interpreter", "input")
    return None if kind == "file_search_call" else (_TYPES.get(kind, kind), "function", "arguments")


def argument_text(item: Item) -> str:
    """What the model said of how to call: text as it is, data as compact JSON."""
    found = item.get(_argument_name(item), "")
    return found if isinstance(found, str) else _json(found)


def output_text(item: Item) -> str:
    """What a tool gave: text as it is, the texts of a list of texts, any other data as compact JSON."""
    if item.get("type") == "mcp_approval_response":
        return _json({name: item[name] for name in ("approve", "reason") if item.get(name) is not None})
    found = next((item[name] for name in ("output", "result", "tools") if item.get(name) is not None), "")
    if isinstance(found, str):
        return found
    if isinstance(found, list) and found and all(isinstance(part, dict) and _is_text(part) for part in found):
        return "".join(part["text"] for part in found)
    return _json(without_images(found))


def error_of(item: Item) -> dict[str, Any]:
    """Why an item failed."""
    error = item.get("error")
    if isinstance(error, Mapping):
        code, message, content = error.get("code") or error.get("type"), error.get("message"), error.get("content")
        text = message if isinstance(message, str) else _json(without_images(content)) if content else ""
        return {"code": "tool_error" if code is None else str(code), "message": text}
    return {"code": "tool_error", "message": error if isinstance(error, str) else ""}


def rest(item: Item, id: str) -> dict[str, Any]:
    """The members of an item that its canonical form has no place for; its id if that is not `id`."""
    used = {*_COMMON, _argument_name(item)}
    left = {name: value for name, value in item.items() if name not in used and value is not None}
    if left.get("id") == id:
        del left["id"]
    if isinstance(left.get("result"), str):
        left["result"] = {"length": len(left["result"])}
    kept: dict[str, Any] = without_images(left)
    return kept


def _argument_name(item: Item) -> str:
    """Which member holds what counts as the arguments."""
    for name in _TEXTS:
        if isinstance(item.get(name), str):
            return name
    for name in _OBJECTS:
        if isinstance(item.get(name), (dict, list)):
            return name
    return ""


def _code_output(entry: Item) -> Item:
    if entry.get("type") != "image":
        return entry
    return {"type": "image", "image": without_images({k: v for k, v in entry.items() if k != "type"})}


def _search_result(entry: Item) -> dict[str, Any]:
    renamed = {"filename": "file_name"}
    result = {renamed.get(name, name): value for name, value in entry.items() if name != "text"}
    if isinstance(entry.get("text"), str):
        result["content"] = [{"type": "text", "text": entry["text"]}]
    return result


def _list(item: Item, name: str) -> list[Item]:
    found = item.get(name)
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def _is_text(part: Item) -> bool:
    return isinstance(part.get("text"), str) and "image_url" not in part


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
