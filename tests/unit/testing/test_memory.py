"""Plug-ins that follow a script."""

from collections.abc import Sequence

import anyio
import pytest

from streamproc.errors import SinkRejected, SinkUnavailable, SourceError, SourceUnavailable
from streamproc.protocols import ReopeningSource, Source
from streamproc.testing.changes import ordinary_changes
from streamproc.testing.memory import (
    ACK,
    HANG,
    Item,
    Outcome,
    Raise,
    Reject,
    ScriptedSink,
    ScriptedSource,
    Slow,
    Unavailable,
)
from streamproc.testing.sinks import check_sink

BATCH = ordinary_changes("s", deltas=1)


# --- the sink ---------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_outcomes_follow_each_other() -> None:
    """One for each write; after them every write ends the same way."""
    error = KeyError("bug")
    sink = ScriptedSink(Unavailable(2.5), Reject((0, 2, 99)), Raise(error), Slow(0.0), then=Unavailable())
    ends: list[Exception | None] = []
    for _ in range(6):
        try:
            await sink.write(BATCH[:3])
        except (SinkUnavailable, SinkRejected, KeyError) as raised:
            ends.append(raised)
        else:
            ends.append(None)
    first, second, third, fourth, fifth, sixth = ends

    assert isinstance(first, SinkUnavailable)
    assert first.retry_after_s == 2.5
    assert isinstance(second, SinkRejected)
    assert second.changes == [BATCH[0], BATCH[2]]
    assert (third, fourth) == (error, None)
    assert isinstance(fifth, SinkUnavailable)
    assert isinstance(sixth, SinkUnavailable)
    assert fifth.retry_after_s is None
    assert sink.taken == [BATCH[1], *BATCH[:3]]
    assert sink.calls == [(*BATCH[:3],)] * 6


@pytest.mark.asyncio
async def test_rejecting_positions_that_are_not_there_takes_the_batch() -> None:
    sink = ScriptedSink(Reject((3,)))
    await sink.write(BATCH[:3])

    assert sink.taken == BATCH[:3]


@pytest.mark.asyncio
@pytest.mark.parametrize("outcome", [HANG, Slow(3600.0)])
async def test_cancelled_write_takes_nothing(outcome: Outcome) -> None:
    """It began, and it is counted."""
    sink = ScriptedSink(outcome)
    with anyio.move_on_after(0) as scope:
        await sink.write(BATCH)

    assert (scope.cancelled_caught, sink.cancelled, sink.calls, sink.taken) == (True, 1, [(*BATCH,)], [])


@pytest.mark.asyncio
async def test_sink_keeps_the_contract() -> None:
    """When its script lets it; and it counts how often it was entered and left."""
    sink = ScriptedSink(Unavailable(), Unavailable(), then=ACK)
    await check_sink(lambda: sink, far_side=lambda: [(each.stream, each.epoch, each.seq) for each in sink.taken])

    assert sink.entered == sink.left > 0


# --- the source -------------------------------------------------------------------------------------------------------


async def read(source: Source, cursor: str | None = None) -> list[bytes]:
    async with source.open(cursor) as chunks:
        return [chunk async for chunk in chunks]


@pytest.mark.asyncio
async def test_connections_follow_each_other() -> None:
    """Each has a script of its own; there are no more than those."""
    source = ScriptedSource([b"a", Slow(0.0), b"b"], [], [b"c"], name="mine")
    got = [await read(source), await read(source, "7"), await read(source, "8")]

    assert (source.name, got, source.cursors) == ("mine", [[b"a", b"b"], [], [b"c"]], [None, "7", "8"])
    with pytest.raises(SourceError, match="'mine' has a script for 3 connections only"):
        await read(source)


@pytest.mark.asyncio
async def test_connection_may_fail_at_its_beginning_or_later() -> None:
    error = SourceUnavailable("gone", 1.0)
    source = ScriptedSource(Raise(error), [b"a", b"b", Raise(error), b"never"])
    got: list[bytes] = []

    async def collect() -> None:
        async with source.open(None) as chunks:
            async for chunk in chunks:
                got.append(chunk)  # noqa: PERF401 (what came before the failure counts)

    with pytest.raises(SourceUnavailable) as entering:
        await collect()
    with pytest.raises(SourceUnavailable) as reading:
        await collect()

    assert (entering.value, reading.value, got) == (error, error, [b"a", b"b"])


@pytest.mark.asyncio
@pytest.mark.parametrize("rest", [[HANG], [Slow(3600.0)], [b"b", b"c"]])
async def test_connection_is_closed_when_it_is_left(rest: Sequence[Item]) -> None:
    """Cancelled or not, at its end or before."""
    source = ScriptedSource([b"a", *rest])
    seen: list[tuple[bytes, int]] = []

    async def leave_early() -> None:
        async with source.open(None) as chunks:
            async for chunk in chunks:
                seen.append((chunk, source.open_connections))
                scope.cancel()

    with anyio.CancelScope() as scope:
        await leave_early()

    assert [scope.cancelled_caught, seen, source.open_connections] == [True, [(b"a", 1)], 0]


@pytest.mark.asyncio
@pytest.mark.parametrize("item", [HANG, Slow(3600.0)])
async def test_connection_that_waits_can_be_cancelled(item: Item) -> None:
    source = ScriptedSource([item])
    with anyio.move_on_after(0.01) as scope:
        await read(source)

    assert (scope.cancelled_caught, source.open_connections) == (True, 0)


def test_source_says_what_opening_again_does_only_when_it_is_told_to() -> None:
    plain, resumable, repeatable = ScriptedSource(), ScriptedSource(resumable=True), ScriptedSource(repeatable=True)

    assert [isinstance(each, ReopeningSource) for each in (plain, resumable, repeatable)] == [False, True, True]
    assert (resumable.resumable, resumable.repeatable) == (True, False)
    assert (repeatable.resumable, repeatable.repeatable) == (False, True)
