"""A server that does what a script says, over real sockets: for tests of clients, sources and pipelines.

    async with ScriptedServer() as server:
        server.script("/v1/threads/*/runs", [Response(cut_at(stream, 500)), Response(stream)], method="POST")
        ... HttpSource(f"{server.url}/v1/threads/t/runs", method="POST")

A script is one response for each request, in turn; the last one answers all further requests. A response is a list of
actions: send, wait, stall, cut (FIN), reset (RST); `script.py` has them and functions that make such lists. HTTP is
spoken over bare sockets, one request a connection, because what is sent and how a connection ends is the point.
"""

import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from types import TracebackType
from typing import Any, Final
from urllib.parse import parse_qsl

import anyio
import msgspec
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint
from msgspec import Raw, Struct

from streamproc.model.wire import to_wire
from streamproc.testing.script import (
    Action,
    Answer,
    Cut,
    Request,
    Reset,
    Response,
    Send,
    Stall,
    Wait,
    corrupted,
    cut_at,
    duplicated,
    json_response,
    reset_at,
    slices,
    stall_at,
)

__all__ = [
    "Action",
    "Answer",
    "Cut",
    "Request",
    "Reset",
    "Response",
    "ScriptedServer",
    "Send",
    "Stall",
    "Wait",
    "corrupted",
    "cut_at",
    "duplicated",
    "json_response",
    "reset_at",
    "slices",
    "stall_at",
]

_MAX_HEAD_BYTES: Final = 64 * 1024


class _Route(Struct):
    method: str | None
    path: str | None
    answers: Sequence[Answer]
    used: int = 0

    def matches(self, request: Request) -> bool:
        return self.method in (None, request.method) and (self.path is None or fnmatchcase(request.path, self.path))

    def next(self) -> Answer:
        answer = self.answers[min(self.used, len(self.answers) - 1)]
        self.used += 1
        return answer


class ScriptedServer:
    """Listens on a free port of the loopback interface while its context is open.

    Attributes:
        url: scheme, host and port.
        requests: all that came, in order.
    """

    url: str

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self._routes: list[_Route] = []

    def script(self, path: str | None, answers: Sequence[Answer], *, method: str | None = None) -> None:
        """Answer requests for a path (`*` matches anything in it; None: any path) and a method (None: any).

        Of several scripts that match, the one set last counts. An answer may be a function of the request.
        """
        if not answers:
            raise ValueError("expected at least one answer")
        self._routes.insert(0, _Route(method, path, answers))

    def script_run(
        self,
        run: object,
        steps: Sequence[object] = (),
        messages: Sequence[object] = (),
        *,
        prefix: str = "",
        before: Sequence[object] = (),
    ) -> None:
        """Serve a run, its steps and its messages as the API's GET endpoints do: pages, cursors, orders, filters.

        Args:
            run: like all objects here, of the model or JSON data; it needs `id` and `thread_id`.
            steps: and `messages`, in order of creation.
            prefix: what comes before `/threads`.
            before: the run as it is at the first looks at it.
        """
        final = _data(run)
        thread = f"{prefix}/threads/{final['thread_id']}"
        path = f"{thread}/runs/{final['id']}"
        self.script(path, [json_response(_raw(state)) for state in (*before, run)], method="GET")
        self.script(f"{path}/steps", [_Listing([_raw(step) for step in steps])], method="GET")
        self.script(f"{thread}/messages", [_Listing([_raw(message) for message in messages])], method="GET")

    async def __aenter__(self) -> "ScriptedServer":
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._listener.setblocking(False)
        self.url = "http://{}:{}".format(*self._listener.getsockname())
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        self._tasks.start_soon(self._accept, self._tasks)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._tasks.cancel_scope.cancel()
        try:
            await self._tasks.__aexit__(None, None, None)  # an error of the block goes on as it is, in no group
        finally:
            self._listener.close()

    async def _accept(self, tasks: TaskGroup) -> None:
        while True:
            await anyio.wait_readable(self._listener)
            with suppress(BlockingIOError, ConnectionError):  # the client left at once
                sock, _ = self._listener.accept()
                sock.setblocking(False)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                tasks.start_soon(self._serve, sock)

    async def _serve(self, sock: socket.socket) -> None:
        connection = _Connection(sock)
        with sock, suppress(ConnectionError):  # clients may leave whenever they like
            try:
                request = await connection.request()
            except ValueError:
                await connection.answer(_NO_HTTP)
                return
            if request is None:
                return
            self.requests.append(request)
            route = next((route for route in self._routes if route.matches(request)), None)
            answer = route.next() if route is not None else _NOT_FOUND
            await connection.answer(answer if isinstance(answer, Response) else answer(request))


