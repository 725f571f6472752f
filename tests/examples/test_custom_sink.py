"""A sink of one's own, in 12 lines: changes in a table of SQLite. README shows them, docs/sinks.md explains them."""

import inspect
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from streamproc import Change, encode_change
from streamproc.errors import SinkUnavailable
from streamproc.testing.changes import ordinary_changes
from streamproc.testing.sinks import check_sink
from tests.conftest import ROOT


class TableSink:
    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db
        db.execute("CREATE TABLE IF NOT EXISTS changes (stream, epoch, seq, json, PRIMARY KEY (stream, epoch, seq))")

    async def write(self, batch: Sequence[Change]) -> None:
        rows = [(each.stream, each.epoch, each.seq, encode_change(each)) for each in batch]
        try:
            with self.db:  # one transaction: all of the batch, or nothing
                self.db.executemany("INSERT OR IGNORE INTO changes VALUES (?, ?, ?, ?)", rows)
        except sqlite3.OperationalError as error:
            raise SinkUnavailable(str(error)) from error


@pytest.mark.asyncio
async def test_my_sink(tmp_path: Path) -> None:
    """The checks ask the far side what has arrived."""
    db = sqlite3.connect(tmp_path / "changes.db")
    try:
        await check_sink(lambda: TableSink(db), far_side=lambda: db.execute("SELECT stream, epoch, seq FROM changes"))
    finally:
        db.close()


@pytest.mark.asyncio
async def test_database_that_is_locked_is_unavailable(tmp_path: Path) -> None:
    """Delivery tries again; a bug would not be SinkUnavailable."""
    db, other = (sqlite3.connect(tmp_path / "changes.db", timeout=0) for _ in range(2))
    try:
        sink = TableSink(db)
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(SinkUnavailable, match="database is locked"):
            await sink.write(ordinary_changes("s"))
    finally:
        db.close()
        other.close()


def test_documentation_shows_this_code() -> None:
    """The class as it is tested here, and no longer than it says."""
    code = inspect.getsource(TableSink)

    for page in ("README.md", "docs/sinks.md"):
        assert f"\n{code}```\n" in (ROOT / page).read_text(encoding="utf-8")
    assert len([line for line in code.splitlines() if line.strip()]) <= 12
