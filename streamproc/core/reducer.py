"""Reducer: canonical events in, changes out; the states of runs, steps and messages in between.

States are keyed by object id, grouped by run, and outlive streams: the next stream of a run (after `requires_action`,
or a reconnect) goes on where the last one stopped. No IO, no clock, no logging; what is odd is counted and reported.

There are two paths. `apply` takes any event, see turn.py. `apply_fragments` (of payloads that are canonical) and `grow`
(of translated ones) take the commonest one, a text fragment for a place that is already growing, and do exactly what
`apply` would do, in a fraction of the time.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, TypeAlias

import msgspec

from streamproc.core.body import Kind
from streamproc.core.change import ENDED, NO_NOTE, Change, Note
from streamproc.core.context import StreamContext
from streamproc.core.events import STEP_DELTA, Event, snapshot_event
from streamproc.core.fragments import ENTRIES, FragmentDecoder, FragmentError
from streamproc.core.limits import Limits
from streamproc.core.place import Around, Place, Places, decode_text, growing_text, learn_around, plant_text
from streamproc.core.spot import Spot
from streamproc.core.stored import StoredObject
from streamproc.core.table import Record, States, Table
from streamproc.core.tree import TextBuffer
from streamproc.core.turn import INFERRED, TRUNCATED, Turn
from streamproc.model.message import Message
from streamproc.model.run import Run
from streamproc.model.run_step import RunStep

__all__ = ["Hot", "Reducer"]

Hot: TypeAlias = Mapping[bytes | None, FragmentDecoder]
"""Event name on the wire -> the decoder of its fragments."""


class Reducer:
    """Merges canonical events into Run, RunStep and Message states.

    One reducer may serve many streams, also of the same run; it is not thread-safe. `apply` is the whole of it; the
    rest is for whoever owns the streams.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self._max_size = self.limits.max_object_bytes
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

    def infer(self, run_id: str, status: str, context: StreamContext | None = None) -> list[Change]:
        """Note how a run must have ended of which nothing is heard any more; nothing if it has ended, or is unknown.

        The run and what is open of it get an inferred status, which any later event of theirs takes away again.

        Args:
            status: one that ends a run, e.g. "expired".
            context: whose name and epoch the changes have; best of a stream that has no events of its own.
        """
        return Turn(self._table, self.limits, context or self._default, Event(INFERRED)).infer(run_id, status)

    def run_ids(self) -> list[str]:
        """The runs of which anything is known, if only a step; those that ended last."""
        return self._table.run_ids()

    def has_ended(self, run_id: str) -> bool | None:
        """Whether a run has a terminal status; None if nothing is known of it."""
        return self._table.has_ended(run_id)

    def members(self, run_id: str) -> list[tuple[Kind, str]]:
        """Kind and id of the steps and messages of a run, in order of appearance."""
        group = self._table.group(run_id)
        return [] if group is None else [(record.body.kind, record.body.id) for record in group.members]

    def stored(self, kind: Kind, id: str) -> StoredObject:
        """An object to be shown: its JSON, who last spoke of it, and what is known beside it. Its shape is left out.

        Raises:
            KeyError: no such object.
        """
        record = self._table.records[kind][id]
        body, (stream, epoch) = record.body, record.owner
        return StoredObject(
            kind=kind,
            id=id,
            run_id=body.run_id,
            thread_id=body.thread_id,
            wire=body.wire(record.revision),
            revision=record.revision,
            stream=stream,
            epoch=epoch,
            status=record.status,
            provisional=record.provisional,
            note=ENDED if record.closed else record.note,
        )

    def evict(self, run_id: str) -> None:
        """Forget a run with its steps and messages. Changes already handed out keep their views."""
        self._table.evict(run_id)

    def restore(self, objects: Iterable[StoredObject], changes: Iterable[Change] = ()) -> list[Change]:
        """Go on where another reducer stopped: take over objects, and what a journal says happened to them since.

        Objects that are known already stay as they are, and so do changes that the objects have taken in.

        Args:
            objects: in order of appearance.
            changes: of these objects, in order; those of others change nothing.

        Returns:
            The changes that were news, as views of the objects here.
        """
        views: list[Change] = []
        for stored in objects:
            self._table.restore(stored)
        for change in changes:
            record = self._table.records.get(change.kind, {}).get(change.id)
            if record is None or change.revision <= record.revision:
                continue
            if change.data is not None or change.piece:
                context = StreamContext(change.origin)
                context.run_id, context.thread_id = change.run_id, change.thread_id
                for places in context.places.values():
                    places.object_id = change.id  # what a delta without an id was taken for
                data = msgspec.json.decode(change.raw) if change.data is None else change.data
                self.apply(Event(change.event, data, change.raw), context)
            else:  # what the end of its run or stream said of it
                record.touched += 1
                record.note = change.note
            record.revision = change.revision
            views.append(msgspec.structs.replace(change, body=record.body))
        return views

    def note(self, kind: Kind, id: str) -> Note:
        """What is known about an object beside its state.

        Raises:
            KeyError: no such object.
        """
        return self._table.records[kind][id].note

    # -- the fast path --------------------------------------------------------------------------------------------

    def apply_fragments(
        self,
        places: Places,
        decode: FragmentDecoder,
        payloads: Iterator[bytes],
        context: StreamContext,
        out: list[Change],
    ) -> bytes | None:
        """Merge text fragments, all payloads of the event of `places`, for as long as they are just that.

        The changes go to `out`. Returns the first payload that is anything else, untouched, for `apply`; None when all
        were merged. All that could make a difference is looked at here, is excluded by the shape of a fragment, or has
        touched the record: the object ended or is marked, the place is new, of another type or was moved.
        """
        for payload in payloads:
            place = None if context.done else places.find(payload)
            buffer = None if place is None else place.text(context.owner)
            if place is None or buffer is None:
                place = None if context.done else self._learn(places, decode, payload, context)
                if place is None:
                    return payload
                buffer = place.buffer()
                assert buffer is not None  # of a place that was just found
            places.last = place
            literal = payload[len(place.before) : -len(place.after)]
            change = self.append(place.record, buffer, literal, context, places.event, place.around)
            if change is None:
                return payload
            places.object_id = place.record.body.id
            out.append(change)
        return None

    def append(
        self, record: Record, buffer: TextBuffer, literal: bytes, context: StreamContext, event: str, around: Around
    ) -> Change | None:
        """Merge one text fragment, given as the JSON of its text, into a text of an object that takes it.

        Returns None when it is no text after all, or nothing that can be merged here.
        """
        if context.done:
            return None
        try:
            text = decode_text(literal)
        except FragmentError:
            return None
        size = record.size + len(text)
        if not text or size > self._max_size:
            return None
        revision, seq = record.revision + 1, context.seq + 1
        buffer.append(text, revision)
        record.revision, record.size, context.seq = revision, size, seq
        return Change(context.origin, seq, event, record.body, revision, None, literal, NO_NOTE, around)

    def extend(
        self, places: Places, pieces: Iterator[bytes], end: bytes, context: StreamContext, out: list[Change]
    ) -> bytes | None:
        """As `apply_fragments`, for payloads that all have the same `end`, given without it.

        Returns the first piece that is no text for a place known by its looks.
        """
        place = places.last
        if place is None or context.done:
            return next(pieces, None)
        record, buffer = place.record, place.text(context.owner)
        if buffer is None:
            return next(pieces, None)
        name, origin, seq, limit = places.event, context.origin, context.seq, self._max_size
        around, start = place.around, place.before if place.after is end or place.after == end else _NO_START
        body, revision, size = record.body, record.revision, record.size
        since = revision  # as of which `buffer` knows of its fragments
        piece: bytes | None = None
        try:
            for piece in pieces:
                literal = piece.removeprefix(start)
                if literal is piece:  # the place before does not start like this
                    found = place.follower
                    if found is not None:
                        literal = piece.removeprefix(found.before)
                    if found is None or literal is piece or found.after != end:
                        found = place.follower = places.find(piece, end)
                        if found is None:
                            return piece
                        literal = piece[len(found.before) :]
                    other = found.buffer() if found.touched == found.record.touched else found.text(context.owner)
                    if other is None:
                        return piece
                    if revision != since:
                        buffer.grew(since + 1, revision)
                    if found.record is not record:
                        record.revision, record.size = revision, size
                        record = found.record
                        body, revision, size = record.body, record.revision, record.size
                    place, buffer, around, start, since = found, other, found.around, found.before, revision
                text = decode_text(literal)
                length = len(text)
                if not length or size + length > limit:
                    return piece
                buffer.parts.append(text)
                size += length
                revision += 1
                seq += 1
                out.append(Change(origin, seq, name, body, revision, None, literal, NO_NOTE, around))
        except FragmentError:
            return piece
        finally:
            if revision != since:
                buffer.grew(since + 1, revision)
            record.revision, record.size = revision, size
            if seq != context.seq:
                context.seq, places.last, places.object_id = seq, place, body.id
        return None

    def grow(self, spot: Spot, texts: list[str], context: StreamContext, out: list[Change]) -> None:
        """Merge text fragments of a translated stream, in a row for one spot; the changes go to `out`.

        They are what `apply` would make of `spot.delta(text)` for one text after the other.
        """
        size = sum(map(len, texts))
        place = None if context.done or not all(texts) else self._place(spot, size, context)
        if place is None:
            if len(texts) == 1:
                out += self.apply(spot.delta(texts[0]), context)
                return
            for text in texts:
                self.grow(spot, [text], context, out)
            return
        record, buffer = place.record, place.buffer()
        assert buffer is not None  # of a place that was just looked at
        origin, event, body, around = context.origin, spot.event, record.body, spot.around
        first, ahead, count = record.revision + 1, record.revision - context.seq, len(texts)
        out += [
            Change(origin, seq, event, body, seq + ahead, None, encode_text(text), NO_NOTE, around)
            for seq, text in enumerate(texts, context.seq + 1)
        ]
        buffer.parts += texts
        context.seq += count
        record.revision += count
        record.size += size
        buffer.grew(first, record.revision)

    def _place(self, spot: Spot, size: int, context: StreamContext) -> Place | None:
        """Where a spot is in the states, if there is a text that grows and has room for `size` characters more."""
        place = spot.place
        if place is None or place.text(context.owner) is None:
            place = spot.place = self._found(spot, size, context.owner)
        return place if place is not None and place.record.size + size <= self._max_size else None

    def _found(self, spot: Spot, size: int, owner: tuple[str, int]) -> Place | None:
        record = (self._steps if spot.event is STEP_DELTA else self._messages).get(spot.id)
        if record is None:
            return None
        buffer = growing_text(record, owner, spot.index, spot.path)
        if buffer is None and record.size + size <= self._max_size:
            buffer = plant_text(record, owner, spot.index, spot.path)
        return None if buffer is None else Place(record, buffer, spot.index, spot.path, spot.around)

    def _learn(self, places: Places, decode: FragmentDecoder, payload: bytes, context: StreamContext) -> Place | None:
        """The place a fragment belongs to, if it is a known one; how its payloads look is learned."""
        try:
            fragment = decode(payload)
        except FragmentError:
            return None
        record = (self._steps if places.event is STEP_DELTA else self._messages).get(fragment.id)
        entry = fragment.entry
        path = ENTRIES[type(entry)]
        buffer = None if record is None else growing_text(record, context.owner, entry.index, path)
        around = None if buffer is None else learn_around(payload, fragment, decode)
        if record is None or buffer is None or around is None:
            return None
        place = Place(record, buffer, entry.index, path, around)
        places.add(place)
        return place


encode_text: Final = msgspec.json.Encoder().encode
_NO_START: Final = b"\xff"  # nothing in UTF-8 starts like this
