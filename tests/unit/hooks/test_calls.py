"""Hooks of tool calls: one created and one done per step and index, every fragment in between."""

import pytest

from streamproc import Event, StreamProcessor
from streamproc.hooks import CallFragment, HookDispatch
from streamproc.model import Function, FunctionToolCall, McpToolCall
from tests.streams import arguments, call, calls, code, creation, done, event, run, sse, step, step_delta
from tests.unit.hooks.recorder import CALLS, hooked, record, told

FINAL = step("completed", "step_1", call("ab", id="c0", name="f"), call("xy", id="c1", name="g"))


def first(index: int, id: str, text: str = "") -> Event:
    return step_delta(call(text, index=index, id=id, name="f"))


def test_each_fragment_is_told_also_the_creating_one() -> None:
    """Created with the first fragment, done at the end of the step."""
    events = [run(), step(), first(0, "c0", "a"), arguments("b"), step("completed", "step_1", call("ab", id="c0"))]

    assert told(CALLS, events) == [
        ("tool_call_created", "c0"),
        ("tool_call_delta", (0, "a")),
        ("tool_call_delta", (0, "b")),
        ("tool_call_done", "c0"),
    ]


def test_interleaved_calls_are_kept_apart() -> None:
    """0, 1, 0, 1, 0: no call is done or created again when another one gets a fragment."""
    growing = [arguments("b", 0), arguments("y", 1), arguments("c", 0), arguments("z", 1), arguments("d", 0)]
    events = [run(), step(), first(0, "c0", "a"), first(1, "c1", "x"), *growing, FINAL]

    assert told(CALLS, events) == [
        ("tool_call_created", "c0"),
        ("tool_call_delta", (0, "a")),
        ("tool_call_created", "c1"),
        ("tool_call_delta", (1, "x")),
        *[("tool_call_delta", told) for told in [(0, "b"), (1, "y"), (0, "c"), (1, "z"), (0, "d")]],
        ("tool_call_done", "c0"),
        ("tool_call_done", "c1"),
    ]


def test_one_delta_with_several_entries() -> None:
    """Two entries of one call, and one of another, in one event."""
    events = [run(), step(), step_delta(call("a", index=0, id="c0"), call("x", index=1, id="c1"), call("b", index=0))]

    assert told(CALLS, events) == [
        ("tool_call_created", "c0"),
        ("tool_call_delta", (0, "a")),
        ("tool_call_created", "c1"),
        ("tool_call_delta", (1, "x")),
        ("tool_call_delta", (0, "b")),
    ]


def test_a_second_step_at_index_0() -> None:
    """Its call is created as well, though the last index before it was 0 too."""
    second = [step("created", "step_2"), step_delta(call("x", index=0, id="c1"), id="step_2")]
    events = [run(), step(), first(0, "c0"), step("completed", "step_1", call(id="c0")), *second]

    assert told("tool_call_created tool_call_done", events) == [
        ("tool_call_created", "c0"),
        ("tool_call_done", "c0"),
        ("tool_call_created", "c1"),
    ]


def test_a_step_that_was_never_created() -> None:
    """The stream was joined late: a delta is the first of it."""
    events = [run(), arguments("b"), arguments("c"), step("completed", "step_1", call("abc", id="c0"))]

    assert told("step_created step_done " + CALLS, events) == [
        ("step_created", "step_1"),
        ("tool_call_created", _no_id()),
        ("tool_call_delta", (0, "b")),
        ("tool_call_delta", (0, "c")),
        ("tool_call_done", "c0"),
        ("step_done", "step_1"),
    ]


def _no_id() -> object:
    return FunctionToolCall().id


def test_only_the_final_step_came() -> None:
    """One created and one done for each call, and no deltas."""
    assert told("step_created step_done " + CALLS, [run(), FINAL]) == [
        ("step_created", "step_1"),
        ("tool_call_created", "c0"),
        ("tool_call_created", "c1"),
        ("tool_call_done", "c0"),
        ("tool_call_done", "c1"),
        ("step_done", "step_1"),
    ]


def test_a_continuation_begins_with_the_end_of_an_earlier_step() -> None:
    """It gives that step's done, with the output, and nothing of it twice."""
    submitted = step("completed", "step_1", call("a", id="c0", name="f", output="42"))
    outputs: list[object] = []
    hooks = hooked(tool_call_done=lambda call, change: outputs.append(call.function.output))
    dispatch, proc = HookDispatch(hooks, on_error="raise"), StreamProcessor()
    dispatch.dispatch(proc.feed(sse(run(), step(), first(0, "c0", "a"), run("requires_action"), done())))
    before = list(outputs)
    proc.open()
    dispatch.dispatch(proc.feed(sse(submitted, run("queued"), run("completed"), done())))

    assert (before, outputs) == ([], ["42"])


