"""What a collector's answer means for the spans that it was sent.

    2xx                      taken; spans of a partial success that it rejected are lost, and are not to be sent again
    429, 502, 503, 504       later, after the wait that it asks for
    anything else            rejected, for good; a redirect is not followed

Source: OpenTelemetry Protocol, "OTLP/HTTP Response": these four are all that may be tried again.
"""

from collections.abc import Mapping
from typing import Final, Literal

from google.protobuf.message import DecodeError
from msgspec import Struct
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from streamproc.retry_after import retry_after_s

__all__ = ["Answer", "answer_of"]

_LATER: Final = frozenset({429, 502, 503, 504})


class Answer(Struct, frozen=True, kw_only=True):
    """One answer, or why there was none."""

    outcome: Literal["taken", "later", "rejected"]
    what: str  # for people, without the name of the host
    retry_after_s: float | None = None
    rejected_spans: int = 0  # of a partial success; which ones it does not say


def answer_of(status: int, headers: Mapping[str, str], body: bytes, now_s: float) -> Answer:
    """What a status means, and a body.

    Args:
        body: of a 2xx; empty if it was too long to be read. What cannot be decoded says nothing.
        now_s: seconds since 1970, for dates in Retry-After.
    """
    what = f"answered {status}"
    if 200 <= status < 300:
        return Answer(outcome="taken", what=what, rejected_spans=_rejected_spans(body))
    if status in _LATER:
        return Answer(outcome="later", what=what, retry_after_s=retry_after_s(headers, now_s))
    return Answer(outcome="rejected", what=what)


def _rejected_spans(body: bytes) -> int:
    try:
        return max(0, ExportTraceServiceResponse.FromString(body).partial_success.rejected_spans)
    except DecodeError:
        return 0
