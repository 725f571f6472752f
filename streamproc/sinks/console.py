"""ConsoleSink: a table of steps in the terminal that changes as they do.

The table is drawn by a thread of rich's, a few times a second, so that a write costs the changes in it and not a
drawing. What that thread reads is never changed afterwards: frozen states, exchanged as a whole by each write.
"""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import anyio
import anyio.to_thread
import structlog
from msgspec import Struct

from streamproc.core.change import Change, Note
from streamproc.errors import ConfigError
from streamproc.model.message import Message
from streamproc.model.run import Run
from streamproc.model.run_step import RunStep

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.table import Table

__all__ = ["ConsoleSink"]

log = structlog.get_logger("streamproc")

_REFRESH_PER_S: Final = 10
_CLOSE_S: Final = 5.0  # how long leaving waits for a terminal that takes nothing
_LINES_OF_STEP: Final = 2  # on average: how many steps fit on a screen is an estimate


class _Seen(Struct, frozen=True):
    """The newest known state of one object."""

    position: tuple[int, int]  # epoch and revision
    state: Any
    note: Note


class _Shown(Struct, frozen=True):
    """What there is to draw."""

    steps: tuple[tuple[RunStep, Note], ...] = ()
    messages: Mapping[str, Message] = {}
    run: Run | None = None


class ConsoleSink:
    """Shows steps as they grow, the newest that fit on the screen; all that it kept when it is left.

    Promise: at-least-once delivery, idempotent apply: an older state of an object never replaces a newer one. Where the
    console is no terminal only the final table is printed. Text from data is shown as text, whatever it holds.

    Needs the `cli` extra. While it is entered, what the program prints appears above the table.
    """

    def __init__(self, console: "Console | None" = None, *, maximum: int = 200) -> None:
        """
        Args:
            console: where to draw; standard output by default.
            maximum: how many steps are kept, and how many messages; the oldest go first.

        Raises:
            ConfigError: `maximum` is below 1, or the extra is not installed.
        """
        if maximum < 1:
            raise ConfigError(f"maximum is {maximum}; expected 1 or more steps")
        if find_spec("rich") is None:
            raise ConfigError('ConsoleSink needs an extra: pip install "streamproc[cli]"')
        from rich.console import Console

        self._console = console or Console(highlight=False, markup=False, emoji=False)
        self._maximum = maximum
        self._steps: dict[str, _Seen] = {}
        self._messages: dict[str, _Seen] = {}
        self._runs: dict[str, _Seen] = {}  # one: the newest
        self._shown = _Shown()
        self._live: Live | None = None
        self._is_whole = not self._console.is_terminal  # whether all steps are drawn

    async def __aenter__(self) -> Self:
        from rich.live import Live

        self._is_whole = not self._console.is_terminal
        self._live = Live(console=self._console, get_renderable=self._table, refresh_per_second=_REFRESH_PER_S)
        self._live.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        live, self._live = self._live, None
        if live is None:
            return
        self._is_whole = True
        with anyio.move_on_after(_CLOSE_S, shield=True) as scope:
            await anyio.to_thread.run_sync(live.stop, abandon_on_cancel=True)
        if scope.cancelled_caught:
            log.warning("sink.close_abandoned", sink="console", waited_s=_CLOSE_S)

    async def write(self, batch: Sequence[Change]) -> None:
        """Take in the newest states of a batch; they are drawn within a tenth of a second."""
        newest: dict[tuple[str, str], Change] = {}
        for change in batch:
            before = newest.get((change.kind, change.id))
            if before is None or _position(change) >= _position(before):
                newest[change.kind, change.id] = change
        for change in newest.values():
            if change.kind == "step":
                _keep(change, self._steps, self._maximum)
            elif change.kind == "message":
                _keep(change, self._messages, self._maximum)
            elif change.kind == "run":
                _keep(change, self._runs, 1)
        self._shown = _Shown(
            tuple((seen.state, seen.note) for seen in self._steps.values()),
            {id: seen.state for id, seen in self._messages.items()},
            next((seen.state for seen in self._runs.values()), None),
        )

    def _table(self) -> "Table":
        """Drawn by another thread."""
        from streamproc.display.tables import run_caption, steps_table

        shown, size = self._shown, self._console.size
        steps = shown.steps if self._is_whole else shown.steps[-max(1, size.height // _LINES_OF_STEP) :]
        table = steps_table(steps, shown.messages, size.width)
        table.caption_justify = "left"
        table.caption = run_caption(shown.run) if shown.run is not None else None
        return table


def _keep(change: Change, seen: dict[str, _Seen], maximum: int) -> None:
    """Keep the state unless a newer one of its object is there; the object that appeared first makes room."""
    before = seen.get(change.id)
    if before is None or _position(change) >= before.position:
        seen[change.id] = _Seen(_position(change), change.state, change.note)
        if len(seen) > maximum:
            del seen[next(iter(seen))]


def _position(change: Change) -> tuple[int, int]:
    return change.epoch, change.revision
