"""Builds that are broken on purpose, to see that the checks would notice.

Each is a patch that a life applies before it begins, with the points at which such a build is likely to be caught. One
that no check catches says that a check is missing.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import anyio
from anyio.lowlevel import checkpoint
from msgspec import Struct

from streamproc import Change
from streamproc.delivery.backlog import Backlog
from streamproc.delivery.fanout import Fanout
from streamproc.delivery.journal import Journal
from streamproc.delivery.lane import Lane
from streamproc.errors import SinkRejected
from streamproc.sinks import _jsonl_file as jsonl_file
from streamproc.sinks._jsonl_file import ChangeFile
from streamproc.stores import _codec as codec
from streamproc.stores import _objects as objects
from streamproc.stores import sqlite
from streamproc.stores._writer import NextEpoch, Writer
from streamproc.stores.sqlite import SqliteStore
from tests.faults.kill.points import put

__all__ = ["BUILDS", "Build"]


Deaths: TypeAlias = tuple[tuple[str, int], ...]
"""The points, and the hits there, at which one life after the other dies."""


class Build(Struct, frozen=True):
    """A broken build."""

    breaks: Callable[[], None]
    deaths: tuple[Deaths, ...] = ()  # any of them may show it
    scenario: str = ""  # shows it, as in scenarios.py


def _cursor_before_ack() -> None:
    """What is offered to a sink counts as settled."""
    offer = Backlog.offer

    def offered(self: Any, batch: Any, size: int, now_s: float, first: int) -> None:
        offer(self, batch, size, now_s, first)
        self._store.acknowledge(self._sink, self._head)

    put(Backlog, "offer", offered)


def _states_apart_from_journal() -> None:
    """The journal is committed, and the states after it."""
    journal = Writer.journal

    def journalled(self: Any, rows: Any, size: int) -> None:
        journal(self, rows, size)
        self._connection.execute("UPDATE extent SET first = ?, last = ?", (self.first, self.last))
        self._connection.execute("COMMIT")
        self._connection.execute("BEGIN IMMEDIATE")

    put(Writer, "journal", journalled)


def _rejection_is_delivery() -> None:
    """What a sink rejects counts as delivered."""
    refused = Lane._refused

    def takes(self: Any, sent: Any, error: BaseException, *, is_late: bool) -> None:
        if isinstance(error, SinkRejected):
            self._settle(sent)
        else:
            refused(self, sent, error, is_late=is_late)

    put(Lane, "_refused", takes)


def _guard_off() -> None:
    """Whoever writes a state last is right."""
    for kind, statement in objects.UPSERT.items():
        objects.UPSERT[kind] = statement.partition("WHERE")[0]


def _ack_before_write() -> None:
    """A sink returns, and what it got is written some time."""
    waiting: list[tuple[Any, Any]] = []
    append = ChangeFile.append

    def later(self: Any, entries: Any) -> None:
        waiting.append((self, entries))
        if len(waiting) > 3:
            append(*waiting.pop(0))

    put(ChangeFile, "append", later)


def _fanout_before_append() -> None:
    """Sinks get what is not durable yet."""
    append, offer = Journal._append, Fanout.offer

    async def appended(self: Any, changes: Sequence[Change]) -> int:
        offer(self._fanout, changes, self._store.head + 1)
        await anyio.sleep(0.02)
        return await append(self, changes)

    put(Journal, "_append", appended)
    put(Fanout, "offer", lambda *_: None)


def _append_returns_at_once() -> None:
    """`append` returns before its transaction is committed."""
    call = SqliteStore._call

    async def called(self: Any, queue: Any, work: Any) -> None:
        if queue is not self._appends:
            await call(self, queue, work)
            return
        self._group.start_soon(call, self, queue, work)
        await checkpoint()
        work.first = self._promised = getattr(self, "_promised", self.head) + 1
        self._promised = work.last

    put(SqliteStore, "_call", called)


def _torn_line_stays() -> None:
    """The end of the file is taken for the end of a line."""
    put(jsonl_file, "last_line_end", lambda fd, size: size)


def _duplicates_are_written() -> None:
    """The JSONL sink forgets what is in the file."""
    put(ChangeFile, "_new_among", lambda self, entries: list(entries))


class _Equal(int):
    """A number that is equal to any other."""

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = int.__hash__


def _check_sum_ignored() -> None:
    """A journal row is believed."""

    real = codec.check_sum
    put(codec, "check_sum", lambda first, last, blob: _Equal(real(first, last, blob)))


def _epoch_stays() -> None:
    """A stream that is read again has the epoch that it had."""

    def write(self: NextEpoch, writer: Writer) -> None:
        self.epoch = 1

    put(NextEpoch, "write", write)


def _cursor_passes_letters() -> None:
    """The cursor moves on, and the dead letters are stored later."""
    bury, settled = Backlog.bury, Backlog.settled

    def passes(self: Any, *args: Any, **kwargs: Any) -> None:
        settled(self, *args, **kwargs)
        self._store.acknowledge(self._sink, self.position)

    async def buried(self: Any) -> None:
        await anyio.sleep(0.1)
        await bury(self)

    put(Backlog, "settled", passes)
    put(Backlog, "bury", buried)


def _retention_too_early() -> None:
    """What is stored is forgotten at once."""
    put(SqliteStore, "_forget_to", lambda self: self.head)


def _catching_up_skips_one() -> None:
    """A sink that reads the journal begins one too late."""
    read: Any = vars(sqlite)["read_journal"]
    put(sqlite, "read_journal", lambda connection, after, **bounds: read(connection, after + 1, **bounds))


def _states_not_written() -> None:
    """Only snapshots are written into the rows of their objects."""
    state = Writer.state

    def written(self: Any, row: Any, position: int) -> None:
        if row.had_snapshot:
            state(self, row, position)

    put(Writer, "state", written)


def _recovery_forgotten() -> None:
    """Rows that fell behind stay behind when a process died."""
    put(sqlite, "late_states", lambda connection: [])


_LATE: Final[tuple[Deaths, ...]] = tuple((("after sql.commit", hit),) for hit in (25, 40, 60))
_GROWING: Final[tuple[Deaths, ...]] = tuple(
    (("after sql.commit", hit), ("before journal.append", 1)) for hit in (108, 60, 76, 92, 124, 140, 156)
)

BUILDS: Final[dict[str, Build]] = {
    "cursor before ack": Build(_cursor_before_ack, ((("before jsonl.append", 8),), (("after sql.cursor", 9),), *_LATE)),
    "states apart from the journal": Build(_states_apart_from_journal, ((("before sql.state", 12),),)),
    "rejection counts as delivered": Build(_rejection_is_delivery, _LATE),
    "guard off": Build(_guard_off, scenario="late writer"),
    "ack before write": Build(_ack_before_write, ((("before lane.settle", 20),), *_LATE)),
    "fan-out before append": Build(
        _fanout_before_append, ((("before store.append", 8),), (("before sql.commit", 20),))
    ),
    "append returns at once": Build(
        _append_returns_at_once, ((("before sql.commit", 15),), (("before sql.begin", 9),))
    ),
    "torn line stays": Build(_torn_line_stays, ((("after file.write", 9),), (("after file.write", 12),))),
    "duplicates are written": Build(_duplicates_are_written, ((("after file.sync", 9),), (("before lane.settle", 9),))),
    "check sum ignored": Build(_check_sum_ignored, scenario="damaged row"),
    "epoch stays": Build(_epoch_stays, ((("after sql.commit", 20),),)),
    "cursor passes dead letters": Build(_cursor_passes_letters, ((("after sql.cursor", 20),), *_LATE)),
    "retention too early": Build(_retention_too_early, ((("after sql.retention", 3),),)),
    "catching up skips one": Build(_catching_up_skips_one, ((("after store.read", 4),),)),
    "states not written": Build(_states_not_written, ((("after sql.commit", 20),),)),
    "recovery forgotten": Build(_recovery_forgotten, _GROWING),
}
