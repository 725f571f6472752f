"""Which states are written when, also while commits are under way: a row that is behind is always known to be."""

from collections.abc import Sequence

import pytest

from streamproc import Change, StreamProcessor
from streamproc.errors import StoreError
from streamproc.stores._codec import encode
from streamproc.stores._growing import Growing, Key, Touched, touched_by
from tests.streams import arguments, call, run, sse, step, step_delta

STEP: Key = ("step", "step_1")


class Rig:
    """A stream with one large open step, and the positions of its changes."""

    def __init__(self) -> None:
        self.proc = StreamProcessor()
        self.growing = Growing()
        self.position = 1
        self.done(self.chosen(self.proc.feed(sse(run(), step(), step_delta(call("x" * 20_000, index=0, id="c"))))))

    def chosen(self, changes: Sequence[Change]) -> dict[Key, Touched]:
        touched = touched_by(encode(changes)[1])
        self.growing.choose(touched)
        return touched

    def fragment(self, text: str = "y") -> dict[Key, Touched]:
        return self.chosen(self.proc.feed(sse(arguments(text))))

    def truncated(self) -> dict[Key, Touched]:
        """The end of the stream, which marks the step; it may go on in the next one."""
        changes = self.proc.close()
        self.proc.open()
        return self.chosen(changes)

    def done(self, touched: dict[Key, Touched]) -> None:
        self.growing.committed(touched, self.position)
        self.position += 1 + max(one.offset for one in touched.values())

    def is_whole(self) -> bool:
        """Whether the row knows all, or is known to be behind up to the newest change."""
        newest = self.growing.newest(STEP)
        return newest is None or newest.revision == self.proc.reducer._table.records["step"]["step_1"].revision


def test_fragment_of_a_large_state_is_not_written() -> None:
    rig = Rig()
    touched = rig.fragment()
    rig.done(touched)

    assert touched[STEP].state is None
    assert rig.growing.needed_from() == 3
    assert [position for _, position in rig.growing.behind(4, everything=True)] == [4]
    assert rig.growing.behind(4) == []


def test_quarter_of_its_size_is_written() -> None:
    rig = Rig()
    rig.done(rig.fragment("y" * 4000))
    touched = rig.fragment("y" * 1000)
    rig.done(touched)

    assert touched[STEP].state is not None
    assert rig.growing.needed_from() is None


def test_fragment_after_an_end_that_is_on_its_way_is_written() -> None:
    """Or nothing would know that the row is behind, once the end has been committed."""
    rig = Rig()
    end, more = rig.truncated(), rig.fragment()
    rig.done(end)
    rig.done(more)

    assert more[STEP].state is not None
    assert rig.is_whole()


def test_first_and_second_state_at_once_are_both_written() -> None:
    rig = Rig()
    rig.growing = Growing()
    first, end, more = rig.fragment(), rig.truncated(), rig.fragment()
    for touched in (first, end):
        rig.done(touched)
    late = rig.fragment()
    for touched in (more, late):
        rig.done(touched)

    assert [one[STEP].state is None for one in (first, end, more, late)] == [False] * 4
    assert rig.is_whole()


def test_commit_that_failed_changes_nothing() -> None:
    """After it a fragment is not written again, and the journal is held where it was."""
    rig = Rig()
    rig.done(rig.fragment())
    rig.growing.failed(rig.fragment("y" * 9000))
    touched = rig.fragment()
    rig.done(touched)

    assert touched[STEP].state is None
    assert rig.growing.needed_from() == 3


def test_fragment_in_the_commit_that_refreshes_its_state_is_behind() -> None:
    rig = Rig()
    rig.done(rig.fragment())
    states = rig.growing.behind(rig.position, everything=True)
    touched = rig.fragment()
    rig.growing.refreshed(states)
    rig.done(touched)

    assert rig.growing.needed_from() == 4
    assert rig.growing.newest(STEP) is touched[STEP].change


def test_state_that_cannot_be_encoded_leaves_nothing_on_its_way() -> None:
    rig = Rig()
    changes = rig.proc.feed(sse(arguments("y"), step("created", "step_2")))
    bad = rig.proc.feed(sse(step_delta(call("z", index=0, id="d"), id="step_2")))
    tree = bad[-1].body.tree
    assert tree is not None
    tree.members["x"] = "\ud800"
    with pytest.raises(StoreError):
        rig.chosen([*changes, *bad])

    assert not rig.growing._chosen
