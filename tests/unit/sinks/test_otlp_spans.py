"""What becomes of runs, steps and calls as spans: names, kinds, parents, status, attributes."""

from typing import Any

import pytest

from streamproc import Event
from streamproc.sinks._otlp_ids import span_id, trace_id
from streamproc.sinks._otlp_names import NAMES, Semconv
from streamproc.sinks._otlp_spans import SpanMaker
from tests.streams import call, calls, creation, error, event, message, run, step
from tests.unit.sinks.spans import changes_of, one_span, spans_of

USAGE = {
    "prompt_tokens": 10,
    "completion_tokens": 5,
    "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 2},
}
CHAT = step("completed", step_details=creation("msg_1"))


def tool(*calls: Any, **members: Any) -> Event:
    return step("completed", "step_1", *calls, **members)


# --- which ------------------------------------------------------------------------------------------------------------


def test_a_run_its_message_and_its_calls() -> None:
    """One trace: the run is the root, everything else its child."""
    two = tool(call("{}", id="call_1", name="add"), call("{}", id="call_2", index=1, name="multiply"))
    spans = spans_of(run(), two, step("completed", "step_2", step_details=creation("msg_1")), run("completed"))
    root = span_id("run", "run_1")

    assert [(span.name, span.kind) for span in spans] == [
        ("execute_tool add", "INTERNAL"),
        ("execute_tool multiply", "INTERNAL"),
        ("chat", "CLIENT"),
        ("invoke_agent", "CLIENT"),
    ]
    assert {span.trace_id for span in spans} == {trace_id("run_1")}
    assert [span.parent_span_id for span in spans] == [root, root, root, b""]
    assert spans[-1].span_id == root
    assert len({span.span_id for span in spans}) == 4


def test_what_has_not_ended_is_no_span() -> None:
    """Nor is a run that waits for outputs, an anomaly, or an error."""
    events = (run(), step(), message(), event("thread.run.dreamt"), error({"message": "m"}), run("requires_action"))

    assert spans_of(*events) == []


def test_steps_of_other_types_are_no_spans() -> None:
    """They have no counterpart, as do those that say nothing of themselves, and a call of tools without any."""
    for details in ({"type": "dream"}, {"type": "activities", "activities": []}, None, calls()):
        assert [span.name for span in spans_of(step("completed", step_details=details), run("completed"))] == [
            "invoke_agent"
        ]


def test_a_step_whose_details_are_missing() -> None:
    """Its type says what it was."""
    assert one_span(step("completed", type="message_creation", step_details=None)).name == "chat"


def test_a_step_that_names_no_run() -> None:
    """It is the root of a trace of its own, which is no run's."""
    span = one_span(step("completed", run_id=None, step_details=creation("msg_1")))

    assert (span.parent_span_id, span.trace_id) == (b"", trace_id("step:step_1"))
    assert "streamproc.run.id" not in span.attributes


def test_numbers_that_the_protocol_cannot_hold_are_left_out() -> None:
    """They cost their attribute, not the span; the largest that it can hold is there."""
    counts = {"prompt_tokens": 2**63 - 1, "completion_tokens": 2**63}
    span = one_span(run("completed", usage=counts, max_completion_tokens=10**30))

    assert span.attributes["gen_ai.usage.input_tokens"] == 2**63 - 1
    assert "gen_ai.usage.output_tokens" not in span.attributes
    assert "gen_ai.request.max_tokens" not in span.attributes


def test_usage_after_the_end_is_the_same_span_again() -> None:
    first, second = spans_of(CHAT, step("completed", step_details=creation("msg_1"), usage=USAGE), run("completed"))[:2]

    assert (first.trace_id, first.span_id) == (second.trace_id, second.span_id)
    assert "gen_ai.usage.input_tokens" not in first.attributes
    assert second.attributes["gen_ai.usage.input_tokens"] == 10
    assert second.attributes["streamproc.revision"] == 2


# --- status -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "members", "error_type"),
    [
        ("completed", {}, None),
        ("cancelled", {}, None),
        ("incomplete", {"incomplete_details": {"reason": "max_completion_tokens"}}, None),
        ("expired", {}, "expired"),
        ("failed", {"last_error": {"code": "rate_limit_exceeded", "message": "secret"}}, "rate_limit_exceeded"),
        ("failed", {"last_error": {"code": "a text, which may be content", "message": "secret"}}, "_OTHER"),
        ("failed", {"last_error": {"code": "x" * 65}}, "_OTHER"),
        ("failed", {"last_error": None}, "_OTHER"),
        ("failed", {}, "_OTHER"),
    ],
)
def test_which_ends_are_errors(status: str, members: dict[str, Any], error_type: str | None) -> None:
    span = one_span(run(status, **members))

    assert span.is_error == (error_type is not None)
    assert span.attributes.get("error.type") == error_type
    assert span.attributes["streamproc.status"] == status
    assert span.message == ""


