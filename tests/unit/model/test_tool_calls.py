"""Tool calls: one struct per kind, its payload readable; malformed and unknown kinds."""

import json
from typing import Any

import pytest
from msgspec import UNSET, Struct

from streamproc.model import tool_calls as module
from streamproc.model.run_step import ToolCallsDetails
from streamproc.model.tool_calls import (
    GENERIC_TYPES,
    TOOL_CALLS,
    CodeInterpreter,
    CodeInterpreterImage,
    CodeInterpreterLogs,
    CodeInterpreterToolCall,
    FileSearch,
    FileSearchContent,
    FileSearchRankingOptions,
    FileSearchResult,
    FileSearchToolCall,
    Function,
    FunctionToolCall,
    GenericToolCall,
    ImageOutput,
    McpToolCall,
    OpenApiToolCall,
    RetrievalToolCall,
    ToolCall,
    UnknownOutput,
    UnknownToolCall,
)
from streamproc.model.wire import from_wire, to_wire
from tests.unit.model import samples

each_kind = pytest.mark.parametrize("kind", samples.TOOL_CALLS)


def opened(*data: Any) -> tuple[ToolCall, ...]:
    """The calls as a step's details hold them."""
    details = from_wire(ToolCallsDetails, {"type": "tool_calls", "tool_calls": list(data)})

    assert isinstance(details.tool_calls, tuple)
    return details.tool_calls


# --- every kind -------------------------------------------------------------------------------------------------------


def test_kinds_are_those_of_the_protocol() -> None:
    """Three of OpenAI, one of its first version, twelve of Azure; each has a sample here. And those of others."""
    openai = {"code_interpreter", "file_search", "function", "retrieval"}
    azure = {
        *("azure_ai_search", "azure_function", "bing_custom_search", "bing_grounding", "browser_automation"),
        *("computer_use_preview", "connected_agent", "deep_research", "fabric_dataagent", "mcp", "openapi"),
        "sharepoint_grounding",
    }

    assert (openai | azure).isdisjoint(GENERIC_TYPES)
    assert openai | azure | {*GENERIC_TYPES} == TOOL_CALLS.keys()
    assert openai | azure == samples.TOOL_CALLS.keys()


def test_each_struct_is_known_under_its_own_type() -> None:
    """No struct of a call is forgotten, and none is registered twice."""
    structs = {name for name in module.__all__ if name.endswith("ToolCall")} - {"ToolCall", "UnknownToolCall"}

    assert structs == {cls.__name__ for cls in TOOL_CALLS.values()}
    for kind, cls in TOOL_CALLS.items():
        assert cls().type == ("" if kind in GENERIC_TYPES else kind)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", GENERIC_TYPES)
def test_a_generic_kind_has_the_form_of_a_function(kind: str) -> None:
    """One struct for all; it knows which one it is."""
    data = {"id": "c1", "type": kind, "function": {"name": "f", "arguments": "{}", "output": None}}
    (call,) = opened(data)

    assert isinstance(call, GenericToolCall)
    assert call == GenericToolCall(id="c1", type=kind, function=Function(name="f", arguments="{}", output=None))
    assert json.loads(to_wire(call)) == data


@each_kind
def test_kind_decodes_to_its_struct(kind: str) -> None:
    """Its id and its type can be read."""
    data = samples.TOOL_CALLS[kind]
    (call,) = opened(data)

    assert type(call) is TOOL_CALLS[kind]
    assert (call.id, call.type) == (data["id"], kind)


@each_kind
def test_payload_is_readable_member_by_member(kind: str) -> None:
    """Each member of the sample is declared, so the struct alone writes all of it again."""
    (call,) = opened(samples.TOOL_CALLS[kind])

    assert isinstance(call, Struct)
    assert json.loads(to_wire(call)) == samples.TOOL_CALLS[kind]


@each_kind
def test_payload_may_be_absent_or_null(kind: str) -> None:
    """The first fragment of a call often has none."""
    absent, null = opened({"type": kind}, {"type": kind, "id": None, kind: None})

    assert (type(absent), type(null)) == (TOOL_CALLS[kind], TOOL_CALLS[kind])
    assert (absent.id, null.id) == (UNSET, None)
    if kind != "mcp":  # its payload stands on the call
        assert (getattr(absent, kind), getattr(null, kind)) == (UNSET, None)


@each_kind
@pytest.mark.parametrize("misfit", ["text", 5, True, [], ["text"]])
def test_malformed_payload_costs_only_the_payload(kind: str, misfit: Any) -> None:
    """The call keeps its kind and its id."""
    (call,) = opened({"id": "call_1", "type": kind, kind: misfit})

    assert call == TOOL_CALLS[kind](id="call_1")


@each_kind
@pytest.mark.parametrize("misfit", [5, {}, ["call_1"], False])
def test_malformed_id_costs_only_the_id(kind: str, misfit: Any) -> None:
    """The call keeps its kind and its payload."""
    (call,) = opened({**samples.TOOL_CALLS[kind], "id": misfit})
    (expected,) = opened({name: value for name, value in samples.TOOL_CALLS[kind].items() if name != "id"})

    assert expected == call
    assert call.id is UNSET


# --- the payloads -----------------------------------------------------------------------------------------------------


