"""The vocabulary, the typed payload of each event, and writing events out again."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Struct

from streamproc.core.anomalies import Anomaly
from streamproc.core.events import (
    CLASSES,
    DONE,
    ERROR,
    EVENT_NAMES,
    MESSAGE_DELTA,
    STEP_DELTA,
    THREAD_CREATED,
    CodeInterpreterDelta,
    ContentDelta,
    Event,
    FunctionDelta,
    MessageDelta,
    MessageDeltaEvent,
    StepDelta,
    StepDeltaEvent,
    StepDetailsDelta,
    TextDelta,
    ToolCallDelta,
    encode_sse,
    snapshot_event,
    snapshot_kind,
    typed_delta,
)
from streamproc.core.sse import Frame, SSEParser
from streamproc.model.message import Message
from streamproc.model.run import Run
from streamproc.model.run_step import RunStep, ToolCallsDetails
from streamproc.model.thread import ErrorObject, Thread
from streamproc.model.wire import attach_wire, from_wire, to_wire

RUN_EVENTS = [
    *("thread.run.created", "thread.run.queued", "thread.run.in_progress", "thread.run.requires_action"),
    *("thread.run.completed", "thread.run.failed", "thread.run.cancelling", "thread.run.cancelled"),
    *("thread.run.expired", "thread.run.incomplete"),
]
STEP_EVENTS = [
    *("thread.run.step.created", "thread.run.step.in_progress", "thread.run.step.completed"),
    *("thread.run.step.failed", "thread.run.step.cancelled", "thread.run.step.expired"),
]
MESSAGE_EVENTS = [
    *("thread.message.created", "thread.message.in_progress", "thread.message.completed"),
    "thread.message.incomplete",
]
PAYLOADS: Mapping[str, type[Any]] = {
    "thread.created": Thread,
    **dict.fromkeys(RUN_EVENTS, Run),
    **dict.fromkeys(STEP_EVENTS, RunStep),
    "thread.run.step.delta": StepDeltaEvent,
    **dict.fromkeys(MESSAGE_EVENTS, Message),
    "thread.message.delta": MessageDeltaEvent,
    "error": ErrorObject,
}
"""Name -> type of the payload, as the protocol lists them; `done` has none."""

TOOL_DELTA = {
    "step_details": {
        "type": "tool_calls",
        "tool_calls": [
            {
                "index": 0,
                "id": "call_1",
                "type": "function",
                "function": {"name": "f", "arguments": "", "output": None},
            },
            {
                "index": 1,
                "type": "code_interpreter",
                "code_interpreter": {"input": "1", "outputs": [{"index": 0, "type": "logs", "logs": "2"}]},
            },
            {"index": 2, "type": "file_search", "file_search": {}},
            {"index": 3, "type": "retrieval", "retrieval": {}},
        ],
    }
}
TEXT_DELTA = {
    "role": "assistant",
    "content": [
        {"index": 0, "type": "text", "text": {"value": "hi", "annotations": [{"index": 0, "type": "file_path"}]}},
        {"index": 1, "type": "refusal", "refusal": "no"},
        {"index": 2, "type": "image_file", "image_file": {"file_id": "file-a"}},
        {"index": 3, "type": "image_url", "image_url": {"url": "u"}},
    ],
}


# --- names ------------------------------------------------------------------------------------------------------------


def test_names_are_the_25_of_the_protocol() -> None:
    """No step can be queued or incomplete, no message can fail."""
    assert {*PAYLOADS, "done"} == EVENT_NAMES
    assert len(EVENT_NAMES) == 25


def test_names_of_single_events() -> None:
    """They are what the wire says."""
    assert (THREAD_CREATED, STEP_DELTA, MESSAGE_DELTA) == (
        "thread.created",
        "thread.run.step.delta",
        "thread.message.delta",
    )
    assert (ERROR, DONE) == ("error", "done")


@pytest.mark.parametrize(
    "name", [*sorted(EVENT_NAMES), "thread.run.step.queued", "thread.message.failed", "thread.run", ""]
)
def test_snapshot_kind(name: str) -> None:
    """Events that carry a whole run, step or message are told from all others."""
    kinds: Mapping[type[Any], str] = {Run: "run", RunStep: "step", Message: "message"}

    assert snapshot_kind(name) == kinds.get(PAYLOADS.get(name, Thread))


def test_each_kind_has_its_class() -> None:
    """And there are no other kinds of snapshots."""
    assert {"run": Run, "step": RunStep, "message": Message} == CLASSES
    assert {snapshot_kind(name) for name in EVENT_NAMES} == {*CLASSES, None}


# --- payloads ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in PAYLOADS if name != ERROR])
def test_payload_is_typed_by_the_name(name: str) -> None:
    """Each event's data becomes the struct that the protocol lists for it."""
    payload = Event(name, {"id": "id_1"}).payload

    assert isinstance(payload, PAYLOADS[name])
    assert payload == PAYLOADS[name](id="id_1")


