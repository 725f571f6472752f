"""An endpoint for webhooks that keeps the newest state of each object; docs/sinks/webhook.md shows it."""

import sqlite3
from typing import Any

from aiohttp import web
from standardwebhooks import Webhook, WebhookVerificationError

TABLES = """
CREATE TABLE IF NOT EXISTS seen (webhook_id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS states (id TEXT PRIMARY KEY, kind TEXT, epoch INTEGER, revision INTEGER, status TEXT);
"""
NEWER = """
INSERT INTO states VALUES (:id, :kind, :epoch, :revision, :status) ON CONFLICT (id) DO UPDATE
SET epoch = excluded.epoch, revision = excluded.revision, status = excluded.status
WHERE (excluded.epoch, excluded.revision) > (states.epoch, states.revision)
"""


def endpoint(db: sqlite3.Connection, secret: str) -> web.Application:
    db.executescript(TABLES)
    verifier = Webhook(secret)

    async def take(request: web.Request) -> web.Response:
        body = await request.read()  # the bytes as they came: JSON that was read and written again is signed otherwise
        try:
            message = verifier.verify(body, dict(request.headers))
        except (WebhookVerificationError, ValueError):
            return web.Response(status=401)
        with db:  # the id and all that follows from the message: together, or not at all
            is_new = db.execute("INSERT OR IGNORE INTO seen VALUES (?)", [request.headers["webhook-id"]]).rowcount
            if is_new:
                apply(db, message["type"], message["data"])
        return web.Response(status=204)

    app = web.Application(client_max_size=16 * 1024 * 1024)
    app.router.add_post("/steps", take)
    return app


def apply(db: sqlite3.Connection, type: str, change: dict[str, Any]) -> None:
    if type.startswith(("run.", "run_step.", "message.")) and "state" in change:
        db.execute(NEWER, {**change, "status": change["state"].get("status")})
