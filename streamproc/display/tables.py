"""The table of steps that people see, live or at the end: what describe.py says, laid out by rich.

All cells are `Text`: nothing from data is read as markup.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from rich.box import HORIZONTALS
from rich.table import Table
from rich.text import Text

from streamproc.core.change import NO_NOTE, Note
from streamproc.display.describe import Part, status, step_parts, tokens
from streamproc.display.terminal import clean
from streamproc.model.message import Message
from streamproc.model.run import Run
from streamproc.model.run_step import RunStep

__all__ = ["new_table", "run_caption", "status_text", "steps_table"]

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


def run_caption(run: Run) -> Text:
    """What stands below a table of steps: their run, its status, and the tokens it spent."""
    caption = Text.assemble(f"run {clean(run.id)} ", status_text(run.status, NO_NOTE))
    if spent := tokens(run.usage):
        caption.append(f", {spent} tokens")
    return caption


def _detail(part: Part) -> Text:
    text = Text(part.given)
    if part.got:
        text.append("\n" if part.given else "")
        text.append(f"→ {part.got}", style="green")
    return text
