"""Turns the event streams of agent runs into complete, typed states of their steps.

from streamproc import StreamProcessor

proc = StreamProcessor()
for chunk in response:              # bytes, cut anywhere
    for change in proc.feed(chunk):
        print(change.event, change.id, change.revision)
proc.close()
print(proc.steps)
"""

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

__all__ = [
    "Anomaly",
    "AssistantsDialect",
    "Change",
    "ErrorObject",
    "Event",
    "LastError",
    "Limits",
    "Message",
    "Reducer",
    "Run",
    "RunStep",
    "StreamProcessor",
    "StreamprocError",
    "Thread",
    "Usage",
    "encode_change",
    "encode_sse",
    "to_wire",
]

__version__ = "0.1.0"
