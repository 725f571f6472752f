"""The merge rules, one by one, on plain JSON data."""

from collections.abc import Iterable
from typing import Any

import pytest

from streamproc.core.limits import Limits
from streamproc.core.merge import RULES, Merge, is_empty, rule_for
from streamproc.core.tree import ABSENT, Node

# Where each rule applies: (the member an object stands under, the member of it). As the protocol has them, written down
# a second time, so that no rule can move by accident.
APPEND = [
    ("function", "arguments"),
    ("tool_calls", "arguments"),
    ("code_interpreter", "input"),
    ("outputs", "logs"),
    ("text", "value"),
    ("content", "refusal"),
]
NAME = [
    ("function", "name"),
    ("tool_calls", "name"),
    ("deep_research", "input"),
    ("function", "output"),
    ("tool_calls", "output"),
]
KEEP = [
    ("tool_calls", "id"),
    ("", "object"),
    ("", "run_id"),
    ("", "thread_id"),
    ("", "assistant_id"),
    ("message_creation", "message_id"),
    ("image_file", "file_id"),
    ("image_url", "url"),
    ("", "created_at"),
    ("", "role"),
]
MAPS = [
    ("", "metadata"),
    *(
        ("tool_calls", name)
        for name in (
            "azure_ai_search",
            "bing_grounding",
            "bing_custom_search",
            "sharepoint_grounding",
            "fabric_dataagent",
            "openapi",
        )
    ),
]
BY_INDEX = [
    ("step_details", "tool_calls"),
    ("code_interpreter", "outputs"),
    ("", "content"),
    ("text", "annotations"),
]
WHOLE = [
    ("file_search", "results"),
    ("browser_automation", "steps"),
    ("computer_use_preview", "pending_safety_checks"),
    ("computer_use_preview", "acknowledged_safety_checks"),
    ("step_details", "activities"),
]
OBJECTS = [
    ("", "step_details"),
    ("step_details", "message_creation"),
    *(
        ("tool_calls", name)
        for name in (
            "function",
            "code_interpreter",
            "file_search",
            "retrieval",
            "connected_agent",
            "deep_research",
            "azure_function",
            "browser_automation",
            "computer_use_preview",
        )
    ),
    ("outputs", "image"),
    ("content", "image_file"),
    ("content", "image_url"),
    ("content", "text"),
]
REPLACE = [
    ("function", "value"),
    ("results", "content"),
    ("", "tool_calls"),
    ("outputs", "outputs"),
    ("content", "annotations"),
    ("annotations", "text"),
    ("annotations", "start_index"),
    ("text", "detail"),
    ("usage", "total_tokens"),
]


class Merged:
    """What became of an object after some deltas, one revision each, and what was reported."""

    def __init__(
        self, first: Any, *deltas: dict[str, Any], parent: str = "", room: int = 10**6, limits: Limits | None = None
    ) -> None:
        self.reports: list[str] = []
        self.details: list[str] = []
        self.changed: list[bool] = []
        self.sizes: list[int] = []
        node = Node(first)
        self.states: list[Any] = [node.at(0)]
        for revision, delta in enumerate(deltas, 1):
            merge = Merge(revision, room, limits or Limits(), self._report)
            merge.into(node, delta, parent)
            self.states.append(node.at(revision))
            self.changed.append(merge.changed)
            self.sizes.append(merge.size)
            room -= merge.size
        self.state = self.states[-1]
        self.history = [node.at(revision) for revision in range(len(deltas) + 1)]

    def _report(self, kind: str, detail: str) -> None:
        self.reports.append(kind)
        self.details.append(detail)


def listed(first: Iterable[Any], *deltas: Any, limits: Limits | None = None, room: int = 10**6) -> Merged:
    """Merge lists of tool calls."""
    lists = ({"tool_calls": delta} for delta in ([*first], *deltas))
    return Merged(next(lists), *lists, parent="step_details", limits=limits, room=room)


# --- the table --------------------------------------------------------------------------------------------------------


def test_rules_are_those_tested_here() -> None:
    """Each name in the table has its cases below."""
    tested = [*APPEND, *NAME, *KEEP, *MAPS, *BY_INDEX, *WHOLE, *OBJECTS, ("", "type")]

    assert {rule for pair in tested for rule in (".".join(pair), pair[1])} >= set(RULES)


@pytest.mark.parametrize(("parent", "name"), [*REPLACE, ("", "unheard_of"), ("*", "x")])
def test_rule_of_all_other_members(parent: str, name: str) -> None:
    """A name that is not in the table, or only below another member, replaces."""
    assert rule_for(parent, name) == "replace"


@pytest.mark.parametrize("value", [ABSENT, None, "", [], {}])
def test_empty(value: object) -> None:
    """What says nothing."""
    assert is_empty(value)


@pytest.mark.parametrize("value", [0, 0.0, False, "0", [None], {"a": None}])
def test_not_empty(value: object) -> None:
    """Zero and false do say something."""
    assert not is_empty(value)


