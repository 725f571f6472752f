"""Reducer: canonical events in, changes out; the states of runs, steps and messages in between.

States are keyed by object id, grouped by run, and outlive streams: the next stream of a run (after `requires_action`,
or a reconnect) goes on where the last one stopped. No IO, no clock, no logging; what is odd is counted and reported.

There are two paths. `apply` takes any event, see turn.py. `apply_fragments` takes the commonest one, a text fragment
for a place that is already growing, and does exactly what `apply` would do, in a fraction of the time.
"""

from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from streamproc.core.body import Kind
from streamproc.core.change import NO_NOTE, Change, Note
from streamproc.core.context import StreamContext
from streamproc.core.events import STEP_DELTA, Event, snapshot_event
from streamproc.core.fragments import FragmentDecoder, FragmentError
from streamproc.core.limits import Limits
from streamproc.core.place import Around, Place, decode_text
from streamproc.core.table import States, Table
from streamproc.core.tree import COMPACT_AT
from streamproc.core.turn import TRUNCATED, Turn
from streamproc.model.message import Message
from streamproc.model.run import Run
from streamproc.model.run_step import RunStep

__all__ = ["Hot", "Reducer"]

Hot: TypeAlias = Mapping[bytes | None, tuple[str, FragmentDecoder]]
"""Event name on the wire -> its name as text, and the decoder of its fragments."""


class Reducer:
    """Merges canonical events into Run, RunStep and Message states.

    One reducer may serve many streams, also of the same run; it is not thread-safe. `apply` is the whole of it; the
    rest is for whoever owns the streams.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._table = Table(self.limits)
        self._steps = self._table.records["step"]
        self._messages = self._table.records["message"]
        self._default = StreamContext.named("default")
        self.runs: Mapping[str, Run] = States(self._table, "run")
        self.steps: Mapping[str, RunStep] = States(self._table, "step")
        self.messages: Mapping[str, Message] = States(self._table, "message")

    # -- what callers use -----------------------------------------------------------------------------------------

    def apply(self, event: Event, context: StreamContext | None = None) -> list[Change]:
        """Merge one event; returns the changes it made, anomalies first. An event that changes nothing makes none.

        Never raises on any event a dialect can make.
        """
        return Turn(self._table, self.limits, context or self._default, event).run()

    def hydrate(self, obj: Run | RunStep | Message, context: StreamContext | None = None) -> list[Change]:
        """Take an authoritative state from elsewhere, e.g. a list endpoint: it replaces what deltas built up.

        Raises:
            ValueError: the object has no status to name the event by.
        """
        return Turn(self._table, self.limits, context or self._default, snapshot_event(obj), hydrating=True).run()

    def truncate(self, context: StreamContext | None = None) -> list[Change]:
        """Note that a stream broke off: its run's open steps and messages are marked, and stay open."""
        return Turn(self._table, self.limits, context or self._default, Event(TRUNCATED)).truncate()

    def evict(self, run_id: str) -> None:
        """Forget a run with its steps and messages. Changes already handed out keep their views."""
        self._table.evict(run_id)

    def note(self, kind: Kind, id: str) -> Note:
        """What is known about an object beside its state.

        Raises:
            KeyError: no such object.
        """
        return self._table.records[kind][id].note

    # -- the fast path --------------------------------------------------------------------------------------------

    def apply_fragments(
        self, name: str, decode: FragmentDecoder, payloads: Iterator[bytes], context: StreamContext, out: list[Change]
    ) -> bytes | None:
        """Merge text fragments, all payloads of event `name`, for as long as they are just that.

        The changes go to `out`. Returns the first payload that is anything else, untouched, for `apply`; None when all
        were merged. All that could make a difference is looked at here, is excluded by the shape of a fragment, or has
        emptied `record.hot`: the object ended or is marked, the place is new, of another type or was moved.

        When the last fragments were for one place, that is the `steady` one of `context.places`: see `extend`.
        """
        places = context.places[name]
        for payload in payloads:
            found = None if context.done else places.find(payload)
            if found is None or not found[0].is_open(context.owner):
                found = None if context.done else self._learn(name, decode, payload, context)
                if found is None:
                    return payload
            place, around = found
            places.steady, places.last = place if place is places.last else None, place
            if self.extend(name, iter((payload[: -len(around.after)],)), around.after, context, out) is not None:
                return payload
        return None

    def extend(
        self, name: str, pieces: Iterator[bytes], end: bytes, context: StreamContext, out: list[Change]
    ) -> bytes | None:
        """As `apply_fragments`, for payloads that all have the same `end`, given without it.

        Returns the first piece that is no text for a place known by its looks.
        """
        places, owner = context.places[name], context.owner
        place = places.last
        if context.done or place is None or place.around is None or not place.is_open(owner):
            return next(pieces, None)
        origin, seq, limit, append = context.origin, context.seq, self.limits.max_object_bytes, out.append
        around, record, buffer = place.around, place.record, place.buffer
        start = around.before if around.after == end else _NO_START
        for piece in pieces:
            literal = piece.removeprefix(start)
            if literal is piece:  # the place before does not start like this
                found = places.find(piece, end)
                if found is None or not found[0].is_open(owner):
                    break
                place, around = found
                start, record, buffer = around.before, place.record, place.buffer
                literal = piece[len(start) :]
            try:
                text = decode_text(literal)
            except FragmentError:
                break
            size = record.size + len(text)
            if not text or size > limit:
                break
            record.size = size
            record.revision = revision = record.revision + 1
            parts = buffer.parts
            parts.append(text)
            buffer.revs.append(revision)
            if len(parts) >= COMPACT_AT:
                buffer.compact()
            seq += 1
            append(Change(origin, seq, name, record.body, revision, None, literal, NO_NOTE, around))
        else:
            piece = None
        if seq != context.seq:
            context.seq = seq
            places.last = place
            if name is STEP_DELTA:
                context.step_id = record.body.id
            else:
                context.message_id = record.body.id
        return piece

    def _learn(
        self, name: str, decode: FragmentDecoder, payload: bytes, context: StreamContext
    ) -> tuple[Place, Around] | None:
        """The place a fragment belongs to, if it is a known one; how its payloads look is learned."""
        try:
            fragment = decode(payload)
        except FragmentError:
            return None
        record = (self._steps if name is STEP_DELTA else self._messages).get(fragment.id)
        if record is None or record.owner is not context.owner:
            return None
        entry = fragment.entry
        place = record.hot.get(entry.index)
        if place is None or place.entry is not type(entry):
            return None
        around = place.learn(payload, fragment, decode)
        if around is None:
            return None
        context.places[name].add(place, around)
        return place, around


_NO_START: Final = b"\xff"  # nothing in UTF-8 starts like this
