"""`streamproc dead-letters`: what sinks would not take, shown, delivered somewhere else, and dropped.

A letter is dropped only by its number, and when it is delivered again, only once it is durable where it went. Numbers
are never given again, so a worker that buries more meanwhile does no harm.
"""

import os
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, BinaryIO, Final

import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table
from rich.text import Text

from streamproc.cli.exits import Exit
from streamproc.cli.notes import note
from streamproc.cli.stored import reading
from streamproc.core.change import encode_change
from streamproc.display.describe import excerpt
from streamproc.display.tables import new_table
from streamproc.display.terminal import clean, escape_json
from streamproc.errors import ConfigError, StoreError
from streamproc.stores.queries import Row, dead_letter, dead_letters

__all__ = ["Chosen", "choose", "drop", "list_letters", "replay_letters", "show_letters"]

_SHOWN_MAX: Final = 100
_BUSY_S: Final = 5.0
_MANY: Final = 500  # parameters in one statement
_LISTED: Final = ("number", "sink", "reason", "attempts", "at", "stream", "epoch", "seq", "event", "kind")
_LISTED_TOO: Final = ("run_id", "thread_id", "revision")


class Chosen(Struct, frozen=True, kw_only=True):
    """Which dead letters are meant: these numbers, or all; in either case only those of the sinks, if any are named."""

    numbers: tuple[int, ...] = ()
    sinks: tuple[str, ...] = ()


def choose(store: sqlite3.Connection, chosen: Chosen, path: str) -> list[int]:
    """The numbers that are meant, ascending.

    Raises:
        ConfigError: one that was named is not there; nothing is done then.
    """
    found = [row["number"] for row in _rows(store, chosen)]
    if lacking := sorted(set(chosen.numbers) - set(found)):
        of = f" of {', '.join(chosen.sinks)}" if chosen.sinks else ""
        raise ConfigError(f"{path}: no dead letter {', '.join(map(str, lacking))}{of}; `list` shows what is there")
    return found


def _rows(store: sqlite3.Connection, chosen: Chosen) -> Iterator[Row]:
    for row in dead_letters(store):
        if (not chosen.numbers or row["number"] in chosen.numbers) and (
            not chosen.sinks or row["sink"] in chosen.sinks
        ):
            yield row


def list_letters(path: str, chosen: Chosen, out: BinaryIO, *, escape: bool, table: bool) -> Exit:
    """One row or line for each letter, without what it says."""
    with reading(path) as store:
        choose(store, chosen, path)
        rows = _rows(store, chosen)
        if table:
            _show_table(list(rows), path)
        else:
            for row in rows:
                _write(out, _facts(row), escape=escape)
            out.flush()
    return Exit.OK


def show_letters(path: str, chosen: Chosen, out: BinaryIO, *, escape: bool, people: bool) -> Exit:
    """All that is known of some letters, the payload as it came included."""
    with reading(path) as store:
        choose(store, chosen, path)
        for row in _rows(store, chosen):
            if people:
                _show(row)
            else:
                _write(out, {**_facts(row), "payload": row["payload"].decode("utf-8", "replace")}, escape=escape)
        out.flush()
    return Exit.OK


def replay_letters(path: str, chosen: Chosen, out: BinaryIO, *, escape: bool, to: str | None, keep: bool) -> Exit:
    """Write the changes of some letters as JSON lines, and drop those that are durable then.

    Args:
        to: the file to append to; None is `out`, of which nobody can tell whether it is durable.
        keep: drop none.

    Raises:
        ConfigError: `to` cannot be written; what was written of it before stays, and no letter is dropped.
    """
    with reading(path) as store:
        numbers = choose(store, chosen, path)
        lines = (encode_change(letter.change) for number in numbers if (letter := dead_letter(store, number)))
        if to is None:
            for line in lines:
                out.write((escape_json(line) if escape else line) + b"\n")
            out.flush()
        elif numbers:
            _append(to, lines)
    count = _letters(len(numbers))
    if to is None:
        note(f"{path}: {count} written to stdout and kept; --to FILE makes them durable, then they are dropped")
    elif keep:
        note(f"{path}: {count} written to {to}, and kept")
    else:
        _delete(path, numbers)
        note(f"{path}: {count} written to {to}, and dropped")
    return Exit.OK


def drop(path: str, numbers: Sequence[int]) -> Exit:
    """Drop letters for good.

    Raises:
        StoreError: it could not be done, and nothing of it was.
    """
    dropped = _delete(path, numbers)
    note(f"{path}: {_letters(dropped)} dropped")
    return Exit.OK


