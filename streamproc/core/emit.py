"""Writing runs out again, as the Assistants stream that any client of that protocol reads.

Two ways: `Emitter` follows the changes of a stream as they are made, whatever dialect they came from; `emit_states`
tells the story of objects of which only the last state is known, with one delta each. Both give canonical events;
`encode_sse` makes bytes of them.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import msgspec

from streamproc.core.body import Kind
from streamproc.core.change import Change
from streamproc.core.events import DONE, ERROR, MESSAGE_DELTA, STEP_DELTA, Event, snapshot_name
from streamproc.core.lifecycle import STREAM_ENDING, TERMINAL

__all__ = ["Emitter", "emit_states"]

_OBJECTS: Final[Mapping[Kind, str]] = {"run": "thread.run", "step": "thread.run.step", "message": "thread.message"}
_DELTAS: Final[Mapping[Kind, tuple[str, str]]] = {
    "step": (STEP_DELTA, "step_details"),
    "message": (MESSAGE_DELTA, "content"),
}
"""Kind of object -> the name of its deltas, and the member that they build up."""
_MAX_ERRORS: Final = 100  # that are kept back; clients raise at the first one
_ENDS: Final = (
    *("completed_at", "cancelled_at", "expired_at", "failed_at", "incomplete_at", "incomplete_details"),
    *("last_error", "usage", "required_action"),
)
"""Members that an object has once it ended: null before."""


class Emitter:
    """Turns the changes of one stream into canonical events.

    Oddities are left out, and so is what was only inferred. Clients raise on an `error` event, so one is kept back
    until it is clear that no failed run tells the same. They build steps and messages of the first snapshot and deltas
    alone, so what another snapshot says is told by a delta before it; and a step appears with calls that have no
    arguments yet, since those of some tools are exchanged and do not grow.
    """

    def __init__(self) -> None:
        self._errors: list[Event] = []
        self._has_ended = False
        self._told: dict[tuple[Kind, str], _Told] = {}  # open steps and messages

    def events(self, changes: Iterable[Change]) -> Iterator[Event]:
        """The events of some changes."""
        for change in changes:
            raw = change.raw
            if change.kind == "error":
                if len(self._errors) < _MAX_ERRORS:
                    self._errors.append(Event(ERROR, change.data, raw))
            elif change.kind != "anomaly" and (raw or change.data is not None):
                event = Event(change.event, change.data, raw)
                if change.kind == "run":
                    self._has_ended = change.event.rpartition(".")[2] in STREAM_ENDING
                    yield event
                else:
                    yield from self._object(change, event)

    def end(self) -> Iterator[Event]:
        """The events that end the stream: no `done` if it broke off, so that its reader knows."""
        for told in self._told.values():
            yield from told.until(told.change)
        self._told.clear()
        if self._has_ended:
            yield Event(DONE)
        else:
            yield from self._errors

    def _object(self, change: Change, event: Event) -> Iterator[Event]:
        """A change of a step or message, after what was not told before it."""
        key = change.kind, change.id
        told = self._told.get(key)
        if told is not None:
            yield from told.until(told.change if change.is_delta else change)
            told.change = change
        elif not change.is_delta and not change.note.ended:
            told = self._told[key] = _Told(change)
            event = told.without_arguments(event)
        else:
            self._told[key] = _Told(change)
        if change.note.ended:
            del self._told[key]
        yield event


class _Told:
    """What a client knows of an object that is open."""

    __slots__ = ("_details", "change")

    def __init__(self, change: Change) -> None:
        self.change = change  # the last one
        self._details: Any = None  # that the client has; None if it has those of the last change

    def until(self, change: Change) -> Iterator[Event]:
        """The delta for what the client lacks of the object as of a change."""
        known, self._details = self._details, None
        if known is None and change is self.change:
            return
        name, member = _DELTAS[change.kind]
        grown = _grown(_details(self.change) if known is None else known, _details(change))
        if grown is not None:
            yield Event(name, {"id": change.id, "object": name, "delta": {member: grown}})

    def without_arguments(self, event: Event) -> Event:
        """The event that shows the object first, with calls whose arguments are to come."""
        details = _details(self.change) if self.change.kind == "step" else None
        calls = details.get("tool_calls") if isinstance(details, dict) else None
        functions = [call.get("function") for call in calls or () if isinstance(call, dict)]
        texts = [function for function in functions if isinstance(function, dict) and function.get("arguments")]
        if not texts:
            return event
        for function in texts:
            function["arguments"] = ""
        self._details = details
        whole = msgspec.json.decode(event.raw) if event.data is None else event.data
        return Event(event.name, {**whole, "step_details": details})


def _details(change: Change) -> Any:
    return change.body.data(change.revision).get(_DELTAS[change.kind][1])


def _grown(old: Any, new: Any) -> Any:
    """The delta that makes `new` of `old`, as far as one can; None when there is nothing to add."""
    if isinstance(new, dict):
        old = old if isinstance(old, dict) else {}
        grown = {name: more for name, value in new.items() if (more := _grown(old.get(name), value)) is not None}
        return {**({"type": new["type"]} if "type" in new else {}), **grown} if grown else None
    if isinstance(new, list):
        old = old if isinstance(old, list) else []
        pairs = [(old[at] if at < len(old) else None, entry) for at, entry in enumerate(new)]
        more_of = [(at, _grown(*pair)) for at, pair in enumerate(pairs) if isinstance(pair[1], dict)]
        return [{"index": at, **more} for at, more in more_of if more is not None] or None
    if isinstance(new, str) and isinstance(old, str):
        return new[len(old) :] or None if new.startswith(old) else None
    return new if old is None and new != "" else None


def emit_states(objects: Iterable[tuple[Kind, bytes]]) -> Iterator[Event]:
    """The events of one run that is known by its last states.

    Args:
        objects: the run, if it is known, and its steps and messages in order of appearance; the complete JSON of each.
    """
    found = [(kind, msgspec.json.decode(wire)) for kind, wire in objects]
    runs = [state for kind, state in found if kind == "run"]
    messages = {state["id"]: state for kind, state in found if kind == "message"}
    for run in runs:
        yield _event("run", {**run, "status": "in_progress", **_not_ended(run)}, "thread.run.created")
    for kind, state in found:
        if kind == "step":
            yield from _step(state, messages)
    for message in messages.values():  # that no step speaks of
        yield from _whole("message", message)
    for run in runs:
        if run.get("status") in STREAM_ENDING:
            yield _event("run", run)
            yield Event(DONE)


def _step(step: dict[str, Any], messages: dict[str, dict[str, Any]]) -> Iterator[Event]:
    """A step; the message that it creates is told while it lasts."""
    details = step.get("step_details")
    creation = details.get("message_creation") if isinstance(details, dict) else None
    message = messages.pop(creation.get("message_id", ""), None) if isinstance(creation, dict) else None
    first, *rest = _whole("step", step)
    yield first
    if message is not None:
        yield from _whole("message", message)
    yield from rest


def _whole(kind: Kind, state: dict[str, Any]) -> Iterator[Event]:
    """An object from its beginning: created empty, filled by one delta, and ended if it has."""
    begun = {**state, "status": "in_progress", **_not_ended(state)}
    delta: dict[str, Any] | None = None
    if kind == "message":
        begun["content"] = []
        if blocks := _indexed(state.get("content")):
            delta = {"content": blocks}
    elif isinstance(details := state.get("step_details"), dict) and (calls := _indexed(details.get("tool_calls"))):
        begun["step_details"] = {**details, "tool_calls": []}
        delta = {"step_details": {**details, "tool_calls": calls}}
    yield _event(kind, begun, f"{_OBJECTS[kind]}.created")
    if delta is not None:
        name = MESSAGE_DELTA if kind == "message" else STEP_DELTA
        yield Event(name, {"id": state["id"], "object": name, "delta": delta})
    if state.get("status") in TERMINAL[kind]:
        yield _event(kind, state)


def _event(kind: Kind, state: dict[str, Any], name: str | None = None) -> Event:
    return Event(name or snapshot_name(_OBJECTS[kind], state.get("status")), state)


def _not_ended(state: dict[str, Any]) -> dict[str, None]:
    return {name: None for name in _ENDS if name in state}


def _indexed(entries: object) -> list[Any]:
    """The entries of a list as a delta has them."""
    if not isinstance(entries, list):
        return []
    return [{"index": index, **entry} for index, entry in enumerate(entries) if isinstance(entry, dict)]
