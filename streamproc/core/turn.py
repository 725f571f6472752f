"""One event on its way through the reducer: the general path, by kind of event.

A *snapshot* is the object itself: taken exactly, except that it never shrinks what deltas built up (before the terminal
one) and that an empty one never erases it. A *delta* is merged by the rules of merge.py. Anything for an object that
*ended* may only fill gaps, see late.py.
"""

import sys
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from streamproc.core.anomalies import Anomaly, AnomalyKind
from streamproc.core.body import Body, Kind
from streamproc.core.change import ENDED, NO_NOTE, Change, Note
from streamproc.core.context import StreamContext
from streamproc.core.details import covers, diverging, is_bare
from streamproc.core.events import (
    DONE,
    ERROR,
    MESSAGE_DELTA,
    STEP_DELTA,
    THREAD_CREATED,
    Event,
    snapshot_kind,
    snapshot_name,
)
from streamproc.core.late import fill, may_fill
from streamproc.core.lifecycle import STREAM_ENDING, TERMINAL, inferred_status
from streamproc.core.limits import Limits
from streamproc.core.merge import RULES, Merge, is_empty
from streamproc.core.patch import Patch, answered, awaited_calls, patched
from streamproc.core.table import Record, RunGroup, Table
from streamproc.core.tree import Grown, Node
from streamproc.model.message import BLOCKS, Message
from streamproc.model.run import Run
from streamproc.model.run_step import DETAILS, RunStep
from streamproc.model.tool_calls import TOOL_CALLS

__all__ = ["INFERRED", "TRUNCATED", "Turn"]

_DETAILS: Final[Mapping[str, str]] = {"step": "step_details", "message": "content"}
"""The member that deltas build up, per kind of object."""

_DELTAS: Final[Mapping[str, bytes]] = {"step": STEP_DELTA.encode(), "message": MESSAGE_DELTA.encode()}
_OBJECTS: Final[Mapping[str, str]] = {"run": "thread.run", "step": "thread.run.step", "message": "thread.message"}
INFERRED: Final = "inferred"
TRUNCATED: Final = "truncated"
_NAMEABLE: Final = frozenset({*RunStep.__struct_fields__, *Message.__struct_fields__, *Run.__struct_fields__, *RULES})
"""Members an anomaly may name; any other name is content."""
_MAX_UNKNOWN: Final = 64  # types reported per object, and characters by which they are told apart


