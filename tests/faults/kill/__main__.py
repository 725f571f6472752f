"""Pull the plug: three campaigns against a process with a store and a JSONL sink; each prints a summary.

    python -m tests.faults.kill [kills] [--kills 200] [--seed 1]
    python -m tests.faults.kill points [--hits 3] [--seed 1]
    python -m tests.faults.kill broken [--seed 1]

Exit code 0 when nothing was lost, doubled or wrong, and the test has bitten; else 1, with the faults on stderr.
"""

import argparse
import platform
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests.faults.__main__ import commit, say
from tests.faults.kill.broken import BUILDS
from tests.faults.kill.campaign import ANYWHERE, Crash, Kills, crash_at, faults_of, kill_often
from tests.faults.kill.checker import FAULTS, Checker
from tests.faults.kill.nursery import Nursery
from tests.faults.kill.points import PHASES, POINTS

_PHASE_MIN: Final = 10  # kills in each phase
_KILLS_FULL: Final = 200  # from so many on they must be there


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.kill", description="Pull the plug.")
    parser.add_argument("campaign", nargs="?", choices=("kills", "points", "broken"), default="kills")
    parser.add_argument("--kills", type=int, default=_KILLS_FULL, help=f"how many ({_KILLS_FULL})")
    parser.add_argument("--hits", type=int, default=3, help="crashes at each point (3)")
    parser.add_argument("--seed", type=int, default=1, help="decides on all that is left to chance (1)")
    options = parser.parse_args()
    begun_s = time.monotonic()
    with Nursery() as nursery, TemporaryDirectory(prefix="streamproc-kill-") as folder:
        match options.campaign:
            case "kills":
                found = kill_often(nursery, Path(folder), options.seed, options.kills, progress)
                lines, faults = kill_lines(found), kill_faults(found)
            case "points":
                crashes = [*crash_everywhere(nursery, Path(folder), options.seed, options.hits)]
                lines, faults = point_lines(crashes), point_faults(crashes)
            case _:
                caught = {name: faults_of(nursery, Path(folder) / name, options.seed, name) for name in BUILDS}
                lines, faults = broken_lines(caught), [f"{name} was not caught" for name in BUILDS if not caught[name]]
        say(sys.stderr, "\n")
        for line in (*lines, f"seed {options.seed}, {time.monotonic() - begun_s:.0f} s", versions()):
            say(sys.stdout, f"{line}\n")
    for fault in faults:
        say(sys.stderr, f"{fault}\n")
    return int(bool(faults))


def progress(text: str) -> None:
    say(sys.stderr, f"\r{text}")


def versions() -> str:
    python = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {platform.system()}"
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {commit()}, {python}"


# --- kills ------------------------------------------------------------------------------------------------------------


def kill_lines(found: Kills) -> Iterable[str]:
    yield f"{'phase':20}{'kills':>6}"
    for phase in (*PHASES, ANYWHERE):
        count = found.phases[phase]
        yield f"{phase:20}{count:6}  {'#' * count}"
    yield f"{'after it':20}{found.missed:6}  {'#' * found.missed}"
    yield ""
    yield f"{found.kills} kills in {found.lives} lives, at {len(found.reached)} points; {found.checker.changes} changes"
    yield accounts([found.checker])
    yield f"came to a sink again: {found.checker.again}"


def kill_faults(found: Kills) -> list[str]:
    faults = [*found.checker.samples]
    if not found.checker.again:
        faults.append("nothing came to a sink twice: the test does not bite")
    if found.kills >= _KILLS_FULL:
        few = [phase for phase in (*PHASES, ANYWHERE) if found.phases[phase] < _PHASE_MIN]
        faults += [f"fewer than {_PHASE_MIN} kills in: {', '.join(few)}"] if few else []
    return faults


def accounts(checkers: Sequence[Checker]) -> str:
    counts = sum((checker.counts for checker in checkers), Counter[str]())
    return ", ".join(f"{counts[kind]} {kind}" for kind in FAULTS)


# --- points -----------------------------------------------------------------------------------------------------------


def crash_everywhere(nursery: Nursery, folder: Path, seed: int, hits: int) -> Iterator[Crash]:
    for number, point in enumerate(POINTS, 1):
        for hit in range(1, hits + 1):
            progress(f"{number} of {len(POINTS)} points, hit {hit}")
            yield crash_at(nursery, folder / f"{number}-{hit}", seed + hit, point, hit)


def point_lines(crashes: Sequence[Crash]) -> Iterable[str]:
    for phase, points in PHASES.items():
        yield f"{phase}: {', '.join(points)}"
    yield ""
    reached = [crash for crash in crashes if crash.was_reached]
    lives = sum(crash.lives for crash in crashes)
    yield f"{len(POINTS)} points, {len(crashes)} crashes, {len(reached)} where they were to be; {lives} lives"
    yield accounts([crash.checker for crash in crashes])
    yield f"came to a sink again: {sum(crash.checker.again for crash in crashes)}"


def point_faults(crashes: Sequence[Crash]) -> list[str]:
    faults = [f"{one.point}, hit {one.hit}: never reached" for one in crashes if not one.was_reached]
    return faults + [f"{one.point}, hit {one.hit}: {text}" for one in crashes for text in one.checker.samples]


# --- broken builds ----------------------------------------------------------------------------------------------------


def broken_lines(caught: dict[str, Sequence[str]]) -> Iterable[str]:
    for name, faults in caught.items():
        by = BUILDS[name].scenario or (faults[0].partition(":")[0] if faults else "")
        yield f"{name:32}{'killed by ' + by if faults else 'SURVIVED'}"
    yield ""
    yield f"{len(caught)} broken builds, {sum(not faults for faults in caught.values())} survived"


if __name__ == "__main__":
    sys.exit(main())
