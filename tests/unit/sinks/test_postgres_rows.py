"""The rows of a batch: which state of an object is its newest, and what a line says."""

from typing import Any

import msgspec
import pytest

from streamproc import StreamProcessor
from streamproc.columns import COLUMNS
from streamproc.core.body import Body
from streamproc.core.change import ENDED, NO_NOTE, Change, Note, Origin
from streamproc.core.events import Event, encode_sse
from streamproc.sinks._postgres_rows import Rows
from streamproc.sinks._postgres_schema import OWN
from streamproc.testing.changes import odd_changes, ordinary_changes


def change(
    stream: str, epoch: int, revision: int, *, note: Note = NO_NOTE, id: str = "step_1", raw: bytes = b"{}"
) -> Change:
    body = Body("step", id, "run_1", None, raw)
    return Change(Origin(stream, epoch), revision, "thread.run.step.in_progress", body, revision, note=note)


def newest(*changes: Change) -> Change:
    (row,) = Rows(changes, "replace").all()
    columns = named(row.line)
    wanted = [columns["stream"], columns["epoch"], columns["revision"]]
    return next(one for one in changes if [one.stream.encode(), b"%d" % one.epoch, b"%d" % one.revision] == wanted)


def named(line: bytes) -> dict[str, bytes]:
    """The columns of a line by name."""
    names = (
        "kind",
        *OWN,
        "inferred_status",
        "truncated",
        "ended",
        "revision",
        "stream",
        "epoch",
        "updated_at",
        "state",
    )
    return dict(zip(names, line.removesuffix(b"\n").split(b"\t"), strict=True))


A1_9, A2_1, B1_8, B1_10 = change("a", 1, 9), change("a", 2, 1), change("b", 1, 8), change("b", 1, 10)
A1_9_ENDED, A2_1_ENDED = change("a", 1, 9, note=ENDED), change("a", 2, 1, note=ENDED)
B1_8_ENDED = change("b", 1, 8, note=ENDED)


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        ([A1_9, A2_1], A2_1),  # of one stream the epoch decides
        ([A2_1, A1_9], A2_1),
        ([A1_9, B1_8], A1_9),  # of two the revision
        ([A1_9, B1_10], B1_10),
        ([A2_1, B1_8], B1_8),
        ([A1_9, B1_8_ENDED], B1_8_ENDED),  # whoever says that it ended
        ([A1_9_ENDED, A2_1], A1_9_ENDED),  # and it never opens again
        ([A1_9_ENDED, A2_1_ENDED], A2_1_ENDED),
        ([A1_9, A1_9], A1_9),
    ],
)
def test_newest_state_in_a_batch(batch: list[Change], expected: Change) -> None:
    assert newest(*batch) is expected


def test_batch_of_deltas_is_one_row_for_each_object() -> None:
    changes = ordinary_changes("s", deltas=50)
    rows = Rows(changes, "replace")

    assert [row.kind for row in rows.all()] == ["run", "step", "message"]
    assert sum(len(row.changes) for row in rows.all()) == len(changes)


def test_errors_and_anomalies_are_no_objects() -> None:
    batch = [one for one in odd_changes("s") if one.kind in ("error", "anomaly")]
    rows = Rows(batch, "replace")

    assert (rows.kinds, rows.all(), rows.rejected) == ((), [], [])


def test_lines_are_made_once_and_can_be_read_again() -> None:
    """Slices join to the same bytes, whether they are made or found made."""
    batch = [change("s", 1, 1, id=f"step_{number}") for number in range(300)]
    rows = Rows(batch, "replace")
    slices = rows.lines()
    first = next(slices)
    again = b"".join(rows.lines())

    assert first + b"".join(slices) == again
    assert again.count(b"\n") == 300


def test_ids_that_become_the_same_are_one_row() -> None:
    """Two rows with one key would be refused by the server, both."""
    rows = Rows([change("s", 1, 1, id="a\0"), change("s", 1, 2, id="a\ufffd")], "replace").all()

    assert [len(row.changes) for row in rows] == [2]


def columns_of(payload: dict[str, Any], stream: str = "s") -> dict[str, bytes]:
    event = Event("thread.run.step.created", None, msgspec.json.encode(payload))
    (row,) = Rows(StreamProcessor(stream=stream).feed(encode_sse(event)), "replace").all()
    return named(row.line)


def test_line_escapes_what_the_format_means_something_by() -> None:
    """Tabs, line ends, backslashes, and a text that looks like null."""
    odd = columns_of({"id": "a\tb\nc\\d\r", "status": "\\N", "type": "\0"}, stream="s\t1")

    assert [odd[name] for name in ("id", "status", "type", "stream", "role")] == [
        *(rb"a\tb\nc\\d\r", rb"\\N", "\ufffd".encode(), rb"s\t1", rb"\N")
    ]


def test_line_of_text_that_is_plain_but_for_one_backslash() -> None:
    plain, odd = columns_of({"id": "a", "status": "x"}), columns_of({"id": "a", "status": "x\\"})

    assert (plain["status"], odd["status"]) == (b"x", rb"x\\")


def test_state_keeps_its_escapes_and_loses_its_line_ends() -> None:
    (row,) = Rows([change("s", 1, 1, raw=b'{"a":\n\t"x\\n\\"\\\\"}\r')], "replace").all()

    assert row.line.endswith(b'\t{"a":  "x\\\\n\\\\"\\\\\\\\"} \n')


@pytest.mark.parametrize(
    "bad",
    [
        change("s", 2**63, 1, id="bad"),
        change("s", 1, 2**63, id="bad"),
        change("s", 1, 1, id="bad", raw=b'{"a":'),
    ],
    ids=["epoch", "revision", "no JSON"],
)
def test_object_of_which_no_row_can_be_made(bad: Change) -> None:
    """All that the batch has of it is rejected, and nothing else."""
    good = change("s", 1, 1)
    rows = Rows([bad, good], "replace")

    assert [row.changes for row in rows.all()] == [[good]]
    assert rows.rejected == [bad]


@pytest.mark.parametrize("id", ["bad\0", "bad\ud800"])
def test_object_with_unholdable_text_is_replaced_or_rejected(id: str) -> None:
    bad = change("s", 1, 1, id=id)
    replaced, rejected = Rows([bad], "replace"), Rows([bad], "reject")

    assert [row.is_altered for row in replaced.all()] == [True]
    assert (rejected.all(), rejected.rejected) == ([], [bad])


@pytest.mark.parametrize("kind", COLUMNS)
def test_own_columns_come_in_the_order_of_each_kind(kind: str) -> None:
    assert [name for name in OWN if name in COLUMNS[kind]] == [*COLUMNS[kind]]
