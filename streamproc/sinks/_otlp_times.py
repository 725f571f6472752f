"""When a span began and ended, in nanoseconds since 1970, out of its object's times and the time its change came in.

Servers say whole seconds. Within the second that a server names, the end is when the final change came in (`at`), if
that was in this second or the next, and the beginning is when the first one did; a time with a fraction is taken as it
is. What a server does not say is taken from these: as the end for what ended, and for what never did as the last thing
known. A span never ends before it began.
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
    is_start_known: bool = True  # False: nobody says it, and the span begins where it ends


def times_of(change: Change, state: Run | RunStep, first_at: str | None = None) -> Times:
    """The times of an object's span; `first_at`: when its first change came in, as far as that is known."""
    at, first = _arrived_ns(change.at), _arrived_ns(first_at)
    created = _ns(state.created_at)
    start = first if created is None else _within(created, first)
    end = _end_ns(state, at)
    if end is None:
        end = start if at is None else at
    if end is None:
        return Times(0, 0, is_start_known=False)  # only a bare processor makes changes without any time
    if start is None:
        return Times(end, end, is_start_known=False)
    return Times(start, max(start, end))


def _end_ns(state: Run | RunStep, at: int | None) -> int | None:
    """When the server says that it ended; None if it does not."""
    status = state.status if isinstance(state.status, str) else ""
    for name in _END_OF.get(status, ()):
        said = getattr(state, name, None)
        named = _ns(said)
        if named is None:
            continue
        return _within(named, at)
    return None


def _within(named: int, arrived: int | None) -> int:
    """A time that the server names, refined by when it told so if it is a whole second."""
    if named % _SECOND == 0 and arrived is not None and named <= arrived < named + 2 * _SECOND:
        return min(arrived, named + _SECOND - 1)
    return named


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
