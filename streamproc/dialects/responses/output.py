"""Output: the items of one response in the making, as events of their steps and messages.

An item is opened by `response.output_item.added`, or by whatever is the first to speak of it; its texts grow; and
`output_item.done` says what it is in the end, whatever was said before. What the complete response holds at its end
and was not seen to end, ends then.
"""

from collections.abc import Mapping
from typing import Any, Final

from streamproc.core.anomalies import Anomaly, AnomalyKind
from streamproc.core.events import Event
from streamproc.core.patch import Patch
from streamproc.core.spot import Spot
from streamproc.dialects.responses.deltas import DELTAS, Texts
from streamproc.dialects.responses.items import (
    Item,
    argument_text,
    awaits,
    call_id,
    category,
    error_of,
    output_text,
    rest,
    text_path,
    tool_call,
)
from streamproc.dialects.responses.parts import annotation, content, content_delta, has_text, without_images
from streamproc.dialects.responses.slots import Slot, Slots, is_index
from streamproc.dialects.responses.thoughts import Thoughts
from streamproc.dialects.translation import Translation, unique_id

__all__ = ["Output"]

_MAX_TEXTS: Final = 256  # that grow at the same time and are read fast
_MAX_ASIDE: Final = 1_000  # items without a step that are kept
_MAX_BLOCKS: Final = 10_000  # of a message
_EMPTY: Final[Mapping[str, Any]] = {"type": "text", "text": {"value": "", "annotations": []}}


