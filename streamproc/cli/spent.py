"""What the runs of one input spent, for `replay --output summary`.

States may be forgotten before an input ends, so what they say of usage is kept from their changes, and nothing else of
them. Deltas say none of it and are passed by: their states are not built.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from streamproc.core.change import Change
from streamproc.model.run import Run
from streamproc.model.run_step import RunStep
from streamproc.usage import RunUsage, known_counts, usage_report

if TYPE_CHECKING:
    from streamproc.cost import Prices

__all__ = ["Spent"]


class Spent:
    """Usage, and cost where there are prices, of the runs that were seen."""

    def __init__(self, prices: "Prices | None" = None) -> None:
        self._prices = prices
        self._runs: dict[str, Run] = {}
        self._steps: dict[str, RunStep] = {}

    def take(self, changes: Iterable[Change]) -> None:
        """Note what some changes say."""
        for change in changes:
            if change.kind == "run":
                run: Run = change.state
                self._runs[change.id] = Run(id=run.id, model=run.model, usage=run.usage, created_at=run.created_at)
            elif change.kind == "step" and not change.is_delta:
                step: RunStep = change.state
                self._steps[change.id] = RunStep(
                    id=step.id, run_id=change.run_id, usage=step.usage, created_at=step.created_at
                )

    def summary(self) -> dict[str, Any]:
        """Members of a summary: `usage`, the runs of which it is known, and `cost` of all runs if there are prices."""
        counted = usage_report(self._runs, self._steps).runs
        usage = [
            {"run": run.run_id, "model": run.model, "basis": run.basis, **known_counts(run.usage)}
            for run in counted.values()
            if run.usage is not None
        ]
        return {"usage": usage} if self._prices is None else {"usage": usage, "cost": self._cost(self._prices, counted)}

    def _cost(self, prices: "Prices", counted: Mapping[str, RunUsage]) -> dict[str, Any]:
        from streamproc.cost import cost_report

        report = cost_report(self._runs, self._steps, prices)
        runs = [
            {"run": run_id, "model": counted[run_id].model, "usd": _plain(price.usd)}
            | ({"listed_as": price.listed_as} if price.listed_as else {})
            | ({"why": price.why} if price.why else {})
            for run_id, price in report.runs.items()
        ]
        models = [
            {"model": each.model, "usd": _plain(each.usd), "runs": each.runs, "without_price": each.runs_without_price}
            for each in report.models.values()
        ]
        return {"usd": _plain(report.total_usd), "runs": runs, "models": models}


def _plain(usd: Decimal | None) -> str | None:
    """An amount as text, so that no digit is lost where numbers are read as floats; never with an exponent."""
    return None if usd is None else f"{usd:f}"
