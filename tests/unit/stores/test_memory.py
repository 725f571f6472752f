"""MemoryStore: bounded, and otherwise as any store; see tests/unit/testing/test_stores.py for the contract."""

from collections.abc import Awaitable, Callable

import anyio
import pytest

from streamproc import Reducer, StreamProcessor
from streamproc.errors import StoreError
from streamproc.stores.memory import MemoryStore
from streamproc.testing.changes import ordinary_changes
from tests.streams import run, sse, step, words

SIZE = len(ordinary_changes("s"))


def ended(number: int) -> bytes:
    """A run with a step, both at their end."""
    return sse(
        run(id=f"r{number}"), step("completed", f"s{number}", run_id=f"r{number}"), run("completed", f"r{number}")
    )


@pytest.mark.asyncio
async def test_oldest_changes_make_room() -> None:
    async with MemoryStore(changes_max=SIZE) as store:
        await store.append(ordinary_changes("a"))
        await store.append(ordinary_changes("b")[:10])
        batch = await store.read(0, count_max=1000, size_max=2**30)

    assert (batch.missing, batch.first, batch.last) == (10, 11, SIZE + 10)
    assert store.statistics() == {"head": SIZE + 10, "journal_changes": SIZE, "dead_letters": 0}


@pytest.mark.asyncio
async def test_append_waits_for_a_required_sink() -> None:
    async with MemoryStore(changes_max=SIZE) as store:
        await store.cursor("slow", required=True)
        await store.cursor("lax", required=False)
        await store.append(ordinary_changes("a"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.append, ordinary_changes("b")[:10])
            await anyio.wait_all_tasks_blocked()
            for position in (5, 9):
                store.acknowledge("slow", position)
                await anyio.wait_all_tasks_blocked()
                assert store.head == SIZE
            store.acknowledge("slow", 10)

    assert store.head == SIZE + 10


@pytest.mark.asyncio
async def test_batch_beyond_the_bound_is_taken_when_nothing_else_is_there() -> None:
    """Or it would wait for ever."""
    async with MemoryStore(changes_max=1) as store:
        await store.append(ordinary_changes("a"))
        assert store.head == SIZE


@pytest.mark.asyncio
async def test_runs_that_ended_are_forgotten_when_there_are_many() -> None:
    proc = StreamProcessor()
    async with MemoryStore(ended_max=2) as store:
        for number in range(5):
            await store.append(proc.feed(ended(number)))
        kept = {id for _, id in store._objects}
        assert tuple(map(tuple, await store.open_objects())) == ((), ())

    assert kept == {"r3", "s3", "r4", "s4"}


@pytest.mark.asyncio
async def test_objects_of_no_known_run_are_open_until_they_end() -> None:
    proc = StreamProcessor()
    async with MemoryStore() as store:
        await store.append(
            proc.feed(sse(words("a"), step("completed", run_id=None), step("created", "other", run_id="")))
        )
        objects, later = await store.open_objects()
    reducer = Reducer()
    reducer.restore(objects, later)

    assert [*reducer.messages] == ["msg_1"]
    assert [*reducer.steps] == ["other"]


@pytest.mark.asyncio
async def test_epochs_of_a_new_store_are_higher_than_those_of_one_that_is_gone() -> None:
    """Sinks know the changes of the process before, by (stream, epoch, seq)."""
    epochs, now = list[int](), iter((1_000.0, 1_001.0)).__next__
    for _ in range(2):
        async with MemoryStore(now=now) as store:
            epochs += [await store.next_epoch("s"), await store.next_epoch("s")]

    assert epochs == [1_000_000, 1_000_001, 1_001_000, 1_001_001]


@pytest.mark.asyncio
async def test_store_that_is_not_open_says_so() -> None:
    store = MemoryStore()
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: store.append(()),
        lambda: store.read(0, count_max=1, size_max=1),
        lambda: store.cursor("a", required=True),
        lambda: store.bury((), 1),
        lambda: store.next_epoch("s"),
        store.open_objects,
    ]
    for call in calls:
        with pytest.raises(StoreError, match="not open"):
            await call()


@pytest.mark.asyncio
async def test_nothing_buried_settles_nothing() -> None:
    async with MemoryStore() as store:
        await store.append(ordinary_changes("a"))
        await store.bury((), 5)
        assert await store.cursor("a", required=True) == SIZE
