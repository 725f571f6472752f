"""The laws of the core, each as a property over well-formed and hostile streams.

docs/architecture.md, "What always holds", numbers them; the sections here follow its order.
"""

import gc
import json
import random
import re
import sys
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from streamproc import (
    AssistantsDialect,
    Change,
    Event,
    Limits,
    Message,
    Run,
    RunStep,
    StreamProcessor,
    encode_sse,
    to_wire,
)
from streamproc.core.sse import Frame, SSEParser
from tests.properties.generators import (
    BLOCKS,
    CUTS,
    EVENTS,
    FEW,
    JUNK,
    LIMITS,
    MANY,
    MUTATIONS,
    SOME,
    TERMINAL,
    TEXTS,
    Json,
    Script,
    canonical,
    corrupted,
    cut,
    feed,
    finals,
    is_empty,
    mutated,
    outcome,
    read,
    scripts,
)
from tests.streams import (
    arguments,
    call,
    calls,
    code,
    done,
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

pytestmark = pytest.mark.slow

STREAMS = st.lists(BLOCKS, min_size=5, max_size=40)


# --- 1. Chunking: any split of the same bytes gives the same changes --------------------------------------------------


@SOME
@given(STREAMS, CUTS)
def test_any_split_gives_the_same_changes(blocks: list[bytes], cuts: list[float]) -> None:
    """Their JSON form, states, payloads, revisions and numbers; also what the stream amounts to in the end."""
    data = b"".join(blocks)
    expected = outcome([data])

    assert expected == outcome(cut(data, cuts))
    assert expected == outcome(blocks)


@FEW
@given(STREAMS)
def test_byte_by_byte_gives_the_same_changes(blocks: list[bytes]) -> None:
    """The smallest slices there are."""
    data = b"".join(blocks)

    assert outcome([data]) == outcome(data[at : at + 1] for at in range(len(data)))


@FEW
@given(scripts(azure=False), CUTS)
def test_any_split_of_a_well_formed_run_gives_the_same_changes(script: Script, cuts: list[float]) -> None:
    """Here nearly all chunks are regular, so that most deltas are merged without making events of them."""
    data = sse(*script.events)
    expected = outcome([data])

    assert expected == outcome(cut(data, cuts))
    assert not expected.anomalies


@SOME
@given(STREAMS, CUTS, LIMITS)
def test_any_split_gives_the_same_changes_up_to_the_same_limit(
    blocks: list[bytes], cuts: list[float], limits: Limits
) -> None:
    """What is refused, evicted and raised does not depend on the split either."""
    data = b"".join(blocks)
    expected = outcome([data, b"", b""], limits)

    assert expected == outcome([*cut(data, cuts), b"", b""], limits)


# --- 2. Faithful: after a terminal snapshot the object equals it as JSON data -----------------------------------------

ANY_JSON = st.recursive(
    st.sampled_from([None, True, False, 0, 1, -1.5, 2**63, "", "x", "é\n"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["", "a", "type", "id"]), inner, max_size=3)
    ),
    max_leaves=8,
)
MEMBERS = st.dictionaries(
    st.sampled_from(["usage", "metadata", "last_error", "completed_at", "type", "run_id", "expires_at", "x", ""]),
    ANY_JSON,
    max_size=5,
)
DETAILS = st.sampled_from(
    [
        UNSET,
        None,
        {},
        {"type": "tool_calls", "tool_calls": []},
        calls(call("other", id="c0", name="g", output="o")),
        calls({"type": "x_tool", "x": {"y": [None]}}),
        {"type": "x_details", "x": 1},
    ]
)
PREPARATIONS = st.sampled_from(
    [
        step("created", "step_f"),
        step("in_progress", "step_f", step_details=UNSET),
        step("created", "step_f", call("a", id="c0", name="f", output=None)),
        step_delta(call("a", index=0, id="c0", name="f"), id="step_f"),
        step_delta(call("b", index=1), id="step_f"),
        step_delta(delta={"metadata": {"k": "v"}, "x": 1}, id="step_f"),
        arguments("b", id="step_f"),
    ]
)


