"""Objects in answers that are no streams: what a client is told of runs, steps and messages, the states learn too."""

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from streamproc.model.message import Message
from streamproc.model.run import Run
from streamproc.model.run_step import RunStep
from streamproc.model.wire import attach_wire, from_wire

__all__ = ["is_about_threads", "objects_in"]

_TYPES: Final[dict[str, type[Run] | type[RunStep] | type[Message]]] = {
    "thread.run": Run,
    "thread.run.step": RunStep,
    "thread.message": Message,
}


class _Answer(Struct):
    object: str = ""
    data: list[Raw] = []


def is_about_threads(path: str) -> bool:
    """Whether an answer from this path, without its query, may hold such objects."""
    return "threads" in path.split("/")


def objects_in(body: bytes) -> list[Run | RunStep | Message]:
    """The objects in an answer: itself, or the entries of a list; none in any other."""
    try:
        answer = msgspec.json.decode(body, type=_Answer)
        entries = [bytes(entry) for entry in answer.data] if answer.object == "list" else [body]
        found = [obj for entry in entries if (obj := _object(entry)) is not None]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return []
    return found


def _object(raw: bytes) -> Run | RunStep | Message | None:
    data = msgspec.json.decode(raw)
    if not isinstance(data, dict):
        return None
    members: dict[str, Any] = data
    kind = members.get("object")
    cls = _TYPES.get(kind) if isinstance(kind, str) else None
    if cls is None or not isinstance(members.get("id"), str) or not isinstance(members.get("status"), str):
        return None
    obj = from_wire(cls, members)
    attach_wire(obj, raw)
    return obj
