"""The state of one object while deltas arrive: a tree that can be read as of any revision.

Four kinds of node. `TextBuffer` grows by appending, `Cell` holds values that replace one another, `Node` is a JSON
object and `Slots` a JSON list whose entries have an index. Nothing is ever overwritten: each change is noted with the
revision that made it, so a view is no more than (tree, revision), costs nothing to make, and stays true whatever comes
later.

Which rule applies to which field is not known here; see merge.py.
"""

from abc import abstractmethod
from array import array
from bisect import bisect_right, insort
from collections.abc import Mapping
from itertools import accumulate, islice
from typing import Any, Final, TypeAlias

__all__ = [
    "ABSENT",
    "COMPACT_AT",
    "FIRST_BLOCK",
    "Cell",
    "Growing",
    "Grown",
    "Node",
    "Slots",
    "TextBuffer",
    "growing_texts",
]


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()
"""The value of a key that is not there, which differs from null."""

FIRST_BLOCK: Final = 16
COMPACT_AT: Final = 256  # fragments held one by one before they are joined into a block; the first blocks are smaller
_LONG: Final = 4096  # characters
_NO_TEXT: Final = (0, "")


class Grown:
    """What a member becomes once it changed: something that can tell its value as of any revision."""

    __slots__ = ("before", "born")

    born: int  # first revision at which it is there
    before: Any  # what stood in its place until then: a plain value or another of these

    @abstractmethod
    def at(self, rev: int) -> Any:
        """The value as of a revision, as plain JSON data."""
        ...


class TextBuffer(Grown):
    """Text that grows. Fragments are joined in blocks, so that a fragment costs its characters and a number or two."""

    __slots__ = ("__weakref__", "_blocks", "_cache", "_ends", "_room", "_rows", "last", "parts")

    def __init__(self, first: str, born: int = 0, before: Any = ABSENT) -> None:
        self.born = born
        self.before = before
        self.parts = [first]  # fragments since the last block
        self.last = born  # revision of the newest fragment
        # Most fragments come one revision after the other. It is noted where such a row starts, and after how many
        # fragments; the first starts with the text.
        self._rows: tuple[array[int], array[int]] | None = None
        self._room = FIRST_BLOCK  # how many fragments are left loose; few at first: most texts are short
        self._blocks: list[str] = []
        self._ends: array[int] | None = None  # length of the text after each fragment inside blocks
        if len(first) > _LONG:  # from a snapshot; it is not worth a copy
            self._blocks, self.parts, self._ends = self.parts, [], array("Q", (len(first),))
        self._cache: tuple[int, str] = _NO_TEXT

    def append(self, text: str, rev: int) -> None:
        self.parts.append(text)
        if rev == self.last + 1 and len(self.parts) < self._room:
            self.last = rev
        else:
            self.grew(rev, rev)

    def grew(self, first: int, last: int) -> None:
        """Take note of fragments that were appended to `parts`, one a revision."""
        if first != self.last + 1:
            if self._rows is None:
                self._rows = array("Q", (self.born,)), array("Q", (0,))
            self._rows[0].append(first)
            blocked = 0 if self._ends is None else len(self._ends)
            self._rows[1].append(blocked + len(self.parts) - (last - first + 1))
        self.last = last
        if len(self.parts) >= self._room:
            self._compact(self._ends)

    def _count_at(self, rev: int, count: int) -> int:
        """How many of the fragments were there as of a revision."""
        if self._rows is None:
            return rev - self.born + 1
        since, counts = self._rows
        row = bisect_right(since, rev)
        return min(counts[row - 1] + rev - since[row - 1] + 1, counts[row] if row < len(counts) else count)

    def _compact(self, ends: "array[int] | None") -> None:
        """Join the loose fragments into one block."""
        if ends is None:
            ends = self._ends = array("Q", [*accumulate(map(len, self.parts))])
        else:
            ends.extend(islice(accumulate(map(len, self.parts), initial=ends[-1]), 1, None))
        self._blocks.append("".join(self.parts))
        self.parts.clear()
        self._room = min(max(len(ends), FIRST_BLOCK), COMPACT_AT)

    def at(self, rev: int) -> Any:
        if rev < self.born:
            return _at(self.before, rev)
        blocked = len(self._ends) if self._ends is not None else 0
        count = blocked + len(self.parts)
        if rev < self.last:
            count = self._count_at(rev, count)
        cached, text = self._cache
        if count == cached:
            return text
        if self._ends is not None and count < blocked:
            return "".join(self._blocks)[: self._ends[count - 1]]
        if blocked <= cached < count:
            text += "".join(self.parts[cached - blocked : count - blocked])
        else:
            text = "".join([*self._blocks, *self.parts[: count - blocked]])
        self._cache = (count, text)
        return text

    def latest(self) -> str:
        text: str = self.at(self.last)
        return text

    def equals(self, value: str) -> bool:
        """Whether the whole text is `value`; joins nothing when the lengths differ."""
        length = (self._ends[-1] if self._ends else 0) + sum(map(len, self.parts))
        return length == len(value) and self.latest() == value


class Cell(Grown):
    """A value and what it was before."""

    __slots__ = ("_history",)

    def __init__(self, before: Any) -> None:
        self.born = 0  # until the first value is set
        self.before = before
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


