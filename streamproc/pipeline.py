"""Pipeline: sources in, hooks called and sinks fed, whatever the network does in between.

`_follow` is the one loop that reads a source, `_deliver` the one place that hands on what it gave. A connection that is
lost is followed by another one as far as the source allows, see recovery.py. An error of a source ends its stream and
nothing else: what was read is delivered, what was left open is marked as truncated.

All tasks live in the task group that `async with Pipeline(...)` opens. Its streams share one table of states, so that a
run may go on in another stream.
"""

import math
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from inspect import isawaitable
from os import PathLike
from random import Random
from types import TracebackType
from typing import Any, Final, Self, TypeAlias

import structlog
from anyio import (
    CancelScope,
    Lock,
    create_memory_object_stream,
    create_task_group,
    current_time,
    get_cancelled_exc_class,
    sleep,
)
from anyio.abc import TaskGroup
from anyio.streams.memory import MemoryObjectSendStream
from msgspec import Struct

from streamproc.actions import RequiredAction, Submit, required_action_of
from streamproc.core.change import Change
from streamproc.core.dialect import Dialect, DialectFactory
from streamproc.core.limits import Limits
from streamproc.core.processor import StreamProcessor
from streamproc.core.reducer import Reducer
from streamproc.delivery.dead_letters import DeadLetter
from streamproc.delivery.fanout import Fanout
from streamproc.delivery.journal import Journal
from streamproc.delivery.policy import DeliveryPolicy, Retry
from streamproc.delivery.statistics import SinkStatistics
from streamproc.errors import ConfigError, HookError, LimitExceeded, SourceError, StoreError, StreamTruncated
from streamproc.hooks import HookDispatch, OnHookError, RunHooks
from streamproc.loop_clock import loop_clock
from streamproc.model.message import Message
from streamproc.model.run import Run
from streamproc.model.run_step import RunStep
from streamproc.protocols import PolledChunks, ResyncingSource, Sink, Source, Store
from streamproc.recovery import Attempt, Recovery
from streamproc.rounds import Rounds
from streamproc.sources.iterable import IterableSource
from streamproc.wording import came

__all__ = ["Pipeline", "PushedStream", "StreamResult"]

log = structlog.get_logger("streamproc")

DialectLike: TypeAlias = str | Dialect | DialectFactory
SourceLike: TypeAlias = Source | Iterable[Any] | AsyncIterable[Any]

_PROBE: Final = "streamproc.ready"
_SILENT: Final = "streamproc.idle"
"""The stream of what is only inferred, since no stream brought it."""
_SOURCE_RETRY: Final = Retry(max_attempts=10, max_elapsed_s=300.0)


class StreamResult(Struct, frozen=True, kw_only=True):
    """What became of a stream. Its states are in the pipeline's `runs`, `steps` and `messages`."""

    stream: str
    run_id: str | None  # the last run that it was about
    epoch: int  # of its last changes
    connections: int  # that were opened
    truncated: bool  # it ended before it said that it was complete
    error: SourceError | LimitExceeded | None  # why it is truncated

    def raise_for_error(self) -> Self:
        """Raise `error` if there is one; return the result otherwise."""
        if self.error is not None:
            raise self.error
        return self


