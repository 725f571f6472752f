"""What live streams cost over sockets: many at once from another process on loopback, one event a read, at a pace.

The clock is the CPU time of this process between the first delta and the last one: see measure.py. The candidates are
in clients.py and take turns as everywhere; each pass has connections of its own, and every text must have arrived.
"""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from statistics import median, quantiles
from typing import Final, NamedTuple

from benchmarks.live.clients import BareReading, Client, OpenAIHandlers, Processing, SourceReading, Stamps
from benchmarks.live.measure import LoopFactory, Pass, follow, server
from benchmarks.live.server import Plan, allow_sockets
from benchmarks.rounds import Times, alternate
from benchmarks.table import Row

__all__ = ["rows"]

_RATE: Final = 10_000.0  # deltas a second, all sockets together
_PEER_RATE: Final = 2500.0  # what the slowest candidate can follow
_LATENCY_RATE: Final = 20_000.0
_AGENT_RATE: Final = 50  # tokens a second
_SINKS: Final = 4
_LATE_S: Final = 0.1  # an agent's token may be so late, once in a hundred, while a core counts as keeping up


class _Effort(NamedTuple):
    """How much to measure: all of it takes less than two minutes, or half of one when it is quick."""

    rounds: int
    seconds: float  # of a pass whose CPU time is compared
    latency_s: float
    agents_s: float


