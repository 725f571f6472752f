"""The kind of sink "webhook": its options in a config file, and how it is made of them."""

from typing import Annotated

from msgspec import Meta

from streamproc.plugins import SinkConfig
from streamproc.protocols import Sink
from streamproc.secret import Secret, SecretEndpoint
from streamproc.worker.config.values import Count, Seconds, Text

__all__ = ["WebhookSinkConfig", "make_webhook"]


class WebhookSinkConfig(SinkConfig, tag="webhook", frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A signed POST for each change. Needs the `webhook` extra."""

    url: Annotated[SecretEndpoint, Meta(description="of the endpoint")]
    secrets: Annotated[
        tuple[Secret, ...],
        Meta(min_length=1, description="`whsec_...`; each of them signs, so that the endpoint can change its own"),
    ]
    headers: Annotated[dict[str, Secret], Meta(description="of every request; values are secrets")] = {}  # noqa: RUF012 - msgspec copies it
    timeout_s: Annotated[Seconds, Meta(description="for one request, from finding the host to the answer")] = 15.0
    max_in_flight: Annotated[Count, Meta(description="requests under way, each for another run")] = 8
    allow_http: Annotated[bool, Meta(description="without TLS, for tests and internal networks")] = False
    allow_networks: Annotated[
        tuple[Text, ...],
        Meta(description='where requests may go though it is not public, e.g. ["10.0.0.0/8"]'),
    ] = ()
    ports: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=65535)], ...] | None,
        Meta(description="the only ones that requests may go to; any unless given"),
    ] = None
    ca_file: Annotated[
        Text | None, Meta(description="certificate authorities (PEM) in place of the system's, for an internal one")
    ] = None


def make_webhook(options: WebhookSinkConfig) -> Sink:
    from streamproc.sinks.webhook import WebhookSink

    return WebhookSink(
        options.url,
        secrets=options.secrets,
        headers=options.headers,
        timeout_s=options.timeout_s,
        max_in_flight=options.max_in_flight,
        allow_http=options.allow_http,
        allow_networks=options.allow_networks,
        ports=options.ports,
        ca_file=options.ca_file,
    )
