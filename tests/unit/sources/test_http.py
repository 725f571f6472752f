"""`HttpSource` against real sockets: what is sent, what an answer means, and what is left when it is over."""

import json
import re
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import Any

import aiohttp
import anyio
import pytest
from anyio.abc import SocketAttribute, SocketStream
from anyio.lowlevel import checkpoint

from streamproc.errors import ConfigError, SourceError, SourceUnavailable
from streamproc.protocols import PolledChunks, ReopeningSource, ResyncingSource, Source
from streamproc.sources._http import new_session
from streamproc.sources.assistants_resync import AssistantsResync
from streamproc.sources.http import HttpSource
from streamproc.sources.responses import ResponsesResume
from streamproc.testing.script import Action
from streamproc.testing.server import (
    Cut,
    Request,
    Reset,
    Response,
    ScriptedServer,
    Send,
    Stall,
    Wait,
    cut_at,
    json_response,
    reset_at,
    slices,
    stall_at,
)
from streamproc.testing.sources import check_source
from tests.loopback import in_loopback_time
from tests.streams import arguments, done, run, sse, step

STREAM = sse(run("created"), step("created"), arguments('{"a"'), arguments(":1}"), step("completed"), done())


async def read(source: Source, cursor: str | None = None) -> bytes:
    async with source.open(cursor) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def drain(chunks: AsyncIterator[bytes], into: list[bytes]) -> None:
    """Keep what came before an error."""
    while chunk := await anext(chunks, b""):
        into.append(chunk)


@asynccontextmanager
async def answering(*answers: Any) -> AsyncGenerator[ScriptedServer]:
    """A server that answers any request so."""
    async with ScriptedServer() as server:
        server.script(None, answers)
        yield server


# --- the request ------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_get_says_what_it_wants() -> None:
    """A stream is asked for, uncompressed and past all caches; without a cursor there is no Last-Event-ID."""
    async with answering(Response(STREAM)) as server:
        assert await read(HttpSource(f"{server.url}/stream?key=1")) == STREAM

    (request,) = server.requests
    assert (request.method, request.path, request.query) == ("GET", "/stream", {"key": "1"})
    assert request.headers["accept"] == "text/event-stream"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["cache-control"] == "no-cache"
    assert "last-event-id" not in request.headers


@pytest.mark.asyncio
async def test_cursor_goes_out_as_utf8() -> None:
    """An id is text; an empty one is none."""
    async with answering(Response(STREAM)) as server:
        source = HttpSource(server.url)
        await read(source, "4…2")
        await read(source, "")

    assert [request.headers.get("last-event-id") for request in server.requests] == ["4…2", None]


@pytest.mark.asyncio
@pytest.mark.parametrize("cursor", ["a\r\nX-Other: 1", "a\nb", "a\0b", "\ud83e"])
async def test_cursor_that_no_header_can_hold(cursor: str) -> None:
    """A hostile id cannot smuggle a header into the request; nothing is sent."""
    async with answering(Response(STREAM)) as server:
        with pytest.raises(SourceError, match="cannot be sent in a header"):
            await read(HttpSource(server.url), cursor)

    assert server.requests == []


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("given", "body", "kind"),
    [
        ({"json": {"stream": True}}, b'{"stream":true}', "application/json"),
        ({"json": [], "headers": {"content-type": "application/x"}}, b"[]", "application/x"),
        ({"body": b"\0"}, b"\0", "application/octet-stream"),
        ({"body": "ü"}, "ü".encode(), "application/octet-stream"),
    ],
)
async def test_post_carries_its_body(given: Mapping[str, Any], body: bytes, kind: str) -> None:
    """As JSON, as bytes or as text."""
    async with answering(Response(STREAM)) as server:
        assert await read(HttpSource(server.url, method="post", **given)) == STREAM

    (request,) = server.requests
    assert (request.method, request.body, request.headers["content-type"]) == ("POST", body, kind)


@pytest.mark.asyncio
async def test_credentials_are_sent_and_never_shown() -> None:
    """Header values, user name, password and query: not in repr, name or errors."""
    async with answering(Response(b"secret body", 403)) as server:
        url = server.url.replace("http://", "http://user:secret@") + "/path?key=secret"
        source = HttpSource(url, headers={"api-key": "secret"})
        with pytest.raises(SourceError) as caught:
            await read(source)

    (request,) = server.requests
    assert request.headers["authorization"] == "Basic dXNlcjpzZWNyZXQ="
    assert request.headers["api-key"] == "secret"
    host = server.url.removeprefix("http://")
    assert repr(source) == f"HttpSource(GET {server.url}/path, name='{host}/path')"
    assert str(caught.value) == f"{host} answered 403 (text/event-stream, 11 bytes read)"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.asyncio
