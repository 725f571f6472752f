"""The clock of the event loop, for what reads it for each chunk.

asyncio's own `loop.time` is `time.monotonic` behind a method in Python, which costs as much as the reading itself. The
clock of any other loop, such as uvloop's or the virtual one of tests, is asked as it is.
"""

import time
from asyncio import BaseEventLoop, get_running_loop
from collections.abc import Callable

__all__ = ["loop_clock"]


def loop_clock() -> Callable[[], float]:
    """Return what gives the time of the running loop, in seconds."""
    loop = get_running_loop()
    is_plain = getattr(type(loop), "time", None) is BaseEventLoop.time
    return time.monotonic if is_plain else loop.time
