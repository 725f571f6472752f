"""Both ends of a proxy as bare sockets: an upstream that does what a function says, and clients that see every byte."""

import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import anyio
from anyio.abc import SocketAttribute, SocketStream

from streamproc import Pipeline
from streamproc.worker.proxy import Proxy

__all__ = ["LIMIT_S", "Peer", "Seen", "between", "connected", "exchange", "get", "listening", "parsed", "proxied"]

LIMIT_S = 10.0
"""No test here takes so long unless something hangs."""


class Peer:
    """One end of a connection."""

    def __init__(self, stream: SocketStream) -> None:
        self._stream = stream
        self.pending = b""

    async def send(self, data: bytes) -> None:
        await self._stream.send(data)

    async def until(self, end: bytes) -> bytes:
        """What comes up to and including `end`; raises EndOfStream before."""
        while end not in self.pending:
            self.pending += await self._stream.receive()
        found, _, self.pending = self.pending.partition(end)
        return found + end

    async def exactly(self, size: int) -> bytes:
        while len(self.pending) < size:
            self.pending += await self._stream.receive()
        found, self.pending = self.pending[:size], self.pending[size:]
        return found

    async def head(self) -> bytes:
        return await self.until(b"\r\n\r\n")

    async def rest(self) -> bytes:
        """Everything until the other end closes the connection."""
        found, self.pending = [self.pending], b""
        with suppress(anyio.EndOfStream):
            while True:
                found.append(await self._stream.receive())
        return b"".join(found)

    async def gone(self) -> None:
        """Return once the other end has closed the connection, or torn it down."""
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            while True:
                await self._stream.receive()

    async def close(self) -> None:
        await self._stream.aclose()

    async def reset(self) -> None:
        """Tear the connection down: RST, no FIN."""
        sock: socket.socket = self._stream.extra(SocketAttribute.raw_socket)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await self._stream.aclose()


Serve = Callable[[Peer], Awaitable[None]]


@asynccontextmanager
async def listening(serve: Serve) -> AsyncGenerator[str]:
    """An upstream: `serve` gets each connection, which is closed when it returns. Gives its URL."""

    async def accepted(stream: SocketStream) -> None:
        async with stream:
            with suppress(anyio.BrokenResourceError, anyio.EndOfStream, anyio.ClosedResourceError):
                await serve(Peer(stream))

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, accepted)
        try:
            yield f"http://127.0.0.1:{listener.extra(SocketAttribute.local_port)}"
        finally:
            group.cancel_scope.cancel()


@asynccontextmanager
async def connected(url: str) -> AsyncGenerator[Peer]:
    """A client's connection."""
    host, _, port = url.removeprefix("http://").partition(":")
    async with await anyio.connect_tcp(host, int(port)) as stream:
        yield Peer(stream)


@asynccontextmanager
async def proxied(upstream: str, **options: Any) -> AsyncGenerator[tuple[Proxy, Pipeline]]:
    """A proxy with a pipeline that keeps nothing."""
    with anyio.fail_after(LIMIT_S):
        async with Pipeline() as pipeline, Proxy(upstream, pipeline, drain_s=1.0, **options) as proxy:
            yield proxy, pipeline


@asynccontextmanager
async def between(serve: Serve, **options: Any) -> AsyncGenerator[tuple[str, str]]:
    """An upstream and a proxy for it; gives the URLs of both."""
    async with listening(serve) as upstream, proxied(upstream, **options) as (proxy, _):
        yield upstream, proxy.url


class Seen(NamedTuple):
    """What a client got."""

    line: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes  # as on the wire, chunks and all


def parsed(data: bytes) -> Seen:
    head, _, body = data.partition(b"\r\n\r\n")
    line, *fields = head.split(b"\r\n")
    return Seen(line, [(name, value.strip()) for name, _, value in (field.partition(b":") for field in fields)], body)


def get(path: str = "/", *headers: str, method: str = "GET", body: str = "") -> bytes:
    """A request that asks for the connection to be closed."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: x", "Connection: close", *headers, "", body]).encode()


async def exchange(url: str, request: bytes) -> bytes:
    """All that comes back for a request."""
    async with connected(url) as client:
        await client.send(request)
        return await client.rest()
