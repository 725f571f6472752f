"""The state of one object while deltas arrive: a tree that can be read as of any revision.

Four kinds of node. `TextBuffer` grows by appending, `Cell` holds values that replace one another, `Node` is a JSON
object and `Slots` a JSON list whose entries have an index. Nothing is ever overwritten: each change is noted with the
revision that made it, so a view is no more than (tree, revision), costs nothing to make, and stays true whatever comes
later.

Which rule applies to which field is not known here; see merge.py.
"""

from array import array
from bisect import bisect_right, insort
from collections.abc import Mapping
from itertools import accumulate, islice
from typing import Any, Final, TypeAlias

__all__ = ["ABSENT", "COMPACT_AT", "Cell", "Child", "Growing", "Node", "Slots", "TextBuffer", "growing_texts"]


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()
"""The value of a key that is not there, which differs from null."""

COMPACT_AT: Final = 256  # fragments held one by one before they are joined into a block


class TextBuffer:
    """Text that grows. Fragments are joined in blocks, so that a fragment costs its characters and two numbers."""

    __slots__ = ("_blocks", "_cache", "_ends", "before", "born", "parts", "revs")

    def __init__(self, first: str, born: int = 0, before: Any = ABSENT) -> None:
        self.before = before  # what stood in its place until `born`: a plain value or a node
        self.parts = [first]  # fragments since the last block
        self.born = born
        self.revs = array("Q", (born,))  # revision of each fragment, of all blocks too
        self._blocks: list[str] = []
        self._ends: array[int] | None = None  # length of the text after each fragment inside blocks
        self._cache: tuple[int, str] = (0, "")

    def append(self, text: str, rev: int) -> None:
        self.parts.append(text)
        self.revs.append(rev)
        if len(self.parts) >= COMPACT_AT:
            self.compact()

    def compact(self) -> None:
        """Join the loose fragments into one block."""
        if self._ends is None:
            self._ends = array("Q")
        start = self._ends[-1] if self._ends else 0
        self._ends.extend(islice(accumulate(map(len, self.parts), initial=start), 1, None))
        self._blocks.append("".join(self.parts))
        self.parts.clear()

    def at(self, rev: int) -> Any:
        count = bisect_right(self.revs, rev)
        if not count:
            return _at(self.before, rev)
        cached, text = self._cache
        if count == cached:
            return text
        blocked = len(self.revs) - len(self.parts)
        if self._ends is not None and count < blocked:
            return "".join(self._blocks)[: self._ends[count - 1]]
        if blocked <= cached < count:
            text += "".join(self.parts[cached - blocked : count - blocked])
        else:
            text = "".join([*self._blocks, *self.parts[: count - blocked]])
        self._cache = (count, text)
        return text

    def latest(self) -> str:
        text: str = self.at(self.revs[-1])
        return text

    def equals(self, value: str) -> bool:
        """Whether the whole text is `value`; joins nothing when the lengths differ."""
        length = (self._ends[-1] if self._ends else 0) + sum(map(len, self.parts))
        return length == len(value) and self.latest() == value


class Cell:
    """A value and what it was before."""

    __slots__ = ("_history", "before", "born")

    def __init__(self, before: Any) -> None:
        self.before = before  # a plain value, or the node whose place this takes
        self.born = 0  # revision of the first value that was set
        self._history: list[tuple[int, Any]] = []

    def set(self, value: Any, rev: int) -> None:
        if not self._history:
            self.born = rev
        self._history.append((rev, value))

    def at(self, rev: int) -> Any:
        for since, value in reversed(self._history):
            if since <= rev:
                return value
        return _at(self.before, rev)

    def latest(self) -> Any:
        return self._history[-1][1] if self._history else self.before

    def since(self) -> int:
        """The revision of the current value."""
        return self._history[-1][0]


class Node:
    """A JSON object: `static` as it was when the node was made, `live` the members that changed since."""

    __slots__ = ("before", "born", "live", "static")

    def __init__(self, static: Mapping[str, Any], born: int = 0, before: Any = ABSENT) -> None:
        self.static = dict(static)
        self.live: dict[str, Child] = {}
        self.born = born  # first revision at which the object is there
        self.before = before  # what stood in its place until then: a plain value or a node

    def at(self, rev: int) -> Any:
        if rev < self.born:
            return _at(self.before, rev)
        out = dict(self.static)
        for name, child in self.live.items():
            value = child.at(rev)
            if value is not ABSENT:
                out[name] = value
        return out

    def latest(self, name: str) -> Any:
        """The current value of a member: a node if it changed and is an object, list or text; or ABSENT."""
        child = self.live.get(name)
        if child is None:
            return self.static.get(name, ABSENT)
        return child.latest() if isinstance(child, Cell) else child

    def standing(self, name: str) -> tuple[int, Any]:
        """Since when a member has its current value, and what tells the values before: its cell, or nothing."""
        child = self.live.get(name)
        return (child.since(), child) if isinstance(child, Cell) else (0, ABSENT)

    def replaced(self, name: str) -> Any:
        """What a new node that takes a member's place must keep, to answer for the revisions before it."""
        return self.live.get(name) or self.static.get(name, ABSENT)


class Slots:
    """A JSON list whose entries are addressed by a logical index that need not be dense or in order."""

    __slots__ = ("before", "born", "entries", "ids", "moved", "order")

    def __init__(self, base: list[Any], born: int = 0, before: Any = ABSENT) -> None:
        self.born = born
        self.before = before
        self.entries: dict[int, Node | Cell] = {}
        self.order: list[int] = []
        self.ids: dict[str, int] = {}  # id -> index
        self.moved: dict[int, int] = {}  # an index that a second call claimed -> where that call went
        for index, item in enumerate(base):  # a snapshot's entries carry no index: the position is the index
            self.add(index, Node(item) if isinstance(item, dict) else Cell(item))
            if isinstance(item, dict):
                self.learn_id(index, item.get("id"))

    def add(self, index: int, entry: Node | Cell) -> None:
        self.entries[index] = entry
        insort(self.order, index)

    def learn_id(self, index: int, value: object) -> None:
        if isinstance(value, str) and value:
            self.ids.setdefault(value, index)

    def at(self, rev: int) -> Any:
        if rev < self.born:
            return _at(self.before, rev)
        entries = self.entries
        values = [entries[index].at(rev) for index in self.order]
        return [value for value in values if value is not ABSENT]


Child: TypeAlias = TextBuffer | Cell | Node | Slots


def _at(value: Any, rev: int) -> Any:
    """A value as of a revision, be it plain or a node. A loop, since one node may have replaced another many times."""
    while isinstance(value, (TextBuffer, Cell, Node, Slots)):
        if rev >= value.born:
            return value.at(rev)
        value = value.before
    return value


Growing: TypeAlias = tuple[tuple[str | int, ...], TextBuffer]
"""Where a text that can grow stands, as member names and list positions, and the text."""


def growing_texts(node: Node, rev: int, path: tuple[str | int, ...] = ()) -> list[Growing]:
    """Find all texts in a tree that are there as of a revision."""
    found: list[Growing] = []
    for name, child in node.live.items():
        place = (*path, name)
        if isinstance(child, TextBuffer):
            found.append((place, child))
        elif isinstance(child, Node):
            found += growing_texts(child, rev, place)
        elif isinstance(child, Slots):
            there = [entry for entry in map(child.entries.__getitem__, child.order) if entry.at(rev) is not ABSENT]
            for position, entry in enumerate(there):
                if isinstance(entry, Node):
                    found += growing_texts(entry, rev, (*place, position))
    return found
