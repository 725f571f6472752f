"""The named points at which a process may die, and how a life is made to reach one.

A point is the beginning or the end of a step. Steps are functions of the library, statements of the store's writing
connection, and system calls of the JSONL sink; each is wrapped from here, so the library knows nothing of it, and only
the one step that a life is aimed at is wrapped at all. At the point the process either exits on the spot with status
137, or reports and lingers, so that whoever wants to kill it can.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from inspect import iscoroutinefunction
from pathlib import Path
from threading import Lock
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct

from streamproc.core.reducer import Reducer
from streamproc.delivery.backlog import Backlog
from streamproc.delivery.fanout import Fanout
from streamproc.delivery.journal import Journal
from streamproc.delivery.lane import Lane
from streamproc.sinks import _jsonl_file as jsonl_file
from streamproc.sinks._jsonl_file import ChangeFile
from streamproc.sinks.jsonl import JsonlSink
from streamproc.stores import _writer as writer
from streamproc.stores import sqlite
from streamproc.stores._writer import Writer
from streamproc.stores.sqlite import SqliteStore

__all__ = ["EXIT_CODE", "PHASES", "POINTS", "Aim", "Gate", "put"]

EXIT_CODE: Final = 137

_Owned: TypeAlias = tuple[Any, str]

_FUNCTIONS: Final[dict[str, _Owned]] = {
    "store.open": (SqliteStore, "_open"),
    "store.migrate": (writer, "migrate"),
    "store.recover": (sqlite, "late_states"),
    "store.open_objects": (SqliteStore, "open_objects"),
    "store.next_epoch": (SqliteStore, "next_epoch"),
    "store.append": (SqliteStore, "append"),
    "store.read": (SqliteStore, "read"),
    "store.acknowledge": (SqliteStore, "acknowledge"),
    "store.bury": (SqliteStore, "bury"),
    "store.commit": (Writer, "commit"),
    "store.close": (Writer, "close"),
    "reducer.restore": (Reducer, "restore"),
    "journal.append": (Journal, "_append"),
    "journal.drain": (Journal, "drain"),
    "fanout.offer": (Fanout, "offer"),
    "fanout.drain": (Fanout, "drain"),
    "backlog.fill": (Backlog, "fill"),
    "backlog.settled": (Backlog, "settled"),
    "backlog.bury": (Backlog, "bury"),
    "lane.attach": (Lane, "attach"),
    "lane.settle": (Lane, "_settle"),
    "jsonl.open": (ChangeFile, "open"),
    "jsonl.write": (JsonlSink, "write"),
    "jsonl.append": (ChangeFile, "append"),
    "jsonl.rotate": (ChangeFile, "_rotate"),
    "jsonl.close": (ChangeFile, "close"),
}

_STATEMENTS: Final = {
    "sql.begin": ("BEGIN IMMEDIATE",),
    "sql.journal": ("INSERT INTO journal",),
    "sql.state": ("INSERT INTO runs", "INSERT INTO steps", "INSERT INTO messages", "UPDATE steps", "UPDATE messages"),
    "sql.stream": ("INSERT INTO streams",),
    "sql.cursor": ("INSERT INTO cursors",),
    "sql.dead_letter": ("INSERT INTO dead_letters",),
    "sql.retention": ("DELETE FROM journal",),
    "sql.extent": ("UPDATE extent",),
    "sql.commit": ("COMMIT",),
}

_CALLS: Final = {"file.write": "write", "file.sync": "fsync", "file.rename": "rename"}
"""System calls of the JSONL sink; a write is cut in two, and its end is the middle of it."""

FIRST: Final = "source.first"
"""After the first chunk of a stream; the source itself tells of it."""


def _around(*steps: str) -> tuple[str, ...]:
    return tuple(f"{side} {step}" for step in steps for side in ("before", "after"))


PHASES: Final[dict[str, tuple[str, ...]]] = {
    "opening": _around("store.open", "store.migrate", "store.recover", "jsonl.open"),
    "restoring": _around("store.open_objects", "reducer.restore", "lane.attach"),
    "first reads": (FIRST, *_around("store.next_epoch", "sql.stream")),
    "append": (*_around("store.append"), "before journal.append"),
    "append to fan-out": ("after journal.append", *_around("fanout.offer")),
    "commit": _around("store.commit", "sql.begin", "sql.journal", "sql.state", "sql.extent", "sql.commit"),
    "sink write": (*_around("jsonl.write", "file.write", "file.sync"), "before jsonl.append"),
    "ack to cursor": (
        "after jsonl.append",
        *_around("lane.settle", "backlog.settled", "store.acknowledge", "sql.cursor"),
    ),
    "catching up": _around("backlog.fill", "store.read"),
    "burying": _around("backlog.bury", "store.bury", "sql.dead_letter"),
    "rotation": _around("jsonl.rotate", "file.rename"),
    "retention": _around("sql.retention"),
    "draining": _around("journal.drain", "fanout.drain"),
    "closing": _around("jsonl.close", "store.close"),
}
"""Phase -> the points in it."""

POINTS: Final = tuple(dict.fromkeys(point for points in PHASES.values() for point in points))


def put(owner: Any, name: str, value: Any) -> None:
    """Put something in the place of a member of a class or a module."""
    setattr(owner, name, value)


class Aim(Struct, frozen=True):
    """Where a life is to die."""

    point: str
    hit: int  # the one that counts, over all lives in a folder
    act: Literal["exit", "linger"]
    linger_s: float = 0.0


class Gate:
    """Counts how often the point that is aimed at was reached, and acts when it is time.

    Args:
        folder: keeps the count from one life to the next.
        report: a pipe; gets "R" on reaching the point and "L" on leaving it.
    """

    def __init__(self, aim: Aim | None, folder: Path, report: int) -> None:
        self._aim = aim
        self._count = folder / ("hits " + ("" if aim is None else aim.point))
        self._report = report
        self._lock = Lock()
        self._is_done = False

    def reached(self, point: str) -> None:
        aim = self._aim
        if aim is None or point != aim.point or self._is_done:
            return
        with self._lock:
            with self._count.open("ab") as file:
                file.write(b".")
                hits = file.tell()
            if hits < aim.hit:
                return
            self._is_done = True
        if aim.act == "exit":
            os._exit(EXIT_CODE)
        os.write(self._report, b"R")
        time.sleep(aim.linger_s)
        os.write(self._report, b"L")

    def install(self) -> None:
        """Wrap the step that is aimed at."""
        if self._aim is None or self._aim.point == FIRST:
            return
        step = self._aim.point.partition(" ")[2]
        if step in _FUNCTIONS:
            owner, name = _FUNCTIONS[step]
            put(owner, name, self._wrapped(step, getattr(owner, name)))
        elif step in _STATEMENTS:
            own = type("GatedConnection", (_Connection,), {"step": step, "gate": self})
            put(sqlite3, "connect", partial(sqlite3.connect, factory=own))
        else:
            put(jsonl_file, "os", _Calls(step, self))

    @contextmanager
    def around(self, step: str) -> Iterator[None]:
        self.reached(f"before {step}")
        yield
        self.reached(f"after {step}")

    def _wrapped(self, step: str, function: Callable[..., Any]) -> Callable[..., Any]:
        async def call_async(*args: Any, **kwargs: Any) -> Any:
            with self.around(step):
                return await function(*args, **kwargs)

        def call(*args: Any, **kwargs: Any) -> Any:
            with self.around(step):
                return function(*args, **kwargs)

        return call_async if iscoroutinefunction(function) else call


class _Connection(sqlite3.Connection):
    """A connection that tells of the statements of one step."""

    step: str
    gate: Gate

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        return self._told(super().execute, sql, *args)

    def executemany(self, sql: str, rows: Iterable[Any], /) -> sqlite3.Cursor:
        return self._told(super().executemany, sql, rows)

    def _told(self, act: Callable[..., sqlite3.Cursor], sql: str, *args: Any) -> sqlite3.Cursor:
        if not sql.split("(")[0].strip().startswith(_STATEMENTS[self.step]):
            return act(sql, *args)
        with self.gate.around(self.step):
            return act(sql, *args)


class _Calls:
    """The `os` module as the JSONL sink sees it, telling of one system call."""

    def __init__(self, step: str, gate: Gate) -> None:
        self._name = _CALLS[step]
        self._step = step
        self._gate = gate

    def __getattr__(self, name: str) -> Any:
        value = getattr(os, name)
        if name != self._name:
            return value

        def call(*args: Any, **kwargs: Any) -> Any:
            with self._gate.around(self._step):
                return self._half(*args) if name == "write" else value(*args, **kwargs)

        return call

    def _half(self, fd: int, data: Sequence[int]) -> int:
        """Write a part of it, as the system may: the rest is written by the next call."""
        return os.write(fd, memoryview(data)[: max(len(data) // 2, 64)])  # type: ignore[arg-type]  # bytes or a view of them
