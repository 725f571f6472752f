"""Fan-out: one batch of changes to all sinks, each at its own pace.

`offer` never waits. Before the next one the reader looks at `is_full`, and if it is, waits in `room` for the sinks
that it must not leave behind. The lanes are tasks in a group of the caller's, who cancels them by cancelling it:

    async with create_task_group() as group:
        await fanout.start(group)            # an exception of a sink that cannot be entered comes out here
        async for batch in batches:
            fanout.offer(batch)
            if fanout.is_full:
                await fanout.room()
        await fanout.drain(5.0)

Handing four sinks a batch costs as much as making a change or two, and waking their tasks more than that. So changes
are handed on every two milliseconds at most, or as soon as many of them have come; after two quiet ones, at once.
A few that come sooner go with the first that comes later. Waking up for them alone costs as much again, so that is done
only when nothing has come for another two.
"""

from asyncio import TimerHandle, get_running_loop
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from random import Random
from typing import Any, Final

import structlog
from anyio import current_time, move_on_after
from anyio.abc import TaskGroup

from streamproc.core.change import Change
from streamproc.delivery.dead_letters import DeadLetter, DeadLetters
from streamproc.delivery.inbox import payload_bytes
from streamproc.delivery.lane import Lane
from streamproc.delivery.policy import DeliveryPolicy
from streamproc.delivery.statistics import SinkStatistics
from streamproc.errors import ConfigError
from streamproc.loop_clock import loop_clock
from streamproc.protocols import Sink, Store
from streamproc.wording import came

__all__ = ["Fanout"]

log = structlog.get_logger("streamproc")

_GAP_S: Final = 0.002  # between two times that sinks are handed something ...
_GATHERED_MAX: Final = 128  # ... unless so many changes came since the first one; none where an inbox is that small
_WAIT_S: Final = 0.002  # after the gap, for a change that comes anyway


