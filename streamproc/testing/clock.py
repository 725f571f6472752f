"""Virtual time: an event loop that never waits for a timer, so that an hour of retries takes a moment.

Whenever no task can go on, the clock jumps to the next timer. So sleeps, timeouts and cancel scopes of asyncio and
anyio work as ever, in the same order on every machine. Sockets and threads are real and take no virtual time: what is
ready is handled before the clock moves, but the clock does not wait for them while a timer is left.
"""

import asyncio
import math
import selectors
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar, TypeVarTuple

__all__ = ["VirtualLoop", "run_virtual"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_OWN_FILES = 1  # the loop's own socket, through which threads wake it


class _Selector(selectors.DefaultSelector):
    """Holds the clock, since the loop says here how long it would wait."""

    def __init__(self, patience_s: float) -> None:
        super().__init__()
        self.now_s = 0.0
        self._patience_s = patience_s

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is not None:
            self.now_s += timeout
            return []
        if len(self.get_map()) > _OWN_FILES:
            return super().select(None)
        ready = super().select(self._patience_s)
        if not ready:
            raise RuntimeError("every task waits, and there is no timer, socket or thread that could wake one")
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose `time()` starts at 0 and moves only when nothing else can.

    Args:
        patience_s: real seconds that it waits for a thread when it has neither timers nor sockets. After them it
            raises RuntimeError instead of hanging.
    """

    def __init__(self, patience_s: float = 1.0) -> None:
        self._clock = _Selector(patience_s)
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now_s

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        if when == math.inf:  # `anyio.sleep_forever` sets such a timer; it must not keep the clock going
            return asyncio.TimerHandle(when, callback, args, self, context)
        return super().call_at(when, callback, *args, context=context)


def run_virtual(async_fn: Callable[[*Ts], Coroutine[Any, Any, T]], *args: *Ts, patience_s: float = 1.0) -> T:
    """Run `async_fn(*args)` to its end in virtual time and return what it returns; cancels the tasks that it left.

    Raises:
        RuntimeError: every task waits for something that cannot happen any more.
    """
    with asyncio.Runner(loop_factory=lambda: VirtualLoop(patience_s)) as runner:
        return runner.run(async_fn(*args))
