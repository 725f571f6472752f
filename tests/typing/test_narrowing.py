"""What a user writes over the model, held to its types by both type checkers and run as tests.

Each `assert_type` is checked by mypy and by pyright, each `assert_never` says that nothing is left to match. At run
time the same code shows that the values are what their types say.
"""

from typing import Any, Literal, assert_never, assert_type

import pytest
from msgspec import UNSET, UnsetType

from streamproc import Change, ErrorObject, Message, Run, RunStep, StreamProcessor, Usage, to_wire
from streamproc.core.anomalies import Anomaly, AnomalyKind
from streamproc.core.events import MessageDelta, StepDelta, StepDetailsDelta, ToolCallDelta
from streamproc.model import (
    ActivitiesDetails,
    Activity,
    Annotation,
    AzureAISearchToolCall,
    AzureFunctionToolCall,
    BingCustomSearchToolCall,
    BingGroundingToolCall,
    BrowserAutomationToolCall,
    CodeInterpreter,
    CodeInterpreterImage,
    CodeInterpreterLogs,
    CodeInterpreterOutput,
    CodeInterpreterToolCall,
    ComputerUseToolCall,
    ConnectedAgentToolCall,
    ContentBlock,
    DeepResearchToolCall,
    FabricToolCall,
    FileCitationAnnotation,
    FilePathAnnotation,
    FileSearch,
    FileSearchToolCall,
    Function,
    FunctionToolCall,
    GenericToolCall,
    ImageFileBlock,
    ImageUrlBlock,
    McpToolCall,
    MessageCreation,
    MessageCreationDetails,
    OpenApiToolCall,
    RefusalBlock,
    RequiredToolCall,
    RetrievalToolCall,
    SharepointToolCall,
    Text,
    TextBlock,
    ToolCall,
    ToolCallsDetails,
    UnknownAnnotation,
    UnknownBlock,
    UnknownDetails,
    UnknownOutput,
    UnknownToolCall,
    UrlCitationAnnotation,
)
from streamproc.model.message import BLOCKS
from streamproc.model.run_step import DETAILS
from streamproc.model.tool_calls import TOOL_CALLS
from streamproc.model.wire import from_wire

# --- steps ------------------------------------------------------------------------------------------------------------


def describe_step(step: RunStep) -> str:
    match step.step_details:
        case MessageCreationDetails() as details:
            assert_type(details, MessageCreationDetails)
            assert_type(details.type, Literal["message_creation"])
            assert_type(details.message_creation, MessageCreation | UnsetType | None)
            return details.type
        case ToolCallsDetails() as details:
            assert_type(details, ToolCallsDetails)
            assert_type(details.tool_calls, tuple[ToolCall, ...] | UnsetType | None)
            return " ".join(map(describe_call, details.tool_calls or ()))
        case ActivitiesDetails() as details:
            assert_type(details, ActivitiesDetails)
            assert_type(details.activities, tuple[Activity, ...] | UnsetType | None)
            return details.type
        case UnknownDetails() as details:
            assert_type(details, UnknownDetails)
            assert_type(details.type, str)
            assert_type(details["anything"], Any)
            return f"unknown {details.type}"
        case None:
            assert_type(step.step_details, None)
            return "null"
        case UnsetType():
            assert_type(step.step_details, UnsetType)
            return "absent"
        case _:
            assert_never(step.step_details)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, "absent"),
        ({"step_details": None}, "null"),
        ({"step_details": "tool_calls"}, "absent"),
        ({"step_details": {"type": "message_creation"}}, "message_creation"),
        ({"step_details": {"type": "tool_calls", "tool_calls": [{"type": "mcp"}, "stray"]}}, "mcp unknown "),
        ({"step_details": {"type": "activities"}}, "activities"),
        ({"step_details": {"type": "thinking", "anything": 1}}, "unknown thinking"),
    ],
)
def test_match_on_step_details(data: dict[str, Any], expected: str) -> None:
    """Each kind of details, no details and null narrow; nothing else can be there, not even of malformed JSON."""
    assert describe_step(from_wire(RunStep, data)) == expected


def test_each_kind_of_details_is_matched() -> None:
    """The registry knows no kind that the match above does not."""
    for kind in DETAILS:
        assert describe_step(from_wire(RunStep, {"step_details": {"type": kind}})) in (kind, "")


