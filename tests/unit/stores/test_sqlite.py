"""SqliteStore: what it keeps, what it forgets, and what it says when it cannot."""

import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from structlog.testing import capture_logs

from streamproc import Change, Event, Reducer, StreamProcessor, to_wire
from streamproc.core.body import Body
from streamproc.core.change import NO_NOTE, Origin
from streamproc.errors import ConfigError, StoreError
from streamproc.protocols import DeadLetter, JournalBatch
from streamproc.stores.sqlite import SqliteStore
from streamproc.testing.changes import odd_changes, ordinary_changes
from tests.streams import arguments, call, message, run, sse, step, step_delta, wire, words

ALL = 2**40
PATIENCE_S = 60.0  # for what takes a moment
LONG = "x" * 5000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


def rows(path: Path, query: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query, values).fetchall()


def execute(path: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)


async def everything(store: SqliteStore, after: int = 0) -> JournalBatch:
    return await store.read(after, count_max=ALL, size_max=ALL)


def growing(stream: str = "s") -> tuple[StreamProcessor, list[Change]]:
    """A stream with an open step whose arguments have grown beyond what is written each time."""
    proc = StreamProcessor(stream=stream)
    first = step_delta(call("", index=0, id="c", name="f"), id="big")
    events = [run(id="run_big"), step("created", "big", run_id="run_big"), first, *[more(LONG)] * 5]
    return proc, proc.feed(sse(*events))


def more(text: str) -> Event:
    """A fragment for that step."""
    return arguments(text, id="big")


def state_size(path: Path) -> int:
    return int(rows(path, "SELECT length(state) FROM steps WHERE id = 'big'")[0][0])


def json_of(reducer: Reducer) -> dict[str, Any]:
    objects = [*reducer.runs.items(), *reducer.steps.items(), *reducer.messages.items()]
    return {id: wire(obj) for id, obj in objects}


# -- what is stored ----------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_columns_say_what_people_ask_for(path: Path) -> None:
    proc = StreamProcessor(stream="s")
    proc.stamp("2026-01-01T00:00:00.000Z")
    usage = {"total_tokens": 7}
    events = [
        run("created", assistant_id="asst_1", model="gpt-4o", created_at=1_700_000_000),
        step("created", created_at=1_700_000_001),
        step_delta(call("{}", index=0, id="c0", name="search"), {"index": 1, "id": "c1", "type": "code_interpreter"}),
        step(
            "completed",
            "step_1",
            call("{}", id="c0", name="search"),
            {"id": "c1", "type": "code_interpreter"},
            usage=usage,
        ),
        message("completed", assistant_id="asst_1", created_at=1.5),
        run("failed", last_error={"code": "rate_limit_exceeded", "message": "m"}, usage=usage, model=5),
    ]
    async with SqliteStore(path) as store:
        await store.append(proc.feed(sse(*events)))

    columns = "status, ended, revision, stream, epoch, position, updated_at"
    at = "2026-01-01T00:00:00.000Z"
    assert rows(path, f"SELECT id, thread_id, model, error_code, total_tokens, {columns} FROM runs") == [
        ("run_1", "thread_1", None, "rate_limit_exceeded", 7, "failed", 1, 2, "s", 1, 6, at)
    ]
    assert rows(path, f"SELECT run_id, tools, total_tokens, created_at, {columns} FROM steps") == [
        ("run_1", '["search","code_interpreter"]', 7, None, "completed", 1, 3, "s", 1, 4, at)
    ]
    assert rows(path, f"SELECT id, run_id, role, created_at, {columns} FROM messages") == [
        ("msg_1", "run_1", "assistant", 1.5, "completed", 1, 1, "s", 1, 5, at)
    ]
    assert rows(path, "SELECT stream, epoch, last_seq FROM streams") == [("s", 1, 6)]


