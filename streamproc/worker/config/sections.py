"""The config of a worker as structs: one for each section of the file. What a field means stands beside it.

These descriptions are what `docs/config.md` and the JSON Schema show. Sources, sinks and the store are
in source_kinds.py, sink_kinds.py and store_kinds.py.
"""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from streamproc.core.limits import Limits
from streamproc.plugins import SinkConfig, SourceConfig, StoreConfig
from streamproc.redaction import Redaction
from streamproc.secret import Secret, SecretUrl
from streamproc.worker.config.values import Count, Host, Port, Seconds

__all__ = [
    "AdminConfig",
    "IngestConfig",
    "LimitsConfig",
    "LogConfig",
    "ProxyConfig",
    "RedactionConfig",
    "WorkerConfig",
]


class IngestConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Streams that are sent to the worker: `POST /v1/streams/{stream}`."""

    host: Host = "127.0.0.1"
    port: Annotated[Port, Meta(description="0: any free one")] = 8700
    tokens: Annotated[
        tuple[Secret, ...],
        Meta(description="any of them, as `Authorization: Bearer TOKEN`; needed where `host` is not loopback"),
    ] = ()
    dialect: Annotated[str, Meta(description="of streams that name no other one")] = "auto"
    max_streams: Annotated[Count, Meta(description="at the same time")] = 2000
    max_connections: Annotated[Count, Meta(description="at the same time, idle ones included")] = 4000
    max_body_bytes: Annotated[Count, Meta(description="of one stream")] = 256 * 2**20
    max_header_bytes: Annotated[Count, Meta(description="of all headers of a request")] = 32 * 2**10
    header_timeout_s: Annotated[Seconds, Meta(description="how long the head of a request may take")] = 10.0
    idle_timeout_s: Annotated[Seconds, Meta(description="how long nothing at all of a body may come")] = 60.0
    rate_per_s: Annotated[float, Meta(gt=0, description="requests a second of one client address, on average")] = 2000.0
    rate_burst: Annotated[Count, Meta(description="requests of one client address at once")] = 4000


class ProxyConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A transparent proxy in front of an API, which taps the streams that pass."""

    upstream: Annotated[SecretUrl, Meta(description="base URL of the API; requests go to it with their own path")]
    host: Host = "127.0.0.1"
    port: Annotated[Port, Meta(description="0: any free one")] = 8701
    allow_public: Annotated[
        bool,
        Meta(description="whether `host` may be other than loopback: whoever reaches the proxy reaches `upstream`"),
    ] = False
    fail: Annotated[
        Literal["open", "closed"],
        Meta(
            description="when nothing can be stored or delivered. open: traffic passes untapped · closed: it is refused"
        ),
    ] = "open"
    dialect: Annotated[str, Meta(description="of the streams that pass")] = "auto"
    max_streams: Annotated[Count, Meta(description="requests at the same time")] = 2000
    connect_timeout_s: Annotated[Seconds, Meta(description="for finding `upstream` and connecting to it")] = 10.0
    idle_timeout_s: Annotated[Seconds, Meta(description="how long nothing at all of an answer may come")] = 600.0
    max_hydrate_bytes: Annotated[
        int, Meta(ge=0, description="of an answer that is no stream and from which states are taken; 0: of none")
    ] = 16 * 2**20


class AdminConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Health, metrics and the states of runs."""

    host: Host = "127.0.0.1"
    port: Annotated[Port, Meta(description="0: any free one")] = 8702
    token: Annotated[
        Secret | None,
        Meta(description="as `Authorization: Bearer TOKEN`; needed where `host` is not loopback"),
    ] = None


class LimitsConfig(Limits, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of what the worker keeps, and how long."""

    idle_timeout_s: Annotated[
        Seconds, Meta(description="for how long nothing may come for an open run before its end is inferred")
    ] = 600.0
    evict_after_s: Annotated[
        Seconds, Meta(description="for how long a run that has ended stays in memory; in a store it stays")
    ] = 900.0
    drain_s: Annotated[
        float,
        Meta(ge=0, description="how long ending the worker may take: half of it for streams under way, half for sinks"),
    ] = 10.0

    def __post_init__(self) -> None:
        self.core()

    def core(self) -> Limits:
        """The bounds of the reducer alone.

        Raises:
            ValueError: one of them is out of range.
        """
        return Limits(**{name: getattr(self, name) for name in Limits.__struct_fields__})


class LogConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the worker logs, on standard error."""

    format: Annotated[Literal["console", "json"], Meta(description="console: for people · json: one object a line")] = (
        "console"
    )
    level: Annotated[Literal["debug", "info", "warning", "error"], Meta(description="the least one that is logged")] = (
        "info"
    )


class RedactionConfig(Redaction, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is masked before a sink or the log sees it."""

    enabled: Annotated[bool, Meta(description="for sinks that say nothing else, and for the log")] = True


class WorkerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A whole config file. A section that is None is not used."""

    store: Annotated[
        StoreConfig | None,
        Meta(description="where changes, states and positions are durable; without one they are in memory only"),
    ] = None
    sources: Annotated[tuple[SourceConfig, ...], Meta(description="streams that the worker fetches")] = ()
    sinks: Annotated[tuple[SinkConfig, ...], Meta(description="where changes go")] = ()
    ingest: Annotated[IngestConfig | None, Meta(description="streams that are sent to the worker")] = None
    proxy: Annotated[
        ProxyConfig | None, Meta(description="a transparent proxy in front of an API, which taps streams that pass")
    ] = None
    admin: Annotated[AdminConfig | None, Meta(description="health, metrics and the states of runs")] = None
    redaction: Annotated[RedactionConfig, Meta(description="what is masked before a sink or the log sees it")] = (
        RedactionConfig()
    )
    limits: Annotated[LimitsConfig, Meta(description="bounds of what is kept, and how long")] = LimitsConfig()
    log: Annotated[LogConfig, Meta(description="what is logged, on standard error")] = LogConfig()
