"""`streamproc replay`, in this process where that is enough and as a process where it is not."""

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from msgspec import UNSET

import streamproc
import streamproc.cost
from streamproc import Event, StreamProcessor, encode_change
from streamproc.cli import main
from tests.integration.signals import heed_interrupts, interrupt
from tests.prices import round_prices
from tests.streams import arguments, call, creation, done, error, event, message, run, sse, step, thread, words

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "streamproc.cli"]
TERMINAL = ("completed", "failed", "cancelled", "expired")


class Result(NamedTuple):
    code: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def told(self) -> list[str]:
        return self.err.splitlines()


Replay = Callable[..., Result]


@pytest.fixture
def replay(capfdbinary: pytest.CaptureFixture[bytes]) -> Replay:
    """Runs `streamproc replay` in this process."""

    def call(*words: object) -> Result:
        code = main(["replay", *map(str, words)])
        captured = capfdbinary.readouterr()
        return Result(code, captured.out, captured.err.decode())

    return call


def environment(**more: str) -> Mapping[str, str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, **more}


def process(*words: object, stdin: bytes = b"", code: str = "") -> Result:
    """Runs the command line in a process of its own; `code` runs in it first."""
    command = [sys.executable, "-c", f"{code}\nfrom streamproc.cli import main\nimport sys\nsys.exit(main())"]
    done = subprocess.run(
        [*(command if code else COMMAND), *map(str, words)], input=stdin, capture_output=True, env=environment()
    )
    return Result(done.returncode, done.stdout, done.stderr.decode())


def on_terminal(*words: object, columns: int = 130, term: str = "dumb") -> tuple[int, str]:
    """Runs it on a pseudo-terminal that is stdin, stdout and stderr; returns the exit code and what it showed."""
    leader, follower = pty.openpty()
    child = subprocess.Popen(
        [*COMMAND, *map(str, words)],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env=environment(TERM=term, COLUMNS=str(columns)),
    )
    os.close(follower)
    shown = bytearray()
    while True:
        try:
            data = os.read(leader, 65536)
        except OSError:  # EIO: the last process that had it open is gone
            break
        if not data:
            break
        shown += data
    os.close(leader)
    return child.wait(), shown.decode()


def write(folder: Path, name: str, *events: Event) -> Path:
    path = folder / name
    path.write_bytes(sse(*events))
    return path


def terminal_snapshots(path: Path) -> dict[str, Any]:
    """Step id -> its terminal snapshot, read off the lines of a recording and by nothing of the package."""
    lines = path.read_bytes().replace(b"\r\n", b"\n").split(b"\n")
    names = {f"event: thread.run.step.{status}".encode() for status in TERMINAL}
    pairs = pairwise(lines)
    found = [json.loads(data.removeprefix(b"data: ")) for name, data in pairs if name in names]
    return {snapshot["id"]: snapshot for snapshot in found}


# --- recordings -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_each_recorded_step_is_printed_as_its_terminal_snapshot(corpus: Path, replay: Replay) -> None:
    """Unknown members included, absent ones absent, in all recordings that hold such a snapshot."""
    files = steps = 0
    for path in sorted((corpus / "assistants").glob("*.sse")):
        snapshots = terminal_snapshots(path)
        printed = {state["id"]: state for state in replay(path).lines}
        assert {id: printed.get(id) for id in snapshots} == snapshots, path.name
        files += bool(snapshots)
        steps += len(snapshots)

    assert (files, steps) == (24, 40)


@pytest.mark.parametrize("name", ["ThreadRunStreamResponse", "ThreadRunStreamResponseFixture"])
def test_recording_without_blank_lines_is_repaired_and_said_so(corpus: Path, replay: Replay, name: str) -> None:
    """Its step is printed all the same, and its size is the file's."""
    (path,) = (corpus / "assistants").glob(f"*__{name}.*.sse")
    result = replay(path)

    assert result.code == 0
    assert result.lines == list(terminal_snapshots(path).values())
    assert result.told == [
        f"streamproc: {path}: holds no blank line between its events; read as if they were there",
    ]
    assert replay(path, "--output", "summary").lines[0]["bytes"] == path.stat().st_size