class Fanout:
    """Feeds several sinks.

    Args:
        sinks: each with its policy, or alone for the default one. A sink is known by its `name` if it has one, else by
            its class; of several with the same name, the second one gets a "-2" and so on.
        random: for the jitter of retries.
        now: the wall clock, for dead letters; UTC by default.
        on_dead_letter: called with each dead letter.

    Raises:
        ConfigError: a sink or a policy is none.
    """

    def __init__(
        self,
        sinks: Sequence[Sink | tuple[Sink, DeliveryPolicy]],
        *,
        random: Random | None = None,
        now: Callable[[], datetime] | None = None,
        on_dead_letter: Callable[[DeadLetter], object] | None = None,
    ) -> None:
        self.dead_letters = DeadLetters(on_dead_letter, now)
        random = random or Random()
        seen: Counter[str] = Counter()
        lanes: list[Lane] = []
        for entry in _entries(sinks):
            sink, policy = entry if isinstance(entry, tuple) else (entry, DeliveryPolicy())
            name = str(getattr(sink, "name", None) or type(sink).__name__)
            seen[name] += 1
            if seen[name] > 1:
                name = f"{name}-{seen[name]}"
            lanes.append(Lane(name, sink, policy, random=random, dead_letters=self.dead_letters))
        self._lanes = tuple(lanes)
        self._clock: Callable[[], float] = current_time  # once started, the same without the detour
        self._may_be_full = False  # a lane was, at the last look
        self._gathered: list[Change] = []  # what no inbox has yet
        self._first = 0  # position of the first of them in the journal
        self._gathered_max = min([_GATHERED_MAX, *(lane.inbox_max for lane in self._lanes)])
        self._next_s = 0.0  # not before
        self._timer: TimerHandle | None = None

    async def start(self, group: TaskGroup, store: Store | None = None) -> None:
        """Enter the sinks, one after the other, and run their lanes in `group`. Once, before the first `offer`.

        With a store each sink first gets what the journal has for it.

        Raises:
            Exception: what a sink raised on entering; the sinks entered before are left when `group` is cancelled.
        """
        self._clock = loop_clock()
        if store is not None:
            for lane in self._lanes:  # all of them first: a store may forget what nobody has asked for
                await lane.attach(store)
        for lane in self._lanes:
            await group.start(lane.run)

    def offer(self, batch: Sequence[Change], first: int = 0) -> bool:
        """Hand a batch to every lane; returns at once, whether `is_full` may be true. Keeps no reference to `batch`.

        With a store it is in the journal from position `first` on.
        """
        gathered = self._gathered
        if not gathered:
            if not batch or not self._lanes:
                return False
            self._first = first
        gathered += batch
        if self._clock() >= self._next_s or len(gathered) >= self._gathered_max:
            self._hand_on()
        elif self._timer is None:
            self._timer = get_running_loop().call_at(self._next_s + _WAIT_S, self._look)
        return self._may_be_full

    @property
    def is_full(self) -> bool:
        """Whether a required sink has no room, so that the next offer must wait for `room`."""
        if self._may_be_full:
            self._may_be_full = True in [lane.room.is_full for lane in self._lanes]
        return self._may_be_full

    async def room(self) -> None:
        """Return once every required sink has room; one that has none for its `max_pause_s` is closed."""
        while full := [lane for lane in self._lanes if lane.room.is_full]:
            for lane in full:  # the time of all of them runs, whichever is waited for first
                lane.begin_pause()
                lane.ring()
            for lane in full:
                await lane.wait_for_room()

    async def drain(self, deadline_s: float) -> None:
        """Wait until every change is settled, for at most `deadline_s`. The last call.

        What is left then is dropped, or with a store left to the next start."""
        self._hand_on()
        for lane in self._lanes:
            lane.finish()
        with move_on_after(deadline_s):
            for lane in self._lanes:
                await lane.finished()
        for lane in self._lanes:
            if not lane.is_closed:
                log.error("sink.drain_expired", sink=lane.name, deadline_s=deadline_s, pending=lane.pending)
                lane.close(None)

    def statistics(self) -> tuple[SinkStatistics, ...]:
        """The accounts of all sinks, in their order."""
        self._hand_on()  # whatever was offered is received
        return tuple(lane.statistics() for lane in self._lanes)

    def _look(self) -> None:
        """Nothing may be coming any more; the timer is not set anew for every batch, so it may also be early."""
        self._timer = None
        if self._gathered:
            if self._clock() >= self._next_s:
                self._hand_on()
            else:
                self._timer = get_running_loop().call_at(self._next_s, self._look)

    def _hand_on(self) -> None:
        """Put what was gathered into the inboxes, and wake the lanes that wait for it."""
        if not self._gathered:
            return
        now_s = self._clock()
        self._next_s = now_s + _GAP_S
        shared = tuple(self._gathered)
        self._gathered.clear()
        size = payload_bytes(shared)
        for lane in self._lanes:
            lane.offer(shared, size, now_s, self._first)
            lane.ring()
            self._may_be_full |= lane.room.is_full


def _entries(sinks: Any) -> Sequence[Sink | tuple[Sink, DeliveryPolicy]]:
    """The same, if they look as if they could be fed.

    Raises:
        ConfigError: they cannot.
    """
    if not isinstance(sinks, Sequence):
        raise ConfigError(f"expected a list of sinks, {came(sinks)}")
    for entry in sinks:
        sink, *policy = entry if isinstance(entry, tuple) else (entry,)
        if isinstance(sink, type) or not callable(getattr(sink, "write", None)):
            raise ConfigError(f"expected a sink, an object with a method `write(batch)`; {came(sink)}")
        if len(policy) > 1 or not all(isinstance(one, DeliveryPolicy) for one in policy):
            raise ConfigError(f"expected (sink, DeliveryPolicy(...)) for {type(sink).__name__}, something else came")
    entries: Sequence[Sink | tuple[Sink, DeliveryPolicy]] = sinks
    return entries
