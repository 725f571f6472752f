"""Comparing what deltas built up with what a snapshot says, on plain JSON data."""

from itertools import zip_longest
from typing import Any

from streamproc.core.merge import is_empty

__all__ = ["covers", "diverging", "is_bare"]


def is_bare(details: object) -> bool:
    """Whether details say nothing beyond their type."""
    if not isinstance(details, dict):
        return is_empty(details)
    for name, value in details.items():  # noqa: SIM110 - a generator costs more than the loop
        if name != "type" and not is_empty(value):
            return False
    return True


def covers(new: Any, old: Any) -> bool:
    """Whether `new` says at least what `old` does: same text or more of it, same entries or more of them."""
    if isinstance(old, dict):
        return isinstance(new, dict) and all(covers(new.get(name), value) for name, value in old.items())
    if isinstance(old, list):
        return isinstance(new, list) and len(new) >= len(old) and all(map(covers, new, old))
    if isinstance(old, str):
        return isinstance(new, str) and new.startswith(old)
    return old is None or new == old


def diverging(accumulated: Any, final: Any) -> tuple[int, int] | None:
    """The lengths of the first text that deltas spelled differently from the snapshot; None when all agree."""
    if isinstance(accumulated, dict):
        members = final if isinstance(final, dict) else {}
        pairs = [(value, members.get(name)) for name, value in accumulated.items()]
    elif isinstance(accumulated, list):
        entries = final if isinstance(final, list) else []
        pairs = list(zip_longest(accumulated, entries[: len(accumulated)]))
    elif isinstance(accumulated, str):
        text = final if isinstance(final, str) else ""
        return (len(accumulated), len(text)) if accumulated != text else None
    else:
        return None
    return next((lost for pair in pairs if (lost := diverging(*pair))), None)
