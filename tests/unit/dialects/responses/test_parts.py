"""Parts of messages: content, annotations, and what is left of images."""

import json
from typing import Any

import pytest

from streamproc.dialects.responses.parts import annotation, content, content_delta, has_text, part, without_images

PLACE = {"text": "", "start_index": 3, "end_index": 3}
IMAGE = "data:image/png;base64,AAAA"


@pytest.mark.parametrize(
    ("native", "expected"),
    [
        (
            {"type": "output_text", "text": "Hi", "annotations": [{"type": "x"}, "stray"], "logprobs": [1]},
            {"type": "text", "text": {"value": "Hi", "annotations": [{"type": "x"}]}},
        ),
        ({"type": "output_text", "text": None}, {"type": "text", "text": {"value": "", "annotations": []}}),
        ({"type": "refusal", "refusal": "No"}, {"type": "refusal", "refusal": "No"}),
        ({"type": "refusal"}, {"type": "refusal", "refusal": ""}),
        (
            {"type": "output_image", "image_url": IMAGE, "logprobs": []},
            {"type": "output_image", "image_url": {"type": "image/png", "length": 4}},
        ),
        ({}, {}),
    ],
)
def test_part(native: dict[str, Any], expected: dict[str, Any]) -> None:
    """Texts and refusals are translated, whatever else there is stays."""
    assert part(native) == expected


@pytest.mark.parametrize("parts", [None, 7, {}, {"type": "output_text"}])
def test_content_that_is_no_list(parts: object) -> None:
    """It says nothing."""
    assert content(parts) == []


def test_content() -> None:
    """What is no part is left out."""
    assert content([{"type": "refusal", "refusal": "No"}, "stray"]) == [{"type": "refusal", "refusal": "No"}]


@pytest.mark.parametrize(
    ("native", "expected"),
    [
        (
            {"type": "file_citation", "file_id": "f", "filename": "n", "index": 3},
            {"type": "file_citation", **PLACE, "file_citation": {"file_id": "f", "filename": "n"}},
        ),
        (
            {"type": "file_path", "file_id": "f", "index": 3},
            {"type": "file_path", **PLACE, "file_path": {"file_id": "f"}},
        ),
        (
            {"type": "container_file_citation", "container_id": "c", "file_id": "f", "start_index": 1, "end_index": 2},
            {
                "type": "file_path",
                "text": "",
                "start_index": 1,
                "end_index": 2,
                "file_path": {"file_id": "f", "container_id": "c"},
            },
        ),
        (
            {"type": "url_citation", "url": "u", "title": "t", "start_index": 1, "end_index": 2},
            {
                "type": "url_citation",
                "text": "",
                "start_index": 1,
                "end_index": 2,
                "url_citation": {"url": "u", "title": "t"},
            },
        ),
        ({"type": "x", "a": 1}, {"type": "x", "a": 1}),
    ],
)
def test_annotation(native: dict[str, Any], expected: dict[str, Any]) -> None:
    """In the form of the Assistants protocol; an unknown one stays."""
    assert annotation(native) == expected


@pytest.mark.parametrize(
    ("native", "expected"),
    [
        ([{"a": [IMAGE]}], [{"a": [{"type": "image/png", "length": 4}]}]),
        ({"b64_json": "AAAA", "size": "1x1"}, {"b64_json": {"length": 4}, "size": "1x1"}),
        ({"partial_image_b64": None}, {"partial_image_b64": None}),
        ("data:text/plain,hello", "data:text/plain,hello"),
        ("data:" + "x" * 500 + ";base64,AAAA", "data:" + "x" * 500 + ";base64,AAAA"),
        ({"logprobs": [1], "a": 1}, {"a": 1}),
        (7, 7),
    ],
)
def test_without_images(native: Any, expected: Any) -> None:
    """Only what is base64 for sure is left out."""
    assert without_images(native) == expected


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ([], False),
        ([{"type": "text", "text": {"value": ""}}], False),
        ([{"type": "text", "text": {"value": ""}}, {"type": "text", "text": {"value": "a"}}], True),
        ([{"type": "refusal", "refusal": ""}], True),
    ],
)
def test_has_text(blocks: list[Any], expected: bool) -> None:
    """Empty texts are none."""
    assert has_text(blocks) is expected


def test_content_delta() -> None:
    """A canonical event, with its payload."""
    event = content_delta("msg_1", 2, {"type": "refusal", "refusal": "No"})
    delta = b'{"content":[{"index":2,"type":"refusal","refusal":"No"}]}'

    assert event.raw == b'{"id":"msg_1","object":"thread.message.delta","delta":%b}' % delta
    assert (event.name, event.data) == ("thread.message.delta", json.loads(event.raw))
