"""What a store promises, on random streams: a reducer that was restored goes on as if it had never stopped."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from hypothesis import given
from hypothesis import strategies as st

from streamproc import AssistantsDialect, Event, Reducer
from streamproc.core.change import Note
from streamproc.core.context import StreamContext
from streamproc.core.sse import SSEParser
from streamproc.core.stored import StoredObject, shape_of
from tests.properties.generators import BLOCKS, MANY
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
