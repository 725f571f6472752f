"""From a batch of changes to the rows of its objects: the newest state of each, as a line of COPY's text format.

All of it is done in the event loop, for a change is a view of what the processor goes on building there; as of its
revision, so it may be read between two awaits.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from streamproc.columns import COLUMNS, values_of
from streamproc.core.change import Change
from streamproc.sinks._postgres_schema import OWN
from streamproc.sinks._postgres_text import holdable_json, holdable_numbers, holdable_text

__all__ = ["Row", "Rows", "Unholdable"]

Unholdable: TypeAlias = Literal["replace", "reject"]
"""What becomes of an object that says what PostgreSQL cannot hold. replace: U+FFFD stands for the character, a string
for the number · reject: its changes are rejected."""

_SLICE: Final = 128  # rows that are sent at once
_NO_ROW: Final = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)
_INTEGER_MAX: Final = 2**63 - 1  # what `bigint` holds
_NULL: Final = "\\N"
# Kind of object -> its line up to the state: what other kinds have of their own is null.
_LINES: Final = {
    kind: "\t".join([kind, *("%s" if name in names else _NULL for name in OWN), *["%s"] * 7, ""])
    for kind, names in COLUMNS.items()
}
_NULLS: Final = {kind: line.count(_NULL) for kind, line in _LINES.items()}
_TABS: Final = len(OWN) + 8
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
        if b"\\" in wire:
            wire = wire.replace(b"\\", b"\\\\")
        if b"\n" in wire or b"\t" in wire or b"\r" in wire:  # between its tokens; in texts they are escaped
            wire = wire.replace(b"\n", b" ").replace(b"\t", b" ").replace(b"\r", b" ")
        return self.columns + wire + b"\n"

    def with_holdable_numbers(self) -> "Row | None":
        """The same with strings for numbers that cannot be held; None if there are none."""
        wire = holdable_numbers(self.wire)
        return None if wire == self.wire else msgspec.structs.replace(self, wire=wire, is_altered=True)


class Rows:
    """The rows of a batch, in the order in which their objects come in it. Errors and anomalies are no objects.

    They are made as they are asked for: the server takes in one slice while the next one is made.

    Attributes:
        kinds: the kinds of objects that may be among them.
        rejected: the changes of objects of which there can be no row, so far.
    """

    def __init__(self, batch: Sequence[Change], unholdable: Unholdable) -> None:
        self._objects = _by_object(batch)
        self._left = iter(self._objects)
        self._unholdable = unholdable
        self._made: list[Row] = []
        self.kinds = tuple(dict.fromkeys(newest.kind for newest, _ in self._objects))
        self.rejected: list[Change] = []

    def lines(self) -> Iterator[bytes]:
        """All of them as lines, in slices; can be gone through again."""
        for start in itertools.count(0, _SLICE):
            while len(self._made) < start + _SLICE and self._make():
                pass
            part = self._made[start : start + _SLICE]
            if not part:
                return
            yield b"".join([row.line for row in part])

    def all(self) -> list[Row]:
        """All of them."""
        while self._make():
            pass
        return self._made

    def _make(self) -> bool:
        """Make one more; returns whether there was an object to make one of."""
        for newest, changes in self._left:
            try:
                row = _row(newest, changes)
            except _NO_ROW:
                row = None
            if row is None or (row.is_altered and self._unholdable == "reject"):
                self.rejected += changes
            else:
                self._made.append(row)
            return True
        return False


def _by_object(batch: Sequence[Change]) -> list[tuple[Change, list[Change]]]:
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
    return [*zip(newest.values(), changes.values(), strict=True)]


def _is_newer(new: Change, old: Change) -> bool:
    """The guard of the tables, within a batch."""
    if old.note.ended and (not new.note.ended or _ends_otherwise(new, old)):
        return False
    if new.stream == old.stream:
        return (new.epoch, new.revision) > (old.epoch, old.revision)
    return new.revision > old.revision or new.note.ended > old.note.ended


def _ends_otherwise(new: Change, old: Change) -> bool:
    status = _status(new)
    return status is not None and status != _status(old)


def _status(change: Change) -> object:
    """None where it says none, or nothing that could be a row."""
    try:
        values = values_of(change, holdable_json(change.body.wire(change.revision)))
    except _NO_ROW:
        return None
    return values[COLUMNS[change.kind].index("status")]


def _row(change: Change, changes: list[Change]) -> Row | None:
    """None where a number of the change's own is beyond all bounds."""
    if change.revision > _INTEGER_MAX or change.epoch > _INTEGER_MAX:
        return None
    told = change.body.wire(change.revision)
    wire = holdable_json(told)
    note = change.note
    columns, is_altered = _columns(
        change.kind,
        (
            *values_of(change, wire),
            *(note.inferred_status, int(note.truncated), int(note.ended)),
            *(change.revision, change.stream, change.epoch, change.at),
        ),
    )
    return Row(change.kind, changes, columns, wire, is_altered or wire != told)


def _columns(kind: str, values: tuple[Any, ...]) -> tuple[bytes, bool]:
    """The line of these values up to the state, and whether something in them was replaced."""
    line = _LINES[kind] % tuple([_NULL if value is None else value for value in values])
    if (
        line.count("\t") == _TABS
        and line.count("\\") == values.count(None) + _NULLS[kind]
        and line.replace("\t", "").isprintable()
    ):
        return line.encode(), False
    held = [holdable_text(value) if isinstance(value, str) else value for value in values]
    texts = [_NULL if value is None else str(value).translate(_ESCAPES) for value in held]
    return (_LINES[kind] % tuple(texts)).encode(), held != [*values]
