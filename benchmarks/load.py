"""Bad sinks beside a good one under real load: does memory stay bounded, and do the accounts hold?

    python -m benchmarks.load               # a minute at 10,000 events/s
    python -m benchmarks.load --seconds 6   # what the tests run, in virtual time

Streams of runs that come and go are read at a pace. The good sink has the default settings; each kind of
bad one is there twice: once where it ends up closed, once where it lives to the end. The process exits with 1 when the
resident set grew too far after its first seconds, when an account does not add up, or when the good sink missed
anything. The full run's summary is kept in docs/load.md.
"""

import argparse
import asyncio
import gc
import os
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Final

import structlog
from anyio import create_task_group, current_time, sleep, sleep_forever
from msgspec import Struct
from msgspec.structs import replace

from benchmarks.machine import describe, headline
from benchmarks.writer import Writer
from streamproc import Change
from streamproc.core.limits import Limits
from streamproc.delivery.policy import DeliveryPolicy, Retry
from streamproc.delivery.statistics import SinkStatistics
from streamproc.errors import SinkUnavailable
from streamproc.pipeline import Pipeline
from streamproc.protocols import Sink
from streamproc.sources.iterable import IterableSource
from streamproc.testing.clock import run_virtual

__all__ = ["Outcome", "run"]

_STREAMS: Final = 10
_TICK_S: Final = 0.01  # between two chunks of one stream
_DELTAS: Final = 2000  # of a message; one run is one message
_GROWTH_MAX_MIB: Final = 8.0
_DRAIN_S: Final = 1.0


class Outcome(Struct, frozen=True, kw_only=True):
    """What came of a run of the test."""

    seconds: float
    events: int  # that were read
    longest_wait_s: float  # between two chunks of one stream, beyond the pace
    settled_mib: float  # resident after the first seconds; 0 where that cannot be told
    end_mib: float
    at_end: tuple[SinkStatistics, ...]  # before the drain
    statistics: tuple[SinkStatistics, ...]  # after it
    unbalanced: tuple[str, ...]  # sinks whose account did not add up at some moment
    good: int  # changes that the good sink wrote, in order

    @property
    def growth_mib(self) -> float:
        """How much the resident set grew after the first seconds."""
        return self.end_mib - self.settled_mib

    def faults(self) -> list[str]:
        """What is wrong, in a few words each."""
        found: list[str] = []
        if self.growth_mib > _GROWTH_MAX_MIB:
            found.append(f"memory grew by {self.growth_mib:.1f} MiB")
        found += [f"{name}: the account does not add up" for name in self.unbalanced]
        good = self.statistics[0]
        if not good.received == good.acked == self.good:
            found.append(f"{good.name}: {good.received} received, {good.acked} acked, {self.good} written in order")
        return found


class Fast:
    """Takes everything at once, and checks that each stream's changes come in order."""

    def __init__(self) -> None:
        self.in_order = 0
        self._last: dict[tuple[str, int], int] = {}

    async def write(self, batch: Sequence[Change]) -> None:
        for change in batch:
            pass_ = change.stream, change.epoch
            if change.seq == self._last.get(pass_, 0) + 1:
                self.in_order += 1
            self._last[pass_] = change.seq


class NeverReturns:
    """Hangs in its first write."""

    async def write(self, batch: Sequence[Change]) -> None:
        await sleep_forever()


class AlwaysRaises:
    """Has a bug."""

    async def write(self, batch: Sequence[Change]) -> None:
        raise RuntimeError("always")


class NeverAvailable:
    """Its server is down."""

    async def write(self, batch: Sequence[Change]) -> None:
        raise SinkUnavailable("its server is down")


class OneASecond:
    """Takes a second for each change."""

    async def write(self, batch: Sequence[Change]) -> None:
        await sleep(len(batch))


_GIVES_UP: Final = Retry(base_s=0.1, cap_s=0.5, max_attempts=2)
_LATEST: Final = DeliveryPolicy(deliver="latest", when_full="coalesce", retry=_GIVES_UP, breaker_failures=10**9)


def _sinks(good: Fast) -> list[tuple[Sink, DeliveryPolicy]]:
    """The good one first, then each bad one twice: closed early, and kept to the end."""
    return [
        (good, DeliveryPolicy()),
        (NeverReturns(), DeliveryPolicy(max_pause_s=1.0)),
        (NeverReturns(), replace(_LATEST, timeout_s=0.5)),
        (AlwaysRaises(), DeliveryPolicy()),
        (AlwaysRaises(), DeliveryPolicy(max_bugs=10**9)),
        (NeverAvailable(), DeliveryPolicy(required=False)),
        (NeverAvailable(), _LATEST),
        (OneASecond(), DeliveryPolicy(required=False, batch_max=1)),
        (OneASecond(), replace(_LATEST, batch_max=1)),
    ]


