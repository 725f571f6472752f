"""The worker as a process: started from the printed config, fed, looked into, told to end."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, Self

import pytest

from tests.faults.kill.work import run_bytes, run_states
from tests.streams import arguments, call, run, sse, step
from tests.unit.distribution import install
from tests.worker.process import ROOT, WorkerProcess, environment

STREAM: Final = run_bytes(3, "amber", 0)
STATES: Final = run_states(3, "amber", 0)
OPEN: Final = sse(run("created"), step("created", "step_1", call("", index=0, id="call_1", name="look_up")))

INGEST: Final = '[ingest]\nport = 0\ntokens = ["t0ken-of-the-test"]\n'
ADMIN: Final = "[admin]\nport = 0\n"
STORE: Final = '[store]\npath = "runs.db"\n'
JSONL: Final = '[[sinks]]\nkind = "jsonl"\npath = "steps.jsonl"\n'
LIMITS: Final = "[limits]\ndrain_s = 1\n"
TOKEN: Final = {"Authorization": "Bearer t0ken-of-the-test"}

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a config into an empty folder."""

    def write(text: str) -> Path:
        path = tmp_path / "worker.toml"
        path.write_text(text + '[log]\nformat = "json"\n', encoding="utf-8")
        return path

    return write


@pytest.fixture
def printed(tmp_path: Path) -> Path:
    """The config that `streamproc init` prints, with ports of the system's choice."""
    path = tmp_path / "streamproc.toml"
    command = [sys.executable, "-m", "streamproc.cli", "init", path.name]
    subprocess.run(command, cwd=tmp_path, env=environment(), check=True)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("port = 8700", "port = 0").replace("port = 8702", "port = 0"), encoding="utf-8")
    return path


