"""Seeded workloads: the same streams for benchmarks, peers and tests.

A function here is pure: it returns the blocks of a stream (one event each, blank line included) and what must be known
at its end. What a stream looks like in detail is in writer.py.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from benchmarks.writer import Texts, Workload, Writer, chunks

__all__ = [
    "BY_NAME",
    "Texts",
    "Workload",
    "chunks",
    "huge_step",
    "mix",
    "parallel_calls",
    "recordings",
    "small_steps",
    "text_heavy",
    "tool_heavy",
]


def tool_heavy(steps: int = 50, deltas: int = 200, seed: int = 42) -> Workload:
    """Steps with one tool call each, half of them code, half of them functions."""
    writer = Writer("tool-heavy", seed)
    for number in range(steps):
        writer.tool_step(deltas, 1, "code_interpreter" if number % 2 else "function")
    return writer.finish()


def text_heavy(messages: int = 10, deltas: int = 1000, seed: int = 42) -> Workload:
    """Messages in tokens, some of them not ASCII, some of them escaped."""
    writer = Writer("text-heavy", seed)
    for _ in range(messages):
        writer.message_step(deltas)
    return writer.finish()


def small_steps(steps: int = 1500, seed: int = 42) -> Workload:
    """Steps that are hardly more than their snapshots: of seven events three are plain fragments."""
    writer = Writer("many small steps", seed)
    for _ in range(steps):
        writer.tool_step(3, 1, "function")
    return writer.finish()


def huge_step(deltas: int = 10_000, seed: int = 42) -> Workload:
    """One step, one call, very many fragments."""
    writer = Writer("one huge step", seed)
    writer.tool_step(deltas, 1, "function")
    return writer.finish()


def parallel_calls(calls: int = 100, deltas: int = 10_000, seed: int = 42) -> Workload:
    """One step with many calls whose fragments take turns: no fragment belongs where the one before did."""
    writer = Writer("100 parallel calls", seed)
    writer.tool_step(deltas, calls, "function")
    return writer.finish()


def mix(runs: int = 60, seed: int = 42) -> Workload:
    """Runs shaped like the recordings: two messages and a code step each, with about as many deltas as those have."""
    writer = Writer("mix", seed)
    for number in range(runs):
        if number:
            writer.next_run()
        writer.message_step(writer.random.randint(10, 40))
        writer.tool_step(writer.random.randint(40, 80), 1, "code_interpreter")
        writer.message_step(writer.random.randint(40, 100))
    return writer.finish()


BY_NAME: Final[dict[str, Callable[[], Workload]]] = {
    "tool-heavy": tool_heavy,
    "text-heavy": text_heavy,
    "many small steps": small_steps,
    "one huge step": huge_step,
    "100 parallel calls": parallel_calls,
    "mix": mix,
}


def recordings() -> list[Workload]:
    """Recorded streams, a workload each, where there are any: in `STREAMPROC_CORPUS`, or beside the checkout."""
    root = Path(__file__).resolve().parent.parent
    folder = Path(os.environ.get("STREAMPROC_CORPUS") or root.parent / "shared" / "corpus") / "assistants"
    return [Workload(file.stem, [file.read_bytes()]) for file in sorted(folder.glob("*.sse"))]
