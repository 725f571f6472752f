"""HookDispatch: changes in, calls of hooks out; sync ones at once, async ones through one bounded queue a run.

The queue of a run holds batches: the calls that one `dispatch` made for it. They are awaited one after the other,
beside those of other runs. `dispatch` never waits; whoever reads a stream asks `is_full` after it and then awaits
`room`, so that a slow hook holds up its own stream, and only once MAX_BATCHES batches wait.

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(hooks.run)
        async for chunk in response:
            hooks.dispatch(proc.feed(chunk))
            if hooks.is_full:
                await hooks.room("default")
        hooks.dispatch(proc.close())
        hooks.dispatch_end("default")
        await hooks.drain(5)  # `run` ends with it
"""

from collections import deque
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import anyio
import structlog
from anyio.abc import TaskGroup

from streamproc.core.change import Change
from streamproc.core.limits import Limits
from streamproc.errors import HookError
from streamproc.hooks.base import RunHooks, outcomes_of
from streamproc.hooks.listeners import Hook, Listeners, OnHookError, listeners_of
from streamproc.hooks.tracker import Tracker

__all__ = ["MAX_BATCHES", "HookDispatch", "OnHookError"]

log = structlog.get_logger("streamproc")

MAX_BATCHES: Final = 256


class _Call(NamedTuple):
    hook: Hook
    arguments: tuple[Any, ...]
    stream: str


class _Lane:
    """The calls that wait for one run."""

    def __init__(self, run_id: str | None, stream: str) -> None:
        self.run_id = run_id
        self.stream = stream  # the one that filled it last
        self.batches: deque[list[_Call]] = deque()  # the first one is being worked off
        self.gathered: list[_Call] = []  # the batch that is being made
        self.made = 0  # calls of the first batch that were made
        self.is_served = False


