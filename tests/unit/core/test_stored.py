"""Going on from what a store kept: lists under their indexes, what has grown, notes, and what is known already."""

from typing import Any

import msgspec
import pytest

from streamproc import Change, Event, Limits, Reducer, StreamProcessor
from streamproc.core.change import ENDED, NO_NOTE, Note
from streamproc.core.stored import StoredObject, shape_of
from tests.streams import anomalies, arguments, call, code, message, run, step, step_delta, text, visible, wire, words


def kept(change: Change, **members: Any) -> StoredObject:
    """The object of a change, as a store keeps it."""
    usual: dict[str, Any] = {
        "kind": change.kind,
        "id": change.id,
        "run_id": change.run_id,
        "thread_id": change.thread_id,
        "wire": change.body.wire(change.revision),
        "revision": change.revision,
        "stream": change.stream,
        "epoch": change.epoch,
        "status": "in_progress",
        "provisional": False,
        "note": change.note,
        "shape": shape_of(change.body, change.revision),
    }
    return StoredObject(**{**usual, **members})


def applied(reducer: Reducer, *events: Event) -> list[Change]:
    return [change for item in events for change in reducer.apply(item)]


def restored(*objects: StoredObject) -> Reducer:
    reducer = Reducer()
    reducer.restore(objects)
    return reducer


def test_list_goes_on_under_its_indexes() -> None:
    """Which its JSON does not tell: 2 and 7 are the first and the second entry."""
    first = Reducer()
    changes = applied(first, step(), step_delta(call("b", index=7, id="c7")), step_delta(call("a", index=2, id="c2")))
    second = restored(kept(changes[-1]))
    for reducer in (first, second):
        applied(reducer, arguments("B", index=7), arguments("A", index=2))

    assert wire(first.steps["step_1"]) == wire(second.steps["step_1"])
    assert [c.id for c in second.steps["step_1"].step_details.tool_calls] == ["c2", "c7"]  # type: ignore[union-attr]


def test_moved_call_goes_on_where_it_was_moved_to() -> None:
    first = Reducer()
    changes = applied(first, step(), step_delta(call("a", index=0, id="c0")), step_delta(call("b", index=0, id="c1")))
    second = restored(kept(changes[-1]))
    for reducer in (first, second):
        applied(reducer, arguments("B", index=0))

    assert wire(first.steps["step_1"]) == wire(second.steps["step_1"])


def test_smaller_snapshot_does_not_erase_what_had_grown_before() -> None:
    first = Reducer()
    changes = applied(first, message(), words("hello"))
    second = restored(kept(changes[-1]))

    for reducer in (first, second):
        assert anomalies(applied(reducer, message("in_progress"))) == ["kept_partial"]
        assert reducer.messages["msg_1"].content[0].text.value == "hello"  # type: ignore[index, union-attr]


def test_shape_is_that_of_its_revision() -> None:
    """What came later is not in it, also where it took a value's place."""
    reducer = Reducer()
    early = applied(reducer, step("created", "step_1", code("x", id="c0")), step_delta(code("y", index=0)))[-1]
    wire_of_early = early.body.wire(early.revision)
    applied(
        reducer,
        step_delta({"index": 0, "type": "code_interpreter", "x_new": {"a": 1}}),
        step_delta({"index": 0, "type": "code_interpreter", "x_new": None, "n": 1}),
        step_delta(call("z", index=1, id="c1")),
    )

    assert early.body.wire(early.revision) == wire_of_early
    shape = msgspec.json.decode(shape_of(early.body, early.revision))
    indexes, moved, (entry,) = shape["step_details"]["tool_calls"]
    assert (indexes, moved, entry) == ([0], [], {"code_interpreter": {"input": 1}})
    assert shape_of(early.body, early.revision - 1) == b""


def test_shape_knows_what_a_text_took_the_place_of() -> None:
    """A null that a delta had set was a grown value already."""
    reducer = Reducer()
    change = applied(reducer, step("created", "step_1", call(id="c0", name="f")), step_delta(call(None, index=0)))[-1]
    applied(reducer, arguments("a"))
    shape = msgspec.json.decode(shape_of(change.body, change.revision))

    assert shape == {"step_details": {"tool_calls": [[0], [], [{"function": {"arguments": 0}}]]}}


