"""The commands about a store: `replay --store`, `steps`, `tail` and `dead-letters`, on real stores."""

import io
import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import pytest

from streamproc import Change, StreamProcessor, encode_change
from streamproc.cli import main
from streamproc.cli.bundled import bundled_paths, bundled_streams, merge
from streamproc.protocols import DeadLetter
from streamproc.stores.sqlite import SqliteStore
from tests.integration.signals import heed_interrupts
from tests.streams import arguments, call, done, event, run, sse, step, thread

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "streamproc.cli"]


class Result(NamedTuple):
    code: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


Cli = Callable[..., Result]


@pytest.fixture
def cli(capfdbinary: pytest.CaptureFixture[bytes]) -> Cli:
    """Runs a command in this process."""

    def call(*words: object) -> Result:
        capfdbinary.readouterr()  # what a test has logged before
        code = main([str(word) for word in words])
        captured = capfdbinary.readouterr()
        return Result(code, captured.out, captured.err.decode())

    return call


@pytest.fixture
def demo_db(tmp_path: Path) -> Path:
    """A store that has the built-in run."""
    path = tmp_path / "runs.db"
    with bundled_paths() as paths:
        assert main(["replay", *map(str, paths), "--store", str(path), "--output", "summary"]) == 0
    return path


def environment(**more: str) -> Mapping[str, str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, **more}


def start(*words: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*COMMAND, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
    )


def on_terminal(*words: object, typed: bytes = b"") -> tuple[int, str]:
    """Runs it on a pseudo-terminal; returns the exit code and what it showed."""
    leader, follower = pty.openpty()
    child = subprocess.Popen(
        [*COMMAND, *map(str, words)],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=environment(TERM="dumb"),
    )
    os.close(follower)
    os.write(leader, typed)
    shown = bytearray()
    while True:
        try:
            data = os.read(leader, 65536)
        except OSError:  # EIO: the child is gone
            break
        if not data:
            break
        shown += data
    os.close(leader)
    return child.wait(), shown.decode()


def states(path: Path) -> dict[str, tuple[Any, str]]:
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT id, state, status FROM steps UNION SELECT id, state, status FROM runs")
        found = {id: (json.loads(state), status) for id, state, status in rows}
    connection.close()
    return found


def value(path: Path, query: str) -> Any:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchone()[0]
    finally:
        connection.close()


# --- replay --store ---------------------------------------------------------------------------------------------------


def test_replay_prints_the_same_with_a_store(tmp_path: Path, cli: Cli) -> None:
    """Both streams of one run, whatever is asked for; `at` is known only where something is kept."""
    with bundled_paths() as paths:
        for output in ("steps", "messages", "runs"):
            plain = cli("replay", *paths, "--output", output)
            kept = cli("replay", *paths, "--output", output, "--store", tmp_path / f"{output}.db")
            assert (0, plain.out) == (kept.code, kept.out)
        plain = cli("replay", *paths, "--output", "changes")
        kept = cli("replay", *paths, "--output", "changes", "--store", tmp_path / "changes.db")

    assert [{**line, "at": None} for line in kept.lines] == plain.lines
    assert all(line["at"] for line in kept.lines)
    assert value(tmp_path / "changes.db", "SELECT last FROM extent") == len(plain.lines)


def test_replayed_twice_ends_in_the_same_states(demo_db: Path, cli: Cli) -> None:
    """A new epoch of each stream, more in the journal, the same rows; in one command or in two."""
    before = states(demo_db)
    with bundled_paths() as paths:
        again = cli("replay", *paths, *paths, "--store", demo_db)

    assert again.code == 0
    assert states(demo_db) == before
    assert value(demo_db, "SELECT group_concat(epoch) FROM streams") == "3,3"


def test_stream_goes_on_with_what_an_earlier_command_left_open(tmp_path: Path, cli: Cli) -> None:
    """The first stream today, the second one tomorrow: one run, and all of its steps are printed."""
    db = tmp_path / "runs.db"
    with bundled_paths() as (first, second):
        cli("replay", first, "--store", db)
        result = cli("replay", second, "--store", db)
        whole = cli("replay", first, second)

    assert result.code == 0
    assert result.out == whole.out