class Node(Grown):
    """A JSON object: its members are plain values, or what they became when they changed."""

    __slots__ = ("members",)

    def __init__(self, members: Mapping[str, Any], born: int = 0, before: Any = ABSENT) -> None:
        self.born = born
        self.before = before
        self.members = dict(members)

    def at(self, rev: int) -> Any:
        if rev < self.born:
            return _at(self.before, rev)
        out: dict[str, Any] = {}
        for name, value in self.members.items():
            if isinstance(value, Grown):
                value = value.at(rev)
                if value is ABSENT:
                    continue
            out[name] = value
        return out

    def latest(self, name: str) -> Any:
        """The current value of a member: a node if it changed and is an object, list or text; or ABSENT."""
        value = self.members.get(name, ABSENT)
        return value.latest() if isinstance(value, Cell) else value

    def standing(self, name: str) -> tuple[int, Any]:
        """Since when a member has its current value, and what tells the values before: its cell, or nothing."""
        value = self.members.get(name)
        return (value.since(), value) if isinstance(value, Cell) else (0, ABSENT)

    def replaced(self, name: str) -> Any:
        """What a new node that takes a member's place must keep, to answer for the revisions before it."""
        return self.members.get(name, ABSENT)


class Slots(Grown):
    """A JSON list whose entries are addressed by a logical index that need not be dense or in order."""

    __slots__ = ("_first_id", "_ids", "_order", "entries", "moved")

    def __init__(self, base: list[Any], born: int = 0, before: Any = ABSENT) -> None:
        self.born = born
        self.before = before
        self.entries: dict[int, Node | Cell] = {}
        self._order: list[int] | None = None  # the indexes in order, once they came in another one
        self._first_id: tuple[str, int] | None = None  # and its index; most lists have one entry
        self._ids: dict[str, int] | None = None  # all ids, once there are more
        self.moved: dict[int, int] = _NONE_MOVED  # an index that a second call claimed -> where that call went
        for index, item in enumerate(base):  # a snapshot's entries carry no index: the position is the index
            self.add(index, Node(item) if isinstance(item, dict) else Cell(item))
            if isinstance(item, dict):
                self.learn_id(index, item.get("id"))

    def add(self, index: int, entry: Node | Cell) -> None:
        if self._order is None and index < self.last():
            self._order = [*self.entries]
        self.entries[index] = entry
        if self._order is not None:
            insort(self._order, index)

    def move(self, index: int) -> int:
        """Send what claims an index that is taken to the end, now and from now on; returns where that is."""
        if self.moved is _NONE_MOVED:
            self.moved = {}
        self.moved[index] = self.last() + 1
        return self.moved[index]

    def learn_id(self, index: int, value: object) -> None:
        """Note the id of an entry; the first that has it keeps it."""
        if not isinstance(value, str) or not value:
            return
        if self._ids is not None:
            self._ids.setdefault(value, index)
        elif self._first_id is None:
            self._first_id = value, index
        elif self._first_id[0] != value:
            self._ids = dict([self._first_id, (value, index)])

    def index_of(self, id: object) -> int | None:
        """Where the entry with this id is."""
        if self._ids is not None:
            return self._ids.get(id) if isinstance(id, str) else None
        return self._first_id[1] if self._first_id is not None and self._first_id[0] == id else None

    def first(self) -> int:
        """The lowest index; 0 when there is none."""
        return next(iter(self._order or self.entries), 0)

    def last(self) -> int:
        """The highest index; -1 when there is none."""
        return self._order[-1] if self._order else next(reversed(self.entries), -1)

    def in_order(self) -> list[Node | Cell]:
        """The entries by index."""
        return [*self.entries.values()] if self._order is None else [*map(self.entries.__getitem__, self._order)]

    def at(self, rev: int) -> Any:
        if rev < self.born:
            return _at(self.before, rev)
        values = [entry.at(rev) for entry in self.in_order()]
        return [value for value in values if value is not ABSENT]


_NONE_MOVED: Final[dict[int, int]] = {}  # never written to: nearly all lists share it


def _at(value: Any, rev: int) -> Any:
    """A value as of a revision, be it plain or a node. A loop, since one node may have replaced another many times."""
    while isinstance(value, Grown):
        if rev >= value.born:
            return value.at(rev)
        value = value.before
    return value


Growing: TypeAlias = tuple[tuple[str | int, ...], TextBuffer]
"""Where a text that can grow stands, as member names and list positions, and the text."""


def growing_texts(node: Node, rev: int, path: tuple[str | int, ...] = ()) -> list[Growing]:
    """Find all texts in a tree that are there as of a revision."""
    found: list[Growing] = []
    for name, child in node.members.items():
        place = (*path, name)
        if isinstance(child, TextBuffer):
            found.append((place, child))
        elif isinstance(child, Node):
            found += growing_texts(child, rev, place)
        elif isinstance(child, Slots):
            there = [entry for entry in child.in_order() if entry.at(rev) is not ABSENT]
            for position, entry in enumerate(there):
                if isinstance(entry, Node):
                    found += growing_texts(entry, rev, (*place, position))
    return found
