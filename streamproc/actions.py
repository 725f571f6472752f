"""What a run in `requires_action` asks for, with its arguments parsed: the half of the tool loop that is data.

A run stops until somebody runs its tools (or, on Azure, approves of calls that the service will make) and opens the
next stream of the same run with the outcome. `required_action_of` reads what is asked for off the run; a `Submit` is
the user's answer. Reading that stream and going on with the same run is the pipeline's part.

Arguments are text a model wrote. They may be no JSON at all, so nothing here raises: a call says what is wrong with it.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from streamproc.model.run import Run, SubmitTools
from streamproc.model.wire import from_wire
from streamproc.protocols import Source

__all__ = ["RequiredAction", "RequiredCall", "Submit", "required_action_of"]

_KINDS: Final[Mapping[str, Literal["outputs", "approvals"]]] = {
    "submit_tool_outputs": "outputs",
    "submit_tool_approval": "approvals",
}


class RequiredCall(Struct, frozen=True, kw_only=True):
    """One call that the run waits for."""

    id: str  # what its output or approval refers to; "" when the server gave none
    type: str  # "function" | "mcp" | "computer_use_preview" | whatever the server sends
    name: str  # of the function; "" when there is none
    arguments: Any  # parsed; None when they are no JSON, see `problem`
    arguments_json: str  # as the model wrote them
    problem: str | None = None  # why the call cannot be made as it stands; sizes, never content


class RequiredAction(Struct, frozen=True, kw_only=True):
    """What a run waits for. All calls must be answered together, in one request."""

    run: Run
    calls: tuple[RequiredCall, ...]
    kind: Literal["outputs", "approvals"] = "outputs"  # run the tools, or approve of calls the service will make


Submit: TypeAlias = Callable[[RequiredAction], Source | Awaitable[Source]]
"""Answers an action: returns the source of the run's next stream, the response to the submitted outputs."""


def required_action_of(run: Run) -> RequiredAction | None:
    """Return what a run waits for; None unless it requires an action and says which calls it is about."""
    action = run.required_action
    if run.status != "requires_action" or not isinstance(action, Struct):
        return None
    for member, kind in _KINDS.items():
        wanted = getattr(action, member)
        if isinstance(wanted, SubmitTools) and isinstance(wanted.tool_calls, tuple):
            return RequiredAction(run=run, calls=tuple(map(_call, wanted.tool_calls)), kind=kind)
    return None


class _Payload(Struct, frozen=True):
    """Where the name and the arguments of a call stand, whatever its type."""

    name: str | None = None
    arguments: Any = None


def _call(call: Any) -> RequiredCall:
    members = call if isinstance(call, dict) else msgspec.to_builtins(call)
    id, type = _text(members.get("id")), _text(members.get("type"))
    payload = members.get(type)  # an mcp call has no object of its own: name and arguments stand on the call
    if type == "computer_use_preview" and isinstance(payload, dict):
        payload = {"name": type, "arguments": payload}
    found = from_wire(_Payload, payload if isinstance(payload, dict) else members)
    written = found.arguments
    if isinstance(written, dict | list):  # an object where text belongs: some servers do
        text, parsed, problem = msgspec.json.encode(written).decode(), written, None
    else:
        text = _text(written)
        parsed, problem = _parse(text)
    if not id:
        problem = "a call without an id cannot be answered"
    elif not found.name:
        problem = "a call without a name"
    return RequiredCall(id=id, type=type, name=found.name or "", arguments=parsed, arguments_json=text, problem=problem)


def _parse(text: str) -> tuple[Any, str | None]:
    """The JSON value and what is wrong with it. Models write no arguments as an empty text too."""
    if not text.strip():
        return {}, None
    try:
        return msgspec.json.decode(text), None
    except (ValueError, RecursionError):  # a msgspec.DecodeError is a ValueError
        return None, f"the arguments are no JSON ({len(text)} characters)"


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
