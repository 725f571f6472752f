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

Waking a task costs more than handing it a batch, so sinks that keep up are woken at most once a millisecond, all
together, or as soon as many changes wait. After a quiet millisecond that is at once; a few changes that come sooner
wait for the end of it and go as one batch.
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
from streamproc.protocols import Sink, Store
from streamproc.wording import came

__all__ = ["Fanout"]

log = structlog.get_logger("streamproc")

_RING_GAP_S: Final = 0.001  # between two times that sinks are woken ...
_RING_COUNT: Final = 128  # ... unless so many changes came since the first one


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
        self._ring_at_s = 0.0  # not before
        self._unrung = 0  # changes that no sink was woken for
        self._ring_timer: TimerHandle | None = None

    async def start(self, group: TaskGroup, store: Store | None = None) -> None:
        """Enter the sinks, one after the other, and run their lanes in `group`. Once, before the first `offer`.

        With a store each sink first gets what the journal has for it.

        Raises:
            Exception: what a sink raised on entering; the sinks entered before are left when `group` is cancelled.
        """
        self._clock = get_running_loop().time
        if store is not None:
            for lane in self._lanes:  # all of them first: a store may forget what nobody has asked for
                await lane.attach(store)
        for lane in self._lanes:
            await group.start(lane.run)

    def offer(self, batch: Sequence[Change], first: int = 0) -> None:
        """Hand a batch to every lane; returns at once and keeps no reference to `batch`.

        With a store it is in the journal from position `first` on.
        """
        if not batch or not self._lanes:
            return
        shared = tuple(batch)
        size = payload_bytes(shared)
        now_s = self._clock()
        for lane in self._lanes:
            lane.offer(shared, size, now_s, first)
        self._unrung += len(shared)
        if self._unrung >= _RING_COUNT or now_s >= self._ring_at_s:
            self._ring()
        elif self._ring_timer is None:
            self._ring_timer = get_running_loop().call_at(self._ring_at_s, self._ring)

    @property
    def is_full(self) -> bool:
        """Whether a required sink has no room, so that the next offer must wait for `room`."""
        return True in [lane.room.is_full for lane in self._lanes]

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
        self._cancel_ring()
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
        return tuple(lane.statistics() for lane in self._lanes)

    def _ring(self) -> None:
        """Wake the lanes that wait for a batch."""
        self._cancel_ring()
        self._unrung = 0
        self._ring_at_s = self._clock() + _RING_GAP_S
        for lane in self._lanes:
            lane.ring()

    def _cancel_ring(self) -> None:
        if self._ring_timer is not None:
            self._ring_timer.cancel()
            self._ring_timer = None


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
