"""The writing side of the SQLite store, synchronous: one connection, and one transaction for all work that waits.

A piece of work writes itself with `write`, inside the transaction; what it returns is known to have happened only when
`Writer.commit` returns. Nothing here knows tasks or threads; one call runs at a time.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, Protocol

from msgspec import Struct

from streamproc.core.change import Change
from streamproc.errors import StoreError
from streamproc.protocols import DeadLetter
from streamproc.stores._codec import INTEGER_MAX, check_sum, encode
from streamproc.stores._growing import Key, Touched, touched_by
from streamproc.stores._objects import GROW, UPSERT, StateRow, growth_of, row_of, state_row
from streamproc.stores._schema import migrate

__all__ = ["Append", "Bury", "Cursor", "NextEpoch", "Work", "Writer"]

_ROW_CHANGES: Final = 1000  # in one blob, so that a reader of a few decodes no more
_ROWS_PER_COMMIT: Final = 64  # that are forgotten, beside as many as were written

Synchronous = Literal["normal", "full"]


class Cursor(Struct):
    """How far a sink is."""

    position: int
    required: bool
    is_asked: bool = False  # since the store was opened
    is_dirty: bool = False  # not yet in the database


class Work(Protocol):
    """A piece of work for the writer."""

    def write(self, writer: "Writer") -> None:
        """Write it, in the transaction that is open."""
        ...


class Append:
    """Changes on their way into the journal, encoded already.

    Attributes:
        first: position of the first one, once they are written.
    """

    def __init__(self, changes: Sequence[Change]) -> None:
        """
        Raises:
            StoreError: they cannot be encoded.
        """
        self.count = len(changes)
        self.blobs: list[tuple[int, bytes]] = []
        ends: list[tuple[Change, int]] = []
        for start in range(0, self.count, _ROW_CHANGES):
            part = changes[start : start + _ROW_CHANGES]
            blob, found = encode(part)
            self.blobs.append((len(part), blob))
            ends += ((change, start + offset) for change, offset in found)
        self.size = sum(len(blob) for _, blob in self.blobs)
        self.touched: dict[Key, Touched] = touched_by(ends)
        self.streams = {(change.stream, change.epoch): change.seq for change, _ in ends}
        self.first = 0

    @property
    def last(self) -> int:
        return self.first + self.count - 1

    def write(self, writer: "Writer") -> None:
        self.first = first = writer.last + 1
        rows: list[tuple[int, int, int, bytes]] = []
        for count, blob in self.blobs:
            last = first + count - 1
            rows.append((first, last, check_sum(first, last, blob), blob))
            first = last + 1
        writer.journal(rows, self.size)
        for one in self.touched.values():
            if one.state is not None:
                writer.state(one.state, self.first + one.offset)
        writer.streams((stream, epoch, seq) for (stream, epoch), seq in self.streams.items())


class Bury:
    """Dead letters of one sink, and its cursor."""

    def __init__(self, letters: Sequence[DeadLetter], position: int) -> None:
        """
        Raises:
            StoreError: they cannot be encoded.
        """
        self.sink = letters[0].sink
        self.position = position
        self.count = len(letters)
        self._rows = [_letter_row(letter) for letter in letters]

    def write(self, writer: "Writer") -> None:
        writer.bury(self._rows)
        writer.settle(self.sink, self.position)


class NextEpoch:
    """A new epoch of a stream."""

    def __init__(self, stream: str) -> None:
        self.stream = stream
        self.epoch = 0

    def write(self, writer: "Writer") -> None:
        self.epoch = writer.next_epoch(self.stream)


def _letter_row(letter: DeadLetter) -> tuple[Any, ...]:
    change = letter.change
    blob, _ = encode((change,))
    is_state = change.kind != "error" and change.kind != "anomaly"
    state = state_row(change, had_snapshot=False).wire.decode() if is_state else None
    return (
        *(letter.sink, letter.reason, letter.attempts, letter.at.isoformat(timespec="milliseconds")),
        *(change.stream, change.epoch, change.seq, change.event, change.kind, change.id),
        *(change.run_id, change.thread_id, change.revision, change.raw, state, blob),
    )


class Writer:
    """The writing connection.

    Attributes:
        first, last: the positions that the journal holds; when it is empty `first` is one more than `last`.
        size: bytes in the journal.
        rows: blobs in the journal.
    """

    def __init__(self, path: Path, synchronous: Synchronous, busy_timeout_s: float) -> None:
        self._synchronous = synchronous
        self._connection = connection = sqlite3.connect(
            path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False, cached_statements=64
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {synchronous}")
            connection.execute("PRAGMA journal_size_limit = 67108864")
            migrate(connection)
            self._learn()
            self.letters: int = connection.execute("SELECT count(*) FROM dead_letters").fetchone()[0]
        except BaseException:
            connection.close()
            raise

    def _learn(self) -> None:
        self.first, self.last = self._connection.execute("SELECT first, last FROM extent").fetchone()
        count = "SELECT count(*), coalesce(sum(length(blob)), 0) FROM journal"
        self.rows, self.size = self._connection.execute(count).fetchone()

    def cursors(self) -> dict[str, Cursor]:
        """How far each sink is that was ever asked for."""
        rows = self._connection.execute("SELECT sink, position, required FROM cursors")
        return {sink: Cursor(position, bool(required)) for sink, position, required in rows}

    def close(self) -> None:
        self._connection.close()

    # -- the one transaction --------------------------------------------------------------------------------------

    def commit(
        self,
        works: Sequence[Work],
        *,
        states: Iterable[tuple[StateRow, int]] = (),
        cursors: Mapping[str, Cursor] | None = None,
        forget_to: int = 0,
    ) -> None:
        """Do all of it in one transaction, or nothing.

        Args:
            states: that are written without changes, with their positions.
            cursors: that moved.
            forget_to: the last position that nobody needs.

        Raises:
            StoreError, sqlite3.Error: nothing was done; the same may be tried again.
        """
        connection = self._connection
        known = self.first, self.last, self.size, self.rows
        is_pass = any(isinstance(work, NextEpoch) for work in works)
        if (
            is_pass
        ):  # what sinks have seen of an epoch must not come again in other changes: not even after a power loss
            connection.execute("PRAGMA synchronous = FULL")
        try:
            connection.execute("BEGIN IMMEDIATE")
            for state, position in states:
                self.state(state, position)
            for work in works:
                work.write(self)
            for sink, cursor in (cursors or {}).items():
                self._cursor(sink, cursor)
            self._forget(forget_to, _ROWS_PER_COMMIT + 2 * (self.rows - known[3]))
            connection.execute("UPDATE extent SET first = ?, last = ?", (self.first, self.last))
            connection.execute("COMMIT")
        except BaseException:
            self.first, self.last, self.size, self.rows = known
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        finally:
            if is_pass:
                connection.execute(f"PRAGMA synchronous = {self._synchronous}")
        self.letters += sum(work.count for work in works if isinstance(work, Bury))

    # -- what works write -----------------------------------------------------------------------------------------

    def journal(self, rows: Sequence[tuple[int, int, int, bytes]], size: int) -> None:
        self._connection.executemany("INSERT INTO journal VALUES (?, ?, ?, ?)", rows)
        self.last = rows[-1][1]
        self.size += size
        self.rows += len(rows)

    def state(self, state: StateRow, position: int) -> None:
        kind = state.change.kind
        if state.has_only_grown and kind in GROW:
            grown = self._connection.execute(GROW[kind], growth_of(state, position))
            if grown.rowcount:
                return
        self._connection.execute(UPSERT[kind], row_of(state, position))  # it is new, or something else changed too

    def streams(self, rows: Iterable[tuple[str, int, int]]) -> None:
        self._connection.executemany(
            """INSERT INTO streams VALUES (?, ?, ?) ON CONFLICT (stream)
            DO UPDATE SET epoch = excluded.epoch, last_seq = excluded.last_seq
            WHERE (excluded.epoch, excluded.last_seq) > (streams.epoch, streams.last_seq)""",
            rows,
        )

    def next_epoch(self, stream: str) -> int:
        row = self._connection.execute("SELECT epoch FROM streams WHERE stream = ?", (stream,)).fetchone()
        epoch: int = 1 if row is None else row[0] + 1
        if epoch > INTEGER_MAX:
            raise StoreError(f"stream {stream!r} has no further epoch: 2**63 - 1 was the last one")
        self.streams([(stream, epoch, 0)])
        return epoch

    def bury(self, rows: Iterable[tuple[Any, ...]]) -> None:
        self._connection.executemany(
            """INSERT INTO dead_letters (sink, reason, attempts, at, stream, epoch, seq, event, kind, object_id, run_id,
            thread_id, revision, payload, state, change) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)""",
            rows,
        )

    def settle(self, sink: str, position: int) -> None:
        self._connection.execute(
            """INSERT INTO cursors VALUES (?, ?, 0, 0) ON CONFLICT (sink)
            DO UPDATE SET position = max(position, excluded.position)""",
            (sink, position),
        )

    def _cursor(self, sink: str, cursor: Cursor) -> None:
        self._connection.execute(
            """INSERT INTO cursors VALUES (?, ?, ?, 0) ON CONFLICT (sink)
            DO UPDATE SET position = max(position, excluded.position), required = excluded.required""",
            (sink, cursor.position, cursor.required),
        )

    def _forget(self, position: int, rows_max: int) -> None:
        """Forget the oldest rows of the journal, of what nobody needs; count what a sink has missed by that."""
        if self.first > min(position, self.last):
            return
        rows = self._connection.execute(
            "SELECT first, last, length(blob) FROM journal WHERE last <= ? ORDER BY first LIMIT ?", (position, rows_max)
        ).fetchall()
        if not rows:
            return
        last = rows[-1][1]
        self._connection.execute("DELETE FROM journal WHERE first <= ?", (last,))
        self._connection.execute(
            "UPDATE cursors SET gap = gap + ? - max(position, ?) WHERE position < ?", (last, self.first - 1, last)
        )
        self.first = last + 1
        self.size -= sum(size for _, _, size in rows)
        self.rows -= len(rows)
