"""Reading fragments fast: rows of one text, and everything that ends a row."""

from typing import Any

import msgspec
import pytest

from streamproc.core.spot import Spot
from streamproc.dialects.responses.deltas import Texts
from streamproc.dialects.responses.numbers import SequenceNumbers

TEXT = "response.output_text.delta"
ARGUMENTS = "response.function_call_arguments.delta"
READERS = [None, TEXT]


def payload(delta: Any, number: Any = None, *, index: Any = 0, place: Any = 0, name: str = TEXT) -> bytes:
    members = {"type": name, "output_index": index, "content_index": place, "delta": delta, "x": [1]}
    return msgspec.json.encode(members if number is None else {**members, "sequence_number": number})


class Noted:
    """Some texts that grow."""

    def __init__(self) -> None:
        self.numbers = SequenceNumbers()
        self.texts = Texts(self.numbers)
        self.readers = self.texts.readers()
        self.words = Spot.message_text("msg_1", 0)
        self.others = Spot.message_text("msg_1", 1)
        self.arguments = Spot.tool_text("step_1", 0, ("function", "function", "arguments"))
        self.texts.note(TEXT, 0, 0, self.words)
        self.texts.note(TEXT, 0, 1, self.others)
        self.texts.note(ARGUMENTS, 1, 0, self.arguments)


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    "after",
    [
        payload("c", 3, place=1),
        payload("c", 3, index=1),
        payload("c", 2),
        payload("c", 1),
        payload(None, 3),
        payload("c", True),
        payload("c", 3, index="0"),
        payload("c", 3, name="response.output_text.done"),
        payload("c", 3)[:-1],
        b"",
        b'{"type":"' + TEXT.encode() + b'","output_index":0,"delta":"\xff","sequence_number":3}',
        b"[" * 5_000,
    ],
)
def test_a_row_ends_before_anything_else(name: str | None, after: bytes) -> None:
    """What is taken is taken, with its number; the rest is left."""
    noted = Noted()
    row = [payload("other", 0), payload("a", 1), payload("b", 2), after, payload("d", 9)]

    assert noted.readers[name](row, 1) == (noted.words, ["a", "b"])
    assert noted.numbers.last == 2


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    "first", [payload("a", index=7), payload("a", 0), payload(5), b"{}", b"null", payload("a", name=ARGUMENTS)]
)
def test_what_is_no_row(name: str | None, first: bytes) -> None:
    """A text that is not known, a number that was there, anything else: nothing is touched."""
    noted = Noted()
    noted.numbers.note(0)

    assert noted.readers[name]([first, payload("b", 1)], 0) is None
    assert noted.numbers.last == 0


@pytest.mark.parametrize("name", READERS)
def test_fragments_without_numbers(name: str | None) -> None:
    """They are all new."""
    noted = Noted()

    assert noted.readers[name]([payload("a"), payload(""), payload("c")], 0) == (noted.words, ["a", "", "c"])


def test_kinds_are_told_apart() -> None:
    """An index may be that of a message and of a call, where one stands for the other."""
    noted = Noted()
    noted.texts.note(TEXT, 1, 0, noted.others)
    row = [payload("a", index=1), payload("{", index=1, name=ARGUMENTS)]

    assert noted.readers[None](row, 0) == (noted.others, ["a"])
    assert noted.readers[None](row, 1) == (noted.arguments, ["{"])


def test_texts_that_are_forgotten() -> None:
    """Those of one item, or all."""
    noted = Noted()
    read = noted.readers[None]
    noted.texts.forget(0)
    of_item = read([payload("a")], 0), read([payload("a", index=1, name=ARGUMENTS)], 0)
    noted.texts.clear()

    assert of_item == (None, (noted.arguments, ["a"]))
    assert read([payload("a", index=1, name=ARGUMENTS)], 0) is None


def test_too_many_texts() -> None:
    """Only the newest are known then."""
    noted = Noted()
    for index in range(300):
        noted.texts.note(TEXT, index, 0, noted.words)
    read = noted.readers[TEXT]

    assert read([payload("a", index=0)], 0) is None
    assert read([payload("a", index=299)], 0) == (noted.words, ["a"])


def test_texts_that_are_never_read_fast() -> None:
    """Of events that are rare."""
    noted = Noted()
    noted.texts.note("response.x.delta", 0, 0, noted.words)

    assert noted.readers.keys() == {
        None,
        TEXT,
        ARGUMENTS,
        "response.custom_tool_call_input.delta",
        "response.mcp_call_arguments.delta",
        "response.code_interpreter_call_code.delta",
    }


@pytest.mark.parametrize("name", [None, ARGUMENTS])
def test_first_fragment_of_a_text(name: str | None) -> None:
    """It is read as all others are, and noted where whoever reads slowly will look; an empty one is none."""
    noted = Noted()
    seen: dict[int, Spot] = {}
    noted.texts.note_first(ARGUMENTS, 2, noted.arguments, seen)
    read = noted.readers[name]
    row = [payload(text, index=2, name=ARGUMENTS) for text in ("", "a", "b")]

    assert (read(row, 0), seen) == (None, {})
    assert (read(row, 1), seen) == ((noted.arguments, ["a", "b"]), {0: noted.arguments})
    assert read(row, 2) == (noted.arguments, ["b"])


def test_first_fragment_with_an_old_number() -> None:
    """Nothing was read, and so nothing is noted."""
    noted = Noted()
    seen: dict[int, Spot] = {}
    noted.texts.note_first(ARGUMENTS, 2, noted.arguments, seen)
    noted.numbers.note(5)

    assert noted.readers[ARGUMENTS]([payload("a", 5, index=2, name=ARGUMENTS)], 0) is None
    assert seen == {}


def test_first_fragments_that_are_forgotten() -> None:
    """Of one item, of all, or since there are too many."""
    noted = Noted()
    for index in range(2, 260):
        noted.texts.note_first(ARGUMENTS, index, noted.arguments, {})
    read = noted.readers[ARGUMENTS]
    noted.texts.forget(259)
    found = [read([payload("a", index=index, name=ARGUMENTS)], 0) for index in (257, 258, 259)]
    noted.texts.clear()

    assert found == [None, (noted.arguments, ["a"]), None]
    assert read([payload("a", index=258, name=ARGUMENTS)], 0) is None
