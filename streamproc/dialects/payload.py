"""Payloads of frames as JSON data, whatever they hold: what all dialects do with bytes before they look at names.

Bytes that are not UTF-8 have replacement characters in an event stream. JSON that nests deeper than any event does is
refused before it is decoded. Errors have three shapes in every protocol. Nothing raises.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from streamproc.core.anomalies import Anomaly, AnomalyKind
from streamproc.core.events import Event
from streamproc.model.thread import ErrorObject
from streamproc.model.wire import from_wire

__all__ = ["anomaly", "decode_json", "error_object"]

_MAX_NESTING: Final = 200  # JSON deeper than this is no event; far below what the decoder itself survives
_TEXT: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)  # of JSON, also when it never ends
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"{}[]"))


def decode_json(payload: bytes) -> tuple[Any, bytes, str]:
    """Decode a payload.

    Returns:
        The data; the payload, in UTF-8; and why there is no data, "" when there is.
    """
    if _nesting_may_exceed(payload):
        return None, payload, f"nested deeper than {_MAX_NESTING}"
    try:
        return msgspec.json.decode(payload), payload, ""
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        text = payload.decode(errors="replace").encode()
        return decode_json(text) if text != payload else (None, payload, "no JSON")


def error_object(data: Any, payload: bytes) -> ErrorObject:
    """The three shapes of an error: flat, nested under "error", plain text; `data` is None for what is no JSON."""
    if isinstance(data, Mapping):
        nested = data.get("error")
        if isinstance(nested, Mapping):
            data = nested
        elif isinstance(nested, str):
            data = {"message": nested, **data}
        return from_wire(ErrorObject, data)
    return ErrorObject(message=data if isinstance(data, str) else payload.decode(errors="replace"))


def anomaly(kind: AnomalyKind, name: str, payload: bytes, detail: str) -> Event:
    """A frame that no event could be made of; it keeps its bytes."""
    return Event(name, Anomaly(kind=kind, event=name, detail=f"{detail} ({len(payload)} bytes)"), payload)


def _nesting_may_exceed(payload: bytes) -> bool:
    """Whether JSON nests too deeply; counts brackets first, which rules it out for nearly all payloads."""
    if payload.count(b"{") + payload.count(b"[") <= _MAX_NESTING:
        return False
    depth = deepest = 0
    for bracket in _TEXT.sub(b"", payload).translate(None, _NO_BRACKETS):
        depth += 1 if bracket in b"{[" else -1
        deepest = max(deepest, depth)
    return deepest > _MAX_NESTING
