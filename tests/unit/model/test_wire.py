"""What all wire objects share: reading, writing, remembering the JSON they came from, and being frozen."""

import copy
import json
from typing import Any

import msgspec
import pytest
from msgspec import UNSET, Struct

from streamproc import model
from streamproc.model.run import Run
from streamproc.model.run_step import LastError, RunStep, ToolCallsDetails, Usage
from streamproc.model.thread import ErrorObject
from streamproc.model.tool_calls import FunctionToolCall
from streamproc.model.wire import (
    Opt,
    UnknownVariant,
    WireObject,
    attach_wire,
    from_wire,
    open_variant,
    open_variants,
    to_wire,
)

STRUCTS = [
    cls
    for cls in map(vars(model).get, model.__all__)
    if isinstance(cls, type) and issubclass(cls, Struct) and cls is not WireObject
]
"""Every struct of the model."""


# --- to_wire and attach_wire ------------------------------------------------------------------------------------------


def test_attached_bytes_are_returned_as_they_are() -> None:
    """Order, spacing and numbers are the sender's."""
    raw = b'{ "status":"queued",\n"id":"run_1", "x": 1.50 }'
    run = from_wire(Run, msgspec.json.decode(raw))
    attach_wire(run, raw)

    assert to_wire(run) is raw


def test_attached_function_is_called_when_the_json_is_asked_for() -> None:
    """Each time; making the object costs nothing of it."""
    calls: list[str] = []

    def make() -> bytes:
        calls.append("made")
        return b"{}"

    run = Run(id="run_1")
    attach_wire(run, make)

    assert calls == []
    assert (to_wire(run), to_wire(run)) == (b"{}", b"{}")
    assert calls == ["made", "made"]


def test_attached_again_replaces() -> None:
    """The last one counts."""
    run = Run(id="run_1")
    attach_wire(run, b"{}")
    attach_wire(run, b"[]")

    assert to_wire(run) == b"[]"


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        (Run(id="run_1", status="queued"), {"id": "run_1", "status": "queued"}),
        (RunStep(id="step_1", usage=None, metadata={"a": 1}), {"id": "step_1", "usage": None, "metadata": {"a": 1}}),
        (
            RunStep(step_details=ToolCallsDetails(tool_calls=(FunctionToolCall(id="call_1"),))),
            {
                "id": "",
                "step_details": {"type": "tool_calls", "tool_calls": [{"id": "call_1", "type": "function"}]},
            },
        ),
        (Usage(total_tokens=3), {"total_tokens": 3}),
        (ErrorObject(message="m"), {"message": "m"}),
        (ErrorObject(), {"message": ""}),
        (LastError(code="c", message=None), {"code": "c", "message": None}),
    ],
)
def test_object_made_by_hand_is_encoded(obj: Struct, expected: object) -> None:
    """Fields that are absent are left out; structs that never remember JSON can be written too."""
    assert expected == json.loads(to_wire(obj))


@pytest.mark.parametrize(
    "change",
    [
        lambda run: msgspec.structs.replace(run, status="failed"),
        lambda run: copy.copy(run),
        lambda run: copy.deepcopy(run),
    ],
    ids=["replace", "copy", "deepcopy"],
)
def test_copy_forgets_the_json(change: Any) -> None:
    """A changed copy must not write what it no longer is."""
    run = Run(id="run_1", status="queued")
    attach_wire(run, b'{"id":"run_1","status":"queued","x":1}')
    copied = change(run)

    assert json.loads(to_wire(copied)) == {"id": "run_1", "status": copied.status}
    assert b'"x":1' in to_wire(run)


def test_json_is_no_part_of_equality() -> None:
    """Two objects with the same fields are equal, wherever they came from."""
    remembering, plain = Run(id="run_1"), Run(id="run_1")
    attach_wire(remembering, b"{}")

    assert remembering == plain


# --- frozen -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cls", STRUCTS, ids=lambda cls: cls.__name__)
def test_structs_are_frozen(cls: type[Struct]) -> None:
    """A view that several consumers hold cannot be changed by one of them, not even by a new attribute."""
    obj = cls()
    with pytest.raises(AttributeError):
        setattr(obj, cls.__struct_fields__[-1], "other")
    with pytest.raises(AttributeError):
        obj.extra = "new"  # type: ignore[attr-defined]


@pytest.mark.parametrize("cls", STRUCTS, ids=lambda cls: cls.__name__)
def test_fields_are_optional_and_given_by_name(cls: type[Struct]) -> None:
    """Any may be absent on the wire, and their order is no part of the contract."""
    assert isinstance(cls(), cls)
    with pytest.raises(TypeError):
        cls("text")


