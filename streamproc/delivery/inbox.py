"""What waits for one sink: which changes it wants, in which order they leave, and how much that is.

Changes come and go as whole batches. The inbox of `deliver = "changes"` keeps the batches as they came, shared by all
sinks, and cuts or joins them only when the sink is behind. That of `latest` and `final` keeps the newest state of each
object, where the newest stands last, so that what leaves is in the order of the changes.
"""

import math
from collections import deque
from typing import Protocol

from streamproc.core.change import Change
from streamproc.delivery.policy import DeliveryPolicy

__all__ = ["Batch", "ChangeInbox", "Inbox", "StateInbox", "inbox_for", "payload_bytes"]

Batch = tuple[Change, ...]


def payload_bytes(batch: Batch) -> int:
    """Bytes of the payloads, without what all fragments of a text have around them: the measure of a batch."""
    return sum([len(change.piece) for change in batch])


class Inbox(Protocol):
    """The changes that wait for one sink; times are those of the event loop."""

    count: int  # changes that wait
    size: int  # their payload bytes
    received: int  # changes that were put in and are of the kind that the sink wants
    coalesced: int  # those of them that gave way to a newer state
    taken_since_s: float  # when the change came that had waited longest of those taken last

    def put(self, batch: Batch, size: int, now_s: float) -> None:
        """Take in a batch of `size` payload bytes."""
        ...

    def take(self, count_max: int, size_max: int) -> Batch:
        """Hand out the next changes, within both bounds; at least one if any waits, however large."""
        ...

    def clear(self) -> int:
        """Forget what waits; returns how many changes that were."""
        ...

    def since_s(self) -> float:
        """When the change came that waits longest; infinite if none waits."""
        ...


def inbox_for(policy: DeliveryPolicy) -> Inbox:
    """The kind of inbox that a policy asks for."""
    if policy.deliver == "changes":
        return ChangeInbox()
    return StateInbox(only_final=policy.deliver == "final", coalesce_at_once=policy.when_full == "coalesce")


class ChangeInbox:
    """Every change, as it came."""

    def __init__(self) -> None:
        self.count = 0
        self.size = 0
        self.received = 0
        self.coalesced = 0
        self.taken_since_s = 0.0
        self._batches: deque[tuple[Batch, int, float]] = deque()  # each with its size and when it came
        self._gone = 0  # changes of the first batch that were handed out

    def put(self, batch: Batch, size: int, now_s: float) -> None:
        self._batches.append((batch, size, now_s))
        self.count += len(batch)
        self.size += size
        self.received += len(batch)

    def take(self, count_max: int, size_max: int) -> Batch:
        batches = self._batches
        self.taken_since_s = batches[0][2]
        if len(batches) == 1 and not self._gone and self.count <= count_max and self.size <= size_max:
            self.count = self.size = 0
            return batches.popleft()[0]
        taken: list[Change] = []
        room = size_max
        while batches and len(taken) < count_max:
            batch, size, _ = batches[0]
            if not self._gone and size <= room and len(taken) + len(batch) <= count_max:
                part = batch
            else:
                part, size = _head(batch, self._gone, count_max - len(taken), room, at_least=0 if taken else 1)
            taken += part
            room -= size
            self._gone += len(part)
            if self._gone < len(batch):
                break
            batches.popleft()
            self._gone = 0
        self.count -= len(taken)
        self.size -= size_max - room
        return tuple(taken)

    def clear(self) -> int:
        count = self.count
        self._batches.clear()
        self.count = self.size = self._gone = 0
        return count

    def since_s(self) -> float:
        return self._batches[0][2] if self._batches else math.inf


class StateInbox:
    """The newest state of each object, and errors; only of objects that have ended with `only_final`.

    Without `coalesce_at_once` older states wait too, and give way when a batch is taken.
    """

    def __init__(self, *, only_final: bool, coalesce_at_once: bool) -> None:
        self.count = 0
        self.size = 0
        self.received = 0
        self.coalesced = 0
        self.taken_since_s = 0.0
        self._only_final = only_final
        self._coalesce_at_once = coalesce_at_once
        self._arrived: list[tuple[Change, float]] = []  # each with when it came
        self._newest: dict[object, tuple[Change, float]] = {}  # each with when the first came that it replaced

    def put(self, batch: Batch, size: int, now_s: float) -> None:
        wanted = [change for change in batch if self._wants(change)]
        if not wanted:
            return
        self.received += len(wanted)
        self.count += len(wanted)
        self.size += size if len(wanted) == len(batch) else payload_bytes(tuple(wanted))
        self._arrived += [(change, now_s) for change in wanted]
        if self._coalesce_at_once:
            self._coalesce()

    def take(self, count_max: int, size_max: int) -> Batch:
        self._coalesce()
        taken: list[Change] = []
        room = size_max
        self.taken_since_s = math.inf
        for change, since_s in self._newest.values():
            if len(taken) == count_max or (taken and len(change.piece) > room):
                break
            room -= len(change.piece)
            taken.append(change)
            self.taken_since_s = min(self.taken_since_s, since_s)
        for change in taken:
            del self._newest[_key(change)]
        self.count -= len(taken)
        self.size -= size_max - room
        return tuple([change.as_snapshot() for change in taken])

    def clear(self) -> int:
        count = self.count
        self._arrived.clear()
        self._newest.clear()
        self.count = self.size = 0
        return count

    def since_s(self) -> float:
        times = [since_s for _, since_s in (*self._newest.values(), *self._arrived)]
        return min(times, default=math.inf)

    def _wants(self, change: Change) -> bool:
        return change.kind != "anomaly" and (not self._only_final or change.is_final)

    def _coalesce(self) -> None:
        newest = self._newest
        for change, came_s in self._arrived:
            key = _key(change)
            older = newest.pop(key, None)
            if older is None:
                newest[key] = change, came_s
                continue
            newest[key] = change, older[1]
            self.coalesced += 1
            self.count -= 1
            self.size -= len(older[0].piece)
        self._arrived.clear()


def _key(change: Change) -> object:
    """What a newer state replaces the older one of; an error stands for itself."""
    if change.kind == "error":
        return change.stream, change.epoch, change.seq
    return change.kind, change.id


def _head(batch: Batch, start: int, count_max: int, size_max: int, *, at_least: int) -> tuple[Batch, int]:
    """The changes from `start` on that are within both bounds, and their size."""
    size = 0
    for number, change in enumerate(batch[start : start + count_max]):
        if number >= at_least and size + len(change.piece) > size_max:
            return batch[start : start + number], size
        size += len(change.piece)
    return batch[start : start + count_max], size
