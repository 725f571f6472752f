"""Patches: what a translating dialect says of one object, and the complete snapshots that the reducer makes of it."""

import json
from typing import Any

import msgspec
import pytest
from msgspec import UNSET

from streamproc import Change, Event, Limits, Reducer, RunStep, to_wire
from streamproc.core.change import Note
from streamproc.core.context import StreamContext
from streamproc.core.patch import Patch, answered, awaited_calls, patched
from streamproc.core.stored import StoredObject

STEP = "thread.run.step"


def patch(name: str, id: str, **members: Any) -> Event:
    return Event(name, Patch(id=id, members=members))


def answer(call_id: str, output: str = "42") -> Event:
    return Event("thread.run.step.completed", Patch(call_id=call_id, output=output))


def a_call(id: str, **function: Any) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": "f", "arguments": "{}", "output": None, **function}}


def waiting(id: str, *calls: str, run_id: str = "run_1", thread_id: str | None = None) -> Event:
    """A step that waits for the outputs of its calls."""
    details = {"type": "tool_calls", "tool_calls": [a_call(call) for call in calls]}
    members = {"run_id": run_id, "status": "in_progress", "step_details": details, "metadata": {"awaiting": "output"}}
    if thread_id is not None:
        members["thread_id"] = thread_id
    return patch(f"{STEP}.created", id, **members)


class Table:
    """A reducer, and a context to apply events in."""

    def __init__(self, *events: Event, limits: Limits | None = None) -> None:
        self.reducer = Reducer(limits)
        self.context = StreamContext.named("s")
        self.changes: list[Change] = []
        self.apply(*events)

    def apply(self, *events: Event) -> list[Change]:
        changes = [change for event in events for change in self.reducer.apply(event, self.context)]
        self.changes += changes
        return changes

    def step(self, id: str) -> Any:
        return json.loads(to_wire(self.reducer.steps[id]))


# --- data -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "members", "expected"),
    [
        ({"id": "a", "x": 1}, {"x": 2}, {"id": "a", "x": 2}),
        ({"metadata": {"a": "1"}}, {"metadata": {"b": "2"}}, {"metadata": {"a": "1", "b": "2"}}),
        ({"metadata": {"a": "1", "b": "2"}}, {"metadata": {"a": None}}, {"metadata": {"b": "2"}}),
        ({"metadata": None}, {"metadata": {"a": "1", "b": None}}, {"metadata": {"a": "1"}}),
        ({"extras": {"a": 1}}, {"extras": {"b": 2}}, {"extras": {"a": 1, "b": 2}}),
        ({"metadata": {"a": "1"}}, {"metadata": None}, {"metadata": None}),
        ({"usage": {"a": 1}}, {"usage": {"b": 2}}, {"usage": {"b": 2}}),
    ],
)
def test_patched(state: dict[str, Any], members: dict[str, Any], expected: dict[str, Any]) -> None:
    """Members are exchanged; those of metadata and extras one by one, and null takes one away."""
    assert patched(state, members) == expected


@pytest.mark.parametrize(
    "step",
    [
        {},
        {"metadata": None},
        {"metadata": {"awaiting": "patience"}, "step_details": {"tool_calls": [a_call("call_1")]}},
        {"metadata": {"awaiting": "output"}},
        {"metadata": {"awaiting": "output"}, "step_details": {"tool_calls": "none"}},
        {"metadata": {"awaiting": "output"}, "step_details": {"tool_calls": [7, {"id": 7}, a_call("a", output="")]}},
    ],
)
def test_waits_for_nothing(step: dict[str, Any]) -> None:
    """Whatever is odd about a step, or about its calls, and calls that have an output already."""
    assert awaited_calls(step) == ()


@pytest.mark.parametrize("what", ["output", "approval"])
def test_waits_for_its_calls(what: str) -> None:
    """For those that have no output yet; a decision is one."""
    step = {"metadata": {"awaiting": what}, "step_details": {"tool_calls": [a_call("a"), a_call("b", output="")]}}

    assert awaited_calls(step) == ("a",)


