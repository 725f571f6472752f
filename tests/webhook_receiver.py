"""A webhook receiver: it checks signatures with `standardwebhooks`, records what arrived, and does as it is told.

As a process of its own, which can be killed and started again on its port:

    with ReceiverProcess(tmp_path / "arrived.jsonl", secret) as receiver:
        config_url = receiver.url                       # http://127.0.0.1:PORT/hook, the same in each of its lives
        receiver.tell(status=503, times=3)              # the next three are refused; all later ones taken again
        receiver.kill(); receiver.start()               # forgets what it was told, goes on with its file
        taken(receiver.record)                          # what it answered 2xx, in order of arrival

In the test's own event loop: `async with running(Receiver(secret)) as receiver`. One line of the file is one request,
written before it is answered: id, timestamp, valid, status (what it was answered; 0: nothing was), body (its text).
A line that a kill tore is skipped when it is read.
"""

import argparse
import base64
import hashlib
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import anyio
import msgspec
from aiohttp import web
from msgspec import Struct
from standardwebhooks import Webhook, WebhookVerificationError

from tests.worker.process import ROOT, environment, free_port

__all__ = ["Arrived", "Receiver", "ReceiverProcess", "Told", "arrived", "keys", "new_secret", "running", "taken"]

_START_S: Final = 30.0
_POLL_S: Final = 0.01
_BODY_MAX: Final = 64 * 1024 * 1024


class Told(Struct, frozen=True, kw_only=True):
    """How requests are answered."""

    status: int = 204
    headers: dict[str, str] = {}
    size_bytes: int = 0  # of the answer's body
    delay_s: float = 0.0  # before the answer
    hang: bool = False  # no answer at all, as long as the client waits
    cut: bool = False  # the connection is closed in place of an answer
    times: int | None = None  # how many requests; None: all


class Arrived(Struct, frozen=True, kw_only=True):
    """One request."""

    id: str
    timestamp: str
    valid: bool  # the signature, and the timestamp within five minutes
    status: int
    body: str
    headers: dict[str, str]  # by lower-case name

    @property
    def data(self) -> dict[str, Any]:
        """The change, as JSON."""
        data: dict[str, Any] = json.loads(self.body)["data"]
        return data


class Receiver:
    """Answers each request as it is told, in the order of telling; 204 when there is nothing else.

    Args:
        secrets: a signature made with one of them is valid.
        record: the file to append to; None: only `arrived` is kept.
    """

    def __init__(self, *secrets: str, record: Path | None = None) -> None:
        self.arrived: list[Arrived] = []
        self.under_way = 0
        self.under_way_max = 0
        self.url = ""
        self._verifiers = [Webhook(secret) for secret in secrets]
        self._told: list[Told] = []
        self._file = None if record is None else os.open(record, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def tell(self, *told: Told) -> None:
        """What comes after what it was told before; a `Told` without `times` is the last that counts."""
        self._told += told

    def forget(self) -> None:
        """Take everything again."""
        self._told.clear()

    def app(self) -> web.Application:
        app = web.Application(client_max_size=_BODY_MAX)
        app.router.add_put("/told", self._take_orders)
        app.router.add_post("/{path:.*}", self._take)
        return app

    async def _take_orders(self, request: web.Request) -> web.Response:
        self.forget()
        self.tell(*msgspec.json.decode(await request.read(), type=list[Told]))
        return web.Response(status=204)

    async def _take(self, request: web.Request) -> web.StreamResponse:
        self.under_way += 1
        self.under_way_max = max(self.under_way_max, self.under_way)
        try:
            return await self._answer(request, await request.read())
        finally:
            self.under_way -= 1

    async def _answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        told = self._next()
        self._record(request, body, 0 if told.hang or told.cut else told.status)
        if told.delay_s:
            await anyio.sleep(told.delay_s)
        if told.hang:
            await anyio.sleep_forever()
        if told.cut:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=told.status, headers=told.headers, body=b"x" * told.size_bytes)

    def _next(self) -> Told:
        if not self._told:
            return Told()
        told = self._told.pop(0)
        if told.times is None:
            self._told.insert(0, told)
        elif told.times > 1:
            self._told.insert(0, msgspec.structs.replace(told, times=told.times - 1))
        return told

    def _record(self, request: web.Request, body: bytes, status: int) -> None:
        headers = {name.lower(): value for name, value in request.headers.items()}
        one = Arrived(
            id=headers.get("webhook-id", ""),
            timestamp=headers.get("webhook-timestamp", ""),
            valid=any(self._is_valid(verifier, body, headers) for verifier in self._verifiers),
            status=status,
            body=body.decode(),
            headers=headers,
        )
        self.arrived.append(one)
        if self._file is not None:
            os.write(self._file, msgspec.json.encode(one) + b"\n")

    @staticmethod
    def _is_valid(verifier: Webhook, body: bytes, headers: dict[str, str]) -> bool:
        try:
            verifier.verify(body, headers)
        except (WebhookVerificationError, ValueError):
            return False
        return True


