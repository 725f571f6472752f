"""A small sample of what `python -m tests.faults.worker` does at length; see docs/deploy.md."""

import signal
from pathlib import Path

import pytest

from tests.faults.worker.campaign import DEADLINE_S, live_often

SEED = 7


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


@pytest.mark.slow
@pytest.mark.asyncio
async def test_killed_under_load(tmp_path: Path) -> None:
    """Every run that was open is whole in the end, and the sink has each change once."""
    found = await live_often(tmp_path, SEED, 2, signal.SIGKILL, lambda text: None)

    assert found.checker.samples == []
    assert found.ended == 2
    assert found.open > 0
    assert found.restarted > 0
