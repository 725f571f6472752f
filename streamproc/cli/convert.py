"""`streamproc convert`: a run written out again as the stream of another protocol.

From bytes it goes through `replay`, and each event is written as soon as its change is made; from a store a run is told
by its last states.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final, Literal, TypeAlias

from streamproc.cli.exits import Exit
from streamproc.cli.inputs import Source
from streamproc.cli.interrupts import interrupts_held
from streamproc.cli.notes import note
from streamproc.cli.output import States
from streamproc.cli.progress import ProgressBar
from streamproc.cli.replay import replay
from streamproc.cli.stored import check_run, reading
from streamproc.cli.tally import Tally
from streamproc.core.body import Kind
from streamproc.core.change import Change
from streamproc.core.emit import Emitter, emit_states
from streamproc.core.events import Event, encode_sse
from streamproc.display.terminal import escape_json
from streamproc.stores.queries import find

__all__ = ["Protocol", "convert", "convert_stored"]

Protocol: TypeAlias = Literal["assistants"]

_KINDS: Final[tuple[Literal["run", "step", "message"], ...]] = ("run", "step", "message")


class _Writer:
    """What `replay` hands its changes to; see `Printer`."""

    needs_states = False

    def __init__(self, out: BinaryIO, *, escape: bool) -> None:
        self._out = out
        self._escape = escape
        self._emitter = Emitter()

    def changes(self, changes: Iterable[Change]) -> None:
        self._write(self._emitter.events(changes))

    def table(self, found: States, names: list[str]) -> None:
        """States are not asked for."""

    def input(self, tally: Tally) -> None:
        """An input was read; the stream that is written goes on with the next one."""

    def end(self) -> None:
        self._write(self._emitter.end())

    def _write(self, events: Iterable[Event]) -> None:
        for event in events:
            self._out.write(_block(event, escape=self._escape))
        self._out.flush()


def _block(event: Event, *, escape: bool) -> bytes:
    block = encode_sse(event)
    return escape_json(block) if escape else block


def convert(sources: list[Source], dialect: str, out: BinaryIO, progress: ProgressBar, *, escape: bool) -> Exit:
    """Convert streams, one after the other, into one.

    Args:
        escape: whether `out` is a terminal.

    Raises:
        ConfigError: there is no such dialect.
        BrokenPipeError: nobody reads `out` any more.
    """
    writer = _Writer(out, escape=escape)
    with interrupts_held() as waiting:  # no event is cut in the middle
        code = replay(sources, dialect, writer, progress, waiting=waiting)
        writer.end()
        return code


def convert_stored(path: str, run_id: str, out: BinaryIO, *, escape: bool) -> Exit:
    """Write one run of a store as a stream.

    Args:
        escape: whether `out` is a terminal.

    Raises:
        ConfigError: there is no such store, or no such run in it.
        StoreError: it cannot be read any further.
    """
    with reading(path) as store:
        check_run(store, run_id, path)
        rows = sorted(_rows(store, run_id), key=lambda row: row[0])
    ended = False
    for event in emit_states((kind, wire) for _, kind, wire in rows):
        out.write(_block(event, escape=escape))
        ended = event.name == "done"
    out.flush()
    if not ended:
        note(f"{path}: run {run_id} has not ended; its stream is written without an end")
    return Exit.OK


def _rows(store: sqlite3.Connection, run_id: str) -> Iterator[tuple[int, Kind, bytes]]:
    """The objects of a run: where each appeared, its kind, and its JSON."""
    for kind in _KINDS:
        for row in find(store, kind, run=run_id):
            yield row["first_position"], kind, row["state"].encode()
