"""The proxy on the wire: what passes, byte for byte and piece by piece, and what each end does to the other."""

import zlib
from contextlib import AsyncExitStack
from random import Random
from typing import Any

import aiohttp
import anyio
import pytest
from structlog.testing import capture_logs

from streamproc import Pipeline
from streamproc.errors import ConfigError
from streamproc.worker.proxy import Proxy
from tests.streams import arguments, call, done, run, sse, step
from tests.unit.worker.wire import LIMIT_S, Peer, Seen, between, connected, exchange, get, listening, parsed, proxied

pytestmark = pytest.mark.asyncio

OPENING = sse(run("created"), step("created"), arguments("a"))
ENDING = sse(arguments("b"), step("completed", "step_1", call("ab")), run("completed"), done())
WHOLE = OPENING + ENDING


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def replying(*pieces: bytes) -> Any:
    """An upstream that reads a request head and then sends all this."""

    async def serve(peer: Peer) -> None:
        await peer.head()
        for piece in pieces:
            await peer.send(piece)

    return serve


async def both(*pieces: bytes, request: bytes = get(), **options: Any) -> tuple[Seen, Seen]:
    """What a client gets of an answer directly, and through the proxy."""
    async with between(replying(*pieces), **options) as (upstream, proxy):
        return parsed(await exchange(upstream, request)), parsed(await exchange(proxy, request))


# --- what passes ------------------------------------------------------------------------------------------------------

