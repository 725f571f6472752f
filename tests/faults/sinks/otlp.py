"""A collector of traces as a far side: an item is a span as a change made it, in the order of its run.

A backend keeps one span of each id, the one that came last. So an object has one span id for good, what came again is
what came before (but for what a process has to have heard before), and nothing older comes after something newer.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec

from streamproc import Change
from tests.faults.sinks.far_side import Item, Reading, lose_last_line
from tests.otlp_receiver import OtlpReceiverProcess, ReceivedSpan, taken

__all__ = ["OtlpCollector", "otlp_collector"]

_RUN: Final = ("run", "")
_HEARD: Final = ("gen_ai.request.model", "streamproc.start_unknown")

What: TypeAlias = tuple[str, str]
"""Step and tool call; which of them a span is of."""


class OtlpCollector:
    """A receiver that is a process of its own."""

    noun = "spans"
    delivers = ("final", "changes")
    clients = 4

    def __init__(self, server: OtlpReceiverProcess) -> None:
        self.server = server

    def sink(self) -> str:
        return f'[[sinks]]\nkind = "otlp"\nendpoint = "{self.server.url}"\n'

    def size(self) -> int:
        return self.server.record.stat().st_size if self.server.record.exists() else 0

    def repeated(self, skipped: int) -> int:
        spans = taken(self.server.record)
        return len(spans) - len({(_id(span), _item(span)) for span in spans})

    def read(self, journal: Sequence[Change], states: Mapping[str, Any], skipped: int) -> Reading:
        final = [change for change in journal if change.is_final and change.kind in ("run", "step")]
        newest = {change.id: change for change in final}
        spans = taken(self.server.record)
        first = {
            (_id(span), _item(span)): span for span in reversed(spans)
        }  # the earliest one is the last to be put in
        reading = Reading(
            allowed=[
                _item_of(change, what)
                for change in final
                for what in dict.fromkeys((*_whats(change, states), (change.id, "")))
            ],
            wanted=[_item_of(change, what) for change in newest.values() for what in _whats(change, states)],
            applied=[_item(span) for span in spans if first[_id(span), _item(span)] is span],
            repeated=len(spans) - len(first),
        )
        reading.wrong += [
            f"{_item(span)} came again as another"
            for span in spans
            if _lasting(span) != _lasting(first[_id(span), _item(span)])
        ]
        reading.wrong += _confused(spans)
        wanted = set(reading.wanted)
        reading.wrong += [
            f"a backend has {_item(span)} in the end"
            for span in {_id(span): span for span in spans}.values()
            if _item(span) not in wanted
        ]
        return reading

    def lose_one(self) -> None:
        lose_last_line(self.server.record)


def _confused(spans: Sequence[ReceivedSpan]) -> Iterator[str]:
    """Objects that have two span ids, and span ids that two objects have."""
    ids: dict[object, set[object]] = defaultdict(set)
    objects: dict[object, set[object]] = defaultdict(set)
    for span in spans:
        what = span.attributes["streamproc.run.id"], _what(span)
        ids[what].add(_id(span))
        objects[_id(span)].add(what)
    yield from (f"{what} has {len(found)} span ids" for what, found in ids.items() if len(found) > 1)
    yield from (f"a span id is of {len(found)} objects" for found in objects.values() if len(found) > 1)


def _lasting(span: ReceivedSpan) -> ReceivedSpan:
    """A span without what a process only knows if it has heard of the object before, see docs/sinks/otlp.md."""
    attributes = {name: value for name, value in span.attributes.items() if name not in _HEARD}
    return msgspec.structs.replace(span, name="", start_ns=0, attributes=attributes)


def _id(span: ReceivedSpan) -> tuple[str, str]:
    return span.trace_id, span.span_id


def _what(span: ReceivedSpan) -> What:
    step_id = span.attributes.get("streamproc.step.id")
    return _RUN if step_id is None else (step_id, span.attributes.get("gen_ai.tool.call.id", ""))


def _item(span: ReceivedSpan) -> Item:
    of = span.attributes
    key = of["streamproc.stream"], of["streamproc.epoch"], of["streamproc.seq"]
    return of["streamproc.run.id"], (_what(span), key)


def _whats(change: Change, states: Mapping[str, Any]) -> list[What]:
    """The spans that an object has, by what it is in the end."""
    if change.kind == "run":
        return [_RUN]
    calls = states[change.id]["step_details"].get("tool_calls")
    return [(change.id, "")] if calls is None else [(change.id, call["id"]) for call in calls]


def _item_of(change: Change, what: What) -> Item:
    return change.run_id or "", (what, (change.stream, change.epoch, change.seq))


@contextmanager
def otlp_collector(folder: Path) -> Iterator[OtlpCollector]:
    with OtlpReceiverProcess(folder / "arrived.jsonl") as server:
        yield OtlpCollector(server)
