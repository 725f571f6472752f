"""What handing changes to four sinks costs beyond making them: through the fan-out alone, and through a whole pipeline.

Everything runs in one event loop, without a socket. The base feeds a processor and lets the loop go round once after
each chunk, as reading would; so do the candidates, and every batch is written by itself. The remarks also give the
ratio to a plain loop over `feed`, where nothing waits and no loop turns. A sink counts what it gets and does nothing
else; all changes must have arrived.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from time import process_time
from typing import Final

from anyio import create_task_group

from benchmarks.rounds import Times, alternate, cpu_time
from benchmarks.table import Row
from benchmarks.workloads import Workload, tool_heavy
from streamproc import Change, StreamProcessor
from streamproc.delivery.fanout import Fanout
from streamproc.pipeline import Pipeline
from streamproc.sources.iterable import IterableSource

__all__ = ["CountingSink", "batches", "rows", "through_fanout"]

_SINKS: Final = 4
_BATCHES: Final = (256, 16, 1)  # changes in a chunk


class CountingSink:
    """The cheapest sink there is."""

    def __init__(self) -> None:
        self.changes = 0
        self.writes = 0

    async def write(self, batch: Sequence[Change]) -> None:
        self.changes += len(batch)
        self.writes += 1


def rows(rounds: int, *, quick: bool) -> Iterator[Row]:
    """Yield all rows on the fan-out."""
    workload = tool_heavy(steps=10 if quick else 50)
    for size in _BATCHES:
        chunks = batches(workload, size)
        times = _times(chunks, rounds)
        core, fanned, whole = (times.median(name) / len(workload.blocks) * 1e9 for name in ("core", "fanout", "all"))
        plain = times.ratio("fanout", "plain")
        label = f"batches of {size}" if size > 1 else "single changes"
        what = f"core + fan-out to {_SINKS} sinks / core, {label}"
        remarks = f"{fanned:,.0f} / {core:,.0f} ns a change, {(fanned - core) * size / 1000:.1f} us a batch"
        remarks += f"; {plain:.2f} x a plain loop"
        yield Row(f"fanout.{size}", what, times.ratio("fanout", "core"), "x", remarks)
        what = f"a whole pipeline with {_SINKS} sinks / core, {label}"
        remarks = f"{whole:,.0f} ns a change"
        yield Row(f"fanout.pipeline.{size}", what, times.ratio("all", "core"), "x", remarks)


def batches(workload: Workload, size: int) -> list[bytes]:
    """A workload in chunks of `size` events, which make about as many changes."""
    blocks = workload.blocks
    return [b"".join(blocks[at : at + size]) for at in range(0, len(blocks), size)]


async def through_fanout(chunks: Sequence[bytes], sinks: Sequence[CountingSink]) -> int:
    """Feed chunks to a processor and what it makes to sinks, batch by batch; returns how many changes that were."""
    proc = StreamProcessor()
    fanout = Fanout(sinks)
    made = 0
    async with create_task_group() as group:
        await fanout.start(group)
        for chunk in chunks:
            changes = proc.feed(chunk)
            made += len(changes)
            fanout.offer(changes)
            if fanout.is_full:
                await fanout.room()
            await asyncio.sleep(0)
        await fanout.drain(60.0)
    return made


async def _through_pipeline(chunks: Sequence[bytes], sinks: Sequence[CountingSink]) -> int:
    async def body() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk
            await asyncio.sleep(0)

    async with Pipeline(sinks) as pipeline:
        result = await pipeline.run(IterableSource(body()))
    assert not result.truncated
    return sum(each.received for each in pipeline.statistics()) // len(sinks)


def _times(chunks: Sequence[bytes], rounds: int) -> Times:
    return alternate(
        {
            "plain": lambda: cpu_time(lambda: _plain(chunks)),
            "core": lambda: _timed(_core, chunks, 0),
            "fanout": lambda: _timed(through_fanout, chunks),
            "all": lambda: _timed(_through_pipeline, chunks),
        },
        rounds,
    )


def _plain(chunks: Sequence[bytes]) -> None:
    proc = StreamProcessor()
    for chunk in chunks:
        proc.feed(chunk)


async def _core(chunks: Sequence[bytes], _: Sequence[CountingSink]) -> int:
    proc = StreamProcessor()
    made = 0
    for chunk in chunks:
        made += len(proc.feed(chunk))
        await asyncio.sleep(0)
    return made


def _timed(
    work: Callable[[Sequence[bytes], Sequence[CountingSink]], Awaitable[int]],
    chunks: Sequence[bytes],
    sink_count: int = _SINKS,
) -> float:
    """CPU seconds of one pass in an event loop that is running already."""
    sinks = [CountingSink() for _ in range(sink_count)]

    async def run() -> tuple[int, float]:
        start = process_time()
        made = await work(chunks, sinks)
        return made, process_time() - start

    made, seconds = asyncio.run(run())
    assert made > 0, "nothing was made"
    assert [made] * len(sinks) == [sink.changes for sink in sinks], "a change did not arrive"
    return seconds