def test_a_step_fetched_from_elsewhere() -> None:
    """`hydrate` ends the step as an event would."""
    hooks = record(CALLS)
    dispatch, proc = HookDispatch(hooks, on_error="raise"), StreamProcessor()
    dispatch.dispatch(proc.feed(sse(run(), step(), first(0, "c0", "a"))))
    other = StreamProcessor()
    other.feed(sse(FINAL))
    dispatch.dispatch(proc.hydrate(other.steps["step_1"]))

    assert hooks.told[2:] == [("tool_call_created", "c1"), ("tool_call_done", "c0"), ("tool_call_done", "c1")]


@pytest.mark.parametrize(
    "later",
    [
        FINAL,
        step("failed", "step_1"),
        step("completed", "step_1", call("ab", id="c0", output="o"), call("xy", id="c1"), usage={"total_tokens": 1}),
        step_delta(call(index=0, output="o")),
        arguments("late"),
        run("completed"),
    ],
    ids=["the same again", "another end", "an enriched one", "a late output", "a late fragment", "the run's end"],
)
def test_nothing_is_done_twice(later: Event) -> None:
    """Whatever comes after the end of a step is told by `on_change` alone."""
    names = "step_created step_delta step_done " + CALLS

    assert told(names, [run(), FINAL, later]) == told(names, [run(), FINAL])


def test_a_run_that_leaves_a_step_open() -> None:
    """Its end is the end of the call; the step's own end, should it come, is not a second one."""
    events = [run(), step(), first(0, "c0", "a"), run("cancelled")]
    ended = [("tool_call_created", "c0"), ("tool_call_delta", (0, "a")), ("tool_call_done", "c0")]

    assert told(CALLS, events) == ended
    assert told(CALLS, [*events, step("cancelled", "step_1", call("a", id="c0"))]) == ended


def test_the_required_action_of_a_run_ends_no_call() -> None:
    """Its step goes on once outputs were submitted."""
    events = [run(), step(), first(0, "c0"), run("requires_action"), done()]

    assert told("tool_call_done step_done", events) == []


def test_a_whole_call_sent_again_is_no_fragment() -> None:
    """Some servers list complete calls in `created` and repeat them in a delta, beside news of another one."""
    whole = call("a", id="c0", name="f")
    events = [run(), step("created", "step_1", whole), step_delta({**whole, "index": 0}, call("x", index=1, id="c1"))]

    assert told(CALLS, events) == [
        ("tool_call_created", "c0"),
        ("tool_call_created", "c1"),
        ("tool_call_delta", (1, "x")),
    ]


def test_a_fragment_that_repeats_the_id_is_told() -> None:
    """It carries id and name, but it adds something."""
    events = [run(), step(), first(0, "c0", "a"), first(0, "c0", "b")]

    assert told("tool_call_delta", events) == [("tool_call_delta", (0, "a")), ("tool_call_delta", (0, "b"))]


def test_a_gap_between_indexes() -> None:
    """Calls 5 and 2 keep their indexes, until the end, where the snapshot numbers them 0 and 1."""
    events = [run(), step(), first(5, "c5", "a"), first(2, "c2", "x"), arguments("b", 5), arguments("y", 2)]
    final = step("completed", "step_1", call("xy", id="c2"), call("ab", id="c5"))

    assert told(CALLS, [*events, final]) == [
        ("tool_call_created", "c5"),
        ("tool_call_delta", (5, "a")),
        ("tool_call_created", "c2"),
        ("tool_call_delta", (2, "x")),
        ("tool_call_delta", (5, "b")),
        ("tool_call_delta", (2, "y")),
        ("tool_call_done", "c2"),
        ("tool_call_done", "c5"),
    ]


def test_a_call_keeps_its_index_over_a_snapshot_that_numbers_anew() -> None:
    """After it the server calls the second one 1; hooks know it as 5."""
    events = [run(), step(), first(0, "c0", "a"), first(5, "c5", "x")]
    again = step("in_progress", "step_1", call("ab", id="c0", name="f"), call("xy", id="c5", name="f"))

    assert told(CALLS, [*events, again, arguments("z", 1)])[4:] == [("tool_call_delta", (5, "z"))]


