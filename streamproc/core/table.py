"""The table of everything known: records of runs, steps and messages, grouped by run, and bounded.

The table is keyed by id and outlives streams. It forgets whole runs: the oldest closed ones first, and open ones only
when more are open than `Limits` allows.
"""

import sys
from collections.abc import Iterator, Mapping, Set
from typing import Final, Generic, TypeVar

from streamproc.core.body import Body, Kind
from streamproc.core.change import NO_NOTE, Note
from streamproc.core.limits import Limits
from streamproc.core.patch import AWAITING, awaited_calls
from streamproc.core.stored import StoredObject, grow

__all__ = ["Record", "RunGroup", "States", "Table"]

_MAX_PAST: Final = 16

# Shared by all records that have none, and never changed: there are many records.
_NO_PAST: Final[Mapping[str, int]] = {}
_NO_TYPES: Final[Set[str]] = frozenset()

_AWAITING: Final = b'"%b"' % AWAITING.encode()  # only what has it can be a step that waits

T = TypeVar("T")


class Record:
    """One object through its life; `body` is replaced by each snapshot, `revision` counts its visible changes."""

    __slots__ = (
        "_past",
        "body",
        "closed",
        "note",
        "owner",
        "provisional",
        "revision",
        "size",
        "status",
        "touched",
        "unknown",
    )

    def __init__(self, body: Body, owner: tuple[str, int]) -> None:
        self.body = body
        self.revision = 0
        self.owner = owner  # stream and epoch that last spoke of it
        self._past = _NO_PAST  # the same of other streams before it
        self.status: str | None = None
        self.closed = False  # has a terminal status
        self.provisional = False  # made for a delta, before any snapshot
        self.note: Note = NO_NOTE
        self.size = 0  # characters accumulated
        self.unknown: Set[str] = _NO_TYPES  # types reported as unknown
        self.touched = 0  # counts all events but plain text fragments: see place.py

    def compare(self, owner: tuple[str, int]) -> int:
        """How the epoch of a stream stands to the one in which that stream last spoke of this object.

        Negative: it is older, and was replaced; positive: it is newer; 0: the same, or the first.
        """
        stream, epoch = owner
        return epoch - (self.owner[1] if stream == self.owner[0] else self._past.get(stream, epoch))

    def adopt(self, owner: tuple[str, int]) -> None:
        """Note who speaks of it now; the last few other streams are remembered with their epochs."""
        if owner[0] != self.owner[0]:
            self._past = dict([*self._past.items(), self.owner][-_MAX_PAST:])
        self.owner = owner

    def takes_fragments(self, owner: tuple[str, int]) -> bool:
        """Whether a text fragment from this stream changes nothing but a text."""
        return self.owner is owner and not self.closed and self.note == NO_NOTE


class RunGroup:
    """A run with its steps and messages, in order of appearance. The run may be unknown yet (or for ever)."""

    __slots__ = ("members", "run")

    def __init__(self) -> None:
        self.run: Record | None = None
        self.members: list[Record] = []


