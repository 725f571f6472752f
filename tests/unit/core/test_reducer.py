"""The reducer as its callers see it: views, the fast path beside the general one, streams that share, bounds."""

import json
import random
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import pytest
from msgspec import UNSET

from streamproc import Change, Event, Limits, Message, Reducer, Run, RunStep, StreamProcessor, to_wire
from streamproc.core.change import Note
from streamproc.core.context import StreamContext
from streamproc.core.tree import COMPACT_AT
from tests.streams import (
    anomalies,
    arguments,
    by_hand,
    call,
    calls,
    code,
    creation,
    done,
    event,
    message,
    message_delta,
    run,
    sse,
    step,
    step_delta,
    text,
    visible,
    wire,
    words,
)

Path: TypeAlias = Callable[[StreamProcessor, Iterable[Event]], list[Change]]


def fast(proc: StreamProcessor, events: Iterable[Event]) -> list[Change]:
    """All at once, so that text fragments are merged at one stroke."""
    return proc.feed(sse(*events))


def general(proc: StreamProcessor, events: Iterable[Event]) -> list[Change]:
    """One by one, each after a comment, so that every event goes through `apply`."""
    return [change for item in events for change in proc.feed(b":\n" + sse(item))]


both_paths = pytest.mark.parametrize("path", [fast, general])


class Counting(Reducer):
    """Notes what goes through `apply`."""

    def __init__(self) -> None:
        super().__init__()
        self.applied: list[str] = []

    def apply(self, event: Event, context: StreamContext | None = None) -> list[Change]:
        self.applied.append(event.name)
        return super().apply(event, context)


def states(changes: Iterable[Change]) -> list[Any]:
    """What the changes show, read now."""
    return [wire(change.state) for change in changes if change.kind in ("run", "step", "message")]


def tool_calls(reducer: Reducer | StreamProcessor, id: str = "step_1") -> Any:
    return wire(reducer.steps[id])["step_details"]["tool_calls"]


# --- the public face --------------------------------------------------------------------------------------------------


def test_reducer_alone() -> None:
    """For those who bring their own events."""
    reducer = Reducer()
    changes = [change for item in (run(), step(), message()) for change in reducer.apply(item)]

    assert [(change.stream, change.epoch, change.seq, change.at) for change in changes] == [
        ("default", 1, number, None) for number in (1, 2, 3)
    ]
    assert dict(reducer.runs) == {"run_1": changes[0].state}
    assert dict(reducer.steps) == {"step_1": changes[1].state}
    assert dict(reducer.messages) == {"msg_1": changes[2].state}
    assert isinstance(reducer.runs["run_1"], Run)
    assert isinstance(reducer.steps["step_1"], RunStep)
    assert isinstance(reducer.messages["msg_1"], Message)


def test_note_of_an_unknown_object() -> None:
    """There is none."""
    with pytest.raises(KeyError, match="step_1"):
        Reducer().note("step", "step_1")


def test_mappings_follow() -> None:
    """They are live views, not copies."""
    reducer = Reducer()
    steps = reducer.steps
    reducer.apply(arguments("a"))
    reducer.apply(arguments("b"))

    assert wire(steps["step_1"])["step_details"] == calls(call("ab"))


# --- views ------------------------------------------------------------------------------------------------------------

