"""What is told of each key, and how a key is found: for the reference in docs/config.md and for the JSON Schema.

Most of it stands in the structs. Those of the core and of delivery describe their fields in comments, so here it is
said again, in the words of somebody who writes a config.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, get_args, get_type_hints

from msgspec import NODEFAULT, Meta, Struct, inspect
from msgspec.structs import fields

from streamproc.core.limits import Limits
from streamproc.delivery.policy import DeliveryPolicy, Retry
from streamproc.worker.config.wording import expectation, without_metadata

__all__ = ["Key", "describe", "keys"]

_ELSEWHERE: Final[Mapping[type[Struct], Mapping[str, str]]] = {
    DeliveryPolicy: {
        "deliver": "changes: every change, in order · latest: the newest state of each object · final: one change for "
        "each run, step and message that ended, plus truncations and errors",
        "required": "whether reading waits for this sink; if not, a full inbox closes it instead",
        "batch_max": "changes in a batch",
        "batch_max_bytes": "payload bytes in a batch; one change may be larger",
        "batch_wait_s": "how long a batch may wait to fill up",
        "timeout_s": "for one write",
        "retry": "of failed writes",
        "breaker_failures": "failed writes in a row after which the sink is only probed, with one change",
        "breaker_pause_s": "between two probes",
        "max_bugs": "unexpected exceptions in a row after which the sink is closed",
        "inbox_max": "changes that wait in memory; with coalesce, objects",
        "when_full": "block: reading pauses, at most `max_pause_s`, then the sink is closed · coalesce: only the "
        "newest state of each object waits, so `deliver` is latest or final · close_sink: the sink is closed",
        "max_pause_s": "how long reading may pause for this sink",
    },
    Retry: {
        "base_s": "the longest first wait; it doubles with each failure",
        "cap_s": "the longest wait",
        "retry_after_cap_s": "the longest wait that a far side may ask for",
        "max_attempts": "attempts in a row without success; no bound unless given",
        "max_elapsed_s": "seconds since the first of those attempts; no bound unless given",
    },
    Limits: {
        "max_line_bytes": "one line of a stream",
        "max_frame_bytes": "one event of a stream",
        "max_index_gap": "how far an index in a delta may lie beyond the end of its list",
        "max_entries": "entries in one list of an object",
        "max_object_bytes": "accumulated text of one object",
        "max_open_runs": "runs that have not ended and are in memory",
        "max_closed_runs": "runs that have ended and are in memory; the oldest go first",
        "max_steps_per_run": "steps and messages of one run",
    },
}


class Key(Struct, frozen=True, kw_only=True):
    """One key of a table, as a reader of the reference wants it."""

    name: str
    type: inspect.Type
    takes: str  # what its value is, in words
    is_required: bool
    default: Any  # None: no value
    text: str  # what it means


def keys(cls: type[Struct]) -> Iterator[Key]:
    """The keys of the table that a struct is read from."""
    kind = inspect.type_info(cls)
    assert isinstance(kind, inspect.StructType)
    for field, info in zip(kind.fields, fields(cls), strict=True):
        default = info.default if info.default_factory is NODEFAULT else info.default_factory()
        yield Key(
            name=field.encode_name,
            type=without_metadata(field.type),
            takes=expectation(field.type, field.encode_name),
            is_required=field.required,
            default=None if default is NODEFAULT else default,
            text=describe(cls, field.name),
        )


def describe(cls: type[Struct], name: str) -> str:
    """What a field means, in half a line; "" where nothing is said."""
    for base in cls.__mro__:
        if name in (texts := _ELSEWHERE.get(base, {})):
            return texts[name]
    hints = get_type_hints(cls, include_extras=True)
    said = [one.description for one in get_args(hints[name]) if isinstance(one, Meta) and one.description]
    return said[-1] if said else ""
