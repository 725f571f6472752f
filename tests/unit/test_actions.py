"""Required actions: what a run waits for, with its arguments parsed or the reason why they are not."""

from typing import Any

import pytest

from streamproc import Run
from streamproc.actions import RequiredAction, RequiredCall, required_action_of
from streamproc.model.wire import from_wire
from tests.streams import call


def action(*calls: Any, type: str = "submit_tool_outputs", status: str = "requires_action") -> RequiredAction | None:
    required = {"type": type, type: {"tool_calls": [*calls]}}
    return required_action_of(from_wire(Run, {"id": "run_1", "status": status, "required_action": required}))


def only(made: Any, **more: Any) -> RequiredCall:
    found = action(made, **more)
    assert found is not None
    (result,) = found.calls
    return result


def test_function_calls_with_their_arguments() -> None:
    """All calls of the run, in order."""
    found = action(call('{"city":"Pl"}', id="c0", name="weather"), call("[1]", id="c1", name="g"))

    assert found is not None
    assert (found.run.id, found.kind) == ("run_1", "outputs")
    assert found.calls == (
        RequiredCall(
            id="c0", type="function", name="weather", arguments={"city": "Pl"}, arguments_json='{"city":"Pl"}'
        ),
        RequiredCall(id="c1", type="function", name="g", arguments=[1], arguments_json="[1]"),
    )


def test_approvals_of_mcp_calls() -> None:
    """Azure: name and arguments stand on the call itself."""
    made = {"id": "m", "type": "mcp", "name": "search", "arguments": '{"q":1}', "server_label": "s"}
    found = action(made, type="submit_tool_approval")

    assert found is not None
    assert found.kind == "approvals"
    assert found.calls == (
        RequiredCall(id="m", type="mcp", name="search", arguments={"q": 1}, arguments_json='{"q":1}'),
    )


def test_use_of_a_computer() -> None:
    """There is no text to parse: the payload is what to do."""
    payload = {"action": {"type": "click", "x": 1}}
    found = only({"id": "c", "type": "computer_use_preview", "computer_use_preview": payload})

    assert (found.name, found.arguments, found.problem) == ("computer_use_preview", payload, None)


def test_a_type_that_nobody_knows() -> None:
    """Its payload is where its type says, its arguments may be an object."""
    found = only({"id": "x", "type": "x_tool", "x_tool": {"name": "f", "arguments": {"a": [1]}}})

    assert found == RequiredCall(id="x", type="x_tool", name="f", arguments={"a": [1]}, arguments_json='{"a":[1]}')


@pytest.mark.parametrize("text", ["", "  ", "\n"])
def test_no_arguments(text: str) -> None:
    """Models write nothing where `{}` is meant."""
    found = only(call(text, id="c", name="f"))

    assert (found.arguments, found.problem) == ({}, None)


@pytest.mark.parametrize("text", ['{"a": secret', "secret", "[" * 100_000, "\ud800secret", "1e999"], ids=len)
def test_arguments_that_are_no_json(text: str) -> None:
    """The call is there; what is wrong with it is told by size, not by content."""
    found = only(call(text, id="c", name="f"))

    assert (found.arguments, found.arguments_json) == (None, text)
    assert found.problem == f"the arguments are no JSON ({len(text)} characters)"


@pytest.mark.parametrize(
    ("made", "problem"),
    [
        (call("{}", name="f"), "a call without an id cannot be answered"),
        (call("{", id="c"), "a call without a name"),
        (call("{}", id="c", name=""), "a call without a name"),
        ({"id": "c", "type": "function"}, "a call without a name"),
        ({"id": 5, "type": 5}, "a call without an id cannot be answered"),
        ("odd", "a call without an id cannot be answered"),
    ],
)
def test_a_call_that_cannot_be_made(made: Any, problem: str) -> None:
    """It is not left out: all calls have to be answered."""
    assert only(made).problem == problem


@pytest.mark.parametrize(
    "members",
    [
        {"status": "in_progress", "required_action": {"submit_tool_outputs": {"tool_calls": [call("{}", id="c")]}}},
        {"status": "requires_action"},
        {"status": "requires_action", "required_action": None},
        {"status": "requires_action", "required_action": {"type": "x", "x": {}}},
        {"status": "requires_action", "required_action": {"submit_tool_outputs": None}},
        {"status": "requires_action", "required_action": {"submit_tool_outputs": {}}},
    ],
    ids=["a run that goes on", "nothing", "null", "an unknown type", "no calls", "no list of calls"],
)
def test_runs_that_require_nothing_that_could_be_answered(members: dict[str, Any]) -> None:
    """There is no action."""
    assert required_action_of(from_wire(Run, {"id": "run_1", **members})) is None


def test_an_action_of_a_stream() -> None:
    """As it comes in a change, with calls that are structs by then."""
    found = action({"id": "c", "type": "mcp", "name": "f", "arguments": "5"})

    assert found is not None
    assert found.calls[0].arguments == 5
