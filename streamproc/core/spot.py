"""Spot: a text that grows, as a translating dialect names it.

Nearly every event of a wire is a fragment of one text. A dialect that knows which one says so by a spot and the text
alone, and the reducer appends it without looking at more (see `Reducer.grow`). The same spot makes the canonical delta
event, which is what the general rules see; the two give the same changes.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Self, TypeAlias

import msgspec

from streamproc.core.events import MESSAGE_DELTA, STEP_DELTA, Event
from streamproc.core.fragments import TextPath
from streamproc.core.place import Around

if TYPE_CHECKING:
    from streamproc.core.place import Place

__all__ = ["Spot", "TextReader"]

_TEXT: Final[TextPath] = ("text", "text", "value")


class Spot:
    """One text of one object. Made by a dialect, for one stream.

    Attributes:
        event: the name of its delta events.
        id: of the step or message.
        index: of the content block or tool call therein.
    """

    __slots__ = ("around", "event", "id", "index", "path", "place")

    def __init__(self, event: str, id: str, index: int, path: TextPath) -> None:
        self.event = event
        self.id = id
        self.index = index
        self.path = path
        self.around = _around(event, id, index, path)
        self.place: Place | None = None  # where the reducer found it last

    @classmethod
    def message_text(cls, message_id: str, index: int) -> Self:
        """The text block of a message at `index`."""
        return cls(MESSAGE_DELTA, message_id, index, _TEXT)

    @classmethod
    def tool_text(cls, step_id: str, index: int, path: TextPath) -> Self:
        """A text in the tool call of a step at `index`; `path`: the type of the call, the member, and the text in it,
        e.g. `("function", "function", "arguments")`."""
        return cls(STEP_DELTA, step_id, index, path)

    def delta(self, text: str) -> Event:
        """The canonical event that appends `text`."""
        raw = self.around.before + msgspec.json.encode(text) + self.around.after
        return Event(self.event, msgspec.json.decode(raw), raw)


TextReader: TypeAlias = Callable[[Sequence[bytes], int], tuple[Spot, list[str]] | None]
"""Reads payloads from a position on, for as long as they are fragments of one text.

It returns which text that is, and the fragments, one a payload. None when the payload at that position is anything
else, which leaves the dialect as it was; then `decode` gets it."""


def _around(event: str, id: str, index: int, path: TextPath) -> Around:
    """What stands around the text in the payloads of its delta events."""
    type_name, member, text_name = path
    type_text = msgspec.json.encode(type_name).decode()  # which may be the wire's own
    entry = f'[{{"index":{index},"type":{type_text},"{member}":{{"{text_name}":'
    if event == STEP_DELTA:
        delta = f'"step_details":{{"type":"tool_calls","tool_calls":{entry}'
    else:
        delta = f'"content":{entry}'
    opening = f'{{"id":{msgspec.json.encode(id).decode()},"object":"{event}","delta":{{{delta}'
    return Around(opening.encode(), b"}}]}}}" if event == STEP_DELTA else b"}}]}}")
