"""Sync hooks at once, async ones in order per run through bounded queues; and hooks that raise."""

from typing import Any

import anyio
import anyio.lowlevel
import pytest
from structlog.testing import capture_logs

from streamproc import Change, Event, StreamProcessor
from streamproc.errors import HookError
from streamproc.hooks import MAX_BATCHES, HookDispatch, RunHooks
from tests.streams import arguments, call, error, run, sse, step, step_delta


def status(number: int, run_id: str = "run_1") -> Event:
    """A change of a run, one after another different."""
    return run("in_progress", run_id, metadata={"n": number})


class Slow(RunHooks):
    """An async hook that notes what it did, and waits before each call until it may go on."""

    def __init__(self, *, open: bool = False) -> None:
        self.told: list[tuple[str, int]] = []
        self.gates: dict[str, anyio.Semaphore] = {}
        self.open = open

    def gate(self, run_id: str) -> anyio.Semaphore:
        return self.gates.setdefault(run_id, anyio.Semaphore(0))

    async def on_change(self, change: Change, /) -> None:
        if not self.open:
            await self.gate(change.id).acquire()
        self.told.append((change.id, change.revision))


def driven(hooks: RunHooks, on_error: Any = "log") -> tuple[HookDispatch, StreamProcessor]:
    return HookDispatch(hooks, on_error=on_error), StreamProcessor()


# --- order and bounds -------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_async_hooks_run_in_order_and_beside_those_of_other_runs() -> None:
    """Run 1 stands still; run 2 goes on meanwhile."""
    hooks = Slow()
    dispatch, proc = driven(hooks)
    after_one_run: list[tuple[str, int]] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dispatch.run)
        dispatch.dispatch(proc.feed(sse(*(status(n, f"run_{n % 2 + 1}") for n in range(6)))))
        await anyio.wait_all_tasks_blocked()
        for _ in range(3):
            hooks.gate("run_2").release()
        await anyio.wait_all_tasks_blocked()
        after_one_run += hooks.told
        for _ in range(3):
            hooks.gate("run_1").release()
        await dispatch.drain(60)

    assert after_one_run == [("run_2", 1), ("run_2", 2), ("run_2", 3)]
    assert hooks.told == [*after_one_run, ("run_1", 1), ("run_1", 2), ("run_1", 3)]


@pytest.mark.asyncio
async def test_sync_hooks_run_at_once() -> None:
    """Before `dispatch` returns; async ones of the same object come later."""
    order: list[str] = []

    class Both(RunHooks):
        def on_step_created(self, step: Any, change: Change, /) -> None:
            order.append("sync")

        async def on_change(self, change: Change, /) -> None:
            order.append("async")

    dispatch, proc = driven(Both())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dispatch.run)
        dispatch.dispatch(proc.feed(sse(step())))
        order.append("returned")
        await dispatch.drain(60)

    assert order == ["sync", "returned", "async"]


@pytest.mark.asyncio
async def test_a_slow_hook_holds_up_its_own_stream_once_its_queue_is_full() -> None:
    """At 256 batches; `room` lets the reader go on with the first that is done, and other streams at once."""
    seen: list[Any] = []
    hooks = Slow()
    dispatch, proc = driven(hooks)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dispatch.run)
        for number in range(MAX_BATCHES):
            seen.append(dispatch.is_full)
            dispatch.dispatch(proc.feed(sse(status(number))))
        await dispatch.room("another")
        for stream in ("default", None):
            with anyio.move_on_after(0) as waiting:
                await dispatch.room(stream)
            seen.append(waiting.cancelled_caught)
        hooks.gate("run_1").release()
        await dispatch.room("default")
        seen += [len(hooks.told), dispatch.is_full]
        tasks.cancel_scope.cancel()

    assert seen == [*[False] * MAX_BATCHES, True, True, 1, False]


@pytest.mark.asyncio
async def test_more_batches_than_the_bound_are_not_lost() -> None:
    """A reader that does not ask is not stopped; there is room again once they are done."""
    hooks = Slow(open=True)
    dispatch, proc = driven(hooks)
    for number in range(MAX_BATCHES + 44):
        dispatch.dispatch(proc.feed(sse(status(number))))
    full = dispatch.is_full
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dispatch.run)
        await dispatch.room()
        await dispatch.drain(60)

    assert full
    assert hooks.told == [("run_1", n + 1) for n in range(MAX_BATCHES + 44)]
    assert not dispatch.is_full