async def test_session_of_the_caller_stays_open() -> None:
    """Its default headers are sent, and it serves the next stream too."""
    async with answering(Response(STREAM)) as server, aiohttp.ClientSession(headers={"X-Mine": "1"}) as session:
        source = HttpSource(server.url, session=session)
        assert await read(source) == STREAM
        assert await read(source) == STREAM
        assert not session.closed

    assert [request.headers["x-mine"] for request in server.requests] == ["1", "1"]


@pytest.mark.asyncio
async def test_own_sockets_ask_a_silent_peer_for_a_sign_of_life() -> None:
    """TCP keepalive, after 30 s where the platform can be told."""
    async with answering(Response(STREAM)) as server, new_session() as session, session.get(server.url) as response:
        assert response.connection is not None
        assert response.connection.transport is not None
        sock = response.connection.transport.get_extra_info("socket")

        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30


@pytest.mark.parametrize("url", ["", "stream", "/stream", "ftp://host/", "http://", "http://[", "http://h:99999/"])
def test_url_that_is_none_of_http(url: str) -> None:
    """Told when the source is made, without showing the URL."""
    with pytest.raises(ConfigError, match=r"^expected an absolute http or https URL, something else came$"):
        HttpSource(url)


def test_two_bodies_are_refused() -> None:
    """Which one would be sent?"""
    with pytest.raises(ConfigError, match="expected json or body"):
        HttpSource("http://host", json={}, body=b"")


# --- bytes ------------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
@pytest.mark.parametrize("size", [1, 7, 100_000])
async def test_bytes_come_complete(framing: Any, size: int) -> None:
    """However the server frames and slices them."""
    async with answering(Response(slices(STREAM, size), framing=framing)) as server:
        assert await read(HttpSource(server.url)) == STREAM


@pytest.mark.asyncio
async def test_line_longer_than_any_buffer() -> None:
    """No line reader takes part: a line of 2 MiB is no different from others."""
    data = b"data: " + b"x" * 2 * 1024 * 1024 + b"\n\n"
    async with answering(Response(data)) as server:
        assert await read(HttpSource(server.url)) == data


@pytest.mark.asyncio
async def test_bytes_are_handed_on_as_they_come() -> None:
    """What was sent is there before the next byte is."""
    async with answering(Response([Send(b"one"), Stall()])) as server, HttpSource(server.url).open(None) as chunks:
        assert await anext(chunks) == b"one"


@in_loopback_time
async def test_comments_are_a_sign_of_life() -> None:
    """A stream of heartbeats alone lasts longer than the idle time-out."""
    beats = [action for _ in range(10) for action in (Send(b":\n"), Wait(0.02))]
    async with answering(Response(beats)) as server:
        assert await read(HttpSource(server.url, idle_timeout_s=0.15)) == b":\n" * 10


@in_loopback_time
async def test_silent_peer_is_given_up() -> None:
    """What came is handed over first."""
    async with answering(Response(stall_at(STREAM, 100))) as server:
        source = HttpSource(server.url, idle_timeout_s=0.05)
        async with source.open(None) as chunks:
            assert await anext(chunks) == STREAM[:100]
            with pytest.raises(SourceUnavailable, match=r"sent nothing for 0\.05 s$"):
                await anext(chunks)


@in_loopback_time
async def test_silence_while_nobody_reads_does_not_count() -> None:
    """The idle time-out is for the server; a reader may take as long as it likes over a chunk."""
    async with answering(Response([Send(b"one"), Wait(0.15), Send(b"two")])) as server:
        source = HttpSource(server.url, idle_timeout_s=0.1)
        async with source.open(None) as chunks:
            assert await anext(chunks) == b"one"
            await anyio.sleep(0.2)
            assert await anext(chunks) == b"two"


async def polled(chunks: PolledChunks, patience: int = 50) -> tuple[bytes, bool]:
    """All that comes by polling until nothing has come for a while; and whether the stream has ended."""
    parts: list[bytes] = []
    silent = 0
    while silent < patience:
        chunk = chunks.poll()
        if chunk is None:
            return b"".join(parts), True
        silent = 0 if chunk else silent + 1
        parts.append(chunk)
        await anyio.sleep(0.001)
    return b"".join(parts), False


