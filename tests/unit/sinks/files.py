"""What the tests of the JSONL sink share: changes to write, and what is in a file of them and its predecessors."""

from collections.abc import Iterable
from pathlib import Path

from streamproc import Change, encode_change
from streamproc.sinks._jsonl_file import ChangeFile, Entry, Fsync
from streamproc.sinks._jsonl_tail import Key, keys_in

__all__ = ["change_file", "entries", "in_order", "keys", "lines", "text_in", "text_of"]


def change_file(
    path: Path, *, rotate_bytes: int | None = None, keep: int | None = None, fsync: Fsync = "never"
) -> ChangeFile:
    """A file that is not opened yet."""
    return ChangeFile(path, rotate_bytes=rotate_bytes, keep=keep, fsync=fsync, fsync_interval_s=1.0)


def entries(changes: Iterable[Change]) -> list[Entry]:
    """Changes as they are handed to a `ChangeFile`."""
    return [Entry(Key(each.stream, each.epoch, each.seq), encode_change(each) + b"\n") for each in changes]


def text_of(changes: Iterable[Change]) -> bytes:
    """What a file holds that has all of these, once and in order."""
    return b"".join(entry.line for entry in entries(changes))


def in_order(path: Path) -> list[Path]:
    """The file and its predecessors, oldest first."""
    return [*sorted(path.parent.glob(f"{path.name}.[0-9]*")), path]


def lines(path: Path) -> list[bytes]:
    """All lines, oldest first; each file must end with a complete one."""
    found: list[bytes] = []
    for file in in_order(path):
        data = file.read_bytes()
        assert data[-1:] in (b"", b"\n"), f"{file.name} ends within a line"
        found += data.splitlines(keepends=True)
    return found


def text_in(path: Path) -> bytes:
    """What the file holds, and its predecessors before it."""
    return b"".join(lines(path))


def keys(path: Path) -> list[Key]:
    """The identities of all changes, oldest first; each line must be one."""
    found = lines(path)
    identities = list(keys_in(found))
    assert len(identities) == len(found)
    return identities