class Turn:
    """One event on its way through the reducer: where it came from, and the changes made so far."""

    def __init__(
        self, table: Table, limits: Limits, context: StreamContext, event: Event, *, hydrating: bool = False
    ) -> None:
        self._limits = limits
        self._table = table
        self._context = context
        self._event = event
        self._hydrating = hydrating
        self._begins = False  # an object that is known is told from its beginning
        self._is_patched = False  # the event's payload was made here, and must say what the object is
        self._before: dict[str, Any] | None = None  # what the object was before that, if it was looked at
        self._id = ""  # of the object concerned, for anomalies
        self._changes: list[Change] = []

    def run(self) -> list[Change]:
        event, context = self._event, self._context
        if event.name == DONE:
            context.done = True
            return self._changes
        if context.done and not self._hydrating:
            context.done = False
            self._report("reopened", "an event after the end of the stream, without open()")
        if isinstance(event.data, Anomaly):
            self._anomaly(event.data)
        elif isinstance(event.data, Patch):
            self._patch(event.data)
        elif event.name == ERROR:
            self._error()
        elif event.name == STEP_DELTA:
            self._delta("step")
        elif event.name == MESSAGE_DELTA:
            self._delta("message")
        elif event.name == THREAD_CREATED:
            context.thread_id = _text(event.data.get("id"))
        elif (kind := snapshot_kind(event.name)) is not None:
            self._snapshot(kind, event.data)
            if self._hydrating and kind == "step":  # of a dialect whose streams wait for outputs, perhaps
                self._waits(event.data)
        else:
            self._report("unknown_event", "no event of this vocabulary")
        return self._changes

    # -- making changes -------------------------------------------------------------------------------------------

    def _emit(self, body: Body, revision: int, data: Any = None, raw: bytes = b"", note: Note = NO_NOTE) -> None:
        context = self._context
        context.seq += 1
        self._changes.append(Change(context.origin, context.seq, self._event.name, body, revision, data, raw, note))

    def _visible(self, record: Record) -> None:
        """Emit the next revision of a record."""
        record.revision += 1
        # what a delta said is read from its payload, unless it was made by hand
        data = None if self._event.raw else self._event.data
        note = ENDED if record.closed else record.note
        self._emit(record.body, record.revision, data, self._event.raw, note)

    def _report(self, kind: AnomalyKind, detail: str) -> None:
        self._anomaly(Anomaly(kind=kind, event=self._event.name, id=self._id, detail=detail))

    def _anomaly(self, anomaly: Anomaly) -> None:
        context = self._context
        context.anomalies[anomaly.kind] += 1
        self._emit(Body("anomaly", anomaly.id, context.run_id, context.thread_id, b""), 0, anomaly, self._event.raw)

    def _error(self) -> None:
        context = self._context
        context.ended = True
        self._emit(Body("error", "", context.run_id, context.thread_id, b""), 0, self._event.data, self._event.raw)

    # -- snapshots ------------------------------------------------------------------------------------------------

    def _snapshot(self, kind: Kind, data: dict[str, Any]) -> None:
        self._id = _text(data.get("id")) or ""
        if not self._id:
            self._report("bad_json", f"a {kind} without an id")
            return
        if not self._hydrating:
            self._follow(kind, data)
        status = self._status(kind, data)
        record = self._table.touch(kind, self._id)
        if record is None:
            record = self._new_record(kind, self._body(kind, data))
        elif record.compare(self._context.owner) < 0:
            self._report("late_event", "from a connection that was replaced")
            return
        elif record.closed:
            if kind == "run" and self._id == self._context.run_id:
                self._context.ended = True
            self._late(record, data, status)
            return
        elif not self._take(record, data, status):
            self._settle(record, status)
            return
        self._settle(record, status)
        self._unknown_types(record, data)
        record.note = NO_NOTE
        self._visible(record)
        if record.closed and kind == "run":
            self._close_run(self._id, status or "")

    def _patch(self, patch: Patch) -> None:
        """Make the complete snapshot that a patch stands for, and take it."""
        name = self._event.name
        kind = snapshot_kind(name)
        if kind is None:
            self._report("unknown_event", "a patch of no object")
            return
        if patch.call_id:
            self._answer(patch)
            return
        record = self._table.touch(kind, patch.id)
        if record is not None and record.closed and kind != "run" and name.endswith(".in_progress"):
            self._id = patch.id
            self._report("late_event", "what was said of it while it lasted")  # told again, from an earlier beginning
            return
        if record is None and patch.id and kind != "run" and not name.endswith(".created"):
            self._id = patch.id
            self._report("provisional", f"a change of a {kind} that is not known, or was forgotten")
        self._begins, owner = patch.begins, self._context.owner
        restarts = record is not None and not record.closed and (patch.begins or record.compare(owner) > 0)
        if record is None or (restarts and patch.defaults):
            state = {"id": patch.id, "object": _OBJECTS[kind], **patch.defaults}
        else:
            self._before = record.body.data(record.revision)
            state = self._before if record.closed else {**patch.defaults, **self._before}
            if "status" not in patch.members:  # named after the status that it has
                name = snapshot_name(_OBJECTS[kind], record.status)
        self._take_patched(kind, name, patched(state, patch.members))

    def _answer(self, patch: Patch) -> None:
        """The output of a tool call, which may be one of an earlier run; the stream stays with its own."""
        context = self._context
        record = self._table.waiting_for(patch.call_id, context.run_id, context.thread_id, elsewhere=not patch.is_own)
        if record is None:
            self._report("late_event", "the output of a call that no step waits for")
            return
        state = record.body.data(record.revision)
        data = patched(patched(state, answered(state, patch.call_id, patch.output)), patch.members)
        place = context.run_id, context.thread_id, context.places[_DELTAS["step"]].object_id
        self._take_patched("step", snapshot_name(_OBJECTS["step"], data.get("status")), data)
        context.run_id, context.thread_id, context.places[_DELTAS["step"]].object_id = place

    def _take_patched(self, kind: Kind, name: str, data: dict[str, Any]) -> None:
        self._event = Event(name, data, msgspec.json.encode(data))
        self._is_patched = True
        self._snapshot(kind, data)
        if kind == "step":
            self._waits(data)

    def _waits(self, data: dict[str, Any]) -> None:
        """Note for the outputs of which calls a step waits now."""
        record = self._table.records["step"].get(self._id)
        if record is not None:
            self._table.wait(record, () if record.closed else awaited_calls(data))

    def _follow(self, kind: Kind, data: dict[str, Any]) -> None:
        """Keep the stream's place: the current run, and where a delta without an id would belong."""
        context = self._context
        run_id = self._id if kind == "run" else _text(data.get("run_id"))
        context.run_id = _same(run_id, context.run_id)
        context.thread_id = _same(_text(data.get("thread_id")), context.thread_id)
        if kind != "run":
            context.places[_DELTAS[kind]].object_id = self._id

    def _status(self, kind: Kind, data: dict[str, Any]) -> str | None:
        """The status that governs: the payload's, else the event name's; a disagreement is reported."""
        named = self._event.name.rpartition(".")[2]
        status = data.get("status")
        if not isinstance(status, str):
            return None if named == "created" else named
        if named not in ("created", status):
            self._report("status_conflict", f"the event is named {named}, its payload differs")
        return status

    def _body(self, kind: Kind, data: dict[str, Any]) -> Body:
        raw = self._event.raw or msgspec.json.encode(data)
        run_id = self._id if kind == "run" else _text(data.get("run_id"))
        context = self._context
        thread_id = _same(_text(data.get("thread_id")), context.thread_id)
        return Body(kind, self._id, _same(run_id, context.run_id), thread_id, raw)

    def _new_record(self, kind: Kind, body: Body) -> Record:
        record = Record(body, self._context.owner)
        self._limited(self._table.add(record))
        return record

    def _limited(self, forgotten: list[str]) -> None:
        for phrase in forgotten:
            self._report("limit", phrase)

    def _take(self, record: Record, data: dict[str, Any], status: str | None) -> bool:
        """Replace the body of an open record by a snapshot; returns whether that changed anything visible."""
        old, owner = record.body, self._context.owner
        restarts = (self._begins or record.compare(owner) > 0) and self._event.name.endswith(".created")
        record.adopt(owner)
        ends = status in TERMINAL[old.kind]
        if self._event.raw == old.raw and old.tree is None and not record.provisional:
            return ends or record.note != NO_NOTE
        body = self._body(old.kind, data)
        if not record.provisional:
            if not is_empty(old.run_id) and not is_empty(data.get("run_id")) and body.run_id != old.run_id:
                self._report("id_conflict", "run_id differs from the first one")
            body.run_id, body.thread_id = old.run_id or body.run_id, old.thread_id or body.thread_id
        body.tree = None if restarts else self._kept(record, data, ends=ends)
        if body.tree is None:
            record.size = 0
        elif ends:  # nothing more will be appended: join it once
            body.raw, body.tree = body.wire(record.revision), None
        record.body = body
        if body.run_id != old.run_id and (record.provisional or is_empty(old.run_id)):
            self._limited(self._table.move(record, old.run_id))
        record.provisional = False
        if ends or record.note != NO_NOTE:
            return True
        before = old.data(record.revision) if self._before is None else self._before
        return before != (data if body.tree is None else body.data(record.revision))

    def _kept(self, record: Record, data: dict[str, Any], *, ends: bool) -> Node | None:
        """The accumulated details, as the tree of the next body, when the snapshot must not replace them."""
        old, key = record.body, _DETAILS.get(record.body.kind, "")
        incoming = data.get(key)
        growing = old.tree.members.get(key) if old.tree is not None else None
        if is_bare(incoming):
            current = old.data(record.revision).get(key)
            if is_bare(current):
                return None
            if not record.provisional:
                self._report("kept_partial", f"a snapshot without {key}; the accumulated ones stay")
        elif not isinstance(growing, Grown) or self._hydrating or incoming == (current := self._now(record, growing)):
            return None
        elif ends:
            if lost := diverging(current, incoming):
                self._report("divergence", f"{lost[0]} characters accumulated, {lost[1]} in the snapshot")
            return None
        elif self._is_patched or covers(incoming, current):  # a patch says on purpose what it says
            return None
        else:
            self._report("kept_partial", f"a snapshot with less {key} than was accumulated")
        return Node({key: growing if isinstance(growing, Grown) else current})

    def _now(self, record: Record, growing: Grown) -> Any:
        """What deltas built up; a patch has looked at it already."""
        key = _DETAILS[record.body.kind]
        return growing.at(record.revision) if self._before is None else self._before.get(key)

    def _settle(self, record: Record, status: str | None) -> None:
        """Note the status; a terminal one closes the record."""
        kind = record.body.kind
        record.status = sys.intern(status) if status else record.status  # the same few in all objects
        record.closed = record.status in TERMINAL[kind]
        if kind == "run" and self._id == self._context.run_id:
            self._context.ended = record.status in STREAM_ENDING

    def _unknown_types(self, record: Record, data: dict[str, Any]) -> None:
        """Report each type we do not know once per object; `data` is a snapshot or a delta."""
        if record.body.kind == "message":
            items, known = data.get("content"), BLOCKS
        elif record.body.kind == "step" and isinstance(details := data.get("step_details"), dict):
            items, known = details.get("tool_calls"), TOOL_CALLS
            if "id" in data:  # the details of a delta may carry a tool's type; its state has the right one
                self._unknown_type(record, details, DETAILS)
        else:
            return
        if isinstance(items, list):
            for item in items:
                self._unknown_type(record, item, known)

    def _unknown_type(self, record: Record, item: object, known: Mapping[str, object]) -> None:
        name = item.get("type") if isinstance(item, dict) else None
        if not isinstance(name, str) or name in known or len(record.unknown) >= _MAX_UNKNOWN:
            return
        if name[:_MAX_UNKNOWN] not in record.unknown:
            record.unknown = {*record.unknown, name[:_MAX_UNKNOWN]}
            self._report("unknown_type", "kept as it came")

    def _close_run(self, run_id: str, status: str) -> None:
        """A run that ended closes nothing by itself; what is open gets an inferred status beside it."""
        group = self._table.group(run_id) or RunGroup()
        for record in group.members:
            if not record.closed:
                inferred = inferred_status(record.body.kind, status)
                self._remark(record, Note(inferred_status=inferred, truncated=record.note.truncated))
        self._table.close(run_id)

    # -- after the end --------------------------------------------------------------------------------------------

    def _late(self, record: Record, data: dict[str, Any], status: str | None) -> None:
        """Something for an object that ended: fill gaps, refuse and report the rest."""
        state = record.body.data(record.revision)
        if status in TERMINAL[record.body.kind]:
            if status != record.status:
                self._report("status_conflict", "another terminal status came first")
            data = {name: value for name, value in data.items() if name != "status" or value != status}
        filled, refused = fill(state, data)
        if refused:
            self._report("late_event", f"refused after the terminal event: {', '.join(sorted(refused & _NAMEABLE))}")
        if filled:
            body = record.body
            record.body = Body(body.kind, body.id, body.run_id, body.thread_id, msgspec.json.encode(state))
            if self._is_patched:
                self._event = Event(self._event.name, state, record.body.raw)
            self._visible(record)

    # -- deltas ---------------------------------------------------------------------------------------------------

    def _delta(self, kind: Kind) -> None:
        data, context = self._event.data, self._context
        delta = data.get("delta")
        self._id = _text(data.get("id")) or ""
        if not self._id:
            self._id = context.places[_DELTAS[kind]].object_id
            self._report("provisional" if self._id else "bad_json", f"a {kind} delta without an id")
            if not self._id:
                return
        if not isinstance(delta, dict):
            self._report("bad_json", f"a {kind} delta that holds no object")
            return
        if kind == "step":
            delta = self._own_type(delta)
        record = self._table.touch(kind, self._id)
        if record is None:
            record = self._provisional(kind)
        elif record.compare(self._context.owner) < 0:
            self._report("late_event", "from a connection that was replaced")
            return
        elif record.closed:
            if may_fill(delta):
                self._late(record, delta, None)
            elif any(value is not None for value in delta.values()):
                self._report("late_event", "a delta after the terminal event")
            return
        record.adopt(context.owner)
        context.places[_DELTAS[kind]].object_id = self._id
        if "status" in delta:
            if not is_empty(delta["status"]):
                self._report("status_conflict", "a status comes with a snapshot")
            delta = {name: value for name, value in delta.items() if name != "status"}
        had_tree = record.body.tree is not None
        merge = Merge(record.revision + 1, self._limits.max_object_bytes - record.size, self._limits, self._report)
        merge.into(_tree(record, delta), delta)
        record.size += merge.size
        if merge.changed:
            record.body.shaped_at = record.revision + 1
        elif not had_tree:  # all of it was refused: nothing has grown
            record.body.tree = None
        self._unknown_types(record, delta)
        if merge.changed or record.note != NO_NOTE or record.revision == 0:
            record.note = NO_NOTE
            self._visible(record)

    def _own_type(self, delta: dict[str, Any]) -> dict[str, Any]:
        """Azure puts a tool's type into the details of `tool_calls` steps, where it would make them undecodable."""
        details = delta.get("step_details")
        if not isinstance(details, dict) or "tool_calls" not in details:
            return delta
        if not isinstance(details.get("type"), str) or details["type"] not in TOOL_CALLS:
            return delta
        self._report("type_conflict", "the details carry the type of a tool")
        return {**delta, "step_details": {**details, "type": "tool_calls"}}

    def _provisional(self, kind: Kind) -> Record:
        """Make an object for a delta that came before it; its snapshot fills in the rest."""
        context = self._context
        self._report("provisional", f"a delta before its {kind}")
        members = {"id": self._id, "object": _OBJECTS[kind], "run_id": context.run_id, "thread_id": context.thread_id}
        raw = msgspec.json.encode({name: value for name, value in members.items() if value})
        record = self._new_record(kind, Body(kind, self._id, context.run_id, context.thread_id, raw))
        record.provisional = True
        return record

    # -- the end of a stream --------------------------------------------------------------------------------------

    def truncate(self) -> list[Change]:
        context = self._context
        self._id = context.run_id or ""
        self._report("truncated", "the stream ended without a terminal event")
        group = self._table.group(context.run_id) or RunGroup()
        records = group.members if group.run is None else [*group.members, group.run]
        for record in records:
            if not record.closed and not record.note.truncated:
                self._remark(record, Note(inferred_status=record.note.inferred_status, truncated=True))
        return self._changes

    # -- silence ------------------------------------------------------------------------------------------------------

    def infer(self, run_id: str, status: str) -> list[Change]:
        """What is open of a run that has not ended gets the status that follows from the run's."""
        group = self._table.group(run_id) or RunGroup()
        run = group.run
        if run is not None and run.closed:
            return self._changes
        for record in group.members if run is None else [*group.members, run]:
            if not record.closed and record.note.inferred_status is None:
                inferred = status if record is run else inferred_status(record.body.kind, status)
                self._remark(record, Note(inferred_status=inferred, truncated=record.note.truncated))
        return self._changes

    def _remark(self, record: Record, note: Note) -> None:
        """Emit what is known beside an open object; its next event takes the note away."""
        record.note = note
        record.touched += 1  # so that a delta takes the general path, which sees the note
        record.revision += 1
        self._emit(record.body, record.revision, note=note)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _same(value: str | None, known: str | None) -> str | None:
    """The value, or what is known where it is absent; of two equal ones the known one, so that only that is kept."""
    return known if value is None or value == known else value


def _tree(record: Record, delta: dict[str, Any]) -> Node:
    """The tree that deltas grow, with the members this delta touches taken over from the snapshot."""
    body = record.body
    if body.tree is None:
        body.tree = Node({})
        body.grown_at = record.revision + 1
    missing = [name for name in delta if name not in body.tree.members]
    if missing:
        base = msgspec.json.decode(body.raw)
        body.tree.members.update({name: base[name] for name in missing if name in base})
    return body.tree