SCENARIOS: dict[str, list[Event]] = {
    "text": [step(), arguments("a"), arguments("b"), arguments("c"), arguments("d")],
    "text of a snapshot": [step("created", "step_1", call("a", id="c")), *(arguments(letter) for letter in "bcd")],
    "text of many fragments": [step(), *(arguments(f"{number},") for number in range(COMPACT_AT + 10))],
    "text in several places": [
        step(),
        message(),
        *(item for number in range(6) for item in (arguments("x", number % 3), words("y", number % 2))),
    ],
    "empty text": [step(), arguments(""), arguments("a"), arguments(""), arguments("b")],
    "text once null": [
        step("created", "step_1", call(None, id="c", output=None)),
        arguments("a"),
        arguments("b"),
        step_delta(call(index=0, output="x")),
        step_delta(call(index=0, output="y")),
        step_delta(call(index=0, output="z")),
    ],
    "null and then text": [
        step_delta({"index": 0, "type": "function", "function": {"name": "f"}}),
        step_delta(call(None, index=0)),
        arguments("a"),
        arguments("b"),
        step_delta(call(index=0, name="g")),
    ],
    "null and then an object": [
        step_delta({"index": 0, "type": "function"}),
        step_delta({"index": 0, "function": None}),
        arguments("a"),
        arguments("b"),
    ],
    "null and then a list": [
        step_delta(code(index=0)),
        step_delta(code(index=0, outputs=None)),
        step_delta(code(index=0, outputs=[{"index": 0, "logs": "a"}])),
        step_delta(code(index=0, outputs=[{"index": 0, "logs": "b"}])),
    ],
    "null details": [
        step(step_details=None),
        arguments("a"),
        arguments("b"),
    ],
    "values": [
        step(),
        *(step_delta(delta={"usage": {"total_tokens": number}, "flag": number % 2 == 0}) for number in range(4)),
        step_delta(delta={"usage": {"total_tokens": 3}, "flag": None, "more": None}),
        step_delta(delta={"more": "a"}),
        step_delta(delta={"more": 5}),
    ],
    "new entries": [step(), *(arguments("x", number) for number in (5, 0, 3)), arguments("y", 3), arguments("z", 1)],
    "entries of entries": [
        step("created", "step_1", code("", id="c", outputs=[])),
        *(step_delta(code(index=0, outputs=[{"index": number % 2, "logs": "l"}])) for number in range(5)),
    ],
    "other members beside text": [
        step(),
        message(),
        arguments("a"),
        words("b"),
        step_delta(delta={"metadata": {"k": "v"}, "usage": {"total_tokens": 1}}),
        message_delta(delta={"metadata": {"k": "v"}}),
        *(item for _ in range(3) for item in (arguments("a"), words("b"))),
    ],
    "new entries before others, after a snapshot": [
        step(),
        *(arguments("x", 5) for _ in range(3)),
        step("in_progress"),
        *(arguments("y", 0) for _ in range(3)),
        step("in_progress", new=1),
        *(arguments("z", 2) for _ in range(3)),
    ],
    "maps": [
        step(),
        *(
            step_delta({"index": 0, "type": "bing_grounding", "bing_grounding": {f"k{n % 2}": str(n)}})
            for n in range(4)
        ),
    ],
    "whole lists": [
        step(),
        *(
            step_delta({"index": 0, "type": "file_search", "file_search": {"results": [{"score": n}] * n}})
            for n in range(4)
        ),
    ],
    "text the struct does not have": [
        step("created", "step_1", {"id": "c", "type": "function", "function": {"logs": ""}, "refusal": "a"}),
        *(step_delta({"index": 0, "function": {"logs": "l"}, "refusal": "r"}) for _ in range(4)),
    ],
    "members the struct does not have": [
        step("created", "step_1", {**call("", id="c"), "new": {"deep": None}}, new=1),
        message("created", "msg_1", {**text(""), "new": [1]}, new=1),
        *(item for _ in range(3) for item in (arguments("a"), words("b"))),
    ],
    "entries that are no objects": [
        step("created", "step_1", "text", call("", id="c"), None),
        *(arguments("a", 1) for _ in range(3)),
        step_delta("x", call("b", index=1), call("c", index=0)),
        arguments("d", 1),
    ],
    "unknown types": [
        step("created", "step_1", {"type": "teleport", "teleport": {"arguments": ""}}),
        *(step_delta({"index": 0, "teleport": {"arguments": "a"}}) for _ in range(4)),
    ],
    "wrong types": [
        step(
            "created", "step_1", {"id": 5, "type": "function", "function": {"name": [1], "arguments": "", "output": 7}}
        ),
        *(arguments("a") for _ in range(4)),
    ],
    "a second call in one place": [
        step(),
        *(step_delta(call(letter, index=0, id=letter)) for letter in "aabbab"),
        arguments("c"),
        arguments("d"),
    ],
    "annotations": [
        message(),
        words("a"),
        message_delta(text(index=0, annotations=[{"index": 0, "type": "url_citation", "start_index": 1}])),
        words("b"),
        message_delta(text(index=0, annotations=[{"index": 0, "start_index": 2, "text": "t"}])),
        words("c"),
        message_delta({"index": 1, "type": "refusal", "refusal": "n"}),
        message_delta({"index": 1, "type": "refusal", "refusal": "o"}),
        words("d"),
    ],
    "snapshots between": [
        step(),
        arguments("a"),
        arguments("b"),
        step("in_progress", new=1),
        arguments("c"),
        step("in_progress", "step_1", call("abcd", id="c")),
        arguments("e"),
        arguments("f"),
        step("in_progress", "step_1", call("x")),
        arguments("g"),
        step("completed", step_details=None),
    ],
    "the end": [step(), arguments("a"), arguments("b"), step("completed", "step_1", call("c"))],
    "after the end": [
        step(),
        arguments("a"),
        arguments("b"),
        step("completed", "step_1", call("ab", id="c")),
        step_delta(call(index=0, output="o")),
        step("completed", "step_1", call("ab", id="c"), usage={"total_tokens": 1}),
        step("completed", "step_1", call("ab", id="c"), metadata={"a": "b"}),
    ],
    "inferred": [run(), step(), arguments("a"), arguments("b"), run("completed"), arguments("c"), arguments("d")],
    "provisional": [arguments("a"), arguments("b"), step("created", model="m"), arguments("c"), arguments("d")],
    "runs": [run("created"), run("queued", model="m"), run("in_progress"), run("completed", usage={"total_tokens": 1})],
}


def eagerly(events: list[Event]) -> list[tuple[Any, Note]]:
    """State and note of each change, read from the reducer at once, before anything later came."""
    reducer, context, seen = Reducer(), StreamContext.named("default"), []
    tables: dict[str, Any] = {"run": reducer.runs, "step": reducer.steps, "message": reducer.messages}
    for item in events:
        made = [change for change in reducer.apply(by_hand(item), context) if change.kind != "anomaly"]
        seen += [(wire(tables[change.kind][change.id]), change.note) for change in made]
    return seen


@both_paths
@pytest.mark.parametrize("order", ["forward", "backward", "shuffled"])
@pytest.mark.parametrize("events", SCENARIOS.values(), ids=SCENARIOS)
def test_views(path: Path, order: str, events: list[Event]) -> None:
    """A state that is read late, in any order, is the state when the change was made; it stays so once it is read."""
    changes = [change for change in path(StreamProcessor(), events) if change.kind != "anomaly"]
    positions = list(range(len(changes)))
    if order == "shuffled":
        random.Random(7).shuffle(positions)
    read = {position: changes[position].state for position in (positions[::-1] if order == "backward" else positions)}
    expected = eagerly(events)

    assert expected == [(wire(read[position]), changes[position].note) for position in range(len(changes))]
    assert expected == [(wire(change.state), change.note) for change in changes]
    assert len({(change.id, change.revision) for change in changes}) == len(changes)


@pytest.mark.parametrize("values", [({"a": 1}, 5), ({"a": 1}, "text", [1], {"b": 2}), (1, True)])
def test_views_of_a_member_that_changes_its_shape(values: tuple[Any, ...]) -> None:
    """However often something else takes its place, the first state can still be read."""
    reducer = Reducer()
    reducer.apply(step())
    changes = [
        change
        for number in range(3000)
        for change in reducer.apply(step_delta(delta={"x": values[number % len(values)]}))
        if change.kind == "step"
    ]

    assert [wire(change.state)["x"] for change in changes[: len(values)]] == list(values)
    assert wire(changes[-1].state)["x"] in values


