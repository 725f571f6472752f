"""The chat dialect as a whole: which run a stream is, how it ends, errors, usage, and the fast path."""

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import pytest

from streamproc import Event, StreamProcessor
from streamproc.core.anomalies import Anomaly
from streamproc.core.dialect import detect
from streamproc.core.sse import Frame
from streamproc.dialects import ChatDialect, chat
from streamproc.dialects.translation import Rules
from streamproc.testing import check_dialect
from tests.chats import (
    DONE,
    ID,
    Json,
    after,
    calling,
    chunk,
    delta,
    ends,
    feed,
    message,
    piece,
    role,
    run,
    says,
    steps,
    stream,
    tools,
    usage,
    wire,
)

ERROR: Mapping[str, Json] = {"code": "rate_limit", "type": "t", "message": "slow down"}
FAILED = {"code": "rate_limit", "message": "slow down"}


def decode(payload: object, event: str = "message") -> list[Event]:
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return [*ChatDialect().decode(Frame(event, data, ""))]


def named(chunks: list[Json], id: str | None, **members: Json) -> list[Json]:
    return [{**item, "id": id, **members} for item in chunks]


# --- detection --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "payload", "expected"),
    [
        ("message", {"object": "chat.completion.chunk"}, "chat"),
        ("message", {"object": "", "choices": []}, "chat"),
        ("message", {"choices": [{}]}, "chat"),
        ("message", {"choices": {}}, None),
        ("message", {"object": "text_completion", "choices": []}, None),
        ("message", {"object": "thread.run", "choices": []}, "assistants"),
        ("message", {"object": ["chat.completion.chunk"], "choices": []}, None),
        ("message", {"error": {}}, None),
        ("chunk", {"object": "chat.completion.chunk"}, None),
        ("error", {"object": "chat.completion.chunk"}, None),
    ],
)
def test_what_is_a_chunk(event: str, payload: Mapping[str, Any], expected: str | None) -> None:
    """Azure's first one has an empty name, some servers leave the name out."""
    assert detect(event, payload) == expected


# --- the run ----------------------------------------------------------------------------------------------------------


def test_a_completion_is_a_run() -> None:
    """With the members that the wire has, and null for the rest."""
    proc = feed(role(), says("a"), ends("stop"), usage(3, 4), DONE)
    found = run(proc)
    nulls = [name for name, value in found.items() if value is None]

    assert {name: value for name, value in found.items() if value is not None} == {
        "id": ID,
        "object": "thread.run",
        "thread_id": "",
        "assistant_id": "m",
        "status": "completed",
        "created_at": 7,
        "model": "m",
        "usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7},
        "metadata": {},
    }
    assert nulls == [
        *("started_at", "expires_at", "cancelled_at", "failed_at", "completed_at"),
        *("required_action", "last_error", "incomplete_details"),
    ]


def test_the_caller_names_thread_and_assistant() -> None:
    """They stand in every object."""
    proc = feed(says("a"), dialect=lambda: ChatDialect(thread_id="thread_1", assistant_id="asst_1"))

    for obj in (run(proc), *steps(proc), message(proc)):
        assert (obj["thread_id"], obj["assistant_id"]) == ("thread_1", "asst_1")


def test_metadata_of_the_run() -> None:
    """What tells one configuration of the server from another, if it is text."""
    head = {"system_fingerprint": "fp_1", "service_tier": "default", "provider": "P"}
    odd = {"system_fingerprint": 5, "service_tier": "", "provider": None}

    assert run(feed({**role(), **head}))["metadata"] == head
    assert run(feed({**role(), **odd}))["metadata"] == {}


def test_ids_that_change_are_not_looked_at() -> None:
    """Some servers give each chunk an id of its own; the first one counts."""
    proc = feed(says("a"), *named([says("b"), ends("stop")], "chatcmpl-BBBBBBBBBBBB", model="x", created=9), DONE)

    assert [*proc.runs] == [*proc.messages] == [ID]
    assert message(proc)["content"][0]["text"]["value"] == "ab"
    assert run(proc)["model"] == "m"


def test_a_short_id_is_told_apart_by_its_time() -> None:
    """Ollama counts to a thousand."""
    assert [*feed(*named([says("a")], "chatcmpl-739")).runs] == ["chatcmpl-739:7"]
    assert [*feed(*named([says("a")], "chatcmpl-739", created=None)).runs] == ["chatcmpl-739"]


