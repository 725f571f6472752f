"""SIGTERM and SIGINT: the first one asks the worker to end, a second one ends it at once.

At once means: by the system, as those signals do with a program that does not know them, so that nothing in here can be
in the way. Whoever started the process sees that it died of the signal; a shell says 143 or 130. What was acknowledged
is in the store then, as after a `kill -9`. The first process of a container is not ended by signals it does not know;
there it exits with those codes itself.
"""

import os
import signal
from asyncio import get_running_loop
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Final

__all__ = ["first_signal"]

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def _exit(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)


@contextmanager
def first_signal(told: Callable[[str], object]) -> Generator[None]:
    """Within it, the first signal calls `told` with its name, in the event loop; from then on both end the process.

    In the main thread only, as all that concerns signals.
    """
    loop = get_running_loop()
    second = _exit if os.getpid() == 1 else signal.SIG_DFL

    def take(number: int, frame: FrameType | None) -> None:
        for each in _SIGNALS:
            signal.signal(each, second)
        loop.call_soon_threadsafe(told, signal.Signals(number).name)

    before = {each: signal.signal(each, take) for each in _SIGNALS}
    try:
        yield
    finally:
        if signal.getsignal(_SIGNALS[0]) is take:  # else the process is about to end, and may still be told to hurry
            for each, handler in before.items():
                signal.signal(each, handler)
