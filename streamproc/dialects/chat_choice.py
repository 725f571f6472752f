"""One choice of a completion: what it says becomes a message, tool calls, or both.

A choice opens no step until there is something in it: many streams begin with a role and an empty content, whatever
follows. Its `finish_reason` says how its steps end. *When* they end is the end of the stream: servers send calls and
text after a reason, repeat it, and give the usage and the last of the reasoning later.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from streamproc.core.events import MESSAGE_DELTA, Event
from streamproc.core.spot import Spot
from streamproc.dialects.chat_notes import Notes
from streamproc.dialects.chat_slots import Slots, oddity
from streamproc.dialects.translation import Translation

__all__ = ["Choice"]

_PLAIN: Final = frozenset({"stop", "tool_calls", "function_call"})
_encode: Final = msgspec.json.Encoder().encode


class Choice:
    """Translates the deltas of one choice.

    Attributes:
        text: where its text grows; None before there is any.
        slots: its tool calls.
        by_index: the call that an index stands for, see `Slots`.
        finish: the last reason that it gave.
        error: what it failed with, instead of or beside a reason.
        calls: whether it has tool calls.
    """

    def __init__(self, translation: Translation, turn: int, index: int, message_id: str, *, keeps: bool) -> None:
        """
        Args:
            keeps: whether the complete calls will be asked for.
        """
        run_id = translation.run_id
        self._translation = translation
        self._message_id = message_id
        self._message_step = f"{run_id}:{turn}:msg:{index}"
        self._tools_step = f"{run_id}:{turn}:tools:{index}"
        self._steps: list[str] = []  # that were opened, in order
        self._blocks: list[str] = []  # types of the message's content
        self._annotations = 0
        self._notes = Notes()
        self._reasoning: list[Any] = []  # in the extras of the newest step
        self._was_full = False
        self.text: Spot | None = None
        prefix = f"{run_id}:{turn}:call" if index == 0 else f"{run_id}:{turn}:call:{index}"
        self.slots = Slots(self._tools_step, prefix, keeps=keeps)
        self.by_index = self.slots.by_index
        self.finish: str | None = None
        self.error: dict[str, Any] | None = None

    @property
    def calls(self) -> bool:
        return self._tools_step in self._steps

    def take(self, delta: Mapping[str, Any]) -> list[Event]:
        """What one delta adds."""
        self._notes.take_delta(delta)
        events: list[Event] = []
        content = delta.get("content")
        if isinstance(content, str):
            events += self._say(content)
        elif isinstance(content, list):
            for part in content:
                events += self._part(part)
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            events += self._refuse(refusal)
        annotations = delta.get("annotations")
        if isinstance(annotations, list) and annotations:
            events += self._annotate(annotations)
        tool_calls = delta.get("tool_calls")
        if isinstance(tool_calls, list):
            for entry in tool_calls:
                events += [*self._open_tools(), *self.slots.take(entry)]
        function = delta.get("function_call")
        if isinstance(function, dict):
            events += [*self._open_tools(), *self.slots.take_legacy(function)]
        return events + self._full()

    def think(
        self, content: str | None, reasoning: str | None, details: Sequence[Mapping[str, Any]] | None
    ) -> list[Event]:
        """What a delta adds that has nothing but reasoning, by the names that it has there; as `take` does it."""
        self._notes.think("reasoning_content", content)
        self._notes.think("reasoning", reasoning)
        for entry in details or ():
            self._notes.detail(entry)
        return self._full()

    def end(self, usage: Mapping[str, Any] | None) -> list[Event]:
        """The choice is over, as `finish` or `error` says.

        Args:
            usage: of its last step, if it can be told.
        """
        reason = self.finish or ""
        is_cut = self.error is None and reason in self._translation.rules.cuts
        events: list[Event] = []
        if not self._steps and (is_cut or self._notes.has_any):
            events += self._open_message()  # an answer without a word, which has to be told of somewhere
        last = self._steps[-1] if self._steps else ""
        for step_id in sorted(self._steps, key=lambda id: id == self._tools_step):
            members: dict[str, Any] = {}
            message: dict[str, Any] = {}
            if step_id == last and (extras := self._late_extras()):
                members["extras"] = extras
            if step_id == (self._tools_step if self.calls else self._message_step) and usage is not None:
                members["usage"] = message["usage"] = usage
            if self.error is not None:
                events += self._translation.close(step_id, "failed", message=message, last_error=self.error, **members)
                continue
            if is_cut:
                events += self._translation.cut(step_id, reason, message=message, **members)
                continue
            if reason not in _PLAIN:
                members["metadata"] = {"finish_reason": reason}
            if step_id == self._tools_step:
                events += self._translation.await_outputs(step_id, **members)
            else:
                events += self._translation.close(step_id, message=message, **members)
        return events

    def leave(self) -> list[Event]:
        """The stream is over, the choice is not: its steps stay open."""
        if self._steps and (extras := self._late_extras()):
            return [self._translation.update(self._steps[-1], extras=extras)]
        return []

    # -- content ------------------------------------------------------------------------------------------------------

    def _say(self, text: str) -> list[Event]:
        if not text:
            return []
        if self.text is not None:
            return [self.text.delta(text)]
        index, events = self._block("text")
        self.text = Spot.message_text(self._message_id, index)
        return [*events, self._message_delta(index, "text", {"value": text, "annotations": []})]

    def _refuse(self, refusal: str) -> list[Event]:
        index, events = self._block("refusal")
        return [*events, self._message_delta(index, "refusal", refusal)]

    def _annotate(self, annotations: list[Any]) -> list[Event]:
        """Sources of the text, by the protocol's names; they may come before it."""
        index, events = self._block("text")
        found: list[Any] = []
        for annotation in annotations:
            if isinstance(annotation, dict):
                found.append({"index": self._annotations + len(found), **_canonical(annotation)})
        self._annotations += len(found)
        return [*events, self._message_delta(index, "text", {"annotations": found})] if found else events

    def _part(self, part: object) -> list[Event]:
        """One part of a content that comes as a list, as Mistral's does."""
        match part:
            case str() as text:
                return self._say(text)
            case {"type": "text", "text": str() as text}:
                return self._say(text)
            case {"type": "thinking", "thinking": list() as thoughts}:
                for thought in thoughts:
                    if isinstance(thought, dict):
                        self._notes.think("thinking", thought.get("text"))
                return []
            case {"type": "thinking", "thinking": str() as thought}:
                self._notes.think("thinking", thought)
                return []
            case {"type": "image_url"}:
                self._notes.take_delta({"images": [part]})
                return []
            case _:
                return [oddity("unknown_type", self._message_step, "a part of the content")]

    def _block(self, type: str) -> tuple[int, list[Event]]:
        """The index of the content block of that type, and what opens the message if nothing did."""
        events = self._open_message()
        if type not in self._blocks:
            self._blocks.append(type)
        return self._blocks.index(type), events

    def _message_delta(self, index: int, type: str, content: Any) -> Event:
        delta = {"content": [{"index": index, "type": type, type: content}]}
        data = {"id": self._message_id, "object": MESSAGE_DELTA, "delta": delta}
        return Event(MESSAGE_DELTA, data, _encode(data))

    def _full(self) -> list[Event]:
        """Report once that notes are left out."""
        if self._was_full or not self._notes.is_full:
            return []
        self._was_full = True
        return [oddity("limit", self._message_step, "reasoning and media beyond what is kept")]

    # -- steps --------------------------------------------------------------------------------------------------------

    def _open_message(self) -> list[Event]:
        if self._message_step in self._steps:
            return []
        self._steps.append(self._message_step)
        return self._translation.open_message(self._message_step, self._message_id, **self._first_extras())

    def _open_tools(self) -> list[Event]:
        if self._tools_step in self._steps:
            return []
        self._steps.append(self._tools_step)
        return self._translation.open_tools(self._tools_step, [], **self._first_extras())

    def _first_extras(self) -> dict[str, Any]:
        """For a step that opens: the reasoning that led to it."""
        self._reasoning = self._notes.take_reasoning()
        return {"reasoning": self._reasoning} if self._reasoning else {}

    def _late_extras(self) -> dict[str, Any]:
        """For the newest step when it ends: what came since it opened."""
        extras = self._notes.take_media()
        if late := self._notes.take_reasoning():
            extras["reasoning"] = [*self._reasoning, *late]
        return extras


def _canonical(annotation: Mapping[str, Any]) -> dict[str, Any]:
    """A source that stands in the text: the place beside it, not in it."""
    cited = annotation.get("url_citation")
    if not isinstance(cited, dict):
        return {name: value for name, value in annotation.items() if name != "index"}
    place = {name: cited[name] for name in ("start_index", "end_index") if name in cited}
    rest = {name: value for name, value in cited.items() if name not in place}
    return {"type": "url_citation", "text": "", **place, "url_citation": rest}
