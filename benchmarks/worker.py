"""What a worker costs: a process with a store and a JSONL sink that streams are sent to. For docs/deploy.md.

    python -m benchmarks.worker [--events 200000] [--open 500]

* *An event*: eight connections send whole runs as fast as they are taken, in pieces of 1 KiB; then 20 to 400 send fifty
  events a second each, one at a time. Counted is the CPU time of the worker, with its sockets, store and sink; the
  senders are another process.
* *An open run*: so many connections bring a run with one step and 20 deltas each, and stay. Counted is how much its
  resident set grows by.
* *Disk*: what the store's file holds after the worker has ended, and the sink's file, by events.
"""

import argparse
import os
import sys
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Final
from urllib.parse import urlsplit

import anyio

from benchmarks.machine import describe, headline
from benchmarks.workloads import chunks, tool_heavy
from tests.worker.process import WorkerProcess

_CONNECTIONS: Final = 8
_PIECE_BYTES: Final = 1024
_AGENTS: Final = (20, 100, 400)
_FIRST_AGENT: Final = 2_000_000
_GAP_S: Final = 0.02
_LIVE: Final = 300  # events of each
_DELTAS: Final = 20
_CONFIG: Final = """\
[store]
path = "runs.db"
keep_changes = {keep}
[[sinks]]
kind = "jsonl"
path = "changes.jsonl"
[sinks.policy]
deliver = "{deliver}"
[ingest]
port = 0
rate_per_s = 100000
rate_burst = 100000
[log]
format = "json"
"""


class _Run:
    """A stream to send."""

    def __init__(self, seed: int) -> None:
        work = tool_heavy(steps=5, deltas=200, seed=seed)
        self.name = f"run-{seed}"
        self.blocks = work.blocks
        self.events = len(work.blocks)
        self.body = work.stream
        self.opening = b"".join(work.blocks[: _DELTAS + 4])  # run, step and so many deltas


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worker", description="What a worker costs.")
    parser.add_argument("--events", type=int, default=200_000, help="how many, about (200000)")
    parser.add_argument("--open", type=int, default=500, help="how many runs are open at once (500)")
    options = parser.parse_args()
    print(headline(describe()))
    for deliver, keep in (("changes", 10**9), ("final", 10_000)):
        with _worker(deliver, keep) as worker:
            _all_at_once(worker, deliver, keep, options.events)
    with _worker("changes", 10**9) as worker:
        print("\nthe sink gets changes, the journal keeps all:")
        sent = sum(_one_at_a_time(worker, agents) for agents in _AGENTS)
        _show_disk(worker, sent)
    with _worker("final", 10_000) as worker:
        _open_runs(worker, options.open)
    return 0


@contextmanager
def _worker(deliver: str, keep: int) -> Generator[WorkerProcess]:
    with TemporaryDirectory(prefix="streamproc-worker-") as folder:
        config = Path(folder) / "worker.toml"
        config.write_text(_CONFIG.format(deliver=deliver, keep=keep), encoding="utf-8")
        with WorkerProcess(config) as worker:
            _send(_address(worker), _Run(_FIRST_AGENT - 1))  # whatever is only needed once
            yield worker


