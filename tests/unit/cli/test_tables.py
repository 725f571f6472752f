"""The tables that people see."""

import pytest

from streamproc import StreamProcessor
from streamproc.cli.tables import show_states
from streamproc.core.body import Kind
from tests.streams import call, creation, done, message, run, sse, step, text

LONG_ID = "step_Wp7GaWj01zF8JE5noXSBxYVd"


@pytest.fixture
def proc() -> StreamProcessor:
    proc = StreamProcessor()
    proc.feed(
        sse(
            run("created", model="gpt-4o"),
            step("created", LONG_ID, call("{}", name="f"), call('{"a": 1}', name="g")),
            step("created", "step_2", step_details=creation()),
            message("completed", "msg_1", text("[bold]Hello[/bold] :smile:")),
            run("expired", model="gpt-4o"),
            done(),
        )
    )
    return proc


@pytest.mark.parametrize(
    ("kind", "rows"),
    [
        (
            "step",
            [
                "step_Wp7GaWj0… f {} in_progress",
                'g {"a": 1}',
                "step_2 message [bold]Hello[/bold] :smile: in_progress",
                "(run expired)",
            ],
        ),
        ("message", ["msg_1 assistant completed [bold]Hello[/bold] :smile:"]),
        ("run", ["run_1 expired gpt-4o"]),
    ],
)
def test_rows(
    proc: StreamProcessor,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    kind: Kind,
    rows: list[str],
) -> None:
    """A row for each tool call, message or run; markup in the data is shown as it stands."""
    monkeypatch.setenv("COLUMNS", "110")
    show_states(kind, proc.reducer, ["a.sse", "b\x1b.sse"])
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]

    assert lines[0] == "a.sse, b.sse"
    assert [row for row in rows if not any(line.startswith(row) for line in lines)] == []


def test_wide_terminals_show_whole_ids(
    proc: StreamProcessor, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Narrow ones need the room for what the step did."""
    monkeypatch.setenv("COLUMNS", "140")
    show_states("step", proc.reducer, [])

    assert LONG_ID in capsys.readouterr().out


def test_more_rows_than_anybody_reads(capsys: pytest.CaptureFixture[str]) -> None:
    """The rest is counted."""
    proc = StreamProcessor()
    proc.feed(sse(*(run("created", f"run_{number}") for number in range(502))))
    show_states("run", proc.reducer, [])
    captured = capsys.readouterr()

    assert "run_499" in captured.out
    assert "run_500" not in captured.out
    assert captured.err == "streamproc: 2 more runs are not shown; --json prints them all\n"


def test_empty_table_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """That there is nothing is said instead."""
    show_states("message", StreamProcessor().reducer, ["run.sse"])

    assert capsys.readouterr() == ("", "streamproc: run.sse: no messages\n")
