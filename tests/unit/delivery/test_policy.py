"""Settings of delivery: what is refused, and how long a retry waits."""

from random import Random
from typing import Any

import pytest

from streamproc.delivery.policy import DeliveryPolicy, Retry
from streamproc.errors import ConfigError
from tests.unit.delivery.sinks import HALF


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, 0) for name in ("batch_max", "batch_max_bytes", "breaker_failures", "max_bugs", "inbox_max")),
        *((name, -0.5) for name in ("batch_wait_s", "breaker_pause_s", "max_pause_s")),
        ("timeout_s", 0),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name: str, value: float) -> None:
    settings: dict[str, Any] = {name: value}

    with pytest.raises(ConfigError, match=rf"^{name} is {value}; expected "):
        DeliveryPolicy(**settings)


def test_bounds_themselves_are_accepted() -> None:
    policy = DeliveryPolicy(batch_max=1, batch_max_bytes=1, breaker_failures=1, max_bugs=1, inbox_max=1)

    assert DeliveryPolicy(batch_wait_s=0, breaker_pause_s=0, max_pause_s=0).max_pause_s == 0
    assert policy.inbox_max == 1


def test_changes_cannot_be_coalesced() -> None:
    with pytest.raises(ConfigError, match="coalesce"):
        DeliveryPolicy(when_full="coalesce")

    assert DeliveryPolicy(when_full="coalesce", deliver="final").deliver == "final"


def test_ceilings_double_up_to_the_cap() -> None:
    retry = Retry(base_s=1, cap_s=5)

    assert [retry.wait_s(attempt, HALF) for attempt in (1, 2, 3, 4, 5, 10_000)] == [0.5, 1, 2, 2.5, 2.5, 2.5]


def test_jitter_is_full() -> None:
    waits = [Retry(base_s=8).wait_s(1, random) for random in [Random(1)] for _ in range(200)]

    assert 0 <= min(waits) < 0.5
    assert 7.5 < max(waits) <= 8


def test_a_wait_is_at_least_what_was_asked_for_within_its_cap() -> None:
    retry = Retry(base_s=8, retry_after_cap_s=60)

    assert [retry.wait_s(1, HALF, asked_s) for asked_s in (None, 1, 9, 61)] == [4, 4, 9, 60]


@pytest.mark.parametrize(("retry", "last"), [(Retry(), None), (Retry(max_attempts=3), 3), (Retry(max_elapsed_s=20), 2)])
def test_when_retries_end(retry: Retry, last: int | None) -> None:
    """An attempt every ten seconds."""
    ended = [attempt for attempt in range(1, 99) if retry.is_exhausted(attempt, attempt * 10)]

    assert ended == ([] if last is None else list(range(last, 99)))