def test_azures_first_chunk_names_nothing() -> None:
    """The run waits for one that does, and for the model with it."""
    first = {"id": "", "object": "", "created": 0, "model": "", "choices": [], "prompt_filter_results": []}
    changes = StreamProcessor("auto").feed(stream(first, role()))

    assert [(change.id, change.state.model) for change in changes] == [(ID, "m")]


def test_a_named_run_waits_for_the_model_as_well() -> None:
    """The wire's name of the completion is the message's."""
    first = {"id": "", "object": "", "created": 0, "model": "", "choices": []}
    proc = feed(first, role(), says("a"), dialect=lambda: ChatDialect("run_1"))

    assert after([run(proc)], "id", "model", "created_at") == [{"id": "run_1", "model": "m", "created_at": 7}]
    assert [*proc.messages] == [ID]


@pytest.mark.parametrize("id", ["", None, 5])
def test_a_stream_without_any_id(id: object) -> None:
    """The run is named after the first payload, so that a replay gives the same."""
    chunks = named([chunk(), role(), says("a"), ends("stop")], id)  # type: ignore[arg-type]
    digest = blake2b(json.dumps(chunks[0]).encode(), digest_size=16).hexdigest()
    proc = feed(*chunks, DONE)

    assert [*proc.runs] == [*proc.messages] == [f"chat-{digest}"]


def test_a_named_run_without_any_id() -> None:
    """Its message is named after the turn."""
    proc = feed(*named([says("a")], None), dialect=lambda: ChatDialect("run_1", 2))

    assert [*proc.messages] == ["run_1:2"]


@pytest.mark.parametrize(
    ("created", "expected"), [(7, 7), (7.0, 7), (7.5, None), (0, None), (-1, None), (True, None), ("7", None)]
)
def test_the_time(created: object, expected: int | None) -> None:
    """Whole seconds, of all objects; what is no time is none."""
    proc = feed({**says("a"), "created": created})

    assert {obj["created_at"] for obj in (run(proc), *steps(proc), message(proc))} == {expected}


@pytest.mark.parametrize("model", [None, "", 5])
def test_a_stream_without_a_model(model: object) -> None:
    """It is unknown."""
    proc = feed({**says("a"), "model": model})

    assert (run(proc)["model"], run(proc)["assistant_id"]) == (None, "")


# --- choices ----------------------------------------------------------------------------------------------------------


def test_choices_interleave() -> None:
    """Each has its message and its calls; the first choice has the id of the completion."""
    proc = feed(
        *(role(), role(1), says("a"), says("b", 1), says("c"), calling(piece("1", "f", id="x"), index=1)),
        *(ends("stop"), ends("tool_calls", 1), DONE),
    )

    assert [*proc.steps] == [f"{ID}:1:msg:0", f"{ID}:1:msg:1", f"{ID}:1:tools:1"]
    assert [(id, item.content[0].text.value) for id, item in proc.messages.items()] == [(ID, "ac"), (f"{ID}:1", "b")]  # type: ignore[union-attr,index]
    assert run(proc)["status"] == "completed"


def test_choices_without_an_index() -> None:
    """Their position counts; what is no index is reported."""
    proc = feed(chunk({"delta": {"content": "a"}}, {"index": None, "delta": {"content": "b"}}, {"index": "x"}))

    assert [*proc.messages] == [ID, f"{ID}:1"]
    assert proc.anomalies["index_invalid"] == 1


@pytest.mark.parametrize("choices", [[], [None], [5, "x", []]])
def test_choices_that_are_none(choices: list[Json]) -> None:
    """The run is known, no more."""
    proc = feed(chunk(*choices))

    assert (len(proc.runs), len(proc.steps)) == (1, 0)


@pytest.mark.parametrize("member", ["x", None, 5, []])
def test_a_choice_without_a_delta(member: Json) -> None:
    """Azure's late verdicts of its filter have none."""
    proc = feed(says("a"), ends("stop"), chunk({"index": 0, "delta": member, "finish_reason": None}), DONE)

    assert run(proc)["status"] == "completed"