@pytest.mark.parametrize("commit", ["56eb4dd", "a777478"])
def test_two_streams_of_one_run_are_one_table(corpus: Path, replay: Replay, commit: str) -> None:
    """The step that waits for its output in the first stream ends in the second, and is printed once."""
    first, second = sorted((corpus / "assistants").glob(f"*__StreamingToolCall.i*.{commit}.sse"))
    alone, both = replay(first).lines, replay(first, second)

    assert both.code == 0
    assert [state["status"] for state in alone] == ["in_progress"]
    assert both.lines == list(terminal_snapshots(second).values())
    assert [state["id"] for state in both.lines][:1] == [state["id"] for state in alone]
    assert [state["status"] for state in both.lines] == ["completed", "completed"]
    assert replay(first, second, "--output", "runs").lines[0]["status"] == "completed"


@pytest.mark.slow
def test_all_recordings_at_once_are_not_mixed_up(corpus: Path, replay: Replay) -> None:
    """The recordings reuse ids such as step_001, so each prints what it prints alone, whatever came before it."""
    paths = sorted((corpus / "assistants").glob("*.sse"))
    together = replay(corpus / "assistants" / "*.sse")
    one_by_one = [state for path in paths for state in replay(path).lines]

    assert len(paths) == 33
    assert together.lines == one_by_one
    assert together.code == 1


# --- tables of states -------------------------------------------------------------------------------------------------


def test_continuation_needs_a_known_open_run(tmp_path: Path, replay: Replay) -> None:
    """What begins a run of its own, or concerns another or an ended one, starts a new table."""
    waits = write(tmp_path, "1.sse", run("created"), step(), run("requires_action"), done())
    goes_on = write(tmp_path, "2.sse", step("completed"), run("completed"), done())
    other = write(tmp_path, "3.sse", step("completed", run_id="run_2"), run("completed", "run_2"), done())
    begins = write(tmp_path, "4.sse", thread(), run("created"), step(metadata={"again": "1"}), run("requires_action"))

    def statuses(*paths: Path) -> list[tuple[str, str]]:
        return [(state["run_id"], state["status"]) for state in replay(*paths).lines]

    assert statuses(waits, goes_on) == [("run_1", "completed")]
    assert statuses(waits, other) == [("run_1", "in_progress"), ("run_2", "completed")]
    assert statuses(waits, begins) == [("run_1", "in_progress")] * 2
    assert statuses(waits, goes_on, goes_on) == [("run_1", "completed")] * 2


@pytest.mark.parametrize(
    "first",
    [
        arguments("b"),
        words("hello"),
        event("thread.run.step.delta", {"id": "step_9", "delta": {}}),
        event("thread.message.delta", {"id": "msg_9", "delta": {}}),
        step("in_progress", run_id=UNSET),
    ],
    ids=["known step", "known message", "unknown step", "unknown message", "no run"],
)
def test_stream_that_goes_on_with_a_delta_continues_when_its_object_is_known(
    tmp_path: Path, replay: Replay, first: Event
) -> None:
    """A delta names no run; it belongs to the run of its object."""
    one = write(tmp_path, "1.sse", run(), step("created", "step_1", call("a")), message(), step("created", "step_2"))
    two = write(tmp_path, "2.sse", first, run("completed"), done())
    runs = replay(one, two, "--output", "runs").lines

    known = first.data["id"] in ("step_1", "msg_1") and "delta" in first.data
    assert [state["status"] for state in runs] == (["completed"] if known else ["in_progress", "completed"])


def test_damaged_first_event_still_begins_a_run(tmp_path: Path, replay: Replay) -> None:
    """The payload of run.created may be no JSON: the stream does not continue the one before it."""
    one = write(tmp_path, "1.sse", run(), step(), run("requires_action"), done())
    two = write(tmp_path, "2.sse", event("thread.run.created", "{broken"), step("completed"), done())
    result = replay(one, two)

    assert [state["status"] for state in result.lines] == ["in_progress", "completed"]
    assert result.code == 1


