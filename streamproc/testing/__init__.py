"""For authors of plug-ins: checks they must pass, plug-ins and a server that follow a script, a virtual clock.

What a `ScriptedServer` is told to do is in `streamproc.testing.server`, what scripted plug-ins are told in
`streamproc.testing.memory`.
"""

from streamproc.testing.changes import odd_changes, ordinary_changes
from streamproc.testing.clock import VirtualLoop, run_virtual
from streamproc.testing.dialects import check_dialect
from streamproc.testing.memory import ScriptedSink, ScriptedSource
from streamproc.testing.server import Response, ScriptedServer, cut_at, json_response, reset_at, slices, stall_at
from streamproc.testing.sinks import check_sink
from streamproc.testing.sources import check_source
from streamproc.testing.stores import check_store

__all__ = [
    "Response",
    "ScriptedServer",
    "ScriptedSink",
    "ScriptedSource",
    "VirtualLoop",
    "check_dialect",
    "check_sink",
    "check_source",
    "check_store",
    "cut_at",
    "json_response",
    "odd_changes",
    "ordinary_changes",
    "reset_at",
    "run_virtual",
    "slices",
    "stall_at",
]
