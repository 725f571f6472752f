"""Journal: what was read becomes durable before any sink sees it.

The reader calls `offer`, which never waits; one task appends whatever has come to the store and hands it on to the
sinks. While one transaction is under way the next one gathers, so batches grow under load. A store that fails is tried
again without end: reading pauses once too much waits, and nothing is skipped.
"""

from collections.abc import Sequence
from random import Random

import structlog
from anyio import CancelScope, Event, current_time, move_on_after, sleep

from streamproc.core.change import Change
from streamproc.delivery.fanout import Fanout
from streamproc.delivery.policy import Retry
from streamproc.errors import StoreError
from streamproc.protocols import Store

__all__ = ["Journal"]

log = structlog.get_logger("streamproc")

_RETRY = Retry(base_s=0.1, cap_s=5.0)


class Journal:
    """The stage between the reader and the sinks of a pipeline with a store."""

    def __init__(self, store: Store, fanout: Fanout, random: Random, *, inbox_max: int = 16384) -> None:
        self._store = store
        self._fanout = fanout
        self._random = random
        self._inbox_max = inbox_max
        self._waiting: list[Change] = []
        self._storing = 0  # changes in the transaction under way
        self._stored = 0  # changes that are durable
        self.is_failing = False  # the last transaction did not come to pass
        self._work = Event()
        self._progress = Event()
        self._is_draining = False
        self._life = CancelScope()

    def offer(self, changes: Sequence[Change]) -> bool:
        """Take changes in; returns at once, whether it is full."""
        self._waiting += changes
        self._work.set()
        return self.is_full

    @property
    def is_full(self) -> bool:
        """Whether the next offer must wait for `room`."""
        return len(self._waiting) >= self._inbox_max

    async def room(self) -> None:
        """Return once there is room."""
        while self.is_full:
            await self._progress.wait()

    @property
    def pending(self) -> int:
        """Changes that are not durable yet."""
        return len(self._waiting) + self._storing

    async def flush(self) -> None:
        """Return once everything that was offered so far is durable. Without end while the store fails."""
        goal = self._stored + self.pending
        while self._stored < goal:
            await self._progress.wait()

    async def run(self) -> None:
        """Store and hand on, until `drain`."""
        with self._life:
            while self._waiting or not self._is_draining:
                if not self._waiting:
                    self._work = Event()
                    await self._work.wait()
                    continue
                changes, self._waiting = self._waiting, []
                self._storing = len(changes)
                last = await self._append(changes)
                self._storing = 0
                self._stored += len(changes)
                self._fanout.offer(changes, last - len(changes) + 1)
                self._progressed()

    async def drain(self, deadline_s: float) -> None:
        """Wait until all is stored, at most so long; what is not is lost, and logged. The last call."""
        self._is_draining = True
        self._work.set()
        with move_on_after(deadline_s):
            while self.pending:
                await self._progress.wait()
        if self.pending:
            log.error("store.drain_expired", deadline_s=deadline_s, lost=self.pending)
            self._life.cancel()

    async def _append(self, changes: Sequence[Change]) -> int:
        failures = 0
        since_s = current_time()
        while True:
            try:
                last = await self._store.append(changes)
            except StoreError as error:
                failures += 1
                self.is_failing = True
                wait_s = _RETRY.wait_s(failures, self._random)
                log.error("store.unavailable", attempt=failures, wait_s=round(wait_s, 3), cause=str(error))
                await sleep(wait_s)
                continue
            self.is_failing = False
            if failures:
                log.info("store.recovered", failures=failures, after_s=round(current_time() - since_s, 3))
            return last

    def _progressed(self) -> None:
        self._progress.set()
        self._progress = Event()
