"""Reducer: canonical events in, changes out; the states of runs, steps and messages in between.

States are keyed by object id, grouped by run, and outlive streams: the next stream of a run (after `requires_action`,
or a reconnect) goes on where the last one stopped. No IO, no clock, no logging; what is odd is counted and reported.

There are two paths. `apply` takes any event, see turn.py. `apply_fragments` takes the commonest one, a text fragment
for a place that is already growing, and does exactly what `apply` would do, in a fraction of the time.
"""

from collections.abc import Iterator, Mapping
from typing import Final, TypeAlias

from streamproc.core.body import Body, Kind
from streamproc.core.change import Change, Note
from streamproc.core.context import StreamContext
from streamproc.core.events import STEP_DELTA, Event, snapshot_event
from streamproc.core.fragments import FragmentDecoder, FragmentError
from streamproc.core.limits import Limits
from streamproc.core.place import NO_TEMPLATE, decode_text
from streamproc.core.table import States, Table
from streamproc.core.tree import TextBuffer
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
        self, name: str, payloads: Iterator[bytes], decode: FragmentDecoder, context: StreamContext, out: list[Change]
    ) -> bytes | None:
        """Merge text fragments, all payloads of event `name`, for as long as they are just that.

        The changes go to `out`. Returns the first payload that is anything else, untouched, for `apply`; None when all
        were merged. All that could make a difference is looked at here, is excluded by the shape of a fragment, or has
        emptied `record.hot`: the object ended or is marked, the place is new, of another type or was moved.
        """
        if context.done:
            return next(payloads, None)
        is_step = name is STEP_DELTA
        records = self._steps if is_step else self._messages
        owner, origin, seq, limit = context.owner, context.origin, context.seq, self.limits.max_object_bytes
        # The next fragment most likely belongs where the last one did, and looks like it but for the text.
        record = records.get(context.step_id if is_step else context.message_id)
        place = record.hot.get(context.index) if record is not None and record.owner is owner else None
        if record is None or place is None:
            before, after, start, end = NO_TEMPLATE
            body, buffer, size, revision = _NO_BODY, _NO_BUFFER, 0, 0  # never used: nothing matches NO_TEMPLATE
        else:
            before, after, start, end = place.template or NO_TEMPLATE
            body, buffer, size, revision = record.body, place.buffer, record.size, record.revision
        for payload in payloads:
            if payload.startswith(before) and payload.endswith(after):
                try:
                    text = decode_text(payload[start:end])
                except FragmentError:
                    break
            else:
                try:
                    fragment = decode(payload)
                except FragmentError:
                    break
                if record is not None and place is not None:
                    record.size, record.revision = size, revision
                    buffer.compact_if_due()
                entry = fragment.entry
                record = records.get(fragment.id)
                place = record.hot.get(entry.index) if record is not None and record.owner is owner else None
                if record is None or place is None or place.entry is not type(entry):
                    record = None
                    break
                if is_step:
                    context.step_id = fragment.id
                else:
                    context.message_id = fragment.id
                context.index = entry.index
                before, after, start, end = place.template or place.learn(payload, fragment, decode)
                body, buffer, size, revision = record.body, place.buffer, record.size, record.revision
                text = entry.payload.text
            grown = size + len(text)
            if not text or grown > limit:
                break
            size = grown
            revision += 1
            seq += 1
            buffer.parts.append(text)
            buffer.revs.append(revision)
            out.append(Change(origin, seq, name, body, revision, None, payload))
        else:
            payload = None
        if record is not None and place is not None:
            record.size, record.revision = size, revision
            buffer.compact_if_due()
        context.seq = seq
        return payload


_NO_BODY: Final = Body("anomaly", "", None, None, b"")
_NO_BUFFER: Final = TextBuffer("")
