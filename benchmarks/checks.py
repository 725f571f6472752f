"""Whether a candidate did the work: its final texts against the workload's, before its time counts."""

import json
from collections.abc import Iterable
from typing import Any

from benchmarks.dialect_streams import CALLS, MESSAGES
from benchmarks.writer import Texts, Workload
from streamproc import Change, StreamProcessor, to_wire

__all__ = ["check_core", "held_texts", "losses", "merged_texts", "texts_of"]

_MEMBERS = {"function": "arguments", "code_interpreter": "input", "text": "value"}


def texts_of(obj: Any) -> list[str]:
    """The text of each tool call of a step, or each block of a message; `obj` is its JSON data."""
    items = obj.get("content") or (obj.get("step_details") or {}).get("tool_calls") or []
    return [item[item["type"]][_MEMBERS[item["type"]]] for item in items]


def merged_texts(changes: Iterable[Change]) -> Texts:
    """What the deltas alone added up to: from the state of each object after its last delta."""
    last = {change.id: change for change in changes if change.event.endswith(".delta")}
    return {id: texts_of(json.loads(to_wire(change.state))) for id, change in last.items()}


def held_texts(proc: StreamProcessor) -> Texts:
    """All texts that a processor holds, by position: those of calls, and of messages; see dialect_streams.py."""

    def texts(objects: Iterable[Any]) -> list[str]:
        return [text for obj in objects for text in texts_of(json.loads(to_wire(obj)))]

    return {CALLS: texts(proc.steps.values()), MESSAGES: texts(proc.messages.values())}


def losses(expected: Texts, held: Texts) -> str:
    """What is missing from, or wrong in, the texts that a candidate holds, in a few words; "" when all are right."""
    wanted = sum(len(text) for texts in expected.values() for text in texts)
    wrong = lost = 0
    for id, texts in expected.items():
        mine = held.get(id, [])
        for index, text in enumerate(texts):
            found = mine[index] if index < len(mine) else ""
            wrong += found != text
            lost += max(0, len(text) - len(found))
    if not wrong:
        return ""
    return f"{wrong} of {sum(map(len, expected.values()))} texts are wrong, {lost / wanted:.0%} of the characters lost"


def check_core(workload: Workload, size: int) -> None:
    """Feed a workload in chunks of `size` bytes and compare all texts and all final states.

    Raises:
        AssertionError: something differs; no time of this core means anything.
    """
    proc = StreamProcessor()
    changes = [change for chunk in workload.chunks(size) for change in proc.feed(chunk)]
    changes += proc.close()
    if workload.texts:
        lost = losses(workload.texts, merged_texts(changes))
        assert not lost, f"{workload.name}, chunks of {size}: {lost}"
    for id, state in workload.states.items():
        obj = proc.steps.get(id) or proc.messages.get(id) or proc.runs.get(id)
        assert obj is not None, f"{workload.name}: {id} is missing"
        assert json.loads(to_wire(obj)) == state, f"{workload.name}: {id} differs from its terminal snapshot"
