"""Turns: how much of all streams is processed before the event loop gets to do anything else.

When data of a thousand streams has come, the loop would run a thousand handlers in one turn, and answer nobody for
seconds. So in each turn so many bytes are let through, and what comes beyond them waits in line for the next ones.
"""

from asyncio import get_running_loop
from collections import deque

from anyio import Event
from msgspec import Struct

__all__ = ["Turns"]


class _Place(Struct, eq=False):
    """One that waits in line."""

    size: int
    called: Event


class Turns:
    """Lets `bytes_max` through in a turn of the event loop, and the piece that goes beyond; in the order of coming."""

    def __init__(self, bytes_max: int = 256 * 1024) -> None:
        self._bytes_max = bytes_max
        self._left = bytes_max  # of this turn
        self._line: deque[_Place] = deque()
        self._is_due = False  # `_next` is scheduled

    async def take(self, size: int) -> None:
        """Return when a piece of so many bytes may be processed."""
        if self._line or self._left <= 0:
            place = _Place(size, Event())
            self._line.append(place)
            try:
                await place.called.wait()
            except BaseException:
                if not place.called.is_set():
                    self._line.remove(place)
                raise
            return
        self._left -= size
        self._schedule()

    def _schedule(self) -> None:
        if not self._is_due:
            self._is_due = True
            get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        """A turn later: call the next ones."""
        self._is_due = False
        self._left = self._bytes_max
        while self._line and self._left > 0:
            place = self._line.popleft()
            self._left -= place.size
            place.called.set()
        if self._left < self._bytes_max:
            self._schedule()
