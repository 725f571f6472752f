"""The closed list of oddities that processing tolerates, counts and reports.

Nothing in a stream raises (limits of the parser apart): what does not fit is repaired or refused, and each time one of
these names is counted and travels as a change of kind "anomaly". An anomaly carries ids and sizes, never content.
"""

from typing import Final, Literal, TypeAlias, get_args

from msgspec import Struct

__all__ = ["ANOMALY_KINDS", "Anomaly", "AnomalyKind"]

AnomalyKind: TypeAlias = Literal[
    "bad_json",  # a payload that is no JSON object of the expected shape; kept raw on the change
    "unknown_event",  # an event name outside the vocabulary; kept raw on the change
    "unknown_type",  # step details, a tool call or a content block of a type we do not know; kept as it is
    "id_conflict",  # two ids claim one place; the first stays, a second tool call gets a place of its own
    "type_conflict",  # a value or discriminator of another type than the one known; the first stays
    "status_conflict",  # the event's name and its payload, or two terminal events, disagree
    "late_event",  # something for an object that already ended, or from a connection that was replaced
    "index_gap",  # an index further ahead than Limits.max_index_gap; the entry is refused
    "index_invalid",  # a negative, boolean, non-integer or undecidable index; the entry is placed by id or appended
    "kept_partial",  # a snapshot held less than what was accumulated; the accumulated details stay
    "divergence",  # accumulated text differs from the terminal snapshot; the snapshot wins
    "provisional",  # a delta came before its object (or without an id); an object was made for it
    "truncated",  # the stream ended without a terminal event
    "reopened",  # frames after the end of a stream without `open()`; processed all the same
    "limit",  # something would grow past Limits; the excess is refused or the oldest evicted
]
ANOMALY_KINDS: Final[tuple[str, ...]] = get_args(AnomalyKind)


class Anomaly(Struct, frozen=True, kw_only=True):
    """One oddity; travels as `change.delta` of an anomaly change."""

    kind: AnomalyKind
    event: str = ""  # the event's name on the wire, when one was involved
    id: str = ""  # of the object concerned
    detail: str = ""  # which field or bound, with sizes; never content
