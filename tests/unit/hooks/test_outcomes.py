"""What a run came to, awaited: early, late, for one run of many, and when there is none."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from streamproc import Event, StreamProcessor
from streamproc.errors import StreamprocError
from streamproc.hooks import HookDispatch, RunHooks
from tests.streams import (
    call,
    done,
    error,
    event,
    message,
    message_delta,
    run,
    sse,
    step,
    step_delta,
    text,
    wire,
    words,
)

WHOLE = [
    *[run("created"), message(), words("Hel"), words("lo"), message("completed", "msg_1", text("Hello"))],
    *[step("created", "step_1"), step("completed", "step_1", call("{}", id="c0")), run("completed"), done()],
]


class Live:
    """Hooks, and what drives them."""

    def __init__(self, hooks: RunHooks | None = None) -> None:
        self.hooks = hooks or RunHooks()
        self.dispatch = HookDispatch(self.hooks, on_error="raise")
        self.proc = StreamProcessor()

    def feed(self, *events: Event) -> None:
        self.dispatch.dispatch(self.proc.feed(sse(*events)))

    def close(self) -> None:
        self.dispatch.dispatch(self.proc.close())
        self.dispatch.dispatch_end("default")


async def is_waiting(wait: Callable[[], Awaitable[Any]], then: Callable[[], None]) -> bool:
    """Whether `wait` waits until `then` was done, and no longer."""
    returned = anyio.Event()
    waited = False

    async def waiter() -> None:
        await wait()
        returned.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(waiter)
        await anyio.wait_all_tasks_blocked()
        waited = not returned.is_set()
        then()
        await anyio.wait_all_tasks_blocked()
        waited = waited and returned.is_set()
        tasks.cancel_scope.cancel()
    return waited


@pytest.mark.asyncio
async def test_all_there_is_to_ask_after_the_end() -> None:
    """Also with the end of the stream long gone."""
    live = Live()
    live.feed(*WHOLE)
    live.close()
    await live.hooks.until_done()

    assert (await live.hooks.final_run()).status == "completed"
    assert [item.id for item in await live.hooks.final_steps()] == ["step_1"]
    assert [item.text for item in await live.hooks.final_messages()] == ["Hello"]
    assert [piece async for piece in live.hooks.text_deltas()] == ["Hello"]


@pytest.mark.asyncio
@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "expired", "incomplete"])
async def test_a_run_is_awaited_until_it_ends(status: str) -> None:
    """Asked for before anything came."""
    live = Live()

    def feed() -> None:
        live.feed(run(), step(), run(status))

    assert await is_waiting(live.hooks.until_done, feed)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "events",
    [[run()], [run(), run("requires_action"), done()], [run(), error("e")]],
    ids=["broken off", "an action that nobody answered", "an error"],
)
async def test_the_end_of_its_stream_is_the_end_of_waiting(events: list[Event]) -> None:
    """Whatever the run's status: nothing more can come."""
    live = Live()
    live.feed(*events)

    assert await is_waiting(live.hooks.final_run, live.close)


@pytest.mark.asyncio
async def test_a_required_action_that_is_answered_does_not_end_the_waiting() -> None:
    """The stream goes on with the next response."""
    live = Live()
    live.feed(run(), run("requires_action"), done())

    def go_on() -> None:
        live.proc.open()
        live.feed(run("queued"), run("completed"))

    assert await is_waiting(live.hooks.until_done, go_on)


@pytest.mark.asyncio
async def test_a_run_that_goes_on_after_its_stream_ended() -> None:
    """It is waited for again, until it ends."""
    live = Live()
    live.feed(run(), step(), run("requires_action"), done())
    live.close()
    live.proc.open()
    live.feed(step_delta(call("a", index=0)))

    assert await is_waiting(live.hooks.until_done, lambda: live.feed(run("completed")))


@pytest.mark.asyncio
async def test_one_run_of_several() -> None:
    """By its id; without one the run that began last is meant."""
    live = Live()
    live.feed(run("completed", "run_1"), run("queued", "run_2"), message("created", "m", run_id="run_2"))
    live.feed(message("created", "n", run_id="run_1"))

    assert (await live.hooks.final_run("run_1")).id == "run_1"
    assert [item.id for item in await live.hooks.final_messages("run_1")] == ["n"]
    assert await is_waiting(live.hooks.final_run, lambda: live.feed(run("failed", "run_2")))
    assert (await live.hooks.final_run()).id == "run_2"


@pytest.mark.asyncio
async def test_a_run_that_begins_while_another_one_is_awaited() -> None:
    """The last one is waited for."""
    live = Live()
    live.feed(run("queued", "run_1"))

    async def final() -> None:
        assert (await live.hooks.final_run()).id == "run_2"

    def feed() -> None:
        live.feed(run("completed", "run_1"), run("queued", "run_2"))
        live.feed(run("completed", "run_2"))

    assert await is_waiting(final, feed)


@pytest.mark.asyncio
async def test_no_run_at_all() -> None:
    """An error is all that came."""
    live = Live()
    live.feed(error("e"))
    live.close()

    with pytest.raises(StreamprocError, match=r"^no run was seen$"):
        await live.hooks.until_done()
    with pytest.raises(StreamprocError, match=r"^no run was seen$"):
        _ = [piece async for piece in live.hooks.text_deltas()]


