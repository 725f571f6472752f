"""`streamproc demo --kill`: a process is killed in the middle of a tool call and started again; then it is counted.

The kill is a real SIGKILL of a real process, and every figure is read from the files that it left, by kill_check.py.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec
from msgspec import Struct
from rich.box import HORIZONTALS
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

import streamproc
from streamproc.cli.bundled import bundled_paths
from streamproc.cli.exits import Exit
from streamproc.cli.kill_check import Key, Verdict, journalled, judge
from streamproc.cli.kill_child import STORE
from streamproc.cli.notes import note
from streamproc.display.describe import step_parts
from streamproc.display.terminal import clean
from streamproc.errors import ConfigError, StoreError
from streamproc.model.run_step import RunStep
from streamproc.model.wire import from_wire
from streamproc.stores.queries import Row, find, open_store

__all__ = ["demo_kill", "figures"]

_EVENTS_PER_S: Final = 120.0  # at --speed 1
_TOOL: Final = "get_weather"  # it is killed while the arguments of this one come
_POLL_S: Final = 0.005
_TIMEOUT_S: Final = 60.0
_WIDTH: Final = 100
_QUERY: Final = """\
SELECT substr(id, 1, 12) AS step, tools, status, total_tokens AS tokens
FROM steps ORDER BY created_at"""


class _AtKill(Struct, frozen=True):
    """What the killed process left."""

    durable: Sequence[Key]
    step: Row


class _Failure(Exception):
    """The demo could not be carried out, for a reason in words."""


def demo_kill(speed: float) -> Exit:
    """Kill, start again, count, and print it.

    Args:
        speed: 2 makes the process twice as fast.

    Raises:
        ConfigError: the extra of the store is missing.
    """
    if find_spec("filelock") is None:
        raise ConfigError('demo --kill needs an extra: pip install "streamproc[store]"')
    console = Console(highlight=False, markup=False, emoji=False)
    console.width = min(console.width, _WIDTH)
    with TemporaryDirectory(prefix="streamproc-demo-") as name:
        folder = Path(name)
        try:
            with console.status("a process ingests the built-in run ..."):
                killed, pid = _live_and_die(folder, speed)
            _tell_kill(console, killed, pid)
            with console.status("another one goes on ..."):
                pid = _live(folder, speed)
            with bundled_paths() as paths:
                streams = [(path.stem, path.read_bytes()) for path in paths]
            verdict = judge(folder, streams, killed.durable)
            again = (
                f"process {pid} opened the same files, read the stream again as epoch {verdict.epochs}, and finished"
            )
            console.print(_line("restart", Text(again)))
            console.print(figures(verdict))
            console.print(_sql(folder / STORE))
        except (_Failure, StoreError) as failure:
            note(f"demo --kill: {failure}")
            return Exit.DATA
    return Exit.OK if verdict.is_good else Exit.DATA


# -- two lives ---------------------------------------------------------------------------------------------------------


def _start(folder: Path, speed: float) -> subprocess.Popen[bytes]:
    root = str(Path(streamproc.__file__).resolve().parents[1])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "streamproc.cli.kill_child", str(folder), str(_EVENTS_PER_S * speed)]
    with open(folder / "log.txt", "ab") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, "PYTHONPATH": path}
        )


def _live_and_die(folder: Path, speed: float) -> tuple[_AtKill, int]:
    """Start the process, and kill it once the store has half of a tool call."""
    child = _start(folder, speed)
    try:
        deadline = time.monotonic() + _TIMEOUT_S
        while not _is_in_tool_call(folder / STORE):
            if child.poll() is not None:
                raise _Failure(f"the process ended before it could be killed{_last_words(folder)}")
            if time.monotonic() > deadline:
                raise _Failure(f"the process came to no tool call within {_TIMEOUT_S:g} s{_last_words(folder)}")
            time.sleep(_POLL_S)
    finally:
        child.send_signal(signal.SIGKILL)
        code = child.wait()
    if code != -signal.SIGKILL:
        raise _Failure("the process ended before it could be killed")
    with open_store(folder / STORE) as store:
        return _AtKill(journalled(store), next(iter(find(store, "step", tool=_TOOL)))), child.pid


def _live(folder: Path, speed: float) -> int:
    """Start it again, and wait for its end."""
    child = _start(folder, speed)
    try:
        code = child.wait(_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise _Failure(f"the second process did not end within {_TIMEOUT_S:g} s{_last_words(folder)}") from None
    finally:
        child.kill()
        child.wait()
    if code:
        raise _Failure(f"the second process failed with exit code {code}{_last_words(folder)}")
    return child.pid


def _is_in_tool_call(path: Path) -> bool:
    try:
        with open_store(path) as store:
            return any(_arguments(row) for row in find(store, "step", tool=_TOOL, status="in_progress"))
    except StoreError:
        return False  # not made yet


def _arguments(row: Row) -> str:
    """The arguments of the first call of a step, once they are more than a brace."""
    given = step_parts(_step(row), {})[0].given
    return given if len(given) > len('{"city": "') else ""


def _step(row: Row) -> RunStep:
    return from_wire(RunStep, msgspec.json.decode(row["state"]))


def _last_words(folder: Path) -> str:
    lines = (folder / "log.txt").read_text("utf-8", "replace").strip().splitlines()
    return f": {lines[-1]}" if lines else ""


# -- what is printed ---------------------------------------------------------------------------------------------------


def _tell_kill(console: Console, killed: _AtKill, pid: int) -> None:
    step, part = _step(killed.step), step_parts(_step(killed.step), {})[0]
    console.print(
        _line(
            "SIGKILL",
            Text.assemble(
                f"process {pid} died while the arguments of a call were coming:\n",
                (clean(part.tool), "cyan"),
                f" {part.given}",
                ("▌", "red"),
                (f"  {clean(str(step.status))}, {len(killed.durable)} changes durable", "dim"),
            ),
            "bold red",
        )
    )


def _line(label: str, text: Text, style: str = "bold") -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(width=7, style=style)
    grid.add_column()
    grid.add_row(label, text)
    return grid


def figures(verdict: Verdict) -> Group:
    """What was counted, zero or not."""
    wire = verdict.twice_on_wire
    rows = [
        ("lost", verdict.lost, f"of {verdict.journalled} changes that were durable in the journal"),
        ("doubled", verdict.doubled, f"of {verdict.applied} in the sink's file; handed over twice: {wire}"),
        (
            "wrong",
            verdict.wrong_states + verdict.wrong_changes,
            "objects, compared with a run that nobody killed",
        ),
    ]
    strays = verdict.phantom + verdict.out_of_order
    if strays:
        rows.append(("strays", strays, "changes that were never journalled, or that came out of order"))
    grid = Table.grid(padding=(0, 2))
    grid.add_column(width=7, style="bold")
    grid.add_column(justify="right")
    grid.add_column()
    for label, count, about in rows:
        grid.add_row(label, Text(str(count), style="bold red" if count else "bold green"), Text(about, style="dim"))
    return Group(Text(), grid, Text())


def _sql(path: Path) -> Group:
    with open_store(path) as store:
        cursor = store.execute(_QUERY)
        names = [column[0] for column in cursor.description]
        rows = [[clean("" if value is None else str(value)) for value in row] for row in cursor]
    table = Table(box=HORIZONTALS, header_style="bold")
    for name in names:
        table.add_column(name, justify="right" if name == "tokens" else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    return Group(Text.assemble(("sqlite3 runs.db> ", "dim"), (_QUERY.replace("\n", " ") + ";", "cyan")), table)