@both_paths
def test_views_of_forgotten_objects(path: Path) -> None:
    """Changes that were handed out keep their states when the table forgets the run, or a step of it."""
    proc = StreamProcessor(limits=Limits(max_steps_per_run=1))
    changes = path(proc, [run(), step(), arguments("a"), arguments("b"), step("created", "step_2")])
    proc.evict("run_1")

    assert (len(proc.runs), len(proc.steps)) == (0, 0)
    assert states(changes) == [
        run().data,
        step().data,
        step("created", "step_1", call("a")).data,
        step("created", "step_1", call("ab")).data,
        step("created", "step_2").data,
    ]


def test_views_are_not_shared() -> None:
    """What one reader does to the JSON of a state does not reach another one."""
    reducer = Reducer()
    change = reducer.apply(step("created", "step_1", call("a", id="c")))[0]
    change.body.data(1)["step_details"]["tool_calls"].clear()

    assert wire(change.state) == step("created", "step_1", call("a", id="c")).data


# --- the fast path ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("opening", "fragment"),
    [
        ([step("created", "step_1", call("", id="c", name="f"))], arguments("a")),
        ([step("created", "step_1", code("", id="c"))], step_delta(code("a", index=0))),
        ([step()], arguments("a", index=7)),
        ([message("created", "msg_1", text(""))], words("a")),
        ([message()], words("a", index=3)),
        ([], arguments("a")),
        ([], words("a")),
    ],
)
def test_fragments_take_the_fast_path(opening: list[Event], fragment: Event) -> None:
    """From the second fragment for a place on, and over chunks and streams."""
    reducer = Counting()
    proc = StreamProcessor(reducer=reducer)
    proc.feed(sse(*opening, fragment, fragment))
    reducer.applied.clear()
    proc.feed(sse(fragment, fragment, fragment, fragment))
    proc.open()
    changes = proc.feed(sse(fragment, fragment))

    assert reducer.applied == []
    assert visible(changes) == [(changes[0].id, len(opening) + 7), (changes[0].id, len(opening) + 8)]
    assert [change.seq for change in changes][-1] == len(opening) + 8 + (not opening)
    assert changes[0].delta == Reducer().apply(fragment)[-1].delta


@pytest.mark.parametrize("count", [COMPACT_AT - 1, COMPACT_AT, COMPACT_AT + 1, 3 * COMPACT_AT])
def test_long_text_on_the_fast_path(count: int) -> None:
    """Many fragments at one stroke, then some one by one."""
    proc = StreamProcessor()
    changes = fast(proc, [step(), *(arguments(f"{number},") for number in range(count))])
    changes += general(proc, [arguments("x"), arguments("y")])
    expected = "".join(f"{number}," for number in range(count))

    assert tool_calls(proc) == [call(expected + "xy")]
    assert wire(changes[count].state)["step_details"] == calls(call(expected))
    assert wire(changes[4].state)["step_details"] == calls(call("0,1,2,3,"))


def test_interleaved_on_the_fast_path() -> None:
    """Two calls of two steps and two blocks of two messages, turn by turn."""
    openings = [step("created", id) for id in ("step_1", "step_2")] + [
        message("created", id) for id in ("msg_1", "msg_2")
    ]
    rounds = [
        make(f"{letter}{index}", index, f"{kind}_{number}")
        for letter in "abcd"
        for number in "12"
        for index in (0, 1)
        for make, kind in ((arguments, "step"), (words, "msg"))
    ]
    proc = StreamProcessor()
    changes = fast(proc, [*openings, *rounds])

    for number in "12":
        assert tool_calls(proc, f"step_{number}") == [call("a0b0c0d0"), call("a1b1c1d1")]
        assert wire(proc.messages[f"msg_{number}"])["content"] == [text("a0b0c0d0"), text("a1b1c1d1")]
    assert [change.seq for change in changes] == list(range(1, 37))
    assert [change.revision for change in changes if change.id == "step_2"] == list(range(1, 10))
    assert [change.id for change in changes[4:8]] == ["step_1", "msg_1", "step_1", "msg_1"]


@both_paths
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("step_1", 0), ("step_2", 0)),
        (("step_1", 0), ("step_1", 1)),
        (("step_1", 1), ("step_2", 12)),
        (("msg_1", 0), ("msg_2", 0)),
        (("msg_1", 0), ("msg_1", 1)),
        (("step_1", 0), ("msg_1", 0)),
    ],
)
def test_turn_by_turn(path: Path, one: tuple[str, int], other: tuple[str, int]) -> None:
    """However two texts take turns, in one chunk or several, each gets its own, and each change shows it."""

    def fragments(turns: str) -> list[Event]:
        places = {"a": one, "b": other}
        make = {"s": arguments, "m": words}
        return [make[places[turn][0][0]](turn, places[turn][1], places[turn][0]) for turn in turns]

    proc = StreamProcessor()
    chunks = [
        "aabb",
        "aaaa",
        "aaaaaaaa",
        "bbbb",
        "bbbbbbbb",
        "aaaa",
        "aabbab",
        "aabaab",
        "ab",
        "ba",
        "aaaaba",
        "a",
        "b",
        "b",
    ]
    changes = [change for turns in chunks for change in path(proc, fragments(turns)) if change.kind != "anomaly"]
    turns = "".join(chunks)
    shown = [json.dumps(wire(change.state)) for change in changes]

    assert [change.raw for change in changes] == [item.raw for item in fragments(turns)]
    assert [change.delta for change in changes] == [Reducer().apply(item)[-1].delta for item in fragments(turns)]
    for number, turn in enumerate(turns):
        assert f'"{turn * turns[: number + 1].count(turn)}"' in shown[number]


