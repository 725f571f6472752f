"""The rules that all translated protocols share, without any of them."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from streamproc import Event, Reducer, to_wire
from streamproc.core.context import StreamContext
from streamproc.dialects.translation import Cut, Rules, Translation, canonical_usage, unique_id

CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}", "output": None}}


class Told:
    """A translation, and what its events make."""

    def __init__(self, rules: Rules | None = None) -> None:
        self.translation = Translation(rules or Rules(), run_id="run_1", thread_id="thread_1", assistant_id="asst_1")
        self.reducer = Reducer()
        self.context = StreamContext.named("s")

    def tell(self, *events: Event) -> list[str]:
        """The names of the changes."""
        return [change.event for event in events for change in self.reducer.apply(event, self.context)]

    def step(self, id: str = "step_1") -> Any:
        return json.loads(to_wire(self.reducer.steps[id]))

    def message(self, id: str = "msg_1") -> Any:
        return json.loads(to_wire(self.reducer.messages[id]))

    def run(self) -> Any:
        return json.loads(to_wire(self.reducer.runs["run_1"]))


def with_message(rules: Rules | None = None) -> Told:
    told = Told(rules)
    told.tell(told.translation.open_run("in_progress"), *told.translation.open_message("step_1", "msg_1"))
    return told


def with_call(rules: Rules | None = None) -> Told:
    told = Told(rules)
    told.tell(told.translation.open_run("in_progress"), *told.translation.open_tools("step_1", [CALL]))
    return told


# --- the run ----------------------------------------------------------------------------------------------------------


def test_a_run_from_its_beginning_to_its_end() -> None:
    """All members of the protocol are there, null where the wire does not say."""
    told = Told()
    names = told.tell(
        told.translation.open_run("queued", created_at=5),
        told.translation.run("in_progress"),
        told.translation.amend_run(usage={"total_tokens": 7}),
        told.translation.run("completed", completed_at=6),
    )
    run = told.run()

    assert names == [f"thread.run.{name}" for name in ("created", "in_progress", "in_progress", "completed")]
    assert run == {
        "id": "run_1",
        "object": "thread.run",
        "thread_id": "thread_1",
        "assistant_id": "asst_1",
        "status": "completed",
        "created_at": 5,
        "completed_at": 6,
        "usage": {"total_tokens": 7},
        "metadata": {},
        **dict.fromkeys(("started_at", "expires_at", "cancelled_at", "failed_at")),
        **dict.fromkeys(("required_action", "last_error", "incomplete_details", "model")),
    }


def test_a_run_that_is_known_goes_on() -> None:
    """What it has stays; what the wire says again counts."""
    told = Told()
    told.tell(told.translation.open_run("in_progress", usage={"total_tokens": 7}, model="m"))
    names = told.tell(told.translation.open_run("in_progress", model="n"))

    assert names == ["thread.run.created"]
    assert (told.run()["usage"], told.run()["model"]) == ({"total_tokens": 7}, "n")


# --- steps ------------------------------------------------------------------------------------------------------------


def test_a_message_and_its_step() -> None:
    """They appear and end together, the step around the message."""
    told = Told()
    opened = told.tell(*told.translation.open_message("step_1", "msg_1", note=1))
    closed = told.tell(*told.translation.close("step_1", content=[{"type": "text", "text": {"value": "Hi"}}]))

    assert opened == ["thread.run.step.created", "thread.message.created"]
    assert closed == ["thread.message.completed", "thread.run.step.completed"]
    assert told.step()["step_details"]["message_creation"] == {"message_id": "msg_1"}
    assert told.step()["extras"] == {"note": 1}
    assert told.message()["content"] == [{"type": "text", "text": {"value": "Hi"}}]


def test_a_step_that_fails() -> None:
    """Its message is incomplete."""
    told = with_message()
    told.tell(*told.translation.close("step_1", "failed", last_error={"code": "x", "message": ""}))

    assert (told.step()["status"], told.message()["status"]) == ("failed", "incomplete")
    assert told.message()["incomplete_details"] is None


def test_what_is_open() -> None:
    """In order of appearance, and only once."""
    told = with_message()
    translation = told.translation
    translation.open_tools("step_2", [CALL])

    assert translation.open_steps() == ["step_1", "step_2"]
    assert translation.is_open("step_1")
    assert len(translation.close("step_1")) == 2
    assert translation.close("step_1") == []
    assert translation.close("step_9") == []
    assert not translation.is_open("step_1")
    assert not translation.is_open("step_9")
    assert translation.open_steps() == ["step_2"]


def test_an_id_that_is_used_again() -> None:
    """It gets a number."""
    told = with_message()
    translation = told.translation
    translation.open_tools(second := translation.free_id("step_1"), [CALL])
    third = [translation.free_id("step_1") for _ in range(2)]
    translation.open_tools(third[0], [CALL])

    assert (second, third, translation.free_id("step_2")) == ("step_1#2", ["step_1#3"] * 2, "step_2")
    assert translation.free_id("step_1") == "step_1#4"


def test_a_run_of_very_many_steps() -> None:
    """The oldest are forgotten."""
    translation = Translation(Rules(), run_id="run_1")
    for number in range(10_001):
        translation.open_tools(f"step_{number}", [CALL])

    assert not translation.is_open("step_0")
    assert len(translation.open_steps()) == 10_000


# --- outputs and approvals --------------------------------------------------------------------------------------------


def test_a_call_waits_for_its_output() -> None:
    """Its step is in progress until then."""
    told = with_call()
    waiting = told.tell(*told.translation.await_outputs("step_1"))
    metadata = told.step()["metadata"]
    answered = told.tell(told.translation.answer("call_1", "42"))

    assert (waiting, metadata) == (["thread.run.step.in_progress"], {"awaiting": "output"})
    assert answered == ["thread.run.step.completed"]
    assert told.step()["metadata"] == {}


def test_a_call_that_does_not_wait() -> None:
    """If that is the rule, its arguments complete it."""
    told = with_call(Rules(tool_outputs="close"))

    assert told.tell(*told.translation.await_outputs("step_1")) == ["thread.run.step.completed"]


def test_an_output_that_is_no_success() -> None:
    """The step ends as it says."""
    told = with_call()
    told.tell(*told.translation.await_outputs("step_1"))
    told.tell(told.translation.answer("call_1", "boom", status="failed"))

    assert told.step()["status"] == "failed"
    assert told.step()["step_details"]["tool_calls"][0]["function"]["output"] == "boom"


def test_a_call_waits_for_an_approval() -> None:
    """The decision is its output, whatever the rule for outputs."""
    told = with_call(Rules(tool_outputs="close"))
    told.tell(*told.translation.await_approval("step_1", metadata={"a": "b"}))
    metadata = told.step()["metadata"]
    told.tell(told.translation.answer("call_1", '{"approve":true}'))

    assert metadata == {"a": "b", "awaiting": "approval"}
    assert told.step()["status"] == "completed"


# --- cuts -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("max_output_tokens", "completed"),
        ("length", "completed"),
        ("never heard of", "completed"),
        ("content_filter", "failed"),
        ("steered", "completed"),
    ],
)
def test_a_message_that_was_cut(reason: str, expected: str) -> None:
    """The message is incomplete in any case, and says why."""
    told = with_message()
    told.tell(*told.translation.cut("step_1", reason))
    error = None if expected == "completed" else {"code": reason, "message": f"the content was cut off: {reason}"}

    assert (told.step()["status"], told.step()["last_error"]) == (expected, error)
    assert told.step()["metadata"] == {"incomplete_reason": reason}
    assert (told.message()["status"], told.message()["incomplete_details"]) == ("incomplete", {"reason": reason})


@pytest.mark.parametrize(
    ("reason", "expected", "code"),
    [
        ("max_output_tokens", "failed", "incomplete_arguments"),
        ("content_filter", "failed", "content_filter"),
        ("steered", "completed", None),
    ],
)
def test_calls_that_were_cut(reason: str, expected: str, code: str | None) -> None:
    """Half of the arguments are no JSON."""
    told = with_call()
    told.tell(*told.translation.cut("step_1", reason))
    error = told.step()["last_error"]

    assert (told.step()["status"], error and error["code"]) == (expected, code)


def test_a_rule_of_ones_own() -> None:
    """The table can be replaced; an error that the wire gives stays."""
    told = with_message(Rules(cuts={"length": Cut("failed", "failed")}))
    told.tell(*told.translation.cut("step_1", "length", last_error={"code": "own", "message": ""}))

    assert told.step()["last_error"]["code"] == "own"


def test_a_cut_of_nothing() -> None:
    """There is no such step."""
    assert Translation(Rules(), run_id="run_1").cut("step_1", "length") == []


# --- reasoning and usage ----------------------------------------------------------------------------------------------


def test_reasoning_goes_to_the_next_step() -> None:
    """Once, and only so much of it."""
    told = Told()
    translation = told.translation
    for _ in range(10_001):
        translation.note_reasoning({"text": "hm"})
    told.tell(*translation.open_tools("step_1", [CALL]), *translation.open_tools("step_2", [CALL]))

    assert len(told.step()["extras"]["reasoning"]) == 10_000
    assert "extras" not in told.step("step_2")


@pytest.mark.parametrize("begun", [with_message, with_call])
def test_usage_of_the_only_step(begun: Callable[[], Told]) -> None:
    """It is the run's, so it can be told."""
    told = begun()
    told.tell(*told.translation.close("step_1"))
    told.tell(*told.translation.amend_usage({"total_tokens": 7}, is_exact=False))

    assert told.step()["usage"] == {"total_tokens": 7}
    assert not told.reducer.messages or told.message()["usage"] == {"total_tokens": 7}


