"""Steps that wait for the outputs of tool calls, over the end of their run and over a restart."""

from collections.abc import Callable
from pathlib import Path

import pytest

from streamproc import Change, Event, Reducer
from streamproc.core.context import StreamContext
from streamproc.core.patch import Patch
from streamproc.protocols import Store
from streamproc.stores.memory import MemoryStore
from streamproc.stores.sqlite import SqliteStore

STEP = "thread.run.step"


def opened(number: int, *, awaiting: str | None = "output") -> list[Event]:
    """A run that ends while its step is open."""
    run_id, call = f"run_{number}", {"id": f"call_{number}", "type": "function", "function": {"output": None}}
    members = {
        "run_id": run_id,
        "status": "in_progress",
        "step_details": {"type": "tool_calls", "tool_calls": [call]},
        "metadata": {"awaiting": awaiting} if awaiting else {},
    }
    return [
        Event("thread.run.created", Patch(id=run_id, members={"status": "in_progress"})),
        Event(f"{STEP}.created", Patch(id=f"step_{number}", members=members)),
        Event("thread.run.completed", Patch(id=run_id, members={"status": "completed"})),
    ]


def applied(reducer: Reducer, *events: Event) -> list[Change]:
    context = StreamContext.named("s")
    return [change for event in events for change in reducer.apply(event, context)]


@pytest.mark.parametrize("make", [lambda path: SqliteStore(path / "runs.db"), lambda path: MemoryStore()])
@pytest.mark.asyncio
async def test_waiting_step_of_a_run_that_ended_is_restored(make: Callable[[Path], Store], tmp_path: Path) -> None:
    """With its run, and nothing else of ended runs; so an output that comes after a restart finds it."""
    before = Reducer()
    async with make(tmp_path) as store:
        await store.append(applied(before, *opened(1), *opened(2, awaiting=None), *opened(3, awaiting="patience")))
        objects, later = await store.open_objects()
    after = Reducer()
    after.restore(objects, later)
    (change,) = applied(after, Event(f"{STEP}.completed", Patch(call_id="call_1", output="42")))

    assert [*after.runs] == ["run_1"]
    assert [*after.steps] == ["step_1"]
    assert (change.id, change.run_id, change.revision) == ("step_1", "run_1", 3)
    assert change.state.status == "completed"
