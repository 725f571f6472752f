"""HttpServer around handlers that misbehave: what they do to others, and what is told of it."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

import anyio
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from streamproc.errors import ConfigError
from streamproc.worker.http import Handler, HttpServer, Refused, Route, ServerLimits, json_response
from tests.worker.ingest_fixture import Answer, answers, head

SECRET = "c4n4ry"
BIG = 32 * 2**20


async def fail(request: web.BaseRequest, parts: Mapping[str, str]) -> web.StreamResponse:
    raise ValueError(SECRET) from KeyError(SECRET)


async def hang(request: web.BaseRequest, parts: Mapping[str, str]) -> web.StreamResponse:
    await anyio.sleep_forever()
    raise AssertionError


async def show(request: web.BaseRequest, parts: Mapping[str, str]) -> web.StreamResponse:
    return json_response({**parts})


async def flood(request: web.BaseRequest, parts: Mapping[str, str]) -> web.StreamResponse:
    return web.Response(body=bytes(BIG))


@asynccontextmanager
async def serving(handle: Handler, host: str = "127.0.0.1", **limits: float) -> AsyncGenerator[HttpServer]:
    routes = [Route("GET", "/x/{name}", handle), Route("GET", "/open", handle, is_open=True)]
    async with HttpServer("test", routes, host=host, limits=ServerLimits(**limits)) as server:  # type: ignore[arg-type]
        yield server


async def ask(server: HttpServer, path: str, *lines: str) -> list[Answer]:
    """All answers on one connection, until it is closed."""
    connection = await anyio.connect_tcp("::1" if "[" in server.url else "127.0.0.1", server.port)
    async with connection:
        await connection.send(head("GET", path, None, *lines))
        with anyio.fail_after(5):
            return answers(b"".join([part async for part in connection]))


@pytest.mark.asyncio
async def test_a_handler_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """Its client learns nothing, the log where; what the exception says may be content."""
    with capture_logs() as entries, caplog.at_level(logging.DEBUG):
        async with serving(fail) as server:
            (answer,) = await ask(server, f"/x/{SECRET}")

    assert (answer.status, answer.data["error"]["code"]) == (500, "internal")
    (entry,) = [entry for entry in entries if entry["event"] == "request.failed"]
    assert "in fail" in entry["exception"]
    assert entry["exception"].endswith("ValueError")
    assert SECRET not in str(entries) + str(answer) + caplog.text


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_handler_that_never_answers() -> None:
    """Is stopped when the server is, after the deadline and a second."""
    async with serving(hang) as server:
        asking = asyncio.ensure_future(ask(server, "/x/a"))
        with anyio.fail_after(5):
            while not server._scopes:  # noqa: ASYNC110 - no event says so
                await anyio.sleep(0.01)
        await server.drain(0.0)
        (answer,) = await asking

    assert (answer.status, answer.data["error"]["code"]) == (503, "draining")


@pytest.mark.asyncio
async def test_a_client_that_does_not_read_its_answer() -> None:
    """Is dropped, and holds neither connection nor memory any longer."""
    async with (
        serving(flood, answer_timeout_s=0.2) as server,
        await anyio.connect_tcp("127.0.0.1", server.port) as slow,
    ):
        await slow.send(head("GET", "/x/a", None))
        with anyio.fail_after(5):
            while not server.counts:  # noqa: ASYNC110 - no event says so
                await anyio.sleep(0.01)
            while server.connections:  # noqa: ASYNC110
                await anyio.sleep(0.01)

        assert server.counts == {("/x/{name}", 200): 1}


@pytest.mark.asyncio
async def test_parts_of_a_path_are_decoded_once() -> None:
    """After the path was split; the query is none of it."""
    async with serving(show) as server:
        found = [
            (await ask(server, path, "Connection: close"))[0].data
            for path in ("/x/a%2Fb", "/x/%2541", "/x/a?name=b", "/x/")
        ]

    assert found == [{"name": name} for name in ("a/b", "%41", "a", "")]


@pytest.mark.asyncio
async def test_open_routes_answer_while_draining() -> None:
    """On connections that were open; others are refused work."""
    async with serving(show) as server:
        opened = [await anyio.connect_tcp("127.0.0.1", server.port) for _ in range(2)]
        for connection in opened:
            await connection.send(b"GET ")
        await anyio.sleep(0.05)
        server.is_draining = True
        for connection, path in zip(opened, (b"/open", b"/x/a"), strict=True):
            await connection.send(path + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        found = [answers(b"".join([part async for part in connection]))[0] for connection in opened]
        for connection in opened:
            await connection.aclose()
        server.is_draining = False

    assert [answer.status for answer in found] == [200, 503]


@pytest.mark.asyncio
async def test_addresses_of_version_six() -> None:
    """Where the machine has them."""
    async with serving(show, host="::1") as server:
        (answer,) = await ask(server, "/x/a", "Connection: close")

    assert (answer.status, server.url) == (200, f"http://[::1]:{server.port}")


@pytest.mark.asyncio
@pytest.mark.parametrize("host", ["203.0.113.7", "no-such-host.invalid"])
async def test_addresses_that_cannot_be_bound(host: str) -> None:
    """Another machine's, and a name that means none."""
    with pytest.raises(ConfigError, match=f"cannot listen on {host}:0: "):
        async with serving(show, host=host):
            pass


@pytest.mark.asyncio
async def test_http_1_0() -> None:
    """One request a connection, whatever the client asks for."""
    async with serving(show) as server, await anyio.connect_tcp("127.0.0.1", server.port) as connection:
        await connection.send(b"GET /x/a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2)
        found = answers(b"".join([part async for part in connection]))

    assert [answer.status for answer in found] == [200]


@pytest.mark.asyncio
async def test_a_body_where_none_is_expected() -> None:
    """Is not read: the connection ends with the answer, and what follows is no request."""
    async with serving(show) as server, await anyio.connect_tcp("127.0.0.1", server.port) as connection:
        inner = head("GET", "/x/inner", None)
        await connection.send(head("GET", "/x/a", len(inner)) + inner * 2)
        found = answers(b"".join([part async for part in connection]))

    assert [answer.data for answer in found] == [{"name": "a"}]


def test_a_refusal_is_an_answer() -> None:
    """With what is beside the error."""
    response = Refused(409, "code", "text", headers={"X": "y"}, more={"offset": 5}).response()

    assert (response.status, response.headers["X"]) == (409, "y")
    assert response.body == b'{"error":{"code":"code","message":"text"},"offset":5}\n'
