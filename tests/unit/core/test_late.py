"""What may still be filled in after the end, and what is refused."""

import copy
from typing import Any

import pytest

from streamproc.core.late import fill, may_fill


def after(current: dict[str, Any], late: dict[str, Any]) -> tuple[dict[str, Any], bool, set[str]]:
    """The state after something late, whether it changed, and the names of what was refused; `late` stays as it was."""
    state, untouched = copy.deepcopy(current), copy.deepcopy(late)
    filled, refused = fill(state, late)

    assert untouched == late
    return state, filled, refused


def details(*tool_calls: Any, **more: Any) -> dict[str, Any]:
    return {"step_details": {"tool_calls": [*tool_calls], **more}}


FILLABLE = ("usage", "output", "outputs", "results", "metadata")
VALUES = ("x", 5, 0, False, ["a"], {"k": "v"})


@pytest.mark.parametrize("name", FILLABLE)
@pytest.mark.parametrize("gap", [{}, {"@": None}, {"@": ""}, {"@": []}, {"@": {}}])
@pytest.mark.parametrize("value", VALUES)
def test_gap(name: str, gap: dict[str, Any], value: Any) -> None:
    """What is absent, null or empty in these places may still come."""
    current = {key.replace("@", name): empty for key, empty in gap.items()}

    assert after(current, {name: value}) == ({name: value}, True, set())


@pytest.mark.parametrize("name", ["arguments", "status", "completed_at", "id", "name", "input", "logs", "unheard_of"])
@pytest.mark.parametrize("gap", [{}, {"@": None}, {"@": ""}])
def test_gap_elsewhere(name: str, gap: dict[str, Any]) -> None:
    """Nowhere else."""
    current = {key.replace("@", name): empty for key, empty in gap.items()}

    assert after(current, {name: "x"}) == (current, False, {name})


@pytest.mark.parametrize("name", [*FILLABLE, "arguments", "status"])
@pytest.mark.parametrize("value", VALUES)
def test_repeat(name: str, value: Any) -> None:
    """What stands already is no news; null and an index say nothing at all."""
    current = {name: value}

    assert after(current, {name: value, "more": None, "index": 3}) == (current, False, set())


@pytest.mark.parametrize("name", FILLABLE)
@pytest.mark.parametrize(
    ("value", "other"), [("x", "y"), (5, 6), (0, False), (1, 1.0), (["a"], ["b"]), ({"k": 1}, "x")]
)
def test_other_value(name: str, value: Any, other: Any) -> None:
    """What stands stays, in these places too."""
    assert after({name: value}, {name: other}) == ({name: value}, False, {name})


def test_inside_usage_and_metadata() -> None:
    """Single members of an open object may be filled in, and only those that are missing."""
    current = {"usage": {"a": 1, "b": None}, "metadata": {"k": "v"}}
    late = {"usage": {"a": 2, "b": 3, "c": {"d": 4}}, "metadata": {"l": "w"}}
    expected = {"usage": {"a": 1, "b": 3, "c": {"d": 4}}, "metadata": {"k": "v", "l": "w"}}

    assert after(current, late) == (expected, True, {"a"})


def test_inside_other_objects() -> None:
    """A fillable place is found at any depth."""
    current = {"a": {"b": {"output": None, "x": 1}}}
    late = {"a": {"b": {"output": "done", "x": 2, "y": 3}}}

    assert after(current, late) == ({"a": {"b": {"output": "done", "x": 1}}}, True, {"x", "y"})


def test_inside_several_objects() -> None:
    """What is refused in one does not make up for what is refused in another, or beside them."""
    current = {"x": 1, "a": {"x": 1}, "b": {"output": ""}, "c": {"z": 1}, "content": [{}]}
    late = {"x": 2, "a": {"y": 2}, "b": {"output": "o"}, "c": {"z": 2}, "content": [{"v": 1}]}

    assert after(current, late) == ({**current, "b": {"output": "o"}}, True, {"x", "y", "z", "v"})


def test_inside_the_content_of_a_message() -> None:
    """Content blocks are told by their index."""
    current = {"content": [{"type": "text"}, {"type": "text"}]}
    late = {"content": [{"index": 1, "type": "text", "metadata": {"k": "v"}}]}
    expected = {"content": [{"type": "text"}, {"type": "text", "metadata": {"k": "v"}}]}

    assert after(current, late) == (expected, True, set())


@pytest.mark.parametrize("name", FILLABLE)
@pytest.mark.parametrize("value", ["", [], {}])
@pytest.mark.parametrize("current", [{}, {"@": None}, {"@": "x"}, {"@": [1]}])
def test_empty_value(name: str, value: Any, current: dict[str, Any]) -> None:
    """It fills no gap, disputes nothing, and does not hide what stands behind it."""
    current = {key.replace("@", name): item for key, item in current.items()}

    assert after(current, {name: value}) == (current, False, set())
    assert after(current, {name: value, "x": 1}) == (current, False, {"x"})