def test_stray_entries_of_a_list_go_on() -> None:
    first = Reducer()
    change = applied(first, step("created", "step_1", "stray", call("", id="c0", name="f")), arguments("a", index=1))[
        -1
    ]
    second = restored(kept(change))
    for reducer in (first, second):
        applied(reducer, arguments("b", index=1))

    assert wire(first.steps["step_1"]) == wire(second.steps["step_1"])


def test_replaced_values_and_lists_of_plain_values_go_on() -> None:
    first = Reducer()
    changes = applied(
        first,
        step("created", "step_1", {"id": "c0", "type": "x_tool", "n": 1}),
        step_delta({"index": 0, "n": 2, "x_list": [1]}),
        step_delta({"index": 0, "x_list": [2], "x_map": {"a": 1}}),
    )
    second = restored(kept(changes[-1]))
    for reducer in (first, second):
        applied(reducer, step_delta({"index": 0, "n": 3, "x_list": [2], "x_map": {"b": 2}}))

    assert wire(first.steps["step_1"]) == wire(second.steps["step_1"])


def test_text_counts_against_the_limit_of_an_object() -> None:
    change = applied(Reducer(), message(), words("x" * 90))[-1]
    reducer = Reducer(Limits(max_object_bytes=100))
    reducer.restore([kept(change)])

    assert anomalies(applied(reducer, words("y" * 20))) == ["limit"]


def test_known_object_stays_as_it_is() -> None:
    reducer = Reducer()
    old, new = applied(reducer, step(), step("in_progress", metadata={"a": "b"}))
    reducer.restore([kept(old)])

    assert reducer.steps["step_1"].metadata == {"a": "b"}
    assert new.revision == 2


def test_ended_run_is_closed() -> None:
    """And so among those that are forgotten first."""
    (change,) = applied(Reducer(), run("completed"))
    reducer = Reducer(Limits(max_closed_runs=1))
    reducer.restore(
        [kept(change, status="completed", note=ENDED), kept(change, id="run_2", run_id="run_2", note=ENDED)]
    )

    assert [*reducer.runs] == ["run_2"]
    assert anomalies(applied(reducer, run("in_progress", "run_2"))) == ["late_event"]


def test_note_stays_until_something_comes() -> None:
    note = Note(truncated=True)
    (change,) = applied(Reducer(), step())
    reducer = restored(kept(change, note=note))

    assert reducer.note("step", "step_1") == note
    assert visible(applied(reducer, step_delta(call("a", index=0, id="c")))) == [("step_1", 2)]
    assert reducer.note("step", "step_1") == NO_NOTE


def test_provisional_object_is_filled_in_by_its_snapshot() -> None:
    change = applied(Reducer(), words("hello"))[-1]
    reducer = restored(kept(change, provisional=True, status=None))
    applied(reducer, message("created", "msg_1", run_id="run_5"))

    assert reducer.messages["msg_1"].run_id == "run_5"
    assert reducer.messages["msg_1"].content[0].text.value == "hello"  # type: ignore[index, union-attr]


def test_evicted_run_takes_its_shapes_along() -> None:
    change = applied(Reducer(), message(), words("hello"))[-1]
    reducer = restored(kept(change))
    reducer.evict("run_1")

    assert applied(reducer, message())[0].revision == 1


def test_journal_goes_on_from_what_is_stored() -> None:
    """Of these objects only, from their revision on, and with what the end of their stream says."""
    proc = StreamProcessor()
    changes = applied(proc.reducer, step(), step("created", "other"), arguments("a"))
    end = applied(proc.reducer, step_delta(text("x")), arguments("b"))
    reducer = Reducer()
    note = Note(truncated=True)
    noted = msgspec.structs.replace(end[-1], revision=end[-1].revision + 1, data=None, piece=b"", note=note)
    views = reducer.restore([kept(changes[-1])], [*changes, *end, noted])

    assert reducer.note("step", "step_1") == note
    assert [view.revision for view in views] == [c.revision for c in [*end, noted] if c.kind != "anomaly"]
    assert wire(reducer.steps["step_1"]) == wire(proc.steps["step_1"])
    assert wire(views[-1].state) == wire(proc.steps["step_1"])


@pytest.mark.parametrize("id", ["", None])
def test_delta_without_an_id_is_of_the_object_it_was_taken_for(id: str | None) -> None:
    first = Reducer()
    stored = kept(applied(first, step())[-1])
    later = applied(first, step_delta(call("a", index=0, id="c"), id=id))
    second = Reducer()
    second.restore([stored], later)

    assert wire(first.steps["step_1"]) == wire(second.steps["step_1"])
