"""Deltas: nearly all events of a stream are fragments of a text that grows, and these are read by one narrow decode.

What is not needed to place the fragment (ids, log probabilities, padding) is not looked at.
"""

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from streamproc.core.spot import Spot
from streamproc.dialects.responses.numbers import NO_NUMBER, SequenceNumbers

__all__ = ["DELTAS", "Texts", "decode_delta", "text_reader"]


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


_CLASSES: Final = (_Text, _Arguments, _Input, _McpArguments, _Code)
DELTAS: Final[Mapping[str, type[_Delta]]] = {str(cls.__struct_config__.tag): cls for cls in _CLASSES}
"""Event type -> how its payload is read."""

decode_delta: Final = msgspec.json.Decoder(_Text | _Arguments | _Input | _McpArguments | _Code).decode

Texts: TypeAlias = dict[tuple[type[_Delta], int, int], Spot]
"""Texts that grow: by the class of their deltas, output index and content index."""


def text_reader(texts: Texts, numbers: SequenceNumbers) -> Callable[[bytes], tuple[Spot, str] | None]:
    """Make the reader for the texts of a stream; both arguments change while it is used.

    It takes a fragment only where its number goes up, or has none, so that there is nothing to decide about it.
    """
    find, decode, errors = texts.get, decode_delta, _ERRORS

    def read(payload: bytes) -> tuple[Spot, str] | None:
        try:
            delta = decode(payload)
        except errors:
            return None
        spot = find((type(delta), delta.output_index, delta.content_index))
        if spot is None:
            return None
        number = delta.sequence_number
        if number > numbers.last:
            numbers.last = number
        elif number != NO_NUMBER:
            return None
        return spot, delta.delta

    return read


_ERRORS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
