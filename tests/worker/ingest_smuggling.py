"""Requests as bytes that two servers could cut differently, each with another request behind or inside it."""

from collections.abc import Mapping
from typing import Final

from tests.streams import run, sse
from tests.worker.ingest_fixture import chunk, head

__all__ = ["AMBIGUOUS", "INNER", "ORDINARY", "SMUGGLED"]

_TYPE: Final = "Content-Type: text/event-stream"
_BODY: Final = sse(run("completed"))
INNER: Final = head("POST", "/v1/streams/hidden", len(_BODY), _TYPE) + _BODY
"""What must not be taken for a request."""
_LINE: Final = "POST /v1/streams/shown HTTP/1.1\r\nHost: a\r\n" + _TYPE + "\r\n"


def _made(fields: str, body: bytes, line: str = _LINE) -> bytes:
    return f"{line}{fields}\r\n".encode("latin-1") + body


def _sized(field: str) -> bytes:
    """With five bytes of body, if anybody believes it."""
    return _made(f"{field}\r\n", b": aa\n" + INNER)


def _coded(field: str) -> bytes:
    """With an empty body in chunks, if anybody believes it."""
    return _made(f"{field}\r\n", b"0\r\n\r\n" + INNER)


def _chunked(body: bytes) -> bytes:
    return _made("Transfer-Encoding: chunked\r\n", body + INNER)


