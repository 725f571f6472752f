"""What a worker costs: a process with a store and a JSONL sink that streams are sent to. For docs/deploy.md.

    python -m benchmarks.worker [--events 200000] [--open 500]

* *An event*: eight connections send whole runs as fast as they are taken, in pieces of 1 KiB; then a hundred send fifty
  events a second each, one at a time. Counted is the CPU time of the worker, with its sockets, store and sink; the
  senders are another process.
* *An open run*: so many connections bring a run with one step and 20 deltas each, and stay. Counted is how much its
  resident set grows by.
* *Disk*: what the store's file holds after the worker has ended, and the sink's file, by events.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Final
from urllib.parse import urlsplit

from benchmarks.machine import describe, headline
from benchmarks.workloads import chunks, tool_heavy
from tests.worker.process import WorkerProcess

_CONNECTIONS: Final = 8
_PIECE_BYTES: Final = 1024
_AGENTS: Final = 100
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
        with TemporaryDirectory(prefix="streamproc-worker-") as folder:
            print(f"\nsink gets {deliver}, the journal keeps {keep:,} changes")
            _measure(Path(folder), deliver, keep, options.events, options.open)
    return 0


def _measure(folder: Path, deliver: str, keep: int, events: int, opened: int) -> None:
    config = folder / "worker.toml"
    config.write_text(_CONFIG.format(deliver=deliver, keep=keep), encoding="utf-8")
    runs = [_Run(seed) for seed in range(events // _Run(0).events)]
    sent = sum(run.events for run in runs)
    with WorkerProcess(config) as worker:
        pid, address = worker.child.pid, urlsplit(worker.addresses["ingest"]).netloc
        first = _resident_bytes(pid)
        cpu_s, since_s = _cpu_s(pid), monotonic()
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            assert set(pool.map(lambda run: _send(address, run), runs)) == {200}
        wall_s, cpu_s = monotonic() - since_s, _cpu_s(pid) - cpu_s
        print(f"{sent:,} events: {sent / wall_s:,.0f} a second, {cpu_s / sent * 1e6:.1f} us of CPU each", end="")
        print(f" ({sent / cpu_s:,.0f} a second and core); resident {first / 2**20:.0f} MiB before them", end="")
        print(f", {_resident_bytes(pid) / 2**20:.0f} MiB after")
        cpu_s, since_s = _cpu_s(pid), monotonic()
        with ThreadPoolExecutor(_AGENTS) as pool:
            live = sum(pool.map(lambda seed: _live(address, _Run(2_000_000 + seed)), range(_AGENTS)))
        wall_s, cpu_s = monotonic() - since_s, _cpu_s(pid) - cpu_s
        print(f"{_AGENTS} agents, {live / wall_s:,.0f} events a second, one at a time: ", end="")
        print(f"{cpu_s / live * 1e6:.0f} us of CPU each ({live / cpu_s:,.0f} a second and core)")
        before = _resident_bytes(pid)
        with ExitStack() as stack:
            for run in (_Run(1_000_000 + number) for number in range(opened)):
                connection = HTTPConnection(address)
                stack.callback(connection.close)
                _begin(connection, run.name)
                connection.send(b"%x\r\n%b\r\n" % (len(run.opening), run.opening))
            _ask(address)  # an answer says that all of that was read
            grown = _resident_bytes(pid) - before
            print(f"{opened} open runs: {grown / opened / 1000:.1f} kB each, of the connection and its buffers too")
        worker.stop()
    size = sum(path.stat().st_size for path in folder.glob("runs.db*"))
    lines = (folder / "changes.jsonl").stat().st_size
    # bytes an event are kilobytes a thousand
    print(f"disk, of 1,000 events: {size / sent:.0f} kB in the store, {lines / sent:.0f} kB in the sink's file")


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


def _live(address: str, run: _Run) -> int:
    connection = HTTPConnection(address, timeout=120)
    _begin(connection, run.name)
    blocks = run.blocks[:_LIVE]
    for block in blocks:
        connection.send(b"%x\r\n%b\r\n" % (len(block), block))
        sleep(_GAP_S)
    connection.send(b"0\r\n\r\n")
    connection.getresponse().read()
    connection.close()
    return len(blocks)


def _ask(address: str) -> None:
    connection = HTTPConnection(address, timeout=120)
    connection.request("GET", "/v1/streams/none")
    connection.getresponse().read()
    connection.close()


def _cpu_s(pid: int) -> float:
    fields: Sequence[str] = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    sys.exit(main())
