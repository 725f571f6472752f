"""Change: what happened, and a view of the object after it.

A change is made for every event that changes something, so making one must cost next to nothing: it refers to the
object's body and a revision, and builds the typed state only when somebody reads `state`.
"""

from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Raw, Struct

from streamproc.core.anomalies import Anomaly
from streamproc.core.body import Body, Kind
from streamproc.core.events import MESSAGE_DELTA, STEP_DELTA, MessageDelta, StepDelta, typed_delta
from streamproc.core.place import Around
from streamproc.model.message import Message
from streamproc.model.run import Run
from streamproc.model.run_step import RunStep
from streamproc.model.thread import ErrorObject

__all__ = ["ENDED", "NO_NOTE", "Change", "Note", "Origin", "State", "encode_change"]

State: TypeAlias = Run | RunStep | Message | ErrorObject


class Origin(Struct, frozen=True, gc=False):
    """Which pass over which stream a change came from."""

    stream: str
    epoch: int
    at: str | None = None  # RFC 3339, UTC; set by the pipeline, which has a clock


class Note(Struct, frozen=True, gc=False):
    """What is known about an object beside what the server said of it; never part of its state."""

    inferred_status: str | None = None  # the run ended, or fell silent, while the object was open
    truncated: bool = False  # the stream broke off while the object was open
    ended: bool = False  # the object has a terminal status


NO_NOTE: Final = Note()
ENDED: Final = Note(ended=True)


class Change(Struct, frozen=True, gc=False):
    """One change: identity, what happened, and the object after it.

    A log entry is `(stream, epoch, seq)`; a state is keyed by its `id` and guarded by `(epoch, revision)`.
    """

    origin: Origin
    seq: int  # from 1, per (stream, epoch); anomalies included
    event: str  # name of the event that caused it, canonical or (an unknown one) as it came
    body: Body
    revision: int  # counts visible changes of the object, from 1; 0 for errors and anomalies
    data: Any = None  # an `Anomaly`, an `ErrorObject`, or the payload of an event that was made by hand
    piece: bytes = b""  # the event's payload as it came, or what is between `around`; see `raw`
    note: Note = NO_NOTE
    around: Around | None = None

    @property
    def stream(self) -> str:
        return self.origin.stream

    @property
    def epoch(self) -> int:
        return self.origin.epoch

    @property
    def at(self) -> str | None:
        """When the pipeline took it in (RFC 3339, UTC); None from a bare processor."""
        return self.origin.at

    @property
    def raw(self) -> bytes:
        """The payload of the event that caused the change, as it came."""
        around = self.around
        return self.piece if around is None else around.before + self.piece + around.after

    @property
    def kind(self) -> Kind:
        return self.body.kind

    @property
    def id(self) -> str:
        """The object's id; "" for an error or an anomaly that concerns none."""
        return self.body.id

    @property
    def run_id(self) -> str | None:
        return self.body.run_id

    @property
    def thread_id(self) -> str | None:
        return self.body.thread_id

    @property
    def inferred_status(self) -> str | None:
        """How the object must have ended, when its run ended first; never merged into `state.status`."""
        return self.note.inferred_status

    @property
    def truncated(self) -> bool:
        """Whether the stream broke off while the object was open."""
        return self.note.truncated

    @property
    def is_final(self) -> bool:
        """Whether nothing but late additions will follow: the object ended, was left open by the end of its run or of
        its stream, or this is an error."""
        return self.note != NO_NOTE or self.kind == "error"

    @property
    def is_delta(self) -> bool:
        """Whether `delta` says what was added to a step or message."""
        is_named_so = self.event in (STEP_DELTA, MESSAGE_DELTA) and self.body.kind != "anomaly"
        return is_named_so and (self.data is not None or self.piece != b"")

    @property
    def delta(self) -> StepDelta | MessageDelta | Anomaly | None:
        """What a delta added, or what an anomaly says; None for a snapshot."""
        if isinstance(self.data, Anomaly):
            return self.data
        if not self.is_delta:
            return None
        return typed_delta(self.event, self.data or msgspec.json.decode(self.raw))

    @property
    def state(self) -> Any:
        """The Run, RunStep, Message or ErrorObject as it was after this change; None for an anomaly."""
        body = self.body
        if body.kind == "anomaly":
            return None
        return self.data if body.kind == "error" else body.state(self.revision)

    def as_snapshot(self) -> "Change":
        """The same view of an object without what happened to it: `delta` is None, its JSON form holds the state."""
        return msgspec.structs.replace(self, data=None, piece=b"", around=None) if self.is_delta else self


class _HasDelta(Struct, gc=False):
    delta: Raw


_DELTA_OF: Final = msgspec.json.Decoder(_HasDelta).decode


def encode_change(change: Change) -> bytes:
    """Return the JSON form, on one line: identity, and `delta` for a delta, an anomaly or `state` for a snapshot.

    `inferred_status` and `truncated` appear only when they say something.
    """
    out: dict[str, Any] = {
        name: getattr(change, name)
        for name in ("stream", "epoch", "seq", "event", "kind", "id", "run_id", "thread_id", "revision", "at")
    }
    data = change.data
    if change.inferred_status is not None:
        out["inferred_status"] = change.inferred_status
    if change.truncated:
        out["truncated"] = True
    if change.kind == "error":
        out["state"] = data
    elif change.kind == "anomaly":
        out["delta"] = data
    elif change.is_delta:
        out["delta"] = data.get("delta") if data else _DELTA_OF(change.raw).delta
    else:
        out["state"] = Raw(change.body.wire(change.revision))
    encoded = msgspec.json.encode(out)
    # a payload of several data lines has line ends between its tokens; within text JSON escapes them
    return encoded.replace(b"\r", b" ").replace(b"\n", b" ") if b"\n" in encoded or b"\r" in encoded else encoded
