"""Names on the command line, turned into sources of bytes."""

import os
from pathlib import Path

import pytest

from streamproc.cli.exits import Exit
from streamproc.cli.inputs import CHUNK_BYTES, InputError, Source, expand


def test_patterns_are_expanded_and_sorted(tmp_path: Path) -> None:
    """Directories that match are no files; order is the names'."""
    for name in ("b.sse", "a.sse", "c.txt"):
        (tmp_path / name).touch()
    (tmp_path / "d.sse").mkdir()
    found = expand([f"{tmp_path}/*.sse", "-", "x.sse"])

    assert [source.name for source in found] == [f"{tmp_path}/a.sse", f"{tmp_path}/b.sse", "stdin", "x.sse"]


def test_file_that_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    """A shell that expanded the name already may hand over one with brackets in it."""
    path = tmp_path / "run[1].sse"
    path.touch()
    (tmp_path / "run1.sse").touch()

    assert [source.name for source in expand([str(path)])] == [str(path)]


def test_file_is_read_in_chunks(tmp_path: Path) -> None:
    """Never as a whole."""
    path = tmp_path / "run.sse"
    path.write_bytes(b"x" * (2 * CHUNK_BYTES + 1))
    source = Source.file(str(path))

    assert [len(chunk) for chunk in source.chunks()] == [CHUNK_BYTES, CHUNK_BYTES, 1]
    assert (source.size, source.can_be_read_again) == (2 * CHUNK_BYTES + 1, True)


def test_pipe_has_no_size_and_is_read_once(tmp_path: Path) -> None:
    """What it holds comes at once, whether a chunk is full or not."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    keep = os.open(path, os.O_RDWR)  # so that opening it to read does not wait
    os.write(keep, b"data")
    source = Source.file(str(path))
    chunks = source.chunks()

    assert next(chunks) == b"data"
    assert (source.size, source.can_be_read_again) == (None, False)
    os.close(keep)
    assert list(chunks) == []


@pytest.mark.parametrize("name", ["missing", "with\0null"])
def test_file_that_is_not_there(name: str) -> None:
    """A name that no file can have is a missing file, too."""
    with pytest.raises(InputError, match="no such file") as caught:
        next(Source.file(name).chunks())

    assert caught.value.code == Exit.USAGE
    assert Source.file(name).size is None
