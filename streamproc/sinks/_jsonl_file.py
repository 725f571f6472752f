"""A file of changes, one line each: opening and repairing it, appending, rotating, syncing. Synchronous; see jsonl.py.

The rules of the game:

* What is in the file up to `_end` is good. What a failure left behind it is cut off, at once or before the next line.
* `_last` holds the newest change of each stream that is in the file, and moves only when a write has succeeded. A
  change that is not newer than that is in the file already.
* One thread at a time is inside, by `_mutex`: a write that nobody waits for any more, a late sync, or closing.
"""

import errno
import os
import stat
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock, Timer
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias

import structlog

from streamproc.errors import ConfigError, SinkUnavailable
from streamproc.sinks._jsonl_tail import Key, keys_in, last_line_end, last_lines, may_begin_a_change

if TYPE_CHECKING:
    from filelock import FileLock

__all__ = ["ChangeFile", "Entry", "Fsync"]

log = structlog.get_logger("streamproc")

Fsync: TypeAlias = Literal["always", "interval", "never"]

_WINDOW: Final = 16 * 1024 * 1024  # bytes at the end that are read on opening; many times an ordinary batch
_MAX_STREAMS: Final = 10_000  # whose newest change is remembered
_FLAGS: Final = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
_MODE: Final = 0o600  # changes hold what people said


class Entry(NamedTuple):
    """A change, ready to be written."""

    key: Key
    line: bytes  # with its line feed


