"""StreamContext: what a stream remembers, and what the next one starts with."""

import pytest

from streamproc.core.change import Origin
from streamproc.core.context import StreamContext


def used() -> StreamContext:
    """A context in the middle of a stream."""
    context = StreamContext.named("s", 2)
    context.seq = 7
    context.run_id, context.thread_id = "run_1", "thread_1"
    for places in context.places.values():
        places.object_id = "step_1"
    context.done = context.ended = True
    context.anomalies["limit"] += 1
    return context


def object_ids(context: StreamContext) -> list[str]:
    return [places.object_id for places in context.places.values()]


def test_new_context_is_at_the_start() -> None:
    """It has a name and an epoch and has seen nothing."""
    context = StreamContext.named("s")

    assert context.origin == Origin("s", 1)
    assert context.owner == ("s", 1)
    assert (context.seq, context.run_id, context.thread_id) == (0, None, None)
    assert (object_ids(context), context.done, context.ended) == (["", ""], False, False)
    assert context.anomalies == {}
    assert context.anomalies is not StreamContext.named("s").anomalies


@pytest.mark.parametrize("epoch", [None, 2])
def test_next_stream_of_the_same_epoch_goes_on(epoch: int | None) -> None:
    """Numbers, the run and the counts stay; the end, and where a delta without an id belongs, are forgotten."""
    context = used()
    owner = context.owner
    context.open(epoch)

    assert (context.seq, context.run_id, context.thread_id) == (7, "run_1", "thread_1")
    assert (object_ids(context), context.done, context.ended) == (["", ""], False, False)
    assert context.anomalies == {"limit": 1}
    assert context.origin == Origin("s", 2)
    assert context.owner is owner


def test_higher_epoch_counts_from_one_again() -> None:
    """The owner is another object then, so that everything of the old epoch is told apart."""
    context = used()
    owner = context.owner
    context.open(5)

    assert (context.seq, context.origin, context.owner) == (0, Origin("s", 5), ("s", 5))
    assert context.owner is not owner
    assert (context.run_id, context.done, context.ended) == ("run_1", False, False)
    assert context.anomalies == {"limit": 1}


def test_lower_epoch_is_refused() -> None:
    """And nothing is forgotten on the way."""
    context = used()
    with pytest.raises(ValueError, match="epoch 1 of stream 's' is below the current 2"):
        context.open(1)

    assert (context.seq, context.origin, context.done) == (7, Origin("s", 2), True)
    assert object_ids(context) == ["step_1", "step_1"]
