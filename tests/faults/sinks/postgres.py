"""A PostgreSQL database as a far side: an item is a state, newer or older by (epoch, revision) within its object.

The guard refuses what is not newer, so of a state that came again nothing is left to count. Triggers note, in the
transaction that writes, each row that was offered to a table and each one that the table took. What a transaction that
did not commit has noted is gone with it.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import psycopg

from streamproc import Change
from streamproc.sinks.postgres import PostgresSink
from tests.faults.sinks.far_side import Item, Reading
from tests.postgres_server import PostgresServer

__all__ = ["PostgresDatabase", "postgres_database"]

_TABLES = ("runs", "steps", "messages")
_NOTES = """
CREATE TABLE notes (
    number bigserial PRIMARY KEY, is_taken boolean, id text, stream text, epoch bigint, revision bigint
);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    INSERT INTO public.notes (is_taken, id, stream, epoch, revision)
    VALUES (TG_WHEN = 'AFTER', NEW.id, NEW.stream, NEW.epoch, NEW.revision);
    RETURN NEW;
END $$;
""" + "".join(
    f"CREATE TRIGGER offered BEFORE INSERT ON streamproc.{table} FOR EACH ROW EXECUTE FUNCTION note();"
    f"CREATE TRIGGER taken AFTER INSERT OR UPDATE ON streamproc.{table} FOR EACH ROW EXECUTE FUNCTION note();"
    for table in _TABLES
)


class PostgresDatabase:
    """A database of a server that nobody else uses."""

    noun = "newest states"
    delivers = ("latest", "changes")
    clients = 4

    def __init__(self, server: PostgresServer, dsn: str, watch: "psycopg.Connection[tuple[Any, ...]]") -> None:
        self.server = server
        self._dsn = dsn
        self._watch = watch  # ends with the server's first life

    def sink(self) -> str:
        return f'[[sinks]]\nkind = "postgres"\ndsn = "{self._dsn}"\n'

    def size(self) -> int:
        row = self._watch.execute("SELECT coalesce(max(number), 0) FROM notes").fetchone()
        assert row is not None
        return int(row[0])

    def repeated(self, skipped: int) -> int:
        ((offered, taken),) = self._rows(
            "SELECT count(*) FILTER (WHERE NOT is_taken), count(*) FILTER (WHERE is_taken) FROM notes"
        )
        return int(offered) - int(taken)

    def read(self, journal: Sequence[Change], states: Mapping[str, Any], skipped: int) -> Reading:
        every = [
            _item(change.id, change.stream, change.epoch, change.revision)
            for change in journal
            if change.kind in ("run", "step", "message")
        ]
        newest = dict(every)
        reading = Reading(
            allowed=every,
            wanted=[*newest.items()],
            applied=[
                _item(*row)
                for row in self._rows("SELECT id, stream, epoch, revision FROM notes WHERE is_taken ORDER BY number")
            ],
            repeated=self.repeated(skipped),
        )
        rows = [
            row
            for table in _TABLES
            for row in self._rows(f"SELECT id, stream, epoch, revision, state FROM streamproc.{table}")
        ]
        for id, *version, state in rows:
            if newest.get(id) != tuple(version):
                reading.wrong.append(f"the row of {id} is {version}, expected {newest.get(id)}")
            elif state != states[id]:
                reading.wrong.append(f"the state of {id}")
        reading.wrong += [f"there is no row of {id}" for id in newest.keys() - {row[0] for row in rows}]
        return reading

    def lose_one(self) -> None:
        self._rows(
            "WITH last AS (SELECT max(number) AS number FROM notes WHERE is_taken) "
            "DELETE FROM notes USING last WHERE notes.number = last.number"
        )

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        return self.server.execute(query, dsn=self._dsn)


def _item(id: str, stream: str, epoch: int, revision: int) -> Item:
    return id, (stream, epoch, revision)


@contextmanager
def postgres_database(folder: Path) -> Iterator[PostgresDatabase]:
    with PostgresServer() as server:
        dsn = server.new_database()
        anyio.run(_make_tables, dsn)
        server.execute(_NOTES, dsn=dsn)
        with psycopg.connect(dsn, autocommit=True) as watch:
            yield PostgresDatabase(server, dsn, watch)


async def _make_tables(dsn: str) -> None:
    async with PostgresSink(dsn):
        pass