def _delete(path: str, numbers: Sequence[int]) -> int:
    """Delete in one transaction of its own, which a worker's need not wait for longer than a moment.

    It has no need of the store's lock: what it deletes nobody else changes.
    """
    dropped = 0
    try:
        with closing(sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            for start in range(0, len(numbers), _MANY):
                some = numbers[start : start + _MANY]
                marks = ", ".join("?" * len(some))
                dropped += connection.execute(f"DELETE FROM dead_letters WHERE number IN ({marks})", some).rowcount
            connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise StoreError(f"store {path} cannot be written, no dead letter was dropped: {error}") from error
    return dropped


def _append(path: str, lines: Iterator[bytes]) -> None:
    """Append lines to a file, durably. A line that an earlier attempt left torn is ended first.

    The JSONL sink would skip what is older than the last line of its stream, and all of these may be.
    """
    try:
        is_new = not os.path.exists(path)
        with open(os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600), "r+b", buffering=0) as raw:
            if not stat.S_ISREG(os.fstat(raw.fileno()).st_mode):
                raise ConfigError(f"{path}: expected a regular file, something else is there")
            size = os.fstat(raw.fileno()).st_size
            if size and os.pread(raw.fileno(), 1, 0) != b"{":
                raise ConfigError(f"{path} holds something else than JSON lines; it is left as it is")
            if size and os.pread(raw.fileno(), 1, size - 1) != b"\n":
                raw.write(b"\n")
            with open(raw.fileno(), "wb", closefd=False) as file:
                file.writelines(line + b"\n" for line in lines)
            os.fsync(raw.fileno())
        if is_new:  # its name must be durable too
            folder = os.open(os.path.dirname(os.path.abspath(path)), os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be written: {getattr(error, 'strerror', None) or error}") from error


# -- for people --------------------------------------------------------------------------------------------------------


def _letters(count: int) -> str:
    return "1 dead letter" if count == 1 else f"{count} dead letters"


def _facts(row: Row) -> dict[str, Any]:
    return {
        **{name: row[name] for name in _LISTED},
        "id": row["object_id"],
        **{name: row[name] for name in _LISTED_TOO},
    }


def _write(out: BinaryIO, facts: dict[str, Any], *, escape: bool) -> None:
    line = msgspec.json.encode(facts)
    out.write((escape_json(line) if escape else line) + b"\n")


def _show_table(rows: Sequence[Row], path: str) -> None:
    if not rows:
        note(f"{path}: no dead letters")
        return
    console = _console()
    table: Table = new_table(console.width, "number")
    table.columns[0].justify = "right"
    table.add_column("sink", overflow="fold", min_width=19, max_width=24)  # room for a time
    table.add_column("change and reason", ratio=1, overflow="fold")
    table.add_column("attempts", justify="right", no_wrap=True)
    for row in rows[-_SHOWN_MAX:]:
        at = clean(row["at"][:19].replace("T", " "))
        sink = Text.assemble((clean(row["sink"]), "cyan"), (f"\n{at}", "dim"))
        what = Text.assemble(
            f"{_event(row)} ", (clean(row["object_id"]), "dim"), (f"\n{excerpt(row['reason'])}", "red")
        )
        table.add_row(Text(str(row["number"])), sink, what, Text(str(row["attempts"])), end_section=True)
    console.print(table)
    if len(rows) > _SHOWN_MAX:
        note(f"only the newest {_SHOWN_MAX} of {len(rows)} are shown; --output json prints them all")


def _show(row: Row) -> None:
    console = _console()
    facts = {
        "sink": row["sink"],
        "reason": row["reason"],
        "attempts": str(row["attempts"]),
        "at": row["at"],
        "change": f"{row['stream']}, epoch {row['epoch']}, seq {row['seq']}",
        "event": row["event"],
        row["kind"]: f"{row['object_id']}, revision {row['revision']}",
        "run": row["run_id"] or "",
    }
    console.print(Text(f"dead letter {row['number']}", style="bold"))
    for name, value in facts.items():
        if value:
            console.print(Text.assemble((f"  {clean(name):<9} ", "dim"), clean(value)), soft_wrap=True)
    payload = clean(row["payload"].decode("utf-8", "replace"), lines=True)
    console.print(Text.assemble(("  payload   ", "dim"), payload), soft_wrap=True)


def _event(row: Row) -> str:
    name = clean(row["event"]).removeprefix("thread.")
    return f"anomaly in {name}" if row["kind"] == "anomaly" else name


def _console() -> Console:
    return Console(highlight=False, markup=False, emoji=False)
