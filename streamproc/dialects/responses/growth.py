"""Growth: the texts of messages and calls, as fragments come or, where none did, as a whole.

Most fragments are read fast, see deltas.py. What cannot be is placed here: the first fragment of each text, which also
begins its content block, and whatever is odd about one.
"""

from collections.abc import Mapping
from typing import Any, Final

from streamproc.core.events import Event
from streamproc.core.spot import Spot
from streamproc.dialects.responses.deltas import Texts
from streamproc.dialects.responses.items import text_path
from streamproc.dialects.responses.oddities import odd
from streamproc.dialects.responses.parts import annotation, content_delta
from streamproc.dialects.responses.slots import Slot, is_index

__all__ = ["Growth"]

_FRAGMENTS: Final[Mapping[str, str]] = {
    "function_call": "response.function_call_arguments.delta",
    "custom_tool_call": "response.custom_tool_call_input.delta",
    "mcp_call": "response.mcp_call_arguments.delta",
    "code_interpreter_call": "response.code_interpreter_call_code.delta",
}
"""Type of a call -> the event with a fragment of its text."""

_MAX_BLOCKS: Final = 10_000  # of a message
_EMPTY: Final[Mapping[str, Any]] = {"type": "text", "text": {"value": "", "annotations": []}}
_EMPTY_REFUSAL: Final[Mapping[str, Any]] = {"type": "refusal", "refusal": ""}


class Growth:
    """The texts of one response that grow."""

    def __init__(self, texts: Texts) -> None:
        """
        Args:
            texts: those that can be read fast; kept up to date here.
        """
        self._texts = texts
        self._shared: set[int] = set()  # indexes of which the fast way cannot tell what they mean

    def begin(self, slot: Slot) -> None:
        """A call appears, whose text may grow."""
        spot = _spot(slot, 0) if slot.kind in _FRAGMENTS and slot.index not in self._shared else None
        if spot is not None:
            self._texts.note_first(_FRAGMENTS[slot.kind], slot.index, spot, slot.spots)

    def text(self, slot: Slot, event: Mapping[str, Any], member: str, *, of_message: bool) -> list[Event]:
        """A fragment of a text, in `delta`; or the whole text, in another member, which is news if no fragment was."""
        text = event.get(member)
        if not isinstance(text, str):
            return []
        place = _place(event) if slot.category == "message" else 0
        is_whole = member != "delta"
        if is_whole and (slot.has_text or place in slot.spots or slot.is_done):
            return []
        if slot.is_done:
            return [odd("late_event", _name(event), slot.id, "a fragment for an item that was done")]
        spot = _spot(slot, place) if of_message == (slot.category == "message") else None
        if spot is None:
            return [odd("type_conflict", _name(event), slot.id, "a fragment of a text that the item does not have")]
        events = _begin(slot, place, _EMPTY)
        if text:
            slot.spots[place] = spot
            if slot.index not in self._shared:
                self._texts.note(_name(event), slot.index, place, spot)
            events.append(spot.delta(text))
        return events

    def refusal(self, slot: Slot, event: Mapping[str, Any], member: str) -> list[Event]:
        """As `text`, for the refusal of a message."""
        text = event.get(member)
        if not isinstance(text, str) or slot.category != "message":
            return []
        place = _place(event)
        if member != "delta" and (slot.has_text or place in slot.refusals or slot.is_done):
            return []
        events = _begin(slot, place, _EMPTY_REFUSAL)
        if text:
            slot.refusals.add(place)
            events.append(content_delta(slot.id, place, {"type": "refusal", "refusal": text}))
        return events

    def part(self, slot: Slot, event: Mapping[str, Any]) -> list[Event]:
        """A content part of a message appears, or is complete."""
        native = event.get("part")
        if not isinstance(native, dict):
            return []
        match native.get("type"):
            case "output_text":
                return self.text(slot, {**event, "text": native.get("text", "")}, "text", of_message=True)
            case "refusal":
                return self.refusal(slot, {**event, "refusal": native.get("refusal")}, "refusal")
            case _:
                return []

    def annotated(self, slot: Slot, event: Mapping[str, Any]) -> list[Event]:
        """A text got an annotation."""
        native, at = event.get("annotation"), event.get("annotation_index")
        if slot.category != "message" or slot.is_done or not isinstance(native, dict):
            return []
        place = _place(event)
        note = {**annotation(native), **({"index": at} if is_index(at) else {})}
        entry = {"type": "text", "text": {"annotations": [note]}}
        return [*_begin(slot, place, _EMPTY), content_delta(slot.id, place, entry)]

    def share(self, index: int) -> None:
        """More than one item of that index is open: the fast way, which looks at nothing else, is not for them."""
        self._shared.add(index)
        self._texts.forget(index)

    def end(self, slot: Slot) -> None:
        """The item is done; what comes after that is odd."""
        if slot.spots or slot.kind in _FRAGMENTS:
            self._texts.forget(slot.index)


def _name(event: Mapping[str, Any]) -> str:
    return str(event.get("type"))


def _spot(slot: Slot, place: int) -> Spot | None:
    if place in slot.spots:
        return slot.spots[place]
    if slot.category == "message":
        return Spot.message_text(slot.id, place)
    path = text_path(slot.kind) if slot.category == "tools" else None
    return Spot.tool_text(slot.id, 0, path) if path else None


def _begin(slot: Slot, place: int, entry: Mapping[str, Any]) -> list[Event]:
    """The start of a content block, once."""
    if slot.category != "message" or place in slot.blocks or slot.is_done:
        return []
    slot.blocks.add(place)
    return [content_delta(slot.id, place, entry)]


def _place(event: Mapping[str, Any]) -> int:
    """The content block that an event is about; one that no message has room for counts as the first too far."""
    index = event.get("content_index")
    return min(index, _MAX_BLOCKS) if is_index(index) else 0
