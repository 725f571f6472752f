"""The Assistants dialect: events with and without a name, errors in every shape, and payloads that are no JSON."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.core.anomalies import Anomaly
from streamproc.core.events import (
    DONE,
    ERROR,
    EVENT_NAMES,
    MESSAGE_DELTA,
    STEP_DELTA,
    THREAD_CREATED,
    Event,
    encode_sse,
    typed_delta,
)
from streamproc.core.fragments import FRAGMENT_DECODERS
from streamproc.core.sse import Frame, SSEParser
from streamproc.dialects import AssistantsDialect
from streamproc.model.thread import ErrorObject

STATUSES = {
    "thread.run": [
        *("queued", "in_progress", "requires_action", "cancelling", "cancelled", "failed", "completed"),
        *("incomplete", "expired"),
    ],
    "thread.run.step": ["in_progress", "cancelled", "failed", "completed", "expired"],
    "thread.message": ["in_progress", "incomplete", "completed"],
}
PLAIN_NAMES = sorted(EVENT_NAMES - {DONE, ERROR})
RUN = b'{"id": "run_1", "object": "thread.run", "status": "queued", "x": {"y": 1.50}}'


def decode(payload: bytes, name: str = "message") -> Event:
    (event,) = AssistantsDialect().decode(Frame(name, payload, ""))
    return event


def dump(data: object) -> bytes:
    return json.dumps(data).encode()


def anomaly(kind: Any, name: str, detail: str) -> Anomaly:
    return Anomaly(kind=kind, event=name, detail=detail)


# --- with an event line -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_event_with_a_name(name: str) -> None:
    """The name as it came, the payload as plain data, and the very bytes it came in."""
    event = decode(RUN, name)

    assert event == Event(name, json.loads(RUN), RUN)
    assert event.raw is RUN


@pytest.mark.parametrize("name", PLAIN_NAMES)
def test_name_wins_over_the_payload(name: str) -> None:
    """What the payload calls itself is for the reducer to compare."""
    payload = dump({"id": "x", "event": "error", "data": {}, "object": "thread", "status": "completed", "error": "e"})

    assert decode(payload, name).name == name


def test_message_chunk_is_a_message_delta() -> None:
    """An old Azure version said `chunk`; with and without an event line."""
    payload = b'{"id":"msg_1","object":"thread.message.delta","delta":{}}'
    expected = Event(MESSAGE_DELTA, json.loads(payload), payload)

    assert expected == decode(payload, "thread.message.chunk")
    assert expected == decode(b'{"event":"thread.message.chunk","data":%b}' % payload)


@pytest.mark.parametrize("name", ["message", "done", "thread.run.created", "brand_new", "error"])
@pytest.mark.parametrize("payload", [b"[DONE]", b"[DONE] ", b"[DONE]\n"])
def test_done_marker_under_any_name(name: str, payload: bytes) -> None:
    """Many servers leave the name out, some send another one."""
    assert decode(payload, name) == Event(DONE, None, payload)


@pytest.mark.parametrize("payload", [b"", b"{}", b"null", b"done", b"\xff", b"[" * 10_000])
def test_done_with_another_payload(payload: bytes) -> None:
    """The name says it all; the payload is not looked at."""
    assert decode(payload, "done") == Event(DONE, None, payload)


@pytest.mark.parametrize("payload", [b" [DONE]", b"[done]", b'["DONE"]', b'"[DONE]"', b"DONE"])
def test_almost_a_done_marker(payload: bytes) -> None:
    """Only the marker itself, at the start, ends a stream without a name."""
    event = decode(payload)

    assert isinstance(event.data, Anomaly)
    assert (event.name, event.data.kind) == ("message", "bad_json")


@pytest.mark.parametrize(
    "name", ["thread.run.step.queued", "thread.message.failed", "response.created", "Error", "żółć"]
)
def test_unknown_event(name: str) -> None:
    """It flows through as an anomaly, with its own name and all its bytes."""
    expected = anomaly("unknown_event", name, "not in the vocabulary (11 bytes)")

    assert Event(name, expected, b'{"id":"x1"}') == decode(b'{"id":"x1"}', name)


# --- without an event line --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PLAIN_NAMES)
@pytest.mark.parametrize("as_text", [False, True])
def test_name_inside_the_payload(name: str, *, as_text: bool) -> None:
    """One JSON object holds the name and the data, the latter as an object or as text; the inner bytes are kept."""
    inner = json.dumps(RUN.decode()).encode() if as_text else RUN
    event = decode(b'{"data": %b, "event": "%b", "enabled": true}' % (inner, name.encode()))

    assert event == Event(name, json.loads(RUN), RUN)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (b'{"event":"done","data":"[DONE]"}', Event(DONE, None, b"[DONE]")),
        (b'{"event":"done","data":null}', Event(DONE, None, b"null")),
        (b'{"event":"thread.run.created","data":"[DONE]"}', Event(DONE, None, b"[DONE]")),
        (b'{"event":"error","data":{"message":"m"}}', Event(ERROR, ErrorObject(message="m"), b'{"message":"m"}')),
        (b'{"event":"error","data":"overloaded"}', Event(ERROR, ErrorObject(message="overloaded"), b"overloaded")),
        (
            b'{"event":"brand_new","data":{}}',
            Event("brand_new", anomaly("unknown_event", "brand_new", "not in the vocabulary (2 bytes)"), b"{}"),
        ),
        (
            b'{"event":"thread.run.created","data":[ 1 ]}',
            Event(
                "thread.run.created", anomaly("bad_json", "thread.run.created", "no JSON object (5 bytes)"), b"[ 1 ]"
            ),
        ),
        (
            b'{"event":"thread.run.created","data":"{"}',
            Event("thread.run.created", anomaly("bad_json", "thread.run.created", "no JSON (1 bytes)"), b"{"),
        ),
    ],
)
def test_odd_data_inside_the_payload(payload: bytes, expected: Event) -> None:
    """It is decoded as if the event line had been there."""
    assert expected == decode(payload)


def test_last_of_two_data_members_counts() -> None:
    """The bytes that are kept are those of the data that is used."""
    event = decode(b'{"event":"thread.run.created","data":{"id":"run_1"},"data":{"id":"run_2"}}')

    assert event == Event("thread.run.created", {"id": "run_2"}, b'{"id":"run_2"}')


@pytest.mark.parametrize(("kind", "status"), [(kind, status) for kind in STATUSES for status in STATUSES[kind]])
def test_name_follows_from_object_and_status(kind: str, status: str) -> None:
    """Each status of a run, a step and a message has its event."""
    payload = dump({"id": "x_1", "object": kind, "status": status})
    name = f"{kind}.{status}"

    assert decode(payload) == Event(name, json.loads(payload), payload)
    assert name in EVENT_NAMES


def test_statuses_cover_all_snapshots_but_created() -> None:
    """An object's status never says `created`, so that name alone cannot be found without an event line."""
    derived = {f"{kind}.{status}" for kind in STATUSES for status in STATUSES[kind]}
    others = {*(f"{kind}.created" for kind in STATUSES), THREAD_CREATED, STEP_DELTA, MESSAGE_DELTA, ERROR, DONE}

    assert derived | others == EVENT_NAMES


