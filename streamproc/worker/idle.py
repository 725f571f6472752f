"""IdleRuns: when each run was last heard of, so that none looks in progress or is remembered for ever.

It is shown each batch of changes and notes the runs in it, which is one nearly always. What it missed (those that a
store brought back) it finds when it looks through all that the pipeline knows, every few seconds; these count as heard
of then. While a look waits for the store, runs may be heard of again; so what is due is asked anew for each.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from anyio import current_time, sleep

from streamproc.core.change import Change
from streamproc.core.turn import INFERRED
from streamproc.errors import StoreError
from streamproc.pipeline import Pipeline

__all__ = ["IdleRuns"]

log = structlog.get_logger("streamproc")

_RUNS_MAX: Final = 50_000  # that are noted between two looks; far more than a pipeline knows
_LOOK_S: Final = 5.0


class IdleRuns:
    """Gives runs that fell silent an inferred status, and makes the pipeline forget runs that are over.

        idle = IdleRuns(idle_timeout_s=600.0, keep_s=3600.0)
        async with Pipeline(on_changes=idle.heard) as pipeline, create_task_group() as group:
            group.start_soon(idle.watch, pipeline)

    Attributes:
        silent: runs that got an inferred status.
        evicted: runs that were forgotten.
    """

    def __init__(
        self,
        *,
        idle_timeout_s: float | None,
        keep_s: float | None,
        status: str = "expired",
        clock: Callable[[], float] = current_time,
    ) -> None:
        """
        Args:
            idle_timeout_s: how long a run that has not ended may be silent; None: for ever.
            keep_s: how long a run is remembered after it ended, or got its inferred status; None: as long as there is
                room. What is forgotten here is still in the store.
            status: what is inferred.
        """
        self.silent = 0
        self.evicted = 0
        self._idle_timeout_s = float("inf") if idle_timeout_s is None else idle_timeout_s
        self._keep_s = float("inf") if keep_s is None else keep_s
        self._status = status
        self._clock = clock
        self._heard: OrderedDict[str, float] = OrderedDict()  # run -> when, the longest silent first
        self._inferred: set[str] = set()

    def heard(self, changes: Sequence[Change]) -> None:
        """Take note of a batch; for `Pipeline(on_changes=...)`."""
        noted: str | None = None
        for change in changes:
            if change.run_id is not None and change.run_id != noted and change.event != INFERRED:
                noted = change.run_id
                self._note(noted)

    def _note(self, run_id: str) -> None:
        self._heard[run_id] = self._clock()
        self._heard.move_to_end(run_id)
        self._inferred.discard(run_id)
        if len(self._heard) > _RUNS_MAX:
            self._heard.popitem(last=False)

    async def watch(self, pipeline: Pipeline) -> None:
        """Look again and again, until cancelled."""
        look_s = max(0.05, min(_LOOK_S, self._idle_timeout_s / 4, self._keep_s / 4))
        while True:
            await sleep(look_s)
            await self.look(pipeline)

    async def look(self, pipeline: Pipeline) -> None:
        """Do once what is due."""
        now_s, reducer = self._clock(), pipeline.reducer
        for run_id in reducer.run_ids():
            self._heard.setdefault(run_id, now_s)
        for run_id, since_s in [*self._heard.items()]:
            age_s = now_s - since_s
            if age_s < min(self._idle_timeout_s, self._keep_s):
                break
            if self._heard.get(run_id) != since_s:  # heard of while the look waited for the run before
                continue
            has_ended = reducer.has_ended(run_id)
            if has_ended is None:
                self._forget(run_id)
            elif has_ended or run_id in self._inferred:
                if age_s >= self._keep_s:
                    pipeline.evict(run_id)
                    self._forget(run_id)
                    self.evicted += 1
            elif age_s >= self._idle_timeout_s:
                self._inferred.add(run_id)
                self._heard[run_id] = now_s
                self._heard.move_to_end(run_id)
                try:
                    changes = await pipeline.infer(run_id, self._status)
                except StoreError as error:  # nothing was noted; the next look tries again
                    log.error("store.unavailable", cause=str(error))
                    if self._heard.get(run_id) == now_s and run_id in self._inferred:  # not heard of meanwhile
                        self._inferred.discard(run_id)
                        self._heard[run_id] = since_s
                        self._heard.move_to_end(run_id, last=False)
                    return
                if changes:  # else it had the status from before a restart
                    self.silent += 1
                    log.info("run.fell_silent", run_id=run_id, idle_s=round(age_s, 3), inferred_status=self._status)

    def _forget(self, run_id: str) -> None:
        self._heard.pop(run_id, None)
        self._inferred.discard(run_id)
