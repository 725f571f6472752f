"""The end of a file of changes."""

import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc import encode_change
from streamproc.sinks import _jsonl_tail
from streamproc.sinks._jsonl_tail import Key, keys_in, last_line_end, last_lines, may_begin_a_change
from streamproc.testing.changes import odd_changes

LINES = st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"")), max_size=12)


@contextmanager
def opened(path: Path, data: bytes) -> Generator[int]:
    """A file with this in it."""
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tail") / "file"


@given(data=st.lists(st.sampled_from([b"\n", b"ab", b""])).map(b"".join), block=st.integers(1, 5))
def test_last_line_end_is_found_whatever_the_block(path: Path, data: bytes, block: int) -> None:
    with pytest.MonkeyPatch.context() as patch, opened(path, data) as fd:
        patch.setattr(_jsonl_tail, "_BLOCK", block)
        end = last_line_end(fd, len(data))

    assert end == data.rfind(b"\n") + 1


@given(lines=LINES, window=st.integers(1, 200))
def test_last_lines_are_whole_and_in_order(path: Path, lines: list[bytes], window: int) -> None:
    """At least one, if there is one; all of them, if the window is larger than the file."""
    data = b"".join(line + b"\n" for line in lines)
    with opened(path, data) as fd:
        found = last_lines(fd, len(data), window)

    assert found == lines[len(lines) - len(found) :]
    assert len(found) >= min(1, len(lines))
    assert window < len(data) or found == lines
    assert sum(len(line) + 1 for line in found) <= max([window, *(2 * len(line) + 2 for line in lines[-1:])])


def test_keys_of_odd_changes_are_found() -> None:
    """Whatever the line holds behind the identity, and whatever stands between the lines."""
    changes = odd_changes("a\u2028 \0 stream")
    lines = [encode_change(change) for change in changes]
    noise = [
        b"",
        b"{}",
        b"\0\0",
        b'{"stream":"s","epoch":1}',
        b'{"stream":1,"epoch":1,"seq":1}',
        b"\xff",
        b"[" * 100_000,
    ]

    assert list(keys_in([*noise, *lines, *noise])) == [Key(each.stream, each.epoch, each.seq) for each in changes]


@pytest.mark.parametrize(
    ("head", "may"),
    [
        (b"", True),
        (b"{", True),
        (b'{"stream":', True),
        (b'{"stream":"s","ep', True),
        (b"\0\0\0", True),
        (b"\0" * 100, True),
        (b"[project]", False),
        (b'{"streak":1', False),
        (b"x", False),
    ],
)
def test_beginning_of_a_change(path: Path, head: bytes, may: bool) -> None:
    with opened(path, head) as fd:
        found = may_begin_a_change(fd)

    assert found is may
