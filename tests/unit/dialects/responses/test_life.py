"""The life of responses: how they begin, follow one another, fail and end."""

import json
from typing import Any

import pytest

from streamproc import StreamProcessor
from streamproc.dialects import ResponsesDialect
from streamproc.dialects.translation import Rules
from tests.response_streams import (
    CALL,
    HELLO,
    MESSAGE,
    OPEN,
    RESPONSE,
    Json,
    added,
    call_of,
    changed,
    delta,
    done,
    fed,
    function_call,
    message,
    numbered,
    only_run,
    response,
    sse,
    state,
    text,
    texts_of,
)
from tests.streams import anomalies, wire

# --- a response -------------------------------------------------------------------------------------------------------


def test_a_message_from_beginning_to_end() -> None:
    """Events come in the order in which an Assistants stream has them."""
    proc = StreamProcessor("responses")
    names = [change.event for change in proc.feed(sse(*HELLO))]

    assert names == [
        "thread.run.created",
        "thread.run.step.created",
        "thread.message.created",
        "thread.message.delta",
        "thread.message.delta",
        "thread.message.delta",
        "thread.message.completed",
        "thread.run.step.completed",
        "thread.run.step.completed",
        "thread.message.completed",
        "thread.run.completed",
    ]
    assert proc.messages[MESSAGE].text == "Hello"
    assert wire(proc.steps[MESSAGE])["usage"]["total_tokens"] == 7
    assert not proc.anomalies


def test_members_of_the_run() -> None:
    """Those of the protocol, and the rest under extras."""
    members = {
        "created_at": 5.5,
        "completed_at": 6,
        "model": "m",
        "instructions": "Be brief.",
        "tools": [{"type": "function", "name": "f"}],
        "metadata": {"a": "b"},
        "temperature": 1,
        "parallel_tool_calls": True,
    }
    others = {"service_tier": "default", "top_p": "high", "previous_response_id": "resp_1", "moderation": None}
    proc = fed(response("completed", **members, **others, conversation={"id": "conv_1"}, agent={"name": "a"}))
    run = only_run(proc)

    assert {name: run[name] for name in members} == members
    assert (run["id"], run["thread_id"], run["assistant_id"], run["status"]) == (RESPONSE, "conv_1", "a", "completed")
    assert run["extras"]["response"] == {
        "service_tier": "default",
        "top_p": "high",
        "previous_response_id": "resp_1",
        "conversation": {"id": "conv_1"},
        "agent": {"name": "a"},
    }


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({}, ("thread_1", "m")),
        ({"conversation": "conv_1", "agent": {"agent_name": "/root"}}, ("conv_1", "/root")),
        ({"conversation": {"id": None}, "agent": "a", "model": None}, ("thread_1", "")),
    ],
)
def test_thread_and_assistant(members: Json, expected: tuple[str, str]) -> None:
    """The conversation, else what was given; the agent, else the model."""
    proc = fed(response(**members), dialect=lambda: ResponsesDialect(thread_id="thread_1"))
    run = wire(next(iter(proc.runs.values())))

    assert (run["thread_id"], run["assistant_id"]) == expected


def test_an_assistant_that_was_given() -> None:
    """It counts more than what the wire says."""
    proc = fed(response(agent={"name": "a"}), dialect=lambda: ResponsesDialect(assistant_id="asst_1"))

    assert only_run(proc)["assistant_id"] == "asst_1"


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"id": "resp_1"}, "response:resp_1:5:m"),
        ({"id": None, "created_at": None}, "response:m"),
        ({"id": 7, "created_at": None, "model": None}, "response"),
    ],
)
def test_an_id_that_others_may_have(members: Json, expected: str) -> None:
    """The run's is made of what tells responses apart; the wire's is kept."""
    run = only_run(fed(response(**members)))

    assert run["id"] == expected
    assert run.get("extras", {}).get("response", {}).get("id") == members["id"]


@pytest.mark.parametrize("status", ["completed", "failed", "incomplete", "cancelled"])
def test_done_says_how_it_ended(status: str) -> None:
    """As some servers end a stream."""
    ended = {**response(status), "type": "response.done"}
    proc = fed(response(), ended)

    assert (only_run(proc)["status"], proc.truncated) == (status, False)


def test_done_that_is_not_the_end() -> None:
    """A response in progress goes on."""
    proc = fed(response(), {**response("in_progress"), "type": "response.done"}, {"type": "response.done"})

    assert (only_run(proc)["status"], proc.truncated) == ("in_progress", True)


