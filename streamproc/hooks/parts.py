"""The parts of a step or message: its tool calls or content blocks, and the index by which each is known.

A delta names a part by an index, a snapshot lists its parts without one. Which part an entry of a delta belongs to was
decided when it was merged (see core/merge.py), so here that is read from the tree that grew, never decided again. Trees
may have grown on since a change was made; every look at one is as of the change's revision.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from streamproc.core.change import Change
from streamproc.core.tree import Node, Slots
from streamproc.model.message import BLOCKS, Message, Text, UnknownBlock
from streamproc.model.run_step import RunStep, ToolCallsDetails
from streamproc.model.tool_calls import TOOL_CALLS, UnknownToolCall
from streamproc.model.wire import from_wire, open_variant

__all__ = ["annotation", "entries_of", "id_of", "inner_slots", "matched", "part_at", "parts_of", "place", "slots_of"]

_PATHS: Final[Mapping[str, Sequence[str]]] = {"step": ("step_details", "tool_calls"), "message": ("content",)}
"""Kind of object -> where the list of its parts stands."""


def parts_of(change: Change) -> dict[int, Any]:
    """The parts as they were after a change, typed, by index and in its order."""
    state = change.state
    parts = _calls(state) if isinstance(state, RunStep) else _blocks(state)
    slots = slots_of(change)
    if slots is None:
        return dict(enumerate(parts))
    indexes = (index for index in sorted(slots.entries) if slots.entries[index].born <= change.revision)
    return dict(zip(indexes, parts, strict=False))


def slots_of(change: Change) -> Slots | None:
    """The list of parts that deltas built up; None when the object is what its snapshot says."""
    tree = change.body.tree
    if tree is None or change.revision < change.body.grown_at:
        return None
    return inner_slots(tree, _PATHS[change.kind], change.revision)


def inner_slots(node: object, path: Sequence[str], revision: int) -> Slots | None:
    """The list at a path of member names."""
    for name in path:
        node = node.members.get(name) if isinstance(node, Node) else None
    return node if isinstance(node, Slots) and node.born <= revision else None


def part_at(change: Change, slots: Slots, index: int) -> Any:
    """One part as it was after a change, typed; costs no more than that part."""
    data = slots.entries[index].at(change.revision)
    if change.kind == "step":
        return open_variant(data, TOOL_CALLS, UnknownToolCall)
    return open_variant(data, BLOCKS, UnknownBlock)


def annotation(slots: Slots, index: int, revision: int) -> Any:
    """One annotation of a text, typed."""
    text = from_wire(Text, {"annotations": [slots.entries[index].at(revision)]})
    return text.annotations[0] if isinstance(text.annotations, tuple) else None


def entries_of(change: Change) -> list[dict[str, Any]]:
    """The entries for parts in the payload of a delta, as plain JSON data."""
    data = change.data or msgspec.json.decode(change.raw)
    value: Any = data["delta"]
    for name in _PATHS[change.kind]:
        value = value.get(name) if isinstance(value, dict) else None
    return [entry for entry in listed(value) if isinstance(entry, dict)]


def listed(value: object) -> list[Any]:
    """A list as it is, a lone object as a list of one, anything else as an empty list."""
    if isinstance(value, list):
        return value
    return [value] if isinstance(value, dict) else []


def place(slots: Slots, entry: Mapping[str, Any], revision: int, claimed: Iterable[int]) -> int | None:
    """The index of the part that an entry of a delta went to; None when the entry was refused.

    Args:
        claimed: where the entries before it in the same delta went.
    """
    entries = slots.entries
    by_id = slots.index_of(entry.get("id"))
    if by_id is not None and entries[by_id].born <= revision:
        return by_id
    index = entry.get("index")
    if type(index) is int and index >= 0:
        for candidate in (slots.moved.get(index), index):  # it may have moved only after this change
            if candidate is not None and candidate in entries and entries[candidate].born <= revision:
                return candidate
        return None
    # without a usable index it was added at the end, unless it is about the only part there is
    added = [at for at in slots.entries if entries[at].born == revision and at not in claimed]
    if added:
        return added[0]
    return slots.first() if entries else None


def matched(known: Mapping[int, str], ids: Sequence[str]) -> list[int]:
    """The indexes by which the parts of a snapshot are known; a part that is not gets one that is free.

    A snapshot numbers its parts anew, so a gap between indexes is gone. Parts are told by id, else by their order.

    Args:
        known: index -> id, "" where there is none.
        ids: of the parts in the snapshot.
    """
    found: dict[int, int] = {}  # position -> index
    free = dict.fromkeys(sorted(known))
    by_id = {id: index for index, id in known.items() if id}
    for position, id in enumerate(ids):
        index = by_id.pop(id, None)
        if index is not None:
            found[position] = index
            del free[index]
    rest = [position for position in range(len(ids)) if position not in found]
    if len(rest) != len(free):
        for position in [position for position in rest if position in free]:
            found[position] = position
            del free[position]
        rest = [position for position in rest if position not in found]
    found.update(zip(rest, free, strict=False))
    taken = {*known, *found.values()}
    for position in rest:
        if position not in found:
            found[position] = position if position not in taken else max(taken) + 1
            taken.add(found[position])
    return [found[position] for position in range(len(ids))]


def id_of(part: object) -> str:
    """The id of a tool call; "" where it has none, and for blocks."""
    id = getattr(part, "id", None)
    return id if isinstance(id, str) else ""


def _calls(step: RunStep) -> Sequence[Any]:
    details: object = step.step_details
    if isinstance(details, ToolCallsDetails):
        return details.tool_calls if isinstance(details.tool_calls, tuple) else ()
    if isinstance(details, dict):  # of an unknown type, which may list tool calls all the same
        return [open_variant(item, TOOL_CALLS, UnknownToolCall) for item in listed(details.get("tool_calls"))]
    return ()


def _blocks(message: Message) -> Sequence[Any]:
    return message.content if isinstance(message.content, tuple) else ()
