"""The tree that deltas grow on: every kind of node, read as of every revision."""

import random
from itertools import pairwise
from typing import Any

import pytest

from streamproc.core.tree import ABSENT, COMPACT_AT, FIRST_BLOCK, Cell, Node, Slots, TextBuffer


def grown(fragments: list[str], first: str = "", since: int = 0) -> TextBuffer:
    """Text with one fragment a revision, after what it began with."""
    buffer = TextBuffer(first, since)
    for revision, fragment in enumerate(fragments, since + 1):
        buffer.append(fragment, revision)
    return buffer


def cell_of(before: Any, *values: tuple[int, Any]) -> Cell:
    """A cell that took values at revisions."""
    cell = Cell(before)
    for revision, value in values:
        cell.set(value, revision)
    return cell


def test_absent_names_itself() -> None:
    """A failed comparison shows a name instead of an address."""
    assert repr(ABSENT) == "ABSENT"


# --- text -------------------------------------------------------------------------------------------------------------


def test_text_as_of_each_revision() -> None:
    """Each revision has the fragments up to its own, a later one all of them."""
    buffer = grown(["b", "c", "d"], "a", 5)

    assert [buffer.at(rev) for rev in (5, 6, 7, 8, 9)] == ["a", "ab", "abc", "abcd", "abcd"]


def test_text_before_it_began() -> None:
    """Before its first revision there is what stood in its place: nothing, or a value and what that replaced."""
    after_cell = TextBuffer("a", 3, cell_of(None, (3, "a")))
    after_cell.append("b", 4)

    assert TextBuffer("a", 5).at(4) is ABSENT
    assert [after_cell.at(rev) for rev in (2, 3, 4)] == [None, "a", "ab"]


def test_text_with_several_fragments_in_one_revision() -> None:
    """Fragments of one delta appear together."""
    buffer = TextBuffer("a")
    for revision, fragment in ((1, "b"), (1, "c"), (2, "d"), (2, "e")):
        buffer.append(fragment, revision)

    assert [buffer.at(rev) for rev in (0, 1, 2)] == ["a", "abc", "abcde"]


@pytest.mark.parametrize("count", [COMPACT_AT - 2, COMPACT_AT - 1, COMPACT_AT, 2 * COMPACT_AT - 1, 3 * COMPACT_AT + 7])
@pytest.mark.parametrize("seed", [0, 1])
def test_text_reads_the_same_in_any_order(count: int, seed: int) -> None:
    """Blocks and the cache of the last reading do not show, whatever is read before or after."""
    fragments = [f"{number} "[: number % 5] for number in range(count)]
    buffer = grown(fragments, "first ")
    revisions = [*range(count + 1), count, count, 0]
    random.Random(seed).shuffle(revisions)
    expected = ["first " + "".join(fragments[:rev]) for rev in revisions]

    assert expected == [buffer.at(rev) for rev in revisions]


def test_text_read_while_it_grows() -> None:
    """A reading between two fragments, around each compaction too, is extended and not repeated."""
    buffer, expected = TextBuffer("-"), "-"
    for revision in range(1, 2 * COMPACT_AT + 3):
        buffer.append(f"{revision},", revision)
        expected += f"{revision},"

        assert expected == buffer.at(revision)
    assert buffer.at(COMPACT_AT) == "-" + "".join(f"{number}," for number in range(1, COMPACT_AT + 1))


def test_text_is_joined_in_blocks() -> None:
    """Few fragments are loose at first, more later, and never more than a block holds."""
    buffer = TextBuffer("x")
    blocks = [0]
    for revision in range(1, 6 * COMPACT_AT):
        buffer.append("x", revision)
        blocks.append(blocks[-1] + 1 if buffer.parts else 0)

    lengths = [before + 1 for before, now in pairwise(blocks) if now == 0]
    assert [lengths[0] + 1, *lengths[1:5]] == [
        FIRST_BLOCK,
        FIRST_BLOCK,
        2 * FIRST_BLOCK,
        4 * FIRST_BLOCK,
        8 * FIRST_BLOCK,
    ]
    assert set(lengths[5:]) == {COMPACT_AT}
    assert buffer.latest() == "x" * 6 * COMPACT_AT


