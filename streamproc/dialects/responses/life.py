"""Life: the responses of one stream, each a run, from the first that is heard of them to their end.

Whatever is said of a response that the stream never spoke of makes one up. The first id that a response goes by is its
run's; ids of later events may be others.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from streamproc.core.events import Event
from streamproc.dialects.responses.deltas import Texts
from streamproc.dialects.responses.oddities import odd
from streamproc.dialects.responses.output import Output
from streamproc.dialects.responses.response import (
    TERMINAL,
    Response,
    assistant_of,
    native_id,
    run_id_of,
    run_members,
    status_of,
    thread_of,
)
from streamproc.dialects.responses.spent import Spent
from streamproc.dialects.translation import Rules, Translation, unique_id

__all__ = ["Given", "Life", "Payload"]

Payload: TypeAlias = Mapping[str, Any]
Given: TypeAlias = tuple[str, str, str]
"""Run, thread and assistant as the caller named them, "" for the wire's."""

_BEGINNINGS: Final = frozenset({"response.created", "response.queued", "response.in_progress", "response"})
_APPROVAL: Final = "mcp_approval_request"


class Life:
    """The responses of one stream."""

    def __init__(self, given: Given, rules: Rules, texts: Texts, spent: Spent, continued: str = "") -> None:
        """
        Args:
            spent: by the run that the caller named.
            texts: of the response that the stream is about, as far as they can be read fast.
            continued: id of the response that the stream goes on with.
        """
        self._given = given
        self._rules = rules
        self._texts = texts
        self._spent = spent
        self._continued = continued
        self._current: _Response | None = None
        self._error: dict[str, Any] | None = None  # that was reported, and no end of the response followed

    @property
    def resumable(self) -> str:
        """The wire's id of the response now, if it runs in the background; "" if not."""
        current = self._current
        return current.native_id if current is not None and current.is_background else ""

    @property
    def is_over(self) -> bool:
        """Whether no response goes on, as far as the stream said."""
        return self._current is None or self._current.has_ended

    def begins_another(self, name: str, event: Payload) -> bool:
        """Whether an event begins a response after another one, which is over then."""
        current = self._current
        if name not in _BEGINNINGS or current is None or not current.native_id:
            return False
        id = native_id(_response_of(event))
        if id == current.native_id:
            return False
        if not current.has_ended and (name != "response.created" or not id):
            return False  # the same under another id
        self._texts.clear()
        self._current = self._error = None
        return True

    def lives(self, event: Payload, status: str) -> list[Event]:
        """A response has a status that is not its last one."""
        native = _response_of(event)
        own = status_of(native)
        return self._alive(native, own if own in ("queued", "in_progress") else status, is_whole=not self._continued)

    def ended(self, event: Payload, status: str) -> list[Event]:
        """A response has its last status; "" for whatever it says itself."""
        return self.snapshot(_response_of(event), status)

    def snapshot(self, native: Response, status: str = "") -> list[Event]:
        """A complete Response object; `status`: its last one, if its own is not."""
        own = status_of(native)
        if own in TERMINAL or status:
            return self._ended(native, own if own in TERMINAL else status)
        return self._alive(native, own if own == "queued" else "in_progress")

    def says(self, event: Payload, tell: Callable[[Output, Payload], list[Event]]) -> list[Event]:
        """Something of the output."""
        current, opened = self._current, list[Event]()
        if current is None:
            current, opened = self._made_up(event)
        return [*opened, *tell(current.output, event)]

    def errs(self, error: dict[str, Any]) -> None:
        """An error was reported; if the response does not end by itself, it has failed with it."""
        self._error = error

    def finish(self) -> list[Event]:
        """What the end of the stream implies."""
        error, self._error = self._error, None
        current, events = self._current, list[Event]()
        if current is None and error is not None and self._given[0]:
            current, events = self._begin({}, "in_progress")
        if current is None or current.has_ended:
            return events
        leftovers = current.output.leftovers()
        members = {"extras": leftovers} if leftovers else {}
        if error is not None:
            current.has_ended = True
            events.append(current.translation.run("failed", last_error=error, **members))
        elif members:
            events.append(current.translation.amend_run(**members))
        return events

    def _alive(self, native: Response, status: str, *, is_whole: bool = False) -> list[Event]:
        """`is_whole`: if the response is new to the stream, all of its output is still to come."""
        current = self._current
        if current is None:
            current, events = self._begin(native, status, is_whole=is_whole)
        elif current.has_ended:
            return []
        else:
            events = [current.translation.run(status, **self._of_run(current, current.learn(native)))]
        return [*events, *current.output.reconcile(native.get("output"), status)]

    def _ended(self, native: Response, status: str) -> list[Event]:
        current, events = self._current, list[Event]()
        if current is None:
            current, events = self._begin(native, "in_progress")
        members = current.learn(native)
        translation, output = current.translation, current.output
        if not current.has_ended:
            current.has_ended = True
            events += output.reconcile(native.get("output"), status)
            events += output.end(_reason(native))
            if "usage" in members:
                events += translation.amend_usage(members["usage"], is_exact=False)
        error, self._error = self._error, None
        if status == "failed" and error is not None:
            members.setdefault("last_error", error)
        if leftovers := output.leftovers():
            members["extras"] = {**members.get("extras", {}), **leftovers}
        if self._given[0] and status == "completed" and output.waiting:
            status, members["required_action"] = "requires_action", _action(output.waiting)
        return [*events, translation.run(status, **self._of_run(current, members))]

    def _of_run(self, current: "_Response", members: dict[str, Any]) -> dict[str, Any]:
        """Members that a response gives its run: the usage is that of all its responses."""
        if self._given[0] and "usage" in members:
            members["usage"] = self._spent.total(current.native_id or current, members["usage"])
        return members

    def _begin(
        self, native: Response, status: str, id: str = "", *, continues: bool = False, is_whole: bool = False
    ) -> tuple["_Response", list[Event]]:
        given_run, thread_id, assistant_id = self._given
        run_id = given_run or id or run_id_of(native)
        translation = Translation(
            self._rules,
            run_id=run_id,
            thread_id=thread_of(native, thread_id),
            assistant_id=assistant_of(native, assistant_id),
            is_whole=is_whole,
        )
        # the items of each response count from zero
        base = ":".join(filter(None, (run_id, native_id(native) if given_run else "")))
        current = self._current = _Response(translation, Output(translation, base, self._texts, continues=continues))
        members = current.learn(native)
        if given_run:
            members["required_action"] = None
        return current, [translation.open_run(status, **self._of_run(current, members))]

    def _made_up(self, event: Payload) -> tuple["_Response", list[Event]]:
        """A response for what is said of it."""
        if id := self._continued:
            self._continued = ""
            return self._begin({"id": id, "background": True}, "in_progress", continues=True)
        item = event.get("item")
        ids = (event.get("item_id"), *((item.get("id"), item.get("call_id")) if isinstance(item, dict) else ()))
        first = next((id for id in ids if isinstance(id, str) and id), "")
        current, events = self._begin({}, "in_progress", unique_id("", *filter(None, ("response", first))))
        return current, [odd("provisional", str(event.get("type")), "", "an item before its response"), *events]


