"""The slot rules: which call a piece belongs to, as real servers send them."""

from typing import Any

import pytest

from streamproc.core.anomalies import Anomaly
from streamproc.dialects import chat_slots
from streamproc.dialects.chat_slots import Slots
from tests.chats import ID, calling, delta, ends, feed, piece, steps, tools

MADE = f"{ID}:1:call"


def calls(*entries: Any) -> list[tuple[str, str, str]]:
    """The tool calls of a stream in which each entry comes in a chunk of its own."""
    return tools(feed(*map(calling, entries), ends("tool_calls")))


def test_pieces_with_the_same_index_are_one_call() -> None:
    """As the standard has it: the id and the name come once, the arguments in pieces."""
    found = calls(piece(name="f", id="call_1"), piece('{"a"'), piece(":1}"))

    assert found == [("call_1", "f", '{"a":1}')]


def test_pieces_of_two_calls_may_interleave() -> None:
    """The index says whose they are."""
    first, second = piece(name="f", id="a"), piece(name="g", id="b", index=1)
    found = calls(first, second, piece("1"), piece("2", index=1), piece("3"))

    assert found == [("a", "f", "13"), ("b", "g", "2")]


def test_several_entries_in_one_chunk() -> None:
    """All count, in their order."""
    proc = feed(calling(piece("1", "f", id="a"), piece("2", "g", id="b", index=1), piece("3")), ends("tool_calls"))

    assert tools(proc) == [("a", "f", "13"), ("b", "g", "2")]


def test_a_whole_call_in_one_chunk() -> None:
    """Ollama, Mistral, xAI and others send no pieces."""
    found = calls(piece('{"a":1}', "f", id="call_1"))

    assert found == [("call_1", "f", '{"a":1}')]


def test_the_same_index_with_another_id_is_a_new_call() -> None:
    """Ollama gives every call the index 0; what follows without an id belongs to the newer one."""
    found = calls(piece("1", "f", id="a"), piece("2", "f", id="b"), piece("3"))

    assert found == [("a", "f", "1"), ("b", "f", "23")]


def test_the_same_index_with_an_id_that_is_known_goes_back_to_its_call() -> None:
    """And so does what follows without an id."""
    found = calls(piece("1", "f", id="a"), piece("2", "g", id="b"), piece("3", id="a"), piece("4"))

    assert found == [("a", "f", "134"), ("b", "g", "2")]


def test_the_first_index_is_not_0() -> None:
    """Some bridges count other content blocks as well; calls are numbered as they appear."""
    found = calls(piece("1", "f", id="a", index=7), piece("2", index=7), piece("3", "g", id="b", index=10**12))

    assert found == [("a", "f", "12"), ("b", "g", "3")]


def test_without_an_index_the_id_decides() -> None:
    """A known one goes on with its call, another is a new call."""
    found = calls(
        piece("1", "f", id="a", index=None),
        piece("2", "g", id="b", index=None),
        piece("3", id="a", index=None),
    )

    assert found == [("a", "f", "13"), ("b", "g", "2")]


def test_without_index_and_id_a_name_begins_a_call() -> None:
    """And no name goes on with the last one."""
    found = calls(piece("1", "f", index=None), piece("2", index=None), piece("3", "f", index=None))

    assert found == [(f"{MADE}:0", "f", "12"), (f"{MADE}:1", "f", "3")]


def test_the_very_first_piece_has_nothing() -> None:
    """It is a call all the same."""
    found = calls(piece("1", index=None))

    assert found == [(f"{MADE}:0", "", "1")]


@pytest.mark.parametrize("id", [None, "", 5])
def test_a_call_without_an_id_gets_one(id: object) -> None:
    """Made of the run, the turn and its number; the same in each replay."""
    found = calls(piece("1", "f", id=id), piece("2", id=id), piece("3", "g", id=id, index=1))

    assert found == [(f"{MADE}:0", "f", "12"), (f"{MADE}:1", "g", "3")]


def test_made_ids_of_other_choices_differ() -> None:
    """Outputs are found by the call's id."""
    proc = feed(calling(piece("", "f")), calling(piece("", "f"), index=2), ends("stop"), ends("stop", 2))

    assert [id for id, *_ in tools(proc)] == [f"{MADE}:0", f"{MADE}:2:0"]


def test_an_id_that_comes_later_names_no_new_call() -> None:
    """Whoever saw the call knows it by the id that was made, which stays; both find it."""
    proc = feed(calling(piece("1", "f")), calling(piece("2", id="a")), calling(piece("3", id="a", index=None)))

    assert tools(proc) == [(f"{MADE}:0", "f", "123")]
    assert proc.anomalies["id_conflict"] == 1


def test_a_call_with_an_id_after_one_without() -> None:
    """With a name it is a call of its own, though the index is the same."""
    found = calls(piece("1", "f"), piece("2", "f", id="a"))

    assert found == [(f"{MADE}:0", "f", "1"), ("a", "f", "2")]


def test_the_name_is_repeated_in_every_piece() -> None:
    """It is the same name, not a longer one."""
    found = calls(piece("1", "f", id="a"), piece("2", "f", id="a"), piece("3", "f"))

    assert found == [("a", "f", "123")]


def test_the_name_comes_in_pieces() -> None:
    """They add up, and the whole of it may then be repeated."""
    found = calls(piece("1", "get_", id="a"), piece("2", "weather"), piece("3", "get_weather"))

    assert found == [("a", "get_weather", "123")]


@pytest.mark.parametrize("name", [None, "", 5])
def test_the_last_piece_has_no_name(name: object) -> None:
    """The earlier one stays."""
    last = {"index": 0, "id": "a", "function": {"name": name, "arguments": ""}}
    found = calls(piece("1", "f", id="a"), last)

    assert found == [("a", "f", "1")]


