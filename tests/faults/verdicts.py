"""What became of a run: the verdicts, and how they are found without the code under test.

equal        complete, and every state is the one of a fault-free run
truncated    flagged: the result says so, and the last change of every object that is open; what is there is a beginning
anomaly      a state differs, and an anomaly or an inferred status says that something was wrong
as received  a state differs, and nothing tells: the bytes were damaged into other bytes that are just as valid. Every
             object that ended equals a snapshot that came in; one that is still open holds what its deltas said
wrong        none of these
hung         it took longer than its script, the idle timeout and one second
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal, TypeAlias

from streamproc import Change, Pipeline, StreamProcessor, to_wire
from streamproc.core.lifecycle import TERMINAL
from streamproc.pipeline import StreamResult
from tests.faults.workload import Json

__all__ = [
    "KINDS",
    "VERDICTS",
    "Verdict",
    "beginning_faults",
    "delivery_faults",
    "is_beginning",
    "states_of",
    "verdict_of",
]

Verdict: TypeAlias = Literal["equal", "truncated", "anomaly", "as received", "wrong", "hung"]
VERDICTS: Final[tuple[Verdict, ...]] = ("equal", "truncated", "anomaly", "as received", "wrong", "hung")

KINDS: Final = {"thread.run": "run", "thread.run.step": "step", "thread.message": "message"}
_GROWING: Final = ("step_details", "content")  # all else of an object is as its last snapshot said


def states_of(table: Pipeline | StreamProcessor) -> dict[str, Json]:
    """Id -> state, as JSON data."""
    return {
        id: json.loads(to_wire(obj))
        for objects in (table.steps, table.messages, table.runs)
        for id, obj in objects.items()
    }


def is_terminal(obj: Json) -> bool:
    kind = KINDS.get(obj.get("object"))  # damage may have taken it away
    return obj.get("status") in (TERMINAL[kind] if kind else TERMINAL["run"])


# --- beginnings -------------------------------------------------------------------------------------------------------


def is_beginning(part: Json, whole: Json) -> bool:
    """Whether a JSON tree can grow into another one by appending to texts, lists and objects, or in place of null."""
    match part, whole:
        case None, _:
            return True
        case str(), str():
            return whole.startswith(part)
        case list(), list():
            return len(part) <= len(whole) and all(map(is_beginning, part, whole))
        case dict(), dict():
            return all(name in whole and is_beginning(value, whole[name]) for name, value in part.items())
    return bool(part == whole)


def beginning_faults(states: Mapping[str, Json], truth: Mapping[str, Json]) -> list[str]:
    """What is there that is no beginning of the run: an object, its parts, or an end that is not the real one."""
    faults = [f"{id} is unknown" for id in states if id not in truth]
    for id, state in states.items():
        whole = truth.get(id, {})
        if is_terminal(state) and state != whole:
            faults.append(f"{id} ended otherwise")
        faults += [
            f"{id}: {name} is no beginning"
            for name in _GROWING
            if name in state and not is_beginning(state[name], whole.get(name))
        ]
    return faults


# --- verdicts ---------------------------------------------------------------------------------------------------------


def verdict_of(
    result: StreamResult,
    states: Mapping[str, Json],
    truth: Mapping[str, Json],
    changes: Sequence[Change],
    damaged: bytes | None,
) -> tuple[Verdict, str]:
    """The verdict on a run that ended, and why when it is "wrong".

    Args:
        changes: all that a sink got.
        damaged: the stream as it was sent, when its bytes were not those of the run.
    """
    last = {change.id: change for change in changes if change.kind != "anomaly"}
    if result.truncated:
        faults = [] if damaged is not None else beginning_faults(states, truth)
        faults += [
            f"{id} is not marked" for id, state in states.items() if not is_terminal(state) and not _marked(last, id)
        ]
        if result.error is None:
            faults.append("no error says why")
        return ("wrong", "; ".join(faults)) if faults else ("truncated", "")
    if states == truth:
        return "equal", ""
    others = ", ".join(id for id in {*states, *truth} if states.get(id) != truth.get(id))
    if damaged is None:
        return "wrong", f"{others} differ"
    if any(change.kind == "anomaly" or change.inferred_status is not None for change in changes):
        return "anomaly", ""
    snapshots = _snapshots(damaged)
    if all(state in snapshots or not is_terminal(state) for id, state in states.items() if state != truth.get(id)):
        return "as received", ""
    return "wrong", f"{others} differ from all that came"


def _marked(last: Mapping[str, Change], id: str) -> bool:
    return id in last and last[id].truncated


def _snapshots(data: bytes) -> list[Json]:
    """All JSON objects in a stream, read line by line."""
    found: list[Json] = []
    for line in data.decode("utf-8", "replace").splitlines():
        name, _, payload = line.partition(":")
        try:
            found.append(json.loads(payload) if name == "data" else None)
        except ValueError:
            continue
    return found


def delivery_faults(changes: Iterable[Change], states: Mapping[str, Json]) -> list[str]:
    """What is wrong with the changes themselves: numbers with gaps, epochs that go back, an outdated last state."""
    faults: list[str] = []
    epoch = seq = 0
    last: dict[str, Change] = {}
    for change in changes:
        if change.epoch != epoch:
            faults += ["an epoch went back"] if change.epoch < epoch else []
            epoch, seq = change.epoch, 0
        if change.seq != seq + 1:
            faults.append(f"seq {change.seq} after {seq}")
        seq = change.seq
        if change.kind in ("run", "step", "message"):
            last[change.id] = change
    delivered = {id: json.loads(to_wire(change.state)) for id, change in last.items()}
    return faults if delivered == states else [*faults, "the last changes are not the states"]
