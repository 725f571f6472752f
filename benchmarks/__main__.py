"""`python -m benchmarks`: all questions, one table, and the same as JSON."""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks import core, dialects, durable, fanout, growth, imports, memory, postgres, proxy, versus
from benchmarks.live import questions as live
from benchmarks.machine import describe, headline
from benchmarks.readme import write
from benchmarks.table import Row, medians, print_table, to_json

_ROOT = Path(__file__).resolve().parent.parent
_QUESTIONS = (
    "core",
    "dialects",
    "fanout",
    "live",
    "durable",
    "postgres",
    "proxy",
    "peers",
    "growth",
    "memory",
    "imports",
)


def main() -> int:
    """Run what was asked for. A missed target is shown and nothing more: figures of a shared machine gate nothing."""
    options = _parser().parse_args()
    if options.write and len(options.only) != len(_QUESTIONS):
        print("--write needs all questions: leave out --only", file=sys.stderr)
        return 2
    described = {**describe(), "quick": options.quick, "runs": options.runs}
    runs: list[list[Row]] = []
    for number in range(options.runs):
        runs.append([])
        for question in options.only:
            print(f"run {number + 1} of {options.runs}: {question} ...", file=sys.stderr, flush=True)
            runs[-1] += _rows(question, options.rounds or (5 if options.quick else 15), quick=options.quick)
    rows = medians(runs)
    title = headline(described) + (" (quick: smaller inputs, fewer rounds)" if options.quick else "")
    print_table(title, rows)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps({**described, "rows": to_json(rows)}, indent=1) + "\n")
    if options.write:
        write(title, rows)
    return 0


def _rows(question: str, rounds: int, *, quick: bool) -> Iterator[Row]:
    if question == "core":
        return core.rows(rounds)
    if question == "dialects":
        return dialects.rows(rounds, 1 if quick else 3)
    if question == "fanout":
        return fanout.rows(rounds, quick=quick)
    if question == "live":
        return live.rows(quick=quick)
    if question == "durable":
        return durable.rows(rounds, quick=quick)
    if question == "postgres":
        return postgres.rows(rounds, quick=quick)
    if question == "proxy":
        return proxy.rows(quick=quick)
    if question == "peers":
        return versus.rows(1 if quick else 3, quick=quick)
    if question == "growth":
        return growth.rows(rounds)
    if question == "memory":
        return memory.rows(quick=quick)
    return imports.rows(rounds)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="See benchmarks/README.md.")
    parser.add_argument("--quick", action="store_true", help="smaller inputs and fewer rounds: a minute or two")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=_QUESTIONS,
        default=_QUESTIONS,
        metavar="NAME",
        help=f"some of: {', '.join(_QUESTIONS)}",
    )
    parser.add_argument("--rounds", type=int, help="rounds of each alternation; by default 15, 5 with --quick")
    parser.add_argument("--runs", type=int, default=1, help="how often to do it all; the table then shows the medians")
    parser.add_argument("--json", type=Path, default=_ROOT / "build" / "benchmarks.json", metavar="FILE")
    parser.add_argument("--write", action="store_true", help="put the table into benchmarks/README.md")
    return parser


if __name__ == "__main__":
    sys.exit(main())