@in_loopback_time
async def test_polling_in_place_of_waiting() -> None:
    """As much as there is, far more than is held at a time; its end shows, and iterating finds it too."""
    body = [Send(bytes([number]) * 50_000) for number in range(60)]
    whole = b"".join(action.data for action in body)
    async with answering(Response(body)) as server, HttpSource(server.url).open(None) as chunks:
        assert isinstance(chunks, PolledChunks)
        first = await anext(chunks)
        rest, is_over = await polled(chunks)

        assert first + rest == whole
        assert is_over
        assert chunks.poll() is None
        assert await anext(chunks, None) is None


@in_loopback_time
async def test_polling_and_waiting_in_turn() -> None:
    """Neither gives anything again, nor leaves anything out; polling outlasts the idle time-out."""
    body = [action for number in range(8) for action in (Send(b"%d" % number), Wait(0.02))]
    parts: list[bytes | None] = []
    async with answering(Response(body)) as server, HttpSource(server.url, idle_timeout_s=0.1).open(None) as chunks:
        assert isinstance(chunks, PolledChunks)
        for _ in range(3):
            parts.append(await anext(chunks))
            for _ in range(25):
                parts.append(chunks.poll())
                await anyio.sleep(0.001)
        await anyio.sleep(0.2)
        parts += [chunk async for chunk in chunks]

    assert b"".join(part or b"" for part in parts) == b"01234567"


@in_loopback_time
@pytest.mark.parametrize("actions", [cut_at(STREAM, 100), reset_at(STREAM, 100)])
async def test_polling_a_broken_stream(actions: Any) -> None:
    """It gives what came; only iterating says why there is no more."""
    async with answering(Response(actions)) as server, HttpSource(server.url).open(None) as chunks:
        assert isinstance(chunks, PolledChunks)
        assert await polled(chunks) == (STREAM[:100], False)
        with pytest.raises(SourceUnavailable, match=r": Client(Payload|OS)Error"):
            await anext(chunks)


@in_loopback_time
async def test_peer_that_accepts_and_never_answers() -> None:
    """The wait for an answer is bounded too."""
    async with answering(Response([Stall()], status=None)) as server:
        with pytest.raises(SourceUnavailable, match="did not answer"):
            await read(HttpSource(server.url, idle_timeout_s=0.02, connect_timeout_s=0.03))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "response",
    [
        Response(cut_at(STREAM, 100)),
        Response(reset_at(STREAM, 100)),
        Response(cut_at(STREAM, 100), framing="length"),
        Response(reset_at(STREAM, 100), framing="length"),
    ],
)
@pytest.mark.parametrize("pause_s", [0.0, 0.06])
async def test_broken_stream_gives_what_came_and_says_so(response: Response, pause_s: float) -> None:
    """Also when the connection broke while nobody was reading."""
    async with answering(response) as server:
        parts: list[bytes] = []
        async with HttpSource(server.url).open(None) as chunks:
            await anyio.sleep(pause_s)
            with pytest.raises(SourceUnavailable, match=r": Client(Payload|OS)Error"):
                await drain(chunks, parts)
            with pytest.raises(SourceUnavailable):
                await anext(chunks)

    assert b"".join(parts) == STREAM[:100]


