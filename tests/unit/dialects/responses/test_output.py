"""The items of a response: how they are opened, grow and end, and what sloppy servers make of that."""

from typing import Any

import pytest

from streamproc import StreamProcessor
from tests.response_streams import (
    CALL,
    MESSAGE,
    Json,
    added,
    changed,
    delta,
    done,
    event,
    fed,
    function_call,
    message,
    refusal,
    response,
    sse,
    state,
    text,
)
from tests.streams import wire

OPEN = message(status="in_progress")


def only(proc: StreamProcessor) -> Json:
    (step,) = proc.steps.values()
    return state(step)


def call_of(proc: StreamProcessor, id: str = CALL) -> Json:
    (call,) = wire(proc.steps[id])["step_details"]["tool_calls"]
    return call  # type: ignore[no-any-return]


def texts(proc: StreamProcessor) -> list[str]:
    return [each.text for each in proc.messages.values()]


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

    assert texts(proc) == ["Hi"]
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
    assert texts(proc) == ["Hi"]


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
    assert texts(proc) == [""]


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

    assert texts(proc) == ["Hi"]
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

    assert texts(proc) == ["Hi", "You"]
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

    assert (list(proc.steps), texts(proc)) == ([ids[0]], ["Hello"])
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


# --- texts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payloads",
    [
        [event("output_text.done", content_index=0, text="Hi")],
        [event("content_part.done", content_index=0, part=text("Hi"))],
        [event("content_part.added", content_index=0, part=text("Hi"))],
        [delta("output_text", "", content_index=0), event("output_text.done", content_index=0, text="Hi")],
        [delta("output_text", "Hi"), event("output_text.done", content_index=0, text="Hi")],
        [delta("output_text", "Hi", content_index="0")],
        [done(message(text("Hi")))],
        [delta("output_text", "H"), delta("output_text", "i"), done(message())],
        [delta("output_text", "H"), delta("output_text", "i"), done(message(text()))],
    ],
)
def test_ways_to_say_a_text(payloads: list[Json]) -> None:
    """Whole texts count where no fragment was seen; an item that says nothing takes nothing away."""
    proc = fed(response(), added(OPEN), *payloads)

    assert texts(proc) == ["Hi"]
    assert not proc.anomalies.keys() - {"truncated"}


def test_done_says_another_text() -> None:
    """It is right; the difference is counted."""
    proc = fed(response(), added(OPEN), delta("output_text", "Hx"), done(message(text("Hi"))))

    assert texts(proc) == ["Hi"]
    assert proc.anomalies == {"divergence": 1, "truncated": 1}


@pytest.mark.parametrize(
    "payloads",
    [
        [delta("refusal", "N", content_index=1), delta("refusal", "o", content_index=1)],
        [event("refusal.done", content_index=1, refusal="No")],
        [event("content_part.added", content_index=1, part=refusal()), delta("refusal", "No", content_index=1)],
        [event("content_part.done", content_index=1, part=refusal("No"))],
        [delta("refusal", "No", content_index=1), event("refusal.done", content_index=1, refusal="No")],
    ],
)
def test_ways_to_refuse(payloads: list[Json]) -> None:
    """Beside a text."""
    proc = fed(response(), added(OPEN), delta("output_text", "Hm", content_index=0), *payloads)
    content = wire(proc.messages[MESSAGE])["content"]

    assert content == [
        {"type": "text", "text": {"value": "Hm", "annotations": []}},
        {"type": "refusal", "refusal": "No"},
    ]


def test_a_block_that_is_no_text() -> None:
    """It comes with the item."""
    proc = fed(
        response(), added(OPEN), event("content_part.added", part={"type": "x"}), event("content_part.added", part=5)
    )

    assert wire(proc.messages[MESSAGE])["content"] == []


def test_annotations() -> None:
    """They come one by one, and again with the item; an unknown one stays as it is."""
    notes: list[Json] = [{"type": "file_path", "file_id": "f", "index": 0}, {"type": "x"}]
    payloads = [
        event("output_text.annotation.added", content_index=0, annotation_index=at, annotation=note)
        for at, note in enumerate(notes)
    ]
    proc = StreamProcessor("responses")
    proc.feed(sse(response(), added(OPEN), delta("output_text", "Hi", content_index=0), *payloads))
    before = wire(proc.messages[MESSAGE])["content"]
    proc.feed(sse(done(message(text("Hi", *notes)))))

    assert before == wire(proc.messages[MESSAGE])["content"]
    assert [note["type"] for note in before[0]["text"]["annotations"]] == ["file_path", "x"]


def test_an_annotation_before_any_text() -> None:
    """It begins the block; without an index it goes to the end."""
    proc = fed(response(), added(OPEN), event("output_text.annotation.added", annotation={"type": "x"}))

    assert wire(proc.messages[MESSAGE])["content"][0]["text"] == {"value": "", "annotations": [{"type": "x"}]}


