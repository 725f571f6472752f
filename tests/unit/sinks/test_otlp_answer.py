"""What the answers of a collector mean."""

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from streamproc.sinks._otlp_answer import Answer, answer_of


@pytest.mark.parametrize(
    ("statuses", "outcome"),
    [
        ((200, 202, 204, 299), "taken"),
        ((429, 502, 503, 504), "later"),
        ((301, 307, 400, 401, 403, 404, 408, 413, 415, 500, 501, 505, 599), "rejected"),
    ],
)
def test_statuses(statuses: tuple[int, ...], outcome: str) -> None:
    """Four may be tried again, as the protocol says; 500 is none of them."""
    assert {answer_of(status, {}, b"", 0.0).outcome for status in statuses} == {outcome}


def test_how_long_it_asks_to_be_left_alone() -> None:
    """In seconds or as a date; only where waiting helps."""
    date = {"Retry-After": "Thu, 01 Jan 1970 00:01:30 GMT"}

    assert answer_of(503, {"Retry-After": "7"}, b"", 0.0).retry_after_s == 7.0
    assert answer_of(429, date, b"", 60.0).retry_after_s == 30.0
    assert answer_of(503, {}, b"", 0.0).retry_after_s is None
    assert answer_of(400, {"Retry-After": "7"}, b"", 0.0).retry_after_s is None


def test_a_partial_success() -> None:
    """Its message is not kept: it may quote what the spans hold."""
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = 3
    response.partial_success.error_message = "span 'secret' is too old"
    body = response.SerializeToString()

    assert answer_of(200, {}, body, 0.0) == Answer(outcome="taken", what="answered 200", rejected_spans=3)


@pytest.mark.parametrize("body", [b"", b"{}", b"\xff\xff", b"<html>"])
def test_a_body_that_says_nothing(body: bytes) -> None:
    """The status counts."""
    assert answer_of(200, {}, body, 0.0).rejected_spans == 0
