"""The tables in PostgreSQL, how they came to be, and the statements that write them.

The columns are those of the SQLite store (`streamproc.columns`), so that a query of one works on the other: 0 and 1 as
numbers, times as Unix seconds. What the store keeps for itself is not there. `first_position` and `position` come from
one sequence; like the store's they put objects into the order in which they came, or changed.

No statement needs anything of its session, for a pooler gives each transaction another one, and none leaves anything
in it but an empty temporary table. The name of the schema is the only thing that is put into statements; it has been
checked.
"""

import re
from typing import Final
from zlib import crc32

from streamproc.columns import COLUMNS, TABLE_OF
from streamproc.errors import ConfigError

__all__ = ["OWN", "VERSION", "Statements"]

_STATE: Final = """
    inferred_status text,
    truncated smallint NOT NULL,
    ended smallint NOT NULL,
    state jsonb NOT NULL,
    revision bigint NOT NULL,
    stream text NOT NULL,
    epoch bigint NOT NULL,
    first_position bigint NOT NULL,
    position bigint NOT NULL,
    updated_at text
"""
_VERSION_1: Final = f"""
CREATE SEQUENCE {{schema}}.positions;
CREATE TABLE {{schema}}.runs (
    id text PRIMARY KEY,
    thread_id text,
    assistant_id text,
    model text,
    status text,
    created_at double precision,
    started_at double precision,
    completed_at double precision,
    error_code text,
    total_tokens bigint,
    {_STATE}
);
CREATE TABLE {{schema}}.steps (
    id text PRIMARY KEY,
    run_id text,
    thread_id text,
    assistant_id text,
    type text,
    tools jsonb NOT NULL,
    status text,
    created_at double precision,
    completed_at double precision,
    error_code text,
    total_tokens bigint,
    {_STATE}
);
CREATE TABLE {{schema}}.messages (
    id text PRIMARY KEY,
    run_id text,
    thread_id text,
    assistant_id text,
    role text,
    status text,
    created_at double precision,
    completed_at double precision,
    {_STATE}
);
CREATE INDEX runs_by_thread ON {{schema}}.runs (thread_id);
CREATE INDEX runs_open ON {{schema}}.runs (position) WHERE ended = 0;
CREATE INDEX runs_failed ON {{schema}}.runs (error_code) WHERE error_code IS NOT NULL;
CREATE INDEX runs_by_time ON {{schema}}.runs USING brin (created_at);
CREATE INDEX steps_by_run ON {{schema}}.steps (run_id);
CREATE INDEX steps_by_thread ON {{schema}}.steps (thread_id);
CREATE INDEX steps_open ON {{schema}}.steps (position) WHERE ended = 0;
CREATE INDEX steps_failed ON {{schema}}.steps (error_code) WHERE error_code IS NOT NULL;
CREATE INDEX steps_by_time ON {{schema}}.steps USING brin (created_at);
CREATE INDEX messages_by_run ON {{schema}}.messages (run_id);
CREATE INDEX messages_by_thread ON {{schema}}.messages (thread_id);
CREATE INDEX messages_by_time ON {{schema}}.messages USING brin (created_at);
"""
_MIGRATIONS: Final = (_VERSION_1,)
VERSION: Final = len(_MIGRATIONS)
"""Of the schema that this streamproc writes."""

_OF_ALL: Final = ("inferred_status", "truncated", "ended", "revision", "stream", "epoch", "updated_at", "state")
_TYPES: Final = {
    **dict.fromkeys(("created_at", "started_at", "completed_at"), "double precision"),
    **dict.fromkeys(("total_tokens", "revision", "epoch"), "bigint"),
    **dict.fromkeys(("truncated", "ended"), "smallint"),
    **dict.fromkeys(("tools", "state"), "jsonb"),
}
OWN: Final = (
    *("id", "run_id", "thread_id", "assistant_id", "model", "type", "tools", "role", "status"),
    *("created_at", "started_at", "completed_at", "error_code", "total_tokens"),
)
"""The columns that some kind of object has of its own, in an order that is each kind's: those of the table into which a
batch of all kinds is copied, after `kind` and before `_OF_ALL`."""