class HookDispatch:
    """Calls the hooks of one `RunHooks` for the changes of any number of streams."""

    def __init__(self, hooks: RunHooks, *, on_error: OnHookError = "log", limits: Limits | None = None) -> None:
        """
        Args:
            hooks: whose overridden methods are called. Which ones are is found out here, once.
            on_error: what becomes of a hook that raises, see `OnHookError`.
            limits: how many runs, and steps of each, are remembered; give those of the reducer.

        Raises:
            ConfigError: a method is named like a hook and is none, or cannot take a hook's arguments.
        """
        self._on: Listeners = listeners_of(hooks, on_error)
        self._outcomes = outcomes_of(hooks)
        self._outcomes.attach(limits or Limits())
        self._tracker = Tracker(self._on, self._outcomes, self._call)
        self._lanes: dict[str | None, _Lane] = {}
        self._filled: list[_Lane] = []  # those with a batch in the making
        self._full = 0  # lanes that hold MAX_BATCHES or more
        self._failure: HookError | None = None
        self._is_ending = False  # `run` ends once no call waits
        self._is_over = False  # no more calls are made
        self._scope: anyio.CancelScope | None = None
        self._work = anyio.Event()  # something to do for `run`
        self._progress = anyio.Event()  # a batch is done

    # -- for whoever reads streams ----------------------------------------------------------------------------------

    def dispatch(self, changes: Iterable[Change]) -> None:
        """Call the sync hooks for a batch of changes, and queue the calls of async ones.

        Raises:
            HookError: a sync hook raised, and the policy is "raise"; the rest of the batch is not told.
        """
        try:
            self._tracker.take(changes)
        finally:
            self._queue()

    def dispatch_end(self, stream: str) -> None:
        """Nothing more will come on a stream: neither from a reconnect nor from the continuation of its run.

        Raises:
            HookError: as `dispatch`.
        """
        self._tracker.forget_recent()
        run_id = self._outcomes.end_stream(stream)
        if (hook := self._on.on_end) is not None:
            try:
                self._invoke(hook, (stream, run_id), stream, run_id)
            finally:
                self._queue()

    def evict(self, run_id: str) -> None:
        """Forget a run, as the reducer did. Calls that wait for it are still made."""
        self._tracker.forget_recent()
        self._outcomes.evict(run_id)

    @property
    def is_full(self) -> bool:
        """Whether MAX_BATCHES batches wait for a run."""
        return self._full > 0

    async def room(self, stream: str | None = None) -> None:
        """Wait until less than MAX_BATCHES batches wait: for each run, or only for those that a stream filled."""
        while any(len(lane.batches) >= MAX_BATCHES and stream in (None, lane.stream) for lane in self._lanes.values()):
            await self._progress.wait()

    # -- for the owner of the tasks ---------------------------------------------------------------------------------

    async def run(self) -> None:
        """Make the calls that wait, until `drain`. To be run once, as a task.

        Raises:
            HookError: an async hook raised, and the policy is "raise".
        """
        try:
            async with anyio.create_task_group() as tasks:
                self._scope = tasks.cancel_scope
                while not (self._is_ending and not self._lanes):
                    for lane in self._lanes.values():
                        if not lane.is_served:
                            lane.is_served = True
                            tasks.start_soon(self._serve, lane, tasks)
                    await self._work.wait()
                    self._work = anyio.Event()
        finally:
            self._scope = None
            self._is_over = True
            self._drop()
            self._outcomes.close()
        if self._failure is not None:
            raise self._failure

    async def drain(self, deadline_s: float) -> None:
        """Wait until all calls were made, at most so long; what is left then is dropped and logged. Ends `run`."""
        self._is_ending = True
        self._work.set()
        with anyio.move_on_after(deadline_s):
            while self._lanes:
                await self._progress.wait()
        self._is_over = True
        if self._lanes and self._scope is not None:
            self._scope.cancel()
        self._drop()
        self._outcomes.close()

    # -- inside -----------------------------------------------------------------------------------------------------

    def _call(self, hook: Hook, change: Change, *arguments: Any) -> None:
        self._invoke(hook, (*arguments, change), change.stream, change.run_id)

    def _invoke(self, hook: Hook, arguments: tuple[Any, ...], stream: str, run_id: str | None) -> None:
        if hook.is_async:
            lane = self._lanes.get(run_id)
            if lane is None:
                lane = self._lanes[run_id] = _Lane(run_id, stream)
            if not lane.gathered:
                self._filled.append(lane)
            lane.stream = stream
            lane.gathered.append(_Call(hook, arguments, stream))
            return
        try:
            hook.function(*arguments)
        except Exception as failure:
            self._failed(hook, failure, stream, run_id)

    def _failed(self, hook: Hook, failure: Exception, stream: str, run_id: str | None) -> None:
        hook.failed(failure, stream, run_id)
        if hook.disabled:
            setattr(self._on, hook.name, None)

    def _queue(self) -> None:
        """Put the batches that were made where `run` finds them."""
        if not self._filled:
            return
        for lane in self._filled:
            lane.batches.append(lane.gathered)
            lane.gathered = []
            self._full += len(lane.batches) == MAX_BATCHES
        self._filled.clear()
        self._work.set()
        if self._is_over:
            self._drop()

    async def _serve(self, lane: _Lane, tasks: TaskGroup) -> None:
        """Make the calls of one run, one after the other, until none waits."""
        while lane.batches:
            for hook, arguments, stream in lane.batches[0]:
                if self._is_over:  # given up while the call before was made
                    return
                try:
                    if not hook.disabled:
                        await hook.function(*arguments)
                    lane.made += 1
                except Exception as failure:
                    lane.made += 1
                    try:
                        self._failed(hook, failure, stream, lane.run_id)
                    except HookError as error:  # to leave `run` as it is, in no group
                        self._failure = error
                        tasks.cancel_scope.cancel()
                        return
            if self._is_over:
                return
            self._full -= len(lane.batches) == MAX_BATCHES
            lane.batches.popleft()
            lane.made = 0
            self._progressed()
        del self._lanes[lane.run_id]
        self._work.set()
        self._progressed()

    def _drop(self) -> None:
        """Forget the calls that were not made."""
        calls = sum(sum(map(len, lane.batches)) - lane.made for lane in self._lanes.values())
        if calls:
            log.warning("hook.dropped", calls=calls, runs=len(self._lanes))
        self._lanes.clear()
        self._full = 0
        self._progressed()

    def _progressed(self) -> None:
        self._progress.set()
        self._progress = anyio.Event()