def test_the_name_comes_after_the_arguments() -> None:
    """A call may have no name at first."""
    found = calls(piece("1", id="a"), piece("2", "f"))

    assert found == [("a", "f", "12")]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [({"a": [1]}, '{"a":[1]}'), ({}, "{}"), ([], "[]"), (None, ""), ("null", "null")],
    ids=["object", "empty object", "list", "null", "text"],
)
def test_arguments_that_are_no_text(arguments: object, expected: str) -> None:
    """Objects are taken for the text they should be, null for none."""
    entry = {"index": 0, "id": "a", "function": {"name": "f", "arguments": arguments}}

    assert calls(entry) == [("a", "f", expected)]


@pytest.mark.parametrize("arguments", [5, True, 1.5])
def test_arguments_that_are_nothing_like_it(arguments: object) -> None:
    """They are left out and reported; the call stays."""
    proc = feed(calling({"index": 0, "id": "a", "function": {"name": "f", "arguments": arguments}}))

    assert tools(proc) == [("a", "f", "")]
    assert dict(proc.anomalies) == {"type_conflict": 1, "truncated": 1}


def test_arguments_are_null_before_they_are_text() -> None:
    """As Writer sends them, with id, type and name null as well from then on."""
    rest = {"index": 0, "id": None, "type": None, "function": {"name": None, "arguments": '{"a":1}'}}
    found = calls(piece(None, "f", id="a"), rest)

    assert found == [("a", "f", '{"a":1}')]


def test_the_old_function_call() -> None:
    """It has neither index nor id, and there is but one."""
    first, second = {"name": "f", "arguments": ""}, {"arguments": "{}"}
    proc = feed(delta(function_call=first), delta(function_call=second), ends("function_call"))

    assert tools(proc) == [(f"{MADE}:0", "f", "{}")]
    assert steps(proc)[0]["metadata"] == {"awaiting": "output"}


@pytest.mark.parametrize("index", [-1, True, "0", 1.5, [], {}])
def test_an_index_that_is_none(index: object) -> None:
    """It is reported, and the id decides."""
    proc = feed(calling(piece("1", "f", id="a", index=index)), calling(piece("2", id="a", index=index)))

    assert tools(proc) == [("a", "f", "12")]
    assert proc.anomalies["index_invalid"] == 2


@pytest.mark.parametrize("entry", [None, 5, "f", [], [{}]])
def test_an_entry_that_is_no_object(entry: object) -> None:
    """It is reported; the others of the chunk count."""
    proc = feed(calling(entry, piece("1", "f", id="a")))

    assert tools(proc) == [("a", "f", "1")]
    assert proc.anomalies["bad_json"] == 1


@pytest.mark.parametrize("function", [None, 5, "f", []])
def test_a_call_without_its_function(function: object) -> None:
    """It is a call without a name, until more is said of it."""
    found = calls({"index": 0, "id": "a", "function": function}, piece("1", "f"))

    assert found == [("a", "f", "1")]


def test_a_custom_tool() -> None:
    """Its input is its arguments; it is no function."""
    proc = feed(
        calling({"index": 0, "id": "a", "type": "custom", "custom": {"name": "f", "input": "x"}}),
        calling({"index": 0, "custom": {"input": "y"}}),
    )
    (call,) = steps(proc)[0]["step_details"]["tool_calls"]

    assert call == {"id": "a", "type": "custom", "function": {"name": "f", "arguments": "xy", "output": None}}


def test_a_type_that_is_none() -> None:
    """What holds the name says what it is."""
    proc = feed(calling({"index": 0, "type": "", "custom": {"name": "f"}}, {"index": 1, "type": 5}))

    assert [call["type"] for call in steps(proc)[0]["step_details"]["tool_calls"]] == ["custom", "function"]


def test_calls_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be one more is refused and reported; those that are known go on."""
    monkeypatch.setattr(chat_slots, "_MAX_SLOTS", 2)
    proc = feed(calling(*(piece("1", "f", id=f"{n}", index=n) for n in range(4))), calling(piece("2")))

    assert tools(proc) == [("0", "f", "12"), ("1", "f", "1")]
    assert proc.anomalies["limit"] == 2


def test_names_are_bounded() -> None:
    """The first so many characters stay, whether they come at once or in pieces."""
    proc = feed(calling(piece("1", "f" * 1025, id="a")), calling(piece("2", "g")))

    assert tools(proc) == [("a", "f" * 1024, "12")]
    assert proc.anomalies["type_conflict"] == 1


def test_kept_arguments_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are kept only for who asks for them, and not beyond a size."""
    monkeypatch.setattr(chat_slots, "_MAX_KEPT", 3)
    slots, others = Slots("step_1", "made", keeps=True), Slots("step_1", "made", keeps=False)
    for text in ("ab", "cd", "e"):
        slots.take(piece(text, "f", id="a"))
        others.take(piece(text, "f", id="a"))

    assert slots.calls() == [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "abe"}}]
    assert others.calls() == [{"id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]


def test_oddities_have_ids_and_no_content() -> None:
    """Not even the names of tools."""
    slots = Slots("step_1", "made", keeps=False)
    events = slots.take({"index": "SECRET", "function": {"name": "SECRET" * 200, "arguments": True}})
    found = [event.data for event in events if isinstance(event.data, Anomaly)]

    assert [(item.kind, item.id) for item in found] == [("index_invalid", "step_1"), ("type_conflict", "step_1")]
    assert "SECRET" not in repr(found)