ANSWERS = {
    "length": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\nX-A: 1\r\n\r\nhi",
    "chunked": b"HTTP/1.1 200 OK\r\nConnection: close\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
    "close": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhi",
    "old": b"HTTP/1.0 200 OK\r\nServer: old\r\nConnection: close\r\n\r\nhi",
    "duplicates": b"HTTP/1.1 200 OK\r\nconnection: close\r\nSet-Cookie: a=1\r\nx-y: 1\r\nset-cookie: b=2\r\n\r\n",
    "spelling": b"HTTP/1.1 200 OK\r\nCONNECTION: Close\r\nX-oPeNaI: A\r\nContent-LENGTH: 0\r\n\r\n",
    "no-reason": b"HTTP/1.1 299 \r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    "reason": b"HTTP/1.1 418 I'm a teapot\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    "latin-1": b"HTTP/1.1 200 OK\r\nConnection: close\r\nX-Name: caf\xe9\r\nContent-Length: 0\r\n\r\n",
    "empty-value": b"HTTP/1.1 200 OK\r\nConnection: close\r\nX-Empty:\r\nContent-Length: 0\r\n\r\n",
    "no-content": b"HTTP/1.1 204 No Content\r\nConnection: close\r\nX-A: 1\r\n\r\n",
    "not-modified": b'HTTP/1.1 304 Not Modified\r\nConnection: close\r\nETag: "x"\r\nContent-Length: 9\r\n\r\n',
    "redirect": b"HTTP/1.1 307 Away\r\nConnection: close\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n",
    "too-many": b"HTTP/1.1 429 Slow\r\nConnection: close\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\n{}",
    "binary": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 6\r\n\r\n\0\r\n\r\n\xff",
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_answer_is_the_same(name: str) -> None:
    """Status line, header list and body, framing included."""
    direct, through = await both(ANSWERS[name])

    old = direct.line.replace(b"HTTP/1.0", b"HTTP/1.1")
    assert through == Seen(old, [(n, v.lower() if n == b"CONNECTION" else v) for n, v in direct.headers], direct.body)


@pytest.mark.parametrize("name", ["length", "chunked"])
async def test_answer_to_head_is_the_same(name: str) -> None:
    """Headers that speak of a body, and none."""
    head = ANSWERS[name].partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    direct, through = await both(head, request=get(method="HEAD"))

    assert through == direct


async def test_headers_for_one_connection_stay_there() -> None:
    """Those of the upstream's connection, whatever it names, and nothing else."""
    head = b"HTTP/1.1 200 OK\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nUpgrade: h2c\r\n"
    tail = b"Proxy-Authenticate: Basic\r\nTrailer: X-T\r\nX-Stays: 1\r\nContent-Length: 2\r\n\r\nhi"
    _, through = await both(head + tail)

    assert through.headers == [(b"Connection", b"close"), (b"X-Stays", b"1"), (b"Content-Length", b"2")]


async def asked(request: bytes, **options: Any) -> bytes:
    """What arrives at the upstream for a request: its head, and what came with it."""
    seen: list[bytes] = []

    async def serve(peer: Peer) -> None:
        head = await peer.head()
        if b"chunked" in head.lower():
            head += await peer.until(b"0\r\n\r\n")
        elif b"content-length: " in head.lower():
            head += await peer.exactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        seen.append(head)
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with between(serve, **options) as (upstream, proxy):
        answer = await exchange(proxy, request)
        (found,) = seen

        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        return found.replace(upstream.removeprefix("http://").encode(), b"UPSTREAM")


async def test_request_is_the_same() -> None:
    """Target and headers as they came; Host is the upstream's, and what is for one connection is missing."""
    head = [
        "POST /v1/a%2Fb/../c?q=%20&x=1+2 HTTP/1.1",
        "Host: api.example.com",
        "Authorization: Bearer sk-1",
        "X-Twice: 1",
        "Connection: close, X-Hop",
        "X-Hop: 1",
        "TE: trailers",
        "Proxy-Authorization: Basic eA==",
        "accept-ENCODING: br, gzip",
        "x-twice: 2",
        "Content-Length: 5",
    ]
    found = await asked("\r\n".join([*head, "", "hello"]).encode())

    assert found.decode().split("\r\n") == [
        "POST /v1/a%2Fb/../c?q=%20&x=1+2 HTTP/1.1",
        "Host: UPSTREAM",
        "Authorization: Bearer sk-1",
        "X-Twice: 1",
        "accept-ENCODING: br, gzip",
        "X-Twice: 2",
        "Content-Length: 5",
        "",
        "hello",
    ]


async def test_request_without_headers_gets_none() -> None:
    """aiohttp's own ones are held back."""
    assert await asked(get("/x")) == b"GET /x HTTP/1.1\r\nHost: UPSTREAM\r\n\r\n"


async def test_request_in_chunks_goes_on_in_chunks() -> None:
    """Their extensions end with the connection."""
    request = get("/x", "Transfer-Encoding: chunked", method="POST", body="3;x=1\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
    head, _, body = (await asked(request)).partition(b"\r\n\r\n")

    assert b"transfer-encoding: chunked" in head.lower()
    assert body in (b"5\r\nabcde\r\n0\r\n\r\n", b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")


async def test_upstream_with_a_path() -> None:
    """Paths are added to it."""
    seen: list[bytes] = []

    async def serve(peer: Peer) -> None:
        seen.append(await peer.until(b"\r\n"))
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with listening(serve) as upstream, proxied(f"{upstream}/base/") as (proxy, _):
        await exchange(proxy.url, get("/v1/x?y=1"))

    assert seen == [b"GET /base/v1/x?y=1 HTTP/1.1\r\n"]


async def test_connection_serves_several_requests() -> None:
    """One after the other, on both sides."""
    connections: list[Peer] = []

    async def serve(peer: Peer) -> None:
        connections.append(peer)
        for number in range(3):
            await peer.head()
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d" % number)

    request = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    async with between(serve) as (_, proxy), connected(proxy) as client:
        bodies: list[bytes] = []
        for _ in range(3):
            await client.send(request)
            await client.head()
            bodies.append(await client.exactly(1))

    assert (bodies, len(connections)) == ([b"0", b"1", b"2"], 1)


async def test_old_client_gets_no_chunks() -> None:
    """HTTP/1.0 knows none; the end of the connection ends the body."""
    async with between(replying(ANSWERS["chunked"])) as (_, proxy):
        seen = parsed(await exchange(proxy, b"GET / HTTP/1.0\r\n\r\n"))

    assert seen == (b"HTTP/1.1 200 OK", [(b"Connection", b"close")], b"hi")


# --- piece by piece ---------------------------------------------------------------------------------------------------


async def test_each_chunk_arrives_before_the_next_is_sent() -> None:
    """The upstream waits until the client has what it sent; the head comes before any body."""
    received = anyio.Event()

    async def serve(peer: Peer) -> None:
        nonlocal received
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(20):
            await received.wait()
            received = anyio.Event()
            await peer.send(chunk(b"data: %d\n\n" % number))
        await received.wait()
        await peer.send(b"0\r\n\r\n")

    async with between(serve) as (_, proxy), connected(proxy) as client:
        await client.send(get())
        await client.head()
        received.set()
        for number in range(20):
            expected = chunk(b"data: %d\n\n" % number)
            assert await client.exactly(len(expected)) == expected
            received.set()

        assert await client.rest() == b"0\r\n\r\n"


async def test_each_piece_of_a_request_arrives_before_the_next_is_sent() -> None:
    """An upload is passed on while it comes, before its end is known."""
    received = anyio.Event()

    async def serve(peer: Peer) -> None:
        await peer.head()
        for _ in range(10):
            await peer.exactly(5)
            received.set()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with between(serve) as (_, proxy), connected(proxy) as client:
        await client.send(get("/", "Content-Length: 50", method="POST"))
        for _ in range(10):
            received = anyio.Event()
            await client.send(b"12345")
            await received.wait()

        assert (await client.head()).startswith(b"HTTP/1.1 200 OK")


PIECE = bytes(1024 * 1024)
MUCH = 1024  # pieces, far more than all buffers of the systems between


async def stalled(sent: list[int]) -> int:
    """Return how much has been sent, once it is no more for a while."""
    before = -1
    while before != len(sent):
        before = len(sent)
        await anyio.sleep(0.2)
    return before


@pytest.mark.slow
async def test_slow_client_slows_the_upstream_down() -> None:
    """What the systems' buffers do not hold stays with the upstream."""
    sent: list[int] = []

    async def serve(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        for number in range(MUCH):
            await peer.send(PIECE)
            sent.append(number)

    async with between(serve) as (_, proxy), connected(proxy) as client:
        await client.send(get())
        await client.head()
        pieces = await stalled(sent)

    assert 0 < pieces < MUCH // 4


@pytest.mark.slow
async def test_slow_upstream_slows_the_client_down() -> None:
    """An upload that nobody reads does not fill the proxy."""
    sent: list[int] = []

    async def serve(peer: Peer) -> None:
        await peer.head()
        await anyio.sleep_forever()

    async def upload(client: Peer) -> None:
        for number in range(MUCH):
            await client.send(PIECE)
            sent.append(number)

    async with between(serve) as (_, proxy), connected(proxy) as client, anyio.create_task_group() as group:
        await client.send(get("/", f"Content-Length: {MUCH * len(PIECE)}", method="POST"))
        group.start_soon(upload, client)
        await stalled(sent)
        group.cancel_scope.cancel()

    assert 0 < len(sent) < MUCH // 4


async def test_client_waits_for_100_until_the_upstream_says_it() -> None:
    """The expectation goes all the way, and so does the answer."""
    order: list[str] = []

    async def serve(peer: Peer) -> None:
        head = await peer.head()
        order.append("head" if b"Expect: 100-continue" in head else "no expectation")
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        order.append((await peer.exactly(2)).decode())
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with between(serve) as (_, proxy), connected(proxy) as client:
        await client.send(get("/", "Expect: 100-continue", "Content-Length: 2", method="POST"))
        interim = await client.head()
        order.append("100")
        await client.send(b"hi")
        final = await client.head()

    assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert final.startswith(b"HTTP/1.1 200 OK\r\n")
    assert order == ["head", "100", "hi"]


async def test_upstream_refuses_before_100() -> None:
    """The client never sends its body."""
    answer = b"HTTP/1.1 417 No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    async with between(replying(answer)) as (_, proxy):
        seen = await exchange(proxy, get("/", "Expect: 100-continue", "Content-Length: 2", method="POST"))

    assert seen == answer


# --- ends -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_client_that_leaves_cancels_the_request(how: str) -> None:
    """The upstream's connection ends at once, in the middle of a stream."""
    gone = anyio.Event()

    async def serve(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"x"))
        await peer.gone()
        gone.set()

    async with between(serve) as (_, proxy):
        async with connected(proxy) as client:
            await client.send(get())
            await client.until(b"x")
            await getattr(client, how)()
        with anyio.fail_after(1):
            await gone.wait()

    assert gone.is_set()


async def test_client_that_leaves_before_the_answer_cancels_the_request() -> None:
    """The same while the upstream thinks."""
    asked, gone = anyio.Event(), anyio.Event()

    async def serve(peer: Peer) -> None:
        await peer.head()
        asked.set()
        await peer.gone()
        gone.set()

    async with listening(serve) as upstream, proxied(upstream) as (proxy, _):
        async with connected(proxy.url) as client:
            await client.send(get())
            await asked.wait()
        with anyio.fail_after(1):
            await gone.wait()
    statistics = proxy.statistics()

    assert (statistics.client_disconnects, statistics.active) == (1, 0)


BROKEN = {
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    "in-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello",
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
    "bad-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nZZ\r\n",
}


@pytest.mark.parametrize("name", BROKEN)
async def test_answer_that_breaks_off_breaks_off(name: str) -> None:
    """What came arrives; there is no last chunk, and the length is not reached."""
    head, _, body = BROKEN[name].partition(b"\r\n\r\n")
    received = anyio.Event()

    async def serve(peer: Peer) -> None:
        await peer.head()
        await peer.send(head + b"\r\n\r\n")
        await received.wait()  # aiohttp would forget the head of an answer that is wrong in the same segment
        await peer.send(body)

    async with between(serve) as (_, proxy), connected(proxy) as client:
        await client.send(get())
        came = await client.head()
        received.set()
        seen = parsed(came + await client.rest())

    assert seen.body in (b"5\r\nhello\r\n", b"hello")
    assert (b"Content-Length", b"9") in seen.headers or seen.body.startswith(b"5")


@pytest.mark.parametrize("name", [*BROKEN, "close"])
async def test_reset_is_a_reset(name: str) -> None:
    """Not a clean end, which for a body that ends with its connection would be a lie."""
    answer = BROKEN.get(name, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhello")
    received = anyio.Event()

    async def serve(peer: Peer) -> None:
        await peer.head()
        await peer.send(answer.removesuffix(b"ZZ\r\n"))
        await received.wait()
        await peer.reset()

    async with between(serve) as (_, proxy), connected(proxy) as client:
        await client.send(get())
        await client.until(b"hello")
        received.set()
        with pytest.raises(anyio.BrokenResourceError):
            await client.rest()


async def test_reset_after_a_complete_answer_is_not_felt() -> None:
    """It is the upstream's way to close."""
    gone = anyio.Event()

    async def serve(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        await peer.reset()
        gone.set()

    async with between(serve) as (_, proxy):
        bodies = [parsed(await exchange(proxy, get())).body for _ in range(5)]
        await gone.wait()

    assert bodies == [b"hi"] * 5


@pytest.mark.parametrize(("method", "times"), [("GET", 2), ("PUT", 1), ("POST", 1)])
async def test_request_without_an_answer(method: str, times: int) -> None:
    """A GET is tried once more, as HTTP allows; what has a body is not, since that has passed."""
    heard: list[bytes] = []

    async def serve(peer: Peer) -> None:
        heard.append(await peer.head())
        if method != "GET":
            await peer.exactly(2)

    body = ["Content-Length: 2"] if method != "GET" else []
    async with between(serve) as (_, proxy):
        seen = parsed(await exchange(proxy, get("/", *body, method=method, body="hi" if body else "")))

    assert seen.line == b"HTTP/1.1 502 Bad Gateway"
    assert len(heard) == times


async def test_mistake_in_the_proxy_ends_the_connection() -> None:
    """It is logged, and no second answer follows the one that has begun."""

    class Broken(Random):
        def getrandbits(self, k: int, /) -> int:
            raise RuntimeError("secret")

    answer = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 2\r\n\r\nhi"
    with capture_logs() as logs:
        async with between(replying(answer), random=Broken()) as (_, proxy):
            seen = parsed(await exchange(proxy, get()))

    assert (seen.line, seen.body) == (b"HTTP/1.1 200 OK", b"")
    assert [log for log in logs if log["log_level"] == "error"] == [
        {"event": "proxy.failed", "method": "GET", "cause": "RuntimeError", "log_level": "error"}
    ]


async def test_no_upstream() -> None:
    """Nobody listens: 502, as JSON that SDKs understand."""
    async with listening(replying()) as upstream:
        pass
    with capture_logs() as logs:
        async with proxied(upstream) as (proxy, _):
            seen = parsed(await exchange(proxy.url, get("/v1/x?key=sk-1")))
            statistics = proxy.statistics()

    assert seen.line == b"HTTP/1.1 502 Bad Gateway"
    assert seen.body == (
        b'{"error":{"message":"the upstream cannot be reached","type":"proxy_error","param":null,'
        b'"code":"upstream_unreachable"}}'
    )
    assert dict(statistics.upstream_errors) == {"unreachable": 1}
    assert [log["trouble"] for log in logs if log["event"] == "proxy.upstream_failed"] == ["unreachable"]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"no http\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 40_000 + b"\r\n\r\n",
    ],
    ids=["none", "garbage", "two-lengths", "coding", "upgrade", "long"],
)
async def test_upstream_that_speaks_no_http(answer: bytes) -> None:
    """Nothing of it is passed on."""
    async with between(replying(answer)) as (_, proxy):
        seen = parsed(await exchange(proxy, get()))

    assert seen.line == b"HTTP/1.1 502 Bad Gateway"
    assert b'"code":"upstream_bad_answer"' in seen.body


async def test_upstream_that_does_not_answer() -> None:
    """504 once the time is over."""

    async def serve(peer: Peer) -> None:
        await peer.gone()

    async with between(serve, idle_timeout_s=0.1) as (_, proxy):
        seen = parsed(await exchange(proxy, get()))

    assert seen.line == b"HTTP/1.1 504 Gateway Timeout"
    assert b'"code":"upstream_timeout"' in seen.body


async def test_upstream_that_falls_silent() -> None:
    """In the middle of a body there is nothing to say any more: it breaks off."""

    async def serve(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"x"))
        await peer.gone()

    async with between(serve, idle_timeout_s=0.1) as (_, proxy):
        seen = parsed(await exchange(proxy, get()))

    assert seen.body == chunk(b"x")


async def test_upload_that_breaks_off() -> None:
    """A chunk that is none: the upstream gets no complete request, the client 400."""
    arrived, gone = anyio.Event(), anyio.Event()

    async def serve(peer: Peer) -> None:
        await peer.until(b"abc\r\n")
        arrived.set()
        await peer.gone()
        gone.set()

    async with between(serve) as (_, proxy), connected(proxy) as client:
        await client.send(get("/", "Transfer-Encoding: chunked", method="POST", body="3\r\nabc\r\n"))
        await arrived.wait()
        await client.send(b"ZZ\r\n")
        seen = parsed(await client.rest())
        await gone.wait()

    assert seen.line == b"HTTP/1.1 400 Bad Request"
    assert b'"code":"bad_body"' in seen.body


# --- refused ----------------------------------------------------------------------------------------------------------

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
SMUGGLING = {
    "cl-te": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + SMUGGLED,
    "te-cl": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 40\r\n\r\n0\r\n\r\n"
    + SMUGGLED,
    "te-te": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n"
    + SMUGGLED,
    "te-obscured": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"
    + SMUGGLED,
    "te-tab": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\x0bchunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"
    + SMUGGLED,
    "te-xchunked": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\nContent-Length: 4\r\n\r\n" + SMUGGLED,
    "two-lengths": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 37\r\n\r\n" + SMUGGLED,
    "length-list": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0, 37\r\n\r\n" + SMUGGLED,
    "length-sign": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +0\r\n\r\n" + SMUGGLED,
    "length-hex": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x0\r\n\r\n" + SMUGGLED,
    "two-hosts": b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n" + SMUGGLED,
    "bare-lf": b"GET / HTTP/1.1\nHost: x\n\n" + SMUGGLED,
    "folded": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\r\n chunked\r\nContent-Length: 4\r\n\r\n" + SMUGGLED,
    "no-colon": b"GET / HTTP/1.1\r\nHost: x\r\nX\r\n\r\n" + SMUGGLED,
    "space-in-name": b"GET / HTTP/1.1\r\nHost: x\r\nX Y: 1\r\n\r\n" + SMUGGLED,
    "nul": b"GET / HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n" + SMUGGLED,
    "bad-chunk": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n\r\n" + SMUGGLED,
    "chunk-overflow": b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"f" * 20
    + b"\r\n\r\n"
    + SMUGGLED,
    "upgrade": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + SMUGGLED,
}


@pytest.mark.parametrize("name", SMUGGLING)
async def test_smuggled_request_does_not_arrive(name: str) -> None:
    """An error or a closed connection; never a second request out of what could be a body."""
    lines: list[bytes] = []

    async def serve(peer: Peer) -> None:
        while True:
            head = await peer.head()
            lines.append(head.partition(b"\r\n")[0])
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    async with between(serve) as (_, proxy), connected(proxy) as client:
        await client.send(SMUGGLING[name])
        with anyio.move_on_after(0.3):
            await client.gone()
        client_saw = client.pending

    assert [line for line in lines if b"smuggled" in line] == []
    assert client_saw.count(b"HTTP/1.1 200") == 0


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (b"CONNECT api:443 HTTP/1.1\r\nHost: api:443\r\n\r\n", 400, b"no_path"),
        (b"GET http://other.example/x HTTP/1.1\r\nHost: x\r\n\r\n", 400, b"no_path"),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 400, b"no_path"),
        (b"GET /#x HTTP/1.1\r\nHost: x\r\n\r\n", 400, b"bad_path"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: caf\xe9\r\n\r\n", 400, b"bad_header"),
        (
            b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20_000 + b"\r\nY: " + b"y" * 20_000 + b"\r\n\r\n",
            431,
            b"headers_too_large",
        ),
        (
            b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            501,
            b"no_websocket",
        ),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            501,
            b"transfer_encoding",
        ),
    ],
    ids=["connect", "absolute", "asterisk", "fragment", "latin-1", "large", "websocket", "coding"],
)
async def test_what_cannot_be_passed_on_is_refused(request_: bytes, status: int, code: bytes) -> None:
    """The upstream hears nothing of it, and the connection ends."""
    heard: list[Peer] = []

    async def serve(peer: Peer) -> None:
        heard.append(peer)

    async with listening(serve) as upstream, proxied(upstream) as (proxy, _):
        seen = parsed(await exchange(proxy.url, request_))
        statistics = proxy.statistics()

    assert seen.line.startswith(b"HTTP/1.1 %d " % status)
    assert b'"code":"%b"' % code in seen.body
    assert (statistics.refused, heard) == (1, [])


