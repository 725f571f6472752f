"""`streamproc replay`: recorded streams in, final states out.

Inputs are read in order and in chunks. Those that continue a run share a table of states; a table is printed when the
next input starts another one, and at the end, whatever happened: what was merged so far is never lost. An interrupt
comes while an input is waited for (see interrupts.py), so what was merged was kept and printed, too.
"""

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from sys import maxsize
from typing import TYPE_CHECKING, Final

from streamproc.cli.exits import Exit
from streamproc.cli.inputs import InputError, Source
from streamproc.cli.interrupts import Waiting
from streamproc.cli.notes import note
from streamproc.cli.opening import Opening, look_ahead
from streamproc.cli.output import Consumer
from streamproc.cli.progress import ProgressBar
from streamproc.cli.recordings import has_fields, lost_blank_lines, restore_blank_lines, why_no_stream
from streamproc.cli.tally import Tally
from streamproc.core.change import Change
from streamproc.core.limits import Limits
from streamproc.core.processor import StreamProcessor
from streamproc.core.reducer import Reducer
from streamproc.errors import LimitExceeded

if TYPE_CHECKING:
    from streamproc.cli.keeping import Keeper, Session

__all__ = ["replay"]

# Nothing may be forgotten before it is printed. Where nothing is printed at the end, runs that ended may go.
_KEEP_ALL: Final = Limits(max_open_runs=maxsize, max_closed_runs=maxsize, max_steps_per_run=maxsize)
_KEEP_OPEN: Final = Limits(max_open_runs=maxsize, max_steps_per_run=maxsize)

_CUT_SHORT: Final = "truncated: ends before its first event is complete, so there is nothing to show"


def replay(
    sources: Sequence[Source],
    dialect: str,
    printer: Consumer,
    progress: ProgressBar,
    keeper: "Keeper | None" = None,
    waiting: Waiting = iter,
) -> Exit:
    """Replay all inputs; a bad one does not stop the others.

    Args:
        keeper: keeps every change in a store, before it is printed.
        waiting: goes through an input; KeyboardInterrupt may come from it.

    Raises:
        ConfigError: there is no such dialect.
        BrokenPipeError: nobody reads stdout any more.
        StoreError: the store does not take any more; what it took before stays.
    """
    player = _Player(dialect, printer, progress, keeper, waiting)
    try:
        try:
            for source in sources:
                player.play(source)
        except KeyboardInterrupt:
            player.code = Exit.INTERRUPTED
        finally:
            progress.hide()
        player.end_table()
    finally:
        player.close()
    return player.code


class _Player:
    def __init__(
        self, dialect: str, printer: Consumer, progress: ProgressBar, keeper: "Keeper | None", waiting: Waiting
    ) -> None:
        self.code = Exit.OK
        self._dialect = dialect
        self._printer = printer
        self._progress = progress
        self._limits = _KEEP_ALL if printer.needs_states else _KEEP_OPEN
        self._keeper = keeper
        self._waiting = waiting
        self._session: Session | None = None
        self._reducer = self._new_reducer()
        self._names: list[str] = []  # of the inputs in the current table
        self._epochs: Counter[str] = Counter()

    def play(self, source: Source) -> None:
        """Merge one input and tell what was wrong with it."""
        tally = Tally(source.name)
        started = time.perf_counter()
        try:
            opening = self._open(source)
            if opening.has_events:
                self._merge(opening, tally)
                if opening.restored:  # what was put in between is not the input's
                    tally.size = source.size or tally.size
            else:
                tally.nothing = _why_nothing(opening, source)
                tally.truncated = tally.nothing == _CUT_SHORT
                tally.size = opening.size
        except InputError as error:  # before any event
            note(f"{source.name}: {error.reason}")
            self.code = max(self.code, error.code)
        except KeyboardInterrupt:
            tally.stopped = "interrupted"
            self._report(tally, started)
            raise
        else:
            self._report(tally, started)

    def _report(self, tally: Tally, started: float) -> None:
        tally.seconds = time.perf_counter() - started
        self._progress.hide()
        tally.tell()
        self._printer.input(tally)
        self.code = max(self.code, tally.code)

    def end_table(self) -> None:
        """Print the states merged so far; the next input starts a new table."""
        if self._names:
            self._printer.table(self._reducer if self._session is None else self._session.shown(), self._names)
        self._names = []

    def close(self) -> None:
        """Nothing more comes."""
        session, self._session = self._session, None
        if session is not None:
            session.close()

    def _new_reducer(self) -> Reducer:
        self.close()
        if self._keeper is None:
            return Reducer(self._limits)
        self._session = self._keeper(self._limits)
        return self._session.reducer

    def _open(self, source: Source) -> Opening:
        opening = look_ahead(self._waiting(source.chunks()), self._dialect)
        if not opening.has_events and source.can_be_read_again and lost_blank_lines(self._waiting(source.chunks())):
            note(f"{source.name}: holds no blank line between its events; read as if they were there")
            opening = look_ahead(restore_blank_lines(self._waiting(source.chunks())), self._dialect)
            opening.restored = True
        return opening

    def _merge(self, opening: Opening, tally: Tally) -> None:
        """Feed one input to the table it belongs to."""
        if self._names and not opening.continues(self._reducer):
            self.end_table()
            self._reducer = self._new_reducer()
        name = tally.name
        self._names.append(name)
        if self._session is None:
            self._epochs[name] += 1  # a file given twice starts over
        else:
            self._epochs[name] = self._session.next_epoch(name)
        # A processor of its own for each input: one stream, with its name and its counts. The states are shared.
        proc = StreamProcessor(self._dialect, self._reducer, self._limits, name, epoch=self._epochs[name])
        tally.anomalies = proc.anomalies
        try:
            try:
                self._feed(proc, opening.chunks, tally)
            except InputError as error:
                tally.stopped = error.reason
            ending = proc.close()
        except LimitExceeded as error:
            tally.stopped = f"not read to its end: {error}"
            proc.open()  # past the parser, which is finished, to mark what stays open
            ending = proc.close()
        self._emit(ending, tally)
        tally.truncated = proc.truncated

    def _feed(self, proc: StreamProcessor, chunks: Iterable[bytes], tally: Tally) -> None:
        for chunk in chunks:
            tally.size += len(chunk)
            if self._session is not None:
                proc.stamp(self._session.now())
            changes = proc.feed(chunk)
            self._progress.advance(len(chunk), tally.name)
            self._emit(changes, tally)

    def _emit(self, changes: Sequence[Change], tally: Tally) -> None:
        if self._session is not None:
            self._session.keep(changes)
        tally.count(changes)
        self._printer.changes(changes)


def _why_nothing(opening: Opening, source: Source) -> str:
    """Why an input gave no event, in one phrase."""
    if not opening.head:
        return "is empty; there is nothing to replay"
    if reason := why_no_stream(opening.head):
        return reason
    if opening.limit is not None:
        return f"holds no event: {opening.limit}"
    if not source.can_be_read_again and lost_blank_lines(opening.chunks):
        return "holds no blank line between its events; save it to a file, and replay repairs that"
    if has_fields(opening.head) or opening.head.startswith(b":"):  # comments keep a connection alive
        return _CUT_SHORT
    return "is no event stream; expected lines such as 'event: thread.run.created' and 'data: {...}'"