def test_a_long_text_is_not_copied_to_grow() -> None:
    """Neither when it begins to grow nor when fragments are joined; only when it is read."""
    first = "x" * 5000
    buffer = TextBuffer(first, 2)
    for revision in range(3, 3 + FIRST_BLOCK + 1):
        buffer.append("y", revision)

    assert any(block is first for block in buffer._blocks)
    assert len(buffer.parts) == 1
    assert buffer.at(1) is ABSENT
    assert [len(buffer.at(rev)) for rev in range(2, 23)] == [*range(5000, 5018), 5017, 5017, 5017]
    assert buffer.equals(first + "y" * 17)


@pytest.mark.parametrize("row", [1, 5, FIRST_BLOCK, FIRST_BLOCK + 3, 2 * COMPACT_AT])
@pytest.mark.parametrize("gap", [0, 1, 7])
def test_text_that_grows_by_rows(row: int, gap: int) -> None:
    """Many fragments at once, one a revision, with revisions between the rows that were about something else."""
    buffer, revision = TextBuffer("-", 3), 3
    expected = {revision: "-"}
    for _ in range(6):
        revision += gap
        first = revision + 1
        for _ in range(row):
            revision += 1
            buffer.parts.append(f"{revision},")
            expected[revision] = [*expected.values()][-1] + f"{revision},"
        buffer.grew(first, revision)

    assert buffer.at(2) is ABSENT
    text = ""
    for rev in range(3, revision + 4):
        text = expected.get(rev, text)
        assert buffer.at(rev) == text


def test_reading_again_joins_nothing() -> None:
    """The text of the last reading is kept, so that many readers of one revision cost one join."""
    buffer = grown(["b" * 100, "c" * 100])

    assert buffer.at(1) is buffer.at(1)
    assert buffer.at(2) is buffer.latest()


@pytest.mark.parametrize("count", [3, COMPACT_AT - 1, COMPACT_AT + 3])
def test_text_equals(count: int) -> None:
    """Only the whole text is equal; not a part, not one as long."""
    buffer = grown(["ab"] * count)

    assert buffer.equals("ab" * count)
    assert not buffer.equals("ab" * count + "a")
    assert not buffer.equals("ab" * (count - 1))
    assert not buffer.equals("ba" * count)


# --- cells ------------------------------------------------------------------------------------------------------------


def test_cell_as_of_each_revision() -> None:
    """A value stands from its revision until the next one."""
    cell = cell_of(ABSENT, (2, None), (4, "b"), (4, "c"), (7, "d"))

    assert [cell.at(rev) for rev in range(1, 9)] == [ABSENT, None, None, "c", "c", "c", "d", "d"]
    assert (cell.latest(), cell.since()) == ("d", 7)


def test_cell_that_was_never_set() -> None:
    """It holds what it was made with."""
    cell = Cell("a")

    assert (cell.at(0), cell.latest()) == ("a", "a")


# --- objects ----------------------------------------------------------------------------------------------------------


def test_node_takes_a_copy_of_its_members() -> None:
    """The object that a node was made of stays as it is."""
    members = {"a": 1}
    node = Node(members)
    node.members["b"] = 2

    assert members == {"a": 1}
    assert node.at(0) == {"a": 1, "b": 2}


@pytest.mark.parametrize("before", [ABSENT, None])
def test_node_before_it_was_there(before: Any) -> None:
    """Before its first revision an object is what stood in its place."""
    node = Node({"a": 1}, 3, before)

    assert [node.at(rev) for rev in (2, 3)] == [before, {"a": 1}]


