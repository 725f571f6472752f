"""Places: where text fragments go, known by how their payloads start and end."""

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from streamproc.core.body import Body
from streamproc.core.change import Note
from streamproc.core.events import MESSAGE_DELTA, STEP_DELTA
from streamproc.core.fragments import ENTRIES, FRAGMENT_DECODERS, CodeInterpreterEntry, FunctionEntry, TextEntry
from streamproc.core.place import Around, Place, Places, growing_text, learn_around
from streamproc.core.table import Record
from streamproc.core.tree import Cell, Node, Slots, TextBuffer

OWNER = ("s", 1)
DECODE = FRAGMENT_DECODERS[STEP_DELTA]
_AROUND = Around(b"{a", b"}")
PAYLOAD = (
    '{"id":"step_1","object":"thread.run.step.delta","delta":{"step_details":{"type":"tool_calls",'
    '"tool_calls":[{"index":0,"type":"function","function":{"arguments":%s}}]}}}'
)


def a_record(index: int = 0) -> Record:
    """A step with one function call whose arguments grow."""
    record = Record(Body("step", "step_1", None, None, b"{}"), OWNER)
    slots = Slots([])
    slots.add(index, Node({"type": "function", "function": Node({"arguments": TextBuffer("")})}))
    record.body.tree = Node({"step_details": Node({"type": "tool_calls", "tool_calls": slots})})
    return record


def the_text(record: Record, entry: type = FunctionEntry, index: int = 0) -> TextBuffer | None:
    return growing_text(record, OWNER, index, ENTRIES[entry])


def a_place(around: Around = _AROUND) -> Place:
    record = a_record()
    text = the_text(record)
    assert text is not None
    return Place(record, text, 0, ENTRIES[FunctionEntry], around)


# --- what payloads look like ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ['"a"', '"step_1"', '"tool_calls"', '"\\n"', '"\u00e9"', '""'])
def test_learns_what_stands_around_the_text(text: str) -> None:
    """Also when the text stands elsewhere in the payload too."""
    payload = (PAYLOAD % text).encode()
    before, after = (part.encode() for part in PAYLOAD.split("%s"))

    assert learn_around(payload, DECODE(payload), DECODE) == Around(before, after)


@pytest.mark.parametrize("text", ['"\\u0061"', '"\\/"'])
def test_text_with_other_escapes_teaches_nothing(text: str) -> None:
    """It is not found as it would be written here; the next payload may be plainer."""
    payload = (PAYLOAD % text).encode()

    assert learn_around(payload, DECODE(payload), DECODE) is None


@pytest.mark.parametrize("escaped", ["step_\\u0031", "step_1"])
def test_text_found_in_another_spot_teaches_nothing(escaped: str) -> None:
    """What stands in the last spot is not the text: with the probe there the payload says something else."""
    payload = PAYLOAD.replace('{"arguments":%s}', '{"arguments":"\\u0066unction"}').replace("step_1", escaped).encode()

    assert learn_around(payload, DECODE(payload), DECODE) is None


# --- what grows -------------------------------------------------------------------------------------------------------


def test_the_text_of_each_entry() -> None:
    """It is found where fragments of that kind go."""
    texts = [TextBuffer("") for _ in range(3)]
    calls = Slots([])
    calls.add(0, Node({"type": "function", "function": Node({"arguments": texts[0]})}))
    calls.add(1, Node({"type": "code_interpreter", "code_interpreter": Node({"input": texts[1]})}))
    step = Record(Body("step", "step_1", None, None, b"{}"), OWNER)
    step.body.tree = Node({"step_details": Node({"type": "tool_calls", "tool_calls": calls})})
    blocks = Slots([])
    blocks.add(0, Node({"type": "text", "text": Node({"value": texts[2]})}))
    message = Record(Body("message", "msg_1", None, None, b"{}"), OWNER)
    message.body.tree = Node({"content": blocks})

    assert the_text(step) is texts[0]
    assert the_text(step, CodeInterpreterEntry, 1) is texts[1]
    assert the_text(message, TextEntry) is texts[2]