def test_answered_in_part() -> None:
    """The step goes on until its last call has an output; a call without a function gets one."""
    step = {"step_details": {"type": "tool_calls", "tool_calls": [a_call("a"), {"id": "b", "type": "custom"}]}}
    first = answered(step, "b", "x")
    second = answered({**step, **first}, "a", "y")

    assert list(first) == ["step_details"]
    assert first["step_details"]["tool_calls"][1] == {"id": "b", "type": "custom", "function": {"output": "x"}}
    assert second["status"] == "completed"
    assert [call["function"]["output"] for call in second["step_details"]["tool_calls"]] == ["y", "x"]


# --- in the reducer ---------------------------------------------------------------------------------------------------


def test_patch_makes_a_complete_snapshot() -> None:
    """The event that comes out says all there is, so that it can be sent on."""
    table = Table(
        patch(f"{STEP}.created", "step_1", status="in_progress", type="message_creation", metadata={"a": "1"})
    )
    (change,) = table.apply(patch(f"{STEP}.completed", "step_1", status="completed", metadata={"b": "2"}))
    expected = {
        "id": "step_1",
        "object": STEP,
        "status": "completed",
        "type": "message_creation",
        "metadata": {"a": "1", "b": "2"},
    }

    assert json.loads(change.raw) == expected
    assert (change.event, change.revision, change.is_final) == ("thread.run.step.completed", 2, True)
    assert table.step("step_1") == expected


def test_patch_keeps_what_deltas_built_up() -> None:
    """A dialect that keeps no text closes a message that has one."""
    table = Table(patch("thread.message.created", "msg_1", status="in_progress", content=[]))
    payload = {"id": "msg_1", "delta": {"content": [{"index": 0, "type": "text", "text": {"value": "Hello"}}]}}
    table.apply(Event("thread.message.delta", payload), patch("thread.message.completed", "msg_1", status="completed"))

    assert table.reducer.messages["msg_1"].text == "Hello"
    assert table.context.anomalies == {}
    assert b"Hello" in table.changes[-1].raw


def test_amended_after_the_end() -> None:
    """Usage that comes late is named after the status that the object has, and the payload is the whole object."""
    table = Table(
        patch(f"{STEP}.created", "step_1", status="in_progress", usage=None),
        patch(f"{STEP}.failed", "step_1", status="failed"),
    )
    (change,) = table.apply(patch(f"{STEP}.completed", "step_1", usage={"total_tokens": 7}))

    assert (change.event, change.revision) == ("thread.run.step.failed", 3)
    assert json.loads(change.raw) == table.step("step_1")
    assert table.step("step_1")["usage"] == {"total_tokens": 7}
    assert table.context.anomalies == {}


@pytest.mark.parametrize("passing", [{"phase": "searching"}, {"awaiting": "output"}])
def test_what_was_true_while_a_step_lasted(passing: dict[str, str]) -> None:
    """A stream that is told again, from its beginning, leaves it out of a step that has ended."""
    during = patch(f"{STEP}.in_progress", "step_1", metadata=passing)
    table = Table(waiting("step_1", "call_1"), during, answer("call_1"))
    before = table.step("step_1")
    table.context.open(2)
    (late,) = table.apply(during)

    assert (late.kind, late.data.kind, late.data.id) == ("anomaly", "late_event", "step_1")
    assert table.step("step_1") == before


def test_amended_with_what_is_refused() -> None:
    """A terminal status never changes, whoever says so."""
    table = Table(patch(f"{STEP}.created", "step_1", status="completed", usage={"total_tokens": 7}))
    changes = table.apply(patch(f"{STEP}.failed", "step_1", status="failed", usage={"total_tokens": 8}))

    assert [change.kind for change in changes] == ["anomaly", "anomaly"]
    assert table.context.anomalies == {"status_conflict": 1, "late_event": 1}
    assert table.step("step_1")["status"] == "completed"


def test_patch_without_a_snapshot_name() -> None:
    """Nothing else is told by a patch."""
    table = Table(patch("thread.run.step.delta.x", "step_1", status="completed"))

    assert table.context.anomalies == {"unknown_event": 1}


