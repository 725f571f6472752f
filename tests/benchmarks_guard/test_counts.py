"""Speed that a test can hold: counts of calls, allocations and copies, which no busy machine can change.

The bounds are well above what is measured and well below what a lost fast path, a copy of the text for each delta or a
rebuilt state would cost.
"""

import gc
import sys
import tracemalloc
from collections.abc import Callable, Sequence
from types import FrameType

import pytest

from benchmarks.growth import Growing
from benchmarks.workloads import Workload, huge_step, mix, parallel_calls, text_heavy, tool_heavy
from streamproc import Change, Event, Reducer, StreamProcessor
from streamproc.core.context import StreamContext

KINDS = ["arguments", "text"]  # what the fast path is for; logs are merged by the general one
SIZES = (25_600, 256_000)  # characters of state, 1x and 10x


# --- calls ------------------------------------------------------------------------------------------------------------


def calls_of(work: Callable[[], object]) -> tuple[int, int]:
    """How many calls of Python functions, and of built-in ones, `work` makes."""
    counts = {"call": 0, "c_call": 0}

    def count(frame: FrameType, what: str, argument: object) -> None:
        if what in counts:
            counts[what] += 1

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return counts["call"], counts["c_call"]


@pytest.mark.parametrize("kind", KINDS)
def test_no_python_call_per_fragment(kind: str) -> None:
    """A thousand fragments of one place in one chunk need some Python calls in all, and few built-in ones each."""
    growing = Growing(kind)
    growing.feed(growing.stream(10))
    chunk = growing.stream(1000)

    python, builtin = calls_of(lambda: growing.proc.feed(chunk))

    assert python < 100
    assert builtin < 12 * 1000


def test_few_python_calls_per_fragment_in_turns() -> None:
    """Fragments that never belong where the last one did are found a place without going the general way."""
    growing = Growing("arguments", width=100)
    growing.feed(growing.stream(1000))
    chunk = growing.stream(1000)

    python, builtin = calls_of(lambda: growing.proc.feed(chunk))

    assert python < 10 * 1000
    assert builtin < 20 * 1000


@pytest.mark.parametrize("kind", [*KINDS, "logs"])
def test_calls_do_not_grow_with_the_state(kind: str) -> None:
    """A delta for a text ten times as long makes as many calls."""
    counts = []
    for size in SIZES:
        growing = Growing(kind)
        growing.fill(size)
        chunk = growing.stream(200)
        counts.append(calls_of(lambda: growing.proc.feed(chunk)))  # noqa: B023 - called at once

    small, large = counts

    assert sum(large) <= sum(small) * 1.05


def test_calls_of_one_event_chunks_are_bounded() -> None:
    """The commonest chunk of a live stream, exactly one fragment, passes few Python functions."""
    growing = Growing("arguments")
    growing.feed(growing.stream(10))
    events = [growing.delta(" x") for _ in range(100)]

    python, _ = calls_of(lambda: [growing.proc.feed(event) for event in events])

    assert python <= 10 * len(events)


# --- the fast path is taken -------------------------------------------------------------------------------------------


