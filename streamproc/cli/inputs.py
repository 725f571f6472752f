"""Where `replay` reads: files, patterns and standard input, as chunks of bytes.

What is wrong with an input is told by `InputError` in words for people. This module does not look into the bytes.
"""

import glob
import os
import stat
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader, FileIO
from typing import Final, cast

from streamproc.cli.exits import Exit

__all__ = ["CHUNK_BYTES", "InputError", "Source", "expand"]

CHUNK_BYTES: Final = 64 * 1024


class InputError(Exception):
    """An input that cannot be read, or not to its end.

    Attributes:
        reason: what is wrong and, where there is one, the way out.
        code: what it means for the exit code.
    """

    def __init__(self, reason: str, code: Exit) -> None:
        super().__init__(reason, code)
        self.reason = reason
        self.code = code


@dataclass(frozen=True, slots=True)
class Source:
    """One input. `name` is what people and the JSON see, `path` what is opened; standard input has no path."""

    name: str
    path: str | None

    @classmethod
    def stdin(cls) -> "Source":
        return cls("stdin", None)

    @classmethod
    def file(cls, path: str) -> "Source":
        # A file's name may be no text at all; JSON and terminals need text.
        return cls(os.fsencode(path).decode("utf-8", "replace"), path)

    @property
    def size(self) -> int | None:
        """In bytes; None when only reading can tell (a pipe, a missing file)."""
        try:
            found = os.stat(self.path) if self.path is not None else os.fstat(sys.stdin.fileno())
        except (OSError, ValueError):
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    @property
    def can_be_read_again(self) -> bool:
        return self.path is not None and self.size is not None

    def chunks(self) -> Iterator[bytes]:
        """Read it, a chunk at a time and as soon as bytes are there.

        Raises:
            InputError: it cannot be opened, or reading stopped before its end.
        """
        if self.path is None:
            yield from _read(cast(BufferedReader, sys.stdin.buffer).read1)
            return
        try:
            file = FileIO(self.path)  # without a buffer, so that what a pipe holds is not waited for
        except (OSError, ValueError) as error:
            raise InputError(_why_closed(self.name, error), Exit.USAGE) from error
        with file:
            yield from _read(file.read)


def expand(names: Sequence[str]) -> list[Source]:
    """Turn arguments into sources: "-" is standard input, a pattern stands for the files it matches, sorted."""
    sources: list[Source] = []
    for name in names:
        if name == "-":
            sources.append(Source.stdin())
            continue
        paths = [name]
        if _is_pattern(name) and not os.path.lexists(name):
            # Shells expand what is not quoted. A pattern without a match stays, and is reported in its turn.
            paths = sorted(path for path in glob.glob(name, recursive=True) if not os.path.isdir(path)) or paths
        sources += map(Source.file, paths)
    return sources


def _is_pattern(name: str) -> bool:
    return any(char in name for char in "*?[")


def _read(read: Callable[[int], bytes | None]) -> Iterator[bytes]:
    try:
        while chunk := read(CHUNK_BYTES):
            yield chunk
    except OSError as error:
        raise InputError(f"reading stopped: {error.strerror or error}", Exit.DATA) from error


def _why_closed(name: str, error: OSError | ValueError) -> str:
    match error:
        case FileNotFoundError():
            return "no file matches this pattern" if _is_pattern(name) else "no such file"
        case IsADirectoryError():
            return f"is a directory; name its files, e.g. '{name.rstrip('/')}/*.sse'"
        case OSError():
            return f"cannot be read: {error.strerror or error}"
        case _:
            return "no such file"  # a name that no file can have
