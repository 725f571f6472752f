"""What people are told on stderr: one line a fact, each safe for a terminal. Nothing else writes there.

Facts about one input start with its name. Content of messages and tool calls is never told, ids, counts and the
server's own error texts are.
"""

import sys
from collections.abc import Mapping
from typing import Final

from streamproc.core.anomalies import AnomalyKind
from streamproc.display.terminal import clean

__all__ = ["MEANINGS", "note", "note_anomalies"]

MEANINGS: Final[dict[AnomalyKind, str]] = {
    "bad_json": "a payload that could not be decoded; left out of the states",
    "unknown_event": "an event this version does not know; left out of the states",
    "unknown_type": "a tool, content or step type this version does not know; kept as it came",
    "id_conflict": "two ids for one place; the first one stays",
    "type_conflict": "a value of another type than the known one; the first one stays",
    "status_conflict": "two statuses that disagree; the payload's, or the first terminal one, counts",
    "late_event": "something for an object that had already ended; only gaps are filled",
    "index_gap": "an index far beyond the end of its list; the entry is refused",
    "index_invalid": "an index that is no index; the entry is placed by its id or appended",
    "kept_partial": "a snapshot with less than was streamed before; the streamed details stay",
    "divergence": "streamed text that differs from the final snapshot; the snapshot counts",
    "provisional": "a delta before its object; an object was made for it",
    "truncated": "the stream ended without a terminal event",
    "reopened": "events after the end of the stream; processed all the same",
    "limit": "more than may be kept of one object; the excess is refused",
}
"""What each kind of anomaly means, in half a line."""

_MAX_KINDS: Final = 8
_MAX_LENGTH: Final = 1000


def note(line: str) -> None:
    """Tell people one fact."""
    line = clean(line)
    if len(line) > _MAX_LENGTH:
        line = f"{line[:_MAX_LENGTH]}..."
    sys.stderr.write(f"streamproc: {line}\n")
    sys.stderr.flush()


def note_anomalies(name: str, counts: Mapping[str, int]) -> None:
    """Sum up the oddities of one input, the commonest first. A truncation is not among them: it has its own line."""
    kinds: list[AnomalyKind] = sorted(
        (kind for kind in MEANINGS if kind != "truncated" and counts.get(kind)), key=lambda kind: -counts[kind]
    )
    if not kinds:
        return
    total = sum(counts[kind] for kind in kinds)
    note(f"{name}: {total} {'anomaly' if total == 1 else 'anomalies'}")
    for kind in kinds[:_MAX_KINDS]:
        sys.stderr.write(f"  {counts[kind]:>6} {kind:<15} {MEANINGS[kind]}\n")
    if len(kinds) > _MAX_KINDS:
        rest = sum(counts[kind] for kind in kinds[_MAX_KINDS:])
        sys.stderr.write(f"  {rest:>6} of {len(kinds) - _MAX_KINDS} other kinds\n")
    sys.stderr.flush()
