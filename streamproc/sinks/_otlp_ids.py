"""Ids of traces and spans: hashes of the ids that the server gave, so that a span that comes again has its id again.

One run is one trace. The parts of what is hashed are told apart by their lengths, so no id can be made to look like
two others. An id of zeros only is no id by the standard (W3C Trace Context) and is never given.
"""

from hashlib import sha256
from typing import Final

__all__ = ["span_id", "trace_id"]

_NAMESPACE: Final = "streamproc.otlp.1"  # another version of the rules would take another one


def trace_id(run_id: str) -> bytes:
    """The trace of a run, 16 bytes; of a step without a run, give its own id."""
    return _hash("trace", run_id)[:16]


def span_id(kind: str, *ids: str) -> bytes:
    """The span of an object, 8 bytes.

    Args:
        kind: "run", "step", "call", or "place" of a call without an id of its own.
        ids: of the object, and of what it is part of if its own are not unique.
    """
    return _hash(kind, *ids)[:8]


def _hash(*parts: str) -> bytes:
    # Half a surrogate pair, which only hand-made ids hold, must not make an id impossible.
    encoded = [part.encode("utf-8", "surrogatepass") for part in (_NAMESPACE, *parts)]
    digest = sha256(b"".join(b"%d:%b" % (len(part), part) for part in encoded)).digest()
    return digest if any(digest[:8]) else b"\x01" + digest[1:]
