"""Each sink under a worker that is killed, and under a server that is killed and paused. Prints a summary.

    python -m tests.faults.sinks [--sink NAME] [--kills 50] [--server-kills 20] [--pauses 5] [--seed 1]

Exit code 0 when nothing was lost, doubled, late or wrong, and each test has bitten; else 1, with the faults on stderr.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import anyio

from tests.faults.__main__ import say
from tests.faults.kill.__main__ import versions
from tests.faults.sinks.audit import FAULTS
from tests.faults.sinks.campaign import BACK_S, Campaign, Plan, run_campaign
from tests.faults.sinks.every import SINKS


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.sinks", description="Kill workers and servers.")
    parser.add_argument("--sink", choices=[*SINKS], action="append", help="only this one; may be given again")
    parser.add_argument("--kills", type=int, default=50, help="of the worker (50)")
    parser.add_argument("--server-kills", type=int, default=20, help="of the sink's server (20)")
    parser.add_argument("--pauses", type=int, default=5, help="of the sink's server (5)")
    parser.add_argument("--pause-s", type=float, default=5.0, help="how long one is (5)")
    parser.add_argument("--deliver", help="how sinks are fed, for those that can be fed in several ways")
    parser.add_argument("--default-waits", action="store_true", help="time-outs and retries as they are by default")
    parser.add_argument("--seed", type=int, default=1, help="decides on all that is left to chance (1)")
    options = parser.parse_args()
    plan = Plan(
        seed=options.seed,
        kills=options.kills,
        server_kills=options.server_kills,
        pauses=options.pauses,
        pause_s=options.pause_s,
        deliver=options.deliver,
        waits_as_default=options.default_waits,
    )
    begun_s = time.monotonic()
    faults: list[str] = []
    with TemporaryDirectory(prefix="streamproc-sinks-") as folder:
        for name in options.sink or SINKS:
            path = Path(folder) / name
            path.mkdir()
            found = anyio.run(partial(run_campaign, path, SINKS[name], plan, progress))
            say(sys.stderr, "\n")
            for line in lines(name, found, plan):
                say(sys.stdout, f"{line}\n")
            faults += [f"{name}: {fault}" for fault in (*found.faults, *toothless(found))]
    for line in (f"seed {options.seed}, {time.monotonic() - begun_s:.0f} s", versions()):
        say(sys.stdout, f"{line}\n")
    for fault in faults:
        say(sys.stderr, f"{fault}\n")
    return int(bool(faults))


def progress(text: str) -> None:
    say(sys.stderr, f"\r{text:50}")


def toothless(found: Campaign) -> Iterator[str]:
    """Why it says nothing, if so."""
    if found.kills and not found.repeated_by_kills:
        yield "nothing came to it again after a kill: the test does not bite"


def lines(name: str, found: Campaign, plan: Plan) -> Iterator[str]:
    yield f"{name}: {found.runs} runs, {found.checker.changes} changes, {found.items} {found.noun} at the far side"
    yield f"  {found.kills} x SIGKILL of the worker: came again {found.repeated_by_kills}"
    if times_s := found.back_s:
        again = found.repeated - found.repeated_by_kills
        yield f"  server killed {found.server_kills} x, paused {found.pauses} x {plan.pause_s:g} s: came again {again}"
        back = f"median {median(times_s):.2f} s, longest {max(times_s):.2f} s, allowed {BACK_S:g} s"
        yield f"  from its return to the next acknowledgement: {back}"
    counts = found.checker.counts + found.account.counts
    kinds = [*FAULTS, "wrong state", "late", "left", "failed", "leaked"]
    yield "  " + ", ".join(f"{counts[kind]} {kind}" for kind in kinds)


if __name__ == "__main__":
    sys.exit(main())
