"""The canonical vocabulary: event names, the structs of deltas, and writing events out again.

Canonical events are the Assistants events. Every dialect translates into them, so everything behind a dialect knows one
language. This module does not know state or merging.
"""

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias, cast

import msgspec
from msgspec import UNSET, Struct, UnsetType

from streamproc.core.anomalies import Anomaly
from streamproc.core.patch import Patch
from streamproc.model.message import Message
from streamproc.model.run import Run
from streamproc.model.run_step import RunStep
from streamproc.model.thread import ErrorObject, Thread
from streamproc.model.wire import Opt, WireObject, attach_wire, from_wire, to_wire

__all__ = [
    "CLASSES",
    "DONE",
    "ERROR",
    "EVENT_NAMES",
    "MESSAGE_DELTA",
    "STEP_DELTA",
    "THREAD_CREATED",
    "CodeInterpreterDelta",
    "ContentDelta",
    "Event",
    "FunctionDelta",
    "MessageDelta",
    "MessageDeltaEvent",
    "StepDelta",
    "StepDeltaEvent",
    "StepDetailsDelta",
    "TextDelta",
    "ToolCallDelta",
    "encode_sse",
    "snapshot_event",
    "snapshot_kind",
    "snapshot_name",
    "typed_delta",
]

THREAD_CREATED: Final = "thread.created"
STEP_DELTA: Final = "thread.run.step.delta"
MESSAGE_DELTA: Final = "thread.message.delta"
ERROR: Final = "error"
DONE: Final = "done"

_SNAPSHOTS: Final[dict[str, Literal["run", "step", "message"]]] = {
    "thread.run.created": "run",
    "thread.run.queued": "run",
    "thread.run.in_progress": "run",
    "thread.run.requires_action": "run",
    "thread.run.completed": "run",
    "thread.run.incomplete": "run",
    "thread.run.failed": "run",
    "thread.run.cancelling": "run",
    "thread.run.cancelled": "run",
    "thread.run.expired": "run",
    "thread.run.step.created": "step",
    "thread.run.step.in_progress": "step",
    "thread.run.step.completed": "step",
    "thread.run.step.failed": "step",
    "thread.run.step.cancelled": "step",
    "thread.run.step.expired": "step",
    "thread.message.created": "message",
    "thread.message.in_progress": "message",
    "thread.message.completed": "message",
    "thread.message.incomplete": "message",
}

EVENT_NAMES: Final = frozenset({*_SNAPSHOTS, THREAD_CREATED, STEP_DELTA, MESSAGE_DELTA, ERROR, DONE})
"""The 25 names."""

CLASSES: Final[Mapping[str, type[WireObject]]] = {"run": Run, "step": RunStep, "message": Message}
"""Kind of object -> its struct."""
_OBJECTS: Final[Mapping[type[WireObject], str]] = {
    Run: "thread.run",
    RunStep: "thread.run.step",
    Message: "thread.message",
}


def snapshot_kind(name: str) -> Literal["run", "step", "message"] | None:
    """Return "run", "step" or "message" when `name` carries a full object of that kind, else None."""
    return _SNAPSHOTS.get(name)


def snapshot_name(object_name: str, status: object) -> str:
    """Return the name of the event that carries an object in full; "created" stands in for a status without one."""
    name = f"{object_name}.{status}"
    return name if name in _SNAPSHOTS else f"{object_name}.created"


class FunctionDelta(Struct, frozen=True, kw_only=True):
    name: Opt[str] = UNSET
    arguments: Opt[str] = UNSET
    output: Opt[str] = UNSET


class CodeInterpreterDelta(Struct, frozen=True, kw_only=True):
    input: Opt[str] = UNSET
    outputs: Opt[list[dict[str, Any]]] = UNSET  # entries carry `index`


class ToolCallDelta(Struct, frozen=True, kw_only=True):
    """A fragment of the tool call at `index`; `id` and the name come with the first fragment only."""

    index: int | UnsetType = UNSET
    type: str | UnsetType = UNSET
    id: Opt[str] = UNSET
    function: Opt[FunctionDelta] = UNSET
    code_interpreter: Opt[CodeInterpreterDelta] = UNSET
    file_search: Opt[dict[str, Any]] = UNSET
    retrieval: Opt[dict[str, Any]] = UNSET


class StepDetailsDelta(Struct, frozen=True, kw_only=True):
    type: str | UnsetType = UNSET
    message_creation: Opt[dict[str, Any]] = UNSET
    tool_calls: Opt[list[ToolCallDelta]] = UNSET