def test_file_given_twice_is_a_later_epoch_of_its_stream(tmp_path: Path, replay: Replay) -> None:
    """Stream, epoch and seq name a change, so they must differ."""
    path = write(tmp_path, "1.sse", run("created"), run("completed"), done())
    changes = replay(path, path, "-o", "changes").lines

    assert [(change["stream"], change["epoch"], change["seq"]) for change in changes] == [
        (str(path), 1, 1),
        (str(path), 1, 2),
        (str(path), 2, 1),
        (str(path), 2, 2),
    ]


# --- outputs ----------------------------------------------------------------------------------------------------------

STREAM = (
    run("created"),
    step("created", "step_1", call("{}", id="call_1", name="f")),
    step("completed", "step_1", call("{}", id="call_1", name="f", output="ok")),
    step("created", "step_2", step_details=creation()),
    message(),
    words("hello"),
    run("completed", usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}),
    done(),
)


def test_changes_are_the_library_s(tmp_path: Path, replay: Replay) -> None:
    """Line by line what `encode_change` makes of the same bytes."""
    path = write(tmp_path, "run.sse", *STREAM)
    proc = StreamProcessor(stream=str(path))
    expected = [encode_change(change) for change in [*proc.feed(path.read_bytes()), *proc.close()]]

    assert replay(path, "--output", "changes").out.splitlines() == expected


def test_what_is_only_inferred_stands_beside(tmp_path: Path, replay: Replay) -> None:
    """The run ended with a step and a message open; their status stays the server's."""
    path = write(tmp_path, "run.sse", *STREAM)
    closed, open_step = replay(path).lines
    (open_message,) = replay(path, "--output", "messages").lines

    assert "inferred_status" not in closed
    assert (open_step["status"], open_step["inferred_status"]) == ("in_progress", "completed")
    assert (open_message["status"], open_message["inferred_status"]) == ("in_progress", "completed")
    assert open_message["content"][0]["text"]["value"] == "hello"


def test_summary_counts(tmp_path: Path, replay: Replay) -> None:
    """One line holds the counts of an input."""
    path = write(tmp_path, "run.sse", *STREAM, event("thread.run.step.completed", "no json"))
    (line,) = replay(path, "--output", "summary").lines
    seconds, rate = line.pop("seconds"), line.pop("mb_per_s")

    assert line == {
        "file": str(path),
        "bytes": path.stat().st_size,
        "changes": 11,
        "runs": 1,
        "steps": 2,
        "messages": 1,
        "anomalies": {"bad_json": 1, "reopened": 1},
        "truncated": False,
        "usage": [
            {
                **{"run": "run_1", "model": None, "basis": "run"},
                **{"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
            }
        ],
    }
    assert seconds > 0
    assert rate > 0


PRICED = (
    run("created", model="acme-parts", created_at=0),
    *(step(), step("completed", usage={"prompt_tokens": 4, "completion_tokens": 1})),
    run(
        "completed",
        model="acme-parts",
        usage={
            **{"prompt_tokens": 10, "completion_tokens": 6, "total_tokens": 16},
            "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3},
            "completion_tokens_details": {"reasoning_tokens": 5},
        },
    ),
    done(),
)


def test_summary_with_cost(tmp_path: Path, replay: Replay) -> None:
    """By run and model, as text; each input has its own."""
    first, second = write(tmp_path, "a.sse", *PRICED), write(tmp_path, "b.sse", *STREAM)
    with round_prices():
        one, other = replay(first, second, "-o", "summary", "--cost").lines

    assert one["usage"] == [
        {
            **{"run": "run_1", "model": "acme-parts", "basis": "run", "prompt_tokens": 10, "cached_tokens": 4},
            **{"cache_write_tokens": 3, "completion_tokens": 6, "reasoning_tokens": 5, "total_tokens": 16},
        }
    ]
    assert one["cost"] == {
        "usd": "119.4",
        "runs": [{"run": "run_1", "model": "acme-parts", "usd": "119.4", "listed_as": "acme/acme-parts"}],
        "models": [{"model": "acme-parts", "usd": "119.4", "runs": 1, "without_price": 0}],
    }
    assert other["cost"] == {
        "usd": None,
        "runs": [{"run": "run_1", "model": None, "usd": None, "why": "no_model"}],
        "models": [{"model": None, "usd": None, "runs": 1, "without_price": 1}],
    }


def test_name_of_a_deployment_is_priced_as_its_model(tmp_path: Path, replay: Replay) -> None:
    """One of several; a name that is told nothing of is named and has no price."""
    usage = {"prompt_tokens": 2, "completion_tokens": 3}
    path = write(tmp_path, "a.sse", *(run("completed", f"run_{name}", model=name, usage=usage) for name in "xyz"))
    with round_prices():
        names = ("--price-as", "x=acme-plain", "--price-as", "y=acme-free")
        (line,) = replay("-o", "summary", "--cost", *names, path).lines

    assert [(model["model"], model["usd"]) for model in line["cost"]["models"]] == [
        ("x", "32"),
        ("y", "0"),
        ("z", None),
    ]
    assert line["cost"]["runs"][2]["why"] == "unknown_model"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--cost",), "--cost goes with --output summary"),
        (("--price-as", "a=b"), "--price-as goes with --cost"),
        (("-o", "summary", "--cost", "--price-as", "a"), "--price-as: expected NAME=MODEL, such as my-gpt=gpt-4o"),
        (("-o", "summary", "--cost", "--price-as", "=b"), "--price-as: expected NAME=MODEL, such as my-gpt=gpt-4o"),
    ],
)
def test_cost_that_is_asked_for_wrongly(words: tuple[str, ...], told: str, tmp_path: Path, replay: Replay) -> None:
    """Nothing is read then."""
    result = replay(write(tmp_path, "a.sse", *PRICED), *words)

    assert result == (2, b"", f"streamproc: {told}\n")