# --- text that grows --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("parent", "name"), APPEND)
@pytest.mark.parametrize(
    ("first", "values", "expected"),
    [
        ({}, ["a"], "a"),
        ({}, ["a", "b", "c"], "abc"),
        ({}, ["a", "a", "a"], "aaa"),
        ({}, ["", "a"], "a"),
        ({"": None}, [None, "a"], "a"),
        ({"@": None}, ["a", None, "b"], "ab"),
        ({"@": ""}, ["a", "", "b"], "ab"),
        ({"@": "a"}, ["a", "b"], "aab"),
    ],
)
def test_append(parent: str, name: str, first: dict[str, Any], values: list[Any], expected: str) -> None:
    """Fragments are joined, equal ones too; null and nothing at all add nothing."""
    first = {key.replace("@", name): value for key, value in first.items()}
    actual = Merged(first, *({name: value} for value in values), parent=parent)

    assert {**first, name: expected} == actual.state
    assert actual.states == actual.history
    assert actual.reports == []


@pytest.mark.parametrize(("parent", "name"), NAME)
@pytest.mark.parametrize(
    ("first", "values", "expected"),
    [
        ({}, ["a"], "a"),
        ({}, ["a", "b"], "ab"),
        ({}, ["a", "a"], "a"),
        ({}, ["a", "b", "ab", "c", "abc"], "abc"),
        ({"@": None}, ["a", "a"], "a"),
        ({"@": None}, ["a", "b", "ab"], "ab"),
        ({"@": ""}, ["a", "", "a"], "a"),
        ({"@": "ab"}, ["a", "ab"], "abaab"),
        ({"@": "ab"}, ["ab", "c"], "abc"),
    ],
)
def test_name(parent: str, name: str, first: dict[str, Any], values: list[Any], expected: str) -> None:
    """Text that comes whole or in pieces: the whole once more changes nothing, all else is added."""
    first = {key.replace("@", name): value for key, value in first.items()}
    actual = Merged(first, *({name: value} for value in values), parent=parent)

    assert {name: expected} == actual.state
    assert actual.states == actual.history
    assert actual.reports == []


@pytest.mark.parametrize(("parent", "name"), [APPEND[0], NAME[0]])
def test_text_that_says_nothing_changes_nothing(parent: str, name: str) -> None:
    """No news, no revision."""
    actual = Merged({name: "a"}, {name: ""}, {name: None}, parent=parent)

    assert actual.changed == [False, False]
    assert actual.sizes == [0, 0]


def test_first_empty_text_is_a_change() -> None:
    """Absent, null and empty differ."""
    actual = Merged({}, {"arguments": None}, {"arguments": None}, {"arguments": ""}, {"arguments": ""})

    assert actual.history == [{}, {"arguments": None}, {"arguments": None}, {"arguments": ""}, {"arguments": ""}]
    assert actual.changed == [True, False, True, False]


@pytest.mark.parametrize("name", ["arguments", "name"])
@pytest.mark.parametrize("value", [5, 0, True, False, 1.5, ["a"], {"b": 1}])
def test_no_text_where_text_is(name: str, value: Any) -> None:
    """The text stays, whatever else comes for it, and the conflict is reported once each."""
    actual = Merged({name: "a"}, {name: "b"}, {name: value}, {name: "c"})

    assert actual.state == {name: "abc"}
    assert actual.reports == ["type_conflict"]
    assert actual.changed == [True, False, True]


@pytest.mark.parametrize("name", ["arguments", "name"])
@pytest.mark.parametrize("value", [5, 0, True, False, 1.5, ["a"], {"b": 1}])
def test_no_text_where_the_text_of_a_snapshot_is(name: str, value: Any) -> None:
    """That text stays as well."""
    actual = Merged({name: "a"}, {name: value}, {name: "b"})

    assert actual.state == {name: "ab"}
    assert actual.reports == ["type_conflict"]
    assert actual.changed == [False, True]


def test_another_value_where_text_should_be() -> None:
    """The first one stays there too."""
    actual = Merged({}, {"arguments": 5}, {"arguments": 6}, {"name": 5}, {"name": 6})

    assert actual.state == {"arguments": 5, "name": 5}
    assert actual.reports == ["type_conflict"] * 2


@pytest.mark.parametrize("name", ["arguments", "name"])
@pytest.mark.parametrize("value", [5, 0, True, False, 1.5, ["a"], {"b": 1}])
def test_text_where_none_is(name: str, value: Any) -> None:
    """What came first stays, text cannot be added to it; the same again is no conflict."""
    actual = Merged({}, {name: value}, {name: "a"}, {name: value})

    assert actual.state == {name: value}
    assert actual.reports == ["type_conflict"]
    assert actual.changed == [True, False, False]


# --- identity ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("parent", "name"), KEEP)
@pytest.mark.parametrize("first", [{}, {"@": None}, {"@": ""}])
def test_keep(parent: str, name: str, first: dict[str, Any]) -> None:
    """The first value stays; the same again is no news, another one a conflict of ids."""
    first = {key.replace("@", name): value for key, value in first.items()}
    actual = Merged(first, *({name: value} for value in ("a", "a", "b", None, "")), parent=parent)

    assert actual.state == {name: "a"}
    assert actual.reports == ["id_conflict", "id_conflict"]
    assert actual.changed == [True, False, False, False, False]


