"""Secrets and the sinks that have a server: none of it gets there, however the stream was cut."""

from collections.abc import Sequence

import psycopg
import pytest

from streamproc.redaction import Redacted
from streamproc.sinks.otlp import OtlpSink
from streamproc.sinks.postgres import PostgresSink
from streamproc.sinks.webhook import WebhookSink
from tests import otlp_receiver, webhook_receiver
from tests.unit.redaction.examples import Canary
from tests.unit.redaction.test_sink import FEW, assert_no_piece, changes_of

CASES: Sequence[tuple[Canary, str, Sequence[int]]] = [
    (canary, dialect, sizes)
    for canary in FEW  # all of them at every offset: tests/unit/redaction
    for dialect, sizes in (("assistants", (2, 3)), ("chat", (7,)), ("responses", (19, 1)))
]


def assert_masked(seen: str) -> None:
    """The sinks did get what is around the secrets."""
    for canary in FEW:
        assert f"[redacted:{canary.name}]" in seen
        assert_no_piece(canary, seen)


@pytest.mark.asyncio
async def test_tables_hold_no_secret(postgres_dsn: str) -> None:
    """All that is in any column of any table; a schema for each stream, since they are told of the same objects."""
    for number, (canary, dialect, sizes) in enumerate(CASES):
        async with Redacted(PostgresSink(postgres_dsn, schema=f"s{number}")) as sink:
            await sink.write(changes_of(dialect, f"see {canary.text} ok", sizes))
        seen = await _rows(postgres_dsn, f"s{number}")
        assert_no_piece(canary, seen)
        assert f"[redacted:{canary.name}]" in seen


@pytest.mark.asyncio
async def test_posts_hold_no_secret() -> None:
    """Whole bodies, as they came."""
    secret = webhook_receiver.new_secret()
    receiver = webhook_receiver.Receiver(secret)
    async with webhook_receiver.running(receiver):
        sink = WebhookSink(receiver.url, secrets=[secret], allow_http=True, allow_networks=["127.0.0.0/8"])
        async with Redacted(sink) as redacted:
            for canary, dialect, sizes in CASES:
                await redacted.write(changes_of(dialect, f"see {canary.text} ok", sizes))

    assert_masked("\n".join(str(each) for each in receiver.arrived))


@pytest.mark.asyncio
async def test_spans_hold_no_secret() -> None:
    """Also where they are asked to hold content."""
    receiver = otlp_receiver.OtlpReceiver()
    async with otlp_receiver.running(receiver), Redacted(OtlpSink(receiver.url, content=True, env={})) as redacted:
        for canary, dialect, sizes in CASES:
            await redacted.write(changes_of(dialect, f"see {canary.text} ok", sizes))

    assert_masked("\n".join(str(each) for each in receiver.spans))


async def _rows(dsn: str, schema: str) -> str:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        found: list[str] = []
        for table in ("runs", "steps", "messages"):
            rows = await connection.execute(f"SELECT row_to_json(t)::text FROM {schema}.{table} AS t".encode())
            found += [row[0] for row in await rows.fetchall()]
        return "\n".join(found)
