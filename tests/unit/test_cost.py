"""Prices: by a table of round numbers in place of the published one, which changes."""

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal

import pytest

import streamproc.cost
from streamproc import Run, RunStep, Usage
from streamproc.cost import Price, Prices, cost_report
from streamproc.errors import ConfigError
from streamproc.model.run_step import TokenDetails
from tests.prices import CHANGED, round_prices

BEFORE, AFTER = CHANGED.timestamp() - 1, CHANGED.timestamp()


@pytest.fixture(autouse=True)
def table() -> Iterator[None]:
    with round_prices():
        yield


def spent(prompt: int, completion: int, **details: int) -> Usage:
    reasoning = details.pop("reasoning_tokens", None)
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        prompt_tokens_details=TokenDetails(**details),
        completion_tokens_details=TokenDetails(reasoning_tokens=reasoning),
    )


# --- one price --------------------------------------------------------------------------------------------------------


def test_price_is_that_of_the_table() -> None:
    """Exact, and it says which entry it is from."""
    expected = Price(usd=Decimal(32), listed_as="acme/acme-plain")

    assert expected == Prices().price(spent(2, 3), "acme-plain")


def test_parts_have_prices_of_their_own() -> None:
    """4 of 10 prompt tokens from a cache, 3 written to it, 5 of 6 completion tokens spent on reasoning."""
    usage = spent(10, 6, cached_tokens=4, cache_write_tokens=3, reasoning_tokens=5)
    expected = 3 * Decimal(1) + 4 * Decimal("0.1") + 3 * Decimal(2) + 1 * Decimal(10) + 5 * Decimal(20)

    assert expected == Prices().price(usage, "acme-parts").usd


def test_parts_without_a_price_of_their_own_cost_as_the_whole() -> None:
    usage = spent(10, 6, cached_tokens=4, cache_write_tokens=3, reasoning_tokens=5)

    assert Prices().price(usage, "acme-plain").usd == 70


def test_model_that_is_free_costs_nothing() -> None:
    """The table says 0, which is a price."""
    assert Prices().price(spent(2, 3), "acme-free").usd == 0


@pytest.mark.parametrize(
    ("usage", "model", "expected"),
    [
        (None, "acme-plain", Price(why="no_usage")),
        (Usage(total_tokens=5), "acme-plain", Price(why="no_usage")),
        (Usage(prompt_tokens=5), "acme-plain", Price(why="no_usage")),
        (spent(-1, 3), "acme-plain", Price(why="no_usage")),
        (spent(2, 3), None, Price(why="no_model")),
        (spent(2, 3), "", Price(why="no_model")),
        (spent(2, 3), "acme-nine", Price(why="unknown_model")),
        (spent(2, 3), "my-deployment", Price(why="unknown_model")),
        (spent(2, 3, cached_tokens=4), "acme-parts", Price(why="odd_usage")),
        (spent(2, 3), "acme-hours", Price(why="no_rate", listed_as="acme/acme-hours")),
        (spent(2, 3), "acme-input", Price(why="no_rate", listed_as="acme/acme-input")),
        (spent(0, 3), "acme-hours", Price(why="no_rate", listed_as="acme/acme-hours")),
    ],
)
def test_no_price_is_not_zero(usage: Usage | None, model: str | None, expected: Price) -> None:
    """There is none, and the reason."""
    assert expected == Prices().price(usage, model)


def test_rate_that_is_not_needed_may_be_missing() -> None:
    """A model that only reads has no price for what it writes."""
    assert Prices().price(spent(2, 0), "acme-input").usd == 2


def test_name_of_a_deployment_stands_for_a_model() -> None:
    """Other names stand for themselves."""
    prices = Prices(models={"my-deployment": "acme-plain"})

    assert prices.price(spent(2, 3), "my-deployment") == prices.price(spent(2, 3), "acme-plain")
    assert prices.price(spent(2, 3), "acme-plain").usd == 32


def test_provider_has_its_own_prices() -> None:
    """Those that it does not list have none."""
    prices = Prices(provider="reseller")

    assert prices.price(spent(2, 3), "acme-plain") == Price(usd=Decimal(6), listed_as="reseller/acme-plain")
    assert prices.price(spent(2, 3), "acme-free").why == "unknown_model"


def test_provider_that_is_unknown_is_refused() -> None:
    """At once, since every model would seem to be unknown."""
    with pytest.raises(ConfigError, match="provider is 'acne'"):
        Prices(provider="acne")


