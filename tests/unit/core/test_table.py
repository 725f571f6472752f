"""The table of everything known: grouping by run, its bounds, and what is forgotten to keep them."""

import pytest

from streamproc.core.body import Body, Kind
from streamproc.core.limits import Limits
from streamproc.core.table import Record, States, Table
from streamproc.model.run_step import RunStep


def record(kind: Kind, id: str, run_id: str | None = "run_1") -> Record:
    return Record(Body(kind, id, run_id, "thread_1", b'{"id":"%b"}' % id.encode()), ("default", 1))


def filled(limits: Limits, *records: Record) -> Table:
    """A table with records that need no bound to be kept."""
    table = Table(limits)
    for item in records:
        assert table.add(item) == []
    return table


def known(table: Table) -> list[str]:
    """Ids of all records, kind by kind."""
    return [id for kind in ("run", "step", "message") for id in table.records[kind]]


def members(table: Table, run_id: str | None) -> list[str]:
    group = table.group(run_id)
    return [] if group is None else [record.body.id for record in group.members]


def test_records_by_run() -> None:
    """Steps and messages stand with their run in order of appearance, whether or not the run itself is known."""
    run, step, message = record("run", "run_1"), record("step", "step_1"), record("message", "msg_1")
    table = filled(Limits(), message, run, step, record("step", "step_2", "run_2"))
    group, other = table.group("run_1"), table.group("run_2")

    assert group is not None
    assert group.run is run
    assert group.members == [message, step]
    assert table.records == {"run": {"run_1": run}, "step": table.records["step"], "message": {"msg_1": message}}
    assert other is not None
    assert other.run is None
    assert table.group("run_3") is None


@pytest.mark.parametrize("run_id", [None, ""])
def test_records_of_no_known_run(run_id: str | None) -> None:
    """They have a group of their own, which can be forgotten like any other."""
    table = filled(Limits(), record("step", "step_1", None), record("step", "step_2", ""))

    assert members(table, run_id) == ["step_1", "step_2"]
    table.evict("")
    assert known(table) == []
    assert table.group(run_id) is None


def test_max_open_runs() -> None:
    """As many open runs as the limit says; one more, and the oldest is forgotten with all its members."""
    table = filled(
        Limits(max_open_runs=2),
        record("run", "run_1"),
        record("step", "step_1"),
        record("message", "msg_1"),
        record("run", "run_2", "run_2"),
        record("step", "step_2", "run_2"),
    )
    forgotten = table.add(record("step", "step_3", "run_3"))

    assert forgotten == ["more than 2 open runs; forgot run 'run_1'"]
    assert known(table) == ["run_2", "step_2", "step_3"]
    assert table.group("run_1") is None


def test_closed_runs_are_not_open() -> None:
    """An ended run leaves its place to another one."""
    table = filled(Limits(max_open_runs=1), record("run", "run_1"))
    table.close("run_1")

    assert table.add(record("run", "run_2", "run_2")) == []
    assert known(table) == ["run_1", "run_2"]


def test_late_member_of_a_closed_run() -> None:
    """It joins its run, and opens nothing."""
    table = filled(Limits(max_open_runs=1), record("run", "run_1"))
    table.close("run_1")
    table.add(record("run", "run_2", "run_2"))

    assert table.add(record("step", "step_1")) == []
    assert members(table, "run_1") == ["step_1"]


def test_max_closed_runs() -> None:
    """The runs that ended first go first, with all their members; one that is open stays."""
    table = filled(
        Limits(max_closed_runs=1),
        record("run", "run_1"),
        record("step", "step_1"),
        record("run", "run_2", "run_2"),
        record("run", "run_3", "run_3"),
    )
    table.close("run_2")

    assert known(table) == ["run_1", "run_2", "run_3", "step_1"]
    table.close("run_1")
    assert known(table) == ["run_1", "run_3", "step_1"]
    table.close("run_1")
    assert known(table) == ["run_1", "run_3", "step_1"]
    table.close("run_3")
    assert known(table) == ["run_3"]


def test_no_closed_runs() -> None:
    """With a limit of zero a run is forgotten as soon as it ends."""
    table = filled(Limits(max_closed_runs=0), record("run", "run_1"), record("step", "step_1"))
    table.close("run_1")

    assert known(table) == []


@pytest.mark.parametrize("run_id", ["run_2", ""])
def test_close_and_evict_what_is_not_there(run_id: str) -> None:
    """Nothing happens."""
    table = filled(Limits(), record("run", "run_1"))
    table.close(run_id)
    table.evict(run_id)

    assert known(table) == ["run_1"]


