"""One campaign: a worker with a store and one sink, clients that do not give up, and what befalls worker and server.

First the worker is killed, life after life. Its last life sees the server of its sink killed and paused, and then
everything to its end. After that three accounts are compared: what the clients were answered about, what the store
holds, and what is at the far side.
"""

import re
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

import anyio
import anyio.to_thread
from msgspec import Struct, field

from tests.faults.sinks.audit import Account, audit
from tests.faults.sinks.far_side import FarSide, Open, Server
from tests.faults.worker.checker import Checker
from tests.faults.worker.clients import CANARY, TOKEN, Clients
from tests.worker.process import WorkerProcess, free_port

__all__ = ["BACK_S", "TIMEOUT_S", "Campaign", "Plan", "run_campaign"]

BACK_S: Final = 5.0  # so long after its server is back a sink has to deliver again
TIMEOUT_S: Final = 2.0  # less than a pause, so that writes that were given up are among what is tested
QUICK: Final = (
    f", batch_max = 64, timeout_s = {TIMEOUT_S:g}, breaker_pause_s = 1, retry = {{ base_s = 0.1, cap_s = 1 }}"
)
"""How sinks are fed: no wait is longer than a second. The defaults are made for servers that are away for minutes."""

_PACE_S: Final = 0.003  # of the clients
_AIM_S: Final = 0.0005  # a kill that is aimed comes so soon after something arrived, at most
_ARRIVAL_S: Final = 5.0  # how long it waits for that
_LOOK_S: Final = 0.0002
_POLL_S: Final = 0.02
_GIVE_UP_S: Final = 60.0
_DRAIN_S: Final = 600.0  # for all that is left, once nothing more is sent
_CONFIG: Final = """\
[store]
path = "runs.db"
keep_changes = 100000000
[ingest]
port = {port}
tokens = ["${{WORKER_TOKEN}}"]
rate_per_s = 100000
rate_burst = 100000
[admin]
port = 0
[log]
format = "json"
level = "debug"
{sink}policy = {{ {policy} }}
"""
_ACKED: Final = re.compile(r'^streamproc_sink_changes_total\{.*outcome="acked".*\} (\S+)$', re.MULTILINE)
_LAG: Final = re.compile(r"^streamproc_sink_lag_changes\{.*\} (\S+)$", re.MULTILINE)

Progress = Callable[[str], None]


class Plan(Struct, frozen=True, kw_only=True):
    """How much of what."""

    seed: int
    kills: int  # of the worker
    kills_max: int = 0  # as long as nothing came again there are more, up to so many in all
    server_kills: int
    pauses: int  # of the server
    pause_s: float = 5.0
    deliver: str | None = None  # None: as the sink is usually fed
    waits_as_default: bool = False  # time-outs and retries are those that delivery has by default
    life_s: float = 1.5  # at most: what a worker or a server has before something befalls it, and a server is away


class Campaign(Struct):
    """What came of it."""

    checker: Checker  # of clients, store and logs
    account: Account = field(default_factory=Account)  # of the far side
    kills: int = 0
    repeated_by_kills: int = 0  # what came to the far side again, by kills of the worker
    repeated: int = 0  # likewise, in all
    items: int = 0  # that had to be at the far side
    noun: str = ""  # what they are
    server_kills: int = 0
    pauses: int = 0
    back_s: list[float] = field(default_factory=list)  # from a server's return to the first new acknowledgement
    runs: int = 0

    @property
    def faults(self) -> list[str]:
        return [*self.checker.samples, *self.account.samples]


async def run_campaign(folder: Path, open: Open, plan: Plan, progress: Progress) -> Campaign:
    """All of it, for one sink, in a folder that is there."""
    with ExitStack() as stack:
        far = await anyio.to_thread.run_sync(stack.enter_context, open(folder))
        return await _Run(folder, far, plan, progress).all()