class _Response:
    """One response on the stream."""

    def __init__(self, translation: Translation, output: Output) -> None:
        self.translation = translation
        self.output = output
        self.native_id = ""  # the first one
        self.is_background = False
        self.has_ended = False

    def learn(self, native: Response) -> dict[str, Any]:
        """Take what a snapshot says; returns the members of the run."""
        self.native_id = self.native_id or native_id(native)
        self.is_background = self.is_background or native.get("background") is True
        return run_members(native, self.translation.run_id)


def _response_of(event: Payload) -> Response:
    """The Response object of an event; an event without a type may be one itself."""
    native = event if event.get("object") == "response" else event.get("response")
    return native if isinstance(native, dict) else {}


def _reason(native: Response) -> str:
    """Why a response is incomplete."""
    details = native.get("incomplete_details")
    reason = details.get("reason") if isinstance(details, dict) else None
    return reason if isinstance(reason, str) else ""


def _action(waiting: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What a run requires while calls wait."""
    calls = waiting.values()
    what = "submit_tool_approval" if all(call["type"] == _APPROVAL for call in calls) else "submit_tool_outputs"
    names = ("name", "arguments")
    required = [
        {"id": call["id"], "type": call["type"], "function": {name: call["function"][name] for name in names}}
        for call in calls
    ]
    return {"type": what, what: {"tool_calls": required}}
