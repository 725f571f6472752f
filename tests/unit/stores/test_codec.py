"""The journal's blob: what went in comes out, and damage shows, whichever bit it is."""

from collections.abc import Sequence

import msgspec
import pytest
from msgspec import UNSET

from streamproc import Anomaly, Change, Event, Reducer, StreamProcessor
from streamproc.core.body import Body
from streamproc.core.change import Origin
from streamproc.errors import StoreError
from streamproc.stores._codec import check_sum, decode, encode
from streamproc.testing.changes import odd_changes, ordinary_changes
from tests.streams import arguments, by_hand, call, run, sse, step, step_delta, wire


def facts(changes: Sequence[Change]) -> list[tuple[object, ...]]:
    return [
        (c.origin, c.seq, c.event, c.kind, c.id, c.run_id, c.thread_id, c.revision, c.raw, c.data, c.note, c.is_delta)
        for c in changes
    ]


def there_and_back(changes: Sequence[Change]) -> list[Change]:
    blob, _ = encode(changes)
    last = 7 + len(changes) - 1
    return decode(7, last, check_sum(7, last, blob), blob)


def shows_state(change: Change) -> bool:
    return change.kind in ("run", "step", "message") and not change.is_delta


@pytest.mark.parametrize("make", [ordinary_changes, odd_changes])
def test_changes_come_back_as_they_were(make: object) -> None:
    changes = ordinary_changes("s", 50) if make is ordinary_changes else odd_changes("s")

    assert facts(changes) == facts(there_and_back(changes))


def test_snapshots_of_deltas_come_back_without_their_delta() -> None:
    changes = [change.as_snapshot() for change in ordinary_changes("s")]

    assert facts(changes) == facts(there_and_back(changes))


def test_payloads_made_by_hand_come_back() -> None:
    """Also those of deltas, which are nowhere but in `data`."""
    reducer = Reducer()
    events = [run(), step(), step_delta(call("a", index=0, id="c", name="f")), arguments("b")]
    changes = [change for item in events for change in reducer.apply(by_hand(item))]
    back = there_and_back(changes)

    assert facts(changes) == facts(back)
    assert changes[-1].delta == back[-1].delta


def test_fragments_of_one_place_share_what_is_around_them() -> None:
    """A fragment costs little more than its text."""
    proc = StreamProcessor()
    proc.feed(sse(run(), step(), step_delta(call("", index=0, id="c", name="f")), arguments("x")))
    changes = proc.feed(sse(*[arguments("0123456789")] * 100))
    blob, ends = encode(changes)

    assert len(blob) < 100 * 17
    assert [(changes[-1], 99)] == ends
    assert sum(len(change.raw) for change in changes) > 10_000


def test_one_body_an_object() -> None:
    """Of deltas, so that its newest state has to be found once."""
    back = [change for change in there_and_back(ordinary_changes("s")) if change.is_delta]

    assert len(back) > len({change.id for change in back}) == len({id(change.body) for change in back})


def test_states_of_snapshots_come_back() -> None:
    """As they were then, not what became of them: a fragment that follows must not be in them already."""
    proc = StreamProcessor(stream="s")
    begun = proc.feed(sse(run(), step("created", "a"), step("created", "b")))
    begun += proc.feed(sse(step_delta(call("x", index=0, id="c", name="f"), id="a")))
    kept = proc.feed(sse(step("in_progress", "a", step_details=UNSET, assistant_id="x"), arguments("y", id="a")))
    left = proc.feed(sse(step("completed", "a", call("xy", index=0)), run("completed")))
    made = [change for item in (run(), step("created", "c")) for change in Reducer().apply(by_hand(item))]
    changes = [*begun, *kept, *left, *made]
    back = there_and_back(changes)

    shown = [(change.event, change.id, wire(change.state)) for change in changes if shows_state(change)]
    assert len(shown) > 6
    assert shown == [(change.event, change.id, wire(change.state)) for change in back if shows_state(change)]
    assert any(change.piece != change.body.wire(change.revision) for change in kept if shows_state(change))
    assert any(change.note.inferred_status for change in left)


def test_streams_and_passes_are_told_apart() -> None:
    first, second = ordinary_changes("a", 1), ordinary_changes("b", 1)
    mixed = [change for pair in zip(first, second, strict=True) for change in pair]

    assert facts(mixed) == facts(there_and_back(mixed))


