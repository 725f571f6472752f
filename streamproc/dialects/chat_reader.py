"""The commonest chunks: one choice with a piece of its text, of the arguments of one call, or of what the model thinks.

They are read by structs so narrow that a chunk which decodes says nothing else that this dialect would look at; and
those that are like one that was read so, by chat_pattern.py.
"""

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from streamproc.core.events import Event
from streamproc.core.fragments import FragmentError
from streamproc.core.spot import Spot
from streamproc.dialects.chat_choice import Choice
from streamproc.dialects.chat_pattern import Pattern

__all__ = ["Reader"]

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


_Place: TypeAlias = tuple[int, int | None]
"""Index of a choice and of a call in it; None for its text."""

_MAX_MISSES: Final = 8


def _piece(payload: bytes) -> tuple[_Place | None, str | None]:
    """Where a payload belongs, and its text; nothing when it is anything else."""
    try:
        choice = _read_text(payload).choices[0]
    except FragmentError:
        return None, None
    delta = choice.delta
    if delta.tool_calls is None:
        return (choice.index, None), delta.content
    piece = delta.tool_calls[0]
    return (choice.index, piece.index), None if delta.content else piece.function.arguments


def _text_at(place: _Place | None, payload: bytes) -> str | None:
    """The text of a payload that belongs to a place."""
    found, text = _piece(payload)
    return text if found == place else None


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
        self._place: _Place | None = None  # of the last one that is
        self._pattern: Pattern | None = None  # of payloads for that place
        self._misses = 0  # patterns in a row that were of no use; with too many this wire has none

    def text(self, payloads: Sequence[bytes], at: int) -> tuple[Spot, list[str]] | None:
        """The `TextReader` of the dialect."""
        if payloads[at] is self._left:
            return None
        rest = payloads[at:] if at else payloads
        place, pattern = self._place, self._pattern
        texts = [] if pattern is None else pattern.texts(rest)
        if texts:
            self._misses = 0
        else:
            place, texts = self._pieces(rest)
            self._learn(place, rest[len(texts) - 1], texts)
        known = self.choices.get(place[0]) if place is not None and texts else None
        if place is None or known is None:
            self._left = payloads[at]
            return None
        if place[1] is None:
            spot = known.text
        else:
            slot = known.by_index.get(place[1])
            spot = None if slot is None else slot.spot
            if slot is not None and self._keeps:
                for text in texts:
                    known.slots.keep(slot, text)
        if spot is None:
            self._left = payloads[at]
            return None
        return spot, texts

    @staticmethod
    def _pieces(payloads: Sequence[bytes]) -> tuple[_Place | None, list[str]]:
        """The texts up to the first that is another one, or none at all."""
        first: _Place | None = None
        texts: list[str] = []
        for payload in payloads:
            place, text = _piece(payload)
            if not text or (place != first and texts):
                break
            first = place
            texts.append(text)
        return first, texts

    def _learn(self, place: _Place | None, payload: bytes, texts: Sequence[str]) -> None:
        """Take a pattern from a payload that was read, if more of its place are likely to come."""
        is_known = place == self._place
        self._misses += is_known and self._pattern is not None
        self._place, self._pattern = place, None
        if texts and (is_known or len(texts) > 1) and self._misses < _MAX_MISSES:
            self._pattern = Pattern.learn(payload, texts[-1], lambda probe: _text_at(place, probe))

    def thought(self, payload: bytes) -> list[Event] | None:
        """The events of a piece of reasoning; None when the payload is anything else."""
        try:
            choice = _read_thought(payload).choices[0]
        except FragmentError:
            return None
        known = self.choices.get(choice.index)
        if known is None:
            return None
        delta = choice.delta
        return known.think(delta.reasoning_content, delta.reasoning, delta.reasoning_details)
