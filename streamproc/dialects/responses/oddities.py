"""Oddities: anomalies that are found in what an event says, not in its bytes."""

from streamproc.core.anomalies import Anomaly, AnomalyKind
from streamproc.core.events import Event

__all__ = ["odd"]


def odd(kind: AnomalyKind, event: str, id: str, detail: str) -> Event:
    """An anomaly about the object `id`, found in a native event of that name."""
    return Event(event, Anomaly(kind=kind, event=event, id=id, detail=detail))
