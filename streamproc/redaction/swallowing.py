r"""Where a secret ends, once it is sure that there is one: its mask stands already, the rest of it is swallowed.

Each of these is asked with the text from some position on, again with each part of a text that comes in parts, and says
up to where it has read. What it cannot judge yet, such as a backslash at the very end, it leaves, to be asked again
with more behind it. So what is kept of a secret is a few characters at most, however long it is.
"""

import re
from functools import lru_cache
from typing import Final, Protocol

__all__ = ["Bracketed", "Pem", "Quoted", "Rest", "Swallowing", "rest_of"]

_ESCAPES: Final = r"|\\(?:/|u00(?:2[BbFf]|3[Dd]))"  # + / = as some JSON encoders write them
_ESCAPE_BEGUN: Final = re.compile(r"\\(?:u(?:0(?:0[23]?)?)?)?\Z")
_PEM_STOP: Final = re.compile(r"-----END [A-Z ]{0,40}-----|[^A-Za-z0-9+/=\s\\:,.-]")
_PEM_END_MAX: Final = 56
_TOKEN: Final = re.compile(r"(\\++)?([\"'])|\\++|[\[\]{}]")
_STOPS: Final = {quote: re.compile(rf"(\\++)?({quote})|\\++") for quote in "\"'"}
_SAME_AS_NONE: Final = 16  # backslashes: at no depth do so many more say anything else of the quote after them


class Swallowing(Protocol):
    """What is being swallowed."""

    def end(self, text: str, start: int) -> tuple[int, bool]:
        """Read on from `start`; returns up to where it is swallowed, and whether that is all of it."""
        ...


class Rest:
    """Characters of a class."""

    def __init__(self, chars: str) -> None:
        self._escapes = "/" in chars and not chars.startswith("^")
        self._run = re.compile(rf"(?:[{chars}]{_ESCAPES if self._escapes else ''})*+")

    def end(self, text: str, start: int) -> tuple[int, bool]:
        match = self._run.match(text, start)
        assert match is not None  # it may be empty
        end = match.end()
        if end == len(text) or (self._escapes and _ESCAPE_BEGUN.match(text, end)):
            return end, False
        return end, True


rest_of = lru_cache(maxsize=256)(Rest)


class Pem:
    """A private key up to the line that ends it, or up to what no key holds."""

    def end(self, text: str, start: int) -> tuple[int, bool]:
        stop = _PEM_STOP.search(text, start)
        if stop is None:
            return max(start, len(text) - _PEM_END_MAX), False
        return (stop.end() if stop[0][0] == "-" else stop.start()), True


class Quoted:
    """A string of JSON, up to the quote that ends it.

    Args:
        quote: what it began with: a quote, and backslashes where it is JSON in a string.
    """

    def __init__(self, quote: str) -> None:
        self._quote = quote[-1]
        self._slashes = len(quote) - 1
        self._stop = _STOPS[self._quote]

    def closes(self, slashes: int) -> bool:
        """Whether a quote with so many backslashes ends it; others belong to what is in it."""
        return slashes % (2 * (self._slashes + 1)) == self._slashes

    def end(self, text: str, start: int) -> tuple[int, bool]:
        for stop in self._stop.finditer(text, start):
            if stop[2] and self.closes(len(stop[1] or "")):
                return stop.end() - 1 - self._slashes, True
        return _before_slashes(text, start), False


class Bracketed:
    """A list or an object, up to the bracket that ends it."""

    def __init__(self, quote: str) -> None:
        self._strings = Quoted(quote)
        self._quote = quote[-1]
        self._depth = 0
        self._in_string = False

    def end(self, text: str, start: int) -> tuple[int, bool]:
        for token in _TOKEN.finditer(text, start):
            if token[2]:
                if token[2] == self._quote and self._strings.closes(len(token[1] or "")):
                    self._in_string = not self._in_string
            elif not self._in_string and token[0][0] != "\\":
                self._depth += 1 if token[0] in "[{" else -1
                if not self._depth:
                    return token.end(), True
        return _before_slashes(text, start), False


def _before_slashes(text: str, start: int) -> int:
    """The end of a text, before the backslashes that may belong to a quote after it."""
    end = max(start, len(text.rstrip("\\")))
    return end + (len(text) - end) // _SAME_AS_NONE * _SAME_AS_NONE