@pytest.mark.parametrize("data", [None, ErrorObject(message="m"), Anomaly(kind="bad_json")])
def test_payload_that_is_typed_already(data: object) -> None:
    """Errors, anomalies and nothing are what they are."""
    assert Event("error", data).payload is data


@pytest.mark.parametrize("name", [name for name, cls in PAYLOADS.items() if cls in (Run, RunStep, Message, Thread)])
def test_payload_remembers_its_bytes(name: str) -> None:
    """Undeclared members can still be written."""
    raw = b'{"id": "id_1", "x": {"y": 1}}'
    payload = Event(name, json.loads(raw), raw).payload

    assert isinstance(payload, Run | RunStep | Message | Thread)
    assert to_wire(payload) == raw


def test_payload_of_an_event_made_by_hand_encodes_its_fields() -> None:
    """There are no bytes to remember."""
    payload = Event("thread.run.created", {"id": "run_1", "x": 1}).payload

    assert isinstance(payload, Run)
    assert to_wire(payload) == b'{"id":"run_1"}'


def test_step_delta_is_typed_at_every_depth() -> None:
    """Each declared member of each kind of call."""
    payload = Event(STEP_DELTA, {"id": "step_1", "object": STEP_DELTA, "delta": TOOL_DELTA}).payload

    assert payload == StepDeltaEvent(
        id="step_1",
        object=STEP_DELTA,
        delta=StepDelta(
            step_details=StepDetailsDelta(
                type="tool_calls",
                tool_calls=[
                    ToolCallDelta(
                        index=0,
                        id="call_1",
                        type="function",
                        function=FunctionDelta(name="f", arguments="", output=None),
                    ),
                    ToolCallDelta(
                        index=1,
                        type="code_interpreter",
                        code_interpreter=CodeInterpreterDelta(
                            input="1", outputs=[{"index": 0, "type": "logs", "logs": "2"}]
                        ),
                    ),
                    ToolCallDelta(index=2, type="file_search", file_search={}),
                    ToolCallDelta(index=3, type="retrieval", retrieval={}),
                ],
            )
        ),
    )


def test_message_delta_is_typed_at_every_depth() -> None:
    """Each declared member of each kind of block."""
    payload = Event(MESSAGE_DELTA, {"id": "msg_1", "object": MESSAGE_DELTA, "delta": TEXT_DELTA}).payload

    assert payload == MessageDeltaEvent(
        id="msg_1",
        object=MESSAGE_DELTA,
        delta=MessageDelta(
            role="assistant",
            content=[
                ContentDelta(
                    index=0, type="text", text=TextDelta(value="hi", annotations=[{"index": 0, "type": "file_path"}])
                ),
                ContentDelta(index=1, type="refusal", refusal="no"),
                ContentDelta(index=2, type="image_file", image_file={"file_id": "file-a"}),
                ContentDelta(index=3, type="image_url", image_url={"url": "u"}),
            ],
        ),
    )


@pytest.mark.parametrize("name", [STEP_DELTA, MESSAGE_DELTA])
@pytest.mark.parametrize("misfits", [{}, {"id": 5}, {"id": None}, {"delta": "text"}, {"delta": None}, {"delta": [{}]}])
def test_delta_event_without_what_it_must_have(name: str, misfits: dict[str, Any]) -> None:
    """An id or a delta that is absent or malformed is empty; nothing raises."""
    empty = StepDelta() if name == STEP_DELTA else MessageDelta()

    assert Event(name, misfits).payload == PAYLOADS[name](id="", delta=empty)
    assert typed_delta(name, misfits) == empty


@pytest.mark.parametrize("index", ["0", 1.0, True, None, [0]])
def test_delta_with_a_malformed_index(index: object) -> None:
    """It costs the index; the fragment beside it can be read."""
    call = {"index": index, "type": "function", "function": {"arguments": "{"}}
    delta = typed_delta(STEP_DELTA, {"id": "step_1", "delta": {"step_details": {"tool_calls": [call, "stray"]}}})

    assert delta == StepDelta(
        step_details=StepDetailsDelta(
            tool_calls=[ToolCallDelta(index=UNSET, type="function", function=FunctionDelta(arguments="{"))]
        )
    )


@pytest.mark.parametrize("name", [*sorted(EVENT_NAMES - {STEP_DELTA, MESSAGE_DELTA}), "thread.run.step.v2", ""])
def test_other_events_have_no_delta(name: str) -> None:
    """Even when their payload has a member of that name."""
    assert typed_delta(name, {"id": "id_1", "delta": TOOL_DELTA}) is None


@pytest.mark.parametrize(
    "cls",
    [
        *(FunctionDelta, CodeInterpreterDelta, ToolCallDelta, StepDetailsDelta, StepDelta, StepDeltaEvent),
        *(TextDelta, ContentDelta, MessageDelta, MessageDeltaEvent),
    ],
)
def test_deltas_are_frozen_and_made_by_name(cls: type[Struct]) -> None:
    """Several consumers hold the same delta; each member may be absent."""
    delta = cls()
    with pytest.raises(AttributeError):
        setattr(delta, cls.__struct_fields__[0], 1)
    with pytest.raises(TypeError):
        cls(1)


