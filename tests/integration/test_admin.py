"""The admin server: health, metrics and runs, as they are asked for; with and without a store."""

import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from msgspec import Struct
from prometheus_client.parser import text_string_to_metric_families

from streamproc import DeliveryPolicy, Pipeline, Retry
from streamproc.errors import StoreError
from streamproc.stores.memory import MemoryStore
from streamproc.stores.sqlite import SqliteStore
from streamproc.testing import ScriptedSink
from streamproc.testing.memory import Unavailable
from streamproc.worker.admin import Admin, LoopLag
from streamproc.worker.http import HttpServer
from streamproc.worker.idle import IdleRuns
from streamproc.worker.ingest import Ingest
from streamproc.worker.proxy import Proxy
from streamproc.worker.telemetry import Telemetry
from tests.conftest import ROOT
from tests.streams import arguments, call, done, message, run, sse, step

TOKEN = "a-token-of-sixteen-and-more"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
STREAM = sse(
    *(run("created"), step("created"), arguments("a"), step("completed", "step_1", call("a"))),
    *(step("created", "step_2"), step("created", "step_3"), message("created"), run("completed"), done()),
)


class Asked(Struct):
    """An answer."""

    status: int
    text: str

    @property
    def data(self) -> Any:
        return json.loads(self.text)


class Worker(Struct):
    """What a worker has, without a file that says so."""

    pipeline: Pipeline
    server: HttpServer
    session: aiohttp.ClientSession
    flags: dict[str, bool]

    async def get(self, path: str, headers: dict[str, str] | None = None) -> Asked:
        async with self.session.get(self.server.url + path, headers=BEARER if headers is None else headers) as answer:
            return Asked(answer.status, await answer.text())


@asynccontextmanager
async def worker(store: Any = None, *, path: Path | None = None, **options: Any) -> AsyncGenerator[Worker]:
    idle, lag, flags = IdleRuns(idle_timeout_s=None, keep_s=None), LoopLag(), {"draining": False}
    async with (
        aiohttp.ClientSession() as session,
        Pipeline(store=store, on_changes=idle.heard, **options) as pipeline,
        Ingest(pipeline) as ingest,
        Proxy("http://127.0.0.1:1", pipeline) as proxy,
        anyio.create_task_group() as group,
    ):
        servers: list[HttpServer] = []
        telemetry = Telemetry(pipeline, store=store, ingest=ingest, proxy=proxy, idle=idle, lag=lag, servers=servers)
        admin = Admin(
            pipeline,
            store=store,
            store_path=path,
            metrics=telemetry.text,
            lag=lag,
            is_draining=lambda: flags["draining"],
        )
        routes = (*admin.routes, *ingest.routes)
        async with HttpServer("admin", routes, tokens=[TOKEN]) as server:
            servers.append(server)
            group.start_soon(lag.watch)
            yield Worker(pipeline, server, session, flags)
            group.cancel_scope.cancel()


async def get(admin: Admin, path: str) -> Asked:
    """Ask an admin that is open to everybody."""
    async with (
        HttpServer("admin", admin.routes) as server,
        aiohttp.ClientSession() as session,
        session.get(server.url + path) as answer,
    ):
        return Asked(answer.status, await answer.text())


async def fill(at: Worker) -> None:
    """Two runs: one that ended with steps left open, and one that is open."""
    await at.pipeline.run([STREAM])
    stream = await at.pipeline.push("other")
    await stream.feed(sse(run("in_progress", "run_2"), step("created", "step_9", run_id="run_2")))
    stream.end()
    await at.pipeline.flush()


@pytest.mark.asyncio
async def test_a_worker_that_is_well() -> None:
    """Says so to everybody."""
    async with worker() as at:
        health, ready = await at.get("/healthz", {}), await at.get("/readyz", {})

    assert (health.status, health.data["status"]) == (200, "ok")
    assert (ready.status, ready.data) == (200, {"ready": True, "reasons": []})


@pytest.mark.asyncio
async def test_a_worker_that_stops_is_not_ready() -> None:
    """But alive."""
    async with worker() as at:
        at.flags["draining"] = True
        health, ready = await at.get("/healthz", {}), await at.get("/readyz", {})

    assert (health.status, ready.status, ready.data["reasons"]) == (200, 503, ["the worker is stopping"])


