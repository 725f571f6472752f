"""Traces of streams, as a collector has them: the golden files of the OpenTelemetry sink, and the picture in its page.

    python -m tests.otlp_traces CORPUS

writes anew tests/conformance/expected/otlp/*.json, docs/trace.svg, and the table of names in docs/sinks/otlp.md.

A stream goes through the processor as it would in a pipeline, with a clock of its own: its first change comes in when
its run was created, every other one 10 ms after the one before it. The spans are those in the bodies of the requests,
decoded with `opentelemetry-proto`. They hold no content, so those of recordings hold none of their texts.
"""

import json
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from streamproc import Change, Run, StreamProcessor
from streamproc.cli.bundled import bundled_streams
from streamproc.core.change import Origin
from streamproc.sinks._otlp_names import NAMES, Semconv
from streamproc.sinks._otlp_request import Encoder
from streamproc.sinks._otlp_spans import SpanMaker
from tests.otlp_receiver import ReceivedSpan, spans_of
from tests.trace_picture import picture

__all__ = [
    "PAGE",
    "PICTURE",
    "RECORDINGS",
    "VERSIONS",
    "Recording",
    "demo_spans",
    "golden_path",
    "golden_text",
    "is_documented",
    "page_with_names",
    "recorded_spans",
    "trace_picture",
]

ROOT: Final = Path(__file__).resolve().parent.parent
FOLDER: Final = ROOT / "tests" / "conformance" / "expected" / "otlp"
PICTURE: Final = ROOT / "docs" / "trace.svg"
PAGE: Final = ROOT / "docs" / "sinks" / "otlp.md"
VERSIONS: Final[Sequence[Semconv]] = ("0.1", "1.36")

_STEP: Final = timedelta(milliseconds=10)
_NOBODY_SAID: Final = 1_767_225_600  # 2026-01-01, for streams that tell no time


class Recording(Struct, frozen=True):
    """A recorded stream, and what it shows."""

    name: str  # of its golden files
    dialect: str
    files: tuple[str, ...]  # the streams of one run, in order
    provider: str = "openai"


RECORDINGS: Final = (
    Recording("assistants_tools", "assistants", ("traceloop_openllmetry__test_streaming_assistant.i3.a4bd5dd.sse",)),
    Recording("assistants_truncated", "assistants", ("openai_openai-openapi__spec__threads_runs_ex1.f85dbe2.sse",)),
    Recording("responses_tools", "responses", ("vercel_ai__openai-web-search-tool.1.sse",)),
    Recording("responses_failed", "responses", ("vercel_ai__openai-error.1.sse",)),
    Recording(
        "chat_parallel_tools",
        "chat",
        (
            "elastic_elastic-otel-python-instrumentations__test_chat_stream_with_parallel_tools_and_capture_message_"
            "content.i0.sse",
        ),
    ),
)


def spans_of_streams(
    streams: Sequence[bytes], *, name: str, semconv: Semconv, dialect: str = "assistants", provider: str = "openai"
) -> list[ReceivedSpan]:
    """The spans of the streams of one run, as they arrive."""
    maker = SpanMaker(NAMES[semconv], provider)
    encoder = Encoder({"service.name": "streamproc"}, NAMES[semconv].schema_url, 4 * 1024 * 1024)
    changes = _changes(streams, name, dialect)
    made = [(change, encoder.encode(span)) for change in changes for span in maker.spans_of(change)]
    return [span for request in encoder.requests(made) for span in spans_of(request.body)]


def _changes(streams: Sequence[bytes], name: str, dialect: str) -> Iterator[Change]:
    proc = StreamProcessor(dialect, stream=name)
    changes: list[Change] = []
    for stream in streams:
        proc.open()
        changes += [*proc.feed(stream), *proc.close()]
    created = (change.state.created_at for change in changes if change.kind == "run" and isinstance(change.state, Run))
    begun = next((said for said in created if isinstance(said, int)), _NOBODY_SAID)
    at = datetime.fromtimestamp(begun, UTC)
    for number, change in enumerate(changes):
        origin = Origin(change.stream, change.epoch, (at + number * _STEP).isoformat())
        yield msgspec.structs.replace(change, origin=origin)


def golden_path(name: str, semconv: Semconv) -> Path:
    return FOLDER / f"{name}.semconv-{semconv}.json"


def golden_text(spans: Sequence[ReceivedSpan]) -> str:
    """Spans for people: one member a line, times as text beside the nanoseconds that they are of."""
    rows = [
        {
            "name": span.name,
            "kind": span.kind,
            "trace_id": span.trace_id,
            "span_id": span.span_id,
            "parent_span_id": span.parent_span_id,
            "start_ns": span.start_ns,
            "end_ns": span.end_ns,
            "start": _text(span.start_ns),
            "seconds": (span.end_ns - span.start_ns) / 1e9,
            "status": span.status,
            "status_message": span.status_message,
            "attributes": span.attributes,
        }
        for span in spans
    ]
    return json.dumps(rows, indent=2, ensure_ascii=False) + "\n"


