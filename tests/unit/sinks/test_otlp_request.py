"""Spans as bodies of requests: what they decode to, the same bytes again, and where they are cut."""

from collections.abc import Mapping, Sequence

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from streamproc.sinks._otlp_request import Encoder
from streamproc.sinks._otlp_spans import Span
from streamproc.sinks._otlp_values import Value
from streamproc.testing.changes import ordinary_changes
from tests.otlp_receiver import ReceivedSpan, spans_of

CHANGE, OTHER = ordinary_changes("s")[:2]
EVERY_TYPE: Mapping[str, Value] = {"text": "ä\0", "yes": True, "number": -(2**63), "half": 0.5, "list": ("a", "b")}


def encoder(max_bytes: int = 10_000) -> Encoder:
    return Encoder({"service.name": "tests"}, "https://example.com/schema", max_bytes)


def span(attributes: Mapping[str, Value] | None = None, *, name: str = "chat", size: int = 0) -> Span:
    return Span(
        name=name,
        kind="CLIENT",
        trace_id=b"t" * 16,
        span_id=b"s" * 8,
        parent_span_id=b"p" * 8,
        start_ns=1,
        end_ns=2**63 - 1,
        is_error=True,
        message="why",
        attributes={**(attributes or {}), "size": "x" * size},
    )


def bodies(spans: Sequence[Span], max_bytes: int) -> list[bytes]:
    made = encoder(max_bytes)
    return [request.body for request in made.requests([(CHANGE, made.encode(each)) for each in spans])]


def test_everything_is_in_the_message() -> None:
    (body,) = bodies([span(EVERY_TYPE)], 10_000)
    request = ExportTraceServiceRequest.FromString(body)
    of_resource = request.resource_spans[0]

    assert spans_of(body) == [
        ReceivedSpan(
            name="chat",
            trace_id="74" * 16,
            span_id="73" * 8,
            parent_span_id="70" * 8,
            kind="CLIENT",
            start_ns=1,
            end_ns=2**63 - 1,
            status="ERROR",
            status_message="why",
            attributes={**EVERY_TYPE, "list": ["a", "b"], "size": ""},
            events=[],
        )
    ]
    assert of_resource.resource.attributes[0].value.string_value == "tests"
    assert of_resource.scope_spans[0].scope.name == "streamproc"
    assert of_resource.schema_url == of_resource.scope_spans[0].schema_url == "https://example.com/schema"


def test_the_same_bytes_again() -> None:
    assert bodies([span(EVERY_TYPE)], 10_000) == bodies([span(EVERY_TYPE)], 10_000)


@pytest.mark.parametrize("max_bytes", [1024, 1500, 3000, 100_000])
def test_bodies_have_a_largest_size(max_bytes: int) -> None:
    """A span that is larger alone has a body of its own; none is lost, and the order stays."""
    sizes = [10, 900, 10, 5000, 10, *[100] * 20, 5000, 5000]
    spans = [span(name=str(number), size=size) for number, size in enumerate(sizes)]
    made = bodies(spans, max_bytes)
    names = [[one.name for one in spans_of(body)] for body in made]

    assert [int(name) for body in names for name in body] == [*range(len(sizes))]
    assert all(len(body) <= max_bytes or len(in_body) == 1 for body, in_body in zip(made, names, strict=True))
    assert len(made) < len(sizes)


def test_nothing_makes_no_request() -> None:
    assert bodies([], 1024) == []


def test_a_request_knows_its_changes() -> None:
    """Each once, although it made several spans."""
    made = encoder()
    spans = [(CHANGE, made.encode(span())), (CHANGE, made.encode(span())), (OTHER, made.encode(span()))]
    (request,) = made.requests(spans)

    assert request.changes == (CHANGE, OTHER)
    assert request.spans == 3


@pytest.mark.parametrize("bad", ["\ud800", 2**63])
def test_what_cannot_be_encoded(bad: Value) -> None:
    with pytest.raises(ValueError, match=r".+"):
        encoder().encode(span({"bad": bad}))
