"""A toy of the Responses protocol for tests of what is not its dialect: three kinds of events, and a cursor.

It keeps the contract of cursors: `{response id}/{sequence number}` for a background response, none for any other, and
what was seen before is dropped. So it has to be the same instance over all connections of a stream.
"""

import json
from collections.abc import Sequence
from typing import Any, Final

from streamproc import Event
from streamproc.core.sse import Frame
from tests.streams import message, run, words

__all__ = ["PIECES", "Toy", "frames"]

PIECES: Final = [f"word {number}, " for number in range(8)]
"""What the message says."""


class Toy:
    """Text deltas and two events of the whole response; counts what it drops."""

    def __init__(self) -> None:
        self.cursor: str | None = None
        self.dropped = 0
        self._last = -1
        self._response: dict[str, Any] = {}

    def decode(self, frame: Frame) -> Sequence[Event]:
        data = json.loads(frame.data)
        if data["sequence_number"] <= self._last:
            self.dropped += 1
            return ()
        self._last = data["sequence_number"]
        self._response = data.get("response", self._response)
        if self._response.get("background"):
            self.cursor = f"{self._response['id']}/{self._last}"
        match data["type"]:
            case "response.created":
                return run("created", "resp_1"), message("created", run_id="resp_1")
            case "response.completed":
                return (run("completed", "resp_1"),)
            case _:
                return (words(data["delta"]),)

    def resume(self) -> None:
        """What was seen counts on the next connection too."""

    def finish(self) -> Sequence[Event]:
        return ()


def frames(*, background: bool = True, id: str = "resp_1") -> list[bytes]:
    """The events of a response, each as its bytes."""
    response = {"id": id, "background": background}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": response},
        *({"type": "response.output_text.delta", "delta": piece} for piece in PIECES),
        {"type": "response.completed", "response": response},
    ]
    return [
        b"event: %b\ndata: %b\n\n" % (event["type"].encode(), json.dumps({**event, "sequence_number": number}).encode())
        for number, event in enumerate(events)
    ]