@both_paths
@pytest.mark.parametrize(
    ("between", "expected", "reported"),
    [
        ([run("queued")], [call("abcd")], []),
        ([step("in_progress")], [call("abcd")], ["kept_partial"]),
        ([step("in_progress", "step_1", call("abx"))], [call("abxcd")], []),
        ([step("in_progress", "step_1", call("a"), call("b"))], [call("abcd")], ["kept_partial"]),
        ([step("completed", "step_1", call("ab"))], [call("ab")], ["late_event", "late_event"]),
        ([step_delta(call("x", index=0, id="c"))], [call("abxcd", id="c")], []),
        ([step_delta(call(index=0, name="f"))], [{**call("abcd"), "function": {"arguments": "abcd", "name": "f"}}], []),
        (
            [step_delta(call("", index=0, id="c"), call("x", index=0, id="d"))],
            [call("ab", id="c"), call("xcd", id="d")],
            ["id_conflict"],
        ),
        (
            [step_delta(call(index=0, id="c")), step_delta({"index": 0, "id": "d", "type": "function"})],
            [call("ab", id="c"), call("cd", id="d")],
            ["id_conflict"],
        ),
        ([step_delta({"index": 0, "type": "mcp"})], [call("abcd")], ["type_conflict"]),
        ([step_delta(code("x", index=0))], [{**call("abcd"), "code_interpreter": {"input": "x"}}], ["type_conflict"]),
        ([step_delta(call("x", index=-1))], [call("abxcd")], ["index_invalid"]),
        ([step_delta(call("x", index=0), delta={})], [call("abcd")], []),
        ([step_delta(call("x", index=0), id=None)], [call("abxcd")], ["provisional"]),
        ([arguments("")], [call("abcd")], []),
        ([step_delta({"index": 0, "function": {"arguments": 5}})], [call("abcd")], ["type_conflict"]),
        ([arguments("x"), step_delta(call(5, index=0))], [call("abxcd")], ["type_conflict"]),
        ([arguments("x"), step_delta(call(None, index=0))], [call("abxcd")], []),
        ([event("x.y", {})], [call("abcd")], ["unknown_event"]),
        ([step("created", "step_2"), arguments("x", id="step_2")], [call("abcd")], []),
        ([done()], [call("abcd")], ["reopened"]),
        ([run("completed")], [call("abcd")], []),
    ],
)
def test_something_between_fragments(
    path: Path, between: list[Event], expected: list[Any], reported: list[str]
) -> None:
    """Whatever comes between, the fragments after it go where they belong, on either path."""
    proc = StreamProcessor()
    path(proc, [run(), step(), arguments("a"), arguments("b")])
    changes = path(proc, [*between, arguments("c"), arguments("d")])

    assert tool_calls(proc) == expected
    assert anomalies(changes) == reported
    assert proc.anomalies == {kind: reported.count(kind) for kind in reported}


@both_paths
def test_step_and_message_of_one_id(path: Path) -> None:
    """Ids are told apart by kind."""
    proc = StreamProcessor()
    path(proc, [step("created", "x"), message("created", "x")])
    path(proc, [item for _ in range(4) for item in (arguments("a", id="x"), words("b", id="x"))])

    assert tool_calls(proc, "x") == [call("aaaa")]
    assert proc.messages["x"].text == "bbbb"


@both_paths
def test_place_of_the_last_fragment(path: Path) -> None:
    """A delta without an id belongs to the step that the last fragment was for."""
    proc = StreamProcessor()
    path(
        proc,
        [
            step("created", "step_1"),
            step("created", "step_2"),
            message("created", "msg_1"),
            message("created", "msg_2"),
        ],
    )
    for id in "21":
        path(proc, [arguments("a", id=f"step_{id}")] * 3 + [words("b", id=f"msg_{id}")] * 3)
    path(proc, [step_delta(call("x", index=0), id=None), message_delta(text("y", index=0), id=None)])

    assert tool_calls(proc, "step_1") == [call("aaax")]
    assert proc.messages["msg_1"].text == "bbby"
    assert proc.messages["msg_2"].text == "bbb"


# --- limits, on both paths --------------------------------------------------------------------------------------------


@both_paths
def test_max_object_bytes(path: Path) -> None:
    """An object takes exactly so many characters from deltas; what is beyond is refused as a whole."""
    proc = StreamProcessor(limits=Limits(max_object_bytes=10))
    path(proc, [step("created", "step_1", call("any number of them", id="c")), message("created", "msg_1", text(""))])
    changes = path(
        proc, [*(arguments("éé") for _ in range(4)), arguments("xxx"), arguments("yy"), arguments("z"), arguments("")]
    )
    changes += path(proc, [*(words("ab") for _ in range(6))])

    assert tool_calls(proc) == [call("any number of them" + "é" * 8 + "yy", id="c")]
    assert proc.messages["msg_1"].text == "ab" * 5
    assert anomalies(changes) == ["limit"] * 3
    assert [change.id for change in changes if change.kind == "anomaly"] == ["step_1", "step_1", "msg_1"]
    assert visible(changes)[-1] == ("msg_1", 6)


@pytest.mark.parametrize(
    "member",
    [
        lambda number: {f"name_{number}": {}},
        lambda number: {f"name_{number}": None},
        lambda number: {f"{number}" * 100: True},
        lambda number: {"x": {f"name_{number}": {}}},
        lambda number: {"flag": number % 2 == 0},
    ],
)
def test_max_object_bytes_of_members(member: Callable[[int], Any]) -> None:
    """Names and empty objects are kept as well, so they cannot come without end."""
    reducer, context = Reducer(Limits(max_object_bytes=1000)), StreamContext.named("s")
    reducer.apply(step(), context)
    for number in range(500):
        reducer.apply(step_delta(delta=member(number)), context)

    assert context.anomalies["limit"] > 0
    assert len(to_wire(reducer.steps["step_1"])) < 5000


