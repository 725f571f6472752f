"""Where each key of a TOML text stands, which the standard library's parser does not tell.

`lines_of` reads only text that `tomllib` has taken, so it need not judge it: it follows headers, keys, brackets and
strings, and notes the line of each path. A path is what leads to a value, `("sinks", 1, "policy", "inbox_max")`.
"""

import re
import tomllib
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

from streamproc.worker.config.toml import toml_key

__all__ = ["Path", "dotted", "line_of", "lines_of"]

Path: TypeAlias = tuple[str | int, ...]

_TOKEN: Final = re.compile(
    r'''(?P<text>"""(?:[^\\]|\\.)*?"{3,5} | \'\'\'.*?\'{3,5} | "(?:[^"\\\n]|\\.)*" | '[^'\n]*')
      | (?P<comment>\#[^\n]*) | (?P<newline>\n) | (?P<space>[ \t\r]+)
      | (?P<mark>[][{}=,.]) | (?P<word>[^]["'{}=,.\#\s]+)''',
    re.VERBOSE | re.DOTALL,
)
_BLANK: Final = frozenset({"space", "comment", "newline"})


class _Token(NamedTuple):
    kind: str
    text: str
    line: int


_END: Final = _Token("end", "", 0)


def lines_of(text: str) -> dict[Path, int]:
    """The line, from 1, on which each key, table and element of a list is first written.

    Args:
        text: a TOML document that `tomllib` can read.
    """
    return _Scanner(text).document()


def line_of(lines: dict[Path, int], path: Path) -> int:
    """The line of a path, or of the nearest table around it that is written."""
    while path not in lines and path:
        path = path[:-1]
    return lines.get(path, 1)


def dotted(path: Path) -> str:
    """A path as people write it: `sinks[1].policy.inbox_max`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + toml_key(part)
    return text


class _Scanner:
    def __init__(self, text: str) -> None:
        self._tokens = self._split(text)
        self._next = next(self._tokens, _END)
        self._lines: dict[Path, int] = {}
        self._tables: dict[Path, int] = {}  # path of a list of tables -> how many there are

    @staticmethod
    def _split(text: str) -> Iterator[_Token]:
        line = 1
        for match in _TOKEN.finditer(text):
            yield _Token(match.lastgroup or "", match[0], line)
            line += match[0].count("\n")

    def document(self) -> dict[Path, int]:
        table: Path = ()
        while self._skip(_BLANK).kind != "end":
            if self._next.text == "[" and self._next.kind == "mark":
                table = self._header()
            else:
                self._pair(table)
        return self._lines

    def _take(self) -> _Token:
        token, self._next = self._next, next(self._tokens, _END)
        return token

    def _skip(self, kinds: frozenset[str]) -> _Token:
        while self._next.kind in kinds:
            self._take()
        return self._next

    def _header(self) -> Path:
        line = self._take().line
        is_list = self._next.text == "["
        if is_list:
            self._take()
        parts = self._key()
        self._take()
        if is_list:
            self._take()
        path: Path = ()
        for number, part in enumerate(parts, 1):
            path = (*path, part)
            self._lines.setdefault(path, line)
            if is_list and number == len(parts):
                self._tables[path] = self._tables.get(path, 0) + 1
            if path in self._tables:  # what follows belongs to the newest one
                path = (*path, self._tables[path] - 1)
                self._lines.setdefault(path, line)
        return path

    def _key(self) -> list[str]:
        """The parts of a key, up to what follows it."""
        parts: list[str] = []
        while True:
            token = self._skip(frozenset({"space"}))
            if token.kind == "mark" and token.text != ".":
                return parts
            self._take()
            if token.kind == "text":
                parts.append(tomllib.loads(f"key = {token.text}")["key"])
            elif token.kind == "word":
                parts.append(token.text)

    def _pair(self, table: Path) -> None:
        line = self._next.line
        path = table
        for part in self._key():
            path = (*path, part)
            self._lines.setdefault(path, line)
        self._take()  # =
        self._value(path)

    def _value(self, path: Path) -> None:
        token = self._skip(frozenset({"space"}))
        self._lines.setdefault(path, token.line)
        if token.kind == "text":
            self._take()
        elif token.text == "[":
            self._take()
            index = 0
            while self._skip(_BLANK).text != "]":
                if self._next.text == ",":
                    self._take()
                    continue
                self._value((*path, index))
                index += 1
            self._take()
        elif token.text == "{":
            self._take()
            while self._skip(_BLANK).text != "}":
                if self._next.text == ",":
                    self._take()
                else:
                    self._pair(path)
            self._take()
        else:  # a number, a date with a space in it, a boolean
            while self._next.kind in ("word", "space") or self._next.text == ".":
                self._take()
