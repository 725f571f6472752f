"""Parts of messages: content and annotations, from the native to the canonical form.

An unknown part or annotation stays as it is. Images in base64 are replaced by their length; log probabilities are left
out.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from streamproc.core.events import MESSAGE_DELTA, Event

__all__ = ["annotation", "content", "content_delta", "has_text", "part", "without_images"]

_DATA: Final = "data:"  # a URL that holds its data: the type, then
_BASE64: Final = ";base64,"
_MAX_HEAD: Final = 200
_IMAGES: Final = frozenset({"b64_json", "image_b64", "partial_image_b64"})  # members that hold nothing but base64


def content(parts: object) -> list[Any]:
    """The content of a message."""
    return [part(entry) for entry in parts if isinstance(entry, dict)] if isinstance(parts, Sequence) else []


def part(native: Mapping[str, Any]) -> dict[str, Any]:
    """One content block."""
    kind = native.get("type")
    if kind == "output_text":
        notes = native.get("annotations")
        annotations = [annotation(note) for note in notes if isinstance(note, dict)] if isinstance(notes, list) else []
        return {"type": "text", "text": {"value": _text(native, "text"), "annotations": annotations}}
    if kind == "refusal":
        return {"type": "refusal", "refusal": _text(native, "refusal")}
    block: dict[str, Any] = without_images(native)
    return block


def annotation(native: Mapping[str, Any]) -> dict[str, Any]:
    """One annotation; the protocol's marker in the text does not exist here, so `text` is empty."""
    at = native.get("index")
    place = {"text": "", "start_index": native.get("start_index", at), "end_index": native.get("end_index", at)}
    file = {name: native[name] for name in ("file_id", "filename", "container_id") if name in native}
    match native.get("type"):
        case "file_citation":
            return {"type": "file_citation", **place, "file_citation": file}
        case "file_path" | "container_file_citation":
            return {"type": "file_path", **place, "file_path": file}
        case "url_citation":
            url = {name: native[name] for name in ("url", "title") if name in native}
            return {"type": "url_citation", **place, "url_citation": url}
        case _:
            return dict(native)


def content_delta(message_id: str, index: int, entry: Mapping[str, Any]) -> Event:
    """The canonical event that adds to the content block at `index`."""
    delta = {"content": [{"index": index, **entry}]}
    data = {"id": message_id, "object": MESSAGE_DELTA, "delta": delta}
    return Event(MESSAGE_DELTA, data, msgspec.json.encode(data))


def has_text(blocks: Sequence[Any]) -> bool:
    """Whether content says anything: a block that is no text does."""
    return any(block["text"]["value"] if block.get("type") == "text" else True for block in blocks)


def without_images(value: Any) -> Any:
    """JSON data with the length of each image in place of its base64."""
    if isinstance(value, dict):
        return {name: _shortened(name, member) for name, member in value.items() if name != "logprobs"}
    return [without_images(entry) for entry in value] if isinstance(value, list) else _shortened("", value)


def _shortened(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return without_images(value) if isinstance(value, (dict, list)) else value
    if name in _IMAGES:
        return {"length": len(value)}
    start = value.find(_BASE64, 0, _MAX_HEAD) if value.startswith(_DATA) else -1
    if start < 0:
        return value
    return {"type": value[len(_DATA) : start], "length": len(value) - start - len(_BASE64)}


def _text(native: Mapping[str, Any], name: str) -> str:
    value = native.get(name)
    return value if isinstance(value, str) else ""