@both_paths
def test_max_object_bytes_after_a_snapshot(path: Path) -> None:
    """A snapshot that is taken begins the count anew; one that is not does not."""
    proc = StreamProcessor(limits=Limits(max_object_bytes=4))
    path(proc, [step("created", "step_1", call("")), *map(arguments, ("ab", "cd"))])
    path(proc, [step("in_progress"), arguments("e")])
    path(proc, [step("in_progress", "step_1", call("abcd")), *map(arguments, ("fg", "hi", "j"))])

    assert tool_calls(proc) == [call("abcdfghi")]
    assert proc.anomalies == {"limit": 2, "kept_partial": 1}


@both_paths
def test_max_index_gap_and_max_entries(path: Path) -> None:
    """At their boundaries in real deltas."""
    proc = StreamProcessor(limits=Limits(max_index_gap=3, max_entries=2))
    path(proc, [step(), *(arguments("a", index) for index in (3, 2, 2, 6, 5, 0, 2))])

    assert tool_calls(proc) == [call("aaa"), call("a")]
    assert proc.anomalies == {"index_gap": 2, "limit": 1}


@both_paths
def test_max_steps_per_run(path: Path) -> None:
    """The oldest step or message is forgotten; what comes for it afterwards begins anew."""
    proc = StreamProcessor(limits=Limits(max_steps_per_run=2))
    path(proc, [run(), message(), words("a"), words("b"), step(), arguments("x"), arguments("y")])
    changes = path(proc, [step("created", "step_2")])

    assert anomalies(changes) == ["limit"]
    assert changes[0].delta is not None
    assert (list(proc.messages), list(proc.steps)) == ([], ["step_1", "step_2"])
    assert anomalies(path(proc, [words("c")])) == ["provisional", "limit"]
    assert proc.messages["msg_1"].text == "c"
    assert list(proc.steps) == ["step_2"]


def test_max_open_runs() -> None:
    """The oldest open run is forgotten with its steps; ended runs do not count."""
    reducer, context = Reducer(Limits(max_open_runs=2)), StreamContext.named("s")
    events = [run("created", "run_0"), run("completed", "run_0"), run("created"), step(), run("created", "run_2")]
    changes = [change for item in events for change in reducer.apply(item, context)]

    assert anomalies(changes) == []
    assert anomalies(reducer.apply(run("created", "run_3"), context)) == ["limit"]
    assert list(reducer.runs) == ["run_0", "run_2", "run_3"]
    assert list(reducer.steps) == []


@pytest.mark.parametrize(
    ("limit", "kept"), [(0, []), (1, ["run_2"]), (2, ["run_1", "run_2"]), (3, ["run_0", "run_1", "run_2"])]
)
def test_max_closed_runs(limit: int, kept: list[str]) -> None:
    """The runs that ended first are forgotten first, without a word: that is how it should be."""
    reducer, context = Reducer(Limits(max_closed_runs=limit)), StreamContext.named("s")
    for number in range(3):
        reducer.apply(run("created", f"run_{number}"), context)
        reducer.apply(step("created", f"step_{number}", run_id=f"run_{number}"), context)
        reducer.apply(run("completed", f"run_{number}"), context)

    assert list(reducer.runs) == kept
    assert list(reducer.steps) == [id.replace("run", "step") for id in kept]
    assert context.anomalies == {}


def test_provisional_objects_keep_the_bounds() -> None:
    """A delta for an unseen step counts as a step, and when it learns its run it counts there."""
    reducer, context = Reducer(Limits(max_open_runs=2, max_steps_per_run=1)), StreamContext.named("s")
    reducer.apply(arguments("a"), context)
    reducer.apply(arguments("a", id="step_2"), context)

    assert list(reducer.steps) == ["step_2"]
    reducer.apply(step("created", "step_3"), context)
    assert anomalies(reducer.apply(step("created", "step_2"), context)) == ["limit"]
    assert list(reducer.steps) == ["step_2"]
    assert context.anomalies == {"provisional": 2, "limit": 2}


# --- streams that share a reducer -------------------------------------------------------------------------------------


@both_paths
def test_two_streams_build_one_run(path: Path) -> None:
    """Each goes on where the other stopped; seq and anomalies are its own."""
    reducer = Reducer()
    one, two = StreamProcessor(reducer=reducer, stream="one"), StreamProcessor(reducer=reducer, stream="two")
    first = path(one, [run(), step(), arguments("a"), arguments("b"), event("x.y", {})])
    second = path(two, [arguments("c"), arguments("d")])
    third = path(one, [arguments("e"), arguments("f")])

    assert tool_calls(reducer) == [call("abcdef")]
    assert [change.seq for change in [*first, *second, *third]] == [1, 2, 3, 4, 5, 1, 2, 6, 7]
    assert [change.revision for change in [*second, *third]] == [4, 5, 6, 7]
    assert {change.stream for change in second} == {"two"}
    assert (one.anomalies, two.anomalies) == ({"unknown_event": 1}, {})
    assert two.steps["step_1"] == one.steps["step_1"]


def test_streams_have_their_own_place() -> None:
    """The current run of one stream is not that of another, nor is the last step."""
    reducer = Reducer()
    one, two = StreamContext.named("one"), StreamContext.named("two")
    reducer.apply(run("created", "run_1"), one)
    reducer.apply(run("created", "run_2"), two)
    reducer.apply(step("created", "step_1"), one)

    assert reducer.apply(arguments("a", id="step_9"), one)[-1].run_id == "run_1"
    assert reducer.apply(arguments("a", id="step_8"), two)[-1].run_id == "run_2"
    assert reducer.apply(step_delta(call("x", index=0), id=None), one)[-1].id == "step_9"


