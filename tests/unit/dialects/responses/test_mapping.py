"""docs/dialects/responses.md: each row of its tables is sent, and does what it says; no event or item lacks one."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, get_args

import pytest
from openai.types.responses import ResponseOutputItem, ResponseStreamEvent

from streamproc import StreamProcessor
from streamproc.dialects.responses.events import EVENTS
from tests.response_streams import (
    Json,
    added,
    changed,
    delta,
    done,
    event,
    function_call,
    message,
    numbered,
    refusal,
    response,
    sse,
    state,
    text,
)

PAGE: Final = Path(__file__).resolve().parents[4] / "docs" / "dialects" / "responses.md"

_BETA: Final = {"agent_message", "multi_agent_call", "multi_agent_call_output"}
_NOT_IN_UNION: Final = {"error", "response.done", "response.steer.accepted", "response.steer.pending"}


def rows(heading: str) -> dict[str, list[str]]:
    """The table under a heading: first cell, without its backticks, -> the others."""
    part = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in part.splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0].strip("`"): row[1:] for row in cells}


def type_names(union: Any) -> Iterator[str]:
    """The discriminators of the structs in a union of the published package."""
    for member in get_args(union):
        fields = getattr(member, "model_fields", None)
        if fields is None:
            yield from type_names(member)
        else:
            yield get_args(fields["type"].annotation)[0]


# --- events -----------------------------------------------------------------------------------------------------------

_SEARCH: Final = {"id": "ws_0123456789abcdef", "type": "web_search_call", "status": "in_progress"}


def item(kind: str, **members: Any) -> Json:
    return {"id": f"{kind}_0123456789abcdef", "type": kind, **members}


def before(name: str) -> Iterable[Json]:
    """What a stream has said before an event of that name."""
    kind = name.removeprefix("response.").partition(".")[0]
    if name.startswith("response.reasoning"):
        return (added(item("reasoning")),)
    if name == "response.output_item.done":
        return (added(message(status="in_progress")),)
    if kind in ("content_part", "output_text", "refusal"):
        grown = {
            "response.output_text.done": [event("content_part.added", part=text(), content_index=0), words("a")],
            "response.content_part.done": [event("content_part.added", part=text(), content_index=0), words("a")],
            "response.refusal.done": [delta("refusal", "a")],
        }
        begun = event("content_part.added", part=refusal() if kind == "refusal" else text(), content_index=0)
        return (added(message(status="in_progress")), *grown.get(name, [] if kind == "content_part" else [begun]))
    calls = ("function_call", "custom_tool_call", "mcp_call", "code_interpreter_call", "file_search_call")
    for call in (*calls, "web_search_call", "image_generation_call"):
        if kind.startswith(call):
            fragment = delta(kind, "a") if name.endswith(".done") else None
            return (added(item(call, status="in_progress")), *([fragment] if fragment else []))
    return ()


def words(fragment: str) -> Json:
    return delta("output_text", fragment, content_index=0)


def sent(name: str) -> Json:
    """An event of that name."""
    what = name.removeprefix("response.")
    if what in ("created", "queued", "in_progress", "completed", "failed", "incomplete"):
        return response(what)
    special: dict[str, Json] = {
        "response.done": {**response("completed"), "type": "response.done"},
        "error": {"type": "error", "message": "m", "code": "c", "param": None},
        "response.output_item.added": added(message(status="in_progress")),
        "response.output_item.done": done(message(text("a"))),
        "response.content_part.added": event("content_part.added", part=text(), content_index=0),
        "response.content_part.done": event("content_part.done", part=text("a"), content_index=0),
        "response.output_text.annotation.added": event(
            "output_text.annotation.added", content_index=0, annotation_index=0, annotation={"type": "file_path"}
        ),
        "response.image_generation_call.partial_image": event(
            "image_generation_call.partial_image", partial_image_index=0, partial_image_b64="AAAA"
        ),
    }
    whole: Json = {
        "text": "a",
        "refusal": "a",
        "arguments": "a",
        "input": "a",
        "code": "a",
        "diff": "a",
        "part": text("a"),
    }
    members: Json = {"delta": "a"} if name.endswith(".delta") else whole if name.endswith(".done") else {}
    return special.get(name, {**event(what, **members), "type": name})


@pytest.mark.parametrize("name", rows("Events"))
def test_event_does_what_its_row_says(name: str) -> None:
    """The canonical events are those of the third column, in that order, and there is no anomaly."""
    _, canonical = rows("Events")[name]
    proc = StreamProcessor("responses")
    begun = {"response.created": [], "response.queued": [response()]}.get(name, [response("queued")])
    proc.feed(sse(*begun, *before(name)))
    changes = changed(proc, sent(name))

    assert re.findall("`([^`]+)`", canonical) == [change.event for change in changes]
    assert not proc.anomalies


@pytest.mark.parametrize("name", rows("Events"))
def test_event_changes_nothing_more_where_it_stands_alone(name: str) -> None:
    """As the first event of a stream it raises nothing, and all that it opens is open or ended properly."""
    proc = StreamProcessor("responses")
    proc.feed(sse(sent(name)))
    proc.close()

    assert not {"bad_json", "unknown_event", "unknown_type", "type_conflict"} & proc.anomalies.keys()


def test_every_event_has_a_row() -> None:
    """Those of the published package, of WebSockets, and all that the dialect knows; nothing else has one."""
    published = {*type_names(ResponseStreamEvent)}

    assert published | _NOT_IN_UNION <= rows("Events").keys()
    assert {*EVENTS} - {"response"} | {"error"} == rows("Events").keys()


# --- items ------------------------------------------------------------------------------------------------------------


def outputs_of(kind: str) -> str:
    """The type of the call that an output belongs to."""
    if kind == "mcp_approval_response":
        return "mcp_approval_request"
    stem = kind.removesuffix("_output")
    return stem if stem.endswith("_call") or stem == "program" else f"{stem}_call"


def outcome(kind: str) -> tuple[str, str]:
    """What becomes of an item, as its row puts it."""
    proc = StreamProcessor("responses")
    if kind.endswith("_output") or kind == "mcp_approval_response":
        call = item(outputs_of(kind), call_id="call_1")
        if "approval" in kind:
            del call["call_id"]
        proc.feed(sse(response(), done(call)))
        proc.feed(
            sse(done(item(kind, call_id="call_1", approval_request_id=call["id"], output="out", approve=True), 1))
        )
        (step,) = map(state, proc.steps.values())
        (made,) = step["step_details"]["tool_calls"]

        assert step["status"] == "completed"
        assert made["function"]["output"] == ('{"approve":true}' if "approval" in kind else "out")
        return "output of its call", ""
    proc.feed(sse(response(), done(message(text("a"), status=None) if kind == "message" else item(kind, call_id="c"))))
    if kind == "message":
        (made,) = proc.steps.values()
        return ("message", str(made.status)) if list(proc.messages) == [made.id] else ("", "")
    proc.feed(sse(response("completed")))
    extras = state(next(iter(proc.runs.values()))).get("extras", {})
    if not proc.steps:
        return next(f"extras.{name}" for name in ("reasoning", "items") if name in extras), ""
    (step,) = map(state, proc.steps.values())
    awaiting = step.get("metadata", {}).get("awaiting")
    return step["step_details"]["tool_calls"][0]["type"], f"awaits {awaiting}" if awaiting else step["status"]


@pytest.mark.parametrize("kind", rows("Items"))
def test_item_becomes_what_its_row_says(kind: str) -> None:
    """And ends as it says."""
    becomes, ends = rows("Items")[kind]

    assert (becomes, ends) == outcome(kind)


def test_every_item_has_a_row() -> None:
    """Those of the published package, and of its beta."""
    assert {*type_names(ResponseOutputItem)} | _BETA == rows("Items").keys()


def test_numbered_events_do_the_same() -> None:
    """A stream of many kinds of events, with sequence numbers and without."""
    payloads = [response(), added(_SEARCH), event("web_search_call.searching"), done(function_call(), 1)]
    plain, counted = StreamProcessor("responses"), StreamProcessor("responses")

    assert [c.raw for c in plain.feed(sse(*payloads))] == [c.raw for c in counted.feed(sse(*numbered(*payloads)))]
