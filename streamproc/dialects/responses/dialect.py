"""The Responses dialect: OpenAI's successor of the Assistants protocol, as its and many other servers speak it.

One response is one run; several may follow one another in a stream. Which event does what is the table at the end of
this module. The JSON names the event, since `event:` lines may be missing; numbers, ids and order are not relied on.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from streamproc.core.anomalies import Anomaly
from streamproc.core.dialect import TextReader
from streamproc.core.events import DONE, ERROR, Event
from streamproc.core.sse import Frame
from streamproc.dialects.payload import anomaly, decode_json, error_object
from streamproc.dialects.responses.deltas import DELTAS, Texts, text_reader
from streamproc.dialects.responses.numbers import SequenceNumbers
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
from streamproc.dialects.translation import Rules, Translation, unique_id

__all__ = ["EVENTS", "ResponsesDialect", "matches"]

Payload: TypeAlias = Mapping[str, Any]


def matches(event: str, payload: Payload) -> bool:
    """Whether a frame is one of this protocol; an error is none, since every protocol has some like it."""
    names = (event, payload.get("type"))
    if any(isinstance(name, str) and name.startswith(("response.", "codex.")) for name in names):
        return True
    return payload.get("object") == "response"


class ResponsesDialect:
    """Translates the events of the Responses protocol.

    Attributes:
        out_of_order: events whose sequence number was not above the one before, without a reconnect.
    """

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
        self._continued = response_id
        self._given = run_id, thread_id, assistant_id
        self._rules = rules or Rules()
        self._numbers = SequenceNumbers()
        self._texts: Texts = {}
        self._read = text_reader(self._texts, self._numbers)
        self.texts: Mapping[str | None, TextReader] = dict.fromkeys((None, *DELTAS), self._read)
        self._response: _Response | None = None  # the one that the stream is about now
        self._error: dict[str, Any] | None = None  # that was reported, and no end of the response followed

    @property
    def cursor(self) -> str | None:
        """Response id and sequence number, of a response that runs in the background; others cannot be resumed."""
        response, number = self._response, self._numbers.last
        if response is None or not response.is_background or not response.native_id or number < 0:
            return None
        return f"{response.native_id}/{number}"

    @property
    def out_of_order(self) -> int:
        return self._numbers.out_of_order

    def resume(self) -> None:
        """The same response goes on over another connection, perhaps a little before its cursor."""
        self._numbers.resume()
        self._texts.clear()  # what comes next has to be looked at

    def decode(self, frame: Frame) -> Sequence[Event]:
        """Return the events of a frame; never raises."""
        if frame.data.startswith(b"[DONE]") or frame.event == DONE:
            return (*self.finish(), Event(DONE, None, frame.data))
        fragment = self._read(frame.data)
        if fragment is not None:
            return (fragment[0].delta(fragment[1]),)
        data, payload, fault = decode_json(frame.data)
        if not isinstance(data, dict):
            if frame.event == ERROR:
                return self._fail(data, payload)
            return (anomaly("bad_json", frame.event, payload, fault or "no JSON object"),)
        name = _name(frame.event, data)
        if name == ERROR:
            return self._fail(data, payload)
        handle = EVENTS.get(name)
        if handle is None:
            return (anomaly("unknown_event", name, payload, "not in the vocabulary"),)
        if name in _BEGINNINGS and self._is_another(name, data):
            self._numbers.restart()
            self._texts.clear()
            self._response = self._error = None
        verdict = self._numbers.note(data.get("sequence_number"))
        if verdict == "overlap":
            return ()
        events = handle(self, data)
        if verdict == "distrusted":
            return (anomaly("late_event", name, payload, "a sequence number that repeats or goes back"), *events)
        return events

    def finish(self) -> Sequence[Event]:
        """Return what the end of the stream implies: a run failed if an error was the last thing said of it."""
        events: list[Event] = []
        error, self._error = self._error, None
        if error is not None and self._response is None and self._given[0]:
            events += self._begin({}, "in_progress")
        response = self._response
        if response is None or response.has_ended:
            return events
        leftovers = response.output.leftovers()
        members = {"extras": leftovers} if leftovers else {}
        if error is not None:
            response.has_ended = True
            events.append(response.translation.run("failed", last_error=error, **members))
        elif members:
            events.append(response.translation.amend_run(**members))
        return events

    # -- the life of a response ---------------------------------------------------------------------------------------

    def lives(self, event: Payload, status: str) -> Sequence[Event]:
        """A response has a status that is not its last one."""
        native = _response_of(event)
        own = status_of(native)
        return self._alive(native, own if own in ("queued", "in_progress") else status)

    def ended(self, event: Payload, status: str) -> Sequence[Event]:
        """A response has its last status; "" for whatever it says itself."""
        return self.snapshot(_response_of(event), status)

    def snapshot(self, native: Response, status: str = "") -> Sequence[Event]:
        """Return the events for a complete Response object, of whatever status."""
        own = status_of(native)
        if own in TERMINAL or status:
            return self._ended(native, own if own in TERMINAL else status)
        return self._alive(native, own if own == "queued" else "in_progress")

    def items(self, event: Payload, call: Callable[[Output, Payload], list[Event]]) -> Sequence[Event]:
        """Something of the output; the response is made up if the stream has not spoken of it."""
        opened: Sequence[Event] = ()
        if self._response is None:
            opened = self._provisional(event)
        assert self._response is not None
        return (*opened, *call(self._response.output, event))

    def _alive(self, native: Response, status: str) -> list[Event]:
        if self._response is None:
            events = self._begin(native, status)
        elif self._response.has_ended:
            return []
        else:
            events = [self._response.translation.run(status, **self._response.learn(native))]
        assert self._response is not None
        return [*events, *self._response.output.reconcile(native.get("output"), status)]

    def _ended(self, native: Response, status: str) -> list[Event]:
        events = self._begin(native, "in_progress") if self._response is None else []
        response = self._response
        assert response is not None
        members = response.learn(native)
        translation, output = response.translation, response.output
        if not response.has_ended:
            details = native.get("incomplete_details")
            reason = details.get("reason") if isinstance(details, dict) else ""
            events += output.reconcile(native.get("output"), status)
            events += output.end(status, reason if isinstance(reason, str) else "")
            if "usage" in members:
                events += translation.amend_usage(members["usage"], is_exact=False)
        response.has_ended = True
        error, self._error = self._error, None
        if status == "failed" and error is not None:
            members.setdefault("last_error", error)
        if leftovers := output.leftovers():
            members["extras"] = {**members.get("extras", {}), **leftovers}
        if self._given[0] and status == "completed" and output.waiting:
            return [*events, translation.run("requires_action", required_action=_action(output), **members)]
        return [*events, translation.run(status, **members)]

    def _begin(self, native: Response, status: str, id: str = "", *, continues: bool = False) -> list[Event]:
        given_run, thread_id, assistant_id = self._given
        run_id = given_run or id or run_id_of(native)
        translation = Translation(
            self._rules,
            run_id=run_id,
            thread_id=thread_of(native, thread_id),
            assistant_id=assistant_of(native, assistant_id),
        )
        # the items of each response count from zero
        base = ":".join(filter(None, (run_id, native_id(native) if given_run else "")))
        output = Output(translation, base, self._texts, continues=continues)
        self._response = response = _Response(translation, output)
        members = response.learn(native)
        if given_run:
            members["required_action"] = None
        return [translation.open_run(status, **members)]

    def _provisional(self, event: Payload) -> list[Event]:
        if id := self._continued:
            self._continued = ""
            return self._begin({"id": id, "background": True}, "in_progress", continues=True)
        item = event.get("item")
        ids = (event.get("item_id"), *((item.get("id"), item.get("call_id")) if isinstance(item, dict) else ()))
        first = next((id for id in ids if isinstance(id, str) and id), "")
        events = self._begin({}, "in_progress", unique_id("", *filter(None, ("response", first))))
        name = str(event.get("type"))
        odd = Anomaly(kind="provisional", event=name, detail="an item before its response")
        return [Event(name, odd), *events]

    def _is_another(self, name: str, event: Payload) -> bool:
        """Whether an event begins a response after another one; the ids of one response may differ, too."""
        current, id = self._response, native_id(_response_of(event))
        if current is None or not current.native_id:
            return False
        if current.has_ended:
            return id != current.native_id
        return name == "response.created" and bool(id) and id != current.native_id

    def _fail(self, data: Any, payload: bytes) -> Sequence[Event]:
        error = error_object(data, payload)
        inner = data.get("error", data) if isinstance(data, dict) else {}
        codes = (inner.get("code"), inner.get("type")) if isinstance(inner, dict) else ()
        code = next((code for code in codes if code is not None and code != ERROR), "server_error")
        self._error = {"code": str(code), "message": error.message}
        return (Event(ERROR, error, payload),)


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


def _action(output: Output) -> dict[str, Any]:
    """What a run requires while calls wait."""
    calls = [*output.waiting.values()]
    what = "submit_tool_approval" if all(call["type"] == _APPROVAL for call in calls) else "submit_tool_outputs"
    names = ("name", "arguments")
    required = [
        {"id": call["id"], "type": call["type"], "function": {name: call["function"][name] for name in names}}
        for call in calls
    ]
    return {"type": what, what: {"tool_calls": required}}


def _response_of(event: Payload) -> Response:
    """The Response object of an event; an event without a type may be one itself."""
    native = event if event.get("object") == "response" else event.get("response")
    return native if isinstance(native, dict) else {}


def _name(event: str, data: Payload) -> str:
    """What a payload is: as it says itself, as its frame says, or as follows from it."""
    name = data.get("type")
    if isinstance(name, str) and (name in EVENTS or name == ERROR):
        return name
    if data.get("error") is not None and data.get("object") != "response":
        return ERROR
    if event != "message":
        return event
    return "response" if data.get("object") == "response" else name if isinstance(name, str) else event


_APPROVAL: Final = "mcp_approval_request"
_BEGINNINGS: Final = frozenset({"response.created", "response.queued", "response.in_progress", "response"})

_Handler: TypeAlias = Callable[[ResponsesDialect, Payload], Sequence[Event]]


def _nothing(_: ResponsesDialect, __: Payload) -> Sequence[Event]:
    return ()


def _of_items(call: Callable[..., list[Event]], *more: str) -> _Handler:
    """A handler that is a method of Output, with what it is given beside the event."""
    return lambda dialect, event: dialect.items(event, lambda output, event: call(output, event, *more))


def _life() -> dict[str, _Handler]:
    lives, ended = ResponsesDialect.lives, ResponsesDialect.ended
    return {
        "response.created": partial(lives, status="in_progress"),
        "response.queued": partial(lives, status="queued"),
        "response.in_progress": partial(lives, status="in_progress"),
        "response.completed": partial(ended, status="completed"),
        "response.failed": partial(ended, status="failed"),
        "response.incomplete": partial(ended, status="incomplete"),
        "response.done": partial(ended, status=""),  # Codex
        "response": partial(ended, status=""),  # a Response object without an event around it
    }


def _texts(name: str, kind: str, whole: str) -> dict[str, _Handler]:
    """The pair of events of a text that grows."""
    return {
        f"response.{name}.delta": _of_items(Output.text, kind, "delta"),
        f"response.{name}.done": _of_items(Output.text, kind, whole),
    }


def _thoughts(name: str, member: str, index: str) -> dict[str, _Handler]:
    return {
        f"response.{name}.delta": _of_items(Output.thought, member, index, "delta"),
        f"response.{name}.done": _of_items(Output.thought, member, index, "text"),
    }


def _progress(kind: str, *phases: str, ends: Sequence[str] = ("completed",)) -> dict[str, _Handler]:
    return {
        **{f"response.{kind}.{phase}": _of_items(Output.phase, kind, phase) for phase in phases},
        **{f"response.{kind}.{end}": _of_items(Output.outcome, kind, end) for end in ends},
        f"response.{kind}.in_progress": _nothing,
    }


EVENTS: Final[Mapping[str, _Handler]] = {
    **_life(),
    "response.output_item.added": _of_items(Output.added),
    "response.output_item.done": _of_items(Output.done),
    "response.content_part.added": _of_items(Output.part),
    "response.content_part.done": _of_items(Output.part),
    **_texts("output_text", "message", "text"),
    "response.output_text.annotation.added": _of_items(Output.annotated),
    "response.refusal.delta": _of_items(Output.refusal, "delta"),
    "response.refusal.done": _of_items(Output.refusal, "refusal"),
    **_texts("function_call_arguments", "function_call", "arguments"),
    **_texts("custom_tool_call_input", "custom_tool_call", "input"),
    **_texts("mcp_call_arguments", "mcp_call", "arguments"),
    **_texts("code_interpreter_call_code", "code_interpreter_call", "code"),
    **_progress("mcp_call", ends=("completed", "failed")),
    **_progress("mcp_list_tools", ends=("completed", "failed")),
    **_progress("code_interpreter_call", "interpreting"),
    **_progress("file_search_call", "searching"),
    **_progress("web_search_call", "searching"),
    **_progress("image_generation_call", "generating"),
    "response.image_generation_call.partial_image": _of_items(Output.partial_image),
    **_thoughts("reasoning_text", "content", "content_index"),
    **_thoughts("reasoning_summary_text", "summary", "summary_index"),
    "response.reasoning_summary_part.added": _nothing,
    "response.reasoning_summary_part.done": _of_items(Output.thought, "summary", "summary_index", "text"),
    # What these say, the item says again when it is done.
    "response.shell_call_command.added": _nothing,
    "response.shell_call_command.delta": _nothing,
    "response.shell_call_command.done": _nothing,
    "response.shell_call_output_content.delta": _nothing,
    "response.shell_call_output_content.done": _nothing,
    "response.apply_patch_call_operation_diff.delta": _nothing,
    "response.apply_patch_call_operation_diff.done": _nothing,
    "response.compaction.compacting": _nothing,
    # Sound, and what is not about the output.
    "response.audio.delta": _nothing,
    "response.audio.done": _nothing,
    "response.audio.transcript.delta": _nothing,
    "response.audio.transcript.done": _nothing,
    "response.steer.accepted": _nothing,
    "response.steer.pending": _nothing,
    "response.steer.failed": _nothing,
    "response.rate_limits.updated": _nothing,
    "response.reasoning.search_queries": _nothing,  # Perplexity
    "response.reasoning.search_results": _nothing,
    "response.sandbox.results": _nothing,
    "codex.rate_limits": _nothing,
    "keepalive": _nothing,
    "ping": _nothing,
}
"""Type of an event -> what is done with it."""
