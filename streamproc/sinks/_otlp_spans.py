"""What a final change is as spans: a run one, a step that wrote a message one, a step that called tools one a call.

    Run                             invoke_agent         CLIENT    root of its trace
    RunStep, message_creation       chat                 CLIENT    child of the run
    RunStep, each of its tool calls execute_tool NAME    INTERNAL  child of the run

Each span is made of its own change alone, nothing is remembered from one to the next. So a change that comes again
gives the same span again, after a restart too. What another object would have to say is not in it: a step does not name
the model, its run does.

Status: ERROR for what failed or expired, and for what nobody saw the end of (`truncated`); UNSET for all else. That is
also what was cancelled, as somebody wanted, or is incomplete, as its limits wanted; `streamproc.status` says which.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Final, Literal, TypeAlias

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
    Usage,
)
from streamproc.model.tool_calls import Function, ToolCall
from streamproc.sinks import _otlp_content as content
from streamproc.sinks._otlp_ids import span_id, trace_id
from streamproc.sinks._otlp_names import Names
from streamproc.sinks._otlp_times import times_of
from streamproc.usage import known_counts

__all__ = ["NAME_CHARS", "VALUE_CHARS", "Span", "SpanMaker", "Value"]

Value: TypeAlias = str | bool | int | float | tuple[str, ...]
Attributes: TypeAlias = dict[str, Value]

NAME_CHARS: Final = 128  # of a tool's name, also in the span's
VALUE_CHARS: Final = 65_536  # of content; ids and other short values have 1,024
_SHORT_CHARS: Final = 1024

_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # characters that change how text around them is shown
_CODE: Final = re.compile(r"[A-Za-z0-9_.:\-]{1,64}")  # of an error, a finish reason; anything else may be content
_OTHER: Final = "_OTHER"
_TRUNCATED: Final = "stream_truncated"

_DATASTORES: Final = frozenset(
    {"azure_ai_search", "fabric_dataagent", "file_search", "retrieval", "sharepoint_grounding"}
)
_FUNCTIONS: Final = frozenset(  # what runs at the client's side
    {"apply_patch_call", "azure_function", "computer_call", "computer_use_preview", "custom", "function"}
    | {"local_shell_call", "program", "shell_call"}
)
_FINISH: Final = {
    "max_completion_tokens": "length",
    "max_output_tokens": "length",
    "max_tokens": "length",
    "max_prompt_tokens": "length",
}
_OUTPUTS: Final = {"text": "text", "json_object": "json", "json_schema": "json"}


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
        self._provider = provider
        self._messages = messages

    def spans_of(self, change: Change) -> list[Span]:
        """The spans of one change, none for a change that ends nothing."""
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
        self._put(attributes, names.run_id, change.id)
        self._put(attributes, names.conversation_id, run.thread_id)
        self._put(attributes, names.request_model, run.model)
        if run.assistant_id != run.model:  # dialects without agents put the model there
            self._put(attributes, names.agent_id, run.assistant_id)
        for name, number in ((names.temperature, run.temperature), (names.top_p, run.top_p)):
            if isinstance(number, (int, float)):
                attributes[name] = float(number)
        if isinstance(run.max_completion_tokens, int):
            attributes[names.max_tokens] = run.max_completion_tokens
        asked = run.response_format.get("type") if isinstance(run.response_format, dict) else run.response_format
        if isinstance(asked, str) and asked in _OUTPUTS:
            attributes[names.output_type] = _OUTPUTS[asked]
        self._put_usage(attributes, run.usage)
        if isinstance(run.incomplete_details, IncompleteDetails):
            self._put_finish(attributes, run.incomplete_details.reason)
        if self._messages is not None:
            self._put(attributes, names.instructions, content.instructions(run.instructions), VALUE_CHARS)
            self._put(attributes, names.tool_definitions, content.definitions(run.tools), VALUE_CHARS)
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
            for index, call in enumerate(calls):
                yield self._call(change, step, index, call)
        elif isinstance(details, MessageCreationDetails) or step.type == "message_creation":
            yield self._chat(change, step)

    def _chat(self, change: Change, step: RunStep) -> Span:
        names = self._names
        attributes = self._of_step(change, step, "chat") | {names.provider: self._provider}
        self._put_usage(attributes, step.usage)
        if isinstance(step.metadata, dict):  # dialects say there how a message ended that did not simply stop
            self._put_finish(attributes, step.metadata.get("finish_reason"))
        details = step.step_details
        created = details.message_creation if isinstance(details, MessageCreationDetails) else None
        message_id = created.message_id if isinstance(created, MessageCreation) else None
        self._put(attributes, names.message_id, message_id)
        if self._messages is not None and isinstance(message_id, str):
            self._put(attributes, names.output_messages, self._messages.take(message_id), VALUE_CHARS)
        return self._span(change, step, attributes, name="chat", kind="CLIENT", **_family(change))

    def _call(self, change: Change, step: RunStep, index: int, call: ToolCall) -> Span:
        names = self._names
        attributes = self._of_step(change, step, "execute_tool")
        call_type = call.type
        name = _shown(content.tool_name(call), NAME_CHARS) or _shown(call_type, NAME_CHARS) or "unknown"
        attributes[names.tool_name] = name
        self._put(attributes, names.tool_call_id, call.id)
        attributes[names.call_index] = index
        if call_type in _FUNCTIONS:
            attributes[names.tool_type] = "function"
        elif call_type in _DATASTORES:
            attributes[names.tool_type] = "datastore"
        elif isinstance(getattr(call, "function", None), Function) or not isinstance(call, dict):
            attributes[names.tool_type] = "extension"  # a kind that is known, and runs at the server's side
        if self._messages is not None:
            arguments, result = content.arguments_and_result(call)
            self._put(attributes, names.tool_arguments, arguments, VALUE_CHARS)
            self._put(attributes, names.tool_result, result, VALUE_CHARS)
        # by index if two calls of a step have one id, or none has any
        ids = [each.id for each in step.step_details.tool_calls]  # type: ignore[union-attr]
        own = call.id if isinstance(call.id, str) and call.id and ids.count(call.id) == 1 else f"#{index}"
        family = _family(change) | {"span_id": span_id("call", change.id, own)}
        return self._span(change, step, attributes, name=f"execute_tool {name}", kind="INTERNAL", **family)

    # --- parts --------------------------------------------------------------------------------------------------------

    def _common(self, change: Change, state: Run | RunStep, operation: str) -> Attributes:
        names = self._names
        attributes: Attributes = {names.operation: operation}
        attributes[names.stream] = change.stream[:_SHORT_CHARS]
        attributes |= {names.epoch: change.epoch, names.seq: change.seq, names.revision: change.revision}
        self._put(attributes, names.status, _code(state.status))
        self._put(attributes, names.inferred_status, _code(change.inferred_status))
        if change.truncated:
            attributes[names.truncated] = True
        return attributes

    def _of_step(self, change: Change, step: RunStep, operation: str) -> Attributes:
        names = self._names
        attributes = self._common(change, step, operation)
        self._put(attributes, names.run_id, change.run_id)
        self._put(attributes, names.step_id, change.id)
        self._put(attributes, names.step_type, _code(step.type) or _code(getattr(step.step_details, "type", None)))
        self._put(attributes, names.conversation_id, step.thread_id)
        return attributes

    def _put(self, attributes: Attributes, name: str | None, value: object, max_chars: int = _SHORT_CHARS) -> None:
        """Add a text that there is; of one that is too long, its beginning, which is said beside it."""
        if name is None or not isinstance(value, str) or not value:
            return
        if len(value) > max_chars:
            cut = attributes.get(self._names.cut, ())
            attributes[self._names.cut] = (*cut, name) if isinstance(cut, tuple) else (name,)
        attributes[name] = value[:max_chars]

    def _put_usage(self, attributes: Attributes, usage: object) -> None:
        if not isinstance(usage, Usage):
            return
        names = self._names
        known = known_counts(usage)
        for count, name in (
            ("prompt_tokens", names.input_tokens),
            ("completion_tokens", names.output_tokens),
            ("cached_tokens", names.cached_tokens),
            ("cache_write_tokens", names.cache_write_tokens),
            ("reasoning_tokens", names.reasoning_tokens),
        ):
            if name is not None and count in known:
                attributes[name] = known[count]

    def _put_finish(self, attributes: Attributes, reason: object) -> None:
        code = _code(reason)
        if code is not None:
            attributes[self._names.finish_reasons] = (_FINISH.get(code, code),)

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
                message = said[:_SHORT_CHARS] if isinstance(said, str) else ""
        times = times_of(change, state)
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
        return _code(said) or _OTHER
    if ended == "expired":
        return "expired"
    return _TRUNCATED if change.truncated and not change.note.ended else None


def _code(value: object) -> str | None:
    """A value that is one of few; None for what is none, or might be anything."""
    return value if isinstance(value, str) and _CODE.fullmatch(value) else None


def _shown(value: object, max_chars: int) -> str:
    """A name as one line of text that can be shown."""
    if not isinstance(value, str):
        return ""
    seen = "".join(" " if unicodedata.category(char) in _UNSEEN else char for char in value[: 4 * max_chars])
    return " ".join(seen.split())[:max_chars]
