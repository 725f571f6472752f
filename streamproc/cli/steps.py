"""`streamproc steps`: the steps in a store, as tables for people or as JSON lines for programs."""

import sqlite3
from collections.abc import Iterable
from itertools import groupby
from typing import Any, BinaryIO, Final, TypeVar

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.text import Text

from streamproc.cli.exits import Exit
from streamproc.cli.notes import note
from streamproc.cli.stored import check_run, reading
from streamproc.core.change import Note
from streamproc.display.tables import run_caption, steps_table
from streamproc.display.terminal import escape_json
from streamproc.model.message import Message
from streamproc.model.run import Run
from streamproc.model.run_step import MessageCreation, MessageCreationDetails, RunStep
from streamproc.model.wire import from_wire
from streamproc.stores.queries import Row, find, state_line

__all__ = ["Filter", "print_steps"]

_SHOWN_MAX: Final = 100  # in tables; more than anybody reads

S = TypeVar("S", bound=Struct)


class Filter(Struct, frozen=True, kw_only=True):
    """Which steps are asked for."""

    run: str | None = None
    thread: str | None = None
    status: str | None = None
    tool: str | None = None
    since: float | None = None  # of creation, in Unix seconds
    until: float | None = None
    limit: int | None = None  # the newest ones


def print_steps(path: str, chosen: Filter, out: BinaryIO, *, escape: bool, table: bool) -> Exit:
    """Print the steps of a store.

    Args:
        out: where JSON lines go.
        escape: whether `out` is a terminal.
        table: for people, on standard output.

    Raises:
        ConfigError: there is no such store, or no such run in it.
        StoreError: it cannot be read any further.
    """
    with reading(path) as store:
        if chosen.run is not None:
            check_run(store, chosen.run, path)
        if table:
            _show(store, chosen, path)
            return Exit.OK
        for row in _find(store, chosen):
            line = state_line(row)
            out.write((escape_json(line) if escape else line) + b"\n")
        out.flush()
    return Exit.OK


def _find(store: sqlite3.Connection, chosen: Filter) -> Iterable[Row]:
    return find(store, "step", **msgspec.structs.asdict(chosen))


def _show(store: sqlite3.Connection, chosen: Filter, path: str) -> None:
    """One table for the steps of each run, which stands below it."""
    most = min(chosen.limit or _SHOWN_MAX, _SHOWN_MAX)
    rows = list(_find(store, msgspec.structs.replace(chosen, limit=most + 1)))
    rows, is_all = rows[-most:], len(rows) <= most
    if not rows:
        note(f"{path}: no step matches" if chosen != Filter(limit=chosen.limit) else f"{path}: no steps")
        return
    console = Console(highlight=False, markup=False, emoji=False)
    for number, (run_id, steps) in enumerate(groupby(_by_run(rows), key=lambda row: row["run_id"])):
        if number:
            console.print()
        console.print(_table(store, run_id, list(steps), console.width))
    if not is_all and chosen.limit != most:
        note(f"only the newest {most} steps are shown; --output json prints them all")


def _by_run(rows: Iterable[Row]) -> list[Row]:
    """The rows of each run next to each other, runs in order of their first row here."""
    found: dict[str | None, list[Row]] = {}
    for row in rows:
        found.setdefault(row["run_id"], []).append(row)
    return [row for some in found.values() for row in some]


def _table(store: sqlite3.Connection, run_id: str | None, rows: list[Row], width: int) -> Any:
    steps = [
        (_state(RunStep, row), Note(row["inferred_status"], bool(row["truncated"]), bool(row["ended"]))) for row in rows
    ]
    messages: dict[str, Message] = {}
    for step, _ in steps:
        match step.step_details:
            case MessageCreationDetails(message_creation=MessageCreation(message_id=str(id))):
                messages.update((id, _state(Message, row)) for row in find(store, "message", id=id))
            case _:
                pass
    table = steps_table(steps, messages, width)
    table.caption_justify = "left"
    if run_id is not None:
        run = next(find(store, "run", run=run_id), None)
        table.caption = Text(f"run {run_id}") if run is None else run_caption(_state(Run, run))
    return table


def _state(cls: type[S], row: Row) -> S:
    return from_wire(cls, msgspec.json.decode(row["state"]))