def test_a_refused_entry_is_not_told() -> None:
    """Its index is too far away to be taken."""
    events = [run(), step(), step_delta(call("a", index=0, id="c0"), call("x", index=5000, id="c1"))]

    assert told(CALLS, events) == [("tool_call_created", "c0"), ("tool_call_delta", (0, "a"))]


def test_an_index_that_a_second_call_claims() -> None:
    """The second call is placed elsewhere, and so are its fragments; in one batch as well."""
    events = [run(), step(), first(0, "c0", "a"), arguments("b"), first(0, "c1", "x"), arguments("y")]

    assert told(CALLS, events) == [
        ("tool_call_created", "c0"),
        ("tool_call_delta", (0, "a")),
        ("tool_call_delta", (0, "b")),
        ("tool_call_created", "c1"),
        ("tool_call_delta", (1, "x")),
        ("tool_call_delta", (1, "y")),
    ]


def test_entries_without_an_index() -> None:
    """One is told by its id, another one is new."""
    entries = [call("b", id="c0"), call("x", id="c1")]
    events = [run(), step(), first(0, "c0", "a"), step_delta(*entries), step_delta(call("?"))]

    assert told(CALLS, events) == [
        ("tool_call_created", "c0"),
        ("tool_call_delta", (0, "a")),
        ("tool_call_delta", (0, "b")),
        ("tool_call_created", "c1"),
        ("tool_call_delta", (1, "x")),
        ("tool_call_created", _no_id()),
        ("tool_call_delta", (2, "?")),
    ]


def test_a_lone_entry_without_an_index_is_the_only_call() -> None:
    """A small server never sends indexes."""
    events = [run(), step(), step_delta(call("a", id="c0")), step_delta(call("b"))]

    assert told("tool_call_delta", events) == [("tool_call_delta", (0, "a")), ("tool_call_delta", (0, "b"))]


def test_a_stream_that_starts_over() -> None:
    """Deltas are told again, since they came again; created and done are not."""
    hooks = record(CALLS)
    dispatch, proc = HookDispatch(hooks, on_error="raise"), StreamProcessor()
    began = sse(run(), step(), first(0, "c0", "a"), arguments("b"))
    dispatch.dispatch(proc.feed(began))
    proc.open(epoch=2)
    dispatch.dispatch(proc.feed(began + sse(step("completed", "step_1", call("ab", id="c0")))))

    assert [name for name, _ in hooks.told].count("tool_call_created") == 1
    assert [name for name, _ in hooks.told].count("tool_call_done") == 1
    assert [about for name, about in hooks.told if name == "tool_call_delta"] == [(0, "a"), (0, "b")] * 2


def test_a_call_that_the_final_step_lacks() -> None:
    """It is done all the same, as it was last; the others as the snapshot has them."""
    events = [run(), step(), first(0, "c0", "a"), first(1, "c1", "x")]

    assert told("tool_call_done", [*events, step("completed", "step_1", call("x", id="c1"))]) == [
        ("tool_call_done", "c0"),
        ("tool_call_done", "c1"),
    ]


def test_a_call_that_a_restart_lost_is_done_with_the_step() -> None:
    """The second pass over the stream never mentions it."""
    hooks = record(CALLS)
    dispatch, proc = HookDispatch(hooks, on_error="raise"), StreamProcessor()
    dispatch.dispatch(proc.feed(sse(run(), step(), first(0, "c0", "a"), first(1, "c1", "x"))))
    proc.open(epoch=2)
    again = [step("created", "step_1", x=1), first(0, "c0", "a"), step("completed", "step_1", call("a", id="c0"))]
    dispatch.dispatch(proc.feed(sse(*again)))

    assert hooks.told[4:] == [("tool_call_delta", (0, "a")), ("tool_call_done", "c0"), ("tool_call_done", "c1")]


def test_hooks_that_come_late() -> None:
    """The calls that were there before the first change are created with it."""
    proc = StreamProcessor()
    proc.feed(sse(run(), step(), first(0, "c0", "a"), arguments("b")))
    hooks = record(CALLS)
    HookDispatch(hooks, on_error="raise").dispatch(proc.feed(sse(arguments("c"), arguments("d"))))

    assert hooks.told == [
        ("tool_call_created", "c0"),
        ("tool_call_delta", (0, "c")),
        ("tool_call_delta", (0, "d")),
    ]


