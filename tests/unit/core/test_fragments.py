"""Fragments: what is narrow enough for the fast path, and everything that is not."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from streamproc.core.events import MESSAGE_DELTA, STEP_DELTA
from streamproc.core.fragments import (
    ENTRIES,
    FRAGMENT_DECODERS,
    CodeInterpreterEntry,
    Fragment,
    FragmentError,
    FunctionEntry,
    MessageFragment,
    StepFragment,
    TextEntry,
)

KINDS = {"function": "arguments", "code_interpreter": "input", "text": "value"}
"""Type of a call or block -> its text that grows."""


def entry(kind: str, text: object = "x") -> dict[str, Any]:
    return {"index": 3, "type": kind, kind: {KINDS[kind]: text}}


def data(kind: str, text: object = "x") -> dict[str, Any]:
    """The payload of a fragment that fits exactly."""
    if kind == "text":
        return {"id": "msg_1", "object": MESSAGE_DELTA, "delta": {"content": [entry(kind, text)]}}
    details = {"type": "tool_calls", "tool_calls": [entry(kind, text)]}
    return {"id": "step_1", "object": STEP_DELTA, "delta": {"step_details": details}}


def decode(payload: bytes | dict[str, Any], kind: str = "function") -> Fragment:
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return FRAGMENT_DECODERS[MESSAGE_DELTA if kind == "text" else STEP_DELTA](raw)


def is_fragment(payload: bytes | dict[str, Any], kind: str) -> bool:
    try:
        decode(payload, kind)
    except FragmentError:
        return False
    return True


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The paths of all values inside, the whole included."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for name, item in members for place in places(item, (*path, name)))]


def at(value: Any, path: tuple[str | int, ...]) -> Any:
    for name in path:
        value = value[name]
    return value


def spoken(fragment: Fragment) -> dict[str, Any]:
    """The payload that a fragment stands for."""
    kind, _, _ = ENTRIES[type(fragment.entry)]
    said = data(kind, fragment.entry.payload.text)
    said["id"] = fragment.id
    at(said["delta"], ("content", 0) if kind == "text" else ("step_details", "tool_calls", 0))["index"] = (
        fragment.entry.index
    )
    return said


each_kind = pytest.mark.parametrize("kind", KINDS)
each_object = pytest.mark.parametrize(
    ("kind", "path"),
    [(kind, path) for kind in KINDS for path in places(data(kind)) if isinstance(at(data(kind), path), dict)],
    ids=str,
)
each_value = pytest.mark.parametrize(
    ("kind", "path"), [(kind, path) for kind in KINDS for path in places(data(kind)) if path], ids=str
)


# --- what fits --------------------------------------------------------------------------------------------------------


def test_the_two_deltas_have_decoders() -> None:
    """No other event is common enough."""
    assert FRAGMENT_DECODERS.keys() == {STEP_DELTA, MESSAGE_DELTA}


@each_kind
def test_each_growing_text_is_listed(kind: str) -> None:
    """By its struct: the type, and the member that grows last."""
    structs: dict[str, type[Struct]] = {
        "function": FunctionEntry,
        "code_interpreter": CodeInterpreterEntry,
        "text": TextEntry,
    }

    assert [*ENTRIES] == [*structs.values()]
    assert ENTRIES[structs[kind]][::2] == (kind, KINDS[kind])


@each_kind
@pytest.mark.parametrize("text", ["x", "", '"}\n\\', "żółć 🎈", "\0", "x" * 100_000])
def test_fragment(kind: str, text: str) -> None:
    """Place and text are all there is in it."""
    fragment = decode(data(kind, text), kind)

    assert isinstance(fragment, MessageFragment if kind == "text" else StepFragment)
    assert ENTRIES[type(fragment.entry)][0] == kind
    assert (fragment.entry.index, fragment.entry.payload.text) == (3, text)
    assert fragment.id == ("msg_1" if kind == "text" else "step_1")


@each_kind
def test_order_and_space_do_not_matter(kind: str) -> None:
    """The type may come after the payload that it names."""

    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: turned(item) for name, item in reversed(value.items())}
        return [turned(item) for item in value] if isinstance(value, list) else value

    spaced = json.dumps(turned(data(kind)), indent=2).encode() + b"\n"

    assert decode(spaced, kind) == decode(data(kind), kind)


@each_kind
def test_last_of_two_equal_members_counts(kind: str) -> None:
    """As for any other reader of JSON."""
    raw = json.dumps(data(kind)).encode().replace(b'"index": 3', b'"index": 2, "index": 3')

    assert raw.count(b'"index"') == 2
    assert decode(raw, kind) == decode(data(kind), kind)


# --- what does not ----------------------------------------------------------------------------------------------------


@each_object
@pytest.mark.parametrize("member", [{"x": 1}, {"id": "call_1"}, {"output": None}, {"role": "assistant"}], ids=str)
def test_further_member_anywhere_is_refused(kind: str, path: tuple[str | int, ...], member: dict[str, Any]) -> None:
    """Ids, names, annotations and whatever is new are for the general rules, even when they are null."""
    odd = data(kind)
    at(odd, path).update({name: value for name, value in member.items() if name not in at(odd, path)} or {"y": 1})

    assert not is_fragment(odd, kind)


@each_value
def test_absent_member_anywhere_is_refused(kind: str, path: tuple[str | int, ...]) -> None:
    """Nothing in a fragment is optional, the object's name and an entry of the list included."""
    odd = data(kind)
    del at(odd, path[:-1])[path[-1]]

    assert not is_fragment(odd, kind)


