"""The dialect as a whole: its frames, sequence numbers, and resuming."""

import json

import pytest

from streamproc import StreamProcessor
from streamproc.core.dialect import detect
from streamproc.core.sse import Frame
from streamproc.dialects import ResponsesDialect
from streamproc.testing import check_dialect
from tests.response_streams import (
    HELLO,
    MESSAGE,
    RESPONSE,
    Json,
    added,
    delta,
    fed,
    function_call,
    message,
    numbered,
    only_run,
    response,
    sse,
    text,
)
from tests.streams import wire

# --- payloads --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", ["null", "[]", "5", '"x"', "{", "nonsense", "\ufffd"])
def test_payloads_that_are_no_object(payload: str) -> None:
    """An anomaly each; the stream goes on."""
    proc = fed(HELLO[0], payload, *HELLO[1:])

    assert proc.anomalies == {"bad_json": 1}
    assert proc.messages[MESSAGE].text == "Hello"


@pytest.mark.parametrize(
    "payload", [{"type": "response.x"}, {"type": 5}, {}, {"type": "x" * 500}, {"type": "response.x", "error": {}}]
)
def test_events_that_are_not_known(payload: Json) -> None:
    """They keep their bytes, and change nothing."""
    proc = StreamProcessor("responses")
    (change,) = proc.feed(sse(payload, named=False))

    assert proc.anomalies == {"unknown_event": 1}
    assert json.loads(change.raw) == payload
    assert len(change.event) <= 100


# --- sequence numbers and resuming ------------------------------------------------------------------------------------


def test_a_cursor() -> None:
    """Only a response that runs in the background has one, and only where events are numbered."""
    dialect = ResponsesDialect()
    cursors = [dialect.cursor]
    for payload in numbered(response(background=True), *HELLO[1:4], first=3):
        dialect.decode(Frame("message", json.dumps(payload).encode(), ""))
        cursors.append(dialect.cursor)

    assert cursors == [None, *(f"{RESPONSE}/{number}" for number in (3, 4, 5, 6))]
    for payloads in ([response(background=True)], numbered(response()), numbered(response(id=None, background=True))):
        plain = ResponsesDialect()
        plain.decode(Frame("message", json.dumps(payloads[0]).encode(), ""))
        assert plain.cursor is None


@pytest.mark.parametrize("kept", range(1, 8))
@pytest.mark.parametrize("overlap", [0, 1, 2])
def test_resumed_with_overlap(kept: int, overlap: int) -> None:
    """What is known is dropped, wherever the connection was lost."""
    payloads = numbered(*HELLO)
    whole = fed(*payloads)
    proc = StreamProcessor("responses")
    proc.feed(sse(*payloads[:kept]))
    proc.resume()
    proc.feed(sse(*payloads[max(kept - overlap, 0) :]))
    proc.close()

    assert [wire(obj) for obj in proc.messages.values()] == [wire(obj) for obj in whole.messages.values()]
    assert only_run(proc) == only_run(whole)
    assert not proc.anomalies


def test_resumed_with_a_snapshot() -> None:
    """What the response holds already is opened, or ended."""
    proc = StreamProcessor("responses")
    proc.feed(sse(*numbered(response(), added(message(status="in_progress")))))
    proc.resume()
    call = function_call("{}", status="in_progress")
    now = response("in_progress", message(text("Hello")), call)
    proc.feed(sse(*numbered(now, delta("function_call_arguments", "x", 1), first=2)))

    assert (proc.messages[MESSAGE].text, proc.messages[MESSAGE].status) == ("Hello", "completed")
    assert wire(proc.steps[call["id"]])["step_details"]["tool_calls"][0]["function"]["arguments"] == "{}x"
    assert not proc.anomalies


def test_resumed_by_another_program() -> None:
    """It knows the states and the response, and goes on; nothing is told twice."""
    first = StreamProcessor("responses")
    first.feed(sse(*numbered(*HELLO)[:4]))
    dialect = ResponsesDialect(response_id=RESPONSE)
    proc = StreamProcessor(dialect, reducer=first.reducer)
    proc.feed(sse(*numbered(*HELLO)[4:6]))

    assert dialect.cursor == f"{RESPONSE}/5"
    assert proc.messages[MESSAGE].text == "Hello"

    proc.feed(sse(*numbered(*HELLO)[6:]))

    assert (only_run(proc)["id"], only_run(proc)["status"]) == (RESPONSE, "completed")
    assert not proc.anomalies


def test_numbers_that_never_change() -> None:
    """One anomaly; every event counts."""
    dialect = ResponsesDialect()
    proc = fed(*({**payload, "sequence_number": 0} for payload in HELLO), dialect=lambda: dialect)

    assert proc.messages[MESSAGE].text == "Hello"
    assert proc.anomalies == {"late_event": 1}
    assert dialect.out_of_order == len(HELLO) - 1


# --- the frame --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event_name", "payload", "expected"),
    [
        ("message", {"type": "response.created"}, "responses"),
        ("response.created", {}, "responses"),
        ("message", {"type": "codex.rate_limits"}, "responses"),
        ("message", {"object": "response", "output": []}, "responses"),
        ("message", {"type": "error"}, None),
        ("error", {}, None),
        ("message", {"type": 7, "object": []}, None),
    ],
)
def test_found_out(event_name: str, payload: Json, expected: str | None) -> None:
    """By what no other protocol has."""
    assert detect(event_name, payload) == expected


def test_events_that_decide_nothing() -> None:
    """A ping, or an error, before the first event of a response."""
    proc = fed({"type": "ping"}, *HELLO, dialect="auto")

    assert proc.messages[MESSAGE].text == "Hello"


@pytest.mark.parametrize("end", [b"data: [DONE]\n\n", b"event: done\ndata: {}\n\n"])
def test_the_end_of_a_stream(end: bytes) -> None:
    """Nothing follows."""
    proc = StreamProcessor("responses")
    proc.feed(sse(*HELLO) + end)
    proc.close()

    assert proc.is_done
    assert not proc.truncated


@pytest.mark.parametrize("end", [b"data: [DONE]\n\n", b"event: done\ndata: {}\n\n"])
def test_done_alone_is_no_end(end: bytes) -> None:
    """Proxies send it after a stream that broke off: the response is as truncated as without it."""
    proc = StreamProcessor("responses")
    proc.feed(sse(*HELLO[:4]) + end)

    assert not proc.is_complete

    proc.close()

    assert proc.truncated
    assert only_run(proc)["status"] == "in_progress"
    assert dict(proc.anomalies) == {"truncated": 1}


def test_the_contract_of_dialects() -> None:
    """As any dialect's author checks it."""
    streams = [HELLO, numbered(*HELLO), [*HELLO, {"type": "error", "message": "m"}]]

    check_dialect(ResponsesDialect, [sse(*stream) for stream in streams])
