"""The order of things in a replay, and its end when somebody interrupts it."""

import io
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamproc.cli.exits import Exit
from streamproc.cli.inputs import InputError, Source
from streamproc.cli.interrupts import interrupts_held
from streamproc.cli.keeping import keeping
from streamproc.cli.output import Output, Printer
from streamproc.cli.progress import ProgressBar
from streamproc.cli.replay import replay
from streamproc.cli.stored import reading
from streamproc.stores.queries import journal_after
from tests.streams import run, sse, step


def script(data: bytes, then: BaseException) -> Source:
    """A source that yields bytes and then raises."""

    class Script(Source):
        def chunks(self) -> Iterator[bytes]:
            yield data
            raise then

    return Script("script", None)


def play(output: Output, *sources: Source) -> tuple[Exit, list[dict[str, object]]]:
    out = io.BytesIO()
    code = replay(sources, "assistants", Printer(output, out, escape=False), ProgressBar(None))
    return code, [json.loads(line) for line in out.getvalue().splitlines()]


OPEN = sse(run("created"), step())


def test_interrupt_prints_what_was_merged(capsys: pytest.CaptureFixture[str]) -> None:
    """Inputs that follow are not read; nothing is said to be truncated, since nobody knows."""
    code, lines = play("steps", script(OPEN, KeyboardInterrupt()), script(OPEN, AssertionError()))

    assert code == Exit.INTERRUPTED
    assert [(line["id"], "truncated" in line) for line in lines] == [("step_1", False)]
    assert capsys.readouterr().err == "streamproc: script: interrupted; what came before is merged\n"


def test_interrupt_counts_what_was_merged() -> None:
    """The summary has a line for the input that was interrupted."""
    code, (line,) = play("summary", script(OPEN, KeyboardInterrupt()))

    assert code == Exit.INTERRUPTED
    assert (line["changes"], line["error"]) == (2, "interrupted")


def test_interrupt_after_merging_waits_for_keeping_and_printing(tmp_path: Path) -> None:
    """A chunk is merged, kept and printed, or not read at all."""

    class Interrupted(ProgressBar):
        """The bar moves when a chunk is merged and not kept yet."""

        def advance(self, size: int, name: str) -> None:
            signal.raise_signal(signal.SIGINT)

    out = io.BytesIO()
    printer = Printer("changes", out, escape=False)
    db = str(tmp_path / "runs.db")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
    try:
        with interrupts_held() as waiting, keeping(db) as keeper:
            sources = [script(OPEN, AssertionError())]
            code = replay(sources, "assistants", printer, Interrupted(None), keeper, waiting)
    finally:
        signal.signal(signal.SIGINT, before)
    printed = [json.loads(line)["event"] for line in out.getvalue().splitlines()]
    with reading(db) as store:
        kept = [change.event for change in journal_after(store, 0).changes]

    assert code == Exit.INTERRUPTED
    assert kept == printed == ["thread.run.created", "thread.run.step.created"]


def test_input_that_breaks_off_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """A read error ends the stream there."""
    code, lines = play("steps", script(OPEN, InputError("reading stopped: gone", Exit.DATA)))

    assert code == Exit.DATA
    assert [line["truncated"] for line in lines] == [True]
    assert capsys.readouterr().err == "streamproc: script: reading stopped: gone; what came before is merged\n"


def test_changes_are_not_held_back() -> None:
    """They are out when the next chunk is asked for."""
    out = io.BytesIO()
    seen: list[int] = []

    class Watched(Source):
        def chunks(self) -> Iterator[bytes]:
            yield sse(run("created"))
            seen.append(out.getvalue().count(b"\n"))
            yield sse(step())
            seen.append(out.getvalue().count(b"\n"))

    replay([Watched("watched", None)], "assistants", Printer("changes", out, escape=False), ProgressBar(None))

    assert seen == [1, 2]