@each_value
@pytest.mark.parametrize("value", [None, True, 1.0, 5.5, "other", [], {}, ["x"], {"x": 1}, [None]], ids=repr)
def test_other_value_anywhere_is_refused(kind: str, path: tuple[str | int, ...], value: object) -> None:
    """Null text, a fraction for an index, an object for a list: all are for the general rules."""
    odd = data(kind)
    at(odd, path[:-1])[path[-1]] = value
    is_free_text = path[-1] in ("id", KINDS[kind]) and isinstance(value, str)

    assert is_fragment(odd, kind) == is_free_text


@each_kind
def test_two_entries_are_refused(kind: str) -> None:
    """Even two for the same place."""
    odd = data(kind)
    (listed,) = [path for path in places(odd) if isinstance(at(odd, path), list)]
    at(odd, listed).append(entry(kind))

    assert not is_fragment(odd, kind)


def calling(call: dict[str, Any], type: str = "tool_calls") -> dict[str, Any]:
    return {**data("function"), "delta": {"step_details": {"type": type, "tool_calls": [call]}}}


@pytest.mark.parametrize(
    ("kind", "odd"),
    [
        ("function", data("text")),
        ("text", data("function")),
        ("function", {**data("function"), "object": MESSAGE_DELTA}),
        ("text", {**data("text"), "object": STEP_DELTA}),
        ("function", {**data("function"), "object": "thread.run.step"}),
        ("text", {**data("text"), "delta": {"content": [entry("function")]}}),
        ("function", calling(entry("function"), type="mcp")),
        ("function", calling({**entry("function"), "type": "mcp"})),
        ("function", calling({**entry("function"), "type": "code_interpreter"})),
        ("function", calling(entry("text"))),
    ],
)
def test_other_types_are_refused(kind: str, odd: dict[str, Any]) -> None:
    """Another event's payload, another kind of call, a payload under another kind's name."""
    assert not is_fragment(odd, kind)


@each_kind
@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b" ",
        b"[DONE]",
        b"null",
        b"[]",
        b"{}",
        b'"text"',
        b"5",
        b"{",
        b"[" * 100_000,
        b'{"id":' * 100_000,
        b'{"id":"\xff"}',
        b'\xef\xbb\xbf{"id":"step_1"}',
        b'{"id":"\\ud800"}',
    ],
    ids=repr,
)
def test_anything_else_is_refused(kind: str, payload: bytes) -> None:
    """By one of the errors that a caller catches."""
    assert not is_fragment(payload, kind)


@each_kind
@pytest.mark.parametrize("bad", [b"\xff", b"\xed\xa0\x80", b"\\ud800", b"\\udc00", b"\n", b"\\x"])
def test_text_that_is_no_unicode_is_refused(kind: str, bad: bytes) -> None:
    """What replacement characters leave of it is found the general way."""
    raw = json.dumps(data(kind, "TEXT")).encode()

    assert is_fragment(raw, kind)
    assert not is_fragment(raw.replace(b"TEXT", bad), kind)


@pytest.mark.parametrize("index", [0, -1, 10**30])
@each_kind
def test_index_is_any_integer(kind: str, index: int) -> None:
    """Whether there is such a place is not known here."""
    odd = data(kind)
    (listed,) = [path for path in places(odd) if isinstance(at(odd, path), list)]
    at(odd, listed)[0]["index"] = index

    assert decode(odd, kind).entry.index == index


# --- the proof --------------------------------------------------------------------------------------------------------


@st.composite
def mutated(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A fragment's payload with up to three changes to it: values replaced, members and entries added or removed."""
    kind = draw(st.sampled_from(list(KINDS)))
    payload = copy.deepcopy(data(kind))
    scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3)
    names = st.sampled_from(["id", "index", "type", "object", "delta", *KINDS, *KINDS.values(), "annotations", "x"])
    values = st.one_of(
        scalars,
        st.lists(scalars, max_size=2),
        st.dictionaries(names, scalars, max_size=2),
        st.sampled_from([*KINDS, "tool_calls", STEP_DELTA, MESSAGE_DELTA]),
    )
    for _ in range(draw(st.integers(0, 3))):
        objects = [path for path in places(payload) if isinstance(at(payload, path), dict)]
        here = at(payload, draw(st.sampled_from(objects)))
        name = draw(st.sampled_from(list(here)) | names if here else names)
        if draw(st.booleans()):
            here[name] = draw(values)
        else:
            here.pop(name, None)
    return kind, payload


@given(mutated())
def test_what_decodes_is_exactly_what_was_sent(case: tuple[str, dict[str, Any]]) -> None:
    """If a payload passes as a fragment, the fragment says everything that is in it."""
    kind, payload = case
    try:
        fragment = decode(payload, kind)
    except FragmentError:
        assert payload != data(kind)
    else:
        assert spoken(fragment) == payload
