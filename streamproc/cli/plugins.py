"""`streamproc plugins`: which kinds of source, sink, store and dialect there are, and who brought them."""

import sys
from typing import Annotated, Any, Final, Literal, TypeAlias

from cyclopts import Parameter

from streamproc.cli.exits import Exit
from streamproc.display.terminal import clean, escape_json, is_terminal, stdout

__all__ = ["PLUGINS_EPILOGUE", "plugins"]

Form: TypeAlias = Literal["table", "json"]

PLUGINS_EPILOGUE: Final = """\
A name is what a config says as its kind, or as its dialect. Distributions add
their own by entry points in streamproc.sources, .sinks, .stores and .dialects.

Exit codes:
  0    all of them can be used
  1    one of them cannot be imported, or has a name that is taken"""


def plugins(*, output: Annotated[Form | None, Parameter(name=["--output", "-o"], show_default=False)] = None) -> int:
    """List the kinds of source, sink, store and dialect that are installed.

    Parameters
    ----------
    output
        A table, as on a terminal, or JSON lines.
    """
    import msgspec

    from streamproc.worker.listing import listing

    rows = listing()
    people = is_terminal(sys.stdout)
    if people if output is None else output == "table":
        _show(rows)
    else:
        for row in rows:
            line = msgspec.json.encode(row)
            stdout().write((escape_json(line) if people else line) + b"\n")
    return Exit.DATA if any(row.error is not None for row in rows) else Exit.OK


def _show(rows: list[Any]) -> None:
    from rich.console import Console
    from rich.text import Text

    from streamproc.display.tables import new_table

    console = Console(highlight=False, markup=False, emoji=False)
    table = new_table(console.width, "group")
    for heading in ("name", "version", "origin", "error"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(
            *(Text(clean(cell)) for cell in (row.group, row.name, row.version, row.distribution, row.error or ""))
        )
    console.print(table)
