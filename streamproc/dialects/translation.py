"""What all translated protocols have in common: how the canonical objects of one run are opened, closed and amended.

A dialect reads its wire and says what happened in the words of `Translation`; the events that follow are made here, so
that the rules hold for all of them:

* A step is a message, or tool calls. Its id is the wire's where that is unique, else made of the run's and what tells
  the step apart, so that a replay gives the same id. One that is used again gets `#2`, `#3`, ...
* No status is invented. A step that the wire leaves open stays open: the reducer notes beside it how it must have
  ended. A stream that ends early says nothing about its run.
* A tool that the client runs leaves its step open, waiting for the output, until that comes in this stream or a later
  one; `Rules.tool_outputs` can close it at once.
* A text or call that was cut off ends as the table `Rules.cuts` says.
* Usage and metadata may come after the end of a step.
* Times are those of the wire; what it does not say is null.

What has no place in the protocol stands in the member `extras` of an object.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, Literal

from msgspec import Struct

from streamproc.core.events import Event, snapshot_name
from streamproc.core.patch import APPROVAL, AWAITING, OUTPUT, Patch

__all__ = ["CUTS", "Cut", "Rules", "Translation", "added_usage", "canonical_usage", "unique_id"]

_MAX_STEPS: Final = 10_000  # remembered in a run, so that an id that comes again is told from a new one
_MIN_UNIQUE: Final = 16  # characters; a shorter id may well be that of another run too, e.g. "msg_0", "chatcmpl-739"


class Cut(Struct, frozen=True):
    """How a step ends whose content was cut off."""

    message: Literal["completed", "failed"]  # the step's status; its message is incomplete in any case
    tools: Literal["completed", "failed"]
    code: str | None = None  # of the error of a step that failed; None for the reason itself


_TOO_LONG: Final = Cut("completed", "failed", "incomplete_arguments")
_REFUSED: Final = Cut("failed", "failed")

CUTS: Final[Mapping[str, Cut]] = MappingProxyType(
    {
        "length": _TOO_LONG,
        "max_tokens": _TOO_LONG,
        "max_output_tokens": _TOO_LONG,
        "model_context_window_exceeded": _TOO_LONG,
        "content_filter": _REFUSED,
        "refusal": _REFUSED,
        "steered": Cut("completed", "completed"),
    }
)
"""Reason, as wires spell it -> how steps end; any other reason counts as a length."""


class Rules(Struct, frozen=True, kw_only=True):
    """What a caller may decide about a translation."""

    tool_outputs: Literal["await", "close"] = "await"
    """Whether the step of a tool that the client runs waits for its output, or is completed with its arguments."""

    cuts: Mapping[str, Cut] = CUTS
    usage_on_last_step: bool = False
    """Whether usage that cannot be told apart by steps is put on the last one, as well as on the run."""


class _Step(Struct):
    id: str
    message_id: str | None  # None: tool calls
    is_closed: bool = False


class Translation:
    """The canonical events of one run, in the making. Keeps no text, and no more of a step than its ids."""

    def __init__(
        self, rules: Rules, *, run_id: str, thread_id: str = "", assistant_id: str = "", is_whole: bool = False
    ) -> None:
        """
        Args:
            is_whole: whether the stream tells all steps and messages from their beginning, so that what another one
                said of them is not appended to.
        """
        self.rules = rules
        self._is_whole = is_whole
        self.run_id = run_id
        self.thread_id = thread_id
        self.assistant_id = assistant_id
        self.created_at: int | None = None  # of the steps and messages that appear, in seconds; None: no time is known
        self._steps: dict[str, _Step] = {}  # by id, in order of appearance
        self._reasoning: list[Any] = []  # for the next step
        self._copies: dict[str, int] = {}  # id that was used again -> its newest number
        self._last_closed: _Step | None = None
        self._count = 0  # of steps that were opened

    # -- the run ------------------------------------------------------------------------------------------------------

    def open_run(self, status: str, **members: Any) -> Event:
        """The run appears, or goes on if it is known; `members` as in the protocol."""
        defaults: dict[str, Any] = {
            "assistant_id": self.assistant_id,
            "thread_id": self.thread_id,
            **dict.fromkeys(_RUN_NULLS),
            "metadata": {},
        }
        return Event(
            "thread.run.created", Patch(id=self.run_id, members={"status": status, **members}, defaults=defaults)
        )

    def run(self, status: str, **members: Any) -> Event:
        """The run has a status, terminal or not; other members change with it."""
        return Event(snapshot_name("thread.run", status), Patch(id=self.run_id, members={"status": status, **members}))

    def amend_run(self, **members: Any) -> Event:
        """Something about the run that comes whatever its status is: usage, metadata. It is named after that status."""
        return Event("thread.run.created", Patch(id=self.run_id, members=members))

    # -- steps --------------------------------------------------------------------------------------------------------

    def open_message(self, step_id: str, message_id: str, content: Sequence[Any] = (), **extras: Any) -> list[Event]:
        """A message appears, and the step that creates it; if they are known already they stay as they are."""
        details = {"type": "message_creation", "message_creation": {"message_id": message_id}}
        defaults: dict[str, Any] = {
            "run_id": self.run_id,
            "thread_id": self.thread_id,
            "assistant_id": self.assistant_id,
            "status": "in_progress",
            "role": "assistant",
            "content": content,
            "attachments": [],
            **dict.fromkeys(_MESSAGE_NULLS),
            "created_at": self.created_at,
            "metadata": {},
        }
        step = self._open(_Step(step_id, message_id), "message_creation", details, extras)
        return [step, Event("thread.message.created", Patch(id=message_id, defaults=defaults, begins=self._is_whole))]

    def open_tools(self, step_id: str, calls: Sequence[Mapping[str, Any]], **extras: Any) -> list[Event]:
        """Tool calls appear, in the protocol's form; their texts may be empty and grow."""
        details = {"type": "tool_calls", "tool_calls": calls}
        return [self._open(_Step(step_id, None), "tool_calls", details, extras)]

    def is_open(self, step_id: str) -> bool:
        """Whether a step of that id was opened and not closed."""
        step = self._steps.get(step_id)
        return step is not None and not step.is_closed

    def open_steps(self) -> list[str]:
        """The ids of the steps that are open, in order of appearance; those that wait for outputs too."""
        return [step.id for step in self._steps.values() if not step.is_closed]

    def free_id(self, native: str) -> str:
        """The id for a step that appears: the wire's, or with a number if a step of this run has it already."""
        number = self._copies.get(native, 1)
        id = native if number == 1 else f"{native}#{number}"
        while id in self._steps:
            number += 1
            id = f"{native}#{number}"
            self._copies[native] = number
        return id

    def update(self, step_id: str, **members: Any) -> Event:
        """Something about an open step changes: its details, its metadata."""
        return Event("thread.run.step.in_progress", Patch(id=step_id, members=members))

    def await_outputs(self, step_id: str, **members: Any) -> list[Event]:
        """The arguments of a step's calls are complete, and the client runs them; closes it if that is the rule."""
        if self.rules.tool_outputs == "close":
            return self.close(step_id, **members)
        return [self.update(step_id, **_with_metadata(members, {AWAITING: OUTPUT}))]

    def await_approval(self, step_id: str, **members: Any) -> list[Event]:
        """Somebody has to allow the calls of a step; `answer` says what the decision was."""
        return [self.update(step_id, **_with_metadata(members, {AWAITING: APPROVAL}))]

    def answer(self, call_id: str, output: str, *, is_own: bool = False, **members: Any) -> Event:
        """The output of a tool call, of whatever run in the thread; its step ends when it waits for no other one.

        Args:
            is_own: whether only a call of this run is meant; some servers give the calls of all runs the same ids.
            members: of the step, e.g. how it ended if the output is no success.
        """
        patch = Patch(call_id=call_id, output=output, is_own=is_own, members=members)
        return Event("thread.run.step.completed", patch)

    def close(
        self,
        step_id: str,
        status: str = "completed",
        content: Any = None,
        *,
        message: Mapping[str, Any] | None = None,
        **members: Any,
    ) -> list[Event]:
        """A step ends, and its message with it.

        Args:
            content: of the message, if the wire repeats it whole.
            message: other members of the message.
            members: of the step.
        """
        return self._close(step_id, status, None, content, message, members)

    def cut(
        self,
        step_id: str,
        reason: str,
        content: Any = None,
        *,
        message: Mapping[str, Any] | None = None,
        **members: Any,
    ) -> list[Event]:
        """A step ends because its content was cut off; arguments as for `close`."""
        step = self._steps.get(step_id)
        rule = self.rules.cuts.get(reason, _TOO_LONG)
        status = rule.tools if step is None or step.message_id is None else rule.message
        members = _with_metadata(members, {"incomplete_reason": reason})
        if status == "failed":
            error = {"code": rule.code or reason, "message": f"the content was cut off: {reason}"}
            members.setdefault("last_error", error)
        return self._close(step_id, status, reason, content, message, members)

    def _close(
        self,
        step_id: str,
        status: str,
        reason: str | None,
        content: Any,
        message: Mapping[str, Any] | None,
        members: Mapping[str, Any],
    ) -> list[Event]:
        step = self._steps.get(step_id)
        if step is None or step.is_closed:
            return []
        step.is_closed = True
        self._last_closed = step
        events: list[Event] = []
        if step.message_id is not None:
            events.append(_message_ended(step.message_id, status, reason, content, message or {}))
        patch = Patch(id=step_id, members={"status": status, **_with_metadata(members, {AWAITING: None})})
        return [*events, Event(f"thread.run.step.{status}", patch)]

    def note_reasoning(self, item: Any) -> None:
        """Keep what the model thought, in the wire's own form, for the `extras` of the next step."""
        if len(self._reasoning) < _MAX_STEPS:
            self._reasoning.append(item)

    def take_reasoning(self) -> list[Any]:
        """What was noted and no step has taken."""
        taken, self._reasoning = self._reasoning, []
        return taken

    # -- usage --------------------------------------------------------------------------------------------------------

    def amend_usage(self, usage: Mapping[str, Any], *, is_exact: bool) -> list[Event]:
        """Usage that came when the steps had ended, or wait for outputs.

        Args:
            is_exact: whether it is that of the last step alone.
        """
        step = self._last_closed or (next(iter(self._steps.values())) if self._count == 1 else None)
        if step is None or not (is_exact or self.rules.usage_on_last_step or self._count == 1):
            return []
        events = [Event("thread.run.step.completed", Patch(id=step.id, members={"usage": usage}))]
        if step.message_id is not None:
            events.append(Event("thread.message.completed", Patch(id=step.message_id, members={"usage": usage})))
        return events

    # -- making events ------------------------------------------------------------------------------------------------

    def _open(self, step: _Step, type: str, details: Mapping[str, Any], extras: dict[str, Any]) -> Event:
        while len(self._steps) >= _MAX_STEPS:
            del self._steps[next(iter(self._steps))]
        self._steps[step.id] = step
        self._count += 1
        if reasoning := self.take_reasoning():
            extras = {"reasoning": reasoning, **extras}
        defaults = {
            "run_id": self.run_id,
            "thread_id": self.thread_id,
            "assistant_id": self.assistant_id,
            "type": type,
            "status": "in_progress",
            "step_details": details,
            **dict.fromkeys(_STEP_NULLS),
            "created_at": self.created_at,
            "metadata": {},
            **({"extras": extras} if extras else {}),
        }
        return Event("thread.run.step.created", Patch(id=step.id, defaults=defaults, begins=self._is_whole))