def test_choices_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be one more is refused and reported."""
    monkeypatch.setattr(chat, "_MAX_CHOICES", 2)
    proc = feed(*(says("a", index) for index in range(4)), says("b"))

    assert len(proc.messages) == 2
    assert proc.anomalies["limit"] == 2


# --- ends -------------------------------------------------------------------------------------------------------------


def test_done_ends_a_finished_stream() -> None:
    """And the run with it."""
    proc = feed(says("a"), ends("stop"), DONE, closes=False)

    assert (run(proc)["status"], proc.is_done) == ("completed", True)
    assert proc.close() == []
    assert not proc.truncated


def test_a_finished_stream_needs_no_done() -> None:
    """Some servers never send it."""
    proc = feed(says("a"), ends("stop"), usage(1, 2), closes=False)

    assert run(proc)["status"] == "in_progress"

    proc.close()

    assert (run(proc)["status"], run(proc)["usage"]["total_tokens"]) == ("completed", 3)
    assert not proc.truncated


@pytest.mark.parametrize("last", [[], [DONE]], ids=["without [DONE]", "with [DONE]"])
def test_an_unfinished_stream_is_truncated(last: list[Json]) -> None:
    """Whether a `[DONE]` comes or not: nothing ends, and what is known of the usage stands on the run."""
    proc = feed(says("a"), calling(piece("1", "f", id="x")), usage(1, 2), *last)

    assert proc.truncated
    assert [obj["status"] for obj in (run(proc), *steps(proc), message(proc))] == ["in_progress"] * 4
    assert run(proc)["usage"]["total_tokens"] == 3
    assert dict(proc.anomalies) == {"truncated": 1}


def test_one_of_two_choices_is_unfinished() -> None:
    """The stream is not complete, and the one that is finished ends no step either."""
    proc = feed(says("a"), says("b", 1), ends("stop"), DONE)

    assert proc.truncated
    assert {step["status"] for step in steps(proc)} == {"in_progress"}


@pytest.mark.parametrize("chunks", [[], [chunk()], [{"type": "ping"}]], ids=["nothing", "no choice", "a ping"])
def test_done_alone_is_no_success(chunks: list[Json]) -> None:
    """Something must have been finished."""
    proc = feed(*chunks, DONE)

    assert proc.truncated
    assert [item.status for item in proc.runs.values()] == ["in_progress"] * (chunks == [chunk()])


def test_a_stream_goes_on_after_a_done_that_came_too_early() -> None:
    """As if it had not come."""
    proc = feed(says("a"), DONE, says("b"), ends("stop"), DONE)

    assert (run(proc)["status"], message(proc)["content"][0]["text"]["value"]) == ("completed", "ab")
    assert not proc.anomalies


def test_a_server_that_gives_no_reasons() -> None:
    """Snowflake's; if the caller says that [DONE] is enough, choices end with it, those that have a reason by that."""
    chunks = [says("a"), says("b", 1), ends("length", 1), DONE]
    proc = feed(*chunks, dialect=lambda: ChatDialect(done_suffices=True))

    assert [item.status for item in proc.messages.values()] == ["completed", "incomplete"]
    assert run(proc)["status"] == "completed"
    assert feed(says("a"), dialect=lambda: ChatDialect(done_suffices=True)).truncated


@pytest.mark.parametrize(
    ("late", "count"),
    [([DONE], 0), ([says("b")], 1), ([usage(1, 2)], 1), (named([says("b")], ""), 1), (named([says("b")], None), 1)],
)
def test_what_comes_after_the_end(late: list[Json], count: int) -> None:
    """It is refused and reported; a second end is none."""
    proc = feed(says("a"), ends("stop"), DONE, *late)

    assert message(proc)["content"][0]["text"]["value"] == "a"
    assert run(proc)["usage"] is None
    assert proc.anomalies["late_event"] == count


def test_another_completion_after_the_end() -> None:
    """Nobody said that a new stream begins: it is reported, and read all the same, as a run of its own."""
    first = [says("a"), ends("stop"), usage(1, 2), DONE]
    proc = feed(*first, *named([says("b"), says("c"), ends("length"), usage(3, 4)], "chatcmpl-BBBBBBBBBBBB"), DONE)
    found = [wire(item) for item in proc.runs.values()]

    assert after(found, "id", "status", "incomplete_details") == [
        {"id": ID, "status": "completed", "incomplete_details": None},
        {"id": "chatcmpl-BBBBBBBBBBBB", "status": "completed", "incomplete_details": {"reason": "length"}},
    ]
    assert [item["usage"]["total_tokens"] for item in found] == [3, 7]
    assert [item.text for item in proc.messages.values()] == ["a", "bc"]
    assert dict(proc.anomalies) == {"reopened": 1}