def test_event_is_frozen_and_needs_only_a_name() -> None:
    """`done` has neither data nor bytes."""
    event = Event("done")

    assert (event.data, event.raw, event.payload) == (None, b"", None)
    with pytest.raises(AttributeError):
        event.name = "error"  # type: ignore[misc]


# --- snapshot_event ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name, cls in PAYLOADS.items() if cls in CLASSES.values()])
def test_snapshot_event_is_named_after_kind_and_status(name: str) -> None:
    """Every snapshot's name but `created` follows from the object; that one has to be given."""
    cls = PAYLOADS[name]
    status = name.rpartition(".")[2]
    obj = cls(id="id_1", status=status)
    assert isinstance(obj, Run | RunStep | Message)
    event = snapshot_event(obj)

    assert event == Event(name, {"id": "id_1", "status": status}, to_wire(obj))
    assert snapshot_event(obj, "thread.run.created").name == "thread.run.created"
    assert event.payload == obj


@pytest.mark.parametrize("obj", [Run(id="x_1"), RunStep(id="x_1", status=None), Message(id="x_1")])
def test_snapshot_event_of_an_object_without_status(obj: Run | RunStep | Message) -> None:
    """It can be named, or there is no event."""
    with pytest.raises(ValueError, match=rf"^cannot name an event for {type(obj).__name__} 'x_1': it has no status$"):
        snapshot_event(obj)

    assert snapshot_event(obj, "thread.run.created").data["id"] == "x_1"


def test_snapshot_event_carries_the_complete_json() -> None:
    """What the object remembers, not only what it declares."""
    raw = b'{"id": "step_1", "status": "completed", "x": 1, "step_details": {"type": "tool_calls", "y": 2}}'
    step = from_wire(RunStep, json.loads(raw))
    attach_wire(step, raw)
    event = snapshot_event(step)

    assert event == Event("thread.run.step.completed", json.loads(raw), raw)
    assert event.payload == RunStep(id="step_1", status="completed", step_details=ToolCallsDetails())


# --- encode_sse -------------------------------------------------------------------------------------------------------


def parsed(data: bytes) -> list[Frame]:
    return SSEParser().feed(data)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            Event("thread.run.created", {"id": "run_1"}, b'{ "id":"run_1" }'),
            b'event: thread.run.created\ndata: { "id":"run_1" }\n\n',
        ),
        (Event("thread.run.created", {"id": "run_1"}), b'event: thread.run.created\ndata: {"id":"run_1"}\n\n'),
        (Event("error", ErrorObject(message="m")), b'event: error\ndata: {"message":"m"}\n\n'),
        (Event("done"), b"event: done\ndata: [DONE]\n\n"),
        (Event("done", None, b"[DONE] "), b"event: done\ndata: [DONE] \n\n"),
        (Event("ping", None, b"a\nb\r\nc\rd"), b"event: ping\ndata: a\ndata: b\ndata: c\ndata: d\n\n"),
        (Event("ping", None, b"\n"), b"event: ping\ndata: \ndata: \n\n"),
        (Event("ping", None, b" :x"), b"event: ping\ndata:  :x\n\n"),
        (Event("zażółć", None, b"x"), "event: zażółć\ndata: x\n\n".encode()),
    ],
)
def test_encode_sse(event: Event, expected: bytes) -> None:
    """One block: the name, the payload's own bytes or its JSON on as many lines as it has, and a blank line."""
    assert expected == encode_sse(event)


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\r\nb", "\n", "ping\ndata: injected", "a\n"])
def test_name_with_a_line_break_is_refused(name: str) -> None:
    """It would start another field, or end the block."""
    with pytest.raises(ValueError, match="line break"):
        encode_sse(Event(name, {}))


@pytest.mark.parametrize("name", ["\v", "\x85", "\u2028", "a: b", " a", "a ", "\0"])
def test_odd_name_survives(name: str) -> None:
    """What Python calls a line boundary is none on the wire, and only one space is the protocol's."""
    assert [frame.event for frame in parsed(encode_sse(Event(name, {})))] == [name]


@pytest.mark.parametrize("name", sorted(EVENT_NAMES))
def test_each_event_comes_back(name: str) -> None:
    """Written, parsed: the same name and the same bytes, on several lines too."""
    raw = b'{\n  "id": "id_1",\n  "text": "\xc5\xbc\\n"\n}'

    assert parsed(encode_sse(Event(name, None, raw))) == [Frame(name, raw, "")]


@given(
    name=st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1),
    raw=st.binary(min_size=1),
)
def test_any_payload_comes_back_with_its_line_ends_normal(name: str, raw: bytes) -> None:
    """Any bytes under any name, several in a row; CR and CRLF become LF, as for every reader of the stream."""
    expected = Frame(name, raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n"), "")

    assert [expected, expected] == parsed(encode_sse(Event(name, None, raw)) * 2)
