"""Thoughts: what reasoning items say, for the `extras` of the step that follows.

A reasoning item that is done has the whole text, and perhaps the encrypted form that a server wants back. Of one that
never is, the deltas are kept, up to a bound.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from streamproc.dialects.responses.items import Item
from streamproc.dialects.responses.parts import without_images
from streamproc.dialects.responses.slots import Slot, is_index
from streamproc.dialects.translation import Translation

__all__ = ["Thoughts"]

_MAX_CHARS: Final = 2**20  # of all that a response thinks and does not end
_MAX_PARTS: Final = 1_000
_TYPES: Final[Mapping[str, str]] = {"summary": "summary_text", "content": "reasoning_text"}

_Parts: TypeAlias = dict[tuple[str, int], list[str]]  # by member and index


class Thoughts:
    """The reasoning of one response."""

    def __init__(self, translation: Translation) -> None:
        self._translation = translation
        self._open: dict[Slot, _Parts] = {}
        self._handed_on: set[Slot] = set()
        self._room = _MAX_CHARS

    def grow(self, slot: Slot, member: str, index: object, text: object, *, whole: bool) -> None:
        """Add a fragment of the summary or content of an item, or take that part as a whole."""
        if slot.is_done or slot in self._handed_on or not isinstance(text, str):
            return
        parts = self._open.setdefault(slot, {})
        key = member, index if is_index(index) else 0
        if key not in parts and len(parts) >= _MAX_PARTS:
            return
        pieces = parts.setdefault(key, [])
        room = self._room + (sum(map(len, pieces)) if whole else 0)
        if len(text) <= room:
            self._room = room - len(text)
            if whole:
                pieces.clear()
            pieces.append(text)

    def end(self, slot: Slot, item: Item) -> None:
        """The item is complete; what it lacks was said before."""
        parts = self._open.pop(slot, {})
        if slot in self._handed_on:
            if not item.get("encrypted_content"):
                return
            item = {name: item.get(name) for name in ("id", "type", "encrypted_content")}
        said = {name: value for name, value in item.items() if value}
        self._translation.note_reasoning(without_images({**_native(parts), **said}))

    def hand_on(self) -> None:
        """Something follows, or nothing does: what is not complete goes with it as it is."""
        for slot, parts in self._open.items():
            self._translation.note_reasoning({"id": slot.native_id, "type": "reasoning", **_native(parts)})
            self._handed_on.add(slot)
        self._open.clear()


def _native(parts: _Parts) -> dict[str, Any]:
    members: dict[str, Any] = {}
    for member, index in sorted(parts):
        members.setdefault(member, []).append({"type": _TYPES[member], "text": "".join(parts[member, index])})
    return members
