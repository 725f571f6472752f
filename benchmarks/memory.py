"""How much stays in memory. Each question has a process of its own: `python -m benchmarks.memory NAME COUNT`.

What Python allocates is counted by tracemalloc, after a collection, with the changes dropped as a program that passes
them on would. The last question is about a process that lives long, so it looks at the resident set.
"""

import gc
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from time import process_time
from typing import Final

from benchmarks.growth import Growing
from benchmarks.table import Row
from benchmarks.workloads import tool_heavy
from streamproc import StreamProcessor

__all__ = ["rows"]

_MB: Final = 1_000_000
_FIRST_RUNS: Final = 50_000
_LIMIT_S: Final = 1200


def rows(*, quick: bool) -> Iterator[Row]:
    """Yield all rows on memory."""
    idle = _ask("idle", 1000)
    yield Row("memory.idle", "an idle processor", idle["bytes"] / 1000, "kB")
    run = _ask("open_run", 2000)
    remarks = f"{run['kept']:,.0f} B of it are the payloads of its two snapshots"
    what = "an open run, one step, after 20 deltas"
    yield Row("memory.open-run", what, run["bytes"] / 1000, "kB", remarks)
    text = _ask("text", _MB)
    what = "1 MB of text in deltas of 6 bytes, per byte of text"
    yield Row("memory.text-open", f"{what}: open", text["open"] / _MB, "x")
    yield Row("memory.text-closed", f"{what}: closed", text["closed"] / _MB, "x")
    count = 100_000 if quick else 1_000_000
    runs = _ask("short_runs", count)
    grown = (runs["last"] - runs["first"]) / 2**20
    remarks = f"{runs['first'] / 2**20:.1f} -> {runs['last'] / 2**20:.1f} MiB resident"
    remarks += f"; {runs['seconds'] / count * 1e6:.0f} us a run of {runs['events']:.0f} events"
    what = f"growth from run {_FIRST_RUNS:,} to run {count:,} of short runs through one processor"
    yield Row("memory.short-runs", what, grown, "MiB", remarks, 1)


def _ask(name: str, count: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.memory", name, str(count)]
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


# -- in the process ----------------------------------------------------------------------------------------------------


def _allocated() -> int:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def idle(count: int) -> dict[str, float]:
    """Processors that have seen nothing."""
    StreamProcessor().close()  # whatever is made once
    tracemalloc.start()
    before = _allocated()
    held = [StreamProcessor() for _ in range(count)]
    return {"bytes": (_allocated() - before) / len(held)}


def open_run(count: int) -> dict[str, float]:
    """Runs in one processor, each with a step that has had 20 deltas."""
    events = tool_heavy(steps=1, deltas=19).blocks[:25]  # 3 of the run, 2 of the step, one that opens the call, 19 more
    assert all(event.startswith(b"event: thread.run.step.delta") for event in events[5:])
    made = _numbered(events)
    proc = StreamProcessor()
    tracemalloc.start()
    before = _allocated()
    for number in range(count):
        proc.feed(made(number))
    assert len(proc.steps) == count, f"{len(proc.steps)} steps of {count} runs"
    kept = sum(len(event.split(b"data: ")[1]) for event in (events[2], events[4]))
    return {"bytes": (_allocated() - before) / count, "kept": kept}


def text(size: int) -> dict[str, float]:
    """One tool call whose arguments come six bytes at a time, and then the step's terminal snapshot."""
    tracemalloc.start()
    before = _allocated()
    growing = Growing("arguments")
    block = b"".join(growing.delta(f"{number:06d}") for number in range(100))
    for _ in range(size // 600):
        growing.feed(block)
    held = _allocated() - before
    arguments = "".join(f"{number:06d}" for number in range(100)) * (size // 600)
    call = {"id": "call_0", "type": "function", "function": {"arguments": arguments, "output": None}}
    details = {"type": "tool_calls", "tool_calls": [call]}
    step = {
        "id": "step_1",
        "object": "thread.run.step",
        "run_id": "run_1",
        "status": "completed",
        "step_details": details,
    }
    closing = b"event: thread.run.step.completed\ndata: %b\n\n" % json.dumps(step).encode()
    del arguments, call, details, step
    before += sys.getsizeof(closing)  # it is still here, and not the processor's
    growing.proc.feed(closing)
    return {"open": held, "closed": _allocated() - before}


def short_runs(count: int) -> dict[str, float]:
    """Runs of one step and three deltas, a stream each, one after another through one processor."""
    events = tool_heavy(steps=1, deltas=3).blocks
    made = _numbered(events)
    proc = StreamProcessor()
    first, start = 0, process_time()
    for number in range(count):
        proc.feed(made(number))
        proc.close()
        proc.open()
        if number + 1 == _FIRST_RUNS:
            first = _resident()
    assert not proc.anomalies, dict(proc.anomalies)
    return {"first": first, "last": _resident(), "seconds": process_time() - start, "events": len(events)}


def _numbered(events: list[bytes]) -> Callable[[int], bytes]:
    """The same events with a run id and a step id of their own for each number."""
    template = b"".join(events)
    run_id, step_id = (template.partition(mark)[2][:24] for mark in (b'"id":"run_', b'"id":"step_'))

    def made(number: int) -> bytes:
        id = b"%024d" % number
        return template.replace(run_id, id).replace(step_id, id)

    return made


def _resident() -> int:
    """Bytes of this process in memory now; where the system does not say, the most there ever were."""
    import resource  # there is none on Windows, and no other question needs it

    status = Path("/proc/self/statm")
    if status.is_file():
        return int(status.read_text().split()[1]) * resource.getpagesize()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


_QUESTIONS: Final[dict[str, Callable[[int], dict[str, float]]]] = {
    question.__name__: question for question in (idle, open_run, text, short_runs)
}

if __name__ == "__main__":
    print(json.dumps(_QUESTIONS[sys.argv[1]](int(sys.argv[2]))))
