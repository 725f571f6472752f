"""What PostgreSQL cannot hold, and what only looks like it."""

import json
from random import Random

import pytest

from streamproc.sinks._postgres_text import holdable_json, holdable_numbers, holdable_text


@pytest.mark.parametrize(
    ("wire", "expected"),
    [
        (rb'{"a":"x\u0000y"}', rb'{"a":"x\ufffdy"}'),
        (rb'{"\u0000":1}', rb'{"\ufffd":1}'),
        (rb'"\\u0000"', rb'"\\u0000"'),  # a backslash, and u0000
        (rb'"\\\u0000"', rb'"\\\ufffd"'),
        (rb'"\\\\u0000\u0000"', rb'"\\\\u0000\ufffd"'),
        (rb'"\u00000"', rb'"\ufffd0"'),
        (rb'"\ud83d\ude00"', rb'"\ud83d\ude00"'),
        (rb'"\uD83D\uDE00"', rb'"\uD83D\uDE00"'),
        (rb'"\ud83d"', rb'"\ufffd"'),
        (rb'"\ude00\ud83d"', rb'"\ufffd\ufffd"'),
        (rb'"\ud83d\ud83d\ude00"', rb'"\ufffd\ud83d\ude00"'),
        (rb'"\ud83d\\ude00"', rb'"\ufffd\\ude00"'),
        (rb'"\ud7ff\uE000\ud7a3"', rb'"\ud7ff\uE000\ud7a3"'),  # the neighbours of the surrogates
        (b'"\xff\xe2\x82"', '"\ufffd\ufffd"'.encode()),
        ('"\u00e9 \U0001f680"'.encode(), '"\u00e9 \U0001f680"'.encode()),
    ],
)
def test_json(wire: bytes, expected: bytes) -> None:
    assert holdable_json(wire) == expected


def test_json_that_can_be_held_is_the_same_object() -> None:
    """Nothing is built where nothing is replaced, escapes or not."""
    wire = rb'{"a":"\n\u00e9\\u0000\"\ud83d\ude00"}'.replace(rb"\\u0000", b"").replace(rb"\ud83d\ude00", b"")

    assert holdable_json(wire) is wire


def test_json_of_random_escapes_is_what_a_parser_makes_of_it() -> None:
    """Against the standard library, which keeps halves and NULs."""
    random = Random(8)
    pieces = [r"\u0000", r"\\", r"\ud83d", r"\ude00", r"\"", "u0000", "x", r"\n", r"\uDBFF", r"\udfff"]
    for _ in range(500):
        wire = '"' + "".join(random.choices(pieces, k=12)) + '"'

        assert json.loads(holdable_json(wire.encode())) == holdable_text(json.loads(wire)), wire


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("a\0b", "a\ufffdb"),
        ("tab\tand\nline", "tab\tand\nline"),
        ("\ud83d", "\ufffd"),
        ("\ud83d\ude00", "\U0001f600"),  # two halves are a pair
        ("\ud83d\0", "\ufffd\ufffd"),
    ],
)
def test_text(text: str, expected: str) -> None:
    assert holdable_text(text) == expected


NINES = b"9" * 131_072


@pytest.mark.parametrize(
    ("number", "is_held"),
    [
        (b"0", True),
        (b"-1.5e3", True),
        (b"1e131071", True),
        (b"1e131072", False),
        (b"-1E+131072", False),
        (b"1e-16383", True),
        (b"1e-16384", False),
        (b"0.5e-16383", False),
        (NINES, True),
        (NINES + b"9", False),
        (b"1e99999999999999999999", False),
    ],
)
def test_numbers(number: bytes, is_held: bool) -> None:
    """What looks like a number within a text is none."""
    wire = b'{"a":[%b,true,null],"b":"x \\" %b"}' % (number, number)
    expected = wire if is_held else b'{"a":["%b",true,null],"b":"x \\" %b"}' % (number, number)

    assert holdable_numbers(wire) == expected
