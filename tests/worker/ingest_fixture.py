"""An ingest server with its pipeline, and requests to it as bytes: for tests of what really goes over a socket."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
from anyio.abc import SocketStream
from msgspec import Struct

from streamproc import Limits, Pipeline
from streamproc.worker.http import HttpServer, ServerLimits
from streamproc.worker.ingest import Ingest, IngestLimits

__all__ = ["Answer", "Serving", "chunk", "head", "serving"]

SSE = "text/event-stream"


class Answer(Struct):
    """An answer of the server."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def data(self) -> Any:
        return msgspec.json.decode(self.content)


class Serving(Struct):
    """What is under test."""

    pipeline: Pipeline
    ingest: Ingest
    server: HttpServer

    async def connect(self) -> SocketStream:
        return await anyio.connect_tcp("127.0.0.1", self.server.port)

    async def ask(self, *requests: bytes, is_cut: bool = False, stays_open: bool = False) -> list[Answer]:
        """Send bytes over one connection, and return all answers until the server closes it.

        Args:
            is_cut: close the writing side after the last byte.
            stays_open: the server does not; the answers end in silence.
        """
        async with await self.connect() as connection:
            try:
                for request in requests:
                    await connection.send(request)
                if is_cut:
                    await connection.send_eof()
            except (anyio.BrokenResourceError, OSError):
                pass
            return answers(await received(connection, stays_open=stays_open))

    async def post(self, name: str, body: bytes, *lines: str, content_type: str = SSE) -> Answer:
        """One whole request, whose connection ends with it."""
        fields = [f"Content-Type: {content_type}", "Connection: close", *lines]
        (answer,) = await self.ask(head("POST", f"/v1/streams/{name}", len(body), *fields) + body)
        return answer

    async def get(self, name: str, method: str = "GET") -> Answer:
        (answer,) = await self.ask(head(method, f"/v1/streams/{name}", None, "Connection: close"))
        return answer


@asynccontextmanager
async def serving(
    *,
    ingest: IngestLimits | None = None,
    limits: ServerLimits | None = None,
    tokens: Sequence[str] = (),
    pipeline_limits: Limits | None = None,
    **options: Any,
) -> AsyncGenerator[Serving]:
    """Serve ingest on a free port, with a pipeline of these options."""
    async with (
        Pipeline(limits=pipeline_limits, **options) as pipeline,
        Ingest(pipeline, limits=ingest) as taking,
        HttpServer("ingest", taking.routes, tokens=tokens, limits=limits) as server,
    ):
        server.on_stop.append(taking.stop)
        yield Serving(pipeline, taking, server)


def head(method: str, path: str, length: int | None, *lines: str) -> bytes:
    """The head of a request; `length` is of the body, -1 for one in chunks, None for no body."""
    size = () if length is None else ("Transfer-Encoding: chunked",) if length < 0 else (f"Content-Length: {length}",)
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *size, *lines, "", ""]).encode("latin-1")


def chunk(data: bytes) -> bytes:
    """A chunk of a body; without data, its end."""
    return b"%x\r\n%b\r\n" % (len(data), data)


async def received(connection: SocketStream, *, stays_open: bool) -> bytes:
    """All that comes."""
    parts: list[bytes] = []
    try:
        while True:
            with anyio.fail_after(0.3 if stays_open else 5.0):
                parts.append(await connection.receive())
    except TimeoutError:
        assert stays_open, "the connection is still open"
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        assert not stays_open, "the connection was closed"
    return b"".join(parts)


def answers(data: bytes) -> list[Answer]:
    """The answers in what came; those to HEAD have no content."""
    found: list[Answer] = []
    while data:
        start, _, data = data.partition(b"\r\n\r\n")
        first, *lines = start.decode("latin-1").split("\r\n")
        status = int(first.split(" ")[1])
        if status == 100:
            continue
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        length = int(headers.get("content-length", 0))
        found.append(Answer(status, headers, data[:length]))
        data = data[length:]
    return found
