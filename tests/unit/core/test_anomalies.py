"""The closed list of anomalies."""

from typing import get_args

import msgspec
import pytest

from streamproc.core.anomalies import ANOMALY_KINDS, Anomaly, AnomalyKind

KINDS = (
    *("bad_json", "unknown_event", "unknown_type", "id_conflict", "type_conflict", "status_conflict", "late_event"),
    *("index_gap", "index_invalid", "kept_partial", "divergence", "provisional", "truncated", "reopened", "limit"),
)


def test_list_is_closed() -> None:
    """A new kind is a decision, since counters, exit codes and documents name them all."""
    assert KINDS == ANOMALY_KINDS
    assert get_args(AnomalyKind) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_anomaly_of_each_kind_survives_json(kind: AnomalyKind) -> None:
    """It carries a kind, a name, an id and a detail, all text."""
    anomaly = Anomaly(kind=kind, event="thread.run.created", id="run_1", detail="3 of 5")
    encoded = msgspec.json.encode(anomaly)

    assert msgspec.json.decode(encoded, type=Anomaly) == anomaly
    assert list(msgspec.json.decode(encoded)) == ["kind", "event", "id", "detail"]


def test_kind_outside_the_list_is_refused() -> None:
    """Reading a journal of another version must not pass unseen."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"kind":"brand_new"}', type=Anomaly)


def test_anomaly_is_frozen_and_needs_only_a_kind() -> None:
    """All else is empty text."""
    anomaly = Anomaly(kind="limit")

    assert (anomaly.event, anomaly.id, anomaly.detail) == ("", "", "")
    with pytest.raises(AttributeError):
        anomaly.kind = "truncated"  # type: ignore[misc]
