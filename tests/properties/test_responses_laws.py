"""The laws of the core, for Responses streams; docs/architecture.md, "What always holds", numbers them."""

import json
import random
import sys
import tracemalloc
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc import StreamProcessor, to_wire
from streamproc.core.dialect import Dialect
from streamproc.dialects import ResponsesDialect
from streamproc.dialects.responses import response_objects
from streamproc.model.message import Message, RefusalBlock
from streamproc.model.run_step import RunStep
from tests.properties.generators import (
    CUTS,
    FEW,
    MANY,
    MUTATIONS,
    SOME,
    TERMINAL,
    Json,
    canonical,
    cut,
    feed,
    finals,
    mutated,
    outcome,
    read,
)
from tests.properties.response_generators import BLOCKS, RESPONSES, SpokenResponse
from tests.response_streams import added, delta, function_call, message, response, sse
from tests.streams import wire

pytestmark = pytest.mark.slow


class PlainDialect:
    """The dialect without what reads its fragments fast."""

    def __init__(self) -> None:
        inner = ResponsesDialect()
        self.decode, self.finish, self.cursor = inner.decode, inner.finish, None


def stream(responses: list[SpokenResponse]) -> bytes:
    return sse(*(payload for spoken in responses for payload in spoken.payloads))


# --- 1. Chunking ------------------------------------------------------------------------------------------------------


@SOME
@given(BLOCKS, CUTS)
def test_any_split_gives_the_same_changes(blocks: list[bytes], cuts: list[float]) -> None:
    """Also event by event, and byte by byte; and reading fragments fast makes no difference."""
    data = b"".join(blocks)
    expected = outcome([data], dialect=ResponsesDialect())
    plain: Dialect = PlainDialect()

    assert expected == outcome(cut(data, cuts), dialect=ResponsesDialect())
    assert expected == outcome(blocks, dialect=ResponsesDialect())
    assert expected == outcome([data[at : at + 1] for at in range(len(data))], dialect=ResponsesDialect())
    assert expected == outcome([data], dialect=plain)


# --- 2. Faithful ------------------------------------------------------------------------------------------------------


@MANY
@given(RESPONSES)
def test_states_equal_the_items_that_a_stream_was_cut_from(responses: list[SpokenResponse]) -> None:
    """Texts, refusals, arguments, names; no step more than there are messages and calls."""
    proc = StreamProcessor("responses")
    feed(proc, [stream(responses)])
    items = [item for spoken in responses for item in spoken.items]
    messages = {item["id"]: item for item in items if item["type"] == "message"}
    calls = {item["id"]: item for item in items if item["type"].endswith("_call")}

    assert messages.keys() == proc.messages.keys()
    assert messages.keys() | calls.keys() == proc.steps.keys()
    for id, item in messages.items():
        state, parts = proc.messages[id], item["content"]
        refusals = [block.refusal for block in state.content or () if isinstance(block, RefusalBlock)]
        assert state.text == "".join(part.get("text", "") for part in parts)
        assert refusals == [part["refusal"] for part in parts if "refusal" in part]
    for id, item in calls.items():
        call = wire(proc.steps[id])["step_details"]["tool_calls"][0]
        said = call["code_interpreter"]["input"] if "code" in item else call["function"]["arguments"]
        given = json.dumps(item["action"]) if "action" in item else ""
        whole = next((item[name] for name in ("arguments", "input", "code") if name in item), given)
        assert whole == said or json.loads(whole) == json.loads(said)
    assert not proc.anomalies.keys() - {"unknown_type"}


@FEW
@given(RESPONSES)
def test_a_response_is_what_its_stream_was(responses: list[SpokenResponse]) -> None:
    """Asked for instead of streamed it has the same ids and contents; what no one but a stream says apart."""
    for spoken in responses:
        proc = StreamProcessor("responses")
        feed(proc, [sse(*spoken.payloads)])
        objects = response_objects(spoken.payloads[-1]["response"])
        messages = {obj.id: obj for obj in objects if isinstance(obj, Message)}
        steps = {obj.id: obj for obj in objects if isinstance(obj, RunStep)}

        assert proc.steps.keys() == steps.keys()
        assert proc.messages.keys() == messages.keys()
        for id, found in messages.items():
            assert wire(proc.messages[id])["content"] == wire(found)["content"]
        for id, step in steps.items():
            assert wire(proc.steps[id])["step_details"] == wire(step)["step_details"]
            assert proc.steps[id].status == step.status


# --- 3. Linear --------------------------------------------------------------------------------------------------------


def cost(size: int) -> tuple[int, int]:
    """Of 40 fragments, in a response that has so many thousand characters and calls: calls of functions, bytes."""
    proc = StreamProcessor("responses")
    proc.feed(sse(response(), added(message(status="in_progress")), added(function_call(), 1)))
    for number in range(size):
        proc.feed(sse(delta("output_text", "x" * 1000, content_index=0)))
        proc.feed(sse(delta("function_call_arguments", "x" * 1000, 1)))
        call = function_call(id=f"fc_{number:020}", call_id=f"call_{number}")
        proc.feed(sse(added(call, number + 2)))
    fragments = [sse(delta("output_text", "a", content_index=0)), sse(delta("function_call_arguments", "a", 1))] * 20
    called = 0

    def count(frame: object, what: str, arg: object) -> None:
        nonlocal called
        called += what in ("call", "c_call")

    changes: list[Any] = []
    tracemalloc.start()
    sys.setprofile(count)
    for fragment in fragments:
        changes += proc.feed(fragment)
    sys.setprofile(None)
    size_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert len(changes) == 40
    return called, size_bytes