def test_keep_compares_types() -> None:
    """A timestamp that turns into text or a fraction is another value."""
    actual = Merged({"created_at": 1}, {"created_at": "1"}, {"created_at": 1.0}, {"created_at": True})

    assert actual.state == {"created_at": 1}
    assert actual.reports == ["id_conflict"] * 3


@pytest.mark.parametrize("parent", ["", "step_details", "tool_calls", "outputs", "content"])
def test_tag(parent: str) -> None:
    """A known type is never overwritten; that is a conflict of types."""
    actual = Merged({"type": None}, *({"type": value} for value in ("mcp", "mcp", "openapi", None)), parent=parent)

    assert actual.state == {"type": "mcp"}
    assert actual.reports == ["type_conflict"]
    assert actual.changed == [True, False, False, False]


def test_nothing_for_an_empty_identity() -> None:
    """An empty text for an empty text is no change."""
    actual = Merged({"id": ""}, {"id": ""}, {"id": "a"})

    assert actual.changed == [False, True]


# --- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("parent", "name"), REPLACE)
def test_replace(parent: str, name: str) -> None:
    """The newest value stands, whatever the types."""
    values = [1, 1.0, True, "a", "b", False, 0, [1], [2], "c"]
    actual = Merged({}, *({name: value} for value in values), parent=parent)

    assert [{}, *({name: value} for value in values)] == actual.history
    assert [type(state[name]) for state in actual.history[1:]] == [type(value) for value in values]
    assert actual.changed == [True] * len(values)
    assert actual.reports == []


@pytest.mark.parametrize("value", [3, 0.5, True, "a", ["b"]])
def test_replace_by_the_same(value: Any) -> None:
    """Numbers are never added, booleans neither, text and lists never joined; the same again is no change."""
    actual = Merged({"x": value}, {"x": value}, {"x": None})

    assert actual.state == {"x": value}
    assert type(actual.state["x"]) is type(value)
    assert actual.changed == [False, False]


def test_null_for_what_is_absent() -> None:
    """A null is news where nothing was, once."""
    actual = Merged({"x": 1}, {"y": None, "x": None}, {"y": None})

    assert actual.history == [{"x": 1}, {"x": 1, "y": None}, {"x": 1, "y": None}]
    assert actual.changed == [True, False]


def test_members_after_a_null() -> None:
    """A null does not hide what stands behind it."""
    actual = Merged({"a": 1}, {"a": None, "b": None, "c": 2}, {"c": None, "d": 3})

    assert actual.state == {"a": 1, "b": None, "c": 2, "d": 3}


def test_plain_value_for_an_object_of_an_unknown_name() -> None:
    """Nothing is known about such a member: the newest value stands, whatever was there."""
    actual = Merged({"x": {"a": 1}, "y": 1}, {"x": {"b": 2}}, {"x": 5}, {"y": {"a": 1}})

    assert actual.state == {"x": 5, "y": {"a": 1}}
    assert actual.history == [{"x": {"a": 1}, "y": 1}, {"x": {"a": 1, "b": 2}, "y": 1}, {"x": 5, "y": 1}, actual.state]
    assert actual.reports == []
    assert actual.changed == [True, True, True]


@pytest.mark.parametrize(("parent", "name"), [*OBJECTS, ("", "openapi"), ("", "metadata")])
@pytest.mark.parametrize("value", [True, 5, "s", [1]])
def test_plain_value_for_an_object_of_the_protocol(parent: str, name: str, value: Any) -> None:
    """What is put together stays, and an object does not take the place of a plain value either."""
    actual = Merged({name: {"a": 1}}, {name: value}, {name: {"b": 2}}, parent=parent)
    reverse = Merged({name: 5}, {name: {"a": 1}}, {name: value}, parent=parent)

    assert actual.state == {name: {"a": 1, "b": 2}}
    assert actual.reports == ["type_conflict"]
    assert reverse.state == {name: value}
    assert reverse.reports == ["type_conflict"]


def test_unknown_objects_recurse() -> None:
    """Members of an unknown object are merged by the rules of their own names."""
    actual = Merged({}, {"new": {"arguments": "a", "n": 1, "id": "x"}}, {"new": {"arguments": "b", "n": 2, "m": None}})

    assert actual.history == [
        {},
        {"new": {"arguments": "a", "n": 1, "id": "x"}},
        {"new": {"arguments": "ab", "n": 2, "id": "x", "m": None}},
    ]


def test_object_where_null_was() -> None:
    """Null stood there until the object came."""
    actual = Merged({"usage": None}, {"usage": {"total_tokens": 1}}, {"usage": {"total_tokens": 2}})

    assert actual.history == [{"usage": None}, {"usage": {"total_tokens": 1}}, {"usage": {"total_tokens": 2}}]
    assert actual.changed == [True, True]


def test_empty_object_where_nothing_was() -> None:
    """An empty object is news; once."""
    actual = Merged({}, {"retrieval": {}}, {"retrieval": {}})

    assert actual.history == [{}, {"retrieval": {}}, {"retrieval": {}}]
    assert actual.changed == [True, False]


@pytest.mark.parametrize("name", ["usage", "code_interpreter"])
def test_null_from_a_delta_and_then_an_object(name: str) -> None:
    """A view of the time before the null still shows nothing there."""
    actual = Merged({}, {name: None}, {name: {"total_tokens": 1}})

    assert actual.history == [{}, {name: None}, {name: {"total_tokens": 1}}]


