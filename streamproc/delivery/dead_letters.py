"""Changes that a sink will never take, kept for whoever wants to know what and why.

They are kept in memory and only so many of them: the oldest go first and are counted. A callback sees every one.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import UTC, datetime

import structlog

from streamproc.core.change import Change
from streamproc.protocols import DeadLetter
from streamproc.wording import traceback_text

__all__ = ["DeadLetter", "DeadLetters", "rejected_of"]

log = structlog.get_logger("streamproc")

_IDS_MAX = 10  # ids in a log


class DeadLetters:
    """The latest dead letters of all sinks, oldest first.

    Args:
        callback: called with each one at once; what it raises is logged and changes nothing.
        now: the wall clock; UTC by default.
        kept_max: how many are kept.
    """

    def __init__(
        self,
        callback: Callable[[DeadLetter], object] | None = None,
        now: Callable[[], datetime] | None = None,
        kept_max: int = 1000,
    ) -> None:
        self.forgotten = 0  # how many were not kept
        self._letters: deque[DeadLetter] = deque()
        self._callback = callback
        self._now = now or _utc_now
        self._kept_max = kept_max

    def __len__(self) -> int:
        return len(self._letters)

    def __iter__(self) -> Iterator[DeadLetter]:
        return iter(tuple(self._letters))

    def bury(self, sink: str, dead: Collection[Change], reason: str, attempts: int) -> list[DeadLetter]:
        """Make dead letters of the changes that a sink did not take for one reason; returns them."""
        ids = list(dict.fromkeys(change.id for change in dead))[:_IDS_MAX]
        log.error("sink.dead_lettered", sink=sink, count=len(dead), ids=ids, reason=reason, attempts=attempts)
        at = self._now()
        letters = [DeadLetter(sink=sink, change=change, reason=reason, attempts=attempts, at=at) for change in dead]
        self._letters += letters
        while len(self._letters) > self._kept_max:
            self._letters.popleft()
            self.forgotten += 1
        if self._callback is not None:
            for letter in letters:
                try:
                    self._callback(letter)
                except Exception as error:
                    log.error("dead_letter.callback_failed", sink=sink, exception=traceback_text(error))
        return letters


def rejected_of(sent: Collection[Change], rejected: Iterable[object]) -> list[Change] | None:
    """Those of `sent` that a sink rejected, in their order; None if it named something else too."""
    named = {_entry(change) for change in rejected}
    if not named <= {_entry(change) for change in sent}:
        return None
    return [change for change in sent if _entry(change) in named]


def _entry(change: object) -> object:
    return (change.stream, change.epoch, change.seq) if isinstance(change, Change) else None


def _utc_now() -> datetime:
    return datetime.now(UTC)