@pytest.fixture
def general(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the events that went the general way."""
    names: list[str] = []
    apply = Reducer.apply

    def counting(self: Reducer, event: Event, context: StreamContext | None = None) -> list[Change]:
        names.append(event.name)
        return apply(self, event, context)

    monkeypatch.setattr(Reducer, "apply", counting)
    return names


@pytest.mark.parametrize("size", [64, 0, 1024, 4096, 65536])
@pytest.mark.parametrize("workload", [tool_heavy(20), text_heavy(4), huge_step(4000)], ids=lambda made: made.name)
def test_few_events_go_the_general_way(general: list[str], workload: Workload, size: int) -> None:
    """Under any chunking hardly anything but snapshots and first fragments goes the general way."""
    feed(workload.chunks(size))

    assert 0 < len(general) < 0.05 * len(workload.blocks)


def test_interleaved_calls_go_the_fast_way(general: list[str]) -> None:
    """A hundred calls in turns: the first fragment of each goes the general way, the others do not."""
    workload = parallel_calls(calls=100, deltas=4000)
    feed(workload.chunks(4096))

    assert 100 < len(general) < 0.06 * len(workload.blocks)


@pytest.mark.parametrize("size", [0, 4096])
def test_deltas_of_a_mix_go_the_fast_way(general: list[str], size: int) -> None:
    """In runs shaped like real ones at most the first two fragments of a text and the logs go the general way."""
    workload = mix(runs=10)
    feed(workload.chunks(size))
    deltas = sum(name.endswith(".delta") for name in general)

    assert deltas < 0.05 * len(workload.blocks)


@pytest.mark.parametrize(
    "odd",
    [
        b": keep-alive\n\n",
        b"id: 7\nevent: unheard.of\ndata: {}\n\n",
        b"event: thread.run.step.delta\r\ndata: {}\r\n\r\n",
        b"event: thread.run.step.delta\ndata: not JSON\n\n",
        b"retry: 10\n\n\n\n",
        b"data: {\ndata: }\n\n",
    ],
    ids=["comment", "id", "CRLF", "no JSON", "retry", "two lines"],
)
@pytest.mark.parametrize("size", [0, 4096])
def test_fast_path_is_entered_again_after_an_odd_chunk(general: list[str], odd: bytes, size: int) -> None:
    """One block that the fast path cannot take does not leave the rest of the stream on the general one."""
    blocks = tool_heavy(steps=1, deltas=1000).blocks
    middle = len(blocks) // 2
    workload = Workload("odd", [*blocks[:middle], odd, *blocks[middle:]])
    feed(workload.chunks(size))

    assert len(general) < 0.05 * len(blocks)


def feed(stream: Sequence[bytes]) -> None:
    """Feed a whole stream to a new processor."""
    proc = StreamProcessor()
    for chunk in stream:
        proc.feed(chunk)
    proc.close()


# --- memory -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_kept_per_delta(kind: str) -> None:
    """What stays of a delta, once its change is dropped, is less than an object: fragments are joined in blocks."""
    growing = Growing(kind)
    chunk = growing.stream(1000)
    growing.feed(chunk)
    gc.collect()
    before = sys.getallocatedblocks()
    growing.feed(chunk * 10)
    gc.collect()

    assert sys.getallocatedblocks() - before < 0.2 * 10_000


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_allocated_per_change(kind: str) -> None:
    """A change that is held costs itself, its payload and little else: no state, no dict, no frame."""
    growing = Growing(kind)
    chunk = growing.stream(1000)
    growing.feed(chunk)
    gc.collect()
    before = sys.getallocatedblocks()
    changes = growing.proc.feed(chunk)
    held = sys.getallocatedblocks() - before

    assert len(changes) == 1000
    assert held < 5 * len(changes)


@pytest.mark.parametrize("kind", [*KINDS, "logs"])
def test_no_copy_of_the_state_per_delta(kind: str) -> None:
    """The most that is allocated while 300 deltas pass, one by one, does not grow with the text they extend."""
    peaks = []
    for size in SIZES:
        tracemalloc.start()
        growing = Growing(kind)
        growing.fill(size)
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for event in [growing.delta(" x")] * 300:
            growing.proc.feed(event)
        peaks.append(tracemalloc.get_traced_memory()[1] - before)
        tracemalloc.stop()

    small, large = peaks

    assert large < small + SIZES[0]


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_per_delta_of_six(kind: str) -> None:
    """A fragment of six bytes costs its text and two numbers: below eight times its length while the step is open."""
    growing = Growing(kind)
    chunk = growing.delta("abcdef") * 1000
    growing.feed(chunk)
    gc.collect()
    tracemalloc.start()
    growing.feed(chunk * 10)
    gc.collect()
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()

    assert kept < 8 * 6 * 10_000
