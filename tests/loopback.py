"""Virtual time for tests whose sockets have both their ends here.

The clock moves when neither end has anything to do, so a machine that stalls makes no server silent and no time-out
fire. What is on its way through the system is waited for in real time first, never longer than the wait itself.
"""

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, Final, ParamSpec

from streamproc.testing import clock

__all__ = ["in_loopback_time"]

P = ParamSpec("P")

_ON_ITS_WAY_S: Final = 0.02  # a packet to the same machine takes a thousandth of it
_PATIENCE_S: Final = 60.0  # for a thread, when nothing else can happen


class _Selector(clock._Selector):
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout > 0:
            ready = selectors.DefaultSelector.select(self, min(timeout, _ON_ITS_WAY_S))
            if ready:
                return ready
        return super().select(timeout)


class _Loop(clock.VirtualLoop):
    def __init__(self) -> None:
        self._clock = _Selector(_PATIENCE_S)
        asyncio.SelectorEventLoop.__init__(self, self._clock)


def in_loopback_time(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """A coroutine test in such time, in place of `pytest.mark.asyncio`."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=_Loop) as runner:
            runner.run(test(*args, **kwargs))

    return run
