"""Message: content blocks, annotations and their fallbacks, and the text of it all."""

from typing import Any, get_args

import pytest
from msgspec import UNSET

from streamproc.model.message import (
    BLOCKS,
    Attachment,
    FileCitation,
    FileCitationAnnotation,
    FilePath,
    FilePathAnnotation,
    ImageFile,
    ImageFileBlock,
    ImageUrl,
    ImageUrlBlock,
    Message,
    MessageStatus,
    RefusalBlock,
    Text,
    TextBlock,
    UnknownAnnotation,
    UnknownBlock,
    UrlCitation,
    UrlCitationAnnotation,
)
from streamproc.model.run import IncompleteDetails
from streamproc.model.run_step import TokenDetails, Usage
from streamproc.model.wire import from_wire
from tests.unit.model.samples import MESSAGE


def content(*blocks: Any) -> Any:
    return from_wire(Message, {"content": list(blocks)}).content


def annotations(*entries: Any) -> Any:
    return from_wire(Text, {"annotations": list(entries)}).annotations


def test_statuses_are_those_of_the_protocol() -> None:
    """A message cannot fail by itself."""
    assert get_args(MessageStatus) == ("in_progress", "incomplete", "completed")


def test_each_field_of_a_message() -> None:
    """The sample has every declared field, and the plain ones are read as they are."""
    message = from_wire(Message, MESSAGE)
    plain = MESSAGE.keys() - {"incomplete_details", "content", "attachments", "file_ids", "usage"}

    assert set(Message.__struct_fields__) == MESSAGE.keys()
    assert {name: MESSAGE[name] for name in plain} == {name: getattr(message, name) for name in plain}
    assert message.incomplete_details == IncompleteDetails(reason="content_filter")
    assert message.attachments == (Attachment(file_id="file-a", tools=({"type": "file_search"},)),)
    assert message.file_ids == ("file-a",)
    assert message.usage == Usage(
        completion_tokens=20,
        prompt_tokens=100,
        total_tokens=120,
        prompt_tokens_details=TokenDetails(cached_tokens=64, cache_write_tokens=16),
        completion_tokens_details=TokenDetails(reasoning_tokens=8),
    )


def test_attachment_that_is_no_object_is_left_out() -> None:
    """The others stay, without the members that do not fit."""
    attachments = from_wire(Message, {"attachments": [{"file_id": 5, "tools": []}, "file-b"]}).attachments

    assert attachments == (Attachment(tools=()),)


# --- content ----------------------------------------------------------------------------------------------------------


def test_kinds_of_blocks_are_those_of_the_protocol() -> None:
    """Each is known under its own type."""
    expected = {
        "text": TextBlock,
        "image_file": ImageFileBlock,
        "image_url": ImageUrlBlock,
        "refusal": RefusalBlock,
    }

    assert expected == BLOCKS
    assert all(kind == cls().type for kind, cls in expected.items())


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"type": "text", "text": {"value": "a", "annotations": []}}, TextBlock(text=Text(value="a", annotations=()))),
        (
            {"type": "image_file", "image_file": {"file_id": "file-a", "detail": "high"}},
            ImageFileBlock(image_file=ImageFile(file_id="file-a", detail="high")),
        ),
        (
            {"type": "image_file", "image_file": {"file_id": "file-a"}},
            ImageFileBlock(image_file=ImageFile(file_id="file-a")),
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://example.com", "detail": "brand_new"}},
            ImageUrlBlock(image_url=ImageUrl(url="https://example.com", detail="brand_new")),
        ),
        ({"type": "refusal", "refusal": "no"}, RefusalBlock(refusal="no")),
        ({"type": "text"}, TextBlock()),
        ({"type": "text", "text": None}, TextBlock(text=None)),
        ({"type": "text", "text": "bare"}, TextBlock()),
        ({"type": "text", "text": {"value": 5, "annotations": None}}, TextBlock(text=Text(annotations=None))),
        ({"type": "text", "text": {"value": "a", "annotations": "b"}}, TextBlock(text=Text(value="a"))),
        ({"type": "refusal", "refusal": {"refusal": "no"}}, RefusalBlock()),
        ({"type": "image_file", "image_file": "file-a"}, ImageFileBlock()),
        ({"type": "image_url", "image_url": {"url": None}}, ImageUrlBlock(image_url=ImageUrl(url=None))),
    ],
)
def test_block(data: dict[str, Any], expected: object) -> None:
    """The type decides which block it is; what does not fit costs that member."""
    assert content(data) == (expected,)