@pytest.mark.parametrize(
    ("status", "error_type"), [("completed", None), ("failed", "_OTHER"), ("expired", "expired"), ("cancelled", None)]
)
def test_a_step_left_open_by_its_run_ended_like_it(status: str, error_type: str | None) -> None:
    """Its own status is shown as it is."""
    span = one_span(run(), step(step_details=creation("msg_1")), run(status), name="chat")

    assert span.attributes.get("error.type") == error_type
    assert span.attributes["streamproc.status"] == "in_progress"
    assert span.attributes["streamproc.inferred_status"] == status


def test_what_was_cut_off_is_an_error() -> None:
    """Nobody saw its end; if it comes later, the same span says so."""
    spans = spans_of(run(), step(step_details=creation("msg_1")), is_whole=False)

    assert sorted(span.name for span in spans) == ["chat", "invoke_agent"]
    assert {span.attributes["error.type"] for span in spans} == {"stream_truncated"}
    assert all(span.is_error and span.attributes["streamproc.truncated"] is True for span in spans)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("max_completion_tokens", ("length",)),
        ("max_output_tokens", ("length",)),
        ("content_filter", ("content_filter",)),
        ("a text, which may be content", None),
        (None, None),
    ],
)
def test_finish_reasons(reason: object, finish: tuple[str] | None) -> None:
    """Those that a state says; that one completed does not say why its model stopped."""
    run_span = one_span(run("incomplete", incomplete_details={"reason": reason}))
    chat = one_span(step("completed", step_details=creation("msg_1"), metadata={"finish_reason": reason}))

    assert run_span.attributes.get("gen_ai.response.finish_reasons") == finish
    assert chat.attributes.get("gen_ai.response.finish_reasons") == finish


# --- attributes -------------------------------------------------------------------------------------------------------


def test_a_run_says_what_it_was_asked_for() -> None:
    span = one_span(
        run(
            "completed",
            assistant_id="asst_1",
            model="gpt-4o",
            temperature=1,
            top_p=0.5,
            max_completion_tokens=100,
            response_format={"type": "json_schema"},
            usage=USAGE,
        ),
        provider="azure.ai.openai",
    )

    assert span.attributes == {
        "gen_ai.operation.name": "invoke_agent",
        "streamproc.stream": "s",
        "streamproc.epoch": 1,
        "streamproc.seq": 1,
        "streamproc.revision": 1,
        "streamproc.status": "completed",
        "gen_ai.provider.name": "azure.ai.openai",
        "streamproc.run.id": "run_1",
        "gen_ai.conversation.id": "thread_1",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.agent.id": "asst_1",
        "gen_ai.request.temperature": 1.0,
        "gen_ai.request.top_p": 0.5,
        "gen_ai.request.max_tokens": 100,
        "gen_ai.output.type": "json",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.cache_write.input_tokens": 3,
        "gen_ai.usage.reasoning.output_tokens": 2,
        "streamproc.start_unknown": True,
    }


def test_nothing_is_invented() -> None:
    """An empty thread, an assistant that is but the model's name, a usage of null, a format left to the server."""
    span = one_span(
        run("completed", thread_id="", assistant_id="gpt-4o", model="gpt-4o", usage=None, response_format="auto")
    )
    names = {name for name in span.attributes if not name.startswith("streamproc.")}

    assert names == {"gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model"}


def test_a_message_says_what_it_cost() -> None:
    span = one_span(step("completed", type="message_creation", step_details=creation("msg_1"), usage=USAGE))

    assert span.attributes == {
        "gen_ai.operation.name": "chat",
        "streamproc.stream": "s",
        "streamproc.epoch": 1,
        "streamproc.seq": 1,
        "streamproc.revision": 1,
        "streamproc.status": "completed",
        "streamproc.run.id": "run_1",
        "streamproc.step.id": "step_1",
        "streamproc.step.type": "message_creation",
        "gen_ai.conversation.id": "thread_1",
        "gen_ai.provider.name": "openai",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.cache_write.input_tokens": 3,
        "gen_ai.usage.reasoning.output_tokens": 2,
        "streamproc.message.id": "msg_1",
        "streamproc.start_unknown": True,
    }


