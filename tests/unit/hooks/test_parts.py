"""Which part of an object the entry of a snapshot is."""

import pytest

from streamproc.hooks.parts import matched


@pytest.mark.parametrize(
    ("known", "ids", "expected"),
    [
        ({}, ["", ""], [0, 1]),
        ({0: "a", 1: "b"}, ["a", "b"], [0, 1]),
        ({0: "a", 1: "b"}, ["b", "a"], [1, 0]),
        ({0: "a", 5: "f"}, ["a", "f"], [0, 5]),
        ({0: "", 5: ""}, ["", ""], [0, 5]),
        ({5: ""}, ["x"], [5]),
        ({0: "a"}, ["x"], [0]),
        ({0: "a"}, ["x", "a"], [1, 0]),
        ({1: ""}, ["", ""], [0, 1]),
        ({0: "a", 1: "b"}, ["b"], [1]),
        ({0: "a", 1: "b"}, ["x"], [0]),
        ({0: "a", 4: "b"}, ["", "", ""], [0, 4, 2]),
        ({0: "a"}, ["a", "a"], [0, 1]),
        ({1: "b"}, ["b", ""], [1, 2]),
    ],
    ids=[
        "nothing known",
        "the same",
        "another order",
        "a gap that is gone",
        "a gap that is gone, no ids",
        "one part at another place",
        "another id at the same place",
        "a new one before",
        "one that was not seen",
        "one less",
        "one less, with another id",
        "more, no ids",
        "an id twice",
        "a place that is taken",
    ],
)
def test_parts_are_told_by_id_else_by_order(known: dict[int, str], ids: list[str], expected: list[int]) -> None:
    """No index twice, and each known one at most once."""
    assert matched(known, ids) == expected
