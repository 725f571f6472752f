"""What may still be added to an object that already ended.

Some servers send a tool's output, the usage or metadata after the terminal event. Such a late event may fill what is
null, absent or empty in those places; to see what is, the object's JSON is looked through once more. Whatever else a
late event says is refused, at no cost.
"""

from typing import Any, Final

from streamproc.core.merge import is_empty, rule_for

__all__ = ["fill", "may_fill"]

_FILLABLE: Final = frozenset({"usage", "output", "outputs", "results", "metadata"})


def may_fill(late: Any) -> bool:
    """Whether a delta holds anything that could fill a gap; tells without a look at the state, which may be large."""
    if isinstance(late, dict):
        return any((name in _FILLABLE and not is_empty(value)) or may_fill(value) for name, value in late.items())
    return isinstance(late, list) and any(map(may_fill, late))


def fill(
    current: dict[str, Any], late: dict[str, Any], parent: str = "", *, free: bool = False
) -> tuple[bool, set[str]]:
    """Fill the gaps of `current` (changed in place) from `late`; a repeat of what stands is no news.

    Returns:
        Whether anything was filled, and the names of members that say something else and were refused.
    """
    filled = False
    refused: set[str] = set()
    for name, value in late.items():
        now = current.get(name)
        fillable = free or name in _FILLABLE
        if value is None or name == "index" or (now == value and type(now) is type(value)):
            continue
        if fillable and is_empty(value):
            continue
        if fillable and is_empty(now):
            current[name] = _without_index(value)
            filled = True
        elif isinstance(now, dict) and isinstance(value, dict):
            inner, others = fill(now, value, name, free=fillable)
            filled = filled or inner
            refused |= others
        elif isinstance(now, list) and isinstance(value, list) and rule_for(parent, name) == "by_index":
            inner, others = _fill_list(now, value, name)
            filled = filled or inner
            refused |= others
        else:
            refused.add(name)
    return filled, refused


def _fill_list(now: list[Any], late: list[Any], name: str) -> tuple[bool, set[str]]:
    filled = False
    refused: set[str] = set()
    for position, item in enumerate(late):
        entry = _match(now, item, position)
        if entry is None:
            refused.add(name)
            continue
        inner, others = fill(entry, item, name)
        filled = filled or inner
        refused |= others
    return filled, refused


def _match(now: list[Any], item: Any, position: int) -> dict[str, Any] | None:
    """The entry that `item` speaks of: the one with its id, else the one at its index or position."""
    if not isinstance(item, dict):
        return None
    if item.get("id"):
        return next((entry for entry in now if isinstance(entry, dict) and entry.get("id") == item["id"]), None)
    index = item.get("index", position)
    if type(index) is not int or not 0 <= index < len(now) or not isinstance(now[index], dict):
        return None
    found: dict[str, Any] = now[index]
    return found


def _without_index(value: Any) -> Any:
    """Entries of a delta carry an index, those of a state do not."""
    if not isinstance(value, list):
        return value
    return [{k: v for k, v in item.items() if k != "index"} if isinstance(item, dict) else item for item in value]
