"""What people query objects by: the columns of the tables of runs, steps and messages, and their values.

The SQLite store and the PostgreSQL sink have the same tables, so a query that works on one works on the other. What an
object says under a name counts only if it has the column's type; anything else is null there and kept in its state.
"""

import sys
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
    status = data.get("status")
    return status if isinstance(status, str) else _status_named(change)


def values_of(change: Change, wire: bytes) -> tuple[str | float | None, ...]:
    """The values of the columns of an object's kind, in their order; `wire` is the object's JSON after the change."""
    body, said = change.body, _said(wire)
    kind, status = body.kind, said.status
    if status is None:
        status = _status_named(change)
    created_at, completed_at = _time(said.created_at), _time(said.completed_at)
    if kind == "message":
        return body.id, body.run_id, body.thread_id, said.assistant_id, said.role, status, created_at, completed_at
    code = None if said.last_error is None else said.last_error.code
    tokens = None if said.usage is None else said.usage.total_tokens
    if tokens is not None and abs(tokens) >= 2**63:
        tokens = None
    if kind == "step":
        return (
            *(body.id, body.run_id, body.thread_id, said.assistant_id, said.type, _tools(said), status),
            *(created_at, completed_at, code, tokens),
        )
    return (
        *(body.id, body.thread_id, said.assistant_id, said.model, status),
        *(created_at, _time(said.started_at), completed_at, code, tokens),
    )


def tools_of(wire: bytes) -> str:
    """What a step calls, as a JSON list: functions by their name, anything else by its type."""
    return _tools(_said(wire))


class _Function(Struct, gc=False):
    name: str | None = None


class _Call(Struct, gc=False):
    type: str | None = None
    function: _Function | None = None


class _Details(Struct, gc=False):
    tool_calls: list[_Call] | None = None


class _Error(Struct, gc=False):
    code: str | None = None


class _Usage(Struct, gc=False):
    total_tokens: int | None = None


class _Said(Struct, gc=False):
    """What an object says for its columns, each of the column's type; all else is passed over."""

    assistant_id: str | None = None
    model: str | None = None
    role: str | None = None
    type: str | None = None
    status: str | None = None
    created_at: float | None = None
    started_at: float | None = None
    completed_at: float | None = None
    last_error: _Error | None = None
    usage: _Usage | None = None
    step_details: _Details | None = None


_decode: Final = msgspec.json.Decoder(_Said).decode


def _said(wire: bytes) -> _Said:
    try:
        return _decode(wire)
    except msgspec.ValidationError:  # something has another type than is usual: all of it by hand, without that
        return _said_oddly(msgspec.json.decode(wire))


def _said_oddly(data: dict[str, Any]) -> _Said:
    calls = _member(data.get("step_details"), "tool_calls")
    tokens = _member(data.get("usage"), "total_tokens")
    return _Said(
        assistant_id=_text(data.get("assistant_id")),
        model=_text(data.get("model")),
        role=_text(data.get("role")),
        type=_text(data.get("type")),
        status=_text(data.get("status")),
        created_at=_number(data.get("created_at")),
        started_at=_number(data.get("started_at")),
        completed_at=_number(data.get("completed_at")),
        last_error=_Error(_text(_member(data.get("last_error"), "code"))),
        usage=_Usage(tokens if type(tokens) is int else None),
        step_details=_Details(
            [
                _Call(_text(_member(call, "type")), _Function(_text(_member(_member(call, "function"), "name"))))
                for call in (calls if isinstance(calls, list) else ())
            ]
        ),
    )


def _tools(said: _Said) -> str:
    calls = None if said.step_details is None else said.step_details.tool_calls
    if not calls:
        return "[]"
    names: list[str] = []
    for call in calls:
        name = (None if call.function is None else call.function.name) or call.type
        if name and name not in names:
            names.append(name)
    return msgspec.json.encode(names).decode()


def _status_named(change: Change) -> str | None:
    named = change.event.rpartition(".")[2]
    return named if is_snapshot(change) and named != "created" else None


def _time(value: float | None) -> float | None:
    return value if value is not None and abs(value) < 2**53 else None


def _member(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool) or abs(value) > sys.float_info.max:
        return None  # whole numbers of JSON may be longer than any float
    return float(value)