@pytest.mark.parametrize(
    ("what", "status", "expected"),
    [
        ("created", "completed", "in_progress"),
        ("created", "queued", "queued"),
        ("in_progress", "failed", "in_progress"),
        ("queued", None, "queued"),
        ("completed", "incomplete", "incomplete"),
        ("completed", "in_progress", "completed"),
        ("failed", [], "failed"),
    ],
)
def test_event_and_status_disagree(what: str, status: Any, expected: str) -> None:
    """An event ends a response or not; which end it is, or how it is open, the response says."""
    assert (
        only_run(fed({**response(what), "response": {**response(what)["response"], "status": status}}))["status"]
        == expected
    )


def test_an_object_without_an_event() -> None:
    """A payload that is a Response itself, as some proxies send it."""
    proc = fed(response()["response"], response("completed", message(text("Hi")))["response"], dialect="auto")

    assert (only_run(proc)["status"], proc.messages[MESSAGE].text) == ("completed", "Hi")


def test_names_from_event_lines() -> None:
    """A payload without a type is what its frame says."""
    data = json.dumps({"response": response()["response"]})
    proc = StreamProcessor("responses")
    proc.feed(f"event: response.created\ndata: {data}\n\n".encode())

    assert only_run(proc)["status"] == "in_progress"


@pytest.mark.parametrize("native", [None, 5, [], "x"])
def test_a_response_that_is_none(native: Any) -> None:
    """The run is there all the same."""
    proc = fed({"type": "response.created", "response": native})

    assert only_run(proc)["id"] == "response"


# --- ends -------------------------------------------------------------------------------------------------------------


def test_second_end() -> None:
    """After a crash a server may end a response again; the same end is no news."""
    proc = StreamProcessor("responses")
    proc.feed(sse(*HELLO))

    assert changed(proc, HELLO[-1]) == []
    assert only_run(proc)["status"] == "completed"


def test_another_end() -> None:
    """The first one stays."""
    proc = StreamProcessor("responses")
    proc.feed(sse(*HELLO))
    changes = changed(proc, response("failed", error={"code": "x", "message": "m"}))

    assert anomalies(changes) == ["status_conflict", "late_event"]
    assert only_run(proc)["status"] == "completed"


def test_what_follows_the_end() -> None:
    """Not a life after it."""
    proc = StreamProcessor("responses")
    proc.feed(sse(*HELLO))

    assert changed(proc, response("in_progress"), response()) == []


def test_a_failure() -> None:
    """The error is the run's; what is open stays open, and has failed by inference."""
    proc = fed(
        response(), added(message(status="in_progress")), response("failed", error={"code": "c", "message": "m"})
    )

    assert only_run(proc)["last_error"] == {"code": "c", "message": "m"}
    assert proc.steps[MESSAGE].status == "in_progress"
    assert proc.reducer.note("step", MESSAGE).inferred_status == "failed"


@pytest.mark.parametrize(
    ("reason", "status", "error"),
    [
        ("max_output_tokens", "completed", None),
        ("content_filter", "failed", "content_filter"),
        (None, "completed", None),
    ],
)
def test_an_incomplete_message(reason: str | None, status: str, error: str | None) -> None:
    """Its item says that it is, the response says why."""
    cut = message(text("Hel"), status="incomplete")
    last = response("incomplete", cut, incomplete_details=reason and {"reason": reason})
    proc = StreamProcessor("responses")
    proc.feed(sse(response(), added(message(status="in_progress")), done(cut)))
    before = proc.steps[MESSAGE].status, proc.messages[MESSAGE].text
    proc.feed(sse(last))
    step, incomplete = wire(proc.steps[MESSAGE]), wire(proc.messages[MESSAGE])

    assert before == ("in_progress", "Hel")
    assert (step["status"], step["last_error"] and step["last_error"]["code"]) == (status, error)
    assert (incomplete["status"], incomplete["incomplete_details"]) == (
        "incomplete",
        {"reason": reason or "incomplete"},
    )
    assert only_run(proc)["status"] == "incomplete"


def test_arguments_that_were_cut() -> None:
    """They are no JSON, so the call failed; it waits for nothing."""
    proc = fed(
        response(),
        added(function_call()),
        delta("function_call_arguments", '{"a'),
        response("incomplete", function_call('{"a'), incomplete_details={"reason": "max_output_tokens"}),
    )
    (step,) = map(state, proc.steps.values())

    assert (step["status"], step["last_error"]["code"]) == ("failed", "incomplete_arguments")
    assert step["metadata"] == {"incomplete_reason": "max_output_tokens"}