def _text(ns: int) -> str:
    return datetime.fromtimestamp(ns // 10**9, UTC).isoformat()


def demo_spans(semconv: Semconv) -> list[ReceivedSpan]:
    """Those of the built-in run."""
    return spans_of_streams(bundled_streams(), name="demo", semconv=semconv)


def recorded_spans(recording: Recording, corpus: Path, semconv: Semconv) -> list[ReceivedSpan]:
    streams = [(corpus / recording.dialect / file).read_bytes() for file in recording.files]
    return spans_of_streams(
        streams, name=recording.name, semconv=semconv, dialect=recording.dialect, provider=recording.provider
    )


def trace_picture() -> str:
    """The built-in run as a waterfall, as SVG."""
    return picture(demo_spans("0.1"))


# What each name of streamproc/sinks/_otlp_names.py holds, and on which spans: (r)un, (c)hat, (t)ool.
_MEANINGS: Final = {
    "operation": ("rct", "`invoke_agent`, `chat` or `execute_tool`"),
    "provider": ("rc", "the option `provider`"),
    "conversation_id": ("rct", "`thread_id`, if the server named one"),
    "agent_id": ("r", "`assistant_id`, unless it is the model"),
    "request_model": ("rc", "`model` of the run"),
    "temperature": ("r", "`temperature`"),
    "top_p": ("r", "`top_p`"),
    "max_tokens": ("r", "`max_completion_tokens`"),
    "output_type": ("r", "`response_format`: `text` or `json`"),
    "finish_reasons": ("rc", "why it is incomplete, in a list; of a step its `metadata.finish_reason`"),
    "input_tokens": ("rc", "`usage.prompt_tokens`"),
    "output_tokens": ("rc", "`usage.completion_tokens`"),
    "cached_tokens": ("rc", "those of them from a cache"),
    "cache_write_tokens": ("rc", "those of them written to one"),
    "reasoning_tokens": ("rc", "those of the output spent on reasoning"),
    "tool_name": ("t", "the function's name, else the type of the call"),
    "tool_call_id": ("t", "`id` of the call"),
    "tool_type": ("t", "`function`, `datastore` or `extension`; none for types that are not known"),
    "error_type": ("rct", "see Status"),
    "instructions": ("r", "content: `instructions`"),
    "tool_definitions": ("r", "content: `tools`"),
    "output_messages": ("c", "content: the message"),
    "tool_arguments": ("t", "content: the arguments as the model wrote them"),
    "tool_result": ("t", "content: the output"),
    "stream": ("rct", "of the change: its stream,"),
    "epoch": ("rct", "its epoch,"),
    "seq": ("rct", "its number in that,"),
    "revision": ("rct", "and the revision of the object: of two spans the higher `(epoch, revision)` is newer"),
    "run_id": ("rct", "`id` of the run"),
    "step_id": ("ct", "`id` of the step"),
    "step_type": ("ct", "`type` of the step"),
    "message_id": ("c", "`id` of the message"),
    "call_index": ("t", "which call of its step it is, from 0"),
    "status": ("rct", "`status`, as the server said it"),
    "inferred_status": ("rct", "how it must have ended, when its run ended first"),
    "truncated": ("rct", "true: its stream broke off, and its end is when that was noticed"),
    "start_unknown": ("rct", "true: nobody said when it began, and it begins where it ends"),
    "cut": ("rct", "names of attributes whose values were too long and have lost their ends"),
}
_BEGIN: Final = "<!-- names: written by `python -m tests.otlp_traces` -->\n\n"
_END: Final = "\n<!-- end of names -->"


def is_documented(span: ReceivedSpan, semconv: Semconv) -> bool:
    """Whether the table says that such a span has the attributes that it has."""
    kind = {"invoke_agent": "r", "chat": "c"}.get(span.name.partition(" ")[0], "t")
    known = {getattr(NAMES[semconv], field) for field, (spans, _) in _MEANINGS.items() if kind in spans}
    return span.attributes.keys() <= known


def page_with_names(page: str) -> str:
    """The page of the sink with its table as it should be."""
    before, begin, rest = page.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    assert begin, "the page has no table of names"
    assert end, "the table of names has no end"
    return f"{before}{_BEGIN}{_names_table()}{_END}{after}"


def _names_table() -> str:
    lines = ["| semconv 0.1 | semconv 1.36 | run | chat | tool | holds |", "|---|---|---|---|---|---|"]
    newest, older = NAMES["0.1"], NAMES["1.36"]
    for field in newest.__struct_fields__:
        if field == "schema_url":
            continue
        spans, text = _MEANINGS[field]
        name, other = getattr(newest, field), getattr(older, field)
        shown = "the same" if other == name else f"`{other}`" if other else "none"
        marks = " | ".join("●" if kind in spans else "" for kind in "rct")
        lines.append(f"| `{name}` | {shown} | {marks} | {text} |")
    return "\n".join(lines) + "\n"


def _main(corpus: Path) -> None:
    FOLDER.mkdir(exist_ok=True)
    for semconv in VERSIONS:
        golden_path("demo", semconv).write_text(golden_text(demo_spans(semconv)), encoding="utf-8")
        for recording in RECORDINGS:
            spans = recorded_spans(recording, corpus, semconv)
            golden_path(recording.name, semconv).write_text(golden_text(spans), encoding="utf-8")
    PICTURE.write_text(trace_picture(), encoding="utf-8")
    PAGE.write_text(page_with_names(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
