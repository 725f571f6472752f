"""Tool calls of a `tool_calls` step: the three OpenAI kinds, `retrieval` of v1, Azure's kinds, and an open fallback.

One struct per wire `type`; `ToolCall` is their union. A kind that is not listed decodes to `UnknownToolCall`, a dict
with all members.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from msgspec import UNSET, Struct

from streamproc.model.wire import Opt, UnknownVariant, open_variants

__all__ = [
    "AzureAISearchToolCall",
    "AzureFunctionToolCall",
    "BingCustomSearchToolCall",
    "BingGroundingToolCall",
    "BrowserAutomationToolCall",
    "CodeInterpreter",
    "CodeInterpreterImage",
    "CodeInterpreterLogs",
    "CodeInterpreterOutput",
    "CodeInterpreterToolCall",
    "ComputerUseToolCall",
    "ConnectedAgentToolCall",
    "DeepResearchToolCall",
    "FabricToolCall",
    "FileSearch",
    "FileSearchContent",
    "FileSearchRankingOptions",
    "FileSearchResult",
    "FileSearchToolCall",
    "Function",
    "FunctionToolCall",
    "GenericToolCall",
    "ImageOutput",
    "McpToolCall",
    "OpenApiToolCall",
    "RetrievalToolCall",
    "SharepointToolCall",
    "ToolCall",
    "UnknownOutput",
    "UnknownToolCall",
]


class Function(Struct, frozen=True, kw_only=True):
    """`arguments` is JSON text as the model wrote it, possibly invalid; `output` is null until it was submitted."""

    name: Opt[str] = UNSET
    arguments: Opt[str] = UNSET
    output: Opt[str] = UNSET


class FunctionToolCall(Struct, frozen=True, kw_only=True):
    id: Opt[str] = UNSET
    type: Literal["function"] = "function"
    function: Opt[Function] = UNSET


class CodeInterpreterLogs(Struct, frozen=True, kw_only=True):
    type: Literal["logs"] = "logs"
    logs: Opt[str] = UNSET


class ImageOutput(Struct, frozen=True, kw_only=True):
    file_id: Opt[str] = UNSET


class CodeInterpreterImage(Struct, frozen=True, kw_only=True):
    type: Literal["image"] = "image"
    image: Opt[ImageOutput] = UNSET


class UnknownOutput(UnknownVariant):
    """A code interpreter output of an unknown type."""


if TYPE_CHECKING:
    CodeInterpreterOutput: TypeAlias = CodeInterpreterLogs | CodeInterpreterImage | UnknownOutput
else:
    CodeInterpreterOutput = Any

_OUTPUTS: Final[Mapping[str, type[Struct]]] = {"logs": CodeInterpreterLogs, "image": CodeInterpreterImage}


class CodeInterpreter(Struct, frozen=True, kw_only=True):
    input: Opt[str] = UNSET
    outputs: Opt[tuple[CodeInterpreterOutput, ...]] = UNSET

    def __post_init__(self) -> None:
        open_variants(self, "outputs", _OUTPUTS, UnknownOutput)


class CodeInterpreterToolCall(Struct, frozen=True, kw_only=True):
    id: Opt[str] = UNSET
    type: Literal["code_interpreter"] = "code_interpreter"
    code_interpreter: Opt[CodeInterpreter] = UNSET


class FileSearchRankingOptions(Struct, frozen=True, kw_only=True):
    ranker: Opt[str] = UNSET
    score_threshold: Opt[float] = UNSET  # 0..1


class FileSearchContent(Struct, frozen=True, kw_only=True):
    type: Opt[str] = UNSET
    text: Opt[str] = UNSET


class FileSearchResult(Struct, frozen=True, kw_only=True):
    file_id: Opt[str] = UNSET
    file_name: Opt[str] = UNSET
    score: Opt[float] = UNSET  # 0..1
    content: Opt[tuple[FileSearchContent, ...]] = UNSET  # only with the `include` query


class FileSearch(Struct, frozen=True, kw_only=True):
    ranking_options: Opt[FileSearchRankingOptions] = UNSET
    results: Opt[tuple[FileSearchResult, ...]] = UNSET


class FileSearchToolCall(Struct, frozen=True, kw_only=True):
    id: Opt[str] = UNSET
    type: Literal["file_search"] = "file_search"
    file_search: Opt[FileSearch] = UNSET


class RetrievalToolCall(Struct, frozen=True, kw_only=True):
    """The v1 name of file search; its payload was always empty."""

    id: Opt[str] = UNSET
    type: Literal["retrieval"] = "retrieval"
    retrieval: Opt[dict[str, Any]] = UNSET


# Azure AI agents. The dict payloads are open maps; values are usually strings.
class AzureAISearchToolCall(Struct, frozen=True, kw_only=True):
    id: Opt[str] = UNSET
    type: Literal["azure_ai_search"] = "azure_ai_search"
    azure_ai_search: Opt[dict[str, Any]] = UNSET


class BingGroundingToolCall(Struct, frozen=True, kw_only=True):
    id: Opt[str] = UNSET
    type: Literal["bing_grounding"] = "bing_grounding"
    bing_grounding: Opt[dict[str, Any]] = UNSET


class BingCustomSearchToolCall(Struct, frozen=True, kw_only=True):
    id: Opt[str] = UNSET
    type: Literal["bing_custom_search"] = "bing_custom_search"
    bing_custom_search: Opt[dict[str, Any]] = UNSET


class SharepointToolCall(Struct, frozen=True, kw_only=True):
    id: Opt[str] = UNSET
    type: Literal["sharepoint_grounding"] = "sharepoint_grounding"
    sharepoint_grounding: Opt[dict[str, Any]] = UNSET


class FabricToolCall(Struct, frozen=True, kw_only=True):
    id: Opt[str] = UNSET
    type: Literal["fabric_dataagent"] = "fabric_dataagent"
    fabric_dataagent: Opt[dict[str, Any]] = UNSET


class OpenApiToolCall(Struct, frozen=True, kw_only=True):
    """The payload may come in a `function` member instead (Azure/azure-sdk-for-python#42645)."""

    id: Opt[str] = UNSET
    type: Literal["openapi"] = "openapi"
    openapi: Opt[dict[str, Any]] = UNSET
    function: Opt[Function] = UNSET


class McpToolCall(Struct, frozen=True, kw_only=True):
    """A Model Context Protocol call; its payload stands directly on the call."""

    id: Opt[str] = UNSET
    type: Literal["mcp"] = "mcp"
    name: Opt[str] = UNSET
    arguments: Opt[str] = UNSET
    output: Opt[str] = UNSET
    server_label: Opt[str] = UNSET


class ConnectedAgentToolCall(Struct, frozen=True, kw_only=True):
    id: Opt[str] = UNSET
    type: Literal["connected_agent"] = "connected_agent"
    connected_agent: Opt[dict[str, Any]] = UNSET  # name, arguments, output, run_id, thread_id, assistant_id


class DeepResearchToolCall(Struct, frozen=True, kw_only=True):
    id: Opt[str] = UNSET
    type: Literal["deep_research"] = "deep_research"
    deep_research: Opt[dict[str, Any]] = UNSET  # input, output


class AzureFunctionToolCall(Struct, frozen=True, kw_only=True):
    id: Opt[str] = UNSET
    type: Literal["azure_function"] = "azure_function"
    azure_function: Opt[dict[str, Any]] = UNSET  # name, arguments, output


class BrowserAutomationToolCall(Struct, frozen=True, kw_only=True):
    id: Opt[str] = UNSET
    type: Literal["browser_automation"] = "browser_automation"
    browser_automation: Opt[dict[str, Any]] = UNSET  # input, output, steps


class ComputerUseToolCall(Struct, frozen=True, kw_only=True):
    id: Opt[str] = UNSET
    type: Literal["computer_use_preview"] = "computer_use_preview"
    computer_use_preview: Opt[dict[str, Any]] = UNSET  # action, pending_safety_checks, output, ...


class GenericToolCall(Struct, frozen=True, kw_only=True):
    """A tool of another protocol, in the form of a function; `type` is what that protocol calls it, see GENERIC_TYPES.

    What the form has no place for stands in the step's `extras`.
    """

    id: Opt[str] = UNSET
    type: str = ""
    function: Opt[Function] = UNSET


GENERIC_TYPES: Final = (
    *("apply_patch_call", "computer_call", "custom", "image_generation_call", "local_shell_call"),
    *("mcp_approval_request", "mcp_call", "multi_agent_call", "program", "shell_call", "tool_search_call"),
    "web_search_call",
)


class UnknownToolCall(UnknownVariant):
    """A tool call of a type this version does not know."""


if TYPE_CHECKING:
    ToolCall: TypeAlias = (
        FunctionToolCall
        | CodeInterpreterToolCall
        | FileSearchToolCall
        | GenericToolCall
        | RetrievalToolCall
        | AzureAISearchToolCall
        | AzureFunctionToolCall
        | BingCustomSearchToolCall
        | BingGroundingToolCall
        | BrowserAutomationToolCall
        | ComputerUseToolCall
        | ConnectedAgentToolCall
        | DeepResearchToolCall
        | FabricToolCall
        | McpToolCall
        | OpenApiToolCall
        | SharepointToolCall
        | UnknownToolCall
    )
else:
    ToolCall = Any

TOOL_CALLS: Final[Mapping[str, type[Struct]]] = {
    "function": FunctionToolCall,
    "code_interpreter": CodeInterpreterToolCall,
    "file_search": FileSearchToolCall,
    "retrieval": RetrievalToolCall,
    "azure_ai_search": AzureAISearchToolCall,
    "azure_function": AzureFunctionToolCall,
    "bing_custom_search": BingCustomSearchToolCall,
    "bing_grounding": BingGroundingToolCall,
    "browser_automation": BrowserAutomationToolCall,
    "computer_use_preview": ComputerUseToolCall,
    "connected_agent": ConnectedAgentToolCall,
    "deep_research": DeepResearchToolCall,
    "fabric_dataagent": FabricToolCall,
    "mcp": McpToolCall,
    "openapi": OpenApiToolCall,
    "sharepoint_grounding": SharepointToolCall,
    **dict.fromkeys(GENERIC_TYPES, GenericToolCall),
}
