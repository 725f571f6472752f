"""Steps, messages and runs in a few words each, for people. Text only: how it looks is decided in tables.py.

Everything returned here comes from data and is safe for a terminal.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import UNSET

from streamproc.core.change import Note
from streamproc.display.terminal import clean
from streamproc.model.message import Message
from streamproc.model.run import IncompleteDetails, RequiredAction, Run, SubmitTools
from streamproc.model.run_step import (
    ActivitiesDetails,
    LastError,
    MessageCreation,
    MessageCreationDetails,
    RunStep,
    ToolCallsDetails,
    UnknownDetails,
    Usage,
)
from streamproc.model.tool_calls import (
    CodeInterpreter,
    CodeInterpreterImage,
    CodeInterpreterLogs,
    CodeInterpreterToolCall,
    FileSearch,
    FileSearchToolCall,
    Function,
    FunctionToolCall,
    GenericToolCall,
    ImageOutput,
    McpToolCall,
)
from streamproc.model.wire import UnknownVariant

__all__ = ["Part", "excerpt", "message_text", "run_detail", "status", "step_parts", "tokens"]

_MAX_CHARS: Final = 320
_MAX_LINES: Final = 6


class Part(NamedTuple):
    """One thing a step did: a tool call, or a message it wrote."""

    tool: str
    given: str  # arguments, code, or the message's text
    got: str = ""  # output


def step_parts(step: RunStep, messages: Mapping[str, Message]) -> list[Part]:
    """What a step did, in order; at least one part."""
    parts: list[Part] = []
    match step.step_details:
        case ToolCallsDetails(tool_calls=tuple(calls)):
            parts = [_tool_call(call) for call in calls]
        case MessageCreationDetails(message_creation=MessageCreation(message_id=str(message_id))):
            message = messages.get(message_id)
            parts = [Part("message", message_text(message) if message is not None else "")]
        case ActivitiesDetails(activities=tuple(activities)):
            parts = [Part(_line(item.type), _line(item.server_label)) for item in activities]
        case UnknownDetails() as details:
            parts = [Part(_line(details.type), "")]
        case _:
            pass
    return parts or [Part(_line(step.type), "")]


def message_text(message: Message) -> str:
    """What a message says."""
    return excerpt(message.text)


def run_detail(run: Run) -> str:
    """Why a run is where it is: its error, what it waits for, or what cut it short."""
    match run.last_error, run.required_action, run.incomplete_details:
        case LastError(code=code, message=message), _, _:
            return _line(": ".join(text for text in (code, message) if isinstance(text, str)))
        case _, RequiredAction() as action, _:
            wanted = action.submit_tool_outputs or action.submit_tool_approval
            calls = wanted.tool_calls if isinstance(wanted, SubmitTools) else None
            names = [_tool_call(call).tool for call in calls or ()] or [_line(action.type)]
            return f"waits for: {', '.join(names)}"
        case _, _, IncompleteDetails(reason=str(reason)):
            return _line(reason)
        case _:
            return ""


def status(value: object, note: Note) -> str:
    """A status, and on lines of their own what is known beside it."""
    lines = [_line(value)]
    if note.inferred_status is not None:
        lines.append(f"(run {note.inferred_status})")
    if note.truncated:
        lines.append("(cut off)")
    return "\n".join(lines)


def tokens(usage: object) -> str:
    """The total, when the server told it."""
    return str(usage.total_tokens) if isinstance(usage, Usage) and isinstance(usage.total_tokens, int) else ""


def excerpt(value: object) -> str:
    """The beginning of a text, a few lines of it; "" for anything else."""
    if not isinstance(value, str):
        return ""
    text = clean(value[: 2 * _MAX_CHARS], lines=True).strip("\n")  # what is cut away need not be looked at
    lines = text.split("\n")
    if len(lines) <= _MAX_LINES and len(text) <= _MAX_CHARS and len(value) <= 2 * _MAX_CHARS:
        return text
    return "\n".join(lines[:_MAX_LINES])[:_MAX_CHARS].rstrip() + " ..."


def _line(value: object) -> str:
    return clean(value[:_MAX_CHARS]) if isinstance(value, str) else ""


def _tool_call(call: Any) -> Part:
    match call:
        case FunctionToolCall(function=Function() as function) | GenericToolCall(function=Function() as function):
            return Part(_line(function.name), excerpt(function.arguments), excerpt(function.output))
        case McpToolCall():
            return Part(_line(call.name), excerpt(call.arguments), excerpt(call.output))
        case CodeInterpreterToolCall(code_interpreter=CodeInterpreter() as code):
            outputs = code.outputs if isinstance(code.outputs, tuple) else ()
            return Part(call.type, excerpt(code.input), excerpt("\n".join(map(_output, outputs))))
        case FileSearchToolCall(file_search=FileSearch(results=tuple(results))):
            names = (result.file_name for result in results if isinstance(result.file_name, str))
            return Part(call.type, "", excerpt(", ".join(names)) or f"{len(results)} results")
        case UnknownVariant():
            return Part(_line(call.type), excerpt(_json({k: v for k, v in call.items() if k not in ("id", "type")})))
        case _:  # Azure's kinds: the payload is in the member that is called as the kind is
            kind: str = call.type
            return Part(kind, excerpt(_json(getattr(call, kind, None))))


def _output(output: object) -> str:
    match output:
        case CodeInterpreterLogs(logs=str(logs)):
            return logs.rstrip("\n")
        case CodeInterpreterImage(image=ImageOutput(file_id=str(file_id))):
            return f"[image {file_id}]"
        case UnknownVariant():
            return f"[{output.type}]"
        case _:
            return ""


def _json(value: object) -> str:
    if value is UNSET:
        return ""
    text = msgspec.json.encode(value).decode()
    return "" if text in ("{}", "null") else text
