"""What a final change is as spans: a run one, a step that wrote a message one, a step that called tools one a call.

    Run                             invoke_agent         CLIENT    root of its trace
    RunStep, message_creation       chat                 CLIENT    child of the run
    RunStep, each of its tool calls execute_tool NAME    INTERNAL  child of the run

A span is made of its own final change, and of what earlier ones said that it does not (see _otlp_heard.py). So a change
that comes again gives the same span again; after a restart one of the same id, at least.

Status: ERROR for what failed or expired, and for what nobody saw the end of (`truncated`); UNSET for all else. That is
also what was cancelled, as somebody wanted, or is incomplete, as its limits wanted; `streamproc.status` says which.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Literal

from msgspec import Struct

from streamproc.core.change import Change
from streamproc.model.message import Message
from streamproc.model.run import IncompleteDetails, Run
from streamproc.model.run_step import (
    LastError,
    MessageCreation,
    MessageCreationDetails,
    RunStep,
    ToolCallsDetails,
)
from streamproc.model.tool_calls import ToolCall
from streamproc.sinks import _otlp_content as content
from streamproc.sinks._otlp_heard import Heard
from streamproc.sinks._otlp_ids import span_id, trace_id
from streamproc.sinks._otlp_names import Names
from streamproc.sinks._otlp_times import times_of
from streamproc.sinks._otlp_values import (
    CONTENT_CHARS,
    SHORT_CHARS,
    Attributes,
    Value,
    Values,
    code_of,
    output_type,
    shown_name,
    tool_type,
)

__all__ = ["Span", "SpanMaker"]


class Span(Struct, frozen=True, kw_only=True):
    """One span, not yet encoded."""

    name: str
    kind: Literal["CLIENT", "INTERNAL"]
    trace_id: bytes
    span_id: bytes
    parent_span_id: bytes = b""
    start_ns: int
    end_ns: int
    is_error: bool = False
    message: str = ""  # of the status; content
    attributes: Mapping[str, Value]


class SpanMaker:
    """Makes the spans of changes.

    Args:
        names: of a version of the conventions.
        provider: who runs the model.
        messages: the messages that `chat` spans may show; None: spans hold no content at all.
    """

    def __init__(self, names: Names, provider: str, messages: content.Messages | None = None) -> None:
        self._names = names
        self._values = Values(names)
        self._provider = provider
        self._messages = messages
        self._heard = Heard()

    def spans_of(self, change: Change) -> list[Span]:
        """The spans of one change, none for a change that ends nothing."""
        self._heard.note(change)
        if not change.is_final:
            return []
        state = change.state
        if isinstance(state, Run):
            return [self._run(change, state)]
        if isinstance(state, RunStep):
            return [*self._step(change, state)]
        if isinstance(state, Message) and self._messages is not None:
            self._messages.keep(state)
        return []

    # --- objects ------------------------------------------------------------------------------------------------------

    def _run(self, change: Change, run: Run) -> Span:
        names = self._names
        attributes = self._common(change, run, "invoke_agent") | {names.provider: self._provider}
        self._values.put(attributes, names.run_id, change.id)
        self._values.put(attributes, names.conversation_id, run.thread_id)
        self._values.put(attributes, names.request_model, run.model)
        if run.assistant_id != run.model:  # dialects without agents put the model there
            self._values.put(attributes, names.agent_id, run.assistant_id)
        for name, number in ((names.temperature, run.temperature), (names.top_p, run.top_p)):
            if isinstance(number, (int, float)):
                attributes[name] = float(number)
        self._values.put_count(attributes, names.max_tokens, run.max_completion_tokens)
        self._values.put(attributes, names.output_type, output_type(run.response_format))
        self._values.put_usage(attributes, run.usage)
        if isinstance(run.incomplete_details, IncompleteDetails):
            self._values.put_finish(attributes, run.incomplete_details.reason)
        if self._messages is not None:
            self._values.put(attributes, names.instructions, content.instructions(run.instructions), CONTENT_CHARS)
            self._values.put(attributes, names.tool_definitions, content.definitions(run.tools), CONTENT_CHARS)
        return self._span(
            change,
            run,
            attributes,
            name="invoke_agent",
            kind="CLIENT",
            trace_id=trace_id(change.id),
            span_id=span_id("run", change.id),
        )

    def _step(self, change: Change, step: RunStep) -> Iterator[Span]:
        details = step.step_details
        if isinstance(details, ToolCallsDetails):
            calls = details.tool_calls if isinstance(details.tool_calls, tuple) else ()
            seen = Counter(call.id for call in calls if isinstance(call.id, str) and call.id)
            for index, call in enumerate(calls):
                known = call.id if isinstance(call.id, str) and seen[call.id] == 1 else None
                # by its place if two calls of a step have one id, or it has none
                own = span_id("place", change.id, str(index)) if known is None else span_id("call", change.id, known)
                yield self._call(change, step, index, call, own)
        elif isinstance(details, MessageCreationDetails) or step.type == "message_creation":
            yield self._chat(change, step)

    def _chat(self, change: Change, step: RunStep) -> Span:
        names = self._names
        attributes = self._of_step(change, step, "chat") | {names.provider: self._provider}
        model = self._heard.model(change.run_id)
        self._values.put(attributes, names.request_model, model)
        self._values.put_usage(attributes, step.usage)
        if isinstance(step.metadata, dict):  # dialects say there how a message ended that did not simply stop
            self._values.put_finish(attributes, step.metadata.get("finish_reason"))
        details = step.step_details
        created = details.message_creation if isinstance(details, MessageCreationDetails) else None
        message_id = created.message_id if isinstance(created, MessageCreation) else None
        self._values.put(attributes, names.message_id, message_id)
        if self._messages is not None and isinstance(message_id, str):
            self._values.put(attributes, names.output_messages, self._messages.take(message_id), CONTENT_CHARS)
        name = f"chat {shown_name(model) or ''}".rstrip()
        return self._span(change, step, attributes, name=name, kind="CLIENT", **_family(change))

    def _call(self, change: Change, step: RunStep, index: int, call: ToolCall, own_id: bytes) -> Span:
        names = self._names
        attributes = self._of_step(change, step, "execute_tool")
        call_type = call.type
        name = shown_name(content.tool_name(call)) or shown_name(call_type) or "unknown"
        attributes[names.tool_name] = name
        self._values.put(attributes, names.tool_call_id, call.id)
        attributes[names.call_index] = index
        self._values.put(attributes, names.tool_type, tool_type(call_type))
        if self._messages is not None:
            arguments, result = content.arguments_and_result(call)
            self._values.put(attributes, names.tool_arguments, arguments, CONTENT_CHARS)
            self._values.put(attributes, names.tool_result, result, CONTENT_CHARS)
        family = _family(change) | {"span_id": own_id}
        return self._span(change, step, attributes, name=f"execute_tool {name}", kind="INTERNAL", **family)

    # --- parts --------------------------------------------------------------------------------------------------------

    def _common(self, change: Change, state: Run | RunStep, operation: str) -> Attributes:
        names = self._names
        attributes: Attributes = {names.operation: operation}
        self._values.put(attributes, names.stream, change.stream)
        attributes |= {names.epoch: change.epoch, names.seq: change.seq, names.revision: change.revision}
        self._values.put(attributes, names.status, code_of(state.status))
        self._values.put(attributes, names.inferred_status, code_of(change.inferred_status))
        if change.truncated:
            attributes[names.truncated] = True
        return attributes

    def _of_step(self, change: Change, step: RunStep, operation: str) -> Attributes:
        names = self._names
        attributes = self._common(change, step, operation)
        self._values.put(attributes, names.run_id, change.run_id)
        self._values.put(attributes, names.step_id, change.id)
        self._values.put(
            attributes, names.step_type, code_of(step.type) or code_of(getattr(step.step_details, "type", None))
        )
        self._values.put(attributes, names.conversation_id, step.thread_id)
        return attributes

    def _span(
        self,
        change: Change,
        state: Run | RunStep,
        attributes: Attributes,
        *,
        name: str,
        kind: Literal["CLIENT", "INTERNAL"],
        trace_id: bytes,
        span_id: bytes,
        parent_span_id: bytes = b"",
    ) -> Span:
        error_type = _error_type(change, state)
        message = ""
        if error_type is not None:
            attributes[self._names.error_type] = error_type
            if self._messages is not None and isinstance(state.last_error, LastError):
                said = state.last_error.message
                message = said[:SHORT_CHARS] if isinstance(said, str) else ""
        times = times_of(change, state, self._heard.first_at(change))
        if not times.is_start_known:
            attributes[self._names.start_unknown] = True
        return Span(
            name=name,
            kind=kind,
            trace_id=trace_id,
            span_id=span_id,
            parent_span_id=parent_span_id,
            start_ns=times.start_ns,
            end_ns=times.end_ns,
            is_error=error_type is not None,
            message=message,
            attributes=attributes,
        )


def _family(change: Change) -> dict[str, bytes]:
    """Whose trace a step's span is part of, and what its ids are."""
    run_id = change.run_id
    if not run_id:  # a step that names no run is a trace of its own
        return {"trace_id": trace_id(f"step:{change.id}"), "span_id": span_id("step", change.id)}
    return {
        "trace_id": trace_id(run_id),
        "span_id": span_id("step", change.id),
        "parent_span_id": span_id("run", run_id),
    }


def _error_type(change: Change, state: Run | RunStep) -> str | None:
    """The `error.type` of what ended in an error; None for all else."""
    ended = state.status if change.note.ended else change.inferred_status
    if ended == "failed":
        said = state.last_error.code if isinstance(state.last_error, LastError) else None
        return code_of(said) or "_OTHER"
    if ended == "expired":
        return "expired"
    return "stream_truncated" if change.truncated and not change.note.ended else None