@in_loopback_time
async def test_framing_that_breaks_while_nobody_reads() -> None:
    """aiohttp has no error for that; what came is given all the same."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    broken: list[Action] = [Send(head + b"3\r\none\r\n"), Wait(0.02), Send(b"zz\r\n"), Cut()]
    async with answering(Response(broken, status=None)) as server, HttpSource(server.url).open(None) as chunks:
        await anyio.sleep(0.1)
        assert await anext(chunks) == b"one"
        with pytest.raises(SourceUnavailable, match=r":\d+: Connection closed\.$"):
            await anext(chunks)


@pytest.mark.asyncio
@pytest.mark.parametrize("actions", [cut_at(STREAM, 100), reset_at(STREAM, 100)])
async def test_end_of_an_unframed_body_looks_like_any_end(actions: Any) -> None:
    """HTTP cannot tell (and aiohttp does not, by a reset): whether a stream is complete is for who knows its events."""
    async with answering(Response(actions, framing="close")) as server:
        assert await read(HttpSource(server.url)) == STREAM[:100]


# --- answers that are no stream ---------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 599])
async def test_status_that_another_attempt_may_change(status: int) -> None:
    """The error names host, status, MIME type and size."""
    async with answering(Response(b"x" * 5000, status, content_type="text/html; charset=x")) as server:
        with pytest.raises(SourceUnavailable) as caught:
            await read(HttpSource(server.url))

    host = server.url.removeprefix("http://")
    assert caught.value.reason == f"{host} answered {status} (text/html, 2048 bytes read)"
    assert caught.value.retry_after_s is None


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [201, 206, 300, 400, 401, 403, 404, 410, 422, 451])
async def test_status_that_stays(status: int) -> None:
    """No further attempt can succeed."""
    async with answering(Response(b"", status, content_type=None)) as server:
        with pytest.raises(SourceError, match=rf"answered {status} \(no MIME type, 0 bytes read\)$") as caught:
            await read(HttpSource(server.url))

    assert type(caught.value) is SourceError


@pytest.mark.asyncio
async def test_204_ends_the_stream_for_good() -> None:
    """No byte, no error, and no further attempt."""
    async with answering(Response(b"", 204, content_type=None, framing="close")) as server:
        source = HttpSource(server.url)
        assert await read(source) == b""
        assert (source.resumable, source.repeatable) == (False, False)
        for cursor in ("1", None):
            with pytest.raises(SourceError, match="must not be sent again"):
                await read(source, cursor)

    assert len(server.requests) == 1


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("999999999999", 3600.0),
        ("Tue, 24 Nov 2026 00:00:30 GMT", 30.0),
        ("Tue, 24 Nov 2026 00:00:30 -0000", 30.0),
        ("Mon, 23 Nov 2026 00:00:00 GMT", 0.0),
        ("Tue, 24 Nov 2099 00:00:30 GMT", 3600.0),
        ("-1", None),
        ("1.5", None),
        ("\u0661", None),
        ("soon", None),
        ("", None),
    ],
)
async def test_retry_after(value: str, wait_s: float | None) -> None:
    """Seconds or a date, never negative, and no longer than an hour; anything else is ignored."""
    async with answering(Response(b"", 503, {"Retry-After": value})) as server:
        with pytest.raises(SourceUnavailable) as caught:
            await read(HttpSource(server.url, now=lambda: 1795478400.0))

    assert caught.value.retry_after_s == wait_s


@pytest.mark.asyncio
@pytest.mark.parametrize("kind", ["text/event-stream;", "Text/Event-Stream", "text/event-stream ; charset=latin-1"])
async def test_mime_type_with_parameters(kind: str) -> None:
    """Case and parameters do not matter."""
    async with answering(Response(STREAM, content_type=kind)) as server:
        assert await read(HttpSource(server.url)) == STREAM


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("text/html", "text/html"),
        ("text/x-bogus", "text/x-bogus"),
        ("x bogus", "no MIME type"),
        ("text/event-stream, text/html", "no MIME type"),
        ("secret/" + "x" * 99, "no MIME type"),
        (None, "no MIME type"),
    ],
)
async def test_mime_type_of_something_else(kind: str | None, shown: str) -> None:
    """It is not parsed; a value that is no MIME type is not shown either."""
    async with answering(Response(b"<html>", content_type=kind)) as server:
        with pytest.raises(SourceError, match=rf"^expected text/event-stream from \S+, {shown} came \(6 bytes read\)$"):
            await read(HttpSource(server.url))


@in_loopback_time
async def test_prefix_of_an_answer_that_never_ends_or_breaks() -> None:
    """Its size is worth a moment, not more; and it does not hide the answer."""
    async with answering(Response(cut_at(b"x", 1), 400), Response(stall_at(b"xy", 2), 400)) as server:
        source = HttpSource(server.url, idle_timeout_s=0.05)
        for size in (1, 2):
            with pytest.raises(SourceError, match=rf"answered 400 \(text/event-stream, {size} bytes read\)"):
                await read(source)


@pytest.mark.asyncio
@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip"])
async def test_compressed_stream_is_refused(encoding: str) -> None:
    """It was not asked for, and could be of any size."""
    async with answering(Response(STREAM, headers={"Content-Encoding": encoding})) as server:
        with pytest.raises(SourceError, match="without Content-Encoding"):
            await read(HttpSource(server.url))


@pytest.mark.asyncio
@pytest.mark.parametrize("encoding", ["identity", "Identity", ""])
async def test_identity_encoding_is_none(encoding: str) -> None:
    """Some servers say it."""
    async with answering(Response(STREAM, headers={"Content-Encoding": encoding})) as server:
        assert await read(HttpSource(server.url)) == STREAM


# --- connections that fail --------------------------------------------------------------------------------------------


@contextmanager
def deaf_port() -> Iterator[int]:
    """Bound, so that nobody else has it, and not listening."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()[1]


