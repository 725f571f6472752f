"""A small sample of what `python -m tests.faults.worker` does at length; see docs/deploy.md."""

import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.faults.worker.campaign import DEADLINE_S, Lives, live_often
from tests.faults.worker.checker import Checker

SEED = 7


def faults_after(folder: Path, found: Lives, spoil: Callable[[Path], None]) -> dict[str, int]:
    """What the checker says once something is as it must not be."""
    spoil(folder)
    checker = Checker(folder, SEED, ())
    checker.at_end(found.sent)
    return dict(checker.counts)


def spoil_file(folder: Path) -> None:
    """One change is missing, and another one is there twice."""
    path = folder / "changes.jsonl"
    first, second, *lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([second, second, *lines]))
    assert first != second


def spoil_store(folder: Path) -> None:
    """A run has another status, and the steps of one are missing."""
    with closing(sqlite3.connect(folder / "runs.db")) as store, store:
        store.execute("UPDATE runs SET state = json_set(state, '$.status', 'failed') WHERE id = 'run_client-0_0'")
        store.execute("DELETE FROM steps WHERE id IN (SELECT id FROM steps WHERE run_id = 'run_client-0_0' LIMIT 2)")


@pytest.mark.slow
@pytest.mark.asyncio
async def test_told_to_end_under_load(tmp_path: Path) -> None:
    """Exit 0 within the deadline, nothing lost, nothing that was acknowledged comes again."""
    told: list[str] = []
    found = await live_often(tmp_path, SEED, 2, signal.SIGTERM, told.append)

    assert found.checker.samples == []
    assert found.ended == 2
    assert max(found.took_s) < DEADLINE_S
    assert found.open > 0
    assert found.checker.again == 0
    assert found.checker.changes > 100
    assert told[-1] == "2 of 2 lives"
    assert faults_after(tmp_path, found, spoil_file) == {"lost": 1, "doubled": 1}
    assert faults_after(tmp_path, found, spoil_store) == {"lost": 3, "doubled": 1, "wrong state": 1}


@pytest.mark.slow
@pytest.mark.asyncio
async def test_killed_under_load(tmp_path: Path) -> None:
    """Every run that was open is whole in the end, and the sink has each change once."""
    found = await live_often(tmp_path, SEED, 2, signal.SIGKILL, lambda text: None)

    assert found.checker.samples == []
    assert found.ended == 2
    assert found.open > 0
    assert found.restarted > 0
