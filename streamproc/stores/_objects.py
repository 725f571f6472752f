"""The rows of runs, steps and messages: the newest state of each object, and the columns that people ask for.

A row moves forwards only. Of one stream the higher (epoch, revision) is the newer one; epochs of two streams cannot be
compared, revisions of one object can. An object that ended stays ended, with the status it has, whoever writes.
"""

from typing import Any, Final

import msgspec
from msgspec import Struct

from streamproc.columns import COLUMNS, TABLE_OF, tools_of, values_of
from streamproc.core.change import Change
from streamproc.core.stored import shape_of
from streamproc.errors import StoreError

__all__ = [
    "GROW",
    "LARGE_BYTES",
    "UPSERT",
    "StateRow",
    "growth_of",
    "row_of",
    "state_row",
]

LARGE_BYTES: Final = 16 * 1024
"""A state that is larger is not written each time that text comes for it; see _growing.py."""

_STATE_COLUMNS: Final = (
    *("inferred_status", "truncated", "ended", "state", "shape", "revision", "stream", "epoch", "provisional"),
    *("growing", "first_position", "position", "updated_at"),
)


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


def growth_of(state: StateRow, position: int) -> dict[str, object]:
    """The values for `GROW`."""
    change = state.change
    tools = tools_of(state.wire) if change.kind == "step" else "[]"
    return {
        "id": change.id,
        "tools": tools,
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
    return (
        *values_of(change, state.wire),
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
