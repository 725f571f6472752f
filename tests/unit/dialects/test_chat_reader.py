"""Chunks that have nothing but reasoning; those that have nothing but text are in test_chat.py."""

import json
from collections.abc import Mapping

import pytest

from streamproc import StreamProcessor
from streamproc.dialects.chat_reader import Reader
from tests.chats import Json, calling, chunk, delta, ends, feed, message, piece, role, says, steps, usage

DETAIL: Mapping[str, Json] = {"type": "reasoning.text", "index": 0, "text": "x", "format": None, "signature": "s"}
TAKEN: Mapping[str, Json] = {
    "DeepSeek's": delta(reasoning_content="x", content=None),
    "Ollama's": delta(reasoning="x", content="", role="assistant"),
    "OpenRouter's": delta(reasoning="x", reasoning_details=[DETAIL, DETAIL], content="", tool_calls=[]),
    "both names": delta(reasoning_content="x", reasoning="y"),
    "nothing": delta(),
    "an empty piece": delta(reasoning=""),
    "what is left out": {**delta(reasoning="x", channel="analysis"), "timings": {}},
}
LEFT: Mapping[str, Json] = {
    "text": delta(reasoning="x", content="y"),
    "a call": delta(reasoning="x", tool_calls=[piece("y", "f", id="a")]),
    "a refusal": delta(reasoning="x", refusal="y"),
    "an annotation": delta(reasoning="x", annotations=[{"type": "y"}]),
    "a sound": delta(reasoning="x", audio={"id": "y"}),
    "a reason": ends("stop", reasoning="x"),
    "usage": {**usage(1, 2), **delta(reasoning="x"), "usage": {"prompt_tokens": 1, "completion_tokens": 2}},
    "an error": {**delta(reasoning="x"), "error": "y"},
    "reasoning that is none": delta(reasoning=5, reasoning_content="x"),
    "details that are none": delta(reasoning_details=["x", DETAIL]),
    "details that are deep": delta(reasoning_details=[{"type": "x", "y": {"z": 1}}]),
    "two choices": chunk(*delta(reasoning="x")["choices"], *delta(1, reasoning="y")["choices"]),
    "another choice": delta(5, reasoning="x"),
}
BEFORE = [role(), delta(reasoning="a")]
AFTER = [delta(reasoning="b"), says("c"), delta(reasoning_content="d"), calling(piece("e", "f", id="g")), ends("stop")]


def outcome(proc: StreamProcessor) -> Json:
    return steps(proc), [*proc.messages], dict(proc.anomalies), [run.status for run in proc.runs.values()]


def compare(item: Json, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the reader takes a chunk; what comes of it is the same with and without the reader."""
    taken: list[bool] = []
    thought = Reader.thought

    def watched(reader: Reader, payload: bytes) -> Json:
        found = thought(reader, payload)
        if payload == json.dumps(item).encode():
            taken.append(found is not None)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(Reader, "thought", watched)
        fast = feed(*BEFORE, item, *AFTER)
        patched.setattr(Reader, "thought", lambda reader, payload: None)
        slow = feed(*BEFORE, item, *AFTER)

    assert outcome(fast) == outcome(slow)
    return taken == [True]


@pytest.mark.parametrize("item", TAKEN.values(), ids=TAKEN.keys())
def test_pieces_of_reasoning(item: Json, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same result as by the general rules."""
    assert compare(item, monkeypatch)


@pytest.mark.parametrize("item", LEFT.values(), ids=LEFT.keys())
def test_what_is_more_than_reasoning(item: Json, monkeypatch: pytest.MonkeyPatch) -> None:
    """The general rules see it."""
    assert not compare(item, monkeypatch)


def test_notes_beyond_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are left out, which is reported once a choice."""
    monkeypatch.setattr("streamproc.dialects.chat_notes._MAX_CHARS", 3)
    proc = feed(role(), *(delta(reasoning="ab") for _ in range(3)), says("x"))

    assert steps(proc)[0]["extras"] == {"reasoning": [{"type": "reasoning", "text": "ab"}]}
    assert proc.anomalies["limit"] == 1


def test_a_payload_that_was_left_is_not_read_again() -> None:
    """`decode` asks the reader as the processor did."""
    reader = Reader(keeps=False)
    payload = json.dumps(delta(reasoning="x")).encode()

    assert [reader.text([payload], 0), reader.text([payload], 0), reader.text([b"{}"], 0)] == [None, None, None]


def test_text_goes_on_after_reasoning() -> None:
    """In the same block."""
    proc = feed(says("a"), delta(reasoning="x"), says("b"))

    assert message(proc)["content"][0]["text"]["value"] == "ab"