@both_paths
def test_end_of_a_run_on_another_stream(path: Path) -> None:
    """It closes the steps of this one too; their next fragment is a real event again."""
    reducer = Reducer()
    one, two = StreamProcessor(reducer=reducer, stream="one"), StreamProcessor(reducer=reducer, stream="two")
    path(one, [run(), step(), arguments("a"), arguments("b")])
    path(two, [run("expired")])

    assert reducer.note("step", "step_1") == Note(inferred_status="expired")
    changes = path(one, [arguments("c"), arguments("d")])
    assert [change.note for change in changes] == [Note(), Note()]
    assert visible(changes) == [("step_1", 5), ("step_1", 6)]
    assert tool_calls(reducer) == [call("abcd")]


# --- epochs -----------------------------------------------------------------------------------------------------------


@both_paths
def test_older_epoch_is_refused(path: Path) -> None:
    """A connection that was replaced has no say any more, in whatever it sends."""
    reducer = Reducer()
    old, new = (StreamProcessor(reducer=reducer, stream="s", epoch=epoch) for epoch in (1, 2))
    events = [run(), step(), message(), *[arguments("a")] * 3, *[words("b")] * 3]
    path(old, events)
    path(new, events)
    late = path(
        old, [arguments("x"), arguments("y"), words("z"), run("completed"), step("completed"), message("completed")]
    )

    assert anomalies(late) == ["late_event"] * 6
    assert visible(late) == []
    assert {change.epoch for change in late} == {1}
    assert visible(path(new, [arguments("c"), words("d")])) == [("step_1", 9), ("msg_1", 9)]
    assert reducer.runs["run_1"].status == "in_progress"


@both_paths
def test_older_epoch_is_refused_after_another_stream(path: Path) -> None:
    """Also when a third connection spoke of the object in between."""
    reducer = Reducer()
    old, new, other = (
        StreamProcessor(reducer=reducer, stream=stream, epoch=epoch) for stream, epoch in (("s", 1), ("s", 2), ("t", 1))
    )
    path(old, [run(), step(), arguments("a")])
    path(new, [run(), step(), arguments("a")])
    path(other, [arguments("b")])
    late = path(old, [arguments("x")])

    assert tool_calls(reducer) == [call("ab")]
    assert anomalies(late) == ["late_event"]


@both_paths
def test_newer_epoch_starts_over(path: Path) -> None:
    """What is created again in a new epoch is as it was created, and grows anew."""
    proc = StreamProcessor()
    events = [run(), step("created", "step_1", call("", id="c")), message(), *[arguments("a"), words("b")] * 3]
    first = path(proc, events)
    proc.open(epoch=2)
    second = path(proc, events)

    assert states(second) == states(first)[1:]
    assert tool_calls(proc) == [call("aaa", id="c")]
    assert proc.messages["msg_1"].text == "bbb"
    assert proc.anomalies == {}
    assert [change.seq for change in second] == [change.seq for change in first][:-1]
    assert {change.epoch for change in second} == {2}
    assert second[0].revision == 5


@both_paths
def test_newer_epoch_starts_over_after_another_stream(path: Path) -> None:
    """Also when a third connection spoke of the object in between."""
    reducer = Reducer()
    one, other = StreamProcessor(reducer=reducer, stream="s"), StreamProcessor(reducer=reducer, stream="t")
    path(one, [run(), step(), arguments("a"), arguments("b")])
    path(other, [arguments("c")])
    one.open(epoch=2)
    path(one, [run(), step(), arguments("a"), arguments("b")])

    assert tool_calls(reducer) == [call("ab")]
    assert one.anomalies == {}


def test_newer_epoch_of_a_run_in_progress() -> None:
    """A run that is created again begins again."""
    proc = StreamProcessor()
    proc.feed(sse(run("created"), run("in_progress"), step("created")))
    proc.open(epoch=2)
    changes = proc.feed(sse(run("created"), step("created")))

    assert visible(changes) == [("run_1", 3)]
    assert proc.runs["run_1"].status == "queued"


def test_newer_epoch_without_created() -> None:
    """Only `created` starts over; anything else goes on."""
    proc = StreamProcessor()
    proc.feed(sse(step(), arguments("a"), message(), words("b")))
    proc.open(epoch=2)
    proc.feed(sse(step("in_progress"), arguments("c"), words("d")))

    assert tool_calls(proc) == [call("ac")]
    assert proc.messages["msg_1"].text == "bd"
    assert proc.anomalies == {"kept_partial": 1}


def test_created_again_in_one_epoch() -> None:
    """It is a snapshot like any other, and shrinks nothing."""
    proc = StreamProcessor()
    proc.feed(sse(step(), arguments("a"), step(), arguments("b")))

    assert tool_calls(proc) == [call("ab")]
    assert proc.anomalies == {"kept_partial": 1}


def test_created_again_on_another_stream() -> None:
    """A higher epoch of another stream says nothing of this one's."""
    reducer = Reducer()
    reducer.apply(step(), StreamContext.named("one", 1))
    reducer.apply(arguments("a"), StreamContext.named("one", 1))
    changes = reducer.apply(step(), StreamContext.named("two", 5))

    assert anomalies(changes) == ["kept_partial"]
    assert tool_calls(reducer) == [call("a")]


@both_paths
def test_ended_objects_in_a_newer_epoch(path: Path) -> None:
    """A terminal status never changes, whatever is sent again."""
    proc = StreamProcessor()
    events = [run("created"), step(), arguments("a"), step("completed", "step_1", call("ab")), run("completed")]
    first = path(proc, events)
    proc.open(epoch=2)
    second = path(proc, events)

    assert visible(second) == []
    assert anomalies(second) == ["late_event"] * 3
    assert wire(proc.steps["step_1"]) == states(first)[-2]
    assert [change.seq for change in second] == [1, 2, 3]


# --- snapshots from elsewhere -----------------------------------------------------------------------------------------


def listed(status: str = "in_progress", *entries: Any, **members: Any) -> RunStep:
    """A step as a list endpoint returns it."""
    reducer = Reducer()
    reducer.apply(step("created", "step_1", *entries, status=status, **members))
    return reducer.steps["step_1"]


