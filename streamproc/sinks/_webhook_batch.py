"""A batch on its way: what may be sent at the same time, and what is known of each change until the batch is settled.

Delivery offers a batch again as a whole. So that a change which the endpoint has answered for is not sent a second
time, the answer is kept until a batch that holds the change has been settled; a restart forgets it, and then the change
comes again under the same id.
"""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from streamproc.core.change import Change

__all__ = ["Known", "Memory", "lanes_of"]

_MAXIMUM: Final = 65_536  # changes of earlier batches; a batch is never forgotten while it is being sent
Key: TypeAlias = tuple[str, int, int]


class Known(Struct):
    """What is known of one change.

    Attributes:
        begun: when it was first sent, RFC 3339; for a change that has no time of its own.
        outcome: the endpoint's last word, if it has spoken.
        reason: for "rejected".
    """

    begun: str | None = None
    outcome: Literal["taken", "rejected"] | None = None
    reason: str = ""


class Memory:
    """What is known of changes whose batch is not settled, by (stream, epoch, seq).

    Args:
        maximum: how many changes of earlier batches are remembered; those that were offered last.
    """

    def __init__(self, maximum: int = _MAXIMUM) -> None:
        self._maximum = maximum
        self._known: OrderedDict[Key, Known] = OrderedDict()

    def begin(self, batch: Sequence[Change]) -> None:
        """A batch is about to be sent: all of it is known from here to `settle`."""
        current = {key: self._known.pop(key) if key in self._known else Known() for key in map(_key, batch)}
        while len(self._known) > self._maximum:
            self._known.popitem(last=False)
        self._known.update(current)

    def of(self, change: Change) -> Known:
        """What is known of a change of the batch that was begun last."""
        return self._known[_key(change)]

    def settle(self, batch: Sequence[Change]) -> None:
        """Forget a batch, which will not come again."""
        for change in batch:
            self._known.pop(_key(change), None)

    def __len__(self) -> int:
        return len(self._known)


def lanes_of(batch: Sequence[Change]) -> list[list[Change]]:
    """Cut a batch into what has an order among itself: changes of one run, or of one stream, are in one lane.

    A run can span streams and a stream can hold runs, so lanes are joined as long as they share either.
    """
    above: dict[tuple[str, str], tuple[str, str]] = {}  # a forest: two names are of one lane when their roots are one

    def root(name: tuple[str, str]) -> tuple[str, str]:
        while (up := above.setdefault(name, name)) != name:
            above[name] = above[up]
            name = up
        return name

    for change in batch:
        if change.run_id is not None:
            above[root(("run", change.run_id))] = root(("stream", change.stream))
    lanes: dict[tuple[str, str], list[Change]] = {}
    for change in batch:
        lanes.setdefault(root(("stream", change.stream)), []).append(change)
    return [*lanes.values()]


def _key(change: Change) -> Key:
    return change.stream, change.epoch, change.seq
