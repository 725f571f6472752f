"""RunStep, the canonical object: one action an agent took during a run.

The sixteen fields of the Assistants protocol, plus `expires_at`, which servers really send on running steps. It is a
field of its own: reading it as `expired_at` would make every running step look expired.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from msgspec import UNSET, Struct
from msgspec.structs import force_setattr

from streamproc.model.tool_calls import TOOL_CALLS, ToolCall, UnknownToolCall
from streamproc.model.wire import Metadata, Opt, Timestamp, UnknownVariant, WireObject, open_variant, open_variants

__all__ = [
    "ActivitiesDetails",
    "Activity",
    "LastError",
    "MessageCreation",
    "MessageCreationDetails",
    "RunStep",
    "RunStepStatus",
    "RunStepType",
    "StepDetails",
    "TokenDetails",
    "ToolCallsDetails",
    "UnknownDetails",
    "Usage",
]

RunStepStatus: TypeAlias = Literal["in_progress", "cancelled", "failed", "completed", "expired"]
RunStepType: TypeAlias = Literal["message_creation", "tool_calls"]


class LastError(Struct, frozen=True, kw_only=True):
    """Why a run or step failed; `code` is open (`server_error`, `rate_limit_exceeded`, `invalid_prompt`, ...)."""

    code: Opt[str] = UNSET
    message: Opt[str] = UNSET


class TokenDetails(Struct, frozen=True, kw_only=True):
    """A breakdown that some servers add to `Usage`."""

    cached_tokens: Opt[int] = UNSET
    cache_write_tokens: Opt[int] = UNSET
    reasoning_tokens: Opt[int] = UNSET


class Usage(Struct, frozen=True, kw_only=True):
    """Tokens spent by a run, step or message. The breakdowns are undeclared in the protocol and spelled two ways.

    What a breakdown counts is part of the count that it breaks down: cached and cache-write tokens of `prompt_tokens`,
    reasoning tokens of `completion_tokens`.
    """

    completion_tokens: Opt[int] = UNSET
    prompt_tokens: Opt[int] = UNSET
    total_tokens: Opt[int] = UNSET
    prompt_tokens_details: Opt[TokenDetails] = UNSET
    prompt_token_details: Opt[TokenDetails] = UNSET
    completion_tokens_details: Opt[TokenDetails] = UNSET
    completion_token_details: Opt[TokenDetails] = UNSET

    @property
    def cached_tokens(self) -> int | None:
        """Prompt tokens served from a cache, when the server says."""
        return _first_count("cached_tokens", self.prompt_tokens_details, self.prompt_token_details)

    @property
    def cache_write_tokens(self) -> int | None:
        """Prompt tokens written to a cache, when the server says."""
        return _first_count("cache_write_tokens", self.prompt_tokens_details, self.prompt_token_details)

    @property
    def reasoning_tokens(self) -> int | None:
        """Completion tokens spent on reasoning, when the server says."""
        return _first_count("reasoning_tokens", self.completion_tokens_details, self.completion_token_details)


def _first_count(name: str, *details: object) -> int | None:
    for detail in details:
        count = getattr(detail, name, None)
        if isinstance(count, int):
            return count
    return None


class MessageCreation(Struct, frozen=True, kw_only=True):
    message_id: Opt[str] = UNSET


class MessageCreationDetails(Struct, frozen=True, kw_only=True):
    """The step wrote a message; its text lives in that Message alone."""

    type: Literal["message_creation"] = "message_creation"
    message_creation: Opt[MessageCreation] = UNSET


class ToolCallsDetails(Struct, frozen=True, kw_only=True):
    """The step called tools, in order of their index."""

    type: Literal["tool_calls"] = "tool_calls"
    tool_calls: Opt[tuple[ToolCall, ...]] = UNSET

    def __post_init__(self) -> None:
        open_variants(self, "tool_calls", TOOL_CALLS, UnknownToolCall)


class Activity(Struct, frozen=True, kw_only=True):
    """An Azure activity, e.g. `mcp_list_tools`; `tools` maps a name to its description and parameters."""

    id: Opt[str] = UNSET
    type: Opt[str] = UNSET
    server_label: Opt[str] = UNSET
    tools: Opt[dict[str, Any]] = UNSET


class ActivitiesDetails(Struct, frozen=True, kw_only=True):
    """Azure: what the service did on its own during the step."""

    type: Literal["activities"] = "activities"
    activities: Opt[tuple[Activity, ...]] = UNSET


class UnknownDetails(UnknownVariant):
    """Step details of a type this version does not know."""


if TYPE_CHECKING:
    StepDetails: TypeAlias = MessageCreationDetails | ToolCallsDetails | ActivitiesDetails | UnknownDetails
else:
    StepDetails = Any

DETAILS: Final[Mapping[str, type[Struct]]] = {
    "message_creation": MessageCreationDetails,
    "tool_calls": ToolCallsDetails,
    "activities": ActivitiesDetails,
}


class RunStep(WireObject, frozen=True, kw_only=True):
    """One step of a run. Every field may be absent, null or a value; timestamps are Unix seconds."""

    id: str = ""
    assistant_id: Opt[str] = UNSET
    cancelled_at: Opt[Timestamp] = UNSET
    completed_at: Opt[Timestamp] = UNSET
    created_at: Opt[Timestamp] = UNSET
    expired_at: Opt[Timestamp] = UNSET
    failed_at: Opt[Timestamp] = UNSET
    last_error: Opt[LastError] = UNSET
    metadata: Opt[Metadata] = UNSET
    object: Opt[str] = UNSET  # "thread.run.step"
    run_id: Opt[str] = UNSET
    status: Opt[str] = UNSET  # known values: RunStepStatus
    step_details: Opt[StepDetails] = UNSET
    thread_id: Opt[str] = UNSET
    type: Opt[str] = UNSET  # known values: RunStepType, and Azure's "activities"
    usage: Opt[Usage] = UNSET  # null while the step is in progress
    expires_at: Opt[Timestamp] = UNSET  # an addition: undeclared, sent by OpenAI and Azure while a step runs

    def __post_init__(self) -> None:
        force_setattr(self, "step_details", open_variant(self.step_details, DETAILS, UnknownDetails))
