"""`Relayed`: a response whose head and body go out as the bytes that they are given as.

aiohttp's own response would add `Date`, `Server` and `Content-Type`, and could not be broken off as the upstream's was.
This one writes to the connection itself, at once and in the same pieces, and waits while the client does not read.
"""

import socket
import struct
from contextlib import suppress
from http import HTTPStatus

import anyio
import msgspec
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from streamproc.worker.headers import response_head

__all__ = ["Relayed", "refused"]

_FLUSH_S = 5.0  # what was sent before a reset gets so long to leave


class Relayed(web.StreamResponse):
    """The response to one request. Hand it to aiohttp's server whatever became of it.

    Args:
        is_chunked: whether the body is sent in chunks; if not, as it is.
        keeps_alive: whether the connection can be used for a further request.
        tail: the rest of the body, which is written when the server finishes the response.
    """

    def __init__(
        self,
        request: web.BaseRequest,
        status: int,
        head: bytes,
        *,
        is_chunked: bool,
        keeps_alive: bool,
        tail: bytes = b"",
    ) -> None:
        super().__init__(status=status)
        self._to = request
        self._head = head
        self._is_chunked = is_chunked
        self._keeps_alive = keeps_alive
        self._tail = tail
        self._is_over = False
        self._is_broken = False

    @property
    def keep_alive(self) -> bool:
        return self._keeps_alive

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Send the head, once."""
        if self._head:
            head, self._head = self._head, b""
            self._send(head)
        return request.writer

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send a piece of the body; returns once the client may get more.

        Raises:
            ConnectionError: the client has left.
        """
        if data:
            data = bytes(data)
            self._send(b"%x\r\n%b\r\n" % (len(data), data) if self._is_chunked else data)
            if self._to.protocol.writing_paused:
                await self._to.writer.drain()

    async def write_eof(self, data: bytes = b"") -> None:
        """Say that the body is complete, once; nothing, when the connection was broken off."""
        if self._is_broken:
            raise ConnectionResetError("the response was broken off")
        if self._is_over:
            return
        self._is_over = True
        await self.write(self._tail or data)
        if self._is_chunked:
            self._send(b"0\r\n\r\n")
        await self._to.writer.drain()

    def cut(self) -> None:
        """End the connection where the body stands, so that the client sees it is not complete."""
        self._is_broken = True
        if (transport := self._to.transport) is not None:
            transport.close()  # what was written is sent first

    async def reset(self) -> None:
        """Tear the connection down, as the upstream did with its."""
        self._is_broken = True
        transport = self._to.transport
        if transport is None:
            return
        with anyio.move_on_after(_FLUSH_S), suppress(ConnectionError):
            transport.set_write_buffer_limits(high=0)
            await self._to.writer.drain()
        sock = transport.get_extra_info("socket")
        if sock is not None:  # one that does not linger is closed with RST
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()

    def _send(self, data: bytes) -> None:
        transport = self._to.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has left")
        self._to.writer.output_size += len(data)  # by this aiohttp knows that a response has begun
        transport.write(data)


def refused(request: web.BaseRequest, status: int, code: str, message: str, *, closes: bool = True) -> Relayed:
    """An answer of the proxy's own: JSON as the APIs answer errors, so that SDKs raise what they always do.

    Args:
        code: what went wrong, for programs.
    """
    body = msgspec.json.encode({"error": {"message": message, "type": "proxy_error", "param": None, "code": code}})
    raw = [(b"Content-Type", b"application/json"), (b"Content-Length", b"%d" % len(body))]
    head = response_head(status, HTTPStatus(status).phrase.encode(), raw, framing="length", closes=closes)
    tail = b"" if request.method == "HEAD" else body
    return Relayed(request, status, head, is_chunked=False, keeps_alive=not closes, tail=tail)
