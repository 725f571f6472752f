"""ConsoleSink: what is on the screen while steps change, and at the end."""

import re
import sys
from io import StringIO
from threading import Event

import anyio.to_thread
import pytest
from rich.console import Console
from structlog.testing import capture_logs

from streamproc import StreamProcessor
from streamproc.errors import ConfigError
from streamproc.sinks import console
from streamproc.sinks.console import ConsoleSink
from streamproc.testing.changes import odd_changes, ordinary_changes
from streamproc.testing.sinks import check_sink
from tests.streams import arguments, call, creation, run, sse, step, text, words
from tests.streams import message as message_event

OF_TERMINALS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")  # what rich itself sends: colours, cursor, erasing
ACTS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def screen(width: int = 110, height: int = 40, *, terminal: bool = False) -> tuple[Console, StringIO]:
    """A console and what was written on it."""
    file = StringIO()
    return Console(file=file, width=width, height=height, force_terminal=terminal, _environ={}), file


def rows(text: str) -> list[str]:
    """The lines with something on them, white space folded."""
    return [" ".join(line.split()) for line in OF_TERMINALS.sub("", text).splitlines() if line.strip(" ─\r")]


@pytest.mark.asyncio
async def test_final_table() -> None:
    """A row for each tool call; a message's text stands in the step that wrote it; the run stands below."""
    proc = StreamProcessor()
    changes = proc.feed(
        sse(
            run("created"),
            step("created", "step_1", call("", name="search", index=0)),
            arguments('{"q"'),
            arguments(':"[bold]a[/bold] :smile:"}'),
            step("created", "step_2", step_details=creation("msg_1")),
            message_event("created", "msg_1"),
            words("Hello"),
            words(" there"),
            run("failed", usage={"total_tokens": 7}),
        )
    )
    out, file = screen()
    async with ConsoleSink(out) as sink:
        for change in changes:
            await sink.write([change])

    assert rows(file.getvalue())[1:] == [
        'step_1 search {"q":"[bold]a[/bold] :smile:"} in_progress',
        "(run failed)",
        "step_2 message Hello there in_progress",
        "(run failed)",
        "run run_1 failed, 7 tokens",
    ]


@pytest.mark.asyncio
async def test_older_states_never_replace_newer_ones() -> None:
    """Within a batch, and in batches that come again."""
    changes = ordinary_changes("s", deltas=3)
    out, file = screen()
    async with ConsoleSink(out) as sink:
        await sink.write([*changes, *changes[:4]])
        await sink.write(changes[:-2])

    assert [row for row in rows(file.getvalue()) if "step_1" in row] == [
        "step_1 search word 0 word 1 word 2 completed 4"
    ]
    assert rows(file.getvalue())[-1] == "run run_1 completed"


@pytest.mark.asyncio
async def test_oldest_steps_make_room() -> None:
    """The same holds for messages; of runs the newest is shown."""
    proc = StreamProcessor()
    changes = proc.feed(
        sse(
            run("created"),
            *(step("completed", f"step_{n}", step_details=creation(f"msg_{n}")) for n in range(5)),
            *(message_event("completed", f"msg_{n}", text(f"text {n}")) for n in range(5)),
            run("created", "run_2"),
        )
    )
    out, file = screen()
    async with ConsoleSink(out, maximum=2) as sink:
        await sink.write(changes)

    assert rows(file.getvalue())[1:] == [
        "step_3 message text 3 completed",
        "step_4 message text 4 completed",
        "run run_2 queued",
    ]


@pytest.mark.asyncio
async def test_nothing_in_data_acts_on_a_terminal() -> None:
    """Escape sequences, markup, directional marks: in texts, in ids, in names."""
    proc = StreamProcessor()
    hostile = "\x1b[31m\x1b]0;title\x07\x9b2J\u202e[bold]b[/bold]"
    changes = proc.feed(
        sse(
            run("created", f"run{hostile}"),
            step("created", f"step{hostile}", call(hostile, name=hostile, output=hostile), status=hostile),
        )
    )
    out, file = screen(terminal=True)
    async with ConsoleSink(out) as sink:
        await sink.write([*changes, *odd_changes("odd")])
    shown = OF_TERMINALS.sub("", file.getvalue()).replace("\r", "")

    assert ACTS.findall(shown) == []
    assert "31m]0;title2J[bold]b[/bold]" in " ".join(shown.split())


@pytest.mark.asyncio
async def test_live_table_shows_the_newest_that_fit() -> None:
    """Until it is left: then there are all."""
    changes = StreamProcessor().feed(sse(*(step("created", f"step_{n}") for n in range(20))))
    out, file = screen(height=10, terminal=True)
    sink = ConsoleSink(out)
    async with sink:
        await sink.write(changes)
        live = sink._table().row_count
    last = file.getvalue().rpartition("step_0")[2]

    assert live == 5
    assert [row.split()[0] for row in rows(last) if "step_" in row] == [f"step_{n}" for n in range(1, 20)]


@pytest.mark.asyncio
async def test_what_the_program_prints_stands_above() -> None:
    """And standard output is its own again afterwards."""
    out, file = screen(terminal=True)
    before = sys.stdout
    async with ConsoleSink(out) as sink:
        await sink.write(ordinary_changes("s", deltas=1))
        sys.stdout.write("a line of the program's\n")

    assert "a line of the program's" in file.getvalue()
    assert sys.stdout is before


@pytest.mark.asyncio
async def test_terminal_that_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody pressed Ctrl-S: leaving gives up waiting, and says so."""
    monkeypatch.setattr(console, "_CLOSE_S", 0.01)
    go_on, done = Event(), Event()

    class Stuck(StringIO):
        def write(self, text: str, /) -> int:
            assert go_on.wait(10)
            done.set()
            return super().write(text)

    with capture_logs() as logs:
        async with ConsoleSink(Console(file=Stuck(), width=80)) as sink:
            await sink.write(ordinary_changes("s", deltas=1))
    go_on.set()
    await anyio.to_thread.run_sync(done.wait, 10)

    assert logs == [
        {"event": "sink.close_abandoned", "log_level": "warning", "sink": "console", "waited_s": 0.01},
    ]


@pytest.mark.asyncio
async def test_leaving_twice_is_harmless() -> None:
    out, file = screen()
    sink = ConsoleSink(out)
    async with sink:
        await sink.write(ordinary_changes("s", deltas=1))
    shown = file.getvalue()
    await sink.__aexit__(None, None, None)

    assert file.getvalue() == shown


def test_standard_output_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    async def use() -> None:
        async with ConsoleSink() as sink:
            await sink.write(ordinary_changes("s", deltas=1))

    anyio.run(use)

    assert "step_1" in capsys.readouterr().out


def test_settings_that_cannot_work() -> None:
    with pytest.raises(ConfigError, match="maximum is 0; expected 1 or more steps"):
        ConsoleSink(maximum=0)


def test_extra_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "find_spec", lambda name: None)

    with pytest.raises(ConfigError, match=r'needs an extra: pip install "streamproc\[cli\]"'):
        ConsoleSink()


@pytest.mark.asyncio
@pytest.mark.parametrize("terminal", [True, False])
async def test_keeps_the_contract(terminal: bool) -> None:
    await check_sink(lambda: ConsoleSink(screen(terminal=terminal)[0]))
