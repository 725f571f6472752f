"""What a store costs: changes a second through a pipeline with `SqliteStore`, and how long one takes to reach a sink.

Full load: a stream out of memory, as fast as the pipeline takes it, until everything is committed and a sink has it;
wall time, since a thread writes. Paced: 20 changes a millisecond, each stamped when it is fed; what counts is the time
until the sink gets it, which is after the commit. `synchronous` is NORMAL, the default. The file lies in the temporary
folder, so the disk is whatever is below that; FULL is not measured, as it would measure the disk alone.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Final

import structlog

from benchmarks.fanout import CountingSink, batches
from benchmarks.table import Row
from benchmarks.workloads import Workload, mix, tool_heavy
from streamproc import Change, StreamProcessor
from streamproc.pipeline import Pipeline
from streamproc.protocols import Store
from streamproc.sources.iterable import IterableSource
from streamproc.stores.sqlite import SqliteStore

__all__ = ["rows"]

_RATE: Final = 20_000  # events a second
_TICK_S: Final = 0.001


class _TimingSink:
    """Notes when each change arrives."""

    def __init__(self) -> None:
        self.arrived_s: list[tuple[int, float]] = []  # seq of the last change of a batch, and when it came

    async def write(self, batch: Sequence[Change]) -> None:
        self.arrived_s.append((batch[-1].seq, perf_counter()))


def rows(rounds: int, *, quick: bool) -> Iterator[Row]:
    """Yield all rows on the durable path."""
    with _quiet():
        for workload in (tool_heavy(100 if quick else 400, 500), mix(100 if quick else 400)):
            yield _full_load(workload, 3 if quick else min(rounds, 7))
        yield _latency(2 if quick else 8)


def _full_load(workload: Workload, rounds: int) -> Row:
    chunks = workload.chunks(4096)
    events = len(workload.blocks)
    with_store: list[float] = []
    without: list[float] = []
    cpu_s: list[float] = []
    for _ in range(rounds):
        with TemporaryDirectory() as folder:
            start = process_time()
            with_store.append(asyncio.run(_pass(chunks, SqliteStore(Path(folder) / "runs.db"))))
            cpu_s.append(process_time() - start)
        without.append(asyncio.run(_pass(chunks, None)))
    rate = events / median(with_store)
    ratio = median(one / other for one, other in zip(with_store, without, strict=True))
    remarks = (
        f"{events:,} events; {ratio:.2f} x the time without a store; {median(cpu_s) / events * 1e6:.1f} us of CPU each"
    )
    what = f"events a second through SqliteStore to a sink, full load, {workload.name}"
    return Row(f"durable.rate.{workload.name}", what, rate, "/s", remarks, 0)


async def _pass(chunks: Sequence[bytes], store: Store | None) -> float:
    """Seconds until all is committed and the sink has it."""
    sink = CountingSink()
    start = perf_counter()
    async with Pipeline([sink], store=store, drain_s=120.0) as pipeline:
        result = await pipeline.run(IterableSource(chunks))
    seconds = perf_counter() - start
    (account,) = pipeline.statistics()
    assert not result.truncated
    assert account.lag == account.pending == account.dropped == 0
    assert account.acked == sink.changes > 0
    return seconds


def _latency(seconds: float) -> Row:
    per_tick = int(_RATE * _TICK_S)
    workload = tool_heavy(int(_RATE * seconds) // 504 + 1, 500)
    with TemporaryDirectory() as folder:
        waits_ms = asyncio.run(_paced(batches(workload, per_tick), SqliteStore(Path(folder) / "runs.db")))
    waits_ms = waits_ms[len(waits_ms) // 10 :]  # without the start
    cuts = quantiles(waits_ms, n=100)
    remarks = f"p50 {cuts[49]:.1f} ms, longest {max(waits_ms):.1f} ms; {len(waits_ms) * per_tick:,} events"
    what = f"p99 from feed to sink through SqliteStore at {_RATE:,} events/s"
    return Row("durable.latency", what, cuts[98], "ms", remarks, 1)


async def _paced(chunks: Sequence[bytes], store: Store) -> list[float]:
    """Milliseconds that each chunk's last change took to reach the sink."""
    proc = StreamProcessor()
    lasts = [changes[-1].seq if (changes := proc.feed(chunk)) else 0 for chunk in chunks]
    sink = _TimingSink()
    fed_s: list[float] = []

    async def body() -> AsyncIterator[bytes]:
        due_s = perf_counter()
        for chunk in chunks:
            due_s += _TICK_S
            if (wait_s := due_s - perf_counter()) > 0:
                await asyncio.sleep(wait_s)
            fed_s.append(perf_counter())
            yield chunk

    async with Pipeline([sink], store=store, drain_s=120.0) as pipeline:
        await pipeline.run(IterableSource(body()))
    waits_ms: list[float] = []
    arrivals = iter(sink.arrived_s)
    seq, at_s = next(arrivals)
    for last, began_s in zip(lasts, fed_s, strict=True):
        while seq < last:
            seq, at_s = next(arrivals)
        waits_ms.append((at_s - began_s) * 1000)
    return waits_ms


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the log events of opening and closing."""
    before = structlog.get_config()
    structlog.configure(processors=[_drop])
    try:
        yield
    finally:
        structlog.configure(**before)


def _drop(*_: object) -> str:
    raise structlog.DropEvent
