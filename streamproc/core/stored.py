"""What a store keeps of an object, so that a reducer can go on with it: its JSON, and how that has grown.

JSON alone does not say under which indexes deltas know the entries of a list, nor which members grew at all, and both
decide what the next event does. The *shape* of a tree says it, and nothing else: it follows the tree through what has
grown, as JSON. A text is 1, a value that was exchanged 0, an object its grown members, a list its indexes, the indexes
that were moved, and its entries.
"""

from collections.abc import Iterator
from typing import Any, Final, TypeAlias, cast

import msgspec
from msgspec import Struct

from streamproc.core.body import Body, Kind
from streamproc.core.change import Note
from streamproc.core.tree import Cell, Grown, Node, Slots, TextBuffer

__all__ = ["StoredObject", "grow", "shape_of"]

_Shape: TypeAlias = Any

_TEXT: Final = 1
_VALUE: Final = 0


class StoredObject(Struct, frozen=True, kw_only=True):
    """The stored state of one Run, RunStep or Message of a run that has not ended, from which a reducer goes on."""

    kind: Kind
    id: str
    run_id: str | None
    thread_id: str | None
    wire: bytes  # its complete JSON as of `revision`
    revision: int
    stream: str  # which last spoke of it, and in which epoch
    epoch: int
    status: str | None
    provisional: bool  # made for a delta, before any snapshot
    note: Note
    shape: bytes = b""  # how deltas have grown it, as `shape_of` says; b"" when they have not


def shape_of(body: Body, rev: int) -> bytes:
    """Return the shape of what deltas have grown as of a revision; b"" when that is nothing."""
    tree = body.tree
    return b"" if tree is None or rev < body.grown_at else msgspec.json.encode(_shape(tree, rev))


def grow(body: Body, shape: bytes, rev: int) -> int:
    """Give a body, whose JSON is that of a revision, the tree that a shape describes.

    Returns:
        How many characters of text are in it.
    """
    tree: Node = _grown(msgspec.json.decode(body.raw), msgspec.json.decode(shape))
    tree.members = {name: value for name, value in tree.members.items() if isinstance(value, Grown)}
    body.tree, body.grown_at = tree, rev + 1
    return sum(map(len, _texts(tree)))


def _shape(value: Grown, rev: int) -> _Shape:
    """None for what was a plain value then."""
    now: Any = value
    while rev < now.born:
        now = now.before
        if not isinstance(now, Grown):
            return None
    if isinstance(now, TextBuffer):
        return _TEXT
    if isinstance(now, Cell):
        return _VALUE
    if isinstance(now, Slots):
        entries = [(index, entry) for index, entry in now.entries.items() if entry.born <= rev]
        entries.sort(key=_index)
        shapes = [_shape(entry, rev) for _, entry in entries]
        return [[index for index, _ in entries], [*now.moved.items()], shapes]
    members: dict[str, _Shape] = {}
    for name, member in cast(Node, now).members.items():
        if isinstance(member, Grown) and (shape := _shape(member, rev)) is not None:
            members[name] = shape
    return members


def _index(entry: tuple[int, object]) -> int:
    return entry[0]


def _grown(value: Any, shape: _Shape) -> Any:
    if isinstance(shape, dict):
        return Node({name: _grown(member, shape[name]) if name in shape else member for name, member in value.items()})
    if isinstance(shape, list):
        indexes, moved, shapes = shape
        slots = Slots([])
        for index, item, entry in zip(indexes, value, shapes, strict=True):
            slots.add(index, _grown(item, entry))
            if isinstance(item, dict):
                slots.learn_id(index, item.get("id"))
        if moved:
            slots.moved = dict(moved)
        return slots
    if shape == _TEXT:
        return TextBuffer(value)
    cell = Cell(None)
    cell.set(value, 0)
    return cell


def _texts(value: Grown) -> Iterator[str]:
    if isinstance(value, TextBuffer):
        yield value.latest()
    members = (
        value.members.values() if isinstance(value, Node) else value.in_order() if isinstance(value, Slots) else ()
    )
    for member in members:
        if isinstance(member, Grown):
            yield from _texts(member)
