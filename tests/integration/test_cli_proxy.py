"""`streamproc proxy` as a process: traffic passes, steps are in the store, and signals end it in order."""

import os
import re
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp
import anyio
import pytest
from anyio import to_thread

from streamproc.cli import main
from streamproc.testing import Response, ScriptedServer, slices
from streamproc.testing.server import Send, Wait
from tests.streams import arguments, call, done, run, sse, step

ROOT = Path(__file__).resolve().parents[2]
OPENING = sse(run("created"), step("created"), arguments("a"))
ENDING = sse(arguments("b"), step("completed", "step_1", call("ab")), run("completed"), done())
WHOLE = OPENING + ENDING


@contextmanager
def started(*words: object) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The command, once it listens, and its URL."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    with subprocess.Popen(
        [sys.executable, "-m", "streamproc.cli", "proxy", "--listen", "127.0.0.1:0", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": path},
    ) as child:
        assert child.stderr is not None
        try:
            line = child.stderr.readline().decode()
            found = re.search(r"listens on (http://\S+),", line)
            assert found is not None, line
            yield child, found[1]
        finally:
            child.kill()


@asynccontextmanager
async def serving(answer: Response) -> AsyncGenerator[str]:
    async with ScriptedServer() as server:
        server.script(None, [answer])
        yield server.url


def ended(child: subprocess.Popen[bytes]) -> tuple[int, str]:
    """Wait for its end; gives the exit code and what it said."""
    assert child.stderr is not None
    said = child.stderr.read().decode()
    return child.wait(20), said


def steps(path: Path) -> list[tuple[str, str]]:
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT id, status FROM steps").fetchall()
    connection.close()
    return found


@pytest.mark.slow
@pytest.mark.asyncio
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_steps_are_in_the_store_after_a_signal(number: signal.Signals, tmp_path: Path) -> None:
    """What passed is recorded before the process ends with 0; it says where it listens, and nothing of the traffic."""
    db = tmp_path / "runs.db"
    async with serving(Response(slices(WHOLE, 50))) as upstream:
        with started("--upstream", upstream, "--store", db) as (child, url):
            async with aiohttp.ClientSession() as session:
                headers = {"Authorization": "Bearer sk-canary"}
                async with session.post(f"{url}/v1/threads/t/runs?key=sk-canary", headers=headers) as answer:
                    body = await answer.read()
            child.send_signal(number)
            code, said = await to_thread.run_sync(ended, child)

    assert body == WHOLE
    assert (code, said) == (0, "streamproc: proxy: ends; 1 requests, 0 of them under way\n")
    assert steps(db) == [("step_1", "completed")]
    assert b"sk-canary" not in db.read_bytes()


@pytest.mark.slow
@pytest.mark.asyncio
async def test_signal_waits_for_the_stream_under_way(tmp_path: Path) -> None:
    """It passes to its end, and is recorded to its end."""
    db = tmp_path / "runs.db"
    async with serving(Response([Send(OPENING), Wait(0.5), Send(ENDING)])) as upstream:
        with started("--upstream", upstream, "--store", db) as (child, url):
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                first = await answer.content.readexactly(len(OPENING))
                child.terminate()
                rest = await answer.content.read()
            code, _ = await to_thread.run_sync(ended, child)

    assert (first + rest, code) == (WHOLE, 0)
    assert steps(db) == [("step_1", "completed")]


@pytest.mark.slow
@pytest.mark.asyncio
async def test_signal_cuts_off_what_does_not_end(tmp_path: Path) -> None:
    """After the deadline; what came is recorded, and the exit code is 0 all the same."""
    db = tmp_path / "runs.db"
    async with serving(Response([Send(OPENING), Wait(60)])) as upstream:
        with started("--upstream", upstream, "--store", db, "--drain", "0.3") as (child, url):
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                await answer.content.readexactly(len(OPENING))
                child.terminate()
                with anyio.fail_after(5), pytest.raises(aiohttp.ClientPayloadError):
                    await answer.content.read()
            code, _ = await to_thread.run_sync(ended, child)

    assert code == 0
    assert steps(db) == [("step_1", "in_progress")]


@pytest.mark.slow
@pytest.mark.asyncio
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_second_signal_does_not_wait(number: signal.Signals, tmp_path: Path) -> None:
    """Whatever is under way."""
    async with serving(Response([Send(OPENING), Wait(60)])) as upstream:
        with started("--upstream", upstream, "--store", tmp_path / "runs.db", "--drain", "60") as (child, url):
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                await answer.content.readexactly(len(OPENING))
                child.send_signal(number)
                assert child.stderr is not None
                await to_thread.run_sync(child.stderr.readline)
                child.send_signal(number)
                code = await to_thread.run_sync(child.wait, 10)

    assert code == -number


@pytest.mark.slow
@pytest.mark.asyncio
async def test_what_passed_unrecorded_is_told_at_the_end(tmp_path: Path) -> None:
    """Its reasons and how often; nothing of the traffic."""
    async with serving(Response([Send(b"event: unknown\ndata: {}\n\n")])) as upstream:
        with started("--upstream", upstream, "--store", tmp_path / "runs.db") as (child, url):
            async with aiohttp.ClientSession() as session, session.get(url) as answer:
                await answer.read()
            child.terminate()
            code, said = await to_thread.run_sync(ended, child)

    assert code == 0
    assert said.endswith("streamproc: proxy: passed unrecorded: unknown_dialect 1\n")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["--upstream", "api.example.com"], "upstream: expected an absolute http or https URL"),
        (["--upstream", "http://u:secret@x"], "upstream: expected a URL without user name and password"),
        (["--upstream", "http://x", "--listen", "8080"], "--listen: expected HOST:PORT"),
        (["--upstream", "http://x", "--listen", "127.0.0.1:99999"], "--listen: expected HOST:PORT"),
        (["--upstream", "http://x", "--listen", "0.0.0.0:0"], "'0.0.0.0' is not loopback"),
        (["--upstream", "http://x", "--drain", "0"], "--drain: expected more than 0 seconds"),
        (["--upstream", "http://x", "--idle-timeout", "nan"], "--idle-timeout: expected more than 0 seconds"),
        (["--upstream", "http://x", "--dialect", "nope"], "no dialect 'nope'"),
        (["--upstream", "http://x", "--store", "no/such/folder/runs.db"], "no/such/folder"),
    ],
)
def test_what_cannot_be_done_is_said(
    words: list[str], text: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 2, one line, no secret, and no store is made."""
    monkeypatch.chdir(tmp_path)
    code = main(["proxy", *words])
    said = capsys.readouterr().err

    assert code == 2
    assert said.startswith("streamproc: ")
    assert text in said
    assert "secret" not in said
    assert list(tmp_path.iterdir()) == []
