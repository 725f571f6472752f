"""Deltas: nearly all events of a stream are fragments of a text that grows, and these are read by one narrow decode.

What is not needed to place the fragment (ids, log probabilities, padding) is not looked at. Which texts grow is noted
here by those who see the other events.
"""

from collections.abc import Mapping
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from streamproc.core.dialect import TextReader
from streamproc.core.spot import Spot
from streamproc.dialects.responses.numbers import NO_NUMBER, SequenceNumbers

__all__ = ["Texts"]

_MAX_TEXTS: Final = 256  # of one kind


class _Delta(Struct, tag_field="type", gc=False):
    output_index: int
    delta: str
    content_index: int = 0
    sequence_number: int = NO_NUMBER


class _Text(_Delta, tag="response.output_text.delta"):
    pass


class _Arguments(_Delta, tag="response.function_call_arguments.delta"):
    pass


class _Input(_Delta, tag="response.custom_tool_call_input.delta"):
    pass


class _McpArguments(_Delta, tag="response.mcp_call_arguments.delta"):
    pass


class _Code(_Delta, tag="response.code_interpreter_call_code.delta"):
    pass


_DELTAS: Final[Mapping[str, type[_Delta]]] = {
    str(cls.__struct_config__.tag): cls for cls in (_Text, _Arguments, _Input, _McpArguments, _Code)
}
_decode_any: Final = msgspec.json.Decoder(_Text | _Arguments | _Input | _McpArguments | _Code).decode
_decode_one: Final = {name: msgspec.json.Decoder(cls).decode for name, cls in _DELTAS.items()}
_ERRORS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

_Spots: TypeAlias = dict[tuple[int, int], Spot]  # by output index and content index


class Texts:
    """The texts of a stream that grow now, as far as their fragments can be read fast. Bounded: it forgets all."""

    def __init__(self, numbers: SequenceNumbers) -> None:
        self._numbers = numbers
        self._spots: dict[type[_Delta], _Spots] = {cls: {} for cls in _DELTAS.values()}

    def note(self, name: str, index: int, place: int, spot: Spot) -> None:
        """Fragments that come as events of that name, for that output and content index, belong to a spot."""
        cls = _DELTAS.get(name)
        if cls is not None:
            spots = self._spots[cls]
            if len(spots) >= _MAX_TEXTS:
                spots.clear()
            spots[index, place] = spot

    def forget(self, index: int) -> None:
        """No text of an item grows any more in a way that can be read fast."""
        for spots in self._spots.values():
            for key in [key for key in spots if key[0] == index]:
                del spots[key]

    def clear(self) -> None:
        """The same for all items."""
        for spots in self._spots.values():
            spots.clear()

    def readers(self) -> dict[str | None, TextReader]:
        """The reader for each event name, and for events without one.

        They take a fragment only where its number goes up, or has none, so that there is nothing to decide about it.
        """
        return {None: self._any, **{name: self._one(name) for name in _DELTAS}}

    def _one(self, name: str) -> TextReader:
        find, decode, errors, numbers = self._spots[_DELTAS[name]].get, _decode_one[name], _ERRORS, self._numbers

        def read(payload: bytes) -> tuple[Spot, str] | None:
            try:
                delta = decode(payload)
            except errors:
                return None
            spot = find((delta.output_index, delta.content_index))
            if spot is None:
                return None
            number = delta.sequence_number
            if number > numbers.last:
                numbers.last = number
            elif number != NO_NUMBER:
                return None
            return spot, delta.delta

        return read

    def _any(self, payload: bytes) -> tuple[Spot, str] | None:
        try:
            delta = _decode_any(payload)
        except _ERRORS:
            return None
        spot = self._spots[type(delta)].get((delta.output_index, delta.content_index))
        if spot is None:
            return None
        numbers, number = self._numbers, delta.sequence_number
        if number > numbers.last:
            numbers.last = number
        elif number != NO_NUMBER:
            return None
        return spot, delta.delta
