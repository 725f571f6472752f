"""A worker under load, ended again and again: told to by SIGTERM, and killed. Prints a summary.

    python -m tests.faults.worker [--lives 50] [--seed 1]

Exit code 0 when nothing was lost, doubled, late or wrong, and the test has bitten; else 1, with the faults on stderr.
"""

import argparse
import signal
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

import anyio

from tests.faults.__main__ import say
from tests.faults.kill.__main__ import versions
from tests.faults.worker.campaign import DEADLINE_S, Lives, live_often
from tests.faults.worker.checker import FAULTS

_LIVES: Final = 50


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.worker", description="End a worker under load.")
    parser.add_argument("--lives", type=int, default=_LIVES, help=f"how many of each ({_LIVES})")
    parser.add_argument("--seed", type=int, default=1, help="decides on all that is left to chance (1)")
    options = parser.parse_args()
    begun_s = time.monotonic()
    faults: list[str] = []
    with TemporaryDirectory(prefix="streamproc-worker-") as folder:
        for number in (signal.SIGTERM, signal.SIGKILL):
            path = Path(folder) / number.name
            found = anyio.run(partial(live_often, path, options.seed, options.lives, number, progress))
            say(sys.stderr, "\n")
            for line in lines(found, number):
                say(sys.stdout, f"{line}\n")
            faults += found.checker.samples
            if not found.open:
                faults.append(f"{number.name}: no run was open when it came: the test does not bite")
    for line in (f"seed {options.seed}, {time.monotonic() - begun_s:.0f} s", versions()):
        say(sys.stdout, f"{line}\n")
    for fault in faults:
        say(sys.stderr, f"{fault}\n")
    return int(bool(faults))


def progress(text: str) -> None:
    say(sys.stderr, f"\r{text}")


def lines(found: Lives, number: signal.Signals) -> Iterator[str]:
    checker = found.checker
    size = f"{sum(found.sent.values())} runs, {checker.changes} changes, {checker.log_lines} lines of log"
    yield f"{found.ended} x {number.name}: {size}"
    yield f"  open when it came {found.open}, gone on at an offset {found.resumed}, begun again {found.restarted}"
    if number == signal.SIGTERM:
        yield (
            f"  from the signal to exit 0: median {median(found.took_s):.2f} s, longest {max(found.took_s):.2f} s, "
            f"deadline {DEADLINE_S:g} s"
        )
    else:
        yield f"  came to the sink again {checker.again}"
    yield "  " + ", ".join(f"{checker.counts[kind]} {kind}" for kind in FAULTS)


if __name__ == "__main__":
    sys.exit(main())
