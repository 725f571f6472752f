"""A time limit for writes that costs next to nothing when they return in time.

A cancel scope with a deadline around each write would cost more than handing over the batch. So all writes of a lane
share one scope without a deadline and one timer, which is not set anew for every write: when it fires, it looks
whether the write of that moment is overdue, and if not, waits for the rest.
"""

import asyncio
from typing import Self

from anyio import CancelScope

__all__ = ["WriteTimeout", "is_cancelled"]


class WriteTimeout:
    """Cancels the scope of a write that takes `timeout_s`; entered by the task that writes.

    Whoever calls `begin` sets `scope` to None when the write has ended, in whatever way.
    """

    def __init__(self, timeout_s: float) -> None:
        self.scope: CancelScope | None = None  # of the write under way
        self.began_s = 0.0  # when the last write began, by the clock of the event loop
        self._timeout_s = timeout_s
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._now_s = self._loop.time
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def begin(self, scope: CancelScope) -> None:
        """A write begins, directly in `scope`."""
        self.scope = scope
        self.began_s = self._now_s()
        if self._timer is None:
            self._timer = self._loop.call_at(self.began_s + self._timeout_s, self._look)

    def _look(self) -> None:
        self._timer = None
        if self.scope is None:
            return
        due_s = self.began_s + self._timeout_s
        if self._now_s() >= due_s:
            self.scope.cancel()
        else:
            self._timer = self._loop.call_at(due_s, self._look)


def is_cancelled() -> bool:
    """Whether somebody asked for the running task to be cancelled, and not something that it awaited."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
