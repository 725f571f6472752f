"""Which item is which, where a complete output says it in another way."""

from typing import Any

import pytest

from tests.response_streams import (
    CALL,
    MESSAGE,
    OPEN,
    added,
    call_of,
    delta,
    done,
    fed,
    function_call,
    message,
    only_step,
    response,
    text,
    texts_of,
)
from tests.streams import wire

# --- the complete output ----------------------------------------------------------------------------------------------


def test_an_output_that_is_longer_and_in_another_order() -> None:
    """Items are found again by id; those that were not seen are opened and ended."""
    other = message(text("You"), id="msg_fedcba9876543210")
    last = response("completed", other, function_call("{}"), message(text("Hi")))
    proc = fed(response(), added(OPEN), delta("output_text", "Hi"), added(function_call(), 1), last)

    assert list(proc.steps) == [MESSAGE, CALL, other["id"]]
    assert texts_of(proc) == ["Hi", "You"]
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
    assert texts_of(proc) == ["Hi"]


def test_an_output_that_was_not_streamed() -> None:
    """Caches send no more than the end."""
    proc = fed(response("completed", message(text("Hi")), function_call("{}"), "stray"))  # type: ignore[arg-type]

    assert texts_of(proc) == ["Hi"]
    assert [step.status for step in proc.steps.values()] == ["completed", "in_progress"]


@pytest.mark.parametrize("items", [None, 5, {}, ["stray", 5]])
def test_an_output_that_is_none(items: Any) -> None:
    """Nothing is opened, and what is open stays so."""
    proc = fed(response(), added(OPEN), {"type": "response.completed", "response": {"output": items}})

    assert only_step(proc)["status"] == "in_progress"


@pytest.mark.parametrize("kind", [None, [], "function_call"])
def test_an_output_of_another_type(kind: Any) -> None:
    """An item that has the id of one of another type is not that one."""
    proc = fed(response(), added(OPEN), response("completed", {"id": MESSAGE, "type": kind, "arguments": "{}"}))

    assert wire(proc.steps[MESSAGE])["type"] == "message_creation"
    assert proc.steps[MESSAGE].status == "in_progress"


def test_an_output_that_is_in_the_way() -> None:
    """An item that was not seen has an index that another one has."""
    proc = fed(response(), done(function_call("{}")), response("completed", message(text("Hi"), id=None)))

    assert list(proc.steps) == [CALL, "resp_0123456789abcdef:message:1"]
