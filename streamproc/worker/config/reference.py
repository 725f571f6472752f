"""All keys of a config file as Markdown tables, made from the structs: the reference in docs/config.md."""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from streamproc.delivery.policy import DeliveryPolicy, Retry
from streamproc.plugins import SinkConfig, SourceConfig, StoreConfig
from streamproc.worker.config.described import Key, keys
from streamproc.worker.config.otlp_kind import OtlpSinkConfig
from streamproc.worker.config.sections import AdminConfig, IngestConfig, LimitsConfig, LogConfig, ProxyConfig
from streamproc.worker.config.sink_kinds import ConsoleSinkConfig, JsonlSinkConfig, PostgresSinkConfig
from streamproc.worker.config.source_kinds import FileSourceConfig, HttpSourceConfig, ResumeConfig, ResyncConfig
from streamproc.worker.config.store_kinds import MemoryStoreConfig, SqliteStoreConfig
from streamproc.worker.config.toml import toml_value
from streamproc.worker.config.webhook_kind import WebhookSinkConfig

__all__ = ["TABLES", "Table", "reference"]


class Table(Struct, frozen=True):
    """One table of the reference: a table of the file, or the options of one kind of part."""

    title: str
    options: type[Struct]
    text: str


TABLES: Final = (
    Table("[store]", StoreConfig, "Where changes, states and positions are durable; without it they are in memory."),
    Table('[store] kind = "sqlite"', SqliteStoreConfig, "The default kind; see [store.md](store.md)."),
    Table('[store] kind = "memory"', MemoryStoreConfig, "For trying things out: it ends with the process."),
    Table("[[sources]]", SourceConfig, "A stream that the worker fetches. Of every kind:"),
    Table('[[sources]] kind = "http"', HttpSourceConfig, "The stream that an HTTP request answers with."),
    Table("[sources.resume]", ResumeConfig, "How the stream goes on at another address, should it break off."),
    Table("[sources.resync]", ResyncConfig, "Where an API tells the result of a run whose stream broke off for good."),
    Table('[[sources]] kind = "file"', FileSourceConfig, "A recorded stream, or one that is still being written."),
    Table("[[sinks]]", SinkConfig, "Where changes go; see [sinks.md](sinks.md). Of every kind:"),
    Table('[[sinks]] kind = "jsonl"', JsonlSinkConfig, "A file with one change a line. Needs the `jsonl` extra."),
    Table('[[sinks]] kind = "console"', ConsoleSinkConfig, "A live table of steps. Needs the `cli` extra."),
    Table('[[sinks]] kind = "webhook"', WebhookSinkConfig, "A signed POST a change. Needs the `webhook` extra."),
    Table('[[sinks]] kind = "otlp"', OtlpSinkConfig, "Spans of OpenTelemetry. Needs the `otlp` extra."),
    Table(
        '[[sinks]] kind = "postgres"',
        PostgresSinkConfig,
        "Tables in PostgreSQL; see [sinks/postgres.md](sinks/postgres.md). Needs the `postgres` extra.",
    ),
    Table("[sinks.policy]", DeliveryPolicy, "How one sink is fed."),
    Table("[sinks.policy.retry]", Retry, "When a failed write is tried again: a random wait below a growing bound."),
    Table("[ingest]", IngestConfig, "Streams that are sent to the worker. Without this table there is no such server."),
    Table("[proxy]", ProxyConfig, "A transparent proxy that taps the streams that pass. Without this table, none."),
    Table(
        "[admin]", AdminConfig, "Health, metrics and the states of runs. Without this table there is no such server."
    ),
    Table("[limits]", LimitsConfig, "Bounds of what is kept, and how long."),
    Table("[log]", LogConfig, "What is logged, on standard error."),
)
_BASES: Final = (SourceConfig, SinkConfig, StoreConfig)


def reference() -> str:
    """Return all tables with their headings."""
    return "\n".join(line for table in TABLES for line in _section(table))


def _section(table: Table) -> Iterator[str]:
    yield from (f"### `{table.title}`", "", table.text, "", "| key | takes | default | |", "|---|---|---|---|")
    is_base = table.options in _BASES
    if is_base:
        default = '`"sqlite"`' if table.options is StoreConfig else "required"
        yield f"| `kind` | a string | {default} | which kind; `streamproc plugins` lists them |"
    shared = set() if is_base else {name for base in _BASES for name in base.__struct_fields__}
    yield from (
        _row(key) for key in keys(table.options) if not (issubclass(table.options, _BASES) and key.name in shared)
    )
    yield ""


def _row(key: Key) -> str:
    if key.is_required:
        default = "required"
    elif key.default is None:
        default = ""
    elif isinstance(key.default, Struct):
        default = "see there"
    else:
        default = f"`{toml_value(key.default)}`"
    return f"| `{key.name}` | {key.takes} | {default} | {key.text.replace('|', '/')} |"