@pytest.mark.parametrize("count", [1, 2, 4, 6])
def test_a_completion_that_another_stream_told_of(count: int) -> None:
    """Part of it, or all: it is not appended to that."""
    whole = [
        says("Hel"),
        says("lo"),
        calling(piece('{"a"', "f", id="call_1")),
        calling(piece(":1}")),
        ends("stop"),
        DONE,
    ]
    proc = feed(*whole[:count])
    other = StreamProcessor("chat", proc.reducer, stream="other")
    other.feed(stream(*whole))
    other.close()

    assert message(other)["content"][0]["text"]["value"] == "Hello"
    assert tools(other) == [("call_1", "f", '{"a":1}')]


def test_a_completion_that_is_resumed() -> None:
    """By a gateway that numbers its events: it is the same turn, and its calls go on."""
    turns = ChatDialect.turns("run_1")
    proc = StreamProcessor(turns)
    proc.feed(stream(says("Hel"), calling(piece('{"a"', "f", id="call_1"))))
    proc.resume()
    proc.feed(stream(calling(piece(":1}")), says("lo"), ends("tool_calls"), DONE))

    assert message(proc)["content"][0]["text"]["value"] == "Hello"
    assert tools(proc) == [("call_1", "f", '{"a":1}')]
    assert (run(proc)["status"], turns.turn) == ("requires_action", 1)
    assert not proc.anomalies


def test_keep_alives() -> None:
    """Some gateways send them as data."""
    proc = feed({"type": "ping"}, role(), {"type": "keepalive"}, says("a"), ends("stop"), DONE)

    assert (run(proc)["status"], dict(proc.anomalies)) == ("completed", {})


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("event", "payload", "expected"),
    [
        ("message", {"error": ERROR}, FAILED),
        ("message", {"error": "slow down"}, {"code": "server_error", "message": "slow down"}),
        ("message", {"object": "error", **ERROR}, FAILED),
        ("message", {"object": "error", "message": "m", "code": 400}, {"code": "400", "message": "m"}),
        ("message", {"error": {"type": "t", "message": 5}}, {"code": "t", "message": ""}),
        ("message", {"error": {"code": None, "message": "m"}}, {"code": "server_error", "message": "m"}),
        ("error", ERROR, FAILED),
        ("error", {"error": ERROR}, FAILED),
        ("error", b"slow down", {"code": "server_error", "message": "slow down"}),
        ("error", b'"slow down"', {"code": "server_error", "message": "slow down"}),
        ("error", b"[1]", {"code": "server_error", "message": "[1]"}),
    ],
)
@pytest.mark.parametrize("last", [b"", b"data: [DONE]\n\n"], ids=["without [DONE]", "with [DONE]"])
def test_the_shapes_of_an_error(event: str, payload: Json, expected: Json, last: bytes) -> None:
    """The run fails with it when the stream ends, whether that says [DONE] or not; no step ends."""
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    proc = StreamProcessor("chat")
    *_, change = proc.feed(stream(says("a")) + b"event: " + event.encode() + b"\ndata: " + data + b"\n\n")

    assert (change.kind, change.state.message) == ("error", expected["message"])
    assert run(proc)["status"] == "in_progress"

    proc.feed(last)
    proc.close()

    assert (run(proc)["status"], run(proc)["last_error"]) == ("failed", expected)
    assert [step["status"] for step in steps(proc)] == ["in_progress"]
    assert not proc.truncated
    assert not proc.anomalies


def test_an_error_has_its_code() -> None:
    """As text, also where the wire has the number of an HTTP status."""
    (event,) = decode({"error": {"code": 429, "message": "m"}})
    (other,) = decode({"error": "m"})

    assert (event.data.code, event.data.message) == ("429", "m")
    assert (type(other.data.code).__name__, other.data.message) == ("UnsetType", "m")


def test_the_first_error_counts() -> None:
    """Each is told of."""
    proc = feed(says("a"), {"error": ERROR}, {"error": "x"}, DONE, closes=False)

    assert run(proc)["last_error"] == FAILED


def test_an_error_after_the_reason() -> None:
    """What was finished ends as its reason says; the run fails."""
    proc = feed(says("a"), ends("stop"), {"error": ERROR}, DONE)

    assert [obj["status"] for obj in (run(proc), *steps(proc), message(proc))] == ["failed", "completed", "completed"]


