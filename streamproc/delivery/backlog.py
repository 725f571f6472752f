"""What one sink has yet to settle of a journal: its durable cursor, and where its next changes come from.

A sink that keeps up gets its batches from memory, one that lags reads the journal from where it stands: the same
changes in the same order, without a gap. So nothing waits for a slow sink, and nothing of it is held in memory beyond
one inbox. For `latest` and `final` a round is read, coalesced and delivered as a whole before the next one begins;
that way the cursor never passes a state that has not arrived.
"""

import math
from collections.abc import Sequence

from anyio import current_time

from streamproc.delivery.inbox import Batch, Inbox, payload_bytes
from streamproc.delivery.policy import DeliveryPolicy
from streamproc.protocols import DeadLetter, Store

__all__ = ["Backlog"]


class Backlog:
    """The journal as one sink sees it.

    Attributes:
        position: of the last change that the sink has settled, and all before it.
        missing: changes that were no longer kept when the sink came to them.
        behind_since_s: when changes began to be left in the journal; infinite when none are.
    """

    def __init__(self, store: Store, sink: str, inbox: Inbox, policy: DeliveryPolicy, position: int) -> None:
        self.position = position
        self.missing = 0
        self._store = store
        self._sink = sink
        self._inbox = inbox
        self._policy = policy
        self._in_rounds = policy.deliver != "changes"
        self._through = position  # what has been put into the inbox
        self._head = store.head
        self.behind_since_s = current_time() if self.is_behind else math.inf
        self._letters: list[DeadLetter] = []  # to be stored before the cursor may pass them

    @property
    def is_behind(self) -> bool:
        """Whether the journal has changes that are not in the inbox."""
        return self._through < self._head

    @property
    def lag(self) -> int:
        """Changes in the journal that the sink has not settled."""
        return self._head - self.position

    @property
    def owes(self) -> bool:
        """Whether there are dead letters to store: `bury` comes before the next write."""
        return bool(self._letters)

    def offer(self, batch: Batch, size: int, now_s: float, first: int) -> None:
        """Note that `batch` is in the journal from position `first` on; takes it if the inbox comes to it next."""
        self._head = first + len(batch) - 1
        has_room = self.position == self._through if self._in_rounds else self._inbox.count < self._policy.inbox_max
        if has_room and self._through == first - 1:
            self._inbox.put(batch, size, now_s)
            self._through = self._head
        else:
            self.behind_since_s = min(self.behind_since_s, now_s)

    async def fill(self) -> None:
        """Read the next changes into the inbox. To be called when it is empty and nothing is being written.

        Raises:
            StoreError: the journal could not be read; nothing has changed.
        """
        policy = self._policy
        found = await self._store.read(self._through, count_max=policy.inbox_max, size_max=policy.batch_max_bytes)
        self.missing += found.missing
        self._through = found.last
        self._head = max(self._head, found.last)
        self.position = found.first - 1
        self._inbox.put(found.changes, payload_bytes(found.changes), current_time())
        if not self.is_behind:
            self.behind_since_s = math.inf
        self.settled(0, is_idle=not self._inbox.count)  # perhaps the sink wants none of it

    def settled(self, count: int, *, is_idle: bool, letters: Sequence[DeadLetter] = ()) -> None:
        """The sink has settled so many more changes; `is_idle` tells that it holds no others."""
        self._letters += letters
        before = self.position
        if is_idle:
            self.position = self._through
        elif not self._in_rounds:
            self.position += count
        if self.position != before and not self._letters:
            self._store.acknowledge(self._sink, self.position)

    async def bury(self) -> None:
        """Store the dead letters that are owed, and the cursor with them.

        Raises:
            StoreError: it could not be written; nothing has changed.
        """
        letters = tuple(self._letters)
        await self._store.bury(letters, self.position)
        del self._letters[: len(letters)]

    async def release(self) -> None:
        """Let the journal forget what this sink has not settled, when it is short of room."""
        await self._store.cursor(self._sink, required=False)

    def give_back(self) -> None:
        """The sink gets nothing more for now: what it holds is left to the journal."""
        self._through = self.position
