"""`streamproc demo --kill`: a real process, a real SIGKILL, and a checker that must bite."""

import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from streamproc.cli import kill, main
from streamproc.cli.bundled import bundled_paths
from streamproc.cli.kill import figures
from streamproc.cli.kill_check import Key, Verdict, journalled, judge
from streamproc.cli.kill_child import CHANGES, STORE, WIRE
from streamproc.stores.queries import open_store

ROOT = Path(__file__).resolve().parents[2]


def streams() -> list[tuple[str, bytes]]:
    with bundled_paths() as paths:
        return [(path.stem, path.read_bytes()) for path in paths]


def live(folder: Path) -> None:
    """The process that would be killed, to its end, as fast as it can."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    subprocess.run(
        [sys.executable, "-m", "streamproc.cli.kill_child", str(folder), "100000"],
        env={**os.environ, "PYTHONPATH": path},
        check=True,
        capture_output=True,
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    live(folder)
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy of what a process left that came to its end."""
    for path in finished.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


@pytest.mark.slow
def test_demo_kill(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed with half of the arguments there, nothing lost, nothing doubled, nothing left behind."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    start, speeds = kill._start, iter((0.1, 100.0))  # so slowly that half of a call is there for a second
    monkeypatch.setattr(kill, "_start", lambda folder, _: start(folder, next(speeds)))
    code = main(["demo", "--kill"])
    out = " ".join(capsys.readouterr().out.split())
    durable = int(re.findall(r"(\d+) changes durable", out)[0])
    total = int(re.findall(r"lost 0 of (\d+) changes", out)[0])

    assert code == 0
    assert re.search(r'get_weather \{"city": "[^}]*▌ in_progress', out)
    assert re.search(r"doubled 0 of \d+ in the sink's file; handed over twice: \d+", out)
    assert "wrong 0 objects" in out
    assert "as epoch 2, and finished" in out
    assert 30 < durable < total
    assert out.count("completed") == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_child_that_fails_is_told(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last words, and exit code 1; no figures are printed that nobody counted."""
    (tmp_path / "sitecustomize.py").write_text("import os; os.write(2, b'broken on purpose\\n'); os._exit(3)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    code = main(["demo", "--kill"])
    captured = capsys.readouterr()

    assert (code, captured.out) == (1, "")
    assert captured.err == "streamproc: demo --kill: the process ended before it could be killed: broken on purpose\n"


@pytest.mark.parametrize("words", [["--compare"], ["--svg", "x.svg"]])
def test_kill_goes_alone(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    assert main(["demo", "--kill", *words]) == 2
    assert "--kill goes with neither" in capsys.readouterr().err


def test_process_that_nobody_killed_is_good(folder: Path) -> None:
    """One epoch, every change handed over once, everything as in one's own memory."""
    verdict = judge(folder, streams(), [])

    assert verdict.is_good
    assert (verdict.epochs, verdict.journalled, verdict.applied, verdict.twice_on_wire) == (1, 93, 93, 0)


def test_second_pass_is_good(folder: Path) -> None:
    """The whole run once more in a new epoch."""
    before = keys(folder)
    live(folder)
    verdict = judge(folder, streams(), before)

    assert verdict.is_good
    assert verdict.epochs == 2
    assert verdict.journalled > 93


def keys(folder: Path) -> list[Key]:
    with open_store(folder / STORE) as store:
        return journalled(store)


def edit(lines: list[bytes], number: int, **members: object) -> None:
    lines[number] = json.dumps({**json.loads(lines[number]), **members}).encode()


def swap(lines: list[bytes]) -> None:
    lines[10], lines[11] = lines[11], lines[10]


@pytest.mark.parametrize(
    ("damage", "fault", "count"),
    [
        (lambda lines: lines.pop(40), "lost", 1),
        (lambda lines: lines.insert(41, lines[40]), "doubled", 1),
        (lambda lines: edit(lines, 40, seq=1000), "phantom", 1),
        (swap, "out_of_order", 1),
        (lambda lines: edit(lines, 40, delta={"step_details": None}), "wrong_changes", 1),
        (lambda lines: edit(lines, -1, event="thread.run.failed"), "wrong_changes", 1),
    ],
)
def test_fault_in_the_file_is_found(
    folder: Path, damage: Callable[[list[bytes]], object], fault: str, count: int
) -> None:
    """A line that is missing, twice there, invented, in the wrong place, or another one."""
    path = folder / CHANGES
    lines = path.read_bytes().splitlines()
    damage(lines)
    path.write_bytes(b"\n".join(lines) + b"\n")
    verdict = judge(folder, streams(), [])

    assert getattr(verdict, fault) == count
    assert not verdict.is_good


def test_fault_in_the_store_is_found(folder: Path) -> None:
    """A state that is another one, and changes that were durable at the kill and are no longer."""
    connection = sqlite3.connect(folder / STORE)
    connection.execute("UPDATE steps SET state = json_set(state, '$.status', 'failed') WHERE type = 'tool_calls'")
    connection.commit()
    connection.close()
    verdict = judge(folder, streams(), [("demo-1", 1, 1), ("demo-1", 7, 1)])

    assert (verdict.wrong_states, verdict.lost) == (2, 1)
    assert not verdict.is_good


def test_what_was_handed_over_twice_is_counted(folder: Path) -> None:
    """It is no fault: the file has it once."""
    with open(folder / WIRE, "ab") as file:
        file.write(b"1 93 demo-1\n1 43 demo-2\n1 43 demo-2\n1 4")
    verdict = judge(folder, streams(), [])

    assert (verdict.twice_on_wire, verdict.is_good) == (2, True)


@pytest.mark.parametrize("fault", ["lost", "doubled", "phantom", "out_of_order", "wrong_changes", "wrong_states"])
def test_each_fault_is_shown(capsys: pytest.CaptureFixture[str], fault: str) -> None:
    """Whatever the verdict, it is printed as it is."""
    verdict = Verdict(**{**dict.fromkeys(Verdict.__struct_fields__, 0), fault: 7})
    Console().print(figures(verdict))

    assert not verdict.is_good
    assert " 7 " in capsys.readouterr().out
