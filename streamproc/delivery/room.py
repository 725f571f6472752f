"""Whether a lane has room for another batch, and how long reading has been waiting for that.

A lane is full from the offer that filled its inbox until a batch has left it. The time that reading waits counts from
the first wait of such an episode to its end, whoever waits and however often.
"""

from collections.abc import Callable

from anyio import CancelScope, Event

__all__ = ["Room"]


class Room:
    """The room in one inbox."""

    def __init__(self, max_pause_s: float) -> None:
        self.is_full = False
        self._max_pause_s = max_pause_s
        self._paused_since_s: float | None = None
        self._freed: Event | None = None

    def free(self) -> None:
        """There is room, or nobody needs it any more."""
        self.is_full = False
        self._paused_since_s = None
        if self._freed is not None:
            self._freed.set()
            self._freed = None

    def begin_pause(self, now_s: float) -> bool:
        """Reading begins to wait; returns whether it is the first to do so since the inbox is full."""
        is_first = self.is_full and self._paused_since_s is None
        if is_first:
            self._paused_since_s = now_s
        return is_first

    async def wait(self, expired: Callable[[], None]) -> None:
        """Return once there is room after `begin_pause`; calls `expired` when there was none for too long."""
        since_s = self._paused_since_s
        if since_s is None:
            return
        freed = self._freed = self._freed or Event()
        with CancelScope(deadline=since_s + self._max_pause_s) as scope:
            await freed.wait()
        if scope.cancelled_caught and self._paused_since_s == since_s:
            expired()