def test_patch_of_an_object_that_is_not_known() -> None:
    """Its run was forgotten, say: an object is made of what is said, which is counted. Runs may be named anywhere."""
    table = Table(patch(f"{STEP}.completed", "step_1", status="completed"), patch("thread.run.completed", "run_1"))

    assert table.reducer.steps["step_1"].status == "completed"
    assert table.context.anomalies == {"provisional": 1}


def test_patch_without_an_id() -> None:
    """There is no object that it could be about."""
    table = Table(patch(f"{STEP}.completed", "", status="completed"))

    assert table.context.anomalies == {"bad_json": 1}
    assert not table.reducer.steps


# --- defaults ---------------------------------------------------------------------------------------------------------


def announced(**defaults: Any) -> Event:
    return Event("thread.message.created", Patch(id="msg_1", defaults={"status": "in_progress", **defaults}))


def said(value: str) -> Event:
    delta = {"content": [{"index": 0, "type": "text", "text": {"value": value}}]}
    return Event("thread.message.delta", {"id": "msg_1", "delta": delta})


def test_defaults_of_an_object_that_appears() -> None:
    """They are what it is."""
    table = Table(announced(content=[]))

    assert [change.event for change in table.changes] == ["thread.message.created"]
    assert table.reducer.messages["msg_1"].status == "in_progress"


def test_defaults_of_a_known_object() -> None:
    """It keeps what it has, and gets what it lacks."""
    table = Table(announced(content=[]), said("Hello"))
    assert table.apply(announced(content=[])) == []
    (change,) = table.apply(announced(content=[], role="assistant"))
    table.apply(said("!"))

    assert change.event == "thread.message.in_progress"
    assert table.reducer.messages["msg_1"].role == "assistant"
    assert table.reducer.messages["msg_1"].text == "Hello!"
    assert table.context.anomalies == {}


def test_defaults_of_an_object_that_ended() -> None:
    """Nothing is announced any more."""
    table = Table(announced(content=[]), patch("thread.message.completed", "msg_1", status="completed"))

    assert table.apply(announced(content=[], role="assistant")) == []
    assert table.context.anomalies == {}


def test_defaults_where_the_stream_starts_again() -> None:
    """The object starts over; an amendment without defaults does not make it."""
    table = Table(announced(content=[], role="assistant"), said("Hello"))
    table.context.open(2)
    table.apply(announced(content=[]))

    assert table.reducer.messages["msg_1"].text == ""
    assert table.reducer.messages["msg_1"].role is UNSET

    table.apply(said("Hi"))
    table.context.open(3)
    table.apply(patch("thread.message.in_progress", "msg_1", metadata={"a": "b"}))

    assert table.reducer.messages["msg_1"].text == "Hi"


def test_an_object_that_is_told_from_its_beginning() -> None:
    """By whatever stream: what was said before is replaced, not gone on with. One that has ended stays."""
    again = Event("thread.message.created", Patch(id="msg_1", defaults={"content": []}, begins=True))
    table = Table(announced(content=[], role="assistant"), said("Hello"))
    table.context = StreamContext.named("another")
    table.apply(again, said("Hello"))

    assert table.reducer.messages["msg_1"].text == "Hello"
    assert table.context.anomalies == {}

    table.apply(patch("thread.message.completed", "msg_1", status="completed"), again)

    assert table.reducer.messages["msg_1"].text == "Hello"
    assert table.context.anomalies == {}


def test_details_of_a_patch_are_meant() -> None:
    """They may say less than what was accumulated; an empty list says nothing."""
    table = Table(announced(content=[]), said("Hello"))
    block = {"type": "text", "text": {"value": "Hi", "annotations": []}}
    table.apply(patch("thread.message.in_progress", "msg_1", content=[block]))

    assert table.reducer.messages["msg_1"].text == "Hi"
    assert table.context.anomalies == {}


# --- outputs of tool calls --------------------------------------------------------------------------------------------