@MANY
@given(
    st.lists(PREPARATIONS, max_size=8),
    st.lists(EVENTS, max_size=4),
    MEMBERS,
    DETAILS,
    st.sampled_from(sorted(TERMINAL["steps"])),
    st.randoms(use_true_random=False),
)
def test_a_terminal_snapshot_is_taken_exactly(
    before: list[Event], others: list[Event], members: dict[str, Json], details: Json, status: str, rng: random.Random
) -> None:
    """Whatever came before: unknown members at any depth are there, absent ones are absent, numbers keep their kind.

    The one exception: details that say nothing leave what deltas built up.
    """
    proc = StreamProcessor()
    for item in others:
        before.insert(rng.randint(0, len(before)), item)
    feed(proc, map(sse, before), close=False)
    last = proc.steps.get("step_f")
    kept = json.loads(to_wire(last)).get("step_details") if last else None
    final = step(status, "step_f", step_details=details, **members)
    proc.feed(sse(final))
    expected = dict(final.data)
    if says_nothing(expected.get("step_details")) and not says_nothing(kept):
        expected["step_details"] = kept

    assert canonical(expected) == canonical(to_wire(proc.steps["step_f"]))
    assert proc.steps["step_f"].status == status


def says_nothing(details: Json) -> bool:
    if isinstance(details, dict):
        return all(is_empty(value) for name, value in details.items() if name != "type")
    return is_empty(details)


@MANY
@given(scripts())
def test_states_equal_the_objects_that_a_run_was_cut_from(script: Script) -> None:
    """What the deltas add up to just before each terminal snapshot, and all objects at the end."""
    proc = StreamProcessor()
    for item in script.events:
        final, table = script.accumulated.get(item.data["id"]), proc.messages if "message" in item.name else proc.steps
        if final is not None and item.data.get("status") in TERMINAL["steps"] | TERMINAL["messages"]:
            built = json.loads(to_wire(table[item.data["id"]]))

            assert canonical(final) == canonical(built["content" if "message" in item.name else "step_details"])
        proc.feed(sse(item))
    states = {id: state for table in finals(proc).values() for id, state in table.items()}
    threads = {id for id, final in script.finals.items() if final["object"] == "thread"}

    assert states.keys() == script.finals.keys() - threads
    assert all(canonical(script.finals[id]) == state for id, state in states.items())
    assert not proc.anomalies.keys() - {"unknown_type"}


# --- 3. Linear: a delta costs as much as it says, whatever the state --------------------------------------------------

PIECE = "x" * 1000


def entry_of_call(index: int) -> Json:
    return {"index": index, "id": f"call_{index}", **call("", name="f", output=None)}


def long_text(size: int) -> Iterator[Event]:
    """One call, one code interpreter and one text, each of `size` thousand characters, in as many fragments."""
    yield run()
    yield step()
    yield step_delta(entry_of_call(0))
    yield step_delta({"index": 1, "id": "call_1", **code("", outputs=[])})
    yield message()
    for _ in range(size):
        yield arguments(PIECE)
        yield step_delta(code(PIECE, index=1))
        yield words(PIECE)
        yield step_delta(code(index=1, outputs=[{"index": 0, "type": "logs", "logs": PIECE}]))
        yield step_delta(call(index=0, output=PIECE))


def one_snapshot(size: int) -> Iterator[Event]:
    """The same text in one piece, from a snapshot."""
    whole = PIECE * size
    output = {"type": "logs", "logs": whole}
    yield run()
    yield step(
        "created",
        "step_1",
        call(whole, id="call_0", name="f", output=whole),
        code(whole, id="call_1", outputs=[output]),
    )
    yield message("created", "msg_1", text(whole, annotations=[]))
    yield arguments("-")
    yield words("-")


def many_calls(size: int) -> Iterator[Event]:
    """As many tool calls, outputs, blocks and annotations, each with a text of its own."""
    yield run()
    yield step()
    yield message()
    yield words("-")
    for index in range(size):
        yield step_delta(entry_of_call(index))
        yield arguments(PIECE, index=index)
        yield message_delta(text(index=0, annotations=[{"index": index, "type": "file_path", "text": PIECE}]))
    yield step_delta({"index": size, "id": "call_code", **code("", outputs=[])})
    for index in range(size):
        yield step_delta(code(index=size, outputs=[{"index": index, "type": "logs", "logs": PIECE}]))


PROBES: Mapping[str, Callable[[int], Event]] = {
    "arguments": lambda n: arguments("abc"),
    "words": lambda n: words("abc"),
    "two entries": lambda n: step_delta(call("a", index=0), call("b", index=0)),
    "by id": lambda n: step_delta(call("a", id="call_0")),
    "without index": lambda n: step_delta(call("a")),
    "without id": lambda n: step_delta(call("a", index=0), id=UNSET),
    "output": lambda n: step_delta(call(index=0, output=f"{n}")),
    "name": lambda n: step_delta(call(index=0, name="f")),
    "same call again": lambda n: step_delta({"index": 0, "id": "call_0", **call("a", name="f")}),
    "other id": lambda n: step_delta({"index": 0, "id": "call_1", **call("a")}),
    "other type": lambda n: step_delta({"index": 0, "type": f"x_{n}", f"x_{n}": {"a": 1}}),
    "logs": lambda n: step_delta({"index": 1, **code(outputs=[{"index": 0, "type": "logs", "logs": "a"}])}),
    "annotation": lambda n: message_delta(text(index=0, annotations=[{"index": 0, "type": "file_path", "text": "t"}])),
    "metadata": lambda n: step_delta(delta={"metadata": {"k": f"{n}"}}),
    "null": lambda n: step_delta(delta={"metadata": None, "step_details": None}),
    "nothing": lambda n: step_delta(delta={"activities": []}),
    "empty": lambda n: step_delta(delta={}),
    "wrong types": lambda n: step_delta(delta={"step_details": "x", "status": 1}),
    "gap": lambda n: step_delta(call("a", index=10**6)),
}


