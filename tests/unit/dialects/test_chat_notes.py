"""What a choice says beside its text: kinds of reasoning, joined; media, described; all of it bounded."""

from typing import Any

import pytest

from streamproc.dialects import chat_notes
from streamproc.dialects.chat_notes import Notes


def noted(*deltas: dict[str, Any]) -> Notes:
    notes = Notes()
    for delta in deltas:
        notes.take_delta(delta)
    return notes


def test_kinds_of_reasoning_are_kept_apart() -> None:
    """Each is one text, whatever comes between its pieces."""
    notes = noted({"reasoning": "a"}, {"reasoning_content": "x"}, {"reasoning": "b", "reasoning_content": "y"})

    had_any, found = notes.has_any, notes.take_reasoning()

    assert found == [{"type": "reasoning", "text": "ab"}, {"type": "reasoning_content", "text": "xy"}]
    assert [had_any, notes.has_any, notes.take_reasoning()] == [True, False, []]


@pytest.mark.parametrize("value", [None, "", 5, [], {}])
def test_reasoning_that_is_none(value: object) -> None:
    """It is left out."""
    delta = {
        "reasoning": value,
        "reasoning_content": value,
        "reasoning_details": value,
        "audio": value,
        "images": value,
    }

    assert not noted(delta).has_any


def test_details_with_the_same_place_are_joined() -> None:
    """OpenRouter's: texts grow, a signature comes with the last piece, null says nothing."""
    text = {"type": "reasoning.text", "index": 0, "format": None}
    notes = noted(
        {"reasoning_details": [{**text, "text": "a"}]},
        {"reasoning_details": [{**text, "text": "b", "format": "f"}, {"type": "reasoning.encrypted", "data": "x"}]},
        {"reasoning_details": [{**text, "text": None, "signature": "s"}, None, {"index": []}]},
    )

    assert notes.take_reasoning() == [
        {"type": "reasoning.text", "index": 0, "format": "f", "text": "ab", "signature": "s"},
        {"type": "reasoning.encrypted", "data": "x"},
        {"index": []},
    ]


def test_sounds_have_a_transcript() -> None:
    """Their bytes are left out."""
    notes = noted(
        {"audio": {"id": "audio_1", "transcript": "a", "data": "AAAA"}},
        {"audio": {"transcript": "b", "expires_at": 7, "id": None}},
        {"audio": {"transcript": 5}},
    )

    assert notes.has_any
    assert notes.take_media() == {"audio": {"id": "audio_1", "transcript": "ab", "expires_at": 7}}
    assert notes.take_media() == {}


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
            {
                "type": "image_url",
                "image_url": {"url": None, "detail": "low", "media_type": "image/png", "encoded_chars": 4},
            },
        ),
        ({"image_url": {"url": "https://x"}}, {"image_url": {"url": "https://x"}}),
        ({"image_url": "x"}, {"image_url": "x"}),
        (5, 5),
    ],
)
def test_images_are_described(image: object, expected: object) -> None:
    """Only those whose bytes stand in the URL."""
    assert noted({"images": [image]}).take_media() == {"images": [expected]}


def test_tools_that_the_server_ran() -> None:
    """As they come."""
    notes = noted({"executed_tools": [{"index": 0}]}, {"executed_tools": [{"index": 0, "output": "x"}]})

    assert notes.take_media() == {"executed_tools": [{"index": 0}, {"index": 0, "output": "x"}]}


def test_all_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Together; what does not fit is left out, what does still counts."""
    monkeypatch.setattr(chat_notes, "_MAX_CHARS", 10)
    full = {
        "reasoning": "x" * 11,
        "reasoning_details": [{"text": "x"}],
        "audio": {"id": "x" * 11, "transcript": "x" * 11},
        "images": [{}],
        "executed_tools": [{}],
    }
    notes = noted({"reasoning": "x" * 9})
    was_full = notes.is_full
    notes.take_delta(full)
    notes.take_delta({"audio": {"id": "y"}})

    assert [was_full, notes.is_full] == [False, True]
    assert notes.take_reasoning() == [{"type": "reasoning", "text": "x" * 9}]
    assert notes.take_media() == {"audio": {"id": "y"}}
