"""Changes without secrets: states, deltas, anomalies, errors."""

import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamproc.core.change import Change
from streamproc.redaction.changes import Redactor
from streamproc.redaction.rules import Redaction
from streamproc.redaction.scanner import released
from tests.unit.redaction.examples import CANARIES, INNOCENT, Canary, pieces
from tests.unit.redaction.streams import Reader, arrived, canonical, cut, journalled, texts_of
from tests.unit.redaction.test_scanner import parts

RULES = Redaction().rules


def redact_all(changes: list[Change], redactor: Redactor | None = None) -> list[Change]:
    redactor = redactor or Redactor(RULES)
    return [redactor.change(change) for change in changes]


def shown_of(change: Change) -> dict[tuple[str, ...], str]:
    return {at: text for at, text in texts_of(msgspec.json.decode(change.body.wire(change.revision))).items() if text}


def expected_of(change: Change) -> dict[tuple[str, ...], str]:
    """The texts of an open object, as far as they are sure."""
    found = texts_of(msgspec.json.decode(change.body.wire(change.revision)))
    return {at: shown for at, text in found.items() if (shown := released(RULES, text))}


@pytest.mark.parametrize("canary", CANARIES.values(), ids=CANARIES)
def test_no_piece_of_a_secret_arrives(canary: Canary) -> None:
    """Wherever it stands, and however it is cut."""
    secret = pieces(canary.secret)
    escaped = msgspec.json.encode(canary.secret).decode()[1:-1]
    for size in (1, 3, 8, 13, 34):
        parts = cut(f"see {canary.text} ok", [size])
        changes = canonical(parts, parts, parts, parts, parts, secret=canary.text, order=random.Random(size))
        for change in redact_all(changes):
            seen = arrived(change)
            hits = [piece for piece in secret | pieces(escaped) if piece in seen and piece not in canary.shown]
            assert hits == []


def test_deltas_are_still_deltas() -> None:
    """All but the first of each object; the innocent parts of texts arrive as they come."""
    changes = canonical(["a b ", "c d "], ["x = 1\n"], ["1\n"], ["Hello, ", "world. "], ["no. "])
    redacted = redact_all(changes)

    assert [change.is_delta for change in changes] == [change.is_delta for change in redacted]
    assert [change.delta for change in changes if change.is_delta] == [
        change.delta for change in redacted if change.is_delta
    ]
    assert [(one.seq, one.event, one.revision, one.id) for one in changes if one.kind != "anomaly"] == [
        (one.seq, one.event, one.revision, one.id) for one in redacted if one.kind != "anomaly"
    ]
    assert [one.state for one in changes if one.kind != "run"] == [one.state for one in redacted if one.kind != "run"]


@settings(max_examples=60)
@given(parts, parts, st.lists(st.integers(1, 30), min_size=1, max_size=8), st.integers(0, 99))
def test_reader_of_deltas_knows_what_states_show(text: str, other: str, sizes: list[int], seed: int) -> None:
    changes = canonical(
        cut(text, sizes), cut(other, sizes), [], cut(other, sizes), cut(text, sizes), order=random.Random(seed)
    )
    reader = Reader()
    for change, shown in zip(changes, redact_all(changes), strict=True):
        reader.read(shown)
        if change.kind not in ("step", "message"):
            continue
        assert shown_of(shown) == reader.texts[change.id]
        if not change.note.ended:
            assert expected_of(change) == reader.texts[change.id]


@settings(max_examples=100)
@given(
    parts,
    st.lists(st.integers(1, 30), min_size=1, max_size=8),
    st.randoms(use_true_random=False),
)
def test_restart_anywhere(text: str, sizes: list[int], chance: random.Random) -> None:
    """A new redactor, and changes that come from the journal for a while, with states that are newer."""
    changes = canonical(cut(text, sizes), cut(text, sizes), [], cut(text, sizes), order=chance)
    redactor, reader, at = Redactor(RULES), Reader(), 0
    while at < len(changes):
        size = chance.randint(1, 12)
        batch = changes[at : at + size]
        ahead = at + size
        if chance.random() < 0.3:
            redactor = Redactor(RULES, objects_max=chance.choice([1, 2, 9]))
        from_journal = chance.random() < 0.4
        if from_journal:
            ahead = min(len(changes), ahead + chance.choice([0, 0, 3, 20]))
            batch = journalled(batch, changes[:ahead])
        for change in batch:
            shown = redactor.change(change)
            reader.read(shown)
            if change.kind in ("step", "message") and not from_journal and not change.note.ended:
                known = reader.texts[change.id]
                assert shown_of(shown) == expected_of(change)
                assert all(known.get(place, "").startswith(text) for place, text in expected_of(change).items())
        at += size
    for change in changes[-5:]:
        if change.note.ended and change.kind != "run":
            assert shown_of(redactor.change(change)) == reader.texts[change.id]


@pytest.mark.parametrize("text", INNOCENT)
def test_innocent_stays(text: str) -> None:
    changes = canonical([text], [text], [text], [text], [text], secret=text)
    for change, shown in zip(changes, redact_all(changes), strict=True):
        if change.note.ended and change.kind != "run":
            assert change.state == shown.state
