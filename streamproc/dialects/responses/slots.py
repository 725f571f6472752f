"""Slots: the output items of one response, and which of them an event is about.

An event names its item by `output_index`, by `item_id` or both. The index is what can be relied on: ids are left out,
used twice, or made anew for each event. Where items share an index, the id tells them apart.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final, TypeGuard

from msgspec import Struct, field

from streamproc.core.spot import Spot
from streamproc.dialects.responses.items import Awaits, Category, Item, call_id

__all__ = ["Slot", "Slots", "is_index"]

_MAX_SLOTS: Final = 10_000


class Slot(Struct, eq=False):
    """What is known of one output item."""

    index: int
    category: Category
    kind: str  # type of the item
    native_id: str
    call_id: str  # by which outputs name it; "" if the item does not say
    id: str = ""  # of its step, and of its message
    is_done: bool = False
    outcome: str = ""  # what an event said of the call before the item was done: "completed", "failed"
    cut: Item | None = None  # the item, if it ended incomplete and nobody said why
    awaits: Awaits = ""
    phase: bool = False  # whether the step's metadata has one
    spots: dict[int, Spot] = field(default_factory=dict)  # texts that grew, by content index
    blocks: set[int] = field(default_factory=set)  # content blocks that were begun
    refusals: set[int] = field(default_factory=set)  # those that are refusals and grew
    has_text: bool = False  # the item had some when it appeared

    @property
    def call(self) -> str:
        """The id of its tool call."""
        return self.call_id or self.native_id or self.id

    @property
    def has_grown(self) -> bool:
        """Whether any of its text was seen."""
        return bool(self.spots or self.refusals or self.has_text)


class Slots:
    """All slots of a response, in order of appearance."""

    def __init__(self) -> None:
        self._all: list[Slot] = []
        self._by_index: dict[int, Slot] = {}  # the newest one
        self._by_place: dict[tuple[int, str], Slot] = {}
        self._by_id: dict[str, Slot] = {}
        self._by_call: dict[str, Slot] = {}
        self._by_kind: dict[str, Slot] = {}
        self.next_index = 0  # that no item has

    def __iter__(self) -> Iterator[Slot]:
        return iter(self._all)

    @property
    def is_full(self) -> bool:
        return len(self._all) >= _MAX_SLOTS

    def find(self, index: object, id: object) -> Slot | None:
        """The slot that an event is about, by its `output_index` and `item_id`."""
        if is_index(index):
            return (self._by_place.get((index, id)) if isinstance(id, str) else None) or self._by_index.get(index)
        return self._by_id.get(id) if isinstance(id, str) else None

    def called(self, id: str) -> Slot | None:
        """The newest call of that id."""
        return self._by_call.get(id)

    def add(self, slot: Slot) -> bool:
        """Enter a new slot; from now on it is what its index means. Returns whether an open one had that index."""
        before = self._by_index.get(slot.index)
        self.next_index = max(self.next_index, slot.index + 1)
        self._all.append(slot)
        self._by_index[slot.index] = slot
        self._by_kind[slot.kind] = slot
        self.learn(slot, slot.native_id, slot.call_id)
        return before is not None and not before.is_done

    def learn(self, slot: Slot, native_id: str, call: str) -> None:
        """Note the ids that an item goes by; those that other items have stay theirs."""
        if native_id:
            self._by_place[slot.index, native_id] = slot
            self._by_id.setdefault(native_id, slot)
        if slot.category == "tools":
            slot.call_id = call or slot.call_id
            self._by_call[slot.call] = slot

    def newest(self, kind: str) -> Slot | None:
        """The newest item of a type."""
        return self._by_kind.get(kind)

    def match(self, items: Sequence[Any]) -> list[tuple[Item, Slot | None]]:
        """Pair the items of a complete output with the slots of their type; None for an item that was not seen.

        The output may be longer than what was seen, in another order, and have other ids.
        """
        given = [item for item in items if isinstance(item, dict)]
        found: dict[int, Slot] = {}
        taken: set[Slot] = set()
        for candidate in (self._at_its_place, self._by_its_ids, self._at_its_index):
            for number, item in enumerate(given):
                slot = None if number in found else candidate(number, item)
                if slot is not None and slot not in taken and slot.kind == item.get("type"):
                    found[number] = slot
                    taken.add(slot)
        return [(item, found.get(number)) for number, item in enumerate(given)]

    def _at_its_place(self, number: int, item: Item) -> Slot | None:
        id = item.get("id")
        return self._by_place.get((number, id)) if isinstance(id, str) else None

    def _by_its_ids(self, _: int, item: Item) -> Slot | None:
        id = item.get("id")
        return (self._by_id.get(id) if isinstance(id, str) else None) or self._by_call.get(call_id(item) or "")

    def _at_its_index(self, number: int, _: Item) -> Slot | None:
        return self._by_index.get(number)


def is_index(value: object) -> TypeGuard[int]:
    """Whether a value can be an index."""
    return type(value) is int and value >= 0
