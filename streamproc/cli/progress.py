"""The progress bar of a long replay: on stderr, and only when that is a terminal."""

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from streamproc.display.terminal import clean, is_terminal

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["ProgressBar"]

_LONG_BYTES: Final = 4 * 2**20
_LONG_S: Final = 0.5


class ProgressBar:
    """Appears by itself once the input proves long, and vanishes when hidden or closed."""

    def __init__(self, total: int | None, *, enabled: bool = True, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            total: all bytes there are to read, when that is known.
            enabled: whether it may appear at all.
            clock: seconds, from anywhere.
        """
        self._total = total
        self._clock = clock
        self._started = clock()
        self._done = 0
        self._enabled = enabled and is_terminal(sys.stderr)
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def advance(self, size: int, name: str) -> None:
        """So many bytes more were read from the input called `name`."""
        self._done += size
        if not self._enabled:
            return
        if self._bar is None and ((self._total or 0) > _LONG_BYTES or self._clock() - self._started > _LONG_S):
            self._show()
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done, name=clean(name))

    def hide(self) -> None:
        """Clear the way for other output; the next `advance` brings it back."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._task = None

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        console = Console(stderr=True)
        self._enabled = console.is_interactive  # a dumb terminal cannot draw one
        if not self._enabled:
            return
        self._bar = Progress(
            TextColumn("{task.fields[name]}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            console=console,
            transient=True,
            redirect_stdout=False,  # programs may read it
        )
        self._task = self._bar.add_task("", total=self._total, name="")
        self._bar.start()
