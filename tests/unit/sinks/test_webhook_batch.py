"""A batch on its way: what has an order among itself, and what is remembered."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from streamproc import Change
from streamproc.core.body import Body
from streamproc.core.change import Origin
from streamproc.sinks._webhook_batch import Memory, lanes_of
from streamproc.testing.changes import ordinary_changes

CHANGE = ordinary_changes("s", deltas=0)[0]


def of(stream: str, run_id: str | None, seq: int = 1) -> Change:
    return replace(CHANGE, origin=Origin(stream, 1), seq=seq, body=Body("run", run_id or "", run_id, None, b"{}"))


def lanes(*pairs: tuple[str, str | None]) -> list[list[int]]:
    """The lanes of changes of these streams and runs, by their places in the batch."""
    batch = [of(*pair, seq) for seq, pair in enumerate(pairs)]
    return [[change.seq for change in lane] for lane in lanes_of(batch)]


def test_runs_of_streams_of_their_own_are_apart() -> None:
    assert lanes(("a", "1"), ("b", "2"), ("a", "1"), ("b", "2")) == [[0, 2], [1, 3]]


def test_what_belongs_to_no_run_stays_with_its_stream() -> None:
    assert lanes(("a", None), ("b", "2"), ("a", "1"), ("a", None), ("c", None)) == [[0, 2, 3], [1], [4]]


def test_a_run_in_two_streams_and_a_stream_of_two_runs() -> None:
    """Also when what joins two lanes comes last."""
    assert lanes(("a", "1"), ("b", "1")) == [[0, 1]]
    assert lanes(("a", "1"), ("a", "2")) == [[0, 1]]
    assert lanes(("a", "1"), ("b", "2"), ("c", "3"), ("a", "3"), ("b", "1")) == [[0, 1, 2, 3, 4]]


def test_a_stream_and_a_run_of_the_same_name_are_two_things() -> None:
    assert lanes(("a", "b"), ("b", "c")) == [[0], [1]]


def test_no_batch_has_no_lanes() -> None:
    assert lanes() == []


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from(["1", "2", "3", "4", None])), max_size=30))
def test_lanes_share_nothing_and_keep_the_order(pairs: Sequence[tuple[str, str | None]]) -> None:
    """Every change is in one of them."""
    found = lanes(*pairs)
    streams = [{pairs[at][0] for at in lane} for lane in found]
    runs = [{pairs[at][1] for at in lane} - {None} for lane in found]

    assert sorted(at for lane in found for at in lane) == [*range(len(pairs))]
    assert all(lane == sorted(lane) for lane in found)
    assert sum(map(len, streams)) == len(set().union(*streams))
    assert sum(map(len, runs)) == len(set().union(*runs))


def test_an_outcome_is_kept_until_the_batch_is_settled() -> None:
    memory = Memory()
    first, second = of("s", "1", 1), of("s", "1", 2)
    memory.begin([first, second])
    memory.of(first).outcome = "taken"
    memory.begin([first])  # cut differently
    memory.begin([first, second])

    assert (memory.of(first).outcome, memory.of(second).outcome) == ("taken", None)
    memory.settle([first])
    assert len(memory) == 1
    memory.begin([first])
    assert memory.of(first).outcome is None


def test_the_memory_is_bounded_but_never_forgets_the_batch_at_hand() -> None:
    memory = Memory(maximum=3)
    batch = [of("s", "1", seq) for seq in range(10)]
    memory.begin(batch)
    for change in batch:
        memory.of(change).outcome = "rejected"
    memory.begin(batch[:2])

    assert [memory.of(change).outcome for change in batch[:2]] == ["rejected"] * 2
    assert len(memory) == 5
    assert [memory.of(change).outcome for change in batch[7:]] == ["rejected"] * 3
