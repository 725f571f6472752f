"""The example of docs/sinks/postgres.md: the end of a run is in the tables."""

import inspect

import pytest

from streamproc import DeliveryPolicy, Pipeline
from streamproc.protocols import Source
from streamproc.sinks.postgres import PostgresSink
from streamproc.sources.iterable import IterableSource
from tests.conftest import ROOT
from tests.postgres_server import PostgresServer
from tests.streams import run, sse, step


async def record(source: Source, dsn: str) -> None:
    policy = DeliveryPolicy(deliver="final", batch_max=1000)
    async with Pipeline(sinks=[(PostgresSink(dsn), policy)]) as pipeline:
        await pipeline.run(source)


@pytest.mark.asyncio
async def test_recorded(postgres_server: PostgresServer, postgres_dsn: str) -> None:
    stream = sse(run("created"), step("completed"), run("completed"))
    await record(IterableSource([stream]), postgres_dsn)
    query = b"SELECT id, status FROM streamproc.runs UNION ALL SELECT id, status FROM streamproc.steps"

    assert postgres_server.execute(query, dsn=postgres_dsn) == [("run_1", "completed"), ("step_1", "completed")]


def test_page_has_this_example() -> None:
    page = (ROOT / "docs" / "sinks" / "postgres.md").read_text(encoding="utf-8")

    assert f"\n{inspect.getsource(record)}```\n" in page
