"""The reading side of the SQLite store, synchronous: the journal, the newest states, what is open.

Positions are counted without a gap from the first one that is kept. So a row that is not where it must be is damage, as
is one whose check sum differs.
"""

import sqlite3
from collections.abc import Collection, Iterable, Iterator
from typing import Final

import msgspec

from streamproc.columns import TABLE_OF
from streamproc.core.body import Kind
from streamproc.core.change import Change, Note
from streamproc.core.patch import APPROVAL, AWAITING, OUTPUT
from streamproc.core.stored import StoredObject
from streamproc.errors import StoreError
from streamproc.protocols import JournalBatch
from streamproc.stores._codec import decode, payload_size
from streamproc.stores._growing import Key, key_of

__all__ = ["changes_of", "fill", "growing_objects", "open_objects", "read_journal", "states_of"]

_ROW: Final = "SELECT first, last, crc, blob FROM journal WHERE first <= ? ORDER BY first DESC LIMIT 1"
_STORED: Final = """o.id, {run_id}, o.thread_id, o.state, o.revision, o.stream, o.epoch, o.status, o.provisional,
    o.inferred_status, o.truncated, o.ended, o.shape, o.position, o.first_position"""
_MANY: Final = 500  # parameters in one statement
_RUNS_MAX: Final = 10_000  # that are restored; as many as a reducer keeps open
_LOOSE_MAX: Final = 10_000  # objects of no known run
_WAITING_MAX: Final = 1_000  # steps of runs that have ended; a reducer keeps as many such runs


def read_journal(connection: sqlite3.Connection, after: int, *, count_max: int, size_max: int) -> JournalBatch:
    """Read changes from position `after + 1` on; their bodies are still empty, see `fill`.

    Raises:
        StoreError: the journal is damaged there.
    """
    first, last = connection.execute("SELECT first, last FROM extent").fetchone()
    start = max(after + 1, first)
    found: list[Change] = []
    size = 0
    for change in _changes(connection, start, last):
        size += payload_size(change)
        if found and size > size_max:
            break
        found.append(change)
        if len(found) >= count_max:
            break
    return JournalBatch(first=start, changes=tuple(found), missing=start - after - 1)


def _changes(connection: sqlite3.Connection, start: int, last: int) -> Iterator[Change]:
    """The changes at positions from `start` to `last`."""
    while start <= last:
        row = connection.execute(_ROW, (start,)).fetchone()
        if row is None or row[1] < start:
            raise StoreError(
                f"the journal is damaged at position {start}: there is nothing, up to {last} there must be"
            )
        changes = decode(*row)
        yield from changes[start - row[0] :]
        start = row[1] + 1


def fill(changes: Iterable[Change], states: dict[Key, bytes]) -> None:
    """Give the bodies of changes that were read the newest states of their objects."""
    for change in changes:
        body = change.body
        if not body.raw:
            body.raw = states.get(key_of(change), b"")


def states_of(connection: sqlite3.Connection, keys: Collection[Key]) -> dict[Key, bytes]:
    """The newest stored states of some objects."""
    found: dict[Key, bytes] = {}
    for kind, table in TABLE_OF.items():
        ids = [id for of, id in keys if of == kind]
        for start in range(0, len(ids), _MANY):
            some = ids[start : start + _MANY]
            query = f"SELECT id, state FROM {table} WHERE id IN ({', '.join('?' * len(some))})"
            found.update(((kind, id), state.encode()) for id, state in connection.execute(query, some))
    return found


# -- objects to go on with ---------------------------------------------------------------------------------------------


def open_objects(connection: sqlite3.Connection) -> list[StoredObject]:
    """The runs that have not ended, with all their steps and messages; what is open and of no known run; and of runs
    that have ended the steps that wait for outputs of tool calls, each with its run.

    The newest ones of them, as many as a reducer would keep.
    """
    found: list[tuple[int, StoredObject]] = []
    runs = "SELECT id, position FROM runs WHERE ended = 0 ORDER BY position DESC LIMIT ?"
    some = connection.execute(runs, (_RUNS_MAX,)).fetchall()
    for start in range(0, len(some), _MANY):
        ids = [id for id, _ in some[start : start + _MANY]]
        marks = ", ".join("?" * len(ids))
        for kind, table in TABLE_OF.items():
            column = "id" if kind == "run" else "run_id"
            found += _stored(connection, kind, f"{table} AS o WHERE o.{column} IN ({marks})", ids)
    for kind, table in TABLE_OF.items():
        if kind != "run":
            loose = f"""{table} AS o LEFT JOIN runs ON runs.id = o.run_id WHERE o.ended = 0 AND runs.id IS NULL
                ORDER BY o.position DESC LIMIT ?"""
            found += _stored(connection, kind, loose, [_LOOSE_MAX])
    waiting = f"""SELECT o.{{}} FROM steps AS o JOIN runs ON runs.id = o.run_id WHERE o.ended = 0 AND runs.ended = 1
        AND o.state ->> '$.metadata.{AWAITING}' IN ('{OUTPUT}', '{APPROVAL}')
        ORDER BY o.position DESC LIMIT {_WAITING_MAX}"""
    for kind, table, column in (("run", "runs", "run_id"), ("step", "steps", "id")):
        found += _stored(connection, kind, f"{table} AS o WHERE o.id IN ({waiting.format(column)})", [])
    return [stored for _, stored in sorted(found, key=lambda one: one[0])]


def growing_objects(connection: sqlite3.Connection) -> tuple[list[StoredObject], int]:
    """The objects whose rows may be behind the journal, and the position from which it must be read."""
    found: list[StoredObject] = []
    since: list[int] = []
    for kind, table in TABLE_OF.items():
        if kind != "run":  # nothing grows there
            found += (stored for _, stored in _stored(connection, kind, f"{table} AS o WHERE o.growing = 1", []))
            (least,) = connection.execute(f"SELECT min(position) FROM {table} WHERE growing = 1").fetchone()
            since += () if least is None else (least,)
    return found, min(since, default=0)


def changes_of(connection: sqlite3.Connection, keys: Collection[Key], after: int) -> Iterator[tuple[int, Change]]:
    """The changes of some objects after a position that is still kept, each with its position."""
    first, last = connection.execute("SELECT first, last FROM extent").fetchone()
    start = max(after + 1, first)
    for position, change in enumerate(_changes(connection, start, last), start):
        if key_of(change) in keys:
            yield position, change


def _stored(
    connection: sqlite3.Connection, kind: str, source: str, values: list[object]
) -> Iterator[tuple[int, StoredObject]]:
    columns = _STORED.format(run_id="o.id" if kind == "run" else "o.run_id")
    for row in connection.execute(f"SELECT {columns} FROM {source}", values):
        (
            id,
            run_id,
            thread_id,
            state,
            revision,
            stream,
            epoch,
            status,
            provisional,
            inferred,
            truncated,
            ended,
            shape,
            *at,
        ) = row
        yield (
            at[1],
            StoredObject(
                kind=msgspec.convert(kind, Kind),
                id=id,
                run_id=run_id,
                thread_id=thread_id,
                wire=state.encode(),
                revision=revision,
                stream=stream,
                epoch=epoch,
                status=status,
                provisional=bool(provisional),
                note=Note(inferred, bool(truncated), bool(ended)),
                shape=b"" if shape is None else shape.encode(),
            ),
        )
