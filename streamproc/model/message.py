"""Message: where all text lives. Content blocks and annotations, each with an open fallback."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from msgspec import UNSET, Struct

from streamproc.model.run import IncompleteDetails
from streamproc.model.run_step import Usage
from streamproc.model.wire import Metadata, Opt, Timestamp, UnknownVariant, WireObject, open_variants

__all__ = [
    "Annotation",
    "Attachment",
    "ContentBlock",
    "FileCitation",
    "FileCitationAnnotation",
    "FilePath",
    "FilePathAnnotation",
    "ImageFile",
    "ImageFileBlock",
    "ImageUrl",
    "ImageUrlBlock",
    "Message",
    "MessageStatus",
    "RefusalBlock",
    "Text",
    "TextBlock",
    "UnknownAnnotation",
    "UnknownBlock",
    "UrlCitation",
    "UrlCitationAnnotation",
]

MessageStatus: TypeAlias = Literal["in_progress", "incomplete", "completed"]


class FileCitation(Struct, frozen=True, kw_only=True):
    file_id: Opt[str] = UNSET
    quote: Opt[str] = UNSET  # v1, and Azure


class FileCitationAnnotation(Struct, frozen=True, kw_only=True):
    """`text` is the marker inside the message's text, at `start_index:end_index` (characters)."""

    type: Literal["file_citation"] = "file_citation"
    text: Opt[str] = UNSET
    start_index: Opt[int] = UNSET
    end_index: Opt[int] = UNSET
    file_citation: Opt[FileCitation] = UNSET


class FilePath(Struct, frozen=True, kw_only=True):
    file_id: Opt[str] = UNSET


class FilePathAnnotation(Struct, frozen=True, kw_only=True):
    type: Literal["file_path"] = "file_path"
    text: Opt[str] = UNSET
    start_index: Opt[int] = UNSET
    end_index: Opt[int] = UNSET
    file_path: Opt[FilePath] = UNSET


class UrlCitation(Struct, frozen=True, kw_only=True):
    url: Opt[str] = UNSET
    title: Opt[str] = UNSET


class UrlCitationAnnotation(Struct, frozen=True, kw_only=True):
    """Azure."""

    type: Literal["url_citation"] = "url_citation"
    text: Opt[str] = UNSET
    start_index: Opt[int] = UNSET
    end_index: Opt[int] = UNSET
    url_citation: Opt[UrlCitation] = UNSET


class UnknownAnnotation(UnknownVariant):
    """An annotation of a type this version does not know."""


class UnknownBlock(UnknownVariant):
    """A content block of a type this version does not know."""


if TYPE_CHECKING:
    Annotation: TypeAlias = FileCitationAnnotation | FilePathAnnotation | UrlCitationAnnotation | UnknownAnnotation
else:
    Annotation = Any

_ANNOTATIONS: Final[Mapping[str, type[Struct]]] = {
    "file_citation": FileCitationAnnotation,
    "file_path": FilePathAnnotation,
    "url_citation": UrlCitationAnnotation,
}


class Text(Struct, frozen=True, kw_only=True):
    value: Opt[str] = UNSET
    annotations: Opt[tuple[Annotation, ...]] = UNSET

    def __post_init__(self) -> None:
        open_variants(self, "annotations", _ANNOTATIONS, UnknownAnnotation)


class TextBlock(Struct, frozen=True, kw_only=True):
    type: Literal["text"] = "text"
    text: Opt[Text] = UNSET


class RefusalBlock(Struct, frozen=True, kw_only=True):
    type: Literal["refusal"] = "refusal"
    refusal: Opt[str] = UNSET


class ImageFile(Struct, frozen=True, kw_only=True):
    file_id: Opt[str] = UNSET
    detail: Opt[str] = UNSET  # "auto" | "low" | "high"


class ImageFileBlock(Struct, frozen=True, kw_only=True):
    type: Literal["image_file"] = "image_file"
    image_file: Opt[ImageFile] = UNSET


class ImageUrl(Struct, frozen=True, kw_only=True):
    url: Opt[str] = UNSET
    detail: Opt[str] = UNSET


class ImageUrlBlock(Struct, frozen=True, kw_only=True):
    type: Literal["image_url"] = "image_url"
    image_url: Opt[ImageUrl] = UNSET


if TYPE_CHECKING:
    ContentBlock: TypeAlias = TextBlock | RefusalBlock | ImageFileBlock | ImageUrlBlock | UnknownBlock
else:
    ContentBlock = Any

BLOCKS: Final[Mapping[str, type[Struct]]] = {
    "text": TextBlock,
    "refusal": RefusalBlock,
    "image_file": ImageFileBlock,
    "image_url": ImageUrlBlock,
}


class Attachment(Struct, frozen=True, kw_only=True):
    file_id: Opt[str] = UNSET
    tools: Opt[tuple[dict[str, Any], ...]] = UNSET


class Message(WireObject, frozen=True, kw_only=True):
    """One message of a thread. Every field may be absent, null or a value; timestamps are Unix seconds.

    `usage` is an addition: the protocol does not declare it, and streams of other wire formats say it of a message.
    """

    id: str = ""
    object: Opt[str] = UNSET  # "thread.message"
    thread_id: Opt[str] = UNSET
    run_id: Opt[str] = UNSET
    assistant_id: Opt[str] = UNSET
    status: Opt[str] = UNSET  # known values: MessageStatus
    created_at: Opt[Timestamp] = UNSET
    completed_at: Opt[Timestamp] = UNSET
    incomplete_at: Opt[Timestamp] = UNSET
    incomplete_details: Opt[IncompleteDetails] = UNSET
    role: Opt[str] = UNSET  # "user" | "assistant"
    content: Opt[tuple[ContentBlock, ...]] = UNSET
    attachments: Opt[tuple[Attachment, ...]] = UNSET
    metadata: Opt[Metadata] = UNSET
    file_ids: Opt[tuple[str, ...]] = UNSET  # v1
    usage: Opt[Usage] = UNSET  # of the model call that wrote it, which its step's usage covers too

    def __post_init__(self) -> None:
        open_variants(self, "content", BLOCKS, UnknownBlock)

    @property
    def text(self) -> str:
        """The text blocks' values, joined."""
        blocks = self.content if isinstance(self.content, tuple) else ()
        texts = (block.text for block in blocks if isinstance(block, TextBlock))
        return "".join(text.value for text in texts if isinstance(text, Text) and isinstance(text.value, str))