@pytest.mark.parametrize(
    ("made", "name", "type"),
    [
        ({"type": "function", "function": {"name": "add"}}, "add", "function"),
        ({"type": "custom", "function": {"name": "shell"}}, "shell", "function"),
        ({"type": "code_interpreter"}, "code_interpreter", "extension"),
        ({"type": "file_search"}, "file_search", "datastore"),
        ({"type": "mcp", "name": "look_up"}, "look_up", "extension"),
        ({"type": "connected_agent", "connected_agent": {"name": "clerk"}}, "clerk", "extension"),
        ({"type": "azure_function", "azure_function": {"name": "f"}}, "f", "function"),
        ({"type": "openapi", "function": {"name": "get"}}, "get", "extension"),
        ({"type": "teleport"}, "teleport", None),
        ({"type": "teleport", "teleport": {"name": "beam"}}, "beam", None),
        ({"type": "function"}, "function", "function"),
        ({"type": "function", "function": {"name": " \n\x1b[31madd\u2028\u202e now "}}, "[31madd now", "function"),
        ({"type": "function", "function": {"name": "\0"}}, "function", "function"),
        ({"type": "function", "function": {"name": "x" * 1000}}, "x" * 128, "function"),
        ({}, "unknown", None),
    ],
)
def test_names_of_tools(made: dict[str, Any], name: str, type: str | None) -> None:
    """One line of a bounded length, whatever a model or a server calls them."""
    span = one_span(step("completed", step_details={"type": "tool_calls", "tool_calls": [{"id": "call_1", **made}]}))

    assert span.name == f"execute_tool {name}"
    assert span.attributes["gen_ai.tool.name"] == name
    assert span.attributes.get("gen_ai.tool.type") == type
    assert span.attributes["gen_ai.tool.call.id"] == "call_1"
    assert span.attributes["streamproc.call.index"] == 0


def test_calls_that_share_an_id() -> None:
    """Or have none: each has a span of its own all the same."""
    made = [{"id": "call_1", "type": "function"}, {"id": "call_1", "type": "function"}, {"type": "file_search"}]
    spans = spans_of(step("completed", step_details={"type": "tool_calls", "tool_calls": made}), run("completed"))[:3]

    assert len({span.span_id for span in spans}) == 3
    assert spans[2].span_id == span_id("place", "step_1", "2")


def test_values_have_a_longest_length() -> None:
    """And it is said which were cut; those of numbers and codes need none."""
    span = one_span(run("completed", thread_id="t" * 2000, model="m" * 2000))

    assert span.attributes["gen_ai.conversation.id"] == "t" * 1024
    assert span.attributes["streamproc.cut"] == ("gen_ai.conversation.id", "gen_ai.request.model")


def test_names_of_the_older_conventions() -> None:
    """Without those that it did not have yet."""
    spans = spans_of(CHAT, run("completed", usage=USAGE), semconv="1.36", provider="xai")
    chat, run_span = (span.attributes for span in spans)

    assert chat["gen_ai.system"] == run_span["gen_ai.system"] == "xai"
    assert not any("provider" in name or "cache" in name or "reasoning" in name for name in {*chat, *run_span})
    assert (run_span["gen_ai.usage.input_tokens"], run_span["gen_ai.usage.output_tokens"]) == (10, 5)


# --- content ----------------------------------------------------------------------------------------------------------

SECRET = "it rains in Bergen"
WITH_CONTENT = (
    run(instructions=SECRET, tools=[{"type": "function", "function": {"name": "add", "description": SECRET}}]),
    tool({"id": "call_1", "type": "function", "function": {"name": "add", "arguments": SECRET, "output": SECRET}}),
    message("completed", "msg_1", {"type": "text", "text": {"value": SECRET}}),
    step("completed", "step_2", step_details=creation("msg_1")),
    run(
        "failed",
        instructions=SECRET,
        tools=[{"type": "function", "function": {"name": "add", "description": SECRET}}],
        last_error={"code": "server_error", "message": SECRET},
        metadata={"note": SECRET},
    ),
)


@pytest.mark.parametrize("semconv", ["0.1", "1.36"])
def test_no_content_unless_asked_for(semconv: Semconv) -> None:
    assert SECRET not in repr(spans_of(*WITH_CONTENT, semconv=semconv))


def test_content_on_request() -> None:
    """In the JSON form of the conventions."""
    call_span, chat, run_span = spans_of(*WITH_CONTENT, content=True)

    assert call_span.attributes["gen_ai.tool.call.arguments"] == SECRET
    assert call_span.attributes["gen_ai.tool.call.result"] == SECRET
    assert chat.attributes["gen_ai.output.messages"] == (
        '[{"role":"assistant","parts":[{"type":"text","content":"it rains in Bergen"}]}]'
    )
    assert run_span.attributes["gen_ai.system_instructions"] == '[{"type":"text","content":"it rains in Bergen"}]'
    assert run_span.attributes["gen_ai.tool.definitions"] == (
        '[{"type":"function","name":"add","description":"it rains in Bergen"}]'
    )
    assert run_span.message == SECRET


def test_long_content_is_cut() -> None:
    span = one_span(run("completed", instructions="x" * 100_000), content=True)
    value = span.attributes["gen_ai.system_instructions"]

    assert isinstance(value, str)
    assert len(value) == 65_536
    assert span.attributes["streamproc.cut"] == ("gen_ai.system_instructions",)


def test_a_span_is_made_of_its_change_alone() -> None:
    """Of the same changes in another order, and without the others, come the same spans."""
    changes = changes_of(*WITH_CONTENT)
    together = SpanMaker(NAMES["0.1"], "openai")
    forwards = [span for change in changes for span in together.spans_of(change)]
    backwards = [
        span for change in reversed(changes) for span in reversed(SpanMaker(NAMES["0.1"], "openai").spans_of(change))
    ]

    assert forwards == backwards[::-1]
