"""The independent reading itself, on streams small enough to be read by eye: it must not agree by reading nothing."""

import json
from typing import Any, Final

import pytest

from tests.conformance.readings import Call, Reading, Usage, read_chat, read_responses

Json = dict[str, Any]
RESPONSE: Final[Json] = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "output": []}
USAGE: Final[Json] = {
    **{"input_tokens": 5, "output_tokens": 3, "total_tokens": 8},
    **{"input_tokens_details": {"cached_tokens": 2}, "output_tokens_details": {"reasoning_tokens": 1}},
}
READ_USAGE: Final = (Usage(5, 3, 8, 2, 1),)


# --- builders ---------------------------------------------------------------------------------------------------------


def sse(*payloads: Json | str) -> bytes:
    texts = (payload if isinstance(payload, str) else json.dumps(payload) for payload in payloads)
    return "".join(f"data: {text}\n\n" for text in texts).encode()


def response(what: str, output: list[Json] | None = None, **members: Any) -> Json:
    status = "in_progress" if what == "created" else what
    return {"type": f"response.{what}", "response": {**RESPONSE, "status": status, "output": output or [], **members}}


def added(item: Json, index: int = 0) -> Json:
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def done(item: Json, index: int = 0) -> Json:
    return {"type": "response.output_item.done", "output_index": index, "item": item}


def delta(kind: str, text: str, index: int = 0) -> Json:
    place = {"item_id": "item_1", "output_index": index, "content_index": 0, "logprobs": []}
    return {"type": f"response.{kind}.delta", **place, "delta": text}


def message(*parts: Json) -> Json:
    return {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [*parts]}