def rows(path: Path, table: str) -> dict[str, tuple[str, str | None, int]]:
    """Id -> status, inferred status, truncated."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as store:
        query = f"SELECT id, status, inferred_status, truncated FROM {table}"
        return {id: (status, inferred, truncated) for id, status, inferred, truncated in store.execute(query)}


class Upload:
    """A stream whose client sends what it is told to, piece by piece."""

    def __init__(self, worker: WorkerProcess, name: str) -> None:
        host, _, port = worker.addresses["ingest"].removeprefix("http://").partition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=10)
        lines = [f"Authorization: {TOKEN['Authorization']}", "Content-Type: text/event-stream"]
        fields = "\r\n".join([*lines, "Transfer-Encoding: chunked"])
        self._socket.sendall(f"POST /v1/streams/{name} HTTP/1.1\r\nHost: worker\r\n{fields}\r\n\r\n".encode())

    def send(self, data: bytes) -> None:
        self._socket.sendall(b"%x\r\n%b\r\n" % (len(data), data))

    def answer(self) -> bytes:
        """All that comes until the connection is closed."""
        return b"".join(iter(lambda: self._socket.recv(65536), b""))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()


def eventually(is_so: Callable[[], bool]) -> None:
    """Wait for another process."""
    deadline = time.monotonic() + 10
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# --- a day's work -----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_printed_config_runs_as_it_is(printed: Path) -> None:
    """A stream goes in; its steps are in the store, in the sink, and in what the ports show; SIGTERM is exit 0."""
    with WorkerProcess(printed) as worker:
        summary = worker.send("my-run", STREAM)
        ready, _ = worker.ask("GET", "admin", "/readyz")
        _, metrics = worker.ask("GET", "admin", "/metrics")
        _, steps = worker.ask("GET", "admin", f"/v1/runs/{summary['runs'][0]['id']}/steps")
        shown = subprocess.run(
            [sys.executable, "-m", "streamproc.cli", "steps", "streamproc.db", "--output", "json"],
            cwd=printed.parent,
            env=environment(),
            capture_output=True,
            check=True,
        )
        code = worker.stop()

    assert code == 0
    assert summary["state"] == "ended"
    assert (summary["truncated"], summary["offset"]) == (False, len(STREAM))
    assert ready.status == 200
    assert b'streamproc_ingest_ended_streams_total{dialect="auto",outcome="complete"} 1.0' in metrics
    wanted = {id for id, state in STATES.items() if state["object"] == "thread.run.step"}
    assert {step["id"] for step in json.loads(steps)["data"]} == wanted
    assert {json.loads(line)["id"] for line in shown.stdout.splitlines()} == wanted
    lines = (printed.parent / "steps.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(line)["id"] for line in lines} == set(STATES)
    assert worker.events()[-1] == {**worker.events()[-1], "event": "worker.stopped", "left": 0, "lost": 0}


@pytest.mark.slow
def test_a_copy_that_was_made_meanwhile_is_a_store(write: Write) -> None:
    """As docs/deploy.md tells to back one up; a worker begins with it where it was made."""
    config = write(INGEST + STORE)
    copy = config.parent / "copy.db"
    with WorkerProcess(config) as worker:
        worker.send("first", STREAM, TOKEN)
        source = sqlite3.connect(f"{(config.parent / 'runs.db').as_uri()}?mode=ro", uri=True)
        with closing(source), closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        worker.send("second", OPEN, TOKEN)
        worker.stop()
    config.write_text(config.read_text(encoding="utf-8").replace("runs.db", copy.name), encoding="utf-8")
    with WorkerProcess(config) as worker:
        summary = worker.send("second", OPEN, TOKEN)
        assert worker.stop() == 0

    assert summary["epoch"] == 1
    assert set(rows(copy, "runs")) == {"run_amber_0", "run_1"}


@pytest.mark.slow
def test_a_worker_of_sources_ends_with_them(write: Write) -> None:
    """Each is followed in its turn; one that was cut is told by the exit code, and ends none of the others."""
    config = write(
        '[[sources]]\nkind = "file"\npath = "whole.sse"\n[[sources]]\nkind = "file"\npath = "cut.sse"\n' + JSONL + STORE
    )
    (config.parent / "whole.sse").write_bytes(STREAM)
    (config.parent / "cut.sse").write_bytes(OPEN)
    with WorkerProcess(config) as worker:
        code = worker.child.wait(30)

    ended = {entry["source"]: entry for entry in worker.events() if entry["event"] == "source.ended"}
    assert code == 1
    assert {name: entry["truncated"] for name, entry in ended.items()} == {"whole.sse": False, "cut.sse": True}
    assert ended["whole.sse"]["status"] == "completed"
    assert worker.events()[-1]["failed_sources"] == 1
    assert set(rows(config.parent / "runs.db", "runs")) == {"run_amber_0", "run_1"}


@pytest.mark.slow
def test_a_source_whose_run_is_well_is_exit_0(write: Write) -> None:
    config = write('[[sources]]\nkind = "file"\npath = "whole.sse"\n' + STORE)
    (config.parent / "whole.sse").write_bytes(STREAM)
    with WorkerProcess(config) as worker:
        assert worker.child.wait(30) == 0


@pytest.mark.slow
def test_a_silent_run_is_given_up(write: Write) -> None:
    """Its inferred status is in the store while its stream is still open; its own status stays."""
    config = write(INGEST + STORE + "[limits]\nidle_timeout_s = 0.2\ndrain_s = 0.5\n")
    with WorkerProcess(config) as worker, Upload(worker, "silent") as upload:
        upload.send(OPEN)
        eventually(lambda: rows_if_any(config.parent / "runs.db").get("run_1", ("", None, 0))[1] is not None)
        code = worker.stop()

    assert code == 0
    assert rows(config.parent / "runs.db", "runs") == {"run_1": ("queued", "expired", 1)}
    assert worker.count("run.fell_silent") == 1


def rows_if_any(path: Path) -> dict[str, tuple[str, str | None, int]]:
    try:
        return rows(path, "runs")
    except sqlite3.OperationalError:  # no table yet
        return {}


# --- told to end ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_streams_under_way_may_end(write: Write) -> None:
    """After SIGTERM nobody is let in, readiness says so, and who is at it gets an answer about the whole stream."""
    config = write(INGEST + ADMIN + STORE + "[limits]\ndrain_s = 20\n")
    with WorkerProcess(config) as worker, Upload(worker, "late") as upload:
        upload.send(STREAM[:500])
        eventually(lambda: b'"offset":500' in worker.ask("GET", "ingest", "/v1/streams/late", headers=TOKEN)[1])
        worker.tell()
        worker.await_event("worker.stopping")
        with pytest.raises(ConnectionError):
            worker.send("another", STREAM, TOKEN)
        ready, why = worker.ask("GET", "admin", "/readyz")
        upload.send(STREAM[500:])
        upload.send(b"")
        answer = upload.answer()
        code = worker.child.wait(15)

    assert code == 0
    assert (ready.status, json.loads(why)["reasons"]) == (503, ["the worker is stopping"])
    assert answer.startswith(b"HTTP/1.1 200")
    assert b'"truncated":false' in answer
    assert rows(config.parent / "runs.db", "runs")["run_amber_0"] == ("completed", None, 0)


@pytest.mark.slow
def test_streams_that_do_not_end_are_stopped_at_the_deadline(write: Write) -> None:
    """Their client is told where they were, the run stays open in the store, and the exit code is 0."""
    config = write(INGEST + STORE + JSONL + LIMITS)
    with WorkerProcess(config) as worker, Upload(worker, "endless") as upload:
        upload.send(OPEN)
        eventually(lambda: bool(rows_if_any(config.parent / "runs.db")))
        since_s = time.monotonic()
        code = worker.stop()
        took_s = time.monotonic() - since_s
        answer = upload.answer()

    assert code == 0
    assert 0.5 <= took_s < 5
    assert answer.startswith(b"HTTP/1.1 503")
    assert f"Stream-Offset: {len(OPEN)}".encode() in answer
    assert rows(config.parent / "runs.db", "runs") == {"run_1": ("queued", None, 1)}


@pytest.mark.slow
def test_a_run_that_was_open_goes_on_in_the_next_life(write: Write) -> None:
    """Killed in the middle of a tool call; the client sends its stream again, and the step is whole."""
    config = write(INGEST + STORE + JSONL + LIMITS)
    stream = OPEN + sse(arguments('{"a":'))
    with WorkerProcess(config) as worker, Upload(worker, "mine") as upload:
        upload.send(stream)
        eventually(lambda: len(rows_if_any(config.parent / "runs.db")) == 1)
        assert worker.stop(signal.SIGKILL) == -signal.SIGKILL
    with WorkerProcess(config) as worker:
        known = worker.ask("GET", "ingest", "/v1/streams/mine", headers=TOKEN)[0].status
        summary = worker.send(
            "mine", stream + sse(arguments("1}"), step("completed", call=call('{"a":1}')), run("completed")), TOKEN
        )
        assert worker.stop() == 0

    assert known == 404
    assert (summary["epoch"], summary["runs"][0]["status"]) == (2, "completed")
    assert rows(config.parent / "runs.db", "steps")["step_1"] == ("completed", None, 0)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(write: Write, number: signal.Signals) -> None:
    """By the signal itself, as `kill -9` would; a shell says 143 or 130."""
    config = write(INGEST + STORE + "[limits]\ndrain_s = 60\n")
    with WorkerProcess(config) as worker, Upload(worker, "endless") as upload:
        upload.send(OPEN)
        worker.tell()
        worker.await_event("worker.stopping")
        since_s = time.monotonic()
        code = worker.stop(number)

    assert code == -number
    assert time.monotonic() - since_s < 1


AWAY: Final = """
from streamproc.errors import SinkUnavailable
from streamproc.plugins import PlugIn, SinkConfig