AMBIGUOUS: Final[Mapping[str, bytes]] = {
    "length and chunks": _coded("Content-Length: 5\r\nTransfer-Encoding: chunked"),
    "chunks and length": _coded("Transfer-Encoding: chunked\r\nContent-Length: 5"),
    "two lengths": _sized("Content-Length: 5\r\nContent-Length: 6"),
    "the same length twice": _sized("Content-Length: 5\r\nContent-Length: 5"),
    "a list of lengths": _sized("Content-Length: 5, 5"),
    "length with a plus": _sized("Content-Length: +5"),
    "negative length": _sized("Content-Length: -5"),
    "hexadecimal length": _sized("Content-Length: 0x5"),
    "length with an underscore": _sized("Content-Length: 0_5"),
    "length of two words": _sized("Content-Length: 5 5"),
    "empty length": _sized("Content-Length:"),
    "length beyond 64 bits": _sized("Content-Length: 18446744073709551621"),
    "space before the colon of length": _sized("Content-Length : 5"),
    "space before the colon of coding": _coded("Transfer-Encoding : chunked"),
    "coding that ends in chunked": _coded("Transfer-Encoding: xchunked"),
    "coding identity": _coded("Transfer-Encoding: identity"),
    "coding before chunked": _coded("Transfer-Encoding: gzip, chunked"),
    "coding after chunked": _coded("Transfer-Encoding: chunked, identity"),
    "chunked twice": _coded("Transfer-Encoding: chunked, chunked"),
    "two codings": _coded("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity"),
    "coding with a vertical tab": _coded("Transfer-Encoding: \x0bchunked"),
    "coding with a NUL": _coded("Transfer-Encoding: chunked\x00"),
    "coding in quotes": _coded('Transfer-Encoding: "chunked"'),
    "coding in a name beyond ASCII": _coded("Transfer-\xc5ncoding: chunked"),
    "coding on the next line": _coded("Transfer-Encoding:\r\n chunked"),
    "continued line": _made("X: a\r\n b\r\nContent-Length: 0\r\n", INNER),
    "first line continued": _made("Content-Length: 0\r\n", INNER, _LINE.replace("Host", " Host")),
    "bare LF everywhere": _made("Content-Length: 0\r\n", b"").replace(b"\r", b"") + INNER,
    "bare LF once": _made("X: a\nContent-Length: 0\r\n", INNER),
    "bare CR": _made("X: a\rContent-Length: 0\r\n", INNER),
    "NUL in a header": _made("X: a\x00b\r\nContent-Length: 0\r\n", INNER),
    "no colon": _made("X\r\nContent-Length: 0\r\n", INNER),
    "space in a name": _made("X Y: a\r\nContent-Length: 0\r\n", INNER),
    "empty name": _made(": a\r\nContent-Length: 0\r\n", INNER),
    "two hosts": _made("Host: b\r\nContent-Length: 0\r\n", INNER),
    "no host": _made("Content-Length: 0\r\n", INNER, _LINE.replace("Host: a\r\n", "")),
    "HTTP/1.0 in chunks": _made("Transfer-Encoding: chunked\r\n", b"0\r\n\r\n" + INNER, _LINE.replace("1.1", "1.0")),
    "HTTP/1.2": _made("Content-Length: 0\r\n", INNER, _LINE.replace("1.1", "1.2")),
    "HTTP/2.0": _made("Content-Length: 0\r\n", INNER, _LINE.replace("1.1", "2.0")),
    "HTTP/0.9": b"GET /v1/streams/shown\r\n\r\n" + INNER,
    "preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + INNER,
    "space in the path": b"GET /v1/streams/a b HTTP/1.1\r\nHost: a\r\n\r\n" + INNER,
    "upgrade to a websocket": _made("Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 0\r\n", INNER),
    "upgrade to HTTP/2": _made("Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 0\r\n", INNER),
    "CONNECT": b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n" + INNER,
    "line end in a chunk's extension": _chunked(b'5;a="\r\n"\r\n: aa\n\r\n0\r\n\r\n'),
    "bare LF in a chunk's extension": _chunked(b"5;a\nb\r\n: aa\n\r\n0\r\n\r\n"),
    "chunks that end in LF": _chunked(b"5\n: aa\n\n0\n\n"),
    "space after a chunk's size": _chunked(b"5 \r\n: aa\n\r\n0\r\n\r\n"),
    "chunk's size with 0x": _chunked(b"0x5\r\n: aa\n\r\n0\r\n\r\n"),
    "chunk's size with a plus": _chunked(b"+5\r\n: aa\n\r\n0\r\n\r\n"),
    "negative size of a chunk": _chunked(b"-5\r\n: aa\n\r\n0\r\n\r\n"),
    "no size of a chunk": _chunked(b"\r\n: aa\n\r\n0\r\n\r\n"),
    "chunk's size beyond 64 bits": _chunked(b"10000000000000005\r\n: aa\n\r\n0\r\n\r\n"),
    "no line end after a chunk": _chunked(b"5\r\n: aa\nXX0\r\n\r\n"),
    "bad trailer": _chunked(b"0\r\nX : y\r\n\r\n"),
    "many trailers": _made("Transfer-Encoding: chunked\r\n", b"0\r\n" + b"a: b\r\n" * 20_000 + b"\r\n"),
    "many headers": _made("a: b\r\n" * 3000, INNER),
    "long header": _made(f"X: {'a' * 100_000}\r\nContent-Length: 0\r\n", INNER),
    "long path": f"GET /{'a' * 100_000} HTTP/1.1\r\nHost: a\r\n\r\n".encode() + INNER,
}
"""Refused, each of them."""

SMUGGLED: Final[Mapping[str, bytes]] = {
    **AMBIGUOUS,
    "HTTP/1.0 that stays open": _made(
        "Connection: keep-alive\r\nContent-Length: 0\r\n", INNER, _LINE.replace("1.1", "1.0")
    ),
    "long extension of a chunk": _made(
        "Connection: close\r\nTransfer-Encoding: chunked\r\n",
        b"5;" + b"a" * 300_000 + b"\r\n: aa\n\r\n0\r\n\r\n" + INNER,
    ),
}
"""Never two requests."""

ORDINARY: Final[Mapping[str, bytes]] = {
    "no body": _made("Content-Length: 0\r\n", b""),
    "chunks": _made("Transfer-Encoding: chunked\r\n", chunk(b": aa\n") + chunk(b"")),
    "a request in a body": _made(f"Content-Length: {len(INNER)}\r\n", INNER),
    "coding after a tab": _made("Transfer-Encoding:\tchunked\r\n", b"0\r\n\r\n"),
}
"""One request each."""
