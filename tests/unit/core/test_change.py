"""Change: its properties, the state it is a view of, and its JSON form."""

import json
from collections.abc import Mapping
from typing import Any, Literal

import pytest

from streamproc.core.anomalies import Anomaly
from streamproc.core.body import Body, Kind
from streamproc.core.change import NO_NOTE, Change, Note, Origin, encode_change
from streamproc.core.events import (
    Event,
    FunctionDelta,
    MessageDelta,
    StepDelta,
    StepDetailsDelta,
    ToolCallDelta,
)
from streamproc.core.processor import StreamProcessor
from streamproc.core.reducer import Reducer
from streamproc.model.message import Message
from streamproc.model.run import Run
from streamproc.model.run_step import RunStep, ToolCallsDetails
from streamproc.model.thread import ErrorObject
from streamproc.model.tool_calls import Function, FunctionToolCall
from streamproc.model.wire import to_wire
from tests import streams

IDENTITY = ["stream", "epoch", "seq", "event", "kind", "id", "run_id", "thread_id", "revision", "at"]

STEP = b'{"id":"step_1","object":"thread.run.step","status":"in_progress","x":{"y":[1.50]}}'
RUN = b'{"id":"run_1","object":"thread.run","status":"queued"}'
MESSAGE = b'{"id":"msg_1","object":"thread.message","status":"in_progress","content":[]}'
DELTA = (
    b'{"id":"step_1","object":"thread.run.step.delta","delta":{"step_details":{"type":"tool_calls","tool_calls":'
    b'[{"index":0,"type":"function","function":{"arguments":"{\\n"},"x":1}]}}}'
)
TEXT = b'{"id":"msg_1","object":"thread.message.delta","delta":{"content":[{"index":0,"type":"text"}]}}'


def made(
    kind: Kind = "step",
    event: str = "thread.run.step.created",
    payload: bytes = STEP,
    *,
    data: Any = None,
    raw: bytes = b"",
    note: Note = NO_NOTE,
    at: str | None = None,
) -> Change:
    """A change with an identity of its own: stream "s", epoch 2, seq 3, revision 4."""
    body = Body(kind, "id_1", "run_1", "thread_1", payload)
    return Change(Origin("s", 2, at), 3, event, body, 4, data, raw, note)


def form(change: Change) -> dict[str, Any]:
    """The JSON form; it must be one line."""
    encoded = encode_change(change)
    decoded: dict[str, Any] = json.loads(encoded)

    assert not {b"\n", b"\r"} & {encoded[at : at + 1] for at in range(len(encoded))}
    return decoded


def grown(*payloads: bytes) -> list[Change]:
    """The changes of a step that these deltas build up."""
    reducer = Reducer()
    events = [("thread.run.step.created", STEP), *(("thread.run.step.delta", payload) for payload in payloads)]
    return [change for name, payload in events for change in reducer.apply(Event(name, json.loads(payload), payload))]


# --- properties -------------------------------------------------------------------------------------------------------


def test_identity() -> None:
    """A change knows its place in its stream and the object it is about."""
    change = made(at="2026-01-02T03:04:05Z")

    assert (change.stream, change.epoch, change.seq, change.at) == ("s", 2, 3, "2026-01-02T03:04:05Z")
    assert (change.kind, change.id, change.run_id, change.thread_id) == ("step", "id_1", "run_1", "thread_1")
    assert (change.event, change.revision) == ("thread.run.step.created", 4)


def test_change_of_a_bare_processor_has_no_time() -> None:
    """There is no clock below the pipeline."""
    assert made().at is None


@pytest.mark.parametrize(
    ("note", "expected"),
    [
        (NO_NOTE, (None, False)),
        (Note(inferred_status="failed"), ("failed", False)),
        (Note(truncated=True), (None, True)),
        (Note(inferred_status="expired", truncated=True), ("expired", True)),
    ],
)
def test_note_stands_beside_the_state(note: Note, expected: tuple[str | None, bool]) -> None:
    """What was inferred never becomes the status."""
    change = made(note=note)

    assert expected == (change.inferred_status, change.truncated)
    assert change.state.status == "in_progress"


