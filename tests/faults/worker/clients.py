"""Clients of the ingest server that do not give up: each sends one run after the other, whatever becomes of the worker.

A client whose connection broke, or that was told that the worker stops, asks for the offset of its stream and goes on
there; a worker that does not know the stream (it is a new one) gets it from its beginning.
"""

from random import Random
from typing import Final

import anyio
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream
from anyio.abc import SocketStream
from msgspec import Struct

from tests.faults.kill.work import run_bytes

__all__ = ["Client", "Clients"]

_BROKEN: Final = (BrokenResourceError, ClosedResourceError, EndOfStream, OSError, TimeoutError)
_AGAIN_S: Final = 0.02
_PIECE_BYTES: Final = 1000
_PACE_S: Final = 0.006  # between pieces; a run takes a fraction of a second, a large one some seconds
_CUT: Final = 0.002  # of all pieces: the connection is lost after it
_ANSWER_S: Final = 10.0


class Client(Struct):
    """One of them: its stream's name, and what came of the runs that it has sent."""

    name: str
    number: int = 0  # of the run that is sent now
    is_open: bool = False  # a part of that run was sent, and no answer has said that it has ended
    resumed: int = 0  # times it went on at an offset
    restarted: int = 0  # times it began its stream again


class Clients:
    """All of them, against one port.

    Args:
        pace_s: how long each waits between two pieces of some hundred bytes.

    Attributes:
        every: the clients.
        is_over: no further run is begun.
        ended: set once every run that was begun has ended.
    """

    def __init__(self, port: int, count: int, seed: int, *, pace_s: float = _PACE_S) -> None:
        self.every = [Client(f"client-{number}") for number in range(count)]
        self.is_over = False
        self.ended = anyio.Event()
        self._port = port
        self._seed = seed
        self._pace_s = pace_s
        self._random = Random(seed)

    async def run(self) -> None:
        """Send, until `is_over`; returns once every run that was begun has ended."""
        async with anyio.create_task_group() as group:
            for client in self.every:
                group.start_soon(self._work, client)
        self.ended.set()

    @property
    def open(self) -> int:
        """Runs under way."""
        return sum(client.is_open for client in self.every)

    async def _work(self, client: Client) -> None:
        while not self.is_over:
            if await self._send(client, run_bytes(self._seed, client.name, client.number)):
                client.number += 1

    async def _send(self, client: Client, body: bytes) -> bool:
        """One run, until its end has been answered; False if it is over before anything of it was sent."""
        offset = 0
        while True:
            try:
                async with await anyio.connect_tcp("127.0.0.1", self._port) as connection:
                    if await self._post(connection, client, body, offset):
                        client.is_open = False
                        return True
            except _BROKEN:
                pass
            if self.is_over and not client.is_open:
                return False
            await anyio.sleep(_AGAIN_S)
            if client.is_open:
                offset = await self._offset(client, len(body))
                if offset == len(body):
                    client.is_open = False
                    return True

    async def _post(self, connection: SocketStream, client: Client, body: bytes, offset: int) -> bool:
        """Send the rest of a run; whether it was taken to its end."""
        lines = [*_HEAD, "Content-Type: text/event-stream", "Transfer-Encoding: chunked", f"X-Note: {CANARY}"]
        if offset:
            lines.append(f"Stream-Offset: {offset}")
        head = [f"POST /v1/streams/{_stream(client)} HTTP/1.1", *lines, "", ""]
        await connection.send("\r\n".join(head).encode())
        while offset < len(body):
            piece = body[offset : offset + self._random.randint(1, _PIECE_BYTES)]
            await connection.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            client.is_open = True
            offset += len(piece)
            await anyio.sleep(self._pace_s)
            if self._random.random() < _CUT:
                raise BrokenResourceError
        await connection.send(b"0\r\n\r\n")
        return (await _answer(connection)).startswith(b"HTTP/1.1 200")

    async def _offset(self, client: Client, length: int) -> int:
        """Where to go on; the length of a run that has ended."""
        while True:
            try:
                async with await anyio.connect_tcp("127.0.0.1", self._port) as connection:
                    head = [f"GET /v1/streams/{_stream(client)} HTTP/1.1", *_HEAD, "Connection: close", "", ""]
                    await connection.send("\r\n".join(head).encode())
                    answer = await _answer(connection)
            except _BROKEN:
                await anyio.sleep(_AGAIN_S)
                continue
            if answer.startswith(b"HTTP/1.1 404"):
                client.restarted += 1
                return 0
            if not answer.startswith(b"HTTP/1.1 200"):
                await anyio.sleep(_AGAIN_S)
                continue
            if b'"state":"ended"' in answer:
                if b'"truncated":false' in answer:
                    return length
                client.restarted += 1
                return 0
            client.resumed += 1
            return int(answer.partition(b"Stream-Offset: ")[2].partition(b"\r\n")[0])


CANARY: Final = "c4n4ry-of-a-header"
TOKEN: Final = "c4n4ry-of-a-token"
_HEAD: Final = ("Host: worker", f"Authorization: Bearer {TOKEN}")


def _stream(client: Client) -> str:
    return f"{client.name}.{client.number}"


async def _answer(connection: SocketStream) -> bytes:
    """An answer, whole."""
    found = b""
    with anyio.fail_after(_ANSWER_S):
        while True:
            head, blank, content = found.partition(b"\r\n\r\n")
            if blank and len(content) >= int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0):
                return found
            found += await connection.receive()
