"""The kind of sink "otlp": its options in a config file, and how it is made of them."""

from typing import Annotated, Literal

from msgspec import Meta

from streamproc.plugins import SinkConfig
from streamproc.protocols import Sink
from streamproc.secret import Secret, SecretUrl
from streamproc.worker.config.values import Seconds, Text

__all__ = ["OtlpSinkConfig", "make_otlp"]


class OtlpSinkConfig(SinkConfig, tag="otlp", frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Spans of runs, model calls and tool calls. Needs the `otlp` extra."""

    endpoint: Annotated[
        SecretUrl | None,
        Meta(description="of the collector, `/v1/traces` is added; `OTEL_EXPORTER_OTLP_ENDPOINT` unless given"),
    ] = None
    traces_endpoint: Annotated[SecretUrl | None, Meta(description="the URL to post to as it is, in its place")] = None
    headers: Annotated[
        dict[str, Secret],
        Meta(description="of every request, added to `OTEL_EXPORTER_OTLP_HEADERS`; values are secrets"),
    ] = {}  # noqa: RUF012 - msgspec copies it
    timeout_s: Annotated[
        Seconds | None, Meta(description="for one request; `OTEL_EXPORTER_OTLP_TIMEOUT`, else 10, unless given")
    ] = None
    compression: Annotated[
        Literal["gzip", "none"] | None,
        Meta(description="of the bodies; `OTEL_EXPORTER_OTLP_COMPRESSION`, else none, unless given"),
    ] = None
    ca_file: Annotated[
        Text | None, Meta(description="certificate authorities (PEM); `OTEL_EXPORTER_OTLP_CERTIFICATE` unless given")
    ] = None
    client_cert_file: Annotated[
        Text | None, Meta(description="our certificate (PEM); `OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE` unless given")
    ] = None
    client_key_file: Annotated[
        Text | None, Meta(description="its key (PEM); `OTEL_EXPORTER_OTLP_CLIENT_KEY` unless given")
    ] = None
    service_name: Annotated[
        Text | None, Meta(description='`service.name`; `OTEL_SERVICE_NAME`, else "streamproc", unless given')
    ] = None
    resource: Annotated[
        dict[str, str], Meta(description="attributes of the resource, added to `OTEL_RESOURCE_ATTRIBUTES`")
    ] = {}  # noqa: RUF012 - msgspec copies it
    semconv: Annotated[
        Literal["0.1", "1.36"], Meta(description="the version of the GenAI conventions that names attributes")
    ] = "0.1"
    provider: Annotated[Text, Meta(description="who runs the model: `openai`, `azure.ai.openai`, `anthropic`, ...")] = (
        "openai"
    )
    content: Annotated[
        bool, Meta(description="whether spans hold instructions, messages, arguments, results and texts of errors")
    ] = False
    max_request_bytes: Annotated[
        Annotated[int, Meta(ge=1024)], Meta(description="of a body before compression; what is more becomes several")
    ] = 4 * 1024 * 1024


def make_otlp(options: OtlpSinkConfig) -> Sink:
    from streamproc.sinks.otlp import OtlpSink

    return OtlpSink(
        options.endpoint,
        traces_endpoint=options.traces_endpoint,
        headers=options.headers,
        timeout_s=options.timeout_s,
        compression=options.compression,
        ca_file=options.ca_file,
        client_cert_file=options.client_cert_file,
        client_key_file=options.client_key_file,
        service_name=options.service_name,
        resource=options.resource,
        semconv=options.semconv,
        provider=options.provider,
        content=options.content,
        max_request_bytes=options.max_request_bytes,
    )
