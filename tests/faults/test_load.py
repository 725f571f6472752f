"""Bad sinks beside a good one, in virtual time: the short form of the load test that docs/load.md describes."""

import pytest

from benchmarks.load import Outcome, run
from streamproc.delivery.statistics import SinkStatistics


def accounts(name: str, *, received: int = 0, acked: int = 0) -> SinkStatistics:
    return SinkStatistics(
        name=name,
        state="closed",
        received=received,
        acked=acked,
        coalesced=0,
        dead=0,
        dropped=0,
        pending=0,
        writes=0,
        failed=0,
        retried=0,
        oldest_pending_s=0.0,
    )


@pytest.mark.slow
def test_bad_sinks_cost_neither_memory_nor_a_change() -> None:
    """Six seconds at 10,000 events/s: memory is bounded, every account adds up, the good sink gets all in order."""
    outcome = run(6.0, is_virtual=True)
    by_name = {it.name: it for it in outcome.statistics}

    assert outcome.faults() == []
    assert by_name["Fast"].acked == by_name["NeverReturns"].received > 1000
    # Each kind of trouble was met, so the test is about what it says.
    assert by_name["NeverReturns"].state == by_name["AlwaysRaises"].state == by_name["OneASecond"].state == "closed"
    assert by_name["AlwaysRaises-2"].dead == by_name["AlwaysRaises-2"].received
    assert by_name["NeverReturns-2"].coalesced > 0
    assert 0 < by_name["OneASecond-2"].acked < 10


def test_faults_are_told() -> None:
    """What would be wrong is found: growth, an account that does not add up, a change that the good sink missed."""
    outcome = Outcome(
        seconds=1.0,
        events=3,
        longest_wait_s=0.0,
        settled_mib=50.0,
        end_mib=58.5,
        at_end=(),
        statistics=(accounts("Fast", received=3, acked=2),),
        unbalanced=("Slow",),
        good=3,
    )

    assert outcome.faults() == [
        "memory grew by 8.5 MiB",
        "Slow: the account does not add up",
        "Fast: 3 received, 2 acked, 3 written in order",
    ]