def describe_call(call: ToolCall) -> str:
    match call:
        case FunctionToolCall():
            assert_type(call.type, Literal["function"])
            assert_type(call.function, Function | UnsetType | None)
            if isinstance(call.function, Function):
                assert_type(call.function.arguments, str | UnsetType | None)
            return call.type
        case CodeInterpreterToolCall():
            assert_type(call.type, Literal["code_interpreter"])
            assert_type(call.code_interpreter, CodeInterpreter | UnsetType | None)
            if call.code_interpreter:
                assert_type(call.code_interpreter.outputs, tuple[CodeInterpreterOutput, ...] | UnsetType | None)
                return " ".join(map(describe_output, call.code_interpreter.outputs or ()))
            return call.type
        case FileSearchToolCall():
            assert_type(call.file_search, FileSearch | UnsetType | None)
            return call.type
        case RetrievalToolCall():
            assert_type(call.retrieval, dict[str, Any] | UnsetType | None)
            return call.type
        case McpToolCall():
            assert_type(call.arguments, str | UnsetType | None)
            return call.type
        case OpenApiToolCall() | GenericToolCall():
            assert_type(call.function, Function | UnsetType | None)
            return call.type
        case (
            AzureAISearchToolCall()
            | AzureFunctionToolCall()
            | BingCustomSearchToolCall()
            | BingGroundingToolCall()
            | BrowserAutomationToolCall()
            | ComputerUseToolCall()
            | ConnectedAgentToolCall()
            | DeepResearchToolCall()
            | FabricToolCall()
            | SharepointToolCall()
        ):
            assert_type(call.id, str | UnsetType | None)
            return call.type
        case UnknownToolCall():
            assert_type(call, UnknownToolCall)
            assert_type(call.type, str)
            assert_type(call.id, str)
            return f"unknown {call.type}"
        case _:
            assert_never(call)


@pytest.mark.parametrize("kind", TOOL_CALLS)
def test_match_on_a_tool_call(kind: str) -> None:
    """Each kind that is known narrows, so the match has to grow with the registry."""
    step = from_wire(RunStep, {"step_details": {"type": "tool_calls", "tool_calls": [{"type": kind}]}})

    assert describe_step(step) == kind


def test_match_on_an_unknown_tool_call() -> None:
    """A kind that is not known is one of the cases."""
    step = from_wire(RunStep, {"step_details": {"type": "tool_calls", "tool_calls": [{"type": "teleport"}]}})

    assert describe_step(step) == "unknown teleport"


def describe_output(output: CodeInterpreterOutput) -> str:
    match output:
        case CodeInterpreterLogs():
            assert_type(output.logs, str | UnsetType | None)
            return output.type
        case CodeInterpreterImage():
            assert_type(output.type, Literal["image"])
            return output.type
        case UnknownOutput():
            assert_type(output, UnknownOutput)
            return f"unknown {output.type}"
        case _:
            assert_never(output)


def test_match_on_an_output() -> None:
    """Logs, images and what is neither."""
    outputs = [{"type": "logs"}, {"type": "image"}, {"type": "audio"}, "stray"]
    call = {"type": "code_interpreter", "code_interpreter": {"outputs": outputs}}
    step = from_wire(RunStep, {"step_details": {"type": "tool_calls", "tool_calls": [call]}})

    assert describe_step(step) == "logs image unknown audio unknown "


def describe_required(call: RequiredToolCall) -> str:
    match call:
        case FunctionToolCall() | McpToolCall() | ComputerUseToolCall():
            assert_type(call, FunctionToolCall | McpToolCall | ComputerUseToolCall)
            return call.type
        case UnknownToolCall():
            assert_type(call, UnknownToolCall)
            return f"unknown {call.type}"
        case _:
            assert_never(call)