def test_open_runs_of_others_are_not_printed(tmp_path: Path, cli: Cli) -> None:
    """What the store has open is gone on with, not shown."""
    db, one, two = tmp_path / "runs.db", tmp_path / "one.sse", tmp_path / "two.sse"
    one.write_bytes(sse(run("created", "run_1"), step("created", "step_1")))
    two.write_bytes(sse(run("created", "run_2"), step("created", "step_2", run_id="run_2"), done()))
    cli("replay", one, "--store", db)
    result = cli("replay", two, "--store", db)

    assert [line["id"] for line in result.lines] == ["step_2"]


def test_changes_are_durable_before_they_are_printed(tmp_path: Path) -> None:
    """Of a live stream on standard input: whoever reads a line finds it in the store."""
    db = tmp_path / "runs.db"
    child = subprocess.Popen(
        [*COMMAND, "replay", "-o", "changes", "--store", str(db)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
    )
    assert child.stdin is not None
    assert child.stdout is not None
    with child.stdin, child.stdout:
        child.stdin.write(sse(run("created")))
        child.stdin.flush()
        line = json.loads(child.stdout.readline())
        kept = value(db, "SELECT last FROM extent")
        child.kill()
    child.wait()

    assert line["event"] == "thread.run.created"
    assert kept >= 1


@pytest.mark.slow
def test_interrupted_replay_keeps_what_came(tmp_path: Path, cli: Cli) -> None:
    """Exit code 130; the store is closed in order, and has the run as it stands: open."""
    db = tmp_path / "runs.db"
    child = subprocess.Popen(
        [*COMMAND, "replay", "-o", "changes", "--store", str(db)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        preexec_fn=heed_interrupts,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(sse(run("created"), step("created")))
    child.stdin.flush()
    for _ in range(2):  # both changes are out, and what is waited for is more input
        child.stdout.readline()
    child.send_signal(signal.SIGINT)
    _, err = child.communicate()
    (kept,) = cli("steps", db).lines

    assert child.returncode == 130
    assert err == b"streamproc: stdin: interrupted; what came before is merged\n"
    assert kept["status"] == "in_progress"
    assert "truncated" not in kept


def test_store_in_use_is_told_in_one_line(demo_db: Path, cli: Cli) -> None:
    """A second writer is refused, a reader is not."""

    async def while_open() -> tuple[int, int]:
        async with SqliteStore(demo_db):
            with bundled_paths() as paths:
                words = ["replay", str(paths[0]), "--store", str(demo_db)]
                code = await anyio.to_thread.run_sync(
                    lambda: subprocess.run([*COMMAND, *words], env=environment(), capture_output=True).returncode
                )
            return code, main(["steps", str(demo_db)])

    assert anyio.run(while_open) == (2, 0)


# --- steps ------------------------------------------------------------------------------------------------------------


def test_steps_are_complete_and_say_what_stands_beside_them(demo_db: Path, cli: Cli) -> None:
    """The wire JSON with unknown members, then stream, epoch and revision."""
    proc, _ = merge(bundled_streams())
    lines = cli("steps", demo_db).lines
    rows = cli("steps", demo_db, "--output", "json", "--limit", 1).lines

    assert [line["id"] for line in lines] == list(proc.steps)
    for line in lines:
        beside = [line.pop(name) for name in ("stream", "epoch", "revision")]
        assert beside[0].endswith(".sse")
        assert beside[1] == 1
        assert beside[2] > 1
        assert line == states(demo_db)[line["id"]][0]
    assert [row["id"] for row in rows] == [lines[-1]["id"]]


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--tool", "get_weather"], 1),
        (["--tool", "code_interpreter", "--status", "completed"], 1),
        (["--status", "failed"], 0),
        (["--run", "run_T4mZkQ8eJx1HsVw5BcNf7aGy"], 3),
        (["--thread", "thread_9uXhPq3LrC7vNd2JtWb6yKsE"], 3),
        (["--thread", "' OR 1 --"], 0),
        (["--since", "1767603605"], 2),
        (["--until", "2026-01-05T09:00:05Z"], 1),
        (["--since", "2026-01-05T09:00:02+00:00", "--until", "1767603606.5"], 2),
        (["--since", "1s"], 0),
    ],
)
def test_steps_that_are_asked_for(demo_db: Path, cli: Cli, options: list[str], count: int) -> None:
    """Each filter, and two of them."""
    result = cli("steps", demo_db, *options)

    assert (result.code, len(result.lines)) == (0, count)


def test_step_that_did_not_end_says_so(tmp_path: Path, cli: Cli) -> None:
    """What is inferred stands beside the status, in JSON and in the table, and can be asked for."""
    db, recording = tmp_path / "runs.db", tmp_path / "run.sse"
    recording.write_bytes(
        sse(
            run("created"),
            step("created", "step_1"),
            run("expired"),
            run("created", "run_2"),
            step("created", "step_2", run_id="run_2"),
        )
    )
    cli("replay", recording, "--store", db)
    first, second = cli("steps", db).lines
    shown = on_terminal("steps", db)

    assert (first["status"], first["inferred_status"]) == ("in_progress", "expired")
    assert (second["status"], second["truncated"]) == ("in_progress", True)
    assert [line["id"] for line in cli("steps", db, "--status", "expired").lines] == ["step_1"]
    assert "(run expired)" in shown[1]
    assert "(cut off)" in shown[1]


def test_people_see_a_table_for_each_run(demo_db: Path, cli: Cli, tmp_path: Path) -> None:
    """With what the steps did, and the run below; nothing in the data acts on the terminal."""
    recording = tmp_path / "other.sse"
    evil = call('{"a":"\\u001b[2J"}', name="evil\u202e")
    recording.write_bytes(sse(run("created", "run_9"), step("created", "step_9", evil, run_id="run_9")))
    cli("replay", recording, "--store", demo_db)
    code, shown = on_terminal("steps", demo_db)
    as_json = on_terminal("steps", demo_db, "--output", "json", "--run", "run_9")

    assert code == 0
    assert shown.count(" status ") == 2
    assert '"Bergen"' in shown
    assert "→ 12.9 °C" in shown
    assert "run run_T4mZkQ8eJx1HsVw5BcNf7aGy completed, 1667 tokens" in shown
    assert "run run_9 queued" in shown
    assert "\u202e" not in shown + as_json[1]
    assert json.loads(as_json[1])["id"] == "step_9"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["steps", "{folder}/none.db"], "No such file"),
        (["steps", "{folder}"], "cannot be opened"),
        (["steps", "\0"], "no file can have this name"),
        (["tail", "{folder}/none.db"], "No such file"),
        (["dead-letters", "{folder}/none.db"], "No such file"),
        (["steps", "{db}", "--run", "run_none"], "no run 'run_none'"),
        (["tail", "{db}", "--run", "run_none"], "no run 'run_none'"),
        (["steps", "{db}", "--since", "yesterday"], "expected a time such as"),
        (["steps", "{db}", "--until", "2h ago"], "expected a time such as"),
        (["steps", "{db}", "--limit", "0"], "expected 1 or more, got 0"),
        (["tail", "{db}", "--from", "1000"], "the newest change is 93"),
        (["tail", "{db}", "--from", "0"], "expected a position from 1 on, start or end"),
        (["tail", "{db}", "--until-idle", "-1"], "expected 0 or more seconds"),
        (["dead-letters", "{db}", "show", "7"], "no dead letter 7"),
        (["dead-letters", "{db}", "show"], "which ones?"),
        (["dead-letters", "{db}", "drop"], "which ones?"),
        (["dead-letters", "{db}", "drop", "1", "--all"], "not both"),
        (["dead-letters", "{db}", "drop", "--all", "--to", "x"], "for replay, not for drop"),
        (["dead-letters", "{db}", "list", "--yes"], "for drop, not for list"),
        (["replay", "{db}", "--store", "{folder}"], "cannot be opened"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    tmp_path: Path, demo_db: Path, cli: Cli, words: list[str], reason: str
) -> None:
    """Exit code 2, nothing on standard output, no traceback."""
    result = cli(*(word.format(folder=tmp_path, db=demo_db) for word in words))

    assert (result.code, result.out) == (2, b"")
    assert result.err.startswith("streamproc: ")
    assert result.err.count("\n") == 1
    assert reason in result.err


