"""Events: which one does what. docs/dialects/responses.md has the same table, in words."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from streamproc.core.events import Event
from streamproc.dialects.responses.life import Life, Payload
from streamproc.dialects.responses.output import Output
from streamproc.dialects.responses.slots import Slot

__all__ = ["EVENTS", "OBJECT"]

OBJECT: Final = "response"
"""Stands for a Response object without an event around it."""

_Handler: TypeAlias = Callable[[Life, Payload], Sequence[Event]]
_Act: TypeAlias = Callable[[Output, Slot, Payload], list[Event]]


def _nothing(_: Life, __: Payload) -> Sequence[Event]:
    return ()


def _lives(status: str) -> _Handler:
    return lambda life, event: life.lives(event, status)


def _ends(status: str = "") -> _Handler:
    return lambda life, event: life.ended(event, status)


def _of_output(tell: Callable[[Output, Payload], list[Event]]) -> _Handler:
    return lambda life, event: life.says(event, tell)


def _of_item(kind: str, act: _Act) -> _Handler:
    """About an item, which is of type `kind` if it was not seen before."""
    return _of_output(lambda output, event: output.about(event, kind, lambda slot: act(output, slot, event)))


def _text(kind: str, member: str) -> _Handler:
    is_message = kind == "message"
    return _of_item(kind, lambda output, slot, event: output.growth.text(slot, event, member, of_message=is_message))


def _texts(name: str, kind: str, whole: str) -> dict[str, _Handler]:
    """The pair of events of a text that grows."""
    return {f"response.{name}.delta": _text(kind, "delta"), f"response.{name}.done": _text(kind, whole)}


def _refusal(member: str) -> _Handler:
    return _of_item("message", lambda output, slot, event: output.growth.refusal(slot, event, member))


def _thought(member: str, index: str, text: str) -> _Handler:
    return _of_item("reasoning", lambda output, slot, event: output.thought(slot, event, member, index, text))


def _thoughts(name: str, member: str, index: str) -> dict[str, _Handler]:
    delta, whole = _thought(member, index, "delta"), _thought(member, index, "text")
    return {f"response.{name}.delta": delta, f"response.{name}.done": whole}


def _phase(kind: str, what: str) -> _Handler:
    return _of_item(kind, lambda output, slot, _: output.phase(slot, what))


def _outcome(kind: str, what: str) -> _Handler:
    return _of_item(kind, lambda output, slot, _: output.outcome(slot, what))


def _progress(kind: str, *phases: str, ends: Sequence[str] = ("completed",)) -> dict[str, _Handler]:
    """The events of a call that the server runs."""
    return {
        f"response.{kind}.in_progress": _nothing,
        **{f"response.{kind}.{phase}": _phase(kind, phase) for phase in phases},
        **{f"response.{kind}.{end}": _outcome(kind, end) for end in ends},
    }


_PART: Final = _of_item("message", lambda output, slot, event: output.growth.part(slot, event))

EVENTS: Final[Mapping[str, _Handler]] = {
    "response.created": _lives("in_progress"),
    "response.queued": _lives("queued"),
    "response.in_progress": _lives("in_progress"),
    "response.completed": _ends("completed"),
    "response.failed": _ends("failed"),
    "response.incomplete": _ends("incomplete"),
    "response.done": _ends(),  # Codex
    OBJECT: _ends(),
    "response.output_item.added": _of_output(Output.added),
    "response.output_item.done": _of_output(Output.done),
    "response.content_part.added": _PART,
    "response.content_part.done": _PART,
    **_texts("output_text", "message", "text"),
    "response.output_text.annotation.added": _of_item(
        "message", lambda output, slot, event: output.growth.annotated(slot, event)
    ),
    "response.refusal.delta": _refusal("delta"),
    "response.refusal.done": _refusal("refusal"),
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
    "response.image_generation_call.partial_image": _of_item("image_generation_call", Output.partial_image),
    **_thoughts("reasoning_text", "content", "content_index"),
    **_thoughts("reasoning_summary_text", "summary", "summary_index"),
    "response.reasoning_summary_part.added": _nothing,
    "response.reasoning_summary_part.done": _thought("summary", "summary_index", "text"),
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