def test_change_is_frozen() -> None:
    """Several consumers hold the same one, and its parts are shared by many."""
    change = made()
    with pytest.raises(AttributeError):
        change.seq = 5  # type: ignore[misc]
    with pytest.raises(AttributeError):
        change.origin.epoch = 5  # type: ignore[misc]
    with pytest.raises(AttributeError):
        change.note.truncated = True  # type: ignore[misc]


def test_change_without_payload() -> None:
    """One that no event carried, such as the mark on an object whose run ended, has neither data nor bytes."""
    change = Change(Origin("s", 1), 1, "thread.run.failed", Body("step", "step_1", None, None, STEP), 2)

    assert (change.data, change.raw, change.note) == (None, b"", NO_NOTE)
    assert change.delta is None


# --- delta ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [{"data": json.loads(DELTA)}, {"raw": DELTA}], ids=["made by hand", "from the wire"]
)
def test_delta_of_a_step(content: Mapping[str, Any]) -> None:
    """Typed, from the payload as it came or as it was made."""
    change = made(event="thread.run.step.delta", **content)
    call = ToolCallDelta(index=0, type="function", function=FunctionDelta(arguments="{\n"))

    assert change.delta == StepDelta(step_details=StepDetailsDelta(type="tool_calls", tool_calls=[call]))


def test_delta_of_a_message() -> None:
    """Typed as well."""
    change = made("message", "thread.message.delta", MESSAGE, raw=TEXT)

    assert isinstance(change.delta, MessageDelta)


@pytest.mark.parametrize(
    "payload", [b'{"id":5,"delta":{}}', b'{"delta":{"step_details":[]}}', b'{"delta":{"step_details":5},"object":null}']
)
def test_delta_of_a_malformed_payload(payload: bytes) -> None:
    """What does not fit is absent; reading it never raises."""
    assert made(event="thread.run.step.delta", raw=payload).delta == StepDelta()


def test_snapshot_has_no_delta() -> None:
    """Whether or not it came from the wire."""
    assert made().delta is None
    assert made(raw=STEP, data=json.loads(STEP)).delta is None


@pytest.mark.parametrize("event", ["thread.run.step.delta", "thread.run.created", "brand_new"])
def test_delta_of_an_anomaly_is_the_anomaly(event: str) -> None:
    """Whatever event it came with."""
    anomaly = Anomaly(kind="bad_json", event=event)

    assert made("anomaly", event, b"", data=anomaly, raw=DELTA).delta is anomaly


# --- state ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "payload", "expected"),
    [
        ("run", RUN, Run(id="run_1", object="thread.run", status="queued")),
        ("step", STEP, RunStep(id="step_1", object="thread.run.step", status="in_progress")),
        ("message", MESSAGE, Message(id="msg_1", object="thread.message", status="in_progress", content=())),
    ],
)
def test_state_is_typed_and_complete(kind: Literal["run", "step", "message"], payload: bytes, expected: object) -> None:
    """The struct has the declared fields, its JSON is the snapshot's own bytes."""
    change = made(kind, payload=payload)

    assert expected == change.state
    assert to_wire(change.state) is payload


def test_state_of_an_error_is_the_error() -> None:
    """There is no object behind it."""
    error = ErrorObject(message="m")

    assert made("error", "error", b"", data=error).state is error


def test_state_of_an_anomaly_is_none() -> None:
    """What it concerns, if anything, is named by its id."""
    assert made("anomaly", "error", b"", data=Anomaly(kind="limit")).state is None