@pytest.mark.parametrize("command", ["steps", "tail", "dead-letters", "replay"])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("empty", "it is empty"),
        ("noise", "no SQLite database"),
        ("foreign", "another program's database"),
        ("newer", "schema version 99"),
    ],
)
def test_file_that_is_no_store_of_ours(tmp_path: Path, cli: Cli, command: str, kind: str, reason: str) -> None:
    """Each is refused and left as it is; `replay` makes a store of an empty file."""
    path, recording = tmp_path / "runs.db", tmp_path / "run.sse"
    recording.write_bytes(sse(run("created"), run("completed"), done()))
    if kind == "noise":
        path.write_bytes(bytes(range(256)) * 16)
    elif kind == "empty":
        path.touch()
    else:
        if kind == "newer":
            cli("replay", recording, "--store", path)
        connection = sqlite3.connect(path)
        connection.executescript("CREATE TABLE theirs (x); PRAGMA user_version = 99;")
        connection.close()
    before = path.read_bytes()
    result = cli(*(["replay", recording, "--store", path] if command == "replay" else [command, path]))

    if (command, kind) == ("replay", "empty"):
        assert result.code == 0
        return
    assert (result.code, result.out, result.err.count("\n")) == (2, b"", 1)
    assert reason in result.err
    assert path.read_bytes() == before