class _Run:
    """One campaign under way."""

    def __init__(self, folder: Path, far: FarSide, plan: Plan, progress: Progress) -> None:
        port = free_port()
        self._config = folder / "worker.toml"
        if plan.deliver is not None and plan.deliver not in far.delivers:
            raise ValueError(f"this sink is compared when it is fed by {', '.join(far.delivers)}")
        policy = f'deliver = "{plan.deliver or far.delivers[0]}"{"" if plan.waits_as_default else QUICK}'
        self._config.write_text(_CONFIG.format(port=port, sink=far.sink(), policy=policy), encoding="utf-8")
        self._far = far
        self._plan = plan
        self._progress = progress
        self._random = Random(plan.seed)
        self._clients = Clients(port, far.clients, plan.seed, pace_s=_PACE_S)
        self._found = Campaign(Checker(folder, plan.seed, (CANARY, TOKEN)))

    async def all(self) -> Campaign:
        found, plan, clients = self._found, self._plan, self._clients
        async with anyio.create_task_group() as group:
            group.start_soon(clients.run)
            while found.kills < plan.kills or (found.kills < plan.kills_max and not self._repeated()):
                await self._killed_life(is_aimed=found.kills % 2 == 1 or found.kills >= plan.kills)
                self._progress(f"{found.kills} of {plan.kills} kills")
            await self._last_life()
        sent = {client.name: client.number for client in clients.every}
        found.runs = sum(sent.values())
        journal, states = found.checker.look_at_store(sent)
        found.noun = self._far.noun
        reading = self._far.read(journal, states, found.checker.again)
        found.account, found.repeated, found.items = audit(reading), reading.repeated, len(reading.wanted)
        if self._far.server is None:
            found.repeated_by_kills = found.repeated
        return found

    def _worker(self) -> WorkerProcess:
        return WorkerProcess(self._config, is_awaited=False, WORKER_TOKEN=TOKEN)

    def _repeated(self) -> int:
        return self._far.repeated(self._found.checker.again)

    def _some_time(self) -> float:
        return self._random.uniform(0, self._plan.life_s)

    # --- the worker is killed -----------------------------------------------------------------------------------------

    async def _killed_life(self, *, is_aimed: bool) -> None:
        """One life, killed at a random moment, or just after something arrived."""
        with self._worker() as worker:
            await anyio.to_thread.run_sync(worker.await_start)
            await anyio.sleep(self._some_time())
            if is_aimed:
                await anyio.to_thread.run_sync(self._aimed, worker, self._random.uniform(0, _AIM_S))
            code = await anyio.to_thread.run_sync(partial(worker.stop, signal.SIGKILL))
            self._found.kills += 1
            if code != -signal.SIGKILL:
                self._found.checker.fault("failed", f"exit code {code}: {worker.log()[-500:]}")
            self._found.checker.after_life(worker, is_gentle=False)

    def _aimed(self, worker: WorkerProcess, after_s: float) -> None:
        """Kill so long after something more has arrived at the far side, or after a while without."""
        before, until_s = self._far.size(), time.monotonic() + _ARRIVAL_S
        while self._far.size() == before and time.monotonic() < until_s:
            time.sleep(_LOOK_S)
        time.sleep(after_s)
        worker.tell(signal.SIGKILL)

    # --- the server is ------------------------------------------------------------------------------------------------

    async def _trouble(self, worker: WorkerProcess, server: Server) -> None:
        """It happens to a sink again and again that nobody answers."""
        troubles = [self._kill] * self._plan.server_kills + [self._pause] * self._plan.pauses
        self._random.shuffle(troubles)
        for number, trouble in enumerate(troubles, 1):
            await anyio.sleep(self._some_time())
            before = await trouble(worker, server)
            await self._back(worker, before)
            self._progress(f"{number} of {len(troubles)} times without a server")

    async def _kill(self, worker: WorkerProcess, server: Server) -> float:
        await anyio.to_thread.run_sync(server.kill)
        self._found.server_kills += 1
        await anyio.sleep(self._some_time())
        before = await self._acked(worker)
        await anyio.to_thread.run_sync(server.start)
        return before

    async def _pause(self, worker: WorkerProcess, server: Server) -> float:
        await anyio.to_thread.run_sync(server.pause)
        self._found.pauses += 1
        await anyio.sleep(self._plan.pause_s)
        before = await self._acked(worker)
        await anyio.to_thread.run_sync(server.resume)
        return before

    async def _back(self, worker: WorkerProcess, before: float) -> None:
        """The server answers: wait until more than before is acknowledged."""
        since_s = time.monotonic()
        while await self._acked(worker) <= before:
            if time.monotonic() > since_s + _GIVE_UP_S:
                break
            await anyio.sleep(_POLL_S)
        self._found.back_s.append(time.monotonic() - since_s)
        if self._found.back_s[-1] > BACK_S:
            self._found.checker.fault("late", f"{self._found.back_s[-1]:.1f} s after the server was back")

    # --- the end ------------------------------------------------------------------------------------------------------

    async def _last_life(self) -> None:
        with self._worker() as worker:
            await anyio.to_thread.run_sync(worker.await_start)
            if self._far.server is not None:
                await anyio.sleep(self._plan.life_s)
                self._found.repeated_by_kills = self._repeated()  # what the last kill brought is there by now
                await self._trouble(worker, self._far.server)
            self._clients.is_over = True
            await self._clients.ended.wait()
            until_s = time.monotonic() + _DRAIN_S
            while (lag := await _metric(worker, _LAG)) and time.monotonic() < until_s:
                self._progress(f"{lag:.0f} changes left")
                await anyio.sleep(_POLL_S)
            code = await anyio.to_thread.run_sync(worker.stop)
            if code:
                self._found.checker.fault("failed", f"exit code {code}: {worker.log()[-500:]}")
            self._found.checker.after_life(worker, is_gentle=True)

    async def _acked(self, worker: WorkerProcess) -> float:
        return await _metric(worker, _ACKED)


async def _metric(worker: WorkerProcess, pattern: re.Pattern[str]) -> float:
    _, text = await anyio.to_thread.run_sync(partial(worker.ask, "GET", "admin", "/metrics"))
    found = pattern.search(text.decode())
    assert found is not None, f"no {pattern.pattern}"
    return float(found[1])
