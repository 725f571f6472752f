"""The items of a response: how they are opened and end, and what sloppy servers make of that."""

from typing import Any

import pytest

from streamproc import StreamProcessor
from tests.response_streams import (
    CALL,
    MESSAGE,
    OPEN,
    Json,
    added,
    call_of,
    changed,
    delta,
    done,
    event,
    fed,
    function_call,
    message,
    only_step,
    refusal,
    response,
    sse,
    text,
    texts_of,
)

# --- opening ----------------------------------------------------------------------------------------------------------


def test_an_item_that_has_everything_already() -> None:
    """Text and arguments that come with it are its own; whole texts behind them are no news."""
    proc = fed(
        response(),
        added(message(text("Hi"), refusal("No"), status="in_progress")),
        added(function_call("{}"), 1),
        event("output_text.done", content_index=0, text="Hi"),
        event("refusal.done", content_index=1, refusal="No"),
        event("function_call_arguments.done", 1, arguments="{}"),
    )

    assert texts_of(proc) == ["Hi"]
    assert call_of(proc)["function"]["arguments"] == "{}"
    assert not proc.anomalies.keys() - {"truncated"}


def test_an_item_that_is_added_twice() -> None:
    """Under the same id, or another one made anew: it is the same."""
    proc = fed(response(), added(OPEN), added(OPEN), added(message(id="msg_fedcba9876543210", status="in_progress")))

    assert list(proc.steps) == [MESSAGE]


def test_an_item_without_itself() -> None:
    """What follows opens it."""
    proc = StreamProcessor("responses")
    first = proc.feed(sse(response(), {"type": "response.output_item.added", "output_index": 0}, done(None)))  # type: ignore[arg-type]
    proc.feed(sse(delta("output_text", "Hi", id=MESSAGE)))

    assert [change.event for change in first] == ["thread.run.created"]
    assert texts_of(proc) == ["Hi"]


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (delta("function_call_arguments", "{}", id=CALL), "function"),
        (delta("mcp_call_arguments", "{}", id=CALL), "mcp_call"),
        (delta("custom_tool_call_input", "{}", id=CALL), "custom"),
        (event("web_search_call.searching", id=CALL), "web_search_call"),
        (event("image_generation_call.partial_image", id=CALL, partial_image_b64="AAAA"), "image_generation_call"),
        (event("mcp_call.failed", id=CALL), "mcp_call"),
    ],
)
def test_an_event_of_an_item_that_was_not_added(payload: Json, kind: str) -> None:
    """It opens it."""
    proc = fed(response(), payload)

    assert call_of(proc)["type"] == kind
    assert not proc.anomalies.keys() - {"truncated"}


@pytest.mark.parametrize(
    "payload",
    [
        delta("output_text", "Hi", None),
        event("refusal.delta", None, delta="Hi"),
        event("output_text.annotation.added", None, annotation={}),
        event("web_search_call.searching", None),
        event("image_generation_call.partial_image", None, partial_image_b64="AAAA"),
        event("mcp_call.completed", None),
        event("reasoning_text.delta", None, delta="hm"),
        event("function_call_arguments.delta", -1, delta="{}"),
        event("function_call_arguments.delta", True, delta="{}"),
    ],
)
def test_an_event_of_no_item(payload: Json) -> None:
    """Neither an index nor an id says which one it is about."""
    proc = fed(response(), added(OPEN), payload)

    assert proc.anomalies == {"index_invalid": 1, "truncated": 1}
    assert texts_of(proc) == [""]


def test_items_without_an_index() -> None:
    """Their ids tell them apart."""
    place: dict[str, Any] = {"index": None}
    proc = fed(
        response(),
        {"type": "response.output_item.added", "item": OPEN},
        {"type": "response.output_item.added", "item": function_call()},
        delta("output_text", "Hi", id=MESSAGE, **place),
        delta("function_call_arguments", "{}", id=CALL, **place),
    )

    assert texts_of(proc) == ["Hi"]
    assert call_of(proc)["function"]["arguments"] == "{}"


def test_items_that_share_an_index() -> None:
    """Two calls at a time under index 0: the ids of their fragments tell them apart."""
    one: Json = function_call(id="fc_one_0123456789")
    two: Json = function_call(id="fc_two_0123456789", call_id="call_2")
    proc = fed(
        response(),
        added(one),
        delta("function_call_arguments", "[1", id=one["id"]),
        added(two),
        delta("function_call_arguments", "[2", id=two["id"]),
        delta("function_call_arguments", "]", id=one["id"]),
        delta("function_call_arguments", "]", id=two["id"]),
        done({**one, "arguments": "[1]"}),
        done({**two, "arguments": "[2]"}),
    )

    assert [call_of(proc, each["id"])["function"]["arguments"] for each in (one, two)] == ["[1]", "[2]"]
    assert not proc.anomalies.keys() - {"truncated"}


