"""Traces of the built-in run and of recorded streams are what they were, and the page of the sink shows them.

After an intended change, write them anew and look at the difference: `python -m tests.otlp_traces CORPUS`.
"""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from streamproc import StreamProcessor
from streamproc.model.run_step import ToolCallsDetails
from streamproc.sinks._otlp_content import arguments_and_result
from streamproc.sinks._otlp_names import Semconv
from tests.otlp_receiver import ReceivedSpan
from tests.otlp_traces import (
    PAGE,
    PICTURE,
    RECORDINGS,
    VERSIONS,
    Recording,
    demo_spans,
    golden_path,
    golden_text,
    is_documented,
    page_with_names,
    recorded_spans,
    trace_picture,
)

SHORTEST = 8  # characters of a text that cannot be there by chance


def names(recording: Recording) -> str:
    return recording.name


@pytest.mark.parametrize("semconv", VERSIONS)
def test_the_trace_of_the_demo(semconv: Semconv) -> None:
    assert golden_text(demo_spans(semconv)) == golden_path("demo", semconv).read_text(encoding="utf-8")


@pytest.mark.parametrize("semconv", VERSIONS)
def test_the_table_of_names_says_which_spans_have_them(semconv: Semconv) -> None:
    assert [span.name for span in demo_spans(semconv) if not is_documented(span, semconv)] == []


@pytest.mark.parametrize("semconv", VERSIONS)
@pytest.mark.parametrize("recording", RECORDINGS, ids=names)
def test_traces_of_recordings(recording: Recording, semconv: Semconv, corpus: Path) -> None:
    spans = recorded_spans(recording, corpus, semconv)

    assert golden_text(spans) == golden_path(recording.name, semconv).read_text(encoding="utf-8")


@pytest.mark.parametrize("recording", RECORDINGS, ids=names)
def test_traces_hold_nothing_of_what_was_said(recording: Recording, corpus: Path) -> None:
    """No message, argument, result or instruction."""
    proc = StreamProcessor(recording.dialect)
    for file in recording.files:
        proc.open()
        proc.feed((corpus / recording.dialect / file).read_bytes())
    texts = [message.text for message in proc.messages.values()]
    texts += [run.instructions for run in proc.runs.values() if isinstance(run.instructions, str)]
    for step in proc.steps.values():
        details = step.step_details
        if isinstance(details, ToolCallsDetails) and isinstance(details.tool_calls, tuple):
            texts += [text for call in details.tool_calls for text in arguments_and_result(call) if text]
    secrets = [text for text in texts if len(text) >= SHORTEST]
    shown = "".join(golden_path(recording.name, semconv).read_text(encoding="utf-8") for semconv in VERSIONS)

    assert secrets or recording.name == "responses_failed"  # which failed before anything was said
    assert [text for text in secrets if text in shown or json.dumps(text)[1:-1] in shown] == []


@pytest.mark.parametrize("path", sorted(golden_path("x", "0.1").parent.glob("*.json")), ids=lambda path: path.stem)
def test_each_trace_is_one(path: Path) -> None:
    """One root, which every other span is a child of; ids of their sizes, no end before its beginning."""
    spans = json.loads(path.read_text(encoding="utf-8"))
    (root,) = (span for span in spans if not span["parent_span_id"])

    assert {span["trace_id"] for span in spans} == {root["trace_id"]}
    assert {span["parent_span_id"] for span in spans} <= {"", root["span_id"]}
    assert len({span["span_id"] for span in spans}) == len(spans)
    assert all(len(span["trace_id"]) == 32 and len(span["span_id"]) == 16 for span in spans)
    assert all(0 < span["start_ns"] <= span["end_ns"] for span in spans)


def test_the_recordings_show_what_they_should() -> None:
    """All dialects, tools, a run that failed, and one that broke off."""

    def errors(recording: Recording) -> set[str]:
        spans = json.loads(golden_path(recording.name, "0.1").read_text(encoding="utf-8"))
        return {span["attributes"].get("error.type", "") for span in spans} - {""}

    assert {recording.dialect for recording in RECORDINGS} == {"assistants", "responses", "chat"}
    assert {error for recording in RECORDINGS for error in errors(recording)} == {
        "stream_truncated",
        "insufficient_quota",
    }
    assert len(list(golden_path("x", "0.1").parent.iterdir())) == len(VERSIONS) * (1 + len(RECORDINGS))


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_picture_is_current() -> None:
    assert PICTURE.read_text(encoding="utf-8") == trace_picture()


def test_the_picture_shows_the_spans() -> None:
    """Each by its name, bars as long as they took."""
    shown = ElementTree.fromstring(PICTURE.read_text(encoding="utf-8"))
    space = "{http://www.w3.org/2000/svg}"
    texts = ["".join(text.itertext()) for text in shown.iter(f"{space}text")]
    bars = [float(bar.attrib["width"]) for bar in shown.iter(f"{space}rect")][1:]  # after the background
    spans: list[ReceivedSpan] = demo_spans("0.1")
    seconds = sorted((span.end_ns - span.start_ns) / 1e9 for span in spans)

    assert sorted(text for text in texts if text in {span.name for span in spans}) == sorted(
        span.name for span in spans
    )
    assert [round(width / max(bars) * max(seconds), 1) for width in sorted(bars)] == seconds


def test_the_names_in_the_page_are_those_of_the_sink() -> None:
    text = PAGE.read_text(encoding="utf-8")

    assert text == page_with_names(text)
