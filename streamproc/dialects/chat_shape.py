"""What stands around a growing text in its chunks: nearly all of a chunk repeats, so one is known without decoding it.

A chunk with the same bytes before and after its text says the same of that text as the chunk that was decoded. Only the
random padding that some servers put at the end may differ, which says nothing.
"""

import re
from typing import Final

from msgspec import Struct

from streamproc.core.spot import Spot
from streamproc.dialects.chat_slots import Slot, Slots

__all__ = ["Shape", "learn_shape"]

_REST: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)  # of a JSON text, behind its opening quote
_START: Final = {name: re.compile(rb'"%b"\s*:\s*"' % name) for name in (b"content", b"arguments")}
_PADDING: Final = b'"obfuscation":"'
_END: Final = b'"}'  # of the padding, and the chunk


class Shape(Struct, frozen=True, gc=False):
    """Where the text is in chunks like one that was decoded."""

    spot: Spot
    slots: Slots
    slot: Slot | None  # None: not the arguments of a call
    before: bytes  # with the opening quote
    after: bytes  # with the closing quote
    is_padded: bool

    def literal(self, payload: bytes) -> bytes | None:
        """The text as JSON spells it; None when the payload looks different."""
        before, after = self.before, self.after
        if not payload.startswith(before):
            return None
        start = len(before)
        end = payload.find(after, start)
        rest = end + len(after)
        if end <= start or rest > len(payload):
            return None
        if self.is_padded:
            if payload.find(b'"', rest) != len(payload) - 2 or not payload.endswith(_END):
                return None
        elif rest != len(payload):
            return None
        return payload[start - 1 : end + 1]


def learn_shape(payload: bytes, spot: Spot, slots: Slots, slot: Slot | None) -> Shape | None:
    """The shape of a payload that was decoded; None when it cannot be told where its text is."""
    name = b"content" if slot is None else b"arguments"
    if payload.count(b'"%b"' % name) != 1:
        return None
    opening = _START[name].search(payload)
    closing = opening and _REST.match(payload, opening.end())
    if opening is None or closing is None:
        return None
    before, after = payload[: opening.end()], payload[closing.end() - 1 :]
    padding = after.find(_PADDING)
    if padding < 0:
        return Shape(spot, slots, slot, before, after, is_padded=False)
    return Shape(spot, slots, slot, before, after[: padding + len(_PADDING)], is_padded=True)
