"""The dialect of an invented protocol, `hop`: one JSON object a frame, text and tool calls of one agent run."""

from collections.abc import Mapping, Sequence
from typing import Any

from streamproc import Event
from streamproc.core.dialect import register_dialect
from streamproc.core.spot import Spot
from streamproc.core.sse import Frame
from streamproc.dialects.payload import anomaly, decode_json
from streamproc.dialects.translation import Rules, Translation, canonical_usage, unique_id


def matches(event: str, payload: Mapping[str, Any]) -> bool:
    return payload.get("hop") == "start"


class HopDialect:
    cursor: str | None = None  # a hop stream cannot be resumed

    def __init__(self) -> None:
        self._run = Translation(Rules(), run_id="")
        self._text: Spot | None = None  # that grows

    def decode(self, frame: Frame) -> Sequence[Event]:
        data, payload, fault = decode_json(frame.data)
        match data:
            case {"hop": "start", "run": str() as id} if not self._run.run_id:
                self._run = Translation(Rules(), run_id=unique_id(id, "hop", id, data.get("at")))
                return [self._run.open_run("in_progress")]
            case {"hop": "say", "text": str() as text} if self._run.run_id:
                opened, spot = self._open_text()
                return [*opened, spot.delta(text)]
            case {"hop": "call", "id": str() as id, "tool": str() as name, "args": str() as args} if self._run.run_id:
                call = {"id": id, "type": "function", "function": {"name": name, "arguments": args, "output": None}}
                step = self._run.free_id(f"{self._run.run_id}:{id}")
                return [*self._close_text(), *self._run.open_tools(step, [call]), *self._run.await_outputs(step)]
            case {"hop": "result", "id": str() as id, "out": str() as output} if self._run.run_id:
                return [self._run.answer(id, output)]
            case {"hop": "end"} if self._run.run_id:
                return [*self._close_text(), self._run.run("completed", usage=canonical_usage(data.get("tokens")))]
        return [anomaly("bad_json" if fault else "unknown_event", frame.event, payload, fault or "no hop")]

    def finish(self) -> Sequence[Event]:
        return []  # without its `end` a stream is truncated

    def _open_text(self) -> tuple[list[Event], Spot]:
        if self._text is not None:
            return [], self._text
        id = self._run.free_id(f"{self._run.run_id}:say")  # of the step, and of its message
        self._text = Spot.message_text(id, 0)
        return self._run.open_message(id, id), self._text

    def _close_text(self) -> list[Event]:
        spot, self._text = self._text, None
        return [] if spot is None else self._run.close(spot.id)


register_dialect("hop", HopDialect, matches)