@pytest.mark.parametrize(
    "payload",
    [
        event("output_text.delta", 1, delta="Hi"),
        event("function_call_arguments.delta", 0, delta="Hi"),
        event("mcp_call_arguments.done", 2, arguments="Hi"),
        event("function_call_arguments.delta", 3, delta="Hi"),
    ],
)
def test_a_fragment_of_a_text_that_is_not_there(payload: Json) -> None:
    """A call has no words, a message no arguments, a file search neither."""
    search = {"id": "fs_0123456789abcdef", "type": "file_search_call", "status": "in_progress"}
    proc = fed(
        response(), added(OPEN), added(function_call(), 1), added(search, 2), added({"type": "reasoning"}, 3), payload
    )

    assert proc.anomalies == {"type_conflict": 1, "truncated": 1}


@pytest.mark.parametrize(
    "payload",
    [
        event("refusal.delta", 1, delta="Hi"),
        event("output_text.annotation.added", 1, annotation={}),
        event("web_search_call.searching", 0),
        event("image_generation_call.partial_image", 0, partial_image_b64="AAAA"),
        event("reasoning_text.delta", 0, delta="hm"),
        event("output_text.delta", 0),
        event("output_text.delta", 0, delta=5),
        event("refusal.delta", 0),
        event("output_text.annotation.added", 0),
        event("content_part.added", 0),
        event("image_generation_call.partial_image", 1),
    ],
)
def test_what_does_not_fit_its_item(payload: Json) -> None:
    """It changes nothing, like what lacks what it is about."""
    proc = StreamProcessor("responses")
    proc.feed(sse(response(), added(OPEN), added(function_call(), 1)))

    assert changed(proc, payload) == []


@pytest.mark.parametrize(
    "payload",
    [delta("output_text", "!", content_index=0), delta("output_text", "!", content_index=1), delta("refusal", "No")],
)
def test_a_fragment_of_what_is_done(payload: Json) -> None:
    """It comes too late."""
    proc = fed(response(), added(OPEN), delta("output_text", "Hi", content_index=0), done(message(text("Hi"))), payload)

    assert texts(proc) == ["Hi"]
    assert proc.anomalies == {"late_event": 1, "truncated": 1}


@pytest.mark.parametrize(
    "payload",
    [
        event("output_text.done", content_index=0, text="Hi"),
        event("content_part.done", content_index=1, part=text("Hi")),
        event("refusal.done", content_index=1, refusal="No"),
        event("output_text.annotation.added", annotation={"type": "x"}),
        event("web_search_call.searching", 1),
        event("image_generation_call.partial_image", 1, partial_image_b64="AAAA"),
        event("reasoning_text.done", 2, text="hm"),
        done(message(text("other"))),
    ],
)
def test_what_is_said_again_of_what_is_done(payload: Json) -> None:
    """Nothing happens."""
    proc = StreamProcessor("responses")
    thought = {"id": "rs_0123456789abcdef", "type": "reasoning"}
    search = {"id": "ws_0123456789abcdef", "type": "web_search_call"}
    proc.feed(sse(response(), done(message(text("Hi"))), done(search, 1), done(thought, 2)))

    assert changed(proc, payload) == []


def test_a_block_far_away() -> None:
    """No message has so many."""
    proc = fed(response(), added(OPEN), delta("output_text", "Hi", content_index=2**70))

    assert proc.anomalies == {"index_gap": 2, "truncated": 1}


def test_many_texts_at_a_time() -> None:
    """More than are read fast; all of them grow."""
    payloads = [delta("output_text", "Hi", content_index=number) for number in range(300)]
    proc = fed(response(), added(OPEN), *payloads, *payloads)

    assert texts(proc) == ["HiHi" * 300]
    assert not proc.anomalies.keys() - {"truncated"}


# --- reasoning and items without a step -------------------------------------------------------------------------------


def reasoning_of(proc: StreamProcessor) -> list[Json]:
    found: list[Json] = only(proc)["extras"]["reasoning"]
    return found


def test_reasoning_goes_to_the_next_step() -> None:
    """As the item has it, encrypted and all."""
    item = {
        "id": "rs_1",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "hm"}],
        "encrypted_content": "x",
    }
    proc = fed(response(), added({"id": "rs_1", "type": "reasoning", "summary": []}), done(item), done(message(), 1))

    assert reasoning_of(proc) == [item]