@pytest.mark.asyncio
async def test_members_of_the_wrong_type_leave_their_column_empty(path: Path) -> None:
    """Whatever a server sends, the row is written."""
    odd: dict[str, Any] = {
        "created_at": "soon",
        "completed_at": 2**70,
        "assistant_id": 5,
        "last_error": "x",
        "usage": {"total_tokens": 2**64},
        "step_details": {"tool_calls": ["x", {"function": "y"}, {"type": "a"}, {"type": "a"}]},
    }
    async with SqliteStore(path) as store:
        await store.append(StreamProcessor().feed(sse(step("created", **odd))))

    query = "SELECT created_at, completed_at, assistant_id, error_code, total_tokens, tools FROM steps"
    assert rows(path, query) == [(None, None, None, None, None, '["a"]')]


@pytest.mark.asyncio
async def test_what_a_stream_left_open_is_marked(path: Path) -> None:
    proc = StreamProcessor()
    changes = proc.feed(sse(run(), step())) + proc.close()
    async with SqliteStore(path) as store:
        await store.append(changes)

    assert rows(path, "SELECT status, truncated, ended FROM steps") == [("in_progress", 1, 0)]


@pytest.mark.asyncio
async def test_file_is_for_its_owner_alone(path: Path) -> None:
    async with SqliteStore(path) as store:
        await store.append(ordinary_changes("s"))
        modes = {item.name: item.stat().st_mode & 0o777 for item in path.parent.iterdir()}

    assert {"runs.db", "runs.db-wal", "runs.db-shm", "runs.db.lock"} == modes.keys()
    assert {0o600} == set(modes.values())


@pytest.mark.asyncio
async def test_reopened_store_goes_on_where_it_was(path: Path) -> None:
    changes = ordinary_changes("s")
    async with SqliteStore(path, synchronous="full") as store:
        await store.append(changes[:20])
        assert await store.next_epoch("s") == 2
    async with SqliteStore(path) as store:
        assert store.head == 20
        assert await store.append(changes[20:]) == len(changes)
        batch = await everything(store)

    assert [change.raw for change in changes] == [change.raw for change in batch.changes]


@pytest.mark.asyncio
async def test_state_of_a_delta_that_is_read_is_the_newest(path: Path) -> None:
    """Also of a large object whose row is behind, before it has been written and after."""
    proc, changes = growing()
    async with SqliteStore(path) as store:
        await store.append(changes)
        await store.append(proc.feed(sse(more("y"))))
        behind = state_size(path)
        batch = await everything(store)
    assert behind < len(to_wire(proc.steps["big"]))
    assert all(wire(c.state) == wire(proc.steps["big"]) for c in batch.changes if c.is_delta)

    async with SqliteStore(path) as store:
        batch = await everything(store)
    assert all(wire(c.state) == wire(proc.steps["big"]) for c in batch.changes if c.is_delta)
    assert behind < state_size(path)


@pytest.mark.asyncio
async def test_large_state_is_written_when_a_quarter_came(path: Path) -> None:
    """The cost of what is written stays in proportion to what came."""
    proc, changes = growing()
    sizes = set()
    async with SqliteStore(path) as store:
        await store.append(changes)
        for _ in range(200):
            await store.append(proc.feed(sse(more("z" * 500))))
            sizes.add(state_size(path))

    assert 4 <= len(sizes) <= 12
    assert state_size(path) == len(to_wire(proc.steps["big"]))