def test_usage_of_the_only_step_that_waits() -> None:
    """It has not ended, and gets it all the same."""
    told = with_call()
    told.tell(*told.translation.await_outputs("step_1"))
    told.tell(*told.translation.amend_usage({"total_tokens": 7}, is_exact=False))

    assert (told.step()["usage"], told.step()["status"]) == ({"total_tokens": 7}, "in_progress")


@pytest.mark.parametrize(
    ("rules", "is_exact", "expected"),
    [
        (Rules(), False, None),
        (Rules(), True, {"total_tokens": 7}),
        (Rules(usage_on_last_step=True), False, {"total_tokens": 7}),
    ],
)
def test_usage_of_several_steps(rules: Rules, is_exact: bool, expected: Any) -> None:
    """It is that of all of them, unless the wire or the caller says otherwise."""
    told = with_message(rules)
    translation = told.translation
    told.tell(*translation.open_tools("step_2", [CALL]), *translation.close("step_1"), *translation.close("step_2"))
    told.tell(*translation.amend_usage({"total_tokens": 7}, is_exact=is_exact))

    assert (told.step()["usage"], told.step("step_2")["usage"]) == (None, expected)


def test_usage_without_a_step() -> None:
    """There is nothing to put it on."""
    assert Translation(Rules(), run_id="run_1").amend_usage({"total_tokens": 7}, is_exact=True) == []