class Output:
    """All items of one response."""

    def __init__(self, translation: Translation, base: str, texts: Texts, *, continues: bool = False) -> None:
        """
        Args:
            base: what the ids of steps start with whose items have no id of their own.
            texts: those that can be read fast; kept up to date here.
            continues: whether fragments of items that were not added here may have come before.
        """
        self._continues = continues
        self._translation = translation
        self._base = base
        self._slots = Slots()
        self._texts = texts
        self._thoughts = Thoughts(translation)
        self._aside: list[Any] = []
        self.waiting: dict[str, Mapping[str, Any]] = {}
        """Calls that wait for the client: id -> call."""

    # -- the life of an item ------------------------------------------------------------------------------------------

    def added(self, event: Mapping[str, Any]) -> list[Event]:
        """An item appears."""
        item = event.get("item")
        if not isinstance(item, dict):
            return []  # whatever comes next for it opens it
        slot = self._slots.find(event.get("output_index"), item.get("id"))
        if slot is not None and _is_repeat(slot, item):
            return []
        return self._open(event.get("output_index"), item)[1]

    def done(self, event: Mapping[str, Any]) -> list[Event]:
        """An item is complete."""
        item = event.get("item")
        if not isinstance(item, dict):
            return []
        slot = self._slots.find(event.get("output_index"), item.get("id"))
        events: list[Event] = []
        if slot is None or not _is_repeat(slot, item):
            slot, events = self._open(event.get("output_index"), item)
        if slot is not None and not slot.is_done:
            events += self._finish(slot, item, str(item.get("status")))
        return events

    def find(self, event: Mapping[str, Any], kind: str) -> tuple[Slot | None, list[Event]]:
        """The item that an event is about; one of type `kind` if it was not seen before."""
        index, id = event.get("output_index"), event.get("item_id")
        slot = self._slots.find(index, id)
        if slot is not None:
            return slot, []
        if not is_index(index) and not isinstance(id, str):
            return None, [_odd("index_invalid", event, "", "no output_index, and no item_id instead")]
        slot, events = self._open(index, {"id": id, "type": kind})
        if slot is not None:
            slot.has_text = self._continues
        return slot, events

    def reconcile(self, items: object, status: str) -> list[Event]:
        """The response lists its items, with a status of its own: complete them, and open those that were not seen."""
        events: list[Event] = []
        for number, (item, known) in enumerate(self._slots.match(items if isinstance(items, list) else [])):
            slot = known
            if slot is None:
                slot, opened = self._open(None if self._slots.find(number, None) else number, item)
                events += opened
            if slot is not None and not slot.is_done and (how := _ending(item, status)):
                events += self._finish(slot, item, how)
        return events

    def end(self, status: str, reason: str) -> list[Event]:
        """The response ended: so did what it cut off, and calls whose end was announced and never came."""
        events: list[Event] = []
        for slot in self._slots:
            if slot.cut is not None:
                events += self._translation.cut(slot.id, reason or "incomplete")
                slot.cut = None
            elif not slot.is_done and slot.outcome and slot.category == "tools":
                self._close_texts(slot)
                error = {"last_error": error_of({})} if slot.outcome == "failed" else {}
                events += self._translation.close(slot.id, slot.outcome, **error)
        return events

    def leftovers(self) -> dict[str, Any]:
        """The extras of the run: what no step took. Given once."""
        self._thoughts.hand_on()
        found = {"reasoning": self._translation.take_reasoning(), "items": self._aside}
        self._aside = []
        return {name: value for name, value in found.items() if value}

    # -- texts --------------------------------------------------------------------------------------------------------

    def text(self, event: Mapping[str, Any], kind: str, member: str) -> list[Event]:
        """A fragment of a text, in `delta`; or the whole text, in another member, which is news if no fragment was."""
        slot, events = self.find(event, kind)
        text = event.get(member)
        if slot is None or not isinstance(text, str):
            return events
        place = _place(event) if slot.category == "message" else 0
        is_whole = member != "delta"
        if is_whole and (slot.has_text or place in slot.spots or slot.is_done):
            return events
        if slot.is_done:
            return [*events, _odd("late_event", event, slot.id, "a fragment for an item that was done")]
        spot = self._spot(slot, place) if (kind == "message") == (slot.category == "message") else None
        if spot is None:
            return [*events, _odd("type_conflict", event, slot.id, "a fragment of a text that the item does not have")]
        events += self._begin(slot, place, _EMPTY)
        if text:
            slot.spots[place] = spot
            self._remember(slot, place, str(event.get("type")), spot)
            events.append(spot.delta(text))
        return events

    def refusal(self, event: Mapping[str, Any], member: str) -> list[Event]:
        """As `text`, for the refusal of a message."""
        slot, events = self.find(event, "message")
        text = event.get(member)
        if slot is None or not isinstance(text, str) or slot.category != "message":
            return events
        place = _place(event)
        if member != "delta" and (slot.has_text or place in slot.refusals or slot.is_done):
            return events
        events += self._begin(slot, place, {"type": "refusal", "refusal": ""})
        if text:
            slot.refusals.add(place)
            events.append(content_delta(slot.id, place, {"type": "refusal", "refusal": text}))
        return events

    def part(self, event: Mapping[str, Any]) -> list[Event]:
        """A content part of a message appears, or is complete."""
        native = event.get("part")
        if not isinstance(native, dict):
            return []
        kind = native.get("type")
        if kind == "output_text":
            return self.text({**event, "text": native.get("text", "")}, "message", "text")
        return self.refusal({**event, "refusal": native.get("refusal")}, "refusal") if kind == "refusal" else []

    def annotated(self, event: Mapping[str, Any]) -> list[Event]:
        """A text got an annotation."""
        slot, events = self.find(event, "message")
        native = event.get("annotation")
        if slot is None or slot.category != "message" or slot.is_done or not isinstance(native, dict):
            return events
        place, at = _place(event), event.get("annotation_index")
        events += self._begin(slot, place, _EMPTY)
        note = {**annotation(native), **({"index": at} if is_index(at) else {})}
        entry = {"type": "text", "text": {"annotations": [note]}}
        return [*events, content_delta(slot.id, place, entry)]

    def thought(self, event: Mapping[str, Any], member: str, index: str, text: str) -> list[Event]:
        """A fragment of what the model thinks, or a whole part of it."""
        slot, events = self.find(event, "reasoning")
        if slot is not None and slot.category == "reasoning":
            found = event["part"].get("text") if isinstance(event.get("part"), dict) else event.get(text)
            self._thoughts.grow(slot, member, event.get(index), found, whole=text != "delta")
        return events

    # -- calls --------------------------------------------------------------------------------------------------------

    def phase(self, event: Mapping[str, Any], kind: str, what: str) -> list[Event]:
        """A call does something: "searching"."""
        slot, events = self.find(event, kind)
        if slot is None or slot.category != "tools" or slot.is_done:
            return events
        slot.phase = True
        return [*events, self._translation.update(slot.id, metadata={"phase": what})]

    def outcome(self, event: Mapping[str, Any], kind: str, what: str) -> list[Event]:
        """A call ended, which its item will say with all there is to say."""
        slot, events = self.find(event, kind)
        if slot is not None:
            slot.outcome = what
        return events

    def partial_image(self, event: Mapping[str, Any]) -> list[Event]:
        """An image so far; its length is kept."""
        slot, events = self.find(event, "image_generation_call")
        data = event.get("partial_image_b64")
        if slot is None or slot.category != "tools" or slot.is_done or not isinstance(data, str):
            return events
        image = {"index": event.get("partial_image_index"), "length": len(data)}
        return [*events, self._translation.update(slot.id, extras={"partial_image": image})]

    # -- inside -------------------------------------------------------------------------------------------------------

    def _open(self, index: object, item: Item) -> tuple[Slot | None, list[Event]]:
        slots, kind, id = self._slots, item.get("type"), item.get("id")
        if slots.is_full:
            return None, [_odd("limit", item, "", "too many items in one response")]
        what = category(item)
        at = index if is_index(index) else slots.next_index
        slot = Slot(at, what, str(kind), id if isinstance(id, str) else "", call_id(item))
        slots.add(slot)
        if at in slots.shared:
            for key in [key for key in self._texts if key[1] == at]:
                del self._texts[key]
        if what == "unknown":
            return slot, [_odd("unknown_type", {}, slot.native_id, "an item of a type that is not known")]
        if what not in ("message", "tools"):
            return slot, []
        self._thoughts.hand_on()
        translation = self._translation
        slot.id = translation.free_id(unique_id(id, self._base, kind, at))
        left = rest(item, slot.id)
        extras = {"item": left} if left else {}
        if what == "message":
            blocks = content(item.get("content"))
            slot.has_text = bool(blocks) and has_text(blocks)
            slot.blocks.update(range(len(blocks)))
            return slot, translation.open_message(slot.id, slot.id, blocks, **extras)
        slot.has_text = bool(argument_text(item))
        return slot, translation.open_tools(slot.id, [tool_call(item, slot.call)], **extras)

    def _finish(self, slot: Slot, item: Item, how: str) -> list[Event]:
        """The item is complete; `how` it ended, which is its status or follows from that of the response."""
        slot.is_done = True
        self._close_texts(slot)
        self._slots.learn(slot, "", call_id(item))
        match slot.category:
            case "reasoning":
                self._thoughts.end(slot, item)
            case "output":
                return [self._answer(item)]
            case "message":
                return self._finish_message(slot, item, how)
            case "tools":
                return self._finish_tools(slot, item, how)
            case "aside" | "unknown":
                if len(self._aside) < _MAX_ASIDE:
                    self._aside.append(without_images(item))
        return []

    def _finish_message(self, slot: Slot, item: Item, how: str) -> list[Event]:
        blocks: list[Any] | None = content(item.get("content"))
        if not has_text(blocks or ()) and slot.has_grown:
            blocks = None  # says less than what was seen
        members = self._members(slot, item)
        if how == "incomplete":
            slot.cut = item
            events = [self._translation.update(slot.id, **members)] if members else []
            patch = Patch(id=slot.id, members={"content": blocks})
            return [*events, Event("thread.message.in_progress", patch)] if blocks else events
        return self._translation.close(slot.id, _final(how), blocks, **members)

    def _finish_tools(self, slot: Slot, item: Item, how: str) -> list[Event]:
        translation, members = self._translation, self._members(slot, item)
        call = tool_call(item, slot.call)
        if argument_text(item) or not slot.has_grown:
            members["step_details"] = {"type": "tool_calls", "tool_calls": [call]}
        if how == "incomplete":
            slot.cut = item
            return [translation.update(slot.id, **members)]
        failed = slot.outcome == "failed" or item.get("error") is not None
        if how == "failed" or (how != "completed" and failed):
            return translation.close(slot.id, "failed", last_error=error_of(item), **members)
        slot.awaits = awaits(item)
        if slot.awaits == "" or _final(how) == "cancelled":
            return translation.close(slot.id, _final(how), **members)
        wait = translation.await_approval if slot.awaits == "approval" else translation.await_outputs
        events = wait(slot.id, **members)
        if slot.kind != "program" and translation.is_open(slot.id):
            self.waiting[slot.call] = call
        return events

    def _members(self, slot: Slot, item: Item) -> dict[str, Any]:
        members: dict[str, Any] = {}
        if left := rest(item, slot.id):
            members["extras"] = {"item": left}
        if slot.phase:
            members["metadata"] = {"phase": None}
        return members

    def _answer(self, item: Item) -> Event:
        """The output of a call: of one that waits for it, in whatever run, or of one here that ended without it."""
        id, text = call_id(item) or str(item.get("id")), output_text(item)
        stem = str(item["type"]).removesuffix("_output")
        slot = self._slots.called(id)
        if slot is None and not call_id(item):
            slot = self._slots.newest(f"{stem}_call") or self._slots.newest(stem)
        if slot is not None and slot.is_done and not slot.awaits:
            entry = {"id": slot.call, "function": {"output": text}}
            details = {"type": "tool_calls", "tool_calls": [entry]}
            return Event("thread.run.step.completed", Patch(id=slot.id, members={"step_details": details}))
        id = id if slot is None else slot.call
        self.waiting.pop(id, None)
        if item.get("status") == "failed":
            return self._translation.answer(id, text, status="failed", last_error=error_of(item))
        return self._translation.answer(id, text)

    def _spot(self, slot: Slot, place: int) -> Spot | None:
        if place in slot.spots:
            return slot.spots[place]
        if slot.category == "message":
            return Spot.message_text(slot.id, place)
        path = text_path(slot.kind) if slot.category == "tools" else None
        return Spot.tool_text(slot.id, 0, path) if path else None

    def _begin(self, slot: Slot, place: int, entry: Mapping[str, Any]) -> list[Event]:
        """The start of a content block, once."""
        if slot.category != "message" or place in slot.blocks or slot.is_done:
            return []
        slot.blocks.add(place)
        return [content_delta(slot.id, place, entry)]

    def _remember(self, slot: Slot, place: int, name: str, spot: Spot) -> None:
        """Let further fragments be read fast."""
        if name in DELTAS and slot.index not in self._slots.shared:
            if len(self._texts) >= _MAX_TEXTS:
                self._texts.clear()
            self._texts[DELTAS[name], slot.index, place] = spot

    def _close_texts(self, slot: Slot) -> None:
        for place in slot.spots:
            for cls in DELTAS.values():
                self._texts.pop((cls, slot.index, place), None)


