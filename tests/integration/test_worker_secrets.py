"""Secrets that pass a worker are in no log line, no metric and no error: those of headers, bodies, tools and addresses.

Each part is given its own, in every place where one may be, and made to fail in the ways that tell something.
"""

import json
import socket
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import pytest
from anyio.from_thread import start_blocking_portal

from streamproc.testing import Response, ScriptedServer, cut_at, json_response
from tests.streams import arguments, call, done, error, message, run, sse, step, text, words
from tests.worker.process import WorkerProcess

SECRET: Final = "c4n4ry"
TOKEN: Final = f"{SECRET}-token-of-the-worker"

CONTENT: Final = sse(
    run("created", instructions=SECRET, metadata={SECRET: SECRET}),
    step("created", "step_1", call(f'{{"city":"{SECRET}', index=0, id="call_1", name=SECRET)),
    *(arguments(SECRET), arguments('"}')),
    *(message("created"), words(SECRET), message("completed", "msg_1", text(SECRET, annotations=[]))),
)
BROKEN: Final = b"event: thread.run.step.delta\ndata: {" + SECRET.encode() + b"\n\nid: " + SECRET.encode() + b"\n\n"
FAILED: Final = sse(
    error({"message": SECRET, "code": SECRET}), run("failed", last_error={"code": "x", "message": SECRET}), done()
)
CONFIG: Final = """\
[store]
path = "runs.db"
[[sinks]]
kind = "jsonl"
path = "steps.jsonl"
[[sources]]
kind = "http"
name = "refused"
url = "http://user:{secret}@{upstream}/refused?key={secret}"
headers = {{ Authorization = "Bearer {secret}", Cookie = "{secret}" }}
json = {{ text = "{secret}" }}
method = "POST"
[[sources]]
kind = "http"
name = "cut"
url = "http://user:{secret}@{upstream}/cut?key={secret}"
headers = {{ api-key = "${{WORKER_TOKEN}}" }}
[[sources]]
kind = "http"
name = "nowhere"
url = "http://user:{secret}@127.0.0.1:1/{secret}?key={secret}#{secret}"
[ingest]
port = 0
tokens = ["${{WORKER_TOKEN}}"]
[proxy]
port = 0
upstream = "http://{upstream}/api"
[admin]
port = 0
token = "${{WORKER_TOKEN}}"
[limits]
drain_s = 0.5
[log]
format = "{format}"
level = "debug"
"""
HEADERS: Final = {"Authorization": f"Bearer {TOKEN}", "X-Note": SECRET}
WRONG: Final = {"Authorization": f"Bearer {SECRET}-wrong"}
RAW: Final = (  # what no client of ours would send
    f"GET /{SECRET} HTTP/1.1\r\nHost: {SECRET}\r\nHost: {SECRET}\r\n\r\n",
    f"GET /{SECRET} HTTP/9.9\r\n\r\n",
    f"{SECRET} {SECRET}\r\n\r\n",
    f"GET / HTTP/1.1\r\nHost: x\r\n{SECRET}\r\n\r\n",
    f"GET / HTTP/1.1\r\nHost: x\r\nX: {SECRET * 20_000}\r\n\r\n",
    f"POST /v1/streams/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Type: text/event-stream\r\n"
    f"Transfer-Encoding: chunked\r\n\r\n{SECRET}\r\n",
)


@pytest.fixture
def upstream() -> Iterator[str]:
    """Host and port of an API that fails in several ways."""
    server = ScriptedServer()
    server.script("/refused", [json_response({"error": SECRET}, 401, {"X-Secret": SECRET})], method="POST")
    server.script("/cut", [Response(cut_at(CONTENT + BROKEN, len(CONTENT) + 40))])
    server.script("/api/whole", [Response(CONTENT + BROKEN + FAILED)], method="POST")
    server.script("/api/cut", [Response(cut_at(CONTENT, 900))], method="POST")
    server.script("/api/page", [Response(SECRET.encode(), content_type=f"text/html; charset={SECRET}")])
    server.script("/api/bad", [json_response({"error": SECRET}, 500, {"Content-Encoding": SECRET})])
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(server):
        yield urlsplit(server.url).netloc


