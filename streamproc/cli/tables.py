"""The tables of states at the end of a replay.

All cells are `Text`: nothing from data is read as markup.
"""

from collections.abc import Sequence
from itertools import islice
from typing import Final

from rich.console import Console
from rich.text import Text

from streamproc.cli.notes import note
from streamproc.cli.output import States, states
from streamproc.core.body import Kind
from streamproc.core.change import Note
from streamproc.display.describe import message_text, run_detail, tokens
from streamproc.display.tables import new_table, status_text, steps_table
from streamproc.display.terminal import clean
from streamproc.model.message import Message
from streamproc.model.run import Run
from streamproc.model.run_step import RunStep

__all__ = ["show_states"]

_MAX_ROWS: Final = 500  # more than anybody reads, and than is laid out at once


def show_states(kind: Kind, states_of: States, names: Sequence[str]) -> None:
    """Print one table of states on stdout; `names` are the inputs they came from."""
    console = Console(highlight=False, markup=False, emoji=False)
    found = list(islice(states(kind, states_of), _MAX_ROWS))
    title = ", ".join(names)
    if not found:
        note(f"{title}: no {kind}s")
        return
    if kind == "step":
        steps = [(state, beside) for state, beside in found if isinstance(state, RunStep)]
        table = steps_table(steps, states_of.messages, console.width)
    else:
        table = new_table(console.width, "message" if kind == "message" else "run")
        for heading in ("role", "status", "text") if kind == "message" else ("status", "model", "detail", "tokens"):
            wide = heading in ("text", "detail")
            table.add_column(heading, ratio=1 if wide else None, overflow="fold", no_wrap=not wide)
        for state, beside in found:
            table.add_row(*_cells(state, beside))
    table.title = Text(clean(title), style="dim", overflow="ellipsis", no_wrap=True)
    table.title_justify = "left"
    console.print(table)
    total = len({"run": states_of.runs, "step": states_of.steps, "message": states_of.messages}[kind])
    if total > _MAX_ROWS:
        note(f"{total - _MAX_ROWS} more {kind}s are not shown; --json prints them all")


def _cells(state: object, beside: Note) -> list[Text]:
    if isinstance(state, Message):
        role = Text(clean(state.role) if isinstance(state.role, str) else "")
        return [Text(clean(state.id)), role, status_text(state.status, beside), Text(message_text(state))]
    assert isinstance(state, Run)
    model = Text(clean(state.model) if isinstance(state.model, str) else "")
    detail, total = Text(run_detail(state)), Text(tokens(state.usage))
    return [Text(clean(state.id)), status_text(state.status, beside), model, detail, total]
