"""Comparing details: what says nothing, what says at least as much, where texts differ."""

from typing import Any

import pytest

from streamproc.core.details import covers, diverging, is_bare


@pytest.mark.parametrize(
    "details",
    [
        None,
        {},
        [],
        "",
        {"type": "tool_calls"},
        {"type": "tool_calls", "tool_calls": []},
        {"type": "tool_calls", "tool_calls": None},
        {"type": None, "message_creation": {}, "x": ""},
    ],
)
def test_bare(details: object) -> None:
    """Nothing but a type and empty members."""
    assert is_bare(details)


@pytest.mark.parametrize(
    "details",
    [
        {"tool_calls": [{}]},
        {"type": "tool_calls", "tool_calls": [], "x": 0},
        {"type": "message_creation", "message_creation": {"message_id": None}},
        [{}],
        "x",
        0,
        False,
    ],
)
def test_not_bare(details: object) -> None:
    """Anything else says something."""
    assert not is_bare(details)


@pytest.mark.parametrize(
    ("new", "old"),
    [
        ("ab", "ab"),
        ("abc", "ab"),
        ("a", ""),
        ("a", None),
        (None, None),
        (0, None),
        ({}, None),
        (3, 3),
        ([1, 2], [1]),
        ([], []),
        (["ab"], ["a"]),
        ({"a": 1, "b": 2}, {"a": 1}),
        ({"a": 1}, {"a": 1, "b": None}),
        ({"a": [{"b": "cd"}]}, {"a": [{"b": "c"}]}),
    ],
)
def test_covers(new: Any, old: Any) -> None:
    """More text, more entries and more members cover less of them; anything covers nothing."""
    assert covers(new, old)


@pytest.mark.parametrize(
    ("new", "old"),
    [
        ("a", "ab"),
        ("ba", "a"),
        ("", "a"),
        (None, ""),
        (None, "a"),
        (1, "1"),
        (3, 4),
        (None, 0),
        ([], [1]),
        ([2, 1], [1]),
        ({}, [1]),
        (None, []),
        (None, {}),
        ([], {}),
        ({"b": 1}, {"a": 1}),
        ({"a": 1, "b": 3}, {"a": 1, "b": 2}),
        ({"a": [{"b": "c"}]}, {"a": [{"b": "cd"}]}),
    ],
)
def test_does_not_cover(new: Any, old: Any) -> None:
    """Less of anything, or something else."""
    assert not covers(new, old)


@pytest.mark.parametrize(
    ("accumulated", "final"),
    [
        ("ab", "ab"),
        ("", None),
        (None, "ab"),
        (1, 2),
        (None, None),
        ({"a": "x"}, {"a": "x", "b": "y"}),
        ({"a": 1, "b": None}, {}),
        (["x"], ["x", "y"]),
        ([{"a": "x"}], [{"a": "x"}]),
    ],
)
def test_not_diverging(accumulated: Any, final: Any) -> None:
    """What the snapshot adds is no divergence, and only text is compared."""
    assert diverging(accumulated, final) is None


@pytest.mark.parametrize(
    ("accumulated", "final", "lengths"),
    [
        ("ab", "a", (2, 1)),
        ("ab", "ac", (2, 2)),
        ("ab", "abc", (2, 3)),
        ("", "abc", (0, 3)),
        ("ab", None, (2, 0)),
        ("ab", 5, (2, 0)),
        ({"n": 1, "a": "xy"}, {"a": "x"}, (2, 1)),
        ({"a": "xy"}, {}, (2, 0)),
        (["x", "yyy"], ["x", "y"], (3, 1)),
        (["x", "yyy"], ["x"], (3, 0)),
        ({"a": [{"b": "x"}, {"b": "yyy"}]}, {"a": [{"b": "x"}, {"b": "z"}]}, (3, 1)),
        ({"a": "x", "b": "yyy"}, {"a": "", "b": ""}, (1, 0)),
    ],
)
def test_diverging(accumulated: Any, final: Any, lengths: tuple[int, int]) -> None:
    """The lengths of the first text that differs or is gone."""
    assert diverging(accumulated, final) == lengths


@pytest.mark.parametrize(
    ("accumulated", "final"),
    [
        ({"a": "xyz"}, None),
        (["xyz"], None),
        ([{"a": "xyz"}], []),
        ([{"b": 1}, {"a": "xyz"}], [{"b": 1}]),
        ({"function": {"arguments": "xyz"}}, {"function": None}),
        ({"function": {"arguments": "xyz"}}, {}),
    ],
)
def test_text_whose_object_is_gone(accumulated: Any, final: Any) -> None:
    """Text is lost as well when all around it is."""
    assert diverging(accumulated, final) == (3, 0)
