"""Every attribute name that the OpenTelemetry sink writes, once per version of the GenAI conventions.

    "0.1"   github.com/open-telemetry/semantic-conventions-genai, its first release of its own
    "1.36"  github.com/open-telemetry/semantic-conventions v1.36.0, what older instrumentations still emit

Both are of status "development". A name that is None has no counterpart in that version and is not written. What the
conventions have no word for is under `streamproc.`, the same in all versions.
"""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from msgspec import Struct

__all__ = ["NAMES", "PROVIDERS", "SEMCONVS", "Names", "Semconv"]

Semconv: TypeAlias = Literal["0.1", "1.36"]


class Names(Struct, frozen=True, kw_only=True):
    """The names of one version; the field is what the sink calls it, the value what the span says."""

    schema_url: str  # "": the version has none that was released

    operation: str = "gen_ai.operation.name"
    provider: str
    conversation_id: str = "gen_ai.conversation.id"
    agent_id: str = "gen_ai.agent.id"
    request_model: str = "gen_ai.request.model"
    temperature: str = "gen_ai.request.temperature"
    top_p: str = "gen_ai.request.top_p"
    max_tokens: str = "gen_ai.request.max_tokens"
    output_type: str = "gen_ai.output.type"
    finish_reasons: str = "gen_ai.response.finish_reasons"
    input_tokens: str = "gen_ai.usage.input_tokens"
    output_tokens: str = "gen_ai.usage.output_tokens"
    cached_tokens: str | None
    cache_write_tokens: str | None
    reasoning_tokens: str | None
    tool_name: str = "gen_ai.tool.name"
    tool_call_id: str = "gen_ai.tool.call.id"
    tool_type: str = "gen_ai.tool.type"
    error_type: str = "error.type"

    # content, written only on request
    instructions: str | None
    tool_definitions: str | None
    output_messages: str | None
    tool_arguments: str | None
    tool_result: str | None

    # ours
    stream: str = "streamproc.stream"
    epoch: str = "streamproc.epoch"
    seq: str = "streamproc.seq"
    revision: str = "streamproc.revision"
    run_id: str = "streamproc.run.id"
    step_id: str = "streamproc.step.id"
    step_type: str = "streamproc.step.type"
    message_id: str = "streamproc.message.id"
    call_index: str = "streamproc.call.index"
    status: str = "streamproc.status"
    inferred_status: str = "streamproc.inferred_status"
    truncated: str = "streamproc.truncated"
    start_unknown: str = "streamproc.start_unknown"
    cut: str = "streamproc.cut"


NAMES: Final[Mapping[str, Names]] = {
    "0.1": Names(
        schema_url="",
        provider="gen_ai.provider.name",
        cached_tokens="gen_ai.usage.cache_read.input_tokens",
        cache_write_tokens="gen_ai.usage.cache_write.input_tokens",
        reasoning_tokens="gen_ai.usage.reasoning.output_tokens",
        instructions="gen_ai.system_instructions",
        tool_definitions="gen_ai.tool.definitions",
        output_messages="gen_ai.output.messages",
        tool_arguments="gen_ai.tool.call.arguments",
        tool_result="gen_ai.tool.call.result",
    ),
    "1.36": Names(
        schema_url="https://opentelemetry.io/schemas/1.36.0",
        provider="gen_ai.system",
        cached_tokens=None,
        cache_write_tokens=None,
        reasoning_tokens=None,
        instructions=None,
        tool_definitions=None,
        output_messages=None,
        tool_arguments=None,
        tool_result=None,
    ),
}
"""Version -> its names."""

SEMCONVS: Final = tuple(NAMES)

PROVIDERS: Final[Mapping[str, Mapping[str, str]]] = {"1.36": {"x_ai": "xai"}}
"""Version -> names of providers that it spells otherwise than the newest one."""