@pytest.mark.parametrize(
    "data",
    [{"type": "video", "video": {"frames": [1]}}, {"type": None}, {"type": ["text"]}, {"text": {"value": "a"}}, {}],
)
def test_unknown_block_keeps_all_members(data: dict[str, Any]) -> None:
    """A block of a type we do not know, or of none."""
    (block,) = content(data)

    assert isinstance(block, UnknownBlock)
    assert block == data


def test_blocks_that_are_no_objects_are_empty_unknown_ones() -> None:
    """The blocks beside them keep their positions."""
    empty = UnknownBlock()

    assert content("a", None, {"type": "refusal"}, [{"type": "text"}]) == (empty, empty, RefusalBlock(), empty)


@pytest.mark.parametrize("misfit", ["text", {"type": "text"}, 5])
def test_content_that_is_no_list_is_left_out(misfit: object) -> None:
    """Whoever loops over the blocks meets blocks."""
    assert from_wire(Message, {"content": misfit}).content is UNSET


# --- annotations ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            {"text": "[1]", "start_index": 4, "end_index": 7, "file_citation": {"file_id": "file-a"}},
            FileCitationAnnotation(
                text="[1]", start_index=4, end_index=7, file_citation=FileCitation(file_id="file-a")
            ),
        ),
        (
            {"file_citation": {"file_id": "file-a", "quote": "third quarter"}},
            FileCitationAnnotation(file_citation=FileCitation(file_id="file-a", quote="third quarter")),
        ),
        (
            {"text": "sandbox:/a.csv", "start_index": 0, "end_index": 14, "file_path": {"file_id": "file-b"}},
            FilePathAnnotation(
                text="sandbox:/a.csv", start_index=0, end_index=14, file_path=FilePath(file_id="file-b")
            ),
        ),
        (
            {"text": "[3]", "url_citation": {"url": "https://example.com", "title": "Example"}},
            UrlCitationAnnotation(text="[3]", url_citation=UrlCitation(url="https://example.com", title="Example")),
        ),
        (
            {"url_citation": {"url": "u"}, "start_index": None},
            UrlCitationAnnotation(start_index=None, url_citation=UrlCitation(url="u")),
        ),
        ({"file_path": [], "start_index": "4"}, FilePathAnnotation()),
    ],
)
def test_annotation(data: dict[str, Any], expected: Any) -> None:
    """Each kind points at its source; a misfit costs that member."""
    (annotation,) = annotations({"type": expected.type, **data})

    assert expected == annotation


@pytest.mark.parametrize("data", [{"type": "footnote", "footnote": {"n": 1}}, {"type": None}, {"text": "[1]"}])
def test_unknown_annotation_keeps_all_members(data: dict[str, Any]) -> None:
    """An annotation of a type we do not know, or of none."""
    (annotation,) = annotations(data)

    assert isinstance(annotation, UnknownAnnotation)
    assert annotation == data


def test_annotations_that_are_no_objects_are_empty_unknown_ones() -> None:
    """The annotations beside them keep their positions."""
    assert annotations(None, {"type": "file_path"}, 5) == (
        UnknownAnnotation(),
        FilePathAnnotation(),
        UnknownAnnotation(),
    )


# --- text -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ([], ""),
        ([{"type": "text", "text": {"value": "a\n"}}, {"type": "text", "text": {"value": "b"}}], "a\nb"),
        (
            [
                {"type": "text", "text": {"value": "a"}},
                {"type": "image_file"},
                {"type": "text", "text": {"value": "b"}},
            ],
            "ab",
        ),
        ([{"type": "refusal", "refusal": "no"}], ""),
        ([{"type": "brand_new", "text": {"value": "a"}}], ""),
        ([{"type": "text"}, {"type": "text", "text": None}, {"type": "text", "text": {}}], ""),
        ([{"type": "text", "text": {"value": None}}, {"type": "text", "text": {"value": 5}}], ""),
    ],
)
def test_text_is_the_text_blocks_joined(blocks: list[Any], expected: str) -> None:
    """Nothing stands between them, and nothing else is text."""
    assert expected == from_wire(Message, {"content": blocks}).text


@pytest.mark.parametrize("data", [{}, {"content": None}, {"content": "a"}])
def test_text_without_content_is_empty(data: dict[str, Any]) -> None:
    """Absent, null or malformed content has no text."""
    assert from_wire(Message, data).text == ""
