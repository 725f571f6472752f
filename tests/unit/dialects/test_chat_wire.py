"""How members of chunks are read, whatever they hold."""

import pytest
from msgspec import UNSET

from streamproc.dialects.chat_wire import code_of, is_chunk, last_error, metadata_of, text_of, time_of


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


def test_texts() -> None:
    """What is none counts as absent."""
    assert [text_of(value) for value in ("a", "", None, 5, ["a"])] == ["a", "", "", "", ""]
    assert metadata_of({"service_tier": "x", "provider": 5, "model": "m"}) == {"service_tier": "x"}
