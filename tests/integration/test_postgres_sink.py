"""PostgresSink against a real server."""

import pytest

from streamproc.sinks.postgres import PostgresSink
from streamproc.testing.sinks import check_sink


@pytest.mark.asyncio
async def test_contract(postgres_dsn: str) -> None:
    """What every sink must do; it keeps states, so what arrived is looked at below."""
    await check_sink(lambda: PostgresSink(postgres_dsn))
