"""How chunks are read: see also the tables of the fast path in test_chat.py."""

import msgspec
import pytest
from msgspec import UNSET

from streamproc.dialects.chat_wire import code_of, is_chunk, last_error, read_chunk, time_of


def test_the_commonest_chunk() -> None:
    """One choice, one text; unknown members say nothing to us."""
    found = read_chunk(b'{"id":"x","choices":[{"index":1,"delta":{"content":"a","x":1}}],"timings":{}}')

    assert (found.choices[0].index, found.choices[0].delta.content) == (1, "a")


@pytest.mark.parametrize("payload", [b"{}", b'{"choices":[]}', b'{"choices":[{"index":0}]}', b'{"choices":null}'])
def test_chunks_that_are_not(payload: bytes) -> None:
    """They do not decode."""
    with pytest.raises(msgspec.ValidationError):
        read_chunk(payload)


@pytest.mark.parametrize(
    ("data", "code", "error"),
    [
        ({"error": {"code": "c", "type": "t", "message": "m"}}, "c", {"code": "c", "message": "m"}),
        ({"code": 429, "message": "m"}, "429", {"code": "429", "message": "m"}),
        ({"error": "m"}, UNSET, {"code": "server_error", "message": "m"}),
        ({"error": [], "message": "m"}, UNSET, {"code": "server_error", "message": "m"}),
        ({"error": 5}, UNSET, {"code": "server_error", "message": ""}),
        ({}, UNSET, {"code": "server_error", "message": ""}),
    ],
)
def test_errors(data: dict[str, object], code: object, error: object) -> None:
    """Flat, nested, or text."""
    assert (code_of(data), last_error(data)) == (code, error)


def test_an_error_that_is_no_object() -> None:
    """It has no code."""
    assert code_of("x") is UNSET


def test_names_and_times() -> None:
    """What is none is told from what is."""
    assert [is_chunk({"choices": []}), is_chunk({}), is_chunk({"object": "chat.completion.chunk"})] == [
        True,
        False,
        True,
    ]
    assert [time_of(value) for value in (7, 7.0, float("inf"), "7")] == [7, 7, None, None]
