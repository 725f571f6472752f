"""Patterns: what stands around the text in chunks that are alike.

The chunks of one place differ in their text, and in the padding that OpenAI's servers add to hide its length. So once
one of them was decoded, the next need no decoding beyond their text: what stands around it must be the same, byte for
byte, and the padding be nothing but letters and digits. (core/place.py does the same for payloads that are canonical.)
"""

from collections.abc import Callable, Iterable
from typing import Final, Self

import msgspec
from msgspec import Struct

from streamproc.core.fragments import FragmentError
from streamproc.core.place import decode_text

__all__ = ["Pattern"]

_PROBE: Final = "\0"
_PROBE_LITERAL: Final = msgspec.json.encode(_PROBE)
_PADDING: Final = b'"obfuscation":"'
_END: Final = b'"}'


class Pattern(Struct, frozen=True):
    """Chunks that are alike."""

    before: bytes
    after: bytes
    is_padded: bool

    @classmethod
    def learn(cls, payload: bytes, text: str, read: Callable[[bytes], str | None]) -> Self | None:
        """Find out what stands around `text`, which `read` finds in a payload.

        The guess is the last spot where its JSON could be. It is right if `read` finds another text in that spot; for a
        payload that says anything else than this one it has to return None.
        """
        literal = msgspec.json.encode(text)
        before, found, tail = payload.rpartition(literal)
        after, mark, _ = tail.partition(_PADDING)
        example = before + _PROBE_LITERAL + after + (mark + b"0" + _END if mark else b"")
        return cls(before, after + mark, bool(mark)) if found and read(example) == _PROBE else None

    def texts(self, payloads: Iterable[bytes]) -> list[str]:
        """The texts of the payloads that are alike, up to the first other one, or one without a text."""
        texts: list[str] = []
        before, after, is_padded = self.before, self.after, self.is_padded
        try:
            for payload in payloads:
                piece = payload.removeprefix(before)
                literal, found, rest = piece.partition(after)
                if piece is payload or not found:
                    break
                if is_padded:
                    padding = rest.removesuffix(_END)
                    if padding is rest or not padding.isalnum():
                        break
                elif rest:
                    break
                text = decode_text(literal)
                if not text:
                    break
                texts.append(text)
        except FragmentError:
            pass  # what is before `after` is no text
        return texts