_RUN_NULLS: Final = (
    *("created_at", "started_at", "expires_at", "cancelled_at", "failed_at", "completed_at"),
    *("required_action", "last_error", "incomplete_details", "model", "usage"),
)
_STEP_NULLS: Final = (
    *("created_at", "cancelled_at", "completed_at", "expired_at", "failed_at", "last_error", "usage"),
)
_MESSAGE_NULLS: Final = ("created_at", "completed_at", "incomplete_at", "incomplete_details")


def _message_ended(message_id: str, status: str, reason: str | None, content: Any, others: Mapping[str, Any]) -> Event:
    members: dict[str, Any] = {
        "status": "completed" if status == "completed" and reason is None else "incomplete",
        **others,
    }
    if reason is not None:
        members["incomplete_details"] = {"reason": reason}
    if content:
        members["content"] = content
    return Event(f"thread.message.{members['status']}", Patch(id=message_id, members=members))


def _with_metadata(members: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    return {**members, "metadata": {**members.get("metadata", {}), **more}}


def unique_id(native: object, *instead: object) -> str:
    """The wire's id of an object if no other object will have it, else one made of `instead`.

    Some servers count from zero in each response; such short ids are told apart by what is given with them.
    """
    if isinstance(native, str) and len(native) >= _MIN_UNIQUE:
        return native
    return ":".join(str(part) for part in instead)


_COUNTS: Final = (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"))


def canonical_usage(native: object) -> dict[str, Any] | None:
    """Usage in the protocol's names, from either pair that wires use; None when it holds no count.

    Breakdowns (cached, cache-write and reasoning tokens) are kept under `prompt_tokens_details` and
    `completion_tokens_details`; whatever else the wire says stays as it is.
    """
    if not isinstance(native, Mapping):
        return None
    usage: dict[str, Any] = {}
    for name, other in _COUNTS:
        for spelled in (name, other):
            if _is_count(native.get(spelled)):
                usage.setdefault(name, native[spelled])
            details = native.get(f"{spelled}_details")
            if isinstance(details, Mapping):
                usage.setdefault(f"{name}_details", dict(details))
    if not usage.keys() & {"prompt_tokens", "completion_tokens"}:
        return None
    total = native.get("total_tokens")
    usage["total_tokens"] = total if _is_count(total) else sum(usage.get(name, 0) for name, _ in _COUNTS)
    known = {spelled for pair in _COUNTS for name in pair for spelled in (name, f"{name}_details")}
    return {**usage, **{name: value for name, value in native.items() if name not in known and name not in usage}}


def added_usage(total: Mapping[str, Any], usage: Mapping[str, Any]) -> dict[str, Any]:
    """The sum of two usages, member by member; what is no number is as the later one says."""
    both = {**total, **usage}
    for name in total.keys() & usage.keys():
        old, new = total[name], usage[name]
        if isinstance(old, dict) and isinstance(new, dict):
            both[name] = added_usage(old, new)
        elif type(old) in (int, float) and type(new) in (int, float):
            both[name] = old + new
    return both


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0
