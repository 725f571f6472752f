"""The text of one run, for readers who want it in pieces as it comes.

A reader keeps up or gets what it missed as one piece, so what waits for it is never more than the text itself. It may
begin late: then what the messages hold by now is its first piece.
"""

from collections.abc import Iterator

from streamproc.core.change import Change
from streamproc.hooks.parts import parts_of
from streamproc.model.message import Text, TextBlock

__all__ = ["TextFeed", "texts_of"]


class TextFeed:
    """What one reader has not taken yet."""

    def __init__(self) -> None:
        self._pending: list[str] = []
        self._held: dict[tuple[str, int], int] = {}  # message and block -> characters it has now
        self._told: dict[tuple[str, int], int] = {}  # ... and the most it ever had

    def add(self, id: str, index: int, fragment: str) -> None:
        """Take what a delta added; a stream that starts over does not tell the same text again."""
        key = id, index
        held = self._held[key] = self._held.get(key, 0) + len(fragment)
        told = self._told.get(key, 0)
        if held > told:
            self._pending.append(fragment[told - held :])
            self._told[key] = held

    def sync(self, id: str, index: int, text: str) -> None:
        """Take a whole text, from a snapshot; only what it has beyond the known length is news."""
        key = id, index
        self._held[key] = len(text)
        told = self._told.get(key, 0)
        if len(text) > told:
            self._pending.append(text[told:])
            self._told[key] = len(text)

    def take(self) -> str:
        """All that is new; "" when nothing is."""
        text = "".join(self._pending)
        self._pending.clear()
        return text


def texts_of(message: Change) -> Iterator[tuple[int, str]]:
    """The text blocks of a message after a change: index and text."""
    for index, block in parts_of(message).items():
        if isinstance(block, TextBlock) and isinstance(block.text, Text) and isinstance(block.text.value, str):
            yield index, block.text.value