@asynccontextmanager
async def running(
    receiver: Receiver, *, port: int = 0, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncGenerator[Receiver]:
    """The receiver, listening; `receiver.url` says where."""
    runner = web.AppRunner(receiver.app(), access_log=None, shutdown_timeout=0, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port, ssl_context=tls)
        await site.start()
        receiver.url = f"{'https' if tls else 'http'}://{host}:{runner.addresses[0][1]}/hook"
        yield receiver
    finally:
        await runner.cleanup()


def arrived(record: Path) -> list[Arrived]:
    """The requests in a record, in order of arrival."""
    try:
        lines = record.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    return [one for one in map(_read, lines) if one is not None]


def taken(record: Path) -> list[Arrived]:
    """Those that were answered 2xx; one whose signature was not valid is among them, look at `valid`."""
    return [one for one in arrived(record) if 200 <= one.status < 300]


def keys(requests: Sequence[Arrived]) -> list[tuple[str, int, int]]:
    """Which changes they were: (stream, epoch, seq)."""
    return [(data["stream"], data["epoch"], data["seq"]) for data in (one.data for one in requests)]


def _read(line: bytes) -> Arrived | None:
    try:
        return msgspec.json.decode(line, type=Arrived)
    except msgspec.DecodeError:
        return None


def new_secret(seed: bytes = b"an endpoint of the tests") -> str:
    """A secret in the form of Standard Webhooks; the same for the same seed."""
    return "whsec_" + base64.b64encode(hashlib.sha256(seed).digest()).decode()


class ReceiverProcess:
    """A receiver as a process; leaving it kills what still lives.

    Args:
        record: the file that it appends to.
        certificate: of its TLS, with its key, as two PEM files; None: plain HTTP.
    """

    def __init__(self, record: Path, *secrets: str, certificate: tuple[Path, Path] | None = None) -> None:
        self.record = record
        self.port = free_port()
        scheme = "http" if certificate is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self.port}/hook"
        self._command = [sys.executable, "-m", "tests.webhook_receiver", str(self.port), str(record), *secrets]
        if certificate is not None:
            self._command += ["--certificate", str(certificate[0]), "--key", str(certificate[1])]
        self._is_secure = certificate is not None
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._child is not None:
            self.kill()

    def start(self) -> None:
        """Begin a life of it; returns once it listens."""
        assert self._child is None
        self._child = subprocess.Popen(
            self._command,
            cwd=ROOT,
            env=environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        assert self._child.stdout is not None
        line = self._child.stdout.readline()  # it says one line, or ends
        assert line.strip() == b"listening", f"ended with {self._child.wait(_START_S)}"

    def kill(self) -> None:
        """End its life with SIGKILL; returns once it is over."""
        child, self._child = self._child, None
        assert child is not None
        child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()

    def pause(self) -> None:
        """Stop it with SIGSTOP: connections are accepted by the system, and nothing is answered."""
        assert self._child is not None
        self._child.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self._child is not None
        self._child.send_signal(signal.SIGCONT)

    def tell(self, **told: Any) -> None:
        """What it does from now on, see `Told`; without any argument: take everything."""
        assert not self._is_secure, "orders are given over plain HTTP"
        connection = HTTPConnection("127.0.0.1", self.port, timeout=_START_S)
        try:
            connection.request("PUT", "/told", body=msgspec.json.encode([Told(**told)] if told else []))
            assert connection.getresponse().status == 204
        finally:
            connection.close()

    def await_taken(self, count: int, timeout_s: float = 30.0) -> list[Arrived]:
        """What it has taken, once that is so many different changes."""
        deadline = time.monotonic() + timeout_s
        while len(set(keys(found := taken(self.record)))) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count}"
            time.sleep(_POLL_S)
        return found


async def _listen(port: int, receiver: Receiver, tls: ssl.SSLContext | None) -> None:
    async with running(receiver, port=port, tls=tls):
        sys.stdout.write("listening\n")
        sys.stdout.flush()
        await anyio.sleep_forever()


def _main() -> None:
    parser = argparse.ArgumentParser(description="A webhook receiver that records what arrives.")
    parser.add_argument("port", type=int)
    parser.add_argument("record", type=Path)
    parser.add_argument("secrets", nargs="*")
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--key", type=Path)
    args = parser.parse_args()
    tls = None
    if args.certificate is not None:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(args.certificate, args.key)
    anyio.run(_listen, args.port, Receiver(*args.secrets, record=args.record), tls)


if __name__ == "__main__":
    _main()
