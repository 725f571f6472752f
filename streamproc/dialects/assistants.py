"""The Assistants dialect: its events are the canonical ones, so decoding is naming, checking and little else.

Frames come with an `event:` line, or without one: then the name is in the JSON (`{"event": ..., "data": ...}`), or
follows from the `object` and `status` of the payload. Errors have three shapes. A payload that cannot be decoded makes
an anomaly and keeps its bytes; nothing raises.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Raw

from streamproc.core.events import (
    DONE,
    ERROR,
    EVENT_NAMES,
    MESSAGE_DELTA,
    STEP_DELTA,
    THREAD_CREATED,
    Event,
    snapshot_name,
)
from streamproc.core.fragments import FRAGMENT_DECODERS, FragmentDecoder
from streamproc.core.sse import Frame
from streamproc.dialects.payload import anomaly, decode_json, error_object

__all__ = ["AssistantsDialect", "matches"]

_OBJECT_NAMES: Final[Mapping[str, str]] = {
    "thread": THREAD_CREATED,
    "thread.run.step.delta": STEP_DELTA,
    "thread.message.delta": MESSAGE_DELTA,
}
_STATEFUL: Final = frozenset({"thread.run", "thread.run.step", "thread.message"})
_decode_members: Final = msgspec.json.Decoder(dict[str, Raw]).decode  # each value as the bytes that spell it
_ALIASES: Final = {"thread.message.chunk": MESSAGE_DELTA}  # Azure, api 2024-03-01-preview


def matches(event: str, payload: Mapping[str, Any]) -> bool:
    """Whether a frame is one of this protocol; an error is none, since every protocol has some like it."""
    if event in EVENT_NAMES or event in _ALIASES:
        return event not in (ERROR, DONE)
    names = payload.get("event"), payload.get("object")
    return any(isinstance(name, str) and name.startswith("thread.") for name in names)


class AssistantsDialect:
    """Decodes the 25 events of the protocol, as OpenAI, Azure and others spell them."""

    cursor: str | None = None  # this protocol cannot resume a stream
    fragments: Mapping[str, FragmentDecoder] = FRAGMENT_DECODERS

    def decode(self, frame: Frame) -> Sequence[Event]:
        """Return the event of a frame; never raises."""
        payload = frame.data
        if payload.startswith(b"[DONE]"):
            return (Event(DONE, None, payload),)
        name = _ALIASES.get(frame.event, frame.event)
        if name == DONE:
            return (Event(DONE, None, payload),)
        return (_decode_plain(name, frame),)

    def finish(self) -> Sequence[Event]:
        """Return what the end of the stream reveals: nothing, in this protocol."""
        return ()


def _decode_plain(name: str, frame: Frame) -> Event:
    data, payload, fault = decode_json(frame.data)
    if name == ERROR:
        return Event(ERROR, error_object(data, payload), payload)
    if fault:
        return anomaly("bad_json", name, payload, fault)
    if not isinstance(data, dict):
        return anomaly("bad_json", name, payload, "no JSON object")
    if name == "message":
        return _unnamed(data, payload)
    if name not in EVENT_NAMES:
        return anomaly("unknown_event", name, payload, "not in the vocabulary")
    return Event(name, data, payload)


def _unnamed(data: dict[str, Any], payload: bytes) -> Event:
    """Resolve the name of a payload that came without an `event:` line."""
    name = data.get("event")
    if isinstance(name, str) and name != "message" and "data" in data:  # both in one JSON object
        inner = data["data"]
        text = inner.encode() if isinstance(inner, str) else bytes(_decode_members(payload)["data"])
        return AssistantsDialect().decode(Frame(name, text, ""))[0]
    named = data.get("object")
    if isinstance(named, str) and named in _OBJECT_NAMES:
        return Event(_OBJECT_NAMES[named], data, payload)
    if isinstance(named, str) and named in _STATEFUL:
        return Event(snapshot_name(named, data.get("status")), data, payload)
    if data.get("error") is not None or {"message", "type"} <= data.keys():
        return Event(ERROR, error_object(data, payload), payload)
    return anomaly("unknown_event", "message", payload, "no name, and none follows from the payload")