def test_an_error_in_a_chunk() -> None:
    """OpenRouter's: the chunk counts as well, and its usage."""
    last = {**ends(None, content="b"), "error": ERROR, "usage": {"prompt_tokens": 1, "completion_tokens": 2}}
    proc = feed(says("a"), last, DONE)

    assert message(proc)["content"][0]["text"]["value"] == "ab"
    assert (run(proc)["status"], run(proc)["last_error"], run(proc)["usage"]["total_tokens"]) == ("failed", FAILED, 3)


@pytest.mark.parametrize(
    ("choice", "chunk_error", "expected"),
    [
        ({"error": ERROR, "finish_reason": "error"}, None, FAILED),
        ({"error": ERROR}, None, FAILED),
        ({"finish_reason": "error"}, ERROR, FAILED),
        ({"finish_reason": "error"}, None, {"code": "server_error", "message": "finish_reason: error"}),
    ],
)
def test_a_choice_that_fails(choice: Json, chunk_error: Json, expected: Json) -> None:
    """Its steps fail with the error, which is told of once; and so does the run."""
    last = chunk({"index": 0, "delta": {}, **choice}, error=chunk_error)
    proc = StreamProcessor("chat")
    changes = proc.feed(stream(says("a"), calling(piece("1", "f", id="x")), last, DONE))

    assert [change.kind for change in changes].count("error") == 1
    assert [(obj["status"], obj["last_error"]) for obj in (run(proc), *steps(proc))] == [("failed", expected)] * 3
    assert message(proc)["status"] == "incomplete"


def test_an_error_is_all_there_is() -> None:
    """There is no run then, unless the caller named it."""
    alone = feed({"error": ERROR}, DONE)
    named_one = feed({"error": ERROR}, dialect=lambda: ChatDialect("run_1"))

    assert (len(alone.runs), alone.truncated) == (0, False)
    assert (run(named_one)["status"], run(named_one)["last_error"]) == ("failed", FAILED)


# --- usage ------------------------------------------------------------------------------------------------------------

COUNTS = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def test_usage_stands_on_run_step_and_message() -> None:
    """With the vendor's details; it is there when the step ends."""
    details = {"prompt_tokens_details": {"cached_tokens": 2}, "cost": 0.5}
    proc = StreamProcessor("chat")
    changes = proc.feed(stream(says("a"), ends("stop"), usage(3, 4, **details), DONE))

    for obj in (run(proc), *steps(proc), message(proc)):
        assert obj["usage"] == {**COUNTS, **details}
    assert [change.event for change in changes][-3:] == [
        "thread.message.completed",
        "thread.run.step.completed",
        "thread.run.completed",
    ]


def test_usage_of_a_call_that_has_both_text_and_tools() -> None:
    """It is told of once: on the calls, which come last."""
    proc = feed(calling(piece("1", "f", id="x")), says("a"), ends("tool_calls"), usage(3, 4), DONE)

    assert [step["usage"] for step in steps(proc)] == [COUNTS, None]
    assert message(proc).get("usage") is None


def test_usage_of_several_choices() -> None:
    """No step's share is known, unless the caller wants it on the last one."""
    chunks = [says("a"), says("b", 1), ends("stop"), ends("stop", 1), usage(3, 4), DONE]
    proc, other = feed(*chunks), feed(*chunks, dialect=lambda: ChatDialect(rules=Rules(usage_on_last_step=True)))

    assert (run(proc)["usage"], [step["usage"] for step in steps(proc)]) == (COUNTS, [None, None])
    assert [step["usage"] for step in steps(other)] == [None, COUNTS]


def test_usage_on_every_chunk_is_no_sum() -> None:
    """It counts from the start each time."""
    chunks = [{**says("a"), "usage": {"prompt_tokens": 3, "completion_tokens": n}} for n in range(4)]
    proc = feed(*chunks, ends("stop"), DONE)

    assert run(proc)["usage"] == {"prompt_tokens": 3, "completion_tokens": 3, "total_tokens": 6}


@pytest.mark.parametrize(
    "last",
    [
        {"x_groq": {"usage": COUNTS}},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": COUNTS}]},
        {"usage": {"input_tokens": 3, "output_tokens": 4}},
    ],
    ids=["x_groq", "choice", "other names"],
)
def test_where_else_usage_stands(last: Json) -> None:
    """Some servers have it elsewhere, or under other names."""
    proc = feed(says("a"), ends("stop"), {**chunk(), **last}, DONE)

    assert run(proc)["usage"] == COUNTS