class Table:
    """All records. `steps`, `messages` and `runs` are by id; groups by run id ("" for objects of no known run)."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self.records: dict[str, dict[str, Record]] = {"run": {}, "step": {}, "message": {}}
        self._open: dict[str, RunGroup] = {}
        self._closed: dict[str, RunGroup] = {}
        self._shapes: dict[Record, bytes] = {}  # of restored records that nothing came for yet
        self._waiting: dict[Record, tuple[str, ...]] = {}  # steps, and the calls whose outputs they wait for
        self._awaited: dict[str, list[Record]] = {}  # the same by call, the newest last

    def restore(self, stored: StoredObject) -> None:
        """Enter an object as a store kept it, unless it is known; nothing is decoded before it is touched."""
        known = self.records[stored.kind]
        if stored.id in known:
            return
        body = Body(stored.kind, stored.id, stored.run_id, stored.thread_id, stored.wire)
        record = Record(body, (stored.stream, stored.epoch))
        record.revision = stored.revision
        record.status = sys.intern(stored.status) if stored.status else None
        record.closed = stored.note.ended
        record.provisional = stored.provisional
        record.note = NO_NOTE if stored.note.ended else stored.note
        self.add(record)
        if stored.shape:
            self._shapes[record] = stored.shape
        if stored.kind == "step" and _AWAITING in stored.wire and not record.closed:
            self.wait(record, awaited_calls(body.data(record.revision)))
        if record.closed and stored.kind == "run":
            self.close(stored.id)

    def wait(self, record: Record, call_ids: tuple[str, ...]) -> None:
        """Note for the outputs of which calls a step waits now."""
        before = self._waiting.pop(record, ())
        for call_id in before:
            waiting = self._awaited[call_id]
            waiting.remove(record)
            if not waiting:
                del self._awaited[call_id]
        if call_ids:
            self._waiting[record] = call_ids
            for call_id in call_ids:
                self._awaited.setdefault(call_id, []).append(record)

    def waiting_for(self, call_id: str, run_id: str | None, thread_id: str | None) -> Record | None:
        """The newest step that waits for a call's output: one of the run, else one of the thread."""
        waiting = self._awaited.get(call_id, ())
        for record in reversed(waiting):
            if record.body.run_id == run_id:
                return record
        for record in reversed(waiting):
            if record.body.thread_id == thread_id:
                return record
        return None

    def touch(self, kind: Kind, id: str) -> Record | None:
        """The record of the object concerned, if there is one. Its places will be looked at again."""
        record = self.records[kind].get(id)
        if record is not None:
            record.touched += 1
            if self._shapes and (shape := self._shapes.pop(record, None)):
                record.size = grow(record.body, shape, record.revision)
        return record

    def group(self, run_id: str | None) -> RunGroup | None:
        """The group of a run, if there is one."""
        key = run_id or ""
        return self._open.get(key) or self._closed.get(key)

    def run_ids(self) -> list[str]:
        """The runs of which anything is known, those that ended last."""
        return [run_id for run_id in (*self._open, *self._closed) if run_id]

    def has_ended(self, run_id: str) -> bool | None:
        """Whether a run ended; None if nothing is known of it."""
        return True if run_id in self._closed else False if run_id in self._open else None

    def add(self, record: Record) -> list[str]:
        """Enter a new record; returns what had to be forgotten to keep the bounds, one phrase each."""
        body = record.body
        forgotten: list[str] = []
        group = self.group(body.run_id)
        if group is None:
            if len(self._open) >= self._limits.max_open_runs:
                oldest = next(iter(self._open))
                forgotten.append(f"more than {self._limits.max_open_runs} open runs; forgot run {oldest!r}")
                self.evict(oldest)
            group = self._open[body.run_id or ""] = RunGroup()
        if body.kind == "run":
            group.run = record
        else:
            if len(group.members) >= self._limits.max_steps_per_run:
                first = group.members.pop(0)
                phrase = f"more than {self._limits.max_steps_per_run} steps and messages; forgot {first.body.id!r}"
                forgotten.append(phrase)
                self._forget(first)
            group.members.append(record)
        self.records[body.kind][body.id] = record
        return forgotten

    def move(self, record: Record, run_id: str | None) -> list[str]:
        """Put a record whose run became known into that run's group; its body says so already."""
        group = self.group(run_id)
        if group is not None:
            group.members.remove(record)
            if not group.members and group.run is None:
                self._open.pop(run_id or "", None)
        return self.add(record)

    def close(self, run_id: str) -> None:
        """Note that a run ended, and forget the oldest ended runs beyond the bound."""
        group = self._open.pop(run_id, None)
        if group is not None:
            self._closed[run_id] = group
        while len(self._closed) > self._limits.max_closed_runs:
            self.evict(next(iter(self._closed)))

    def evict(self, run_id: str) -> None:
        """Forget a run with its steps and messages. Changes already handed out keep their views."""
        group = self._open.pop(run_id, None) or self._closed.pop(run_id, None)
        if group is None:
            return
        if group.run is not None:
            self._forget(group.run)
        for record in group.members:
            self._forget(record)

    def _forget(self, record: Record) -> None:
        record.closed = True
        record.touched += 1
        self._shapes.pop(record, None)
        if record in self._waiting:
            self.wait(record, ())
        body = record.body
        self.records[body.kind].pop(body.id, None)
        record.body = Body(body.kind, body.id, body.run_id, body.thread_id, b"")  # a place may still know the record


class States(Mapping[str, T], Generic[T]):
    """A live view of one kind of object: id -> its current state, built when read."""

    def __init__(self, table: Table, kind: Kind) -> None:
        self._records = table.records[kind]

    def __getitem__(self, key: str) -> T:
        record = self._records[key]
        state: T = record.body.state(record.revision)
        return state

    def __iter__(self) -> Iterator[str]:
        return iter(self._records)

    def __len__(self) -> int:
        return len(self._records)