# --- from_wire --------------------------------------------------------------------------------------------------------


class Part(Struct, frozen=True, kw_only=True):
    number: Opt[int] = UNSET
    text: Opt[str] = UNSET


class Whole(Struct, frozen=True, kw_only=True):
    must: Part = Part()
    may: Opt[Part] = UNSET
    tuples: Opt[tuple[Part, ...]] = UNSET
    lists: Opt[list[Part]] = UNSET
    numbers: Opt[tuple[int, ...]] = UNSET
    renamed: Opt[int] = msgspec.field(default=UNSET, name="re-named")


BAD_PART = {"number": "1", "text": "t"}
PART = Part(text="t")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, Whole()),
        ({"must": BAD_PART}, Whole(must=PART)),
        ({"must": None}, Whole()),
        ({"must": "text"}, Whole()),
        ({"may": BAD_PART}, Whole(may=PART)),
        ({"may": "text"}, Whole()),
        ({"may": [BAD_PART]}, Whole()),
        ({"tuples": [BAD_PART, {}, 5, None, [PART]]}, Whole(tuples=(PART, Part()))),
        ({"lists": [BAD_PART, "text"]}, Whole(lists=[PART])),
        ({"lists": BAD_PART}, Whole()),
        ({"tuples": ["text"]}, Whole(tuples=())),
        ({"numbers": [1, "2"]}, Whole()),
        ({"numbers": {"1": 1}}, Whole()),
        ({"numbers": [1, 2], "may": 5}, Whole(numbers=(1, 2))),
        ({"re-named": 5, "may": 5}, Whole(renamed=5)),
        ({"renamed": 5, "may": 5}, Whole()),
        ({"unknown": 5, "may": 5}, Whole()),
    ],
)
def test_from_wire_keeps_what_fits(data: dict[str, Any], expected: Whole) -> None:
    """A misfit costs its own field, however deep it lies; in a list of objects it costs its own entry."""
    assert expected == from_wire(Whole, data)


# --- open variants ----------------------------------------------------------------------------------------------------


class Circle(Struct, frozen=True, kw_only=True):
    type: str = "circle"
    radius: Opt[int] = UNSET


class UnknownShape(UnknownVariant):
    """A shape of an unknown type."""


class Drawing(Struct, frozen=True, kw_only=True):
    shapes: Any = UNSET

    def __post_init__(self) -> None:
        open_variants(self, "shapes", {"circle": Circle}, UnknownShape)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"type": "circle", "radius": 2}, Circle(radius=2)),
        ({"type": "circle", "radius": "2"}, Circle()),
        (Circle(radius=2), Circle(radius=2)),
        (None, None),
        (UNSET, UNSET),
        ("circle", UNSET),
        (5, UNSET),
        ([], UNSET),
    ],
)
def test_open_variant(data: object, expected: object) -> None:
    """An object becomes the struct that its type names; structs and nothing stay, anything else is left out."""
    assert open_variant(data, {"circle": Circle}, UnknownShape) == expected


@pytest.mark.parametrize("data", [{"type": "square"}, {"type": 3}, {"type": ["circle"]}, {"type": None}, {}])
def test_open_variant_of_an_unknown_type(data: dict[str, Any]) -> None:
    """A type that is not known, is no text or is not there makes an unknown variant with all members."""
    actual = open_variant(data, {"circle": Circle}, UnknownShape)

    assert type(actual) is UnknownShape
    assert actual == data
    assert open_variant(actual, {"circle": Circle}, UnknownShape) is actual


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (UNSET, UNSET),
        (None, None),
        ([], ()),
        ([{"type": "circle"}, None, "stray", {"type": "square"}], (Circle(), {}, {}, {"type": "square"})),
        (({"type": "circle"},), (Circle(),)),
    ],
)
def test_open_variants(value: object, expected: object) -> None:
    """A list becomes a tuple with as many entries, each of which has a type; absent and null stay."""
    shapes = Drawing(shapes=value).shapes

    assert shapes == expected
    assert all(isinstance(shape, Circle | UnknownShape) for shape in shapes or ())


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"type": "square", "id": "s_1"}, ("square", "s_1")),
        ({"type": "", "id": ""}, ("", "")),
        ({"type": 5, "id": None}, ("", "")),
        ({}, ("", "")),
    ],
)
def test_unknown_variant_reads_type_and_id(data: dict[str, Any], expected: tuple[str, str]) -> None:
    """Both are text, empty when there is none."""
    variant = UnknownVariant(data)

    assert expected == (variant.type, variant.id)
    assert json.loads(msgspec.json.encode(variant)) == data