def test_a_total_is_as_the_wire_says() -> None:
    """xAI counts reasoning outside of the completion."""
    proc = feed(says("a"), ends("stop"), usage(12, 2, total_tokens=354), DONE)

    assert run(proc)["usage"]["total_tokens"] == 354


@pytest.mark.parametrize("other", [None, {}, 5, [], {"prompt_tokens": None}, {"queue_time": 1}])
def test_usage_that_is_none(other: Json) -> None:
    """What was known before stays."""
    proc = feed(says("a"), usage(3, 4), {**ends("stop"), "usage": other, "x_groq": {"usage": other}}, DONE)

    assert run(proc)["usage"] == COUNTS


# --- payloads ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("payload", [b"", b"{", b"null", b"[]", b'"x"', b"1", b"\xff", b"[" * 300])
def test_payloads_that_are_no_object(payload: bytes) -> None:
    """They are reported; the stream goes on."""
    (event,) = decode(payload)

    assert isinstance(event.data, Anomaly)
    assert event.data.kind == "bad_json"


@pytest.mark.parametrize("payload", [{}, {"object": "chat.completion"}, {"id": ID}, {"choices": None}, {"error": None}])
def test_objects_that_are_no_chunk(payload: Json) -> None:
    """They are reported; the stream goes on."""
    (event,) = decode(payload)

    assert event.data.kind == "unknown_event"


def test_a_chunk_without_choices() -> None:
    """Its name says what it is."""
    proc = feed({"id": ID, "object": "chat.completion.chunk"})

    assert [*proc.runs] == [ID]


def test_bytes_that_are_no_text() -> None:
    """They become replacement characters, as in any event stream."""
    proc = feed(json.dumps(says("aXb")).encode().replace(b"X", b"\xff"))

    assert message(proc)["content"][0]["text"]["value"] == "a\ufffdb"


# --- the fast path ----------------------------------------------------------------------------------------------------

SLOW: Mapping[str, Json] = {
    "no choice": chunk(),
    "two choices": chunk(*says("x")["choices"], *says("y", 1)["choices"]),
    "an unknown choice": says("x", 5),
    "a choice without text": says("x", 1),
    "no text": says(""),
    "null": says(None),
    "a list": says([{"type": "text", "text": "x"}]),
    "a reason": ends("stop", content="x"),
    "usage": {**says("x"), "usage": {"prompt_tokens": 1, "completion_tokens": 1}},
    "usage of a choice": chunk({"index": 0, "delta": {"content": "x"}, "usage": {}}),
    "Groq's usage": {**says("x"), "x_groq": {"usage": {}}},
    "an error": {**says("x"), "error": {"message": "x"}},
    "an error of a choice": chunk({"index": 0, "delta": {"content": "x"}, "error": {}}),
    "reasoning": delta(content="x", reasoning="y"),
    "DeepSeek's reasoning": delta(content="x", reasoning_content="y"),
    "OpenRouter's reasoning": delta(content="x", reasoning_details=[{"type": "y"}]),
    "a refusal": delta(content="x", refusal="y"),
    "annotations": delta(content="x", annotations=[{"type": "y"}]),
    "audio": delta(content="x", audio={"id": "y"}),
    "images": delta(content="x", images=[{}]),
    "tools of the server": delta(content="x", executed_tools=[{}]),
    "text and a call": delta(content="x", tool_calls=[piece("y")]),
    "the old call": delta(content="x", function_call={"arguments": "y"}),
    "two calls": calling(piece("x"), piece("y", index=1)),
    "an unknown call": calling(piece("x", index=9)),
    "an id": calling(piece("x", id="call_1")),
    "a name": calling(piece("x", name="f")),
    "no arguments": calling(piece("")),
    "null arguments": calling(piece(None)),
    "an object": calling(piece({"x": 1})),
    "no index": calling(piece("x", index=None)),
    "a call of another kind": calling({**piece("x"), "custom": {"input": "y"}}),
    "no calls": calling(),
    "no delta": chunk({"index": 0}),
    "no JSON": b"{",
    "deep": b'{"choices":[{"index":0,"delta":{"content":"x"}}],"y":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
}
FAST: Mapping[str, Json] = {
    "text": says("x"),
    "a role": delta(role="assistant", content="x"),
    "no index": chunk({"delta": {"content": "x"}}),
    "what is left out": {**says("x"), "obfuscation": "abc", "timings": {"x": [1]}, "usage": None, "x_groq": None},
    "what says nothing": delta(
        content="x", refusal=None, reasoning=None, reasoning_content="", reasoning_details=[], tool_calls=None
    ),
    "logprobs": chunk({"index": 0, "delta": {"content": "x"}, "finish_reason": None, "logprobs": {"content": []}}),
    "arguments": calling(piece("x")),
    "arguments beside no text": delta(content=None, tool_calls=[piece("x", id="", type=None)]),
    "arguments beside an empty text": delta(content="", tool_calls=[piece("x", name="")]),
}
BEFORE = [role(), says("a"), calling(piece("", "f", id="call_1")), role(1), calling(piece("", "g", id="b"), index=1)]


