"""What the figures should be: a row's key, the figure that makes it done, and the one it strives for."""

from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

__all__ = ["TARGETS", "Target"]


class Target(NamedTuple):
    """Two bounds for one figure."""

    sign: Literal["<=", ">="]
    done: float
    stretch: float

    def holds(self, value: float, bound: float) -> bool:
        """Whether a value is within one of the bounds."""
        return value <= bound if self.sign == "<=" else value >= bound


TARGETS: Final[Mapping[str, Target]] = {
    "core.4096": Target("<=", 2.0, 1.5),
    "core.event": Target("<=", 3.0, 2.0),
    "core.state-of-chunk": Target("<=", 2.6, 2.0),
    "core.state-of-change": Target("<=", 5.0, 3.5),
    "dialect.responses": Target("<=", 2.5, 2.0),
    "dialect.chat": Target("<=", 2.5, 2.0),
    "fanout.256": Target("<=", 1.25, 1.1),
    "fanout.16": Target("<=", 1.7, 1.4),
    "live.asyncio.50.sinks": Target("<=", 1.4, 1.2),
    "live.openai": Target("<=", 0.333, 0.25),
    "live.latency.asyncio": Target("<=", 5, 1),
    "live.latency.uvloop": Target("<=", 5, 1),
    "live.agents": Target(">=", 500, 1000),
    "peers.openai-handler": Target(">=", 70, 120),
    "peers.openai-node-newest": Target(">=", 7, 12),
    "peers.openai-node-4.29.0": Target(">=", 2, 3.5),
    "peers.azure-handler": Target(">=", 20, 40),
    "growth.size.arguments": Target("<=", 1.5, 1.2),
    "growth.size.text": Target("<=", 1.5, 1.2),
    "growth.size.logs": Target("<=", 1.5, 1.2),
    "growth.width.arguments": Target("<=", 2.0, 1.5),
    "growth.width.text": Target("<=", 2.0, 1.5),
    "growth.width.logs": Target("<=", 2.0, 1.5),
    "growth.200000": Target("<=", 1.0, 0.5),
    "growth.doubled": Target("<=", 2.2, 2.1),  # twice the work, and 10 % (5 %) for the noise of one figure
    "memory.open-run": Target("<=", 5.0, 3.0),
    "memory.text-open": Target("<=", 8.0, 5.0),
    "memory.text-closed": Target("<=", 1.5, 1.2),
    "memory.short-runs": Target("<=", 16, 8),
    "durable.rate.tool-heavy": Target(">=", 150_000, 300_000),
    "durable.latency": Target("<=", 15.0, 5.0),
    "postgres.rate.1000": Target(">=", 50_000, 75_000),
    "postgres.ratio.1000": Target(">=", 0.5, 0.75),
    "proxy.latency": Target("<=", 2.0, 1.0),
    "import": Target("<=", 15, 8),
}
