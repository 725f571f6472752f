"""The parts of the reducer's fast path, each by itself: what they merge, what they hand back, and what they remember.

That they never differ from the general path is tests/properties/test_fast_path.py; here it is that they are taken at
all, since whatever they hand back is merged by the general path just as well.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from streamproc import Change, Limits, StreamProcessor
from streamproc.core.context import StreamContext
from streamproc.core.fragments import FRAGMENT_DECODERS
from streamproc.core.place import Place, Places
from tests.streams import arguments, run, sse, step, wire

DELTA = "thread.run.step.delta"
DECODE = FRAGMENT_DECODERS[DELTA]
SEQ = 11  # of the last change of the opening


def grown(state: Any) -> str:
    text: str = state["step_details"]["tool_calls"][0]["function"]["arguments"]
    return text


class Known:
    """A reducer that has learned the places of two calls, of a step each; the last fragment was for the first one.

    `step_1` is at revision 5 and `step_2` at revision 4.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.proc = StreamProcessor(limits=limits)
        self.proc.feed(sse(run("created"), step("created"), step("created", "step_2")))
        for id in ("step_1", "step_2", "step_1", "step_2", "step_1", "step_2", "step_1"):
            self.proc.feed(sse(arguments("_", id=id)))
        self.reducer = self.proc.reducer
        self.context: StreamContext = self.proc._context
        self.places: Places = self.context.places[DELTA.encode()]
        by_id = {place.record.body.id: place for place in self.places._by_start.values()}
        self.one, self.two = by_id["step_1"], by_id["step_2"]
        self.changes: list[Change] = []

    def extend(self, *pieces: bytes, end: bytes | None = None) -> tuple[bytes | None, list[bytes]]:
        """What `extend` hands back, and what it has not looked at."""
        rest: Iterator[bytes] = iter(pieces)
        end = self.one.after if end is None else end
        found = self.reducer.extend(self.places, rest, end, self.context, self.changes)
        return found, [*rest]

    def append(self, literal: bytes) -> Change | None:
        """To the text of step_1."""
        place, buffer = self.one, self.one.buffer()
        assert buffer is not None
        return self.reducer.append(place.record, buffer, literal, self.context, self.places.event, place.around)

    def seen(self) -> list[tuple[str, int, int]]:
        return [(change.id, change.revision, change.seq) for change in self.changes]

    def text(self, id: str) -> str:
        return grown(wire(self.proc.steps[id]))


@pytest.fixture
def known() -> Known:
    made = Known()
    assert made.context.seq == SEQ - 1
    assert made.places.last is made.one
    return made


def of(place: Place, text: str) -> bytes:
    """A payload for a place, without the end."""
    return place.before + b'"' + text.encode() + b'"'


