"""The accounts of one sink, readable at any moment."""

from typing import Literal, TypeAlias

from msgspec import Struct

__all__ = ["SinkState", "SinkStatistics"]

SinkState: TypeAlias = Literal["delivering", "retrying", "open", "half_open", "closed"]


class SinkStatistics(Struct, frozen=True, kw_only=True):
    """What became of the changes for one sink: received = acked + coalesced + dead + dropped + pending, always."""

    name: str
    state: SinkState
    """delivering: idle or writing · retrying: the last write failed · open: it failed too often, the next one is a
    probe · half_open: the probe is under way · closed: it gets nothing any more."""
    received: int  # changes of the kind that its policy selects
    acked: int  # arrived
    coalesced: int  # gave way to a newer state of their object
    dead: int  # became dead letters
    dropped: int
    """Came after the sink was closed, or was pending when it was; what was being written then may have arrived."""
    pending: int  # wait, or are being written
    writes: int  # calls of `write`
    failed: int  # those that neither returned nor rejected: not available, timed out, gone or a bug
    retried: int  # those that repeated a failed one
    oldest_pending_s: float  # seconds since the oldest pending change came, or was left in the journal; 0 without any
    lag: int = 0  # with a store: changes in the journal that the sink has not settled, pending ones included
    required: bool = True  # by its policy
    missing: int = 0  # with a store: changes that were no longer kept when the sink came to them
