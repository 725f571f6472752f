"""Deltas: nearly all events of a stream are fragments of a text that grows, and these are read by one narrow decode.

What is not needed to place the fragment (ids, log probabilities, padding) is not looked at. Which texts grow is noted
here by those who see the other events.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias, TypeVar

import msgspec
from msgspec import Struct

from streamproc.core.spot import Spot, TextReader
from streamproc.dialects.responses.numbers import NO_NUMBER, SequenceNumbers

__all__ = ["Texts"]

_MAX_TEXTS: Final = 256
_T = TypeVar("_T")


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

_Key: TypeAlias = tuple[type[_Delta], int, int]  # output index and content index
_First: TypeAlias = tuple[Spot, dict[int, Spot]]  # of a text of which nothing came, and where to note once it did


class Texts:
    """The texts of a stream that grow now, as far as their fragments can be read fast. Bounded: it forgets all."""

    def __init__(self, numbers: SequenceNumbers) -> None:
        self._numbers = numbers
        self._spots: dict[_Key, Spot] = {}
        self._first: dict[_Key, _First] = {}

    def note(self, name: str, index: int, place: int, spot: Spot) -> None:
        """Fragments that come as events of that name, for that output and content index, belong to a spot."""
        cls = _DELTAS.get(name)
        if cls is not None:
            self._enter(self._spots, (cls, index, place), spot)

    def note_first(self, name: str, index: int, spot: Spot, seen: dict[int, Spot]) -> None:
        """As `note`, of a text of which nothing has come; when something does, the spot is put into `seen` as well."""
        self._enter(self._first, (_DELTAS[name], index, 0), (spot, seen))

    def forget(self, index: int) -> None:
        """No text of an item grows any more in a way that can be read fast."""
        for known in (self._first, self._spots):
            for key in [key for key in known if key[1] == index]:
                del known[key]

    def clear(self) -> None:
        """The same for all items."""
        self._first.clear()
        self._spots.clear()

    @staticmethod
    def _enter(known: dict[_Key, _T], key: _Key, value: _T) -> None:
        if len(known) >= _MAX_TEXTS:
            known.clear()
        known[key] = value

    def readers(self) -> dict[str | None, TextReader]:
        """The reader for each event name, and for events without one.

        They take a fragment only where its number goes up, or has none, so that there is nothing to decide about it.
        """
        return {None: self._reader(_decode_any), **{name: self._reader(one) for name, one in _decode_one.items()}}

    def _reader(self, decode: Callable[[bytes], _Delta]) -> TextReader:
        numbers, all_spots, all_first, enter, errors = self._numbers, self._spots, self._first, self._enter, _ERRORS

        def read(payloads: Sequence[bytes], at: int) -> tuple[Spot, list[str]] | None:
            texts: list[str] = []
            last = numbers.last
            spot: Spot | None = None
            first: _First | None = None
            kind, index, place = _Delta, 0, 0
            try:
                for payload in payloads[at:] if at else payloads:
                    delta = decode(payload)
                    if spot is None:
                        kind, index, place = type(delta), delta.output_index, delta.content_index
                        spot = all_spots.get((kind, index, place))
                        if spot is None:
                            first = all_first.get((kind, index, place))
                            if first is None or not delta.delta:
                                return None
                            spot = first[0]
                    elif delta.output_index != index or delta.content_index != place or type(delta) is not kind:
                        break
                    number = delta.sequence_number
                    if number > last:
                        last = number
                    elif number != NO_NUMBER:
                        break
                    texts.append(delta.delta)
            except errors:
                pass  # the next one is something else
            numbers.last = last
            if spot is None or not texts:
                return None
            if first is not None:
                del all_first[kind, index, place]
                first[1][place] = spot
                enter(all_spots, (kind, index, place), spot)
            return spot, texts

        return read
