"""What holds for every field of every top-level object: absent, null, malformed; and round trips of whole objects."""

import copy
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from streamproc.model.message import Message
from streamproc.model.run import Run
from streamproc.model.run_step import RunStep
from streamproc.model.thread import Thread
from streamproc.model.wire import WireObject, attach_wire, from_wire, to_wire
from tests.unit.model.samples import EVERY_OBJECT, MESSAGE, RUN, STEP_TOOL_CALLS, THREAD, with_unknown

SAMPLES: Mapping[type[WireObject], dict[str, Any]] = {
    Run: RUN,
    RunStep: STEP_TOOL_CALLS,
    Message: MESSAGE,
    Thread: THREAD,
}
CLASSES: Mapping[str, type[WireObject]] = {
    "thread.run": Run,
    "thread.run.step": RunStep,
    "thread.message": Message,
    "thread": Thread,
}

each_field = pytest.mark.parametrize(
    ("cls", "name"),
    [pytest.param(cls, name, id=f"{cls.__name__}.{name}") for cls in SAMPLES for name in cls.__struct_fields__],
)
each_object = pytest.mark.parametrize("data", EVERY_OBJECT.values(), ids=EVERY_OBJECT)


def read(data: Mapping[str, Any]) -> WireObject:
    return from_wire(CLASSES[data.get("object", "thread.run.step")], data)


# --- fields -----------------------------------------------------------------------------------------------------------


@each_field
def test_sample_has_each_field(cls: type[WireObject], name: str) -> None:
    """So that the tests below say something about every field."""
    assert getattr(from_wire(cls, SAMPLES[cls]), name) is not UNSET
    assert name in SAMPLES[cls]


@each_field
def test_absent_field_is_not_written(cls: type[WireObject], name: str) -> None:
    """It is `UNSET`; an id that is absent is empty text."""
    obj = from_wire(cls, {other: value for other, value in SAMPLES[cls].items() if other != name})

    assert getattr(obj, name) == ("" if name == "id" else UNSET)
    assert (name in json.loads(to_wire(obj))) == (name == "id")


@each_field
def test_null_field_is_written_as_null(cls: type[WireObject], name: str) -> None:
    """It is None; an id cannot be null."""
    obj = from_wire(cls, {**SAMPLES[cls], name: None})

    assert getattr(obj, name) == ("" if name == "id" else None)
    assert json.loads(to_wire(obj))[name] == ("" if name == "id" else None)


@each_field
def test_misfit_costs_only_its_field(cls: type[WireObject], name: str) -> None:
    """A list of a boolean fits nowhere; where entries are read one by one it is empty, or holds nothing we know."""
    whole = from_wire(cls, SAMPLES[cls])
    obj = from_wire(cls, {**SAMPLES[cls], name: [False]})

    assert getattr(obj, name) in ("" if name == "id" else UNSET, (), ({},))
    assert all(getattr(whole, other) == getattr(obj, other) for other in cls.__struct_fields__ if other != name)


# --- round trips ------------------------------------------------------------------------------------------------------


@each_object
def test_declared_members_survive_without_the_json(data: dict[str, Any]) -> None:
    """A struct alone writes every member that the model declares, null ones too, and no other."""
    assert data == json.loads(to_wire(read(data)))


@each_object
def test_everything_survives_with_the_json(data: dict[str, Any]) -> None:
    """With the bytes attached nothing is lost, at whatever depth it stands."""
    expected = with_unknown(data)
    obj = read(expected)
    attach_wire(obj, json.dumps(expected).encode())

    assert expected == json.loads(to_wire(obj))
    assert expected != data


@each_object
def test_unknown_members_do_not_disturb_the_known_ones(data: dict[str, Any]) -> None:
    """What is declared is read as if nothing else were there; open maps hold the new members too."""
    expected = with_unknown(json.loads(to_wire(read(data))))

    assert expected == with_unknown(json.loads(to_wire(read(with_unknown(data)))))


json_data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@st.composite
def mutated_objects(draw: st.DrawFn) -> dict[str, Any]:
    """A real object in which one value, at any depth, is anything else."""
    data: Any = copy.deepcopy(draw(st.sampled_from(list(EVERY_OBJECT.values()))))
    here = data
    while True:
        key = draw(st.sampled_from(list(here) if isinstance(here, dict) else range(len(here))))
        if not isinstance(here[key], dict | list) or not here[key] or draw(st.booleans()):
            here[key] = draw(json_data)
            break
        here = here[key]
    obj: dict[str, Any] = data
    return obj


@given(mutated_objects())
def test_no_misfit_raises_or_leaves_its_place(data: dict[str, Any]) -> None:
    """Whatever stands at one place, reading never raises, and what was read can be written and read again."""
    cls = CLASSES.get(str(data.get("object")), RunStep)
    obj = from_wire(cls, data)

    assert from_wire(cls, json.loads(to_wire(obj))) == obj
