"""The file of changes: what is in it after failures, restarts and rotations."""

import errno
import os
import random
import resource
import stat
from collections.abc import Callable, Generator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from streamproc.errors import ConfigError, SinkUnavailable
from streamproc.sinks import _jsonl_file
from streamproc.sinks._jsonl_file import ChangeFile, Fsync
from streamproc.testing.changes import odd_changes, ordinary_changes
from tests.unit.sinks.files import change_file, entries, in_order, keys, lines, text_of

CHANGES = ordinary_changes("s", deltas=5)
TEXT = text_of(CHANGES)
LINE = len(entries(CHANGES)[0].line)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "changes.jsonl"


@contextmanager
def opened(file: ChangeFile) -> Generator[ChangeFile]:
    file.open()
    try:
        yield file
    finally:
        file.close()


def write(path: Path, *batches: Any, **options: Any) -> ChangeFile:
    """Open a file, append some batches, and close it."""
    with opened(change_file(path, **options)) as file:
        for batch in batches:
            file.append(entries(batch))
    return file


class Failing:
    """A function of the system that fails when it is told to."""

    def __init__(self, real: Callable[..., Any], error: int, *, written: int = 0) -> None:
        self._real = real
        self._error = error
        self._written = written  # bytes that still go through
        self.failures = 1

    def __call__(self, *args: Any) -> Any:
        if not self.failures:
            return self._real(*args)
        if self._written:
            written, self._written = self._written, 0
            return self._real(args[0], args[1][:written])
        self.failures -= 1
        raise OSError(self._error, os.strerror(self._error))


def fail(
    patch: pytest.MonkeyPatch, function: str, error: int = errno.EIO, *, times: int = 1, written: int = 0
) -> Failing:
    """Let a function of `os` fail at its next calls."""
    failing = Failing(getattr(os, function), error, written=written)
    failing.failures = times
    patch.setattr(os, function, failing)
    return failing


# --- what is written --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fsync", ["always", "interval", "never"])
def test_one_line_a_change(path: Path, fsync: Fsync) -> None:
    """The bytes of `encode_change`, whatever is in them, in a file that only its owner may read."""
    changes = [*CHANGES, *odd_changes("odd")]
    file = write(path, changes[:3], [], changes[3:], fsync=fsync)

    assert path.read_bytes() == text_of(changes)
    assert (file.written, file.skipped, file.cut_bytes) == (len(changes), 0, 0)
    assert [stat.S_IMODE(each.stat().st_mode) for each in (path, Path(f"{path}.lock"))] == [0o600, 0o600]


def test_repeated_changes_are_not_written_again(path: Path) -> None:
    """In the same batch, in a later one, after a restart; those of other streams and of a higher epoch are others."""
    other, later = ordinary_changes("t", deltas=1), [each for each in CHANGES if each.seq > 3]
    write(path, CHANGES[:5], CHANGES[2:6], [CHANGES[6], CHANGES[6]])
    with capture_logs() as logs:
        file = write(path, CHANGES[4:], other, CHANGES, later)

    assert path.read_bytes() == text_of([*CHANGES, *other])
    assert file.skipped == 3 + len(CHANGES) + len(later)
    assert [log["event"] for log in logs] == ["sink.duplicates_skipped"] * 3
    assert logs[0] == {
        **{"event": "sink.duplicates_skipped", "log_level": "info", "sink": "jsonl"},
        **{"path": str(path), "changes": 3},
    }


def test_what_comes_again_in_a_higher_epoch_is_written(path: Path) -> None:
    """And what then comes from the epoch before is not."""
    first = entries(CHANGES)
    again = [entry._replace(key=entry.key._replace(epoch=2)) for entry in first]
    with opened(change_file(path)) as file:
        for batch in (first, again[:2], first, again):
            file.append(batch)

    assert (file.written, file.skipped) == (2 * len(first), len(first) + 2)