@pytest.mark.parametrize(
    ("kind", "name"),
    [("thread", THREAD_CREATED), ("thread.run.step.delta", STEP_DELTA), ("thread.message.delta", MESSAGE_DELTA)],
)
def test_name_follows_from_the_object_alone(kind: str, name: str) -> None:
    """Threads and deltas have no status."""
    payload = dump({"id": "x_1", "object": kind, "delta": {}})

    assert decode(payload) == Event(name, json.loads(payload), payload)


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"id": "run_1"},
        {"object": "chat.completion.chunk", "choices": []},
        {"object": ["thread"]},
        {"object": None, "status": "completed"},
        {"status": "completed"},
        {"event": "thread.run.created"},
        {"event": "message", "data": {"object": "thread"}},
        {"event": 5, "data": {}},
        {"event": None, "data": {}},
        {"object": "response", "error": None},
        {"message": "hi"},
        {"type": "ping"},
    ],
    ids=str,
)
def test_no_name_follows(data: dict[str, Any]) -> None:
    """The payload is kept under the name that frames without one have."""
    payload = dump(data)
    detail = f"no name, and none follows from the payload ({len(payload)} bytes)"

    assert decode(payload) == Event("message", anomaly("unknown_event", "message", detail), payload)


@pytest.mark.parametrize(
    "data",
    [
        {"object": "thread.run"},
        {"object": "thread.run", "status": None},
        {"object": "thread.run", "status": "created_by_magic"},
        {"object": "thread.run.step", "status": "queued"},
        {"object": "thread.message", "status": "failed"},
    ],
    ids=str,
)
def test_object_with_a_status_that_has_no_event(data: dict[str, Any]) -> None:
    """It is the object all the same, so it is taken as one that says nothing of its status by its name."""
    payload = dump(data)

    assert decode(payload) == Event(f"{data['object']}.created", data, payload)


