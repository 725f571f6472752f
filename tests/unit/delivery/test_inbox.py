"""Inboxes: what they take in, hand out, coalesce and count."""

import math

import pytest

from streamproc import Change, StreamProcessor
from streamproc.delivery.inbox import ChangeInbox, Inbox, StateInbox, payload_bytes
from tests.streams import arguments, error, message, run, sse, step, words
from tests.unit.delivery.sinks import deltas, seqs

LARGE = 10**9


def put(inbox: Inbox, changes: list[Change], now_s: float = 0.0) -> None:
    inbox.put(tuple(changes), payload_bytes(tuple(changes)), now_s)


def made(*events: object) -> list[Change]:
    return StreamProcessor().feed(sse(*events))  # type: ignore[arg-type]


def counts(inbox: Inbox) -> tuple[int, int, int]:
    return inbox.received, inbox.coalesced, inbox.count


@pytest.fixture(params=["changes", "latest", "coalesced", "final"])
def inbox(request: pytest.FixtureRequest) -> Inbox:
    if request.param == "changes":
        return ChangeInbox()
    return StateInbox(only_final=request.param == "final", coalesce_at_once=request.param == "coalesced")


def test_an_empty_inbox(inbox: Inbox) -> None:
    assert (inbox.count, inbox.size, inbox.clear(), inbox.since_s()) == (0, 0, 0, math.inf)


def test_size_returns_to_nothing_however_it_is_taken(inbox: Inbox) -> None:
    changes = made(
        *(step("completed", f"step_{n}") for n in range(6)), *(message("completed", f"msg_{n}") for n in range(6))
    )
    put(inbox, changes[:5])
    put(inbox, changes[5:])
    sizes = [inbox.size]
    taken: list[Change] = []
    while inbox.count:
        part = inbox.take(3, 300)
        taken += part
        sizes.append(inbox.size)

    assert seqs(taken) == seqs(changes)
    assert sizes[0] == payload_bytes(tuple(changes))
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 0


def test_what_is_cleared_is_gone(inbox: Inbox) -> None:
    changes = made(*(step("completed", f"step_{n}") for n in range(4)))
    put(inbox, changes)
    inbox.take(1, LARGE)

    assert inbox.clear() == 3
    assert (inbox.count, inbox.size, inbox.since_s()) == (0, 0, math.inf)
    put(inbox, changes[:1])
    assert seqs(inbox.take(9, LARGE)) == [1]


def test_times_of_what_waits_and_of_what_was_taken(inbox: Inbox) -> None:
    changes = made(*(step("completed", f"step_{n}") for n in range(4)))
    put(inbox, changes[:1], 1.0)
    put(inbox, changes[1:3], 2.0)
    put(inbox, changes[3:], 3.0)

    seen = []
    while inbox.count:
        waits_s = inbox.since_s()
        inbox.take(2, LARGE)
        seen.append((waits_s, inbox.taken_since_s))

    assert seen == [(1, 1), (2, 2)]


# --- changes ----------------------------------------------------------------------------------------------------------


def test_one_batch_leaves_as_the_same_object() -> None:
    inbox = ChangeInbox()
    batch = tuple(deltas(3))
    inbox.put(batch, payload_bytes(batch), 0.0)

    assert inbox.take(3, LARGE) is batch


@pytest.mark.parametrize("count_max", [1, 2, 3, 4, 7, 50])
@pytest.mark.parametrize("size_max", [1, 160, 400, LARGE])
def test_all_cuts_keep_order_and_bounds(count_max: int, size_max: int) -> None:
    """Whatever was offered: a single change, many, and large ones among small ones."""
    changes = [change for size in (2, 300, 2) for change in deltas(5, size)]
    inbox = ChangeInbox()
    for first, last in [(0, 1), (1, 3), (3, 11), (11, 15)]:
        put(inbox, changes[first:last])
    batches = []
    while inbox.count:
        batches.append(inbox.take(count_max, size_max))

    assert [change for batch in batches for change in batch] == changes
    for batch, after in zip(batches, [*batches[1:], None], strict=True):
        assert len(batch) <= count_max
        assert payload_bytes(batch) <= size_max or len(batch) == 1
        if after is not None:  # no batch is smaller than it has to be
            assert len(batch) == count_max or payload_bytes((*batch, after[0])) > size_max