@pytest.mark.asyncio
async def test_large_state_does_not_stay_behind_while_others_go_on(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or it would hold back the journal."""
    monkeypatch.setattr("streamproc.stores._growing._BEHIND_MAX", 50)
    proc, changes = growing()
    async with SqliteStore(path, keep_changes=0) as store:
        await store.cursor("a", required=True)
        await store.append(changes)
        await store.append(proc.feed(sse(more("y"))))
        behind = state_size(path)
        for number in range(5):
            await store.append(ordinary_changes(f"other_{number}"))
            store.acknowledge("a", store.head)
        assert store.statistics()["journal_changes"] < 2 * len(ordinary_changes("x"))
        assert behind < state_size(path)


# -- after a crash -----------------------------------------------------------------------------------------------------

CHILD = """
import asyncio, os, signal, sys
sys.path[:0] = {path}
from tests.unit.stores.test_sqlite import *
async def main():
    store = SqliteStore({db!r}, keep_changes=0)
    await store.__aenter__()
    {body}
    print("done", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""


def killed(path: Path, body: str) -> None:
    """Let another process use a store until it is killed."""
    code = CHILD.format(path=sys.path, db=str(path), body=body.replace("\n", "\n    "))
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.stdout.endswith("done\n"), result.stderr
    assert result.returncode == -signal.SIGKILL


def started(path: Path, body: str) -> "subprocess.Popen[str]":
    """Let another process use a store."""
    code = CHILD.format(path=sys.path, db=str(path), body=body)
    return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.asyncio
async def test_nothing_is_lost_with_the_process(path: Path) -> None:
    """A large state was behind; the next process finds it complete, and its reducer goes on."""
    killed(
        path,
        """proc, changes = growing()
await store.cursor("a", required=True)
await store.append(changes)
for _ in range(3):
    await store.append(proc.feed(sse(more("y"))))
await store.append(ordinary_changes("ended"))""",
    )
    proc, changes = growing()
    proc.feed(sse(*[more("y")] * 3))
    with capture_logs() as logs:
        async with SqliteStore(path) as store:
            count = store.head
            objects, later = await store.open_objects()
            assert await store.cursor("a", required=True) == 0
            batch = await everything(store)
    reducer = Reducer()
    reducer.restore(objects, later)
    restored = StreamProcessor(reducer=reducer, stream="s", epoch=2)

    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    assert count == len(changes) + 3 + len(ordinary_changes("ended")) == len(batch.changes)
    assert json_of(proc.reducer) == json_of(reducer)
    assert [log["objects"] for log in logs if log["event"] == "store.recovered"] == [1]
    for each in (proc, restored):
        each.feed(sse(more("z"), step_delta(call("", index=1, id="c2", name="g"), id="big")))
    assert json_of(proc.reducer) == json_of(reducer)


@pytest.mark.slow
@pytest.mark.asyncio
async def test_one_process_at_a_time(path: Path) -> None:
    """The second one is told so; once the first one is dead, the store is free."""
    with started(path, "print('open', flush=True); sys.stdin.readline()") as other:
        assert other.stdout is not None
        assert "open\n" in iter(other.stdout.readline, "")
        with pytest.raises(StoreError, match="open in another process; only one may use it"):
            await SqliteStore(path).__aenter__()
        other.kill()
    async with SqliteStore(path) as store:
        assert store.head == 0


# -- the guard ---------------------------------------------------------------------------------------------------------


def made(stream: str, epoch: int, revision: int, status: str, *, raw: bytes | None = None) -> Change:
    raw = raw if raw is not None else json.dumps({"id": "step_1", "status": status}).encode()
    note = Reducer().apply(step("completed"))[0].note if status in ("completed", "failed") else NO_NOTE
    body = Body("step", "step_1", "run_1", None, raw)
    return Change(Origin(stream, epoch), revision, f"thread.run.step.{status}", body, revision, None, raw, note)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("first", "second", "wins"),
    [
        (made("s", 1, 2, "queued"), made("s", 1, 3, "in_progress"), True),
        (made("s", 1, 2, "queued"), made("s", 1, 2, "in_progress"), False),
        (made("s", 1, 2, "queued"), made("s", 1, 1, "in_progress"), False),
        (made("s", 1, 9, "queued"), made("s", 2, 1, "in_progress"), True),
        (made("s", 2, 1, "queued"), made("s", 1, 9, "in_progress"), False),
        (made("s", 2, 1, "queued"), made("s", 1, 9, "completed"), False),
        (made("s", 7, 2, "queued"), made("t", 1, 3, "in_progress"), True),
        (made("s", 1, 3, "queued"), made("t", 7, 2, "in_progress"), False),
        (made("s", 1, 3, "queued"), made("t", 1, 1, "completed"), True),
        (made("s", 1, 2, "completed"), made("s", 1, 3, "in_progress"), False),
        (made("s", 1, 2, "completed"), made("s", 2, 3, "in_progress"), False),
        (made("s", 1, 2, "completed"), made("s", 1, 3, "failed"), False),
        (made("s", 1, 2, "completed"), made("s", 1, 3, "completed"), True),
        (made("s", 1, 2, "completed"), made("s", 1, 3, "completed", raw=b'{"id":"step_1"}'), True),
    ],
)
async def test_state_moves_forwards_only(path: Path, first: Change, second: Change, wins: bool) -> None:
    """Of one stream by epoch and revision, of two by revision; and never from an end."""
    for change in (first, second):
        async with SqliteStore(path) as store:  # a process each
            await store.append([change])

    kept = second if wins else first
    status = "completed" if kept.note.ended else kept.event.rpartition(".")[2]
    assert rows(path, "SELECT stream, epoch, revision, status FROM steps") == [
        (kept.stream, kept.epoch, kept.revision, status)
    ]


@pytest.mark.asyncio
async def test_growth_of_an_old_epoch_changes_nothing(path: Path) -> None:
    """Deltas are written by another statement, which is guarded alike."""

    def feed(epoch: int, *texts: str) -> list[Change]:
        proc = StreamProcessor(stream="s", epoch=epoch)
        return proc.feed(sse(run(), step(), step_delta(call("", index=0, id="c", name="f")), *map(arguments, texts)))

    async with SqliteStore(path) as store:
        await store.append(feed(2, "new"))
        await store.append(feed(1, "a", "b", "c")[-3:])
        await store.append(feed(2, "new", "er")[-1:])

    ((state, epoch),) = rows(path, "SELECT state, epoch FROM steps")
    assert "newer" in state
    assert epoch == 2


# -- retention ---------------------------------------------------------------------------------------------------------


async def settle(store: SqliteStore, count: int = 12) -> None:
    """Append some batches, settled by the sink "a" at once."""
    for number in range(count):
        await store.append(ordinary_changes(f"s{number}"))
        store.acknowledge("a", store.head)
    await store.append(ordinary_changes("last"))


@pytest.mark.asyncio
async def test_what_every_required_sink_has_is_forgotten(path: Path) -> None:
    """A sink that is not asked for, or is best-effort, holds nothing back; its gap is counted."""
    size = len(ordinary_changes("s"))
    async with SqliteStore(path, keep_changes=0) as store:
        await store.cursor("old", required=True)
        await store.cursor("lax", required=False)
    async with SqliteStore(path, keep_changes=0) as store:
        await store.append(ordinary_changes("first"))
        assert store.statistics()["journal_changes"] == size
        await store.cursor("a", required=True)
        assert await store.cursor("lax", required=False) == 0
        store.acknowledge("a", store.head)
        await settle(store)
        kept = store.statistics()
        missed = store.head - kept["journal_changes"]
        batch = await everything(store)

    assert kept["journal_changes"] <= 3 * size
    assert kept["journal_batches"] == rows(path, "SELECT count(*) FROM journal")[0][0]
    assert kept["journal_bytes"] == rows(path, "SELECT sum(length(blob)) FROM journal")[0][0]
    assert (batch.missing, batch.first) == (missed, missed + 1)
    gaps = dict(rows(path, "SELECT sink, gap FROM cursors"))
    assert gaps == {"a": 0, "lax": missed, "old": missed}


@pytest.mark.asyncio
async def test_newest_changes_are_kept_for_those_who_look(path: Path) -> None:
    async with SqliteStore(path, keep_changes=300) as store:
        await store.cursor("a", required=True)
        await settle(store)
        kept = store.statistics()["journal_changes"]

    assert 300 <= kept < 300 + 2 * len(ordinary_changes("s"))


@pytest.mark.asyncio
async def test_without_sinks_only_the_newest_changes_are_kept(path: Path) -> None:
    """Nobody asks for any; what is there from before stays until the first change, which comes after the asking."""
    async with SqliteStore(path, keep_changes=300) as store:
        for number in range(30):
            await store.append(ordinary_changes(f"s{number}"))
        kept = store.statistics()["journal_changes"]
    async with SqliteStore(path, keep_changes=0) as store:
        found = store.statistics()["journal_changes"]
        await store.next_epoch("s")
        untouched = store.statistics()["journal_changes"]

    assert 300 <= kept < 300 + 2 * len(ordinary_changes("s"))
    assert untouched == found >= 300


@pytest.mark.asyncio
async def test_slow_required_sink_keeps_all(path: Path) -> None:
    async with SqliteStore(path, keep_changes=0) as store:
        assert await store.cursor("slow", required=True) == 0
        await store.cursor("a", required=True)
        await settle(store)
        batch = await everything(store)

    assert (batch.first, batch.missing, batch.last) == (1, 0, store.head)


@pytest.mark.asyncio
async def test_only_so_much_is_forgotten_at_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One commit never waits for a long deletion; the next ones go on with it."""
    monkeypatch.setattr("streamproc.stores._writer._ROWS_PER_COMMIT", 2)
    async with SqliteStore(path, keep_changes=0) as store:
        await store.cursor("a", required=True)
        for number in range(20):
            await store.append(ordinary_changes(f"s{number}", 1))
        store.acknowledge("a", store.head)
        counts = []
        for number in range(8):
            await store.append(ordinary_changes(f"t{number}", 1))
            store.acknowledge("a", store.head)
            counts.append(store.statistics()["journal_batches"])

    assert counts[:2] == [20 + 1 - 4, 17 + 1 - 4]
    assert counts[-1] <= 4


@pytest.mark.asyncio
async def test_full_journal_pauses_intake_until_a_sink_has_caught_up(path: Path) -> None:
    async with SqliteStore(path, max_bytes=2000) as store:
        await store.cursor("a", required=True)
        appended: list[int] = []

        async def append() -> None:
            for number in range(20):
                await store.append(ordinary_changes(f"s{number}"))
                appended.append(number)

        with capture_logs() as logs:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(append)
                while not store.statistics()["is_full"]:
                    await anyio.lowlevel.checkpoint()
                count = len(appended)
                assert await store.next_epoch("other") == 1  # this needs no room
                assert count == len(appended) < 20
                while len(appended) < 20:
                    store.acknowledge("a", store.head)
                    await anyio.lowlevel.checkpoint()

    events = [log["event"] for log in logs]
    assert events.count("store.full") == events.count("store.resumed") > 0
    assert "check" not in str(logs)


@pytest.mark.asyncio
async def test_full_journal_waits_no_longer_for_a_sink_that_is_not_required(path: Path) -> None:
    """One that was, until its far side wanted no more."""
    async with SqliteStore(path, max_bytes=2000) as store:
        await store.cursor("a", required=True)
        appended, count = list[int](), 20

        async def append() -> None:
            for number in range(20):
                await store.append(ordinary_changes(f"s{number}"))
                appended.append(number)

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(append)
                while not store.statistics()["is_full"]:
                    await anyio.lowlevel.checkpoint()
                count = len(appended)
                await store.cursor("a", required=False)

    assert count < len(appended) == 20


@pytest.mark.asyncio
async def test_full_journal_needs_no_sink(path: Path) -> None:
    """When no sink was asked for, the oldest changes make room; large states are written so that they can."""
    proc, changes = growing()
    async with SqliteStore(path, max_bytes=100) as store:
        await store.append(changes)
        for _ in range(10):
            await store.append(proc.feed(sse(more("y"))))
        assert store.statistics()["journal_changes"] < 5

    assert state_size(path) == len(to_wire(proc.steps["big"]))


@pytest.mark.asyncio
async def test_what_waits_for_room_is_refused_on_leaving(path: Path) -> None:
    outcome: list[str] = []

    async def append() -> None:
        try:
            await store.append(ordinary_changes("t"))
        except StoreError as error:
            outcome.append(str(error))

    async with anyio.create_task_group() as tasks, SqliteStore(path, max_bytes=1) as store:
        await store.cursor("a", required=True)
        await store.append(ordinary_changes("s"))
        tasks.start_soon(append)
        while not store.statistics()["is_full"]:
            await anyio.lowlevel.checkpoint()

    assert [f"store {path} was closed while its journal was full"] == outcome


# -- cursors and dead letters ------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_cursor_becomes_durable_without_further_work(path: Path) -> None:
    async with SqliteStore(path) as store:
        await store.append(ordinary_changes("s"))
        await store.cursor("a", required=True)
        store.acknowledge("a", 5)
        store.acknowledge("b", 3)
        with anyio.fail_after(PATIENCE_S):
            while rows(path, "SELECT sink, position, required FROM cursors") != [("a", 47, 1), ("b", 3, 0)]:
                await anyio.lowlevel.checkpoint()
        assert await store.cursor("b", required=True) == 3


@pytest.mark.asyncio
async def test_dead_letters_keep_payload_reason_and_attempts(path: Path) -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    changes = [ordinary_changes("s")[3], *odd_changes("t")[-6:]]
    letters = [DeadLetter(sink="a", change=change, reason="no", attempts=3, at=at) for change in changes]
    async with SqliteStore(path) as store:
        await store.bury([], 9)
        await store.bury(letters, 9)
        assert store.statistics()["dead_letters"] == len(letters)
        assert await store.cursor("a", required=True) == 9

    found = rows(path, "SELECT sink, reason, attempts, at, object_id, seq, payload FROM dead_letters")
    stamp = "2026-01-02T03:04:05.000+00:00"
    assert [("a", "no", 3, stamp, c.id, c.seq, c.raw) for c in changes] == found


# -- when it cannot ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "fault"),
    [
        ({"synchronous": "off"}, "synchronous is 'off'"),
        ({"max_bytes": 0}, "max_bytes is 0"),
        ({"keep_changes": -1}, "keep_changes is -1"),
        ({"busy_timeout_s": -1}, "busy_timeout_s is -1"),
    ],
)
def test_setting_that_cannot_work_is_refused(settings: dict[str, Any], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        SqliteStore("x", **settings)


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamproc.stores.sqlite.find_spec", lambda name: None)

    with pytest.raises(ConfigError, match=r"streamproc\[store\]"):
        SqliteStore("x")


@pytest.mark.asyncio
async def test_store_that_is_not_open_says_so(path: Path) -> None:
    store = SqliteStore(path)
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: store.append(ordinary_changes("s")),
        lambda: everything(store),
        lambda: store.cursor("a", required=True),
        lambda: store.next_epoch("s"),
        store.open_objects,
    ]
    for step_ in ("before", "after"):
        for call_ in calls:
            with pytest.raises(StoreError, match="is not open"):
                await call_()
        with pytest.raises(StoreError, match="is not open"):
            store.acknowledge("a", 1)
        if step_ == "before":
            async with store:
                pass


def contents(path: Path) -> bytes:
    return path.read_bytes()


def empty(path: Path) -> None:
    path.touch()


def foreign(path: Path) -> None:
    execute(path, "CREATE TABLE t (x)")


def foreign_mark(path: Path) -> None:
    execute(path, "PRAGMA application_id = 7")


def foreign_version(path: Path) -> None:
    execute(path, "PRAGMA user_version = 7")


def text(path: Path) -> None:
    path.write_text("once upon a time " * 100)


def newer(path: Path) -> None:
    execute(path, "CREATE TABLE t (x)")
    execute(path, f"PRAGMA application_id = {0x53545250}")
    execute(path, "PRAGMA user_version = 2")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (foreign, "another program's database; nothing was changed"),
        (foreign_mark, "another program's database; nothing was changed"),
        (foreign_version, "another program's database; nothing was changed"),
        (text, "the file is no SQLite database"),
        (newer, "has schema version 2, this streamproc knows up to 1; nothing was changed"),
    ],
)
async def test_file_that_is_none_of_ours_is_not_touched(path: Path, make: Any, fault: str) -> None:
    make(path)
    before = contents(path)

    with pytest.raises(StoreError, match=fault):
        await SqliteStore(path).__aenter__()
    assert contents(path) == before
    assert {path.name, f"{path.name}.lock"} >= {item.name for item in path.parent.iterdir()}


@pytest.mark.asyncio
@pytest.mark.parametrize("place", ["missing/runs.db", "file/runs.db", "folder"])
async def test_place_where_no_file_can_be_says_so(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()

    with pytest.raises(StoreError, match="cannot be opened"):
        await SqliteStore(tmp_path / place).__aenter__()


@pytest.mark.asyncio
async def test_empty_file_becomes_a_store(path: Path) -> None:
    empty(path)
    async with SqliteStore(path) as store:
        assert await store.append(ordinary_changes("s")) > 0


@pytest.mark.asyncio
async def test_locked_database_fails_one_append_and_takes_the_next(path: Path) -> None:
    changes = ordinary_changes("s")
    async with SqliteStore(path, busy_timeout_s=0.01) as store:
        await store.append(changes[:10])
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with capture_logs() as logs, pytest.raises(StoreError, match="another program has it locked"):
                await store.append(changes[10:])
            other.execute("ROLLBACK")
        assert store.head == 10
        await store.append(changes[10:])
        batch = await everything(store)

    assert [change.seq for change in changes] == [change.seq for change in batch.changes]
    assert [log["event"] for log in logs] == ["store.commit_failed"]


INTERRUPTED = """
import asyncio, os, signal, sys
from anyio import CancelScope, sleep
from streamproc.stores.sqlite import SqliteStore
async def main():
    loop = asyncio.get_running_loop()
    async with SqliteStore(sys.argv[1]):
        loop.call_later(0.1, os.kill, os.getpid(), signal.SIGINT)
        try:
            await sleep(60)
        finally:
            loop.call_later(0.1, os.kill, os.getpid(), signal.SIGINT)
            with CancelScope(shield=True):
                await sleep(60)
asyncio.run(main())
"""


@pytest.mark.slow
def test_second_ctrl_c_ends_the_process(path: Path) -> None:
    """asyncio cancels every task then, the store's too; leaving the store does not wait for what was cancelled."""
    result = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(path)], capture_output=True, text=True, check=False, timeout=20
    )

    assert result.stderr.endswith("KeyboardInterrupt\n")
    assert "store.closed" in result.stdout


