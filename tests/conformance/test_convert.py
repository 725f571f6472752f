"""Recorded streams of every dialect, written out again as Assistants streams, and read by the published client.

The event handler of the `openai` package must take each without an exception and end with the texts and tool calls that
the states here have; once from the changes as they come, once from the last states, as a store has them.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from streamproc import StreamProcessor, encode_sse, to_wire
from streamproc.cli.oracle import Held, Oracle
from streamproc.core.body import Kind
from streamproc.core.emit import Emitter, emit_states
from streamproc.model.run_step import ToolCallsDetails
from tests.streams import wire

TRANSLATED = ("chat", "responses")
DIALECTS = ("assistants", *TRANSLATED)  # those of the protocol itself go out as they came

# That client keeps the first id of a call. Here the last snapshot counts, and in one recording the ids were exchanged.
OTHER_IDS = frozenset({"vercel_ai__openai-client-tool-search.1.sse"})

oracle = cache(Oracle)


def converted(data: bytes) -> tuple[StreamProcessor, bytes]:
    """The states of a stream, and the stream of its changes."""
    proc, emitter = StreamProcessor("auto"), Emitter()
    events = [*emitter.events([*proc.feed(data), *proc.close()]), *emitter.end()]
    return proc, b"".join(map(encode_sse, events))


def retold(proc: StreamProcessor) -> Iterator[bytes]:
    """A stream for each run, from its last states; steps come before what they speak of."""
    tables: list[tuple[Kind, Mapping[str, Any]]] = [("step", proc.steps), ("message", proc.messages)]
    for run_id, run in proc.runs.items():
        objects: list[tuple[Kind, bytes]] = [("run", to_wire(run))]
        for kind, table in tables:
            objects.extend((kind, to_wire(obj)) for obj in table.values() if obj.run_id == run_id)
        yield b"".join(map(encode_sse, emit_states(objects)))


def texts_of(messages: Mapping[str, Any]) -> dict[str, list[str]]:
    return {
        id: [block["text"]["value"] for block in message.get("content") or [] if block["type"] == "text"]
        for id, message in messages.items()
    }


def calls_of(steps: Mapping[str, Any]) -> dict[str, list[tuple[Any, ...]]]:
    """Of each step with tool calls: id, type, name and arguments of each call."""
    found: dict[str, list[tuple[Any, ...]]] = {}
    for id, step in steps.items():
        calls = (step.get("step_details") or {}).get("tool_calls")
        if calls is not None:
            found[id] = [
                (call.get("id"), call["type"], (call.get("function") or {}).get("name"), _arguments(call))
                for call in calls
            ]
    return found


def _arguments(call: Mapping[str, Any]) -> object:
    function = call.get("function") or {}
    return function.get("arguments", (call.get("code_interpreter") or {}).get("input"))


def check(proc: StreamProcessor, held: Held, *, same_ids: bool = True) -> None:
    steps = {id: wire(step) for id, step in proc.steps.items()}
    messages = {id: wire(message) for id, message in proc.messages.items()}

    assert texts_of(held.messages) == texts_of(messages)
    if same_ids:
        assert calls_of(held.steps) == calls_of(steps)
    else:
        assert _without_ids(calls_of(held.steps)) == _without_ids(calls_of(steps))
        assert calls_of(held.steps) != calls_of(steps)


def _without_ids(calls: dict[str, list[tuple[Any, ...]]]) -> dict[str, list[tuple[Any, ...]]]:
    return {step: [rest for _, *rest in of_step] for step, of_step in calls.items()}  # type: ignore[misc]


def recordings(corpus: Path, dialects: Sequence[str]) -> list[Path]:
    return [path for dialect in dialects for path in sorted((corpus / dialect).glob("*.sse"))]


def test_every_recording_is_read_by_the_published_client(corpus: Path) -> None:
    """From its changes, as `convert` writes them while they come."""
    with_calls = with_texts = 0
    for path in recordings(corpus, TRANSLATED):
        proc, stream = converted(path.read_bytes())
        held = oracle().merge([stream])
        try:
            check(proc, held, same_ids=path.name not in OTHER_IDS)
        except AssertionError as error:
            raise AssertionError(f"{path.parent.name}/{path.name}: {error}") from error
        with_calls += any(isinstance(step.step_details, ToolCallsDetails) for step in proc.steps.values())
        with_texts += any(message.text for message in proc.messages.values())

    assert with_calls > 60
    assert with_texts > 60


def test_every_recording_is_told_by_its_states(corpus: Path) -> None:
    """As `convert --store` tells a run that ended long ago."""
    for path in recordings(corpus, DIALECTS):
        proc, _ = converted(path.read_bytes())
        streams = [*retold(proc)]
        held = oracle().merge(streams)
        known = {step.run_id for step in proc.steps.values()} <= proc.runs.keys()
        if not known:  # of a run that the stream never spoke of
            continue
        try:
            check(proc, held)
        except AssertionError as error:
            raise AssertionError(f"{path.parent.name}/{path.name}: {error}") from error


@pytest.mark.parametrize("dialect", DIALECTS)
def test_there_are_recordings(corpus: Path, dialect: str) -> None:
    """A folder that went missing must not pass."""
    assert len([*(corpus / dialect).glob("*.sse")]) > 30