def test_a_fragment_tells_which_call_it_is() -> None:
    """On the wire only the first one has an id, and of a fast run of fragments none has more than its text."""
    found: list[CallFragment] = []
    hooks = hooked(tool_call_delta=lambda delta, change: found.append(delta))
    events = [run(), step(), first(0, "c0", "a"), *map(arguments, "bcd")]
    HookDispatch(hooks, on_error="raise").dispatch(StreamProcessor().feed(sse(*events)))

    assert [(item.id, item.type, item.index, item.text) for item in found] == [
        ("c0", "function", 0, text) for text in "abcd"
    ]


def test_code_and_its_outputs() -> None:
    """The input is the text that grows; an output is a fragment without one."""
    logs = code(index=0, outputs=[{"index": 0, "type": "logs", "logs": "l"}])
    grown = [step_delta(code(piece, index=0)) for piece in "bcd"]
    events = [run(), step(), step_delta(code("a", index=0, id="c0", outputs=[])), *grown, step_delta(logs)]

    assert told("tool_call_delta", events) == [("tool_call_delta", (0, text)) for text in ("a", "b", "c", "d", "")]


def test_a_call_of_an_mcp_server() -> None:
    """Its arguments stand on the call itself, and the step's details carry the tool's type (Azure)."""
    found: list[object] = []
    hooks = hooked(
        tool_call_created=lambda call, change: found.append(call),
        tool_call_delta=lambda delta, change: found.append((delta.type, delta.text)),
    )
    entries = [{"index": 0, "id": "m", "type": "mcp", "arguments": "{"}, {"index": 0, "type": "mcp", "arguments": "}"}]
    events = [
        run(),
        step(),
        *(step_delta(delta={"step_details": {**calls(entry), "type": "mcp"}}) for entry in entries),
    ]
    HookDispatch(hooks, on_error="raise").dispatch(StreamProcessor().feed(sse(*events)))

    assert found == [McpToolCall(id="m", arguments="{"), ("mcp", "{"), ("mcp", "}")]


def test_details_of_an_unknown_type_that_list_calls() -> None:
    """They are tool calls all the same."""
    details = {"type": "x_calls", "tool_calls": [call("a", id="c0")]}

    assert told(CALLS, [run(), step("completed", "step_1", step_details=details)]) == [
        ("tool_call_created", "c0"),
        ("tool_call_done", "c0"),
    ]


def test_a_list_of_calls_with_something_else_in_it() -> None:
    """A stray text is a part without an id, which no delta can reach."""
    stray = event("thread.run.step.created", {"id": "step_1", "run_id": "run_1", "step_details": calls("stray")})

    assert told(CALLS, [run(), stray, arguments("a", 0), first(1, "c1", "x")]) == [
        ("tool_call_created", ""),
        ("tool_call_created", "c1"),
        ("tool_call_delta", (1, "x")),
    ]


@pytest.mark.parametrize("details", [creation(), None, {"type": "tool_calls"}, "odd"])
def test_a_step_without_calls(details: object) -> None:
    """It has no parts to tell of."""
    assert told(CALLS, [run(), step(step_details=details), step("completed", step_details=details)]) == []


def test_a_delta_that_is_about_no_call() -> None:
    """The step grew, its calls did not."""
    events = [run(), step(step_details=creation()), step_delta(delta={"step_details": creation("msg_2"), "x": 1})]

    assert told("step_delta " + CALLS, events)[0][0] == "step_delta"
    assert len(told("step_delta " + CALLS, events)) == 1


def test_more_places_than_are_remembered() -> None:
    """300 calls that grow in turn, by fragments of the commonest form."""
    names = [f"c{index}" for index in range(300)]
    rounds = [arguments(text, index) for text in "ab" for index in range(300)]
    final = step("completed", "step_1", *(call("ab", id=name) for name in names))
    found = told(CALLS, [run(), step(), *(first(index, name) for index, name in enumerate(names)), *rounds, final])

    assert [about for name, about in found if name == "tool_call_done"] == names
    grown = [about for name, about in found if name == "tool_call_delta"][300:]
    assert grown == [(index, text) for text in "ab" for index in range(300)]


def test_the_state_beside_a_fragment_is_that_of_its_moment() -> None:
    """Though the whole batch was merged before the first hook was called."""
    seen: list[FunctionToolCall] = []
    hooks = hooked(tool_call_delta=lambda delta, change: seen.append(change.state.step_details.tool_calls[0]))
    events = [run(), step(), first(0, "c0", "a"), *map(arguments, "bc")]
    HookDispatch(hooks, on_error="raise").dispatch(StreamProcessor().feed(sse(*events)))

    assert [item.function for item in seen] == [Function(name="f", arguments=text) for text in ("a", "ab", "abc")]
