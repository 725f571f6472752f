"""Spots: where the text of a translated stream goes, and that the fast way there gives what the general one does."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from operator import itemgetter
from typing import Any

import msgspec
import pytest

from streamproc import Change, Event, Limits, Reducer, StreamProcessor
from streamproc.core.change import encode_change
from streamproc.core.context import StreamContext
from streamproc.core.events import DONE
from streamproc.core.fragments import TextPath
from streamproc.core.patch import Patch
from streamproc.core.spot import Spot
from streamproc.core.sse import Frame
from streamproc.model.wire import to_wire
from tests.streams import message, run, step

FUNCTION = ("function", "function", "arguments")
TEXTS = ["a", "", 'é"\\\n', "\u2028", "🙂" * 3]


@pytest.mark.parametrize("id", ["msg_1", 'a"b', "\\", "é\n"])
def test_delta_of_a_message(id: str) -> None:
    """It is the canonical event, whatever the id holds."""
    made = Spot.message_text(id, 2).delta('"x"')
    expected = {
        "id": id,
        "object": "thread.message.delta",
        "delta": {"content": [{"index": 2, "type": "text", "text": {"value": '"x"'}}]},
    }

    assert made.name == "thread.message.delta"
    assert made.data == expected
    assert json.loads(made.raw) == expected


def test_delta_of_a_tool_call() -> None:
    """The path says which text of which type of call it is."""
    made = Spot.tool_text("step_1", 1, ("custom", "function", "arguments")).delta("x")

    assert made.name == "thread.run.step.delta"
    assert made.data["delta"]["step_details"] == {
        "type": "tool_calls",
        "tool_calls": [{"index": 1, "type": "custom", "function": {"arguments": "x"}}],
    }


class Table:
    """A reducer with an open step and message, and a context."""

    def __init__(self, limits: Limits | None = None) -> None:
        self.reducer = Reducer(limits)
        self.context = StreamContext.named("s")
        call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}
        block = {"type": "text", "text": {"value": "", "annotations": []}}
        for made in (run("created"), step("created", "step_1", call), message("created", "msg_1", block)):
            self.reducer.apply(made, self.context)

    def fast(self, *fragments: tuple[Spot, str]) -> list[Change]:
        """As a processor has them merged: in rows for one spot."""
        changes: list[Change] = []
        for spot, row in groupby(fragments, key=itemgetter(0)):
            self.reducer.grow(spot, [text for _, text in row], self.context, changes)
        return changes

    def is_known(self, spot: Spot) -> bool:
        """Whether fragments for it need no event."""
        return spot.place is not None and spot.place.text(self.context.owner) is not None

    def general(self, spot: Spot, text: str) -> list[Change]:
        return self.reducer.apply(spot.delta(text), self.context)


def the_spots() -> tuple[Spot, Spot]:
    return Spot.message_text("msg_1", 0), Spot.tool_text("step_1", 0, FUNCTION)


def told(changes: list[Change]) -> list[Any]:
    return [(encode_change(change), change.raw, change.delta) for change in changes]


@pytest.mark.parametrize("size", [1, 3, 100])
def test_same_changes_by_either_way(size: int) -> None:
    """Payloads, revisions and states, with the texts of two objects in turn and snapshots between them."""
    fast, general = Table(), Table()
    one, two = the_spots()
    fragments = [(spot, text) for text in TEXTS * 3 for spot in (one, one, two)]
    for start in range(0, len(fragments), size):
        some = fragments[start : start + size]
        assert told(fast.fast(*some)) == told([change for made in some for change in general.general(*made)])
        update = Event("thread.run.step.in_progress", Patch(id="step_1", members={"metadata": {"n": str(start)}}))
        for table in (fast, general):
            table.reducer.apply(update, table.context)

    assert fast.is_known(one)
    assert fast.reducer.steps == general.reducer.steps
    assert fast.reducer.messages == general.reducer.messages


def test_known_spot_is_taken_at_once() -> None:
    """It needs no event, not even for its first fragment; its changes have only their text."""
    table = Table()
    spot, _ = the_spots()
    first, second, third = table.fast((spot, "a"), (spot, "b"), (spot, "c"))

    assert [first.piece, second.piece, third.piece] == [b'"a"', b'"b"', b'"c"']
    assert first.around is second.around is third.around is spot.around


CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{", "output": None}}


@pytest.mark.parametrize(
    "details",
    [
        {"type": "tool_calls", "tool_calls": [CALL]},
        {"type": "tool_calls", "tool_calls": [{**CALL, "id": "call_0"}, CALL, 7]},
        {"type": "tool_calls", "tool_calls": [7]},
        {"type": "tool_calls", "tool_calls": []},
        {"type": "tool_calls", "tool_calls": None},
        {"type": "tool_calls", "tool_calls": [{**CALL, "type": "custom"}]},
        {"type": "tool_calls", "tool_calls": [{**CALL, "function": None}]},
        {"type": "tool_calls", "tool_calls": [{**CALL, "function": {"name": "f", "arguments": None}}]},
        {"type": "tool_calls", "tool_calls": [{**CALL, "function": {"name": "f"}}]},
        {"type": "message_creation", "message_creation": {"message_id": "msg_1"}},
        {"type": "message_creation", "tool_calls": [CALL]},
        None,
        "tool_calls",
    ],
)
@pytest.mark.parametrize("path", [FUNCTION, ("brand_new", "function", "arguments")])
def test_first_fragment_for_a_snapshot(details: object, path: TextPath) -> None:
    """Whatever the snapshot holds, and whether or not anybody knows the type of the call."""
    fast, general = Table(), Table()
    spot = Spot.tool_text("step_2", 0, path)
    created = Event("thread.run.step.created", Patch(id="step_2", members={"step_details": details}))
    for table in (fast, general):
        table.reducer.apply(created, table.context)
    changes = fast.fast((spot, "a"), (spot, "b"))
    expected = [change for text in "ab" for change in general.general(spot, text)]

    assert told(changes) == told(expected)
    assert [to_wire(change.state) for change in changes if change.kind == "step"] == [
        to_wire(change.state) for change in expected if change.kind == "step"
    ]
    assert to_wire(fast.reducer.steps["step_2"]) == to_wire(general.reducer.steps["step_2"])


@pytest.mark.parametrize("index", [0, 1])
def test_first_fragment_for_a_message(index: int) -> None:
    """A block that the snapshot has grows at once; for another one the rules make it."""
    fast, general = Table(), Table()
    spot = Spot.message_text("msg_1", index)

    assert told(fast.fast((spot, "a"))) == told(general.general(spot, "a"))
    assert to_wire(fast.reducer.messages["msg_1"]) == to_wire(general.reducer.messages["msg_1"])


def test_unknown_object_is_left_to_the_rules() -> None:
    """They make one for it, and say so."""
    table = Table()
    spot = Spot.message_text("msg_2", 0)

    assert not table.is_known(spot)
    assert [change.kind for change in table.fast((spot, "a"))] == ["anomaly", "message"]


def test_ended_object_is_left_to_the_rules() -> None:
    """They say that it is late; also when the spot was known before."""
    table = Table()
    spot, _ = the_spots()
    table.fast((spot, "a"), (spot, "b"))
    ended = Event("thread.message.completed", Patch(id="msg_1", members={"status": "completed"}))
    table.reducer.apply(ended, table.context)

    assert not table.is_known(spot)
    assert [change.kind for change in table.fast((spot, "c"))] == ["anomaly"]


def test_after_the_end_of_the_stream() -> None:
    """They say that it was reopened, and the next one is taken at once."""
    table = Table()
    spot, _ = the_spots()
    table.fast((spot, "a"))
    table.reducer.apply(Event(DONE), table.context)

    assert [change.kind for change in table.fast((spot, "b"), (spot, "c"))] == ["anomaly", "message", "message"]
    assert table.reducer.messages["msg_1"].text == "abc"


def test_more_than_an_object_may_hold() -> None:
    """They refuse it and count it; what still has room is taken."""
    table = Table(Limits(max_object_bytes=40))
    spot, _ = the_spots()
    changes = table.fast((spot, "a" * 10), (spot, "b" * 10), (spot, "c" * 100), (spot, "d"))

    assert [change.kind for change in changes] == ["message", "message", "anomaly", "message"]
    assert table.reducer.messages["msg_1"].text == "a" * 10 + "b" * 10 + "d"


# --- in a processor ---------------------------------------------------------------------------------------------------


class Text(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    t: str


_decode = msgspec.json.Decoder(Text).decode


class Words:
    """A wire of texts for one message; `{"end": true}` ends it."""

    cursor: str | None = None

    def __init__(self) -> None:
        self._spot = Spot.message_text("msg_1", 0)
        self._has_begun = False
        self.read = 0

    @property
    def texts(self) -> Mapping[str | None, object]:
        return {None: self._read, "word": self._read}

    def _read(self, payloads: Sequence[bytes], at: int) -> tuple[Spot, list[str]] | None:
        texts: list[str] = []
        if self._has_begun:
            with suppress(msgspec.MsgspecError):
                texts += (_decode(payload).t for payload in payloads[at:])
        self.read += len(texts)
        return (self._spot, texts) if texts else None

    def decode(self, frame: Frame) -> Sequence[Event]:
        if found := self._read([frame.data], 0):
            return [found[0].delta(found[1][0])]
        return [*self._slowly(frame)]

    def _slowly(self, frame: Frame) -> Iterator[Event]:
        if not self._has_begun:
            self._has_begun = True
            yield Event("thread.message.created", Patch(id="msg_1", members={"status": "in_progress", "content": []}))
            yield from self.decode(frame)
        else:
            yield Event("thread.message.completed", Patch(id="msg_1", members={"status": "completed"}))

    def finish(self) -> Sequence[Event]:
        return ()


class Plain:
    """The same without its fast path."""

    cursor: str | None = None

    def __init__(self) -> None:
        words = Words()
        self.decode, self.finish = words.decode, words.finish


STREAM = "".join(
    f"{'event: word' if n % 3 else ':'}\ndata: {json.dumps({'t': text})}\n\n" for n, text in enumerate(TEXTS * 4)
)
UNNAMED = "".join(f"data: {json.dumps({'t': text})}\n\n" for text in TEXTS * 4)
END = 'data: {"end": true}\n\n'


@pytest.mark.parametrize("stream", [STREAM, UNNAMED, STREAM + END, UNNAMED + END + UNNAMED])
@pytest.mark.parametrize("size", [1, 7, 64, 4096])
def test_processor_with_and_without_readers(stream: str, size: int) -> None:
    """The same changes, however the stream is cut; events with a name and without."""
    data = stream.encode()
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    fast, plain = StreamProcessor(Words), StreamProcessor(Plain)
    changes = [encode_change(change) for chunk in chunks for change in fast.feed(chunk)]

    assert changes == [encode_change(change) for chunk in chunks for change in plain.feed(chunk)]
    assert fast.messages == plain.messages


@pytest.mark.parametrize("type", ['a"b', "a\\", "é\n\u2028", 'x","id":"y'])
def test_a_type_is_data(type: str) -> None:
    """It may come from the wire, and be anything; the delta says it as it is, and nothing else."""
    event = Spot.tool_text("step_1", 0, (type, "function", "arguments")).delta("{")
    entry = {"index": 0, "type": type, "function": {"arguments": "{"}}

    assert event.data["delta"] == {"step_details": {"type": "tool_calls", "tool_calls": [entry]}}
    assert json.loads(event.raw) == event.data


def test_readers_are_used() -> None:
    """What they read does not become frames and events."""
    words = Words()
    proc = StreamProcessor(words)
    changes = proc.feed(UNNAMED.encode())

    assert words.read == len(TEXTS * 4)
    assert changes[-1].around is not None
    assert changes[-1].state.text == "".join(TEXTS * 4)
