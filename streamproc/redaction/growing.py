"""One object whose texts grow: what has been shown of each of them, and what a delta adds to that.

A delta says where it belongs by member names and indexes, and core/merge.py decides what becomes of it. Here the same
places are followed as far as they are plain. Where they are not (no index, an index that two calls claim, something
that may be said a second time), `Unclear` is raised, and the change is told by its state, which is always right.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from msgspec import Struct

from streamproc.core.body import Body
from streamproc.core.merge import Rule, rule_for
from streamproc.core.place import Around
from streamproc.core.tree import Node, Slots
from streamproc.redaction.keys import KEY_MASK
from streamproc.redaction.objects import IDENTITIES, MERGED_DEPTH, grows, member_name, whole_text
from streamproc.redaction.rules import Rules
from streamproc.redaction.scanner import Scanner

__all__ = ["Grown", "Known", "Texts", "Touched", "Unclear"]

Path: TypeAlias = tuple[str | int, ...]
_NAME_MAX: Final = 256  # characters of a name that are remembered, since it may be said again


class Unclear(Exception):
    """It cannot be told from a delta what it changes."""


class Grown:
    """One text as far as it has come.

    Attributes:
        name: the whole of it, if it is a name and not long.
        ahead: characters that a state has shown before the deltas that say them.
    """

    __slots__ = ("ahead", "is_key", "name", "scanner")

    def __init__(self, rules: Rules, *, is_key: bool) -> None:
        self.scanner = Scanner(rules)
        self.is_key = is_key  # of a member that is masked as a whole
        self.name = ""
        self.ahead = 0

    @property
    def shown(self) -> int:
        return min(self.scanner.fed, 1) if self.is_key else self.scanner.shown

    def feed(self, text: str) -> str:
        """Take a part of the text; returns what that shows."""
        if self.is_key:
            is_first = text and not self.scanner.fed
            self.scanner.fed += len(text)
            return KEY_MASK if is_first and not self.ahead else ""
        out = self.scanner.feed(text)
        if self.ahead:
            hidden = min(self.ahead, len(out))
            self.ahead -= hidden
            out = out[hidden:]
        return out


class Touched(Struct, gc=False):
    """A text that a delta has added to, and where the redacted delta says it."""

    text: Grown
    holder: dict[str, Any]
    name: str


class Known(Struct, gc=False):
    """A place that payloads are for which differ in their text alone."""

    around: Around
    text: Grown
    shown: Around


class Texts:
    """The texts of one object that can grow, as of one revision."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._texts: dict[Path, Grown] = {}
        self._ids: dict[Path, dict[str, int]] = {}  # list -> id of an entry -> its index
        self._entries: dict[Path, dict[int, str]] = {}  # list -> index of an entry -> its id
        self.is_sparse = False  # whether entries are known by other numbers than their positions
        self.is_odd = False  # whether some place is not what deltas say

    # -- from a state ---------------------------------------------------------------------------------------------

    @classmethod
    def of(cls, rules: Rules, body: Body, rev: int) -> "Texts":
        """What a reader knows who has seen the state of a revision."""
        texts = cls(rules)
        texts._learn(body.data(rev), body.tree if rev >= body.grown_at else None, rev, "", 0, ())
        return texts

    def after(self, before: "Texts") -> None:
        """Note what a reader has seen in another state already, maybe a later one."""
        for path, text in self._texts.items():
            seen = before._texts.get(path)
            text.ahead = 0 if seen is None else max(0, seen.shown + seen.ahead - text.shown)
        for path, seen in before._texts.items():
            if path not in self._texts:
                text = self._texts[path] = Grown(self._rules, is_key=seen.is_key)
                text.ahead = seen.shown + seen.ahead

    def _learn(self, data: Mapping[str, Any], node: object, rev: int, parent: str, depth: int, path: Path) -> None:
        for name, value in data.items():
            rule = rule_for(parent, name)
            child = node.latest(name) if isinstance(node, Node) else None
            place = (*path, name)
            if isinstance(value, str):
                if grows(rule) and (depth or name not in IDENTITIES):
                    self._feed(place, rule, name, value)
            elif isinstance(value, dict):
                if parent != "*" and depth < MERGED_DEPTH:
                    self._learn(value, child, rev, "*" if rule == "map" else name, depth + 1, place)
            elif isinstance(value, list) and rule == "by_index":
                self._learn_list(value, child, rev, name, depth, place)

    def _learn_list(self, items: list[Any], slots: object, rev: int, name: str, depth: int, place: Path) -> None:
        indexes = [*range(len(items))]
        if isinstance(slots, Slots):
            there = [index for index in sorted(slots.entries) if slots.entries[index].born <= rev]
            self.is_sparse |= there != indexes
            self.is_odd |= bool(slots.moved) or len(there) != len(items)
            indexes = there
        for index, item in zip(indexes, items, strict=False):
            if isinstance(item, dict):
                self._note_id(place, index, item.get("id"))
                entry = slots.entries[index] if isinstance(slots, Slots) else None
                self._learn(item, entry, rev, name, depth + 1, (*place, index))

    # -- from a delta ---------------------------------------------------------------------------------------------

    def delta(self, delta: Mapping[str, Any], *, is_silent: bool = False) -> tuple[dict[str, Any], list[Touched]]:
        """The delta as it may be shown, and the texts that it adds to.

        Args:
            is_silent: whether all that it adds has been shown.

        Raises:
            Unclear: see there. What is known of the object is of no use any more.
        """
        touched: list[Touched] = []
        return self._object(delta, "", 0, (), touched, is_silent=is_silent), touched

    def _object(
        self, delta: Mapping[str, Any], parent: str, depth: int, path: Path, touched: list[Touched], *, is_silent: bool
    ) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name, value in delta.items():
            if not depth and name in IDENTITIES and isinstance(value, str):
                out[name] = value
                continue
            shown = member_name(self._rules, name, out)
            rule = rule_for(parent, name)
            place = (*path, name)
            if isinstance(value, str) and grows(rule):
                out[shown] = ""
                if not is_silent:
                    text, out[shown] = self._feed(place, rule, name, value)
                    touched.append(Touched(text, out, shown))
            elif self._rules.is_key(name):
                out[shown] = whole_text(self._rules, name, value, depth)
            elif isinstance(value, dict) and parent != "*" and depth < MERGED_DEPTH:
                under = "*" if rule == "map" else name
                out[shown] = self._object(value, under, depth + 1, place, touched, is_silent=is_silent)
            elif rule == "by_index" and isinstance(value, dict | list):
                items = value if isinstance(value, list) else [value]
                out[shown] = [self._entry(item, name, depth, place, touched, is_silent=is_silent) for item in items]
            else:
                out[shown] = whole_text(self._rules, name, value, depth)
        return out

    def _entry(self, item: Any, name: str, depth: int, path: Path, touched: list[Touched], *, is_silent: bool) -> Any:
        index = item.get("index") if isinstance(item, dict) else None
        if type(index) is not int or index < 0:
            raise Unclear
        place = (*path, index)
        if not is_silent:
            is_known = self._note_id(path, index, item.get("id"))
            if self.is_odd or (is_known and self._may_repeat(place, item)):
                raise Unclear
        return self._object(item, name, depth + 1, place, touched, is_silent=is_silent)

    def _note_id(self, path: Path, index: int, id: object) -> bool:
        """Note the id of an entry; returns whether it was known. Odd is an entry that has another id, or an id that is
        another entry's."""
        if not isinstance(id, str) or not id:
            return False
        known, at = self._entries.setdefault(path, {}).get(index), self._ids.setdefault(path, {}).get(id)
        if (known is not None and known != id) or (at is not None and at != index):
            self.is_odd = True
            return True
        self._entries[path][index] = id
        self._ids[path][id] = index
        return known is not None

    def _may_repeat(self, place: Path, item: Mapping[str, Any]) -> bool:
        """Whether an entry may be told a second time as a whole: each text in it is as long as what is known of it."""
        lengths: list[bool] = []

        def look(members: Mapping[str, Any], path: Path) -> None:
            for name, value in members.items():
                if isinstance(value, dict) and len(path) < MERGED_DEPTH:
                    look(value, (*path, name))
                elif isinstance(value, str) and value and (text := self._texts.get((*path, name))) is not None:
                    lengths.append(text.scanner.fed == len(value))

        look(item, place)
        return bool(lengths) and all(lengths)

    def _feed(self, place: Path, rule: Rule, name: str, value: str) -> tuple[Grown, str]:
        text = self._texts.get(place)
        if text is None:
            text = self._texts[place] = Grown(self._rules, is_key=bool(self._rules.is_key(name)))
        elif rule == "name" and value and text.scanner.fed:
            if text.scanner.fed > _NAME_MAX:
                raise Unclear
            if value == text.name:
                return text, ""
        if rule == "name" and text.scanner.fed <= _NAME_MAX:
            text.name = (text.name + value)[: _NAME_MAX + 1]
        return text, text.feed(value)