def test_bad_utf8_without_an_event_line() -> None:
    """The bytes of the event are the text that everybody else reads."""
    for kind, status in [("thread.run", "queued"), ("thread", "new"), ("thread.run.step.delta", "")]:
        payload = b'{"object":"%b","status":"%b","x":"\xff"}' % (kind.encode(), status.encode())
        event = decode(payload)

        assert event.raw == payload.replace(b"\xff", "\ufffd".encode())
        assert event.data == json.loads(event.raw)


# --- errors -----------------------------------------------------------------------------------------------------------

FULL = ErrorObject(code="server_error", message="Sorry", param=None, type="server_error")
FULL_DATA = {"code": "server_error", "message": "Sorry", "param": None, "type": "server_error"}


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (dump(FULL_DATA), FULL),
        (dump({"error": FULL_DATA}), FULL),
        (dump({"error": FULL_DATA, "message": "outer", "event_id": 3}), FULL),
        (b"Sorry", ErrorObject(message="Sorry")),
        (b'"Sorry"', ErrorObject(message="Sorry")),
        (dump({"error": "Sorry"}), ErrorObject(message="Sorry")),
        (dump({"error": "short", "message": "Sorry", "code": "c"}), ErrorObject(message="Sorry", code="c")),
        (dump({"message": "Sorry", "misalignment": {}}), ErrorObject(message="Sorry")),
        (dump({"error": None, "message": "Sorry"}), ErrorObject(message="Sorry")),
        (dump({"error": ["Sorry"]}), ErrorObject()),
        (dump({"error": {"message": None, "code": 500, "type": "t"}}), ErrorObject(type="t")),
        (b"{}", ErrorObject()),
        (b"", ErrorObject()),
        (b"null", ErrorObject(message="null")),
        (b"[1]", ErrorObject(message="[1]")),
        (b"429", ErrorObject(message="429")),
        (b'{"message":"Sor', ErrorObject(message='{"message":"Sor')),
        (b"<html>\nBad Gateway", ErrorObject(message="<html>\nBad Gateway")),
        (b'{"message":NaN}', ErrorObject(message='{"message":NaN}')),
    ],
)
def test_error_in_every_shape(payload: bytes, expected: ErrorObject) -> None:
    """Flat, nested or plain text, whole or broken: always one typed error, with the bytes as they came."""
    assert decode(payload, "error") == Event(ERROR, expected, payload)


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (dump(FULL_DATA), FULL),
        (dump({"error": FULL_DATA}), FULL),
        (dump({"object": "error", **FULL_DATA}), FULL),
        (dump({"error": "Sorry"}), ErrorObject(message="Sorry")),
        (dump({"error": ""}), ErrorObject()),
        (dump({"message": None, "type": None}), ErrorObject(type=None)),
    ],
)
def test_error_without_a_name(payload: bytes, expected: ErrorObject) -> None:
    """A JSON object that has an error in it, or looks like one, is one."""
    assert decode(payload) == Event(ERROR, expected, payload)


def test_error_in_bad_utf8() -> None:
    """Its text is what the replacement characters leave of it."""
    assert decode(b"Sorry \xff\xfe", "error").data == ErrorObject(message="Sorry \ufffd\ufffd")
    assert decode(b'{"error":"Sorry \xff"}').data == ErrorObject(message="Sorry \ufffd")