def rows(*, quick: bool) -> Iterator[Row]:
    """Yield all rows on live streams."""
    effort = _Effort(1, 0.25, 0.5, 0.7) if quick else _Effort(4, 0.7, 2.0, 2.5)
    allow_sockets()
    loops = _loops()
    with server() as port:
        costs_s: dict[int, float] = {}
        for loop in loops:
            for sockets in (50,) if quick and loop == "asyncio" else (50, 500):
                rounds = effort.rounds if sockets == 50 else max(1, effort.rounds // 2)
                times, reads = _times(port, loops[loop], sockets, rounds, effort.seconds)
                costs_s[sockets] = times.median("one sink")  # in the end, of the last loop
                yield from _shares(loop, sockets, times, reads)
        yield _peer(port, effort)
        for loop in loops:
            yield from _latency(port, loop, loops[loop], effort.latency_s)
        yield from _agents(port, loop, loops[loop], costs_s, effort.agents_s)
    if "uvloop" not in loops:
        yield Row("live.uvloop", "live with uvloop", None, "x", "skipped: uvloop is not installed")


def _loops() -> dict[str, LoopFactory | None]:
    """The event loops that there are, the fastest last."""
    loops: dict[str, LoopFactory | None] = {"asyncio": None}
    if find_spec("uvloop") is not None:
        import uvloop

        loops["uvloop"] = uvloop.new_event_loop
    return loops


# -- CPU time ----------------------------------------------------------------------------------------------------------


def _plan(sockets: int, rate: float, seconds: float, *, stamped: bool = False) -> Plan:
    return Plan(sockets, max(1, round(rate * seconds / sockets)), rate, stamped)


def _times(
    port: int, loop_factory: LoopFactory | None, sockets: int, rounds: int, seconds: float
) -> tuple[Times, float]:
    """CPU seconds of each candidate for an event, and how many reads an event took."""
    plan = _plan(sockets, _RATE, seconds)
    reads: list[float] = []

    def candidate(make: Callable[[], Client]) -> Callable[[], float]:
        def take_turn() -> float:
            done = follow(port, loop_factory, plan, make())
            if done.reads:
                reads.append(done.reads / done.events)
            return done.event_s

        return take_turn

    times = alternate(
        {
            "reading": candidate(BareReading),
            "source": candidate(SourceReading),
            "processing": candidate(Processing),
            "one sink": candidate(lambda: Processing.counting(1)),
            "sinks": candidate(lambda: Processing.counting(_SINKS)),
        },
        rounds,
    )
    return times, median(reads)


def _shares(loop: str, sockets: int, times: Times, reads: float) -> Iterator[Row]:
    where = f"{loop}, {sockets} sockets"
    key = f"live.{loop}.{sockets}"
    cost = {name: times.median(name) * 1e6 for name in times.seconds}
    yield Row(
        f"{key}.source",
        f"live, {where}: HttpSource / reading with aiohttp alone",
        times.ratio("source", "reading"),
        "x",
        f"{cost['source']:.1f} / {cost['reading']:.1f} us an event; {reads:.2f} reads an event",
    )
    for name, what in (("processing", "read + process"), ("sinks", f"read + process + {_SINKS} sinks")):
        remarks = f"{cost[name]:.1f} / {cost['reading']:.1f} us an event"
        yield Row(f"{key}.{name}", f"live, {where}: {what} / reading", times.ratio(name, "reading"), "x", remarks)


def _peer(port: int, effort: _Effort) -> Row:
    key, what = "live.openai", "live, asyncio, 50 sockets: read + process / openai async AssistantEventHandler"
    if find_spec("openai") is None:
        return Row(key, what, None, "x", "skipped: openai is not installed")
    plan = _plan(50, _PEER_RATE, effort.seconds)
    times = alternate(
        {
            "ours": lambda: follow(port, None, plan, Processing()).event_s,
            "openai": lambda: follow(port, None, plan, OpenAIHandlers()).event_s,
        },
        max(1, effort.rounds // 2),
    )
    remarks = f"{times.median('ours') * 1e6:.0f} / {times.median('openai') * 1e6:.0f} us an event; all texts right"
    return Row(key, what, times.ratio("ours", "openai"), "x", remarks)


# -- waiting time ------------------------------------------------------------------------------------------------------


def _stamped(port: int, loop_factory: LoopFactory | None, plan: Plan) -> tuple[Pass, float, float]:
    """A pass with one sink, and how late half and all but a hundredth of the changes reached it, in seconds."""
    stamps = Stamps()
    done = follow(port, loop_factory, plan, Processing([stamps.sink()]))
    assert len(stamps.delays_s) == done.events, "a change did not reach the sink"
    cuts = quantiles(stamps.delays_s, n=100)
    return done, cuts[49], cuts[98]


def _latency(port: int, loop: str, loop_factory: LoopFactory | None, seconds: float) -> Iterator[Row]:
    done, p50_s, p99_s = _stamped(port, loop_factory, _plan(50, _LATENCY_RATE, seconds, stamped=True))
    what = f"live, {loop}, 50 sockets: from the server's write to a sink's function, p99 at 20,000 events/s"
    remarks = (
        f"p50 {p50_s * 1000:.2f} ms; {done.events / done.wall_s:,.0f} events/s, {done.cpu_s / done.wall_s:.0%} CPU"
    )
    yield Row(f"live.latency.{loop}", what, p99_s * 1000, "ms", remarks)


def _agents(
    port: int, loop: str, loop_factory: LoopFactory | None, costs_s: dict[int, float], seconds: float
) -> Iterator[Row]:
    """How many agents a core carries: worked out from the CPU time of an event, and tried."""
    worked_out = {sockets: 1 / (_AGENT_RATE * cost_s) for sockets, cost_s in costs_s.items()}
    what = f"agents at {_AGENT_RATE} tokens/s on one core, {loop}, sockets included"
    remarks = ", ".join(f"{cost_s * 1e6:.1f} us an event at {sockets} sockets" for sockets, cost_s in costs_s.items())
    yield Row("live.agents.worked-out", f"{what}: worked out", min(worked_out.values()), "agents", remarks, 0)
    carried, tried = 0, []
    for sockets in (1000, 750, 500, 250):
        done, _, p99_s = _stamped(port, loop_factory, _plan(sockets, sockets * _AGENT_RATE, seconds, stamped=True))
        rate = done.events / done.wall_s / sockets
        tried.append(f"{sockets}: {rate:.1f} tokens/s, p99 {p99_s * 1000:.0f} ms, {done.cpu_s / done.wall_s:.0%} CPU")
        if p99_s <= _LATE_S and rate >= 0.95 * _AGENT_RATE:
            carried = sockets
            break
    yield Row("live.agents", f"{what}: tried, p99 <= {_LATE_S * 1000:.0f} ms", carried, "agents", "; ".join(tried), 0)
