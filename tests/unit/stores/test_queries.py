"""Looking into a store: filters, the journal, dead letters, and the questions in docs/store.md."""

import json
import re
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from streamproc import StreamProcessor
from streamproc.errors import StoreError
from streamproc.protocols import DeadLetter
from streamproc.stores import queries
from streamproc.stores._schema import MIGRATIONS
from streamproc.stores.sqlite import SqliteStore
from streamproc.testing.changes import odd_changes
from tests.streams import call, message, run, sse, step, text

DOCS = Path(__file__).resolve().parents[3] / "docs" / "store.md"
QUESTIONS = re.findall(r"```sql\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ERROR = {"code": "server_error", "message": "sorry"}
EVENTS = [
    run("created", created_at=100, model="gpt-4o"),
    step("created", created_at=101),
    step("completed", "step_1", call('{"q":1}', id="c0", name="search", output="found"), created_at=101),
    step("failed", "step_2", call("{}", id="c1", name="search"), created_at=102, last_error=ERROR),
    step("created", "step_3", {"id": "c2", "type": "code_interpreter"}, created_at=103),
    message("completed", "msg_1", text("hello"), text("world"), created_at=104),
    run("failed", created_at=100, model="gpt-4o", usage={"total_tokens": 7}),
    run("created", "run_2", thread_id="thread_2", created_at=200),
    step("created", "step_9", run_id="run_2", thread_id="thread_2", created_at=201),
]


async def filled(path: Path) -> Path:
    """A store that has something of everything."""
    proc = StreamProcessor(stream="s")
    changes = proc.feed(sse(*EVENTS))
    letters = [
        DeadLetter(sink=sink, change=change, reason="no", attempts=2, at=AT)
        for sink, change in [("a", changes[2]), ("b", changes[3]), ("a", odd_changes("t")[-4])]
    ]
    async with SqliteStore(path) as store:
        await store.cursor("a", required=True)
        await store.append(changes)
        await store.bury(letters[:1] + letters[2:], 4)
        await store.bury(letters[1:2], 5)
    return path


def ids(path: Path, kind: Any, **filters: Any) -> list[str]:
    with queries.open_store(path) as store:
        return [row["id"] for row in queries.find(store, kind, **filters)]


@pytest.mark.asyncio
async def test_filters_choose_objects(tmp_path: Path) -> None:
    path = await filled(tmp_path / "runs.db")

    assert ids(path, "run") == ["run_1", "run_2"]
    assert ids(path, "run", run="run_2") == ["run_2"]
    assert ids(path, "run", id="run_2") == ["run_2"]
    assert ids(path, "run", id="run_2", run="run_1") == []
    assert ids(path, "run", status="failed") == ["run_1"]
    assert ids(path, "step") == ["step_1", "step_2", "step_3", "step_9"]
    assert ids(path, "step", id="step_2") == ["step_2"]
    assert ids(path, "step", id="step_2", run="run_2") == []
    assert ids(path, "step", run="run_2") == ["step_9"]
    assert ids(path, "step", thread="thread_1") == ["step_1", "step_2", "step_3"]
    assert ids(path, "step", status="failed") == ["step_2", "step_3"]  # one by its run's end
    assert ids(path, "step", status="in_progress") == ["step_3", "step_9"]
    assert ids(path, "step", tool="search") == ["step_1", "step_2"]
    assert ids(path, "step", tool="code_interpreter", run="run_1") == ["step_3"]
    assert ids(path, "step", since=102, until=201) == ["step_2", "step_3"]
    assert ids(path, "step", limit=2) == ["step_3", "step_9"]
    assert ids(path, "message", run="run_1") == ["msg_1"]
    assert ids(path, "step", status="'; DROP TABLE steps; --") == []


@pytest.mark.asyncio
async def test_journal_is_followed_while_it_is_written(tmp_path: Path) -> None:
    """Without the lock; a gap is told."""
    proc = StreamProcessor(stream="s")
    async with SqliteStore(tmp_path / "runs.db") as store:
        await store.append(proc.feed(sse(*EVENTS[:2])))
        with queries.open_store(tmp_path / "runs.db") as reader:
            assert queries.head(reader) == 2
            await store.append(proc.feed(sse(EVENTS[2])))
            batch = queries.journal_after(reader, 1)

    assert [(change.seq, change.state.status) for change in batch.changes] == [(2, "in_progress"), (3, "completed")]
    assert (batch.first, batch.last, batch.missing) == (2, 3, 0)


@pytest.mark.asyncio
async def test_dead_letters_come_back_as_they_were(tmp_path: Path) -> None:
    path = await filled(tmp_path / "runs.db")
    odd = odd_changes("t")[-4]
    with queries.open_store(path) as store:
        rows = [(row["number"], row["sink"], row["kind"]) for row in queries.dead_letters(store)]
        last = [row["number"] for row in queries.dead_letters(store, sink="a", limit=1)]
        letter = queries.dead_letter(store, 1)
        other = queries.dead_letter(store, 2)
        assert queries.dead_letter(store, 9) is None

    assert rows == [(1, "a", "step"), (2, "a", odd.kind), (3, "b", "step")]
    assert last == [2]
    assert letter is not None
    assert (letter.sink, letter.reason, letter.attempts, letter.at) == ("a", "no", 2, AT)
    assert (letter.change.raw, letter.change.state.status) == (EVENTS[2].raw, "completed")
    assert other is not None
    assert (other.change.raw, other.change.event) == (odd.raw, odd.event)


@pytest.mark.asyncio
async def test_connection_cannot_write(tmp_path: Path) -> None:
    path = await filled(tmp_path / "runs.db")

    with pytest.raises(StoreError, match="cannot be read"), queries.open_store(path) as store:
        store.execute("DELETE FROM steps")


@pytest.mark.parametrize("make", ["nothing", "empty", "foreign"])
def test_what_is_no_store_cannot_be_opened(tmp_path: Path, make: str) -> None:
    path = tmp_path / "x.db"
    if make == "empty":
        path.touch()
    if make == "foreign":
        sqlite3.connect(path).execute("CREATE TABLE t (x)").connection.close()

    with pytest.raises(StoreError), queries.open_store(path):
        pass
    assert path.exists() == (make != "nothing")


# -- the documentation -------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_questions_of_the_documentation_are_answered(tmp_path: Path) -> None:
    path = await filled(tmp_path / "runs.db")
    with queries.open_store(path) as store:
        answers = [[tuple(row) for row in store.execute(question)] for question in QUESTIONS]

    assert answers[:7] == [
        [
            ("step_2", "run_1", '["search"]', "server_error", "sorry"),
            ("step_3", "run_1", '["code_interpreter"]', None, None),
        ],
        [("search", 2, 1), ("code_interpreter", 1, 1)],
        [
            ("step_1", "search", '{"q":1}', "found"),
            ("step_2", "search", "{}", None),
            ("step_3", None, None, None),
        ],
        [("run_2", "thread_2", "queued", 0, None)],
        [("msg_1", "assistant", "hello\nworld")],
        [(None, "1970-01-01", 1, None), ("gpt-4o", "1970-01-01", 1, 7)],
        [("a", 1, 6, 0), ("b", 0, 5, 0)],
    ]
    assert [row[:3] for row in answers[7]] == [("a", "no", 2), ("b", "no", 1)]
    assert len(QUESTIONS) == 8


@pytest.mark.parametrize("name", re.findall(r"CREATE TABLE (\w+)", MIGRATIONS[0]))
def test_each_table_and_column_is_documented(name: str) -> None:
    tables = DOCS.read_text(encoding="utf-8").partition("## Tables")[2].partition("## Questions")[0]
    with sqlite3.connect(":memory:") as connection:
        connection.executescript(MIGRATIONS[0])
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({name})")]
    connection.close()

    assert name in tables
    assert [column for column in columns if f"`{column}`" not in tables and column != "one"] == []


@pytest.mark.asyncio
async def test_only_errors_of_the_database_are_those_of_the_store(tmp_path: Path) -> None:
    """A pipe that the reader writes to may break while the store is open; that is another matter."""
    path = await filled(tmp_path / "runs.db")

    def read(error: Exception) -> None:
        with queries.open_store(path):
            raise error

    with pytest.raises(BrokenPipeError):
        read(BrokenPipeError())
    with pytest.raises(StoreError, match="cannot be read: gone"):
        read(sqlite3.OperationalError("gone"))


def test_a_folder_is_called_one(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="it is a folder"), queries.open_store(tmp_path):
        pass


def test_line_keeps_every_digit_and_is_one_line() -> None:
    """What the store knows replaces a member of the same name."""
    row = {
        "state": '{"id":"step_1",\n "big":12345678901234567890123,"x":1.50,"epoch":"theirs"}',
        **{"stream": "live", "epoch": 2, "revision": 7, "inferred_status": None, "truncated": 0},
    }
    line = queries.state_line(row)

    assert b"\n" not in line
    assert b'"big":12345678901234567890123,"x":1.50' in line
    assert {"id": "step_1", "epoch": 2, "stream": "live", "revision": 7}.items() <= json.loads(line).items()
    assert not {"inferred_status", "truncated"} & set(json.loads(line))


@pytest.mark.asyncio
@pytest.mark.parametrize("limit", [1, 2, 100])
async def test_pages_follow_each_other(tmp_path: Path, limit: int) -> None:
    """Each begins after the last object of the one before, and none is given twice."""
    with queries.open_store(await filled(tmp_path / "a.db")) as store:
        found: dict[tuple[str, str | None, bool], list[str]] = {}
        for kind, of, newest_first in [("step", None, False), ("step", "run_1", True), ("run", None, True)]:
            seen = found[kind, of, newest_first] = list[str]()
            while rows := queries.page(
                store,
                kind,  # type: ignore[arg-type]  # of a list of both
                run=of,
                after=seen[-1] if seen else None,
                limit=limit,
                newest_first=newest_first,
            ):
                seen += [row["id"] for row in rows]

    assert found == {
        ("step", None, False): ["step_1", "step_2", "step_3", "step_9"],
        ("step", "run_1", True): ["step_3", "step_2", "step_1"],
        ("run", None, True): ["run_2", "run_1"],
    }


@pytest.mark.asyncio
async def test_pages_of_one_status_and_after_nothing_known(tmp_path: Path) -> None:
    """What is only inferred counts as well."""
    with queries.open_store(await filled(tmp_path / "a.db")) as store:
        failed = queries.page(store, "step", status="failed", limit=9)
        with pytest.raises(KeyError, match="step_5"):
            queries.page(store, "step", after="step_5", limit=9)

    assert [row["id"] for row in failed] == ["step_2", "step_3"]
