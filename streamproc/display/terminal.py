"""Text from data, made safe for a terminal, and what is known about the terminals at hand.

A payload may hold anything, and so may a file's name: escape sequences that move the cursor or set the window's title,
and marks that reverse the reading direction of what follows. None of it may reach a terminal. JSON lines are safe as
far as C0 goes (JSON cannot hold those characters unescaped); DEL, C1 and the directional marks it may hold.
"""

import re
import sys
from typing import BinaryIO, Final, TextIO

__all__ = ["clean", "escape_json", "is_terminal", "stdout"]

# C0 with ESC, DEL, C1; then the marks of bidirectional text; then line and paragraph separator.
_CONTROLS: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
_DIRECTIONS: Final = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_UNSAFE_IN_JSON: Final = re.compile(f"[\x7f-\x9f{_DIRECTIONS}\u2028\u2029]")
_INVISIBLE: Final = re.compile(f"[{_DIRECTIONS}]")
_SPACE: Final = re.compile("[\\s\u2028\u2029]+")
_LINE_BREAK: Final = re.compile("\r\n|[\r\n\u0085\u2028\u2029]")


def clean(text: str, *, lines: bool = False) -> str:
    """Return `text` without anything that could act on a terminal.

    Args:
        lines: keep line breaks (as LF) and indentation; otherwise every run of white space becomes one space.
    """
    if not lines:
        return _CONTROLS.sub("", _INVISIBLE.sub("", _SPACE.sub(" ", text))).strip()
    parts = _LINE_BREAK.split(text.replace("\t", "    "))
    return "\n".join(_CONTROLS.sub("", _INVISIBLE.sub("", part)) for part in parts)


def escape_json(line: bytes) -> bytes:
    r"""Write the characters that a terminal might act on as \u escapes; the JSON's meaning stays the same."""
    if line.isascii() and b"\x7f" not in line:
        return line
    text = line.decode("utf-8", "replace")
    return _UNSAFE_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text).encode()


def is_terminal(stream: TextIO) -> bool:
    """Whether people read `stream` directly."""
    return stream.isatty()


def stdout() -> BinaryIO:
    """Standard output for bytes."""
    return sys.stdout.buffer
