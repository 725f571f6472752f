"""Reasoning, and other items that are no steps."""

import pytest

from streamproc import StreamProcessor
from tests.response_streams import (
    OPEN,
    Json,
    added,
    done,
    event,
    fed,
    message,
    only_step,
    response,
    state,
)

# --- reasoning and items without a step -------------------------------------------------------------------------------


def reasoning_of(proc: StreamProcessor) -> list[Json]:
    found: list[Json] = only_step(proc)["extras"]["reasoning"]
    return found


def test_reasoning_goes_to_the_next_step() -> None:
    """As the item has it, encrypted and all."""
    item = {
        "id": "rs_1",
        "type": "reasoning",
        "summary": [{"type": "summary_text", "text": "hm"}],
        "encrypted_content": "x",
    }
    proc = fed(response(), added({"id": "rs_1", "type": "reasoning", "summary": []}), done(item), done(message(), 1))

    assert reasoning_of(proc) == [item]


@pytest.mark.parametrize(
    ("payloads", "expected"),
    [
        (
            [
                event("reasoning_summary_text.delta", summary_index=0, delta="h"),
                event("reasoning_summary_text.delta", summary_index=0, delta="m"),
                event("reasoning_text.done", content_index=0, text="well"),
            ],
            {
                "content": [{"type": "reasoning_text", "text": "well"}],
                "summary": [{"type": "summary_text", "text": "hm"}],
            },
        ),
        (
            [
                event("reasoning_summary_text.delta", summary_index=0, delta="h"),
                event("reasoning_summary_part.done", summary_index=0, part={"type": "summary_text", "text": "hm"}),
            ],
            {"summary": [{"type": "summary_text", "text": "hm"}]},
        ),
        (
            [event("reasoning_text.delta", delta=5), event("reasoning_text.delta", delta="hm", content_index=None)],
            {
                "content": [{"type": "reasoning_text", "text": "hm"}],
            },
        ),
    ],
)
def test_reasoning_that_is_never_done(payloads: list[Json], expected: Json) -> None:
    """What was said of it goes with what follows; the item adds what only it has."""
    thought = {"id": "rs_1", "type": "reasoning"}
    proc = fed(response(), added(thought), *payloads, added(OPEN, 1))
    late = fed(response(), added(thought), *payloads, added(OPEN, 1), done({**thought, "encrypted_content": "x"}))
    plain = fed(response(), added(thought), *payloads, added(OPEN, 1), done({**thought, **expected}))

    assert reasoning_of(proc) == [{**thought, **expected}]
    assert state(next(iter(late.runs.values())))["extras"]["reasoning"] == [{**thought, "encrypted_content": "x"}]
    assert "extras" not in state(next(iter(plain.runs.values())))


def test_reasoning_whose_item_says_less() -> None:
    """The fragments count."""
    proc = fed(
        response(),
        event("reasoning_text.delta", id="rs_1", delta="hm"),
        done({"id": "rs_1", "type": "reasoning"}),
        done(message(), 1),
    )

    assert reasoning_of(proc)[0]["content"] == [{"type": "reasoning_text", "text": "hm"}]


def test_reasoning_without_end() -> None:
    """There are bounds, of characters and of parts."""
    long = [event("reasoning_text.delta", delta="x" * 300_000) for _ in range(4)]
    whole = [event("reasoning_text.done", text="y" * 1_000_000), event("reasoning_text.done", text="z" * 2_000_000)]
    many = [event("reasoning_text.delta", 1, content_index=number, delta="a") for number in range(1_001)]
    proc = fed(response(), *long, added(OPEN, 2))
    replaced = fed(response(), *long, *whole, added(OPEN, 2))
    parts = fed(response(), *many, added(OPEN, 2))

    assert len(reasoning_of(proc)[0]["content"][0]["text"]) == 900_000
    assert reasoning_of(replaced)[0]["content"][0]["text"] == "y" * 1_000_000
    assert len(reasoning_of(parts)[0]["content"]) == 1_000


def test_items_without_a_step() -> None:
    """They are the run's, without their images; of unknown ones it is said."""
    tools = {"id": "mcpl_1", "type": "mcp_list_tools", "server_label": "s", "tools": []}
    thing = {"id": "x_1", "type": "x_thing", "b64_json": "AAAA"}
    proc = fed(response(), done(tools), done(thing, 1), response("completed", tools, thing))
    (run,) = map(state, proc.runs.values())

    assert run["extras"]["items"] == [tools, {**thing, "b64_json": {"length": 4}}]
    assert proc.anomalies == {"unknown_type": 1}


def test_very_many_items_without_a_step() -> None:
    """There is a bound."""
    proc = fed(response(), *(done({"type": "compaction"}, number) for number in range(1_001)), response("completed"))

    assert len(state(next(iter(proc.runs.values())))["extras"]["items"]) == 1_000