def test_hydrate_unknown_objects() -> None:
    """They are entered as they are."""
    reducer = Reducer()
    objects = (
        Run(id="run_1", status="queued"),
        listed(),
        Message(id="msg_1", run_id="run_2", thread_id="thread_2", status="completed"),
    )
    changes = [change for obj in objects for change in reducer.hydrate(obj)]

    assert [change.event for change in changes] == [
        "thread.run.queued",
        "thread.run.step.in_progress",
        "thread.message.completed",
    ]
    assert [change.state for change in changes] == [*objects]
    assert [(change.run_id, change.thread_id) for change in changes] == [
        ("run_1", None),
        ("run_1", "thread_1"),
        ("run_2", "thread_2"),
    ]
    assert anomalies(changes) == []


def test_hydrate_replaces_what_deltas_built() -> None:
    """It is authoritative, also where it says less; deltas go on from it."""
    proc = StreamProcessor()
    proc.feed(sse(run(), step(), arguments("ab"), arguments("cd")))
    changes = proc.hydrate(listed("in_progress", call("ax", id="c")))

    assert anomalies(changes) == []
    assert visible(changes) == [("step_1", 4)]
    proc.feed(sse(arguments("e"), arguments("f")))
    assert tool_calls(proc) == [call("axef", id="c")]
    assert proc.anomalies == {}


def test_hydrate_without_details() -> None:
    """Even an authoritative snapshot that has none does not erase them."""
    proc = StreamProcessor()
    proc.feed(sse(run(), step(), arguments("ab")))
    changes = proc.hydrate(listed("completed", step_details=None))

    assert anomalies(changes) == ["kept_partial"]
    assert wire(proc.steps["step_1"]) == step("completed", "step_1", call("ab")).data


def test_hydrate_the_end() -> None:
    """It may end an object without the stream; that the texts differ is expected then."""
    proc = StreamProcessor()
    proc.feed(sse(run(), step(), arguments("ab")))
    changes = proc.hydrate(listed("completed", call("abc", output="x")))

    assert anomalies(changes) == []
    assert tool_calls(proc) == [call("abc", output="x")]
    assert anomalies(proc.feed(sse(arguments("c")))) == ["late_event"]


def test_hydrate_what_ended() -> None:
    """After the end it fills gaps like any late event."""
    proc = StreamProcessor()
    proc.feed(sse(run(), step("completed", "step_1", call("a", output=None))))

    assert proc.hydrate(listed("completed", call("a", output=None))) == []
    assert visible(proc.hydrate(listed("completed", call("a", output="x")))) == [("step_1", 2)]
    assert anomalies(proc.hydrate(listed("failed", call("a")))) == ["status_conflict"]
    assert wire(proc.steps["step_1"]) == step("completed", "step_1", call("a", output="x")).data


def test_hydrate_overrides_an_inferred_status() -> None:
    """It is what the server says."""
    proc = StreamProcessor()
    proc.feed(sse(run(), step(), run("expired")))
    changes = proc.hydrate(listed("completed"))

    assert visible(changes) == [("step_1", 3)]
    assert changes[0].inferred_status is None
    assert proc.steps["step_1"].status == "completed"


def test_hydrate_a_run_ends_its_steps() -> None:
    """As an event would."""
    proc = StreamProcessor()
    proc.feed(sse(run(), step()))

    assert [change.inferred_status for change in proc.hydrate(Run(id="run_1", status="failed"))] == [None, "failed"]


def test_hydrate_after_the_end_of_the_stream() -> None:
    """That is when it is done; nothing is reopened by it."""
    proc = StreamProcessor()
    proc.feed(sse(run(), step(), done()))
    changes = proc.hydrate(listed("completed"))

    assert anomalies(changes) == []
    assert anomalies(proc.feed(sse(run("completed")))) == ["reopened"]


@both_paths
def test_older_epoch_is_refused_after_hydrate(path: Path) -> None:
    """What a resync brought is not overwritten by the connection that was lost."""
    reducer = Reducer()
    old, new = (StreamProcessor(reducer=reducer, epoch=epoch) for epoch in (1, 2))
    path(old, [run(), step(), arguments("a"), arguments("b")])
    new.hydrate(listed("in_progress", call("abc")))
    late = path(old, [arguments("c"), arguments("d"), step("in_progress")])

    assert anomalies(late) == ["late_event"] * 3
    assert tool_calls(reducer) == [call("abc")]


def test_hydrate_by_an_older_epoch() -> None:
    """The same bound for snapshots from elsewhere."""
    reducer = Reducer()
    reducer.apply(step(), StreamContext.named("s", 2))

    assert anomalies(reducer.hydrate(listed("completed"), StreamContext.named("s", 1))) == ["late_event"]


@pytest.mark.parametrize("obj", [Run(id="run_1"), RunStep(id="step_1", status=None), Message(id="msg_1", status=UNSET)])
def test_hydrate_without_a_status(obj: Run | RunStep | Message) -> None:
    """There is no event to name it by."""
    with pytest.raises(ValueError, match="has no status"):
        Reducer().hydrate(obj)


def test_hydrate_does_not_move_the_stream() -> None:
    """A snapshot from elsewhere is not what the stream speaks of: its current run and step stay."""
    proc = StreamProcessor()
    proc.feed(sse(run(), step()))
    proc.hydrate(Run(id="run_0", thread_id="thread_0", status="in_progress"))
    proc.hydrate(RunStep(id="step_0", run_id="run_0", status="in_progress"))
    unseen = proc.feed(sse(arguments("a", id="step_9")))
    proc.feed(sse(step("in_progress", new=1)))
    proc.hydrate(RunStep(id="step_0", run_id="run_0", status="in_progress", metadata={"a": "b"}))
    nameless = proc.feed(sse(step_delta(call("x", index=0), id=None)))

    assert (unseen[-1].run_id, unseen[-1].thread_id) == ("run_1", "thread_1")
    assert nameless[-1].id == "step_1"


