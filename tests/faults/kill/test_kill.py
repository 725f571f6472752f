"""A small sample of what `python -m tests.faults.kill` does at length; see docs/durability.md."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.kill.broken import BUILDS
from tests.faults.kill.campaign import crash_at, faults_of, kill_often, tell
from tests.faults.kill.nursery import Nursery
from tests.faults.kill.points import PHASES, POINTS
from tests.faults.kill.scenarios import SCENARIOS
from tests.faults.kill.trouble import TROUBLE

SEED = 5


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    """The process that forks lives."""
    with Nursery() as nursery:
        yield nursery


@pytest.mark.slow
def test_killed_again_and_again(nursery: Nursery, tmp_path: Path) -> None:
    """One kill in each phase, on the same files: nothing lost or doubled, and what came twice shows that it bites."""
    told: list[str] = []
    found = kill_often(nursery, tmp_path, SEED, 15, told.append)

    assert found.checker.samples == []
    assert found.kills == 15
    assert sum(found.phases.values()) + found.missed == 15
    assert found.checker.changes > 1000
    assert found.checker.again > 0
    assert told[-1] == "15 of 15 kills"


@pytest.mark.slow
@pytest.mark.parametrize(
    "point", [points[(SEED + number) % len(points)] for number, points in enumerate(PHASES.values())]
)
def test_crash_at_a_point(nursery: Nursery, tmp_path: Path, point: str) -> None:
    """One point of each phase is reached, and what comes after is whole."""
    crash = crash_at(nursery, tmp_path, SEED, point, 2)

    assert crash.was_reached
    assert crash.checker.samples == []


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILDS)
def test_broken_build(nursery: Nursery, tmp_path: Path, name: str) -> None:
    """Each of them is caught."""
    assert faults_of(nursery, tmp_path, SEED, name)


@pytest.mark.slow
@pytest.mark.parametrize("scenario", [*SCENARIOS, *TROUBLE])
def test_scenario(nursery: Nursery, tmp_path: Path, scenario: str) -> None:
    """Each asserts what it is about."""
    assert tell(nursery, tmp_path, scenario) == ()


def test_points_and_builds_are_enough() -> None:
    """What the documentation promises of them."""
    assert len(POINTS) >= 20
    assert len(BUILDS) >= 8