def costs(build: Callable[[int], Iterator[Event]], size: int) -> dict[str, tuple[int, int]]:
    """Per kind of delta, while 40 are merged into a state of some size: calls of functions, bytes allocated at most."""
    proc = StreamProcessor()
    for item in build(size):
        proc.feed(sse(item))
    found: dict[str, tuple[int, int]] = {}
    called = 0

    def count(frame: object, what: str, arg: object) -> None:
        nonlocal called
        called += what in ("call", "c_call")

    for name, probe in PROBES.items():
        deltas = [sse(probe(number)) for number in range(41)]
        proc.feed(deltas.pop())  # the first one after a snapshot may have to take it apart
        changes: list[Change] = []
        called = 0
        tracemalloc.start()
        sys.setprofile(count)
        for delta in deltas:
            changes += proc.feed(delta)
        sys.setprofile(None)
        found[name] = called, tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return found


def dearer(build: Callable[[int], Iterator[Event]]) -> dict[str, tuple[tuple[int, int], tuple[int, int]]]:
    """The kinds of deltas that cost more in a large state than in a small one."""
    small, large = costs(build, 20), costs(build, 300)
    return {
        name: (small[name], large[name])
        for name in PROBES
        if large[name][0] > small[name][0] * 1.2 + 100 or large[name][1] > small[name][1] * 1.2 + 100_000
    }


@pytest.mark.parametrize("build", [long_text, one_snapshot, many_calls])
def test_a_delta_costs_the_same_in_a_state_of_any_size(build: Callable[[int], Iterator[Event]]) -> None:
    """Counted, not timed: neither the calls that merging takes nor the memory it touches grow with the state."""
    assert not dearer(build)


def test_a_late_delta_costs_the_same_in_a_state_of_any_size() -> None:
    """One that comes after the end of its object is refused as cheaply as it would have been merged.

    One that may fill a gap has to look at the object for it, which costs as much as its snapshot did.
    """

    def ended(size: int) -> Iterator[Event]:
        yield from long_text(size)
        yield step("completed", "step_1", step_details=UNSET)
        yield message("completed", "msg_1", content=UNSET)

    assert dearer(ended).keys() <= {"output", "logs", "metadata"}


# --- 4. Views: a state read late is the state when the change was made ------------------------------------------------


@SOME
@given(STREAMS, CUTS, st.randoms(use_true_random=False))
def test_a_state_read_late_is_what_it_was(blocks: list[bytes], cuts: list[float], rng: random.Random) -> None:
    """Read in any order, more than once, after everything else has come; also a state that was kept since."""
    proc = StreamProcessor()
    changes = []
    expected = []
    kept = []
    for block in blocks:
        for change in proc.feed(block):
            changes.append(change)
            expected.append(read(change))
            kept.append(change.state)
    late = [*range(len(changes)), *range(len(changes))]
    rng.shuffle(late)

    assert [expected[at] for at in late] == [read(changes[at]) for at in late]
    assert [seen.state for seen in expected] == [None if state is None else to_wire(state) for state in kept]


@SOME
@given(STREAMS, st.randoms(use_true_random=False))
def test_reading_changes_nothing(blocks: list[bytes], rng: random.Random) -> None:
    """A stream whose changes are read now and then, in any order, goes on as one that nobody reads."""
    proc = StreamProcessor()
    changes, _ = feed(proc, [b"".join(blocks)])
    read_between = StreamProcessor()
    seen = []
    for block in blocks:
        seen += read_between.feed(block)
        for change in rng.sample(seen, min(3, len(seen))):
            read(change)
        finals(read_between)
    seen += read_between.close()

    assert list(map(read, changes)) == list(map(read, seen))
    assert finals(proc) == finals(read_between)


