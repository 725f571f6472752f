"""Where an interrupt may come: while input is waited for, not between any two instructions.

Python raises KeyboardInterrupt wherever it happens to be. Between merging a change and keeping it, that leaves a state
which the store does not have; in a lock of the standard library or a class statement it becomes another error, and in a
callback of the garbage collector it is dropped. So an interrupt is held until a chunk is waited for. A second one is
raised at once: it says that something else is taking too long.
"""

import signal
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeAlias

__all__ = ["Waiting", "interrupts_held"]

Waiting: TypeAlias = Callable[[Iterable[bytes]], Iterator[bytes]]


@contextmanager
def interrupts_held() -> Generator[Waiting]:
    """Hold an interrupt within it; what it gives goes through chunks, and is where the interrupt comes.

    Whoever has SIGINT ignored, as a shell does for what it starts in the background, is not interrupted at all.

    Raises:
        KeyboardInterrupt: on leaving, there was one and no more input to wait for. An error goes before.
    """
    before = signal.getsignal(signal.SIGINT)
    if before != signal.default_int_handler:
        yield iter
        return
    held = _Held()
    signal.signal(signal.SIGINT, held.take)
    try:
        yield held.waiting
    finally:
        signal.signal(signal.SIGINT, before)
    held.give()


class _Held:
    def __init__(self) -> None:
        self._is_held = False
        self._was_given = False
        self._is_waiting = False

    def take(self, number: int, frame: FrameType | None) -> None:
        second = self._is_held
        self._is_held = True
        if second or self._is_waiting:
            self._raise()

    def give(self) -> None:
        """Raise what was held and has not been raised yet."""
        if self._is_held and not self._was_given:
            self._raise()

    def waiting(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The same chunks."""
        try:
            self._is_waiting = True  # first: one that comes in between is raised here or there
            self.give()
            for chunk in chunks:
                self._is_waiting = False
                yield chunk
                self._is_waiting = True
                self.give()
        finally:
            self._is_waiting = False

    def _raise(self) -> None:
        self._was_given, self._is_waiting = True, False
        raise KeyboardInterrupt