@pytest.mark.asyncio
async def test_the_end_comes_last() -> None:
    """`on_end` waits for the calls of its run, and says which run it was."""
    told: list[Any] = []

    class Ending(RunHooks):
        async def on_change(self, change: Change, /) -> None:
            await anyio.lowlevel.checkpoint()
            told.append(change.kind)

        async def on_end(self, stream: str, run_id: str | None, /) -> None:
            told.append((stream, run_id))

    dispatch, proc = driven(Ending())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dispatch.run)
        dispatch.dispatch(proc.feed(sse(run(), error("e"))))
        dispatch.dispatch_end("default")
        dispatch.dispatch_end("empty")
        await dispatch.drain(60)

    assert told == [("empty", None), "run", "error", ("default", "run_1")]


# --- the end of it all ------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_nothing_to_drain() -> None:
    """`run` ends at once, also when it begins after `drain`."""
    dispatch, _ = driven(RunHooks())
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dispatch.run)
        await dispatch.drain(60)
    late, _ = driven(RunHooks())
    await late.drain(60)
    await late.run()


@pytest.mark.asyncio
async def test_a_hook_that_never_returns_is_given_up_at_the_deadline() -> None:
    """What it kept waiting is dropped, counted and logged; `run` ends."""
    hooks = Slow()
    dispatch, proc = driven(hooks)
    with capture_logs() as logs:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(dispatch.run)
            dispatch.dispatch(proc.feed(sse(status(1), status(2), status(3, "run_2"))))
            await dispatch.drain(0)

    assert hooks.told == []
    assert logs == [{"event": "hook.dropped", "log_level": "warning", "calls": 3, "runs": 2}]


@pytest.mark.asyncio
@pytest.mark.parametrize("count", [1, 2])
async def test_a_hook_that_does_not_let_itself_be_cancelled(count: int) -> None:
    """It ends in its own time, after the deadline; no further call is made."""
    entered, leave = anyio.Event(), anyio.Event()
    told: list[int] = []

    class Stubborn(RunHooks):
        async def on_change(self, change: Change, /) -> None:
            entered.set()
            with anyio.CancelScope(shield=True):
                await leave.wait()
            told.append(change.revision)

    dispatch, proc = driven(Stubborn())
    with capture_logs() as logs:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(dispatch.run)
            dispatch.dispatch(proc.feed(sse(*(status(n) for n in range(count)))))
            await entered.wait()
            await dispatch.drain(0)
            leave.set()

    assert told == [1]
    assert [entry["calls"] for entry in logs] == [count]


@pytest.mark.asyncio
async def test_draining_what_nobody_runs() -> None:
    """The deadline holds without `run` too, and what comes after the end is dropped."""
    hooks = Slow(open=True)
    dispatch, proc = driven(hooks)
    dispatch.dispatch(proc.feed(sse(status(1))))
    with capture_logs() as logs:
        await dispatch.drain(0)
        await dispatch.run()
        dispatch.dispatch(proc.feed(sse(status(2))))

    assert [entry["calls"] for entry in logs] == [1, 1]
    assert hooks.told == []


@pytest.mark.asyncio
async def test_cancelling_leaves_nobody_waiting() -> None:
    """Neither who reads a stream nor who waits for a run; a hook is cancelled where it stands."""
    hooks = Slow()
    dispatch, proc = driven(hooks)
    with capture_logs() as logs:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(dispatch.run)
            for number in range(MAX_BATCHES):
                dispatch.dispatch(proc.feed(sse(status(number))))
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
    await dispatch.room()
    await hooks.until_done()

    assert [entry["calls"] for entry in logs] == [MAX_BATCHES]


# --- hooks that raise -------------------------------------------------------------------------------------------------


