"""What a choice says beside its text and its calls: what the model thought, sounds, images, tools the server ran.

Servers spell reasoning in many ways: `reasoning_content`, `reasoning`, `reasoning_details`, parts of the content. It
has no place in the protocol and goes to the `extras` of the step that it led to, pieces joined, in lists that are
bounded. Encoded media are not kept, only what they are.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

__all__ = ["Notes"]

_MAX_CHARS: Final = 16 * 2**20  # of all notes of a choice
_ENTRY_CHARS: Final = 64  # what an entry counts for, beside its text
_GROWING: Final = ("text", "summary", "data")  # members of `reasoning_details` that come in pieces
_TEXTS: Final = ("reasoning_content", "reasoning")

_encode: Final = msgspec.json.Encoder().encode


class Notes:
    """Collects notes of one choice.

    Attributes:
        is_full: whether something had to be left out.
    """

    def __init__(self) -> None:
        self.is_full = False
        self._room = _MAX_CHARS
        self._texts: dict[str, list[str]] = {}  # kind of reasoning -> pieces
        self._details: dict[tuple[object, ...], dict[str, Any]] = {}  # which -> members, of the growing ones the pieces
        self._audio: dict[str, Any] = {}
        self._transcript: list[str] = []
        self._lists: dict[str, list[Any]] = {}

    @property
    def has_any(self) -> bool:
        """Whether there is something that was not taken."""
        return bool(self._texts or self._details or self._lists or self._audio or self._transcript)

    def take_delta(self, delta: Mapping[str, Any]) -> None:
        """All that a delta has for us."""
        for name in _TEXTS:
            self.think(name, delta.get(name))
        for entry in _list(delta.get("reasoning_details")):
            if isinstance(entry, dict):
                self.detail(entry)
        audio = delta.get("audio")
        if isinstance(audio, dict):
            self._sound(audio)
        for entry in _list(delta.get("images")):
            self._add("images", _image(entry))
        for entry in _list(delta.get("executed_tools")):
            self._add("executed_tools", entry)

    def think(self, kind: str, text: object) -> None:
        """A piece of reasoning; `kind`: how the wire names it."""
        if isinstance(text, str) and text and self._fits(len(text)):
            self._texts.setdefault(kind, []).append(text)

    def detail(self, entry: Mapping[str, Any]) -> None:
        """An entry of `reasoning_details`."""
        if not self._fits(len(_encode(entry)) + _ENTRY_CHARS):
            return
        key = tuple(_hashable(entry.get(name)) for name in ("type", "index", "id"))
        detail = self._details.setdefault(key, {})
        for name, value in entry.items():
            if name in _GROWING:
                if isinstance(value, str):
                    detail.setdefault(name, []).append(value)
            elif value is not None or name not in detail:
                detail[name] = value

    def take_reasoning(self) -> list[Any]:
        """The reasoning since this was asked for last."""
        found: list[Any] = [{"type": kind, "text": "".join(pieces)} for kind, pieces in self._texts.items()]
        found += (
            {name: "".join(value) if name in _GROWING else value for name, value in detail.items()}
            for detail in self._details.values()
        )
        self._texts, self._details = {}, {}
        return found

    def take_media(self) -> dict[str, Any]:
        """All else, by the names of the wire; nothing is left."""
        found: dict[str, Any] = dict(self._lists)
        if self._transcript:
            self._audio["transcript"] = "".join(self._transcript)
        if self._audio:
            found["audio"] = self._audio
        self._lists, self._transcript, self._audio = {}, [], {}
        return found

    def _sound(self, audio: Mapping[str, Any]) -> None:
        for name in ("id", "expires_at"):
            value = audio.get(name)
            if isinstance(value, str | int) and self._fits(len(str(value))):
                self._audio[name] = value
        transcript = audio.get("transcript")
        if isinstance(transcript, str) and self._fits(len(transcript)):
            self._transcript.append(transcript)

    def _add(self, name: str, entry: Any) -> None:
        if self._fits(len(_encode(entry)) + _ENTRY_CHARS):
            self._lists.setdefault(name, []).append(entry)

    def _fits(self, chars: int) -> bool:
        if chars > self._room:
            self.is_full = True
            return False
        self._room -= chars
        return True


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _hashable(value: object) -> object:
    return value if isinstance(value, str | int) else None


def _image(entry: Any) -> Any:
    """An image without its bytes, if the URL holds them."""
    match entry:
        case {"image_url": {"url": str() as url} as image} if url.startswith("data:"):
            media_type, _, encoded = url.removeprefix("data:").partition(",")
            described = {"media_type": media_type.partition(";")[0], "encoded_chars": len(encoded)}
            return {**entry, "image_url": {**image, "url": None, **described}}
        case _:
            return entry
