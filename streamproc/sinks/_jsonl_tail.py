"""What the end of a file of changes says: where its last complete line ends, and which changes were written last.

Only reads, and never more than the lines in a window at the end.
"""

import os
from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

__all__ = ["Key", "keys_in", "last_line_end", "last_lines", "may_begin_a_change"]

_BLOCK: Final = 64 * 1024
_BEGINNING: Final = b'{"stream":'  # of every line that `encode_change` makes


class Key(NamedTuple):
    """Identity of a change."""

    stream: str
    epoch: int
    seq: int


class _Line(Struct, gc=False):
    stream: str
    epoch: int
    seq: int


_decode: Final = msgspec.json.Decoder(_Line).decode


def last_line_end(fd: int, size: int) -> int:
    """The position behind the last line feed; 0 when there is none."""
    stop = size
    while stop > 0:
        start = max(0, stop - _BLOCK)
        at = os.pread(fd, stop - start, start).rfind(b"\n")
        if at >= 0:
            return start + at + 1
        stop = start
    return 0


def last_lines(fd: int, end: int, window: int) -> list[bytes]:
    """The complete lines in the last `window` bytes before `end`, where a line ends; the last line in any case."""
    while True:
        start = max(0, end - window)
        lines = os.pread(fd, end - start, start).split(b"\n")
        del lines[-1]  # what is behind the last line feed: nothing
        if start == 0:
            return lines
        if len(lines) > 1:
            return lines[1:]  # the first one began before the window, or it is not known not to have
        window *= 2


def keys_in(lines: list[bytes]) -> Iterator[Key]:
    """The identities of the changes among some lines."""
    for line in lines:
        try:
            found = _decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            continue
        yield Key(found.stream, found.epoch, found.seq)


def may_begin_a_change(fd: int) -> bool:
    """Whether a file without any complete line looks like the beginning of a change, or of nothing.

    A machine that loses power may leave zeros where the data had not been written yet.
    """
    head = os.pread(fd, len(_BEGINNING), 0)
    return _BEGINNING.startswith(head) or not head.strip(b"\0")