class Broken(RunHooks):
    """Raises in each hook of a run, the second time it is called."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def on_change(self, change: Change, /) -> None:
        self.told.append(change.id)
        if len(self.told) == 2:
            raise ValueError("secret")


class BrokenLater(RunHooks):
    """The same, async."""

    def __init__(self) -> None:
        self.told: list[str] = []

    async def on_change(self, change: Change, /) -> None:
        self.told.append(change.id)
        if len(self.told) == 2:
            raise ValueError("secret")


THREE = [status(1), status(2), status(3)]


async def drive(hooks: RunHooks, on_error: Any) -> list[Any]:
    """Dispatch three changes and drain; returns what was logged."""
    dispatch, proc = driven(hooks, on_error)
    with capture_logs() as logs:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(dispatch.run)
            dispatch.dispatch(proc.feed(sse(*THREE)))
            await dispatch.drain(60)
    return logs


@pytest.mark.asyncio
@pytest.mark.parametrize("hooks", [Broken(), BrokenLater()], ids=["sync", "async"])
async def test_a_hook_that_raises_is_logged_by_default(hooks: Broken | BrokenLater) -> None:
    """With its traceback and where it was, and goes on being called."""
    (entry,) = await drive(hooks, "log")
    exception = entry.pop("exception")

    assert entry == {
        "event": "hook.failed",
        "log_level": "error",
        "hook": "on_change",
        "stream": "default",
        "run_id": "run_1",
        "disabled": False,
    }
    assert exception.startswith("Traceback")
    assert "ValueError" in exception.splitlines()[-1]
    assert len(hooks.told) == 3


@pytest.mark.asyncio
@pytest.mark.parametrize("hooks", [Broken(), BrokenLater()], ids=["sync", "async"])
async def test_a_hook_that_raises_is_disabled(hooks: Broken | BrokenLater) -> None:
    """Logged once and not called again, though a call of it waits already."""
    (entry,) = await drive(hooks, "disable")

    assert entry["disabled"]
    assert len(hooks.told) == 2


@pytest.mark.asyncio
async def test_only_the_hook_that_raised_is_disabled() -> None:
    """Others of the same object are called on."""
    seen: list[str] = []

    class Two(Broken):
        def on_run_status(self, run: Any, change: Change, /) -> None:
            seen.append(run.status)

    dispatch, proc = driven(Two(), "disable")
    with capture_logs():
        dispatch.dispatch(proc.feed(sse(run("queued"), run("in_progress"), run("completed"))))

    assert seen == ["queued", "in_progress", "completed"]


def test_a_sync_hook_that_raises_ends_the_dispatch() -> None:
    """With the hook's name, and its own exception as the cause."""
    hooks = Broken()
    dispatch, proc = driven(hooks, "raise")
    with pytest.raises(HookError) as failure:
        dispatch.dispatch(proc.feed(sse(*THREE)))

    assert failure.value.hook == "on_change"
    assert isinstance(failure.value.__cause__, ValueError)
    assert len(hooks.told) == 2


def test_a_hook_of_the_end_that_raises() -> None:
    """As any other."""

    class Ending(RunHooks):
        def on_end(self, stream: str, run_id: str | None, /) -> None:
            raise ValueError("secret")

    dispatch, _ = driven(Ending(), "raise")
    with pytest.raises(HookError):
        dispatch.dispatch_end("default")


@pytest.mark.asyncio
async def test_an_async_hook_that_raises_ends_run() -> None:
    """The error comes out of `run` as it is, in no group; what waited is dropped, other runs' hooks are cancelled."""
    hooks = BrokenLater()
    dispatch, proc = driven(hooks, "raise")
    dispatch.dispatch(proc.feed(sse(*THREE, status(4, "run_2"))))
    with capture_logs() as logs, pytest.raises(HookError) as failure:
        await dispatch.run()

    assert isinstance(failure.value.__cause__, ValueError)
    assert [(entry["event"], entry["calls"]) for entry in logs] == [("hook.dropped", 1)]
    assert len(hooks.told) == 3
    await dispatch.drain(60)
    await hooks.until_done()


def test_what_sync_hooks_of_a_batch_did_before_one_raised_is_kept() -> None:
    """Async calls that were due before it are queued, so that they are made or counted as dropped."""

    class Mixed(RunHooks):
        async def on_step_created(self, step: Any, change: Change, /) -> None: ...

        def on_tool_call_delta(self, delta: Any, change: Change, /) -> None:
            raise ValueError("secret")

    dispatch, proc = driven(Mixed(), "raise")
    with pytest.raises(HookError):
        dispatch.dispatch(proc.feed(sse(step(), step_delta(call("a", index=0)), arguments("b"))))

    assert [len(batch) for lane in dispatch._lanes.values() for batch in lane.batches] == [1]


@pytest.mark.asyncio
async def test_cancellation_is_no_failure_of_a_hook() -> None:
    """It passes through, whatever the policy."""
    with capture_logs() as logs, anyio.move_on_after(0):
        dispatch, proc = driven(Slow(), "disable")
        dispatch.dispatch(proc.feed(sse(status(1))))
        await dispatch.run()

    assert [entry["event"] for entry in logs] == ["hook.dropped"]