def test_equal_origins_are_one_pass() -> None:
    """A stream that is stamped anew within one millisecond has another object that says the same."""
    changes = ordinary_changes("s")
    again = [msgspec.structs.replace(change, origin=Origin("s", 1)) for change in changes]

    assert len(msgspec.msgpack.decode(encode([*changes[:5], *again[5:]])[0])) == 1
    assert facts(changes) == facts(there_and_back([*changes[:5], *again[5:]]))


@pytest.mark.parametrize("number", [2**63 - 2, 2**63 - 1])
def test_largest_numbers_come_back(number: int) -> None:
    body = Body("step", "s", None, None, b"{}")
    changes = [Change(Origin("s", number), number, "x", body, number)]

    assert facts(changes) == facts(there_and_back(changes))


@pytest.mark.parametrize("field", ["seq", "revision", "epoch"])
def test_number_beyond_a_column_is_refused(field: str) -> None:
    numbers = {"seq": 1, "revision": 1, "epoch": 1, field: 2**63}
    body = Body("step", "s", None, None, b"{}")
    change = Change(Origin("s", numbers["epoch"]), numbers["seq"], "x", body, numbers["revision"])

    with pytest.raises(StoreError, match="beyond 2"):
        encode([change])


@pytest.mark.parametrize("data", [{"a": object()}, {"a": "\ud800"}])
def test_payload_that_is_no_json_is_refused(data: object) -> None:
    change = Change(Origin("s", 1), 1, "x", Body("step", "s", None, None, b"{}"), 1, data)

    with pytest.raises(StoreError, match="no JSON can be made"):
        encode([change])


def test_id_that_is_no_text_is_refused() -> None:
    change = Change(Origin("s", 1), 1, "x", Body("step", "\ud800", None, None, b"{}"), 1)

    with pytest.raises(StoreError, match="surrogate"):
        encode([change])


@pytest.mark.slow
def test_every_bit_flip_in_a_blob_is_detected() -> None:
    """Of 4 KiB and more."""
    changes = ordinary_changes("s", 150)
    blob, _ = encode(changes)
    crc = check_sum(1, len(changes), blob)
    damaged = bytearray(blob)
    accepted = 0
    for place in range(len(blob) * 8):
        damaged[place // 8] ^= 1 << place % 8
        accepted += check_sum(1, len(changes), damaged) == crc
        damaged[place // 8] ^= 1 << place % 8

    assert len(blob) >= 4096
    assert accepted == 0
    assert bytes(damaged) == blob


@pytest.mark.parametrize("column", ["first", "last", "crc"])
def test_every_bit_flip_in_a_column_is_detected(column: str) -> None:
    changes = ordinary_changes("s", 5)
    blob, _ = encode(changes)
    for bit in range(63):
        columns = {"first": 1, "last": len(changes)}
        columns["crc"] = check_sum(columns["first"], columns["last"], blob)
        columns[column] ^= 1 << bit
        with pytest.raises(StoreError, match=f"damaged at position {columns['first']}"):
            decode(columns["first"], columns["last"], columns["crc"], blob)


@pytest.mark.parametrize("blob", [b"", b"\xc1", msgspec.msgpack.encode([1]), b"\x91" * 5000])
def test_blob_of_something_else_is_refused(blob: bytes) -> None:
    """Its check sum is right, for whatever reason."""
    with pytest.raises(StoreError, match="cannot be decoded"):
        decode(1, 1, check_sum(1, 1, blob), blob)


def test_blob_with_another_number_of_changes_is_refused() -> None:
    blob, _ = encode(ordinary_changes("s", 1))

    with pytest.raises(StoreError, match="changes for 2"):
        decode(1, 2, check_sum(1, 2, blob), blob)


def test_nothing_is_a_blob_too() -> None:
    assert (there_and_back([]), encode([])[1]) == ([], [])


def test_anomalies_come_back_as_such() -> None:
    (change,) = Reducer().apply(Event("x", Anomaly(kind="bad_json", id="s", detail="no JSON (3 bytes)"), b"abc"))

    assert change.delta == there_and_back([change])[0].delta