@pytest.mark.asyncio
async def test_refused_connection() -> None:
    """The host is named, the query is not."""
    with deaf_port() as port, pytest.raises(SourceUnavailable) as caught:
        await read(HttpSource(f"http://127.0.0.1:{port}/?key=secret"))

    assert re.fullmatch(rf"127\.0\.0\.1:{port}: ClientConnectorError \(.+\)", str(caught.value))
    assert "secret" not in str(caught.value)


@pytest.mark.asyncio
async def test_host_without_an_address() -> None:
    """A name may be known a moment later."""
    with pytest.raises(SourceUnavailable, match=r"^no-such-host\.invalid: ClientConnectorDNSError"):
        await read(HttpSource("http://no-such-host.invalid/"))


@pytest.mark.asyncio
async def test_address_that_no_connection_can_have() -> None:
    """aiohttp finds out when it connects; it stays so."""
    with pytest.raises(SourceError, match="InvalidUrlClientError") as caught:
        await read(HttpSource("http://127.1/?key=secret"))

    assert type(caught.value) is SourceError
    assert "secret" not in str(caught.value)


@pytest.mark.asyncio
async def test_tls_with_a_server_that_speaks_none() -> None:
    """Perhaps a proxy that is starting up."""

    async def answer(stream: SocketStream) -> None:
        async with stream:
            await stream.send(b"HTTP/1.1 400 No TLS\r\n\r\n")
            await stream.receive()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, answer)
        port = listener.extra(SocketAttribute.local_port)
        with pytest.raises(SourceUnavailable, match=r"^127\.0\.0\.1:\d+: ClientConnectorSSLError"):
            await read(HttpSource(f"https://127.0.0.1:{port}/"))
        tasks.cancel_scope.cancel()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "actions",
    [[Cut()], [Reset()], [Send(b"HTTP/1.1 200 OK\r\n"), Cut()], [Send(b"\x15\x03\x01 secret\r\n\r\n"), Cut()]],
)
async def test_server_that_hangs_up_before_it_answers(actions: Any) -> None:
    """Or answers with what is no HTTP; its bytes are not shown."""
    async with answering(Response(actions, status=None)) as server:
        with pytest.raises(SourceUnavailable) as caught:
            await read(HttpSource(server.url))

    assert "secret" not in str(caught.value)


# --- again ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, True),
        ({"idempotent": False}, False),
        ({"method": "POST"}, False),
        ({"method": "POST", "idempotent": True}, True),
        ({"method": "PUT"}, False),
    ],
)
def test_what_a_further_open_does(given: Mapping[str, Any], expected: bool) -> None:
    """A GET is repeatable and resumable; anything else only by the word of the caller."""
    source = HttpSource("http://host/path", **given)

    assert isinstance(source, ReopeningSource)
    assert (source.repeatable, source.resumable) == (expected, expected)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "first", [Response(STREAM), Response(cut_at(STREAM, 9)), Response(b"", 500), Response(b"", 409)]
)
async def test_post_is_never_sent_twice(first: Response) -> None:
    """Not even when somebody tries: it could start a second run."""
    async with answering(first, Response(STREAM)) as server:
        source = HttpSource(server.url, method="POST")
        with pytest.raises(SourceError) if first.body != STREAM else nullcontext():
            await read(source)
        for cursor in (None, "1"):
            with pytest.raises(SourceError, match="this POST must not be sent again"):
                await read(source, cursor)

    assert len(server.requests) == 1


@pytest.mark.asyncio
async def test_post_that_surely_started_nothing_is_repeatable_once_more() -> None:
    """There was no connection, or the server said 429: then a run cannot have begun."""
    with deaf_port() as port:
        source = HttpSource(f"http://127.0.0.1:{port}", method="POST")
        with pytest.raises(SourceUnavailable):
            await read(source)
    assert source.repeatable
    assert not source.resumable

    async with answering(Response(b"", 429, {"Retry-After": "1"}), Response(STREAM)) as server:
        source = HttpSource(server.url, method="POST")
        with pytest.raises(SourceUnavailable):
            await read(source)
        assert source.repeatable
        assert await read(source) == STREAM
        assert not source.repeatable


