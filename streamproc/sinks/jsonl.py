"""JsonlSink: a file with one change a line, written by one process at a time; see _jsonl_file.py for the file itself.

Encoding happens in the event loop, because a change is a view of what the processor goes on building; writing and
syncing happen in a worker thread. A write that is cancelled goes on in its thread; until it has ended the sink is
unavailable, and then it knows what was written.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import anyio
import anyio.to_thread
import structlog
from msgspec import MsgspecError

from streamproc.core.change import Change, encode_change
from streamproc.errors import ConfigError, SinkRejected, SinkUnavailable
from streamproc.sinks._jsonl_file import ChangeFile, Entry, Fsync
from streamproc.sinks._jsonl_tail import Key

__all__ = ["JsonlSink"]

log = structlog.get_logger("streamproc")

_CLOSE_S: Final = 5.0  # how long leaving waits for a disk
_RETRY_S: Final = 0.05  # while an abandoned write goes on


class JsonlSink:
    """Appends changes to a file, each as one line of JSON (`encode_change`).

    Promise: at-least-once delivery, idempotent apply. A change is not written when its stream's newest change in the
    file has its `(epoch, seq)` or a higher one, so one that comes again is there once. Which those are is remembered
    for the 10,000 streams written last, and read back on opening from the last 16 MiB of the file and its
    predecessors: far more than is under way when a process dies.

    Needs the `jsonl` extra. Enter it before the first batch:

        async with JsonlSink("changes.jsonl") as sink:
            await sink.write(batch)
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        rotate_bytes: int | None = None,
        keep: int | None = None,
        fsync: Fsync = "always",
        fsync_interval_s: float = 1.0,
    ) -> None:
        """
        Args:
            path: of the file; made with mode 0600. Beside it are its lock, `PATH.lock`, and rotated files,
                `PATH.000001` and so on, the highest number being the newest.
            rotate_bytes: the size that a file does not exceed, unless by a line that is longer; None: no rotation.
            keep: how many rotated files are kept; None: all of them.
            fsync: when a batch is safe from a loss of power (a crash of the process never loses one). always: before
                `write` returns · interval: at most `fsync_interval_s` after it · never: when the system likes.
            fsync_interval_s: see `fsync`.

        Raises:
            ConfigError: a value is out of range, or the extra is not installed.
        """
        if rotate_bytes is not None and rotate_bytes < 1:
            raise ConfigError(f"rotate_bytes is {rotate_bytes}; expected 1 or more bytes")
        if keep is not None and keep < 0:
            raise ConfigError(f"keep is {keep}; expected 0 or more files")
        if fsync not in ("always", "interval", "never"):
            raise ConfigError(f'fsync is {fsync!r}; expected "always", "interval" or "never"')
        if fsync_interval_s <= 0:
            raise ConfigError(f"fsync_interval_s is {fsync_interval_s:g}; expected more than 0 seconds")
        if find_spec("filelock") is None:
            raise ConfigError('JsonlSink needs an extra: pip install "streamproc[jsonl]"')
        self._file = ChangeFile(
            Path(path).absolute(),
            rotate_bytes=rotate_bytes,
            keep=keep,
            fsync=fsync,
            fsync_interval_s=fsync_interval_s,
        )

    @property
    def written(self) -> int:
        """How many changes were appended."""
        return self._file.written

    @property
    def skipped(self) -> int:
        """How many changes came again and were in the file already."""
        return self._file.skipped

    @property
    def cut_bytes(self) -> int:
        """How many bytes of a torn last line were cut off on opening."""
        return self._file.cut_bytes

    async def __aenter__(self) -> Self:
        """
        Raises:
            ConfigError: the path is no regular file, has no folder, or holds something else than changes.
            SinkUnavailable: another writer has the file, or it cannot be opened at the moment.
        """
        await anyio.to_thread.run_sync(self._file.open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with anyio.move_on_after(_CLOSE_S, shield=True) as scope:
            await anyio.to_thread.run_sync(self._file.close, abandon_on_cancel=True)
        if scope.cancelled_caught:
            log.warning("sink.close_abandoned", sink="jsonl", waited_s=_CLOSE_S)

    async def write(self, batch: Sequence[Change]) -> None:
        """Append a batch.

        Raises:
            SinkUnavailable: the disk is full, read-only, or otherwise unwilling; the file ends with a complete line.
            SinkRejected: changes of which no JSON can be made (text with half a surrogate pair, made by hand).
        """
        if self._file.is_appending:
            raise SinkUnavailable("an earlier write has not come to its end", _RETRY_S)
        entries: list[Entry] = []
        rejected: list[Change] = []
        for change in batch:
            try:
                line = encode_change(change) + b"\n"
            except (TypeError, ValueError, OverflowError, RecursionError, MsgspecError):
                rejected.append(change)
            else:
                entries.append(Entry(Key(change.stream, change.epoch, change.seq), line))
        await anyio.to_thread.run_sync(self._file.append, entries, abandon_on_cancel=True)
        if rejected:
            raise SinkRejected("no JSON can be made of them", rejected)