def refusals(worker: WorkerProcess) -> list[bytes]:
    """Answers of the worker's own that tell of something wrong."""
    types = {"Content-Type": "text/event-stream"}
    asked = [
        ("POST", "ingest", "/v1/streams/mine", CONTENT, {**WRONG, **types}),
        ("POST", "ingest", "/v1/streams/mine", CONTENT, {**HEADERS, "Content-Type": f"text/{SECRET}"}),
        ("POST", "ingest", f"/v1/streams/mine?dialect={SECRET}", CONTENT, {**HEADERS, **types}),
        ("POST", "ingest", "/v1/streams/mine", CONTENT, {**HEADERS, **types, "Stream-Offset": SECRET}),
        ("POST", "ingest", "/v1/streams/mine", CONTENT, {**HEADERS, **types, "Content-Encoding": "gzip"}),
        ("POST", "ingest", "/v1/streams/mine", CONTENT, {**HEADERS, **types, "Content-Encoding": SECRET}),
        ("POST", "ingest", f"/v1/streams/{SECRET}/{SECRET}", CONTENT, {**HEADERS, **types}),
        ("GET", "ingest", f"/v1/streams/{SECRET}", None, HEADERS),
        (SECRET, "ingest", "/v1/streams/mine", None, HEADERS),
        ("GET", "admin", "/v1/runs", None, WRONG),
        ("GET", "admin", f"/v1/runs/{SECRET}", None, HEADERS),
        ("GET", "admin", f"/v1/runs?limit={SECRET}", None, HEADERS),
        ("GET", "admin", f"/v1/runs?after={SECRET}", None, HEADERS),
        ("GET", "admin", f"/{SECRET}", None, HEADERS),
        ("GET", "proxy", f"/{SECRET}", None, {**HEADERS, "Transfer-Encoding": SECRET}),
    ]
    found: list[bytes] = []
    for method, server, path, body, headers in asked:
        answer, data = worker.ask(method, server, path, body, headers)
        assert answer.status >= 400, (method, server, path)
        found.append(data)
    for server in ("ingest", "admin", "proxy"):
        found += [raw_answer(worker, server, request) for request in RAW]
    return found


def raw_answer(worker: WorkerProcess, server: str, request: str) -> bytes:
    parts = urlsplit(worker.addresses[server])
    with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=10) as connection:
        connection.settimeout(1)
        try:
            connection.sendall(request.encode())
            return b"".join(iter(lambda: connection.recv(65536), b""))
        except OSError:  # reset, or left open for more
            return b""


@pytest.mark.slow
@pytest.mark.parametrize("form", ["json", "console"])
def test_secrets_are_in_no_log_metric_or_error(tmp_path: Path, upstream: str, form: str) -> None:
    """Neither while all goes well nor while nothing does; the store and the sink do have the content."""
    config = tmp_path / "worker.toml"
    config.write_text(CONFIG.format(secret=SECRET, upstream=upstream, format=form), encoding="utf-8")
    with WorkerProcess(config, is_awaited=False, WORKER_TOKEN=TOKEN) as worker:
        if form == "json":
            worker.await_start()
        else:
            worker.await_lines()
        summary = worker.send("mine", CONTENT + BROKEN + FAILED, HEADERS)
        for path in ("/whole", "/cut"):
            with_body = ("POST", "proxy", f"{path}?key={SECRET}", CONTENT, {**HEADERS, "Content-Type": SECRET})
            try:
                worker.ask(*with_body)
            except HTTPException:  # it broke off for us, too
                assert path == "/cut"
        for path in ("/page", "/bad", f"/{SECRET}"):
            worker.ask("GET", "proxy", path, headers=HEADERS)
        errors = refusals(worker)
        _, metrics = worker.ask("GET", "admin", "/metrics", headers=HEADERS)
        code = worker.stop()
        log = worker.log()

    assert code == 1  # a source was refused
    assert summary["anomalies"]["bad_json"] == 1
    assert SECRET in (tmp_path / "steps.jsonl").read_text(encoding="utf-8")
    assert {"stream.reconnecting", "stream.truncated", "request.malformed", "source.ended"} <= logged(log)
    assert b"streamproc_proxy_tapped_streams_total" in metrics
    assert [line for line in log.splitlines() if SECRET in line] == []
    assert [line for line in metrics.splitlines() if SECRET.encode() in line] == []
    assert [data for data in errors if SECRET.encode() in data] == []


def logged(log: str) -> set[str]:
    """Names of events, in either form of a log."""
    if log.startswith("{"):
        return {json.loads(line)["event"] for line in log.splitlines()}
    return {words[3] for line in log.splitlines() if len(words := line.replace("]", " ] ").split()) > 3}
