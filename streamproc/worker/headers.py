"""Which headers a proxy passes on, and the head of the response that it writes.

What belongs to one connection ends there (RFC 9110, 7.6.1): `Connection` and the headers that it names, `Keep-Alive`,
`TE`, `Trailer`, `Transfer-Encoding`, `Upgrade` and everything called `Proxy-*`. All else passes as the bytes that came,
in their order, with duplicates and in their spelling; nothing is added. `Transfer-Encoding` and `Connection` are said
anew for the next connection, in the place where the other side had them, so that as long as both connections are
handled alike the list is the same.
"""

import re
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

from multidict import CIMultiDict

__all__ = [
    "Framing",
    "Raw",
    "content_lengths",
    "request_headers",
    "response_head",
    "size_bytes",
    "tokens",
]

Raw: TypeAlias = Sequence[tuple[bytes, bytes]]
"""Headers as they came: name and value, without the white space around it."""

Framing: TypeAlias = Literal["none", "chunked", "length", "close"]
"""How the end of a body shows: there is none, by chunks, by Content-Length, by the end of the connection."""

_HOP_BY_HOP: Final = frozenset({b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade"})
_PROXY: Final = b"proxy-"
_LINE_END: Final = re.compile(rb"[\r\n\0]")


def size_bytes(raw: Raw) -> int:
    """What headers take on the wire."""
    return sum(len(name) + len(value) + 4 for name, value in raw)


def tokens(raw: Raw, name: bytes) -> frozenset[bytes]:
    """The members of a header that is a list of tokens, in lower case."""
    values = (value for key, value in raw if key.lower() == name)
    return frozenset(token.strip().lower() for value in values for token in value.split(b","))


def _hop_by_hop(raw: Raw) -> frozenset[bytes]:
    """The names in lower case, beside `Proxy-*`, of headers that are for this connection only."""
    return _HOP_BY_HOP | tokens(raw, b"connection")


def content_lengths(raw: Raw) -> frozenset[bytes]:
    """The different values of Content-Length; more than one is an error."""
    return frozenset(value for name, value in raw if name.lower() == b"content-length")


def request_headers(raw: Raw) -> CIMultiDict[str]:
    """The headers of a request for its next connection, without Host.

    Raises:
        UnicodeDecodeError: a value is not UTF-8, which aiohttp could not send as it is.
    """
    dropped = _hop_by_hop(raw)
    spelled: dict[bytes, str] = {}  # of duplicates in two spellings aiohttp would keep only the second one
    headers: CIMultiDict[str] = CIMultiDict()
    for name, value in raw:
        lower = name.lower()
        if lower in dropped or lower == b"host" or lower.startswith(_PROXY):
            continue
        headers.add(spelled.setdefault(lower, name.decode("ascii")), value.decode("utf-8"))
    return headers


def response_head(status: int, reason: bytes, raw: Raw, *, framing: Framing, closes: bool) -> bytes:
    """Status line and headers of a response, as they go to the client.

    Args:
        closes: whether the connection to the client ends with this response.

    Raises:
        ValueError: a header holds a line end, and would be taken for several.
    """
    dropped = _hop_by_hop(raw)
    lines: list[bytes] = [b"HTTP/1.1 %d %b" % (status, reason)]
    connection = b"close" if closes else b"keep-alive" if b"keep-alive" in tokens(raw, b"connection") else b""
    has_length = False
    for name, value in raw:
        lower = name.lower()
        if lower == b"connection":
            value, connection = connection, b""
            if not value:
                continue
        elif lower == b"transfer-encoding":
            if framing != "chunked" and (framing != "none" or status == 204):
                continue
        elif lower == b"content-length":
            if framing in ("chunked", "close") or has_length:
                continue
            has_length = True
        elif lower in dropped or lower.startswith(_PROXY):
            continue
        lines.append(name + b": " + value)
    if connection == b"close":
        lines.append(b"Connection: close")
    if any(_LINE_END.search(line) for line in lines):
        raise ValueError("a line end in a header")
    return b"\r\n".join([*lines, b"", b""])
