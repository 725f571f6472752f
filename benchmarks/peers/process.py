"""What a peer's process does: read a stream, work through it once to warm up, then some rounds, and report as JSON.

    python -m benchmarks.peers.NAME STREAM CHUNK_BYTES ROUNDS

Imports, start-up and reading the file are not timed. Both clocks are reported: CPU time, which compares programs of one
thread on a shared machine, and wall time, which is fairer to a program whose collector and compiler have threads of
their own.
"""

import gc
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter, process_time

from benchmarks.writer import Texts, chunks

__all__ = ["Work", "main", "merge"]

Work = Callable[[Sequence[bytes]], object]
"""One round: works through a whole stream, given in chunks."""


def main(version: str, work: Work, texts: Callable[[Sequence[bytes]], Texts]) -> None:
    """Run one peer.

    Args:
        version: of what is measured.
        work: what is timed.
        texts: the texts that the peer holds at the end; an extra pass, not timed.
    """
    path, size, rounds = sys.argv[1:]
    pieces = chunks(Path(path).read_bytes(), int(size))
    held = texts(pieces)
    work(pieces)
    cpu: list[float] = []
    wall: list[float] = []
    for _ in range(int(rounds)):
        gc.collect()
        cpu_start, wall_start = process_time(), perf_counter()
        work(pieces)
        cpu.append(process_time() - cpu_start)
        wall.append(perf_counter() - wall_start)
    print(json.dumps({"version": version, "cpu": cpu, "wall": wall, "texts": held}))


def merge(texts: Texts, name: str, payload: dict[str, object]) -> None:
    """Append a delta's text to where it belongs: for peers that merge nothing, to see whether they lose anything."""
    delta = payload.get("delta")
    if not isinstance(delta, dict):
        return
    items = delta.get("content") or (delta.get("step_details") or {}).get("tool_calls") or ()
    for item in items:
        mine = texts.setdefault(str(payload["id"]), [])
        mine += [""] * (item["index"] + 1 - len(mine))
        inner = item.get(item["type"]) or {}
        mine[item["index"]] += inner.get("arguments") or inner.get("input") or inner.get("value") or ""