def test_a_fragment_costs_the_same_in_a_response_of_any_size() -> None:
    """Counted, not timed."""
    small, large = cost(20), cost(200)

    assert large[0] <= small[0] * 1.2 + 100
    assert large[1] <= small[1] * 1.2 + 100_000


# --- 4. Views ---------------------------------------------------------------------------------------------------------


@SOME
@given(BLOCKS, st.randoms(use_true_random=False))
def test_a_state_read_late_is_what_it_was(blocks: list[bytes], rng: random.Random) -> None:
    """Read in any order, after everything else has come."""
    proc = StreamProcessor("responses")
    changes, expected = [], []
    for block in blocks:
        for change in proc.feed(block):
            changes.append(change)
            expected.append(read(change))
    late = [*range(len(changes))]
    rng.shuffle(late)

    assert [expected[at] for at in late] == [read(changes[at]) for at in late]


# --- 5. Terminal ------------------------------------------------------------------------------------------------------


@SOME
@given(BLOCKS)
def test_a_terminal_status_never_changes(blocks: list[bytes]) -> None:
    """Nor does the text of a message that ended."""
    proc = StreamProcessor("responses")
    ended: dict[tuple[str, str], tuple[str, str]] = {}
    for block in blocks:
        proc.feed(block)
        for name, table in finals(proc).items():
            for id, spelled in table.items():
                now = json.loads(spelled)
                if now["status"] in TERMINAL[name]:
                    fact = now["status"], canonical(now.get("content"))
                    assert ended.setdefault((name, id), fact) == fact


# --- 6. Continuation --------------------------------------------------------------------------------------------------


@SOME
@given(RESPONSES, st.booleans())
def test_responses_in_several_streams_give_the_states_of_one(responses: list[SpokenResponse], closes: bool) -> None:
    """One after the other into one table, with `open` between."""
    whole = StreamProcessor("responses")
    feed(whole, [stream(responses)])
    parts = StreamProcessor("responses")
    for spoken in responses:
        feed(parts, [sse(*spoken.payloads)], close=closes)
        parts.open()

    assert finals(whole) == finals(parts)


@SOME
@given(RESPONSES, st.floats(0, 1), st.integers(0, 4))
def test_a_response_read_on_by_another_dialect_is_the_same(
    responses: list[SpokenResponse], where: float, overlap: int
) -> None:
    """One that was restarted knows the states, and nothing of the stream; one that was not drops what overlaps."""
    payloads = responses[0].payloads
    at = int(where * (len(payloads) - 1))
    whole, begun, resumed = (StreamProcessor("responses") for _ in range(3))
    feed(whole, [sse(*payloads)])
    begun.feed(sse(*payloads[:at]))
    dialect = ResponsesDialect(response_id=payloads[0]["response"]["id"])
    restarted = StreamProcessor(dialect, reducer=begun.reducer)
    feed(restarted, [sse(*payloads[at:])])

    assert texts(whole) == texts(restarted)
    assert not restarted.anomalies.keys() - {"unknown_type"}
    if "sequence_number" in payloads[0]:
        resumed.feed(sse(*payloads[:at]))
        resumed.resume()
        feed(resumed, [sse(*payloads[max(0, at - overlap) :])])
        assert finals(whole) == finals(resumed)
        assert whole.anomalies == resumed.anomalies


def texts(proc: StreamProcessor) -> Mapping[str, Any]:
    """What objects hold in the end, and how they ended."""
    found: dict[str, Any] = {id: (message.text, message.status) for id, message in proc.messages.items()}
    for id, step in proc.steps.items():
        found[f"step {id}"] = step.status, canonical(wire(step)["step_details"])
    return found


# --- 7. Tolerant ------------------------------------------------------------------------------------------------------


@MANY
@given(RESPONSES, MUTATIONS)
def test_no_mutation_of_a_stream_raises(responses: list[SpokenResponse], mutations: list[Any]) -> None:
    """Nor does anything that can be read of it afterwards."""
    outcome([mutated(stream(responses), mutations)], dialect=ResponsesDialect())


@MANY
@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_raise(data: bytes, as_data: bool) -> None:
    """As they are, and as the data of an event."""
    block = b"event: response.output_text.delta\ndata: " + data.replace(b"\n", b"") + b"\n\n"

    feed(StreamProcessor("responses"), [block if as_data else data])


@SOME
@given(RESPONSES, st.floats(0, 1))
def test_a_truncated_stream_completes_nothing(responses: list[SpokenResponse], where: float) -> None:
    """A step that is completed is so in the whole stream, with the same details."""
    data = stream(responses)
    whole, part = StreamProcessor("responses"), StreamProcessor("responses")
    feed(whole, [data])
    feed(part, [data[: int(where * len(data))]])
    done = {id: step for id, step in part.steps.items() if step.status == "completed"}

    for id, step in done.items():
        assert whole.steps[id].status == "completed"
        assert wire(step)["step_details"] == wire(whole.steps[id])["step_details"]
    assert {json.loads(to_wire(run))["status"] for run in part.runs.values()} <= {
        "in_progress",
        *(json.loads(to_wire(run))["status"] for run in whole.runs.values()),
    }


@FEW
@given(BLOCKS)
def test_found_out_by_itself_it_is_the_same(blocks: list[bytes]) -> None:
    """The dialect "auto" gives the same states once it saw an event that can only be one of a response."""
    named, found = StreamProcessor("responses"), StreamProcessor("auto")
    first = sse(response(id="resp_of_the_first_one"))
    feed(named, [first, *blocks])
    feed(found, [first, *blocks])
    expected: Json = finals(named)

    assert expected == finals(found)