def test_cost_without_its_extra(tmp_path: Path, replay: Replay, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extra is named, and nothing is read; without --cost it is not needed."""
    monkeypatch.setattr(streamproc.cost, "find_spec", lambda name: None)
    path = write(tmp_path, "a.sse", *PRICED)
    result = replay(path, "-o", "summary", "--cost")

    assert result == (2, b"", 'streamproc: cost needs an extra: pip install "streamproc[cost]"\n')
    assert replay(path, "-o", "summary").code == 0


def test_payload_of_several_lines_is_one_line(tmp_path: Path, replay: Replay) -> None:
    """A payload may span `data:` lines; a number keeps its spelling."""
    path = tmp_path / "run.sse"
    path.write_text('event: thread.run.completed\ndata: {"id": "run_1",\ndata:  "status": "completed", "x": 1.50}\n\n')

    assert replay(path, "-o", "runs").out == b'{"id":"run_1","status":"completed","x":1.50}\n'


@pytest.mark.slow
def test_stdin_is_read_when_nothing_is_named(tmp_path: Path) -> None:
    """`-` names it too; its changes carry its name."""
    path = write(tmp_path, "run.sse", *STREAM)
    expected = [state["id"] for state in process("replay", path).lines]

    assert [state["id"] for state in process("replay", stdin=path.read_bytes()).lines] == expected
    result = process("replay", "-", "--output", "changes", stdin=path.read_bytes())
    assert {change["stream"] for change in result.lines} == {"stdin"}
    assert result.code == 0


# --- what can be wrong with an input ----------------------------------------------------------------------------------

CUT = sse(run("created"), step("created", "step_1", call("{", id="call_1", name="f")))
BAD = {
    "empty": (b"", "is empty; there is nothing to replay"),
    "binary": (b"\x7fELF\x02\x01\x01\0\0\0\n\n", "is binary data, not an event stream"),
    "html": (b"\n<!DOCTYPE html>\n<p>502</p>\n\n", "is an HTML page, not an event stream; was it an error page?"),
    "json": (
        b'{"id":"run_1","object":"thread.run"}\n',
        'is JSON, not an event stream; record the response of a request with "stream": true',
    ),
    "gzip": (b"\x1f\x8b\x08\0\0\0", "is compressed with gzip; unpack it first: gunzip"),
    "utf-16": (
        "event: done\r\n".encode("utf-16"),
        "is UTF-16 text, an event stream is UTF-8; convert it: iconv -f UTF-16 -t UTF-8",
    ),
    "text": (
        b"hello\n\nworld\n",
        "is no event stream; expected lines such as 'event: thread.run.created' and 'data: {...}'",
    ),
    "first event cut": (
        CUT[:40],
        "truncated: ends before its first event is complete, so there is nothing to show",
    ),
    "comments": (
        b": keep-alive\n\n",
        "truncated: ends before its first event is complete, so there is nothing to show",
    ),
}


@pytest.mark.parametrize(("content", "reason"), BAD.values(), ids=BAD)
def test_file_that_is_no_stream_gets_one_line(tmp_path: Path, replay: Replay, content: bytes, reason: str) -> None:
    """The line says what it is instead; the summary says so too."""
    path = tmp_path / "run.sse"
    path.write_bytes(content)
    result = replay(path)

    assert (result.code, result.out, result.told) == (1, b"", [f"streamproc: {path}: {reason}"])
    (line,) = replay(path, "--output", "summary").lines
    assert (line["bytes"], line["changes"], line["error"]) == (len(content), 0, reason)
    assert line["truncated"] == reason.startswith("truncated")


def test_file_that_cannot_be_opened_is_bad_usage(tmp_path: Path, replay: Replay) -> None:
    """A missing file, a directory and a pattern without a match are told apart."""
    missing, folder, pattern = tmp_path / "missing.sse", tmp_path, tmp_path / "none-*.sse"

    assert replay(missing) == (2, b"", f"streamproc: {missing}: no such file\n")
    assert replay(folder) == (
        2,
        b"",
        f"streamproc: {folder}: is a directory; name its files, e.g. '{folder}/*.sse'\n",
    )
    assert replay(pattern) == (2, b"", f"streamproc: {pattern}: no file matches this pattern\n")
    assert replay("x" * 300) == (2, b"", f"streamproc: {'x' * 300}: cannot be read: File name too long\n")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_file_without_permission_is_bad_usage(tmp_path: Path, replay: Replay) -> None:
    """The system's reason is passed on."""
    path = write(tmp_path, "run.sse", *STREAM)
    path.chmod(0)

    assert replay(path) == (2, b"", f"streamproc: {path}: cannot be read: Permission denied\n")


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="needs a file that opens and cannot be read")
def test_file_that_stops_being_readable_is_bad_data(replay: Replay) -> None:
    """An error while reading is no fault of the command line."""
    result = replay("/proc/self/mem")

    assert result == (1, b"", "streamproc: /proc/self/mem: reading stopped: Input/output error\n")