@pytest.mark.parametrize(
    ("created_at", "now", "expected"),
    [
        (BEFORE, AFTER, 1),
        (AFTER, BEFORE, 2),
        (int(AFTER), BEFORE, 2),
        (None, AFTER, 2),
        ("2020", BEFORE, 1),
        (1e300, AFTER, 2),
        (float("nan"), AFTER, 2),
        (-(10**30), BEFORE, 1),
    ],
)
def test_prices_are_those_of_the_day(created_at: object, now: float, expected: int) -> None:
    """Of the day on which the object was created, or of this one when it does not say, or says nonsense."""
    prices = Prices(clock=lambda: datetime.fromtimestamp(now, UTC))

    assert prices.price(spent(1, 0), "acme-dearer", created_at).usd == expected


def test_clock_is_the_systems_by_default() -> None:
    """The dearer price came years before this program can run."""
    assert Prices().price(spent(1, 0), "acme-dearer").usd == 2


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is priced."""
    monkeypatch.setattr(streamproc.cost, "find_spec", lambda name: None)

    with pytest.raises(ConfigError, match=r'cost needs an extra: pip install "streamproc\[cost\]"'):
        cost_report({}, {})


# --- the report -------------------------------------------------------------------------------------------------------


def steps_of(run_id: str, *usages: Usage | None, created_at: float = AFTER) -> dict[str, RunStep]:
    steps = [
        RunStep(id=f"{run_id}_{at}", run_id=run_id, usage=usage, created_at=created_at)
        for at, usage in enumerate(usages)
    ]
    return {step.id: step for step in steps}


def test_run_is_priced_by_steps_that_account_for_it() -> None:
    """Two prompts of 8 tokens are not one of 16, which would cost five times as much."""
    runs = {"run_1": Run(id="run_1", model="acme-tiers", usage=Usage(prompt_tokens=16, completion_tokens=2))}
    part = Usage(prompt_tokens=8, completion_tokens=1)
    report = cost_report(runs, steps_of("run_1", part, part))

    assert [price.usd for price in report.steps.values()] == [8, 8]
    assert report.runs == {"run_1": Price(usd=Decimal(16), listed_as="acme/acme-tiers")}
    assert report.total_usd == 16
    assert report.runs_without_price == 0


def test_run_is_priced_by_its_usage_when_steps_do_not_account_for_it() -> None:
    """As if it were one model call."""
    runs = {"run_1": Run(id="run_1", model="acme-tiers", usage=spent(16, 2))}
    report = cost_report(runs, steps_of("run_1", spent(8, 1), None))

    assert report.steps["run_1_0"].usd == 8
    assert report.runs["run_1"].usd == 80


def test_run_without_usage_costs_what_its_steps_cost() -> None:
    """At least that: it broke off, or is going on."""
    report = cost_report({"run_1": Run(id="run_1", model="acme-plain")}, steps_of("run_1", spent(1, 1), spent(2, 0)))

    assert report.total_usd == 13


def test_run_with_a_step_that_has_no_price_has_none() -> None:
    """A sum without it would be too little."""
    runs = {"run_1": Run(id="run_1", model="acme-plain")}
    report = cost_report(runs, steps_of("run_1", spent(1, 1), Usage(total_tokens=9)))

    assert [price.why for price in report.steps.values()] == [None, "no_usage"]
    assert report.runs["run_1"] == Price(why="no_usage")


def test_run_is_priced_by_the_day_it_was_created() -> None:
    """And each step by its own."""
    runs = {"run_1": Run(id="run_1", model="acme-dearer", usage=spent(5, 0), created_at=BEFORE)}
    report = cost_report(runs, steps_of("run_1", spent(1, 0), created_at=AFTER))

    assert report.runs["run_1"].usd == 5
    assert report.steps["run_1_0"].usd == 2


def test_models_without_a_price_are_counted_and_named() -> None:
    """Beside those that have one; what is known is summed up."""
    runs = {
        "run_1": Run(id="run_1", model="acme-plain", usage=spent(2, 0)),
        "run_2": Run(id="run_2", model="acme-plain", usage=None),
        "run_3": Run(id="run_3", model="my-deployment", usage=spent(2, 0)),
        "run_4": Run(id="run_4", usage=spent(2, 0)),
    }
    report = cost_report(runs, {}, Prices())

    assert {name: (model.runs, model.runs_without_price, model.usd) for name, model in report.models.items()} == {
        "acme-plain": (2, 1, 2),
        "my-deployment": (1, 1, None),
        None: (1, 1, None),
    }
    assert [price.why for price in report.runs.values()] == [None, "no_usage", "unknown_model", "no_model"]
    assert report.total_usd == 2
    assert report.runs_without_price == 3


def test_nothing_with_a_price_has_no_total() -> None:
    """None, not 0; a step that names no run has no model."""
    report = cost_report({}, {"a": RunStep(id="a", usage=spent(2, 0))})

    assert report.total_usd is None
    assert report.steps == {"a": Price(why="no_model")}
    assert report.runs == {}
