"""The kinds of sink: for each the options in a config file, and how it is made of them.

A new one is a struct, a function and a row. What a kind needs is imported when it is made.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from streamproc.plugins import PlugIn, SinkConfig
from streamproc.protocols import Sink
from streamproc.secret import SecretUrl
from streamproc.worker.config.otlp_kind import OtlpSinkConfig, make_otlp
from streamproc.worker.config.values import Count, Seconds, Text
from streamproc.worker.config.webhook_kind import WebhookSinkConfig, make_webhook

__all__ = ["SINKS", "ConsoleSinkConfig", "JsonlSinkConfig", "PostgresSinkConfig"]


class JsonlSinkConfig(SinkConfig, tag="jsonl", frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file with one change a line. Needs the `jsonl` extra."""

    path: Annotated[Text, Meta(description="of the file; its folder must be there")]
    rotate_bytes: Annotated[
        Count | None, Meta(description="the size that a file does not exceed; no rotation unless given")
    ] = None
    keep: Annotated[
        Annotated[int, Meta(ge=0)] | None, Meta(description="how many rotated files are kept; all unless given")
    ] = None
    fsync: Annotated[
        Literal["always", "interval", "never"],
        Meta(description="when a batch is safe from a loss of power; a crash of the process never loses one"),
    ] = "always"
    fsync_interval_s: Annotated[Seconds, Meta(description='for fsync = "interval"')] = 1.0


class ConsoleSinkConfig(SinkConfig, tag="console", frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A live table of steps on standard output. Needs the `cli` extra."""

    maximum: Annotated[Count, Meta(description="how many steps are kept; the oldest go first")] = 200


class PostgresSinkConfig(SinkConfig, tag="postgres", frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tables of runs, steps and messages in PostgreSQL. Needs the `postgres` extra."""

    dsn: Annotated[
        SecretUrl | None,
        Meta(description="URL or connection string; what it does not say is taken from PGHOST, PGPASSWORD and so on"),
    ] = None
    schema: Annotated[Text, Meta(description="where the tables are; made with them unless it is there")] = "streamproc"
    unholdable: Annotated[
        Literal["replace", "reject"],
        Meta(description="what becomes of text with NUL or half a surrogate pair, and of numbers beyond `numeric`"),
    ] = "replace"
    connect_timeout_s: Annotated[
        Annotated[float, Meta(ge=2)], Meta(description="for each host that the address names; whole seconds")
    ] = 5.0
    statement_timeout_s: Annotated[Seconds, Meta(description="for one statement at the server")] = 30.0


def _make_jsonl(options: JsonlSinkConfig) -> Sink:
    from streamproc.sinks.jsonl import JsonlSink

    return JsonlSink(
        options.path,
        rotate_bytes=options.rotate_bytes,
        keep=options.keep,
        fsync=options.fsync,
        fsync_interval_s=options.fsync_interval_s,
    )


def _make_console(options: ConsoleSinkConfig) -> Sink:
    from streamproc.sinks.console import ConsoleSink

    return ConsoleSink(maximum=options.maximum)


def _make_postgres(options: PostgresSinkConfig) -> Sink:
    from streamproc.sinks.postgres import PostgresSink

    return PostgresSink(
        "" if options.dsn is None else options.dsn,
        schema=options.schema,
        unholdable=options.unholdable,
        connect_timeout_s=options.connect_timeout_s,
        statement_timeout_s=options.statement_timeout_s,
    )


SINKS: Final[Mapping[str, PlugIn[Any]]] = {
    "jsonl": PlugIn(JsonlSinkConfig, _make_jsonl),
    "console": PlugIn(ConsoleSinkConfig, _make_console),
    "webhook": PlugIn(WebhookSinkConfig, make_webhook),
    "otlp": PlugIn(OtlpSinkConfig, make_otlp),
    "postgres": PlugIn(PostgresSinkConfig, _make_postgres),
}
