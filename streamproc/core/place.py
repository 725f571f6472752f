"""A place that is growing: one text of one object, to which the next fragment will most likely belong too.

Payloads for one place differ in their text alone. So once a place has seen a payload, the next one needs no decoding
beyond its text: what stands before and after it must be the same, byte for byte.
"""

from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from streamproc.core.fragments import Fragment, FragmentDecoder, FragmentError
from streamproc.core.tree import TextBuffer

__all__ = ["NO_TEMPLATE", "Place", "Template", "decode_text"]

decode_text: Final = msgspec.json.Decoder(str).decode

_PROBE: Final = "\0"
_PROBE_LITERAL: Final = msgspec.json.encode(_PROBE)


class Template(NamedTuple):
    """The bytes around the text of a payload, and where the text, a JSON string, starts and ends."""

    before: bytes
    after: bytes
    start: int
    end: int  # from the end of the payload


NO_TEMPLATE: Final = Template(b"\xff", b"", 0, 0)  # nothing in UTF-8 starts like this


class Place:
    """Where a text fragment goes: a buffer, and what its fragments look like.

    `record.hot` holds the places of a record by index, for as long as only plain fragments can be expected there.
    """

    __slots__ = ("buffer", "entry", "template")

    def __init__(self, buffer: TextBuffer, entry: type[Struct]) -> None:
        self.buffer = buffer
        self.entry = entry  # the struct of its fragments, see fragments.py
        self.template: Template | None = None

    def learn(self, payload: bytes, fragment: Fragment, decode: FragmentDecoder) -> Template:
        """Find out what stands around the text of `payload`, which decoded to `fragment` and belongs here.

        The guess is the last spot where the text's JSON could be. It is right if a payload with another string in that
        spot decodes to the same fragment with that string: then the spot is the value itself, and any string may stand
        there.
        """
        self.template = NO_TEMPLATE
        literal = msgspec.json.encode(fragment.entry.payload.text)
        start = payload.rfind(literal)
        if start < 0:  # spelled with other escapes; the next payload may be plainer, but this is rare enough
            return NO_TEMPLATE
        before, after = payload[:start], payload[start + len(literal) :]
        try:
            probe = decode(before + _PROBE_LITERAL + after)
        except FragmentError:
            return NO_TEMPLATE
        entry = probe.entry
        if entry.payload.text == _PROBE and probe.id == fragment.id and entry.index == fragment.entry.index:
            self.template = Template(before, after, start, -len(after))
        return self.template