@pytest.mark.asyncio
async def test_idempotent_post_is_sent_again() -> None:
    """With its body."""
    async with answering(Response(cut_at(STREAM, 9)), Response(STREAM)) as server:
        source = HttpSource(server.url, method="POST", json={"a": 1}, idempotent=True)
        with pytest.raises(SourceUnavailable):
            await read(source)
        assert await read(source, "7") == STREAM

    assert [request.body for request in server.requests] == [b'{"a":1}', b'{"a":1}']


def test_resync_is_there_only_when_it_was_given() -> None:
    """So that `isinstance` tells the pipeline."""
    resync = AssistantsResync("http://host")

    assert not isinstance(HttpSource("http://host"), ResyncingSource)
    source = HttpSource("http://host", resync=resync)
    assert isinstance(source, ResyncingSource)
    assert source.resync == resync.resync


# --- resuming at another address --------------------------------------------------------------------------------------


def posting(server: ScriptedServer, **given: Any) -> HttpSource:
    """A POST whose stream can be resumed."""
    return HttpSource(f"{server.url}/responses", method="POST", resume=ResponsesResume(), **given)


@pytest.mark.asyncio
async def test_post_goes_on_with_a_get() -> None:
    """Without a body and what describes one, without Last-Event-ID; with all other headers of the caller."""
    async with answering(Response(cut_at(STREAM, 100)), Response(STREAM[100:])) as server:
        headers = {"api-key": "k", "content-type": "application/json", "Content-Encoding": "gzip"}
        url = server.url.replace("http://", "http://user:secret@")
        source = HttpSource(
            f"{url}/responses", method="POST", body=b"{}", headers=headers, resume=ResponsesResume(), name="s"
        )
        assert isinstance(source, ReopeningSource)
        assert (source.resumable, source.repeatable) == (True, False)
        with pytest.raises(SourceUnavailable):
            await read(source)
        assert await read(source, "resp_1/7") == STREAM[100:]

    post, get = server.requests
    assert (post.method, post.path, post.body, post.headers["content-encoding"]) == (
        "POST",
        "/responses",
        b"{}",
        "gzip",
    )
    assert (get.method, get.path, get.body) == ("GET", "/responses/resp_1", b"")
    assert get.query == {"stream": "true", "starting_after": "7"}
    for request in (post, get):
        assert request.headers["api-key"] == "k"
        assert request.headers["authorization"] == "Basic dXNlcjpzZWNyZXQ="
        assert request.headers["accept"] == "text/event-stream"
    unwanted = ("content-type", "content-encoding", "content-length", "transfer-encoding", "last-event-id")
    assert [name for name in unwanted if name in get.headers] == []


@pytest.mark.asyncio
async def test_resuming_sends_json_without_its_type() -> None:
    """The Content-Type that the source added for the body of the POST stays with it."""
    async with answering(Response(STREAM)) as server:
        source = posting(server, json={"stream": True})
        await read(source)
        await read(source, "resp_1/0")

    assert [request.headers.get("content-type") for request in server.requests] == ["application/json", None]


@pytest.mark.asyncio
async def test_resuming_uses_the_session_of_the_caller() -> None:
    """With its default headers."""
    async with answering(Response(STREAM)) as server, aiohttp.ClientSession(headers={"X-Mine": "1"}) as session:
        source = posting(server, session=session)
        await read(source)
        await read(source, "resp_1/0")

    assert [request.headers["x-mine"] for request in server.requests] == ["1", "1"]


@pytest.mark.asyncio
async def test_stream_that_somebody_else_began() -> None:
    """The first request may be a resume, as after a restart of the program; then nothing is begun."""
    async with answering(Response(STREAM)) as server:
        source = posting(server)
        assert await read(source, "resp_1/7") == STREAM
        with pytest.raises(SourceError, match="this POST must not be sent again"):
            await read(source)

    assert [request.method for request in server.requests] == ["GET"]


@pytest.mark.asyncio
async def test_post_is_not_sent_again_because_it_can_be_resumed() -> None:
    """Neither without a cursor nor with an empty one."""
    async with answering(Response(cut_at(STREAM, 9)), Response(STREAM)) as server:
        source = posting(server)
        with pytest.raises(SourceUnavailable):
            await read(source)
        for cursor in (None, ""):
            with pytest.raises(SourceError, match="this POST must not be sent again"):
                await read(source, cursor)

    assert len(server.requests) == 1


