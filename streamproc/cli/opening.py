"""How an input begins: whether it holds events at all, and whether it goes on with a run that is known already.

Several files of one run, given in order, are one table of states. But recordings of different runs may use the same ids
(documentation does), so that a file must show that it continues: it must not begin a run of its own, and its first
event must concern a run that is known and open. That is found out before a byte of it is merged.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Final

from streamproc.cli.recordings import why_no_stream
from streamproc.core.anomalies import Anomaly
from streamproc.core.dialect import dialect_factory
from streamproc.core.events import DONE, ERROR, THREAD_CREATED, Event, StepDeltaEvent, snapshot_kind
from streamproc.core.lifecycle import TERMINAL
from streamproc.core.limits import Limits
from streamproc.core.patch import Patch
from streamproc.core.reducer import Reducer
from streamproc.core.sse import SSEParser
from streamproc.errors import LimitExceeded
from streamproc.model.message import Message
from streamproc.model.run import Run
from streamproc.model.run_step import RunStep

__all__ = ["Opening", "look_ahead"]

_RUN_CREATED: Final = "thread.run.created"
_MAX_HELD: Final = Limits().max_frame_bytes  # a first event may be this long, so less would decide too early
_PIECE_BYTES: Final = 4096  # the first events are enough, so a chunk is not parsed twice as a whole


@dataclass(slots=True)
class Opening:
    """What was seen, and the input from its start: `chunks` gives it whole, once."""

    chunks: Iterator[bytes]
    head: bytes = b""  # the first chunk
    size: int = 0  # bytes read so far
    has_events: bool = False
    first: Event | None = None  # the first one about a run, step or message
    begins_run: bool = False
    limit: LimitExceeded | None = None
    restored: bool = False  # blank lines were put in

    def continues(self, known: Reducer) -> bool:
        """Whether the input goes on with a run of `known` that has not ended."""
        if self.first is None or self.begins_run:
            return False
        run = known.runs.get(_run_id(self.first, known) or "")
        return run is not None and run.status not in TERMINAL["run"]


def look_ahead(chunks: Iterable[bytes], dialect: str) -> Opening:
    """Read until the first event that tells, and no further; at most what one event may hold.

    Raises:
        ConfigError: there is no such dialect.
        InputError: reading failed.
    """
    parser, decoder = SSEParser(), dialect_factory(dialect)()
    source = iter(chunks)
    opening = Opening(source)
    held: list[bytes] = []
    for chunk in source:
        if not held:
            opening.head = chunk
        held.append(chunk)
        opening.size += len(chunk)
        try:
            for start in range(0, len(chunk), _PIECE_BYTES):
                for frame in parser.feed(chunk[start : start + _PIECE_BYTES]):
                    opening.has_events = True
                    for event in decoder.decode(frame):
                        _take(opening, event)
                if opening.first is not None:
                    break
        except LimitExceeded as error:
            opening.limit = error
            break
        if opening.first is not None or opening.size > _MAX_HELD:
            break
        if not opening.has_events and why_no_stream(opening.head):
            break  # a large file of another kind is not read to its end
    opening.chunks = chain(held, source)
    return opening


def _take(opening: Opening, event: Event) -> None:
    if opening.first is not None:
        return
    # By name alone: the payload of the event may be damaged, it starts a run all the same.
    opening.begins_run = opening.begins_run or event.name in (THREAD_CREATED, _RUN_CREATED)
    if event.name not in (THREAD_CREATED, ERROR, DONE) and not isinstance(event.data, Anomaly):
        opening.first = event


def _run_id(event: Event, known: Reducer) -> str | None:
    payload = event.payload
    match payload:
        case Patch():
            found = payload.id if snapshot_kind(event.name) == "run" else payload.members.get("run_id")
        case Run():
            return payload.id
        case RunStep() | Message():
            found = payload.run_id
        case StepDeltaEvent():  # a delta names its object only
            step = known.steps.get(payload.id)
            found = step.run_id if step is not None else None
        case _:
            message = known.messages.get(getattr(payload, "id", ""))
            found = message.run_id if message is not None else None
    return found if isinstance(found, str) else None
