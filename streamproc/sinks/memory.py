"""MemorySink: the last changes, in memory, for tests and for programs that look at them themselves."""

from collections import deque
from collections.abc import Sequence

from streamproc.core.change import Change
from streamproc.errors import ConfigError

__all__ = ["MemorySink"]


class MemorySink:
    """Keeps the last changes as they came, repeated ones included.

    Promise: at-least-once delivery, until the process ends. A kept change keeps the object that it is a view of.

    Attributes:
        forgotten: how many changes had to make room for newer ones.
    """

    def __init__(self, maximum: int = 100_000) -> None:
        """
        Args:
            maximum: how many changes are kept; the oldest go first.

        Raises:
            ConfigError: `maximum` is below 1.
        """
        if maximum < 1:
            raise ConfigError(f"maximum is {maximum}; expected 1 or more changes")
        self._kept: deque[Change] = deque(maxlen=maximum)
        self._maximum = maximum
        self.forgotten = 0

    @property
    def changes(self) -> list[Change]:
        """What is kept, oldest first; the list is the caller's."""
        return list(self._kept)

    def clear(self) -> None:
        """Let go of all changes; they do not count as forgotten."""
        self._kept.clear()

    async def write(self, batch: Sequence[Change]) -> None:
        """Keep a batch."""
        self.forgotten += max(0, len(self._kept) + len(batch) - self._maximum)
        self._kept.extend(batch)