@pytest.mark.asyncio
async def test_resume_that_surely_started_nothing_does_not_make_the_post_repeatable() -> None:
    """It was the POST that started something: a 429 or a lost host says so of the resume alone."""
    async with answering(Response(cut_at(STREAM, 9)), Response(b"", 429)) as server:
        source = posting(server)
        for cursor in (None, "resp_1/0"):
            with pytest.raises(SourceUnavailable):
                await read(source, cursor)
        assert (source.resumable, source.repeatable) == (True, False)

    with pytest.raises(SourceUnavailable, match="ClientConnectorError"):
        await read(source, "resp_1/0")
    assert (source.resumable, source.repeatable) == (True, False)


@pytest.mark.asyncio
async def test_get_with_an_address_to_resume_at() -> None:
    """It is repeated as it is, and resumed there."""
    async with answering(Response(STREAM)) as server:
        source = HttpSource(
            f"{server.url}/responses/resp_1?stream=true", resume=ResponsesResume(f"{server.url}/responses")
        )
        assert (source.resumable, source.repeatable) == (True, True)
        for cursor in (None, "resp_1/2", None):
            await read(source, cursor)

    assert {request.path for request in server.requests} == {"/responses/resp_1"}
    assert [request.query.get("starting_after") for request in server.requests] == [None, "2", None]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (json_response({}, 400), SourceError),
        (json_response({}, 404), SourceError),
        (json_response({}), SourceError),
        (Response(b"", 429), SourceUnavailable),
        (Response(b"", 503), SourceUnavailable),
    ],
)
async def test_resume_that_is_refused(answer: Response, error: type[SourceError]) -> None:
    """For good when the response is no longer kept, or the server answers with its state; else for now."""
    async with answering(Response(STREAM), answer) as server:
        source = posting(server)
        await read(source)
        with pytest.raises(SourceError) as caught:
            await read(source, "resp_1/0")

    assert type(caught.value) is error


@pytest.mark.asyncio
async def test_204_to_a_resume_ends_the_stream_for_good() -> None:
    """As to any request."""
    async with answering(Response(STREAM), Response(b"", 204, content_type=None, framing="close")) as server:
        source = posting(server)
        await read(source)
        assert await read(source, "resp_1/0") == b""
        assert (source.resumable, source.repeatable) == (False, False)
        with pytest.raises(SourceError, match="must not be sent again"):
            await read(source, "resp_1/0")

    assert len(server.requests) == 2


@pytest.mark.asyncio
async def test_redirect_of_a_resume() -> None:
    """It is followed like that of any GET: credentials stay with the origin that they are for."""
    async with answering(Response(STREAM)) as other, ScriptedServer() as server:
        server.script("/responses", [Response(STREAM)], method="POST")
        server.script("/responses/resp_1", [Response(b"", 307, {"Location": "/moved"})])
        server.script("/moved", [Response(b"", 307, {"Location": f"{other.url}/third?starting_after=7"})])
        source = posting(server, headers={"api-key": "secret", "Authorization": "secret"}, json={})
        await read(source)
        assert await read(source, "resp_1/7") == STREAM

    assert [(request.method, request.headers["api-key"]) for request in server.requests] == [
        ("POST", "secret"),
        ("GET", "secret"),
        ("GET", "secret"),
    ]
    (third,) = other.requests
    assert (third.method, third.path, third.query, third.body) == ("GET", "/third", {"starting_after": "7"}, b"")
    assert "secret" not in json.dumps(dict(third.headers))


def resumed_response(request: Request) -> Response:
    """Five events, their ids being cursors; the ones after the given one."""
    after = int(request.query.get("starting_after", 0))
    return Response(b"".join(b"id: resp_1/%d\ndata: %d\n\n" % (n, n) for n in range(after + 1, 6)))


@pytest.mark.asyncio
async def test_contract_of_a_post_that_can_be_resumed() -> None:
    """As checked for any source, resuming included."""
    async with answering(resumed_response) as server:
        expected = b"".join(b"id: resp_1/%d\ndata: %d\n\n" % (n, n) for n in range(1, 6))
        await check_source(lambda: posting(server), expected)

    assert {(request.method, request.path) for request in server.requests} == {
        ("POST", "/responses"),
        ("GET", "/responses/resp_1"),
    }


