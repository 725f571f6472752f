"""A stream of 20 kB, cut at every byte: what is there is a beginning of the run, and says so.

Two steps. What the first k events amount to is compared with the run's own account of itself, for every k. Then every
cut must give exactly what the events before it give: a piece of an event changes nothing, wherever it ends.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Final

import pytest
from msgspec import Struct

from streamproc import StreamProcessor, to_wire
from streamproc.core.change import Note
from streamproc.core.lifecycle import STREAM_ENDING, TERMINAL
from tests.faults.verdicts import KINDS, beginning_faults, is_beginning, states_of
from tests.faults.workload import Json, workload

RECORDING: Final = "openai_openai-dotnet__StreamingToolCall.i2.a777478.sse"  # 19,472 bytes


class Outcome(Struct, frozen=True):
    """All that is left after a stream has ended."""

    states: Mapping[str, bytes]
    notes: Mapping[str, Note]
    changes: int
    truncated: bool


def outcome(*pieces: bytes) -> tuple[Outcome, StreamProcessor]:
    proc = StreamProcessor()
    changes = sum(len(proc.feed(piece)) for piece in pieces) + len(proc.close())
    tables: Mapping[str, Mapping[str, object]] = {"run": proc.runs, "step": proc.steps, "message": proc.messages}
    states, notes = {}, {}
    for kind, table in tables.items():
        for id, obj in table.items():
            states[id] = to_wire(obj)  # type: ignore[arg-type]
            notes[id] = proc.reducer.note(kind, id)  # type: ignore[arg-type]
    return Outcome(states, notes, changes, proc.truncated), proc


def split(stream: bytes) -> list[bytes]:
    """The events, each with its blank line."""
    return re.findall(rb".+?\n\n", stream, re.DOTALL)


# --- the run's own account --------------------------------------------------------------------------------------------


class Account(Struct):
    """What the events so far said of statuses, read without the code under test."""

    statuses: dict[str, str]
    may_end: bool = False

    def read(self, block: bytes) -> None:
        name, _, payload = block.decode().removeprefix("event: ").partition("\ndata: ")
        if name in ("done", "error"):
            self.may_end = True
            return
        obj = json.loads(payload)
        if obj["object"] in KINDS:
            self.statuses[obj["id"]] = obj["status"]
        if obj["object"] == "thread.run":
            self.may_end = obj["status"] in STREAM_ENDING


def faults_after_each_event(blocks: Sequence[bytes], truth: Mapping[str, Json]) -> Iterator[str]:
    """What is wrong with the states after 0, 1, 2, ... events."""
    account = Account({})
    for count in range(len(blocks) + 1):
        if count:
            account.read(blocks[count - 1])
        left, proc = outcome(*blocks[:count])
        states = states_of(proc)
        yield from (f"{count} events: {fault}" for fault in beginning_faults(states, truth))
        if {id: state["status"] for id, state in states.items()} != account.statuses:
            yield f"{count} events: other statuses than they said"
        if left.truncated is account.may_end:
            yield f"{count} events: truncated is {left.truncated}"
        for id, state in states.items():
            is_open = state["status"] not in TERMINAL[KINDS[state["object"]]]
            if left.notes[id].truncated is not (is_open and left.truncated):
                yield f"{count} events: {id} is marked wrongly"


def faults_at_each_byte(stream: bytes, blocks: Sequence[bytes]) -> Iterator[int]:
    """The cuts that give something else than the events before them, fed one by one."""
    ends = [0, *accumulate(map(len, blocks)), len(stream) + 1]
    for count in range(len(blocks) + 1):
        expected, _ = outcome(*blocks[:count])
        for cut in range(ends[count], ends[count + 1]):
            found, _ = outcome(stream[:cut])
            if found != expected:
                yield cut


# --- the tests --------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("asks", [False, True], ids=["completes", "requires action"])
def test_written_stream_cut_at_every_byte(asks: bool) -> None:
    """A code interpreter step, a message, parallel function calls: states are a beginning of what they become."""
    what = workload(asks=asks)
    stream, blocks = what.stream(), what.blocks()

    assert 19_000 < len(stream) < 25_000
    assert list(faults_after_each_event(blocks, what.truth)) == []
    assert list(faults_at_each_byte(stream, blocks)) == []


@pytest.mark.slow
def test_recorded_stream_cut_at_every_byte(corpus: Path) -> None:
    """The same with a real server's stream, whose whole states are compared with its snapshots elsewhere."""
    stream = (corpus / "assistants" / RECORDING).read_bytes().replace(b"\r\n", b"\n")
    blocks = split(stream)
    _, whole = outcome(stream)

    assert b"".join(blocks) == stream
    assert list(faults_after_each_event(blocks, states_of(whole))) == []
    assert list(faults_at_each_byte(stream, blocks)) == []


def test_cursor_at_every_byte() -> None:
    """The place to resume at is after the last whole event, never after one whose id came and whose end did not."""
    proc = StreamProcessor()
    cursors: list[str | None] = []
    expected: list[str | None] = []
    for number, block in enumerate(workload(asks=False).blocks(with_ids=True), 1):
        for byte in block:
            proc.feed(bytes([byte]))
            cursors.append(proc.cursor)
        before = None if number == 1 else str(number - 1)
        expected += [before] * (len(block) - 1) + [str(number)]

    assert expected == cursors


@pytest.mark.parametrize(
    ("part", "whole", "expected"),
    [
        ("ab", "abc", True),
        ("abc", "ab", False),
        ("b", "ab", False),
        ([1], [1, 2], True),
        ([2], [1, 2], False),
        ([1, 2], [1], False),
        ({"a": "x"}, {"a": "xy", "b": 1}, True),
        ({"b": 1}, {"a": 1}, False),
        (None, {"a": 1}, True),
        ({"a": 1}, None, False),
        (1, 2, False),
    ],
)
def test_what_a_beginning_is(part: Json, whole: Json, expected: bool) -> None:
    """The judge itself."""
    assert is_beginning(part, whole) is expected


@pytest.mark.parametrize(
    ("state", "faults"),
    [
        ({"id": "step_1", "object": "thread.run.step", "status": "in_progress"}, 0),
        ({"id": "step_1", "object": "thread.run.step", "status": "completed"}, 1),
        ({"id": "step_1", "object": "thread.run.step", "status": "in_progress", "step_details": {"type": "x"}}, 1),
        ({"id": "step_9", "object": "thread.run.step", "status": "in_progress"}, 1),
    ],
)
def test_judge_sees_what_is_no_beginning(state: Json, faults: int) -> None:
    """An end that is not the real one, details of something else, an object that was never there."""
    assert len(beginning_faults({state["id"]: state}, workload(asks=False).truth)) == faults
