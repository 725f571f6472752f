"""The rows of runs, steps and messages: the newest state of each object, and the columns that people ask for.

A row moves forwards only. Of one stream the higher (epoch, revision) is the newer one; epochs of two streams cannot be
compared, revisions of one object can. An object that ended stays ended, with the status it has, whoever writes.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from streamproc.core.change import Change
from streamproc.core.events import snapshot_kind
from streamproc.core.stored import shape_of
from streamproc.errors import StoreError
from streamproc.stores._schema import TABLE_OF

__all__ = [
    "COLUMNS",
    "GROW",
    "LARGE_BYTES",
    "UPSERT",
    "StateRow",
    "growth_of",
    "is_snapshot",
    "row_of",
    "state_row",
    "status_of",
]

LARGE_BYTES: Final = 16 * 1024
"""A state that is larger is not written each time that text comes for it; see _growing.py."""

_STATE_COLUMNS: Final = (
    *("inferred_status", "truncated", "ended", "state", "shape", "revision", "stream", "epoch", "provisional"),
    *("growing", "first_position", "position", "updated_at"),
)
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


def _newer(table: str, stream: str, epoch: str, revision: str) -> str:
    return f"""CASE WHEN {stream} = {table}.stream
        THEN ({epoch}, {revision}) > ({table}.epoch, {table}.revision) ELSE {revision} > {table}.revision"""


def _upsert(kind: str) -> str:
    table, columns = TABLE_OF[kind], (*COLUMNS[kind], *_STATE_COLUMNS)
    kept = {
        "status": f"status = coalesce(excluded.status, {table}.status)",
        "provisional": f"provisional = {table}.provisional AND excluded.provisional",
    }
    changed = [kept.get(name, f"{name} = excluded.{name}") for name in columns if name not in ("id", "first_position")]
    return f"""
        INSERT INTO {table} ({", ".join(columns)}) VALUES ({", ".join("?" * len(columns))})
        ON CONFLICT (id) DO UPDATE SET {", ".join(changed)}
        WHERE {_newer(table, "excluded.stream", "excluded.epoch", "excluded.revision")}
                OR excluded.ended > {table}.ended END
            AND ({table}.ended = 0
                OR excluded.ended = 1 AND coalesce(excluded.status, {table}.status) IS {table}.status)
    """


def _grow(kind: str) -> str:
    tools = "tools = :tools, " if kind == "step" else ""
    return f"""
        UPDATE {TABLE_OF[kind]} SET {tools}state = :state, shape = :shape, revision = :revision, stream = :stream,
            epoch = :epoch, position = :position, updated_at = :updated_at
        WHERE id = :id AND ended = 0 AND truncated = 0 AND inferred_status IS NULL AND growing = :growing
            AND {_newer(TABLE_OF[kind], ":stream", ":epoch", ":revision")} END
    """


UPSERT: Final = {kind: _upsert(kind) for kind in COLUMNS}
"""Kind of object -> the statement that writes its row, of the values that `row_of` gives."""
GROW: Final = {kind: _grow(kind) for kind in ("step", "message")}
"""The same for a row that is there, of which only text has grown: it leaves all indexes as they are."""


class StateRow(Struct, gc=False):
    """The state of an object, ready to be written."""

    change: Change  # the last one that is in it
    wire: bytes
    shape: bytes
    had_snapshot: bool  # since the row was written last

    @property
    def has_only_grown(self) -> bool:
        """Whether nothing but deltas came since the row was written last, and the object is open."""
        return not (self.had_snapshot or self.change.is_final)

    @property
    def is_growing(self) -> bool:
        """Whether the row may fall behind from now on."""
        return len(self.wire) > LARGE_BYTES and not self.change.is_final


def is_snapshot(change: Change) -> bool:
    """Whether a change is its object itself, as the server said it, and not what follows from another event."""
    return snapshot_kind(change.event) == change.kind


def state_row(change: Change, *, had_snapshot: bool) -> StateRow:
    """Encode the state of an object; in the thread that builds it.

    Raises:
        StoreError: it was made by hand, of something that JSON does not know.
    """
    try:
        wire = change.body.wire(change.revision)
        return StateRow(change, wire, shape_of(change.body, change.revision), had_snapshot)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise StoreError("a change cannot be stored: no JSON can be made of its object") from error


def status_of(change: Change, data: dict[str, Any]) -> str | None:
    """The status that governs, as the reducer sees it; None when the change says nothing of it."""
    status = data.get("status")
    if isinstance(status, str):
        return status
    named = change.event.rpartition(".")[2]
    return named if is_snapshot(change) and named != "created" else None


def growth_of(state: StateRow, position: int) -> dict[str, object]:
    """The values for `GROW`."""
    change = state.change
    tools = _tools(msgspec.json.decode(state.wire)) if change.kind == "step" else ()
    return {
        "id": change.id,
        "tools": msgspec.json.encode(tools).decode(),
        "state": state.wire.decode(),
        "shape": state.shape.decode() or None,
        "revision": change.revision,
        "stream": change.stream,
        "epoch": change.epoch,
        "growing": state.is_growing,
        "position": position,
        "updated_at": change.at,
    }


def row_of(state: StateRow, position: int) -> tuple[Any, ...]:
    """The values of a row, in the order of `UPSERT`."""
    change = state.change
    data: dict[str, Any] = msgspec.json.decode(state.wire)
    found: dict[str, Any] = {
        "id": change.id,
        "run_id": change.run_id,
        "thread_id": change.thread_id,
        "status": status_of(change, data),
        "tools": msgspec.json.encode(_tools(data)).decode(),
        "error_code": _text(_member(data.get("last_error"), "code")),
        "total_tokens": _integer(_member(data.get("usage"), "total_tokens")),
    }
    for name in COLUMNS[change.kind]:
        if name not in found:
            found[name] = _number(data.get(name)) if name.endswith("_at") else _text(data.get(name))
    return (
        *(found[name] for name in COLUMNS[change.kind]),
        change.inferred_status,
        change.truncated,
        change.note.ended,
        state.wire.decode(),
        state.shape.decode() or None,
        change.revision,
        change.stream,
        change.epoch,
        not state.had_snapshot,
        state.is_growing,
        position,
        position,
        change.at,
    )


def _tools(data: dict[str, Any]) -> list[str]:
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
