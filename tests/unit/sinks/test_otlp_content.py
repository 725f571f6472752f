"""Texts in the JSON form of the conventions, and the messages that wait for their steps."""

import json
from typing import Any

import pytest

from streamproc.model.message import Message
from streamproc.model.run_step import RunStep, ToolCallsDetails
from streamproc.model.wire import from_wire
from streamproc.sinks._otlp_content import (
    Messages,
    arguments_and_result,
    definitions,
    instructions,
    output_messages,
    tool_name,
)


def message(id: str, *blocks: Any, **members: Any) -> Message:
    return from_wire(Message, {"id": id, "content": [*blocks], **members})


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": {"value": value}}


def test_each_kind_of_block() -> None:
    """One that is incomplete or unknown shows its type."""
    blocks = [
        text("hello"),
        {"type": "refusal", "refusal": "no"},
        {"type": "image_file", "image_file": {"file_id": "file_1"}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "text"},
        {"type": "hologram", "hologram": 1},
        {},
    ]
    out = json.loads(output_messages(message("msg_1", *blocks, role="assistant")))

    assert out == [
        {
            "role": "assistant",
            "parts": [
                {"type": "text", "content": "hello"},
                {"type": "refusal", "content": "no"},
                {"type": "file", "modality": "image", "file_id": "file_1"},
                {"type": "uri", "modality": "image", "uri": "https://example.com/a.png"},
                {"type": "text"},
                {"type": "hologram"},
                {"type": "unknown"},
            ],
        }
    ]


def test_why_a_message_is_incomplete() -> None:
    out = json.loads(output_messages(message("msg_1", role=None, incomplete_details={"reason": "max_tokens"})))

    assert out == [{"role": "assistant", "parts": [], "finish_reason": "max_tokens"}]


def test_instructions_and_tools() -> None:
    """What is not there, is empty, or is something else, has no value."""
    function = {"name": "add", "parameters": {"type": "object"}}
    tools = ({"type": "function", "function": function}, {"type": "file_search"})

    assert json.loads(instructions("Be brief.") or "") == [{"type": "text", "content": "Be brief."}]
    assert json.loads(definitions(tools) or "") == [{"type": "function", **function}, {"type": "file_search"}]
    assert [instructions(""), instructions(None), definitions(()), definitions(None)] == [None] * 4


@pytest.mark.parametrize(
    ("call", "name", "arguments", "result"),
    [
        ({"type": "function", "function": {"name": "f", "arguments": "{", "output": "o"}}, "f", "{", "o"),
        ({"type": "function", "function": {"name": "f", "arguments": "", "output": None}}, "f", "", None),
        ({"type": "function"}, None, None, None),
        ({"type": "mcp", "name": "m", "arguments": "{}", "output": "o"}, "m", "{}", "o"),
        (
            {
                "type": "code_interpreter",
                "code_interpreter": {"input": "1+1", "outputs": [{"type": "logs", "logs": "2"}]},
            },
            None,
            '{"input":"1+1"}',
            '[{"type":"logs","logs":"2"}]',
        ),
        ({"type": "code_interpreter", "code_interpreter": {"outputs": []}}, None, None, None),
        ({"type": "code_interpreter"}, None, None, None),
        ({"type": "file_search", "file_search": {"results": [{"file_id": "f"}]}}, None, None, '[{"file_id":"f"}]'),
        ({"type": "file_search"}, None, None, None),
        (
            {"type": "connected_agent", "connected_agent": {"name": "a", "arguments": {"x": 1}, "output": "o"}},
            "a",
            '{"x":1}',
            "o",
        ),
        ({"type": "deep_research", "deep_research": {"input": "i"}}, None, "i", None),
        ({"type": "computer_use_preview", "computer_use_preview": {"action": {"x": 1}}}, None, '{"x":1}', None),
        ({"type": "teleport", "teleport": {"name": "t", "input": 1}}, "t", "1", None),
        ({"type": "teleport", "teleport": "now"}, None, None, None),
        ({}, None, None, None),
    ],
)
def test_each_kind_of_call(call: dict[str, Any], name: str | None, arguments: str | None, result: str | None) -> None:
    details = from_wire(RunStep, {"id": "s", "step_details": {"type": "tool_calls", "tool_calls": [call]}}).step_details
    assert isinstance(details, ToolCallsDetails)
    assert isinstance(details.tool_calls, tuple)
    (made,) = details.tool_calls

    assert tool_name(made) == name
    assert arguments_and_result(made) == (arguments, result)


def test_messages_that_are_kept_are_bounded() -> None:
    """By number and by size; the oldest go, and a newer state takes the place of the older."""
    few = Messages(max_messages=2)
    for number in range(3):
        few.keep(message(f"msg_{number}", text(str(number))))
    few.keep(message("msg_1", text("again")))
    few.keep(message("msg_3", text("3")))
    small = Messages(max_chars=200)
    small.keep(message("msg_1", text("x" * 60)))
    small.keep(message("msg_2", text("x" * 60)))
    small.keep(message("msg_3", text("x" * 300)))

    assert [few.take(f"msg_{number}") is not None for number in range(4)] == [False, True, False, True]
    assert "again" in (few.take("msg_1") or "")
    assert len(few) == 2
    assert len(small) == 0
