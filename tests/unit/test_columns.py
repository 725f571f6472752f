"""The columns of objects: what odd objects say in them."""

import msgspec
import pytest

from streamproc.columns import COLUMNS, tools_of, values_of
from streamproc.core.change import Change
from streamproc.core.events import Event, encode_sse
from streamproc.core.processor import StreamProcessor


def change_of(payload: dict[str, object], event: str = "thread.run.step.created") -> Change:
    proc = StreamProcessor(stream="s")
    return proc.feed(encode_sse(Event(event, None, msgspec.json.encode(payload))))[-1]


def test_values_of_a_usual_step() -> None:
    call = {"type": "function", "function": {"name": "search", "arguments": "{}"}}
    step: dict[str, object] = {
        **{"id": "step_1", "run_id": "run_1", "thread_id": "thread_1", "assistant_id": "asst_1", "type": "tool_calls"},
        **{"status": "failed", "created_at": 1, "completed_at": 2.5, "last_error": {"code": "server_error"}},
        **{"usage": {"total_tokens": 3}, "step_details": {"tool_calls": [call, call, {"type": "file_search"}]}},
    }
    change = change_of(step, "thread.run.step.failed")

    assert values_of(change, change.body.wire(change.revision)) == (
        *("step_1", "run_1", "thread_1", "asst_1", "tool_calls", '["search","file_search"]', "failed", 1.0, 2.5),
        *("server_error", 3),
    )


@pytest.mark.parametrize(
    ("member", "value", "column"),
    [
        ("status", {"a": 1}, "status"),
        ("assistant_id", 7, "assistant_id"),
        ("created_at", "yesterday", "created_at"),
        ("created_at", True, "created_at"),
        ("created_at", 2**53, "created_at"),
        ("created_at", -(2**53), "created_at"),
        ("last_error", "boom", "error_code"),
        ("last_error", {"code": 5}, "error_code"),
        ("usage", [1], "total_tokens"),
        ("usage", {"total_tokens": True}, "total_tokens"),
        ("usage", {"total_tokens": 2**63}, "total_tokens"),
        ("usage", {"total_tokens": 1.5}, "total_tokens"),
        ("usage", {"total_tokens": 1e30}, "total_tokens"),
    ],
)
def test_member_of_another_type_is_null(member: str, value: object, column: str) -> None:
    """It is in the state; a column that is compared or added up holds its own type alone."""
    change = change_of({"id": "s", member: value})
    values = dict(zip(COLUMNS["step"], values_of(change, change.body.wire(1)), strict=True))

    assert values[column] is None
    assert values["id"] == "s"


@pytest.mark.parametrize("digits", [310, 4_000])
def test_time_that_is_longer_than_any_number_of_ours_is_null(digits: int) -> None:
    """It has to be passed over, for a store that cannot make the row could not make any other."""
    data = b'{"id":"s","status":"in_progress","created_at":1%b}' % (b"0" * digits)
    change = StreamProcessor().feed(b"event: thread.run.step.created\ndata: %b\n\n" % data)[-1]
    values = dict(zip(COLUMNS["step"], values_of(change, data), strict=True))

    assert (values["created_at"], values["status"]) == (None, "in_progress")


@pytest.mark.parametrize(
    "details",
    [
        "dream",
        {"tool_calls": {"0": {"type": "x"}}},
        {"tool_calls": [1, None, "x", {"type": 5}, {"type": ""}, {"function": {"name": None}}]},
        {"tool_calls": None},
    ],
)
def test_odd_calls_have_no_tools(details: object) -> None:
    assert tools_of(msgspec.json.encode({"id": "s", "step_details": details})) == "[]"


def test_one_odd_call_does_not_hide_the_others() -> None:
    details = {"tool_calls": [{"type": "teleport", "function": []}, {"function": {"name": "search"}}]}

    assert tools_of(msgspec.json.encode({"id": "s", "usage": 1, "step_details": details})) == '["teleport","search"]'


@pytest.mark.parametrize(
    ("event", "status"), [("thread.run.step.created", None), ("thread.run.step.completed", "completed")]
)
@pytest.mark.parametrize("said", [{}, {"status": None}, {"status": 5}])
def test_status_that_only_the_event_says(event: str, status: str | None, said: dict[str, object]) -> None:
    """An event's name is a status, "created" is none."""
    values = values_of(change_of({"id": "s"}, event), msgspec.json.encode({"id": "s", **said}))

    assert dict(zip(COLUMNS["step"], values, strict=True))["status"] == status


def test_one_odd_member_does_not_hide_the_others() -> None:
    """Whatever the way it is read, the same columns come out."""
    run: dict[str, object] = {"id": "run_1", "thread_id": "thread_1", "assistant_id": "a", "model": "m"}
    run |= {"status": "failed", "created_at": 1, "started_at": 2, "completed_at": 3.5}
    run |= {"last_error": {"code": "x"}, "usage": {"total_tokens": 4}}
    change = change_of(run, "thread.run.failed")
    odd = msgspec.json.encode({**run, "role": ["nothing", "of", "a", "run"]})

    assert values_of(change, odd) == values_of(change, change.body.wire(1))
    assert values_of(change, odd) == ("run_1", "thread_1", "a", "m", "failed", 1.0, 2.0, 3.5, "x", 4)
