"""The whole fault matrix: every fault, every kind of source, 20 seeds; prints a table.

    python -m tests.faults [--seeds 20] [FAULT ...]

Exit code 0 when every run ended as it must, else 1. A run that did not is named with its seed on stderr.
"""

import argparse
import logging
import platform
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, TextIO

import aiohttp
import anyio
import structlog

from tests.faults.plans import ABILITIES, FAULTS
from tests.faults.runs import Cell, Outcome, run_cells
from tests.faults.verdicts import VERDICTS

SEEDS: Final = 20


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description="Run the fault matrix.")
    parser.add_argument("faults", nargs="*", metavar="FAULT", help=f"one of: {', '.join(FAULTS)}; all unless given")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"how many of each ({SEEDS})")
    options = parser.parse_args()
    if unknown := set(options.faults) - FAULTS.keys():
        parser.error(f"no such fault: {', '.join(sorted(unknown))}")
    # each fault logs what it should
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    faults = options.faults or list(FAULTS)
    cells: list[Cell] = [
        (fault, ability, seed) for fault in faults for ability in ABILITIES for seed in range(options.seeds)
    ]
    outcomes: list[Outcome] = []

    def ended(outcome: Outcome) -> None:
        outcomes.append(outcome)
        if not outcome.is_expected:
            say(
                sys.stderr,
                f"\r{outcome.fault}, {outcome.ability}, seed {outcome.seed}: {outcome.verdict}. {outcome.why}\n",
            )
        say(sys.stderr, f"\r{len(outcomes)} of {len(cells)} runs")

    begun_s = time.monotonic()
    anyio.run(run_cells, cells, ended)
    took_s = time.monotonic() - begun_s
    say(sys.stderr, "\n")
    failed = sum(not outcome.is_expected for outcome in outcomes)
    for line in (*table(faults, outcomes), "", *summary(outcomes, options.seeds, took_s, failed)):
        say(sys.stdout, f"{line}\n")
    return int(failed > 0)


def table(faults: Iterable[str], outcomes: Sequence[Outcome]) -> Iterable[str]:
    """How many runs of each fault and ability got which verdict."""
    counts = Counter((outcome.fault, outcome.ability, outcome.verdict) for outcome in outcomes)
    yield "".join((f"{'fault':22}{'source':9}", *(f"{verdict:>13}" for verdict in VERDICTS), f"{'longest':>11}"))
    for fault in faults:
        for ability in ABILITIES:
            numbers = (counts[fault, ability, verdict] for verdict in VERDICTS)
            longest_s = max(
                outcome.took_s for outcome in outcomes if (outcome.fault, outcome.ability) == (fault, ability)
            )
            cells = (f"{number or '.':>13}" for number in numbers)
            yield "".join((f"{fault:22}{ability:9}", *cells, f"{longest_s:9.2f} s"))


def summary(outcomes: Sequence[Outcome], seeds: int, took_s: float, failed: int) -> Iterable[str]:
    totals = Counter(outcome.verdict for outcome in outcomes)
    yield f"{len(outcomes)} runs: " + ", ".join(f"{totals[verdict]} {verdict}" for verdict in VERDICTS)
    yield f"{failed} did not end as they must; {seeds} seeds, {took_s:.0f} s"
    versions = f"Python {platform.python_version()}, aiohttp {aiohttp.__version__}, {platform.system()}"
    yield f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {commit()}, {versions}"


def commit() -> str:
    """The commit that was run, and whether the tree was another one."""
    git = ["git", "-C", str(Path(__file__).parent)]
    try:
        name = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout
        dirty = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return name.strip() + (" with changes" if dirty else "")


def say(stream: TextIO, text: str) -> None:
    stream.write(text)
    stream.flush()


if __name__ == "__main__":
    sys.exit(main())