@pytest.mark.parametrize("name", FILLABLE)
@pytest.mark.parametrize("value", ["x", 0, False, ["a"], {"k": None}])
def test_may_fill(name: str, value: Any) -> None:
    """Wherever in a delta it stands."""
    assert may_fill({name: value})
    assert may_fill({"x": 1, "a": [{"y": "b"}, {"c": {name: value}}]})


@pytest.mark.parametrize("name", [*FILLABLE, "arguments"])
@pytest.mark.parametrize("value", [None, "", [], {}])
def test_may_not_fill(name: str, value: Any) -> None:
    """What says nothing fills nothing, and neither does anything with another name."""
    assert not may_fill({name: value})
    assert not may_fill({"a": [{"arguments": "x"}, {name: value}, "usage"], "usage": value})
    assert not may_fill("usage")


@pytest.mark.parametrize("key", [{"id": "b"}, {"index": 1}, {"index": 1, "id": "b"}, {"index": 0, "id": "b"}])
def test_entry_by_id_or_index(key: dict[str, Any]) -> None:
    """The output of a call that is known by its id, or else by its index."""
    current = details({"id": "a", "function": {"output": None}}, {"id": "b", "function": {"output": None}})
    late = details({**key, "function": {"output": "1"}})
    expected = details({"id": "a", "function": {"output": None}}, {"id": "b", "function": {"output": "1"}})

    assert after(current, late) == (expected, True, set())


def test_entries_by_position() -> None:
    """A snapshot has neither, if need be."""
    current = details({"function": {}}, {"function": {"output": "0"}})
    late = details({"function": {"output": "1"}}, {"function": {"output": "2", "name": "f"}})
    expected = details({"function": {"output": "1"}}, {"function": {"output": "0"}})

    assert after(current, late) == (expected, True, {"output", "name"})


@pytest.mark.parametrize(
    "item",
    [
        {"id": "z", "function": {"output": "1"}},
        {"index": 1, "function": {"output": "1"}},
        {"index": -1, "function": {"output": "1"}},
        {"index": False, "function": {"output": "1"}},
        {"index": "0", "function": {"output": "1"}},
        {"index": 10**30, "function": {"output": "1"}},
        "text",
        None,
    ],
)
def test_entry_that_is_not_there(item: Any) -> None:
    """No entry is added after the end; the name of the list is told, once."""
    current = details({"id": "a", "function": {"output": None}})

    assert after(current, details(item, item)) == (current, False, {"tool_calls"})


def test_entry_that_is_no_object() -> None:
    """Such an entry takes nothing; it is passed over in the search for an id."""
    current = details("text", {"id": "b"})
    late = details({"index": 0, "output": "1"}, {"id": "b", "output": "2"})

    assert after(current, late) == (details("text", {"id": "b", "output": "2"}), True, {"tool_calls"})


def test_all_entries_are_looked_at() -> None:
    """One that is filled does not hide another one that is refused, nor the other way round."""
    current = details({"id": "a"}, {"id": "b"}, {"id": "c"})
    late = details({"id": "z"}, {"id": "a", "output": "1"}, {"id": "b", "x": 1}, {"id": "c", "y": 1})

    assert after(current, late) == (
        details({"id": "a", "output": "1"}, {"id": "b"}, {"id": "c"}),
        True,
        {"tool_calls", "x", "y"},
    )


def test_list_that_merges_as_a_whole() -> None:
    """Lists without indexes are one value; a full one stays."""
    assert after({"results": [{"a": 1}]}, {"results": [{"a": 1, "b": 2}]}) == (
        {"results": [{"a": 1}]},
        False,
        {"results"},
    )


def test_filled_list_has_no_indexes() -> None:
    """The index is how a delta names an entry, and no part of the state."""
    current: dict[str, Any] = {"code_interpreter": {"outputs": []}}
    late = {"code_interpreter": {"outputs": [{"index": 0, "logs": "a"}, "b"]}}

    assert after(current, late) == ({"code_interpreter": {"outputs": [{"logs": "a"}, "b"]}}, True, set())


@pytest.mark.parametrize(("now", "late"), [([1], {"a": 1}), ({"a": 1}, [1]), ("x", [1]), ([1], "x")])
def test_other_shape(now: Any, late: Any) -> None:
    """A list does not fill an object, nor the other way round."""
    current = {"step_details": {"tool_calls": now}}

    assert after(current, {"step_details": {"tool_calls": late}}) == (current, False, {"tool_calls"})
