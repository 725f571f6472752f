"""What JSON and a stream may say and PostgreSQL cannot hold: the character NUL, halves of surrogate pairs, and numbers
beyond its `numeric`.

Each function gives back what it was given where there is nothing to replace, which a search of the bytes tells: that is
so for all but a few objects, and those alone are gone through.
"""

import re
from typing import Final

__all__ = ["holdable_json", "holdable_numbers", "holdable_text"]

_REPLACEMENT: Final = "\ufffd"
_SUSPICIOUS: Final = re.compile(rb"\\u(?:0000|[dD])").search
_ESCAPE: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a pair
    rb"|(?P<not_held>u0000|u[dD][89a-fA-F][0-9a-fA-F]{2})"
    rb"|.)",  # any other; a backslash that is escaped itself begins none
    re.DOTALL,
)
_TOKEN: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|(?P<number>-?[0-9][0-9.eE+-]*)', re.DOTALL)
_DIGITS_MAX: Final = 131_072  # before the point; see "Numeric Types" in PostgreSQL's manual
_PLACES_MAX: Final = 16_383  # after it


def holdable_json(wire: bytes) -> bytes:
    r"""JSON with U+FFFD for each `\u0000`, each half of a surrogate pair, and bytes that are no UTF-8."""
    if not wire.isascii():
        try:
            wire.decode()
        except UnicodeDecodeError:
            wire = wire.decode(errors="replace").encode()
    if _SUSPICIOUS(wire) is None:
        return wire
    return _ESCAPE.sub(lambda found: b"\\ufffd" if found["not_held"] else found[0], wire)


def holdable_text(text: str) -> str:
    """A text with U+FFFD for each NUL and each half of a surrogate pair."""
    if text.isprintable():
        return text
    text = text.replace("\0", _REPLACEMENT)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def holdable_numbers(wire: bytes) -> bytes:
    """JSON with each number that `numeric` cannot hold as a string of the same characters."""
    return _TOKEN.sub(lambda found: b'"%b"' % found[0] if found["number"] and _is_beyond(found[0]) else found[0], wire)


def _is_beyond(number: bytes) -> bool:
    mantissa, _, exponent = number.lower().lstrip(b"-").partition(b"e")
    whole, _, fraction = mantissa.partition(b".")
    shift = int(exponent[:10] or b"0")  # ten characters of it are beyond already
    return len(whole) + shift > _DIGITS_MAX or len(fraction) - shift > _PLACES_MAX
