"""Run: its fields, what it waits for, and the members that come in more than one shape."""

import json
from typing import Any, get_args

import pytest
from msgspec import UNSET

from streamproc.model.run import (
    IncompleteDetails,
    RequiredAction,
    Run,
    RunStatus,
    SubmitTools,
    TruncationStrategy,
)
from streamproc.model.run_step import LastError, TokenDetails, Usage
from streamproc.model.tool_calls import (
    ComputerUseToolCall,
    Function,
    FunctionToolCall,
    McpToolCall,
    UnknownToolCall,
)
from streamproc.model.wire import from_wire, to_wire
from tests.unit.model.samples import RUN, RUN_APPROVAL, RUN_REQUIRES_ACTION, TOOL_CALLS


def test_statuses_are_those_of_the_protocol() -> None:
    """`requires_action` among them, and `incomplete`, which came later."""
    expected = {
        *("queued", "in_progress", "requires_action", "cancelling", "cancelled", "failed", "completed"),
        *("incomplete", "expired"),
    }

    assert expected == set(get_args(RunStatus))
    assert len(expected) == len(get_args(RunStatus))


def test_each_field_of_a_run() -> None:
    """The plain ones are read as they are, lists become tuples and objects structs."""
    run = from_wire(Run, RUN)
    structured = {"last_error", "incomplete_details", "usage", "truncation_strategy", "tools", "file_ids"}
    plain = RUN.keys() - structured

    assert {name: RUN[name] for name in plain} == {name: getattr(run, name) for name in plain}
    assert run.last_error == LastError(code="invalid_prompt", message="no")
    assert run.incomplete_details == IncompleteDetails(reason="max_completion_tokens")
    assert run.truncation_strategy == TruncationStrategy(type="last_messages", last_messages=10)
    assert (run.tools, run.file_ids) == (tuple(RUN["tools"]), ("file-a",))
    assert run.usage == Usage(
        completion_tokens=20,
        prompt_tokens=100,
        total_tokens=120,
        prompt_tokens_details=TokenDetails(cached_tokens=64, cache_write_tokens=16),
        completion_tokens_details=TokenDetails(reasoning_tokens=8),
    )


# --- required_action --------------------------------------------------------------------------------------------------


def test_run_that_waits_for_outputs() -> None:
    """The calls are the same structs as in steps."""
    action = from_wire(Run, RUN_REQUIRES_ACTION).required_action

    assert isinstance(action, RequiredAction)
    assert action.type == "submit_tool_outputs"
    assert action.submit_tool_approval is UNSET
    assert action.submit_tool_outputs == SubmitTools(
        tool_calls=(
            FunctionToolCall(id="call_1", function=Function(name="get_weather", arguments="{}")),
            ComputerUseToolCall(
                id="call_16", computer_use_preview=TOOL_CALLS["computer_use_preview"]["computer_use_preview"]
            ),
        )
    )


def test_run_that_waits_for_approval() -> None:
    """Azure asks before it calls an MCP server."""
    action = from_wire(Run, RUN_APPROVAL).required_action

    assert action == RequiredAction(
        type="submit_tool_approval",
        submit_tool_approval=SubmitTools(
            tool_calls=(McpToolCall(id="call_1", name="search_code", arguments="{}", server_label="github"),)
        ),
    )


def test_required_call_of_an_unknown_type() -> None:
    """A kind that cannot be required today is kept whole, as is one of no kind."""
    calls = [TOOL_CALLS["deep_research"], {"id": "call_2"}]
    tools = from_wire(SubmitTools, {"tool_calls": [*calls, "stray"]})

    assert isinstance(tools.tool_calls, tuple)
    assert [type(call) for call in tools.tool_calls] == [UnknownToolCall] * 3
    assert list(tools.tool_calls) == [*calls, {}]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("submit_tool_outputs", UNSET),
        (None, None),
        ({}, RequiredAction()),
        ({"type": "sign_here", "sign_here": {}}, RequiredAction(type="sign_here")),
        ({"type": "submit_tool_outputs", "submit_tool_outputs": []}, RequiredAction(type="submit_tool_outputs")),
        ({"submit_tool_outputs": {}}, RequiredAction(submit_tool_outputs=SubmitTools())),
        ({"submit_tool_outputs": {"tool_calls": "all"}}, RequiredAction(submit_tool_outputs=SubmitTools())),
        (
            {"submit_tool_outputs": {"tool_calls": None}},
            RequiredAction(submit_tool_outputs=SubmitTools(tool_calls=None)),
        ),
    ],
)
def test_odd_required_action(data: Any, expected: Any) -> None:
    """Another kind of action, or one without its payload, is still an action."""
    assert expected == from_wire(Run, {"required_action": data}).required_action


# --- one field, several shapes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tool_choice", "response_format"])
@pytest.mark.parametrize(
    "value",
    ["none", "auto", "required", "brand_new", {"type": "function", "function": {"name": "f"}}, {"type": "text"}, {}],
)
def test_text_or_object(name: str, value: object) -> None:
    """Both shapes are read, and written as they came."""
    run = from_wire(Run, {"id": "run_1", name: value})

    assert getattr(run, name) == value
    assert json.loads(to_wire(run)) == {"id": "run_1", name: value}


@pytest.mark.parametrize("name", ["tool_choice", "response_format"])
@pytest.mark.parametrize("misfit", [5, True, ["auto"]])
def test_neither_text_nor_object(name: str, misfit: object) -> None:
    """Anything else is left out."""
    assert getattr(from_wire(Run, {name: misfit}), name) is UNSET


@pytest.mark.parametrize("status", [*get_args(RunStatus), "paused", ""])
def test_status_takes_any_text(status: str) -> None:
    """Known or not, it is read as it came."""
    assert from_wire(Run, {"status": status}).status == status


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"type": "auto", "last_messages": None}, TruncationStrategy(type="auto", last_messages=None)),
        ({"type": "newest", "last_messages": "ten"}, TruncationStrategy(type="newest")),
    ],
)
def test_truncation_strategy(data: dict[str, Any], expected: TruncationStrategy) -> None:
    """Its type is open; a misfit costs one member."""
    assert expected == from_wire(Run, {"truncation_strategy": data}).truncation_strategy