_NO_HTTP: Final = json_response({"error": {"message": "no HTTP request"}}, 400)
_NOT_FOUND: Final = json_response({"error": {"message": "no script for this request"}}, 404)


class _Connection:
    """One request and its answer."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._pending = bytearray()

    async def request(self) -> Request | None:
        """The request, or None when the client left before it was complete."""
        head = await self._until(b"\r\n\r\n")
        if head is None:
            return None
        first, *lines = head.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ")
        fields = (line.partition(":") for line in lines if line)
        headers = {
            name.lower(): value.strip().encode("latin-1").decode("utf-8", "replace") for name, _, value in fields
        }
        path, _, query = target.partition("?")
        if "chunked" in headers.get("transfer-encoding", ""):
            body = await self._chunked()
        else:
            body = await self._exactly(int(headers.get("content-length", 0)))
        return None if body is None else Request(method, path, dict(parse_qsl(query)), headers, body)

    async def answer(self, response: Response) -> None:
        if response.status is not None:
            await self._send(_head(response))
        is_chunked = response.framing == "chunked" and response.status is not None
        for action in response.actions:
            match action:
                case Send(data):
                    await self._send(b"%x\r\n%b\r\n" % (len(data), data) if is_chunked and data else data)
                case Wait(seconds):
                    await anyio.sleep(seconds)
                case Cut():
                    return
                case Reset():
                    # closing a socket that does not linger sends RST
                    self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    return
                case Stall():
                    while await self._receive():
                        self._pending.clear()
                    return
        if is_chunked:
            await self._send(b"0\r\n\r\n")

    async def _until(self, end: bytes) -> bytes | None:
        while (at := self._pending.find(end)) < 0:
            if len(self._pending) > _MAX_HEAD_BYTES or not await self._receive():
                return None
        found = bytes(self._pending[:at])
        del self._pending[: at + len(end)]
        return found

    async def _exactly(self, size: int) -> bytes | None:
        while len(self._pending) < size:
            if not await self._receive():
                return None
        found = bytes(self._pending[:size])
        del self._pending[:size]
        return found

    async def _chunked(self) -> bytes | None:
        body = bytearray()
        while (line := await self._until(b"\r\n")) is not None:
            size = int(line.partition(b";")[0], 16)
            chunk = await self._exactly(size + 2)
            if chunk is None:
                return None
            if size == 0:
                return bytes(body)
            body += chunk[:size]
        return None

    async def _receive(self) -> bool:
        """Wait for bytes; False when the client has left."""
        await anyio.wait_readable(self._sock)
        with suppress(BlockingIOError):
            data = self._sock.recv(64 * 1024)
            self._pending += data
            return data != b""
        return True

    async def _send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[self._sock.send(rest) :]
            except BlockingIOError:
                await anyio.wait_writable(self._sock)
        await checkpoint()


def _head(response: Response) -> bytes:
    lines = [f"HTTP/1.1 {response.status} Scripted", "Connection: close"]
    if response.content_type is not None:
        lines.append(f"Content-Type: {response.content_type}")
    match response.framing:
        case "chunked":
            lines.append("Transfer-Encoding: chunked")
        case "length":
            size = sum(len(action.data) for action in response.actions if isinstance(action, Send))
            is_broken = any(isinstance(action, Cut | Reset | Stall) for action in response.actions)
            lines.append(f"Content-Length: {size + is_broken}")
        case "close":
            pass
    lines += (f"{name}: {value}" for name, value in response.headers.items())
    return "\r\n".join([*lines, "", ""]).encode()


class _Listing:
    """A list endpoint: pages of `limit` (20) objects after the one called `after`, newest first unless told."""

    def __init__(self, objects: Sequence[bytes]) -> None:
        self._objects = objects

    def __call__(self, request: Request) -> Response:
        query = request.query
        objects = [(_data(raw), raw) for raw in self._objects]
        if "run_id" in query:
            objects = [item for item in objects if item[0].get("run_id") == query["run_id"]]
        if query.get("order", "desc") == "desc":
            objects.reverse()
        ids = [data["id"] for data, _ in objects]
        start = ids.index(query["after"]) + 1 if "after" in query else 0
        end = start + int(query.get("limit", 20))
        page = {
            "object": "list",
            "data": [Raw(raw) for _, raw in objects[start:end]],
            "first_id": next(iter(ids[start:end]), None),
            "last_id": next(reversed(ids[start:end]), None),
            "has_more": end < len(ids),
        }
        return json_response(page)


def _raw(obj: object) -> bytes:
    return to_wire(obj) if isinstance(obj, Struct) else msgspec.json.encode(obj)


def _data(obj: object) -> dict[str, Any]:
    return msgspec.json.decode(obj if isinstance(obj, bytes) else _raw(obj), type=dict[str, Any])
