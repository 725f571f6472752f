"""Two seeds of the fault matrix; `python -m tests.faults` runs twenty. See docs/faults.md."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import inf
from random import Random

import pytest
from structlog.testing import capture_logs

from streamproc import Change, StreamProcessor, rounds
from streamproc.errors import SourceUnavailable
from streamproc.pipeline import StreamResult
from streamproc.testing.server import corrupted
from tests.faults.plans import ABILITIES, FAULTS, Ability
from tests.faults.runs import Outcome, run_cells
from tests.faults.verdicts import delivery_faults, states_of, verdict_of
from tests.faults.workload import Json, workload
from tests.loopback import in_loopback_time

SEEDS = (3, 11)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
@in_loopback_time
async def test_every_kind_of_source(fault: str) -> None:
    """Who can go on ends with the states of a run without faults; who cannot says so; nobody hangs."""
    outcomes: list[Outcome] = []
    with capture_logs():
        await run_cells([(fault, ability, seed) for ability in ABILITIES for seed in SEEDS], outcomes.append)

    assert len(outcomes) == len(ABILITIES) * len(SEEDS)
    assert [outcome for outcome in outcomes if not outcome.is_expected] == []


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
@in_loopback_time
async def test_streams_that_are_read_in_rounds(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same where every stream is, from its first chunk on."""
    for name, value in {"_BEGIN_HZ": 0.0, "_WORTH": 0, "_WINDOW_S": 0.0, "_LIVELY_S": inf}.items():
        monkeypatch.setattr(rounds, name, value)
    follow, followed = rounds.Rounds.follow, 0

    async def counted(self: rounds.Rounds, proc: StreamProcessor, poll: Callable[[], bytes | None]) -> float:
        nonlocal followed
        followed += 1
        return await follow(self, proc, poll)

    monkeypatch.setattr(rounds.Rounds, "follow", counted)
    outcomes: list[Outcome] = []
    with capture_logs():
        await run_cells([(fault, ability, SEEDS[0]) for ability in ABILITIES], outcomes.append)

    assert followed > 0
    assert [outcome for outcome in outcomes if not outcome.is_expected] == []


@pytest.mark.parametrize("ability", ABILITIES)
def test_most_faults_can_be_outlived(ability: Ability) -> None:
    """What the matrix demands is no less than what each kind of source makes possible."""
    blocks = workload(asks=False).blocks(with_ids=ability == "resume")
    plans = {name: [fault(Random(seed), blocks) for seed in range(20)] for name, fault in FAULTS.items()}
    equal = {name for name, made in plans.items() if any(plan.outcome(ability) == "equal" for plan in made)}
    always = {"end missing", "refused first", "429 first", "slow slices", "pauses", "duplicate", "corrupt"}

    assert (
        equal
        == {
            "resume": FAULTS.keys() - {"HTML on reconnect"},
            "restart": FAULTS.keys() - {"HTML on reconnect"},
            "resync": FAULTS.keys() - {"HTML on reconnect", "5xx first"},
            "none": always,
        }[ability]
    )


@pytest.mark.slow
@pytest.mark.parametrize("asks", [False, True], ids=["completes", "requires action"])
def test_one_bit_turned_over_anywhere(asks: bool) -> None:
    """In memory, since the place is all that matters: the damage shows, or is in what came in."""
    what = workload(asks=asks)
    stream, random = what.stream(), Random(1)
    verdicts: Counter[str] = Counter()
    for at in range(0, len(stream), 13):
        damaged = corrupted(stream, at, 1 << random.randrange(8))
        proc = StreamProcessor()
        changes = [*proc.feed(damaged), *proc.close()]
        verdicts[verdict(proc, changes, what.truth, damaged)] += 1

    assert verdicts["wrong"] == 0
    assert verdicts["anomaly"] > 0
    assert verdicts["as received"] > 0


# --- the judge --------------------------------------------------------------------------------------------------------


def verdict(
    proc: StreamProcessor,
    changes: Sequence[Change],
    truth: Mapping[str, Json],
    damaged: bytes | None = None,
    *,
    has_error: bool = True,
) -> str:
    """On a stream that a processor has seen to its end."""
    error = SourceUnavailable("lost") if proc.truncated and has_error else None
    result = StreamResult(
        stream="default", run_id="run_1", epoch=1, connections=1, truncated=proc.truncated, error=error
    )
    return verdict_of(result, states_of(proc), truth, changes, damaged)[0]


def judged(stream: bytes, *, closes: bool = True, has_error: bool = True, damaged: bytes | None = None) -> str:
    """The verdict on what these bytes give."""
    proc = StreamProcessor()
    changes = [*proc.feed(stream), *(proc.close() if closes else ())]
    return verdict(proc, changes, workload(asks=False).truth, damaged, has_error=has_error)


def test_judge_of_a_whole_run() -> None:
    """All of it is equal; any change that the bytes do not account for is wrong."""
    stream = workload(asks=False).stream()
    usage = stream.replace(b'"total_tokens":3410', b'"total_tokens":3411')

    assert judged(stream) == "equal"
    assert usage != stream
    assert judged(usage) == "wrong"
    assert judged(usage, damaged=usage) == "as received"
    assert judged(usage, damaged=stream) == "wrong"


def test_judge_of_damage_that_shows() -> None:
    """An anomaly tells of a snapshot that contradicts its deltas."""
    stream = workload(asks=False).stream()
    damaged = stream.replace(b'"status":"completed"', b'"status":"cancelled"', 1)

    assert damaged != stream
    assert judged(damaged, damaged=damaged) == "anomaly"


def test_judge_of_a_beginning() -> None:
    """It has to be marked, by an error too; and to be a beginning."""
    blocks = workload(asks=False).blocks()
    begun = b"".join(blocks[:20])
    without_one = b"".join((*blocks[:10], *blocks[11:20]))

    assert judged(begun) == "truncated"
    assert judged(begun, has_error=False) == "wrong"
    assert judged(begun, closes=False) == "wrong"
    assert judged(without_one) == "wrong"


def test_judge_of_deliveries() -> None:
    """Numbers without gaps, epochs that only grow, and a last change that is the state."""
    proc = StreamProcessor()
    first = proc.feed(workload(asks=False).stream())
    states = states_of(proc)
    proc.open(epoch=2)
    second = proc.feed(workload(asks=True).stream())

    assert delivery_faults(first, states) == []
    assert delivery_faults(first[:-1], states) == ["the last changes are not the states"]
    assert delivery_faults([*first[:5], *first[6:]], states) == ["seq 7 after 5"]
    assert "an epoch went back" in delivery_faults([*second, *first], states)
