"""Steps, messages and runs in a few words."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc import Message, Run, RunStep, Usage
from streamproc.core.change import Note
from streamproc.display.describe import Part, excerpt, run_detail, status, step_parts, tokens
from streamproc.model.run_step import DETAILS
from streamproc.model.tool_calls import TOOL_CALLS
from streamproc.model.wire import from_wire


def parts(details: Any, **members: Any) -> list[Part]:
    step = from_wire(RunStep, {"id": "step_1", "type": "tool_calls", "step_details": details, **members})
    message = from_wire(Message, {"id": "msg_1", "content": [{"type": "text", "text": {"value": "Hello\nthere"}}]})
    return step_parts(step, {"msg_1": message})


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (
            {"type": "function", "function": {"name": "add", "arguments": '{"a":1}', "output": None}},
            Part("add", '{"a":1}'),
        ),
        (
            {"type": "function", "function": {"name": "add", "arguments": "{}", "output": "3"}},
            Part("add", "{}", "3"),
        ),
        (
            {"type": "mcp", "name": "find", "arguments": "{}", "output": "none"},
            Part("find", "{}", "none"),
        ),
        (
            {
                "type": "code_interpreter",
                "code_interpreter": {
                    "input": "1\n2",
                    "outputs": [
                        {"type": "logs", "logs": "2\n"},
                        {"type": "image", "image": {"file_id": "file_1"}},
                        {"type": "video"},
                        {"type": "logs"},
                    ],
                },
            },
            Part("code_interpreter", "1\n2", "2\n[image file_1]\n[video]"),
        ),
        ({"type": "code_interpreter", "code_interpreter": {"input": "1"}}, Part("code_interpreter", "1")),
        (
            {"type": "file_search", "file_search": {"results": [{"file_name": "a.txt"}, {"file_name": "b.txt"}]}},
            Part("file_search", "", "a.txt, b.txt"),
        ),
        ({"type": "file_search", "file_search": {"results": [{}, {}]}}, Part("file_search", "", "2 results")),
        ({"type": "file_search", "file_search": {}}, Part("file_search", "")),
        (
            {"type": "bing_grounding", "bing_grounding": {"q": "x"}},
            Part("bing_grounding", '{"q":"x"}'),
        ),
        ({"type": "teleport", "id": "call_1", "to": "Oslo"}, Part("teleport", '{"to":"Oslo"}')),
        ({"type": "function"}, Part("function", "")),
        (
            {"type": "mcp_call", "function": {"name": "look_up", "arguments": "{}", "output": "42"}},
            Part("look_up", "{}", "42"),
        ),
        ({"type": "mcp_call"}, Part("mcp_call", "")),
        ("no call at all", Part("", "")),
    ],
)
def test_tool_calls(call: Any, part: Part) -> None:
    """Each kind by its name, with what it was given and what came back."""
    assert parts({"type": "tool_calls", "tool_calls": [call]}) == [part]


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({"type": "message_creation", "message_creation": {"message_id": "msg_1"}}, [Part("message", "Hello\nthere")]),
        ({"type": "message_creation", "message_creation": {"message_id": "msg_2"}}, [Part("message", "")]),
        ({"type": "message_creation"}, [Part("tool_calls", "")]),
        (
            {"type": "activities", "activities": [{"type": "mcp_list_tools", "server_label": "docs"}]},
            [Part("mcp_list_tools", "docs")],
        ),
        ({"type": "thinking", "text": "..."}, [Part("thinking", "")]),
        ({"type": "tool_calls", "tool_calls": []}, [Part("tool_calls", "")]),
        (None, [Part("tool_calls", "")]),
    ],
)
def test_other_steps(details: Any, expected: list[Part]) -> None:
    """Whatever a step is, it has one part at least."""
    assert parts(details) == expected


@pytest.mark.parametrize(
    ("members", "detail"),
    [
        ({}, ""),
        ({"last_error": {"code": "server_error", "message": "Sorry."}}, "server_error: Sorry."),
        ({"last_error": {"message": "Sorry."}}, "Sorry."),
        (
            {
                "required_action": {
                    "type": "submit_tool_outputs",
                    "submit_tool_outputs": {
                        "tool_calls": [
                            {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                            {"id": "2", "type": "function", "function": {"name": "g", "arguments": "{}"}},
                        ]
                    },
                }
            },
            "waits for: f, g",
        ),
        (
            {"required_action": {"submit_tool_approval": {"tool_calls": [{"type": "mcp", "name": "find"}]}}},
            "waits for: find",
        ),
        ({"required_action": {"type": "other"}}, "waits for: other"),
        ({"incomplete_details": {"reason": "max_completion_tokens"}}, "max_completion_tokens"),
    ],
)
def test_run_detail(members: Any, detail: str) -> None:
    """Why a run is where it is."""
    assert run_detail(from_wire(Run, {"id": "run_1", **members})) == detail


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*TOOL_CALLS, *DETAILS, "type", "id", "outputs", "logs", "results"]), inner)
        | st.builds(lambda kind, payload: {"type": kind, kind: payload}, st.sampled_from([*TOOL_CALLS]), inner)
    ),
)


@pytest.mark.slow
@given(JSON, st.sampled_from([*DETAILS, "other"]))
def test_nothing_raises(value: Any, kind: str) -> None:
    """Whatever JSON a server sends in the place of details."""
    assert parts({"type": kind, kind: value})
    assert parts({"type": "tool_calls", "tool_calls": [value]})
    assert parts(value)
    run_detail(from_wire(Run, {"last_error": value, "required_action": {"submit_tool_outputs": value}}))
    run_detail(from_wire(Run, {"required_action": {"submit_tool_outputs": {"tool_calls": [value]}}}))


def test_status_shows_what_is_inferred_beside() -> None:
    """The server's word comes first."""
    assert status("completed", Note()) == "completed"
    assert status("in_progress", Note(inferred_status="expired")) == "in_progress\n(run expired)"
    assert status(None, Note(truncated=True)) == "\n(cut off)"


def test_tokens() -> None:
    """Only what the server counted."""
    assert tokens(Usage(total_tokens=7)) == "7"
    assert tokens(Usage()) == ""
    assert tokens(None) == ""


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("short", "short"),
        ("\n\none\n", "one"),
        ("1\n2\n3\n4\n5\n6\n7", "1\n2\n3\n4\n5\n6 ..."),
        ("x" * 321, "x" * 320 + " ..."),
        ("\x1b" * 600 + "behind", "behind"),
        ("\x1b" * 700, "..."),
        (None, ""),
    ],
)
def test_excerpt(value: object, shown: str) -> None:
    """A few lines at most, and nothing that acts on a terminal; what is left out is said."""
    assert excerpt(value).strip() == shown
