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
_ENDS: Final = (
    *("completed_at", "cancelled_at", "expired_at", "failed_at", "incomplete_at", "incomplete_details"),
    *("last_error", "usage", "required_action"),
)
"""Members that an object has once it ended: null before."""


class Emitter:
    """Turns the changes of one stream into canonical events.

    Oddities are left out, and so is what was only inferred. Clients raise on an `error` event, so one is kept back
    until it is clear that no failed run tells the same.
    """

    def __init__(self) -> None:
        self._errors: list[Event] = []
        self._has_ended = False

    def events(self, changes: Iterable[Change]) -> Iterator[Event]:
        """The events of some changes."""
        for change in changes:
            raw = change.raw
            if change.kind == "error":
                self._errors.append(Event(ERROR, change.data, raw))
            elif change.kind != "anomaly" and (raw or change.data is not None):
                if change.kind == "run":
                    self._has_ended = change.event.rpartition(".")[2] in STREAM_ENDING
                yield Event(change.event, change.data, raw)

    def end(self) -> Iterator[Event]:
        """The events that end the stream: none if it broke off, so that its reader knows."""
        if self._has_ended:
            yield Event(DONE)
        else:
            yield from self._errors


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
