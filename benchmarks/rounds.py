"""How time is taken: candidates take turns in one process, and only figures of one round are compared.

A shared machine drifts by a factor of two within minutes, so a ratio is taken within each round, and the median of the
rounds counts. Each round starts with another candidate. The clock is the CPU time of this process (user and system):
all that is measured here is one thread that never waits, and what other processes take must not count. The garbage
collector runs as it does in any program; what earlier candidates left behind is collected before the clock starts.
"""

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from time import process_time

__all__ = ["Times", "alternate", "cpu_time"]


@dataclass(frozen=True)
class Times:
    """CPU seconds of each candidate in each round."""

    seconds: dict[str, list[float]] = field(default_factory=dict[str, list[float]])

    def ratio(self, name: str, base: str) -> float:
        """How many times as long as `base` a candidate takes."""
        return median(mine / its for mine, its in zip(self.seconds[name], self.seconds[base], strict=True))

    def median(self, name: str) -> float:
        """CPU seconds of one round."""
        return median(self.seconds[name])


def alternate(candidates: Mapping[str, Callable[[], float]], rounds: int) -> Times:
    """Let the candidates take turns; a candidate returns the seconds that it took, see `cpu_time`."""
    names = [*candidates]
    times = Times({name: [] for name in names})
    for name in names:  # warm up: caches, interned strings, specialised bytecode
        candidates[name]()
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            gc.collect()
            times.seconds[name].append(candidates[name]())
    return times


def cpu_time(work: Callable[[], object]) -> float:
    """CPU seconds that `work` takes."""
    start = process_time()
    work()
    return process_time() - start