def test_truncated_stream_is_printed_as_far_as_it_goes(tmp_path: Path, replay: Replay) -> None:
    """What was open then is marked."""
    path = tmp_path / "run.sse"
    path.write_bytes(CUT + b"event: thread.run.st")
    result = replay(path)

    assert result.code == 1
    assert [(state["status"], state["truncated"]) for state in result.lines] == [("in_progress", True)]
    assert result.told == [f"streamproc: {path}: truncated: the stream ends before its run does; what came is merged"]


@pytest.mark.slow
def test_stream_that_breaks_a_limit_is_printed_as_far_as_it_goes(tmp_path: Path, replay: Replay) -> None:
    """The limit is named, and what was open then is marked."""
    path = tmp_path / "run.sse"
    path.write_bytes(CUT + b"data: " + b"x" * (17 * 2**20))
    result = replay(path)

    assert result.code == 1
    assert [state["truncated"] for state in result.lines] == [True]
    assert result.told == [
        f"streamproc: {path}: not read to its end: expected at most 16777216 (max_line_bytes), more came; "
        "what came before is merged"
    ]


@pytest.mark.slow
def test_endless_first_line_is_told(tmp_path: Path, replay: Replay) -> None:
    """A file that breaks a limit before its first event holds none."""
    path = tmp_path / "run.sse"
    path.write_bytes(b"data: " + b"x" * (17 * 2**20))
    result = replay(path)

    assert result.told == [f"streamproc: {path}: holds no event: expected at most 16777216 (max_line_bytes), more came"]