@pytest.fixture
def finds(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The payloads that were looked up."""
    looked_up: list[bytes] = []
    find = Places.find

    def counting(self: Places, payload: bytes, end: bytes = b"") -> Place | None:
        looked_up.append(payload)
        return find(self, payload, end)

    monkeypatch.setattr(Places, "find", counting)
    return looked_up


# --- extend -----------------------------------------------------------------------------------------------------------


def test_all_for_the_place_before(known: Known, finds: list[bytes]) -> None:
    """No look-up; revisions and seq go on; everything that was counted is written back."""
    assert known.extend(*[of(known.one, text) for text in "abc"]) == (None, [])

    assert finds == []
    assert known.seen() == [("step_1", 6, 11), ("step_1", 7, 12), ("step_1", 8, 13)]
    assert (known.context.seq, known.one.record.revision, known.one.record.size) == (13, 8, known.two.record.size + 4)
    assert known.text("step_1") == "____abc"
    assert [change.raw for change in known.changes] == [of(known.one, text) + known.one.after for text in "abc"]
    assert [
        wire(change.state)["step_details"]["tool_calls"][0]["function"]["arguments"] for change in known.changes
    ] == [
        "____a",
        "____ab",
        "____abc",
    ]
    assert known.places.last is known.one
    assert known.places.object_id == "step_1"


def test_two_places_turn_by_turn(known: Known, finds: list[bytes]) -> None:
    """Each is looked up once; after that one is known to follow the other."""
    for place in (known.one, known.two):
        place.follower = None
    turns = [of(place, text) for text in "abc" for place in (known.one, known.two)]
    assert known.extend(*turns) == (None, [])

    assert finds == [turns[1], turns[2]]
    assert known.one.follower is known.two
    assert known.two.follower is known.one
    assert known.seen() == [(f"step_{1 + at % 2}", (6, 5)[at % 2] + at // 2, SEQ + at) for at in range(6)]
    assert (known.text("step_1"), known.text("step_2")) == ("____abc", "___abc")
    assert known.places.last is known.two
    assert known.places.object_id == "step_2"
    finds.clear()
    assert known.extend(*turns) == (None, [])
    assert finds == []


def test_a_follower_that_does_not_follow(known: Known, finds: list[bytes]) -> None:
    """Another order than before is looked up again, and learned."""
    known.one.follower = known.one
    assert known.extend(of(known.two, "a"), of(known.two, "b")) == (None, [])

    assert finds == [of(known.two, "a")]
    assert known.one.follower is known.two
    assert known.text("step_2") == "___ab"


@pytest.mark.parametrize("odd", [b"{}", b"", b'{"id":"step_3"', b'"a"'])
def test_what_looks_like_no_place_is_handed_back(known: Known, odd: bytes) -> None:
    """Untouched, with all before it merged and all after it left."""
    after = of(known.two, "b")
    assert known.extend(of(known.two, "a"), odd, after) == (odd, [after])

    assert known.seen() == [("step_2", 5, 11)]
    assert known.places.last is known.two
    assert known.context.seq == 11
    assert known.text("step_2") == "___a"


@pytest.mark.parametrize("literal", [b"1", b'""', b"null", b'"a', b'"a","b"', b'"\xff"', b""])
def test_what_is_no_text_is_handed_back(known: Known, literal: bytes) -> None:
    """At the place before or at another one."""
    for place in (known.one, known.two):
        odd = place.before + literal
        seq = known.context.seq
        assert known.extend(of(place, "a"), odd, of(place, "b")) == (odd, [of(place, "b")])
        assert known.context.seq == seq + 1


def test_what_passes_the_limit_is_handed_back() -> None:
    """A text may be as long as there is room, and not longer."""
    size = Known().one.record.size
    known = Known(Limits(max_object_bytes=size + 5))
    too_long, fits, one_more = (of(known.one, text) for text in ("123456", "12345", "6"))
    assert known.extend(too_long) == (too_long, [])
    assert known.extend(fits, one_more) == (one_more, [])
    assert known.text("step_1") == "____12345"


def test_a_place_that_is_closed_is_handed_back(known: Known) -> None:
    """The one before, or another one."""
    known.proc.feed(sse(step("completed", "step_2")))
    piece, closed = of(known.one, "a"), of(known.two, "b")
    assert known.extend(piece, closed, piece) == (closed, [piece])
    assert known.seen()[0][:2] == ("step_1", 6)

    known.proc.feed(sse(step("completed")))
    assert known.extend(piece, closed) == (piece, [closed])


def test_after_the_end_everything_is_handed_back(known: Known) -> None:
    """Someone has to say that the stream was reopened."""
    known.context.done = True
    piece = of(known.one, "a")
    assert known.extend(piece, piece) == (piece, [piece])
    assert known.extend() == (None, [])
    assert known.changes == []


def test_before_any_fragment_everything_is_handed_back(known: Known) -> None:
    """There is no place to go on from."""
    known.places.last = None
    piece = of(known.one, "a")
    assert known.extend(piece, piece) == (piece, [piece])
    assert known.extend() == (None, [])


def test_payloads_with_another_end(known: Known) -> None:
    """The place before is none of theirs, though they start like it."""
    piece = of(known.one, "a")
    assert known.extend(piece, end=known.one.after + b" ") == (piece, [])
    assert known.extend(piece, end=bytes(bytearray(known.one.after))) == (None, [])


# --- append -----------------------------------------------------------------------------------------------------------


def test_append_to_a_text(known: Known) -> None:
    """One change, and everything is counted."""
    change = known.append(b'"abc"')

    assert change is not None
    assert (change.id, change.revision, change.seq, change.event) == ("step_1", 6, 11, DELTA)
    assert change.raw == of(known.one, "abc") + known.one.after
    assert (known.context.seq, known.one.record.revision) == (11, 6)
    assert known.one.record.size == known.two.record.size + 4
    assert known.text("step_1") == "____abc"


@pytest.mark.parametrize("literal", [b"1", b'""', b"", b'"a', '"ä"'.encode("latin-1")])
def test_append_of_no_text(known: Known, literal: bytes) -> None:
    """Nothing is merged and nothing counted."""
    assert known.append(literal) is None
    assert (known.context.seq, known.one.record.revision, known.text("step_1")) == (10, 5, "____")


def test_append_up_to_the_limit() -> None:
    """The last character that there is room for, and no other."""
    size = Known().one.record.size
    known = Known(Limits(max_object_bytes=size + 2))

    assert known.append(b'"abc"') is None
    assert known.append(b'"ab"') is not None
    assert known.append(b'"c"') is None


def test_append_after_the_end_of_the_stream(known: Known) -> None:
    """Whether the object takes fragments is the caller's to look at; whether the stream does is not."""
    known.context.done = True
    assert known.append(b'"a"') is None
    known.context.done = False
    assert known.append(b'"a"') is not None


# --- apply_fragments --------------------------------------------------------------------------------------------------


def apply(known: Known, *payloads: bytes) -> tuple[bytes | None, list[bytes]]:
    rest = iter(payloads)
    found = known.reducer.apply_fragments(known.places, DECODE, rest, known.context, known.changes)
    return found, [*rest]


def test_whole_payloads_for_known_places(known: Known) -> None:
    """Found by how they look; the last one is where the next is expected."""
    whole = [of(place, "a") + place.after for place in (known.two, known.one, known.two)]
    assert apply(known, *whole) == (None, [])

    assert known.seen() == [("step_2", 5, 11), ("step_1", 6, 12), ("step_2", 6, 13)]
    assert known.places.last is known.two
    assert [change.raw for change in known.changes] == whole


def test_whole_payloads_for_a_place_that_is_new(known: Known) -> None:
    """It is learned when its text grows already, and otherwise left to the general rules."""
    known.proc.feed(sse(step("created", "step_3")))
    first = sse(arguments("x", id="step_3")).split(b"data: ")[1][:-2]
    assert apply(known, first, first) == (first, [first])

    known.proc.feed(sse(arguments("x", id="step_3")))
    assert apply(known, first, first) == (None, [])
    assert known.text("step_3") == "xxx"
    assert known.places.last is not None
    assert known.places.last.record.body.id == "step_3"
    assert len(known.places._by_start) == 3


@pytest.mark.parametrize("odd", [b"{}", b"", b"no JSON", b"\xff"])
def test_other_payloads_are_handed_back(known: Known, odd: bytes) -> None:
    """With all before them merged."""
    whole = of(known.one, "a") + known.one.after
    assert apply(known, whole, odd, whole) == (odd, [whole])
    assert known.seen() == [("step_1", 6, 11)]


def test_whole_payloads_after_the_end(known: Known) -> None:
    """Of the stream, or of the object."""
    whole = of(known.one, "a") + known.one.after
    known.context.done = True
    assert apply(known, whole, whole) == (whole, [whole])
    known.context.done = False
    known.proc.feed(sse(step("completed")))
    assert apply(known, whole) == (whole, [])
    assert known.changes == []
