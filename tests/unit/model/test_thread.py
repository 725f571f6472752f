"""Thread, and the error of a stream."""

from typing import Any

import pytest

from streamproc.model.thread import ErrorObject, Thread
from streamproc.model.wire import from_wire
from tests.unit.model.samples import THREAD


def test_each_field_of_a_thread() -> None:
    """The sample has every declared field, and each is read."""
    assert set(Thread.__struct_fields__) == THREAD.keys()
    assert from_wire(Thread, THREAD) == Thread(**THREAD)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (
            {"code": "server_error", "message": "m", "param": None, "type": "server_error"},
            ErrorObject(code="server_error", message="m", param=None, type="server_error"),
        ),
        ({"message": "m", "misalignment": {"kind": "x"}}, ErrorObject(message="m")),
        ({}, ErrorObject(message="")),
        ({"message": None, "code": None}, ErrorObject(code=None)),
        ({"message": {"text": "m"}, "code": 429, "param": [], "type": "t"}, ErrorObject(type="t")),
    ],
)
def test_error(data: dict[str, Any], expected: ErrorObject) -> None:
    """The message is text, empty if there is none; all else may be absent or null."""
    assert expected == from_wire(ErrorObject, data)
    assert isinstance(expected.message, str)