@FEW
@given(scripts())
def test_views_of_a_forgotten_run_stay(script: Script) -> None:
    """Neither eviction nor a new pass over the stream touches what was handed out."""
    proc = StreamProcessor()
    changes, _ = feed(proc, [sse(*script.events)])
    expected = list(map(read, changes))
    proc.open(epoch=2)
    feed(proc, [sse(*script.events[: len(script.events) // 2])])
    proc.evict("run_1")

    assert expected == list(map(read, changes))
    assert finals(proc) == {"runs": {}, "steps": {}, "messages": {}}


# --- 5. Terminal: a terminal status never changes ---------------------------------------------------------------------

FILLABLE = frozenset({"usage", "output", "outputs", "results", "metadata"})


def unexpected(before: Json, after: Json, *, fillable: bool = False) -> str:
    """What is different between two states of an ended object beyond filled gaps; "" when nothing is."""
    if canonical(before) == canonical(after) or (fillable and is_empty(before)):
        return ""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in before.keys() | after.keys():
            inside = fillable or name in FILLABLE
            if name not in after or (name not in before and not inside):
                return f"{name} came or went"
            if found := unexpected(before.get(name), after[name], fillable=inside):
                return f"{name}: {found}"
        return ""
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return next(filter(None, map(unexpected, before, after)), "")
    return f"{before!r} became {after!r}"


@MANY
@given(st.lists(BLOCKS | EVENTS.map(sse), min_size=5, max_size=40), st.booleans())
def test_an_ended_object_only_fills_gaps(blocks: list[bytes], reopens: bool) -> None:
    """Its status stays, and of the rest only what is empty in usage, outputs, results and metadata may change."""
    proc = StreamProcessor()
    ended: dict[tuple[str, str], Json] = {}
    for number, block in enumerate(blocks):
        if reopens and number % 7 == 6:
            proc.close()
            proc.open(epoch=number)
        feed(proc, [block], close=False)
        for name, table in finals(proc).items():
            for id, wire in table.items():
                now = json.loads(wire)
                if (before := ended.get((name, id))) is not None:
                    assert not unexpected(before, now)
                if isinstance(now.get("status"), str) and now["status"] in TERMINAL[name]:
                    ended[name, id] = now


GAPS = {"metadata": None, "completed_at": None, "last_error": None, "usage": {"total_tokens": 5, "prompt_tokens": None}}
ENDED = [
    step("completed", "step_1", call("a", id="c0", output=None), code("i", id="c1", outputs=[]), {"type": "x"}, **GAPS),
    message("completed", "msg_1", text("a", annotations=[]), {"type": "image_file", "image_file": {}}, **GAPS),
    run("completed", "run_1", required_action=None, tools=[], **GAPS),
]
JUNKS = st.sampled_from(JUNK)
PLURAL = {"thread.run": "runs", "thread.run.step": "steps", "thread.message": "messages"}
WAYS = ["created", "in_progress", "completed", "failed", "incomplete", "delta"]


@MANY
@given(
    st.sampled_from(ENDED),
    st.lists(st.tuples(st.sampled_from(WAYS), st.lists(st.tuples(st.integers(0, 40), JUNKS), max_size=3)), min_size=2),
)
def test_whatever_is_said_of_an_ended_object_only_fills_gaps(
    final: Event, late: list[tuple[str, list[tuple[int, Json]]]]
) -> None:
    """Of an object full of gaps, by snapshots and deltas that differ from it in any place."""
    proc = StreamProcessor()
    proc.feed(sse(final))
    (before,) = (json.loads(state) for table in finals(proc).values() for state in table.values())
    for way, places in late:
        data = {**corrupted(final.data, places), "id": final.data["id"]}
        name = final.name.replace("completed", way)
        proc.feed(sse(event(name, {"id": data["id"], "delta": data} if way == "delta" else data)))
        after = json.loads(finals(proc)[PLURAL[final.data["object"]]][final.data["id"]])

        assert not unexpected(before, after)
        assert after["status"] == "completed"
        before = after


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ({"status": "queued"}, {"status": "completed"}),
        ({"status": "queued"}, {}),
        ({"status": None}, {"status": None, "x": 1}),
        ({}, {}),
    ],
    ids=["by its status", "by name", "by name, changed", "by name, unchanged"],
)
def test_a_run_that_ends_marks_what_is_open(first: dict[str, Json], last: dict[str, Json]) -> None:
    """Also when only the name of its last event says that it ended, and even if its payload says nothing new."""
    proc = StreamProcessor()
    proc.feed(sse(event("thread.run.created", {"id": "run_1", **first}), step(), message()))
    proc.feed(sse(event("thread.run.completed", {"id": "run_1", **last})))
    proc.close()

    assert proc.reducer.note("step", "step_1").inferred_status == "completed"
    assert proc.reducer.note("message", "msg_1").inferred_status == "completed"
    assert not proc.truncated
    assert not proc.anomalies


IDENTITY = ("id", "object", "run_id", "thread_id", "created_at", "status")


@SOME
@given(st.lists(st.tuples(st.sampled_from(IDENTITY), JUNKS, st.booleans()), min_size=1))
def test_a_delta_never_changes_what_an_object_is(said: list[tuple[str, Json, bool]]) -> None:
    """Its ids and its status are for snapshots to say, and its tool calls keep theirs; of no type does a value help."""
    made = {"id": "c0", "type": "function", "function": {"name": "f", "arguments": "a"}}
    first = step("created", "step_1", made, created_at=1)
    proc = StreamProcessor()
    proc.feed(sse(run(), first))
    for name, junk, deep in said:
        entry = {"index": 0, name: junk, "type": junk}
        proc.feed(sse(step_delta(entry) if deep else step_delta(delta={name: junk, "step_details": {"type": junk}})))
    (state,) = map(json.loads, finals(proc)["steps"].values())
    now = state["step_details"]["tool_calls"][0]

    assert canonical({name: first.data[name] for name in IDENTITY}) == canonical(
        {name: state[name] for name in IDENTITY}
    )
    assert (state["step_details"]["type"], now["id"], now["type"]) == ("tool_calls", "c0", "function")
    assert now["function"] == made["function"]


# --- 6. Continuation: the streams of a run, one after another, give the same states as one stream ---------------------


def is_id_less(item: Event) -> bool:
    data = json.loads(item.raw) if item.name.endswith((".delta", ".chunk")) else {"id": "any"}
    return not (isinstance(data, dict) and data.get("id") and isinstance(data["id"], str))


def fed_in_parts(blocks: Sequence[bytes], cuts: Sequence[int], *, closes: bool, ends: bool) -> StreamProcessor:
    proc = StreamProcessor()
    for start, end in pairwise([0, *sorted(at % (len(blocks) + 1) for at in cuts), len(blocks)]):
        if start:
            proc.open()
        for block in blocks[start:end]:
            proc.feed(block)
        if ends:
            proc.feed(sse(done()))
        if closes:
            proc.close()
    return proc


@SOME
@given(
    st.lists(EVENTS, min_size=2, max_size=30), st.lists(st.integers(0, 30), max_size=4), st.booleans(), st.booleans()
)
def test_streams_one_after_another_give_the_states_of_one(
    events: list[Event], cuts: list[int], closes: bool, ends: bool
) -> None:
    """Cut anywhere, closed or not, with `done` or cut off. Each delta has an id: one without belongs to its stream."""
    blocks = [sse(item) for item in events if not is_id_less(item)]
    expected = fed_in_parts(blocks, [], closes=False, ends=False)

    assert finals(expected) == finals(fed_in_parts(blocks, cuts, closes=closes, ends=ends))


@FEW
@given(scripts(), st.booleans())
def test_a_run_in_several_streams_gives_the_states_of_one(script: Script, closes: bool) -> None:
    """As servers cut it: after requires_action. Nothing is odd about that, and no stream is truncated."""
    proc = StreamProcessor()
    truncated = []
    for number, stream in enumerate(script.streams):
        if number:
            proc.open()
        proc.feed(sse(*stream))
        if closes:
            proc.close()
            truncated.append(proc.truncated)
    expected = StreamProcessor()
    expected.feed(sse(*script.events))

    assert finals(expected) == finals(proc)
    assert not any(truncated)
    assert expected.anomalies == proc.anomalies


@FEW
@given(scripts(), scripts(), st.randoms(use_true_random=False))
def test_two_processors_may_build_one_table(one: Script, two: Script, rng: random.Random) -> None:
    """Two runs whose streams come in turns, through one reducer, do not disturb each other."""
    streams = [one.events, [of_another_run(item) for item in two.events]]
    first = StreamProcessor(stream="one")
    both = [first, StreamProcessor(stream="two", reducer=first.reducer)]
    queues = [iter(events) for events in streams]
    for which in rng.sample([0] * len(streams[0]) + [1] * len(streams[1]), len(streams[0]) + len(streams[1])):
        both[which].feed(sse(next(queues[which])))
    alone = [finals(fed_in_parts([sse(*events)], [], closes=False, ends=False)) for events in streams]

    assert finals(first) == {name: alone[0][name] | alone[1][name] for name in alone[0]}


def of_another_run(item: Event) -> Event:
    """The same event with other ids of the run, its steps and its messages."""
    raw = re.sub(rb'"((?:run|step|msg)_\d)"', rb'"\1x"', item.raw)
    return Event(item.name, json.loads(raw), raw)


@SOME
@given(st.lists(EVENTS, min_size=1, max_size=25))
def test_forgetting_every_run_forgets_everything(events: list[Event]) -> None:
    """Each object belongs to the run that its changes name, "" for none."""
    proc = StreamProcessor()
    changes, _ = feed(proc, map(sse, events))
    for run_id in {change.run_id for change in changes}:
        proc.evict(run_id or "")

    assert finals(proc) == {"runs": {}, "steps": {}, "messages": {}}


@pytest.mark.parametrize(
    "last",
    [step("in_progress", "step_1", run_id=UNSET, thread_id=UNSET, x=1), arguments("a")],
    ids=["snapshot", "delta"],
)
def test_an_object_stays_in_its_run(last: Event) -> None:
    """What another run of the same stream did in between does not concern it."""
    *_, change = StreamProcessor().feed(sse(run(), step(), run("created", "run_2", thread_id="thread_2"), last))

    assert (change.id, change.run_id, change.thread_id) == ("step_1", "run_1", "thread_1")


# --- 7. Tolerant: nothing but a limit raises, and what is not understood survives -------------------------------------


@SOME
@given(st.binary(max_size=200) | st.lists(BLOCKS, max_size=6).map(b"".join), st.booleans())
def test_no_bytes_raise(data: bytes, as_data: bool) -> None:
    """Neither as a stream nor as the payloads of one, and reading what came of it does not raise either."""
    chunks = [b"event: thread.run.step.delta\ndata: " + data + b"\n\n"] if as_data else [data]

    assert outcome(chunks).error == ""


@MANY
@given(scripts(), st.lists(BLOCKS, max_size=6), MUTATIONS)
def test_no_mutation_of_a_stream_raises(script: Script, others: list[bytes], mutations: list[Any]) -> None:
    """Flipped bits, lost, repeated and foreign parts, an early end."""
    data = mutated(sse(*script.events) + b"".join(others), mutations)

    assert outcome([data]).error == ""


@SOME
@given(STREAMS, LIMITS, st.booleans())
def test_nothing_but_limits_raises_and_limits_hold(blocks: list[bytes], limits: Limits, reopens: bool) -> None:
    """Under limits small enough to be met: what may grow does not, and the rest of the stream is processed."""
    proc = StreamProcessor(limits=limits)
    for number, block in enumerate(blocks):
        changes, failure = feed(proc, [block], close=False)
        for change in changes:
            read(change)

        assert failure in ("", "LineTooLong", "FrameTooLarge")
        assert len(proc.runs) <= limits.max_open_runs + limits.max_closed_runs + 1
        assert len(proc.steps) + len(proc.messages) <= limits.max_steps_per_run * (
            limits.max_open_runs + limits.max_closed_runs + 1
        )
        if failure or (reopens and number % 5 == 4):
            proc.open()


NAME = f"{{:0{len(PIECE)}}}"

REFUSED: Mapping[str, Callable[[int], bytes]] = {
    "another type": lambda n: sse(step_delta({"index": 0, "type": NAME.format(n)})),
    "another id": lambda n: sse(step_delta(delta={"id": NAME.format(n)})),
    "too far": lambda n: sse(step_delta(call(PIECE, index=10**6 + n))),
    "no index": lambda n: sse(step_delta(call(PIECE, index=-n))),
    "no room": lambda n: sse(arguments(PIECE)),
    "no room for a member": lambda n: sse(step_delta(delta={NAME.format(n): PIECE})),
    "no room for an entry": lambda n: sse(step_delta(call(PIECE, index=n, id=NAME.format(n)))),
    "wrong type": lambda n: sse(step_delta(delta={"step_details": NAME.format(n)})),
    "too late": lambda n: sse(step("completed", "step_2", x=NAME.format(n))),
    "unknown event": lambda n: sse(event(f"x.{NAME.format(n)}", {})),
    "no JSON": lambda n: sse(event("thread.run.step.delta", NAME.format(n) + "!")),
    "no id": lambda n: sse(event("thread.run.created", {"x": NAME.format(n)})),
    "a lone line": lambda n: f"id: {NAME.format(n)}\nretry: {n}\n\n".encode(),
}


def memory(work: Callable[[], object]) -> int:
    """Bytes that some work leaves allocated."""
    gc.collect()
    tracemalloc.start()
    work()
    gc.collect()
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return kept


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_refused_is_not_kept(refused: Callable[[int], bytes]) -> None:
    """However much of it comes."""
    proc = StreamProcessor(limits=Limits(max_object_bytes=3000, max_entries=3))
    tool_calls = [call("", id=f"call_{index}", name="f") for index in range(3)]
    proc.feed(sse(run(), step("created", "step_1", *tool_calls), step("completed", "step_2"), arguments(PIECE)))
    for _ in range(3):
        proc.feed(sse(arguments(PIECE)))

    def work() -> None:
        for number in range(1000):
            proc.feed(refused(number + 100))

    proc.feed(refused(1))

    assert memory(work) < 100_000


def test_an_evicted_run_leaves_nothing_behind() -> None:
    """Whatever its objects held, once nobody holds a view of them."""

    def work() -> None:
        proc.feed(sse(run(), step(), message(), arguments(PIECE), words(PIECE)))
        for number in range(500):
            name = NAME.format(number)
            proc.feed(sse(step_delta(delta={name: name}), step_delta(call(name, index=number + 1, id=name, name="f"))))
            proc.feed(sse(step("created", name), message("created", name)))
        proc.evict("run_1")

    proc = StreamProcessor()
    work()

    assert memory(work) < 100_000


@SOME
@given(st.lists(EVENTS, min_size=1, max_size=20))
def test_every_oddity_has_a_name(events: list[Event]) -> None:
    """Anomalies are counted one by one as they travel, and their place in a stream is numbered like any change's."""
    proc = StreamProcessor()
    changes, _ = feed(proc, map(sse, events))
    kinds = [change.delta.kind for change in changes if change.kind == "anomaly"]  # type: ignore[union-attr]

    assert dict(proc.anomalies) == {kind: kinds.count(kind) for kind in kinds}
    assert [change.seq for change in changes] == list(range(1, len(changes) + 1))


@SOME
@given(st.lists(EVENTS, min_size=1, max_size=25))
def test_revisions_count_the_visible_changes_of_an_object(events: list[Event]) -> None:
    """From 1, without a gap; a change says something new of the object, beside it, or in its payload."""
    changes, _ = feed(StreamProcessor(), map(sse, events))
    last: dict[tuple[str, str], int] = {}
    for change in changes:
        if change.kind in ("run", "step", "message"):
            key = (change.kind, change.id)

            assert change.revision == last.get(key, 0) + 1
            last[key] = change.revision


@SOME
@given(st.lists(EVENTS, max_size=8), ANY_JSON, st.sampled_from(["x.new", "thread.run.step.paused", "thread.x"]))
def test_unknown_events_survive(before: list[Event], payload: Json, name: str) -> None:
    """As an anomaly that carries the payload; all else goes on as without them."""
    unknown = event(name, {"id": "step_1", "payload": payload})
    proc = StreamProcessor()
    feed(proc, map(sse, before), close=False)
    expected = finals(proc)
    *_, change = proc.feed(sse(unknown))

    assert (change.kind, change.event, change.raw) == ("anomaly", name, unknown.raw)
    assert finals(proc) == expected


@SOME
@given(ANY_JSON, st.sampled_from(["paused", "", "x"]), st.booleans())
def test_unknown_members_types_and_statuses_survive(value: Json, status: str, by_delta: bool) -> None:
    """From a snapshot or a delta, at any depth, into the state and out of it again."""
    tool = {"id": "c0", "type": "x_tool", "x_tool": {"x": value}, "x": value}
    details = calls() if by_delta else calls(tool)
    proc = StreamProcessor()
    proc.feed(sse(step("in_progress", "step_1", status=status, step_details=details, x=value, last_error={"x": value})))
    if by_delta:
        proc.feed(sse(step_delta({"index": 0, **tool})))
    state = proc.steps["step_1"]
    found = json.loads(to_wire(state))

    assert canonical([value, {"x": value}, tool]) == canonical(
        [found["x"], found["last_error"], found["step_details"]["tool_calls"][0]]
    )
    assert state.status == status
    assert proc.anomalies["unknown_type"] == 1


@pytest.mark.parametrize(
    "obj", [Run(id="run_1"), RunStep(id="step_1"), Message(id="msg_1")], ids=["run", "step", "message"]
)
@pytest.mark.parametrize("status", ["paused", "queued", "incomplete", "completed"])
def test_any_status_can_be_taken_from_elsewhere(obj: Run | RunStep | Message, status: str) -> None:
    """A state that a list endpoint gave is authoritative, also in a status that no event is named for."""
    proc = StreamProcessor()
    obj = msgspec.structs.replace(obj, status=status)
    (change,) = proc.hydrate(obj)

    assert change.state.status == status
    assert not proc.anomalies


@SOME
@given(st.binary(max_size=30) | st.sampled_from([b"[" * 300, b"{" * 300 + b"}" * 300, b'{"error":' * 3, b"null"]))
def test_an_error_event_is_an_error_whatever_it_says(payload: bytes) -> None:
    """And the end of its stream."""
    proc = StreamProcessor()
    payload = b"".join(payload.split()).removeprefix(b"[DONE]")
    (change,) = proc.feed(b"event: error\ndata: " + payload + b"\n\n")

    assert change.kind == "error"
    assert change.state.message or len(payload) < 3 or payload.startswith(b"{")
    assert proc.close() == []


# --- and what follows from them ---------------------------------------------------------------------------------------

BUILDERS: Mapping[str, Callable[[str], Event]] = {
    "arguments": arguments,
    "words": words,
    "input": lambda fragment: step_delta(code(fragment, index=1)),
    "logs": lambda fragment: step_delta(code(index=1, outputs=[{"index": 0, "type": "logs", "logs": fragment}])),
    "refusal": lambda fragment: message_delta({"index": 1, "type": "refusal", "refusal": fragment}),
    "mcp": lambda fragment: step_delta({"index": 2, "type": "mcp", "arguments": fragment}),
}


@pytest.mark.parametrize("build", BUILDERS.values(), ids=BUILDERS.keys())
@FEW
@given(st.lists(TEXTS, min_size=2, max_size=6), st.booleans())
def test_merging_fragments_is_merging_their_joined_text(
    build: Callable[[str], Event], fragments: list[str], in_one_event: bool
) -> None:
    """One by one, as several entries of one delta, or in one piece."""
    results = []
    deltas = [build(fragment) for fragment in fragments]
    for events in (deltas, [build("".join(fragments))], [merged(deltas)] if in_one_event else deltas[:]):
        proc = StreamProcessor()
        proc.feed(sse(run(), step(), message(), *events))
        results.append(finals(proc))

    assert results[0] == results[1] == results[2]


def merged(deltas: list[Event]) -> Event:
    """One delta with the entries of all."""
    first = json.loads(deltas[0].raw)
    holder, name = (
        (first["delta"], "content") if "content" in first["delta"] else (first["delta"]["step_details"], "tool_calls")
    )
    for delta in deltas[1:]:
        data = json.loads(delta.raw)["delta"]
        holder[name] += data.get("content") or data["step_details"][name]
    return event(deltas[0].name, first)


PART = st.integers(0, 45)


@MANY
@given(scripts(), PART, PART, st.booleans())
def test_a_replay_from_the_start_changes_nothing_in_the_end(
    script: Script, prefix: int, end: int, closes: bool
) -> None:
    """A prefix, then the stream again in a new epoch, whole or not: the states of one pass over the second."""
    expected = StreamProcessor()
    expected.feed(sse(*script.events[:end]))
    proc = StreamProcessor()
    proc.feed(sse(*script.events[: min(prefix, end)]))
    if closes:
        proc.close()
    proc.open(epoch=2)
    proc.feed(sse(*script.events[:end]))
    expected.close()
    proc.close()

    assert finals(expected) == finals(proc)
    assert expected.truncated == proc.truncated


@SOME
@given(scripts(), PART, PART, PART)
def test_what_a_replaced_connection_still_delivers_is_refused(script: Script, prefix: int, end: int, late: int) -> None:
    """After the new one has begun to speak of the same objects."""
    old = StreamProcessor()
    old.feed(sse(*script.events[:prefix]))
    proc = StreamProcessor(reducer=old.reducer, epoch=2)
    proc.feed(sse(*script.events[: prefix + end]))
    expected = finals(proc)
    old.feed(sse(*script.events[prefix : min(prefix + late, prefix + end)]))

    assert expected == finals(proc)


DIALECT = AssistantsDialect()


def frames(blocks: list[bytes]) -> list[Frame]:
    return SSEParser().feed(b"".join(blocks))


@MANY
@given(STREAMS)
def test_an_event_that_was_written_is_read(blocks: list[bytes]) -> None:
    """Also one that was not understood. Only an empty payload has no bytes to be written again."""
    for frame in frames(blocks):
        for item in DIALECT.decode(frame):
            assert item.payload is item.data or isinstance(item.data, dict)
            if item.raw and item.name and not {"\r", "\n"} & {*item.name}:
                (again,) = frames([encode_sse(item)])

                assert [item] == list(DIALECT.decode(again))


@SOME
@given(scripts())
def test_a_stream_that_was_written_is_read(script: Script) -> None:
    """Event by event, without payload bytes of their own: the same states as from the original."""
    proc = StreamProcessor()
    proc.feed(b"".join(encode_sse(Event(item.name, item.data)) for item in script.events))
    expected = StreamProcessor()
    expected.feed(sse(*script.events))

    assert finals(expected) == finals(proc)