@pytest.mark.parametrize(
    ("payloads", "expected"),
    [
        (
            [
                event("reasoning_summary_text.delta", summary_index=0, delta="h"),
                event("reasoning_summary_text.delta", summary_index=0, delta="m"),
                event("reasoning_text.done", content_index=0, text="well"),
            ],
            {
                "content": [{"type": "reasoning_text", "text": "well"}],
                "summary": [{"type": "summary_text", "text": "hm"}],
            },
        ),
        (
            [
                event("reasoning_summary_text.delta", summary_index=0, delta="h"),
                event("reasoning_summary_part.done", summary_index=0, part={"type": "summary_text", "text": "hm"}),
            ],
            {"summary": [{"type": "summary_text", "text": "hm"}]},
        ),
        (
            [event("reasoning_text.delta", delta=5), event("reasoning_text.delta", delta="hm", content_index=None)],
            {
                "content": [{"type": "reasoning_text", "text": "hm"}],
            },
        ),
    ],
)
def test_reasoning_that_is_never_done(payloads: list[Json], expected: Json) -> None:
    """What was said of it goes with what follows; the item adds what only it has."""
    thought = {"id": "rs_1", "type": "reasoning"}
    proc = fed(response(), added(thought), *payloads, added(OPEN, 1))
    late = fed(response(), added(thought), *payloads, added(OPEN, 1), done({**thought, "encrypted_content": "x"}))
    plain = fed(response(), added(thought), *payloads, added(OPEN, 1), done({**thought, **expected}))

    assert reasoning_of(proc) == [{**thought, **expected}]
    assert state(next(iter(late.runs.values())))["extras"]["reasoning"] == [{**thought, "encrypted_content": "x"}]
    assert "extras" not in state(next(iter(plain.runs.values())))


def test_reasoning_whose_item_says_less() -> None:
    """The fragments count."""
    proc = fed(
        response(),
        event("reasoning_text.delta", id="rs_1", delta="hm"),
        done({"id": "rs_1", "type": "reasoning"}),
        done(message(), 1),
    )

    assert reasoning_of(proc)[0]["content"] == [{"type": "reasoning_text", "text": "hm"}]


def test_reasoning_without_end() -> None:
    """There are bounds, of characters and of parts."""
    long = [event("reasoning_text.delta", delta="x" * 300_000) for _ in range(4)]
    whole = [event("reasoning_text.done", text="y" * 1_000_000), event("reasoning_text.done", text="z" * 2_000_000)]
    many = [event("reasoning_text.delta", 1, content_index=number, delta="a") for number in range(1_001)]
    proc = fed(response(), *long, added(OPEN, 2))
    replaced = fed(response(), *long, *whole, added(OPEN, 2))
    parts = fed(response(), *many, added(OPEN, 2))

    assert len(reasoning_of(proc)[0]["content"][0]["text"]) == 900_000
    assert reasoning_of(replaced)[0]["content"][0]["text"] == "y" * 1_000_000
    assert len(reasoning_of(parts)[0]["content"]) == 1_000


def test_items_without_a_step() -> None:
    """They are the run's, without their images; of unknown ones it is said."""
    tools = {"id": "mcpl_1", "type": "mcp_list_tools", "server_label": "s", "tools": []}
    thing = {"id": "x_1", "type": "x_thing", "b64_json": "AAAA"}
    proc = fed(response(), done(tools), done(thing, 1), response("completed", tools, thing))
    (run,) = map(state, proc.runs.values())

    assert run["extras"]["items"] == [tools, {**thing, "b64_json": {"length": 4}}]
    assert proc.anomalies == {"unknown_type": 1}


def test_very_many_items_without_a_step() -> None:
    """There is a bound."""
    proc = fed(response(), *(done({"type": "compaction"}, number) for number in range(1_001)), response("completed"))

    assert len(state(next(iter(proc.runs.values())))["extras"]["items"]) == 1_000


# --- calls ------------------------------------------------------------------------------------------------------------

SEARCH = {"id": "ws_0123456789abcdef", "type": "web_search_call"}
MCP = {"id": "mcp_0123456789abcdef", "type": "mcp_call", "name": "f", "arguments": "{}"}


def test_a_phase() -> None:
    """It is there until the step ends."""
    proc = StreamProcessor("responses")
    proc.feed(sse(response(), added(SEARCH), event("web_search_call.searching")))
    during = only(proc)["metadata"]
    proc.feed(sse(done({**SEARCH, "status": "completed", "action": {"type": "search"}})))

    assert during == {"phase": "searching"}
    assert (only(proc)["status"], "metadata" in only(proc)) == ("completed", False)


def test_a_partial_image() -> None:
    """Its length is there, and nothing of it."""
    image = {"id": "ig_0123456789abcdef", "type": "image_generation_call", "status": "in_progress"}
    seen = event("image_generation_call.partial_image", partial_image_index=0, partial_image_b64="AAAA")
    proc = fed(response(), added(image), seen, done({**image, "status": "generating", "result": "BBBBBB"}))

    assert only(proc)["status"] == "completed"
    assert only(proc)["extras"] == {"partial_image": {"index": 0, "length": 4}, "item": {"result": {"length": 6}}}


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
    assert only(fed(response(), added({**MCP, "arguments": ""}), *payloads))["status"] == expected