def test_streams_written_last_are_remembered(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The memory has a bound; the stream that was written longest ago is forgotten first."""
    monkeypatch.setattr(_jsonl_file, "_MAX_STREAMS", 2)
    a, b, c = (ordinary_changes(name, deltas=0)[:2] for name in "abc")
    file = write(path, a[:1], b, a[1:], c, a, b)

    assert file.skipped == len(a)
    assert [*file._last] == ["c", "b"]


def test_writing_needs_an_open_file(path: Path) -> None:
    file = write(path, CHANGES)

    with pytest.raises(RuntimeError, match="the sink is not open; enter it"):
        file.append(entries(CHANGES))


def test_closing_twice_is_harmless(path: Path) -> None:
    """And closing what was never opened."""
    file = change_file(path)
    file.close()
    with opened(file):
        file.append(entries(CHANGES))
    file.close()

    assert path.read_bytes() == TEXT


def test_others_can_have_a_file_that_could_not_be_closed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lock is let go all the same."""
    file = change_file(path)
    file.open()
    fd = file._fd
    assert fd is not None
    with monkeypatch.context() as patch:
        fail(patch, "close")
        with pytest.raises(OSError, match="Input/output error"):
            file.close()
    os.close(fd)  # the system had, this one's failure only looked like it
    write(path, CHANGES)

    assert path.read_bytes() == TEXT


def test_lock_is_gone_when_it_is_said_to_be(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread may be looking."""
    file = change_file(path)
    file.open()
    lock = file._lock
    assert lock is not None
    release, seen = lock.release, []

    def watched() -> None:
        seen.append(file._lock is lock)
        release()
        seen.append(file._lock is lock)

    monkeypatch.setattr(lock, "release", watched)
    file.close()

    assert seen == [True, True]
    assert file._lock is None


# --- opening ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_torn_last_line_is_cut_wherever_it_was_torn(path: Path) -> None:
    """Whatever part of a write reached the disk, all changes are there once after they came again."""
    wrong = []
    for size in range(len(TEXT) + 1):
        path.write_bytes(TEXT[:size])
        with capture_logs() as logs:
            file = write(path, CHANGES)
        torn = size - (TEXT[:size].rfind(b"\n") + 1)
        repaired = [log["cut_bytes"] for log in logs if log["event"] == "sink.tail_repaired"]
        if path.read_bytes() != TEXT or file.cut_bytes != torn or repaired != [torn] * (torn > 0):
            wrong.append(size)

    assert wrong == []


@pytest.mark.parametrize("good", [b"", TEXT])
def test_zeros_that_a_loss_of_power_left_are_cut(path: Path, good: bytes) -> None:
    path.write_bytes(good + b"\0" * 5000)
    file = write(path, CHANGES)

    assert path.read_bytes() == TEXT
    assert file.cut_bytes == 5000


def test_broken_line_in_the_middle_does_not_matter(path: Path) -> None:
    """It stays; the file can still be read and written behind it."""
    path.write_bytes(b"\0\0\xff\n" + TEXT)
    file = write(path, CHANGES)

    assert path.read_bytes() == b"\0\0\xff\n" + TEXT
    assert file.skipped == len(CHANGES)


@pytest.mark.parametrize("other", [b"[project]\nname = 1\n", b"no line end", b'{"a":1}\n{"stream":'])
def test_file_of_something_else_is_left_alone(path: Path, other: bytes) -> None:
    path.write_bytes(other)

    with pytest.raises(ConfigError, match="holds something else than changes; it is left as it is"):
        change_file(path).open()
    assert path.read_bytes() == other


def test_paths_that_cannot_be_a_file(tmp_path: Path, path: Path) -> None:
    """Each is told apart, and nothing is made beside it."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(path)
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    before = sorted(os.listdir(tmp_path))
    said = {}
    for name in ("folder", "link", "pipe", "none/changes", "file/changes"):
        with pytest.raises(ConfigError) as caught:
            change_file(tmp_path / name).open()
        said[name] = str(caught.value).removeprefix(f"{tmp_path}/{name}")

    assert said == {
        "folder": " is a folder; name a file in it",
        "link": " is a symbolic link; name the file itself",
        "pipe": " is no regular file",
        "none/changes": ": its folder does not exist",
        "file/changes": ": what should be its folder is a file",
    }
    assert sorted(os.listdir(tmp_path)) == before


def test_second_writer_is_kept_out(path: Path) -> None:
    """Until the first one is done; it breaks nothing meanwhile."""
    with opened(change_file(path)) as first:
        first.append(entries(CHANGES[:3]))
        with pytest.raises(SinkUnavailable) as caught:
            change_file(path).open()
        first.append(entries(CHANGES[3:]))
    write(path, CHANGES)

    assert str(caught.value) == f"{path} has a writer already; a file can have one at a time"
    assert path.read_bytes() == TEXT


@pytest.mark.parametrize("function", ["open", "lstat", "pread", "fsync"])
def test_file_that_cannot_be_opened(path: Path, monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    """It says why, and another attempt may succeed: nothing is left open or locked."""
    path.write_bytes(TEXT)
    file = change_file(path, fsync="always")
    with monkeypatch.context() as patch:
        fail(patch, function, errno.EACCES)
        with pytest.raises(SinkUnavailable) as caught:
            file.open()
    with opened(file):
        file.append(entries(CHANGES))

    assert str(caught.value) == f"{path} cannot be opened: Permission denied (EACCES)"
    assert path.read_bytes() == TEXT


# --- failing writes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO])
@pytest.mark.parametrize("written", [0, 1, LINE, LINE + 10])
def test_failed_write_leaves_nothing_behind(
    path: Path, monkeypatch: pytest.MonkeyPatch, error: int, written: int
) -> None:
    """However much of it went through; the batch comes again and is there once."""
    with opened(change_file(path)) as file:
        file.append(entries(CHANGES[:2]))
        with monkeypatch.context() as patch:
            fail(patch, "write", error, written=written)
            with pytest.raises(SinkUnavailable) as caught:
                file.append(entries(CHANGES[2:]))
        after = path.read_bytes()
        file.append(entries(CHANGES[2:]))

    assert str(caught.value) == f"{path} cannot be written: {os.strerror(error)} ({errno.errorcode[error]})"
    assert after == text_of(CHANGES[:2])
    assert path.read_bytes() == TEXT


def test_disk_that_is_full(path: Path) -> None:
    """A real limit: the system takes a part of the write, and then no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with opened(change_file(path, fsync="always")) as file:
        file.append(entries(CHANGES[:2]))
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(TEXT) - 10, hard))
        try:
            with pytest.raises(SinkUnavailable, match=r"cannot be written: File too large \(EFBIG\)"):
                file.append(entries(CHANGES[2:]))
            after = path.read_bytes()
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        file.append(entries(CHANGES))

    assert after == text_of(CHANGES[:2])
    assert path.read_bytes() == TEXT


def test_batch_that_cannot_be_synced_is_not_taken(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the disk may not have is written again."""
    with opened(change_file(path, fsync="always")) as file:
        with monkeypatch.context() as patch:
            fail(patch, "fsync")
            with pytest.raises(SinkUnavailable, match="EIO"):
                file.append(entries(CHANGES))
        after = path.read_bytes()
        file.append(entries(CHANGES))

    assert (after, path.read_bytes()) == (b"", TEXT)


def test_what_cannot_be_cut_at_once_is_cut_before_the_next_line(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(change_file(path)) as file, capture_logs() as logs:
        with monkeypatch.context() as patch:
            fail(patch, "write", written=LINE + 10)
            fail(patch, "ftruncate")
            with pytest.raises(SinkUnavailable):
                file.append(entries(CHANGES))
        after = path.read_bytes()
        file.append(entries(CHANGES))

    assert after == TEXT[: LINE + 10]
    assert path.read_bytes() == TEXT
    assert [(log["event"], log["cause"]) for log in logs] == [("sink.cut_failed", "Input/output error (EIO)")]


# --- rotation ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rotate_bytes", [1, LINE, 2 * LINE, 1000, len(TEXT) - 1])
def test_rotation_cuts_between_lines(path: Path, rotate_bytes: int) -> None:
    """No file is larger, unless one line alone is; no line is lost, and each file is as full as it can be."""
    write(path, CHANGES[:4], CHANGES[4:], rotate_bytes=rotate_bytes)
    files = in_order(path)
    texts = [file.read_bytes() for file in files]

    assert lines(path) == TEXT.splitlines(keepends=True)
    assert [len(text) for text in texts if len(text) > rotate_bytes and text.count(b"\n") != 1] == []
    assert all(len(a) + len(b.splitlines(keepends=True)[0]) > rotate_bytes for a, b in pairwise(texts))
    assert [file.name for file in files[:-1]] == [f"changes.jsonl.{n:06d}" for n in range(1, len(files))]


def test_file_of_just_the_size_is_not_rotated(path: Path) -> None:
    write(path, CHANGES, rotate_bytes=len(TEXT))

    assert in_order(path) == [path]


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_oldest_rotated_files_go_first(path: Path, keep: int) -> None:
    """The numbers go on, also after a restart."""
    write(path, CHANGES[:6], rotate_bytes=1, keep=keep)
    write(path, CHANGES, rotate_bytes=1, keep=keep)
    files = in_order(path)

    assert lines(path) == TEXT.splitlines(keepends=True)[-keep - 1 :]
    assert [int(file.suffix[1:]) for file in files[:-1]] == [*range(len(CHANGES) - keep, len(CHANGES))]


def test_other_files_beside_are_not_touched(tmp_path: Path) -> None:
    """Though their names are similar, and this one's looks like a pattern."""
    path = tmp_path / "a*[b].jsonl"
    others = ["a*[b].jsonl.000001.gz", "a*[b].jsonl.1", "axb.jsonl.000001", "a*[b].jsonl.00000x", "a*[b].jsonl.²²²²²²"]
    for name in others:
        (tmp_path / name).touch()
    write(path, CHANGES, rotate_bytes=1, keep=1)

    assert sorted(os.listdir(tmp_path)) == sorted(
        [*others, path.name, f"{path.name}.lock", f"{path.name}.{len(CHANGES) - 1:06d}"]
    )


def test_repeated_changes_are_found_in_earlier_files(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as the window goes; what lies before it is not known any more."""
    other = ordinary_changes("t", deltas=1)
    write(path, other, CHANGES, rotate_bytes=LINE)
    known = write(path, other, rotate_bytes=LINE)
    monkeypatch.setattr(_jsonl_file, "_WINDOW", len(TEXT) // 2)
    forgotten = write(path, CHANGES, other, rotate_bytes=LINE)

    assert (known.written, known.skipped) == (0, len(other))
    assert (forgotten.written, forgotten.skipped) == (len(other), len(CHANGES))


@pytest.mark.parametrize(
    ("function", "times", "fsync"),
    [
        ("rename", 1, "never"),
        ("open", 2, "never"),
        ("open", 2, "always"),
        ("fsync", 1, "always"),
        ("fstat", 1, "never"),
    ],
)
def test_rotation_that_fails_halfway_is_made_up_for(
    path: Path, monkeypatch: pytest.MonkeyPatch, function: str, times: int, fsync: Fsync
) -> None:
    """Wherever it stopped: the batch comes again, and all changes are there once."""
    with opened(change_file(path, rotate_bytes=3 * LINE, fsync=fsync)) as file:
        file.append(entries(CHANGES[:2]))
        for batch in (CHANGES[:6], CHANGES[4:]):
            with monkeypatch.context() as patch:
                failing = fail(patch, function, times=times)
                for _ in range(times):
                    try:
                        file.append(entries(batch))
                    except SinkUnavailable:
                        continue
            assert failing.failures == 0
            file.append(entries(batch))

    assert lines(path) == TEXT.splitlines(keepends=True)


def test_old_file_that_cannot_be_removed_goes_later(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(change_file(path, rotate_bytes=1, keep=1)) as file:
        file.append(entries(CHANGES[:2]))
        with monkeypatch.context() as patch:
            fail(patch, "unlink", errno.EACCES)
            with pytest.raises(SinkUnavailable, match="EACCES"):
                file.append(entries(CHANGES[2:3]))
        file.append(entries(CHANGES[2:]))

    assert lines(path) == TEXT.splitlines(keepends=True)[-2:]


def test_rotation_under_load(path: Path) -> None:
    """Many streams, batches of any size, some of them again, writes that fail: each stream is complete and in order."""
    chance = random.Random(7)
    streams = [entries(ordinary_changes(f"stream-{number}", deltas=300)) for number in range(4)]
    at = [0] * len(streams)
    with pytest.MonkeyPatch.context() as patch, capture_logs(), opened(change_file(path, rotate_bytes=20_000)) as file:
        write_bytes = Failing(os.write, errno.ENOSPC)
        write_bytes.failures = 0
        patch.setattr(os, "write", write_bytes)
        while any(position < len(stream) for position, stream in zip(at, streams, strict=True)):
            number = chance.randrange(len(streams))
            start = max(0, at[number] - chance.choice([0, 0, 5]))
            batch = streams[number][start : start + chance.randrange(1, 120)]
            if chance.random() < 0.2:
                write_bytes._written, write_bytes.failures = chance.randrange(1, 5000), 1
            try:
                file.append(batch)
            except SinkUnavailable:
                continue
            at[number] = max(at[number], start + len(batch))
    found = keys(path)

    assert {key: found.count(key) for key in found if found.count(key) > 1} == {}
    for stream in streams:
        assert [key for key in found if key.stream == stream[0].key.stream] == [entry.key for entry in stream]
    assert max(file.stat().st_size for file in in_order(path)) <= 20_000


# --- syncing ----------------------------------------------------------------------------------------------------------


class Timers:
    """Timers that go off when a test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[float, Callable[[], None]]] = []
        self.started = self.cancelled = 0
        self.daemon = False

    def __call__(self, wait_s: float, function: Callable[[], None]) -> Any:
        self.waiting.append((wait_s, function))
        return self

    def start(self) -> None:
        self.started += 1

    def cancel(self) -> None:
        self.cancelled += 1


@pytest.fixture
def syncs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of regular files when they were synced."""
    sizes: list[int] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        if stat.S_ISREG((found := os.fstat(fd)).st_mode):
            sizes.append(found.st_size)
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    return sizes


@pytest.mark.parametrize(
    ("fsync", "expected"), [("always", [0, LINE, LINE, 0, LINE]), ("interval", [0, LINE, 0, LINE]), ("never", [])]
)
def test_when_it_is_synced(path: Path, syncs: list[int], fsync: Fsync, expected: list[int]) -> None:
    """always: with each write · always and interval: when a file is opened, rotated or closed · never: not at all."""
    with opened(change_file(path, fsync=fsync, rotate_bytes=LINE)) as file:
        file._new_timer = Timers()
        for change in entries(CHANGES)[:1] * 2:
            file.append([change, change._replace(key=change.key._replace(seq=2))])

    assert syncs == expected


def test_one_sync_for_all_writes_of_an_interval(path: Path, syncs: list[int]) -> None:
    """It comes that long after the first of them, whether or not another write does."""
    timers = Timers()
    with opened(change_file(path, fsync="interval")) as file:
        file._new_timer = timers
        file.append(entries(CHANGES[:1]))
        file.append(entries(CHANGES[1:]))
        timers.waiting[0][1]()
        file.append(entries(ordinary_changes("t", deltas=0)))
    size = path.stat().st_size

    assert syncs == [0, len(TEXT), size]
    assert [wait_s for wait_s, _ in timers.waiting] == [1.0, 1.0]
    assert (timers.started, timers.cancelled) == (2, 1)


def test_sync_that_comes_too_late_does_nothing(path: Path, syncs: list[int]) -> None:
    """The file was closed, and synced, while its timer went off."""
    timers = Timers()
    with opened(change_file(path, fsync="interval")) as file:
        file._new_timer = timers
        file.append(entries(CHANGES))
    timers.waiting[0][1]()

    assert syncs == [0, len(TEXT)]


def test_late_sync_that_fails_is_told_and_made_up_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch was taken long ago; all that is left is to say so, and to try again on closing."""
    timers = Timers()
    with opened(change_file(path, fsync="interval")) as file:
        file._new_timer = timers
        file.append(entries(CHANGES))
        with monkeypatch.context() as patch, capture_logs() as logs:
            fail(patch, "fsync")
            timers.waiting[0][1]()
        unsynced = file._unsynced

    assert logs == [
        {
            **{"event": "sink.sync_failed", "log_level": "error", "sink": "jsonl"},
            **{"path": str(path), "cause": "Input/output error (EIO)"},
        }
    ]
    assert (unsynced, file._unsynced) == (True, False)
