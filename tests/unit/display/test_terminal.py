"""Text from data, made safe for a terminal."""

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.display.terminal import clean, escape_json

ACTS = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
HOSTILE = st.text(st.sampled_from("ab \t\n\r\x00\x07\x1b[]\x7f\x85\x9b\u061c\u200f\u2028\u202e\u2066é✓"))


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("plain text", "plain text"),
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("\x1b]0;title\x07", "]0;title"),
        ("\x9b2J", "2J"),
        ("a\r\nb\tc\u2028d", "a b c d"),
        ("  both ends  ", "both ends"),
        ("left\u202eright\u2066 \u200fto\u061c", "leftright to"),
        ("été 【4:0†x】 ✓", "été 【4:0†x】 ✓"),
    ],
)
def test_clean(text: str, cleaned: str) -> None:
    """Controls go, what surrounds them stays, and it is one line."""
    assert clean(text) == cleaned


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("def f():\n\treturn 1\n", "def f():\n    return 1\n"),
        ("a\r\nb\rc\u0085d\u2029e", "a\nb\nc\nd\ne"),
        ("a\n\x1b[2Jb", "a\n[2Jb"),
    ],
)
def test_clean_can_keep_lines(text: str, cleaned: str) -> None:
    """Whatever ends a line becomes LF; indentation stays."""
    assert clean(text, lines=True) == cleaned


@given(HOSTILE | st.text())
def test_nothing_that_acts_is_left(text: str) -> None:
    """Not one such character, whatever they are mixed with."""
    assert ACTS.findall(clean(text)) == []
    assert ACTS.findall(clean(text, lines=True).replace("\n", "")) == []


@given(HOSTILE | st.text())
def test_escaped_json_is_harmless_and_means_the_same(text: str) -> None:
    """It stays one line of JSON that decodes to the same text."""
    line = escape_json(json.dumps(text, ensure_ascii=False).encode("utf-8", "replace"))

    assert ACTS.findall(line.decode()) == []
    assert json.loads(line) == text.encode("utf-8", "replace").decode()


def test_plain_json_is_not_copied() -> None:
    """The common case costs nothing."""
    line = b'{"a": "b"}'

    assert escape_json(line) is line
