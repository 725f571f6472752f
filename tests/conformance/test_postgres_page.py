"""docs/sinks/postgres.md: its questions have one answer on PostgreSQL and SQLite, and its tables are the real ones."""

import re
import sqlite3
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from streamproc import StreamProcessor
from streamproc.core.change import Change
from streamproc.sinks.postgres import PostgresSink
from streamproc.stores.sqlite import SqliteStore
from tests.conftest import ROOT
from tests.postgres_server import PostgresServer
from tests.streams import call, message, run, sse, step, text

PAGE = (ROOT / "docs" / "sinks" / "postgres.md").read_text(encoding="utf-8")
STORE_PAGE = (ROOT / "docs" / "store.md").read_text(encoding="utf-8")
OWN_OF_STORE = {"shape", "provisional", "growing"}


CALLS = (call("{}", id="c1", name="search"), call('{"z":"\u00e9"}', id="c2", name="mail"))
ERROR = {"code": "server_error", "message": "sorry"}


def fenced(page: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", page, re.DOTALL)


def changes() -> list[Change]:
    """Something for every question: two models and one unknown, failures of both kinds, open runs, lists and texts."""
    events: list[Any] = [
        run("created", created_at=100, model="gpt-4o"),
        step(
            "completed",
            "step_1",
            call('{"q":1}', id="c0", name="search", output="found"),
            created_at=101,
            completed_at=109,
        ),
        step("failed", "step_2", *CALLS, created_at=102, completed_at=103.5, last_error=ERROR, type="tool_calls"),
        step("created", "step_3", {"id": "c3", "type": "code_interpreter"}, created_at=103),
        message("completed", "msg_1", text("hello"), text("world"), created_at=104),
        message("completed", "msg_2", text("bye"), created_at=105),
        run("failed", created_at=100, model="gpt-4o", usage={"total_tokens": 7}),
        run("created", "run_2", thread_id="thread_2", created_at=90_000, model="o9"),
        run("created", "run_3", thread_id="thread_2", created_at=90_001),
        step("created", "step_9", run_id="run_3", thread_id="thread_2", created_at=201),
    ]
    proc = StreamProcessor(stream="s")
    return proc.feed(sse(*events))


async def databases(path: Path, dsn: str) -> None:
    """The same changes into both, in the same batches."""
    made = changes()
    async with SqliteStore(path) as store, PostgresSink(dsn) as sink:
        for start in range(0, len(made), 3):
            await store.append(made[start : start + 3])
            await sink.write(made[start : start + 3])


def in_sqlite(path: Path, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def in_postgres(server: PostgresServer, dsn: str, query: str) -> list[tuple[Any, ...]]:
    """A sum is a `Decimal` there, which is told as the number that it is."""
    rows = server.execute(query.encode(), dsn=f"{dsn}?options=-csearch_path%3Dstreamproc")
    return [tuple(int(value) if isinstance(value, Decimal) else value for value in row) for row in rows]


@pytest.mark.asyncio
async def test_questions_have_the_same_answer(
    postgres_server: PostgresServer, postgres_dsn: str, tmp_path: Path
) -> None:
    """Row for row, in the same order, and each has one."""
    await databases(tmp_path / "runs.db", postgres_dsn)
    questions = fenced(PAGE, "sql")
    answers = [in_postgres(postgres_server, postgres_dsn, question) for question in questions]

    assert answers == [in_sqlite(tmp_path / "runs.db", question) for question in questions]
    assert all(answers)
    assert answers[0] == [("step_2", "run_1", "server_error", "sorry"), ("step_3", "run_1", None, None)]
    assert answers[3] == [("step_1", None, 8.0), ("step_2", "tool_calls", 1.5)]
    assert answers[4] == [("run_1", "failed", 3, 1), ("run_2", "queued", 0, 0), ("run_3", "queued", 1, 0)]
    assert len(questions) == 6


@pytest.mark.asyncio
async def test_counterparts_answer_the_questions_of_the_store(
    postgres_server: PostgresServer, postgres_dsn: str, tmp_path: Path
) -> None:
    """What takes lists apart, or counts days, says the same in its own words."""
    await databases(tmp_path / "runs.db", postgres_dsn)
    of_store = [question for question in fenced(STORE_PAGE, "sql") if re.search("json_each|unixepoch", question)]
    answers = [in_postgres(postgres_server, postgres_dsn, question) for question in fenced(PAGE, "postgres")]

    assert [sorted(map(repr, rows)) for rows in answers] == [
        sorted(map(repr, in_sqlite(tmp_path / "runs.db", question))) for question in of_store
    ]
    assert len(answers) == len(of_store) == 4


@pytest.mark.asyncio
async def test_columns_are_those_of_the_store(
    postgres_server: PostgresServer, postgres_dsn: str, tmp_path: Path
) -> None:
    """By name and order, but for what the store keeps for itself."""
    await databases(tmp_path / "runs.db", postgres_dsn)
    for table in ("runs", "steps", "messages"):
        query = (
            f"SELECT column_name FROM information_schema.columns WHERE table_name = '{table}' ORDER BY ordinal_position"
        )
        found = [row[0] for row in in_postgres(postgres_server, postgres_dsn, query)]
        of_store = [row[1] for row in in_sqlite(tmp_path / "runs.db", f"PRAGMA table_info({table})")]

        assert found == [name for name in of_store if name not in OWN_OF_STORE]
    assert all(f"`{name}`" in PAGE for name in OWN_OF_STORE)


@pytest.mark.asyncio
async def test_rows_are_those_of_the_store(postgres_server: PostgresServer, postgres_dsn: str, tmp_path: Path) -> None:
    """Column by column; what positions say is their order."""
    await databases(tmp_path / "runs.db", postgres_dsn)
    for table in ("runs", "steps", "messages"):
        query = f"SELECT * FROM {table} ORDER BY position"
        with closing(sqlite3.connect(tmp_path / "runs.db")) as connection:
            connection.row_factory = sqlite3.Row
            expected = [dict(row) for row in connection.execute(query)]
        names = [
            name for name in expected[0] if name not in {*OWN_OF_STORE, "first_position", "position", "state", "tools"}
        ]
        found = in_postgres(postgres_server, postgres_dsn, f"SELECT {', '.join(names)} FROM {table} ORDER BY position")

        assert [dict(zip(names, row, strict=True)) for row in found] == [
            {name: row[name] for name in names} for row in expected
        ]
