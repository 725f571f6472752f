"""A place that is growing: one text of one object, to which the next fragment will most likely belong too.

Payloads for one place differ in their text alone. So once a place has seen a payload, the next one needs no decoding
beyond its text: what stands around it must be the same, byte for byte.
"""

from typing import TYPE_CHECKING, Any, Final
from weakref import ref

import msgspec
from msgspec import Struct

from streamproc.core.fragments import Fragment, FragmentDecoder, FragmentError, TextPath
from streamproc.core.tree import Node, Slots, TextBuffer
from streamproc.model.message import BLOCKS
from streamproc.model.tool_calls import TOOL_CALLS

if TYPE_CHECKING:
    from streamproc.core.table import Record

__all__ = ["Around", "Place", "Places", "decode_text", "growing_text", "learn_around", "plant_text"]

decode_text: Final = msgspec.json.Decoder(str).decode

_PROBE: Final = "\0"
_PROBE_LITERAL: Final = msgspec.json.encode(_PROBE)
_MAX_PLACES: Final = 256
_MAX_LENGTHS: Final = 4


class Around(Struct, frozen=True, gc=False):
    """What stands around the text in all payloads for a place."""

    before: bytes
    after: bytes


class Place:
    """Where a text fragment goes: a text of an object, and what payloads for it look like.

    It stays true for as long as nothing but fragments comes for the object; `text` looks again when anything did.
    """

    __slots__ = ("_index", "_path", "after", "around", "before", "buffer", "follower", "record", "touched")

    def __init__(self, record: "Record", buffer: TextBuffer, index: int, path: TextPath, around: Around) -> None:
        self.record = record
        self.buffer = ref(buffer)  # alive for as long as the place is open; after that nothing here keeps a long text
        self.around = around
        self.before, self.after = around.before, around.after
        self.follower: Place | None = None
        self._index = index
        self._path = path
        self.touched = record.touched  # when it was last looked at

    def text(self, owner: tuple[str, int]) -> TextBuffer | None:
        """The text that a fragment from this stream extends; None when the general rules must see the fragment."""
        if self.touched != self.record.touched:
            buffer = growing_text(self.record, owner, self._index, self._path)
            if buffer is None:
                return None
            self.buffer = ref(buffer)
            self.touched = self.record.touched
        return self.buffer()


def growing_text(record: "Record", owner: tuple[str, int], index: int, path: TextPath) -> TextBuffer | None:
    """The text that a fragment from this stream extends; None when the general rules must see the fragment."""
    tree = record.body.tree
    if tree is None or not record.takes_fragments(owner):
        return None
    type_name, payload_name, text_name = path
    slots: object
    if record.body.kind == "step":
        details = tree.members.get("step_details")
        if not isinstance(details, Node) or details.latest("type") != "tool_calls":
            return None
        slots = details.members.get("tool_calls")
    else:
        slots = tree.members.get("content")
    found = slots.entries.get(slots.moved.get(index, index)) if isinstance(slots, Slots) else None
    if not isinstance(found, Node) or found.latest("type") != type_name:
        return None
    payload = found.members.get(payload_name)
    text = payload.members.get(text_name) if isinstance(payload, Node) else None
    return text if isinstance(text, TextBuffer) else None


def plant_text(record: "Record", owner: tuple[str, int], index: int, path: TextPath) -> TextBuffer | None:
    """Let a text of a snapshot grow, as its first fragment would; None when the general rules must see that one."""
    type_name, payload_name, text_name = path
    body = record.body
    known = TOOL_CALLS if body.kind == "step" else BLOCKS
    if body.tree is not None or type_name not in known or not record.takes_fragments(owner):
        return None
    data: dict[str, Any] = msgspec.json.decode(body.raw)
    holder: Any = data
    name = "content"
    if body.kind == "step":
        holder, name = data.get("step_details"), "tool_calls"
        if not isinstance(holder, dict) or holder.get("type") != name:
            return None
    entries = holder.get(name)
    if not isinstance(entries, list) or index >= len(entries):
        return None
    slots = Slots(entries)
    entry = slots.entries[index]
    if not isinstance(entry, Node) or entry.members.get("type") != type_name:
        return None
    payload = entry.members.get(payload_name)
    if not isinstance(payload, dict) or not isinstance(text := payload.get(text_name), str):
        return None
    buffer = TextBuffer(text)
    entry.members[payload_name] = Node({**payload, text_name: buffer})
    body.tree = Node({name: slots} if holder is data else {"step_details": Node({**holder, name: slots})})
    body.grown_at = body.shaped_at = record.revision + 1
    return buffer


def learn_around(payload: bytes, fragment: Fragment, decode: FragmentDecoder) -> Around | None:
    """Find out what stands around the text of `payload`, which decoded to `fragment`.

    The guess is the last spot where the text's JSON could be. It is right if a payload with another string in that spot
    decodes to the same fragment with that string: then the spot is the value itself, and any string may stand there. A
    text that the server spells with other escapes is not found; another payload may teach it then.
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
    return Around(before, after)


class Places:
    """The places that the events of one name are about now, by how their payloads start.

    Bounded: it forgets all of them and learns them again.
    """

    __slots__ = ("_by_start", "_lengths", "event", "last", "object_id")

    def __init__(self, event: str) -> None:
        self.event = event
        self.object_id = ""  # of the last step or message seen: where a delta without an id belongs
        self.last: Place | None = None  # of the last text fragment
        self._by_start: dict[bytes, Place] = {}
        self._lengths: tuple[int, ...] = ()  # of the starts; few, since ids and indexes are of few lengths

    def find(self, payload: bytes, end: bytes = b"") -> Place | None:
        """The place whose payloads look like this one, which lacks its `end`."""
        for length in self._lengths:
            place = self._by_start.get(payload[:length])
            if place is not None and (place.after == end if end else payload.endswith(place.after)):
                return place
        return None

    def add(self, place: Place) -> None:
        """Remember a place."""
        start = place.before
        if len(start) not in self._lengths:
            if len(self._lengths) >= _MAX_LENGTHS:
                self._by_start.clear()
                self._lengths = ()
            self._lengths = (len(start), *self._lengths)
        elif len(self._by_start) >= _MAX_PLACES:
            self._by_start.clear()
        self._by_start[start] = place
