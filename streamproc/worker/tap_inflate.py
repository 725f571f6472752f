"""Decompressing a copy of what passes, within bounds: a few bytes may stand for gigabytes.

gzip and deflate only, which Python brings. What is compressed otherwise passes untapped.
"""

import zlib
from collections.abc import Iterator
from typing import Final, Protocol

from streamproc.worker.proxy_statistics import Untapped

__all__ = ["Decoder", "Inflate", "Unreadable", "decoder"]

_PIECE_BYTES: Final = 64 * 1024  # what is made at a time
_SLACK_BYTES: Final = 1024 * 1024  # so much may come of anything; beyond it ...
_RATIO_MAX: Final = 100  # ... only so many times what came in


class Unreadable(Exception):
    """The copy cannot be read any further; `reason` is what it counts as."""

    def __init__(self, reason: Untapped) -> None:
        super().__init__(reason)
        self.reason: Untapped = reason


class Decoder(Protocol):
    """Reads what was compressed, or not."""

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What some more bytes stand for.

        Raises:
            Unreadable: they are damaged, or stand for too much.
        """
        ...


class Inflate:
    """The pieces that compressed ones stand for.

    Args:
        window_bits: as of `zlib.decompressobj`.
        is_raw_allowed: whether the two bytes in front of it may be missing, as with some servers' deflate.
    """

    def __init__(self, window_bits: int, *, is_raw_allowed: bool = False) -> None:
        self._window_bits = window_bits
        self._is_raw_allowed = is_raw_allowed
        self._object = zlib.decompressobj(window_bits)
        self._in_bytes = self._out_bytes = 0

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What some more bytes stand for.

        Raises:
            Unreadable: they are damaged, or stand for too much.
        """
        self._in_bytes += len(data)
        while data:
            try:
                piece = self._object.decompress(data, _PIECE_BYTES)
            except zlib.error:
                if not self._is_raw_allowed or self._out_bytes or self._in_bytes != len(data):
                    raise Unreadable("damaged") from None
                self._is_raw_allowed = False
                self._object = zlib.decompressobj(-zlib.MAX_WBITS)
                continue
            self._out_bytes += len(piece)
            if self._out_bytes > max(_SLACK_BYTES, _RATIO_MAX * self._in_bytes):
                raise Unreadable("bomb")
            if piece:
                yield piece
            data = self._object.unconsumed_tail
            if self._object.eof:  # another one may follow
                data = self._object.unused_data
                self._object = zlib.decompressobj(self._window_bits)


class _Identity:
    """What was not compressed."""

    def pieces(self, data: bytes) -> Iterator[bytes]:
        yield data


def decoder(encoding: str) -> Decoder | None:
    """What reads a body with this Content-Encoding; None when nothing does."""
    match encoding.strip().lower():
        case "" | "identity":
            return _Identity()
        case "gzip" | "x-gzip":
            return Inflate(16 + zlib.MAX_WBITS)
        case "deflate":
            return Inflate(zlib.MAX_WBITS, is_raw_allowed=True)
        case _:
            return None