# --- undecodable payloads ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["thread.run.created", "thread.message.chunk", "message", "brand_new"])
@pytest.mark.parametrize(
    ("payload", "phrase"),
    [
        (b"", "no JSON"),
        (b" \n ", "no JSON"),
        (b"hello", "no JSON"),
        (b'{"id":"run_1"', "no JSON"),
        (b'{"id":"run_1"}}', "no JSON"),
        (b'{"id":"run_1"} trailing', "no JSON"),
        (b"{'id':'run_1'}", "no JSON"),
        (b'\xef\xbb\xbf{"id":"run_1"}', "no JSON"),
        (b'{"id":"a\nb"}', "no JSON"),
        (b'{"id":"\\ud800"}', "no JSON"),
        (b'{"id":"\\udc00\\ud800"}', "no JSON"),
        (b'{"x":NaN}', "no JSON"),
        (b'{"x":-Infinity}', "no JSON"),
        (b'{"x":1e999}', "no JSON"),
        (b'{"x":' + b"9" * 5000 + b"}", "no JSON"),
        (b"null", "no JSON object"),
        (b"true", "no JSON object"),
        (b"-1.5", "no JSON object"),
        (b'"text"', "no JSON object"),
        (b"[]", "no JSON object"),
        (b'[{"id":"run_1"}]', "no JSON object"),
        (b"[" * 10_000, "nested deeper than 200"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "nested deeper than 200"),
        (b'{"a":[' * 10_000, "nested deeper than 200"),
    ],
    ids=lambda value: value[:24] if isinstance(value, bytes) else "",
)
def test_payload_that_is_no_json_object(name: str, payload: bytes, phrase: str) -> None:
    """An anomaly with the canonical name, the size and nothing of the content; the bytes are kept."""
    canonical = MESSAGE_DELTA if name == "thread.message.chunk" else name
    expected = anomaly("bad_json", canonical, f"{phrase} ({len(payload)} bytes)")

    assert Event(canonical, expected, payload) == decode(payload, name)


def test_error_nested_too_deeply_is_an_error() -> None:
    """Whatever it says, the server reported one; its text is all there is."""
    event = decode(b"[" * 10_000, "error")

    assert event.data == ErrorObject(message="[" * 10_000)


@pytest.mark.parametrize("bad", [b"\xff", b"\xc3(", b"\xed\xa0\x80", b"\xf0\x9f\x8e", b"\xc0\xaf"])
def test_bad_utf8_becomes_replacement_characters(bad: bytes) -> None:
    """As in the text of any event stream; what is good around it stays."""
    expected = b'{"id":"\xc5\xbc%b\xc5\xbc"}' % bad.decode("utf-8", "replace").encode()
    event = decode(b'{"id":"\xc5\xbc%b\xc5\xbc"}' % bad, "thread.run.created")

    assert event == Event("thread.run.created", json.loads(expected), expected)


def test_number_beyond_64_bits_survives() -> None:
    """Python reads it, so it is no reason to lose the event."""
    event = decode(b'{"id":"run_1","created_at":' + b"9" * 400 + b"}", "thread.run.created")

    assert event.data == {"id": "run_1", "created_at": 10**400 - 1}
    assert decode(b'{"event":"thread.run.created","data":%b}' % event.raw) == event


# --- depth ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("levels", "passes"), [(200, True), (201, False)])
@pytest.mark.parametrize(("left", "right"), [(b'{"a":', b"}"), (b'{"a":[', b"]}")])
def test_depth_limit(levels: int, passes: bool, left: bytes, right: bytes) -> None:
    """Up to 200 levels are read, of whatever kind they are and whatever stands beside them."""
    count, odd = divmod(levels, left.count(b"{") + left.count(b"["))
    payload = b'{"o":' * odd + left * count + b"1" + right * count + b"}" * odd
    with_siblings = payload.replace(b"{", b'{"flat":[%b],' % b",".join([b"[]"] * 300), 1)

    for text in (payload, with_siblings):
        assert isinstance(decode(text, "thread.run.created").data, dict if passes else Anomaly)


@pytest.mark.parametrize(
    "text",
    [b"{" * 500, b"[{" * 500, b'\\"' + b"[" * 500, b"\\\\\\" + b'"' + b"[" * 500, b"]" * 500 + b"[" * 500],
    ids=["braces", "both", "after a quote", "after a backslash", "closing first"],
)
def test_brackets_within_text_are_no_depth(text: bytes) -> None:
    """Arguments of a tool are JSON inside JSON, and may be long."""
    event = decode(b'{"x":"%b","y":["\\\\",{"z":"%b"}]}' % (text, text), "thread.run.created")

    assert isinstance(event.data, dict)