class AwayConfig(SinkConfig, tag="away", frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass

class Away:
    async def write(self, batch):
        raise SinkUnavailable("away")

PLUGIN = PlugIn(AwayConfig, lambda options: Away())
"""


@pytest.mark.slow
@pytest.mark.parametrize(("store", "code"), [("", 1), (STORE, 0)], ids=["without a store", "with one"])
def test_what_a_sink_did_not_get_until_the_deadline(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: str, code: int
) -> None:
    """Lost, counted and exit code 1 without a store; with one it is left there for the next start."""
    install(monkeypatch, tmp_path / "plugins", "away", {"sinks": {"away": "away:PLUGIN"}}, module=AWAY)
    config = write(INGEST + store + '[[sinks]]\nkind = "away"\n' + LIMITS)
    with WorkerProcess(config, PYTHONPATH=os.pathsep.join([str(ROOT), str(tmp_path / "plugins")])) as worker:
        changes = worker.send("lost", STREAM, TOKEN)["changes"]
        found = worker.stop()

    stopped = worker.events()[-1]
    assert found == code
    assert (stopped["left"], stopped["lost"]) == ((changes, 0) if store else (0, changes))


# --- what cannot run --------------------------------------------------------------------------------------------------


def refusal(config: Path) -> list[str]:
    """What it says about a config that it does not run."""
    with WorkerProcess(config, is_awaited=False) as worker:
        assert worker.child.wait(30) == 2
        return [line for line in worker.log().splitlines() if not line.startswith("{")]


@pytest.mark.slow
def test_each_mistake_of_a_config_is_told_on_a_line(write: Write) -> None:
    """The texts of `check`."""
    config = write("[ingest]\nprot = 1\n[limits]\ndrain_s = -1\n")
    command = [sys.executable, "-m", "streamproc.cli", "check", config.name]
    checked = subprocess.run(command, cwd=config.parent, env=environment(), capture_output=True, check=False, text=True)
    found = refusal(config)

    assert len(found) == 2
    assert found == checked.stderr.splitlines()


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening.getsockname()[1]


@pytest.mark.slow
@pytest.mark.parametrize("section", ["ingest", "admin", "proxy"])
def test_a_port_that_is_taken_is_told(write: Write, taken: int, section: str) -> None:
    """Whichever of the servers it is; what was opened before is closed again."""
    upstream = 'upstream = "http://127.0.0.1:1"\n'
    sections = {"ingest": "port = 0\n", "proxy": f"port = 0\n{upstream}", "admin": "port = 0\n"}
    sections[section] = sections[section].replace("port = 0", f"port = {taken}")
    found = refusal(write("".join(f"[{name}]\n{text}" for name, text in sections.items()) + STORE))

    assert len(found) == 1
    assert "cannot listen on 127.0.0.1" in found[0]
    assert "Address already in use" in found[0] or "address already in use" in found[0]


BROKEN: Final = """
from streamproc.plugins import PlugIn, SinkConfig

class BrokenConfig(SinkConfig, tag="broken", frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass

class Broken:
    async def __aenter__(self):
        raise ValueError("".join(["c4n", "4ry"]))

    async def __aexit__(self, *error):
        pass

    async def write(self, batch):
        pass

PLUGIN = PlugIn(BrokenConfig, lambda options: Broken())
"""


@pytest.mark.slow
def test_a_fault_of_a_plugin_ends_it_with_the_place(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And without the text, which may be anything."""
    install(monkeypatch, tmp_path / "plugins", "broken", {"sinks": {"broken": "broken:PLUGIN"}}, module=BROKEN)
    config = write(INGEST + '[[sinks]]\nkind = "broken"\n')
    path = os.pathsep.join([str(ROOT), str(tmp_path / "plugins")])
    with WorkerProcess(config, is_awaited=False, PYTHONPATH=path) as worker:
        code = worker.child.wait(30)

    failed = worker.events()[-1]
    assert (code, failed["event"], failed["level"]) == (1, "worker.failed", "critical")
    assert "broken.py" in failed["exception"]
    assert failed["exception"].endswith("ValueError")
    assert "c4n4ry" not in worker.log()


@pytest.mark.slow
def test_a_sink_that_cannot_be_entered_is_told_without_places(write: Write) -> None:
    """A database that is down is no fault of the program's."""
    config = write(INGEST + '[[sinks]]\nkind = "postgres"\ndsn = "postgresql://me:c4n4ry@127.0.0.1:1/app"\n')
    with WorkerProcess(config, is_awaited=False) as worker:
        code = worker.child.wait(30)

    failed = worker.events()[-1]
    assert (code, failed["event"]) == (1, "worker.failed")
    assert failed["cause"] == "no connection to PostgreSQL (connection refused)"
    assert "exception" not in failed
    assert "c4n4ry" not in worker.log()


@pytest.mark.slow
def test_a_store_that_another_worker_has_is_told(write: Write) -> None:
    config = write(INGEST + STORE)
    with WorkerProcess(config) as worker:
        found = refusal(config)
        assert worker.stop() == 0

    assert len(found) == 1
    assert "runs.db" in found[0]
