"""Turns the event streams of agent runs into complete, typed states of their steps.

from streamproc import StreamProcessor

proc = StreamProcessor()
for chunk in response:              # bytes, cut anywhere
    for change in proc.feed(chunk):
        print(change.event, change.id, change.revision)
proc.close()
print(proc.steps)
"""

from typing import TYPE_CHECKING, Any

from streamproc.core.anomalies import Anomaly
from streamproc.core.change import Change, encode_change
from streamproc.core.events import Event, encode_sse
from streamproc.core.limits import Limits
from streamproc.core.processor import StreamProcessor
from streamproc.core.reducer import Reducer
from streamproc.dialects import AssistantsDialect  # importing dialects registers the names that StreamProcessor knows
from streamproc.errors import StreamprocError
from streamproc.model.message import Message
from streamproc.model.run import Run
from streamproc.model.run_step import LastError, RunStep, Usage
from streamproc.model.thread import ErrorObject, Thread
from streamproc.model.wire import to_wire

if TYPE_CHECKING:
    from streamproc.delivery.policy import DeliveryPolicy, Retry
    from streamproc.hooks import RunHooks
    from streamproc.pipeline import Pipeline, StreamResult

__all__ = [
    "Anomaly",
    "AssistantsDialect",
    "Change",
    "DeliveryPolicy",
    "ErrorObject",
    "Event",
    "LastError",
    "Limits",
    "Message",
    "Pipeline",
    "Reducer",
    "Retry",
    "Run",
    "RunHooks",
    "RunStep",
    "StreamProcessor",
    "StreamResult",
    "StreamprocError",
    "Thread",
    "Usage",
    "encode_change",
    "encode_sse",
    "to_wire",
]

__version__ = "0.1.0"

# What needs anyio and structlog is imported when it is first used (PEP 562), so that the bare core stays cheap.
_LAZY = {
    "DeliveryPolicy": "streamproc.delivery.policy",
    "Pipeline": "streamproc.pipeline",
    "Retry": "streamproc.delivery.policy",
    "RunHooks": "streamproc.hooks",
    "StreamResult": "streamproc.pipeline",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(_LAZY[name]), name)
    return value