@pytest.mark.asyncio
async def test_another_run_than_those_that_came() -> None:
    """Told when the last stream ended, not before."""
    live = Live()
    live.feed(*WHOLE)

    async def ask() -> None:
        with pytest.raises(StreamprocError, match=r"^run 'run_9' was not seen$"):
            await live.hooks.final_run("run_9")

    assert await is_waiting(ask, live.close)


@pytest.mark.asyncio
async def test_hooks_that_nobody_calls() -> None:
    """They would wait for ever."""
    with pytest.raises(StreamprocError, match="belong to a pipeline"):
        await RunHooks().until_done()


@pytest.mark.asyncio
async def test_steps_of_a_run_that_was_never_seen_itself() -> None:
    """There is no final run, but what came of it is there; also where not even its id is known."""
    live = Live()
    live.feed(step("completed", "step_1"))
    live.close()

    with pytest.raises(StreamprocError, match="of run 'run_1' only steps or messages were seen"):
        await live.hooks.final_run()
    assert [item.id for item in await live.hooks.final_steps()] == ["step_1"]

    nameless = Live()
    nameless.feed(event("thread.run.step.completed", {"id": "s", "status": "completed"}))
    nameless.close()

    assert [item.id for item in await nameless.hooks.final_steps()] == ["s"]


@pytest.mark.asyncio
async def test_a_run_that_is_evicted_while_it_is_awaited() -> None:
    """Who waits gets what it had come to."""
    live = Live()
    live.feed(run(), step())

    async def final() -> None:
        assert [item.id for item in await live.hooks.final_steps("run_1")] == ["step_1"]

    assert await is_waiting(final, lambda: live.dispatch.evict("run_1"))


@pytest.mark.asyncio
async def test_what_came_late_is_part_of_the_result() -> None:
    """No hook tells of it, the final step holds it."""
    live = Live()
    live.feed(run(), step("completed", "step_1", call("{}", id="c0")), run("completed"))
    live.feed(step("completed", "step_1", call("{}", id="c0"), usage={"total_tokens": 3}))
    (final,) = await live.hooks.final_steps()

    assert wire(final)["usage"] == {"total_tokens": 3}


# --- texts ------------------------------------------------------------------------------------------------------------


async def pieces(live: Live, *batches: list[Event]) -> list[str]:
    """What a reader gets that begins after the first batch, and keeps up with the others."""
    found: list[str] = []

    async def read() -> None:
        found.extend([piece async for piece in live.hooks.text_deltas()])

    live.feed(*batches[0])
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        for batch in batches[1:]:
            await anyio.wait_all_tasks_blocked()
            live.feed(*batch)
        await anyio.wait_all_tasks_blocked()
        live.close()
    return found


@pytest.mark.asyncio
async def test_a_reader_that_keeps_up_gets_each_batch() -> None:
    """What was there before it came is its first piece; fragments of one batch are joined."""
    begun = [run(), message(), words("a"), words("b")]
    final = [message("completed", "msg_1", text("abcde")), run("completed")]

    assert await pieces(Live(), begun, [words("c")], [words("d"), words("e")], final) == ["ab", "c", "de"]


@pytest.mark.asyncio
async def test_a_reader_that_is_there_before_the_run() -> None:
    """It waits for it."""
    batches: list[list[Event]] = [[], [run(), message(), words("a")], [words("b")]]

    assert await pieces(Live(), *batches) == ["a", "b"]


@pytest.mark.asyncio
async def test_messages_that_came_whole() -> None:
    """A snapshot's text is news where no delta told it, and only what they did not tell."""
    first = [run(), message(), words("a")]
    second = [message("completed", "msg_1", text("ab"), text("c"))]

    assert await pieces(Live(), first, second, [message("completed", "msg_2", text("d"))]) == ["a", "bc", "d"]


@pytest.mark.asyncio
async def test_a_stream_that_starts_over_tells_no_text_twice() -> None:
    """The second pass is silent until it is beyond the first."""
    live = Live()
    begun = [run(), message(), words("ab"), words("cd")]
    found: list[str] = []

    async def read() -> None:
        found.extend([piece async for piece in live.hooks.text_deltas()])

    live.feed(*begun)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        live.proc.open(epoch=2)
        live.feed(message("created", "msg_1", x=1), words("a"), words("bcde"), words("f"))
        await anyio.wait_all_tasks_blocked()
        live.close()

    assert found == ["abcd", "ef"]


@pytest.mark.asyncio
async def test_a_reader_that_goes_away() -> None:
    """Nothing is kept for it."""
    live = Live()
    live.feed(run(), message(), words("a"))
    texts = live.hooks.text_deltas()

    assert await anext(texts) == "a"
    await texts.aclose()
    live.feed(words("b"))
    assert [await anext(live.hooks.text_deltas())] == ["ab"]


@pytest.mark.asyncio
async def test_blocks_that_hold_no_text() -> None:
    """Images, refusals and texts without a value have nothing to read."""
    image = {"type": "image_file", "image_file": {"file_id": "f"}}
    odd = [run(), message("created", "msg_1", image, {"type": "text"}, {"type": "text", "text": {}})]
    grown = [message_delta({"index": 3, "type": "refusal", "refusal": "no"})]
    final = [message("completed", "msg_1", image, {"type": "text"}, {"type": "text", "text": {}})]

    assert await pieces(Live(), odd, grown, final) == []
