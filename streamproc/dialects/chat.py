"""The chat dialect: Chat Completions chunks, as OpenAI and the many servers that follow it send them.

One stream is one model call. It knows no steps: each choice becomes a step for its message and one for all its tool
calls, see chat_choice.py, and the completion becomes the run, unless the caller names one that has several calls.

`finish_reason` is what ends a choice, and the stream is complete once every choice has one and no error came. `[DONE]`
alone is no success: servers send it after errors, too. So a `[DONE]` that comes too early is passed over, and the end
of the stream is then what it would be without it, truncated; a stream that lacks its `[DONE]` may be complete.

The run's id is the first that a chunk has; what comes later is not looked at, since some servers give each chunk one.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from hashlib import blake2b
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from streamproc.core.dialect import TextReader
from streamproc.core.events import DONE, ERROR, Event
from streamproc.core.sse import Frame
from streamproc.dialects.chat_choice import Choice
from streamproc.dialects.chat_reader import Reader
from streamproc.dialects.chat_slots import oddity
from streamproc.dialects.chat_turns import Calls, ChatTurns
from streamproc.dialects.chat_wire import (
    code_of,
    is_chunk,
    last_error,
    metadata_of,
    text_of,
    time_of,
)
from streamproc.dialects.payload import anomaly, decode_json, error_object
from streamproc.dialects.translation import Rules, Translation, canonical_usage, unique_id

__all__ = ["ChatDialect"]

_MAX_CHOICES: Final = 128  # as many as the API makes at most
_KEEP_ALIVE: Final = frozenset({"ping", "keepalive"})


class ChatDialect:
    """Translates one stream of chunks."""

    cursor: str | None = None  # this protocol cannot resume a stream

    def __init__(
        self,
        run_id: str | None = None,
        turn: int = 1,
        *,
        thread_id: str = "",
        assistant_id: str = "",
        rules: Rules | None = None,
        done_suffices: bool = False,
        calls: Calls | None = None,
    ) -> None:
        """
        Args:
            run_id: of a run that this model call is part of; by default it is one of its own, named by the wire.
            turn: which call of that run it is, from 1.
            assistant_id: by default the model.
            done_suffices: whether a choice without a `finish_reason` ends with `[DONE]`, for servers that give none.
            calls: what the calls of a run have in common, the turn included; see `turns`.
        """
        self._run_id = run_id
        self._thread_id = thread_id
        self._assistant_id = assistant_id
        self._rules = rules or Rules()
        self._done_suffices = done_suffices
        self._calls = calls or Calls(turn)
        self._reader = Reader(keeps=run_id is not None)
        self.texts: Mapping[str | None, TextReader] = {None: self._reader.text}
        self._start()

    def _start(self) -> None:
        self._turn = self._calls.turn
        self._translation: Translation | None = None  # once the run is known
        self._native = ""  # the completion's id on the wire
        self._message_id = ""
        self._first = ""  # the digest of the first payload
        self._choices = self._reader.choices = {}
        self._usage: dict[str, Any] | None = None
        self._error: dict[str, Any] | None = None
        self._has_ended = False

    @staticmethod
    def turns(
        run_id: str,
        *,
        thread_id: str = "",
        assistant_id: str = "",
        rules: Rules | None = None,
        done_suffices: bool = False,
    ) -> "ChatTurns[ChatDialect]":
        """Return what makes the dialect of each model call of an agent loop, for `StreamProcessor(dialect=...)`."""

        make = partial(ChatDialect, run_id, thread_id=thread_id, assistant_id=assistant_id, rules=rules)
        return ChatTurns(lambda calls: make(done_suffices=done_suffices, calls=calls))

    def decode(self, frame: Frame) -> Sequence[Event]:
        """Return the events of a frame; never raises."""
        if frame.event == "message":
            if (found := self._reader.text((frame.data,), 0)) is not None:
                spot, (text,) = found
                return (spot.delta(text),)
            if (thought := self._reader.thought(frame.data)) is not None:
                return thought
        if frame.data.startswith(b"[DONE]"):
            return self._done(frame.data)
        data, payload, fault = decode_json(frame.data)
        if frame.event == ERROR:
            return self._fail(data, payload)
        if fault or not isinstance(data, dict):
            return (anomaly("bad_json", frame.event, payload, fault or "no JSON object"),)
        if not isinstance(data.get("choices"), list) and (data.get("error") or data.get("object") == "error"):
            return self._fail(data, payload)
        if data.get("type") in _KEEP_ALIVE:
            return ()
        if not is_chunk(data):
            return (anomaly("unknown_event", frame.event, payload, "no chunk of a completion"),)
        if self._has_ended and not self._is_another(data):
            return (anomaly("late_event", frame.event, payload, "a chunk after the end of the stream"),)
        return self._chunk(data, payload)

    def finish(self) -> Sequence[Event]:
        """Return what the end of the stream reveals."""
        if self.is_complete:
            return self._end()
        translation = self._translation
        if self._has_ended or translation is None:
            return ()
        events = [event for choice in self._choices.values() for event in choice.leave()]
        if self._usage is not None:
            events.append(translation.amend_run(usage=self._calls.total(self._usage)))
        return events

    # -- chunks -------------------------------------------------------------------------------------------------------

    def _chunk(self, data: Mapping[str, Any], payload: bytes) -> list[Event]:
        listed = data.get("choices")
        choices = [choice for choice in listed if isinstance(choice, dict)] if isinstance(listed, list) else []
        events: list[Event] = []
        translation = self._translation
        if translation is None:
            translation, events = self._open(data, payload, bool(choices))
            if translation is None:
                return events
        error = data.get("error")
        for position, choice in enumerate(choices):
            events += self._choice(translation, choice, position, error)
        groq = data.get("x_groq")
        inner = groq.get("usage") if isinstance(groq, dict) else None
        self._usage = canonical_usage(data.get("usage")) or canonical_usage(inner) or self._usage
        return [*events, *self._fail(data, payload)] if error else events

    def _choice(self, translation: Translation, data: Mapping[str, Any], position: int, failure: object) -> list[Event]:
        events: list[Event] = []
        index = data.get("index")
        if type(index) is not int or index < 0:
            if index is not None:
                events.append(oddity("index_invalid", translation.run_id, "a choice with an index that is none"))
            index = position
        choice = self._choices.get(index)
        if choice is None:
            if len(self._choices) >= _MAX_CHOICES:
                return [*events, oddity("limit", translation.run_id, f"more than {_MAX_CHOICES} choices")]
            message_id = f"{self._message_id}:{index}" if index else self._message_id
            keeps = self._run_id is not None
            choice = self._choices[index] = Choice(translation, self._turn, index, message_id, keeps=keeps)
        delta, reason, error = data.get("delta"), data.get("finish_reason"), data.get("error")
        if isinstance(delta, dict):
            events += choice.take(delta)
        choice.finish = text_of(reason) or choice.finish
        if error or reason == "error":
            failed = {"error": error or failure or "finish_reason: error"}
            choice.error = last_error(failed)
            if not failure:  # else the chunk says so, once
                events += self._fail(failed, msgspec.json.encode(failed))
        self._usage = canonical_usage(data.get("usage")) or self._usage
        return events

    def _open(
        self, data: Mapping[str, Any], payload: bytes, has_choices: bool
    ) -> tuple[Translation | None, list[Event]]:
        """The run appears with the first chunk that names the completion, or has a choice."""
        native = text_of(data.get("id"))
        self._first = self._first or blake2b(payload, digest_size=16).hexdigest()
        if not native and not has_choices:
            return None, []
        created = time_of(data.get("created"))
        if native:
            self._native = native
            completion = unique_id(native, native, *([created] if created else []))
        else:
            completion = f"chat-{self._first}" if self._run_id is None else f"{self._run_id}:{self._turn}"
        return self._begin(completion, text_of(data.get("model")) or None, created, metadata_of(data))

    def _begin(
        self, completion: str, model: str | None, created: int | None, metadata: Mapping[str, str]
    ) -> tuple[Translation, list[Event]]:
        self._message_id = self._calls.message_id(completion)
        run_id = completion if self._run_id is None else self._run_id
        assistant_id = self._assistant_id or model or ""
        translation = Translation(self._rules, run_id=run_id, thread_id=self._thread_id, assistant_id=assistant_id)
        translation.created_at = created
        self._translation = translation
        if self._turn > 1:
            members = {"assistant_id": assistant_id, "thread_id": self._thread_id, "required_action": None}
            events = [translation.run("in_progress", **members, model=model, metadata=metadata)]
        else:
            events = [translation.open_run("in_progress", created_at=created, model=model, metadata=metadata)]
        return translation, events + [translation.answer(*answer) for answer in self._calls.take_answers()]

    def _is_another(self, data: Mapping[str, Any]) -> bool:
        """Whether a chunk after the end is one of another completion: then nobody said that a new stream begins."""
        if text_of(data.get("id")) in ("", self._native):
            return False
        if self._run_id is None:
            self._calls = Calls(self._turn)
        else:
            self._calls.turn += 1
        self._start()
        return True

    # -- ends ---------------------------------------------------------------------------------------------------------

    @property
    def is_complete(self) -> bool:
        """Whether the stream may end here: every choice has a reason, or an error came."""
        if self._has_ended:
            return False
        is_finished = [choice.finish is not None or choice.error is not None for choice in self._choices.values()]
        return self._error is not None or (bool(is_finished) and all(is_finished))

    def _done(self, payload: bytes) -> list[Event]:
        if self._done_suffices:
            for choice in self._choices.values():
                choice.finish = choice.finish or "stop"
        if self._has_ended or self.is_complete:
            return [*self._end(), Event(DONE, None, payload)]
        return []

    def _fail(self, data: Any, payload: bytes) -> list[Event]:
        """An error; the run fails with the first one when the stream ends."""
        error = error_object(data, payload)
        if self._error is None:
            self._error = last_error(data) if isinstance(data, dict) else last_error({"error": error.message})
        return [Event(ERROR, replace(error, code=code_of(data)), payload)]

    def _end(self) -> list[Event]:
        """The stream is complete: what is finished ends, and the run."""
        if self._has_ended:
            return []
        self._has_ended = True
        events: list[Event] = []
        if self._translation is None:
            if self._run_id is None:
                return []
            self._translation, events = self._begin(f"{self._run_id}:{self._turn}", None, None, {})
        choices = [*self._choices.values()]
        self._choices = self._reader.choices = {}
        is_exact = len(choices) == 1 or self._rules.usage_on_last_step
        for choice in choices:
            if choice.finish is None and choice.error is None:
                events += choice.leave()
            else:
                events += choice.end(self._usage if is_exact and choice is choices[-1] else None)
        return [*events, self._end_run(self._translation, choices)]

    def _end_run(self, translation: Translation, choices: Sequence[Choice]) -> Event:
        members: dict[str, Any] = {}
        if self._usage is not None:
            members["usage"] = self._calls.total(self._usage)
        if self._error is not None:
            return translation.run("failed", last_error=self._error, **members)
        cut = next((choice.finish for choice in choices if choice.finish in self._rules.cuts), None)
        if cut is not None:
            members["incomplete_details"] = {"reason": cut}
        elif self._run_id is not None and (calls := [call for choice in choices for call in choice.slots.calls()]):
            action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": calls}}
            return translation.run("requires_action", required_action=action, **members)
        return translation.run("completed", **members)
