"""How close the core comes to the decode floor: by chunk size, by what is read of each change, and by workload."""

from collections.abc import Callable, Iterator, Sequence

from benchmarks.checks import check_core
from benchmarks.floor import decode_all, jobs
from benchmarks.rounds import Times, alternate, cpu_time
from benchmarks.table import Row
from benchmarks.workloads import BY_NAME, Workload, recordings, tool_heavy
from streamproc import StreamProcessor

__all__ = ["rows"]

_SIZES = {4096: "4 KiB", 0: "one event", 64: "64 B", 1024: "1 KiB", 65536: "64 KiB"}  # 0: one event a chunk


def rows(rounds: int) -> Iterator[Row]:
    """Yield all rows on the core."""
    yield from _by_chunk_size(rounds)
    yield from _by_reading(rounds)
    yield from _by_workload(rounds)


def _by_chunk_size(rounds: int) -> Iterator[Row]:
    workload = tool_heavy()
    for size in _SIZES:
        check_core(workload, size)
    pieces = {size: workload.chunks(size) for size in _SIZES}
    times = _against_floor([workload], {str(size): [pieces[size]] for size in _SIZES}, rounds)
    for size, label in _SIZES.items():
        what = f"core / decode floor, {label} chunks, {workload.name}"
        yield _row(f"core.{size or 'event'}", what, times, str(size), len(workload.blocks))


def _by_reading(rounds: int) -> Iterator[Row]:
    """The same with `state` read: building a state on every delta is what the core avoids until asked."""
    workload, hundred = tool_heavy(), tool_heavy(steps=100, deltas=100)
    check_core(hundred, 4096)
    large, small = workload.chunks(4096), hundred.chunks(4096)
    last = {"floor": _floor([workload]), "core": lambda: cpu_time(lambda: _feed_reading_last(large))}
    what = "core / floor, 4 KiB, reading the state of each chunk's last change"
    yield _row("core.state-of-chunk", what, alternate(last, rounds), "core", len(workload.blocks))
    each = {"floor": _floor([hundred]), "core": lambda: cpu_time(lambda: _feed_reading_each(small))}
    what = "core / floor, 4 KiB, reading the state of every change (100 deltas a step)"
    yield _row("core.state-of-change", what, alternate(each, rounds), "core", len(hundred.blocks))


def _by_workload(rounds: int) -> Iterator[Row]:
    sets = {name: [make()] for name, make in BY_NAME.items() if name != "tool-heavy"}
    if recorded := recordings():
        sets[f"{len(recorded)} recordings"] = recorded
    else:
        yield Row("core.recordings", "core / floor, recordings", None, "x", "no recordings here; see STREAMPROC_CORPUS")
    for name, workloads in sets.items():
        for workload in workloads:
            check_core(workload, 4096)
        times = _against_floor(workloads, {"core": [each.chunks(4096) for each in workloads]}, rounds)
        events = sum(len(each.blocks) for each in workloads) if len(workloads) == 1 else len(jobs(workloads))
        key = "recordings" if "recordings" in name else name.replace(" ", "-")
        yield _row(f"core.{key}", f"core / floor, 4 KiB, {name}", times, "core", events)


def _against_floor(workloads: Sequence[Workload], feeds: dict[str, list[list[bytes]]], rounds: int) -> Times:
    def fed(streams: list[list[bytes]]) -> Callable[[], float]:
        return lambda: cpu_time(lambda: _feed(streams))

    return alternate({"floor": _floor(workloads), **{name: fed(streams) for name, streams in feeds.items()}}, rounds)


def _floor(workloads: Sequence[Workload]) -> Callable[[], float]:
    work = jobs(workloads)
    return lambda: cpu_time(lambda: decode_all(work))


def _feed(streams: list[list[bytes]]) -> None:
    for stream in streams:
        proc = StreamProcessor()
        for chunk in stream:
            proc.feed(chunk)
        proc.close()


def _feed_reading_last(stream: list[bytes]) -> None:
    proc = StreamProcessor()
    for chunk in stream:
        changes = proc.feed(chunk)
        if changes:
            _ = changes[-1].state


def _feed_reading_each(stream: list[bytes]) -> None:
    proc = StreamProcessor()
    for chunk in stream:
        for change in proc.feed(chunk):
            _ = change.state


def _row(key: str, what: str, times: Times, name: str, events: int) -> Row:
    core, floor = (times.median(each) / events * 1e9 for each in (name, "floor"))
    return Row(key, what, times.ratio(name, "floor"), "x", f"{core:,.0f} / {floor:,.0f} ns an event")