def test_null_from_a_delta_and_then_a_list() -> None:
    """A view of the time before the null still shows nothing there."""
    actual = Merged({}, {"content": None}, {"content": [{"index": 0}]})

    assert actual.history == [{}, {"content": None}, {"content": [{}]}]


def test_deep_objects_replace_as_a_whole() -> None:
    """Merging stops at a depth that no real delta has; the data still arrives."""

    def nested(depth: int, leaf: Any) -> dict[str, Any]:
        value = leaf
        for _ in range(depth):
            value = {"x": value}
        return {"x": value}

    within = Merged({}, nested(31, {"a": 1}), nested(31, {"b": 2}))
    beyond = Merged({}, nested(32, {"a": 1}), nested(32, {"b": 2}))

    assert within.state == nested(31, {"a": 1, "b": 2})
    assert beyond.state == nested(32, {"b": 2})
    assert beyond.history == [{}, nested(32, {"a": 1}), nested(32, {"b": 2})]


def test_deep_lists() -> None:
    """An entry of a list is a level too."""

    def nested(pairs: int, leaf: Any) -> dict[str, Any]:
        value: dict[str, Any] = {"text": leaf}
        for _ in range(pairs):
            value = {"text": {"annotations": [{"index": 0, **value}]}}
        return value

    def leaf(state: Any) -> Any:
        while "annotations" in state["text"]:
            (state,) = state["text"]["annotations"]
        return state["text"]

    within = Merged({}, nested(15, {"a": 1}), nested(15, {"b": 2}))
    beyond = Merged({}, nested(16, {"a": 1}), nested(16, {"b": 2}))

    assert leaf(within.state) == {"a": 1, "b": 2}
    assert leaf(beyond.state) == {"b": 2}


def test_deep_values_keep_their_rules() -> None:
    """Beyond that depth text is still appended and an identity still kept."""
    first: dict[str, Any] = {"arguments": "a", "id": "i", "metadata": {"k": 1}, "type": {"t": 1}, "results": {}}
    second: dict[str, Any] = {"arguments": "b", "id": "j", "metadata": {"l": 2}, "type": {"t": 2}, "results": {}}
    for _ in range(32):
        first, second = {"x": first}, {"x": second}
    actual = Merged({}, first, second)
    state = actual.state
    for _ in range(32):
        state = state["x"]

    assert state == {"arguments": "ab", "id": "i", "metadata": {"l": 2}, "type": {"t": 1}, "results": {}}
    assert sorted(actual.reports) == ["id_conflict", "type_conflict"]


# --- maps -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("parent", "name"), MAPS)
def test_map(parent: str, name: str) -> None:
    """Per key the newest value stands, whatever the key is called elsewhere."""
    first = {"arguments": "a", "id": "1", "type": "t", "name": "n", "content": "c"}
    second = {"arguments": "b", "id": "2", "type": "u", "name": "n", "more": "m", "content": None}
    actual = Merged({}, {name: first}, {name: second}, parent=parent)

    assert {name: {**first, **second, "content": "c"}} == actual.state
    assert actual.history == actual.states
    assert actual.reports == []


def test_map_of_objects() -> None:
    """Whatever a map holds is the sender's own: no name inside it is one of the protocol's."""
    first = {"x": {"arguments": "a", "id": "1", "type": "t"}}
    second = {"x": {"arguments": "b", "id": "2", "type": "u"}}
    actual = Merged({}, {"openapi": first}, {"openapi": second}, parent="tool_calls")

    assert {"openapi": second} == actual.state
    assert actual.reports == []


def test_map_that_is_no_map() -> None:
    """A plain value in the place of a map is kept until a map would be needed."""
    actual = Merged({}, {"metadata": "a"}, {"metadata": "b"}, {"metadata": {"k": "v"}})

    assert actual.state == {"metadata": "b"}
    assert actual.reports == ["type_conflict"]


# --- lists without indexes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("parent", "name"), WHOLE)
def test_whole(parent: str, name: str) -> None:
    """The newest list stands; an empty one says nothing."""
    actual = Merged({}, *({name: value} for value in ([], [1], [2, 3], [], None, [2, 3])), parent=parent)

    assert [*actual.history[1:5], actual.state] == [
        {name: []},
        {name: [1]},
        {name: [2, 3]},
        {name: [2, 3]},
        {name: [2, 3]},
    ]
    assert actual.changed == [True, True, True, False, False, False]


# --- lists with indexes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("parent", "name"), BY_INDEX)
@pytest.mark.parametrize("first", [{}, {"@": None}, {"@": []}])
def test_by_index(parent: str, name: str, first: dict[str, Any]) -> None:
    """Entries merge with the one of their index; the index itself is no part of the state."""
    first = {key.replace("@", name): value for key, value in first.items()}
    deltas = [[{"index": 0, "logs": "a"}], [{"index": 1, "logs": "b"}, {"index": 0, "logs": "c"}], [{"index": 1}]]
    actual = Merged(first, *({name: delta} for delta in deltas), parent=parent)

    assert actual.history == [
        first,
        {name: [{"logs": "a"}]},
        {name: [{"logs": "ac"}, {"logs": "b"}]},
        {name: [{"logs": "ac"}, {"logs": "b"}]},
    ]
    assert actual.changed == [True, True, False]
    assert actual.reports == []