def test_an_index_that_is_always_zero() -> None:
    """One item after the other is done under it; one that is sent again is not news."""
    other = message(text("You"), id="msg_fedcba9876543210")
    proc = fed(
        response(),
        added(OPEN),
        done(message(text("Hi"))),
        done(message(text("Hi"))),
        done(function_call("{}")),
        done(other),
    )

    assert texts_of(proc) == ["Hi", "You"]
    assert len(proc.steps) == 3


def test_an_id_that_two_items_have() -> None:
    """The second one gets a number."""
    proc = fed(response(), done(message(text("Hi"))), done(message(text("You")), 1))

    assert list(proc.steps) == list(proc.messages) == [MESSAGE, f"{MESSAGE}#2"]


def test_ids_that_are_made_anew_for_each_event() -> None:
    """The index is what counts; the step has the first id."""
    ids = [f"msg_{number:020}" for number in range(5)]
    proc = fed(
        response(),
        added(message(id=ids[0], status="in_progress")),
        delta("output_text", "Hel", id=ids[1]),
        delta("output_text", "lo", id=ids[2]),
        done(message(text("Hello"), id=ids[3])),
        response("completed", message(text("Hello"), id=ids[4])),
    )

    assert (list(proc.steps), texts_of(proc)) == ([ids[0]], ["Hello"])
    assert not proc.anomalies


def test_a_call_id_that_changes() -> None:
    """The item that is done has the right one."""
    call: Json = {"id": "tsc_0123456789abcdef", "type": "tool_search_call", "execution": "client", "arguments": {}}
    proc = fed(response(), added({**call, "call_id": "a"}), done({**call, "call_id": "b", "arguments": {"q": 1}}))

    assert call_of(proc, call["id"])["id"] == "b"


def test_very_many_items() -> None:
    """There is a bound."""
    items = [added({"type": "x_thing"}, number) for number in range(10_001)]
    proc = fed(response(), *items, added(OPEN, 10_002), delta("output_text", "Hi", 10_003))

    assert proc.anomalies == {"unknown_type": 10_000, "limit": 3, "truncated": 1}


# --- calls ------------------------------------------------------------------------------------------------------------

SEARCH = {"id": "ws_0123456789abcdef", "type": "web_search_call"}
MCP = {"id": "mcp_0123456789abcdef", "type": "mcp_call", "name": "f", "arguments": "{}"}


def test_a_phase() -> None:
    """It is there until the step ends."""
    proc = StreamProcessor("responses")
    proc.feed(sse(response(), added(SEARCH), event("web_search_call.searching")))
    during = only_step(proc)["metadata"]
    proc.feed(sse(done({**SEARCH, "status": "completed", "action": {"type": "search"}})))

    assert during == {"phase": "searching"}
    assert (only_step(proc)["status"], "metadata" in only_step(proc)) == ("completed", False)


def test_a_partial_image() -> None:
    """Its length is there, and nothing of it."""
    image = {"id": "ig_0123456789abcdef", "type": "image_generation_call", "status": "in_progress"}
    seen = event("image_generation_call.partial_image", partial_image_index=0, partial_image_b64="AAAA")
    proc = fed(response(), added(image), seen, done({**image, "status": "generating", "result": "BBBBBB"}))

    assert only_step(proc)["status"] == "completed"
    assert only_step(proc)["extras"] == {"partial_image": {"index": 0, "length": 4}, "item": {"result": {"length": 6}}}


@pytest.mark.parametrize(
    ("payloads", "expected"),
    [
        ([done({**MCP, "status": "failed", "error": "boom"})], "failed"),
        ([done({**MCP, "error": "boom"})], "failed"),
        ([event("mcp_call.failed"), done(MCP)], "failed"),
        ([event("mcp_call.failed"), done({**MCP, "status": "completed"})], "completed"),
        ([done({**MCP, "status": "cancelled"})], "cancelled"),
        ([done({**MCP, "status": "calling"})], "completed"),
        ([event("mcp_call.failed"), response("completed")], "failed"),
        ([event("mcp_call.completed"), response("completed")], "completed"),
        ([event("mcp_call.completed")], "in_progress"),
        ([response("completed")], "in_progress"),
        ([response("completed", {**MCP, "status": "in_progress"})], "completed"),
        ([response("failed", {**MCP, "status": "in_progress"})], "in_progress"),
        ([response("failed", {**MCP, "status": "completed"})], "completed"),
        ([response("incomplete", MCP)], "failed"),
        ([done({**MCP, "status": "incomplete"}), response("completed")], "failed"),
        ([done({**MCP, "status": "incomplete"})], "in_progress"),
    ],
)
def test_how_a_call_of_the_server_ends(payloads: list[Json], expected: str) -> None:
    """By its item, else by what was announced, else not at all."""
    assert only_step(fed(response(), added({**MCP, "arguments": ""}), *payloads))["status"] == expected