def test_state_read_late_is_the_state_then() -> None:
    """Deltas that come after a change do not show in its view; undeclared members do, at every revision."""
    more = DELTA.replace(b'"{\\n"', b'"}"')
    first, second, third = grown(DELTA, more)

    assert first.state.step_details != second.state.step_details
    assert second.state.step_details == details("{\n")
    assert third.state.step_details == details("{\n}")
    assert json.loads(to_wire(second.state))["step_details"]["tool_calls"] == [
        {"type": "function", "function": {"arguments": "{\n"}, "x": 1}
    ]
    assert [json.loads(to_wire(change.state))["x"] for change in (first, second, third)] == [{"y": [1.5]}] * 3


def details(arguments: str) -> ToolCallsDetails:
    return ToolCallsDetails(tool_calls=(FunctionToolCall(function=Function(arguments=arguments)),))


# --- JSON form --------------------------------------------------------------------------------------------------------


def test_json_of_a_snapshot() -> None:
    """The identity and the complete state, its undeclared members included."""
    encoded = form(made(at="2026-01-02T03:04:05Z"))

    assert list(encoded) == [*IDENTITY, "state"]
    assert encoded == {
        **{"stream": "s", "epoch": 2, "seq": 3, "event": "thread.run.step.created", "kind": "step", "id": "id_1"},
        **{"run_id": "run_1", "thread_id": "thread_1", "revision": 4, "at": "2026-01-02T03:04:05Z"},
        "state": json.loads(STEP),
    }


def test_json_of_a_snapshot_keeps_the_senders_numbers() -> None:
    """The state is not decoded on its way out."""
    assert encode_change(made()).endswith(b'"state":' + STEP + b"}")


def test_json_of_a_snapshot_over_deltas() -> None:
    """A snapshot may leave what deltas built up in place; the state has both."""
    reducer = Reducer()
    for name, payload in [("created", STEP), ("delta", DELTA)]:
        reducer.apply(Event(f"thread.run.step.{name}", json.loads(payload), payload))
    update = {**json.loads(STEP), "metadata": {"a": "b"}}
    *_, change = reducer.apply(Event("thread.run.step.in_progress", update))

    assert list(form(change)) == [*IDENTITY, "state"]
    assert form(change)["state"] == {
        **update,
        "step_details": {
            "type": "tool_calls",
            "tool_calls": [{"type": "function", "function": {"arguments": "{\n"}, "x": 1}],
        },
    }


@pytest.mark.parametrize(
    ("kind", "event", "payload", "raw"),
    [("step", "thread.run.step.delta", STEP, DELTA), ("message", "thread.message.delta", MESSAGE, TEXT)],
)
@pytest.mark.parametrize("by_hand", [False, True])
def test_json_of_a_delta(kind: Kind, event: str, payload: bytes, raw: bytes, *, by_hand: bool) -> None:
    """The identity and what the delta added, as it came; no state."""
    change = made(kind, event, payload, data=json.loads(raw) if by_hand else None, raw=b"" if by_hand else raw)

    assert list(form(change)) == [*IDENTITY, "delta"]
    assert form(change)["delta"] == json.loads(raw)["delta"]
    assert form(change)["at"] is None


def test_json_of_an_error() -> None:
    """The error is the state; absent members stay absent."""
    error = ErrorObject(message="m", code=None)
    change = made("error", "error", b"", data=error, raw=b'{"error":{"message":"m","code":null}}')

    assert list(form(change)) == [*IDENTITY, "state"]
    assert form(change)["state"] == {"code": None, "message": "m"}


@pytest.mark.parametrize("event", ["thread.run.step.delta", "thread.run.created", "brand_new"])
def test_json_of_an_anomaly(event: str) -> None:
    """The anomaly is the delta, whatever event it came with; the payload is not repeated."""
    anomaly = Anomaly(kind="index_gap", event=event, id="step_1", detail="index 5000")
    change = made("anomaly", event, b"", data=anomaly, raw=b"secret")

    assert list(form(change)) == [*IDENTITY, "delta"]
    assert form(change)["delta"] == {"kind": "index_gap", "event": event, "id": "step_1", "detail": "index 5000"}
    assert b"secret" not in encode_change(change)


