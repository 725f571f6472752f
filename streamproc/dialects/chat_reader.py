"""The commonest chunks: one choice with a piece of its text, of the arguments of one call, or of what the model thinks.

They are read by structs so narrow that a chunk which decodes says nothing else that this dialect would look at.
"""

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from streamproc.core.events import Event
from streamproc.core.spot import Spot
from streamproc.dialects.chat_choice import Choice

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


class _TextDelta(_PlainDelta, frozen=True, gc=False):
    content: str | None = None
    tool_calls: tuple[_CallPiece] | None = None
    reasoning_content: _Nothing = None
    reasoning: _Nothing = None
    reasoning_details: tuple[()] | None = None


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


class _ThoughtChoice(_PlainChoice, frozen=True, gc=False, kw_only=True):
    delta: _ThoughtDelta


class _PlainChunk(Struct, frozen=True, gc=False):
    usage: None = None
    error: None = None
    x_groq: None = None


class _TextChunk(_PlainChunk, frozen=True, gc=False, kw_only=True):
    choices: tuple[_TextChoice]


class _ThoughtChunk(_PlainChunk, frozen=True, gc=False, kw_only=True):
    choices: tuple[_ThoughtChoice]


_read_text: Final = msgspec.json.Decoder(_TextChunk).decode
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
        self._left: bytes | None = None  # the last payload that is no text

    def text(self, payloads: Sequence[bytes], at: int) -> tuple[Spot, list[str]] | None:
        """The `TextReader` of the dialect."""
        spot: Spot | None = None
        texts: list[str] = []
        choices, left = self.choices, self._left
        for position in range(at, len(payloads)):
            payload = payloads[position]
            if payload is left:
                break
            try:
                choice = _read_text(payload).choices[0]
            except _ERRORS:
                self._left = payload
                break
            known = choices.get(choice.index)
            if known is None:
                break
            delta = choice.delta
            text, pieces = delta.content, delta.tool_calls
            if pieces is None:
                place, slot = known.text, None
            else:
                piece = pieces[0]
                slot = known.by_index.get(piece.index)
                if text or slot is None:
                    break
                place, text = slot.spot, piece.function.arguments
            if not text or place is None or (place is not spot and spot is not None):
                break
            if slot is not None and self._keeps:
                known.slots.keep(slot, text)
            spot = place
            texts.append(text)
        return None if spot is None else (spot, texts)

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
