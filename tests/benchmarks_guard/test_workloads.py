"""The benchmarks' workloads: the same for the same seed, and adding up to what they say."""

from collections.abc import Callable

import pytest

from benchmarks.checks import check_core, losses
from benchmarks.growth import Growing
from benchmarks.workloads import (
    BY_NAME,
    Workload,
    huge_step,
    mix,
    parallel_calls,
    small_steps,
    text_heavy,
    tool_heavy,
)

MAKERS: list[Callable[[], Workload]] = [
    lambda: tool_heavy(steps=4, deltas=30),
    lambda: text_heavy(messages=2, deltas=50),
    lambda: small_steps(steps=10),
    lambda: huge_step(deltas=300),
    lambda: parallel_calls(calls=100, deltas=300),
    lambda: mix(runs=2),
]
WORKLOADS = [make() for make in MAKERS]


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda made: made.name)
@pytest.mark.parametrize("size", [0, 64, 4096])
def test_core_ends_where_the_workload_says(workload: Workload, size: int) -> None:
    """Texts merged from deltas, and all terminal states, are the ones that were kept beside the stream."""
    check_core(workload, size)


def test_workload_is_a_function_of_its_arguments() -> None:
    """The same call gives the same stream, texts and states."""
    assert [make() for make in MAKERS] == WORKLOADS


def test_workloads_have_the_names_of_the_table() -> None:
    """A row names its workload as the workload names itself."""
    assert [made.name for made in WORKLOADS] == [*BY_NAME]


def test_another_seed_gives_another_stream() -> None:
    """The seed is what a workload depends on."""
    assert tool_heavy(1, 20).blocks != tool_heavy(1, 20, seed=1).blocks


def test_text_is_not_all_plain() -> None:
    """Messages hold escapes and characters beyond ASCII, as real ones do."""
    stream = text_heavy(1, 300).stream

    assert not stream.isascii()
    assert rb"\n" in stream
    assert rb"\"" in stream


def test_a_lost_text_is_told() -> None:
    """A candidate that lost something is found out, and how much."""
    expected = {"step_1": ["abcd", "ef"], "step_2": ["ghij"]}

    assert not losses(expected, expected)
    assert losses(expected, {"step_1": ["abcd"]}) == "2 of 3 texts are wrong, 60% of the characters lost"


@pytest.mark.parametrize("kind", ["arguments", "text", "logs"])
def test_growing_object_has_grown(kind: str) -> None:
    """Each kind of text has the length that was sent, over all its entries."""
    growing = Growing(kind, width=3)
    growing.fill(640)
    growing.feed(growing.delta("xyz", 2))

    assert growing.length() == 3 * 640 + 3
