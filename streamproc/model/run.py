"""Run: one execution of an assistant on a thread. Facts about the whole run live here, never in its steps."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from msgspec import UNSET, Struct

from streamproc.model.run_step import LastError, Usage
from streamproc.model.tool_calls import ComputerUseToolCall, FunctionToolCall, McpToolCall, UnknownToolCall
from streamproc.model.wire import Metadata, Opt, Timestamp, WireObject, open_variants

__all__ = [
    "IncompleteDetails",
    "RequiredAction",
    "RequiredToolCall",
    "Run",
    "RunStatus",
    "SubmitTools",
    "TruncationStrategy",
]

RunStatus: TypeAlias = Literal[
    "queued",
    "in_progress",
    "requires_action",
    "cancelling",
    "cancelled",
    "failed",
    "completed",
    "incomplete",
    "expired",
]

if TYPE_CHECKING:
    RequiredToolCall: TypeAlias = FunctionToolCall | McpToolCall | ComputerUseToolCall | UnknownToolCall
else:
    RequiredToolCall = Any

_REQUIRED: Final[Mapping[str, type[Struct]]] = {
    "function": FunctionToolCall,
    "mcp": McpToolCall,
    "computer_use_preview": ComputerUseToolCall,
}


class SubmitTools(Struct, frozen=True, kw_only=True):
    """The calls the server waits for."""

    tool_calls: Opt[tuple[RequiredToolCall, ...]] = UNSET

    def __post_init__(self) -> None:
        open_variants(self, "tool_calls", _REQUIRED, UnknownToolCall)


class RequiredAction(Struct, frozen=True, kw_only=True):
    """What a run in `requires_action` needs: outputs of function calls, or (Azure) approval of MCP calls."""

    type: Opt[str] = UNSET  # "submit_tool_outputs" | "submit_tool_approval"
    submit_tool_outputs: Opt[SubmitTools] = UNSET
    submit_tool_approval: Opt[SubmitTools] = UNSET


class IncompleteDetails(Struct, frozen=True, kw_only=True):
    """Why a run or message ended incomplete, e.g. `max_completion_tokens`, `content_filter`."""

    reason: Opt[str] = UNSET


class TruncationStrategy(Struct, frozen=True, kw_only=True):
    type: Opt[str] = UNSET  # "auto" | "last_messages"
    last_messages: Opt[int] = UNSET


class Run(WireObject, frozen=True, kw_only=True):
    """One run. Every field may be absent, null or a value; timestamps are Unix seconds."""

    id: str = ""
    object: Opt[str] = UNSET  # "thread.run"
    assistant_id: Opt[str] = UNSET
    thread_id: Opt[str] = UNSET
    status: Opt[str] = UNSET  # known values: RunStatus
    created_at: Opt[Timestamp] = UNSET
    started_at: Opt[Timestamp] = UNSET
    expires_at: Opt[Timestamp] = UNSET
    cancelled_at: Opt[Timestamp] = UNSET
    failed_at: Opt[Timestamp] = UNSET
    completed_at: Opt[Timestamp] = UNSET
    required_action: Opt[RequiredAction] = UNSET
    last_error: Opt[LastError] = UNSET
    incomplete_details: Opt[IncompleteDetails] = UNSET
    model: Opt[str] = UNSET
    instructions: Opt[str] = UNSET
    tools: Opt[tuple[dict[str, Any], ...]] = UNSET
    tool_resources: Opt[dict[str, Any]] = UNSET
    metadata: Opt[Metadata] = UNSET
    usage: Opt[Usage] = UNSET  # null until the run ends
    temperature: Opt[float] = UNSET
    top_p: Opt[float] = UNSET
    reasoning_effort: Opt[str] = UNSET
    max_prompt_tokens: Opt[int] = UNSET
    max_completion_tokens: Opt[int] = UNSET
    truncation_strategy: Opt[TruncationStrategy] = UNSET
    tool_choice: Opt[str | dict[str, Any]] = UNSET
    parallel_tool_calls: Opt[bool] = UNSET
    response_format: Opt[str | dict[str, Any]] = UNSET
    file_ids: Opt[tuple[str, ...]] = UNSET  # v1