@pytest.mark.parametrize("command", ["replay", "steps", "tail", "dead-letters", "demo"])
def test_help_has_examples(cli: Cli, command: str) -> None:
    """Each of its own, on at most 80 columns."""
    result = cli(command, "--help")
    text = result.out.decode()

    assert result.code == 0
    assert f"Usage: streamproc {command}" in text
    assert f"  streamproc {command} " in text.partition("Examples:")[2]
    assert max(map(len, text.splitlines())) <= 80


# --- tail -------------------------------------------------------------------------------------------------------------


def test_tail_gives_the_journal_with_positions(demo_db: Path, cli: Cli) -> None:
    """From the start, from a position, and of one run; `--until-idle 0` ends at the end."""
    everything = cli("tail", demo_db, "--from", "start", "--until-idle", 0).lines
    some = cli("tail", demo_db, "--from", 92, "--until-idle", 0, "--run", "run_T4mZkQ8eJx1HsVw5BcNf7aGy").lines
    at_end = cli("tail", demo_db, "--from", 94, "--until-idle", 0)
    with bundled_paths() as paths:
        changes = cli("replay", *paths, "--output", "changes").lines

    assert [line["position"] for line in everything] == list(range(1, 94))
    assert [line.get("delta") for line in everything] == [line.get("delta") for line in changes]
    assert [line["position"] for line in some] == [92, 93]
    assert (at_end.code, at_end.out) == (0, b"")


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
def test_tail_follows_a_writer_until_it_is_asked_to_end(demo_db: Path, number: signal.Signals, code: int) -> None:
    """What another process writes meanwhile comes in whole lines, and nothing of before."""
    child = start("tail", demo_db, "--from", 93)
    assert child.stdout is not None
    first = json.loads(child.stdout.readline())
    with bundled_paths() as paths:
        subprocess.run(
            [*COMMAND, "replay", *paths, "--store", demo_db], env=environment(), check=True, capture_output=True
        )
    lines = [json.loads(child.stdout.readline()) for _ in range(93)]
    child.send_signal(number)
    rest, err = child.communicate()

    assert first["position"] == 93
    assert [line["position"] for line in lines] == list(range(94, 187))
    assert {line["epoch"] for line in lines} == {2}
    assert (child.returncode, rest, err) == (code, b"", b"")


