"""The tables of the SQLite store, how they came to be, and what may be opened at all.

A database is ours if it has our `application_id`; `user_version` counts the migrations that it has seen. One that is
another program's, or a newer version's, is not touched, not even to look into it: it is opened read-only first.
"""

import os
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from streamproc.errors import StoreError

__all__ = ["APPLICATION_ID", "MIGRATIONS", "inspect", "migrate", "open_reading", "store_errors"]

APPLICATION_ID: Final = 0x53545250  # "STRP"

_STATE: Final = """
    inferred_status TEXT,
    truncated INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    state TEXT NOT NULL,
    shape TEXT,
    revision INTEGER NOT NULL,
    stream TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    provisional INTEGER NOT NULL,
    growing INTEGER NOT NULL,
    first_position INTEGER NOT NULL,
    position INTEGER NOT NULL,
    updated_at TEXT
"""

_VERSION_1: Final = f"""
CREATE TABLE extent (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    first INTEGER NOT NULL,
    last INTEGER NOT NULL
) STRICT;
INSERT INTO extent VALUES (1, 1, 0);
CREATE TABLE journal (
    first INTEGER PRIMARY KEY,
    last INTEGER NOT NULL,
    crc INTEGER NOT NULL,
    blob BLOB NOT NULL
) STRICT;
CREATE TABLE runs (
    id TEXT PRIMARY KEY,
    thread_id TEXT,
    assistant_id TEXT,
    model TEXT,
    status TEXT,
    created_at REAL,
    started_at REAL,
    completed_at REAL,
    error_code TEXT,
    total_tokens INTEGER,
    {_STATE}
) STRICT;
CREATE TABLE steps (
    id TEXT PRIMARY KEY,
    run_id TEXT,
    thread_id TEXT,
    assistant_id TEXT,
    type TEXT,
    tools TEXT NOT NULL,
    status TEXT,
    created_at REAL,
    completed_at REAL,
    error_code TEXT,
    total_tokens INTEGER,
    {_STATE}
) STRICT;
CREATE TABLE messages (
    id TEXT PRIMARY KEY,
    run_id TEXT,
    thread_id TEXT,
    assistant_id TEXT,
    role TEXT,
    status TEXT,
    created_at REAL,
    completed_at REAL,
    {_STATE}
) STRICT;
CREATE INDEX runs_by_thread ON runs (thread_id);
CREATE INDEX runs_open ON runs (id) WHERE ended = 0;
CREATE INDEX steps_by_run ON steps (run_id);
CREATE INDEX steps_by_thread ON steps (thread_id);
CREATE INDEX steps_open ON steps (id) WHERE ended = 0;
CREATE INDEX steps_growing ON steps (id) WHERE growing = 1;
CREATE INDEX messages_by_run ON messages (run_id);
CREATE INDEX messages_by_thread ON messages (thread_id);
CREATE INDEX messages_open ON messages (id) WHERE ended = 0;
CREATE INDEX messages_growing ON messages (id) WHERE growing = 1;
CREATE TABLE streams (
    stream TEXT PRIMARY KEY,
    epoch INTEGER NOT NULL,
    last_seq INTEGER NOT NULL
) STRICT;
CREATE TABLE cursors (
    sink TEXT PRIMARY KEY,
    position INTEGER NOT NULL,
    required INTEGER NOT NULL,
    gap INTEGER NOT NULL
) STRICT;
CREATE TABLE dead_letters (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    sink TEXT NOT NULL,
    reason TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    at TEXT NOT NULL,
    stream TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    event TEXT NOT NULL,
    kind TEXT NOT NULL,
    object_id TEXT NOT NULL,
    run_id TEXT,
    thread_id TEXT,
    revision INTEGER NOT NULL,
    payload BLOB NOT NULL,
    state TEXT,
    change BLOB NOT NULL
) STRICT;
CREATE INDEX dead_letters_by_sink ON dead_letters (sink);
"""

MIGRATIONS: Final = (_VERSION_1,)
"""Each brings a database from the version that is its place here to the next one."""

_CAUSES: Final = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_READONLY: "it is read-only",
    sqlite3.SQLITE_BUSY: "another program has it locked",
    sqlite3.SQLITE_LOCKED: "another program has it locked",
    sqlite3.SQLITE_CORRUPT: "the file is damaged",
    sqlite3.SQLITE_NOTADB: "the file is no SQLite database",
    sqlite3.SQLITE_CANTOPEN: "the file cannot be opened or made",
    sqlite3.SQLITE_IOERR: "the disk reports an error",
}


@contextmanager
def store_errors(path: Path, what: str) -> Generator[None]:
    """Whatever the database or the file system raises becomes a StoreError that says which, and why."""
    try:
        yield
    except sqlite3.Error as error:
        cause = _CAUSES.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, "")
        cause = f"{cause} ({error})" if cause else str(error)
        raise StoreError(f"store {path} cannot be {what}: {cause}") from error
    except OSError as error:
        raise StoreError(f"store {path} cannot be {what}: {error.strerror or error}") from error


@contextmanager
def open_reading(path: Path) -> Generator[sqlite3.Connection]:
    """A connection that cannot write.

    Raises:
        StoreError: there is no such file, or it is no store of a version that we know.
    """
    with store_errors(path, "opened"):
        os.stat(path)
        _refuse_folder(path)
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, check_same_thread=False)
    with closing(connection):
        with store_errors(path, "opened"):
            connection.execute("PRAGMA query_only = 1")
            if not _is_ours(connection, path):
                raise StoreError(f"{path} is no store: it is empty")
        yield connection


def _refuse_folder(path: Path) -> None:
    if path.is_dir():  # SQLite would call it an error of the disk
        raise StoreError(f"store {path} cannot be opened: it is a folder")


def inspect(path: Path) -> None:
    """Make sure that a path is free, or holds a store that we may write; changes nothing.

    Raises:
        StoreError: the file is another program's, a newer version's, or no database.
    """
    with store_errors(path, "opened"):
        _refuse_folder(path)
        if not path.exists() or not path.stat().st_size:
            return
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
            _is_ours(connection, path)


def _is_ours(connection: sqlite3.Connection, path: Path) -> bool:
    """Whether this is a store; False for an empty database."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION_ID:
        if application or version or connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            raise StoreError(f"{path} is another program's database; nothing was changed")
        return False
    if version > len(MIGRATIONS):
        raise StoreError(
            f"{path} has schema version {version}, this streamproc knows up to {len(MIGRATIONS)}; nothing was changed"
        )
    return True


def migrate(connection: sqlite3.Connection) -> None:
    """Bring a database to the newest version, each step in a transaction of its own."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    for number, script in enumerate(MIGRATIONS[version:], version + 1):
        marks = f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {number};"
        connection.executescript(f"BEGIN IMMEDIATE; {script} {marks} COMMIT;")
