"""The examples of the protocol's own documentation, broken ones included, crash nothing.

Of their 72 events 15 hold a payload with one closing brace too many, and one lacks `data:` before its payload. Elisions
("...") stand between events as blocks of their own, and each example ends without a last blank line.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from streamproc import Anomaly, Change, StreamProcessor, encode_change, to_wire

PREFIX = "openai_openai-openapi__spec__threads_"
BROKEN = {  # example -> broken payloads, payloads without `data:`
    "runs_ex1": (0, 1),
    "runs_ex2": (4, 0),
    "thread_id_runs_ex1": (4, 0),
    "thread_id_runs_ex2": (4, 0),
    "thread_id_runs_run_id_submit_tool_outputs_ex1": (3, 0),
}

each_example = pytest.mark.parametrize("name", BROKEN)


@pytest.fixture
def example(corpus: Path) -> Callable[[str], bytes]:
    """The bytes of an example by its name."""

    def read(name: str) -> bytes:
        (path,) = (corpus / "assistants").glob(f"{PREFIX}{name}.*.sse")
        return path.read_bytes()

    return read


def is_json(payload: bytes) -> bool:
    try:
        json.loads(payload)
    except ValueError:
        return False
    return True


def payloads(data: bytes) -> list[bytes]:
    """The payload of each event, read line by line; without `data:` it is the line after the event's."""
    lines = data.split(b"\n")
    return [lines[at + 1].removeprefix(b"data: ") for at, line in enumerate(lines) if line.startswith(b"event: ")]


def changes_of(data: bytes) -> list[Change]:
    proc = StreamProcessor()
    return proc.feed(data) + proc.close()


def test_all_examples_are_there(corpus: Path, example: Callable[[str], bytes]) -> None:
    """Five, with 72 events, 16 of them broken."""
    found = [path.name for path in (corpus / "assistants").glob(f"{PREFIX}*.sse")]

    assert len(found) == len(BROKEN)
    assert sum(len(payloads(example(name))) for name in BROKEN) == 72
    assert sum(map(sum, BROKEN.values())) == 16


@each_example
def test_each_broken_payload_is_an_anomaly_that_keeps_it(name: str, example: Callable[[str], bytes]) -> None:
    """In order, byte by byte as it came; no content of it is in the anomaly itself."""
    data = example(name)
    broken = [payload for payload in payloads(data) if payload != b"[DONE]" and not is_json(payload)]
    found = [
        change for change in changes_of(data) if isinstance(change.delta, Anomaly) and change.delta.kind == "bad_json"
    ]

    assert len(broken) == BROKEN[name][0]
    assert broken == [change.raw for change in found]
    assert all(len(encode_change(change)) < 400 and change.state is None for change in found)


@each_example
def test_a_payload_without_its_field_name_is_no_event(name: str, example: Callable[[str], bytes]) -> None:
    """By the standard such a line is an unknown field, and a block without data is dropped: what it says is unseen."""
    data = example(name)
    bare = [line for line in data.split(b"\n") if line.startswith(b"{")]

    assert len(bare) == BROKEN[name][1]
    assert not any(change.raw in bare for change in changes_of(data))


@each_example
def test_whatever_is_sound_is_merged(name: str, example: Callable[[str], bytes]) -> None:
    """The last sound snapshot of an object that ended is its state; anomalies are those of damage and elisions."""
    data = example(name)
    proc = StreamProcessor()
    for change in proc.feed(data) + proc.close():
        if change.state is not None:
            assert json.loads(to_wire(change.state))["id"] == change.id
    bare = [line for line in data.split(b"\n") if line.startswith(b"{")]
    sound = [json.loads(payload) for payload in payloads(data) if is_json(payload) and payload not in bare]
    last = {snapshot["id"]: snapshot for snapshot in sound if "status" in snapshot}
    states = {
        id: json.loads(to_wire(state))
        for table in (proc.runs, proc.steps, proc.messages)
        for id, state in table.items()
    }

    assert states.keys() == last.keys()
    assert all(states[id] == snapshot for id, snapshot in last.items() if snapshot["status"] == "completed")
    assert {snapshot["status"] for snapshot in last.values()} <= {"completed", "in_progress"}
    assert proc.anomalies.keys() <= {"bad_json", "divergence", "truncated"}
    assert proc.anomalies.get("bad_json", 0) == BROKEN[name][0]


@each_example
def test_an_example_whose_last_events_are_broken_is_truncated(name: str, example: Callable[[str], bytes]) -> None:
    """No run that ended is seen, and `done` is not followed by a blank line; with one, the stream has its end."""
    proc = StreamProcessor()
    proc.feed(example(name))
    proc.close()
    ended = StreamProcessor()
    ended.feed(example(name) + b"\n")
    ended.close()

    assert (proc.truncated, ended.truncated) == (True, False)