def test_output_in_the_same_run() -> None:
    """The step is completed, and waits no more."""
    table = Table(waiting("step_1", "call_1"))
    (change,) = table.apply(answer("call_1"))
    (late,) = table.apply(answer("call_1"))
    step = table.step("step_1")

    assert (change.event, change.id) == ("thread.run.step.completed", "step_1")
    assert step["status"] == "completed"
    assert step["metadata"] == {}
    assert step["step_details"]["tool_calls"][0]["function"]["output"] == "42"
    assert late.kind == "anomaly"
    assert table.context.anomalies == {"late_event": 1}


def test_outputs_of_several_calls() -> None:
    """The step goes on until the last one came; the event that says so is named after that."""
    table = Table(waiting("step_1", "call_1", "call_2"))
    first, second = table.apply(answer("call_2", "b"), answer("call_1", "a"))

    assert [first.event, second.event] == ["thread.run.step.in_progress", "thread.run.step.completed"]
    assert first.state.status == "in_progress"


def test_output_in_a_later_run() -> None:
    """It completes the step of the earlier run, and the stream stays with its own."""
    table = Table(
        waiting("step_1", "call_1"),
        patch("thread.run.completed", "run_1", status="completed"),
        patch("thread.run.created", "run_2", status="in_progress"),
        patch(f"{STEP}.created", "step_2", run_id="run_2", status="in_progress"),
    )
    (change,) = table.apply(answer("call_1"))
    delta = {"delta": {"step_details": {"type": "tool_calls", "tool_calls": [{"index": 0, "type": "function"}]}}}
    *_, next_one = table.apply(Event("thread.run.step.delta", delta))

    assert (change.id, change.run_id) == ("step_1", "run_1")
    assert change.inferred_status is None  # what was inferred at the end of the run gave way
    assert table.context.run_id == "run_2"
    assert next_one.id == "step_2"


def test_newest_step_of_the_run_or_thread() -> None:
    """Some servers use the same id for a call in each turn."""
    table = Table(
        waiting("step_1", "call_1", run_id="run_1", thread_id="thread_1"),
        waiting("step_2", "call_1", run_id="run_2", thread_id="thread_2"),
        waiting("step_3", "call_1", run_id="run_1", thread_id="thread_1"),
    )
    find = table.reducer._table.waiting_for
    found = [find("call_1", "run_1", None), find("call_1", "run_9", "thread_2"), find("call_1", "run_9", "thread_9")]

    assert [None if record is None else record.body.id for record in found] == ["step_3", "step_2", None]


def test_forgotten_step_waits_no_more() -> None:
    """A run that is forgotten takes with it what its steps waited for."""
    table = Table(waiting("step_1", "call_1"), waiting("step_2", "call_1", run_id="run_2"))
    table.reducer.evict("run_1")
    table.reducer.evict("run_2")

    assert table.reducer._table._awaited == {}
    assert table.reducer._table._waiting == {}


def test_hydrated_step_waits() -> None:
    """What was asked for after a lost connection is answered like any other."""
    table = Table()
    table.reducer.hydrate(Table(waiting("step_1", "call_1")).reducer.steps["step_1"], table.context)
    (change,) = table.apply(answer("call_1"))

    assert (change.event, change.id) == ("thread.run.step.completed", "step_1")


def test_restored_step_waits() -> None:
    """After a restart an output still finds its step; one that ended, or is no step that waits, is not looked for."""
    state = msgspec.json.encode(
        {
            "id": "step_1",
            "object": STEP,
            "run_id": "run_1",
            "status": "in_progress",
            "metadata": {"awaiting": "output"},
            "step_details": {"type": "tool_calls", "tool_calls": [a_call("call_1")]},
        }
    )
    open_step = StoredObject(
        kind="step",
        id="step_1",
        run_id="run_1",
        thread_id=None,
        wire=state,
        revision=3,
        stream="s",
        epoch=1,
        status="in_progress",
        provisional=False,
        note=Note(),
    )
    ended = msgspec.structs.replace(open_step, id="step_2", status="completed", note=Note(ended=True))
    table = Table()
    table.reducer.restore([open_step, ended])
    (change,) = table.apply(answer("call_1"))

    assert (change.id, change.revision) == ("step_1", 4)
    assert isinstance(change.state, RunStep)
    assert change.state.status == "completed"
