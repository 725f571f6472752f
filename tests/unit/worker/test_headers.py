"""Headers that pass, and those that do not."""

import pytest

from streamproc.worker.headers import content_lengths, request_headers, response_head, size_bytes, tokens


def test_names_of_connection_are_dropped() -> None:
    """Whatever it names, in any spelling, over several lines; end-to-end ones included."""
    raw = [(b"connection", b"X-A , close"), (b"x-a", b"1"), (b"Connection", b"AUTHORIZATION"), (b"Authorization", b"2")]

    assert dict(request_headers([*raw, (b"X-B", b"3")])) == {"X-B": "3"}


def test_order_and_duplicates_of_a_request() -> None:
    """All of them, in the first spelling."""
    raw = [(b"X-A", b"1"), (b"B", b""), (b"x-a", b"2"), (b"Host", b"x")]

    assert list(request_headers(raw).items()) == [("X-A", "1"), ("B", ""), ("X-A", "2")]


def test_utf_8_passes_in_a_request() -> None:
    """As the same bytes."""
    assert dict(request_headers([(b"X", "é".encode())])) == {"X": "é"}


def test_other_bytes_do_not_pass_in_a_request() -> None:
    """Rather than being changed."""
    with pytest.raises(UnicodeDecodeError):
        request_headers([(b"X", b"\xe9")])


@pytest.mark.parametrize(
    ("value", "closes", "expected"),
    [
        (b"close", True, b"Connection: close\r\n"),
        (b"keep-alive", True, b"Connection: close\r\n"),
        (b"Keep-Alive, X-A", False, b"Connection: keep-alive\r\n"),
        (b"X-A", False, b""),
        (b"Upgrade", True, b"Connection: close\r\n"),
    ],
)
def test_connection_is_said_anew(value: bytes, closes: bool, expected: bytes) -> None:
    """In its place, and once."""
    raw = [(b"Connection", value), (b"Connection", value), (b"X", b"1")]
    head = response_head(200, b"OK", raw, framing="length", closes=closes)

    assert head == b"HTTP/1.1 200 OK\r\n" + expected + b"X: 1\r\n\r\n"


def test_closing_is_said_even_if_the_upstream_did_not() -> None:
    """At the end of the list."""
    head = response_head(200, b"", [(b"X", b"1")], framing="close", closes=True)

    assert head == b"HTTP/1.1 200 \r\nX: 1\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("framing", "status", "expected"),
    [
        ("chunked", 200, [b"Transfer-Encoding"]),
        ("length", 200, [b"Content-Length"]),
        ("close", 200, []),
        ("none", 200, [b"Content-Length", b"Transfer-Encoding"]),
        ("none", 204, [b"Content-Length"]),
    ],
)
def test_framing_is_said_once(framing: str, status: int, expected: list[bytes]) -> None:
    """By what is done; never by both where there is a body."""
    raw = [(b"Content-Length", b"1"), (b"content-length", b"1"), (b"Transfer-Encoding", b"chunked")]
    head = response_head(status, b"OK", raw, framing=framing, closes=False)  # type: ignore[arg-type]

    assert [line.partition(b":")[0] for line in head.split(b"\r\n")[1:-2]] == expected


@pytest.mark.parametrize("byte", [b"\r", b"\n", b"\0"])
@pytest.mark.parametrize("where", ["name", "value", "reason"])
def test_line_end_in_a_header_is_refused(byte: bytes, where: str) -> None:
    """It would be read as two."""
    header = (b"X" + byte if where == "name" else b"X", b"1" + byte if where == "value" else b"1")
    with pytest.raises(ValueError, match="a line end in a header"):
        response_head(200, b"OK" + byte if where == "reason" else b"OK", [header], framing="none", closes=False)


def test_lists_of_tokens() -> None:
    """In lower case, over several lines; an empty one is none of the usual ones."""
    raw = [(b"TE", b"Trailers,gzip"), (b"te", b" X ")]

    assert tokens(raw, b"te") == {b"trailers", b"gzip", b"x"}
    assert tokens(raw, b"upgrade") == frozenset()
    assert content_lengths([(b"Content-Length", b"1"), (b"CONTENT-LENGTH", b"2")]) == {b"1", b"2"}
    assert size_bytes(raw) == len(b"TE: Trailers,gzip\r\nte:  X \r\n")