def test_why_a_call_failed() -> None:
    """The item says so."""
    proc = fed(response(), done({**MCP, "status": "failed", "error": {"code": 404, "message": "gone"}}))

    assert only(proc)["last_error"] == {"code": "404", "message": "gone"}


def test_a_call_of_a_client_that_was_cancelled() -> None:
    """It waits for nothing."""
    assert only(fed(response(), done(function_call("{}", status="cancelled"))))["status"] == "cancelled"


def test_an_item_that_says_less_than_was_seen() -> None:
    """Arguments stay; whatever else it says counts."""
    proc = fed(
        response(),
        added(function_call()),
        delta("function_call_arguments", "{}"),
        done(function_call("", namespace="n")),
    )

    assert call_of(proc)["function"]["arguments"] == "{}"
    assert only(proc)["extras"] == {"item": {"namespace": "n"}}


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

        assert only(proc)["status"] == "completed"
        assert call_of(proc)["function"]["output"] == "42"
        assert not proc.anomalies


def test_an_output_in_a_later_response() -> None:
    """It finds the step by the id of the call."""
    proc = fed(
        *(response(), done(function_call("{}")), response("completed")),
        *(response(id="resp_fedcba9876543210"), done(output()), response("completed", id="resp_fedcba9876543210")),
    )

    assert only(proc)["status"] == "completed"
    assert len(proc.runs) == 2


def test_an_output_that_failed() -> None:
    """So did the call."""
    patch = {"id": "apc_0123456789abcdef", "type": "apply_patch_call", "call_id": "call_1", "operation": {}}
    proc = fed(response(), done(patch), done(output("apply_patch_call_output", status="failed"), 1))

    assert (only(proc)["status"], only(proc)["last_error"]["code"]) == ("failed", "tool_error")


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
    assert only(proc)["status"] == "completed"


def test_an_output_whose_own_id_is_that_of_the_call() -> None:
    """As local shells have it."""
    shell = {"id": "lsh_0123456789abcdef", "type": "local_shell_call"}
    proc = fed(response(), done(shell), done({**shell, "type": "local_shell_call_output", "output": "42"}, 1))

    assert call_of(proc, shell["id"])["function"]["output"] == "42"


def test_an_output_of_nothing() -> None:
    """No step waits for it."""
    proc = fed(response(), done(output()), done(output("tool_search_output", call_id=None), 1))

    assert proc.anomalies == {"late_event": 2, "truncated": 1}


# --- the complete output ----------------------------------------------------------------------------------------------


def test_an_output_that_is_longer_and_in_another_order() -> None:
    """Items are found again by id; those that were not seen are opened and ended."""
    other = message(text("You"), id="msg_fedcba9876543210")
    last = response("completed", other, function_call("{}"), message(text("Hi")))
    proc = fed(response(), added(OPEN), delta("output_text", "Hi"), added(function_call(), 1), last)

    assert list(proc.steps) == [MESSAGE, CALL, other["id"]]
    assert texts(proc) == ["Hi", "You"]
    assert call_of(proc)["function"]["arguments"] == "{}"
    assert not proc.anomalies


def test_an_output_with_other_ids() -> None:
    """Items are found again by the id of the call, else at their index."""
    items = [message(text("Hi"), id="msg_x_0123456789"), function_call("{}", id="fc_x_0123456789")]
    proc = fed(
        response(),
        added(OPEN),
        added({"type": "reasoning"}, 1),
        added(function_call(), 2),
        response("completed", *items),
    )

    assert [step.status for step in proc.steps.values()] == ["completed", "in_progress"]
    assert texts(proc) == ["Hi"]


def test_an_output_that_was_not_streamed() -> None:
    """Caches send no more than the end."""
    proc = fed(response("completed", message(text("Hi")), function_call("{}"), "stray"))  # type: ignore[arg-type]

    assert texts(proc) == ["Hi"]
    assert [step.status for step in proc.steps.values()] == ["completed", "in_progress"]


@pytest.mark.parametrize("items", [None, 5, {}, ["stray", 5]])
def test_an_output_that_is_none(items: Any) -> None:
    """Nothing is opened, and what is open stays so."""
    proc = fed(response(), added(OPEN), {"type": "response.completed", "response": {"output": items}})

    assert only(proc)["status"] == "in_progress"


def test_an_output_that_is_in_the_way() -> None:
    """An item that was not seen has an index that another one has."""
    proc = fed(response(), done(function_call("{}")), response("completed", message(text("Hi"), id=None)))

    assert list(proc.steps) == [CALL, "resp_0123456789abcdef:message:1"]