def test_empty_list_where_nothing_was() -> None:
    """It is news; once."""
    actual = Merged({}, {"content": []}, {"content": []}, {"content": [{"index": 0}]})

    assert actual.history == [{}, {"content": []}, {"content": []}, {"content": [{}]}]
    assert actual.changed == [True, False, True]


def test_by_index_on_a_snapshot() -> None:
    """Entries of a snapshot have no index; their position is it."""
    actual = listed([{"id": "a", "name": "x"}, {"id": "b"}], [{"index": 1, "name": "y"}], [{"index": 0, "n": 1}])

    assert actual.state == {"tool_calls": [{"id": "a", "name": "x", "n": 1}, {"id": "b", "name": "y"}]}
    assert actual.states == actual.history


def test_by_index_out_of_order() -> None:
    """A gap is filled later; entries stand in the order of their indexes from the start."""
    actual = listed([], [{"index": 3, "id": "d"}], [{"index": 1, "id": "b"}], [{"index": 2, "id": "c"}, {"index": 0}])

    assert actual.history[1:] == [
        {"tool_calls": [{"id": "d"}]},
        {"tool_calls": [{"id": "b"}, {"id": "d"}]},
        {"tool_calls": [{}, {"id": "b"}, {"id": "c"}, {"id": "d"}]},
    ]
    assert actual.reports == []


def test_by_index_twice_in_one_delta() -> None:
    """Several entries of one index merge in their order, in a new place too."""
    twice = [{"index": 0, "arguments": "a"}, {"index": 0, "arguments": "b", "n": None}, {"index": 0, "arguments": "c"}]
    actual = listed([], twice, twice)

    assert actual.history[1:] == [
        {"tool_calls": [{"arguments": "abc", "n": None}]},
        {"tool_calls": [{"arguments": "abcabc", "n": None}]},
    ]


def test_lone_object_for_a_list() -> None:
    """One server sends the only entry itself."""
    actual = Merged({}, {"content": {"index": 0, "refusal": "a"}}, {"content": {"index": 0, "refusal": "b"}})

    assert actual.state == {"content": [{"refusal": "ab"}]}
    assert actual.reports == []


def test_list_where_something_else_is() -> None:
    """What came first stays."""
    actual = Merged({"tool_calls": "text"}, {"tool_calls": [{"index": 0}]}, parent="step_details")

    assert actual.state == {"tool_calls": "text"}
    assert actual.reports == ["type_conflict"]
    assert actual.changed == [False]


@pytest.mark.parametrize("item", [5, "a", None, ["b"]])
def test_entry_that_is_no_object(item: Any) -> None:
    """It is refused, its neighbours are not."""
    actual = listed([], [{"index": 0}, item, {"index": 1}])

    assert actual.state == {"tool_calls": [{}, {}]}
    assert actual.reports == ["type_conflict"]


def test_entry_of_a_snapshot_that_is_no_object() -> None:
    """It stays what it is."""
    actual = listed(["a", {"id": "b"}], [{"index": 0, "id": "x"}, {"index": 1, "name": "n"}])

    assert actual.state == {"tool_calls": ["a", {"id": "b", "name": "n"}]}
    assert actual.reports == ["type_conflict"]


@pytest.mark.parametrize("bad", [-1, -(2**40), True, False, "0", 1.0, None, [0], {"a": 0}])
def test_bad_index_of_the_only_entry(bad: Any) -> None:
    """Where there is one entry at most, that is the one; a bad index is reported, none at all is not."""
    new = listed([], [{"index": bad, "logs": "a"}])
    known = listed([{"id": "i", "logs": "a"}], [{"index": bad, "logs": "b"}])

    assert new.state == {"tool_calls": [{"logs": "a"}]}
    assert known.state == {"tool_calls": [{"id": "i", "logs": "ab"}]}
    assert new.reports == known.reports == ["index_invalid"]


def test_no_index_at_the_only_entry() -> None:
    """The only entry of a list with one at most needs none; it keeps the index it began with."""
    new = listed([], [{"logs": "a"}], [{"logs": "b"}], [{"index": 0, "logs": "c"}])
    known = listed([], [{"index": 4, "logs": "a"}], [{"logs": "b"}], [{"index": 4, "logs": "c"}])

    assert new.state == known.state == {"tool_calls": [{"logs": "abc"}]}
    assert new.reports == known.reports == []


@pytest.mark.parametrize("bad", [{}, {"index": -1}, {"index": "1"}, {"index": True}])
def test_bad_index_and_a_known_id(bad: dict[str, Any]) -> None:
    """The id tells the entry, wherever it stands."""
    actual = listed([{"id": "a"}, {"id": "b"}], [{**bad, "id": "b", "name": "n"}, {**bad, "id": "a", "name": "m"}])

    assert actual.state == {"tool_calls": [{"id": "a", "name": "m"}, {"id": "b", "name": "n"}]}
    assert actual.reports == ["index_invalid"] * 2 * len(bad)


