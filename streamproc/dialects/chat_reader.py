"""The commonest chunks: one choice with a piece of its text, of the arguments of one call, or of what the model thinks.

They are read by structs so narrow that a chunk which decodes says nothing else that this dialect would look at.
"""

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from streamproc.core.events import Event
from streamproc.core.spot import Spot, TextReader
from streamproc.dialects.chat_choice import Choice
from streamproc.dialects.chat_slots import Slot

__all__ = ["Reader"]

_ERRORS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_Nothing: TypeAlias = Literal["", None]


class _Piece(Struct, frozen=True, gc=False):
    arguments: str
    name: _Nothing = None


class _CallPiece(Struct, frozen=True, gc=False):
    index: int
    function: _Piece
    id: _Nothing = None
    custom: None = None


class _PlainDelta(Struct, frozen=True, gc=False):
    refusal: _Nothing = None
    annotations: tuple[()] | None = None
    function_call: None = None
    audio: None = None
    images: None = None
    executed_tools: None = None


class _SpokenDelta(_PlainDelta, frozen=True, gc=False):
    reasoning_content: _Nothing = None
    reasoning: _Nothing = None
    reasoning_details: tuple[()] | None = None


class _TextDelta(_SpokenDelta, frozen=True, gc=False, kw_only=True):
    content: str
    tool_calls: tuple[()] | None = None


class _CallDelta(_SpokenDelta, frozen=True, gc=False, kw_only=True):
    tool_calls: tuple[_CallPiece]
    content: _Nothing = None


class _ThoughtDelta(_PlainDelta, frozen=True, gc=False):
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: list[dict[str, str | int | float | None]] | None = None  # flat, as they are
    content: _Nothing = None
    tool_calls: tuple[()] | None = None


class _PlainChoice(Struct, frozen=True, gc=False):
    index: int = 0
    finish_reason: None = None
    error: None = None
    usage: None = None


class _TextChoice(_PlainChoice, frozen=True, gc=False, kw_only=True):
    delta: _TextDelta


class _CallChoice(_PlainChoice, frozen=True, gc=False, kw_only=True):
    delta: _CallDelta


class _ThoughtChoice(_PlainChoice, frozen=True, gc=False, kw_only=True):
    delta: _ThoughtDelta


class _PlainChunk(Struct, frozen=True, gc=False):
    usage: None = None
    error: None = None
    x_groq: None = None


class _TextChunk(_PlainChunk, frozen=True, gc=False, kw_only=True):
    choices: tuple[_TextChoice]


class _CallChunk(_PlainChunk, frozen=True, gc=False, kw_only=True):
    choices: tuple[_CallChoice]


class _ThoughtChunk(_PlainChunk, frozen=True, gc=False, kw_only=True):
    choices: tuple[_ThoughtChoice]


_read_text: Final = msgspec.json.Decoder(_TextChunk).decode
_read_call: Final = msgspec.json.Decoder(_CallChunk).decode
_read_thought: Final = msgspec.json.Decoder(_ThoughtChunk).decode


class Reader:
    """Reads chunks of the choices that are known.

    Attributes:
        choices: index -> choice; whoever makes choices puts them here.
    """

    def __init__(self, *, keeps: bool) -> None:
        """
        Args:
            keeps: whether the calls' arguments will be asked for.
        """
        self.choices: dict[int, Choice] = {}
        self._keeps = keeps
        self._read: TextReader = self._words  # what was read last
        self._left: bytes | None = None  # the last payload that is no text

    def text(self, payloads: Sequence[bytes], at: int) -> tuple[Spot, list[str]] | None:
        """The `TextReader` of the dialect."""
        if payloads[at] is self._left:
            return None
        found = self._read(payloads, at)
        if found is None:
            other = self._words if self._read == self._arguments else self._arguments
            found = other(payloads, at)
            if found is None:
                self._left = payloads[at]
            else:
                self._read = other
        return found

    def _words(self, payloads: Sequence[bytes], at: int) -> tuple[Spot, list[str]] | None:
        """Pieces of the text of one choice."""
        texts: list[str] = []
        index: int | None = None
        spot: Spot | None = None
        try:
            for payload in payloads[at:] if at else payloads:
                choice = _read_text(payload).choices[0]
                if choice.index != index:
                    known = None if texts else self.choices.get(choice.index)
                    if known is None:
                        break
                    index, spot = choice.index, known.text
                text = choice.delta.content
                if not text or spot is None:
                    break
                texts.append(text)
        except _ERRORS:
            pass  # the next one is something else
        return (spot, texts) if spot is not None and texts else None

    def _arguments(self, payloads: Sequence[bytes], at: int) -> tuple[Spot, list[str]] | None:
        """Pieces of the arguments of one call."""
        texts: list[str] = []
        index: int | None = None
        place: int | None = None
        known: Choice | None = None
        slot: Slot | None = None
        try:
            for payload in payloads[at:] if at else payloads:
                choice = _read_call(payload).choices[0]
                piece = choice.delta.tool_calls[0]
                if piece.index != place or choice.index != index:
                    if texts:
                        break
                    index, place = choice.index, piece.index
                    known = self.choices.get(index)
                    slot = None if known is None else known.by_index.get(place)
                text = piece.function.arguments
                if not text or slot is None:
                    break
                texts.append(text)
        except _ERRORS:
            pass
        if known is None or slot is None or not texts:
            return None
        if self._keeps:
            for text in texts:
                known.slots.keep(slot, text)
        return slot.spot, texts

    def thought(self, payload: bytes) -> list[Event] | None:
        """The events of a piece of reasoning; None when the payload is anything else."""
        try:
            choice = _read_thought(payload).choices[0]
        except _ERRORS:
            return None
        known = self.choices.get(choice.index)
        if known is None:
            return None
        delta = choice.delta
        return known.think(delta.reasoning_content, delta.reasoning, delta.reasoning_details)
