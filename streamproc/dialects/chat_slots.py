"""Which tool call of a choice a fragment belongs to: the slot rules of Chat Completions.

A chunk has pieces of calls. By the standard `index` says of which call; servers are freer than that:

* An index that was not seen is a new call; a known one goes on with its call.
* A known index with another id is a new call as well (Ollama gives all calls the index 0), unless the id is known.
* Without an index the id decides; without both, a piece with a name is a new call, any other goes on with the last.
* A call without an id gets one made of the run, the turn and its number, so that a replay gives the same.
* A name that comes again says nothing; another one is its next piece.
* Arguments that are no text are taken for what they would be as text.

Calls are numbered as they appear, whatever indexes the wire gives them.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from streamproc.core.anomalies import Anomaly, AnomalyKind
from streamproc.core.events import STEP_DELTA, Event
from streamproc.core.spot import Spot

__all__ = ["Slot", "Slots", "oddity"]

_MAX_SLOTS: Final = 1024  # calls of one choice
_MAX_NAME: Final = 1024  # characters
_MAX_KEPT: Final = 64 * 2**20  # characters of arguments of one choice, as many as an object holds by default
_LEGACY: Final = -1  # in place of an index: the one call that `function_call` tells of

_encode: Final = msgspec.json.Encoder().encode


class Slot:
    """One tool call. `arguments` has its pieces, if anybody will ask for them."""

    __slots__ = ("arguments", "call_id", "name", "native_id", "number", "spot", "type")

    def __init__(self, number: int, native_id: str, call_id: str, type: str, name: str, step_id: str) -> None:
        self.number = number
        self.native_id = native_id  # "": the wire gave none
        self.call_id = call_id
        self.type = type
        self.name = name
        self.arguments: list[str] = []
        self.spot = Spot.tool_text(step_id, number, (type, "function", "arguments"))

    def delta(self, function: Mapping[str, Any], **members: Any) -> Event:
        """A step delta that says something of this call."""
        entry = {"index": self.number, **members, "type": self.type, "function": function}
        delta = {"step_details": {"type": "tool_calls", "tool_calls": [entry]}}
        data = {"id": self.spot.id, "object": STEP_DELTA, "delta": delta}
        return Event(STEP_DELTA, data, _encode(data))


class Slots:
    """The calls of one choice, in one step.

    Attributes:
        by_index: the call that a piece with that index and no id belongs to.
    """

    def __init__(self, step_id: str, id_prefix: str, *, keeps: bool) -> None:
        """
        Args:
            id_prefix: of the ids of calls that have none.
            keeps: whether `calls` will be asked for.
        """
        self._step_id = step_id
        self._id_prefix = id_prefix
        self._keeps = keeps
        self._kept = 0
        self._all: list[Slot] = []
        self._by_id: dict[str, Slot] = {}
        self.by_index: dict[int, Slot] = {}

    def take(self, entry: object) -> list[Event]:
        """One entry of `tool_calls`."""
        if not isinstance(entry, dict):
            return [oddity("bad_json", self._step_id, "a tool call that is no object")]
        index, id = entry.get("index"), entry.get("id")
        native_id = id if isinstance(id, str) else ""
        if index is None or (type(index) is int and index >= 0):
            return self._take(index, native_id, entry)
        odd = oddity("index_invalid", self._step_id, "a tool call with an index that is none")
        return [odd, *self._take(None, native_id, entry)]

    def take_legacy(self, function: Mapping[str, Any]) -> list[Event]:
        """A `function_call`, as it was before there were tools."""
        return self._take(_LEGACY, "", {"function": function})

    def keep(self, slot: Slot, text: str) -> None:
        """Remember a piece of a call's arguments, if they will be asked for."""
        if self._keeps and self._kept + len(text) <= _MAX_KEPT:
            self._kept += len(text)
            slot.arguments.append(text)

    def calls(self) -> list[dict[str, Any]]:
        """The calls with their whole arguments, in the form of a run's `required_action`."""
        return [
            {
                "id": slot.call_id,
                "type": slot.type,
                "function": {"name": slot.name, "arguments": "".join(slot.arguments)},
            }
            for slot in self._all
        ]

    def _take(self, index: int | None, native_id: str, entry: Mapping[str, Any]) -> list[Event]:
        type, function = _function(entry)
        given = function.get("name")
        name = given if isinstance(given, str) else ""
        arguments = _text(function["arguments"] if "arguments" in function else function.get("input"))
        events: list[Event] = []
        if arguments is None or len(name) > _MAX_NAME:
            events.append(oddity("type_conflict", self._step_id, "a tool call whose name or arguments are none"))
            arguments, name = arguments or "", name[:_MAX_NAME]
        slot = self._find(index, native_id, name)
        if slot is None:
            if len(self._all) >= _MAX_SLOTS:
                return [*events, oddity("limit", self._step_id, f"more than {_MAX_SLOTS} tool calls")]
            slot = self._new(index, native_id, type, name)
            first = {"name": name, "arguments": arguments, "output": None}
            events.append(slot.delta(first, id=slot.call_id))
        else:
            if index is not None:
                self.by_index[index] = slot
            if native_id and not slot.native_id:  # clients know the call by the other one
                slot.native_id = native_id
                self._by_id[native_id] = slot
                events.append(oddity("id_conflict", slot.call_id, "a call that got its id later"))
            if name and name != slot.name and len(slot.name) + len(name) <= _MAX_NAME:
                slot.name += name
                events.append(slot.delta({"name": name}))
            if arguments:
                events.append(slot.spot.delta(arguments))
        self.keep(slot, arguments)
        return events

    def _find(self, index: int | None, native_id: str, name: str) -> Slot | None:
        """The call that a piece goes on with; None when it begins one."""
        if index is None:
            if native_id:
                return self._by_id.get(native_id)
            return None if name or not self._all else self._all[-1]
        slot = self.by_index.get(index)
        if slot is None or not native_id or native_id == slot.native_id:
            return slot
        if not slot.native_id and not (name and slot.name):
            return slot
        return self._by_id.get(native_id)

    def _new(self, index: int | None, native_id: str, type: str, name: str) -> Slot:
        number = len(self._all)
        call_id = native_id or f"{self._id_prefix}:{number}"
        slot = Slot(number, native_id, call_id, type, name, self._step_id)
        self._all.append(slot)
        if native_id:
            self._by_id.setdefault(native_id, slot)
        if index is not None:
            self.by_index[index] = slot
        return slot


def oddity(kind: AnomalyKind, id: str, detail: str) -> Event:
    """A part of a chunk that is left out, or taken for something else; the rest of the chunk counts."""
    return Event("message", Anomaly(kind=kind, event="message", id=id, detail=detail))


def _function(entry: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The type of a call, and what holds its name and arguments."""
    named = entry.get("type")
    for member in ("function", "custom"):
        payload = entry.get(member)
        if isinstance(payload, dict):
            return (named if isinstance(named, str) and named else member), payload
    return (named if isinstance(named, str) and named else "function"), {}


def _text(arguments: Any) -> str | None:
    """Arguments as text; None when they are none."""
    match arguments:
        case None:
            return ""
        case str():
            return arguments
        case dict() | list():
            return _encode(arguments).decode()
        case _:
            return None