class Pipeline:
    """Follows streams and hands every change to hooks and sinks.

        async with Pipeline(sinks=[JsonlSink("steps.jsonl")], hooks=MyHooks()) as pipeline:
            result = await pipeline.run(HttpSource(url))

    Any number of streams may be followed at once, each by a call of `run`, `changes` or `tee`. Leaving the context
    waits until sinks and hooks have taken everything, at most `drain_s`, also when it is left by an exception or a
    cancellation.

    Args:
        sinks: each alone, or with its policy.
        store: keeps the journal, the states and how far each sink is. Changes are durable before a sink sees them, a
            sink that lags holds nobody up, and the next pipeline with this store goes on where this one stopped.
        hooks: called at once; see `RunHooks`.
        dialect: of all streams that name no other one.
        retry: of lost connections; `base_s` also counts after a stream that asked for no reconnection time.
        on_hook_error: what becomes of a hook that raises.
        on_dead_letter: called with each change that a sink will never take.
        on_changes: called with each batch as it is handed on; must be quick, and not raise.
        drain_s: how long leaving may wait.
        random, now: for tests; jitter and the wall clock.
    """

    def __init__(
        self,
        sinks: Sequence[Sink | tuple[Sink, DeliveryPolicy]] = (),
        *,
        store: Store | None = None,
        hooks: RunHooks | Sequence[RunHooks] = (),
        dialect: DialectLike = "assistants",
        limits: Limits | None = None,
        retry: Retry = _SOURCE_RETRY,
        on_hook_error: OnHookError = "log",
        on_dead_letter: Callable[[DeadLetter], object] | None = None,
        on_changes: Callable[[Sequence[Change]], object] | None = None,
        drain_s: float = 10.0,
        random: Random | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        """
        Raises:
            ConfigError: a hook or a policy cannot work.
        """
        self._reducer = Reducer(limits)
        self._dialect = dialect
        self._retry = retry
        self._drain_s = drain_s
        self._on_changes = on_changes
        self._random = random or Random()
        self._now = now
        self._fanout = Fanout(
            sinks,
            random=self._random,
            now=lambda: datetime.fromtimestamp(now(), UTC),
            on_dead_letter=on_dead_letter,
        )
        self._hooks = [
            HookDispatch(one, on_error=on_hook_error, limits=self._reducer.limits) for one in _as_hooks(hooks)
        ]
        self._store = store
        self._journal = None if store is None else Journal(store, self._fanout, self._random)
        self._offer: Callable[[list[Change]], bool]
        self._offer = self._fanout.offer if self._journal is None else self._journal.offer
        if on_changes is not None:
            self._offer = self._offer_and_show
        self._group: TaskGroup  # while it is open
        self._rounds: Rounds
        self._stack = AsyncExitStack()  # holds the store
        self._was_entered = self._is_open = False
        self._iterating: set[CancelScope] = set()  # of the tasks behind `changes`
        self._active: dict[str, _Follower | None] = {}  # the streams that are followed now; None while one begins
        self._anomalies: Counter[str] = Counter()  # of streams that ended
        self._hydrated: dict[str, _Follower] = {}  # of the streams that `hydrate` was called with
        self._hydrating = Lock()  # until the stream has begun
        self._epoch = 0
        self._second = -1
        self._to_second = self._at = ""
        self._at_until_s = -math.inf  # of the event loop; until then `_at` is the time

    async def __aenter__(self) -> Self:
        if self._was_entered:
            raise ConfigError("a pipeline is entered once; make another one")
        self._was_entered = True
        await self._stack.__aenter__()
        try:
            if self._store is not None:
                await self._stack.enter_async_context(self._store)
                self._reducer.restore(*await self._store.open_objects())
            self._group = create_task_group()
            await self._group.__aenter__()
            try:
                await self._fanout.start(self._group, self._store)
            except BaseException as error:
                self._group.cancel_scope.cancel()  # the sinks before it are left again
                await self._leave_group(error)
                raise
        except BaseException:
            await self._stack.aclose()
            raise
        if self._journal is not None:
            self._group.start_soon(self._journal.run)
        for hooks in self._hooks:
            self._group.start_soon(hooks.run)
        self._rounds = Rounds(self._group, offer=self._offer, room=self._room_behind, time=self._time)
        self._is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._is_open = False
        for scope in self._iterating:
            scope.cancel()
        self._rounds.close()
        with CancelScope(shield=True):
            for hooks in self._hooks:  # first, since a hook may wait for what a sink does
                await hooks.drain(self._drain_s)
            if self._journal is not None:
                await self._journal.drain(self._drain_s)
            await self._fanout.drain(self._drain_s)
        try:
            await self._leave_group(error)
        finally:
            await self._stack.aclose()

    async def _leave_group(self, error: BaseException | None) -> None:
        """Wait for the tasks, which have nothing left to do.

        The group must see a cancellation, and would wrap any other error of the user's.
        """
        if not isinstance(error, get_cancelled_exc_class()):
            error = None
        try:
            await self._group.__aexit__(type(error) if error else None, error, None)
        except BaseExceptionGroup as group:
            # A task here raises on purpose only what a hook raised, under the policy "raise".
            match group.exceptions:
                case (HookError() as failure,):
                    raise failure from failure.__cause__
                case _:
                    raise

    # -- streams ------------------------------------------------------------------------------------------------------

    async def run(
        self, source: SourceLike, *, dialect: DialectLike | None = None, submit: Submit | None = None
    ) -> StreamResult:
        """Follow one stream to its end, over as many connections as it takes.

        Args:
            source: or what `IterableSource` takes, e.g. `response.content.iter_any()`.
            submit: answers a run that requires action: it is called with what is asked for and returns the source of
                the run's next stream, which is followed as part of this one.

        Returns:
            What became of it. An error of the source does not raise; `result.raise_for_error()` does.

        Raises:
            ConfigError: another stream of that name is being followed.
            StoreError: the store could not give the stream an epoch.
            HookError: a sync hook raised, and the policy is "raise".
            Exception: whatever `submit` raised, or a source beside `SourceError`. The stream has been ended properly.
        """
        return await self._run(_as_source(source), dialect, submit, None)

    async def changes(
        self, source: SourceLike, *, dialect: DialectLike | None = None, submit: Submit | None = None
    ) -> AsyncGenerator[Change]:
        """Follow one stream as `run` does, and give its changes too; at most one chunk is read ahead of them.

        Leaving the loop early (close the generator then, with `contextlib.aclosing`) ends the stream as truncated.

        Raises:
            SourceError, LimitExceeded: the stream was truncated, after its last change.
            Exception: as `run`.
        """
        source = _as_source(source)
        self._check_open()
        send, receive = create_memory_object_stream[list[Change]](0)
        scope = CancelScope()
        failure: Exception | None = None

        async def follow() -> None:
            nonlocal failure
            with scope, send:
                self._iterating.add(scope)
                try:
                    (await self._run(source, dialect, submit, send)).raise_for_error()
                except Exception as error:
                    failure = error
                finally:
                    self._iterating.discard(scope)

        self._group.start_soon(follow)
        try:
            with receive:
                async for batch in receive:
                    for change in batch:
                        yield change
        finally:
            scope.cancel()
        if failure is not None:
            raise failure

    async def tee(
        self, chunks: AsyncIterable[bytes], *, stream: str = "default", dialect: DialectLike | None = None
    ) -> AsyncGenerator[bytes]:
        """Give the bytes of a stream unchanged, and process them on the way.

        A chunk is processed before it is given, and the next one is asked for only once sinks have room. Bytes beyond
        a limit are passed on unprocessed. Exceptions of `chunks` pass through.

        Raises:
            ConfigError: another stream of that name is being followed.
            HookError: as `run`.
        """
        follower = await self._begin(stream, dialect)
        try:
            async for chunk in chunks:
                if follower.error is None:
                    try:
                        follower.proc.stamp(self._time())
                        self._hand_on(follower.proc.feed(chunk))
                    except LimitExceeded as limit:
                        follower.error = limit
                yield chunk
                await self._room(follower)
        finally:
            self._end(follower)

    async def push(self, stream: str, *, dialect: DialectLike | None = None) -> "PushedStream":
        """Begin a stream whose bytes are brought here; whoever begins it ends it, before the pipeline is left.

        Raises:
            ConfigError: another stream of that name is being followed, or there is no such dialect.
            StoreError: the store could not give the stream an epoch.
        """
        return PushedStream(await self._begin(stream, dialect), self._take, self._room, self._end)

    async def infer(self, run_id: str, status: str) -> list[Change]:
        """Note how a run must have ended of which nothing is heard any more, see `Reducer.infer`; returns the changes.

        They are of a stream of their own, which hooks see end after each run.

        Raises:
            StoreError: as `push`, the first time; nothing was noted.
        """
        if _SILENT not in self._active:
            await self._begin(_SILENT, None)
        follower = self._active[_SILENT]
        if follower is None:  # another call is about to begin it
            return []
        follower.proc.stamp(self._time())
        changes = follower.proc.infer(run_id, status)
        if changes:
            self._hand_on(changes)
            for hooks in self._hooks:
                hooks.dispatch_end(_SILENT)
            await self._settle(follower, changes)
        return changes

    async def flush(self) -> None:
        """Return once all changes so far are durable; without a store at once, and without end while it fails."""
        if self._journal is not None:
            await self._journal.flush()

    async def hydrate(self, objects: Iterable[Run | RunStep | Message], *, stream: str = "hydrated") -> list[Change]:
        """Take authoritative states from elsewhere, such as an API's answer; each replaces what deltas built up.

        All calls with one name are one stream, which ends with the pipeline. Objects without a status are left out.

        Raises:
            ConfigError: another stream of that name is being followed.
            StoreError: the store could not give the stream an epoch.
        """
        async with self._hydrating:
            follower = self._hydrated.get(stream)
            if follower is None:
                follower = self._hydrated[stream] = await self._begin(stream, None)
        proc = follower.proc
        proc.stamp(self._time())
        changes = [change for obj in objects if isinstance(obj.status, str) for change in proc.hydrate(obj)]
        await self._deliver(follower, changes)
        return changes

    async def can_take(self) -> bool:
        """Whether a stream could begin now and be read at once: nothing has to wait, and the store can be written."""
        if not self._is_open or self._is_full:
            return False
        try:
            await self._next_epoch(_PROBE)
        except StoreError:
            return False
        return True

    # -- results ------------------------------------------------------------------------------------------------------

    @property
    def runs(self) -> Mapping[str, Run]:
        """Live view: run id -> current state."""
        return self._reducer.runs

    @property
    def steps(self) -> Mapping[str, RunStep]:
        """Live view: step id -> current state."""
        return self._reducer.steps

    @property
    def messages(self) -> Mapping[str, Message]:
        """Live view: message id -> current state."""
        return self._reducer.messages

    @property
    def reducer(self) -> Reducer:
        """The states themselves, to look at."""
        return self._reducer

    @property
    def unstored(self) -> int:
        """With a store: changes that are not in it yet, or after leaving, for good."""
        return 0 if self._journal is None else self._journal.pending

    @property
    def is_store_failing(self) -> bool:
        """Whether changes wait for a store that did not take them."""
        return self._journal is not None and self._journal.is_failing

    @property
    def anomalies(self) -> Mapping[str, int]:
        """Kind of anomaly -> how often it was met, over all streams so far."""
        found = self._anomalies.copy()
        for follower in self._active.values():
            if follower is not None:
                found.update(follower.proc.anomalies)
        return found

    @property
    def dead_letters(self) -> Sequence[DeadLetter]:
        """The changes that sinks rejected, as many of the newest as are kept."""
        return tuple(self._fanout.dead_letters)

    def statistics(self) -> tuple[SinkStatistics, ...]:
        """The accounts of all sinks, in their order."""
        return self._fanout.statistics()

    def evict(self, run_id: str) -> None:
        """Forget a run with its steps and messages. Changes already handed out keep their views."""
        self._reducer.evict(run_id)
        for hooks in self._hooks:
            hooks.evict(run_id)

    # -- one stream ---------------------------------------------------------------------------------------------------

    async def _run(
        self,
        source: Source,
        dialect: DialectLike | None,
        submit: Submit | None,
        tap: MemoryObjectSendStream[list[Change]] | None,
    ) -> StreamResult:
        follower = await self._begin(source.name, dialect)
        follower.tap = tap
        try:
            while True:
                follower.error = await self._follow(follower, source)
                if submit is None or follower.error is not None:
                    break
                await self._deliver(follower, self._close(follower))  # which may be what says that action is required
                action = self._required(follower)
                if action is None:
                    break
                answer = submit(action)
                source = _as_source(await answer if isawaitable(answer) else answer)
                follower.proc.open()
        finally:
            closing = self._end(follower)
        if tap is not None and closing:
            await tap.send(closing)
        return follower.result()

    async def _follow(self, follower: "_Follower", source: Source) -> SourceError | LimitExceeded | None:
        """Read a source until its stream is complete, or cannot go on; returns why not."""
        proc = follower.proc
        recovery = Recovery(source, self._retry, self._random, current_time())
        attempt: Attempt | None = None
        while True:
            error: SourceError | None = None
            recovery.opened(current_time())
            try:
                if attempt is not None and attempt.way == "resync":
                    await self._resync(follower, source)
                else:
                    await self._read(follower, source, None if attempt is None else attempt.cursor, recovery)
            except SourceError as failure:
                error = failure
            except LimitExceeded as limit:
                return limit
            if proc.is_complete:
                return None
            attempt = recovery.after(
                error, now_s=current_time(), cursor=proc.cursor, run_id=proc.run_id, retry_ms=proc.retry_ms
            )
            if attempt is None:
                return error or StreamTruncated(proc.stream)
            log.warning(
                "stream.reconnecting",
                **follower.names(),
                way=attempt.way,
                attempt=attempt.number,
                wait_s=round(attempt.wait_s, 3),
                cause="the stream ended" if error is None else str(error),
            )
            await sleep(attempt.wait_s)
            if attempt.way == "resume":
                proc.resume()
            else:
                proc.open(epoch=await self._next_epoch(proc.stream))

    async def _read(self, follower: "_Follower", source: Source, cursor: str | None, recovery: Recovery) -> None:
        """Read one connection to its end, or until the stream says that nothing follows.

        The loop runs for each chunk, which is one event as a rule: whatever is looked up in it is felt.
        """
        clock = loop_clock()
        proc, tap = follower.proc, follower.tap
        stamp, feed = proc.stamp, proc.feed
        hand_on = self._hand_on if self._hooks else self._offer
        rounds = self._rounds
        heard_s = clock()
        try:
            async with source.open(cursor) as chunks:
                follower.connections += 1
                # hooks, and whoever iterates, are told at once and not in rounds
                at_once = bool(self._hooks) or tap is not None
                poll = chunks.poll if isinstance(chunks, PolledChunks) and not at_once else None
                async for chunk in chunks:
                    before_s, heard_s = heard_s, clock()
                    if heard_s >= self._at_until_s:
                        self._tick(heard_s)
                    stamp(self._at)
                    changes = feed(chunk)
                    if changes and (hand_on(changes) or tap is not None):
                        await self._settle(follower, changes)
                    if poll is not None and rounds.are_worth(chunk, before_s, heard_s) and not proc.is_done:
                        heard_s = await rounds.follow(proc, poll)
                    if proc.is_done:
                        return
        finally:
            recovery.heard(heard_s)

    async def _resync(self, follower: "_Follower", source: Source) -> None:
        """Take the run's result from the server instead of the rest of its stream."""
        proc = follower.proc
        if not isinstance(source, ResyncingSource) or proc.run_id is None:
            return
        objects = await source.resync(proc.run_id, proc.thread_id)
        proc.stamp(self._time())
        await self._deliver(follower, [change for obj in objects for change in proc.hydrate(obj)])
        log.info("stream.resynced", **follower.names(), objects=len(objects))

    def _required(self, follower: "_Follower") -> RequiredAction | None:
        run = self.runs.get(follower.proc.run_id or "")
        return None if run is None else required_action_of(run)

    # -- handing on ---------------------------------------------------------------------------------------------------

    def _take(self, follower: "_Follower", chunk: bytes) -> list[Change]:
        """Process some bytes of a stream that is pushed."""
        follower.proc.stamp(self._time())
        try:
            changes = follower.proc.feed(chunk)
        except LimitExceeded as limit:
            follower.error = limit
            raise
        self._hand_on(changes)
        return changes

    async def _deliver(self, follower: "_Follower", changes: list[Change]) -> None:
        """Hand changes on, and wait until there is room for the next ones."""
        if changes:
            self._hand_on(changes)
            await self._settle(follower, changes)

    async def _settle(self, follower: "_Follower", changes: list[Change]) -> None:
        """Wait until the changes are taken where somebody iterates over them, and until there is room for more."""
        if follower.tap is not None:
            await follower.tap.send(changes)
        if self._is_full:
            await self._room(follower)

    def _hand_on(self, changes: list[Change]) -> bool:
        """Returns whether there may be no room for more, which is seldom."""
        may_be_full = self._offer(changes)
        if self._hooks:
            for hooks in self._hooks:
                hooks.dispatch(changes)
            return self._is_full
        return may_be_full

    def _offer_and_show(self, changes: Sequence[Change]) -> bool:
        """In place of `_offer` where somebody wants to see each batch."""
        if self._on_changes is not None and changes:
            self._on_changes(changes)
        return self._fanout.offer(changes) if self._journal is None else self._journal.offer(changes)

    @property
    def _is_full(self) -> bool:
        """Whether `_room` would wait."""
        if self._fanout.is_full or (self._journal is not None and self._journal.is_full):
            return True
        return True in [hooks.is_full for hooks in self._hooks]

    async def _room(self, follower: "_Follower") -> None:
        for hooks in self._hooks:
            if hooks.is_full:
                await hooks.room(follower.proc.stream)
        await self._room_behind()

    async def _room_behind(self) -> None:
        """Wait until store and sinks have room."""
        if self._journal is not None and self._journal.is_full:
            await self._journal.room()
        if self._fanout.is_full:
            await self._fanout.room()

    # -- begin and end ------------------------------------------------------------------------------------------------

    def _check_open(self) -> None:
        if not self._is_open:
            raise ConfigError("the pipeline is not open: use `async with Pipeline(...) as pipeline`")

    async def _begin(self, name: str, dialect: DialectLike | None) -> "_Follower":
        self._check_open()
        if name in self._active:
            raise ConfigError(f"a stream named {name!r} is being followed already; give this one another name")
        self._active[name] = None
        try:
            epoch = await self._next_epoch(name)
            proc = StreamProcessor(dialect or self._dialect, self._reducer, stream=name, epoch=epoch)
        except BaseException:
            del self._active[name]
            raise
        follower = self._active[name] = _Follower(proc)
        return follower

    def _end(self, follower: "_Follower") -> list[Change]:
        """Mark what a stream left open, and say that it ended; returns the changes of that."""
        proc = follower.proc
        self._active.pop(proc.stream, None)
        try:
            changes = self._close(follower)
            if proc.truncated:
                cause = "cancelled or abandoned" if follower.error is None else str(follower.error)
                log.warning("stream.truncated", **follower.names(), cause=cause)
            self._hand_on(changes)
        finally:
            self._anomalies.update(proc.anomalies)
            for hooks in self._hooks:
                hooks.dispatch_end(proc.stream)
        return changes

    def _close(self, follower: "_Follower") -> list[Change]:
        proc = follower.proc
        proc.stamp(self._time())
        try:
            return proc.close()
        except LimitExceeded as limit:  # the last chunk had changes before it broke the limit
            follower.error = limit
            return proc.close()

    async def _next_epoch(self, stream: str) -> int:
        """Higher than any before, also over restarts of the program: the store knows, else milliseconds since 1970."""
        if self._store is not None:
            return await self._store.next_epoch(stream)
        self._epoch = max(self._epoch + 1, int(self._now() * 1000))
        return self._epoch

    def _time(self) -> str:
        """Now, as RFC 3339."""
        now_s = current_time()
        if now_s >= self._at_until_s:
            self._tick(now_s)
        return self._at

    def _tick(self, now_s: float) -> None:
        """Look at the wall clock, which is done once a millisecond; most of the text is made once a second."""
        wall_s = self._now()
        millisecond = int(wall_s * 1000)
        self._at_until_s = now_s + (millisecond + 1) / 1000 - wall_s
        second, rest = divmod(millisecond, 1000)
        if second != self._second:
            self._second = second
            self._to_second = datetime.fromtimestamp(second, UTC).isoformat()[:19]
        self._at = f"{self._to_second}.{rest:03d}Z"


class PushedStream:
    """A stream whose bytes are brought to a pipeline, from `Pipeline.push`; not to be fed concurrently.

        stream = await pipeline.push("name")
        changes = await stream.feed(chunk)
        result = stream.end()

    Attributes:
        received: bytes that were fed and processed.
    """

    def __init__(
        self,
        follower: "_Follower",
        take: Callable[["_Follower", bytes], list[Change]],
        room: Callable[["_Follower"], Awaitable[None]],
        end: Callable[["_Follower"], object],
    ) -> None:
        self.received = 0
        self._follower = follower
        self._take, self._room, self._end = take, room, end

    async def feed(self, chunk: bytes) -> list[Change]:
        """Process some bytes, cut anywhere, and wait until there is room for more.

        When it is cancelled, they have been processed nevertheless.

        Raises:
            LimitExceeded: the stream broke a limit; nothing more of it can be processed.
            HookError: as `Pipeline.run`.
        """
        changes = self.take(chunk)
        await self.room()
        return changes

    def take(self, chunk: bytes) -> list[Change]:
        """Process some bytes as `feed` does, without the wait; `room` must follow.

        Raises:
            LimitExceeded, HookError: as `feed`.
        """
        changes = self._take(self._follower, chunk)
        self.received += len(chunk)
        return changes

    async def room(self) -> None:
        """Return once there is room for more."""
        await self._room(self._follower)

    def end(self) -> StreamResult:
        """End the stream, at any point: what it left open is marked as truncated. Once."""
        self._end(self._follower)
        return self._follower.result()

    @property
    def is_done(self) -> bool:
        """Whether the stream said that nothing follows."""
        return self._follower.proc.is_done

    @property
    def epoch(self) -> int:
        return self._follower.proc.epoch

    @property
    def anomalies(self) -> Mapping[str, int]:
        """Kind of anomaly -> how often it was met on this stream."""
        return self._follower.proc.anomalies


class _Follower:
    """One stream on its way through a pipeline."""

    __slots__ = ("connections", "error", "proc", "tap")

    def __init__(self, proc: StreamProcessor) -> None:
        self.proc = proc
        self.connections = 0
        self.error: SourceError | LimitExceeded | None = None  # why it is truncated
        self.tap: MemoryObjectSendStream[list[Change]] | None = None

    def names(self) -> dict[str, Any]:
        """What a log event says of the stream."""
        return {"stream": self.proc.stream, "run_id": self.proc.run_id, "epoch": self.proc.epoch}

    def result(self) -> StreamResult:
        proc = self.proc
        return StreamResult(
            stream=proc.stream,
            run_id=proc.run_id,
            epoch=proc.epoch,
            connections=self.connections,
            truncated=proc.truncated,
            error=self.error if proc.truncated else None,
        )


def _as_hooks(hooks: Any) -> Sequence[RunHooks]:
    """One, or several; whatever else comes is told."""
    every: Sequence[RunHooks] = hooks if isinstance(hooks, Sequence) else (hooks,)
    for one in every:
        if not isinstance(one, RunHooks):
            raise ConfigError(f"expected hooks, an object of a subclass of RunHooks; {came(one)}")
    return every


def _as_source(source: SourceLike) -> Source:
    if isinstance(source, Iterable | AsyncIterable):
        return IterableSource(source)
    # a path has both members too
    is_one = not isinstance(source, type | PathLike) and isinstance(getattr(source, "name", None), str)
    if not is_one or not callable(getattr(source, "open", None)):
        raise ConfigError(
            f"expected a source or an iterable of bytes or events, {came(source)}; "
            "such are HttpSource(url), FileSource(path), response.content.iter_any()"
        )
    return source
