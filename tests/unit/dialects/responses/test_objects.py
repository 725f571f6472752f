"""Objects of a complete Response, as a GET gives it."""

from streamproc import Message, Run, RunStep
from streamproc.dialects.responses import response_objects
from streamproc.dialects.translation import Rules
from tests.response_streams import CALL, MESSAGE, RESPONSE, function_call, message, response, text
from tests.streams import wire


def test_steps_with_their_messages_and_the_run_last() -> None:
    """Complete, in order."""
    items = [function_call("{}"), message(text("Hi"))]
    native = response("completed", *items, usage={"input_tokens": 3, "output_tokens": 4})["response"]
    objects = response_objects(native)

    assert [(type(obj), obj.id, obj.status) for obj in objects] == [
        (RunStep, CALL, "in_progress"),
        (RunStep, MESSAGE, "completed"),
        (Message, MESSAGE, "completed"),
        (Run, RESPONSE, "completed"),
    ]
    assert wire(objects[-1])["usage"]["total_tokens"] == 7


def test_names_and_rules() -> None:
    """As for a stream."""
    native = response("completed", function_call("{}"))["response"]
    objects = response_objects(
        native, run_id="run_1", thread_id="thread_1", assistant_id="asst_1", rules=Rules(tool_outputs="close")
    )
    (step, run) = map(wire, objects)

    assert (run["id"], run["thread_id"], run["assistant_id"]) == ("run_1", "thread_1", "asst_1")
    assert (step["run_id"], step["status"]) == ("run_1", "completed")


def test_a_response_that_goes_on() -> None:
    """Queued or in progress it is open, and so is what it holds."""
    queued, going = response("queued")["response"], response("in_progress", message(status="in_progress"))["response"]

    assert [obj.status for obj in response_objects(queued)] == ["queued"]
    assert [obj.status for obj in response_objects(going)] == ["in_progress", "in_progress", "in_progress"]


def test_a_cancelled_response() -> None:
    """What it left open stays so."""
    native = response("cancelled", message(text("Hel"), status="in_progress"))["response"]

    assert [obj.status for obj in response_objects(native)] == ["in_progress", "in_progress", "cancelled"]


def test_an_object_that_says_nothing() -> None:
    """There is a run all the same."""
    assert [obj.id for obj in response_objects({})] == ["response"]