def test_tail_counts_what_is_no_longer_kept(tmp_path: Path, cli: Cli) -> None:
    """The worker forgets what its sinks have; that is told, and the rest is printed."""
    db = tmp_path / "runs.db"

    async def write() -> None:
        async with SqliteStore(db, keep_changes=0) as store:
            proc = StreamProcessor()
            await store.cursor("sink", required=True)
            store.acknowledge("sink", await store.append(proc.feed(sse(run("created"), step("created")))))
            await store.append(proc.feed(sse(arguments('{"a"'))))

    anyio.run(write)
    given = cli("tail", db, "--from", 1, "--until-idle", 0)
    kept = [line["position"] for line in given.lines]

    assert given.code == 0
    assert kept == list(range(kept[0], 4))
    assert kept[0] > 1
    assert f"no longer kept and left out: {kept[0] - 1} changes before position {kept[0]}" in given.err


def test_tail_of_a_damaged_journal(demo_db: Path, cli: Cli) -> None:
    """What came before is printed; then exit code 1 and where it is."""
    connection = sqlite3.connect(demo_db)
    connection.execute("UPDATE journal SET crc = crc + 1 WHERE first = (SELECT max(first) FROM journal)")
    connection.commit()
    connection.close()
    result = cli("tail", demo_db, "--from", "start", "--until-idle", 0)

    assert result.code == 1
    assert "the journal is damaged at position" in result.err


@pytest.mark.slow
def test_tail_ends_when_its_store_is_replaced(demo_db: Path) -> None:
    """Following a file that nobody writes any more would be silence for ever."""
    child = start("tail", demo_db, "--from", 93)
    assert child.stdout is not None
    child.stdout.readline()
    demo_db.rename(demo_db.with_suffix(".old"))
    _, err = child.communicate(timeout=30)

    assert child.returncode == 1
    assert b"is gone, or another file now" in err


def test_people_see_a_short_line_for_each_change(demo_db: Path) -> None:
    """Position, time, object, event, and what was added or how it stands."""
    code, shown = on_terminal("tail", demo_db, "--from", "90", "--until-idle", "0")
    lines = [line.split() for line in shown.splitlines()]

    assert code == 0
    assert [line[0] for line in lines] == ["90", "91", "92", "93"]
    assert lines[0][3:] == ["message.delta", "."]
    assert lines[-1][3:] == ["run", "completed"]
    assert max(map(len, shown.splitlines())) < 80


# --- dead letters -----------------------------------------------------------------------------------------------------


@pytest.fixture
def letters_db(tmp_path: Path) -> Path:
    """A store with three dead letters: two of "webhook", one of "kafka"."""
    path = tmp_path / "letters.db"

    async def write() -> None:
        async with SqliteStore(path) as store:
            changes = StreamProcessor(stream="live").feed(
                sse(thread(), run("created"), step("created"), arguments('{"secret":"\u202e\x7f"}'))
            )
            position = await store.append(changes)
            await store.bury([letter("webhook", changes[0]), letter("webhook", changes[2])], position)
            await store.bury([letter("kafka", changes[1])], position)

    anyio.run(write)
    return path


def letter(sink: str, change: Change) -> DeadLetter:
    at = datetime(2026, 1, 31, 12, tzinfo=UTC)
    return DeadLetter(sink=sink, change=change, reason="HTTP 400 \x1b[31m", attempts=3, at=at)


def numbers(cli: Cli, path: Path) -> list[int]:
    return [line["number"] for line in cli("dead-letters", path).lines]


def test_dead_letters_are_listed_and_shown(letters_db: Path, cli: Cli) -> None:
    """The list has no content; `show` has the payload as it came."""
    listed = cli("dead-letters", letters_db)
    (shown,) = cli("dead-letters", letters_db, "show", 2).lines
    table = on_terminal("dead-letters", letters_db)[1]
    text = on_terminal("dead-letters", letters_db, "show", "2")[1]

    assert [(line["number"], line["sink"], line["attempts"]) for line in listed.lines] == [
        (1, "webhook", 3),
        (2, "webhook", 3),
        (3, "kafka", 3),
    ]
    assert b"secret" not in listed.out
    assert json.loads(shown["payload"])["delta"]["step_details"]
    assert shown["reason"] == "HTTP 400 \x1b[31m"
    assert "step.delta" in table
    assert "HTTP 400 [31m" in table
    assert "secret" in text
    assert not {"\x1b", "\u202e", "\x7f"} & set(table + text)


