"""The Responses dialect: OpenAI's successor of the Assistants protocol, as its and many other servers speak it.

Frames are looked at here: what they hold, which event that is, and whether it is known already. The JSON names the
event, since `event:` lines may be missing; numbers, ids and order are not relied on.
"""

from collections.abc import Sequence
from typing import Any, Final

from streamproc.core.events import DONE, ERROR, Event
from streamproc.core.sse import Frame
from streamproc.dialects.payload import anomaly, decode_json, error_object
from streamproc.dialects.responses.deltas import Texts
from streamproc.dialects.responses.events import EVENTS, OBJECT
from streamproc.dialects.responses.life import Life, Payload
from streamproc.dialects.responses.numbers import NO_NUMBER, SequenceNumbers
from streamproc.dialects.responses.response import Response
from streamproc.dialects.translation import Rules

__all__ = ["ResponsesDialect", "matches"]


_MAX_NAME: Final = 100  # characters of a name that nobody knows


def matches(event: str, payload: Payload) -> bool:
    """Whether a frame is one of this protocol; an error is none, since every protocol has some like it."""
    names = (event, payload.get("type"))
    if any(isinstance(name, str) and name.startswith(("response.", "codex.")) for name in names):
        return True
    return payload.get("object") == "response"


class ResponsesDialect:
    """Translates the events of the Responses protocol."""

    def __init__(
        self,
        *,
        run_id: str = "",
        thread_id: str = "",
        assistant_id: str = "",
        response_id: str = "",
        rules: Rules | None = None,
    ) -> None:
        """
        Args:
            run_id: a run that spans several responses, on this stream or others; it requires action while calls wait.
            thread_id: for responses that belong to no conversation.
            assistant_id: of the run; the agent's name or the model by default.
            response_id: the response that the stream goes on with, if its beginning was read by another instance.
            rules: what else a caller may decide.
        """
        self._numbers = SequenceNumbers()
        self._texts = Texts(self._numbers)
        self._life = Life((run_id, thread_id, assistant_id), rules or Rules(), self._texts, response_id)
        self.texts = self._texts.readers()

    @property
    def cursor(self) -> str | None:
        """Response id and sequence number, of a response that runs in the background; others cannot be resumed."""
        id, number = self._life.resumable, self._numbers.last
        return f"{id}/{number}" if id and number != NO_NUMBER else None

    @property
    def out_of_order(self) -> int:
        """How many sequence numbers were not above the one before, without a reconnect."""
        return self._numbers.out_of_order

    def resume(self) -> None:
        """The same response goes on over another connection, perhaps a little before its cursor."""
        self._numbers.resume()
        self._texts.clear()  # what comes next has to be looked at

    def decode(self, frame: Frame) -> Sequence[Event]:
        """Return the events of a frame; never raises."""
        if frame.data.startswith(b"[DONE]") or frame.event == DONE:
            events = self.finish()
            return (*events, Event(DONE, None, frame.data)) if self._life.is_over else events
        read = self.texts.get(None if frame.event == "message" else frame.event)
        if read is not None and (found := read((frame.data,), 0)) is not None:
            spot, (text,) = found
            return (spot.delta(text),)
        data, payload, fault = decode_json(frame.data)
        if not isinstance(data, dict):
            if frame.event == ERROR:
                return self._fail(data, payload)
            return (anomaly("bad_json", frame.event, payload, fault or "no JSON object"),)
        name = _name(frame.event, data)
        return self._fail(data, payload) if name == ERROR else self._translate(name, data, payload)

    def finish(self) -> Sequence[Event]:
        """Return what the end of the stream implies: a run failed if an error was the last thing said of it."""
        return self._life.finish()

    def snapshot(self, response: Response) -> Sequence[Event]:
        """Return the events for a complete Response object, of whatever status."""
        return self._life.snapshot(response)

    def _translate(self, name: str, data: Payload, payload: bytes) -> Sequence[Event]:
        handle = EVENTS.get(name)
        if handle is None:
            return (anomaly("unknown_event", name[:_MAX_NAME], payload, "not in the vocabulary"),)
        if self._life.begins_another(name, data):
            self._numbers.restart()
        verdict = self._numbers.note(data.get("sequence_number"))
        if verdict == "overlap":
            return ()
        events = handle(self._life, data)
        if verdict == "distrusted":
            return (anomaly("late_event", name, payload, "a sequence number that repeats or goes back"), *events)
        return events

    def _fail(self, data: Any, payload: bytes) -> Sequence[Event]:
        error = error_object(data, payload)
        inner = data.get("error", data) if isinstance(data, dict) else {}
        codes = (inner.get("code"), inner.get("type")) if isinstance(inner, dict) else ()
        code = next((code for code in codes if code is not None and code != ERROR), "server_error")
        self._life.errs({"code": str(code), "message": error.message})
        return (Event(ERROR, error, payload),)


def _name(event: str, data: Payload) -> str:
    """What a payload is: as it says itself, as its frame says, or as follows from it."""
    name = data.get("type")
    if isinstance(name, str) and (name in EVENTS or name == ERROR):
        return name
    if not isinstance(name, str) and data.get("error") is not None and data.get("object") != "response":
        return ERROR
    if event != "message":
        return event
    return OBJECT if data.get("object") == "response" else name if isinstance(name, str) else event