def _place(event: Mapping[str, Any]) -> int:
    """The content block that an event is about; one that no message has room for counts as the first too far."""
    index = event.get("content_index")
    return min(index, _MAX_BLOCKS) if is_index(index) else 0


def _is_repeat(slot: Slot, item: Item) -> bool:
    """Whether an item is the one that the slot has, perhaps under a new id, rather than another one at its index."""
    if slot.kind != item.get("type"):
        return False
    if slot.is_done and slot.native_id != (item.get("id") or ""):
        return False
    return slot.kind != "function_call" or not slot.call_id or call_id(item) in ("", slot.call_id)


def _ending(item: Item, status: str) -> str:
    """How an item ended that was not seen to end, by its response: its status, that of the response; "" if open."""
    own = item.get("status")
    if own in ("completed", "failed") or status == "completed":
        return str(own)
    if own == "incomplete" or (own is None and status == "incomplete"):
        return "incomplete"
    return ""


def _final(how: str) -> str:
    """An item that is done is completed, whatever its status says, unless it failed or was cancelled."""
    return how if how in ("failed", "cancelled") else "completed"


def _odd(kind: AnomalyKind, event: Mapping[str, Any], id: str, detail: str) -> Event:
    name = str(event.get("type", "response.output_item.added"))
    return Event(name, Anomaly(kind=kind, event=name, id=id, detail=detail))
