"""MemorySink: the last changes, bounded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.errors import ConfigError
from streamproc.sinks.memory import MemorySink
from streamproc.testing.changes import ordinary_changes
from streamproc.testing.sinks import check_sink

CHANGES = ordinary_changes("s")


@pytest.mark.asyncio
@given(sizes=st.lists(st.integers(0, 12), max_size=6), maximum=st.integers(1, 20))
async def test_newest_changes_are_kept_and_the_others_counted(sizes: list[int], maximum: int) -> None:
    """Also when one batch is larger than all that may be kept."""
    sink = MemorySink(maximum)
    written = []
    for size in sizes:
        await sink.write(CHANGES[:size])
        written += CHANGES[:size]

    assert sink.changes == written[-maximum:]
    assert sink.forgotten == len(written) - len(sink.changes)


@pytest.mark.asyncio
async def test_changes_are_a_copy_and_can_be_let_go() -> None:
    sink = MemorySink()
    await sink.write(CHANGES)
    sink.changes.clear()
    kept = len(sink.changes)
    sink.clear()

    assert (kept, sink.changes, sink.forgotten) == (len(CHANGES), [], 0)


def test_no_room_at_all() -> None:
    with pytest.raises(ConfigError, match="maximum is 0; expected 1 or more changes"):
        MemorySink(0)


@pytest.mark.asyncio
async def test_keeps_the_contract() -> None:
    sink = MemorySink()

    await check_sink(
        lambda: sink, far_side=lambda: [(change.stream, change.epoch, change.seq) for change in sink.changes]
    )