async def test_upgrade_to_http_2_is_ignored() -> None:
    """Some clients offer it with each request; the answer is an ordinary one."""
    request = get("/x", "HTTP2-Settings: AAAA", "Upgrade: h2c").replace(
        b"Connection: close", b"Connection: close, Upgrade, HTTP2-Settings"
    )

    assert await asked(request) == b"GET /x HTTP/1.1\r\nHost: UPSTREAM\r\n\r\n"


async def test_too_many_requests_at_a_time() -> None:
    """One more than allowed gets 503; the next one, once there is room, does not."""
    asked, answers = anyio.Event(), anyio.Event()

    async def serve(peer: Peer) -> None:
        await peer.head()
        asked.set()
        await answers.wait()
        await peer.send(ANSWERS["length"])

    async with between(serve, max_requests=1) as (_, proxy), connected(proxy) as first:
        await first.send(get())
        await asked.wait()
        refused = parsed(await exchange(proxy, get()))
        answers.set()
        await first.rest()
        taken = parsed(await exchange(proxy, get()))

    assert (refused.line[9:12], taken.line[9:12]) == (b"503", b"200")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1"])
async def test_loopback_by_any_name(host: str) -> None:
    """The URL is one that a client can use."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
    async with listening(replying(answer)) as upstream, Pipeline() as pipeline:
        try:
            async with (
                Proxy(upstream, pipeline, host=host) as proxy,
                aiohttp.ClientSession() as session,
                session.get(proxy.url) as response,
            ):
                body = await response.read()
        except ConfigError:
            assert host == "::1"  # where there is no IPv6
            return

    assert (body, proxy.upstream) == (b"hi", upstream)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com", ""])
async def test_public_bind_is_refused(host: str) -> None:
    """Unless that is meant."""
    pipeline = Pipeline()
    with pytest.raises(ConfigError, match="loopback"):
        Proxy("http://localhost", pipeline, host=host)

    assert isinstance(Proxy("http://localhost", pipeline, host=host, allow_public=True), Proxy)


@pytest.mark.parametrize(
    "upstream", ["", "api.example.com", "ftp://x", "http://", "http://u:secret@x", "http://x?key=secret", "http://[x"]
)
async def test_upstream_that_is_no_base_url(upstream: str) -> None:
    """The error does not show what may be a secret."""
    with pytest.raises(ConfigError, match=r"^upstream: ") as caught:
        Proxy(upstream, Pipeline())

    assert "secret" not in str(caught.value)


async def test_port_that_is_taken() -> None:
    """An error that says so, and nothing left behind."""
    async with listening(replying()) as taken, Pipeline() as pipeline:
        port = int(taken.rpartition(":")[2])
        with pytest.raises(ConfigError, match=f"cannot listen on 127.0.0.1, port {port}"):
            async with Proxy("http://localhost", pipeline, port=port):
                pass


# --- leaving ----------------------------------------------------------------------------------------------------------


async def test_leaving_waits_for_what_is_under_way() -> None:
    """A stream that ends in time is passed on to its end."""
    goes_on = anyio.Event()

    async def serve(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"1"))
        await goes_on.wait()
        await peer.send(chunk(b"2") + b"0\r\n\r\n")

    bodies: list[bytes] = []

    async def read(client: Peer) -> None:
        bodies.append(await client.rest())

    async with (
        AsyncExitStack() as stack,
        listening(serve) as upstream,
        anyio.create_task_group() as group,
        proxied(upstream) as (proxy, _),
    ):
        client = await stack.enter_async_context(connected(proxy.url))
        await client.send(get())
        await client.until(b"1\r\n1\r\n")
        group.start_soon(read, client)
        goes_on.set()

    assert bodies == [b"1\r\n2\r\n0\r\n\r\n"]


async def test_leaving_waits_for_an_upload() -> None:
    """Its body is still read, and answered; a connection without a request ends at once."""
    begun = anyio.Event()

    async def serve(peer: Peer) -> None:
        await peer.head()
        begun.set()
        body = await peer.exactly(10)
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    seen: list[bytes] = []

    async def upload(client: Peer, idle: Peer) -> None:
        await idle.gone()
        await client.send(b"67890")
        seen.append(await client.rest())

    async with (
        AsyncExitStack() as stack,
        listening(serve) as upstream,
        anyio.create_task_group() as group,
        proxied(upstream) as (proxy, _),
    ):
        client = await stack.enter_async_context(connected(proxy.url))
        idle = await stack.enter_async_context(connected(proxy.url))
        await client.send(get("/", "Content-Length: 10", method="POST") + b"12345")
        await begun.wait()
        group.start_soon(upload, client, idle)

    assert [parsed(data).body for data in seen] == [b"1234567890"]


async def test_leaving_cuts_off_what_does_not_end() -> None:
    """After the deadline, on both sides."""
    gone = anyio.Event()

    async def serve(peer: Peer) -> None:
        await peer.head()
        await peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk(b"1"))
        await peer.gone()
        gone.set()

    with anyio.fail_after(LIMIT_S):
        async with AsyncExitStack() as stack, listening(serve) as upstream, Pipeline() as pipeline:
            async with Proxy(upstream, pipeline, drain_s=0.1) as proxy:
                client = await stack.enter_async_context(connected(proxy.url))
                await client.send(get())
                await client.until(b"1\r\n1\r\n")
            rest = await client.rest()
            await gone.wait()

    assert rest == b""


async def test_gzip_passes_as_it_is() -> None:
    """The client's business, and what it asked for."""
    packed = zlib.compress(WHOLE, wbits=31)
    head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    direct, through = await both(head + packed, request=get("/", "Accept-Encoding: gzip"))

    assert through == direct