def run(seconds: float, rate: float = 10_000.0, *, is_virtual: bool = False) -> Outcome:
    """Run the load; what the library logs is dropped.

    Args:
        is_virtual: in virtual time, so that what comes of it does not depend on the machine.
    """
    before = structlog.get_config()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory(), processors=[_drop])
    try:
        return run_virtual(_run, seconds, rate) if is_virtual else asyncio.run(_run(seconds, rate))
    finally:
        structlog.configure(**before)


def _drop(logger: object, method: str, event: object) -> str:
    return ""


async def _run(seconds: float, rate: float) -> Outcome:
    good = Fast()
    end_s = current_time() + seconds
    streams = [_Stream(seed, rate / _STREAMS, end_s) for seed in range(_STREAMS)]
    unbalanced: list[str] = []
    async with (
        Pipeline(_sinks(good), limits=Limits(max_closed_runs=_STREAMS), drain_s=_DRAIN_S) as pipeline,
        create_task_group() as group,
    ):
        for number, stream in enumerate(streams):
            group.start_soon(pipeline.run, IterableSource(stream.chunks(), name=f"stream {number}"))
        await sleep(min(10.0, seconds / 3))
        settled_mib = _resident_mib()
        while (left_s := end_s - 0.1 - current_time()) > 0:
            await sleep(min(0.1, left_s))
            unbalanced += _unbalanced(pipeline.statistics())
        end_mib = _resident_mib()
        at_end = pipeline.statistics()
    unbalanced += _unbalanced(pipeline.statistics())
    return Outcome(
        seconds=seconds,
        events=sum(stream.events for stream in streams),
        longest_wait_s=max(stream.longest_wait_s for stream in streams),
        settled_mib=settled_mib,
        end_mib=end_mib,
        at_end=at_end,
        statistics=pipeline.statistics(),
        unbalanced=tuple(dict.fromkeys(unbalanced)),
        good=good.in_order,
    )


def _unbalanced(statistics: Sequence[SinkStatistics]) -> list[str]:
    return [it.name for it in statistics if it.received != it.acked + it.coalesced + it.dead + it.dropped + it.pending]


def _resident_mib() -> float:
    gc.collect()
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except FileNotFoundError:  # not Linux
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


class _Stream:
    """One run after another, each with one message, at a pace."""

    def __init__(self, seed: int, rate: float, end_s: float) -> None:
        self.events = 0
        self.longest_wait_s = 0.0
        self._seed = seed
        self._rate = rate
        self._end_s = end_s

    async def chunks(self) -> AsyncIterator[bytes]:
        start_s = current_time()
        blocks = self._blocks()
        while (now_s := current_time()) < self._end_s:
            due = int((now_s - start_s) * self._rate) - self.events
            if due > 0:
                chunk = b"".join([next(blocks) for _ in range(due)])
                self.events += due
                yield chunk
                self.longest_wait_s = max(self.longest_wait_s, current_time() - now_s)
            await sleep(_TICK_S)
        yield b"event: done\ndata: [DONE]\n\n"

    def _blocks(self) -> Iterator[bytes]:
        number = 0
        while True:
            writer = Writer("load", self._seed + _STREAMS * number)
            writer.message_step(_DELTAS)
            yield from writer.finish().blocks[:-1]  # all but the end of the stream
            number += 1


def _summary(outcome: Outcome) -> str:
    """The outcome as Markdown."""
    lines = [
        f"{outcome.events:,} events in {outcome.seconds:g} s ({outcome.events / outcome.seconds:,.0f} events/s); "
        f"resident {outcome.settled_mib:.1f} MiB after the first seconds, {outcome.end_mib:.1f} MiB at the end "
        f"({outcome.growth_mib:+.1f}); longest wait of a stream {outcome.longest_wait_s:.2f} s",
        "",
        "The counts are those after the drain, but for the last column: what waited before it.",
        "",
        "| sink | before the drain | received | acked | coalesced | dead | dropped | pending | writes | waiting |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for it, before in zip(outcome.statistics, outcome.at_end, strict=True):
        counts = (it.received, it.acked, it.coalesced, it.dead, it.dropped, it.pending, it.writes, before.pending)
        lines.append(f"| {it.name} | {before.state} | {' | '.join(f'{count:,}' for count in counts)} |")
    faults = outcome.faults()
    lines += ["", f"faults: {'; '.join(faults)}" if faults else "no faults: every account adds up, memory is bounded"]
    return "\n".join(lines)


def main() -> int:
    """Run the test and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description="See docs/load.md.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=10_000.0, help="events a second")
    options = parser.parse_args()
    outcome = run(options.seconds, options.rate)
    print(f"{headline(describe())}\n\n{_summary(outcome)}")
    return 1 if outcome.faults() else 0


if __name__ == "__main__":
    sys.exit(main())
