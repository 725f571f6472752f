"""Silent runs: when they get an inferred status, and when they are forgotten; in virtual time."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from structlog.testing import capture_logs

from streamproc import Pipeline, StreamProcessor
from streamproc.core.body import Body
from streamproc.errors import StoreError
from streamproc.sinks.memory import MemorySink
from streamproc.stores.memory import MemoryStore
from streamproc.stores.queries import find, open_store
from streamproc.stores.sqlite import SqliteStore
from streamproc.worker.idle import IdleRuns
from tests.streams import arguments, run, sse, step
from tests.unit.delivery.sinks import virtual

OPENED = sse(run("in_progress"), step("created"), arguments("a"))


@asynccontextmanager
async def watched(idle: IdleRuns, **options: Any) -> AsyncGenerator[Pipeline]:
    """A pipeline whose runs are watched."""
    async with Pipeline(on_changes=idle.heard, **options) as pipeline, anyio.create_task_group() as group:
        group.start_soon(idle.watch, pipeline)
        yield pipeline
        group.cancel_scope.cancel()


@virtual
async def test_a_silent_run_gets_an_inferred_status_and_is_forgotten_later() -> None:
    """Once, in the order of silence; a later event takes it back, and its silence counts from there."""
    idle = IdleRuns(idle_timeout_s=100.0, keep_s=1000.0)
    sink = MemorySink()
    async with watched(idle, sinks=[sink]) as pipeline:
        stream = await pipeline.push("s")
        await stream.feed(OPENED)
        await anyio.sleep(90)
        await stream.feed(sse(arguments("b")))
        await anyio.sleep(90)
        early = idle.silent
        await anyio.sleep(20)
        noted = pipeline.reducer.note("run", "run_1"), idle.silent
        await stream.feed(sse(arguments("c"), run("in_progress")))
        again = pipeline.reducer.note("run", "run_1").inferred_status
        await anyio.sleep(106)
        twice = idle.silent
        await anyio.sleep(900)
        kept = [*pipeline.runs]
        await anyio.sleep(110)
        gone = [*pipeline.runs], [*pipeline.steps], idle.evicted, len(idle._heard), len(idle._inferred)
        stream.end()

    assert early == 0
    assert (noted[0].inferred_status, noted[1], again, twice) == ("expired", 1, None, 2)
    assert (kept, gone) == (["run_1"], ([], [], 1, 0, 0))
    assert [change.id for change in sink.changes if change.event == "inferred"] == ["step_1", "run_1"] * 2


@virtual
async def test_a_run_that_ended_is_only_forgotten() -> None:
    """With no word of its silence."""
    idle = IdleRuns(idle_timeout_s=10.0, keep_s=50.0)
    with capture_logs() as logs:
        async with watched(idle) as pipeline:
            await pipeline.run([sse(run("created"), run("completed"))])
            await anyio.sleep(45)
            before = len(pipeline.runs)
            await anyio.sleep(10)
            after = len(pipeline.runs)

    assert (before, after, idle.silent, logs) == (1, 0, 0, [])


@virtual
async def test_runs_that_no_batch_was_about() -> None:
    """The first of two in one batch, and one that a store brought back."""
    store = MemoryStore()
    async with Pipeline(store=store) as pipeline:
        await pipeline.run([sse(run("in_progress", "run_old"))])
    idle = IdleRuns(idle_timeout_s=100.0, keep_s=None)
    with capture_logs() as logs:
        async with watched(idle, store=store) as pipeline:
            stream = await pipeline.push("two")
            await stream.feed(sse(run("in_progress", "run_a"), run("in_progress", "run_b")))
            await anyio.sleep(115)
            noted = {id: pipeline.reducer.note("run", id).inferred_status for id in pipeline.runs}
            stream.end()

    assert noted == dict.fromkeys(["run_old", "run_a", "run_b"], "expired")
    assert {log["run_id"] for log in logs if log["event"] == "run.fell_silent"} == set(noted)


@virtual
async def test_a_run_that_others_follow_in_each_batch() -> None:
    """It is heard of as well: a batch may speak of several runs, and the last one is only one of them."""
    idle = IdleRuns(idle_timeout_s=100.0, keep_s=None)
    async with watched(idle) as pipeline:
        stream = await pipeline.push("two")
        for model in "abcd":
            await stream.feed(sse(run("in_progress", "run_a", model=model), run("in_progress", "run_b", model=model)))
            await anyio.sleep(60)
        stream.end()

    assert idle.silent == 0


class Standing(MemoryStore):
    """A store that takes its time to begin the stream of what is inferred."""

    async def next_epoch(self, stream: str) -> int:
        if stream == "streamproc.idle":
            await anyio.sleep(50)
        return await super().next_epoch(stream)


@virtual
async def test_a_run_that_comes_back_while_the_store_takes_its_time() -> None:
    """What was due when the look began is due no more."""
    idle = IdleRuns(idle_timeout_s=100.0, keep_s=None)
    pipeline = Pipeline(store=Standing(), on_changes=idle.heard)
    async with pipeline, anyio.create_task_group() as group:
        stream = await pipeline.push("two")
        await stream.feed(sse(run("in_progress", "run_a"), run("in_progress", "run_b")))
        await anyio.sleep(110)
        group.start_soon(idle.look, pipeline)
        await anyio.sleep(10)
        await stream.feed(sse(run("in_progress", "run_b", model="other")))
        await anyio.sleep(50)
        stream.end()

    noted = {id: pipeline.reducer.note("run", id).inferred_status for id in pipeline.runs}
    assert noted == {"run_a": "expired", "run_b": None}


class Failing(MemoryStore):
    """A store that begins no stream of its own while it is told so."""

    is_failing = False

    async def next_epoch(self, stream: str) -> int:
        if self.is_failing:
            raise StoreError("the disk is full")
        return await super().next_epoch(stream)


@virtual
async def test_a_store_that_fails_for_a_while() -> None:
    """What it could not take is tried again, and counted once."""
    idle, store = IdleRuns(idle_timeout_s=10.0, keep_s=None), Failing()
    with capture_logs() as logs:
        async with watched(idle, store=store) as pipeline:
            await pipeline.run([OPENED])
            store.is_failing = True
            await anyio.sleep(14)
            failing = idle.silent, pipeline.reducer.note("run", "run_1").inferred_status
            store.is_failing = False
            await anyio.sleep(3)
            after = idle.silent, pipeline.reducer.note("run", "run_1").inferred_status

    assert (failing, after) == ((0, None), (1, "expired"))
    assert "store.unavailable" in {log["event"] for log in logs}


@virtual
async def test_a_run_that_was_forgotten_otherwise() -> None:
    """Is no longer noted either."""
    idle = IdleRuns(idle_timeout_s=10.0, keep_s=10.0)
    async with Pipeline(on_changes=idle.heard) as pipeline:
        await pipeline.run([sse(run("created"), run("completed"))])
        pipeline.evict("run_1")
        await anyio.sleep(20)
        await idle.look(pipeline)

    assert (len(idle._heard), idle.evicted, idle.silent) == (0, 0, 0)


@virtual
async def test_without_time_limits_nothing_happens() -> None:
    """However long it takes."""
    idle = IdleRuns(idle_timeout_s=None, keep_s=None)
    async with Pipeline(on_changes=idle.heard) as pipeline:
        await pipeline.run([OPENED])
        await anyio.sleep(10**5)
        await idle.look(pipeline)

        assert pipeline.reducer.note("run", "run_1").inferred_status is None
        assert len(pipeline.runs) == 1


def test_what_is_noted_has_a_bound() -> None:
    """Also between two looks; batches that concern no run are not noted at all."""
    idle = IdleRuns(idle_timeout_s=10.0, keep_s=10.0, clock=lambda: 0.0)
    (change,) = StreamProcessor().feed(sse(run("created")))
    for number in range(50_010):
        id = f"run_{number}"
        idle.heard([msgspec.structs.replace(change, body=Body("run", id, id, None, b""))])
    idle.heard(StreamProcessor().feed(b"data: x\n\n"))

    assert len(idle._heard) == 50_000


@pytest.mark.asyncio
async def test_what_was_inferred_outlives_a_restart(tmp_path: Path) -> None:
    """It is in the store, where it is told once; the first event of the run takes it back there, too."""
    path = tmp_path / "runs.db"
    async with Pipeline(store=SqliteStore(path)) as pipeline:
        await pipeline.run([OPENED])
        await pipeline.infer("run_1", "expired")
    with open_store(path) as store:
        (silent,) = find(store, "run")
    now_s = 0.0
    idle = IdleRuns(idle_timeout_s=10.0, keep_s=100.0, clock=lambda: now_s)
    async with Pipeline(store=SqliteStore(path), on_changes=idle.heard) as pipeline:
        await idle.look(pipeline)
        now_s = 11.0
        await idle.look(pipeline)
        restored = pipeline.reducer.note("run", "run_1").inferred_status, idle.silent
        await pipeline.run([sse(run("in_progress"))])
        heard = pipeline.reducer.note("run", "run_1").inferred_status
    with open_store(path) as store:
        (later,) = find(store, "run")

    assert (silent["status"], silent["inferred_status"]) == ("in_progress", "expired")
    assert (restored, heard) == (("expired", 0), None)
    assert (later["status"], later["inferred_status"], later["truncated"]) == ("in_progress", None, 1)
