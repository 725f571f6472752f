"""Load on an ingest server in a process of its own, and what it costs there.

    python -m tests.worker.ingest_load                 the full figures: 1,000 streams, 500 slow connections, gzip bombs
    python -m tests.worker.ingest_load --streams 100   fewer

Clients share the machine with the server. Memory is the server's: how far its peak (VmHWM) rises above what it held
when the load began.
"""

import argparse
import asyncio
import gzip
import json
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import structlog
from msgspec import Struct

from streamproc import Pipeline
from streamproc.stores.sqlite import SqliteStore
from streamproc.worker.admin import Admin, LoopLag
from streamproc.worker.http import HttpServer
from streamproc.worker.ingest import Ingest
from tests.streams import arguments, call, done, run, sse, step
from tests.worker.ingest_fixture import chunk, head

__all__ = ["Process", "bombs", "process", "slow_heads", "streams"]

ROOT = Path(__file__).resolve().parents[2]


class Process(Struct):
    """A server in another process."""

    pid: int
    port: int
    child: asyncio.subprocess.Process

    async def longest_stall_s(self) -> float:
        """See `Stalls`."""
        assert self.child.stdin is not None
        assert self.child.stdout is not None
        self.child.stdin.write(b"\n")
        return float(await self.child.stdout.readline())

    def memory(self, name: str) -> int:
        """VmRSS or VmHWM, in bytes."""
        for line in Path(f"/proc/{self.pid}/status").read_text("ascii").splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024
        raise LookupError(name)

    def forget_peak(self) -> int:
        """Let the peak be counted from now on; returns what is held now."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5", "ascii")
        return self.memory("VmRSS")

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, request: bytes) -> tuple[int, Any]:
        """Send one request, whose connection ends with it; returns status and content."""
        reader, writer = await self.connect()
        try:
            writer.write(request)
            return _answer(await reader.read())
        finally:
            writer.close()


def _answer(data: bytes) -> tuple[int, Any]:
    start, _, content = data.partition(b"\r\n\r\n")
    return int(start.split(b" ")[1]), json.loads(content) if content else None


async def serve(path: str) -> None:
    """The other process: until its standard input ends."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))
    lag = LoopLag()
    async with (
        Pipeline(store=SqliteStore(path)) as pipeline,
        Ingest(pipeline) as ingest,
        anyio.create_task_group() as group,
        HttpServer("ingest", (*ingest.routes, *Admin(pipeline, lag=lag).routes)) as server,
    ):
        stalls = Stalls(ingest)
        group.start_soon(lag.watch)
        group.start_soon(stalls.watch)
        print(server.port, flush=True)  # noqa: T201 - to the process that started this one
        while await anyio.to_thread.run_sync(sys.stdin.readline):
            print(stalls.longest_s, flush=True)  # noqa: T201 - as above
        group.cancel_scope.cancel()


class Stalls:
    """For how long a stream had data here of which nothing was processed, at most."""

    def __init__(self, ingest: Ingest) -> None:
        self.longest_s = 0.0
        self._ingest = ingest

    async def watch(self) -> None:
        seen: dict[str, tuple[int, float]] = {}
        while True:
            await anyio.sleep(0.02)
            now_s = anyio.current_time()
            for name, stream in self._ingest._open.items():
                offset, since_s = seen.get(name, (-1, now_s))
                if stream.offset == offset and stream.heard_s is None:
                    self.longest_s = max(self.longest_s, now_s - since_s)
                else:
                    seen[name] = stream.offset, now_s


@asynccontextmanager
async def process() -> AsyncGenerator[Process]:
    """Start a server, and end it."""
    with tempfile.TemporaryDirectory() as folder:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.worker.ingest_load", "--serve", f"{folder}/runs.db"),
            cwd=ROOT,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            yield Process(child.pid, int(await child.stdout.readline()), child)
        finally:
            child.stdin.close()
            await child.wait()


async def warm_up(server: Process) -> None:
    """Let imports and caches be made."""
    body = stream_of(1_000_000, 10)
    await server.ask(
        head("POST", "/v1/streams/first", len(body), "Content-Type: text/event-stream", "Connection: close") + body
    )


# --- many streams -----------------------------------------------------------------------------------------------------


def stream_of(number: int, deltas: int) -> bytes:
    """One run with one step, whose arguments come in so many deltas."""
    id = f"step_{number}"
    events = [
        run("created", f"run_{number}"),
        step("created", id, run_id=f"run_{number}"),
        *[arguments("0123456789", id=id)] * deltas,
        step("completed", id, call("0123456789" * deltas), run_id=f"run_{number}"),
        run("completed", f"run_{number}"),
        done(),
    ]
    return sse(*events)