def both_ways(item: Json) -> tuple[bool, StreamProcessor, StreamProcessor]:
    """Whether the reader takes a chunk, and what comes of it by the reader and without one."""
    plain = ChatDialect()
    plain.texts = {}
    fast, slow = StreamProcessor(ChatDialect()), StreamProcessor(plain)
    for proc in (fast, slow):
        proc.feed(stream(*BEFORE))
    reader = ChatDialect()
    for before in BEFORE:
        reader.decode(Frame("message", json.dumps(before).encode(), ""))
    payload = item if isinstance(item, bytes) else json.dumps(item).encode()
    took = reader.texts[None]([payload], 0) is not None
    for proc in (fast, slow):
        proc.feed(stream(item, says("z"), ends("stop"), ends("stop", 1), DONE))
    return took, fast, slow


@pytest.mark.parametrize("item", SLOW.values(), ids=SLOW.keys())
def test_what_the_reader_leaves_alone(item: Json) -> None:
    """Anything that says more than one piece of text; the general rules see it."""
    took, fast, slow = both_ways(item)

    assert not took
    assert (run(fast), steps(fast), dict(fast.anomalies)) == (run(slow), steps(slow), dict(slow.anomalies))


@pytest.mark.parametrize("item", FAST.values(), ids=FAST.keys())
def test_what_the_reader_takes(item: Json) -> None:
    """With the same result as without it."""
    took, fast, slow = both_ways(item)

    assert took
    assert (run(fast), steps(fast), message_texts(fast)) == (run(slow), steps(slow), message_texts(slow))
    assert not fast.anomalies


def message_texts(proc: StreamProcessor) -> list[Json]:
    return [item.content[0].text.value for item in proc.messages.values()]  # type: ignore[union-attr,index]


def test_the_reader_keeps_what_a_named_run_asks_for() -> None:
    """The arguments, which the run's required action repeats."""
    pieces = [calling(piece("", "f", id="x")), *(calling(piece(text)) for text in ('{"a"', ":", "1}"))]
    proc = feed(*pieces, ends("tool_calls"), DONE, dialect=lambda: ChatDialect("run_1"))

    assert tools(proc) == [("x", "f", '{"a":1}')]
    assert run(proc)["required_action"] == {
        "type": "submit_tool_outputs",
        "submit_tool_outputs": {
            "tool_calls": [{"id": "x", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}]
        },
    }


def test_a_chunk_of_another_event_name() -> None:
    """It is decoded by the general rules, as what its data says it is."""
    proc = StreamProcessor("chat")
    proc.feed(b"event: x\n" + stream(says("a")) + b"event: x\n" + stream(says("b")))

    assert message(proc)["content"][0]["text"]["value"] == "ab"


# --- the contract -----------------------------------------------------------------------------------------------------

RECORDINGS = [
    stream(role(), *map(says, "abc"), ends("stop"), usage(1, 2), DONE),
    stream(
        *(role(), delta(reasoning="x"), calling(piece("", "f", id="a")), calling(piece("1")), calling(piece("2"))),
        *(calling(piece("3", "g", id="b")), says("x"), ends("tool_calls"), {"error": "x"}, DONE),
    ),
    stream(*named([chunk(), says("a", 1), says("b"), ends("length"), ends("content_filter", 1)], "")),
]


@pytest.mark.parametrize("make", [ChatDialect, lambda: ChatDialect("run_1", 2)], ids=["by the wire", "by the caller"])
def test_the_contract_of_a_dialect(make: Any) -> None:
    """As every dialect must keep it."""
    check_dialect(make, RECORDINGS)
