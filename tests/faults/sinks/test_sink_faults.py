"""A small sample of what `python -m tests.faults.sinks` does at length; see docs/faults.md."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.faults.sinks.audit import Account, audit
from tests.faults.sinks.broken import BUILDS
from tests.faults.sinks.campaign import BACK_S, TIMEOUT_S, Plan, run_campaign
from tests.faults.sinks.every import SINKS
from tests.faults.sinks.far_side import FarSide, Open, Reading

SEED = 3
LIFE_S = 0.3


@contextmanager
def losing_one(open: Open, after: list[Account], folder: Path) -> Iterator[FarSide]:
    """A far side that loses something once it has been read; `after` gets the account that is made then."""
    with open(folder) as far, pytest.MonkeyPatch.context() as patch:
        read = far.read

        def read_twice(*args: Any) -> Reading:
            found = read(*args)
            far.lose_one()
            after.append(audit(read(*args)))
            return found

        patch.setattr(far, "read", read_twice)
        yield far


@pytest.mark.slow
@pytest.mark.asyncio
@pytest.mark.parametrize("name", SINKS)
async def test_killed_and_deserted(tmp_path: Path, name: str) -> None:
    """Whatever becomes of the worker and of the sink's server: all arrives and counts once. One less is noticed."""
    told: list[str] = []
    after: list[Account] = []
    plan = Plan(seed=SEED, kills=3, kills_max=20, server_kills=1, pauses=1, pause_s=TIMEOUT_S + 0.1, life_s=LIFE_S)
    found = await run_campaign(tmp_path, partial(losing_one, SINKS[name], after), plan, told.append)

    assert found.faults == []
    assert found.kills >= 3
    assert found.repeated_by_kills > 0
    assert found.items > 10
    assert (found.server_kills, found.pauses) == ((0, 0) if name == "jsonl" else (1, 1))
    assert max(found.back_s, default=0.0) < BACK_S
    assert "3 of 3 kills" in told
    assert [account.counts["lost"] > 0 for account in after] == [True]


@pytest.mark.slow
@pytest.mark.asyncio
@pytest.mark.parametrize("name", BUILDS)
async def test_broken_sink(tmp_path: Path, name: str) -> None:
    """Each of them is caught, though perhaps not by the first kills: it takes one at the right moment."""
    open, fault, kills = BUILDS[name]
    counts: Mapping[str, int] = {}
    for seed in range(SEED, SEED + 8):
        plan = Plan(seed=seed, kills=kills, server_kills=0, pauses=0, life_s=LIFE_S)
        found = await run_campaign(tmp_path / str(seed), open, plan, lambda text: None)
        assert found.checker.samples == []
        counts = found.account.counts
        if counts:
            break

    assert counts.keys() == {fault}


FINE = [("a", 1), ("b", 1), ("a", 2)]


@pytest.mark.parametrize(
    ("applied", "faults"),
    [
        ([("a", 1), ("b", 1), ("a", 2)], {}),
        ([("a", 1), ("a", 2), ("b", 1)], {}),
        ([("b", 1), ("a", 2)], {}),
        ([("a", 1), ("b", 1)], {"lost": 1}),
        ([("a", 2), ("b", 1), ("b", 1)], {"doubled": 1}),
        ([("a", 2), ("b", 1), ("c", 1)], {"phantom": 1}),
        ([("a", 2), ("a", 1), ("b", 1)], {"out of order": 1}),
    ],
    ids=["whole", "other order of groups", "older state left out", "lost", "doubled", "phantom", "out of order"],
)
def test_account(applied: list[tuple[str, int]], faults: dict[str, int]) -> None:
    """Of a: 1 and then 2, of which 2 has to be there; of b: 1."""
    reading = Reading(allowed=FINE, wanted=FINE[1:], applied=applied, repeated=0)

    assert dict(audit(reading).counts) == faults


def test_account_of_what_is_wrong() -> None:
    """What a far side finds wrong by itself is in the account, with its text."""
    found = audit(Reading(allowed=FINE, wanted=FINE, applied=FINE, repeated=0, wrong=["the state of a"]))

    assert found.counts == {"wrong": 1}
    assert found.samples == ["wrong: the state of a"]