@pytest.mark.parametrize(
    ("note", "expected"),
    [
        (Note(inferred_status="failed"), {"inferred_status": "failed"}),
        (Note(truncated=True), {"truncated": True}),
        (Note(inferred_status="failed", truncated=True), {"inferred_status": "failed", "truncated": True}),
    ],
)
def test_json_of_a_change_with_a_note(note: Note, expected: dict[str, object]) -> None:
    """Two members more, only when they say something; the state's own status is untouched."""
    encoded = form(made(note=note))

    assert list(encoded) == [*IDENTITY, *expected, "state"]
    assert expected == {name: encoded[name] for name in expected}
    assert encoded["state"]["status"] == "in_progress"


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_json_of_a_payload_on_several_lines_is_one_line(end: bytes) -> None:
    """The line ends of the payload were between tokens; those in its text are escaped and stay."""
    step = STEP.replace(b",", b"," + end)
    delta = DELTA.replace(b"{", b"{" + end, 1).replace(b":[", b":[" + end)

    assert form(made(payload=step))["state"] == json.loads(STEP)
    assert form(made(event="thread.run.step.delta", raw=delta))["delta"] == json.loads(DELTA)["delta"]


def test_snapshot_of_a_delta_keeps_the_view_and_drops_what_happened() -> None:
    """`as_snapshot` of a delta: the same identity and state, no delta, and the state in its JSON form."""
    change = made(event="thread.run.step.delta", raw=DELTA)
    snapshot = change.as_snapshot()

    assert change.is_delta
    assert not snapshot.is_delta
    assert snapshot.delta is None
    assert (snapshot.id, snapshot.seq, snapshot.revision) == (change.id, change.seq, change.revision)
    assert to_wire(snapshot.state) == to_wire(change.state)
    assert form(snapshot)["state"] == json.loads(STEP)
    assert "delta" not in form(snapshot)


def test_snapshot_of_a_snapshot_is_itself() -> None:
    """`as_snapshot` has nothing to drop from a snapshot."""
    change = made(raw=STEP)

    assert change.as_snapshot() is change


def test_snapshot_of_an_anomaly_is_itself() -> None:
    """What is odd about a delta is no delta."""
    proc = StreamProcessor()
    (change,) = proc.feed(b"event: thread.run.step.delta\ndata: {\n\n")

    assert (change.kind, change.event) == ("anomaly", "thread.run.step.delta")
    assert not change.is_delta
    assert change.as_snapshot() is change


@pytest.mark.parametrize(
    ("events", "final"),
    [
        ([streams.run("created")], False),
        ([streams.run("requires_action")], False),
        ([streams.run("completed")], True),
        ([streams.run("created", status="failed")], True),
        ([streams.step("created"), streams.arguments("x")], False),
        ([streams.step("created"), streams.step("expired")], True),
        ([streams.step("completed", usage=None), streams.step("completed", usage={"total_tokens": 1})], True),
        ([streams.message("incomplete")], True),
        ([streams.step("created"), streams.run("cancelled")], True),
        ([streams.error({"message": "x"})], True),
        ([Event("vendor.event")], False),
    ],
)
def test_final_is_what_ended_or_was_left_open(events: list[Event], final: bool) -> None:
    """`is_final` holds for terminal statuses, late additions to them, inferred ends and errors; not for a pause."""
    reducer = Reducer()
    last = [change for event in events for change in reducer.apply(event)][-1]

    assert last.is_final is final


def test_truncation_is_final() -> None:
    """What a broken stream left open is final for now."""
    reducer = Reducer()
    reducer.apply(streams.run("created"))

    assert [change.is_final for change in reducer.truncate()] == [False, True]
