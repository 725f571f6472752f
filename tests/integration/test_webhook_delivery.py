"""A pipeline that posts to a receiver which refuses, cuts connections, dies and comes back, or wants no more."""

from collections import defaultdict
from pathlib import Path
from random import Random

import anyio
import anyio.to_thread
import pytest
from structlog.testing import capture_logs

from streamproc import DeliveryPolicy, Pipeline, StreamProcessor
from streamproc.delivery.policy import Retry
from streamproc.sources import IterableSource
from streamproc.stores.memory import MemoryStore
from tests.streams import arguments, done, run, sse, step
from tests.unit.sinks.webhooks import SECRET, sink_to
from tests.webhook_receiver import Receiver, ReceiverProcess, Told, keys, running, taken

QUICK = DeliveryPolicy(batch_max=16, timeout_s=2.0, retry=Retry(base_s=0.01, cap_s=0.05), breaker_pause_s=0.02)


def stream(number: int) -> bytes:
    """A run with a step of some fragments."""
    run_id, step_id = f"run_{number}", f"step_{number}"
    owner = {"run_id": run_id}
    parts = [run("created", run_id), step("created", step_id, **owner)]
    parts += [arguments("x", id=step_id) for _ in range(20)]
    parts += [step("completed", step_id, **owner), run("completed", run_id), done()]
    return sse(*parts)


def source(number: int) -> IterableSource:
    return IterableSource([stream(number)], name=f"run_{number}")


def count() -> int:
    """How many changes a run has."""
    processor = StreamProcessor()
    return len([*processor.feed(stream(0)), *processor.close()])


COUNT = count()


@pytest.mark.slow
@pytest.mark.asyncio
async def test_nothing_is_lost_when_the_receiver_is_killed(tmp_path: Path) -> None:
    """What came twice has the id that it had, and each run is in order."""
    with ReceiverProcess(tmp_path / "arrived.jsonl", SECRET) as receiver:

        def trouble() -> None:
            receiver.await_taken(20)
            receiver.tell(cut=True, times=1)
            receiver.await_taken(30)
            receiver.kill()
            receiver.start()
            receiver.tell(status=503, times=5)
            receiver.await_taken(60)
            receiver.pause()
            receiver.kill()
            receiver.start()

        receiver.tell(delay_s=0.004)  # it records first and answers then, so a kill is likely to come in between
        sink = sink_to(receiver.url, timeout_s=0.5, max_in_flight=3)
        pipeline = Pipeline([(sink, QUICK)], drain_s=60.0, random=Random(1))
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.to_thread.run_sync, trouble)
            async with pipeline:
                for number in range(5):
                    await pipeline.run(source(number))
        (account,) = pipeline.statistics()
        found = taken(receiver.record)
    first: dict[str, list[int]] = defaultdict(list)
    ids: dict[tuple[str, int, int], set[str]] = defaultdict(set)
    for one, key in zip(found, keys(found), strict=True):
        ids[key].add(one.id)
        if key[2] not in first[key[0]]:
            first[key[0]].append(key[2])

    assert (account.acked, account.dead, account.dropped) == (5 * COUNT, 0, 0)
    assert first == {f"run_{number}": [*range(1, COUNT + 1)] for number in range(5)}
    assert all(len(same) == 1 for same in ids.values())
    assert len({id for same in ids.values() for id in same}) == len(ids)
    assert all(one.valid for one in found)


@pytest.mark.asyncio
async def test_an_endpoint_that_wants_no_more() -> None:
    """The sink is closed, the pipeline goes on, and the journal keeps what the endpoint did not get."""
    receiver, store = Receiver(SECRET), MemoryStore()
    receiver.tell(Told(times=10), Told(status=410))
    async with running(receiver):
        with capture_logs() as logs:
            async with Pipeline([(sink_to(receiver.url), QUICK)], store=store) as pipeline:
                result = await pipeline.run(source(0))
        (gone,) = pipeline.statistics()
        requests = len(receiver.arrived)
        receiver.forget()
        async with Pipeline([(sink_to(receiver.url), QUICK)], store=store) as pipeline:
            pass
        (back,) = pipeline.statistics()
    closed = [(entry["event"], entry["reason"]) for entry in logs if entry["event"].startswith("sink.")]
    arrived = [seq for _, _, seq in keys([one for one in receiver.arrived if one.status == 204])]

    assert result.error is None
    assert closed == [("sink.closed", f"{receiver.url[7:-5]} answered 410")]
    assert (gone.state, gone.acked, gone.dead, gone.dropped) == ("closed", 0, 0, 0)
    assert (requests, back.acked) == (11, COUNT)
    assert sorted(set(arrived)) == [*range(1, COUNT + 1)]
