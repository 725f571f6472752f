"""JSON data with its secrets masked: the states of objects, payloads, whatever a log event holds.

A text of an object that still grows (by the merge rules, core/merge.py) is shown as far as it is sure; all others are
judged as they stand. What tells objects apart is left as it is: ids, types, statuses of the object itself, its roles.
"""

from typing import Any, Final

from streamproc.core.merge import Rule, is_empty, rule_for
from streamproc.redaction.keys import KEY_MASK
from streamproc.redaction.rules import Rules, mask_of
from streamproc.redaction.scanner import redacted, released

__all__ = ["DEPTH_MASK", "IDENTITIES", "MERGED_DEPTH", "grows", "member_name", "plain", "state", "whole_text"]

IDENTITIES: Final = frozenset({"id", "run_id", "thread_id", "assistant_id", "object", "type", "status", "role"})
"""Members of an object itself that are never redacted: what guards, joins and filters go by."""

_NAMES: Final = frozenset({*IDENTITIES, "message_id", "file_id"})
"""Members anywhere that are never cut short."""

DEPTH_MASK: Final = mask_of("depth")
"""In place of what is nested too deep to be looked at."""

MERGED_DEPTH: Final = 32  # as in core/merge.py: what is nested deeper does not grow
_MAX_DEPTH: Final = 64


def grows(rule: Rule) -> bool:
    """Whether deltas append to a text of this rule."""
    return rule == "append" or rule == "name"


def state(rules: Rules, data: dict[str, Any], *, is_open: bool) -> dict[str, Any]:
    """A Run, RunStep or Message.

    Args:
        is_open: whether deltas may still append to its texts.
    """
    return _open(rules, data, "", 0) if is_open else _members(rules, data, is_top=True)


def plain(rules: Rules, value: Any, depth: int = 0) -> Any:
    """Any other data, all of whose texts are whole."""
    if isinstance(value, str):
        return redacted(rules, value)
    if isinstance(value, dict):
        return DEPTH_MASK if depth > _MAX_DEPTH else _members(rules, value, depth)
    if isinstance(value, list | tuple):
        return DEPTH_MASK if depth > _MAX_DEPTH else [plain(rules, item, depth + 1) for item in value]
    return value


def whole_text(rules: Rules, name: str, value: Any, depth: int) -> Any:
    """The value of a member that does not grow."""
    if rules.is_key(name) and not (is_empty(value) or isinstance(value, bool)):
        return KEY_MASK
    if name in _NAMES and isinstance(value, str):
        return redacted(rules, value, is_cut=False)
    return plain(rules, value, depth + 1)


def member_name(rules: Rules, name: str, taken: dict[str, Any]) -> str:
    """The name of a member, which may be content as well; two that look alike then get numbers."""
    masked = shown = redacted(rules, name, is_cut=False)
    number = 1
    while shown != name and shown in taken:
        number += 1
        shown = f"{masked}-{number}"
    return shown


def _members(rules: Rules, data: dict[str, Any], depth: int = 0, *, is_top: bool = False) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for name, value in data.items():
        if is_top and name in IDENTITIES and isinstance(value, str):
            out[name] = value
        else:
            out[member_name(rules, name, out)] = whole_text(rules, name, value, depth)
    return out


def _open(rules: Rules, data: dict[str, Any], parent: str, depth: int) -> dict[str, Any]:
    """The members of an object that deltas merge into, as core/merge.py does it."""
    out: dict[str, Any] = {}
    for name, value in data.items():
        if not depth and name in IDENTITIES and isinstance(value, str):
            out[name] = value
            continue
        shown = member_name(rules, name, out)
        rule = rule_for(parent, name)
        if rules.is_key(name):
            out[shown] = whole_text(rules, name, value, depth)
        elif isinstance(value, str) and grows(rule):
            out[shown] = released(rules, value)
        elif isinstance(value, dict) and parent != "*" and depth < MERGED_DEPTH:
            out[shown] = _open(rules, value, "*" if rule == "map" else name, depth + 1)
        elif isinstance(value, list) and rule == "by_index":
            out[shown] = [
                _open(rules, item, name, depth + 1) if isinstance(item, dict) else plain(rules, item, depth)
                for item in value
            ]
        else:
            out[shown] = whole_text(rules, name, value, depth)
    return out