def test_match_on_a_required_call() -> None:
    """The calls that a run may wait for, read the way a program that answers them does."""
    calls = [{"type": kind} for kind in ("function", "mcp", "computer_use_preview", "deep_research")]
    data = {"required_action": {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": calls}}}
    run = from_wire(Run, data)
    found: list[str] = []
    if (action := run.required_action) and (tools := action.submit_tool_outputs) and tools.tool_calls:
        found += map(describe_required, tools.tool_calls)

    assert found == ["function", "mcp", "computer_use_preview", "unknown deep_research"]


# --- messages ---------------------------------------------------------------------------------------------------------


def describe_block(block: ContentBlock) -> str:
    match block:
        case TextBlock():
            assert_type(block.text, Text | UnsetType | None)
            if block.text:
                assert_type(block.text.annotations, tuple[Annotation, ...] | UnsetType | None)
                return " ".join(map(describe_annotation, block.text.annotations or ()))
            return block.type
        case RefusalBlock():
            assert_type(block.refusal, str | UnsetType | None)
            return block.type
        case ImageFileBlock():
            assert_type(block.type, Literal["image_file"])
            return block.type
        case ImageUrlBlock():
            assert_type(block.type, Literal["image_url"])
            return block.type
        case UnknownBlock():
            assert_type(block, UnknownBlock)
            return f"unknown {block.type}"
        case _:
            assert_never(block)


def describe_annotation(annotation: Annotation) -> str:
    match annotation:
        case FileCitationAnnotation() | FilePathAnnotation() | UrlCitationAnnotation():
            assert_type(annotation.start_index, int | UnsetType | None)
            return annotation.type
        case UnknownAnnotation():
            assert_type(annotation, UnknownAnnotation)
            return f"unknown {annotation.type}"
        case _:
            assert_never(annotation)


def test_match_on_blocks_and_annotations() -> None:
    """Each kind that is known narrows, and so does one that is not."""
    kinds = ["file_citation", "file_path", "url_citation", "footnote"]
    cited = {"type": "text", "text": {"annotations": [{"type": kind} for kind in kinds]}}
    message = from_wire(Message, {"content": [*({"type": kind} for kind in [*BLOCKS, "video"]), cited]})

    assert_type(message.text, str)
    assert [describe_block(block) for block in message.content or ()] == [
        *BLOCKS,
        "unknown video",
        "file_citation file_path url_citation unknown footnote",
    ]


# --- changes ----------------------------------------------------------------------------------------------------------


def describe_change(change: Change) -> str:
    assert_type(change.stream, str)
    assert_type(change.epoch, int)
    assert_type(change.seq, int)
    assert_type(change.event, str)
    assert_type(change.kind, Literal["run", "step", "message", "error", "anomaly"])
    assert_type(change.id, str)
    assert_type(change.run_id, str | None)
    assert_type(change.thread_id, str | None)
    assert_type(change.revision, int)
    assert_type(change.at, str | None)
    assert_type(change.inferred_status, str | None)
    assert_type(change.truncated, bool)
    match change.delta:
        case StepDelta() as delta:
            assert_type(delta.step_details, StepDetailsDelta | UnsetType | None)
            if delta.step_details and delta.step_details.tool_calls:
                (call,) = delta.step_details.tool_calls
                assert_type(call, ToolCallDelta)
                assert_type(call.index, int | UnsetType)
                return f"+ {call.function.arguments if call.function else None}"
            return "+"
        case MessageDelta() as delta:
            assert_type(delta.role, str | UnsetType | None)
            return "+ message"
        case Anomaly() as anomaly:
            assert_type(anomaly.kind, AnomalyKind)
            return anomaly.kind
        case None:
            assert_type(change.state, Any)
            return describe_state(change.state)
        case _:
            assert_never(change.delta)


def describe_state(state: Run | RunStep | Message | ErrorObject | None) -> str:
    match state:
        case Run():
            assert_type(state.usage, Usage | UnsetType | None)
            return f"run {state.status}"
        case RunStep():
            assert_type(state.created_at, int | float | UnsetType | None)
            if state.usage:
                assert_type(state.usage.total_tokens, int | UnsetType | None)
                assert_type(state.usage.cached_tokens, int | None)
            return f"step {state.status}"
        case Message():
            return f"message {state.text}"
        case ErrorObject():
            assert_type(state.message, str)
            return f"error {state.message}"
        case None:
            return "nothing"
        case _:
            assert_never(state)


STREAM = b"""\
event: thread.run.created
data: {"id":"run_1","object":"thread.run","thread_id":"thread_1","status":"queued"}

event: thread.run.step.created
data: {"id":"step_1","object":"thread.run.step","run_id":"run_1","status":"in_progress"}

event: thread.run.step.delta
data: {"id":"step_1","object":"thread.run.step.delta","delta":{"step_details":{"type":"tool_calls","tool_calls":[\
{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":"{}"}}]}}}

event: thread.message.created
data: {"id":"msg_1","object":"thread.message","run_id":"run_1","status":"in_progress","content":[]}

event: thread.message.delta
data: {"id":"msg_1","object":"thread.message.delta","delta":{"content":[\
{"index":0,"type":"text","text":{"value":"hi"}}]}}

event: thread.run.paused
data: {}

event: error
data: {"message":"overloaded","code":"server_error","param":null,"type":"server_error"}

event: done
data: [DONE]

"""


def test_reading_changes() -> None:
    """The fields of a change, each kind of delta and each kind of state, from a stream as it comes."""
    processor = StreamProcessor()
    changes = processor.feed(STREAM)

    assert_type(changes, list[Change])
    assert [describe_change(change) for change in changes] == [
        "run queued",
        "step in_progress",
        "+ {}",
        "message ",
        "+ message",
        "unknown_event",
        "error overloaded",
    ]


def test_reading_states() -> None:
    """The live views hand out typed objects by id."""
    processor = StreamProcessor()
    processor.feed(STREAM)
    run, step, message = processor.runs["run_1"], processor.steps["step_1"], processor.messages["msg_1"]
    assert_type(run, Run)
    assert_type(step, RunStep)
    assert_type(message, Message)
    assert_type(to_wire(step), bytes)

    assert (describe_state(run), describe_step(step), message.text) == ("run queued", "function", "hi")
    assert describe_state(None) == "nothing"


def test_unset_is_false() -> None:
    """`if step.usage:` skips absent and null alike."""
    step = RunStep(usage=UNSET)

    assert not step.usage
    assert not RunStep(usage=None).usage
    assert RunStep(usage=Usage()).usage
