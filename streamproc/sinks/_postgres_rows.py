"""From a batch of changes to the rows of its objects: the newest state of each, as a line of COPY's text format.

All of it is done in the event loop, before anything is awaited, for a change is a view of what the processor goes on
building.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from streamproc.columns import values_of
from streamproc.core.change import Change
from streamproc.sinks._postgres_schema import OWN
from streamproc.sinks._postgres_text import holdable_json, holdable_numbers, holdable_text

__all__ = ["Row", "Unholdable", "rows_of"]

Unholdable: TypeAlias = Literal["replace", "reject"]
"""What becomes of an object that says what PostgreSQL cannot hold. replace: U+FFFD stands for the character, a string
for the number · reject: its changes are rejected."""

_INTEGER_MAX: Final = 2**63 - 1  # what `bigint` holds
_NULL: Final = "\\N"
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


class Row(Struct, gc=False):
    """One object of a batch."""

    kind: str
    changes: list[Change]  # all that the batch has of it
    columns: bytes  # the line up to its state
    wire: bytes
    is_altered: bool  # something was replaced

    @property
    def line(self) -> bytes:
        wire = self.wire
        for byte, escaped in ((b"\\", b"\\\\"), (b"\n", b"\\n"), (b"\r", b"\\r"), (b"\t", b"\\t")):
            if byte in wire:
                wire = wire.replace(byte, escaped)
        return self.columns + wire + b"\n"

    def with_holdable_numbers(self) -> "Row | None":
        """The same with strings for numbers that cannot be held; None if there are none."""
        wire = holdable_numbers(self.wire)
        return None if wire == self.wire else msgspec.structs.replace(self, wire=wire, is_altered=True)


def rows_of(batch: Sequence[Change], unholdable: Unholdable) -> tuple[list[Row], list[Change]]:
    """Return the rows of a batch, in the order in which their objects come in it, and the changes that have none.

    Errors and anomalies are no objects: they are in neither.
    """
    rows: list[Row] = []
    rejected: list[Change] = []
    for newest, changes in _by_object(batch):
        try:
            row = _row(newest, changes)
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
            row = None
        if row is None or (row.is_altered and unholdable == "reject"):
            rejected += changes
        else:
            rows.append(row)
    return rows, rejected


def _by_object(batch: Sequence[Change]) -> Iterable[tuple[Change, list[Change]]]:
    """The newest change of each object, and all of its changes.

    An object is what has one key in the table: two statements about one row would be an error.
    """
    newest: dict[tuple[str, str], Change] = {}
    changes: dict[tuple[str, str], list[Change]] = {}
    for change in batch:
        kind = change.kind
        if kind == "error" or kind == "anomaly":
            continue
        key = kind, holdable_text(change.id)
        known = newest.get(key)
        if known is None:
            newest[key] = change
            changes[key] = [change]
        else:
            changes[key].append(change)
            if _is_newer(change, known):
                newest[key] = change
    return zip(newest.values(), changes.values(), strict=True)


def _is_newer(new: Change, old: Change) -> bool:
    """The guard of the tables, within a batch."""
    if old.note.ended and not new.note.ended:
        return False
    if new.stream == old.stream:
        return (new.epoch, new.revision) > (old.epoch, old.revision)
    return new.revision > old.revision or new.note.ended > old.note.ended


def _row(change: Change, changes: list[Change]) -> Row | None:
    """None where a number of the change's own is beyond all bounds."""
    if change.revision > _INTEGER_MAX or change.epoch > _INTEGER_MAX:
        return None
    told = change.body.wire(change.revision)
    wire = holdable_json(told)
    values, note = values_of(change, wire), change.note
    columns, is_altered = _columns(
        [
            change.kind,
            *[values.get(name) for name in OWN],
            *(note.inferred_status, int(note.truncated), int(note.ended)),
            *(change.revision, change.stream, change.epoch, change.at),
        ]
    )
    return Row(change.kind, changes, columns, wire, is_altered or wire is not told)


def _columns(values: list[Any]) -> tuple[bytes, bool]:
    """Values with a tab after each, and whether something in them was replaced."""
    line = "\t".join([value if type(value) is str else _NULL if value is None else str(value) for value in values])
    if (
        line.count("\t") == len(values) - 1
        and line.count("\\") == values.count(None)
        and line.replace("\t", "").isprintable()
    ):
        return b"%b\t" % line.encode(), False
    held = [holdable_text(value) if isinstance(value, str) else value for value in values]
    texts = [_NULL if value is None else str(value).translate(_ESCAPES) for value in held]
    return b"%b\t" % "\t".join(texts).encode(), held != values
