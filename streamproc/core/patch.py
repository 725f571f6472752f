"""Patch: what a translating dialect says of one object, when its wire never sends the whole of it.

The protocols that are translated into the canonical vocabulary close a step without repeating its text, send the usage
after the last step, and a tool's output in a later run. A patch names what is new; the reducer, which alone has the
rest, makes the complete snapshot of it. So a dialect keeps no text, and whoever reads the changes gets events that are
whole.

A step whose metadata says `awaiting: "output"` (or "approval") waits for the outputs of its tool calls. They are found
by the id of the call, whatever run they come in.
"""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

__all__ = ["APPROVAL", "AWAITING", "OUTPUT", "Patch", "answered", "awaited_calls", "patched"]

AWAITING: Final = "awaiting"
"""Key in a step's metadata: what the step waits for."""

OUTPUT: Final = "output"
"""Its value while the outputs of tool calls are to come."""

APPROVAL: Final = "approval"
"""Its value while somebody is to allow the tool calls; the answer is their output."""

_MERGED: Final = ("metadata", "extras")


class Patch(Struct, frozen=True, kw_only=True):
    """The `data` of an event that carries no complete object, though its name is that of a snapshot.

    Without a status among its members the event is named after the status that the object has.

    With `call_id` it is the output of a tool call: it goes to the newest open step that waits for it, in this run, else
    in this thread; the step is completed once all its calls are answered, whatever the event's name says.
    """

    id: str = ""  # of the object
    members: Mapping[str, Any] = {}
    """New values of members; all others stay. Those of `metadata` and `extras` are merged key by key, null removes."""
    defaults: Mapping[str, Any] = {}
    """Of an object that appears: values for members it does not have. It may be known from another connection, and then
    keeps what it has, unless the stream starts again from its beginning."""
    begins: bool = False
    """The object is told from its beginning: what was said of it so far is replaced, if it has not ended."""
    call_id: str = ""
    output: str = ""  # of that call
    is_own: bool = False  # only a call of this run is meant


def patched(state: Mapping[str, Any], members: Mapping[str, Any]) -> dict[str, Any]:
    """The object after a patch, as plain JSON data."""
    new = {**state, **members}
    for name in _MERGED:
        old, more = state.get(name), members.get(name)
        if isinstance(more, dict):
            both = {**old, **more} if isinstance(old, dict) else more
            new[name] = {key: value for key, value in both.items() if value is not None}
    return new


def awaited_calls(step: Mapping[str, Any]) -> tuple[str, ...]:
    """The ids of the tool calls whose outputs a step waits for; none if it does not."""
    metadata = step.get("metadata")
    if not isinstance(metadata, dict) or metadata.get(AWAITING) not in (OUTPUT, APPROVAL):
        return ()
    return tuple(call["id"] for call in _calls(step) if isinstance(call.get("id"), str) and not _has_output(call))


def answered(step: Mapping[str, Any], call_id: str, output: str) -> dict[str, Any]:
    """The members of a step that change when the output of one of its calls arrived."""
    calls = [_with_output(call, output) if call.get("id") == call_id else call for call in _calls(step)]
    details = {**step["step_details"], "tool_calls": calls}
    if any(not _has_output(call) for call in calls):
        return {"step_details": details}
    return {"step_details": details, "status": "completed", "metadata": {AWAITING: None}}


def _calls(step: Mapping[str, Any]) -> list[dict[str, Any]]:
    details = step.get("step_details")
    calls = details.get("tool_calls") if isinstance(details, dict) else None
    return [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []


def _has_output(call: Mapping[str, Any]) -> bool:
    function = call.get("function")
    return isinstance(function, dict) and function.get("output") is not None


def _with_output(call: Mapping[str, Any], output: str) -> dict[str, Any]:
    function = call.get("function")
    return {**call, "function": {**(function if isinstance(function, dict) else {}), "output": output}}