def test_node_members() -> None:
    """A member that changed hides the one it began with; one that is not there yet does not show."""
    node = Node({"a": 1, "b": 2})
    node.members["b"] = cell_of(2, (5, 3))
    node.members["c"] = TextBuffer("x", 6)

    assert [node.at(rev) for rev in (4, 5, 6)] == [{"a": 1, "b": 2}, {"a": 1, "b": 3}, {"a": 1, "b": 3, "c": "x"}]


def test_node_latest() -> None:
    """The value of a cell, any other node itself, a member as it began, or nothing."""
    node = Node({"a": 1, "b": 2})
    node.members["b"] = cell_of(2, (5, 3))
    node.members["c"] = text = TextBuffer("x")

    assert [node.latest(name) for name in ("a", "b", "c", "d")] == [1, 3, text, ABSENT]


def test_a_reading_shares_nothing_with_the_node() -> None:
    """What a reader does with the object it got does not reach the tree."""
    node = Node({"a": 1})
    node.at(0)["a"] = 2

    assert node.at(0) == {"a": 1}


# --- lists ------------------------------------------------------------------------------------------------------------


def test_slots_of_a_snapshot() -> None:
    """A snapshot's entries have their position as index; those that are no objects are kept as they are."""
    slots = Slots([{"id": "a"}, "text", {"id": ""}, {"id": 7}, {"id": "a"}])

    assert [*slots.entries] == [0, 1, 2, 3, 4]
    assert slots.at(0) == [{"id": "a"}, "text", {"id": ""}, {"id": 7}, {"id": "a"}]
    assert [slots.index_of(id) for id in ("a", "", 7, None, "b")] == [0, None, None, None, None]


def test_slots_know_their_ids() -> None:
    """The first entry that has an id keeps it, be there one id or more."""
    slots = Slots([])
    found = [slots.index_of("a")]
    for index, id in ((3, "a"), (4, "a"), (5, "b"), (6, "b"), (7, "c")):
        slots.learn_id(index, id)
        found.append(slots.index_of(id))

    assert found == [None, 3, 3, 5, 5, 7]
    assert [slots.index_of(id) for id in ("a", "b", "c", "d", ["a"], None)] == [3, 5, 7, None, None, None]


@pytest.mark.parametrize(
    ("indexes", "ends"),
    [([], (0, -1)), ([2], (2, 2)), ([2, 5], (2, 5)), ([5, 2], (2, 5)), ([5, 7, 2, 6], (2, 7)), ([5, 2, 9], (2, 9))],
)
def test_slots_know_their_ends(indexes: list[int], ends: tuple[int, int]) -> None:
    """However the entries came."""
    slots = Slots([])
    for index in indexes:
        slots.add(index, Node({"n": index}))

    assert (slots.first(), slots.last()) == ends
    assert slots.at(0) == [{"n": index} for index in sorted(indexes)]


def test_slots_send_what_claims_a_taken_index_to_the_end() -> None:
    """Each list remembers its own."""
    slots, other = Slots([{}, {}]), Slots([{}])

    assert slots.move(0) == 2
    assert (slots.moved, other.moved) == ({0: 2}, {})


def test_slots_are_read_in_order_of_index() -> None:
    """However they came; and an entry shows from its own revision on."""
    slots = Slots([], 1, None)
    for revision, index in ((1, 5), (2, 0), (3, 3)):
        slots.add(index, Node({"n": index}, revision))

    assert [slots.at(rev) for rev in (0, 1, 2, 3)] == [
        None,
        [{"n": 5}],
        [{"n": 0}, {"n": 5}],
        [{"n": 0}, {"n": 3}, {"n": 5}],
    ]


def test_slots_before_they_were_there() -> None:
    """A list made for deltas was absent before, unless something stood in its place."""
    assert Slots([], 1).at(0) is ABSENT
    assert Slots([], 1).at(1) == []