def test_a_moved_index() -> None:
    """Fragments for an index that a second call claimed go to that call."""
    record = a_record(1)
    tree = record.body.tree
    assert tree is not None
    tree.members["step_details"].members["tool_calls"].moved = {0: 1}

    assert the_text(record) is the_text(record, index=1) is not None


def closed(record: Record) -> None:
    record.closed = True


def marked(record: Record) -> None:
    record.note = Note(truncated=True)


def of_another(record: Record) -> None:
    record.owner = ("s", 2)


def without_deltas(record: Record) -> None:
    record.body.tree = None


def replace(*path: str, by: object) -> Callable[[Record], None]:
    """Put something else where a member stands; "0" is the call."""

    def do(record: Record) -> None:
        node: Any = record.body.tree
        for name in path[:-1]:
            node = node.entries[0] if name == "0" else node.members[name]
        if path[-1] == "0":
            node.entries[0] = by
        else:
            node.members[path[-1]] = by

    return do


IN_CALL = ("step_details", "tool_calls", "0")


@pytest.mark.parametrize(
    "odd",
    [
        closed,
        marked,
        of_another,
        without_deltas,
        replace("step_details", by={"type": "tool_calls"}),
        replace("step_details", "type", by="message_creation"),
        replace("step_details", "tool_calls", by=[]),
        replace(*IN_CALL, by=Cell(None)),
        replace(*IN_CALL, "type", by="code_interpreter"),
        replace(*IN_CALL, "function", by={"arguments": ""}),
        replace(*IN_CALL, "function", "arguments", by=""),
    ],
)
def test_no_text_where_the_general_rules_must_look(odd: Callable[[Record], None]) -> None:
    """The object ended or is marked, another stream speaks of it, or what grows is not known to grow."""
    record = a_record()
    odd(record)

    assert the_text(record) is None
    assert the_text(a_record(), index=1) is None
    assert the_text(a_record(), CodeInterpreterEntry) is None


def test_open_until_something_touched_the_object() -> None:
    """Then it is looked at again: the text may be another one now, or there is none any more."""
    place = a_place()
    record = place.record
    first = place.text(OWNER)
    assert first is not None

    text = TextBuffer("")
    replace(*IN_CALL, "function", "arguments", by=text)(record)
    assert place.text(OWNER) is first
    record.touched += 1
    assert place.text(OWNER) is text
    record.touched += 1
    assert place.text(("s", 2)) is None
    assert place.text(OWNER) is text
    record.closed = True
    record.touched += 1
    assert place.text(OWNER) is None


def test_a_place_keeps_no_text_alive() -> None:
    """A long text is gone with the views of its object, though the place stays where it was learned."""
    place = a_place()
    gone = weakref.ref(place.text(OWNER) or TextBuffer(""))
    place.record.body.tree = None
    gc.collect()

    assert gone() is None
    assert place.text(OWNER) is None


def test_find_by_start_and_end() -> None:
    """Both must fit; the end may be cut off already."""
    places, place = Places(STEP_DELTA), a_place(Around(b"{a", b"}"))
    places.add(place)

    assert places.find(b'{a"x"}') is place
    assert places.find(b'{a"x"') is None
    assert places.find(b'{a"x"', b"}") is place
    assert places.find(b'{a"x"', b"]") is None
    assert places.find(b'{b"x"}') is None


def test_bounded_by_number() -> None:
    """The 257th of one length makes it forget the others."""
    places = Places(MESSAGE_DELTA)
    starts = [b"%03d" % number for number in range(257)]
    for start in starts:
        place = a_place(Around(start, b"}"))
        places.add(place)
        assert places.find(start + b'"x"}') is place

    assert [start for start in starts if places.find(start + b'"x"}')] == starts[-1:]


def test_bounded_by_lengths() -> None:
    """The fifth length makes it forget the others."""
    places = Places(MESSAGE_DELTA)
    starts = [b"x" * (5 - number) + b"|" for number in range(5)]
    known = []
    for start in starts:
        places.add(a_place(Around(start, b"}")))
        known.append(sum(1 for other in starts if places.find(other + b'"x"}')))

    assert known == [1, 2, 3, 4, 1]