FULL = """
import resource
await store.cursor("a", required=True)
changes = ordinary_changes("s", 300)
await store.append(changes)
limit = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, limit[1]))
big = odd_changes("t")
for _ in range(2):
    try:
        await store.append(big)
    except StoreError as error:
        assert "cannot be written: the disk" in str(error), error
    else:
        raise AssertionError
assert store.head == len(changes)
resource.setrlimit(resource.RLIMIT_FSIZE, limit)
assert await store.append(big) == len(changes) + len(big)
batch = await everything(store)
assert [c.seq for c in batch.changes] == [c.seq for c in [*changes, *big]]
"""


@pytest.mark.slow
def test_full_disk_fails_appends_until_there_is_room(path: Path) -> None:
    killed(path, FULL)

    assert rows(path, "PRAGMA integrity_check") == [("ok",)]


@pytest.mark.asyncio
async def test_state_that_is_no_json_is_refused_alone(path: Path) -> None:
    """Made by hand; others are stored as before."""
    reducer = Reducer()
    (good,) = reducer.apply(step())
    bad = next(change for change in Reducer().apply(words("x")) if change.kind == "message")
    tree = bad.body.tree
    assert tree is not None
    tree.members["x"] = "\ud800"
    async with SqliteStore(path) as store:
        with pytest.raises(StoreError, match="no JSON can be made of its object"):
            await store.append([bad])
        assert await store.append([good]) == 1


