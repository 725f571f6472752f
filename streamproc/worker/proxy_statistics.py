"""What a proxy counts. Nothing here tells one client, path or run from another, so each figure can be a metric."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, TypeAlias

from msgspec import Struct

__all__ = ["Counts", "ProxyStatistics", "Untapped"]

Untapped: TypeAlias = Literal["backlog", "bomb", "damaged", "encoding", "failed", "limit", "size", "unknown_dialect"]
"""Why what passed was not processed, or not to its end:

    backlog          the pipeline did not keep up, and no more may wait
    bomb             it grows too much when it is decompressed
    damaged          it cannot be decompressed
    encoding         compressed in a way that is not known here
    failed           the pipeline raised
    limit            an event that breaks one of the core's limits
    size             an object that is larger than `max_hydrate_bytes`
    unknown_dialect  a stream of events that no dialect recognises, or without any
"""


class ProxyStatistics(Struct, frozen=True, kw_only=True):
    """The accounts of a proxy since it was opened."""

    requests: int  # that came, those refused by the proxy included
    active: int  # under way now
    refused: int  # answered by the proxy itself, without asking the upstream
    tapped: int  # streams that a dialect recognised
    hydrated: int  # answers whose objects were taken over
    untapped: Mapping[str, int]  # reason -> streams and answers, see `Untapped`
    upstream_errors: Mapping[str, int]  # unreachable, timeout, bad_answer, broken (in the middle of a body) -> requests
    client_disconnects: int  # before the answer was complete
    backlog_bytes: int  # that wait to be processed now


@dataclass(slots=True)
class Counts:
    """The same while it grows."""

    requests: int = 0
    active: int = 0
    refused: int = 0
    tapped: int = 0
    hydrated: int = 0
    client_disconnects: int = 0
    untapped: Counter[Untapped] = field(default_factory=Counter[Untapped])
    upstream_errors: Counter[str] = field(default_factory=Counter[str])

    def frozen(self, backlog_bytes: int) -> ProxyStatistics:
        return ProxyStatistics(
            requests=self.requests,
            active=self.active,
            refused=self.refused,
            tapped=self.tapped,
            hydrated=self.hydrated,
            untapped=MappingProxyType({str(reason): count for reason, count in self.untapped.items()}),
            upstream_errors=MappingProxyType(dict(self.upstream_errors)),
            client_disconnects=self.client_disconnects,
            backlog_bytes=backlog_bytes,
        )