def test_function() -> None:
    """Arguments are text, invalid JSON too; the output is null until it was submitted."""
    (call,) = opened({"type": "function", "function": {"name": "f", "arguments": '{"a', "output": None}})

    assert isinstance(call, FunctionToolCall)
    assert call.function == Function(name="f", arguments='{"a', output=None)


def test_function_with_arguments_that_are_an_object() -> None:
    """Text is expected there; the name stays."""
    (call,) = opened({"type": "function", "function": {"name": "f", "arguments": {"a": 1}}})

    assert call == FunctionToolCall(function=Function(name="f"))


def test_code_interpreter_outputs() -> None:
    """Logs and images, in their order."""
    (call,) = opened(samples.TOOL_CALLS["code_interpreter"])

    assert isinstance(call, CodeInterpreterToolCall)
    assert isinstance(call.code_interpreter, CodeInterpreter)
    assert call.code_interpreter.input == "print(6 * 7)\nplot()"
    assert call.code_interpreter.outputs == (
        CodeInterpreterLogs(logs="42\n"),
        CodeInterpreterImage(image=ImageOutput(file_id="file-plot")),
    )


def test_code_interpreter_with_odd_outputs() -> None:
    """An unknown output keeps its members, one without payload its type; what is no object is an empty unknown one."""
    outputs = [{"type": "audio", "seconds": 3}, "stray", {"type": "logs"}, None, {"type": "image", "image": "file-a"}]
    (call,) = opened({"type": "code_interpreter", "code_interpreter": {"outputs": outputs}})

    assert isinstance(call, CodeInterpreterToolCall)
    assert isinstance(call.code_interpreter, CodeInterpreter)
    assert isinstance(call.code_interpreter.outputs, tuple)
    audio, *others = call.code_interpreter.outputs
    assert isinstance(audio, UnknownOutput)
    assert audio == {"type": "audio", "seconds": 3}
    assert others == [UnknownOutput(), CodeInterpreterLogs(), UnknownOutput(), CodeInterpreterImage()]


def test_file_search_results() -> None:
    """Ranking, scores and, when it was asked for, content."""
    (call,) = opened(samples.TOOL_CALLS["file_search"])

    assert isinstance(call, FileSearchToolCall)
    assert call.file_search == FileSearch(
        ranking_options=FileSearchRankingOptions(ranker="default_2024_08_21", score_threshold=0.25),
        results=(
            FileSearchResult(
                file_id="file-a",
                file_name="report.pdf",
                score=0.75,
                content=(FileSearchContent(type="text", text="third quarter"),),
            ),
            FileSearchResult(file_id="file-b", file_name="notes.md", score=1.0, content=()),
        ),
    )


def test_file_search_with_odd_results() -> None:
    """A score that is text costs that score, an entry that is no object costs that entry."""
    results = [
        {"file_id": "file-a", "score": "high"},
        None,
        "file-c",
        {"file_id": "file-b", "content": [3, {"text": 1}]},
    ]
    (call,) = opened({"type": "file_search", "file_search": {"results": results}})

    assert call == FileSearchToolCall(
        file_search=FileSearch(
            results=(
                FileSearchResult(file_id="file-a"),
                FileSearchResult(file_id="file-b", content=(FileSearchContent(),)),
            )
        )
    )


@pytest.mark.parametrize("payload", [{}, {"anything": [1]}])
def test_retrieval(payload: dict[str, Any]) -> None:
    """The first version's file search; its payload was always empty."""
    (call,) = opened({"id": "call_1", "type": "retrieval", "retrieval": payload})

    assert call == RetrievalToolCall(id="call_1", retrieval=payload)


def test_openapi_with_a_function_member() -> None:
    """Azure sends the payload under another name at times."""
    (call,) = opened({"id": "call_1", "type": "openapi", "function": {"name": "get", "arguments": "{}", "output": "1"}})

    assert call == OpenApiToolCall(id="call_1", function=Function(name="get", arguments="{}", output="1"))


def test_mcp_payload_stands_on_the_call() -> None:
    """Name, arguments, output and server are the call's own members."""
    (call,) = opened({**samples.TOOL_CALLS["mcp"], "output": None, "arguments": 3})

    assert call == McpToolCall(id="call_11", name="search_code", output=None, server_label="github")


# --- kinds we do not know ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        {"type": "teleport", "id": "call_1", "teleport": {"to": ["mars", None, 1.5]}},
        {"type": "Function", "function": {"name": "f"}},
        {"type": "", "id": ""},
        {"type": None},
        {"type": 7, "id": "call_1"},
        {"type": {"function": 1}},
        {"id": "call_1", "function": {"name": "f"}},
        {},
    ],
)
def test_unknown_kind_keeps_all_members(data: dict[str, Any]) -> None:
    """It is a dict, also written as such."""
    (call,) = opened(data)

    assert isinstance(call, UnknownToolCall)
    assert call == data


@pytest.mark.parametrize(
    ("data", "kind", "call_id"),
    [
        ({"type": "teleport", "id": "call_1"}, "teleport", "call_1"),
        ({"type": None, "id": 5}, "", ""),
        ({}, "", ""),
    ],
)
def test_unknown_kind_has_type_and_id(data: dict[str, Any], kind: str, call_id: str) -> None:
    """Whatever came, both are text."""
    (call,) = opened(data)

    assert (call.type, call.id) == (kind, call_id)