def test_replay_to_a_file_drops_what_is_durable_there(letters_db: Path, tmp_path: Path, cli: Cli) -> None:
    """Those of one sink, as the changes they were, behind what the file has; also older ones than its last line."""
    to = tmp_path / "again.jsonl"
    newer = StreamProcessor(stream="live", epoch=9).feed(sse(run("created")))
    to.write_bytes(encode_change(newer[0]) + b'\n{"torn')
    result = cli("dead-letters", letters_db, "replay", "--all", "--sink", "webhook", "--to", to)
    lines = to.read_bytes().splitlines()

    assert (result.code, result.out) == (0, b"")
    assert lines[1] == b'{"torn'
    assert [(one["event"], one["seq"]) for one in map(json.loads, lines[2:])] == [
        ("thread.run.created", 1),
        ("thread.run.step.delta", 3),
    ]
    assert numbers(cli, letters_db) == [3]
    assert "2 dead letters written" in result.err


@pytest.mark.parametrize("options", [["--keep", "--to"], []])
def test_replay_that_drops_nothing(letters_db: Path, tmp_path: Path, cli: Cli, options: list[str]) -> None:
    """As asked; and to standard output, since nobody knows where that ends."""
    to = tmp_path / "again.jsonl"
    result = cli("dead-letters", letters_db, "replay", 1, 3, *options, *([to] if options else []))
    written = to.read_bytes() if options else result.out

    assert result.code == 0
    assert [json.loads(line)["seq"] for line in written.splitlines()] == [1, 2]
    assert numbers(cli, letters_db) == [1, 2, 3]


@pytest.mark.parametrize("kind", ["store", "folder", "missing folder", "fifo", "text"])
def test_replay_to_what_cannot_take_it_drops_nothing(letters_db: Path, tmp_path: Path, cli: Cli, kind: str) -> None:
    """The store itself above all; what is there stays as it is."""
    to = {"store": letters_db, "folder": tmp_path, "missing folder": tmp_path / "no" / "x"}.get(kind, tmp_path / "x")
    if kind == "fifo":
        os.mkfifo(to)
    elif kind == "text":
        to.write_text("precious")
    before = to.read_bytes() if to.is_file() else b""
    result = cli("dead-letters", letters_db, "replay", "--all", "--to", to)

    assert (result.code, result.err.count("\n")) == (2, 1)
    assert (to.read_bytes() if to.is_file() else b"") == before
    assert numbers(cli, letters_db) == [1, 2, 3]


def test_drop(letters_db: Path, cli: Cli) -> None:
    """One that is not there stops all; the rest goes for good, while a worker has the store open too."""
    refused = cli("dead-letters", letters_db, "drop", 1, 4, "--yes")
    wrong_sink = cli("dead-letters", letters_db, "drop", 1, "--sink", "kafka", "--yes")

    async def while_open() -> int:
        async with SqliteStore(letters_db) as store:
            code = main(["dead-letters", str(letters_db), "drop", "1", "2", "--yes"])
            await store.append(StreamProcessor(stream="other").feed(sse(event("thread.new", {"id": "x"}))))
            return code

    assert (refused.code, wrong_sink.code) == (2, 2)
    assert anyio.run(while_open) == 0
    assert cli("dead-letters", letters_db, "drop", 3, "--yes").code == 0
    assert numbers(cli, letters_db) == []


def test_drop_asks(letters_db: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal; nowhere else can anybody answer."""
    asked = on_terminal("dead-letters", letters_db, "drop", "1", typed=b"n\n")
    told = on_terminal("dead-letters", letters_db, "drop", "2", typed=b"y\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    alone = cli("dead-letters", letters_db, "drop", "--all")

    assert "Drop 1 dead letter for good? [y/N]" in asked[1]
    assert (asked[0], told[0], alone.code) == (0, 0, 2)
    assert numbers(cli, letters_db) == [1, 3]
