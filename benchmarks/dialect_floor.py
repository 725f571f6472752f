"""The decode floor of a Responses or a chat stream: as in floor.py, with the decoders that one would use for these.

Nearly every payload is one piece of text for one place. It is decoded by a struct that reads what a program must know
of it and skips the rest, padding above all: where it belongs, the text, and what says that there is nothing more to it.
In a Responses stream the event's name tells such a payload; a chunk of a chat has none, so its struct is so narrow in
`choices` and `usage` that one with a role, a name, an id of a call, a reason or counts does not fit. Any other payload
is decoded to plain data. Which of the two it is was found out beforehand.
"""

from collections.abc import Callable, Mapping
from typing import Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from benchmarks.floor import Job
from benchmarks.writer import Workload
from streamproc.core.sse import Frame, SSEParser

__all__ = ["ChatDelta", "ResponseDelta", "dialect_jobs"]

_DONE: Final = b"[DONE]"


class ResponseDelta(Struct, frozen=True, gc=False):
    """A piece of a text or of arguments."""

    sequence_number: int
    item_id: str
    output_index: int
    delta: str
    content_index: int = 0


class _Exact(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    pass


class _Function(_Exact, frozen=True):
    arguments: str


class _Call(_Exact, frozen=True):
    index: int
    function: _Function


class _Delta(_Exact, frozen=True):
    content: str | UnsetType = UNSET
    tool_calls: tuple[_Call] | UnsetType = UNSET


class _Choice(_Exact, frozen=True):
    index: int
    delta: _Delta
    logprobs: None = None
    finish_reason: None = None


class ChatDelta(Struct, frozen=True, gc=False):
    """A chunk with a piece of a text or of arguments and nothing else; its id says nothing that the first did not."""

    choices: tuple[_Choice]
    usage: None = None


_RESPONSE_DELTA: Final = msgspec.json.Decoder(ResponseDelta).decode
_CHAT_DELTA: Final = msgspec.json.Decoder(ChatDelta).decode
_PLAIN: Final = msgspec.json.Decoder().decode
_NAMED: Final = {
    "response.output_text.delta": _RESPONSE_DELTA,
    "response.function_call_arguments.delta": _RESPONSE_DELTA,
}


def dialect_jobs(dialect: str, workload: Workload) -> list[Job]:
    """The payloads of all events, each with its decoder; `[DONE]` is left out."""
    choose = _CHOICES[dialect]
    frames = SSEParser().feed(workload.stream)
    return [(choose(frame), frame.data) for frame in frames if frame.data != _DONE]


def _of_response(frame: Frame) -> Callable[[bytes], object]:
    return _NAMED.get(frame.event, _PLAIN)


def _of_chat(frame: Frame) -> Callable[[bytes], object]:
    try:
        _CHAT_DELTA(frame.data)
    except msgspec.ValidationError:
        return _PLAIN
    return _CHAT_DELTA


_CHOICES: Final[Mapping[str, Callable[[Frame], Callable[[bytes], object]]]] = {
    "responses": _of_response,
    "chat": _of_chat,
}
