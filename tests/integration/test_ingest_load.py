"""Load on an ingest server in a process of its own; `python -m tests.worker.ingest_load` gives the full figures."""

import pytest

from tests.worker.ingest_load import bombs, process, slow_heads, streams, warm_up

pytestmark = pytest.mark.slow


@pytest.mark.asyncio
async def test_many_streams_at_once() -> None:
    """All arrive, none is starved, and memory stays bounded."""
    async with process() as server:
        await warm_up(server)
        found = await streams(server, 200, 50, pieces=20)

    assert found.wrong == []
    assert found.stalled_s < 2.0
    assert found.grown_bytes < 64 * 2**20


@pytest.mark.asyncio
async def test_five_hundred_slow_connections() -> None:
    """Others are served within a tenth of a second."""
    async with process() as server:
        await warm_up(server)
        times = sorted(await slow_heads(server, 500, requests=30))

    assert times[len(times) * 9 // 10] < 0.1


@pytest.mark.asyncio
async def test_a_gzip_bomb() -> None:
    """64 MiB of one line, in 64 KB."""
    async with process() as server:
        await warm_up(server)
        statuses, grown = await bombs(server, 1, 64 * 2**20)

    assert statuses == [413]
    assert grown < 32 * 2**20
