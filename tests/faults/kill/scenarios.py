"""What kills cannot show, as short stories with an assertion at their end: a late writer, and a damaged journal.

They run in a life of their own, so that a broken build can be put under them; each leaves a folder to itself.
"""

import sqlite3
from collections.abc import Callable, Coroutine, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from anyio.lowlevel import checkpoint
from structlog.testing import capture_logs

from streamproc import Change, DeliveryPolicy, Pipeline
from streamproc.errors import SinkUnavailable
from streamproc.sinks.memory import MemorySink
from streamproc.sources.iterable import IterableSource
from streamproc.stores.sqlite import SqliteStore
from tests.faults.kill.work import all_stored, run_bytes

__all__ = ["SCENARIOS"]


class _Refusing:
    """Takes nothing, so that all stays in the journal."""

    name = "sink"

    async def write(self, batch: Sequence[Change]) -> None:
        raise SinkUnavailable("closed today", 60.0)


async def late_writer(folder: Path) -> None:
    """A run that has ended is told again, and only to its middle: its states stay."""
    path, data = folder / "late.db", run_bytes(1, "late", 0)
    async with Pipeline(store=SqliteStore(path)) as pipeline:
        await pipeline.run(IterableSource([data], name="first"))
    before = _rows(path)
    for stream in ("first", "second"):
        async with Pipeline(store=SqliteStore(path)) as pipeline:
            await pipeline.run(IterableSource([data[: len(data) // 2]], name=stream))

    assert _rows(path) == before, "states moved backwards"


async def damaged_row(folder: Path) -> None:
    """A bit that turned over in the journal stops the sinks that come to it, until it is as it was."""
    path, data = folder / "damaged.db", run_bytes(1, "damaged", 0)
    async with Pipeline([_Refusing()], store=SqliteStore(path), drain_s=0.05) as pipeline:
        await pipeline.run(IterableSource([data], name="stream"))
        await all_stored(pipeline)
    count = _turn_over(path)
    got = await _delivered(path, drain_s=0.05)
    assert got == [], "a damaged change was delivered"
    _turn_over(path)
    got_then = await _delivered(path, drain_s=30.0)

    assert len(got_then) == count, "not all came after the repair"


async def _delivered(path: Path, *, drain_s: float) -> list[Change]:
    """What a sink gets from the journal, once it got something or the journal could not be read."""
    sink = MemorySink()
    sink.name = "sink"  # type: ignore[attr-defined]  # what users set on sinks
    policy = DeliveryPolicy(batch_max=100_000)
    with capture_logs() as logs:
        async with Pipeline([(sink, policy)], store=SqliteStore(path), drain_s=drain_s):
            while not sink.changes and not any(log["event"] == "store.unavailable" for log in logs):
                await checkpoint()
    return [*sink.changes]


def _turn_over(path: Path) -> int:
    """Turn over one bit in the first journal row, or turn it back; returns how many changes the journal has."""
    with closing(sqlite3.connect(path)) as connection, connection:
        first, blob = connection.execute("SELECT first, blob FROM journal ORDER BY first LIMIT 1").fetchone()
        at = max(blob.rfind(b"assistant_id"), blob.rfind(b"`ssistant_id"))  # a name in a payload: still JSON either way
        damaged = blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :]
        connection.execute("UPDATE journal SET blob = ? WHERE first = ?", (damaged, first))
        (count,) = connection.execute("SELECT last - first + 1 FROM extent").fetchone()
        return int(count)


def _rows(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with closing(sqlite3.connect(path)) as connection:
        for table in ("runs", "steps", "messages"):
            for id, status, state in connection.execute(f"SELECT id, status, state FROM {table}"):
                found[id] = status, state
    return found


SCENARIOS: Final[dict[str, Callable[[Path], Coroutine[Any, Any, None]]]] = {
    "late writer": late_writer,
    "damaged row": damaged_row,
}
