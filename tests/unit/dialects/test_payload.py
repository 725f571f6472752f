"""Payloads as JSON: what is none, what nests too deeply, and errors in their three shapes."""

from typing import Any

import pytest
from msgspec import UNSET

from streamproc import ErrorObject
from streamproc.core.anomalies import Anomaly
from streamproc.dialects.payload import anomaly, decode_json, error_object


def nested(depth: int) -> list[Any]:
    data: list[Any] = []
    for _ in range(depth - 1):
        data = [data]
    return data


@pytest.mark.parametrize(
    ("payload", "data", "fault"),
    [
        (b'{"a": [1, null]}', {"a": [1, None]}, ""),
        (b"null", None, ""),
        (b"", None, "no JSON"),
        (b"{", None, "no JSON"),
        (b"[" * 200 + b"]" * 200, nested(200), ""),
        (b"[" * 300 + b"]" * 300, None, "nested deeper than 200"),
        (b'"' + b"[" * 300 + b'"', "[" * 300, ""),
        (b"[1]" * 300, None, "no JSON"),
    ],
)
def test_decode_json(payload: bytes, data: Any, fault: str) -> None:
    """Brackets count where they nest, not inside of texts."""
    assert decode_json(payload) == (data, payload, fault)


def test_bytes_that_are_no_utf8() -> None:
    """They are replaced, in the payload too."""
    data, payload, fault = decode_json(b'{"a": "\xff"}')

    assert (data, payload, fault) == ({"a": "\ufffd"}, '{"a": "\ufffd"}'.encode(), "")


def test_bytes_that_are_neither() -> None:
    """Replacing them does not make JSON of it."""
    assert decode_json(b"{\xff") == (None, "{\ufffd".encode(), "no JSON")


@pytest.mark.parametrize(
    ("data", "payload", "expected"),
    [
        ({"message": "m", "code": "c", "param": "p", "type": "t"}, b"", ("m", "c", "p", "t")),
        ({"error": {"message": "m", "code": 5}}, b"", ("m", UNSET, UNSET, UNSET)),
        ({"error": "m", "code": "c"}, b"", ("m", "c", UNSET, UNSET)),
        ({"error": None}, b"", ("", UNSET, UNSET, UNSET)),
        ("m", b'"m"', ("m", UNSET, UNSET, UNSET)),
        (["m"], b'["m"]', ('["m"]', UNSET, UNSET, UNSET)),
        (None, b"busy \xff", ("busy \ufffd", UNSET, UNSET, UNSET)),
    ],
)
def test_error_object(data: Any, payload: bytes, expected: tuple[Any, ...]) -> None:
    """Flat, nested, plain text, or what else there is."""
    message, code, param, type_ = expected

    assert error_object(data, payload) == ErrorObject(message=message, code=code, param=param, type=type_)


def test_anomaly() -> None:
    """It has the size, and keeps the bytes beside it."""
    event = anomaly("bad_json", "x", b"{", "no JSON")

    assert event.data == Anomaly(kind="bad_json", event="x", detail="no JSON (1 bytes)")
    assert (event.name, event.raw) == ("x", b"{")
