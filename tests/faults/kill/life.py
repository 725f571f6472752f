"""One life of the process: it opens the pipeline on what the lives before left, works, and leaves, unless it dies.

Three sinks: the JSONL sink, one that is slow and so has to catch up from the journal, and one that rejects some
changes.
"""

import asyncio
import sqlite3
import traceback
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Final

import anyio
import structlog
from msgspec import Struct

from streamproc import Change, DeliveryPolicy, Pipeline
from streamproc.errors import SinkRejected, SinkUnavailable
from streamproc.sinks.jsonl import JsonlSink
from streamproc.stores.sqlite import SqliteStore
from tests.faults.kill.broken import BUILDS
from tests.faults.kill.notes import NotedSink, NotedStore, Notes
from tests.faults.kill.points import FIRST, Aim, Gate
from tests.faults.kill.scenarios import SCENARIOS
from tests.faults.kill.trouble import TROUBLE
from tests.faults.kill.work import STREAMS, Generated, run_bytes, run_id

__all__ = ["DATABASE", "LINES", "Spec", "is_rejected", "live"]

DATABASE: Final = "runs.db"
LINES: Final = "changes.jsonl"

_STORIES: Final = SCENARIOS | TROUBLE
_ROTATE_BYTES: Final = 128 * 1024
_KEEP_CHANGES: Final = 300
_SMALL: Final = DeliveryPolicy(inbox_max=64, batch_max=32)


class Spec(Struct, frozen=True):
    """What a life is to do."""

    folder: str
    number: int  # of the life, from 1
    seed: int
    runs: int  # of each stream, after which it leaves
    aim: Aim | None = None
    broken: str = ""  # the build, as in broken.py
    scenario: str = ""  # in place of its work, as in scenarios.py and trouble.py


class _Slow:
    """Takes its time, and now and then has none."""

    def __init__(self, random: Random) -> None:
        self._random = random

    async def write(self, batch: Sequence[Change]) -> None:
        await anyio.sleep(self._random.uniform(0, 0.008))
        if self._random.random() < 0.02:
            raise SinkUnavailable("busy", 0.001)


class _Picky:
    """Rejects the same changes whenever they come."""

    async def write(self, batch: Sequence[Change]) -> None:
        if rejected := [change for change in batch if is_rejected(change.seq)]:
            raise SinkRejected("not to my taste", rejected)


def is_rejected(seq: int) -> bool:
    return seq % 50 == 7


def live(spec: Spec, report: int) -> int:
    """Live once, in a process of its own; returns the exit code."""
    folder = Path(spec.folder)
    gate = Gate(spec.aim, folder, report)
    structlog.configure(processors=[structlog.processors.JSONRenderer()], logger_factory=_log_to(folder, spec.number))
    if spec.broken:
        BUILDS[spec.broken].breaks()
    gate.install()
    try:
        asyncio.run(_STORIES[spec.scenario](folder) if spec.scenario else _live(spec, folder, gate))
    except BaseException:
        (folder / f"life-{spec.number}.error").write_text(traceback.format_exc())
        return 1
    return 0


def _log_to(folder: Path, number: int) -> structlog.WriteLoggerFactory:
    return structlog.WriteLoggerFactory((folder / f"life-{number}.log").open("a", buffering=1))


async def _live(spec: Spec, folder: Path, gate: Gate) -> None:
    random = Random(f"{spec.seed}/{spec.number}")
    notes = Notes(folder / f"life-{spec.number}.notes")
    store = NotedStore(SqliteStore(folder / DATABASE, keep_changes=_KEEP_CHANGES), notes)
    sinks = [
        (NotedSink(JsonlSink(folder / LINES, rotate_bytes=_ROTATE_BYTES), "jsonl", notes), DeliveryPolicy()),
        (NotedSink(_Slow(random), "slow", notes), _SMALL),
        (NotedSink(_Picky(), "picky", notes), DeliveryPolicy()),
    ]
    async with Pipeline(sinks, store=store, drain_s=30.0, random=random) as pipeline:
        ended = _ended(folder / DATABASE)

        async def follow(stream: str) -> None:
            number = 0
            for _ in range(spec.runs):
                while run_id(stream, number) in ended:
                    number += 1
                data = run_bytes(spec.seed, stream, number)
                await pipeline.run(Generated(data, stream, random, lambda: gate.reached(FIRST)))
                number += 1

        async with anyio.create_task_group() as group:
            for stream in STREAMS:
                group.start_soon(follow, stream)


def _ended(path: Path) -> set[str]:
    """The runs that need not be done again: the store has seen them end."""
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        return {id for (id,) in connection.execute("SELECT id FROM runs WHERE ended = 1")}
    finally:
        connection.close()
