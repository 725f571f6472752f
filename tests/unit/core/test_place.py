"""Places: where text fragments go, known by how their payloads start and end."""

import pytest

from streamproc.core.body import Body
from streamproc.core.events import STEP_DELTA
from streamproc.core.fragments import FRAGMENT_DECODERS, FunctionEntry
from streamproc.core.place import Around, Place, Places
from streamproc.core.table import Record
from streamproc.core.tree import TextBuffer

OWNER = ("s", 1)
DECODE = FRAGMENT_DECODERS[STEP_DELTA]
PAYLOAD = (
    '{"id":"step_1","object":"thread.run.step.delta","delta":{"step_details":{"type":"tool_calls",'
    '"tool_calls":[{"index":0,"type":"function","function":{"arguments":%s}}]}}}'
)


def a_place(index: int = 0) -> Place:
    record = Record(Body("step", "step_1", None, None, b"{}"), OWNER)
    place = record.hot[index] = Place(record, index, TextBuffer(""), FunctionEntry)
    return place


@pytest.mark.parametrize("text", ['"a"', '"step_1"', '"tool_calls"', '"\\n"', '"\u00e9"', '""'])
def test_learns_what_stands_around_the_text(text: str) -> None:
    """Also when the text stands elsewhere in the payload too."""
    payload = (PAYLOAD % text).encode()
    before, after = (part.encode() for part in PAYLOAD.split("%s"))

    assert a_place().learn(payload, DECODE(payload), DECODE) == Around(before, after)


@pytest.mark.parametrize("text", ['"\\u0061"', '"\\/"'])
def test_text_with_other_escapes_teaches_nothing(text: str) -> None:
    """It is not found as it would be written here; the next payload may be plainer."""
    payload = (PAYLOAD % text).encode()
    place = a_place()

    assert place.learn(payload, DECODE(payload), DECODE) is None
    assert place.around is None


@pytest.mark.parametrize("escaped", ["step_\\u0031", "step_1"])
def test_text_found_in_another_spot_teaches_nothing(escaped: str) -> None:
    """What stands in the last spot is not the text: with the probe there the payload says something else."""
    payload = PAYLOAD.replace('{"arguments":%s}', '{"arguments":"\\u0066unction"}').replace("step_1", escaped).encode()
    place = a_place()

    assert place.learn(payload, DECODE(payload), DECODE) is None


def test_open_until_something_is_not_plain() -> None:
    """Another owner, or a place that is hot no more."""
    place = a_place()

    assert place.is_open(OWNER)
    assert not place.is_open(("s", 2))
    place.record.hot.clear()
    assert not place.is_open(OWNER)


def test_find_by_start_and_end() -> None:
    """Both must fit; the end may be cut off already."""
    places, place, around = Places(), a_place(), Around(b"{a", b"}")
    place.around = around
    places.add(place, around)

    assert places.find(b'{a"x"}') == (place, around)
    assert places.find(b'{a"x"') is None
    assert places.find(b'{a"x"', b"}") == (place, around)
    assert places.find(b'{a"x"', b"]") is None
    assert places.find(b'{b"x"}') is None


def test_bounded_by_number() -> None:
    """The 257th of one length makes it forget the others."""
    places = Places()
    starts = [b"%03d" % number for number in range(257)]
    for start in starts:
        place = a_place()
        place.around = Around(start, b"}")
        places.add(place, place.around)
        assert places.find(start + b'"x"}') == (place, place.around)

    assert [start for start in starts if places.find(start + b'"x"}')] == starts[-1:]


def test_bounded_by_lengths() -> None:
    """The fifth length makes it forget the others."""
    places = Places()
    starts = [b"x" * (5 - number) + b"|" for number in range(5)]
    known = []
    for start in starts:
        place = a_place()
        place.around = Around(start, b"}")
        places.add(place, place.around)
        known.append(sum(1 for other in starts if places.find(other + b'"x"}')))

    assert known == [1, 2, 3, 4, 1]
