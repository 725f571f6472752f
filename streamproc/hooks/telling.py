"""Which hooks are due for the parts of a step or message: tool calls and content blocks, each created and done once.

A part keeps the index by which hooks know it for life, though a snapshot may number the parts anew. `Telling` holds the
rules; blocks.py and calls.py say which hooks there are.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from streamproc.core.change import Change
from streamproc.core.tree import Node
from streamproc.hooks.listeners import Hook, Listeners
from streamproc.hooks.outcomes import Tracked
from streamproc.hooks.parts import entries_of, id_of, matched, part_at, parts_of, place, slots_of

__all__ = ["Call", "Telling"]

Call: TypeAlias = Callable[..., None]
"""Calls a hook: (hook, change, *arguments before the change)."""

_MAX_PLACES: Final = 256


class Telling:
    """The rules for the parts of any object."""

    def __init__(self, listeners: Listeners, call: Call) -> None:
        self._on = listeners
        self._call = call

    def grow(self, tracked: Tracked, before: Change | None, change: Change) -> None:
        """A delta came: tell what it created and what it added."""
        around = change.around
        if around is not None and before is not None:  # a fragment of a text that is there: it creates nothing
            if not self.follows_texts(tracked):
                return
            if (found := tracked.places.get(around)) is not None:
                self._grew_alike(found, tracked, change)
                return
        elif not self._follows_growth(tracked):
            return
        else:
            tracked.places.clear()
        if before is None:  # parts may have been there before the first change that hooks are told of
            self._meet(parts_of(change), tracked, change)
        slots = slots_of(change)
        if slots is None:
            return
        claimed: list[int] = []
        for entry in entries_of(change):
            at = place(slots, entry, change.revision, claimed)
            node = None if at is None else slots.entries[at]
            if at is None or not isinstance(node, Node):
                continue
            claimed.append(at)
            index = tracked.aliases.get(at, at)
            if index not in tracked.known:
                tracked.known.add(index)
                if self._creates is not None:
                    self._created(part_at(change, slots, at), change)
            if _repeats(node, entry, change.revision):
                continue
            found = self._grew(node, index, entry, tracked, change)
            if around is not None:
                if len(tracked.places) >= _MAX_PLACES:
                    tracked.places.clear()
                tracked.places[around] = found

    def see(self, tracked: Tracked, before: Change | None, change: Change, *, ends: bool) -> None:
        """A snapshot came, or the object's end: tell which parts are new, and at the end that all are done."""
        if not self._follows_snapshots(tracked, ends=ends):
            return
        tracked.places.clear()
        aliases = tracked.aliases
        old = {} if before is None else {aliases.get(at, at): part for at, part in parts_of(before).items()}
        ids = {**dict.fromkeys(tracked.known, ""), **{index: id_of(part) for index, part in old.items()}}
        parts = parts_of(change)
        indexes = matched(ids, [id_of(part) for part in parts.values()])
        tracked.aliases = {at: index for at, index in zip(parts, indexes, strict=True) if at != index}
        now = dict(zip(indexes, parts.values(), strict=True))
        for index in ids.keys() - now.keys():
            if index in old:
                tracked.lost[index] = old[index]
            self._lost(index, tracked)
        self._meet(now, tracked, change)
        for index, part in now.items():
            self._seen(index, part, tracked, change)
        if ends:
            for _, part in sorted({**tracked.lost, **now}.items(), key=lambda item: item[0]):
                self._done(part, change)

    def _meet(self, parts: Mapping[int, Any], tracked: Tracked, change: Change) -> None:
        """Tell of parts that hooks do not know."""
        for index, part in parts.items():
            if index not in tracked.known:
                tracked.known.add(index)
                self._created(part, change)

    # -- what differs ------------------------------------------------------------------------------------------------

    @property
    @abstractmethod
    def _creates(self) -> Hook | None:
        """The hook for new parts."""

    @abstractmethod
    def _follows_growth(self, tracked: Tracked) -> bool:
        """Whether anybody wants to know of deltas, or of what they create."""

    @abstractmethod
    def follows_texts(self, tracked: Tracked) -> bool:
        """Whether anybody wants to know of fragments of texts."""

    @abstractmethod
    def _follows_snapshots(self, tracked: Tracked, *, ends: bool) -> bool:
        """Whether anybody wants to know of a snapshot's parts, or at the end of their end."""

    @abstractmethod
    def _created(self, part: Any, change: Change) -> None:
        """A part is new."""

    @abstractmethod
    def _grew(self, node: Node, index: int, entry: Mapping[str, Any], tracked: Tracked, change: Change) -> object:
        """A part grew by the entry of a delta; returns what `_grew_alike` needs to know of the part."""

    @abstractmethod
    def _grew_alike(self, found: Any, tracked: Tracked, change: Change) -> None:
        """A part grew by a text fragment, in a payload that differs from an earlier one in its text alone."""

    @abstractmethod
    def _done(self, part: Any, change: Change) -> None:
        """The object of a part ended."""

    def _seen(self, index: int, part: Any, tracked: Tracked, change: Change) -> None:
        """A snapshot has a part, new or not."""

    def _lost(self, index: int, tracked: Tracked) -> None:
        """A snapshot has a part no more."""


def _repeats(node: Node, entry: Mapping[str, Any], revision: int) -> bool:
    """Whether an entry said nothing new: some servers send a whole call again. Only such entries hold id and name."""
    if node.born == revision or not entry.get("id"):
        return False
    holders = [entry, *(value for value in entry.values() if isinstance(value, dict))]
    return any(holder.get("name") for holder in holders) and bool(node.at(revision) == node.at(revision - 1))
