"""Body: one object between two snapshots, and how its typed state is built for a view.

Most reads ask for the newest state, again after each fragment of text. So the last state that was built is kept, with
the texts in it that can still grow; the next one is a copy in which only the texts that grew are exchanged.
"""

from typing import Any, Final, Literal, TypeAlias

import msgspec
from msgspec.structs import force_setattr

from streamproc.core.events import CLASSES
from streamproc.core.tree import Growing, Node, growing_texts
from streamproc.model.wire import WireObject, attach_wire, from_wire

__all__ = ["Body", "Kind"]

Kind: TypeAlias = Literal["run", "step", "message", "error", "anomaly"]


class Body:
    """One object between two snapshots: the last snapshot's bytes and, once deltas came, the tree that grows on it.

    A new snapshot makes a new body, so a view that holds the old one is not disturbed by it.
    """

    __slots__ = ("_latest", "grown_at", "id", "kind", "raw", "run_id", "shaped_at", "thread_id", "tree")

    def __init__(self, kind: Kind, id: str, run_id: str | None, thread_id: str | None, raw: bytes) -> None:
        self.kind: Kind = kind
        self.id = id
        self.run_id = run_id
        self.thread_id = thread_id
        self.raw = raw
        self.tree: Node | None = None  # only members that deltas touched
        self.grown_at = 0  # revision of the first delta in it; before that the object is what `raw` says
        self.shaped_at = 0  # revision since which nothing but texts grew
        self._latest: _Latest | None = None

    def data(self, rev: int) -> dict[str, Any]:
        """The object as plain JSON data, as of a revision; the caller's to change."""
        data: dict[str, Any] = msgspec.json.decode(self.raw)
        if self.tree is not None and rev >= self.grown_at:
            data.update(self.tree.at(rev))
        return data

    def wire(self, rev: int) -> bytes:
        """The object's complete JSON as of a revision."""
        if self.tree is None or rev < self.grown_at:
            return self.raw
        return msgspec.json.encode(self.data(rev))

    def state(self, rev: int) -> Any:
        """The object as a typed struct, as of a revision."""
        if self.tree is None or rev < self.grown_at:
            state = from_wire(CLASSES[self.kind], msgspec.json.decode(self.raw))
            attach_wire(state, self.raw)
            return state
        latest = self._latest
        if rev < self.shaped_at:
            return self._build(rev)[0]
        if latest is None or latest.shaped_at != self.shaped_at:
            state, is_complete = self._build(rev)
            latest = self._latest = _Latest(self.shaped_at, state, is_complete, growing_texts(self.tree, rev), rev)
            return state
        state = latest.at(rev)
        if not latest.is_complete:
            attach_wire(state, lambda: self.wire(rev))
        return state

    def _build(self, rev: int) -> tuple[WireObject, bool]:
        """The state from scratch, and whether its struct says all there is to say."""
        data = self.data(rev)
        state = from_wire(CLASSES[self.kind], data)
        is_complete = bool(msgspec.json.decode(msgspec.json.encode(state)) == data)
        if not is_complete:
            attach_wire(state, lambda: self.wire(rev))
        return state, is_complete


class _Latest:
    """The state that was built last, and the texts in it that may have grown since."""

    __slots__ = ("_growing", "_spine", "_spine_of", "_state", "_texts", "is_complete", "shaped_at")

    def __init__(self, shaped_at: int, state: WireObject, is_complete: bool, growing: list[Growing], rev: int) -> None:
        self.shaped_at = shaped_at
        self.is_complete = is_complete
        self._state = state
        self._growing = [(path, text) for path, text in growing if _find(state, path) == text.at(rev)]
        self._texts = [text.at(rev) for _, text in self._growing]
        self._spine: list[tuple[str | int, Any]] = []  # from the object that holds a text up to the state itself
        self._spine_of = -1  # position of that text

    def at(self, rev: int) -> WireObject:
        texts = self._texts
        for position, (_, buffer) in enumerate(self._growing):
            text = buffer.at(rev)
            if text is not texts[position]:
                texts[position] = text
                self._exchange(position, text)
        return self._state

    def _exchange(self, position: int, text: str) -> None:
        """Make a new state with another text, which shares all else with the old one."""
        if position != self._spine_of:
            self._spine_of = position
            self._spine = _spine(self._state, self._growing[position][0])
        spine = self._spine
        new: Any = text
        copy: Any
        for depth, (name, old) in enumerate(spine):
            if type(name) is int:
                copy = (new,) if len(old) == 1 else (*old[:name], new, *old[name + 1 :])
            elif isinstance(old, dict):
                copy = type(old)({**old, name: new})
            else:
                copy = old.__copy__()
                force_setattr(copy, name, new)  # type: ignore[arg-type]
            spine[depth] = name, copy
            new = copy
        self._state = new


_MISSING: Final = object()


def _find(obj: Any, path: tuple[str | int, ...]) -> Any:
    """What stands at a path of member names and positions; _MISSING if the struct has no such member."""
    for name in path:
        obj = _member(obj, name)
    return obj


def _spine(obj: Any, path: tuple[str | int, ...]) -> list[tuple[str | int, Any]]:
    """The objects along a path, innermost first, each with the name of the next one in it."""
    spine: list[tuple[str | int, Any]] = []
    for name in path:
        spine.insert(0, (name, obj))
        obj = _member(obj, name)
    return spine


def _member(obj: Any, name: str | int) -> Any:
    if isinstance(name, int):
        return obj[name] if isinstance(obj, tuple) and name < len(obj) else _MISSING
    return obj.get(name, _MISSING) if isinstance(obj, dict) else getattr(obj, name, _MISSING)