def test_a_broken_stream() -> None:
    """Nothing is said about the run."""
    proc = fed(*HELLO[:4])

    assert (only_run(proc)["status"], proc.steps[MESSAGE].status, proc.truncated) == (
        "in_progress",
        "in_progress",
        True,
    )


# --- several responses ------------------------------------------------------------------------------------------------


def second(payload: Json) -> Json:
    """The same of a second response: its ids are others, its numbers and indexes start again."""
    return json.loads(json.dumps(payload).replace("0123456789abcdef", "fedcba9876543210"))  # type: ignore[no-any-return]


def test_responses_one_after_the_other() -> None:
    """Each is a run; numbers and indexes start again."""
    proc = fed(*numbered(*HELLO), *numbered(*map(second, HELLO)))

    assert [run.status for run in proc.runs.values()] == ["completed", "completed"]
    assert [each.text for each in proc.messages.values()] == ["Hello", "Hello"]
    assert not proc.anomalies


@pytest.mark.parametrize("first", ["created", "queued", "in_progress"])
def test_what_begins_a_second_response(first: str) -> None:
    """Any life after an end, of another id."""
    proc = fed(*HELLO, second(response(first)))

    assert len(proc.runs) == 2


def test_a_second_response_begins_before_the_first_one_ended() -> None:
    """It says so; the first one stays as it is."""
    proc = fed(*HELLO[:4], *map(second, HELLO))

    assert [run.status for run in proc.runs.values()] == ["in_progress", "completed"]
    assert [each.text for each in proc.messages.values()] == ["Hel", "Hello"]


def test_ids_that_are_made_anew() -> None:
    """Nothing but `created` begins a response; the first id stays."""
    proc = fed(HELLO[0], second(response("in_progress")), *HELLO[1:-1], second(HELLO[-1]))

    assert only_run(proc)["id"] == RESPONSE
    assert only_run(proc)["extras"]["response"] == {"id": second(HELLO[0])["response"]["id"]}


def test_a_named_run() -> None:
    """It requires action while calls wait, and goes on with the next response; ids of items cannot meet."""
    proc = StreamProcessor(lambda: ResponsesDialect(run_id="run_1"))
    call = function_call('{"a":1}', id="fc_1")
    proc.feed(sse(response(), done(call), response("completed", call)))
    proc.close()
    waiting = only_run(proc)
    proc.open()
    proc.feed(sse(second(response())))
    begun = only_run(proc)
    output = {"type": "function_call_output", "call_id": "call_1", "output": "42"}
    proc.feed(sse(done(output), done(message(text("Hi"), id="msg_1"), 1), second(response("completed"))))
    proc.close()

    assert waiting["status"] == "requires_action"
    assert waiting["required_action"]["submit_tool_outputs"]["tool_calls"] == [
        {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    ]
    assert (begun["status"], begun.get("required_action")) == ("in_progress", None)
    assert only_run(proc)["status"] == "completed"
    assert list(proc.steps) == [
        f"run_1:{RESPONSE}:function_call:0",
        f"run_1:{second(HELLO[0])['response']['id']}:message:1",
    ]
    assert {step.status for step in proc.steps.values()} == {"completed"}
    assert not proc.anomalies


def test_a_named_run_that_waits_for_an_approval() -> None:
    """Of which the protocol has an action, too."""
    request = {"id": "mcpr_0123456789abcdef", "type": "mcp_approval_request", "name": "f", "arguments": "{}"}
    proc = fed(
        response(), done(request), response("completed", request), dialect=lambda: ResponsesDialect(run_id="run_1")
    )

    assert only_run(proc)["required_action"]["type"] == "submit_tool_approval"


@pytest.mark.parametrize(
    ("rules", "item"),
    [(Rules(tool_outputs="close"), function_call("{}")), (Rules(), {"type": "program", "call_id": "c", "code": "1"})],
)
def test_a_named_run_that_waits_for_nothing(rules: Rules, item: Json) -> None:
    """Because it was decided so, or because the server runs it."""
    proc = fed(
        *(response(), done(item), response("completed", item)),
        dialect=lambda: ResponsesDialect(run_id="run_1", rules=rules),
    )

    assert only_run(proc)["status"] == "completed"


def test_a_response_that_is_not_there() -> None:
    """Its items make a run of their own, which takes the rest of the stream."""
    proc = fed(done(function_call("{}")), "{broken", response("completed"))

    assert proc.anomalies == {"provisional": 1, "bad_json": 1}
    assert (only_run(proc)["id"], only_run(proc)["status"]) == ("response:fc_0123456789abcdef", "completed")
    assert only_run(proc)["extras"]["response"]["id"] == RESPONSE


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (delta("output_text", "a", id="msg_1"), "response:msg_1"),
        (done(function_call("{}", id=None)), "response:call_1"),
        (delta("output_text", "a"), "response"),
        ({"type": "response.output_item.done"}, "response"),
    ],
)
def test_the_run_of_a_response_that_is_not_there(payload: Json, expected: str) -> None:
    """Its id is made of the first one that there is."""
    assert only_run(fed(payload))["id"] == expected


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"type": "error", "message": "m", "code": "c"}, "c"),
        ({"type": "error", "error": {"message": "m", "code": "c", "type": "t"}}, "c"),
        ({"type": "error", "error": {"message": "m", "code": None, "type": "t"}}, "t"),
        ({"error": {"message": "m", "code": 429}}, "429"),
        ({"error": "m"}, "server_error"),
        ({"type": "error", "message": "m"}, "server_error"),
    ],
)
def test_an_error_and_nothing_else(payload: Json, code: str) -> None:
    """At the end of the stream the run has failed with it; a `[DONE]` before makes no difference."""
    for end in ([], ["[DONE]"]):
        proc = fed(response(), payload, *end)

        assert (only_run(proc)["status"], only_run(proc)["last_error"]) == ("failed", {"code": code, "message": "m"})
        assert not proc.truncated
        assert not proc.anomalies