@pytest.mark.parametrize("bad", [{}, {"index": -1}, {"index": "1"}, {"index": True}])
@pytest.mark.parametrize("more", [{}, {"id": "c"}, {"id": ""}, {"id": 7}])
def test_bad_index_among_several(bad: dict[str, Any], more: dict[str, Any]) -> None:
    """What cannot be told from the others is appended, after the highest index, and reported once."""
    item = {**bad, **more, "name": "n"}
    actual = listed([{"id": "a"}, {"id": "b"}], [item], [{"index": 2, "name": "m"}])

    assert actual.state == {"tool_calls": [{"id": "a"}, {"id": "b"}, {**more, "name": "nm"}]}
    assert actual.reports == ["index_invalid"]


@pytest.mark.parametrize("bad", [{}, {"index": -1}])
def test_bad_index_and_another_id(bad: dict[str, Any]) -> None:
    """Another id than the only entry's is another entry."""
    actual = listed([], [{"index": 3, "id": "a"}], [{**bad, "id": "b"}], [{"index": 4, "n": 1}])

    assert actual.state == {"tool_calls": [{"id": "a"}, {"id": "b", "n": 1}]}
    assert actual.reports == ["index_invalid"]


def test_bad_indexes_of_several_entries() -> None:
    """Two entries without an index do not share a place, in an empty list either."""
    actual = listed([], [{"n": 1}, {"n": 2}], [{"index": 0, "m": 1}])

    assert actual.state == {"tool_calls": [{"n": 1, "m": 1}, {"n": 2}]}
    assert actual.reports == ["index_invalid"] * 2


def test_second_id_for_one_index() -> None:
    """A new id for a place that is taken is another call; later fragments for that place are the new one's."""
    actual = listed(
        [],
        [{"index": 0, "id": "a", "arguments": "1"}, {"index": 0, "id": "b", "arguments": "2"}],
        [{"index": 0, "arguments": "3"}],
        [{"index": 0, "id": "b", "arguments": "4"}],
        [{"index": 0, "id": "a", "arguments": "5"}],
    )

    assert actual.state == {"tool_calls": [{"id": "a", "arguments": "15"}, {"id": "b", "arguments": "234"}]}
    assert actual.reports == ["id_conflict", "id_conflict"]
    assert actual.details == [
        "index 0 of tool_calls holds another id; placed at 1",
        "index 0 of tool_calls holds another id; placed by id at 0",
    ]
    assert actual.states == actual.history


def test_third_id_for_one_index() -> None:
    """Each goes to a place of its own, behind all others."""
    actual = listed(
        [{"id": "a"}, {"id": "b"}],
        [{"index": 0, "id": "c"}],
        [{"index": 0, "n": 1}],
        [{"index": 0, "id": "d"}],
        [{"index": 0, "n": 2}],
    )

    assert actual.state == {"tool_calls": [{"id": "a"}, {"id": "b"}, {"id": "c", "n": 1}, {"id": "d", "n": 2}]}
    assert actual.reports == ["id_conflict"] * 2


def test_index_that_a_moved_entry_has() -> None:
    """The call that rightly has the index of one that was moved there is moved in its turn."""
    actual = listed(
        [], [{"index": 0, "id": "a"}, {"index": 0, "id": "b"}], [{"index": 1, "id": "c"}], [{"index": 1, "n": 1}]
    )

    assert actual.state == {"tool_calls": [{"id": "a"}, {"id": "b"}, {"id": "c", "n": 1}]}
    assert actual.reports == ["id_conflict"] * 2


def test_known_id_at_another_index() -> None:
    """The id decides; so a list that is numbered anew finds its entries."""
    actual = listed([{"id": "a"}, {"id": "b"}], [{"index": 0, "id": "b", "name": "n"}], [{"index": 0, "name": "m"}])

    assert actual.state == {"tool_calls": [{"id": "a", "name": "m"}, {"id": "b", "name": "n"}]}
    assert actual.reports == ["id_conflict"]


def test_id_that_comes_later() -> None:
    """An entry that began without an id, or with an empty one, takes the first that comes, and is found by it."""
    actual = listed(
        [],
        [{"index": 0, "id": ""}, {"index": 1}],
        [{"index": 1, "id": "b"}, {"index": 0, "id": "a"}],
        [{"id": "b", "n": 1}],
    )

    assert actual.state == {"tool_calls": [{"id": "a"}, {"id": "b", "n": 1}]}
    assert actual.reports == []


@pytest.mark.parametrize("other", [8, True, ["a"], 7.0])
def test_id_that_is_no_text(other: Any) -> None:
    """It tells nothing, so the index does; the first stays."""
    actual = listed([{"id": 7}], [{"index": 0, "id": other}, {"index": 0, "id": 7}])

    assert actual.state == {"tool_calls": [{"id": 7}]}
    assert actual.reports == ["id_conflict"]


def test_text_id_for_a_place_whose_id_is_no_text() -> None:
    """Also then two ids are two entries."""
    actual = listed([{"id": 7}], [{"index": 0, "id": "a"}])

    assert actual.state == {"tool_calls": [{"id": 7}, {"id": "a"}]}
    assert actual.reports == ["id_conflict"]


