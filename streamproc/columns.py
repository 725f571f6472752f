"""What people query objects by: the columns of the tables of runs, steps and messages, and their values.

The SQLite store and the PostgreSQL sink have the same tables, so a query that works on one works on the other. What an
object says under a name counts only if it has the column's type; anything else is null there and kept in its state.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from streamproc.core.change import Change
from streamproc.core.events import snapshot_kind

__all__ = ["COLUMNS", "TABLE_OF", "is_snapshot", "status_of", "tools_of", "values_of"]

TABLE_OF: Final = {"run": "runs", "step": "steps", "message": "messages"}
COLUMNS: Final = {
    "run": (
        *("id", "thread_id", "assistant_id", "model", "status", "created_at", "started_at", "completed_at"),
        *("error_code", "total_tokens"),
    ),
    "step": (
        *("id", "run_id", "thread_id", "assistant_id", "type", "tools", "status", "created_at", "completed_at"),
        *("error_code", "total_tokens"),
    ),
    "message": ("id", "run_id", "thread_id", "assistant_id", "role", "status", "created_at", "completed_at"),
}
"""Kind of object -> the columns of its own."""


def is_snapshot(change: Change) -> bool:
    """Whether a change is its object itself, as the server said it, and not what follows from another event."""
    return snapshot_kind(change.event) == change.kind


def status_of(change: Change, data: dict[str, Any]) -> str | None:
    """The status that governs, as the reducer sees it; None when the change says nothing of it."""
    return _status(change, data.get("status"))


def values_of(change: Change, wire: bytes) -> dict[str, Any]:
    """The values of the columns of an object's kind, by name; `wire` is the object's JSON after the change."""
    kind, said = change.kind, _said(wire)
    values: dict[str, Any] = {
        "id": change.id,
        "run_id": change.run_id,
        "thread_id": change.thread_id,
        "assistant_id": _text(said.assistant_id),
        "status": _status(change, said.status),
        "created_at": _number(said.created_at),
        "completed_at": _number(said.completed_at),
    }
    if kind == "message":
        values["role"] = _text(said.role)
        return values
    values["error_code"] = None if said.last_error is None else _text(said.last_error.code)
    values["total_tokens"] = None if said.usage is None else _integer(said.usage.total_tokens)
    if kind == "run":
        values["model"] = _text(said.model)
        values["started_at"] = _number(said.started_at)
    else:
        values["type"] = _text(said.type)
        values["tools"] = _tools(said)
    return values


def tools_of(wire: bytes) -> str:
    """What a step calls, as a JSON list: functions by their name, anything else by its type."""
    return _tools(_said(wire))


class _Function(Struct, gc=False):
    name: Any = None


class _Call(Struct, gc=False):
    type: Any = None
    function: _Function | None = None


class _Details(Struct, gc=False):
    tool_calls: list[_Call] | None = None


class _Error(Struct, gc=False):
    code: Any = None


class _Usage(Struct, gc=False):
    total_tokens: Any = None


class _Said(Struct, gc=False):
    """What an object says for its columns, as far as it has the usual shape; all else is passed over."""

    assistant_id: Any = None
    model: Any = None
    role: Any = None
    type: Any = None
    status: Any = None
    created_at: Any = None
    started_at: Any = None
    completed_at: Any = None
    last_error: _Error | None = None
    usage: _Usage | None = None
    step_details: _Details | None = None


_decode: Final = msgspec.json.Decoder(_Said).decode


def _said(wire: bytes) -> _Said:
    try:
        return _decode(wire)
    except msgspec.ValidationError:  # something is no object or list where one is usual: without that, then
        data = msgspec.json.decode(wire)
        plain = {name: data.get(name) for name in _Said.__struct_fields__[:-3]}
        calls = _member(data.get("step_details"), "tool_calls")
        return _Said(
            **plain,
            last_error=_Error(_member(data.get("last_error"), "code")),
            usage=_Usage(_member(data.get("usage"), "total_tokens")),
            step_details=_Details(
                [
                    _Call(_member(call, "type"), _Function(_member(_member(call, "function"), "name")))
                    for call in (calls if isinstance(calls, list) else ())
                ]
            ),
        )


def _status(change: Change, said: object) -> str | None:
    if isinstance(said, str):
        return said
    named = change.event.rpartition(".")[2]
    return named if is_snapshot(change) and named != "created" else None


def _tools(said: _Said) -> str:
    names: list[str] = []
    calls = None if said.step_details is None else said.step_details.tool_calls
    for call in calls or ():
        name = (None if call.function is None else _text(call.function.name)) or _text(call.type)
        if name and name not in names:
            names.append(name)
    return msgspec.json.encode(names).decode() if names else "[]"


def _member(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and abs(value) < 2**53 else None


def _integer(value: object) -> int | None:
    return value if type(value) is int and abs(value) < 2**63 else None
