"""`streamproc convert`: from files, from standard input, and from a store."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from streamproc import StreamProcessor
from streamproc.cli import main
from streamproc.cli.bundled import bundled_paths, bundled_streams
from streamproc.cli.oracle import Oracle
from tests.streams import arguments, call, done, run, sse, step, wire


class Result(NamedTuple):
    code: int
    out: bytes
    err: str


Cli = Callable[..., Result]


@pytest.fixture
def cli(capfdbinary: pytest.CaptureFixture[bytes]) -> Cli:
    """Runs a command in this process."""

    def call(*words: object) -> Result:
        capfdbinary.readouterr()
        code = main([str(word) for word in words])
        captured = capfdbinary.readouterr()
        return Result(code, captured.out, captured.err.decode())

    return call


def texts(stream: bytes) -> dict[str, str]:
    """What the published handler holds at the end, by message."""
    held = Oracle().merge([stream])
    return {
        id: "".join(block["text"]["value"] for block in message["content"]) for id, message in held.messages.items()
    }


OPEN = sse(run("created"), step("created", "step_1", call("", name="f")), arguments('{"a"'))


def test_files_become_one_stream(cli: Cli) -> None:
    """The two streams of the built-in run; the published handler reads the result."""
    with bundled_paths() as paths:
        result = cli("convert", *paths)
    proc = StreamProcessor()
    for stream in bundled_streams():
        proc.feed(stream)
        proc.close()
        proc.open()

    assert (result.code, result.err) == (0, "")
    assert result.out.endswith(b"event: done\ndata: [DONE]\n\n")
    assert result.out.count(b"[DONE]") == 1
    assert texts(result.out) == {id: message.text for id, message in proc.messages.items()}


def test_standard_input(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing named is standard input."""
    stream = sse(run("created"), run("completed"), done())
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stream)))

    assert cli("convert") == (0, stream, "")


def test_stream_that_broke_off(cli: Cli, tmp_path: Path) -> None:
    """What came is written, without an end, and the exit code says so."""
    path = tmp_path / "open.sse"
    path.write_bytes(OPEN)
    result = cli("convert", path, "--to", "assistants", "--dialect", "assistants")

    assert result.code == 1
    assert result.out == OPEN
    assert "truncated" in result.err


def test_run_of_a_store(cli: Cli, tmp_path: Path) -> None:
    """Told by its last states, it gives the same states again."""
    db = tmp_path / "runs.db"
    with bundled_paths() as paths:
        assert cli("replay", *paths, "--store", db, "--output", "summary").code == 0
    (line,) = [row for row in cli("replay", *paths, "--output", "runs").out.splitlines() if b"thread.run" in row]
    run_id = json.loads(line)["id"]
    result = cli("convert", "--store", db, "--run", run_id)
    proc, first = StreamProcessor(), StreamProcessor()
    proc.feed(result.out)
    for stream in bundled_streams():
        first.feed(stream)
        first.close()
        first.open()

    assert (result.code, result.err) == (0, "")
    assert {id: wire(state) for id, state in proc.steps.items()} == {
        id: wire(state) for id, state in first.steps.items()
    }
    assert texts(result.out) == {id: message.text for id, message in first.messages.items()}


def test_open_run_of_a_store(cli: Cli, tmp_path: Path) -> None:
    """A note says why its stream has no end."""
    path, db = tmp_path / "open.sse", tmp_path / "runs.db"
    path.write_bytes(OPEN)
    cli("replay", path, "--store", db, "--output", "summary")
    result = cli("convert", "--store", db, "--run", "run_1")

    assert result.code == 0
    assert b"[DONE]" not in result.out
    assert "run_1 has not ended" in result.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--store", "runs.db"], "name files, or --store and --run"),
        (["--run", "run_1"], "name files, or --store and --run"),
        (["a.sse", "--store", "runs.db", "--run", "run_1"], "name files, or --store and --run"),
        (["a.sse", "--dialect", "telegraph"], "no dialect 'telegraph'"),
        (["a.sse", "--to", "telegraph"], "--to"),
        (["no-such-file.sse"], "no such file"),
        (["--store", "no-such.db", "--run", "run_1"], "no-such.db"),
    ],
)
def test_wrong_use(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], said: str) -> None:
    """One line that names the place, and exit code 2."""
    monkeypatch.chdir(tmp_path)
    code, out, err = cli("convert", *words)

    assert (code, out) == (2, b"")
    assert said in err