def test_an_error_that_is_no_json() -> None:
    """Its text is the message."""
    proc = StreamProcessor("responses")
    proc.feed(sse(response()) + b"event: error\ndata: busy\n\n")
    proc.close()

    assert only_run(proc)["last_error"] == {"code": "server_error", "message": "busy"}


def test_an_error_before_a_failure() -> None:
    """The run fails once; its own error counts, if it has one."""
    error = {"type": "error", "error": {"message": "m", "code": "c"}}
    proc = fed(response(), error, response("failed", error={"code": "d", "message": "n"}))
    other = fed(response(), error, response("failed"))

    assert only_run(proc)["last_error"] == {"code": "d", "message": "n"}
    assert only_run(other)["last_error"] == {"code": "c", "message": "m"}
    assert not proc.anomalies


def test_an_error_that_was_survived() -> None:
    """The response completed all the same."""
    proc = fed(response(), {"type": "error", "message": "m"}, *HELLO[1:])

    assert (only_run(proc)["status"], "last_error" in only_run(proc)) == ("completed", False)


def test_an_error_instead_of_a_response() -> None:
    """There is no run, unless it has a name."""
    error = {"type": "error", "message": "m", "code": "c"}
    named = fed(error, dialect=lambda: ResponsesDialect(run_id="run_1"))

    assert not fed(error).runs
    assert (only_run(named)["id"], only_run(named)["status"]) == ("run_1", "failed")


@pytest.mark.parametrize("count", range(1, 9))
def test_a_response_that_another_stream_told_of(count: int) -> None:
    """Part of it, or all: told from its beginning, it is not appended to that."""
    call = [added(function_call(), 1), delta("function_call_arguments", "{}", 1, CALL)]
    whole = [*HELLO[:5], *call, *HELLO[5:7]]
    proc = fed(*whole[:count])
    other = StreamProcessor("responses", proc.reducer, stream="other")
    changes = other.feed(sse(*whole))

    assert texts_of(other) == ["Hello"]
    assert call_of(other)["function"]["arguments"] == "{}"
    assert "HelHel" not in str([change.state for change in changes])


@pytest.mark.parametrize("again", [[], [response("in_progress"), added(OPEN)]])
def test_a_response_that_another_stream_goes_on_with(again: list[Json]) -> None:
    """Another instance read its beginning, so what is known of it stays."""
    proc = fed(*HELLO[:4])
    other = StreamProcessor(ResponsesDialect(response_id=RESPONSE), proc.reducer, stream="other")
    other.feed(sse(*again, *HELLO[4:5]))

    assert texts_of(other) == ["Hello"]
