"""Output: the items of one response in the making, as events of their steps and messages.

An item is opened by `response.output_item.added`, or by whatever is the first to speak of it; its texts grow; and
`output_item.done` says what it is in the end, whatever was said before. What the complete response holds at its end
and was not seen to end, ends then.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from streamproc.core.events import Event
from streamproc.core.patch import Patch
from streamproc.dialects.responses.deltas import Texts
from streamproc.dialects.responses.growth import Growth
from streamproc.dialects.responses.items import (
    Item,
    argument_text,
    awaits,
    call_id,
    category,
    error_of,
    output_text,
    rest,
    tool_call,
)
from streamproc.dialects.responses.oddities import odd
from streamproc.dialects.responses.parts import content, has_text, without_images
from streamproc.dialects.responses.slots import Slot, Slots, is_index
from streamproc.dialects.responses.thoughts import Thoughts
from streamproc.dialects.translation import Translation, unique_id

__all__ = ["Output"]

_MAX_ASIDE: Final = 1_000  # items without a step that are kept
_ADDED: Final = "response.output_item.added"


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
        self.growth = Growth(texts)
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
            return None, [odd("index_invalid", str(event.get("type")), "", "no output_index, and no item_id instead")]
        slot, events = self._open(index, {"id": id, "type": kind})
        if slot is not None:
            slot.has_text = self._continues
        return slot, events

    def about(self, event: Mapping[str, Any], kind: str, act: Callable[[Slot], list[Event]]) -> list[Event]:
        """What `act` does with the item that an event is about."""
        slot, events = self.find(event, kind)
        return events if slot is None else [*events, *act(slot)]

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

    def end(self, reason: str) -> list[Event]:
        """The response ended: so did what it cut off, and calls whose end was announced and never came."""
        events: list[Event] = []
        for slot in self._slots:
            if slot.cut is not None:
                events += self._translation.cut(slot.id, reason or "incomplete")
                slot.cut = None
            elif not slot.is_done and slot.outcome and slot.category == "tools":
                self.growth.end(slot)
                error = {"last_error": error_of({})} if slot.outcome == "failed" else {}
                events += self._translation.close(slot.id, slot.outcome, **error)
        return events

    def leftovers(self) -> dict[str, Any]:
        """The extras of the run: what no step took. Given once."""
        self._thoughts.hand_on()
        found = {"reasoning": self._translation.take_reasoning(), "items": self._aside}
        self._aside = []
        return {name: value for name, value in found.items() if value}

    # -- what is said of an open item ---------------------------------------------------------------------------------

    def phase(self, slot: Slot, what: str) -> list[Event]:
        """A call does something: "searching"."""
        if slot.category != "tools" or slot.is_done:
            return []
        slot.phase = True
        return [self._translation.update(slot.id, metadata={"phase": what})]

    def outcome(self, slot: Slot, what: str) -> list[Event]:
        """A call ended, which its item will say with all there is to say."""
        slot.outcome = what
        return []

    def partial_image(self, slot: Slot, event: Mapping[str, Any]) -> list[Event]:
        """An image so far; its length is kept."""
        data = event.get("partial_image_b64")
        if slot.category != "tools" or slot.is_done or not isinstance(data, str):
            return []
        image = {"index": event.get("partial_image_index"), "length": len(data)}
        return [self._translation.update(slot.id, extras={"partial_image": image})]

    def thought(self, slot: Slot, event: Mapping[str, Any], member: str, index: str, text: str) -> list[Event]:
        """A fragment of what the model thinks, or a whole part of it."""
        if slot.category == "reasoning":
            part = event.get("part")
            found = part.get("text") if isinstance(part, dict) else event.get(text)
            self._thoughts.grow(slot, member, event.get(index), found, whole=text != "delta")
        return []

    # -- inside -------------------------------------------------------------------------------------------------------

    def _open(self, index: object, item: Item) -> tuple[Slot | None, list[Event]]:
        slots, kind, id = self._slots, item.get("type"), item.get("id")
        if slots.is_full:
            return None, [odd("limit", _ADDED, "", "too many items in one response")]
        what = category(item)
        at = index if is_index(index) else slots.next_index
        slot = Slot(at, what, str(kind), id if isinstance(id, str) else "", call_id(item))
        if slots.add(slot):
            self.growth.share(at)
        if what == "unknown":
            return slot, [odd("unknown_type", _ADDED, slot.native_id, "an item of a type that is not known")]
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
        self.growth.begin(slot)
        return slot, translation.open_tools(slot.id, [tool_call(item, slot.call)], **extras)

    def _finish(self, slot: Slot, item: Item, how: str) -> list[Event]:
        """The item is complete; `how` it ended, which is its status or follows from that of the response."""
        slot.is_done = True
        self.growth.end(slot)
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
            case _:
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
