"""How much later an event arrives because there is a proxy in between, which records it on the way.

    python -m benchmarks --only proxy

Three processes on loopback: the server of the live rows, which writes the time into each event; the command, with a
store on disk; and this one, which reads bare sockets and takes down how old each event is. Passes with and without the
proxy take turns, and what they differ by is what the proxy adds.
"""

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

from benchmarks.live.measure import follow, server
from benchmarks.live.server import Plan, allow_sockets
from benchmarks.table import Row

__all__ = ["rows"]

_ROOT: Final = Path(__file__).resolve().parent.parent
_STREAMS: Final = 200
_PACE: Final = 50  # events a second on each
_LOOK: Final = 2000  # events from one look at the CPU time to the next
_MARK: Final = b'"value":"@'


class _Late(NamedTuple):
    """How old events were when they were read, in seconds."""

    p50: float
    p99: float


def rows(*, quick: bool) -> Iterator[Row]:
    """Yield the row on the proxy."""
    allow_sockets()
    rounds, seconds = (1, 1.0) if quick else (3, 3.0)
    plan = Plan(_STREAMS, round(_PACE * seconds), float(_STREAMS * _PACE), stamped=True)
    direct: list[_Late] = []
    through: list[_Late] = []
    costs_s: list[float] = []
    with server() as upstream, _proxy(upstream) as (port, pid):
        _late(upstream, plan, _Sockets(port, pid))  # warm up
        for _ in range(rounds):
            direct.append(_late(upstream, plan, _Sockets(upstream, pid)))
            client = _Sockets(port, pid)
            through.append(_late(upstream, plan, client))
            costs_s.append(client.event_s)
    added = median(with_it.p99 - without.p99 for with_it, without in zip(through, direct, strict=True))
    loop = "asyncio" if find_spec("uvloop") is None else "uvloop"
    remarks = (
        f"p99 {_ms(through, 1):.2f} / {_ms(direct, 1):.2f} ms, p50 {_ms(through, 0):.2f} / {_ms(direct, 0):.2f} ms "
        f"with / without; {loop}, {median(costs_s) * 1e6:.0f} us an event in the proxy's process"
    )
    what = f"proxy, {_STREAMS} streams x {_PACE} events/s, recorded in a store: added latency, p99"
    yield Row("proxy.latency", what, added * 1000, "ms", remarks)


def _ms(late: Sequence[_Late], which: int) -> float:
    return median(each[which] for each in late) * 1000


def _late(upstream: int, plan: Plan, client: "_Sockets") -> _Late:
    done = follow(upstream, None, plan, client)
    assert len(client.delays_s) == done.events, "an event did not arrive"
    cuts = quantiles(client.delays_s, n=100)
    return _Late(cuts[49], cuts[98])


class _Sockets:
    """Reads streams as cheaply as can be, from another port than the server's.

    Args:
        pid: whose CPU time counts, from one event to a later one, so that beginning and end of the streams do not.
    """

    def __init__(self, port: int, pid: int) -> None:
        self.reads = 0
        self.delays_s: list[float] = []
        self._port = port
        self._pid = pid
        self._looks: list[tuple[int, float]] = []  # events so far, CPU seconds so far

    async def follow(self, urls: Sequence[str]) -> None:
        loop = asyncio.get_running_loop()
        readers = [_Reader(self, url.rpartition("/")[2]) for url in urls]
        for reader in readers:
            await loop.create_connection(lambda reader=reader: reader, "127.0.0.1", self._port)  # type: ignore[misc]
        for reader in readers:
            await reader.is_over.wait()

    def texts(self) -> None:
        return None

    def take(self, data: bytes) -> None:
        """Note how old the events in it are."""
        now_s = time.monotonic()
        self.reads += 1
        start = data.find(_MARK)
        while start >= 0:
            start += len(_MARK)
            self.delays_s.append(now_s - float(data[start : data.index(b'"', start)]))
            start = data.find(_MARK, start)
        if len(self.delays_s) // _LOOK > len(self._looks):
            self._looks.append((len(self.delays_s), _cpu_s(self._pid)))

    @property
    def event_s(self) -> float:
        """CPU seconds of that process for each event."""
        (first, first_s), *_, (last, last_s) = self._looks
        return (last_s - first_s) / (last - first)


class _Reader(asyncio.Protocol):
    def __init__(self, to: _Sockets, number: str) -> None:
        self.is_over = asyncio.Event()
        self._to = to
        self._number = number

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(f"GET /{self._number} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    def data_received(self, data: bytes) -> None:
        self._to.take(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_over.set()


# -- the proxy's process -----------------------------------------------------------------------------------------------


@contextmanager
def _proxy(upstream: int) -> Iterator[tuple[int, int]]:
    """The command as users run it, with a store on disk; gives its port on 127.0.0.1, and its id."""
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "streamproc.cli", "proxy", "--upstream", f"http://127.0.0.1:{upstream}"]
        command += ["--listen", "127.0.0.1:0", "--store", f"{folder}/runs.db"]
        with subprocess.Popen(command, cwd=_ROOT, stderr=subprocess.PIPE) as process:
            assert process.stderr is not None
            try:
                line = process.stderr.readline().decode()
                found = re.search(r"listens on http://127\.0\.0\.1:(\d+),", line)
                assert found is not None, line
                yield int(found[1]), process.pid
            finally:
                process.terminate()
                process.communicate(timeout=30)


def _cpu_s(pid: int) -> float:
    """CPU seconds of a process so far; 0 where the system does not say it this way."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / 100