def test_many_brackets_side_by_side_are_no_depth() -> None:
    """A long list of objects is flat."""
    event = decode(dump({"x": [{"y": []}] * 1000}), "thread.run.created")

    assert isinstance(event.data, dict)


@pytest.mark.parametrize("payload", [b'"' + b"[" * 300, b'"\\', b"]" * 300 + b"[" * 201, b'{"a":"' + b"{" * 300 + b'"'])
def test_brackets_in_broken_json(payload: bytes) -> None:
    """Whatever is said of the depth, it is one anomaly."""
    event = decode(payload, "thread.run.created")

    assert isinstance(event.data, Anomaly)
    assert event.data.kind == "bad_json"


# --- the dialect itself -----------------------------------------------------------------------------------------------


def test_stream_cannot_be_resumed_and_its_end_says_nothing() -> None:
    """The protocol has no cursor; truncation is noticed elsewhere."""
    dialect = AssistantsDialect()
    dialect.decode(Frame("thread.run.created", RUN, "id-7"))

    assert dialect.cursor is None
    assert dialect.finish() == ()
    assert dialect.fragments is FRAGMENT_DECODERS


# --- whatever comes ---------------------------------------------------------------------------------------------------

names = st.sampled_from([*sorted(EVENT_NAMES), "message", "thread.message.chunk", "brand_new"]) | st.text(max_size=5)


def check(name: str, payload: bytes) -> None:
    """All that can be done with the event of a frame can be done."""
    event = decode(payload, name)
    _ = event.payload
    if isinstance(event.data, dict):
        assert event.name in EVENT_NAMES
        assert event.data == json.loads(event.raw)
        typed_delta(event.name, event.data)
    else:
        assert isinstance(event.data, Anomaly if event.name not in (DONE, ERROR) else Anomaly | ErrorObject | None)
    if not {"\r", "\n"} & set(event.name):
        assert len(SSEParser().feed(encode_sse(event))) == 1


@given(name=names, payload=st.binary() | st.text().map(str.encode))
def test_any_bytes(name: str, payload: bytes) -> None:
    """Any bytes under any name make exactly one event, and it can be read and written."""
    check(name, payload)


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
members = st.sampled_from(
    [
        *("event", "data", "object", "status", "error", "message", "type", "code", "id", "delta", "index", "content"),
        *("step_details", "tool_calls", "function", "arguments", "text", "value", "annotations", "usage", "metadata"),
    ]
)
words = st.sampled_from([*sorted(EVENT_NAMES), *STATUSES, *STATUSES["thread.run"], "thread", "tool_calls", "function"])
json_values = st.recursive(
    scalars | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(members | st.text(max_size=3), inner, max_size=5),
    max_leaves=20,
)


@given(name=names, data=st.dictionaries(members, json_values, max_size=6))
def test_any_json_object(name: str, data: dict[str, Any]) -> None:
    """The protocol's own members with any values in any place."""
    check(name, dump(data))


VALID = [
    RUN,
    b'{"event":"thread.run.created","data":{"id":"run_1","object":"thread.run","status":"queued"}}',
    b'{"id":"step_1","object":"thread.run.step.delta","delta":{"step_details":{"type":"tool_calls","tool_calls":'
    b'[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":"{\\"a\\"","output":null}}]}}}',
    b'{"id":"msg_1","object":"thread.message.delta","delta":{"content":[{"index":0,"type":"text","text":{"value":"\xc5\xbc"'
    b',"annotations":[]}}]}}',
    b'{"id":"step_1","object":"thread.run.step","status":"completed","step_details":{"type":"message_creation",'
    b'"message_creation":{"message_id":"msg_1"}},"usage":{"total_tokens":3},"last_error":{"code":"c"}}',
    b'{"error":{"message":"m","type":"t","code":null}}',
    b"[DONE]",
]


@given(
    name=names,
    payload=st.sampled_from(VALID),
    edits=st.lists(st.tuples(st.integers(0, 300), st.integers(0, 4), st.binary(max_size=3)), max_size=4),
)
def test_damaged_payload(name: str, payload: bytes, edits: list[tuple[int, int, bytes]]) -> None:
    """Bytes lost, added or changed anywhere in a real payload."""
    for start, length, piece in edits:
        payload = payload[:start] + piece + payload[start + length :]
    check(name, payload)