# --- bounds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("known", "last"), [([], 4), ([{}], 5), ([{}, {}], 6)])
def test_index_gap(known: list[Any], last: int) -> None:
    """An index may be as far beyond the last one as the limit says, and no further."""
    limits = Limits(max_index_gap=5)
    at_limit = listed(known, [{"index": last, "n": 1}], limits=limits)
    beyond = listed(known, [{"index": last + 1, "n": 1}, {"index": 0, "n": 2}], limits=limits)

    assert at_limit.state == {"tool_calls": [*known, {"n": 1}]}
    assert at_limit.reports == []
    assert beyond.state == {"tool_calls": [{"n": 2}, *known[1:]]}
    assert beyond.reports == ["index_gap"]


def test_index_gap_counts_from_the_highest() -> None:
    """In sparse lists too."""
    limits = Limits(max_index_gap=5)
    actual = listed([], [{"index": 4}], [{"index": 9}], [{"index": 15}], [{"index": 14}], limits=limits)

    assert actual.state == {"tool_calls": [{}, {}, {}]}
    assert actual.reports == ["index_gap"]
    assert actual.changed == [True, True, False, True]


@pytest.mark.parametrize("huge", [10**6, 2**53 + 7, 2**63, 2**200])
def test_huge_index(huge: int) -> None:
    """It is refused, and its digits are cut in the report."""
    actual = listed([], [{"index": huge}])

    assert actual.state == {"tool_calls": []}
    assert actual.reports == ["index_gap"]
    assert actual.details == [f"index {min(huge, 2**53)} of tool_calls is too far beyond -1"]


def test_max_entries() -> None:
    """New entries beyond the limit are refused; those that are there still merge."""
    limits = Limits(max_entries=2)
    full = listed([{}], [{"index": 1}], limits=limits)
    beyond = listed([{}, {}], [{"index": 2, "n": 1}, {"index": 1, "n": 2}, {"n": 3}], limits=limits)

    assert (full.state, full.reports) == ({"tool_calls": [{}, {}]}, [])
    assert beyond.state == {"tool_calls": [{}, {"n": 2}]}
    assert beyond.reports == ["limit", "index_invalid", "limit"]


def test_max_entries_and_a_second_id() -> None:
    """A call that found no place of its own does not leak into the first one."""
    actual = listed(
        [{"id": "a", "arguments": "1"}],
        [{"index": 0, "id": "b", "arguments": "2"}],
        [{"index": 0, "arguments": "3"}],
        limits=Limits(max_entries=1),
    )

    assert actual.state == {"tool_calls": [{"id": "a", "arguments": "1"}]}
    assert actual.reports == ["id_conflict", "limit", "limit"]


@pytest.mark.parametrize(
    ("first", "delta", "size", "state"),
    [
        ({}, {"arguments": "12345"}, 5, {"arguments": "12345"}),
        ({"arguments": None}, {"arguments": "12345"}, 5, {"arguments": "12345"}),
        ({"arguments": ""}, {"arguments": "12345"}, 5, {"arguments": "12345"}),
        ({"arguments": "ab"}, {"arguments": "12345"}, 5, {"arguments": "ab12345"}),
        ({}, {"name": "12345"}, 9, {"name": "12345"}),
        ({"name": "1"}, {"name": "2345"}, 4, {"name": "12345"}),
        ({}, {"id": "1234"}, 6, {"id": "1234"}),
        ({}, {"type": "éé"}, 6, {"type": "éé"}),
        ({"x": 1}, {"x": "1234"}, 4, {"x": "1234"}),
        ({}, {"x": 1}, 9, {"x": 1}),
        ({}, {"x": None}, 9, {"x": None}),
        ({}, {"x": [1, "ééé"]}, 13, {"x": [1, "ééé"]}),
        ({}, {"xyz": {}}, 5, {"xyz": {}}),
        ({}, {"content": []}, 2, {"content": []}),
        ({"content": []}, {"content": [{"index": 0}]}, 2, {"content": [{}]}),
    ],
)
def test_size_and_room(first: dict[str, Any], delta: dict[str, Any], size: int, state: dict[str, Any]) -> None:
    """Text counts by character, values and names of new members too; what does not fit is refused as a whole."""
    fits = Merged(first, delta, room=size)
    beyond = Merged(first, delta, room=size - 1)

    assert (fits.state, fits.sizes, fits.changed, fits.reports) == (state, [size], [True], [])
    assert (beyond.state, beyond.sizes, beyond.changed, beyond.reports) == (first, [0], [False], ["limit"])


@pytest.mark.parametrize(("first", "delta"), [({}, {"arguments": ""}), ({"a": "x"}, {"a": "x"}), ({"id": "x"}, {})])
def test_nothing_needs_no_room(first: dict[str, Any], delta: dict[str, Any]) -> None:
    """A full object still takes what adds nothing."""
    actual = Merged(first, delta, room=0)

    assert actual.state == {**first, **delta}
    assert actual.sizes == [0]
    assert actual.reports == []


