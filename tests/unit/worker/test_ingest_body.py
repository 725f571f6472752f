"""Bodies of ingest: gzip within bounds, and lines of events as frames."""

import gzip
import random

import pytest

from streamproc.worker.ingest_body import BadGzip, Bomb, Gunzip, Lines


def inflated(body: bytes, size: int) -> bytes:
    """What a body becomes that comes in slices, to its end."""
    gunzip = Gunzip()
    pieces = [piece for at in range(0, len(body), size) for piece in gunzip.pieces(body[at : at + size])]
    gunzip.end()
    assert max(map(len, pieces), default=0) <= 65536
    return b"".join(pieces)


NOISE = random.Random(1).randbytes(300_000)
EVEN = b"event: a\n" * 40_000  # 360 KB, of 1 KB


@pytest.mark.parametrize("size", [1, 1000, 10**9])
@pytest.mark.parametrize(
    ("body", "content"),
    [
        (gzip.compress(EVEN), EVEN),
        (gzip.compress(b"a") + gzip.compress(b"") + gzip.compress(b"b"), b"ab"),
        (gzip.compress(b""), b""),
        (b"", b""),
        (gzip.compress(b"x" * 65536), b"x" * 65536),
        (gzip.compress(b"x" * 131072) + gzip.compress(b"y"), b"x" * 131072 + b"y"),
    ],
    ids=["even", "members", "empty", "no bytes", "one piece", "two pieces, and a member"],
)
def test_any_slices(body: bytes, content: bytes, size: int) -> None:
    """Give what was compressed, in pieces of a bounded size."""
    assert inflated(body, size) == content


@pytest.mark.parametrize("size", [777, 10**9])
def test_noise(size: int) -> None:
    """It does not shrink, so zlib holds back what a piece has no room for."""
    assert inflated(gzip.compress(NOISE), size) == NOISE


@pytest.mark.parametrize(
    "body",
    [
        b"event: a",
        gzip.compress(EVEN)[:-1],
        gzip.compress(EVEN)[:20],
        gzip.compress(b"a") + b"x",
        gzip.compress(EVEN)[:-8] + b"x" * 8,
    ],
    ids=["no gzip", "cut in its trailer", "cut", "more than a gzip", "wrong check sum"],
)
def test_what_is_no_gzip(body: bytes) -> None:
    """Or not all of it."""
    with pytest.raises(BadGzip):
        inflated(body, 100)


def test_a_bomb() -> None:
    """Ends at a hundred times its size; a small one may do what it likes."""
    gunzip, sizes = Gunzip(), list[int]()
    with pytest.raises(Bomb, match="more than 100 times"):
        sizes.extend(len(piece) for piece in gunzip.pieces(gzip.compress(bytes(50_000_000))))

    assert 2**20 <= sum(sizes) <= 50_000 * 100
    assert len(inflated(gzip.compress(bytes(2**20)), 100)) == 2**20


def test_bytes_that_yield_nothing_yet() -> None:
    """As the header of a gzip alone."""
    gunzip = Gunzip()

    assert [*gunzip.pieces(gzip.compress(b"abc")[:10])] == []
    with pytest.raises(BadGzip, match="ends within"):
        gunzip.end()


FRAMES = b'data: {"a":1}\n\ndata: {"b": [2]}\n\n'


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":1}\n{"b": [2]}\n',
        b'{"a":1}\n{"b": [2]}',
        b'\n\n  \n{"a":1}\n\n\n{"b": [2]}\n\n',
        b' {"a":1}\n\t{"b": [2]}\n',
    ],
    ids=["lines", "no last line end", "empty lines", "space before"],
)
def test_lines_cut_anywhere(body: bytes) -> None:
    """Become one frame each."""
    for size in range(1, len(body) + 1):
        lines = Lines()
        made = b"".join(lines.frames(body[at : at + size]) for at in range(0, len(body), size)) + lines.end()

        assert made == FRAMES


def test_a_line_is_complete_when_its_end_has_come() -> None:
    """And not with the next one."""
    lines = Lines()

    assert lines.frames(b'{"a":1}\n') == b'data: {"a":1}\n\n'
    assert lines.frames(b"\n") == b""
    assert lines.end() == b""


def test_carriage_returns_are_space() -> None:
    """Before a line end, and between tokens, where one would end a line of an event stream."""
    lines = Lines()

    assert lines.frames(b'{"a":\r1}\r\n\r\n') == b'data: {"a": 1} \n\n'