class Progress(Struct):
    """What came of many streams at once."""

    wrong: list[Any]  # answers that are not what they should be
    seconds: float
    events: int
    stalled_s: float  # for how long data of a stream lay in the server before some of it was processed, at most
    lag_s: float  # of the server's event loop, at most
    grown_bytes: int  # the server's memory, at its peak


async def streams(server: Process, count: int, deltas: int, *, pieces: int = 100) -> Progress:
    """Send so many streams at once, each as fast as it is taken."""
    base = server.forget_peak()
    answers: list[Any] = []

    async def send(number: int) -> None:
        body = stream_of(number, deltas)
        size = len(body) // pieces + 1
        reader, writer = await server.connect()
        writer.transport.set_write_buffer_limits(0)
        lines = ("Content-Type: text/event-stream", "Connection: close")
        writer.write(head("POST", f"/v1/streams/s{number}", -1, *lines))
        for at in range(0, len(body), size):
            writer.write(chunk(body[at : at + size]))
            await writer.drain()
            await asyncio.sleep(0)
        writer.write(chunk(b""))
        answers.append(_answer(await reader.read()))
        writer.close()

    since_s = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            group.create_task(send(number))
    seconds = time.monotonic() - since_s
    _, health = await server.ask(head("GET", "/healthz", None, "Connection: close"))
    expected = deltas + 4
    wrong = [
        (status, data)
        for status, data in answers
        if status != 200 or data["truncated"] or data["changes"] != expected or data["anomalies"]
    ]
    grown = server.memory("VmHWM") - base
    return Progress(wrong, seconds, count * expected, await server.longest_stall_s(), health["loop_lag_s"], grown)


# --- slow connections -------------------------------------------------------------------------------------------------


async def slow_heads(server: Process, count: int, requests: int = 50) -> list[float]:
    """Hold so many connections, half of them silent and half with a byte now and then; returns how long requests of
    others take, in seconds."""
    held = [await server.connect() for _ in range(count)]

    async def trickle() -> None:
        while True:
            for _, writer in held[::2]:
                writer.write(b"G")
            await asyncio.sleep(0.5)

    async with asyncio.TaskGroup() as group:
        trickling = group.create_task(trickle())
        times: list[float] = []
        for _ in range(requests):
            since_s = time.monotonic()
            await server.ask(head("GET", "/healthz", None, "Connection: close"))
            times.append(time.monotonic() - since_s)
        trickling.cancel()
    for _, writer in held:
        writer.close()
    return times


# --- bombs ------------------------------------------------------------------------------------------------------------


async def bombs(server: Process, count: int, inflated_bytes: int) -> tuple[list[int], int]:
    """Send so many bodies that inflate to a lot; returns the statuses, and how far the server's memory grew."""
    plain = [b"data: " + bytes(inflated_bytes), (b": " + b"x" * 100 + b"\n") * (inflated_bytes // 103)]
    bodies = [gzip.compress(each) for each in plain]
    del plain
    base = server.forget_peak()
    lines = ("Content-Type: text/event-stream", "Content-Encoding: gzip", "Connection: close")

    async def send(number: int) -> int:
        body = bodies[number % len(bodies)]
        return (await server.ask(head("POST", f"/v1/streams/b{number}", len(body), *lines) + body))[0]

    statuses = await asyncio.gather(*(send(number) for number in range(count)))
    return statuses, server.memory("VmHWM") - base


async def main(count: int, deltas: int) -> None:
    async with process() as server:
        await warm_up(server)
        statuses, grown = await bombs(server, 1, 64 * 2**20)
        print(f"gzip bomb of 64 MiB: status {statuses}, memory +{grown / 2**20:.1f} MiB")  # noqa: T201
        statuses, grown = await bombs(server, 20, 64 * 2**20)
        print(f"20 of them at once: status {sorted(set(statuses))}, memory +{grown / 2**20:.1f} MiB")  # noqa: T201
        times = sorted(await slow_heads(server, 500))
        median, most, longest = (times[at] * 1e3 for at in (25, 45, -1))
        print(  # noqa: T201
            f"500 slow connections: median {median:.1f} ms, 9 of 10 within {most:.1f} ms, longest {longest:.1f} ms"
        )
        found = await streams(server, count, deltas)
        print(  # noqa: T201
            f"{count} streams of {deltas} deltas: {len(found.wrong)} wrong, {found.seconds:.1f} s, "
            f"{found.events / found.seconds:,.0f} events/s, none stood still for longer than {found.stalled_s:.2f} s, "
            f"loop at most {found.lag_s * 1e3:.0f} ms late, memory +{found.grown_bytes / 2**20:.0f} MiB"
        )


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=1000)
    parser.add_argument("--deltas", type=int, default=500)
    parser.add_argument("--serve", metavar="STORE", help="be the server")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    chosen = parse()
    asyncio.run(serve(chosen.serve) if chosen.serve else main(chosen.streams, chosen.deltas))
