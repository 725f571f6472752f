"""Rounds: lively streams are looked at in turn, with the same outcome as when each is read by its own task."""

from asyncio import Future, get_running_loop
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from streamproc import Change, DeliveryPolicy, Event, Limits, Pipeline, RunHooks, StreamProcessor, to_wire
from streamproc.core.sse import Frame
from streamproc.dialects import AssistantsDialect
from streamproc.errors import LineTooLong
from streamproc.sinks.callback import CallbackSink
from streamproc.sinks.memory import MemorySink
from streamproc.stores.memory import MemoryStore
from tests.streams import arguments, call, done, run, sse, step
from tests.unit.delivery.sinks import virtual

STREAMS = 20
PIECES = 40
GAP_S = 0.005  # between two chunks of one stream: 4,000 chunks a second in all


class Chunks:
    """The chunks of a connection that are brought to it; counts how they were taken."""

    def __init__(self) -> None:
        self.waits = self.polls = 0
        self.is_over = self.breaks = False
        self._came: list[bytes] = []
        self._waiter: Future[None] | None = None

    def bring(self, *chunks: bytes) -> None:
        self._came += chunks
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    @property
    def is_pending(self) -> bool:
        return bool(self._came)

    def __aiter__(self) -> "Chunks":
        return self

    async def __anext__(self) -> bytes:
        self.waits += 1
        while not self._came and not self.is_over:
            self._waiter = get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if not self._came:
            raise StopAsyncIteration
        return self._came.pop(0)

    def poll(self) -> bytes | None:
        assert self._waiter is None, "polled while a read is under way"
        self.polls += 1
        if self.breaks:
            raise ZeroDivisionError("of the source")
        if self._came:
            return self._came.pop(0)
        return None if self.is_over else b""