@pytest.mark.asyncio
async def test_last_epoch_is_the_largest_integer(path: Path) -> None:
    async with SqliteStore(path) as store:
        await store.append([made("s", 2**63 - 2, 2**63 - 1, "queued")])
        assert await store.next_epoch("s") == 2**63 - 1
        with pytest.raises(StoreError, match="no further epoch"):
            await store.next_epoch("s")
        (change,) = (await everything(store)).changes

    assert (change.epoch, change.seq, change.revision) == (2**63 - 2, 2**63 - 1, 2**63 - 1)


# -- damage ------------------------------------------------------------------------------------------------------------


async def damaged(path: Path, statement: str, *values: object) -> str:
    """What a reader of the whole journal is told after some damage; "" when nothing was found."""
    execute(path, statement, *values)
    async with SqliteStore(path) as store:
        try:
            await everything(store)
        except StoreError as error:
            return str(error)
    return ""


@pytest.fixture
def journal(path: Path) -> Path:
    """A store with three rows in its journal."""

    async def fill() -> None:
        async with SqliteStore(path) as store:
            for number in range(3):
                await store.append(ordinary_changes(f"s{number}", 2))

    anyio.run(fill)
    return path


@pytest.mark.parametrize("column", ["first", "last", "crc"])
@pytest.mark.parametrize("bit", [0, 1, 5, 31, 62])
def test_flipped_bit_in_a_column_is_found(journal: Path, column: str, bit: int) -> None:
    flipped = f"({column} | {1 << bit}) - ({column} & {1 << bit})"
    statement = f"UPDATE journal SET {column} = {flipped} WHERE first = (SELECT first FROM journal LIMIT 1 OFFSET 1)"

    assert "journal is damaged at position" in anyio.run(damaged, journal, statement)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM journal WHERE first = 1",
        "DELETE FROM journal WHERE first = (SELECT max(first) FROM journal)",
        "UPDATE journal SET blob = substr(blob, 1, 9) WHERE first = 1",
        "UPDATE journal SET blob = (SELECT blob FROM journal WHERE first > 1) WHERE first = 1",
        "UPDATE extent SET last = last + 1",
    ],
)
def test_journal_that_lacks_something_is_damaged(journal: Path, statement: str) -> None:
    assert "journal is damaged at position" in anyio.run(damaged, journal, statement)


