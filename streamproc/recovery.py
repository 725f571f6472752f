"""What follows a lost connection: how the stream goes on, after which wait, and when to give up.

Three ways, the best first: *resume* after the last event that had a cursor, *restart* the same stream from its
beginning (a new epoch), *resync*: ask the server for the run's result (a new epoch too). Which of them a source allows
it says itself, see protocols.py. Once a result is asked for, the stream is given up. Nothing here reads or waits.
"""

from random import Random
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from streamproc.delivery.policy import Retry
from streamproc.errors import SourceError, SourceUnavailable
from streamproc.protocols import ReopeningSource, ResyncingSource, Source

__all__ = ["Attempt", "Recovery", "Way"]

_HEALTHY_S: Final = 60.0

Way: TypeAlias = Literal["resume", "restart", "resync"]


class Attempt(Struct, frozen=True):
    """How a stream goes on."""

    way: Way
    cursor: str | None  # only for "resume"
    number: int  # of the attempt, from 1: after that many failures in a row
    wait_s: float


class Recovery:
    """The attempts of one source, within the budget of `retry`.

    A connection on which bytes came for a minute, or one that moved the cursor, ends a row of failures. Mere time does
    not: a server that accepts and stays silent would be asked for ever.
    """

    def __init__(self, source: Source, retry: Retry, random: Random, now_s: float) -> None:
        self._source = source
        self._retry = retry
        self._random = random
        self._cursor: str | None = None
        self._retry_ms = 0  # what the stream last asked for holds for all connections after it
        self._failures = 0
        self._way: Way | None = None  # that is being tried; None at first
        self._opened_s = self._heard_s = self._failing_since_s = now_s

    def opened(self, now_s: float) -> None:
        """A connection is being opened, or a result asked for."""
        self._opened_s = self._heard_s = now_s

    def heard(self, now_s: float) -> None:
        """Bytes came."""
        self._heard_s = now_s

    def after(
        self,
        error: SourceError | None,
        *,
        now_s: float,
        cursor: str | None,
        run_id: str | None,
        retry_ms: int | None = None,
    ) -> Attempt | None:
        """Return what follows a connection that ended too early; None when nothing can.

        Args:
            error: what the source raised; None when it merely ended.
            cursor: where the stream stands by its own account.
            run_id: the run to ask for; None when it is not known.
            retry_ms: the reconnection time that this connection asked for; None when it did not.
        """
        moved = cursor not in (None, self._cursor)
        if moved or self._heard_s - self._opened_s >= _HEALTHY_S:
            self._failures = 0
        self._cursor = cursor or self._cursor
        self._retry_ms = self._retry_ms if retry_ms is None else retry_ms
        if self._failures == 0:
            self._failing_since_s = now_s
        self._failures += 1
        self._way = way = self._next_way(error, run_id, moved)
        if way is None or self._retry.is_exhausted(self._failures, now_s - self._failing_since_s):
            return None
        asked_s = error.retry_after_s if isinstance(error, SourceUnavailable) else None
        wait_s = self._retry.wait_s(self._failures, self._random, max(asked_s or 0.0, self._retry_ms / 1000))
        return Attempt(way, self._cursor if way == "resume" else None, self._failures, wait_s)

    def _next_way(self, error: SourceError | None, run_id: str | None, moved: bool) -> Way | None:
        source = self._source
        is_passing = error is None or isinstance(error, SourceUnavailable)
        can_resync = isinstance(source, ResyncingSource) and run_id is not None
        # A resumed stream that merely ends has nothing more to say, not even how its run ended.
        is_over = self._way == "resync" or (self._way == "resume" and error is None and not moved)
        if isinstance(source, ReopeningSource) and is_passing and not (can_resync and is_over):
            if source.resumable and self._cursor is not None:
                return "resume"
            if source.repeatable:
                return "restart"
        if can_resync and (is_passing or self._way != "resync"):
            return "resync"
        return None