def test_evict_open_and_closed() -> None:
    """Either kind of run is forgotten, others stay."""
    table = filled(
        Limits(),
        record("run", "run_1"),
        record("step", "step_1"),
        record("message", "msg_1"),
        record("step", "step_2", "run_2"),
        record("run", "run_3", "run_3"),
    )
    table.close("run_1")
    table.evict("run_1")

    assert known(table) == ["run_3", "step_2"]
    table.evict("run_2")
    assert known(table) == ["run_3"]


def test_max_steps_per_run() -> None:
    """Steps and messages of one run are counted together; one more, and the oldest of them is forgotten."""
    table = filled(
        Limits(max_steps_per_run=2),
        record("run", "run_1"),
        record("message", "msg_1"),
        record("step", "step_1"),
        record("step", "step_9", "run_2"),
    )
    forgotten = table.add(record("step", "step_2"))

    assert forgotten == ["more than 2 steps and messages; forgot 'msg_1'"]
    assert known(table) == ["run_1", "step_1", "step_9", "step_2"]
    assert members(table, "run_1") == ["step_1", "step_2"]


def test_compare() -> None:
    """A lower epoch of a stream is older once a higher one spoke of the object; another stream never is."""
    item = record("step", "step_1")
    item.adopt(("default", 3))

    assert [item.compare(("default", epoch)) for epoch in (1, 2, 3, 4)] == [-2, -1, 0, 1]
    assert [item.compare(("other", epoch)) for epoch in (1, 9)] == [0, 0]


def test_compare_after_other_streams() -> None:
    """The last few streams are remembered, however often the newest of them speaks."""
    item = record("step", "step_1")
    item.adopt(("default", 3))
    for number in range(16):
        item.adopt(("other", number))
    for number in range(14):
        item.adopt((f"stream {number}", 1))

    assert [item.compare(("default", epoch)) for epoch in (2, 3, 4)] == [-1, 0, 1]
    assert [item.compare(("other", epoch)) for epoch in (14, 15, 16)] == [-1, 0, 1]


def moved(table: Table, item: Record, run_id: str | None) -> list[str]:
    """Give a record another run."""
    before, item.body.run_id = item.body.run_id, run_id
    return table.move(item, before)


@pytest.mark.parametrize("before", [None, "run_0"])
def test_move(before: str | None) -> None:
    """A record goes to the end of its run's group; what it leaves empty is dropped."""
    item = record("step", "step_1", before)
    table = filled(Limits(), item, record("run", "run_1"), record("step", "step_2"))

    assert moved(table, item, "run_1") == []
    assert members(table, "run_1") == ["step_2", "step_1"]
    assert table.group(before) is None
    assert known(table) == ["run_1", "step_1", "step_2"]


def test_move_leaves_others_behind() -> None:
    """A group that still has a member, or its run, stays."""
    one, two = record("step", "step_1", None), record("step", "step_2", None)
    three = record("step", "step_3", "run_0")
    table = filled(Limits(), one, two, three, record("run", "run_0", "run_0"))
    moved(table, one, "run_1")
    moved(table, three, "run_1")

    assert members(table, None) == ["step_2"]
    assert members(table, "run_1") == ["step_1", "step_3"]
    assert table.group("run_0") is not None


def test_move_keeps_the_bounds() -> None:
    """The run that a record moves to may be one too many, or full."""
    item = record("step", "step_1", None)
    table = filled(Limits(max_open_runs=2, max_steps_per_run=1), item, record("step", "step_2", "run_2"))

    assert moved(table, item, "run_2") == ["more than 1 steps and messages; forgot 'step_2'"]
    assert known(table) == ["step_1"]
    assert table.add(record("run", "run_3", "run_3")) == []
    assert table.add(record("run", "run_4", "run_4")) == ["more than 2 open runs; forgot run 'run_2'"]


def test_move_from_what_was_forgotten() -> None:
    """The record is entered anew."""
    item = record("step", "step_1", "run_0")
    table = filled(Limits(), item)
    table.evict("run_0")

    assert moved(table, item, "run_1") == []
    assert known(table) == ["step_1"]


def test_states() -> None:
    """A view of the records of one kind that follows them, and builds a state when it is read."""
    item = record("step", "step_1")
    table = filled(Limits(), item, record("run", "run_1"))
    states: States[RunStep] = States(table, "step")
    first = states["step_1"]

    assert dict(states) == {"step_1": RunStep(id="step_1")}
    assert (first, first is states["step_1"]) == (RunStep(id="step_1"), False)
    table.add(record("step", "step_2"))
    assert ([*states], len(states)) == (["step_1", "step_2"], 2)
    table.evict("run_1")
    assert ([*states], len(states)) == ([], 0)
    with pytest.raises(KeyError, match="step_1"):
        states["step_1"]
