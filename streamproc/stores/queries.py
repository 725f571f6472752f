"""Looking into a SQLite store, also while another process writes it: synchronous, read-only, without its lock.

    with open_store("runs.db") as store:
        for row in find(store, "step", status="failed"):
            print(row["id"], row["tools"])

Rows are what the tables hold, see docs/store.md; `state` is the complete JSON of an object.
"""

import sqlite3
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Raw

from streamproc.columns import TABLE_OF
from streamproc.core.change import Change
from streamproc.protocols import DeadLetter, JournalBatch
from streamproc.stores._codec import check_sum, decode
from streamproc.stores._growing import key_of
from streamproc.stores._reading import fill, read_journal, states_of
from streamproc.stores._schema import open_reading, store_errors

__all__ = ["Row", "dead_letter", "dead_letters", "find", "head", "journal_after", "open_store", "page", "state_line"]

Row: TypeAlias = Mapping[str, Any]

_NO_LIMIT: Final = -1

_members: Final = msgspec.json.Decoder(dict[str, Raw]).decode


@contextmanager
def open_store(path: str | PathLike[str]) -> Generator[sqlite3.Connection]:
    """A connection that cannot write.

    Raises:
        StoreError: there is no such file, it is no store, or it cannot be read; also inside the block.
    """
    with open_reading(Path(path)) as connection:
        connection.row_factory = sqlite3.Row
        try:
            yield connection
        except sqlite3.Error:  # and no other: a pipe that the block writes to may break, too
            with store_errors(Path(path), "read"):
                raise


def find(
    store: sqlite3.Connection,
    kind: Literal["run", "step", "message"],
    *,
    id: str | None = None,
    run: str | None = None,
    thread: str | None = None,
    status: str | None = None,
    tool: str | None = None,
    since: float | None = None,
    until: float | None = None,
    limit: int | None = None,
) -> Iterator[Row]:
    """The newest states of one kind of object, in order of appearance; of them the last `limit` ones.

    Args:
        status: that the server said, or that follows from how the run ended.
        tool: a step that calls a function of that name, or a tool of that type.
        since, until: when the object was created, in Unix seconds; `until` is not included.
    """
    table = TABLE_OF[kind]
    conditions: list[tuple[str, object]] = [
        ("id = ?", id),
        ("id = ?" if kind == "run" else "run_id = ?", run),
        ("thread_id = ?", thread),
        ("? IN (status, inferred_status)", status),
        ("created_at >= ?", since),
        ("created_at < ?", until),
    ]
    if kind == "step":
        conditions.append(("EXISTS (SELECT 1 FROM json_each(tools) AS tool WHERE tool.value = ?)", tool))
    chosen = [(condition, value) for condition, value in conditions if value is not None]
    where = " AND ".join(condition for condition, _ in chosen) or "1"
    newest = f"SELECT * FROM {table} WHERE {where} ORDER BY first_position DESC, id DESC LIMIT ?"
    values = [*(value for _, value in chosen), _NO_LIMIT if limit is None else limit]
    yield from map(_row, store.execute(f"SELECT * FROM ({newest}) ORDER BY first_position, id", values))


def page(
    store: sqlite3.Connection,
    kind: Literal["run", "step"],
    *,
    run: str | None = None,
    status: str | None = None,
    after: str | None = None,
    limit: int,
    newest_first: bool = False,
) -> list[Row]:
    """The newest states of one kind of object in order of appearance, at most `limit` of them.

    Args:
        run, status: as of `find`.
        after: an id; only what comes after that object in this order.

    Raises:
        KeyError: there is no object `after`.
    """
    # A row is inserted when its object appears and stays where it is, so rows are numbered in that order; unlike
    # `first_position`, the number needs no sorting in a large table.
    table, way, sign = (TABLE_OF[kind], "DESC", "<") if newest_first else (TABLE_OF[kind], "ASC", ">")
    conditions, values = ["1"], list[object]()
    if run is not None:
        conditions.append("id = ?" if kind == "run" else "run_id = ?")
        values.append(run)
    if status is not None:
        conditions.append("? IN (status, inferred_status)")
        values.append(status)
    if after is not None:
        found = store.execute(f"SELECT rowid FROM {table} WHERE id = ?", (after,)).fetchone()
        if found is None:
            raise KeyError(after)
        conditions.append(f"rowid {sign} ?")
        values.append(found[0])
    query = f"SELECT * FROM {table} WHERE {' AND '.join(conditions)} ORDER BY rowid {way} LIMIT ?"
    return [_row(row) for row in store.execute(query, [*values, limit])]


def state_line(row: Row) -> bytes:
    """The complete JSON of an object on one line, and what stands beside it after its own members."""
    beside: dict[str, Any] = {"stream": row["stream"], "epoch": row["epoch"], "revision": row["revision"]}
    if row["inferred_status"] is not None:
        beside["inferred_status"] = row["inferred_status"]
    if row["truncated"]:
        beside["truncated"] = True
    line = msgspec.json.encode({**_members(row["state"].encode()), **beside})
    # A payload may span several lines, and this changes no value.
    return msgspec.json.format(line, indent=-1) if b"\n" in line else line


def head(store: sqlite3.Connection) -> int:
    """Position of the newest change in the journal."""
    last: int = store.execute("SELECT last FROM extent").fetchone()[0]
    return last


def journal_after(
    store: sqlite3.Connection, after: int, *, count_max: int = 1000, size_max: int = 2**24
) -> JournalBatch:
    """The changes from position `after + 1` on, with the newest stored states of their objects.

    Raises:
        StoreError: the journal is damaged there.
    """
    store.execute("BEGIN")  # one view of all tables
    try:
        batch = read_journal(store, after, count_max=count_max, size_max=size_max)
        fill(batch.changes, states_of(store, {key_of(change) for change in batch.changes}))
    finally:
        store.execute("ROLLBACK")
    return batch


def dead_letters(store: sqlite3.Connection, *, sink: str | None = None, limit: int | None = None) -> Iterator[Row]:
    """The dead letters, the oldest first; of them the last `limit` ones."""
    newest = "SELECT * FROM dead_letters WHERE ?1 IS NULL OR sink = ?1 ORDER BY number DESC LIMIT ?2"
    values = (sink, _NO_LIMIT if limit is None else limit)
    yield from map(_row, store.execute(f"SELECT * FROM ({newest}) ORDER BY number", values))


def dead_letter(store: sqlite3.Connection, number: int) -> DeadLetter | None:
    """One dead letter as delivery made it, its change with the state of then; None if there is none of that number.

    Raises:
        StoreError: it is damaged.
    """
    row = store.execute("SELECT * FROM dead_letters WHERE number = ?", (number,)).fetchone()
    if row is None:
        return None
    blob = row["change"]
    change: Change = decode(number, number, check_sum(number, number, blob), blob)[0]
    change.body.raw = b"" if row["state"] is None else row["state"].encode()
    return DeadLetter(
        sink=row["sink"],
        change=change,
        reason=row["reason"],
        attempts=row["attempts"],
        at=datetime.fromisoformat(row["at"]),
    )


def _row(row: sqlite3.Row) -> Row:
    return dict(zip(row.keys(), row, strict=True))