def test_why_a_call_failed() -> None:
    """The item says so."""
    proc = fed(response(), done({**MCP, "status": "failed", "error": {"code": 404, "message": "gone"}}))

    assert only_step(proc)["last_error"] == {"code": "404", "message": "gone"}


def test_a_call_of_a_client_that_was_cancelled() -> None:
    """It waits for nothing."""
    assert only_step(fed(response(), done(function_call("{}", status="cancelled"))))["status"] == "cancelled"


def test_an_item_that_says_less_than_was_seen() -> None:
    """Arguments stay; whatever else it says counts."""
    proc = fed(
        response(),
        added(function_call()),
        delta("function_call_arguments", "{}"),
        done(function_call("", namespace="n")),
    )

    assert call_of(proc)["function"]["arguments"] == "{}"
    assert only_step(proc)["extras"] == {"item": {"namespace": "n"}}


def test_arguments_that_only_the_done_event_has() -> None:
    """They grow in one piece."""
    proc = StreamProcessor("responses")
    proc.feed(sse(response(), added(function_call())))
    (change,) = changed(proc, event("function_call_arguments.done", arguments="{}"))

    assert change.event == "thread.run.step.delta"
    assert call_of(proc)["function"]["arguments"] == "{}"


# --- outputs ----------------------------------------------------------------------------------------------------------


def output(kind: str = "function_call_output", **members: Any) -> Json:
    return {"id": "out_0123456789abcdef", "type": kind, "call_id": "call_1", "output": "42", **members}


def test_an_output_in_the_same_response() -> None:
    """The step ends with it, before or after the response."""
    call = function_call("{}")
    for payloads in (
        [done(call), done(output(), 1), response("completed")],
        [done(call), response("completed"), done(output(), 1)],
    ):
        proc = fed(response(), *payloads)

        assert only_step(proc)["status"] == "completed"
        assert call_of(proc)["function"]["output"] == "42"
        assert not proc.anomalies


def test_an_output_in_a_later_response() -> None:
    """It finds the step by the id of the call."""
    proc = fed(
        *(response(), done(function_call("{}")), response("completed")),
        *(response(id="resp_fedcba9876543210"), done(output()), response("completed", id="resp_fedcba9876543210")),
    )

    assert only_step(proc)["status"] == "completed"
    assert len(proc.runs) == 2


def test_an_output_that_failed() -> None:
    """So did the call."""
    patch = {"id": "apc_0123456789abcdef", "type": "apply_patch_call", "call_id": "call_1", "operation": {}}
    proc = fed(response(), done(patch), done(output("apply_patch_call_output", status="failed"), 1))

    assert (only_step(proc)["status"], only_step(proc)["last_error"]["code"]) == ("failed", "tool_error")


def test_an_output_of_a_call_that_ended() -> None:
    """The server ran it; its output comes as an item of its own."""
    shell = {"id": "sh_0123456789abcdef", "type": "shell_call", "call_id": "call_1", "status": "completed"}
    hosted = {**shell, "environment": {"type": "container_reference"}}
    proc = fed(response(), done(hosted), done(output("shell_call_output", output=[{"stdout": "a"}]), 1))

    assert call_of(proc, shell["id"])["function"]["output"] == '[{"stdout":"a"}]'
    assert not proc.anomalies.keys() - {"truncated"}


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        ({"id": "tsc_0123456789abcdef", "type": "tool_search_call", "call_id": None}, "tool_search_output"),
        ({"id": "prog_0123456789abcdef", "type": "program"}, "program_output"),
        ({"id": "lsh_0123456789abcdef", "type": "local_shell_call", "call_id": "call_7"}, "local_shell_call_output"),
    ],
)
def test_an_output_without_the_id_of_a_call(call: Json, kind: str) -> None:
    """It is that of the newest call of its kind."""
    proc = fed(response(), done(call), done(output(kind, call_id=None), 1))

    assert call_of(proc, call["id"])["function"]["output"] == "42"
    assert only_step(proc)["status"] == "completed"


def test_an_output_whose_own_id_is_that_of_the_call() -> None:
    """As local shells have it."""
    shell = {"id": "lsh_0123456789abcdef", "type": "local_shell_call"}
    proc = fed(response(), done(shell), done({**shell, "type": "local_shell_call_output", "output": "42"}, 1))

    assert call_of(proc, shell["id"])["function"]["output"] == "42"


def test_an_output_of_nothing() -> None:
    """No step waits for it."""
    proc = fed(response(), done(output()), done(output("tool_search_output", call_id=None), 1))

    assert proc.anomalies == {"late_event": 2, "truncated": 1}
