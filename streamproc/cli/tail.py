"""`streamproc tail`: the journal of a store as it grows.

It looks again and again, without a lock, so that a worker never waits for it. What the worker has forgotten meanwhile
is counted and told; nothing else is left out.
"""

import os
import signal
import sqlite3
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import BinaryIO, Final, Literal, TypeAlias

from rich.console import Console

from streamproc.cli.change_lines import change_line, positioned
from streamproc.cli.exits import Exit
from streamproc.cli.notes import note
from streamproc.cli.stored import check_run, reading
from streamproc.core.change import Change
from streamproc.display.terminal import escape_json
from streamproc.errors import ConfigError, StoreError
from streamproc.stores.queries import head, journal_after

__all__ = ["Follow", "follow"]

_POLL_S: Final = 0.1

Follow: TypeAlias = int | Literal["start", "end"]


def follow(
    path: str, since: Follow, run: str | None, out: BinaryIO, *, escape: bool, people: bool, until_idle_s: float | None
) -> Exit:
    """Print the changes of a store as they come, until a signal ends it.

    Args:
        since: the position of the first change to print; "start" is the oldest one that is kept, "end" the next one.
        run: only its changes.
        out: where JSON lines go.
        escape: whether `out` is a terminal.
        people: print a short line of text for each change, on standard output.
        until_idle_s: end after so many seconds without a change.

    Raises:
        ConfigError: there is no such store or run, or the position is beyond the end.
    """
    show = _printer(out, escape=escape, people=people)
    with reading(path) as store, _asked_to_end() as asked:
        if run is not None:
            check_run(store, run, path)
        after = _start(store, since, path)
        identity = _identity(path)
        idle_since = time.monotonic()
        while not asked:
            try:
                batch = journal_after(store, after)
            except StoreError as error:
                note(str(error))
                return Exit.DATA
            if batch.missing:
                note(f"{path}: no longer kept and left out: {batch.missing} changes before position {batch.first}")
            for position, change in enumerate(batch.changes, batch.first):
                if run is None or change.run_id == run:
                    show(position, change)
            out.flush()
            after = max(after, batch.last)
            if batch.changes:
                idle_since = time.monotonic()
                continue
            if until_idle_s is not None and time.monotonic() - idle_since >= until_idle_s:
                break
            if _identity(path) != identity:
                note(f"{path}: is gone, or another file now; start again to follow what is there")
                return Exit.DATA
            time.sleep(_POLL_S)
    return Exit.INTERRUPTED if asked == [signal.SIGINT] else Exit.OK


def _start(store: sqlite3.Connection, since: Follow, path: str) -> int:
    """The position after which to read."""
    newest = head(store)
    if since == "end":
        return newest
    if since == "start":
        return journal_after(store, 0, count_max=1).first - 1
    if since > newest + 1:
        raise ConfigError(f"{path}: --from {since} is beyond the end, the newest change is {newest}")
    return since - 1


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


@contextmanager
def _asked_to_end() -> Generator[list[int]]:
    """A list that gets the first signal to end, so that no line is cut in the middle; a second one ends at once."""
    asked: list[int] = []

    def take(number: int, frame: FrameType | None) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, take) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _printer(out: BinaryIO, *, escape: bool, people: bool) -> Callable[[int, Change], None]:
    if people:
        console = Console(highlight=False, markup=False, emoji=False)
        return lambda position, change: console.print(
            change_line(position, change), no_wrap=True, overflow="ellipsis", crop=True
        )

    def write(position: int, change: Change) -> None:
        line = positioned(position, change)
        out.write((escape_json(line) if escape else line) + b"\n")

    return write
