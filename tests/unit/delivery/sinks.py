"""What the tests of delivery share: changes, sinks that follow a script, and tests in virtual time."""

import asyncio
import functools
from collections.abc import Callable, Coroutine, Sequence
from random import Random
from typing import ParamSpec, TypeAlias

import anyio
from msgspec.structs import replace

from streamproc import Change, StreamProcessor
from streamproc.delivery.fanout import Fanout
from streamproc.delivery.policy import Retry
from streamproc.delivery.statistics import SinkStatistics
from streamproc.errors import SinkUnavailable
from streamproc.testing.clock import run_virtual
from tests.streams import arguments, run, sse, step

__all__ = ["AT_ONCE", "HALF", "NEVER", "Scripted", "deltas", "imbalance", "of", "seqs", "unavailable", "virtual"]

P = ParamSpec("P")
Act: TypeAlias = "float | Exception | Callable[[Sequence[Change]], Coroutine[None, None, None]] | None"

NEVER = float("inf")
AT_ONCE = Retry(base_s=0.0)


class _Half(Random):
    """Jitter that is always half of its ceiling."""

    def uniform(self, a: float, b: float) -> float:
        return (a + b) / 2


HALF = _Half()


class Scripted:
    """A sink whose writes do as a script says, one entry a write, and succeed at once after its end.

    A number is how many seconds a write takes, an exception is raised, a function is called with the batch.
    """

    def __init__(self, *script: Act) -> None:
        self.calls: list[tuple[float, list[int]]] = []  # when, and the seq of each change
        self.arrived: list[Change] = []
        self._script = list(script)

    async def write(self, batch: Sequence[Change]) -> None:
        self.calls.append((anyio.current_time(), seqs(batch)))
        act = self._script.pop(0) if self._script else None
        if isinstance(act, Exception):
            raise act
        if isinstance(act, (float, int)):
            await anyio.sleep(act)
        elif act is not None:
            await act(batch)
        self.arrived += batch


def unavailable(retry_after_s: float | None = None) -> SinkUnavailable:
    return SinkUnavailable("busy", retry_after_s)


def deltas(count: int, size: int = 2) -> list[Change]:
    """Changes 1 to `count` of one step: its creation and then fragments of `size` bytes."""
    processor = StreamProcessor()
    processor.feed(sse(run("created")))
    changes = processor.feed(sse(step("created"), *[arguments("x" * size) for _ in range(count - 1)]))
    return [replace(change, seq=seq) for seq, change in enumerate(changes, 1)]


def seqs(changes: Sequence[Change]) -> list[int]:
    return [change.seq for change in changes]


def of(fanout: Fanout) -> SinkStatistics:
    """The accounts of the only sink."""
    (statistics,) = fanout.statistics()
    return statistics


def imbalance(it: SinkStatistics) -> int:
    """What law 9 says is 0."""
    return it.received - it.acked - it.coalesced - it.dead - it.dropped - it.pending


def virtual(test: Callable[P, Coroutine[None, None, None]]) -> Callable[P, None]:
    """A test in virtual time, which must leave no task behind."""

    @functools.wraps(test)
    def in_virtual_time(*args: P.args, **kwargs: P.kwargs) -> None:
        async def main() -> None:
            await test(*args, **kwargs)
            assert asyncio.all_tasks() == {asyncio.current_task()}

        run_virtual(main)

    return in_virtual_time
