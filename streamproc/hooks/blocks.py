"""The hooks of content blocks, and the text for those who read it as it comes."""

from collections.abc import Mapping
from typing import Any

from streamproc.core.change import Change
from streamproc.core.place import decode_text
from streamproc.core.tree import Node
from streamproc.hooks.fragments import TextFragment
from streamproc.hooks.listeners import Hook, Listeners
from streamproc.hooks.outcomes import Tracked
from streamproc.hooks.parts import annotation, inner_slots, listed, matched, place
from streamproc.hooks.telling import Call, Telling
from streamproc.model.message import ImageFile, ImageFileBlock, ImageUrl, ImageUrlBlock, RefusalBlock, Text, TextBlock

__all__ = ["Blocks"]


class Blocks(Telling):
    """Tells of the content blocks of messages.

    Attributes:
        fed: whether a reader of text has something new.
    """

    def __init__(self, listeners: Listeners, call: Call) -> None:
        super().__init__(listeners, call)
        self.fed = False

    @property
    def _creates(self) -> Hook | None:
        return self._on.on_text_created

    def _follows_growth(self, tracked: Tracked) -> bool:
        on = self._on
        return (
            on.on_text_delta is not None
            or on.on_text_created is not None
            or on.on_refusal_delta is not None
            or on.on_annotation is not None
            or bool(tracked.outcome.feeds)
        )

    def follows_texts(self, tracked: Tracked) -> bool:
        return self._on.on_text_delta is not None or bool(tracked.outcome.feeds)

    def _follows_snapshots(self, tracked: Tracked, *, ends: bool) -> bool:
        on = self._on
        if on.on_text_created is not None or on.on_annotation is not None or tracked.outcome.feeds:
            return True
        done = (on.on_text_done, on.on_refusal_done, on.on_image_file_done, on.on_image_url_done)
        return ends and any(hook is not None for hook in done)

    def _created(self, part: Any, change: Change) -> None:
        if (hook := self._on.on_text_created) is not None and isinstance(part, TextBlock):
            self._call(hook, change, _text(part))

    def _grew(self, node: Node, index: int, entry: Mapping[str, Any], tracked: Tracked, change: Change) -> int:
        kind = node.latest("type")
        if kind == "text" and isinstance(text := entry.get("text"), dict):
            if isinstance(value := text.get("value"), str) and value:
                self._text(index, value, tracked, change)
            if self._on.on_annotation is not None and text.get("annotations"):
                self._annotations(node, index, listed(text["annotations"]), tracked, change)
        elif kind == "refusal" and isinstance(value := entry.get("refusal"), str) and value:
            self._refusal(TextFragment(index, value), change)
        return index

    def _grew_alike(self, found: int, tracked: Tracked, change: Change) -> None:
        self._text(found, decode_text(change.piece), tracked, change)

    def _text(self, index: int, value: str, tracked: Tracked, change: Change) -> None:
        if (hook := self._on.on_text_delta) is not None:
            self._call(hook, change, TextFragment(index, value))
        for feed in tracked.outcome.feeds:
            feed.add(change.id, index, value)
            self.fed = True

    def _refusal(self, fragment: TextFragment, change: Change) -> None:
        if (hook := self._on.on_refusal_delta) is not None:
            self._call(hook, change, fragment)

    def _annotations(self, node: Node, index: int, entries: list[Any], tracked: Tracked, change: Change) -> None:
        """Tell of the annotations of a text that an entry of a delta brought."""
        slots = inner_slots(node, ("text", "annotations"), change.revision)
        known = tracked.annotations.setdefault(index, set())
        claimed: list[int] = []
        for entry in entries:
            at = (
                place(slots, entry, change.revision, claimed) if slots is not None and isinstance(entry, dict) else None
            )
            if slots is not None and at is not None:
                claimed.append(at)
                if at not in known:
                    known.add(at)
                    self._annotated(annotation(slots, at, change.revision), change)

    def _annotated(self, found: Any, change: Change) -> None:
        if (hook := self._on.on_annotation) is not None:
            self._call(hook, change, found)

    def _seen(self, index: int, part: Any, tracked: Tracked, change: Change) -> None:
        if not isinstance(part, TextBlock):
            return
        text = _text(part)
        for feed in tracked.outcome.feeds:
            feed.sync(change.id, index, text.value if isinstance(text.value, str) else "")
            self.fed = True
        if self._on.on_annotation is not None and isinstance(text.annotations, tuple):
            known = tracked.annotations.setdefault(index, set())
            numbers = matched(dict.fromkeys(known, ""), [""] * len(text.annotations))
            for number, found in zip(numbers, text.annotations, strict=True):
                if number not in known:
                    known.add(number)
                    self._annotated(found, change)

    def _lost(self, index: int, tracked: Tracked) -> None:
        for feed in tracked.outcome.feeds:
            feed.sync(tracked.last.id, index, "")

    def _done(self, part: Any, change: Change) -> None:
        on = self._on
        match part:
            case TextBlock() if on.on_text_done is not None:
                self._call(on.on_text_done, change, _text(part))
            case RefusalBlock(refusal=str(refusal)) if on.on_refusal_done is not None:
                self._call(on.on_refusal_done, change, refusal)
            case ImageFileBlock(image_file=ImageFile() as file) if on.on_image_file_done is not None:
                self._call(on.on_image_file_done, change, file)
            case ImageUrlBlock(image_url=ImageUrl() as url) if on.on_image_url_done is not None:
                self._call(on.on_image_url_done, change, url)
            case _:
                pass


def _text(block: TextBlock) -> Text:
    return block.text if isinstance(block.text, Text) else Text()