@pytest.mark.parametrize(
    ("native", "expected"),
    [
        (None, None),
        ([], None),
        ({}, None),
        ({"total_tokens": 7}, None),
        ({"input_tokens": True, "output_tokens": -1, "prompt_tokens": "3"}, None),
        ({"input_tokens": 3}, {"prompt_tokens": 3, "total_tokens": 3}),
        ({"output_tokens": 4, "total_tokens": None}, {"completion_tokens": 4, "total_tokens": 4}),
        (
            {"input_tokens": 3, "output_tokens": 4, "total_tokens": 9},
            {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 9},
        ),
        (
            {"prompt_tokens": 3, "input_tokens": 5, "completion_tokens": 4, "total_tokens": 7, "cost": 0.1},
            {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7, "cost": 0.1},
        ),
        (
            {
                "input_tokens": 3,
                "input_tokens_details": {"cached_tokens": 1},
                "output_tokens": 4,
                "output_tokens_details": {"reasoning_tokens": 2},
                "total_tokens": 7,
            },
            {
                "prompt_tokens": 3,
                "prompt_tokens_details": {"cached_tokens": 1},
                "completion_tokens": 4,
                "completion_tokens_details": {"reasoning_tokens": 2},
                "total_tokens": 7,
            },
        ),
        ({"prompt_tokens": 3, "prompt_tokens_details": None}, {"prompt_tokens": 3, "total_tokens": 3}),
    ],
)
def test_canonical_usage(native: Any, expected: Any) -> None:
    """Either pair of names; a given total counts; what is not known stays."""
    assert canonical_usage(native) == expected


@pytest.mark.parametrize(
    ("native", "expected"),
    [
        ("msg_0123456789abcdef", "msg_0123456789abcdef"),
        ("msg_0", "run_1:message:0"),
        ("", "run_1:message:0"),
        (None, "run_1:message:0"),
        (7, "run_1:message:0"),
    ],
)
def test_unique_id(native: object, expected: str) -> None:
    """A short id may be that of another object, too."""
    assert unique_id(native, "run_1", "message", 0) == expected