def test_hydrate_does_not_end_the_stream() -> None:
    """Another run that ended long ago does not make a stream complete that broke off."""
    proc = StreamProcessor()
    proc.feed(sse(run(), step()))
    for _ in range(2):
        proc.hydrate(Run(id="run_0", status="completed"))

    assert anomalies(proc.close()) == ["truncated"]
    assert proc.truncated


# --- forgetting -------------------------------------------------------------------------------------------------------


@both_paths
def test_evict(path: Path) -> None:
    """The run, its steps and messages are gone, nothing else; later events for them begin anew."""
    proc = StreamProcessor()
    path(proc, [run(), step(), arguments("a"), arguments("b"), message(), words("c"), words("d")])
    path(proc, [run("created", "run_2"), step("created", "step_2", run_id="run_2")])
    proc.evict("run_1")
    changes = path(proc, [arguments("x"), arguments("y"), words("z")])

    assert list(proc.runs) == ["run_2"]
    assert anomalies(changes) == ["provisional", "provisional"]
    assert tool_calls(proc) == [call("xy")]
    assert visible(changes) == [("step_1", 1), ("step_1", 2), ("msg_1", 1)]
    proc.evict("run_2")
    assert len(proc.runs) == len(proc.steps) == len(proc.messages) == 0


def test_continuation_in_a_step_of_creation() -> None:
    """A step that wrote a message points to it, and grows by no text of its own."""
    proc = StreamProcessor()
    created = step(step_details={"type": "message_creation", "message_creation": {"message_id": None}})
    delta = step_delta(delta={"step_details": creation("msg_1")})
    changes = proc.feed(sse(created, delta, delta))

    assert visible(changes) == [("step_1", 1), ("step_1", 2)]
    assert wire(proc.steps["step_1"])["step_details"] == creation("msg_1")


# --- silence ----------------------------------------------------------------------------------------------------------


def silent() -> Reducer:
    """A run with an open step, one that ended, and an open message."""
    reducer = Reducer()
    for one in [run("in_progress"), step(), step("completed", "step_2"), message()]:
        reducer.apply(one)
    return reducer


def test_a_silent_run_and_what_is_open_of_it_get_an_inferred_status() -> None:
    """What ended stays as it is, and no status changes."""
    reducer = silent()

    changes = reducer.infer("run_1", "expired", StreamContext.named("idle", 7))

    assert [(change.event, change.id, change.inferred_status) for change in changes] == [
        ("inferred", "step_1", "expired"),
        ("inferred", "msg_1", "incomplete"),
        ("inferred", "run_1", "expired"),
    ]
    assert [(change.stream, change.epoch, change.seq) for change in changes] == [("idle", 7, seq) for seq in (1, 2, 3)]
    assert [change.state.status for change in changes] == ["in_progress"] * 3
    assert reducer.note("step", "step_2") == Note()
    assert reducer.infer("run_1", "expired") == []  # once


def test_an_event_of_a_silent_run_takes_back_what_was_inferred() -> None:
    """Of the object that it is about."""
    reducer = silent()
    reducer.infer("run_1", "expired")

    reducer.apply(arguments("a"))
    reducer.apply(run("in_progress"))

    assert reducer.note("run", "run_1") == reducer.note("step", "step_1") == Note()
    assert reducer.note("message", "msg_1") == Note(inferred_status="incomplete")


def test_the_end_of_a_silent_run_counts_instead() -> None:
    """Also for what is open of it."""
    reducer = silent()
    reducer.infer("run_1", "expired")
    reducer.apply(run("completed"))

    assert reducer.note("step", "step_1") == Note(inferred_status="completed")
    assert reducer.infer("run_1", "expired") == []


def test_nothing_is_inferred_for_a_run_that_is_unknown() -> None:
    """Of some runs only steps are known: these count."""
    reducer = Reducer()
    reducer.apply(step(run_id="run_9"))

    assert reducer.infer("run_1", "expired") == []
    assert [change.id for change in reducer.infer("run_9", "expired")] == ["step_1"]


def test_truncated_and_silent_are_kept_apart() -> None:
    """One does not take the other away."""
    reducer = silent()
    context = StreamContext.named("default")
    context.run_id = "run_1"
    reducer.truncate(context)
    reducer.infer("run_1", "failed")

    assert reducer.note("run", "run_1") == Note(inferred_status="failed", truncated=True)


def test_which_runs_are_known_and_which_of_them_ended() -> None:
    """Also one of which only a step is known; what belongs to no run is none."""
    reducer = silent()
    for one in [step(id="step_7", run_id=UNSET), step(id="step_8", run_id="run_8"), run("completed", "run_9")]:
        reducer.apply(one, StreamContext.named(one.data["id"]))

    assert reducer.run_ids() == ["run_1", "run_8", "run_9"]
    assert [reducer.has_ended(id) for id in ("run_1", "run_8", "run_9", "run_2")] == [False, False, True, None]


def test_members_of_a_run() -> None:
    """Its steps and messages, in order of appearance."""
    reducer = silent()

    assert reducer.members("run_1") == [("step", "step_1"), ("step", "step_2"), ("message", "msg_1")]
    assert reducer.members("run_2") == []


def test_an_object_to_be_shown() -> None:
    """Its JSON, who last spoke of it, and what is known beside it."""
    reducer = silent()
    reducer.infer("run_1", "expired")
    opened, ended = reducer.stored("step", "step_1"), reducer.stored("step", "step_2")

    assert json.loads(opened.wire)["id"] == "step_1"
    assert (opened.stream, opened.epoch, opened.revision, opened.status) == ("default", 1, 2, "in_progress")
    assert (opened.note, ended.note) == (Note(inferred_status="expired"), Note(ended=True))
    with pytest.raises(KeyError):
        reducer.stored("step", "step_3")
