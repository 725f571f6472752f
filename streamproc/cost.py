"""What runs and steps cost, by the price table of genai-prices (extra `cost`), which comes with it and is read offline.

*No price is not 0*: where one cannot be told, `usd` is None, `why` says the reason, and the model is named and counted.
A run is priced by its steps when they account for all of it, since some models cost more per token from a size of one
prompt on, and a run may be many prompts; otherwise by its usage as if that were one. Prices are those of the day on
which a step or run was created.

Only tokens are priced, at the standard tier: no tools, no batch discount, no contract. Where a server does not say how
many prompt tokens were cached, all of them are priced as if none was, so the true cost may be lower.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, TypeAlias

from msgspec import Struct

from streamproc.errors import ConfigError
from streamproc.model.run import Run
from streamproc.model.run_step import RunStep, Usage
from streamproc.usage import RunUsage, known_counts, usage_report

if TYPE_CHECKING:
    from genai_prices.types import PriceCalculation

__all__ = ["CostReport", "ModelCost", "Price", "Prices", "Unpriced", "cost_report"]

Unpriced: TypeAlias = Literal["no_usage", "no_model", "unknown_model", "no_rate", "odd_usage"]
"""Why there is no price: prompt or completion tokens are unknown; the run names no model; the table does not have it;
the table prices it by something else than tokens; the counts contradict each other."""


class Price(Struct, frozen=True, kw_only=True):
    """The price of one step or run."""

    usd: Decimal | None = None  # US dollars; None: see `why`
    why: Unpriced | None = None
    listed_as: str | None = None  # provider and model in the table, such as "openai/gpt-4o"


class ModelCost(Struct, frozen=True, kw_only=True):
    """The cost of all runs of one model."""

    model: str | None  # as the server named it; None: runs that name none
    runs: int
    runs_without_price: int  # which are not in `usd`
    usd: Decimal | None  # None: no run has a price


class CostReport(Struct, frozen=True, kw_only=True):
    """Prices by run id, by step id and by model; steps that said no usage are not in it.

    Steps are parts of their run: never add both.
    """

    runs: Mapping[str, Price]
    steps: Mapping[str, Price]
    models: Mapping[str | None, ModelCost]

    @property
    def total_usd(self) -> Decimal | None:
        """What all runs with a price cost; None when there is none."""
        return _sum(price.usd for price in self.runs.values())

    @property
    def runs_without_price(self) -> int:
        return sum(model.runs_without_price for model in self.models.values())


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Prices:
    """The price table."""

    def __init__(
        self,
        *,
        models: Mapping[str, str] | None = None,
        provider: str | None = None,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        """
        Args:
            models: what stands in the table for a name that servers use, such as `{"my-deployment": "gpt-4o"}`.
            provider: whose prices, as genai-prices names it ("openai", "azure", ...); None: that of the model's maker.
            clock: the day of what does not say when it was created.

        Raises:
            ConfigError: there is no such provider, or the extra is not installed.
        """
        if find_spec("genai_prices") is None:
            raise ConfigError('cost needs an extra: pip install "streamproc[cost]"')
        self._models = dict(models or {})
        self._provider = provider
        self._clock = clock
        if provider is not None:
            from genai_prices.data_snapshot import get_snapshot

            try:
                get_snapshot().find_provider(None, provider, None)
            except LookupError:
                raise ConfigError(f"provider is {provider!r}; expected one that genai-prices knows") from None

    def price(self, usage: Usage | None, model: str | None, created_at: object = None) -> Price:
        """Price one account of usage as if it were one model call.

        Args:
            usage: what was spent; a breakdown that is absent is priced as if it were 0.
            model: as the server named it.
            created_at: Unix seconds; anything else means now.
        """
        counts = {} if usage is None else known_counts(usage)
        if "prompt_tokens" not in counts or "completion_tokens" not in counts:
            return Price(why="no_usage")
        if not model:
            return Price(why="no_model")
        try:
            found = self._calculate(counts, self._models.get(model, model), self._day(created_at))
        except LookupError:
            return Price(why="unknown_model")
        except ValueError:
            return Price(why="odd_usage")
        listed_as = f"{found.provider.id}/{found.model.id}"
        rates = found.model_price
        if (counts["prompt_tokens"] and rates.input_mtok is None) or (
            counts["completion_tokens"] and rates.output_mtok is None
        ):
            return Price(why="no_rate", listed_as=listed_as)
        return Price(usd=found.total_price, listed_as=listed_as)

    def _calculate(self, counts: Mapping[str, int], model: str, day: datetime) -> "PriceCalculation":
        from genai_prices import Usage as TableUsage
        from genai_prices import calc_price

        # Like ours, its breakdowns are parts: it takes them off the whole before the whole is priced.
        usage = TableUsage(
            input_tokens=counts["prompt_tokens"],
            cache_read_tokens=counts.get("cached_tokens"),
            cache_write_tokens=counts.get("cache_write_tokens"),
            output_tokens=counts["completion_tokens"],
            output_reasoning_tokens=counts.get("reasoning_tokens"),
        )
        return calc_price(usage, model, provider_id=self._provider, genai_request_timestamp=day)

    def _day(self, created_at: object) -> datetime:
        if isinstance(created_at, int | float):
            try:
                return datetime.fromtimestamp(created_at, UTC)
            except (ValueError, OverflowError, OSError):  # beyond any calendar
                pass
        return self._clock()


def cost_report(runs: Mapping[str, Run], steps: Mapping[str, RunStep], prices: Prices | None = None) -> CostReport:
    """Price runs and steps, each by its id: a processor's or a pipeline's, for example.

    Raises:
        ConfigError: `prices` is not given, and the extra is not installed.
    """
    table = Prices() if prices is None else prices
    counted = usage_report(runs, steps)
    by_step: dict[str, Price] = {}
    parts: dict[str, list[Price]] = {}
    for step_id, usage in counted.steps.items():
        step = steps[step_id]
        run_id = step.run_id if isinstance(step.run_id, str) else None
        model = None if run_id is None else counted.runs[run_id].model
        by_step[step_id] = table.price(usage, model, step.created_at)
        if run_id is not None:
            parts.setdefault(run_id, []).append(by_step[step_id])
    by_run = {
        run_id: _price_run(table, usage, runs.get(run_id), parts.get(run_id, []))
        for run_id, usage in counted.runs.items()
    }
    return CostReport(runs=by_run, steps=by_step, models=_by_model(counted.runs, by_run))


def _price_run(table: Prices, counted: RunUsage, run: Run | None, steps: list[Price]) -> Price:
    if counted.steps_account or counted.basis == "steps":
        found = [step.usd for step in steps if step.usd is not None]
        if len(found) == len(steps):
            return Price(usd=sum(found, Decimal()), listed_as=steps[0].listed_as)
    return table.price(counted.usage, counted.model, None if run is None else run.created_at)


def _by_model(counted: Mapping[str, RunUsage], prices: Mapping[str, Price]) -> dict[str | None, ModelCost]:
    groups: dict[str | None, list[Decimal | None]] = {}
    for run_id, usage in counted.items():
        groups.setdefault(usage.model, []).append(prices[run_id].usd)
    return {
        model: ModelCost(model=model, runs=len(found), runs_without_price=found.count(None), usd=_sum(found))
        for model, found in groups.items()
    }


def _sum(amounts: Iterable[Decimal | None]) -> Decimal | None:
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal()) if known else None
