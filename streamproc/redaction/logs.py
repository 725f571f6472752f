"""The last step before a log event is written: its values without secrets.

The events of streamproc hold no content, so this is a second line: for what an exception of a plug-in says, and for the
events of the program around it.
"""

from collections.abc import Callable, MutableMapping
from typing import Any, Final

import msgspec

from streamproc.redaction.objects import plain, whole_text
from streamproc.redaction.rules import Redaction

__all__ = ["redact_event"]

_OWN: Final = frozenset({"timestamp", "level", "event"})
_SIMPLE: Final = (str, int, float, bool, type(None), dict, list, tuple)


def redact_event(
    redaction: Redaction | None = None,
) -> Callable[[Any, str, MutableMapping[str, Any]], MutableMapping[str, Any]]:
    """Return a structlog processor that applies patterns and keys to every value, tracebacks included.

    It goes before the renderer, and behind processors that make texts of exceptions. What is neither text, number,
    list nor table is written by its `str`. Nothing is cut short.
    """
    whole = Redaction() if redaction is None else redaction
    rules = msgspec.structs.replace(whole, truncate_chars=None).rules

    def redact(logger: Any, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        return {
            key: plain(rules, _plain(value)) if key in _OWN else whole_text(rules, key, _plain(value), 0)
            for key, value in event.items()
        }

    return redact


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    return value if isinstance(value, _SIMPLE) else str(value)
