"""What a store promises, on random streams: a reducer that was restored goes on as if it had never stopped."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc import AssistantsDialect, Change, Event, Reducer
from streamproc.core.change import Note
from streamproc.core.context import StreamContext
from streamproc.core.sse import SSEParser
from streamproc.core.stored import StoredObject, shape_of
from streamproc.stores.sqlite import SqliteStore
from tests.properties.generators import BLOCKS, MANY, SOME
from tests.streams import visible

Known: TypeAlias = Mapping[tuple[str, str], tuple[Any, ...]]


def known(reducer: Reducer) -> Known:
    """All objects of a reducer: JSON, revision and note."""
    found = {}
    for kind, records in reducer._table.records.items():
        for id, record in records.items():
            found[(kind, id)] = (
                record.body.data(record.revision),
                record.revision,
                record.note,
                record.closed,
                record.status,
                record.provisional,
            )
    return found


def stored(reducer: Reducer) -> list[StoredObject]:
    """All objects of a reducer, as a store keeps them."""
    table = reducer._table
    return [
        StoredObject(
            kind=record.body.kind,
            id=record.body.id,
            run_id=record.body.run_id,
            thread_id=record.body.thread_id,
            wire=record.body.wire(record.revision),
            revision=record.revision,
            stream=record.owner[0],
            epoch=record.owner[1],
            status=record.status,
            provisional=record.provisional,
            note=Note(ended=True) if record.closed else record.note,
            shape=shape_of(record.body, record.revision),
        )
        for group in (*table._open.values(), *table._closed.values())
        for record in ([group.run] if group.run else []) + group.members
    ]


def same_place(context: StreamContext) -> StreamContext:
    """What a new process knows of a stream that goes on where it was."""
    other = StreamContext(context.origin)
    for name in ("run_id", "thread_id", "done", "ended", "seq"):
        setattr(other, name, getattr(context, name))
    for event_name, places in context.places.items():
        other.places[event_name].object_id = places.object_id
    return other


@st.composite
def events(draw: Any) -> list[Event]:
    """The events of hostile input, as the dialect makes them."""
    parser, dialect = SSEParser(), AssistantsDialect()
    data = b"".join(draw(st.lists(BLOCKS, max_size=40)))
    return [event for frame in parser.feed(data) for event in dialect.decode(frame)]


@MANY
@given(events(), st.floats(0, 1))
def test_restored_reducer_goes_on_as_if_it_had_never_stopped(items: list[Event], cut: float) -> None:
    """Whatever came before the states were stored, and whatever comes then."""
    stop = int(cut * len(items))
    reducer, context = Reducer(), StreamContext.named("default")
    for item in items[:stop]:
        reducer.apply(item, context)
    restored, place = Reducer(), same_place(context)
    restored.restore(stored(reducer))

    for item in items[stop:]:
        assert known(reducer) == known(restored)
        assert visible(reducer.apply(item, context)) == visible(restored.apply(item, place))
    assert known(reducer) == known(restored)


@MANY
@given(events(), st.floats(0, 1))
def test_journal_brings_stored_states_up_to_date(items: list[Event], cut: float) -> None:
    """The changes of an object since it was stored lead to the state that it has."""
    stop = int(cut * len(items))
    reducer, context = Reducer(), StreamContext.named("default")
    for item in items[:stop]:
        reducer.apply(item, context)
    objects = stored(reducer)
    changes = [change for item in items[stop:] for change in reducer.apply(item, context)]
    restored = Reducer()
    restored.restore(objects, changes)
    kept = known(restored)

    assert len(objects) == len(kept)
    assert {key: value for key, value in known(reducer).items() if key in kept} == kept


async def after_a_crash(batches: list[list[Change]]) -> list[StoredObject]:
    """What a store gives that was written until its process died."""
    with TemporaryDirectory() as folder:
        async with SqliteStore(Path(folder, "a.db")) as store:
            for batch in batches:
                await store.append(batch)
            for end in ("", "-wal"):
                shutil.copy(f"{folder}/a.db{end}", f"{folder}/b.db{end}")
        async with SqliteStore(Path(folder, "b.db")) as store:
            objects, later = await store.open_objects()
    assert not later
    return [*objects]


@pytest.mark.slow
@SOME
@given(events(), st.floats(0, 1))
def test_process_goes_on_where_another_one_died(items: list[Event], cut: float) -> None:
    """From its store: with all objects of runs that had not ended, also large ones whose rows were behind."""
    stop = int(cut * len(items))
    reducer, context = Reducer(), StreamContext.named("default")
    batches = [reducer.apply(item, context) for item in items[:stop]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streamproc.stores._objects.LARGE_BYTES", 200)
        patch.setattr("streamproc.stores._growing._GROWTH", 0)  # what grows is not written at all
        objects = anyio.run(after_a_crash, batches)
    restored, place = Reducer(), same_place(context)
    restored.restore(objects)
    keys = known(restored).keys()
    groups = reducer._table._open.items()
    members = [record for _, group in groups for record in ([group.run] if group.run else []) + group.members]
    expected = {(r.body.kind, r.body.id) for r in members if not r.closed or (r.body.run_id or "") in reducer.runs}

    assert expected == keys
    for item in [None, *items[stop:]]:
        if item is not None:
            reducer.apply(item, context)
            restored.apply(item, place)
            for name, places in context.places.items():  # an ended object that is not restored is a new one there
                place.places[name].object_id = places.object_id
        assert {key: value for key, value in known(reducer).items() if key in keys} == {
            key: value for key, value in known(restored).items() if key in keys
        }
