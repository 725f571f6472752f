"""The tables that people see: what describe.py says, laid out by rich.

All cells are `Text`: nothing from data is read as markup.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Final

from rich.box import HORIZONTALS
from rich.console import Console
from rich.table import Table
from rich.text import Text

from streamproc.cli.describe import Part, message_text, run_detail, status, step_parts, tokens
from streamproc.cli.notes import note
from streamproc.cli.output import states
from streamproc.cli.terminal import clean
from streamproc.core.body import Kind
from streamproc.core.change import Note
from streamproc.core.reducer import Reducer
from streamproc.model.message import Message
from streamproc.model.run import Run
from streamproc.model.run_step import RunStep

__all__ = ["new_table", "show_states", "status_text", "steps_table"]

_COLOURS: Final[Mapping[str, str]] = {
    "completed": "green",
    "in_progress": "yellow",
    "queued": "yellow",
    "requires_action": "magenta",
    "failed": "red",
    "expired": "red",
    "cancelled": "red",
    "incomplete": "red",
}
_WIDE: Final = 120  # columns from which on ids are shown in full
_SHORT_ID: Final = 14
_MAX_ROWS: Final = 500  # more than anybody reads, and than is laid out at once


def show_states(kind: Kind, reducer: Reducer, names: Sequence[str]) -> None:
    """Print one table of states on stdout; `names` are the inputs they came from."""
    console = Console(highlight=False, markup=False, emoji=False)
    found = list(islice(states(kind, reducer), _MAX_ROWS))
    title = ", ".join(names)
    if not found:
        note(f"{title}: no {kind}s")
        return
    if kind == "step":
        steps = [(state, beside) for state, beside in found if isinstance(state, RunStep)]
        table = steps_table(steps, reducer.messages, console.width)
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
    total = len({"run": reducer.runs, "step": reducer.steps, "message": reducer.messages}[kind])
    if total > _MAX_ROWS:
        note(f"{total - _MAX_ROWS} more {kind}s are not shown; --json prints them all")


def steps_table(steps: Iterable[tuple[RunStep, Note]], messages: Mapping[str, Message], width: int) -> Table:
    """Steps with their tool calls, a row for each call.

    Args:
        steps: with what is known beside each.
        messages: where the text of a step that wrote a message is found.
        width: of the terminal.
    """
    table = new_table(width, "step")
    table.add_column("tool", no_wrap=True, overflow="ellipsis", min_width=16, max_width=18)
    table.add_column("arguments and output", ratio=1, overflow="fold")
    table.add_column("status", min_width=len("in_progress"))  # so that a live table keeps its columns
    table.add_column("tokens", justify="right", no_wrap=True)
    for step, beside in steps:
        parts = step_parts(step, messages)
        for number, part in enumerate(parts):
            about = (Text(clean(step.id)), status_text(step.status, beside), Text(tokens(step.usage)))
            first, second, third = about if number == 0 else (Text(), Text(), Text())
            last = number == len(parts) - 1
            table.add_row(first, Text(part.tool, style="cyan"), _detail(part), second, third, end_section=last)
    return table


def new_table(width: int, first: str) -> Table:
    """An empty table whose first column holds ids."""
    table = Table(box=HORIZONTALS, expand=True, header_style="bold")
    table.add_column(
        first, no_wrap=True, overflow="ellipsis", style="dim", max_width=None if width >= _WIDE else _SHORT_ID
    )
    return table


def status_text(value: object, beside: Note) -> Text:
    """A status in its colour."""
    return Text(status(value, beside), style=_COLOURS.get(str(value), ""))


def _detail(part: Part) -> Text:
    text = Text(part.given)
    if part.got:
        text.append("\n" if part.given else "")
        text.append(f"→ {part.got}", style="green")
    return text


def _cells(state: object, beside: Note) -> list[Text]:
    if isinstance(state, Message):
        role = Text(clean(state.role) if isinstance(state.role, str) else "")
        return [Text(clean(state.id)), role, status_text(state.status, beside), Text(message_text(state))]
    assert isinstance(state, Run)
    model = Text(clean(state.model) if isinstance(state.model, str) else "")
    detail, total = Text(run_detail(state)), Text(tokens(state.usage))
    return [Text(clean(state.id)), status_text(state.status, beside), model, detail, total]
