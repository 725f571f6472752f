"""A place that is growing: one text of one object, to which the next fragment will most likely belong too.

Payloads for one place differ in their text alone. So once a place has seen a payload, the next one needs no decoding
beyond its text: what stands around it must be the same, byte for byte.
"""

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
from msgspec import Struct

from streamproc.core.fragments import Fragment, FragmentDecoder, FragmentError
from streamproc.core.tree import TextBuffer

if TYPE_CHECKING:
    from streamproc.core.table import Record

__all__ = ["Around", "Place", "Places", "decode_text"]

decode_text: Final = msgspec.json.Decoder(str).decode

_PROBE: Final = "\0"
_PROBE_LITERAL: Final = msgspec.json.encode(_PROBE)
_MAX_PLACES: Final = 256
_MAX_LENGTHS: Final = 4


class Around(NamedTuple):
    """What stands around the text in all payloads for a place."""

    before: bytes
    after: bytes


class Place:
    """Where a text fragment goes: a buffer, and what payloads for it look like.

    `record.hot` holds the places of a record by index, for as long as only plain fragments can be expected there.
    """

    __slots__ = ("around", "buffer", "entry", "index", "record")

    def __init__(self, record: "Record", index: int, buffer: TextBuffer, entry: type[Struct]) -> None:
        self.record = record
        self.index = index
        self.buffer = buffer
        self.entry = entry  # the struct of its fragments, see fragments.py
        self.around: Around | None = None  # until a payload taught it

    def is_open(self, owner: tuple[str, int]) -> bool:
        """Whether a fragment from this stream may be appended without looking further."""
        record = self.record
        return record.owner is owner and record.hot.get(self.index) is self

    def learn(self, payload: bytes, fragment: Fragment, decode: FragmentDecoder) -> Around | None:
        """Find out what stands around the text of `payload`, which decoded to `fragment` and belongs here.

        The guess is the last spot where the text's JSON could be. It is right if a payload with another string in that
        spot decodes to the same fragment with that string: then the spot is the value itself, and any string may stand
        there. A text that the server spells with other escapes is not found; another payload may teach it then.
        """
        literal = msgspec.json.encode(fragment.entry.payload.text)
        start = payload.rfind(literal)
        if start < 0:
            return None
        before, after = payload[:start], payload[start + len(literal) :]
        try:
            probe = decode(before + _PROBE_LITERAL + after)
        except FragmentError:
            return None
        entry = probe.entry
        if entry.payload.text != _PROBE or probe.id != fragment.id or entry.index != fragment.entry.index:
            return None
        self.around = Around(before, after)
        return self.around


class Places:
    """The places that the events of one name are about now, by how their payloads start.

    Bounded: it forgets all of them and learns them again.
    """

    __slots__ = ("_by_start", "_lengths", "last", "steady")

    def __init__(self) -> None:
        self.last: Place | None = None  # of the last text fragment
        self.steady: Place | None = None  # the same, when the fragment before was for it too
        self._by_start: dict[bytes, Place] = {}
        self._lengths: tuple[int, ...] = ()  # of the starts; few, since ids and indexes are of few lengths

    def find(self, payload: bytes, end: bytes = b"") -> tuple[Place, Around] | None:
        """The place whose payloads look like this one, which lacks its `end`; and how they look."""
        for length in self._lengths:
            place = self._by_start.get(payload[:length])
            around = place and place.around
            if place and around and (around.after == end if end else payload.endswith(around.after)):
                return place, around
        return None

    def add(self, place: Place, around: Around) -> None:
        """Remember a place that learned its `around`."""
        start = around.before
        if len(start) not in self._lengths:
            if len(self._lengths) >= _MAX_LENGTHS:
                self._by_start.clear()
                self._lengths = ()
            self._lengths = (len(start), *self._lengths)
        elif len(self._by_start) >= _MAX_PLACES:
            self._by_start.clear()
        self._by_start[start] = place
