"""`streamproc demo`: the built-in run played live, or compared, and the picture of the final screen."""

import io
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from streamproc.cli.bundled import bundled_streams, frames_of, merge, microseconds_per_event
from streamproc.cli.exits import Exit
from streamproc.cli.notes import note
from streamproc.cli.output import states
from streamproc.core.processor import StreamProcessor
from streamproc.display.tables import run_caption, steps_table
from streamproc.model.run_step import RunStep

__all__ = ["demo"]

_LENGTH_S: Final = 3.5  # at --speed 1
_WIDTH: Final = 100  # of the picture; the screen is no wider either


class _Show(Protocol):
    """What there is to see at the end."""

    def screen(self, width: int) -> RenderableType:
        """The final screen; nothing in it differs from one run of the command to the next."""
        ...

    def timing(self) -> str:
        """What was measured: on the terminal only, since it does differ."""
        ...


def demo(*, compare: bool, svg: str | None, speed: float) -> Exit:
    """Play the run, or compare what two programs make of it.

    Args:
        compare: beside the openai package's event handler, which must be installed.
        svg: a file for the picture of the final screen.
        speed: 2 plays twice as fast; only a terminal is played to.
    """
    console = Console(highlight=False, markup=False, emoji=False)
    console.width = min(console.width, _WIDTH)
    streams = bundled_streams()
    show: _Show
    if compare:
        try:
            from streamproc.cli.compare import Comparison
        except ModuleNotFoundError as error:
            if error.name != "openai":
                raise
            note("demo --compare needs the openai package: pip install openai")
            return Exit.USAGE
        show = Comparison(streams)
    else:
        if console.is_terminal:
            _play(streams, console, speed)
        show = _Played(streams)
    console.print(show.screen(console.width))
    console.print(Text(show.timing(), style="dim"))
    return _save(show, svg) if svg is not None else Exit.OK


class _Played:
    """The run after its last event."""

    def __init__(self, streams: Sequence[bytes]) -> None:
        self._streams = streams
        self._proc, self._changes = merge(streams)

    def screen(self, width: int) -> RenderableType:
        events, steps = len(frames_of(self._streams)), len(self._proc.steps)
        counts = f"{events} events, {self._changes} changes, {steps} steps, {len(self._streams)} streams of one run"
        return Group(_table(self._proc, width), Text(counts))

    def timing(self) -> str:
        return f"{microseconds_per_event(self._streams, merge):.1f} µs per event, measured in this process"


def _play(streams: Sequence[bytes], console: Console, speed: float) -> None:
    """Show the table while it grows, event by event."""
    pause_s = _LENGTH_S / speed / len(frames_of(streams))
    proc = StreamProcessor(stream="demo")
    with Live(console=console, auto_refresh=False, transient=True) as live:
        for stream in streams:
            proc.open()
            for event in stream.split(b"\n\n"):
                if proc.feed(event + b"\n\n"):
                    live.update(_table(proc, console.width), refresh=True)
                time.sleep(pause_s)
            proc.close()


def _table(proc: StreamProcessor, width: int) -> Table:
    steps = [(state, beside) for state, beside in states("step", proc.reducer) if isinstance(state, RunStep)]
    table = steps_table(steps, proc.messages, width)
    table.caption_justify = "left"
    for run in proc.runs.values():
        table.caption = run_caption(run)
    return table


def _save(show: _Show, path: str) -> Exit:
    """Write the picture: the same bytes each time, whatever the terminal and its settings."""
    canvas = Console(
        record=True, width=_WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor", _environ={}
    )
    canvas.print(show.screen(_WIDTH))
    picture = canvas.export_svg(title="streamproc demo", unique_id="streamproc-demo")
    # rich links a font on the web; a picture that is shown in a page would not load it anyway.
    picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)
    try:
        Path(path).write_text(picture, encoding="utf-8")
    except OSError as error:
        note(f"{path}: cannot be written: {error.strerror or error}")
        return Exit.USAGE
    return Exit.OK