@pytest.mark.slow
def test_stream_of_another_dialect(tmp_path: Path, replay: Replay) -> None:
    """A result that is empty for that reason is no success, and the way out is named."""
    path = tmp_path / "other.sse"
    path.write_bytes(b'event: message_start\ndata: {"type":"message_start"}\n\n' + sse(done()))
    result = replay(path)

    assert (result.code, result.out) == (1, b"")
    assert "no event that could be understood; is it another dialect? known are assistants" in result.err
    assert "truncated" not in result.err


def test_lost_blank_lines_cannot_be_repaired_in_a_pipe(tmp_path: Path) -> None:
    """A pipe is read once; the way out is named."""
    result = process("replay", stdin=sse(*STREAM).replace(b"\n\n", b"\n"))

    assert result == (
        1,
        b"",
        "streamproc: stdin: holds no blank line between its events; save it to a file, and replay repairs that\n",
    )


@pytest.mark.parametrize(
    ("events", "told"),
    [
        (
            [run("failed", last_error={"code": "rate_limit_exceeded", "message": "Slow\ndown."})],
            "run run_1 failed: rate_limit_exceeded: Slow down.",
        ),
        ([run("failed")], "run run_1 failed"),
        ([run("completed", status="failed")], "run run_1 failed"),
        ([error({"code": "server_error", "message": "Sorry."})], "the server sent an error: server_error: Sorry."),
        (
            [error({"error": {"type": "overloaded", "message": "Sorry."}})],
            "the server sent an error: overloaded: Sorry.",
        ),
        ([error("gone")], "the server sent an error: gone"),
        ([error({"message": "x" * 300})], f"the server sent an error: {'x' * 240}..."),
    ],
    ids=["failed", "failed bare", "failed by its payload", "error", "nested error", "plain error", "long error"],
)
def test_failure_of_the_run_is_exit_code_1(tmp_path: Path, replay: Replay, events: list[Event], told: str) -> None:
    """The server's reason is told, on one line."""
    path = write(tmp_path, "run.sse", *events, done())
    result = replay(path)

    assert result.code == 1
    assert result.told[0] == f"streamproc: {path}: {told}"


def test_oddity_of_an_error_is_no_second_error(tmp_path: Path, replay: Replay) -> None:
    """An error after the end of the stream is told once, and what is odd about it is counted."""
    path = write(tmp_path, "run.sse", run("completed"), done(), error("gone"))

    assert replay(path).told == [
        f"streamproc: {path}: the server sent an error: gone",
        f"streamproc: {path}: 1 anomaly",
        "       1 reopened        events after the end of the stream; processed all the same",
    ]


def test_many_failures_are_not_all_told(tmp_path: Path, replay: Replay) -> None:
    """Beyond a few they are counted."""
    failures = [run("failed", f"run_{number}") for number in range(9)]
    path = write(tmp_path, "run.sse", *failures, *[error("gone")] * 7, done())
    told = replay(path).told

    assert len(told) == 12
    assert told[5] == f"streamproc: {path}: 4 more runs failed"
    assert told[-1] == f"streamproc: {path}: 2 more errors from the server"


def test_oddities_are_counted_and_exit_code_0(tmp_path: Path, replay: Replay) -> None:
    """Each kind has a line with its meaning."""
    path = write(tmp_path, "run.sse", run("created"), event("thread.new", {}), arguments("x"), run("completed"), done())
    result = replay(path)

    assert result.code == 0
    assert result.told == [
        f"streamproc: {path}: 2 anomalies",
        "       1 unknown_event   an event this version does not know; left out of the states",
        "       1 provisional     a delta before its object; an object was made for it",
    ]


def test_worst_code_wins_and_the_others_are_played(tmp_path: Path, replay: Replay) -> None:
    """A bad input stops no other one."""
    good, cut = write(tmp_path, "good.sse", *STREAM), tmp_path / "cut.sse"
    cut.write_bytes(CUT)
    result = replay(cut, tmp_path / "missing.sse", good)

    assert result.code == 2
    assert [state["id"] for state in result.lines] == ["step_1", "step_1", "step_2"]
    assert replay(cut, good).code == 1
    assert replay(good).code == 0


