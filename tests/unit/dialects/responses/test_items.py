"""Items: the tool call of each type, and what of an item is kept where."""

from typing import Any

import pytest

from streamproc.dialects.responses.items import (
    argument_text,
    awaits,
    call_id,
    category,
    error_of,
    output_text,
    rest,
    text_path,
    tool_call,
)

IMAGE = "data:image/png;base64,AAAA"


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({}, "unknown"),
        ({"type": 7}, "unknown"),
        ({"type": "search_results"}, "unknown"),
        ({"type": "message"}, "message"),
        ({"type": "message", "role": "assistant"}, "message"),
        ({"type": "message", "role": "user"}, "aside"),
        ({"type": "program"}, "tools"),
        ({"type": "x_call"}, "tools"),
        ({"type": "x_output"}, "output"),
        ({"type": "compaction"}, "aside"),
    ],
)
def test_category(item: dict[str, Any], expected: str) -> None:
    """By the type; of unknown ones, by its end."""
    assert category(item) == expected


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"type": "function_call"}, "output"),
        ({"type": "web_search_call"}, ""),
        ({"type": "x_call"}, ""),
        ({"type": "shell_call"}, "output"),
        ({"type": "shell_call", "environment": {"type": "local"}}, "output"),
        ({"type": "shell_call", "environment": {"type": "container_reference"}}, ""),
        ({"type": "tool_search_call", "execution": "client"}, "output"),
        ({"type": "tool_search_call", "execution": "server"}, ""),
        ({"type": "mcp_approval_request"}, "approval"),
    ],
)
def test_awaits(item: dict[str, Any], expected: str) -> None:
    """What the client runs, and where the shell is."""
    assert awaits(item) == expected


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"type": "function_call", "call_id": "c", "id": "i"}, "c"),
        ({"type": "function_call", "call_id": "", "id": "i"}, ""),
        ({"type": "tool_search_call", "call_id": None}, ""),
        ({"type": "mcp_approval_response", "approval_request_id": "r", "call_id": "c"}, "r"),
    ],
)
def test_call_id(item: dict[str, Any], expected: str) -> None:
    """An approval names the request."""
    assert call_id(item) == expected


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (
            {"type": "function_call", "name": "f", "arguments": "{}"},
            {"type": "function", "function": {"name": "f", "arguments": "{}", "output": None}},
        ),
        ({"type": "function_call"}, {"type": "function", "function": {"name": "", "arguments": "", "output": None}}),
        (
            {"type": "custom_tool_call", "name": "sql", "input": "SELECT 1"},
            {"type": "custom", "function": {"name": "sql", "arguments": "SELECT 1", "output": None}},
        ),
        (
            {"type": "mcp_call", "name": "f", "arguments": "{}", "output": "out", "server_label": "s"},
            {"type": "mcp_call", "function": {"name": "f", "arguments": "{}", "output": "out"}},
        ),
        (
            {"type": "web_search_call", "action": {"type": "search", "query": "é"}},
            {
                "type": "web_search_call",
                "function": {
                    "name": "web_search_call",
                    "arguments": '{"type":"search","query":"é"}',
                    "output": None,
                },
            },
        ),
        (
            {
                "type": "code_interpreter_call",
                "code": "1",
                "outputs": [{"type": "logs", "logs": "1"}, {"type": "image", "url": IMAGE}, "stray"],
            },
            {
                "type": "code_interpreter",
                "code_interpreter": {
                    "input": "1",
                    "outputs": [
                        {"type": "logs", "logs": "1"},
                        {"type": "image", "image": {"url": {"type": "image/png", "length": 4}}},
                    ],
                },
            },
        ),
        (
            {"type": "code_interpreter_call", "code": None, "outputs": None},
            {"type": "code_interpreter", "code_interpreter": {"input": "", "outputs": []}},
        ),
        (
            {
                "type": "file_search_call",
                "queries": ["q"],
                "results": [{"file_id": "f", "filename": "n", "score": 0.5, "text": "t"}, {"file_id": "g"}],
            },
            {
                "type": "file_search",
                "file_search": {
                    "results": [
                        {
                            "file_id": "f",
                            "file_name": "n",
                            "score": 0.5,
                            "content": [{"type": "text", "text": "t"}],
                        },
                        {"file_id": "g"},
                    ]
                },
            },
        ),
    ],
)
def test_tool_call(item: dict[str, Any], expected: dict[str, Any]) -> None:
    """Three in the form that the protocol has for them, the others as generic calls."""
    assert tool_call(item, "call_1") == {"id": "call_1", **expected}


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"arguments": "{}", "action": {}}, "{}"),
        ({"arguments": {"a": 1}}, '{"a":1}'),
        ({"arguments": []}, "[]"),
        ({"arguments": {}, "status": "in_progress"}, "{}"),
        ({"code": "1", "input": None}, "1"),
        ({"actions": [{"type": "wait"}], "action": None}, '[{"type":"wait"}]'),
        ({"operation": {"type": "delete_file"}}, '{"type":"delete_file"}'),
        ({"arguments": 7}, ""),
    ],
)
def test_argument_text(item: dict[str, Any], expected: str) -> None:
    """Text as it is, data as compact JSON."""
    assert argument_text(item) == expected


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"output": "out"}, "out"),
        ({"output": None}, ""),
        ({"output": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}]}, "ab"),
        (
            {"output": [{"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": IMAGE}]},
            '[{"type":"input_text","text":"a"},{"type":"input_image","image_url":{"type":"image/png","length":4}}]',
        ),
        ({"output": []}, "[]"),
        (
            {"output": [{"stdout": "a", "stderr": "", "outcome": {"type": "exit"}}]},
            '[{"stdout":"a","stderr":"","outcome":{"type":"exit"}}]',
        ),
        ({"result": "out"}, "out"),
        ({"tools": [{"type": "function", "name": "f"}]}, '[{"type":"function","name":"f"}]'),
        ({"type": "mcp_approval_response", "approve": False, "reason": "no"}, '{"approve":false,"reason":"no"}'),
        ({"type": "mcp_approval_response", "approve": True, "reason": None}, '{"approve":true}'),
    ],
)
def test_output_text(item: dict[str, Any], expected: str) -> None:
    """Text as it is, lists of texts joined, data as compact JSON without its images."""
    assert output_text(item) == expected


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (None, "tool_error", ""),
        ("boom", "tool_error", "boom"),
        ({"code": 404, "message": "gone"}, "404", "gone"),
        (
            {"type": "mcp_tool_execution_error", "content": [{"text": "x"}]},
            "mcp_tool_execution_error",
            '[{"text":"x"}]',
        ),
        ({}, "tool_error", ""),
    ],
)
def test_error_of(error: Any, code: str, message: str) -> None:
    """Text, or an object of several forms."""
    assert error_of({"error": error}) == {"code": code, "message": message}


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ({"id": "i", "type": "message", "status": "completed", "role": "assistant", "content": []}, {}),
        ({"id": "j", "type": "message", "phase": "commentary", "x": None}, {"id": "j", "phase": "commentary"}),
        ({"id": "i", "type": "mcp_call", "arguments": "{}", "action": {"a": 1}}, {"action": {"a": 1}}),
        (
            {"id": "i", "type": "image_generation_call", "result": "AAAA", "size": "1x1"},
            {"result": {"length": 4}, "size": "1x1"},
        ),
        ({"id": "i", "type": "image_generation_call", "result": None}, {}),
        ({"id": "i", "type": "function_call", "agent": {"agent_name": "/root"}}, {"agent": {"agent_name": "/root"}}),
    ],
)
def test_rest(item: dict[str, Any], expected: dict[str, Any]) -> None:
    """What is nowhere else; of an image its length."""
    assert rest(item, "i") == expected


def test_text_path() -> None:
    """The text of a call that grows, if it has one."""
    paths = [text_path(kind) for kind in ("function_call", "code_interpreter_call", "mcp_call", "file_search_call")]

    assert paths == [
        ("function", "function", "arguments"),
        ("code_interpreter", "code_interpreter", "input"),
        ("mcp_call", "function", "arguments"),
        None,
    ]
