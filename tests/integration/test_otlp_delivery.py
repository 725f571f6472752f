"""A pipeline that sends spans to a collector which refuses, cuts connections, dies and comes back."""

from pathlib import Path
from random import Random
from typing import Any

import anyio
import anyio.to_thread
import pytest

from streamproc import DeliveryPolicy, Pipeline
from streamproc.delivery.policy import Retry
from streamproc.sinks._otlp_ids import span_id, trace_id
from streamproc.sinks.otlp import OtlpSink
from streamproc.sources import IterableSource
from tests.otlp_receiver import OtlpReceiver, OtlpReceiverProcess, latest, running, taken
from tests.streams import call, creation, done, event, run, sse, step

QUICK = DeliveryPolicy(
    deliver="final", batch_max=2, timeout_s=2.0, retry=Retry(base_s=0.01, cap_s=0.05), breaker_pause_s=0.02
)
RUNS = 12


def stream(number: int) -> bytes:
    """A run with a tool call and a message."""
    run_id = f"run_{number}"
    owner = {"run_id": run_id, "created_at": 1_767_603_600}
    parts = [
        run("created", run_id, created_at=1_767_603_600),
        step("completed", f"step_{number}_1", call("{}", id=f"call_{number}"), completed_at=1_767_603_601, **owner),
        step("completed", f"step_{number}_2", step_details=creation("msg_1"), completed_at=1_767_603_602, **owner),
        run("completed", run_id, created_at=1_767_603_600, completed_at=1_767_603_602),
        done(),
    ]
    return sse(*parts)


EXPECTED = {
    (trace_id(f"run_{number}").hex(), id.hex())
    for number in range(RUNS)
    for id in (
        span_id("run", f"run_{number}"),
        span_id("step", f"step_{number}_2"),
        span_id("call", f"step_{number}_1", f"call_{number}"),
    )
}


@pytest.mark.slow
@pytest.mark.asyncio
async def test_nothing_is_lost_when_the_collector_is_killed(tmp_path: Path) -> None:
    """What came twice is the same span, to the last attribute."""
    with OtlpReceiverProcess(tmp_path / "arrived.jsonl") as receiver:

        def trouble() -> None:
            receiver.await_taken(6)
            receiver.tell(cut=True, times=1)
            receiver.await_taken(9)
            receiver.kill()
            receiver.start()
            receiver.tell(status=503, times=3)
            receiver.await_taken(20)
            receiver.pause()
            receiver.kill()
            receiver.start()

        receiver.tell(delay_s=0.01)  # it records first and answers then, so a kill is likely to come in between
        sink = OtlpSink(receiver.url, timeout_s=0.5, env={})
        pipeline = Pipeline([(sink, QUICK)], drain_s=60.0, random=Random(1))
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.to_thread.run_sync, trouble)
            async with pipeline:
                for number in range(RUNS):
                    await pipeline.run(IterableSource([stream(number)], name=f"s{number}"))
        (account,) = pipeline.statistics()
        found = taken(receiver.record)
    kept = latest(found)

    assert (account.dead, account.dropped) == (0, 0)
    assert set(kept) == EXPECTED
    assert all(span == kept[span.trace_id, span.span_id] for span in found)


@pytest.mark.asyncio
async def test_each_way_of_delivery_ends_in_the_same_spans() -> None:
    """All changes, newest states or final ones; a step's message is late, and its usage later.

    The server says when the run began: final changes alone would not tell.
    """
    late = sse(
        run("created", created_at=1_767_000_000),
        step("completed", step_details=creation("msg_1")),
        event("thread.run.step.completed", {"id": "step_1", "usage": {"prompt_tokens": 1, "completion_tokens": 1}}),
        run("completed", created_at=1_767_000_000),
        done(),
    )
    spans = []
    for deliver in ("changes", "latest", "final"):
        receiver = OtlpReceiver()
        async with running(receiver):
            policy = DeliveryPolicy(deliver=deliver)
            async with Pipeline([(OtlpSink(receiver.url, env={}), policy)]) as pipeline:
                await pipeline.run(IterableSource([late], name="s"))
        spans.append({ids: span.attributes for ids, span in latest(receiver.spans).items()})
    attributes = [{ids: without_pass(one) for ids, one in each.items()} for each in spans]

    assert attributes[0] == attributes[1] == attributes[2]
    assert sorted(one.get("gen_ai.usage.input_tokens", 0) for one in attributes[0].values()) == [0, 1]


def without_pass(attributes: dict[str, Any]) -> dict[str, Any]:
    """Without the epoch, which is the time at which a pipeline began."""
    return {name: value for name, value in attributes.items() if name != "streamproc.epoch"}
