"""Lives of one worker under load, ended by signals at random moments: always the same files, the same clients.

A life that is told to end has to do so with exit code 0 within its deadline, and leave nothing for later. In the end
the store, the sink's file and the clients have to agree, see checker.py.
"""

import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

import anyio
import anyio.to_thread
from msgspec import Struct, field

from tests.faults.worker.checker import Checker
from tests.faults.worker.clients import CANARY, TOKEN, Clients
from tests.worker.process import WorkerProcess, free_port

__all__ = ["DEADLINE_S", "Lives", "live_often"]

DEADLINE_S: Final = 10.0

_CLIENTS: Final = 20
_LIFE_S: Final = 1.0  # how long one may have been at work when its signal comes
_CONFIG: Final = """\
[store]
path = "runs.db"
keep_changes = 100000000
[[sinks]]
kind = "jsonl"
path = "changes.jsonl"
fsync = "never"
[ingest]
port = {port}
tokens = ["${{WORKER_TOKEN}}"]
rate_per_s = 100000
rate_burst = 100000
[admin]
port = 0
[limits]
drain_s = {deadline_s}
[log]
format = "json"
level = "debug"
"""

Progress = Callable[[str], None]


class Lives(Struct):
    """What came of a row of lives."""

    checker: Checker
    ended: int = 0  # by a signal
    took_s: list[float] = field(default_factory=list)  # from the signal to the end
    open: int = 0  # runs under way when signals came
    resumed: int = 0  # times a client went on at an offset
    restarted: int = 0  # times a client began a stream again
    sent: dict[str, int] = field(default_factory=dict)  # client -> runs that it has sent and got an answer about


async def live_often(folder: Path, seed: int, count: int, number: signal.Signals, progress: Progress) -> Lives:
    """End so many lives by a signal, then let one see everything to its end."""
    random, port = Random(seed), free_port()
    config = _write_config(folder, port)
    found = Lives(Checker(folder, seed, (CANARY, TOKEN)))
    clients = Clients(port, _CLIENTS, seed)
    async with anyio.create_task_group() as group:
        group.start_soon(clients.run)
        while found.ended < count:
            await _live(config, found, clients, number, random.uniform(0, _LIFE_S))
            found.ended += 1
            progress(f"{found.ended} of {count} lives")
        clients.is_over = True
        with WorkerProcess(config, is_awaited=False, WORKER_TOKEN=TOKEN) as worker:
            await anyio.to_thread.run_sync(worker.await_start)
            await clients.ended.wait()
            await anyio.to_thread.run_sync(worker.stop)
            found.checker.after_life(worker, is_gentle=True)
    for client in clients.every:
        found.resumed += client.resumed
        found.restarted += client.restarted
        found.sent[client.name] = client.number
    found.checker.at_end(found.sent)
    return found


def _write_config(folder: Path, port: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "worker.toml"
    config.write_text(_CONFIG.format(port=port, deadline_s=DEADLINE_S), encoding="utf-8")
    return config


async def _live(config: Path, found: Lives, clients: Clients, number: signal.Signals, after_s: float) -> None:
    """One life, ended by a signal so long after it began to serve."""
    with WorkerProcess(config, is_awaited=False, WORKER_TOKEN=TOKEN) as worker:
        await anyio.to_thread.run_sync(worker.await_start)
        await anyio.sleep(after_s)
        if number == signal.SIGTERM:
            await anyio.to_thread.run_sync(partial(found.checker.look_at_metrics, worker))
        found.open += clients.open
        since_s = time.monotonic()
        worker.tell(number)
        code = await anyio.to_thread.run_sync(partial(worker.child.wait, 30))
        found.took_s.append(time.monotonic() - since_s)
        is_gentle = number == signal.SIGTERM
        if code != (0 if is_gentle else -number):
            found.checker.fault("failed", f"exit code {code}: {worker.log()[-500:]}")
        if found.took_s[-1] > DEADLINE_S:
            found.checker.fault("late", f"{found.took_s[-1]:.1f} s")
        found.checker.after_life(worker, is_gentle=is_gentle)
