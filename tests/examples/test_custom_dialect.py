"""A dialect of one's own: the program of docs/dialects/your_own.md, checked as the page says, and found by "auto"."""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from streamproc import StreamProcessor
from streamproc.core import dialect as registry
from streamproc.testing import check_dialect
from tests.chats import Json, stream, wire
from tests.conftest import ROOT

PROGRAM = "tests.examples.hop"
FILE = Path(__file__).with_name("hop.py")
PAGE = ROOT / "docs" / "dialects" / "your_own.md"
CHUNKS: list[Json] = [
    {"hop": "start", "run": "r1", "at": 7},
    {"hop": "say", "text": "Let me "},
    {"hop": "say", "text": "see."},
    {"hop": "call", "id": "c1", "tool": "weather", "args": '{"city":"Oslo"}'},
    {"hop": "result", "id": "c1", "out": "rain"},
    {"hop": "say", "text": "It rains."},
    {"hop": "end", "tokens": {"input_tokens": 3, "output_tokens": 4}},
]
STREAM = stream(*CHUNKS)


@pytest.fixture(autouse=True)
def hop(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module, imported anew: what it registers is known during one test."""
    monkeypatch.setattr(registry, "_FACTORIES", dict(registry._FACTORIES))
    monkeypatch.setattr(registry, "_MATCHES", dict(registry._MATCHES))
    monkeypatch.delitem(sys.modules, PROGRAM, raising=False)
    return importlib.import_module(PROGRAM)


def fed(data: bytes) -> StreamProcessor:
    proc = StreamProcessor("auto")
    proc.feed(data)
    proc.close()
    return proc


def test_it_keeps_the_contract(hop: ModuleType) -> None:
    """Any split, damaged payloads, two streams at a time."""
    check_dialect(hop.HopDialect, [STREAM, stream(*reversed(CHUNKS)), stream({"hop": "end"}, *CHUNKS, *CHUNKS)])


def test_it_is_found_out_by_itself() -> None:
    """And its stream is a run like any other."""
    proc = fed(STREAM)
    steps = [wire(step) for step in proc.steps.values()]

    assert [(run.id, run.status) for run in proc.runs.values()] == [("hop:r1:7", "completed")]
    assert [(step["id"], step["status"]) for step in steps] == [
        ("hop:r1:7:say", "completed"),
        ("hop:r1:7:c1", "completed"),
        ("hop:r1:7:say#2", "completed"),
    ]
    assert [message.text for message in proc.messages.values()] == ["Let me see.", "It rains."]
    assert steps[1]["step_details"]["tool_calls"] == [
        {
            "id": "c1",
            "type": "function",
            "function": {"name": "weather", "arguments": '{"city":"Oslo"}', "output": "rain"},
        }
    ]
    assert wire(proc.runs["hop:r1:7"])["usage"]["total_tokens"] == 7
    assert not proc.anomalies
    assert not proc.truncated


def test_a_stream_that_breaks_off_is_truncated() -> None:
    """Nothing is completed that the wire did not complete."""
    proc = fed(stream(*CHUNKS[:4]))

    assert proc.truncated
    assert [step.status for step in proc.steps.values()] == ["completed", "in_progress"]


def test_what_it_does_not_know_is_an_anomaly() -> None:
    """Each with a name; the rest of the stream counts."""
    odd = [b"{", b"[]", {"hop": "skip"}, {"hop": "say", "text": 5}, {"hop": "start", "run": "r2"}]
    proc = fed(stream(CHUNKS[0], *odd, *CHUNKS[1:]))

    assert dict(proc.anomalies) == {"bad_json": 1, "unknown_event": 4}
    assert len(proc.steps) == 3


def test_the_page_shows_this_program() -> None:
    """As it is tested here, in under 60 lines."""
    program = FILE.read_text(encoding="utf-8")

    assert len(program.splitlines()) < 60
    assert f"```python\n{program}```\n" in PAGE.read_text(encoding="utf-8")


def test_the_page_shows_this_stream() -> None:
    """The frames of the invented protocol, as they are fed here."""
    frames = "".join(f"data: {json.dumps(item)}\n\n" for item in CHUNKS)

    assert f"```\n{frames}```\n" in PAGE.read_text(encoding="utf-8")
