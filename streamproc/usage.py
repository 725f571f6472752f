"""Tokens spent: what runs, steps and messages say of it, put together so that no token counts twice.

Three rules. *Unknown is not 0*: an absent or null count stays unknown, and so does a sum of which a summand is. *A run
counts once*: as it says itself, else as its steps say; the two are never added, and a message's usage, which repeats
its step's, is added to nothing. *Breakdowns are parts*: cached and cache-write tokens are among the prompt tokens,
reasoning tokens among the completion tokens.

What is exact: a run's usage is the server's own account of all its model calls. What may not be: a step can lack usage,
or cover several model calls; what was summed from steps (`basis == "steps"`) is what is known so far, at least that.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypeAlias

from msgspec import UNSET, Struct, UnsetType

from streamproc.model.message import Message
from streamproc.model.run import Run
from streamproc.model.run_step import RunStep, TokenDetails, Usage

__all__ = ["COUNTS", "Basis", "ModelUsage", "RunUsage", "UsageReport", "known_counts", "total_usage", "usage_report"]

COUNTS: Final = (
    "prompt_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "completion_tokens",
    "reasoning_tokens",
    "total_tokens",
)
"""The names of the six counts, in the order in which people read them."""

Basis: TypeAlias = Literal["run", "steps"]


class RunUsage(Struct, frozen=True, kw_only=True):
    """What one run spent."""

    run_id: str
    model: str | None  # as the server named it
    usage: Usage | None  # None: neither the run nor any of its steps said
    basis: Basis | None  # who said it
    steps: int  # known steps of the run
    steps_with_usage: int
    steps_account: bool  # every step said its usage, and they come to what the run said


class ModelUsage(Struct, frozen=True, kw_only=True):
    """What all runs of one model spent."""

    model: str | None  # None: runs that name none
    runs: int
    runs_without_usage: int  # which are not in `usage`
    usage: Usage


class UsageReport(Struct, frozen=True, kw_only=True):
    """Usage by run id, by step id, by message id and by model; steps and messages that said none are not in it."""

    runs: Mapping[str, RunUsage]
    steps: Mapping[str, Usage]
    messages: Mapping[str, Usage]
    models: Mapping[str | None, ModelUsage]

    @property
    def total(self) -> Usage:
        """What all runs spent that said something."""
        return total_usage(run.usage for run in self.runs.values() if run.usage is not None)


def usage_report(
    runs: Mapping[str, Run], steps: Mapping[str, RunStep], messages: Mapping[str, Message] | None = None
) -> UsageReport:
    """Put the usage of runs, steps and messages together, each by its id: a processor's or a pipeline's, for example.

    A step whose run is not among `runs` makes one of its own, of no known model; one that names no run stands alone.
    """
    by_run: dict[str, list[Usage | None]] = {run_id: [] for run_id in runs}
    by_step: dict[str, Usage] = {}
    for step_id, step in steps.items():
        usage = _said(step.usage)
        if usage is not None:
            by_step[step_id] = usage
        if isinstance(step.run_id, str):
            by_run.setdefault(step.run_id, []).append(usage)
    by_message = {id: usage for id, message in (messages or {}).items() if (usage := _said(message.usage)) is not None}
    counted = {run_id: _count_run(run_id, runs.get(run_id), found) for run_id, found in by_run.items()}
    return UsageReport(runs=counted, steps=by_step, messages=by_message, models=_by_model(counted.values()))


def total_usage(usages: Iterable[Usage]) -> Usage:
    """Sum usages up, count by count; a count that one of them leaves unknown is unknown (absent) in the sum.

    The sum of nothing is unknown too. Its breakdowns are spelled `prompt_tokens_details`, `completion_tokens_details`.
    """
    found = [known_counts(usage) for usage in usages]
    sums = {name: sum(counts[name] for counts in found) for name in COUNTS if all(name in counts for counts in found)}
    return _from_counts(sums if found else {})


def known_counts(usage: Usage) -> dict[str, int]:
    """Those of the six counts that are known, by name; a total that is not said is that of prompt and completion.

    A number below 0 is no count, and unknown.
    """
    values = {name: getattr(usage, name) for name in COUNTS}
    known: dict[str, int] = {name: value for name, value in values.items() if isinstance(value, int) and value >= 0}
    if "prompt_tokens" in known and "completion_tokens" in known:
        known.setdefault("total_tokens", known["prompt_tokens"] + known["completion_tokens"])
    return known


def _from_counts(counts: Mapping[str, int]) -> Usage:
    def details(*names: str) -> TokenDetails | UnsetType:
        known = {name: counts[name] for name in names if name in counts}
        return TokenDetails(**known) if known else UNSET

    return Usage(
        prompt_tokens=counts.get("prompt_tokens", UNSET),
        completion_tokens=counts.get("completion_tokens", UNSET),
        total_tokens=counts.get("total_tokens", UNSET),
        prompt_tokens_details=details("cached_tokens", "cache_write_tokens"),
        completion_tokens_details=details("reasoning_tokens"),
    )


def _said(usage: object) -> Usage | None:
    """The usage, if there is one and it holds any count."""
    return usage if isinstance(usage, Usage) and known_counts(usage) else None


def _count_run(run_id: str, run: Run | None, steps: list[Usage | None]) -> RunUsage:
    known = [usage for usage in steps if usage is not None]
    summed = total_usage(known) if known else None
    own = _said(run.usage) if run is not None else None
    basis: Basis | None = "run" if own is not None else "steps" if summed is not None else None
    return RunUsage(
        run_id=run_id,
        model=run.model if run is not None and isinstance(run.model, str) else None,
        usage=summed if own is None else own,
        basis=basis,
        steps=len(steps),
        steps_with_usage=len(known),
        steps_account=own is not None and summed is not None and len(known) == len(steps) and _covers(summed, own),
    )


def _covers(steps: Usage, run: Usage) -> bool:
    """Whether the steps' sum says all that the run says, and the same, prompt and completion at least."""
    summed, own = known_counts(steps), known_counts(run)
    return {"prompt_tokens", "completion_tokens"} <= own.keys() and own.items() <= summed.items()


def _by_model(runs: Iterable[RunUsage]) -> dict[str | None, ModelUsage]:
    groups: dict[str | None, list[Usage | None]] = {}
    for run in runs:
        groups.setdefault(run.model, []).append(run.usage)
    return {
        model: ModelUsage(
            model=model,
            runs=len(usages),
            runs_without_usage=usages.count(None),
            usage=total_usage(usage for usage in usages if usage is not None),
        )
        for model, usages in groups.items()
    }