# --- states -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [True, False])
def test_the_newest_state_of_each_object_in_the_order_of_changes(at_once: bool) -> None:
    inbox = StateInbox(only_final=False, coalesce_at_once=at_once)
    changes = made(run("created"), step("created"), message("created"), arguments("a"), words("b"), arguments("c"))
    put(inbox, changes[:4], 1.0)
    put(inbox, changes[4:], 2.0)
    waiting = inbox.count
    since_s = inbox.since_s()

    taken = inbox.take(9, LARGE)

    assert [(change.seq, change.kind, change.delta) for change in taken] == [
        (1, "run", None),
        (5, "message", None),
        (6, "step", None),
    ]
    assert taken[2].state.step_details.tool_calls[0].function.arguments == "ac"
    assert (waiting, since_s) == ((3, 1) if at_once else (6, 1))
    assert counts(inbox) == (6, 3, 0)
    assert inbox.size == 0


def test_an_object_keeps_the_time_of_what_was_replaced() -> None:
    """One that changes all the time and never leaves has waited since its first change."""
    inbox = StateInbox(only_final=False, coalesce_at_once=True)
    for now_s, change in enumerate(made(step("created"), message("created"), arguments("a"))):
        put(inbox, [change], float(now_s))

    seen = [inbox.since_s()]
    inbox.take(1, LARGE)
    seen += [inbox.taken_since_s, inbox.since_s()]

    assert seen == [0, 1, 0]


def test_a_state_that_left_is_not_coalesced_with() -> None:
    inbox = StateInbox(only_final=False, coalesce_at_once=True)
    first, second = made(step("created"), arguments("a"))
    put(inbox, [first])
    inbox.take(9, LARGE)
    put(inbox, [second])

    assert counts(inbox) == (2, 0, 1)


def test_objects_of_different_kinds_with_one_id_are_two() -> None:
    inbox = StateInbox(only_final=False, coalesce_at_once=True)
    put(inbox, made(step("created", "x"), message("created", "x")))

    assert counts(inbox) == (2, 0, 2)


@pytest.mark.parametrize("only_final", [True, False])
def test_errors_are_delivered_each_and_anomalies_are_not(only_final: bool) -> None:
    inbox = StateInbox(only_final=only_final, coalesce_at_once=True)
    changes = made(error({"message": "a"}), error({"message": "b"}), run("no_such_event"))
    kinds = [change.kind for change in changes]
    put(inbox, changes)
    put(inbox, [change for change in changes if change.kind == "anomaly"])

    assert kinds == ["error", "error", "anomaly"]
    assert [change.state.message for change in inbox.take(9, LARGE)] == ["a", "b"]
    assert counts(inbox) == (2, 0, 0)


def test_final_is_what_ended_or_was_cut_off() -> None:
    """A completed message, a step that its run's end left open, the run, and a step of a stream that broke off."""
    inbox = StateInbox(only_final=True, coalesce_at_once=False)
    processor = StreamProcessor()
    changes = processor.feed(
        sse(
            *(run("created"), step("created"), message("created"), words("a"), message("completed")),
            *(run("completed"), run("created", "run_2"), step("created", "step_2", run_id="run_2")),
        )
    )
    changes += processor.close()
    put(inbox, changes)

    taken = inbox.take(9, LARGE)

    assert [(change.id, change.inferred_status, change.truncated) for change in taken] == [
        ("msg_1", None, False),
        ("run_1", None, False),
        ("step_1", "completed", False),
        ("step_2", None, True),
        ("run_2", None, True),
    ]
    assert seqs(taken) == sorted(seqs(taken))


def test_what_is_filled_in_after_the_end_replaces_the_final_state() -> None:
    inbox = StateInbox(only_final=True, coalesce_at_once=False)
    put(inbox, made(run("completed"), run("completed", usage={"total_tokens": 3})))

    (taken,) = inbox.take(9, LARGE)

    assert taken.revision == 2
    assert counts(inbox) == (2, 1, 0)
