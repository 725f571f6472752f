"""What is printed, and how."""

import io
import json

import pytest

from streamproc import StreamProcessor
from streamproc.cli.output import Output, Printer, States
from streamproc.cli.tally import Tally
from streamproc.core.body import Kind
from tests.streams import run, sse, step


def processed() -> StreamProcessor:
    proc = StreamProcessor()
    proc.feed(sse(run("created"), step(metadata={"note": "\u202e"}), run("completed")))
    return proc


@pytest.mark.parametrize(
    ("output", "needs_states", "lines"),
    [("steps", True, 1), ("messages", True, 0), ("runs", True, 1), ("summary", False, 1)],
)
def test_each_output_prints_its_own(output: Output, needs_states: bool, lines: int) -> None:
    """States when their table is done, a summary when an input is."""
    out = io.BytesIO()
    printer = Printer(output, out, escape=False)
    printer.changes([])
    printer.table(processed().reducer, ["run.sse"])
    printer.input(Tally("run.sse"))

    assert printer.needs_states == needs_states
    assert len(out.getvalue().splitlines()) == lines


@pytest.mark.parametrize("escape", [True, False])
def test_terminals_get_escapes(escape: bool) -> None:
    """The JSON is the same; pipes get it as it came."""
    out = io.BytesIO()
    Printer("steps", out, escape=escape).table(processed().reducer, [])

    assert ("\u202e" not in out.getvalue().decode()) == escape
    assert json.loads(out.getvalue())["metadata"] == {"note": "\u202e"}


def test_table_takes_the_place_of_lines() -> None:
    """Where one is to be shown, nothing else is printed."""
    out, shown = io.BytesIO(), list[tuple[Kind, list[str]]]()

    def show(kind: Kind, found: States, names: list[str]) -> None:
        shown.append((kind, names))

    Printer("runs", out, escape=True, show_table=show).table(processed().reducer, ["a", "b"])

    assert shown == [("run", ["a", "b"])]
    assert out.getvalue() == b""