# --- redirects --------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("given", ["mine", None])
async def test_redirect_to_another_origin_takes_no_credentials_along(status: int, given: str | None) -> None:
    """Neither the source's headers nor the defaults of the caller's session, whatever they are called."""
    async with answering(Response(STREAM)) as other, ScriptedServer() as server:
        server.script("/first", [Response(b"", status, {"Location": "/second"})])
        server.script("/second", [Response(b"", status, {"Location": f"{other.url}/third"})])
        async with aiohttp.ClientSession(headers={"X-Session": "secret"}) as session:
            source = HttpSource(
                f"{server.url}/first",
                headers={"api-key": "secret", "Authorization": "secret"},
                session=session if given else None,
            )
            assert await read(source, "5") == STREAM

    assert [request.headers["api-key"] for request in server.requests] == ["secret", "secret"]
    (third,) = other.requests
    assert third.path == "/third"
    assert third.headers["last-event-id"] == "5"
    assert "secret" not in json.dumps(dict(third.headers))


@pytest.mark.asyncio
async def test_credentials_in_a_redirect_are_not_used() -> None:
    """They would stand beside the caller's own, and the client takes no two."""
    async with ScriptedServer() as server:
        target = server.url.replace("http://", "http://user:password@")
        server.script("/first", [Response(b"", 302, {"Location": f"{target}/second"})])
        server.script("/second", [Response(STREAM)])
        assert await read(HttpSource(f"{server.url}/first", headers={"Authorization": "own"})) == STREAM

    assert [request.headers["authorization"] for request in server.requests] == ["own", "own"]


@pytest.mark.asyncio
async def test_redirect_of_a_post_is_not_followed() -> None:
    """It would send the body once more."""
    async with answering(Response(b"", 307, {"Location": "/second"})) as server:
        with pytest.raises(SourceError, match="answered 307"):
            await read(HttpSource(server.url, method="POST"))

    assert len(server.requests) == 1


@pytest.mark.asyncio
async def test_redirects_without_end() -> None:
    """Ten are enough."""
    async with answering(Response(b"", 302, {"Location": "/"})) as server:
        with pytest.raises(SourceError, match="more than 10 redirects"):
            await read(HttpSource(server.url))

    assert len(server.requests) == 11


@pytest.mark.asyncio
@pytest.mark.parametrize("location", ["", "ftp://host/", "file:///etc/passwd", "http://["])
async def test_redirect_to_nowhere(location: str) -> None:
    """Only HTTP is followed."""
    async with answering(Response(b"", 302, {"Location": location})) as server:
        with pytest.raises(SourceError, match="redirects to no HTTP address"):
            await read(HttpSource(server.url))


# --- the contract -----------------------------------------------------------------------------------------------------


def resumed(request: Request) -> Response:
    """Five events with ids; the ones after the cursor."""
    after = int(request.headers.get("last-event-id", 0))
    return Response(b"".join(b"id: %d\ndata: %d\n\n" % (n, n) for n in range(after + 1, 6)))


@in_loopback_time
async def test_contract_of_a_source() -> None:
    """As checked for any source: bytes, reopening, resuming, and nothing left after leaving or cancelling."""
    async with ScriptedServer() as server:
        server.script("/stream", [resumed])
        server.script("/gone", [Response(b"", 404)])
        server.script("/broken", [Response(cut_at(STREAM, 50))])
        expected = b"".join(b"id: %d\ndata: %d\n\n" % (n, n) for n in range(1, 6))
        failing = [lambda: HttpSource(f"{server.url}/gone"), lambda: HttpSource(f"{server.url}/broken")]
        await check_source(lambda: HttpSource(f"{server.url}/stream"), expected, failing=failing)
        await check_source(lambda: HttpSource(f"{server.url}/stream", method="POST"), expected)


@pytest.mark.asyncio
async def test_cancelling_a_wait_closes_the_connection() -> None:
    """The server sees it, and a session that was given stays usable."""
    async with answering(Response([Send(b"one"), Stall()])) as server, aiohttp.ClientSession() as session:
        with anyio.CancelScope() as scope:
            async with HttpSource(server.url, session=session).open(None) as chunks:
                assert await anext(chunks) == b"one"
                scope.cancel()
                await anext(chunks)
        assert scope.cancelled_caught
        await checkpoint()

        assert not session.closed
        assert session.connector is not None
        assert not getattr(session.connector, "_acquired", None)
