"""What `demo --kill` counts: the files that a killed process left and its successor finished, held against each other.

Nothing here took part in making them. What is journalled is read from the store, what arrived from the sink's file,
what was handed over from the note that the sink took, and what should be there from a run that nobody killed.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from streamproc.cli.kill_child import CHANGES, STORE, WIRE
from streamproc.core.change import encode_change
from streamproc.core.processor import StreamProcessor
from streamproc.core.reducer import Reducer
from streamproc.model.wire import to_wire
from streamproc.stores.queries import find, journal_after, open_store

__all__ = ["Key", "Verdict", "journalled", "judge"]

Key: TypeAlias = tuple[str, int, int]  # stream, epoch, seq

_SAID: Final = ("event", "kind", "id", "run_id", "delta")
_KINDS: Final = ("run", "step", "message")


class Verdict(Struct, frozen=True, kw_only=True):
    """The figures; `is_good` if none of the faults occurred."""

    epochs: int  # passes over the first stream
    journalled: int  # changes that were ever durable
    applied: int  # that are in the sink's file
    twice_on_wire: int  # that were handed to the sink again
    lost: int  # durable, at the kill or later, but not in the file
    doubled: int  # more than once in the file
    phantom: int  # in the file, but never durable
    out_of_order: int  # behind a later one of its stream
    wrong_changes: int  # objects of which the newest epoch says something else than a run that nobody killed
    wrong_states: int  # objects that ended otherwise than there

    @property
    def is_good(self) -> bool:
        faults = (self.lost, self.doubled, self.phantom, self.out_of_order, self.wrong_changes, self.wrong_states)
        return not any(faults)


def journalled(store: sqlite3.Connection) -> list[Key]:
    """The changes in the journal, in its order."""
    keys: list[Key] = []
    after = 0
    while (batch := journal_after(store, after)).changes:
        keys += ((change.stream, change.epoch, change.seq) for change in batch.changes)
        after = batch.last
    return keys


def judge(folder: Path, streams: Sequence[tuple[str, bytes]], before: Sequence[Key]) -> Verdict:
    """Compare the files.

    Args:
        folder: where they are.
        streams: the names and bytes of what was ingested, in order.
        before: what was durable when the process was killed.
    """
    with open_store(folder / STORE) as store:
        durable = {*before, *journalled(store)}
        states = {(kind, row["id"]): msgspec.json.decode(row["state"]) for kind in _KINDS for row in find(store, kind)}
    lines: list[dict[str, Any]] = [msgspec.json.decode(line) for line in _lines(folder / CHANGES)]
    keys = [(line["stream"], line["epoch"], line["seq"]) for line in lines]
    wire = list(_lines(folder / WIRE))
    changes, expected = _uninterrupted(streams)
    got = _applied(lines)
    return Verdict(
        epochs=len({epoch for stream, epoch, _ in durable if stream == streams[0][0]}),
        journalled=len(durable),
        applied=len(keys),
        twice_on_wire=len(wire) - len(set(wire)),
        lost=len(durable - set(keys)),
        doubled=len(keys) - len(set(keys)),
        phantom=len(set(keys) - durable),
        out_of_order=_out_of_order(keys),
        wrong_changes=sum(got.get(key) != changes.get(key) for key in {*got, *changes}),
        wrong_states=sum(states.get(key) != expected.get(key) for key in {*states, *expected}),
    )


def _applied(lines: Iterable[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Stream and id of an object -> what the newest epoch that changes it says, change by change.

    An object that ended before the kill is not changed again: the next epoch has anomalies for it and nothing else.
    """
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    epochs: dict[tuple[str, str], int] = {}
    for line in lines:
        key = line["stream"], line["id"]
        if line["kind"] == "anomaly" or line["epoch"] < epochs.get(key, 0):
            continue
        if line["epoch"] > epochs.get(key, 0):
            found[key], epochs[key] = [], line["epoch"]
        found[key].append({name: line.get(name) for name in _SAID})
    return found


def _uninterrupted(
    streams: Sequence[tuple[str, bytes]],
) -> tuple[dict[tuple[str, str], list[dict[str, Any]]], dict[tuple[str, str], Any]]:
    """The same, and the states in the end, when the streams are read in peace."""
    reducer = Reducer()
    lines: list[dict[str, Any]] = []
    for name, data in streams:
        proc = StreamProcessor(reducer=reducer, stream=name)
        lines += (msgspec.json.decode(encode_change(change)) for change in [*proc.feed(data), *proc.close()])
    tables = {"run": reducer.runs, "step": reducer.steps, "message": reducer.messages}
    states = {
        (kind, id): msgspec.json.decode(to_wire(one)) for kind, table in tables.items() for id, one in table.items()
    }
    return _applied(lines), states


def _out_of_order(keys: Sequence[Key]) -> int:
    newest: dict[str, tuple[int, int]] = {}
    count = 0
    for stream, epoch, seq in keys:
        count += (epoch, seq) < newest.get(stream, (0, 0))
        newest[stream] = max(newest.get(stream, (0, 0)), (epoch, seq))
    return count


def _lines(path: Path) -> Iterator[bytes]:
    """The lines of a file that are complete."""
    with open(path, "rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield line