class ChangeFile:
    """The file, its numbered predecessors, and the lock that keeps other writers away.

    Attributes:
        written: how many changes were appended.
        skipped: how many came again and were in the file already.
        cut_bytes: how much of torn lines was cut off.
        is_appending: whether a thread is writing.
    """

    def __init__(
        self, path: Path, *, rotate_bytes: int | None, keep: int | None, fsync: Fsync, fsync_interval_s: float
    ) -> None:
        self._path = path
        self._rotate_bytes = rotate_bytes
        self._keep = keep
        self._fsync: Fsync = fsync
        self._interval_s = fsync_interval_s
        self._mutex = Lock()
        self._lock: FileLock | None = None  # held while open
        self._fd: int | None = None
        self._end = 0
        self._dirty = False  # there may be something behind `_end`
        self._last: dict[str, tuple[int, int]] = {}  # stream -> (epoch, seq), the one written last at the end
        self._unsynced = False
        self._timer: Timer | None = None  # of a sync to come
        self._new_timer: Callable[[float, Callable[[], None]], Timer] = Timer
        self.written = 0
        self.skipped = 0
        self.cut_bytes = 0
        self.is_appending = False

    def open(self) -> None:
        """Lock the file, repair its end, and learn what is in it.

        Raises:
            ConfigError: the path is no regular file, has no folder, or holds something else.
            SinkUnavailable: another writer has it, or it cannot be opened or read at the moment.
        """
        with self._mutex, self._map_errors("opened"):
            _check_kind(self._path)
            self._acquire()
            try:
                self._learn(self._open_current())
            except BaseException:
                self._release()
                raise

    def append(self, entries: Sequence[Entry]) -> None:
        """Write what is not in the file yet, in the order given.

        Raises:
            SinkUnavailable: it could not be written, or not be synced. The file ends with a complete line.
        """
        with self._mutex:
            if self._lock is None:
                raise RuntimeError("the sink is not open; enter it with `async with`")
            self.is_appending = True
            try:
                with self._map_errors("written"):
                    self._append(self._new_among(entries))
            finally:
                self.is_appending = False

    def close(self) -> None:
        """Sync what is not, and let others have the file."""
        with self._mutex:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if self._unsynced and self._fsync != "never":
                self._sync_or_log()
            self._release()

    # --- opening ------------------------------------------------------------------------------------------------------

    def _acquire(self) -> None:
        from filelock import FileLock, Timeout

        lock = FileLock(f"{self._path}.lock", mode=_MODE, thread_local=False)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            raise SinkUnavailable(f"{self._path} has a writer already; a file can have one at a time") from None
        self._lock = lock

    def _release(self) -> None:
        fd, self._fd = self._fd, None
        try:
            if fd is not None:
                os.close(fd)
        finally:
            if self._lock is not None:
                self._lock.release()
                self._lock = None  # not before: where it is gone, others can have the file

    def _open_current(self) -> list[Key]:
        """Open or create the file itself and cut a torn last line; returns the identities at its end."""
        fd = os.open(self._path, _FLAGS, _MODE)
        try:
            size = os.fstat(fd).st_size
            end = last_line_end(fd, size)
            lines = last_lines(fd, end, _WINDOW)
            keys = list(keys_in(lines))
            if not keys and (lines or not may_begin_a_change(fd)):
                raise ConfigError(f"{self._path} holds something else than changes; it is left as it is")
            if end < size:
                os.ftruncate(fd, end)
                self.cut_bytes += size - end
                log.warning("sink.tail_repaired", sink="jsonl", path=str(self._path), cut_bytes=size - end)
            if self._fsync != "never":
                os.fsync(fd)
                _sync_folder(self._path.parent)
        except BaseException:
            os.close(fd)
            raise
        self._fd, self._end, self._dirty, self._unsynced = fd, end, False, False
        return keys

    def _learn(self, newest: list[Key]) -> None:
        """Remember the changes written last: these, and those at the ends of earlier files within the window."""
        found = [newest]
        left = _WINDOW - self._end
        for number in reversed(self._numbers()):
            if left <= 0:
                break
            fd = os.open(self._numbered(number), os.O_RDONLY | os.O_NOFOLLOW)
            try:
                size = os.fstat(fd).st_size
                found.append(list(keys_in(last_lines(fd, last_line_end(fd, size), left))))
            finally:
                os.close(fd)
            left -= size
        self._last.clear()
        for keys in reversed(found):
            self._remember(keys)

    def _remember(self, keys: Sequence[Key]) -> None:
        for stream, epoch, seq in keys:
            self._last.pop(stream, None)
            self._last[stream] = (epoch, seq)
        while len(self._last) > _MAX_STREAMS:
            del self._last[next(iter(self._last))]

    # --- appending ----------------------------------------------------------------------------------------------------

    def _new_among(self, entries: Sequence[Entry]) -> list[Entry]:
        """The entries that are not in the file, nor twice among them."""
        new: list[Entry] = []
        last: dict[str, tuple[int, int]] = {}
        for entry in entries:
            stream, epoch, seq = entry.key
            before = last.get(stream) or self._last.get(stream)
            if before is None or (epoch, seq) > before:
                last[stream] = (epoch, seq)
                new.append(entry)
        if skipped := len(entries) - len(new):
            self.skipped += skipped
            log.info("sink.duplicates_skipped", sink="jsonl", path=str(self._path), changes=skipped)
        return new

    def _append(self, entries: Sequence[Entry]) -> None:
        waiting: list[Entry] = []
        size = self._end
        for entry in entries:
            if self._rotate_bytes is not None and size > 0 and size + len(entry.line) > self._rotate_bytes:
                self._write(waiting)
                waiting = []
                self._rotate()
                size = 0
            waiting.append(entry)
            size += len(entry.line)
        self._write(waiting)

    def _write(self, entries: Sequence[Entry]) -> None:
        """Write some entries to the file as it is; either all of them are in it afterwards, or none."""
        if not entries:
            return
        fd = self._ready()
        data = b"".join([entry.line for entry in entries])
        self._dirty = True
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(fd, rest) :]
            if self._fsync == "always":
                os.fsync(fd)
        except OSError:
            self._cut_back(fd)
            raise
        self._dirty = False
        self._end += len(data)
        self.written += len(entries)
        self._remember([entry.key for entry in entries])
        if self._fsync == "interval":
            self._sync_later()

    def _ready(self) -> int:
        """The file's descriptor, with nothing behind `_end`."""
        if self._fd is None:  # opening failed when the file was rotated
            self._open_current()
        fd = self._fd
        assert fd is not None
        if self._dirty:
            os.ftruncate(fd, self._end)
            self._dirty = False
        return fd

    def _cut_back(self, fd: int) -> None:
        try:
            os.ftruncate(fd, self._end)
        except OSError as error:
            log.warning("sink.cut_failed", sink="jsonl", path=str(self._path), cause=_why(error))
        else:
            self._dirty = False

    # --- rotating -----------------------------------------------------------------------------------------------------

    def _rotate(self) -> None:
        """Give the file the next number and begin a new one. What fails halfway is made up for by the next write."""
        fd = self._ready()
        if self._fsync != "never":
            os.fsync(fd)
        numbers = self._numbers()
        number = numbers[-1] + 1 if numbers else 1
        os.rename(self._path, self._numbered(number))
        self._fd, self._end, self._unsynced = None, 0, False
        os.close(fd)
        log.info("sink.file_rotated", sink="jsonl", path=str(self._path), number=number)
        self._open_current()
        if self._keep is not None:
            numbers.append(number)
            for old in numbers[: max(0, len(numbers) - self._keep)]:
                os.unlink(self._numbered(old))

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number:06d}")

    def _numbers(self) -> list[int]:
        """The numbers of the rotated files, ascending."""
        start = len(self._path.name) + 1
        ends = (entry.name[start:] for entry in self._path.parent.glob(f"{_literal(self._path.name)}.*"))
        return sorted(int(end) for end in ends if len(end) >= 6 and end.isascii() and end.isdigit())

    # --- syncing ------------------------------------------------------------------------------------------------------

    def _sync_later(self) -> None:
        self._unsynced = True
        if self._timer is None:
            self._timer = self._new_timer(self._interval_s, self._sync_now)
            self._timer.daemon = True  # a program need not wait for it; closing syncs
            self._timer.start()

    def _sync_now(self) -> None:
        with self._mutex:
            self._timer = None
            if self._unsynced:
                self._sync_or_log()

    def _sync_or_log(self) -> None:
        """Sync what was acknowledged before; all that can be done about a failure is to say so."""
        assert self._fd is not None
        try:
            os.fsync(self._fd)
        except OSError as error:
            log.error("sink.sync_failed", sink="jsonl", path=str(self._path), cause=_why(error))
        else:
            self._unsynced = False

    @contextmanager
    def _map_errors(self, done: str) -> Generator[None]:
        try:
            yield
        except OSError as error:
            raise SinkUnavailable(f"{self._path} cannot be {done}: {_why(error)}") from error


def _check_kind(path: Path) -> None:
    """
    Raises:
        ConfigError: no file can be at this path, or something else is.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        if path.parent.is_dir():
            return
        raise ConfigError(f"{path}: its folder does not exist") from None
    except NotADirectoryError:
        raise ConfigError(f"{path}: what should be its folder is a file") from None
    if stat.S_ISLNK(mode):
        raise ConfigError(f"{path} is a symbolic link; name the file itself")
    if stat.S_ISDIR(mode):
        raise ConfigError(f"{path} is a folder; name a file in it")
    if not stat.S_ISREG(mode):
        raise ConfigError(f"{path} is no regular file")


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _literal(name: str) -> str:
    """A pattern that matches a file's name and nothing else."""
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)


def _why(error: OSError) -> str:
    code = errno.errorcode.get(error.errno, "") if error.errno is not None else ""
    return f"{error.strerror or type(error).__name__} ({code})" if code else str(error)