class Statements:
    """All statements, for one schema.

    Raises:
        ConfigError: the schema's name is none.
    """

    def __init__(self, schema: str, statement_timeout_s: float) -> None:
        if re.fullmatch("[a-z_][a-z0-9_]{0,62}", schema) is None:
            raise ConfigError(
                f"schema is {schema[:64]!r}; expected lower-case letters, digits and _, at most 63 of them"
            )
        self._schema = quoted = f'"{schema}"'
        ms = max(1, round(statement_timeout_s * 1000))
        begin = f"BEGIN; SET LOCAL statement_timeout = {ms}; SET LOCAL idle_in_transaction_session_timeout = {ms};"
        incoming = ", ".join(f"{name} {_TYPES.get(name, 'text')}" for name in ("kind", *OWN, *_OF_ALL))
        # Made where a session has none yet, and emptied by each commit: to make it each time would fill the catalogue
        # with dead rows. Its name tells its columns, for a pooler's session may have one of another version.
        self._incoming = table = f"pg_temp.streamproc_incoming_{crc32(incoming.encode()):08x}"
        self.begin = f"""
            {begin} SET LOCAL client_min_messages = warning;
            CREATE TEMPORARY TABLE IF NOT EXISTS {table.partition(".")[2]} ({incoming}) ON COMMIT DELETE ROWS
        """.encode()
        # What the columns of a text row mean must not depend on the session.
        self.copy = f"COPY {table} FROM STDIN (FORMAT text, ENCODING 'UTF8')".encode()
        self.upserts = {kind: self._upsert(kind) for kind in COLUMNS}

        # Asked of the catalogue itself: to_regclass remembers that there was no table before it waited for the lock.
        self.has_version = f"""
            SELECT count(*) FROM pg_catalog.pg_class JOIN pg_catalog.pg_namespace AS space ON space.oid = relnamespace
            WHERE nspname = '{schema}' AND relname = 'schema_version'
        """.encode()
        self.version = f"SELECT version FROM {quoted}.schema_version".encode()
        self.has_schema = f"SELECT count(*) FROM pg_catalog.pg_namespace WHERE nspname = '{schema}'".encode()
        self.create_schema = f"CREATE SCHEMA {quoted}".encode()
        key = 0x53545250 << 32 | crc32(schema.encode())  # "STRP"
        # Workers that start at once wait for each other here; the lock ends with its transaction.
        self.begin_migration = f"{begin} SELECT pg_advisory_xact_lock({key})".encode()

    def migration(self, version: int) -> bytes:
        """What brings the tables from a version to the next one."""
        return f"""
            {_MIGRATIONS[version].format(schema=self._schema)}
            CREATE TABLE IF NOT EXISTS {self._schema}.schema_version (
                one integer PRIMARY KEY CHECK (one = 1),
                version integer NOT NULL
            );
            INSERT INTO {self._schema}.schema_version VALUES (1, {version + 1})
            ON CONFLICT (one) DO UPDATE SET version = excluded.version;
        """.encode()

    def _upsert(self, kind: str) -> bytes:
        """The guard is the store's: of one stream the higher (epoch, revision) is the newer one; epochs of two streams
        cannot be compared, revisions of one object can. An object that ended stays ended, with the status it has.
        """
        columns = (*COLUMNS[kind], *_OF_ALL)
        names = ", ".join(columns)
        kept = {"status": "status = coalesce(excluded.status, old.status)"}
        changed = [kept.get(name, f"{name} = excluded.{name}") for name in (*columns[1:], "position")]
        return f"""
            INSERT INTO {self._schema}.{TABLE_OF[kind]} AS old ({names}, first_position, position)
            SELECT {names}, number, number FROM (
                SELECT *, nextval('{self._schema}.positions') AS number
                FROM {self._incoming} WHERE kind = '{kind}'
            ) AS new
            ON CONFLICT (id) DO UPDATE SET {", ".join(changed)}
            WHERE CASE WHEN excluded.stream = old.stream
                    THEN (excluded.epoch, excluded.revision) > (old.epoch, old.revision)
                    ELSE excluded.revision > old.revision OR excluded.ended > old.ended END
                AND (old.ended = 0
                    OR excluded.ended = 1 AND coalesce(excluded.status, old.status) IS NOT DISTINCT FROM old.status)
        """.encode()