def test_sound_journal_is_not_damaged(journal: Path) -> None:
    assert anyio.run(damaged, journal, "UPDATE extent SET last = last") == ""


@pytest.mark.asyncio
async def test_damage_is_found_where_it_is(path: Path) -> None:
    """What is before it can be read."""
    async with SqliteStore(path) as store:
        for number in range(3):
            await store.append(ordinary_changes(f"s{number}", 2))
        execute(path, "UPDATE journal SET crc = crc + 1 WHERE first > 1")
        size = store.head // 3
        assert len((await store.read(0, count_max=size, size_max=ALL)).changes) == size
        with pytest.raises(StoreError, match=f"position {size + 1}: its check sum differs"):
            await store.read(size, count_max=1, size_max=ALL)


@pytest.mark.asyncio
async def test_cursor_that_could_not_be_written_is_written_later(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for it, so it is tried again by itself, after a while, also when others come meanwhile."""
    monkeypatch.setattr("streamproc.stores.sqlite._RETRY_S", 0.01)
    with capture_logs() as logs:
        async with SqliteStore(path, busy_timeout_s=0.0) as store:
            with closing(sqlite3.connect(path, isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                store.acknowledge("a", 5)
                with anyio.fail_after(PATIENCE_S):
                    while len(logs) < 3:
                        await anyio.lowlevel.checkpoint()
                        store.acknowledge("b", len(logs))
                other.execute("ROLLBACK")
            with anyio.fail_after(PATIENCE_S):
                while ("a", 5) not in rows(path, "SELECT sink, position FROM cursors"):
                    await anyio.lowlevel.checkpoint()

    assert {log["event"] for log in logs} == {"store.opened", "store.commit_failed", "store.closed"}


def test_database_that_breaks_while_it_is_opened_is_closed(path: Path) -> None:
    """An empty one, but for a mark that says that it is ours."""
    execute(path, f"PRAGMA application_id = {0x53545250}")
    execute(path, "PRAGMA user_version = 1")

    with pytest.raises(StoreError, match="cannot be opened: no such table"):
        anyio.run(SqliteStore(path).__aenter__)
    anyio.run(free_again, path)


async def free_again(path: Path) -> None:
    with pytest.raises(StoreError, match="no such table"):  # and not: open in another process
        await SqliteStore(path).__aenter__()
