"""The endpoint of docs/sinks/webhook.md, with a sink that posts to it."""

import inspect
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from streamproc.errors import SinkRejected
from streamproc.sinks.webhook import WebhookSink
from streamproc.testing.changes import odd_changes, ordinary_changes
from tests.conftest import ROOT
from tests.examples import webhook_endpoint
from tests.webhook_receiver import new_secret

SECRET = new_secret()


@asynccontextmanager
async def serving(db: sqlite3.Connection) -> AsyncGenerator[str]:
    runner = web.AppRunner(webhook_endpoint.endpoint(db, SECRET), access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/steps"
    finally:
        await runner.cleanup()


def sink(url: str, secret: str = SECRET) -> WebhookSink:
    return WebhookSink(url, secrets=[secret], allow_http=True, allow_networks=["127.0.0.0/8"])


@pytest.mark.asyncio
async def test_states_are_there_once_whatever_comes_again(tmp_path: Path) -> None:
    """Also by a sink that knows nothing of what an earlier one has sent."""
    db = sqlite3.connect(tmp_path / "states.db")
    changes = ordinary_changes("s") + odd_changes("odd")
    try:
        async with serving(db) as url:
            for batch in (changes, changes[:9], changes):
                async with sink(url) as one:
                    await one.write(batch)
        states = dict(db.execute("SELECT id, status FROM states").fetchall())
        seen = db.execute("SELECT count(*) FROM seen").fetchone()[0]
    finally:
        db.close()

    assert seen == len(changes)
    assert (states["step_1"], states["msg_1"]) == ("completed", "completed")


@pytest.mark.asyncio
async def test_what_is_not_signed_is_refused(tmp_path: Path) -> None:
    """By nobody, or with another secret."""
    db = sqlite3.connect(tmp_path / "states.db")
    try:
        async with serving(db) as url:
            async with sink(url, new_secret(b"another")) as one:
                with pytest.raises(SinkRejected, match="answered 401"):
                    await one.write(ordinary_changes("s"))
            async with aiohttp.ClientSession() as session:
                forged = {"webhook-id": "a", "webhook-timestamp": "1", "webhook-signature": "v1,é"}
                statuses = [(await session.post(url, data=b"{}", headers=headers)).status for headers in ({}, forged)]
        seen = db.execute("SELECT count(*) FROM seen").fetchone()[0]
    finally:
        db.close()

    assert (statuses, seen) == ([401, 401], 0)


def test_documentation_shows_this_code() -> None:
    """All of it, behind its docstring."""
    code = inspect.getsource(webhook_endpoint).partition('"""\n\n')[2]

    assert f"```python\n{code}```\n" in (ROOT / "docs" / "sinks" / "webhook.md").read_text(encoding="utf-8")
