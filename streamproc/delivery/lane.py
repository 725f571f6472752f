"""One sink's lane: the loop that writes batches, and what becomes of them.

The reader calls `offer`, which only puts a batch into the inbox, and `ring`; one task per lane takes batches out and
writes them. What is being written stays "in flight" until the sink has answered: `_settle` is the one place where an
answer takes changes off the books, and `close` the one where they are given up. Both are synchronous, so that
received = acked + coalesced + dead + dropped + pending holds whenever anybody looks.
"""

import math
from asyncio import CancelledError, Future, get_running_loop
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from random import Random
from typing import Any

import structlog
from anyio import TASK_STATUS_IGNORED, CancelScope, Event, current_time, sleep
from anyio.abc import TaskStatus
from anyio.lowlevel import checkpoint

from streamproc.core.change import Change
from streamproc.delivery.backlog import Backlog
from streamproc.delivery.dead_letters import DeadLetters, rejected_of
from streamproc.delivery.failures import Failures
from streamproc.delivery.inbox import Batch, inbox_for
from streamproc.delivery.policy import DeliveryPolicy, Retry
from streamproc.delivery.room import Room
from streamproc.delivery.statistics import SinkState, SinkStatistics
from streamproc.delivery.write_timeout import WriteTimeout, is_cancelled
from streamproc.errors import SinkGone, SinkRejected, SinkUnavailable, StoreError
from streamproc.protocols import DeadLetter, Sink, Store
from streamproc.wording import traceback_text

__all__ = ["Lane"]

log = structlog.get_logger("streamproc")

_STORE_RETRY = Retry(base_s=0.1, cap_s=5.0)
_PAUSE_LOG_S = 60.0  # a slow sink pauses reading again and again; one log event a minute says so
_LEAVE_S = 5.0  # how long a sink may take to close what it opened
_IN_A_ROW_MAX = 16  # batches that are written before others have their turn
_REASON_MAX = 500  # characters of what a sink says in a log or a dead letter


