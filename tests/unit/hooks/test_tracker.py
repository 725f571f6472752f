"""Hooks of runs, of whole objects, of trouble; their order; and that nobody pays for what nobody overrode."""

import msgspec
import pytest
from msgspec.structs import replace

from streamproc import Change, Event, Limits, StreamProcessor
from streamproc.hooks import HookDispatch
from streamproc.hooks.base import outcomes_of
from tests.streams import (
    arguments,
    call,
    done,
    error,
    event,
    message,
    message_delta,
    run,
    sse,
    step,
    step_delta,
    text,
    words,
)
from tests.unit.hooks.recorder import CALLS, TEXTS, hooked, record, told

ASKED = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": [call("{}", id="c0", name="f")]}}


def test_a_run_tells_each_new_status() -> None:
    """The second event of one status is no news, its return is."""
    events = [run("created"), run("queued", x=1), run("in_progress"), run("requires_action"), run("queued")]

    assert told("run_status", events) == [
        ("run_status", status) for status in ("queued", "in_progress", "requires_action", "queued")
    ]


def test_a_run_without_a_status_has_none_to_tell() -> None:
    """An odd server."""
    odd = event("thread.run.created", {"id": "run_1", "object": "thread.run"})

    assert told("run_status", [odd]) == []


def test_runs_are_told_apart() -> None:
    """Each has a status of its own, though they share a stream."""
    assert len(told("run_status", [run("queued", "run_1"), run("queued", "run_2"), run("queued", "run_1", x=1)])) == 2


def test_an_action_is_told_once_for_the_same_calls() -> None:
    """Not when a stream starts over: a tool must not run twice. Other calls are another action."""
    hooks = record("requires_action")
    dispatch, proc = HookDispatch(hooks, on_error="raise"), StreamProcessor()
    asked = [run("queued"), run("in_progress"), run("requires_action", required_action=ASKED), done()]
    dispatch.dispatch(proc.feed(sse(*asked)))
    proc.open(epoch=2)
    dispatch.dispatch(proc.feed(sse(*asked)))
    proc.open()
    calls = {"tool_calls": [call("{}", id="c1", name="f")]}
    again = {"type": "submit_tool_outputs", "submit_tool_outputs": calls}
    dispatch.dispatch(proc.feed(sse(run("queued"), run("requires_action", required_action=again), done())))

    assert hooks.told == [("requires_action", ["c0"]), ("requires_action", ["c1"])]


def test_a_run_that_says_not_what_it_requires() -> None:
    """There is no action to tell of."""
    assert told("requires_action run_status", [run("requires_action")]) == [("run_status", "requires_action")]


def test_the_order_of_hooks_for_one_change() -> None:
    """The change; created of the object and of its part; the part's delta, the object's; at the end the other way."""
    names = f"change step_created step_delta step_done {CALLS}"
    events = [step_delta(call("a", index=0, id="c0")), step("completed", "step_1", call("a", id="c0"))]

    assert [name for name, _ in told(names, events)] == [
        *["change"] * 2,  # the anomaly: a delta before its step
        *["step_created", "tool_call_created", "tool_call_delta", "step_delta"],
        *["change", "tool_call_done", "step_done"],
    ]


def test_the_order_of_hooks_for_one_message() -> None:
    """As for steps."""
    names = f"message_created message_delta message_done {TEXTS}"
    events = [run(), words("a"), message("completed", "msg_1", text("a"))]

    assert [name for name, _ in told(names, events)] == [
        *["message_created", "text_created", "text_delta", "message_delta"],
        *["text_done", "message_done"],
    ]


def test_each_change_is_told() -> None:
    """Also those that no other hook is for, and text fragments one by one."""
    events = [run(), step(), arguments("a"), arguments("b"), arguments("c"), event("x", {}), error("e"), done()]
    changes = StreamProcessor().feed(sse(*events))
    seen: list[Change] = []
    HookDispatch(hooked(change=seen.append), on_error="raise").dispatch(changes)

    assert seen == changes
    assert len(seen) == 7


def test_whole_deltas() -> None:
    """What a step or message got, fragment by fragment."""
    events = [run(), step(), *map(arguments, "abc"), message(), *map(words, "xyz")]
    found = told("step_delta message_delta", events)

    assert [delta.step_details.tool_calls[0].function.arguments for _, delta in found[:3]] == [*"abc"]
    assert [delta.content[0].text.value for _, delta in found[3:]] == [*"xyz"]


def test_errors_and_anomalies() -> None:
    """An error event of the server, and an event that nobody knows."""
    events = [run(), error({"message": "m"}), event("thread.x", {"a": 1})]

    assert told("error anomaly truncated", events) == [("error", "m"), ("anomaly", "unknown_event")]


def test_a_stream_that_broke_off() -> None:
    """Told once, however many objects are open; they are not done."""
    hooks = record("truncated anomaly step_done run_status tool_call_done")
    dispatch, proc = HookDispatch(hooks, on_error="raise"), StreamProcessor()
    dispatch.dispatch(proc.feed(sse(run(), step(), arguments("a"), message())))
    dispatch.dispatch(proc.close())

    assert hooks.told == [("run_status", "in_progress"), ("anomaly", "truncated"), ("truncated", "truncated")]


