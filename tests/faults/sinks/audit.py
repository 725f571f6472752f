"""The account of what arrived at a far side. All of it must stay empty:

lost          what has to be there is not
doubled       something is there twice, after repeated ones were left out by the sink's own identity
phantom       something is there that is not in the journal
out of order  within its group, something is there before what came before it
wrong         something is there, and is not what it should be
"""

from collections import Counter
from typing import Final

from msgspec import Struct, field

from tests.faults.sinks.far_side import Item, Reading

__all__ = ["FAULTS", "Account", "audit"]

FAULTS: Final = ("lost", "doubled", "phantom", "out of order", "wrong")

_SAMPLES: Final = 5


class Account(Struct):
    """What is wrong with what arrived.

    Attributes:
        counts: kind of fault -> how many.
        samples: some of them, as text.
    """

    counts: Counter[str] = field(default_factory=Counter)
    samples: list[str] = field(default_factory=list)

    def fault(self, kind: str, text: str) -> None:
        assert kind in FAULTS
        self.counts[kind] += 1
        if self.counts[kind] <= _SAMPLES:
            self.samples.append(f"{kind}: {text}")


def audit(reading: Reading) -> Account:
    """Compare what was applied with what was allowed and wanted."""
    found = Account()
    place = {item: number for number, item in enumerate(reading.allowed)}
    times = Counter(reading.applied)
    for item in reading.wanted:
        if not times[item]:
            found.fault("lost", f"{item}")
    for item, count in times.items():
        if item not in place:
            found.fault("phantom", f"{item}")
        elif count > 1:
            found.fault("doubled", f"{item} is there {count} times")
    last: dict[str, Item] = {}
    for item in dict.fromkeys(reading.applied):
        if item not in place:
            continue
        before = last.get(item[0])
        if before is not None and place[before] > place[item]:
            found.fault("out of order", f"{item} after {before}")
        last[item[0]] = item
    for text in reading.wrong:
        found.fault("wrong", text)
    return found
