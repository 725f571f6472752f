"""`streamproc demo`: played, as a picture, and beside the published handler of the openai package."""

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from streamproc.cli import main
from streamproc.cli.bundled import bundled_streams, frames_of, merge
from streamproc.cli.compare import facts, last_words, merge_here
from streamproc.cli.oracle import Oracle

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "streamproc.cli"]
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def environment(**more: str) -> Mapping[str, str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, **more}


# --- the built-in run -------------------------------------------------------------------------------------------------


def test_built_in_run_is_what_it_says() -> None:
    """A code interpreter with output, two calls whose fragments interleave, a wait, outputs, and a cited message."""
    first, second = ([(frame.event, frame.data) for frame in frames_of([stream])] for stream in bundled_streams())
    deltas = [json.loads(data)["delta"] for name, data in first if name == "thread.run.step.delta"]
    calls = [delta["step_details"]["tool_calls"][0] for delta in deltas]
    functions = [call["index"] for call in calls if call["type"] == "function"]
    text = next(json.loads(data)["content"][0]["text"] for name, data in second if name == "thread.message.completed")
    (citation,) = text["annotations"]

    assert [name for name, _ in first][-2:] == ["thread.run.requires_action", "done"]
    assert second[0][0] == "thread.run.step.completed"
    assert [name for name, _ in second][-2:] == ["thread.run.completed", "done"]
    assert functions == [0, 1] * (len(functions) // 2)
    assert len(functions) > 8
    assert text["value"][citation["start_index"] : citation["end_index"]] == citation["text"]


def test_built_in_run_has_no_oddity() -> None:
    """All three steps end as the server said, with usage that adds up, and nothing was tolerated."""
    proc, changes = merge(bundled_streams())
    (run,) = merge_here(bundled_streams()).runs.values()
    spent = [step["usage"] for step in merge_here(bundled_streams()).steps.values()]

    assert dict(proc.anomalies) == {}
    assert changes > 90
    assert merge_here(bundled_streams()).steps == last_words(bundled_streams())
    assert run["status"] == "completed"
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert run["usage"][name] == sum(usage[name] for usage in spent)


# --- played -----------------------------------------------------------------------------------------------------------


def test_demo_ends_with_the_final_states(capsys: pytest.CaptureFixture[str]) -> None:
    """Where nobody watches it is not played, and the counts are those of the streams."""
    code = main(["demo"])
    out = capsys.readouterr().out

    assert code == 0
    assert out.count("completed") == 4
    assert "in_progress" not in out
    assert [out.count(tool) for tool in ("code_interpreter", "get_weather", "message")] == [1, 2, 1]
    assert f"\n{len(frames_of(bundled_streams()))} events, " in out
    assert re.search(r"^\d+\.\d µs per event, measured in this process$", out, re.MULTILINE)


@pytest.mark.slow
def test_demo_is_played_on_a_terminal() -> None:
    """Steps are seen on their way; what stays on the screen is the end."""
    leader, follower = pty.openpty()
    child = subprocess.Popen(
        [*COMMAND, "demo", "--speed", "1000"],
        stdout=follower,
        stderr=follower,
        env=environment(TERM="xterm", COLUMNS="100"),
    )
    os.close(follower)
    shown = bytearray()
    while True:
        try:
            data = os.read(leader, 65536)
        except OSError:  # EIO: the child is gone
            break
        if not data:
            break
        shown += data
    os.close(leader)
    frames = ESCAPES.sub("", shown.decode()).split("arguments and output")

    assert child.wait() == 0
    assert len(frames) > 50
    assert any("requires_action" in frame for frame in frames[:-1])
    assert any('{"city": "Ber' in frame and '"Bergen"' not in frame for frame in frames[:-1])
    assert "in_progress" not in frames[-1]


# --- the picture ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [[], ["--compare"]], ids=["demo", "compare"])
def test_picture_is_the_same_each_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """Whatever the terminal: no timing is in it, and nothing that has to be fetched."""
    one, two = tmp_path / "one.svg", tmp_path / "two.svg"
    assert main(["demo", *words, "--svg", str(one)]) == 0
    for name, value in {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "40"}.items():
        monkeypatch.setenv(name, value)
    assert main(["demo", *words, "--svg", str(two)]) == 0
    picture = one.read_text(encoding="utf-8")

    assert picture == two.read_text(encoding="utf-8")
    assert "µs" not in picture
    assert "url(" not in picture.replace("url(#", "")
    assert "get_weather" in picture


def test_picture_that_cannot_be_written_is_bad_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The reason is told in one line."""
    path = tmp_path / "missing" / "demo.svg"

    assert main(["demo", "--svg", str(path)]) == 2
    assert capsys.readouterr().err == f"streamproc: {path}: cannot be written: No such file or directory\n"


# --- compared ---------------------------------------------------------------------------------------------------------


def test_comparison_shows_both(capsys: pytest.CaptureFixture[str]) -> None:
    """What it concludes is what the two hold: counted here once more, from the events and the handlers."""
    code = main(["demo", "--compare"])
    out = capsys.readouterr().out
    truth = last_words(bundled_streams())
    theirs = Oracle().merge(bundled_streams())
    right = sum(theirs.steps.get(id) == step for id, step in truth.items())

    assert code == 0
    assert f"openai {right} of 3, streamproc 3 of 3\n" in out
    assert re.search(r"openai \d+, streamproc \d+\.\d\n", out)


def test_comparison_marks_what_differs(capsys: pytest.CaptureFixture[str]) -> None:
    """As many marks as there are facts that the handlers lack or have otherwise."""
    main(["demo", "--compare"])
    out = capsys.readouterr().out
    theirs, ours = Oracle().merge(bundled_streams()), merge_here(bundled_streams())
    differing = 0
    for table, other in ((ours.runs, theirs.runs), (ours.steps, theirs.steps), (ours.messages, theirs.messages)):
        for id, data in table.items():
            have = facts(other.get(id, {}))
            differing += sum(have.get(label) != value for label, value in facts(data).items())

    assert out.count("✗ ") == differing + 1  # and once in the legend


def test_published_handlers_see_every_event() -> None:
    """The comparison is a fair one: each handler read its stream to the end, and holds the run as it was sent last."""
    first, second = Oracle().read(bundled_streams())

    assert first.get_final_run().status == "requires_action"
    assert second.get_final_run().status == "completed"
    assert [step.id for step in first.get_final_run_steps()] + [step.id for step in second.get_final_run_steps()] == [
        *merge_here(bundled_streams()).steps
    ]


def test_facts_leave_out_what_is_not_there() -> None:
    """Null and absent are no facts."""
    assert facts({}) == {}
    assert facts({"status": "completed", "usage": None, "step_details": None}) == {"status": "completed"}


@pytest.mark.slow
def test_missing_openai_package_is_named() -> None:
    """One line says how to get it."""
    code = "import sys; sys.modules['openai'] = None\nfrom streamproc.cli import main\nsys.exit(main())"
    done: Any = subprocess.run(
        [sys.executable, "-c", code, "demo", "--compare"], capture_output=True, text=True, env=environment()
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "streamproc: demo --compare needs the openai package: pip install openai\n"