def test_room_is_shared_by_a_whole_delta() -> None:
    """What fits is taken, what does not is refused, one by one."""
    entry = {"index": 0, "a": "123", "arguments": "45678901", "name": "89"}
    actual = Merged(
        {}, {"tool_calls": [entry]}, {"tool_calls": [{"index": 0, "name": "0"}]}, parent="step_details", room=15
    )

    assert actual.state == {"tool_calls": [{"a": "123", "name": "890"}]}
    assert actual.sizes == [14, 1]
    assert actual.reports == ["limit"]


def test_room_of_an_id() -> None:
    """An id that did not fit is not known afterwards, or ids could come without end."""
    actual = listed([{}, {}], [{"index": 0, "id": "1234"}], [{"id": "1234"}], room=3)

    assert actual.state == {"tool_calls": [{}, {}, {}]}
    assert actual.reports == ["limit", "index_invalid", "limit"]


def test_room_of_text_that_grows() -> None:
    """A fragment that does not fit is refused as a whole; a shorter one may still fit."""
    actual = Merged({}, *({"arguments": text} for text in ("123", "456", "4", "5")), room=4)

    assert actual.state == {"arguments": "1234"}
    assert actual.changed == [True, False, True, False]
    assert actual.reports == ["limit", "limit"]


# --- a whole entry sent again -----------------------------------------------------------------------------------------

WHOLE_CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}", "output": None}}


@pytest.mark.parametrize(
    "again",
    [
        {"index": 0, **WHOLE_CALL},
        {"index": 1, **WHOLE_CALL},
        {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}},
        {"index": 0, "id": "c", "type": None, "function": {"name": "f"}},
    ],
)
def test_whole_entry_again(again: dict[str, Any]) -> None:
    """With its id and its name, and in all of it equal, it changes nothing; once it grew by deltas either."""
    snapshot = listed([WHOLE_CALL], [again])
    start = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{", "output": None}}
    deltas = listed([], [start], [{"index": 0, "function": {"arguments": "}"}}], [again])

    assert snapshot.state == deltas.state == {"tool_calls": [WHOLE_CALL]}
    assert snapshot.changed[-1] is deltas.changed[-1] is False


@pytest.mark.parametrize(
    ("again", "expected"),
    [
        ({"index": 0, "function": {"name": "f", "arguments": "{}"}}, "{}{}"),
        ({"index": 0, "id": "c", "function": {"arguments": "{}"}}, "{}{}"),
        ({"index": 0, "id": "c", "function": {"name": "", "arguments": "{}"}}, "{}{}"),
        ({"index": 0, "id": "", "function": {"name": "f", "arguments": "{}"}}, "{}{}"),
        ({"index": 0, "id": "c", "function": {"name": "f", "arguments": "{"}}, "{}{"),
        ({"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}", "new": 1}}, "{}{}"),
    ],
)
def test_fragment_that_looks_like_a_repeat(again: dict[str, Any], expected: str) -> None:
    """Without id or name, or with anything new, it is a fragment."""
    actual = listed([WHOLE_CALL], [again])

    assert actual.state["tool_calls"][0]["function"]["arguments"] == expected
    assert actual.changed == [True]


@pytest.mark.parametrize(
    ("known", "other"), [({"a": 1}, "x"), ("x", {"a": 1}), ({"a": 1}, {"a": 2}), ({"a": 1}, {"b": None, "a": 2})]
)
def test_whole_entry_again_of_another_shape(known: Any, other: Any) -> None:
    """What differs anywhere is no repeat, so its arguments are a fragment."""
    actual = listed([{**WHOLE_CALL, "x": known}], [{"index": 0, **WHOLE_CALL, "x": other}])

    assert actual.state["tool_calls"][0]["function"]["arguments"] == "{}{}"


def test_whole_entry_again_with_lists_and_numbers() -> None:
    """All members must be equal, also in type."""
    entry = {"id": "c", "function": {"name": "f", "n": 1, "list": [1]}}
    same = listed([], [{"index": 0, **entry}], [{"index": 0, **entry}])
    other = listed([], [{"index": 0, **entry}], [{"index": 0, "id": "c", "function": {"name": "f", "n": True}}])

    assert same.changed == [True, False]
    assert other.changed == [True, True]
    assert other.state["tool_calls"][0]["function"]["n"] is True


# --- reports ----------------------------------------------------------------------------------------------------------


def test_reports_hold_no_content() -> None:
    """Names of the protocol and sizes may be told; names and values that a sender made up may not."""
    secret = "s3cret"
    deltas: list[dict[str, Any]] = [
        {secret: {secret: 1}, "id": "a", "type": "a", "arguments": "a", "content": [{"index": 0, "id": "a"}]},
        {secret: secret, "id": secret, "type": secret, "arguments": {secret: 1}},
        {secret: {secret: {secret: secret}}},
        {"content": secret},
        {"content": [secret, {"index": secret, "id": secret}, {"index": 0, "id": secret + "2"}]},
        {"content": [{"index": secret, "id": secret}, {secret: secret}]},
        {"arguments": secret * 100, secret * 2: secret * 100},
    ]
    actual = Merged({}, *deltas, room=120)

    assert set(actual.reports) == {"type_conflict", "id_conflict", "index_invalid", "limit"}
    assert not [detail for detail in actual.details if secret in detail]
    assert "id differs from the first one" in actual.details
    assert "type differs from the first one" in actual.details
    assert "an object for arguments, which holds none" in actual.details
