"""Spans as the bodies of OTLP/HTTP requests: `ExportTraceServiceRequest` in protobuf, below a size.

The one module of the sink that needs its extra. The same spans give the same bytes.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1 import trace_pb2

from streamproc.core.change import Change
from streamproc.sinks._otlp_spans import Span
from streamproc.sinks._otlp_values import Value

__all__ = ["Encoder", "Request"]

_KINDS: Final = {
    "CLIENT": trace_pb2.Span.SpanKind.SPAN_KIND_CLIENT,
    "INTERNAL": trace_pb2.Span.SpanKind.SPAN_KIND_INTERNAL,
}
_FIELD_BYTES: Final = 8  # at most, around a span in its list


class Request(Struct, frozen=True):
    """One body, and what it was made of."""

    body: bytes
    changes: tuple[Change, ...]
    spans: int


class Encoder:
    """Makes requests.

    Args:
        resource: the attributes of what the spans are about.
        schema_url: of the conventions; "" for none.
        max_bytes: of a body before compression; a span that is larger alone has a request of its own.
    """

    def __init__(self, resource: Mapping[str, str], schema_url: str, max_bytes: int) -> None:
        self._resource = Resource(attributes=[_pair(name, value) for name, value in resource.items()])
        self._scope = InstrumentationScope(name="streamproc")
        self._schema_url = schema_url
        self._max_bytes = max_bytes
        self._empty_bytes = len(self._body([])) + 2 * _FIELD_BYTES  # the lengths of two lists grow with them

    def encode(self, span: Span) -> trace_pb2.Span:
        """One span as a message.

        Raises:
            ValueError: a text has no UTF-8, or a number is too large; only hand-made objects hold such.
        """
        status = trace_pb2.Status()
        if span.is_error:
            status.code = trace_pb2.Status.STATUS_CODE_ERROR
            status.message = span.message
        return trace_pb2.Span(
            trace_id=span.trace_id,
            span_id=span.span_id,
            parent_span_id=span.parent_span_id,
            name=span.name,
            kind=_KINDS[span.kind],
            start_time_unix_nano=span.start_ns,
            end_time_unix_nano=span.end_ns,
            attributes=[_pair(name, value) for name, value in span.attributes.items()],
            status=status,
        )

    def requests(self, spans: Sequence[tuple[Change, trace_pb2.Span]]) -> Iterator[Request]:
        """The bodies that hold some spans, in their order."""
        begin, size = 0, self._empty_bytes
        for position, (_, span) in enumerate(spans):
            more = span.ByteSize() + _FIELD_BYTES
            if position > begin and size + more > self._max_bytes:
                yield self._request(spans[begin:position])
                begin, size = position, self._empty_bytes
            size += more
        if spans:
            yield self._request(spans[begin:])

    def _request(self, spans: Sequence[tuple[Change, trace_pb2.Span]]) -> Request:
        changes = tuple({id(change): change for change, _ in spans}.values())
        return Request(self._body([span for _, span in spans]), changes, len(spans))

    def _body(self, spans: Sequence[trace_pb2.Span]) -> bytes:
        of_scope = trace_pb2.ScopeSpans(scope=self._scope, spans=spans, schema_url=self._schema_url)
        of_resource = trace_pb2.ResourceSpans(
            resource=self._resource, scope_spans=[of_scope], schema_url=self._schema_url
        )
        return ExportTraceServiceRequest(resource_spans=[of_resource]).SerializeToString(deterministic=True)


def _pair(name: str, value: Value) -> KeyValue:
    return KeyValue(key=name, value=_value(value))


def _value(value: Value) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=value)
        case _:
            return AnyValue(array_value=ArrayValue(values=[_value(one) for one in value]))