class Lane:
    """Feeds one sink by its policy.

    Args:
        random: for the jitter of retries.
    """

    def __init__(
        self,
        name: str,
        sink: Sink,
        policy: DeliveryPolicy,
        *,
        random: Random,
        dead_letters: DeadLetters,
    ) -> None:
        self.name = name
        self.room = Room(policy.max_pause_s)
        self.is_closed = False  # gets nothing any more
        self.inbox_max = policy.inbox_max
        self._sink = sink
        self._policy = policy
        self._dead_letters = dead_letters

        self._inbox = inbox_for(policy)
        self._backlog: Backlog | None = None  # with a store
        self._in_flight: Batch = ()
        self._acked = self._dead = self._dropped = self._given_back = 0
        self._writes = self._failed = self._retried = 0

        self._random = random
        self._failures = Failures(policy, random)
        self._store_failures = 0  # in a row
        self._timeout = WriteTimeout(policy.timeout_s)
        self._clock: Callable[[], float] = current_time  # once running, the same without the detour
        self._life: CancelScope | None = None  # cancelled by `close`
        self._bell: Future[None] | None = None  # what the idle lane waits for, or waited for last
        self._is_draining = False
        self._is_gone = False  # its far side wants no more
        self._pause_logged_s = -math.inf
        self._end: Event | None = None
        self._closes_when_full = policy.when_full == "close_sink" or not policy.required

    # --- the reader's side --------------------------------------------------------------------------------------------

    async def attach(self, store: Store) -> None:
        """Go on in a journal from where this sink stands in it. Before `run`.

        Raises:
            StoreError: the cursor could not be read.
        """
        position = await store.cursor(self.name, required=self._policy.required)
        self._backlog = Backlog(store, self.name, self._inbox, self._policy, position)

    def offer(self, batch: Batch, size: int, now_s: float, first: int) -> None:
        """Put a batch of `size` payload bytes into the inbox, for `ring`; `now_s` is the time of the event loop.

        With a store `first` is its position in the journal, and the batch may be left there.
        """
        inbox = self._inbox
        if self._backlog is not None:
            if not self.is_closed:
                self._backlog.offer(batch, size, now_s, first)
            return
        if self._closes_when_full and inbox.count >= self._policy.inbox_max:
            self.close("inbox full")
        inbox.put(batch, size, now_s)
        if self.is_closed:
            self._dropped += inbox.clear()
            return
        if inbox.count >= self._policy.inbox_max:
            self.room.is_full = not self._closes_when_full

    def begin_pause(self) -> None:
        """Reading begins to wait for room."""
        now_s = self._clock()
        if self.room.begin_pause(now_s) and now_s >= self._pause_logged_s + _PAUSE_LOG_S:
            self._pause_logged_s = now_s
            log.warning("sink.paused_reading", sink=self.name, pending=self.pending)

    async def wait_for_room(self) -> None:
        """Return once there is room, or close the sink after `max_pause_s` without any."""
        self.begin_pause()
        await self.room.wait(lambda: self.close("no room within max_pause_s"))

    def finish(self) -> None:
        """What waits is the last: it need not wait for more to fill a batch, and the lane ends after it."""
        self._is_draining = True
        self.ring()

    async def finished(self) -> None:
        """Return once nothing is pending after `finish`, or the sink was closed."""
        if not self.is_closed:
            self._end = self._end or Event()
            await self._end.wait()

    def close(self, reason: str | None) -> None:
        """Give up what is pending and end the lane; logs it unless `reason` is None."""
        if self.is_closed:
            return
        self.is_closed = True
        dropped = len(self._in_flight) + self._inbox.clear()
        self._in_flight = ()
        if self._backlog is not None:  # it is still in the journal
            self._backlog.give_back()
            self._given_back, dropped = dropped, 0
        self._dropped += dropped
        self.room.free()
        if self._end is not None:
            self._end.set()
        if self._life is not None:
            self._life.cancel()
        if reason is not None:
            log.error("sink.closed", sink=self.name, reason=reason, dropped=dropped)

    @property
    def pending(self) -> int:
        """Changes that wait or are in flight."""
        return self._inbox.count + len(self._in_flight)

    def statistics(self) -> SinkStatistics:
        since_s = self._inbox.since_s()
        if self._in_flight:
            since_s = min(since_s, self._inbox.taken_since_s)
        if self._backlog is not None:
            since_s = min(since_s, self._backlog.behind_since_s)
        return SinkStatistics(
            name=self.name,
            state=self._state(),
            received=self._inbox.received - self._given_back,
            acked=self._acked,
            coalesced=self._inbox.coalesced,
            dead=self._dead,
            dropped=self._dropped,
            pending=self.pending,
            writes=self._writes,
            failed=self._failed,
            retried=self._retried,
            oldest_pending_s=0.0 if since_s == math.inf else self._clock() - since_s,
            lag=0 if self._backlog is None else self._backlog.lag,
            missing=0 if self._backlog is None else self._backlog.missing,
            required=self._policy.required,
        )

    def _state(self) -> SinkState:
        if self.is_closed:
            return "closed"
        if self._failures.is_open:
            return "open" if self._timeout.scope is None else "half_open"
        return "retrying" if self._failures.attempts else "delivering"

    def ring(self) -> None:
        """Wake the lane if it waits for a batch."""
        bell = self._bell
        if bell is not None and not bell.done():
            bell.set_result(None)

    # --- the lane's own task ------------------------------------------------------------------------------------------

    async def run(self, *, task_status: TaskStatus[None] = TASK_STATUS_IGNORED) -> None:
        """Enter the sink, write until the lane is finished, closed or cancelled, and leave the sink.

        With a store a sink that is unavailable at first is waited for, as later: what it misses is in the journal.

        Raises:
            Exception: the sink could not be entered; anything that happens later is logged and ends this lane alone.
        """
        self._clock = get_running_loop().time
        has_started = False

        def started() -> None:
            nonlocal has_started
            if not has_started:
                has_started = True
                task_status.started()

        doing = "on entering it"
        # Opened before the sink, which may open scopes itself; what is opened last has to be closed first.
        leaving = CancelScope()
        try:
            with leaving:
                async with AsyncExitStack() as entered:
                    await self._enter(entered, started)
                    doing = "on leaving it"
                    started()
                    try:
                        await self._write_all()
                    finally:
                        self.close("cancelled" if self.pending else None)
                        leaving.deadline = self._clock() + _LEAVE_S
                        leaving.shield = True
        except Exception as error:
            if not has_started:
                raise
            log.error("sink.failed", sink=self.name, cause=doing, exception=traceback_text(error))
            self.close("it cannot be entered")
        finally:
            if leaving.cancel_called:
                log.error("sink.failed", sink=self.name, cause=f"not left within {_LEAVE_S:g} s")

    async def _enter(self, stack: AsyncExitStack, started: Callable[[], None]) -> None:
        """Enter the sink, which the stack leaves; returns without if the lane was closed meanwhile."""
        context = _context(self._sink)
        while not self.is_closed:
            try:
                await stack.enter_async_context(context)
            except SinkUnavailable as error:
                if self._backlog is None:
                    raise
                started()
                now_s = self._clock()
                self._failures.add_unavailable(now_s, now_s, error.retry_after_s)
                wait_s = self._failures.wait_s
                log.warning(
                    "sink.retry_scheduled",
                    sink=self.name,
                    attempt=self._failures.attempts + 1,
                    wait_s=round(wait_s, 3),
                    cause=error.reason[:_REASON_MAX],
                )
                with CancelScope() as self._life:
                    await sleep(wait_s)
            else:
                self._failures.attempts = 0
                self._succeeded()
                return

    async def _write_all(self) -> None:
        with CancelScope() as self._life, self._timeout:
            while not self.is_closed:
                with CancelScope() as scope:
                    await self._write_until_late(scope)
                if scope.cancelled_caught:  # not when `close` cancelled it too
                    self._timed_out()
        if self._backlog is not None and self._backlog.owes:  # what closed the lane made dead letters
            with CancelScope(deadline=self._clock() + _LEAVE_S, shield=True):
                await self._stored(self._backlog.bury)
        if self._backlog is not None and self._is_gone:  # nobody wants it: no other sink is to wait for it
            with CancelScope(deadline=self._clock() + _LEAVE_S, shield=True):
                await self._stored(self._backlog.release)

    async def _write_until_late(self, scope: CancelScope) -> None:
        """Write batch after batch; returns once the lane is closed, or after a write that used up `scope`."""
        inbox, policy, timeout, failures = self._inbox, self._policy, self._timeout, self._failures
        create_bell = get_running_loop().create_future  # an anyio event would cost twice as much
        backlog, write = self._backlog, self._sink.write
        in_a_row = 0
        while not self.is_closed:
            if backlog is not None and backlog.owes:
                await self._stored(backlog.bury)
                continue
            if not self._in_flight:
                if not inbox.count and backlog is not None and backlog.is_behind:
                    await self._stored(backlog.fill)
                    continue
                if not inbox.count and self._is_draining:
                    self.close(None)
                    return
                if not inbox.count:
                    self._bell = create_bell()
                    await self._bell
                    continue
                if policy.batch_wait_s:
                    await self._fill()
                self._in_flight = inbox.take(policy.batch_max, policy.batch_max_bytes)
                if self.room.is_full and inbox.count < policy.inbox_max:
                    self.room.free()
            sent = self._in_flight
            if failures.any:
                sent = await self._again()
            self._writes += 1
            timeout.begin(scope)
            try:
                await write(sent)
            except (Exception, CancelledError) as error:
                if isinstance(error, CancelledError) and is_cancelled():
                    raise
                if not self.is_closed:
                    self._refused(sent, error, is_late=scope.cancel_called)
            else:
                if not self.is_closed:
                    self._settle(sent)
                    if failures.any:
                        self._succeeded()
            finally:
                timeout.scope = None
            if scope.cancel_called:
                return
            if inbox.count:
                # A sink that never waits must not keep the reader waiting. But many streams may bring more than a batch
                # while the loop goes round once, so writing only one would fall behind for good.
                in_a_row += 1
                if inbox.count < policy.batch_max or in_a_row >= _IN_A_ROW_MAX:
                    in_a_row = 0
                    await checkpoint()

    async def _again(self) -> Batch:
        """Wait as long as the failures ask for; returns what to write: a single change while the breaker is open."""
        failures = self._failures
        wait_s, failures.wait_s = failures.wait_s, 0.0
        await sleep(wait_s)
        if failures.attempts:
            self._retried += 1
        return self._in_flight[:1] if failures.is_open else self._in_flight

    async def _stored(self, act: Callable[[], Awaitable[None]]) -> None:
        """Do something with the store; waits and logs when it cannot be done, and leaves it to the next turn."""
        try:
            await act()
        except StoreError as error:
            self._store_failures += 1
            wait_s = _STORE_RETRY.wait_s(self._store_failures, self._random)
            log.error("store.unavailable", sink=self.name, wait_s=round(wait_s, 3), cause=str(error))
            await sleep(wait_s)
        else:
            self._store_failures = 0

    async def _fill(self) -> None:
        """Wait until a batch is full, or its first change has waited long enough."""
        inbox, policy = self._inbox, self._policy
        count_max = min(policy.batch_max, policy.inbox_max)
        if inbox.count < count_max:
            with CancelScope(deadline=inbox.since_s() + policy.batch_wait_s):
                while inbox.count < count_max and inbox.size < policy.batch_max_bytes and not self._is_draining:
                    self._bell = get_running_loop().create_future()
                    await self._bell

    # --- what the sink answered ---------------------------------------------------------------------------------------

    def _settle(self, sent: Batch, dead: Collection[Change] = (), reason: str = "") -> None:
        """The sink has answered for good: `dead` will never arrive, all others of `sent` have."""
        self._in_flight = () if sent is self._in_flight else self._in_flight[len(sent) :]
        self._acked += len(sent) - len(dead)
        attempts, self._failures.attempts = self._failures.attempts, 0
        letters: Sequence[DeadLetter] = ()
        if dead:
            self._dead += len(dead)
            letters = self._dead_letters.bury(self.name, dead, reason[:_REASON_MAX], attempts)
        if self._backlog is not None:
            is_idle = not self._in_flight and not self._inbox.count
            self._backlog.settled(len(sent), is_idle=is_idle, letters=letters)

    def _succeeded(self) -> None:
        if self._failures.forget():
            log.info("sink.circuit_closed", sink=self.name)

    def _refused(self, sent: Batch, error: BaseException, *, is_late: bool) -> None:
        """The sink raised; `is_late` tells that it was cancelled for taking too long."""
        if isinstance(error, SinkUnavailable):
            self._unavailable(error.reason, error.retry_after_s)
        elif isinstance(error, SinkRejected) and (dead := rejected_of(sent, error.changes)) is not None:
            self._failures.attempts += 1
            self._settle(sent, dead, error.reason)
            self._succeeded()
        elif isinstance(error, SinkGone):
            self._failed += 1
            self._is_gone = True
            self.close(error.reason[:_REASON_MAX])
        elif is_late:
            self._timed_out()
        else:
            self._bug(sent, error)

    def _timed_out(self) -> None:
        self._unavailable(f"no answer within {self._policy.timeout_s:g} s")

    def _unavailable(self, cause: str, retry_after_s: float | None = None) -> None:
        """Write what is in flight again after a wait, or give it up."""
        failures = self._failures
        was_open = failures.is_open
        is_enough = failures.add_unavailable(self._timeout.began_s, self._clock(), retry_after_s)
        self._failed += 1
        facts = {"sink": self.name, "wait_s": round(failures.wait_s, 3), "cause": cause[:_REASON_MAX]}
        if failures.is_open and not was_open:
            log.warning("sink.circuit_opened", failures=failures.in_a_row, **facts)
        elif not is_enough:
            log.warning("sink.retry_scheduled", attempt=failures.attempts + 1, **facts)
        if is_enough:
            self._settle(self._in_flight, self._in_flight, cause)

    def _bug(self, sent: Batch, error: BaseException) -> None:
        failures = self._failures
        is_enough = failures.add_bug()
        failures.attempts += 1
        self._failed += 1
        log.error(
            "sink.failed",
            sink=self.name,
            cause="unexpected exception",
            in_a_row=failures.bugs,
            exception=traceback_text(error),
        )
        self._settle(sent, sent, f"the sink raised {type(error).__qualname__}")
        if is_enough:
            self.close("unexpected exceptions")


def _context(sink: Sink) -> AbstractAsyncContextManager[Any]:
    return sink if isinstance(sink, AbstractAsyncContextManager) else nullcontext()