def words(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": []}


def function_call(arguments: str) -> Json:
    named = {"id": "fc_1", "call_id": "call_1", "name": "look_up"}
    return {"type": "function_call", **named, "arguments": arguments, "status": "completed"}


def part_added(part: Json) -> Json:
    place = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
    return {"type": "response.content_part.added", **place, "part": part}


def chunk(*choices: Json, **members: Any) -> Json:
    return {"id": "chat_1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": choices} | members


def choice(index: int = 0, finish: str | None = None, **delta: Any) -> Json:
    return {"index": index, "delta": delta, "finish_reason": finish}


def piece(arguments: str, **members: Any) -> list[Json]:
    """One entry of `tool_calls`; with an `id` it is the first of its call."""
    named = {"name": "look_up", "arguments": arguments} if "id" in members else {"arguments": arguments}
    return [{**members, "function": named}]


CREATED: Final = response("created")
OPENING: Final = (CREATED, added(message()), part_added(words("")))
LOOK_UP: Final = Call("function_call", "look_up", "{}", "call_1")


def no_message(
    *calls: Call, by: Any = "accumulator", usage: Any = (), finish: Any = ("completed",), failure: str | None = None
) -> Reading:
    return Reading(by, (), (), calls, usage, finish, failure)


# --- Responses --------------------------------------------------------------------------------------------------------


def test_whole_response() -> None:
    """The final response is read where there is one; by the events, what streamed is the same."""
    output = [message(words("ab")), function_call('{"k":1}')]
    data = sse(
        *OPENING,
        delta("output_text", "a"),
        delta("output_text", "b"),
        done(output[0]),
        added(function_call(""), 1),
        delta("function_call_arguments", '{"k"', 1),
        delta("function_call_arguments", ":1}", 1),
        done(output[1], 1),
        response("completed", output, usage=USAGE),
    )
    call = Call("function_call", "look_up", '{"k":1}', "call_1")

    assert read_responses(data) == Reading("accumulator", ("ab",), ("",), (call,), READ_USAGE, ("completed",), None)
    assert read_responses(data, "events") == Reading("events", *_rest(read_responses(data)))


def _rest(reading: Reading) -> Any:
    return reading.texts, reading.refusals, reading.calls, reading.usage, reading.finish, reading.failure


@pytest.mark.parametrize("by", ["accumulator", "events"])
def test_response_cut_off(by: Any) -> None:
    """What was accumulated until then, the last status, and that no final response came."""
    data = sse(
        *OPENING, delta("output_text", "a"), added(function_call(""), 1), delta("function_call_arguments", "{", 1)
    )
    reading = read_responses(data, by)

    assert reading == Reading(
        by, ("a",), ("",), (Call("function_call", "look_up", "{", "call_1"),), (), ("in_progress",), reading.failure
    )
    assert (reading.failure or "").startswith("RuntimeError" if by == "accumulator" else "")
    assert (reading.failure is None) is (by == "events")


def test_incomplete_response() -> None:
    """Its usage and status are those of its terminal event."""
    cut = message(words("ab"))
    data = sse(*OPENING, delta("output_text", "a"), done(cut), response("incomplete", [cut], usage=USAGE))
    reading = read_responses(data)

    assert (reading.by, reading.texts, reading.usage, reading.finish) == (
        "accumulator",
        ("ab",),
        READ_USAGE,
        ("incomplete",),
    )


def test_stream_resumed_in_the_middle() -> None:
    """The accumulator wants `response.created` first; the events alone do not."""
    data = sse(done(function_call("{}")), response("completed", [function_call("{}")], usage=USAGE))
    reading = read_responses(data)

    assert reading == no_message(LOOK_UP, by="events", usage=READ_USAGE, failure=reading.failure)
    assert (reading.failure or "").startswith("RuntimeError")


def test_two_responses_in_one_stream() -> None:
    """The accumulator refuses the second; each has its own output indexes, usage and status."""
    one = [CREATED, done(function_call("{}")), response("completed", [function_call("{}")], usage=USAGE)]
    other = [{**event, "response": {**event["response"], "id": "resp_2"}} for event in one if "response" in event]
    reading = read_responses(sse(*one, other[0], one[1], other[1]))

    assert reading == no_message(
        LOOK_UP,
        LOOK_UP,
        by="events",
        usage=READ_USAGE * 2,
        finish=("completed", "completed"),
        failure=reading.failure,
    )
    assert (reading.failure or "").startswith("RuntimeError")


def test_item_without_any_done() -> None:
    """Deltas alone, without an item that they belong to, still count for the events."""
    data = sse(
        delta("output_text", "a"),
        delta("refusal", "no", 1),
        delta("custom_tool_call_input", "x", 2),
        delta("code_interpreter_call_code", "1", 3),
        delta("mcp_call_arguments", "{", 4),
        {"type": "response.output_text.done", "output_index": 0, "content_index": 0, "text": "ab"},
        {"type": "response.mcp_call_arguments.done", "output_index": 4, "arguments": "{}"},
    )
    reading = read_responses(data)

    assert (reading.by, reading.texts, reading.refusals) == ("events", ("ab", ""), ("", "no"))
    assert [(call.type, call.arguments) for call in reading.calls] == [
        ("custom_tool_call", "x"),
        ("code_interpreter_call", "1"),
        ("mcp_call", "{}"),
    ]


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"type": "custom_tool_call", "name": "f", "call_id": "c", "input": "raw"}, Call("", "f", "raw", "c")),
        ({"type": "tool_search_call", "call_id": "c", "arguments": {"q": [1]}}, Call("", "", '{"q":[1]}', "c")),
        (
            {"type": "apply_patch_call", "operation": {"type": "delete_file"}},
            Call("", "", '{"type":"delete_file"}', "i"),
        ),
        ({"type": "image_generation_call", "action": "generate", "result": "aGk="}, Call("", "", "", "i")),
        ({"type": "mcp_approval_request", "name": "f", "arguments": "{}"}, Call("", "f", "{}", "i")),
    ],
    ids=["custom tool", "data as arguments", "operation", "action that is text", "approval"],
)
def test_kinds_of_calls(members: Json, expected: Call) -> None:
    """Where a kind keeps its name, arguments and id; the type is the wire's."""
    item = {"id": "i", "status": "completed", **members}
    reading = read_responses(sse(CREATED, added(item), done(item), response("completed", [item])))

    assert reading == no_message(Call(item["type"], expected.name, expected.arguments, expected.id))


def test_other_items_are_no_calls() -> None:
    """Outputs, lists of tools and reasoning are left out."""
    items = [{"type": kind, "id": kind} for kind in ("function_call_output", "mcp_list_tools", "reasoning")]
    streamed = [done(item, index) for index, item in enumerate(items)]

    assert read_responses(sse(CREATED, *streamed, response("completed", items))) == no_message()


def test_error_frame_ends_a_response() -> None:
    """The package raises on it however the stream is read, so the accumulator's reading until then stays."""
    data = sse(CREATED, done(function_call("{}")), {"type": "error", "error": {"message": "boom"}}, response("failed"))
    reading = read_responses(data)

    assert reading == no_message(LOOK_UP, finish=("in_progress",), failure="APIError: boom")


def test_last_frame_without_blank_line() -> None:
    """The package drops it, which callers must know."""
    data = sse(CREATED, done(function_call("{}")), response("completed", [function_call("{}")]))

    assert read_responses(data).finish == ("completed",)
    assert read_responses(data[:-1]).finish == ("in_progress",)


