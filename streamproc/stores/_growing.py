"""Which states are written when: all of them, but large ones that merely grow fall behind for a while.

To write a state costs its size. So one that is larger than 16 KiB is written only when text of a quarter of its size
came, when it ended or is left open, when anything but a delta came, when it would hold back more of the journal than
`_BEHIND_MAX` changes, and on leaving. Until then the journal has what its row lacks, and here is the live change of
which the newest state can be had.
"""

from collections import Counter
from collections.abc import Iterable
from typing import Final, TypeAlias

from msgspec import Struct

from streamproc.columns import is_snapshot
from streamproc.core.change import Change
from streamproc.stores._codec import payload_size
from streamproc.stores._objects import StateRow, state_row

__all__ = ["Growing", "Key", "Touched", "key_of", "touched_by"]

Key: TypeAlias = tuple[str, str]  # kind and id of an object

_BEHIND_MAX: Final = 16_384
_GROWTH: Final = 4  # a state is written again when payloads of that part of its size came


class Touched(Struct, gc=False):
    """What a row of changes did to one object."""

    change: Change  # the last one
    offset: int  # of that in the row
    size: int = 0  # bytes of payload that came for it
    had_snapshot: bool = False
    state: StateRow | None = None  # to be written with them


class _Large(Struct):
    size: int  # when it was written last
    written: int  # position up to which its row knows
    change: Change  # the newest one in the journal, and its position
    position: int
    grown: int = 0  # bytes of payload since it was written

    @property
    def is_behind(self) -> bool:
        return self.position > self.written


def key_of(change: Change) -> Key:
    return change.kind, change.id


def touched_by(ends: Iterable[tuple[Change, int]]) -> dict[Key, Touched]:
    """What changes did to each object, given the last one of each stretch with its offset."""
    found: dict[Key, Touched] = {}
    start = 0
    for change, offset in ends:
        count, start = offset - start + 1, offset + 1
        if change.kind == "error" or change.kind == "anomaly":
            continue
        key = change.kind, change.id
        touched = found.get(key)
        if touched is None:
            touched = found[key] = Touched(change, offset)
        touched.change, touched.offset = change, offset
        touched.size += count * payload_size(change)
        touched.had_snapshot = touched.had_snapshot or is_snapshot(change)
    return found


class Growing:
    """The large objects that are open, and how far their rows are behind.

    `choose` runs when changes come, `committed` or `failed` when their commit has ended. What was chosen in between may
    end an object or not come to pass, so until that is known its state is written each time.
    """

    def __init__(self) -> None:
        self._large: dict[Key, _Large] = {}
        self._chosen: Counter[Key] = Counter()  # states on their way

    def choose(self, touched: dict[Key, Touched]) -> None:
        """Encode the states that are to be written with a row of changes.

        Raises:
            StoreError: one of them cannot be encoded; nothing was chosen.
        """
        for key, one in touched.items():
            large = self._large.get(key)
            if (
                large is None
                or one.had_snapshot
                or one.change.is_final
                or (large.grown + one.size) * _GROWTH >= large.size
                or key in self._chosen
            ):
                one.state = state_row(one.change, had_snapshot=one.had_snapshot)
        self._chosen.update(key for key, one in touched.items() if one.state is not None)

    def committed(self, touched: dict[Key, Touched], first: int) -> None:
        """Take note of what has been written, from position `first` on."""
        self.failed(touched)
        for key, one in touched.items():
            position = first + one.offset
            if one.state is not None:
                self._wrote(key, one.state, position)
            else:  # it is there, since nothing that could have ended it was on its way
                large = self._large[key]
                large.change, large.position = one.change, position
                large.grown += one.size

    def failed(self, touched: dict[Key, Touched]) -> None:
        """Take note that nothing is on its way any more."""
        for key, one in touched.items():
            if one.state is not None:
                self._chosen[key] -= 1
                if not self._chosen[key]:
                    del self._chosen[key]

    def refreshed(self, states: Iterable[tuple[StateRow, int]]) -> None:
        """Take note of states that were written without changes, and before those of the same transaction."""
        for state, position in states:
            self._wrote(key_of(state.change), state, position)

    def _wrote(self, key: Key, state: StateRow, position: int) -> None:
        self._large.pop(key, None)
        if state.is_growing:
            self._large[key] = _Large(len(state.wire), position, state.change, position)

    def behind(self, head: int, *, everything: bool = False) -> list[tuple[StateRow, int]]:
        """Encode the states that must not wait any longer, with their positions."""
        late = [
            one for one in self._large.values() if one.is_behind and (everything or head - one.written > _BEHIND_MAX)
        ]
        return [(state_row(one.change, had_snapshot=False), one.position) for one in late]

    def needed_from(self) -> int | None:
        """The position after which the journal has what rows lack; None when they lack nothing."""
        return min((one.written for one in self._large.values() if one.is_behind), default=None)

    def newest(self, key: Key) -> Change | None:
        """The newest change of an object whose row is behind."""
        large = self._large.get(key)
        return large.change if large is not None and large.is_behind else None