def test_a_step_whose_run_becomes_known_later() -> None:
    """Its delta came first; it is not created a second time, and belongs to that run."""
    hooks = record("step_created step_done")
    dispatch, proc = HookDispatch(hooks, on_error="raise"), StreamProcessor()
    dispatch.dispatch(proc.feed(sse(arguments("a"), step("created"), run(), step("completed"))))
    outcomes = outcomes_of(hooks)

    assert hooks.told == [("step_created", "step_1"), ("step_done", "step_1")]
    assert outcomes.steps["step_1"].outcome.run_id == "run_1"


@pytest.mark.parametrize("names", ["", "step_done message_done", "tool_call_done text_done", "run_status"])
def test_no_delta_is_decoded_for_hooks_of_other_things(names: str) -> None:
    """Deltas that cannot be decoded harm nobody but those who listen to them."""
    made = [run(), step(), *map(arguments, "abc"), step_delta({"index": 1, **call("a", id="c1")}), message()]
    changes = StreamProcessor().feed(sse(*made, *map(words, "xyz")))
    unreadable = [
        replace(change, piece=b"{", around=change.around) if change.is_delta else change for change in changes
    ]
    hooks = record(names)
    HookDispatch(hooks, on_error="raise").dispatch(unreadable)

    assert hooks.told == ([("run_status", "in_progress")] if names == "run_status" else [])
    with pytest.raises(msgspec.DecodeError):
        HookDispatch(record("text_delta"), on_error="raise").dispatch(unreadable)


def test_fragments_for_two_streams_of_one_step() -> None:
    """The object that grew last is remembered; the stream it grew on is looked at all the same."""
    reducer_owner = StreamProcessor(stream="a")
    other = StreamProcessor(reducer=reducer_owner.reducer, stream="b")
    hooks = record("tool_call_delta")
    dispatch = HookDispatch(hooks, on_error="raise")
    dispatch.dispatch(reducer_owner.feed(sse(run(), step(), *map(arguments, "abc"))))
    dispatch.dispatch(other.feed(sse(arguments(""), *map(arguments, "de"))))  # the first changes nothing
    dispatch.dispatch(reducer_owner.feed(sse(*map(arguments, "f"))))

    assert [about for _, about in hooks.told] == [(0, piece) for piece in "abcdef"]
    assert outcomes_of(hooks).end_stream("b") == "run_1"


def many(count: int) -> list[Event]:
    return [run("completed", f"run_{number}") for number in range(count)]


def test_what_is_remembered_is_bounded() -> None:
    """Ended runs, open runs, and the steps of each, with what is known of them."""
    limits = Limits(max_closed_runs=2, max_open_runs=3, max_steps_per_run=4)
    hooks = record("step_created")
    dispatch, proc = HookDispatch(hooks, limits=limits, on_error="raise"), StreamProcessor()
    dispatch.dispatch(proc.feed(sse(*many(9))))
    dispatch.dispatch(proc.feed(sse(*(step("created", f"step_{n}", run_id=f"run_{n + 20}") for n in range(9)))))
    dispatch.dispatch(proc.feed(sse(*(step("created", f"more_{n}", run_id="run_28") for n in range(9)))))
    dispatch.dispatch(proc.feed(sse(*(message("created", f"m_{n}", run_id="run_28") for n in range(9)))))
    outcomes = outcomes_of(hooks)

    assert [*outcomes.steps] == ["step_6", "step_7", "more_5", "more_6", "more_7", "more_8"]
    assert [*outcomes.messages] == ["m_5", "m_6", "m_7", "m_8"]
    assert [*outcomes._ended] == ["run_7", "run_8"]
    assert [*outcomes._open] == ["run_26", "run_27", "run_28"]


def test_no_run_is_forgotten_before_its_end_is_told() -> None:
    """Even where none that ended is to be remembered, its open step is done once."""
    hooks = record("step_created step_done")
    dispatch = HookDispatch(hooks, limits=Limits(max_closed_runs=0), on_error="raise")
    dispatch.dispatch(StreamProcessor().feed(sse(run(), step(), run("expired"))))

    assert hooks.told == [("step_created", "step_1"), ("step_done", "step_1")]


def test_a_run_that_was_evicted_is_new_when_it_comes_again() -> None:
    """As for the reducer."""
    hooks = record("step_created")
    dispatch, proc = HookDispatch(hooks, on_error="raise"), StreamProcessor()
    dispatch.dispatch(proc.feed(sse(run(), step(), arguments("a"), message(), message_delta(text("a", index=0)))))
    dispatch.evict("run_1")
    dispatch.evict("run_unknown")
    proc.evict("run_1")
    dispatch.dispatch(proc.feed(sse(arguments("b"))))

    assert hooks.told == [("step_created", "step_1")] * 2
