"""The merge rules, as a table, and the one function that applies them to plain JSON data.

A delta is a sparse object. What each of its members does to the state depends on the member's name (and at times on the
object it stands in): `RULES` says which of the rules below applies. Members not in the table are unknown: an object
merges into an object, anything else replaces, and nothing is dropped.

    append    text fragments are concatenated
    name      set when empty; an exact repeat of the whole value changes nothing; else concatenated
    keep      identity: the first value stays, another one is an anomaly
    tag       a discriminator: as keep, with an anomaly of its own
    object    merges member by member; anything else in its place is an anomaly
    replace   the newest value stands; numbers are never added
    map       per key replace
    by_index  a list whose entries carry `index` and merge one by one
    whole     a list without indexes: the newest non-empty one stands

Null over a value is never a reset in this protocol and changes nothing.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec

from streamproc.core.anomalies import AnomalyKind
from streamproc.core.limits import Limits
from streamproc.core.tree import ABSENT, Cell, Grown, Node, Slots, TextBuffer

__all__ = ["RULES", "Merge", "Report", "Rule", "is_empty", "rule_for"]

Rule: TypeAlias = Literal["append", "name", "keep", "tag", "object", "replace", "map", "by_index", "whole"]
Report: TypeAlias = Callable[[AnomalyKind, str], None]

RULES: Final[Mapping[str, Rule]] = {
    # identity
    "id": "keep",
    "object": "keep",
    "run_id": "keep",
    "thread_id": "keep",
    "assistant_id": "keep",
    "message_id": "keep",
    "file_id": "keep",
    "url": "keep",
    "created_at": "keep",
    "role": "keep",
    # discriminators
    "type": "tag",
    # objects that recurse
    "step_details": "object",
    "message_creation": "object",
    "function": "object",
    "code_interpreter": "object",
    "file_search": "object",
    "retrieval": "object",
    "image": "object",
    "image_file": "object",
    "image_url": "object",
    "content.text": "object",
    "connected_agent": "object",
    "deep_research": "object",
    "azure_function": "object",
    "browser_automation": "object",
    "computer_use_preview": "object",
    # text that grows
    "arguments": "append",
    "code_interpreter.input": "append",
    "logs": "append",
    "text.value": "append",
    "refusal": "append",
    # text that comes whole, or in pieces, or again
    "name": "name",
    "input": "name",
    "output": "name",
    # maps
    "metadata": "map",
    "azure_ai_search": "map",
    "bing_grounding": "map",
    "bing_custom_search": "map",
    "sharepoint_grounding": "map",
    "fabric_dataagent": "map",
    "openapi": "map",
    # lists
    "step_details.tool_calls": "by_index",
    "code_interpreter.outputs": "by_index",
    ".content": "by_index",  # of the message itself
    "text.annotations": "by_index",
    "results": "whole",
    "steps": "whole",
    "pending_safety_checks": "whole",
    "acknowledged_safety_checks": "whole",
    "activities": "whole",
}

_KNOWN: Final = frozenset({"object", "map", "append", "name"})  # an object never takes the place of their values
_RECURSING: Final = frozenset({"object", "map"})
_SCALAR, _CONTAINER = 8, 2  # what a number and an empty object or list count for
_MAX_DEPTH: Final = 32  # members nested deeper replace as a whole


# the object (by the member it is) -> the rules of its members, where it has rules of its own
_PLAIN: Final[dict[str, Rule]] = {name: rule for name, rule in RULES.items() if "." not in name}
_RULES_IN: Final[dict[str, dict[str, Rule]]] = {"*": {}}  # in a map every value replaces the one before
for _rule in RULES:
    if "." in _rule:
        _parent, _, _name = _rule.partition(".")
        _RULES_IN.setdefault(_parent, dict(_PLAIN))[_name] = RULES[_rule]


def rule_for(parent: str, name: str) -> Rule:
    """Return the rule for member `name` of an object that is itself the member `parent`."""
    return _RULES_IN.get(parent, _PLAIN).get(name, "replace")


def is_empty(value: object) -> bool:
    """Whether a value says nothing: absent, null, or an empty text or container."""
    return value is ABSENT or value is None or value == "" or value == [] or value == {}


class Merge:
    """Merges one delta into a tree. Made for one delta, then asked what became of it.

    Attributes:
        changed: whether anything visible changed.
        size: characters added, to be counted against `Limits.max_object_bytes`.
    """

    __slots__ = ("_limits", "_report", "_rev", "_room", "changed", "size")

    def __init__(self, rev: int, room: int, limits: Limits, report: Report) -> None:
        self._rev = rev
        self._room = room
        self._limits = limits
        self._report = report  # gets names from RULES and sizes, never content
        self.changed = False
        self.size = 0

    def into(self, node: Node, delta: Mapping[str, Any], parent: str = "", depth: int = 0) -> None:
        """Merge the members of `delta` into `node`, which stands under the name `parent`."""
        rules = _RULES_IN.get(parent, _PLAIN)
        is_new = node.born == self._rev  # nobody has seen the node yet
        for name, value in delta.items():
            if is_new and name not in node.members and self._plain(node, name, value, rules):
                continue
            if value is None:
                self._null(node, name)
                continue
            rule = rules.get(name, "replace")
            if rule == "by_index":
                self._list(node, name, value, depth)
            elif rule == "keep" or rule == "tag":
                self._keep(node, name, value, "type_conflict" if rule == "tag" else "id_conflict")
            elif isinstance(value, dict) and parent != "*" and depth < _MAX_DEPTH:
                self._object(node, name, value, "*" if rule == "map" else name, depth, known=rule in _KNOWN)
            elif rule == "append" or rule == "name":
                self._text(node, name, value, whole=rule == "name")
            elif rule in _RECURSING and not isinstance(value, dict) and isinstance(node.latest(name), (dict, Node)):
                self._report("type_conflict", f"a plain value for {_public(name)}, which is an object")
            elif rule != "whole" or not is_empty(value) or node.latest(name) in (ABSENT, None):
                self._replace(node, name, value)

    def _plain(self, node: Node, name: str, value: Any, rules: Mapping[str, Rule]) -> bool:
        """Take what every rule takes as it is where nothing stands; returns whether `value` was of that kind.

        All the members of a call that just appeared are, so they are worth a path of their own.
        """
        if type(value) is str:
            size = len(value)
            if rules.get(name) == "append":
                if self._grow(size):
                    node.members[name] = TextBuffer(value, self._rev)
                return True
        elif value is None or type(value) is int:
            size = _SCALAR
        else:
            return False
        if self._grow(len(name) + size):
            node.members[name] = value
        return True

    # -- one method a rule ----------------------------------------------------------------------------------------

    def _null(self, node: Node, name: str) -> None:
        if node.latest(name) is ABSENT:
            self._put(node, name, None)

    def _text(self, node: Node, name: str, value: Any, *, whole: bool) -> None:
        if not isinstance(value, str):
            self._keep(node, name, value, "type_conflict")
            return
        current = node.latest(name)
        if current is ABSENT or current is None:
            if whole:
                self._put(node, name, value)
            elif self._grow(len(value)):
                node.members[name] = TextBuffer(value, self._rev, node.replaced(name))
        elif not isinstance(current, (str, TextBuffer)):
            self._report("type_conflict", f"text for {_public(name)}, which holds no text")
        elif value and not (whole and _same(current, value)) and self._grow(len(value)):
            if isinstance(current, str):
                current = node.members[name] = TextBuffer(current, *node.standing(name))
            current.append(value, self._rev)

    def _keep(self, node: Node, name: str, value: Any, conflict: AnomalyKind) -> None:
        current = node.latest(name)
        if current is ABSENT or is_empty(current):
            if current != value:
                self._put(node, name, value)
        elif not _same(current, value):
            self._report(conflict, f"{_public(name)} differs from the first one")

    def _replace(self, node: Node, name: str, value: Any) -> None:
        current = node.latest(name)
        if not (type(current) is type(value) and current == value):
            self._put(node, name, value)

    def _object(self, node: Node, name: str, value: dict[str, Any], parent: str, depth: int, *, known: bool) -> None:
        child = node.members.get(name)
        if not isinstance(child, Node):
            current = node.latest(name)
            if isinstance(current, dict):
                child = Node(current, *node.standing(name))
            elif is_empty(current) or not known:
                if not self._grow(len(name) + _CONTAINER):
                    return
                child = Node({}, self._rev, node.replaced(name))
            else:
                self._report("type_conflict", f"an object for {_public(name)}, which holds none")
                return
            node.members[name] = child
        self.into(child, value, parent, depth + 1)

    def _list(self, node: Node, name: str, value: Any, depth: int) -> None:
        items = value if isinstance(value, list) else [value]  # one server sends a lone object for a list of one
        slots = node.members.get(name)
        if not isinstance(slots, Slots):
            current = node.latest(name)
            if isinstance(current, list):
                slots = Slots(current, *node.standing(name))
            elif is_empty(current):
                if not self._grow(_CONTAINER):
                    return
                slots = Slots([], self._rev, node.replaced(name))
            else:
                self._report("type_conflict", f"a list for {name}, which holds none")
                return
            node.members[name] = slots
        for item in items:
            if not isinstance(item, dict):
                self._report("type_conflict", f"an entry of {name} is no object")
                continue
            index = self._place(slots, item, alone=len(items) == 1, name=name)
            if index is not None:
                self._entry(slots, index, item, name, depth)

    # -- entries --------------------------------------------------------------------------------------------------

    def _place(self, slots: Slots, item: dict[str, Any], *, alone: bool, name: str) -> int | None:
        """Find the index at which `item` belongs; None when it is refused."""
        raw = item.get("index", ABSENT)
        item_id = item.get("id")
        by_id = slots.index_of(item_id)
        if type(raw) is not int or raw < 0:
            if raw is not ABSENT:
                self._report("index_invalid", f"an index of {name} is {type(raw).__name__} or negative")
            if by_id is not None:
                return by_id
            if alone and len(slots.entries) <= 1 and not self._other_id(slots, slots.first(), item_id):
                return slots.first()
            if raw is ABSENT:
                self._report("index_invalid", f"no index in {name}, and no id that tells the entry")
            return slots.last() + 1
        if by_id is not None:
            if slots.moved.get(raw, raw) != by_id:
                self._report("id_conflict", f"index {raw} of {name} holds another id; placed by id at {by_id}")
            return by_id
        index = slots.moved.get(raw, raw)
        if self._other_id(slots, index, item_id):
            # A new id for a place that is taken is another call, never a continuation of the first.
            index = slots.move(raw)
            self._report("id_conflict", f"index {raw} of {name} holds another id; placed at {index}")
        reach = slots.last()
        if index > reach + self._limits.max_index_gap:
            self._report("index_gap", f"index {min(index, 2**53)} of {name} is too far beyond {reach}")
            return None
        return index

    @staticmethod
    def _other_id(slots: Slots, index: int, item_id: object) -> bool:
        entry = slots.entries.get(index)
        if not isinstance(item_id, str) or not item_id or not isinstance(entry, Node):
            return False
        known = entry.latest("id")
        return not is_empty(known) and known != item_id

    def _entry(self, slots: Slots, index: int, item: dict[str, Any], name: str, depth: int) -> None:
        entry = slots.entries.get(index)
        if entry is None:
            if len(slots.entries) >= self._limits.max_entries:
                self._report("limit", f"more than {self._limits.max_entries} entries in {name}")
                return
            if not self._grow(_CONTAINER):
                return
            entry = Node({}, self._rev)
            slots.add(index, entry)
        elif not isinstance(entry, Node):
            self._report("type_conflict", f"entry {index} of {name} is no object")
            return
        elif _repeats(entry, item):
            return
        self.into(entry, {key: value for key, value in item.items() if key != "index"}, name, depth + 1)
        slots.learn_id(index, entry.latest("id"))  # as it was taken, if it was

    # -- writing --------------------------------------------------------------------------------------------------

    def _put(self, node: Node, name: str, value: Any) -> None:
        """Give a member a new value."""
        now = node.replaced(name)
        if not self._grow(_size(value) + (len(name) if now is ABSENT else 0)):
            return
        if node.born == self._rev and not isinstance(now, Grown):
            node.members[name] = value  # nobody can have seen the node without it
        elif isinstance(now, Cell):
            now.set(value, self._rev)
        else:
            cell = node.members[name] = Cell(now)
            cell.set(value, self._rev)

    def _grow(self, size: int) -> bool:
        """Make room for that many characters more; False when there is none."""
        total = self.size + size
        if total > self._room:
            self._report("limit", f"{size} more characters would pass {self._limits.max_object_bytes} in one object")
            return False
        self.size = total
        self.changed = True
        return True


def _public(name: str) -> str:
    """The name of a member if it is one of the protocol's; any other is content and stays out of reports."""
    return name if name in RULES else "a member"


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    return len(msgspec.json.encode(value)) if isinstance(value, (dict, list)) else _SCALAR


def _same(current: Any, value: Any) -> bool:
    """Whether a member already holds all that `value` says; nulls in it say nothing."""
    if isinstance(current, TextBuffer):
        return isinstance(value, str) and current.equals(value)
    if isinstance(current, Node):
        return isinstance(value, dict) and all(
            item is None or _same(current.latest(key), item) for key, item in value.items() if key != "index"
        )
    if isinstance(current, dict) and isinstance(value, dict):
        return all(item is None or current.get(key, ABSENT) == item for key, item in value.items())
    return type(current) is type(value) and bool(current == value)


def _repeats(entry: Node, item: dict[str, Any]) -> bool:
    """Whether `item` is the whole entry sent again: its id, its name and all its text, exactly as they stand.

    Some servers send a complete call once more after its snapshot; a mere fragment never carries all three.
    """
    parts = [item, *(value for value in item.values() if isinstance(value, dict))]
    named = any(not is_empty(part.get("name")) for part in parts)
    return named and not is_empty(item.get("id")) and _same(entry, item)