def _all_at_once(worker: WorkerProcess, deliver: str, keep: int, events: int) -> None:
    pid, address = worker.child.pid, _address(worker)
    runs = [_Run(seed) for seed in range(events // _Run(0).events)]
    sent = sum(run.events for run in runs)
    first = _resident_bytes(pid)
    cpu_s, since_s = _cpu_s(pid), monotonic()
    with ThreadPoolExecutor(_CONNECTIONS) as pool:
        assert set(pool.map(lambda run: _send(address, run), runs)) == {200}
    wall_s, cpu_s = monotonic() - since_s, _cpu_s(pid) - cpu_s
    print(f"\nthe sink gets {deliver}, the journal keeps {keep:,} changes: {sent:,} events")
    print(f"  {sent / wall_s:,.0f} a second; {cpu_s / sent * 1e6:.1f} us of CPU each, {sent / cpu_s:,.0f} a core")
    print(f"  resident {first / 2**20:.0f} MiB before, {_resident_bytes(pid) / 2**20:.0f} MiB after")
    _show_disk(worker, sent)


def _show_disk(worker: WorkerProcess, sent: int) -> None:
    worker.stop()
    folder = worker.config.parent
    size = sum(path.stat().st_size for path in folder.glob("runs.db*"))
    lines = (folder / "changes.jsonl").stat().st_size
    # bytes an event are kilobytes a thousand
    print(f"  of 1,000 events: {size / sent:.0f} kB in the store, {lines / sent:.0f} kB in the sink's file")


def _one_at_a_time(worker: WorkerProcess, agents: int) -> int:
    pid, address = worker.child.pid, _address(worker)
    cpu_s, since_s = _cpu_s(pid), monotonic()
    sent = anyio.run(_live_all, address, agents, backend_options={"use_uvloop": True})
    wall_s, cpu_s = monotonic() - since_s, _cpu_s(pid) - cpu_s
    print(f"  {agents} agents, {sent / wall_s:,.0f} events a second, one at a time: ", end="")
    print(f"{cpu_s / sent * 1e6:.0f} us of CPU each, {cpu_s / wall_s:.0%} of a core")
    return sent


def _open_runs(worker: WorkerProcess, count: int) -> None:
    pid, address = worker.child.pid, _address(worker)
    runs = [_Run(_FIRST_AGENT - 2 - number) for number in range(count)]
    before = _resident_bytes(pid)
    with ExitStack() as stack:
        for run in runs:
            connection = HTTPConnection(address)
            stack.callback(connection.close)
            _begin(connection, run.name)
            connection.send(b"%x\r\n%b\r\n" % (len(run.opening), run.opening))
        for run in runs:
            while _offset(address, run.name) < len(run.opening):
                sleep(0.01)
        grown = _resident_bytes(pid) - before
    print(f"\n{count} open runs: {grown / count / 1000:.1f} kB each, with its connection and buffers")


def _address(worker: WorkerProcess) -> str:
    return urlsplit(worker.addresses["ingest"]).netloc


def _begin(connection: HTTPConnection, name: str) -> None:
    connection.putrequest("POST", f"/v1/streams/{name}")
    connection.putheader("Content-Type", "text/event-stream")
    connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()


def _send(address: str, run: _Run) -> int:
    connection = HTTPConnection(address, timeout=120)
    _begin(connection, run.name)
    for piece in chunks(run.body, _PIECE_BYTES):
        connection.send(b"%x\r\n%b\r\n" % (len(piece), piece))
    connection.send(b"0\r\n\r\n")
    with connection.getresponse() as answer:
        answer.read()
        status = answer.status
    connection.close()
    return status


async def _live_all(address: str, agents: int) -> int:
    """So many connections that send an event at a time; returns how many they sent."""
    blocks = [_Run(seed).blocks[:_LIVE] for seed in range(_FIRST_AGENT + agents * 10, _FIRST_AGENT + agents * 11)]
    async with anyio.create_task_group() as group:
        for number, own in enumerate(blocks):
            group.start_soon(_live, address, f"agent-{agents}-{number}", own)
    return sum(map(len, blocks))


async def _live(address: str, name: str, blocks: list[bytes]) -> None:
    host, _, port = address.partition(":")
    head = f"POST /v1/streams/{name} HTTP/1.1\r\nHost: worker\r\nContent-Type: text/event-stream\r\n"
    async with await anyio.connect_tcp(host, int(port)) as connection:
        await connection.send(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        due_s = anyio.current_time()
        for block in blocks:
            await connection.send(b"%x\r\n%b\r\n" % (len(block), block))
            due_s += _GAP_S
            await anyio.sleep_until(due_s)
        await connection.send(b"0\r\n\r\n")
        assert (await connection.receive()).startswith(b"HTTP/1.1 200")


def _offset(address: str, name: str) -> int:
    """How much of a stream was read."""
    connection = HTTPConnection(address, timeout=120)
    connection.request("GET", f"/v1/streams/{name}", headers={"Connection": "close"})
    with connection.getresponse() as answer:
        answer.read()
        offset = int(answer.headers.get("Stream-Offset", 0))
    connection.close()
    return offset


def _cpu_s(pid: int) -> float:
    fields: Sequence[str] = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    sys.exit(main())
