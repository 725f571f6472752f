"""What handing a batch on may cost, in calls: a batch travels as a whole, so its length must not matter."""

import asyncio
import sys
from types import FrameType

import anyio
import pytest

from benchmarks.fanout import CountingSink, batches, through_fanout
from benchmarks.workloads import tool_heavy
from streamproc import Change, StreamProcessor
from streamproc.delivery.fanout import Fanout
from streamproc.pipeline import Pipeline
from streamproc.testing.clock import run_virtual

SINKS = 4
OFFERS = 50


def made(size: int) -> list[Change]:
    """So many changes, nearly all of them of fragments."""
    return StreamProcessor().feed(tool_heavy(20).stream)[:size]


async def calls_of_offers(batch: list[Change]) -> tuple[float, float]:
    """Calls of Python functions and of built-in ones, a batch, from the offer to the last sink."""
    counts = {"call": 0, "c_call": 0}

    def count(frame: FrameType, what: str, argument: object) -> None:
        if what in counts:
            counts[what] += 1

    sinks = [CountingSink() for _ in range(SINKS)]
    fanout = Fanout(sinks)
    async with anyio.create_task_group() as group:
        await fanout.start(group)
        before = sys.getprofile()
        sys.setprofile(count)
        try:
            for number in range(1, OFFERS + 1):
                fanout.offer(batch)
                for _ in range(10_000):  # as often as it takes, without a timer among what is counted
                    await asyncio.sleep(0)
                    if sinks[-1].changes == number * len(batch):
                        break
        finally:
            sys.setprofile(before)
        await fanout.drain(1.0)
    assert [sink.changes for sink in sinks] == [OFFERS * len(batch)] * SINKS
    return counts["call"] / OFFERS, counts["c_call"] / OFFERS


@pytest.mark.asyncio
async def test_calls_of_python_functions_do_not_depend_on_the_length_of_a_batch() -> None:
    """Both batches are large enough to be written at once."""
    small, _ = await calls_of_offers(made(128))
    large, _ = await calls_of_offers(made(256))

    assert large <= small * 1.2


@pytest.mark.asyncio
async def test_calls_a_change_are_few() -> None:
    """Four sinks for less than one Python call a change; one built-in call is for its size."""
    batch = made(256)

    python, builtin = await calls_of_offers(batch)

    assert python < 0.6 * len(batch)
    assert builtin < 1.5 * len(batch)


def test_few_writes_when_single_changes_come_fast() -> None:
    """Changes that come one by one within a moment (in virtual time, at once) are written together."""
    sinks = [CountingSink() for _ in range(SINKS)]

    made = run_virtual(through_fanout, batches(tool_heavy(1, deltas=500), 1), sinks)

    assert [made] * SINKS == [sink.changes for sink in sinks]
    assert max(sink.writes for sink in sinks) < made / 50


@pytest.mark.asyncio
async def test_every_change_arrives_through_the_pipeline() -> None:
    """The row on the whole pipeline measures the same work."""
    sinks = [CountingSink() for _ in range(SINKS)]
    async with Pipeline(sinks) as pipeline:
        await pipeline.run(batches(tool_heavy(1), 16))

    assert len({sink.changes for sink in sinks}) == 1
    assert sinks[0].changes == pipeline.statistics()[0].acked > 200
