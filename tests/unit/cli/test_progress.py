"""The progress bar: when it appears, and that it leaves nothing behind."""

import io
from contextlib import redirect_stderr

import pytest

from streamproc.cli.progress import ProgressBar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    return Terminal()


def clock(*times: float) -> "Clock":
    return Clock(list(times))


class Clock:
    """Hands out prepared times, the last one for ever."""

    def __init__(self, times: list[float]) -> None:
        self.times = times

    def __call__(self) -> float:
        return self.times.pop(0) if len(self.times) > 1 else self.times[0]


def test_short_input_shows_none(screen: Terminal) -> None:
    """Neither large nor slow."""
    with redirect_stderr(screen):
        bar = ProgressBar(1000, clock=clock(0.0, 0.1))
        bar.advance(500, "run.sse")
        bar.hide()

    assert screen.getvalue() == ""


def test_large_input_shows_one_at_once(screen: Terminal) -> None:
    """Its name is data: nothing in it acts on the terminal."""
    with redirect_stderr(screen):
        bar = ProgressBar(10 * 2**20, clock=clock(0.0))
        bar.advance(2**20, "run\x1b[2J.sse")
        bar.hide()

    assert "run[2J.sse" in screen.getvalue()
    assert "1.0/10.5 MB" in screen.getvalue()
    assert screen.getvalue().endswith("\x1b[2K")


def test_slow_input_shows_one_after_a_while(screen: Terminal) -> None:
    """Its size is not known; hidden, it comes back with the next bytes."""
    with redirect_stderr(screen):
        bar = ProgressBar(None, clock=clock(0.0, 0.4, 0.6))
        bar.advance(100, "stdin")
        soon = screen.getvalue()
        bar.advance(100, "stdin")
        bar.hide()
        later = screen.getvalue()
        bar.advance(100, "stdin")
        bar.hide()

    assert soon == ""
    assert "200/? bytes" in later
    assert "300/? bytes" in screen.getvalue()[len(later) :]


@pytest.mark.parametrize("term", ["xterm", "dumb"])
@pytest.mark.parametrize("enabled", [True, False])
def test_pipes_and_others_show_none(
    monkeypatch: pytest.MonkeyPatch, screen: Terminal, term: str, enabled: bool
) -> None:
    """Nor does a terminal that cannot draw, or one that is busy with other lines."""
    monkeypatch.setenv("TERM", term)
    pipe = io.StringIO()
    with redirect_stderr(pipe if term == "xterm" and enabled else screen):
        bar = ProgressBar(10 * 2**20, enabled=enabled, clock=clock(0.0))
        bar.advance(2**20, "run.sse")
        bar.hide()

    assert screen.getvalue() == pipe.getvalue() == ""