class Polled:
    """A source whose one connection is that."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.chunks = Chunks()

    @asynccontextmanager
    async def open(self, cursor: str | None) -> AsyncGenerator[Chunks]:
        assert cursor is None
        yield self.chunks

    def bring(self, chunk: bytes) -> None:
        if not self.chunks.is_over:
            self.chunks.bring(chunk)

    def end(self) -> None:
        self.chunks.is_over = True
        self.chunks.bring()

    @property
    def waits(self) -> int:
        return self.chunks.waits

    @property
    def polls(self) -> int:
        return self.chunks.polls


def texts(number: int) -> list[str]:
    return [f"{number}:{piece}, " for piece in range(PIECES)]


def chunks_of(number: int) -> Iterator[bytes]:
    """A whole run in chunks of one event."""
    ids = {"run_id": f"run_{number}"}
    name = f"step_{number}"
    yield sse(run("created", f"run_{number}"), step("created", name, **ids))
    for text in texts(number):
        yield sse(arguments(text, id=name))
    yield sse(step("completed", name, call("".join(texts(number))), **ids), run("completed", f"run_{number}"), done())


async def bring_all(sources: Sequence[Polled], gap_s: float = GAP_S) -> None:
    """A chunk of each stream, evenly, again and again."""
    streams = [chunks_of(number) for number in range(len(sources))]
    for _ in range(PIECES + 2):
        for source, stream in zip(sources, streams, strict=True):
            source.bring(next(stream))
            await anyio.sleep(gap_s / len(sources))


async def followed(pipeline: Pipeline, sources: Sequence[Polled]) -> None:
    async with anyio.create_task_group() as group:
        for source in sources:
            group.start_soon(pipeline.run, source)
        group.start_soon(bring_all, sources)


def wires(states: Any) -> dict[str, bytes]:
    return {id: to_wire(state) for id, state in states.items()}


def expected(count: int) -> StreamProcessor:
    proc = StreamProcessor()
    for number in range(count):
        proc.feed(b"".join(chunks_of(number)))
        proc.open()
    return proc


# --- what comes out ---------------------------------------------------------------------------------------------------


@virtual
async def test_many_lively_streams() -> None:
    """They are hardly ever waited for; every change is there, in order, and so are the states."""
    sources, sink = [Polled(f"s{number}") for number in range(STREAMS)], MemorySink()
    async with Pipeline([sink], now=anyio.current_time) as pipeline:
        await followed(pipeline, sources)

        assert wires(pipeline.steps) == wires(expected(STREAMS).steps)
        assert wires(pipeline.runs) == wires(expected(STREAMS).runs)
    for source in sources:
        mine = [change for change in sink.changes if change.stream == source.name]
        assert [change.seq for change in mine] == list(range(1, PIECES + 5))
        times = [change.at or "" for change in mine]
        assert times == sorted(times)
        assert len(set(times)) == PIECES + 2  # one a chunk: they are milliseconds apart
        assert source.waits < PIECES / 2
        assert source.polls > PIECES / 2


@virtual
async def test_nothing_is_late() -> None:
    """A change is with its sink within two gaps of when its chunk came: one of rounds, one of handing on."""

    class Timed(Polled):
        def bring(self, chunk: bytes) -> None:
            brought_s[self.name].append(anyio.current_time())
            super().bring(chunk)

    def take(batch: Sequence[Change]) -> None:
        now_s = anyio.current_time()
        # the first chunk makes two changes, any other one
        late_s.extend(now_s - brought_s[change.stream][change.seq - 2] for change in batch if change.is_delta)

    sources = [Timed(f"s{number}") for number in range(STREAMS)]
    brought_s: dict[str, list[float]] = {source.name: [] for source in sources}
    late_s: list[float] = []
    async with Pipeline([CallbackSink(take)]) as pipeline:
        await followed(pipeline, sources)

    assert len(late_s) == STREAMS * PIECES
    assert max(late_s) <= 0.0041
    assert sum(late_s) / len(late_s) <= 0.002


@virtual
async def test_with_a_store() -> None:
    """Rounds go through the journal like anything else."""
    sources, sink, store = [Polled(f"s{number}") for number in range(STREAMS)], MemorySink(), MemoryStore()
    async with Pipeline([sink], store=store) as pipeline:
        await followed(pipeline, sources)

        assert wires(pipeline.steps) == wires(expected(STREAMS).steps)
    assert len(sink.changes) == STREAMS * (PIECES + 4)


@virtual
async def test_a_full_sink_holds_rounds_up() -> None:
    """Nothing is lost or given up; streams are not looked at while there is no room."""
    sources, taken = [Polled(f"s{number}") for number in range(STREAMS)], 0

    async def slowly(batch: Sequence[Change]) -> None:
        nonlocal taken
        await anyio.sleep(0.002 * len(batch))
        taken += len(batch)

    async with Pipeline([(CallbackSink(slowly), DeliveryPolicy(inbox_max=64))], drain_s=60.0) as pipeline:
        await followed(pipeline, sources)

        assert pipeline.statistics()[0].pending <= 64 + STREAMS * 4
    assert taken == STREAMS * (PIECES + 4)


# --- who takes part ---------------------------------------------------------------------------------------------------


@virtual
async def test_a_quiet_program_has_no_rounds() -> None:
    """One stream is read by its own task, at once."""
    source = Polled("s")
    async with Pipeline([MemorySink()]) as pipeline:
        await followed(pipeline, [source])

    assert source.polls == 0
    assert source.waits == PIECES + 2


@virtual
async def test_hooks_are_told_at_once() -> None:
    """So their streams take no part."""
    sources = [Polled(f"s{number}") for number in range(STREAMS)]
    async with Pipeline(hooks=RunHooks()) as pipeline:
        await followed(pipeline, sources)

    assert sum(source.polls for source in sources) == 0


@virtual
async def test_a_slow_stream_beside_lively_ones() -> None:
    """It is read by its own task, and so is one that has fallen silent, from then on at once."""
    lively, slow = [Polled(f"s{number}") for number in range(STREAMS)], Polled("slow")
    seen_s: list[float] = []

    async def slowly() -> None:
        for chunk in chunks_of(STREAMS):
            await anyio.sleep(0.06)
            slow.bring(chunk)
            seen_s.append(anyio.current_time())

    async with Pipeline([MemorySink()]) as pipeline, anyio.create_task_group() as group:
        group.start_soon(pipeline.run, slow)
        group.start_soon(slowly)
        await followed(pipeline, lively)
        polls = [source.polls for source in lively]

        assert min(polls) > 0
        assert slow.polls == 0
    assert pipeline.steps[f"step_{STREAMS}"].status == "completed"


@virtual
async def test_large_chunks_do_not_wait_for_a_round() -> None:
    """A stream that comes in bulk is read as fast as it comes, whether it did so from the start or not."""
    lively, bulk = [Polled(f"s{number}") for number in range(STREAMS)], Polled("bulk")
    ids = {"run_id": f"run_{STREAMS}"}
    large = sse(step("created", "large", **ids), *(arguments("x" * 100, id="large") for _ in range(100)))

    async def pour() -> None:
        for chunk in chunks_of(STREAMS):
            bulk.bring(chunk)
            await anyio.sleep(0.004)
            if bulk.polls > 5:
                break
        for _ in range(20):
            bulk.bring(large)
        before = bulk.polls
        await anyio.sleep(0.004)
        assert not bulk.chunks.is_pending
        assert bulk.polls <= before + 1
        bulk.end()

    async with Pipeline([MemorySink()]) as pipeline, anyio.create_task_group() as group:
        group.start_soon(pipeline.run, bulk)
        group.start_soon(pour)
        with capture_logs():
            await followed(pipeline, lively)


@virtual
async def test_silence_gives_streams_back() -> None:
    """Nobody looks at streams of which nothing comes, and the next chunk is read by the task of its stream."""
    sources = [Polled(f"s{number}") for number in range(STREAMS)]
    streams = [chunks_of(number) for number in range(STREAMS)]
    async with Pipeline([MemorySink()]) as pipeline, anyio.create_task_group() as group:
        for source in sources:
            group.start_soon(pipeline.run, source)
        for _ in range(PIECES // 2):
            for source, stream in zip(sources, streams, strict=True):
                source.bring(next(stream))
            await anyio.sleep(GAP_S)
        await anyio.sleep(1.0)
        polls, waits = [source.polls for source in sources], [source.waits for source in sources]
        await anyio.sleep(60.0)
        sources[0].bring(next(streams[0]))
        await anyio.sleep(1.0)

        assert [source.polls for source in sources] == polls
        assert [source.waits for source in sources] == [waits[0] + 1, *waits[1:]]
        for source, stream in zip(sources, streams, strict=True):
            source.bring(b"".join(stream))
    assert wires(pipeline.steps) == wires(expected(STREAMS).steps)


@virtual
async def test_who_is_lively_stays() -> None:
    """For as long as chunks come; those of one that falls silent are waited for after a tenth of a second."""
    sources = [Polled(f"s{number}") for number in range(STREAMS)]
    waits: list[list[int]] = []
    polls: list[int] = []
    async with Pipeline([MemorySink()]) as pipeline, anyio.create_task_group() as group:
        for source in sources:
            group.start_soon(pipeline.run, source)
        for number in range(400):
            for source in sources[number >= 200 :]:
                source.bring(b":\n\n")
            await anyio.sleep(GAP_S)
            waits.append([source.waits for source in sources])
            polls.append(sources[0].polls)
        group.cancel_scope.cancel()

    assert waits[20] == waits[199]
    assert waits[20][1:] == waits[399][1:]
    assert waits[399][0] == waits[20][0] + 1
    assert polls[218] > polls[200]
    assert polls[399] == polls[222]


@virtual
async def test_little_to_do_ends_the_rounds() -> None:
    """Also where each stream is still lively enough to stay."""
    sources = [Polled(f"s{number}") for number in range(STREAMS)]
    polls: list[int] = []
    async with Pipeline([MemorySink()]) as pipeline, anyio.create_task_group() as group:
        for source in sources:
            group.start_soon(pipeline.run, source)
        for number in range(60):
            for source in sources:
                source.bring(b":\n\n")
            await anyio.sleep(GAP_S if number < 30 else 0.08)
            polls.append(sum(source.polls for source in sources))
        group.cancel_scope.cancel()

    assert polls[29] > 0
    assert polls[40] == polls[59]


# --- ends -------------------------------------------------------------------------------------------------------------


@virtual
async def test_a_stream_ends_in_a_round() -> None:
    """Without a word, in the middle: it is truncated, the others go on."""
    sources = [Polled(f"s{number}") for number in range(STREAMS)]
    results: dict[str, Any] = {}
    ended_s: dict[str, float] = {}

    async def follow(source: Polled) -> None:
        results[source.name] = await pipeline.run(source)
        ended_s[source.name] = anyio.current_time()

    async def end() -> None:
        await anyio.sleep(GAP_S * PIECES / 2)
        assert sources[3].polls > 0
        sources[3].end()
        ended_s["silence"] = anyio.current_time()

    async with Pipeline([MemorySink()]) as pipeline, anyio.create_task_group() as group:
        for source in sources:
            group.start_soon(follow, source)
        group.start_soon(end)
        with capture_logs():
            await bring_all(sources)
        ended_s["all"] = anyio.current_time()

    assert [name for name, result in results.items() if result.truncated] == ["s3"]
    assert ended_s["s3"] - ended_s["silence"] <= 0.003
    assert max(ended_s[source.name] for source in sources) - ended_s["all"] <= 0.003  # they said that they were done
    assert len(results) == STREAMS


class Fragile(AssistantsDialect):
    """Breaks at some word."""

    def decode(self, frame: Frame) -> Sequence[Event]:
        if b"break" in frame.data:
            raise ZeroDivisionError("of the dialect")
        return super().decode(frame)


@pytest.mark.parametrize("way", ["limit", "bug", "poll"])
def test_an_error_is_that_of_its_stream(way: str) -> None:
    """Whatever polling or processing raises in a round comes out of the `run` of the stream whose chunk it was."""
    _an_error_is_that_of_its_stream(way)


@virtual
async def _an_error_is_that_of_its_stream(way: str) -> None:
    sources = [Polled(f"s{number}") for number in range(STREAMS)]
    raised: list[BaseException] = []

    async def follow(source: Polled) -> None:
        try:
            (await pipeline.run(source)).raise_for_error()
        except (LineTooLong, ZeroDivisionError) as error:
            assert source is sources[5]
            raised.append(error)

    async def damage() -> None:
        await anyio.sleep(GAP_S * PIECES / 2)
        assert sources[5].polls > 0
        if way == "poll":
            sources[5].chunks.breaks = True
        else:
            sources[5].bring(b"data: " + b"x" * 5000 + b"\n\n" if way == "limit" else b'event: x\ndata: "break"\n\n')

    pipeline = Pipeline([MemorySink()], dialect=Fragile, limits=Limits(max_line_bytes=4096))
    async with pipeline, anyio.create_task_group() as group:
        for source in sources:
            group.start_soon(follow, source)
        group.start_soon(damage)
        with capture_logs():
            await bring_all(sources)

    assert [type(error) for error in raised] == [LineTooLong if way == "limit" else ZeroDivisionError]
    others = {id: wire for id, wire in wires(expected(STREAMS).steps).items() if id != "step_5"}
    assert {id: wire for id, wire in wires(pipeline.steps).items() if id != "step_5"} == others


@virtual
async def test_a_cancelled_stream_leaves_its_round() -> None:
    """Only that one ends, truncated; nobody looks at it any more."""
    sources = [Polled(f"s{number}") for number in range(STREAMS)]
    scope = anyio.CancelScope()

    async def follow(source: Polled) -> None:
        with scope if source is sources[7] else anyio.CancelScope():
            await pipeline.run(source)

    async def cancel() -> None:
        await anyio.sleep(GAP_S * PIECES / 2)
        assert sources[7].polls > 0
        scope.cancel()
        await anyio.sleep(GAP_S)
        polls = sources[7].polls
        await anyio.sleep(GAP_S)
        assert sources[7].polls == polls

    async with Pipeline([MemorySink()]) as pipeline, anyio.create_task_group() as group:
        for source in sources:
            group.start_soon(follow, source)
        group.start_soon(cancel)
        with capture_logs():
            await bring_all(sources)
    statuses = {id: step.status for id, step in pipeline.steps.items()}
    assert [id for id, status in statuses.items() if status != "completed"] == ["step_7"]


@virtual
async def test_leaving_the_pipeline_first() -> None:
    """It does not wait for streams that somebody still follows; their tasks have them back."""
    sources = [Polled(f"s{number}") for number in range(STREAMS)]
    polls: list[int] = []
    pipeline = Pipeline([MemorySink()])
    async with anyio.create_task_group() as group:
        async with pipeline:
            for source in sources:
                group.start_soon(pipeline.run, source)
            group.start_soon(bring_all, sources)
            await anyio.sleep(GAP_S * PIECES / 2)
            assert sources[0].polls > 0
        left_s = anyio.current_time()
        assert left_s <= GAP_S * PIECES / 2 + 0.01
        polls = [source.polls for source in sources]
    assert [source.polls for source in sources] == polls
    assert wires(pipeline.steps) == wires(expected(STREAMS).steps)


@virtual
async def test_a_cancelled_pipeline_gives_streams_back() -> None:
    """While whoever holds it is still busy with something else."""
    sources = [Polled(f"s{number}") for number in range(STREAMS)]
    pipeline = Pipeline([MemorySink()])
    async with anyio.create_task_group() as group:
        with anyio.CancelScope() as scope:
            async with pipeline:
                for source in sources:
                    group.start_soon(pipeline.run, source)
                group.start_soon(bring_all, sources)
                await anyio.sleep(GAP_S * PIECES / 2)
                waits = sources[0].waits
                assert sources[0].polls > 0
                scope.cancel()
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(GAP_S * PIECES / 4)
                assert sources[0].waits > waits
    assert wires(pipeline.steps) == wires(expected(STREAMS).steps)