# --- Chat Completions -------------------------------------------------------------------------------------------------


def test_whole_chat() -> None:
    """Texts and reasons one a choice, calls in order, the usage that comes after them."""
    counts = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
    details = {
        "prompt_tokens_details": {"cached_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 1},
    }
    data = sse(
        chunk(choice(role="assistant", content="")),
        chunk(choice(content="a"), choice(1, role="assistant", content="", refusal="no")),
        chunk(choice(content="b"), choice(1, refusal="pe")),
        chunk(choice(tool_calls=piece("", index=0, id="c0", type="function"))),
        chunk(choice(tool_calls=piece("{", index=0))),
        chunk(choice(tool_calls=piece("}", index=0))),
        chunk(choice(tool_calls=piece("[]", index=1, id="c1", type="function"))),
        chunk(choice(finish="tool_calls"), choice(1, finish="stop")),
        chunk(usage=counts | details),
        "[DONE]",
    )
    calls = (Call("function", "look_up", "{}", "c0"), Call("function", "look_up", "[]", "c1"))
    expected = Reading("accumulator", ("ab", ""), ("", "nope"), calls, READ_USAGE, ("tool_calls", "stop"), None)

    assert read_chat(data) == expected
    assert read_chat(data, "events") == Reading("events", *_rest(expected))


def test_chat_cut_off() -> None:
    """A choice without a reason is no failure for the package."""
    data = sse(chunk(choice(content="a")), chunk(choice(content="b")))

    assert read_chat(data) == Reading("accumulator", ("ab",), ("",), (), (), (None,), None)


def test_chat_at_its_length_limit() -> None:
    """The accumulator has all of it, and raises when asked for the result."""
    reading = read_chat(sse(chunk(choice(content="a")), chunk(choice(finish="length")), "[DONE]"))

    assert (reading.by, reading.texts, reading.finish) == ("accumulator", ("a",), ("length",))
    assert (reading.failure or "").startswith("LengthFinishReasonError")


def test_gap_in_the_indexes_of_tool_calls() -> None:
    """The accumulator raises; the chunks alone are read in the order of their calls."""
    data = sse(
        chunk(choice(content="a")),
        chunk(choice(tool_calls=piece("{", index=1, id="c1"))),
        chunk(choice(tool_calls=piece("}", index=1))),
        chunk(choice(finish="tool_calls")),
    )

    assert read_chat(data) == Reading(
        "events",
        *(("a",), ("",), (Call("function", "look_up", "{}", "c1"),), (), ("tool_calls",)),
        "IndexError: list index out of range",
    )


def test_tool_calls_without_index() -> None:
    """They are told apart by their ids."""
    data = sse(chunk(choice()), *[chunk(choice(tool_calls=piece("{}", id=id))) for id in ("a", "b")])
    reading = read_chat(data)

    assert (reading.by, [call.id for call in reading.calls]) == ("events", ["a", "b"])


def test_repeated_name_of_a_tool_call() -> None:
    """The accumulator doubles it, which is one of the differences to know; the chunks alone do not."""
    data = sse(*[chunk(choice(tool_calls=piece("x", index=0, id="c"))) for _ in range(2)])

    assert read_chat(data).calls == (Call("function", "look_uplook_up", "xx", "cc"),)
    assert read_chat(data, "events").calls == (Call("function", "look_up", "xx", "c"),)


def test_usage_before_the_last_chunk() -> None:
    """The accumulator loses it to a later chunk without one; the chunks alone keep the last."""
    data = sse(chunk(choice(content="a")), chunk(usage={"prompt_tokens": 1}), chunk())

    assert read_chat(data).usage == ()
    assert read_chat(data, "events").usage == (Usage(1, None, None, None, None),)


def test_error_frame_ends_a_chat() -> None:
    """As with responses, what came until then is there."""
    reading = read_chat(sse(chunk(choice(content="a")), {"error": {"message": "boom"}}, "[DONE]"))

    assert reading == Reading("accumulator", ("a",), ("",), (), (), (None,), "APIError: boom")


@pytest.mark.parametrize("data", [b"", b"data: [DONE]\n\n", b": hello\n\n"])
def test_nothing_at_all(data: bytes) -> None:
    """A stream without events has no final object, and that is a failure."""
    assert read_chat(data) == Reading("accumulator", (), (), (), (), (), "AssertionError")
    assert read_responses(data) == no_message(
        finish=(None,), failure="RuntimeError: Didn't receive a `response.completed` event."
    )
