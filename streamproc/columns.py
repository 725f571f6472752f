"""What people query objects by: the columns of the tables of runs, steps and messages, and their values.

The SQLite store and the PostgreSQL sink have the same tables, so a query that works on one works on the other. What an
object says under a name counts only if it has the column's type; anything else is null there and kept in its state.
"""

from typing import Any, Final

import msgspec

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
    if isinstance(status, str):
        return status
    named = change.event.rpartition(".")[2]
    return named if is_snapshot(change) and named != "created" else None


def values_of(change: Change, data: dict[str, Any]) -> dict[str, Any]:
    """The values of the columns of an object's kind, by name; `data` is the object after the change."""
    found: dict[str, Any] = {
        "id": change.id,
        "run_id": change.run_id,
        "thread_id": change.thread_id,
        "status": status_of(change, data),
        "tools": msgspec.json.encode(tools_of(data)).decode(),
        "error_code": _text(_member(data.get("last_error"), "code")),
        "total_tokens": _integer(_member(data.get("usage"), "total_tokens")),
    }
    for name in COLUMNS[change.kind]:
        if name not in found:
            found[name] = _number(data.get(name)) if name.endswith("_at") else _text(data.get(name))
    return found


def tools_of(data: dict[str, Any]) -> list[str]:
    """What a step calls: functions by their name, anything else by its type."""
    calls = _member(data.get("step_details"), "tool_calls")
    names: list[str] = []
    for call in calls if isinstance(calls, list) else ():
        name = _text(_member(_member(call, "function"), "name")) or _text(_member(call, "type"))
        if name and name not in names:
            names.append(name)
    return names


def _member(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and abs(value) < 2**53 else None


def _integer(value: object) -> int | None:
    return value if type(value) is int and abs(value) < 2**63 else None
