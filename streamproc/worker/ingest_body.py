"""From the bytes of a request's body to those of an event stream: inflated within bounds, lines made into frames.

Synchronous, one instance a request (`Gunzip`) or a stream (`Lines`).
"""

import zlib
from collections.abc import Iterator
from typing import Final

__all__ = ["BadGzip", "Bomb", "Gunzip", "Lines"]

_PIECE: Final = 64 * 1024  # bytes that are inflated at once
_GZIP: Final = 16 + zlib.MAX_WBITS
_RATIO_MAX: Final = 100  # of what comes out to what went in; recorded event streams have 5 to 55 ...
_RATIO_FREE: Final = 1024 * 1024  # ... and short ones, whatever they have, harm nobody


class BadGzip(Exception):
    """A body that is no gzip, or was cut."""


class Bomb(Exception):
    """A body that is made to be large; whoever sent it has nothing to go on with."""


class Gunzip:
    """Inflates gzip, member after member."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(_GZIP)
        self._taken = self._given = 0
        self._is_between = True  # members

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What some bytes of a body become, at most 64 KiB at a time.

        Raises:
            BadGzip: this is none.
            Bomb: it grows too much.
        """
        self._taken += len(data)
        while data or not self._is_between:
            try:
                piece = self._inflate.decompress(data, _PIECE)
            except zlib.error as error:
                raise BadGzip("the body is no gzip, or is damaged") from error
            self._given += len(piece)
            if self._given > max(_RATIO_FREE, self._taken * _RATIO_MAX):
                raise Bomb(f"the body grows more than {_RATIO_MAX} times")
            if piece:
                yield piece
            self._is_between = self._inflate.eof
            if self._is_between:
                data = self._inflate.unused_data
                self._inflate = zlib.decompressobj(_GZIP)
            else:
                data = self._inflate.unconsumed_tail
                if not data and len(piece) < _PIECE:  # of a full one zlib may hold back the rest
                    return

    def end(self) -> None:
        """To be called at the end of the body.

        Raises:
            BadGzip: it came too early.
        """
        if not self._is_between:
            raise BadGzip("the body ends within its gzip")


class Lines:
    """Makes the lines of canonical events, `{"event": ..., "data": ...}` each, into frames of an event stream."""

    def __init__(self) -> None:
        self._is_within = False  # a line

    def frames(self, data: bytes) -> bytes:
        """The same events, cut at the same places; empty lines are left out."""
        made: list[bytes] = []
        first, *others = data.replace(b"\r", b" ").split(b"\n")  # in JSON it can only stand between tokens
        self._add(first, made)
        for line in others:
            if self._is_within:
                made.append(b"\n\n")
                self._is_within = False
            self._add(line, made)
        return b"".join(made)

    def _add(self, part: bytes, made: list[bytes]) -> None:
        if not self._is_within:
            part = part.lstrip()
            if not part:
                return
            made.append(b"data: ")
            self._is_within = True
        made.append(part)

    def end(self) -> bytes:
        """What ends the last line where the body left that out."""
        is_within, self._is_within = self._is_within, False
        return b"\n\n" if is_within else b""