@pytest.mark.slow
def test_file_name_that_is_no_text(tmp_path: Path) -> None:
    """JSON and terminals get a replacement character for it."""
    path = os.fsencode(tmp_path) + b"/bad\xff.sse"
    try:
        Path(os.fsdecode(path)).write_bytes(sse(*STREAM))
    except OSError:
        pytest.skip("this file system takes only text")
    done = subprocess.run([*COMMAND, "replay", path, "-o", "summary"], capture_output=True, env=environment())

    assert json.loads(done.stdout)["file"].endswith("/bad\ufffd.sse")


# --- usage ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["replay", "x", "--dialect", "morse"], "no dialect 'morse'; known: assistants"),
        (["replay", "x", "--output", "all"], "Invalid value"),
        (["replay", "x", "--bogus"], "Unknown option: --bogus."),
        (["bogus"], 'Unknown command "bogus".'),
        (["demo", "--speed", "0"], "--speed: expected more than 0, got 0"),
        (["demo", "--speed", "nan"], "--speed: expected more than 0, got nan"),
        (["demo", "--svg", "-"], "--svg: expected the name of a file, got -"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(capsys: pytest.CaptureFixture[str], words: list[str], told: str) -> None:
    """Nothing is read or printed."""
    code = main(words)
    captured = capsys.readouterr()

    assert (code, captured.out) == (2, "")
    assert captured.err.startswith(f"streamproc: {told}")
    assert captured.err.count("\n") == 1


def test_unknown_dialect_lists_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    """The line holds the way out."""
    main(["replay", "x", "--dialect", "morse"])

    assert "assistants" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--help"], ["replay", "--help"], ["demo", "--help"], []])
def test_help_has_examples(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    """It fits 80 columns and lists the exit codes."""
    code = main(words)
    out = capsys.readouterr().out

    assert code == 0
    assert "Examples:\n" in out
    assert max(map(len, out.splitlines())) <= 80
    assert "demo" in words or re.search(r"^Exit codes:\n  0    ok", out, re.MULTILINE)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    """The version is the package's."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"streamproc {streamproc.__version__}\n"


@pytest.mark.slow
@pytest.mark.parametrize("module", ["cyclopts", "rich"])
def test_missing_extra_is_named(module: str) -> None:
    """Before anything of it is imported."""
    result = process("demo", code=f"import sys; sys.modules[{module!r}] = None")

    assert result == (2, b"", 'the command line needs an extra: pip install "streamproc[cli]"\n')


@pytest.mark.slow
def test_import_of_the_package_needs_no_extra() -> None:
    """The entry point can be imported by a bare install."""
    result = process(
        "--version", code="import sys\nimport streamproc.cli\nassert not {'rich', 'cyclopts'} & {*sys.modules}"
    )

    assert result.code == 0


# --- terminals, pipes and signals -------------------------------------------------------------------------------------

# Clears the screen, sets the title, and does so in C1; then reverses what follows.
HOSTILE = "\x1b[2J\x1b]0;title\x07\x9b31m\u202egnirts\u2066 [red]plain"
ATTACK = (
    run("created", id=f"run_{HOSTILE}", model=HOSTILE),
    step("created", f"step_{HOSTILE}", call(HOSTILE, id="call_1", name=HOSTILE), run_id=f"run_{HOSTILE}"),
    step("created", "step_2", {"id": "x", "type": HOSTILE, "more": HOSTILE}, run_id=f"run_{HOSTILE}"),
    step("created", "step_3", run_id=f"run_{HOSTILE}", status=HOSTILE, step_details={"type": HOSTILE}),
    message("created", "msg_1", {"type": "text", "text": {"value": HOSTILE}}, run_id=f"run_{HOSTILE}", role=HOSTILE),
    event(f"thread.{HOSTILE}", {"id": HOSTILE}),
    run("failed", id=f"run_{HOSTILE}", model=HOSTILE, last_error={"code": HOSTILE, "message": HOSTILE}),
    error({"message": HOSTILE}),
    done(),
)
STYLING = re.compile(r"\x1b\[[0-9;]*m")
ACTS = re.compile("[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@pytest.mark.slow
@pytest.mark.parametrize("output", ["steps", "messages", "runs", "changes", "summary"])
@pytest.mark.parametrize("more", [[], ["--json"]], ids=["", "json"])
def test_nothing_from_data_acts_on_a_terminal(tmp_path: Path, output: str, more: list[str]) -> None:
    """Neither on stdout nor on stderr; the text around it is shown, markup as it stands."""
    path = write(tmp_path, "run\x1b[2J.sse", *ATTACK)
    code, shown = on_terminal("replay", path, "--output", output, *more)

    assert code == 1
    assert ACTS.findall(shown) == []
    assert output == "summary" or "[red]plain" in shown.replace("\r\n", "")


@pytest.mark.slow
def test_a_table_s_colours_are_all_there_is(tmp_path: Path) -> None:
    """On a terminal with colours, the only escape sequences are those that set one."""
    path = write(tmp_path, "run.sse", *ATTACK)
    _, shown = on_terminal("replay", path, term="xterm")

    assert STYLING.search(shown)
    assert ACTS.findall(STYLING.sub("", shown)) == []


@pytest.mark.slow
def test_people_get_a_table_and_programs_get_lines(tmp_path: Path) -> None:
    """On a terminal, `--json` chooses."""
    path = write(tmp_path, "run.sse", *STREAM)
    _, table = on_terminal("replay", path, term="xterm")
    _, lines = on_terminal("replay", path, "--json")
    rows = [" ".join(row.split()) for row in STYLING.sub("", table).splitlines()]

    assert "step_1 f {} completed" in rows
    assert "→ ok" in rows
    assert "step_2 message hello in_progress" in rows
    assert "(run completed)" in rows
    assert [json.loads(line)["id"] for line in lines.splitlines()] == ["step_1", "step_2"]


@pytest.mark.slow
def test_terminal_without_anything_piped_in_is_bad_usage() -> None:
    """Nothing waits for somebody to type a stream."""
    code, shown = on_terminal("replay")

    assert code == 2
    assert shown == "streamproc: name a file, or pipe a stream in: curl -sN ... | streamproc replay\r\n"


@pytest.mark.slow
def test_changes_come_as_they_happen_and_an_interrupt_is_130(tmp_path: Path) -> None:
    """A live stream is piped in: its first event is out before the second is in, and ^C ends it in order."""
    child = subprocess.Popen(
        [*COMMAND, "replay", "--output", "changes"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
        preexec_fn=heed_interrupts,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    with child:
        child.stdin.write(sse(run("created")))
        child.stdin.flush()
        first = json.loads(child.stdout.readline())
        interrupt(child)  # its input stays open: only the signal can end it
        out, err = child.communicate()

    assert first["event"] == "thread.run.created"
    assert (child.returncode, out) == (130, b"")
    assert err == b"streamproc: stdin: interrupted; what came before is merged\n"


@pytest.mark.slow
@pytest.mark.parametrize("output", ["changes", "steps"])
def test_reader_that_leaves_is_no_error(tmp_path: Path, output: str) -> None:
    """As in `streamproc replay ... | head -1`, with more behind it than a pipe holds."""
    path = write(tmp_path, "run.sse", run("created"), *(step("created", f"step_{n}") for n in range(2000)))
    child = subprocess.Popen(
        [*COMMAND, "replay", path, "--output", output],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert child.stdout is not None
    assert child.stderr is not None
    with child:
        child.stdout.readline()
        child.stdout.close()
        err = child.stderr.read()

    assert child.returncode == 0
    assert b"Traceback" not in err
    assert b"Broken" not in err


@pytest.mark.slow
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a file that is always full")
def test_full_disk_is_told(tmp_path: Path) -> None:
    """In one line, without a traceback at exit."""
    path = write(tmp_path, "run.sse", *STREAM)
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*COMMAND, "replay", path], stdout=full, stderr=subprocess.PIPE, env=environment())

    assert (done.returncode, done.stderr) == (2, b"streamproc: stdout: cannot be written: No space left on device\n")


def test_interrupt_anywhere_is_130(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where no command is at work, as while modules are imported."""

    def interrupted(argv: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("streamproc.cli.app.run", interrupted)

    assert main([]) == 130
