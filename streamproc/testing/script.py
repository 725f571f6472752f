"""What a scripted server does, as data: responses, their actions, and functions that make faults of them."""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

__all__ = [
    "Action",
    "Answer",
    "Cut",
    "Request",
    "Reset",
    "Response",
    "Send",
    "Stall",
    "Wait",
    "corrupted",
    "cut_at",
    "duplicated",
    "json_response",
    "reset_at",
    "slices",
    "stall_at",
]

_SETTLE_S: Final = 0.02  # a reset makes a system forget what it has received and nobody has read


class Send(Struct, frozen=True):
    """Bytes of the body; with chunked framing, one chunk."""

    data: bytes


class Wait(Struct, frozen=True):
    """Nothing for a while."""

    seconds: float


class Cut(Struct, frozen=True):
    """The connection ends here (FIN), whatever was announced."""


class Reset(Struct, frozen=True):
    """The connection is torn down here (RST)."""


class Stall(Struct, frozen=True):
    """Nothing more, while the connection stays open until the client leaves."""


Action: TypeAlias = Send | Wait | Cut | Reset | Stall


class Response(Struct, frozen=True):
    """What a request is answered with.

    Framing: "chunked" · "length", which announces a body that will be broken off as one byte longer than it gets ·
    "close", where the end of the connection is the end of the body.
    """

    body: bytes | Sequence[Action] = b""
    status: int | None = 200  # None: no head, the actions are all that the client gets
    headers: Mapping[str, str] = {}
    content_type: str | None = "text/event-stream"
    framing: Literal["chunked", "length", "close"] = "chunked"

    @property
    def actions(self) -> Sequence[Action]:
        if not isinstance(self.body, bytes):
            return self.body
        return [Send(self.body)] if self.body else []


class Request(Struct, frozen=True):
    """What a client asked. Names of headers are in lower case."""

    method: str
    path: str  # without the query, quoted as it came
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes


Answer: TypeAlias = Response | Callable[[Request], Response]


# --- faults -----------------------------------------------------------------------------------------------------------


def cut_at(data: bytes, at: int) -> list[Action]:
    """The first `at` bytes, then the end of the connection."""
    return [Send(data[:at]), Cut()]


def reset_at(data: bytes, at: int) -> list[Action]:
    """The first `at` bytes, a moment to read them, then a reset."""
    return [Send(data[:at]), Wait(_SETTLE_S), Reset()]


def stall_at(data: bytes, at: int) -> list[Action]:
    """The first `at` bytes, then silence."""
    return [Send(data[:at]), Stall()]


def slices(data: bytes, size: int = 1, wait_s: float = 0.0, random: Random | None = None) -> list[Action]:
    """The bytes in slices of `size`, or of 1 to `size` by chance, with a wait after each."""
    actions: list[Action] = []
    start = 0
    while start < len(data):
        end = start + (random.randint(1, size) if random is not None else size)
        actions.append(Send(data[start:end]))
        if wait_s > 0:
            actions.append(Wait(wait_s))
        start = end
    return actions


def duplicated(data: bytes, start: int, end: int) -> bytes:
    """The bytes, with those from `start` to `end` twice in a row."""
    return data[:end] + data[start:]


def corrupted(data: bytes, at: int, mask: int = 0xFF) -> bytes:
    """The bytes, with the bits of `mask` turned over in the one at `at`."""
    return b"".join((data[:at], bytes([data[at] ^ mask]), data[at + 1 :]))


def json_response(data: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An object as JSON; bytes are JSON already."""
    body = data if isinstance(data, bytes) else msgspec.json.encode(data)
    return Response(body, status, headers or {}, "application/json", "length")