@pytest.mark.asyncio
async def test_a_loop_that_is_late_is_not_well() -> None:
    """As long as it was late a moment ago."""
    lag = LoopLag()
    lag._found.append(6.0)
    async with Pipeline() as pipeline:
        answer = await get(Admin(pipeline, lag=lag), "/healthz")

    assert (answer.status, answer.data) == (503, {"status": "slow", "loop_lag_s": 6.0})


@pytest.mark.asyncio
@pytest.mark.parametrize("required", [True, False])
async def test_a_sink_that_fails_again_and_again(required: bool) -> None:
    """Counts if it is required."""
    policy = DeliveryPolicy(required=required, retry=Retry(base_s=0.001, cap_s=0.002))
    async with worker(sinks=[(ScriptedSink(then=Unavailable()), policy)], drain_s=0.0) as at:
        await at.pipeline.run([STREAM])
        with anyio.fail_after(5):
            while at.pipeline.statistics()[0].state not in ("open", "half_open"):  # noqa: ASYNC110 - no event says so
                await anyio.sleep(0.005)
        ready = await at.get("/readyz")

    assert ready.data["reasons"] == (["sink ScriptedSink: fails again and again"] if required else [])


class Broken(MemoryStore):
    """A store that takes nothing any more, once it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.is_broken = self.is_full = False

    async def next_epoch(self, stream: str) -> int:
        self.asked += 1
        if self.is_broken:
            raise StoreError("/secret/path cannot be written")
        return await super().next_epoch(stream)

    def statistics(self) -> dict[str, int]:
        return {**super().statistics(), "is_full": int(self.is_full)}


@pytest.mark.asyncio
async def test_a_store_that_takes_nothing() -> None:
    """Is tried out, at most every few seconds, and its errors are not shown."""
    store = Broken()
    async with worker(store) as at:
        store.is_broken = True
        answers = [await at.get("/readyz", {}) for _ in range(3)]
        store.is_full = True
        full = await at.get("/readyz", {})

    assert [(answer.status, answer.data["reasons"]) for answer in answers] == [
        (503, ["the store does not take changes"])
    ] * 3
    assert store.asked == 1
    assert full.data["reasons"][0] == "the journal is full: sinks are behind"


@pytest.mark.asyncio
async def test_all_else_needs_a_token() -> None:
    """Without it nothing is told of runs or counts."""
    async with worker() as at:
        statuses = [
            (await at.get(path, {})).status for path in ("/metrics", "/v1/runs", "/v1/runs/run_1", "/v1/runs/x/steps")
        ]

    assert statuses == [401] * 4


@pytest.mark.asyncio
@pytest.mark.parametrize("kept", ["in a store", "in memory"])
async def test_runs_and_their_steps(kept: str, tmp_path: Path) -> None:
    """The same from a store as from memory."""
    path = tmp_path / "runs.db" if kept == "in a store" else None
    async with worker(SqliteStore(path) if path else None, path=path) as at:
        await fill(at)
        runs = (await at.get("/v1/runs")).data
        one = (await at.get("/v1/runs/run_1")).data
        steps = (await at.get("/v1/runs/run_1/steps")).data
        completed = (await at.get("/v1/runs?status=completed")).data
        missing = [await at.get("/v1/runs/run_3"), await at.get("/v1/runs/run_3/steps")]

    assert [each["id"] for each in runs["data"]] == ["run_2", "run_1"]
    assert (runs["object"], runs["has_more"], runs["last_id"]) == ("list", False, "run_1")
    assert runs["data"][1] == one
    assert (one["status"], one["object"], one["stream"], one["revision"]) == ("completed", "thread.run", "default", 2)
    assert [(each["id"], each["status"], each.get("inferred_status")) for each in steps["data"]] == [
        ("step_1", "completed", None),
        ("step_2", "in_progress", "completed"),
        ("step_3", "in_progress", "completed"),
    ]
    assert runs["data"][0]["truncated"] is True
    assert [each["id"] for each in completed["data"]] == ["run_1"]
    assert [answer.status for answer in missing] == [404, 404]


@pytest.mark.asyncio
@pytest.mark.parametrize("kept", ["in a store", "in memory"])
async def test_pages(kept: str, tmp_path: Path) -> None:
    """Each says whether there is another one, and after what."""
    path = tmp_path / "runs.db" if kept == "in a store" else None
    async with worker(SqliteStore(path) if path else None, path=path) as at:
        await fill(at)
        first = (await at.get("/v1/runs/run_1/steps?limit=2")).data
        second = (await at.get(f"/v1/runs/run_1/steps?limit=2&after={first['last_id']}")).data
        last = (await at.get(f"/v1/runs/run_1/steps?after={second['last_id']}")).data
        newest = (await at.get("/v1/runs?limit=1")).data
        wrong = [await at.get(f"/v1/runs?{query}") for query in ("after=x", "limit=0", "limit=1001", "limit=x")]

    assert [[each["id"] for each in page["data"]] for page in (first, second, last)] == [
        ["step_1", "step_2"],
        ["step_3"],
        [],
    ]
    assert [page["has_more"] for page in (first, second, last)] == [True, False, False]
    assert last["last_id"] is None
    assert (newest["data"][0]["id"], newest["has_more"]) == ("run_2", True)
    assert [(answer.status, answer.data["error"]["code"]) for answer in wrong] == [
        (400, "unknown_after"),
        *[(400, "bad_limit")] * 3,
    ]


@pytest.mark.asyncio
async def test_a_page_is_cut_by_size() -> None:
    """It has one object at least, and says that there are more."""
    async with worker() as at:
        long = [step("created", f"step_{number}", metadata={"x": "y" * 5_000_000}) for number in range(3)]
        await at.pipeline.run([sse(run("created"), *long)])
        page = (await at.get("/v1/runs/run_1/steps")).data

    assert ([each["id"] for each in page["data"]], page["has_more"]) == (["step_0"], True)


@pytest.mark.asyncio
async def test_a_store_that_cannot_be_read(tmp_path: Path) -> None:
    """Is told without its path."""
    async with worker(path=tmp_path / "none.db") as at:
        answer = await at.get("/v1/runs")

    assert (answer.status, answer.data["error"]["code"]) == (503, "store_unavailable")
    assert str(tmp_path) not in answer.text


@pytest.mark.asyncio
async def test_a_run_of_which_only_steps_are_known() -> None:
    """Has steps, but no object of its own."""
    async with worker() as at:
        await at.pipeline.run([sse(step("created"))])
        steps, one = await at.get("/v1/runs/run_1/steps"), await at.get("/v1/runs/run_1")

    assert [each["id"] for each in steps.data["data"]] == ["step_1"]
    assert one.status == 404


# --- metrics ----------------------------------------------------------------------------------------------------------


def rows() -> dict[str, tuple[str, frozenset[str]]]:
    """Name -> type and labels, as the documentation has them."""
    text = (ROOT / "docs" / "admin.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| `(streamproc_\w+)` \| (counter|gauge) \| (.*?) \|", text, re.MULTILINE)
    return {name: (kind, frozenset(re.findall(r"`(\w+)`", labels))) for name, kind, labels in found}


async def measured(tmp_path: Path) -> tuple[str, dict[str, tuple[str, frozenset[str]]]]:
    """The text, and name -> type and labels of what is in it, after a bit of everything."""
    path = tmp_path / "runs.db"
    async with worker(SqliteStore(path), path=path, sinks=[ScriptedSink()]) as at:
        await fill(at)
        headers = {**BEARER, "Content-Type": "text/event-stream"}
        async with at.session.post(f"{at.server.url}/v1/streams/secret-name", data=STREAM, headers=headers) as answer:
            await answer.read()
        text = (await at.get("/metrics")).text
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = (family.type, frozenset(sample.labels))
    return text, found


@pytest.mark.asyncio
async def test_the_table_of_metrics_is_complete(tmp_path: Path) -> None:
    """Each has its row, with type and labels; those of the process come from the client and are not listed."""
    _, found = await measured(tmp_path)

    assert {name: facts for name, facts in found.items() if name.startswith("streamproc_")} == rows()
    assert "process_resident_memory_bytes" in found


@pytest.mark.asyncio
async def test_metrics_name_no_run_and_no_stream(tmp_path: Path) -> None:
    """Of these there is no end."""
    text, _ = await measured(tmp_path)

    assert [line for line in text.splitlines() if "run_1" in line or "secret-name" in line or TOKEN in line] == []
    assert 'streamproc_sink_changes_total{outcome="acked",sink="ScriptedSink"}' in text
    assert 'streamproc_ingest_ended_streams_total{dialect="auto",outcome="complete"} 1.0' in text


@pytest.mark.asyncio
async def test_without_the_extra_there_are_no_metrics() -> None:
    """And the answer says how to get them."""
    async with Pipeline() as pipeline:
        answer = await get(Admin(pipeline), "/metrics")

    assert (answer.status, answer.data["error"]["code"]) == (404, "no_metrics")
