"""Results: one row a question, its target beside it, on a terminal, in Markdown or as JSON data."""

from collections.abc import Iterable, Sequence
from statistics import median
from typing import Any, Final

from msgspec import Struct

from benchmarks.targets import TARGETS

__all__ = ["Row", "medians", "print_table", "to_json", "to_markdown"]

_TITLES: Final = ("what", "result", "done", "stretch", "met", "remarks")


class Row(Struct, frozen=True):
    """One result; `key` finds its target."""

    key: str
    what: str
    value: float | None  # None: not measured, `remarks` says why
    unit: str  # "x" for a ratio
    remarks: str = ""
    places: int = 2

    @property
    def met(self) -> str:
        """ "stretch", "done" or "no"; "" without a target or a value."""
        target = TARGETS.get(self.key)
        if target is None or self.value is None:
            return ""
        if target.holds(self.value, target.stretch):
            return "stretch"
        return "done" if target.holds(self.value, target.done) else "no"

    def cells(self) -> tuple[str, ...]:
        """The row as texts, in the order of the titles."""
        target = TARGETS.get(self.key)
        done = f"{target.sign} {target.done:g}" if target else ""
        stretch = f"{target.stretch:g}" if target else ""
        value = "-" if self.value is None else f"{self.value:,.{self.places}f} {self.unit}"
        return (self.what, value, done, stretch, self.met, self.remarks)


def medians(runs: Sequence[Sequence[Row]]) -> list[Row]:
    """One row for each key: the median of the runs, with the remarks of the last one."""
    merged: list[Row] = []
    for row in runs[-1]:
        values = [other.value for rows in runs for other in rows if other.key == row.key and other.value is not None]
        spread = (
            f"; {len(values)} runs: {min(values):.{row.places}f}-{max(values):.{row.places}f}" if values[1:] else ""
        )
        value = median(values) if values else None
        merged.append(Row(row.key, row.what, value, row.unit, row.remarks + spread, row.places))
    return merged


def print_table(title: str, rows: Iterable[Row]) -> None:
    """Print the table, with rich where it is installed."""
    cells = [row.cells() for row in rows]
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        widths = [max(map(len, column)) for column in zip(_TITLES, *cells, strict=True)]
        print(title)
        for line in (_TITLES, *cells):
            print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
        return
    table = Table(title=title, title_justify="left")
    for name in _TITLES:
        table.add_column(name, justify="right" if name in ("result", "done", "stretch") else "left")
    styles = {"stretch": "bold green", "done": "green", "no": "bold red", "": ""}
    for line in cells:
        table.add_row(*line[:4], f"[{styles[line[4]]}]{line[4]}" if line[4] else "", line[5])
    console = Console()
    console.width = max(console.width, 140)  # a pipe has no width of its own
    console.print(table)


def to_markdown(rows: Iterable[Row]) -> str:
    """The table for the README."""
    lines = (_TITLES, ("---", "---:", "---:", "---:", "---", "---"), *(row.cells() for row in rows))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def to_json(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """The rows as JSON data, targets included."""
    found: list[dict[str, Any]] = []
    for row in rows:
        target = TARGETS.get(row.key)
        goal = {"done": target.done, "stretch": target.stretch, "is": target.sign} if target else None
        found.append(
            {"key": row.key, "what": row.what, "value": row.value, "unit": row.unit}
            | {"target": goal, "met": row.met or None, "remarks": row.remarks}
        )
    return found
