"""When a span began and ended, in nanoseconds since 1970, out of its object's times and the time its change came in.

Servers say whole seconds. Within the second that a server names, the end is when the final change came in (`at`), if
that was in this second or the next; a time with a fraction is taken as it is. The beginning is only known as the server
says it. What a server does not say is taken from `at`: as the end for what ended, and for what never did as the last
thing known. A span never ends before it began.
"""

import math
from datetime import datetime
from typing import Final

from msgspec import Struct

from streamproc.core.change import Change
from streamproc.model.run import Run
from streamproc.model.run_step import RunStep

__all__ = ["Times", "times_of"]

_SECOND: Final = 1_000_000_000
_LATEST_S: Final = 2**63 // _SECOND  # backends keep them as signed numbers

_END_OF: Final = {
    "completed": ("completed_at",),
    "failed": ("failed_at",),
    "cancelled": ("cancelled_at",),
    "expired": ("expired_at", "expires_at"),  # a run has only the latter
    "incomplete": ("completed_at", "failed_at"),
}


class Times(Struct, frozen=True):
    start_ns: int
    end_ns: int
    is_start_known: bool = True  # False: the server does not say it, and the span begins where it ends


def times_of(change: Change, state: Run | RunStep) -> Times:
    """The times of an object's span."""
    at = _arrived_ns(change.at)
    created = _ns(state.created_at)
    end = _end_ns(state, at)
    if end is None:
        end = created if at is None else at
    if end is None:
        return Times(0, 0, is_start_known=False)  # only a bare processor makes changes without any time
    if created is None:
        return Times(end, end, is_start_known=False)
    return Times(created, max(created, end))


def _end_ns(state: Run | RunStep, at: int | None) -> int | None:
    """When the server says that it ended; None if it does not."""
    status = state.status if isinstance(state.status, str) else ""
    for name in _END_OF.get(status, ()):
        said = getattr(state, name, None)
        named = _ns(said)
        if named is None:
            continue
        is_whole = named % _SECOND == 0
        if is_whole and at is not None and named <= at < named + 2 * _SECOND:
            return min(at, named + _SECOND - 1)
        return named
    return None


def _ns(seconds: object) -> int | None:
    """A time of an object; None if it says none, or one that cannot be."""
    if isinstance(seconds, int):
        return seconds * _SECOND if 0 < seconds < _LATEST_S else None
    if isinstance(seconds, float) and math.isfinite(seconds) and 0 < seconds < _LATEST_S:
        whole = math.floor(seconds)
        return whole * _SECOND + round((seconds - whole) * 1_000_000) * 1_000  # no float knows nanoseconds of today
    return None


def _arrived_ns(at: str | None) -> int | None:
    if at is None:
        return None
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        return None  # made by hand
    if moment.tzinfo is None:
        return None
    return round(moment.timestamp() * 1_000_000) * 1_000