class StepDelta(Struct, frozen=True, kw_only=True):
    """What `change.delta` is for a step delta."""

    step_details: Opt[StepDetailsDelta] = UNSET


class StepDeltaEvent(Struct, frozen=True, kw_only=True):
    """Payload of `thread.run.step.delta`. It names the step and nothing above it."""

    id: str = ""
    delta: StepDelta = StepDelta()
    object: str | UnsetType = UNSET


class TextDelta(Struct, frozen=True, kw_only=True):
    value: Opt[str] = UNSET
    annotations: Opt[list[dict[str, Any]]] = UNSET  # entries carry `index`


class ContentDelta(Struct, frozen=True, kw_only=True):
    """A fragment of the content block at `index`."""

    index: int | UnsetType = UNSET
    type: str | UnsetType = UNSET
    text: Opt[TextDelta] = UNSET
    image_file: Opt[dict[str, Any]] = UNSET
    image_url: Opt[dict[str, Any]] = UNSET
    refusal: Opt[str] = UNSET


class MessageDelta(Struct, frozen=True, kw_only=True):
    """What `change.delta` is for a message delta."""

    role: Opt[str] = UNSET
    content: Opt[list[ContentDelta]] = UNSET


class MessageDeltaEvent(Struct, frozen=True, kw_only=True):
    """Payload of `thread.message.delta`."""

    id: str = ""
    delta: MessageDelta = MessageDelta()
    object: str | UnsetType = UNSET


_DELTAS: Final[Mapping[str, type[StepDeltaEvent] | type[MessageDeltaEvent]]] = {
    STEP_DELTA: StepDeltaEvent,
    MESSAGE_DELTA: MessageDeltaEvent,
}


Payload: TypeAlias = (
    Run | RunStep | Message | Thread | StepDeltaEvent | MessageDeltaEvent | ErrorObject | Anomaly | Patch | None
)


class Event(Struct, frozen=True, gc=False):
    """One canonical event.

    `data` is what the reducer reads: the payload as plain JSON data; a `Patch` in place of a snapshot; an
    `ErrorObject`; an `Anomaly` when the dialect could make no event of a frame; or None for `done`. `raw` is the
    payload's bytes as they came (b"" for an event made by hand).
    """

    name: str
    data: Any = None
    raw: bytes = b""

    @property
    def payload(self) -> Payload:
        """The payload as a typed struct; undeclared fields are in `raw` alone."""
        if not isinstance(self.data, dict):
            return cast(Payload, self.data)  # a struct already
        if cls := _DELTAS.get(self.name):
            return from_wire(cls, self.data)
        kind = _SNAPSHOTS.get(self.name)
        obj = from_wire(CLASSES[kind] if kind else Thread, self.data)
        if self.raw:
            attach_wire(obj, self.raw)
        return cast(Payload, obj)


def typed_delta(name: str, data: dict[str, Any]) -> StepDelta | MessageDelta | None:
    """The `delta` member of a delta event's payload as a struct; None for any other event."""
    cls = _DELTAS.get(name)
    if cls is None:
        return None
    delta: StepDelta | MessageDelta = from_wire(cls, data).delta
    return delta


def snapshot_event(obj: Run | RunStep | Message, name: str | None = None) -> Event:
    """Make the event that announces `obj`; the name follows its `object` and `status` unless given.

    Raises:
        ValueError: the object has no `object` or `status` to name the event by.
    """
    raw = to_wire(obj)
    if name is None:
        if not isinstance(obj.status, str):
            raise ValueError(f"cannot name an event for {type(obj).__name__} {obj.id!r}: it has no status")
        name = snapshot_name(_OBJECTS[type(obj)], obj.status)
    return Event(name, msgspec.json.decode(raw), raw)


def encode_sse(event: Event) -> bytes:
    """Write a canonical event as one server-sent event, ending in a blank line.

    The payload's own bytes are used when the event has them, so what came in goes out unchanged.

    Raises:
        ValueError: the name holds a line break and would start another field.
    """
    if "\n" in event.name or "\r" in event.name:
        raise ValueError(f"an event name cannot hold a line break: {event.name!r}")
    payload = event.raw or (b"[DONE]" if event.name == DONE else msgspec.json.encode(event.data))
    # CR and LF end a line wherever they stand, so each piece needs a field name of its own
    lines = payload.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    return b"event: %b\n%b\n\n" % (event.name.encode(), b"\n".join(b"data: " + line for line in lines))
