"""The kinds of source, sink and store: for each the options in a config file, and how the part is made of them.

A new kind is one struct and one row in the tables at the end; a kind of another distribution is found by its entry
point, see streamproc/plugins.py. What a kind needs is imported when it is made.
"""

import os
import stat
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeAlias

import anyio
from msgspec import Meta, Struct

from streamproc.errors import ConfigError
from streamproc.plugins import Group, PlugIn, SinkConfig, SourceConfig, StoreConfig, installed, load_plugin
from streamproc.protocols import Sink, Source, Store
from streamproc.secret import Secret, SecretUrl

__all__ = ["BUILT_IN", "KINDS_OF", "dial", "kind_names", "kind_of", "plugin_of"]

Text: TypeAlias = Annotated[str, Meta(min_length=1)]
Count: TypeAlias = Annotated[int, Meta(ge=1)]
Seconds: TypeAlias = Annotated[float, Meta(gt=0)]


# -- sources -----------------------------------------------------------------------------------------------------------


class ResyncConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where an Assistants API tells the result of a run whose stream broke off."""

    base_url: Annotated[SecretUrl, Meta(description="what comes before `/threads`")]
    headers: Annotated[
        dict[str, Secret] | None, Meta(description="of every request; those of the source unless given")
    ] = None
    params: Annotated[dict[str, str], Meta(description='of every request, e.g. { "api-version" = "..." }')] = {}
    poll_s: Annotated[Seconds, Meta(description="the first wait between two looks at the run")] = 0.5
    max_poll_s: Annotated[Seconds, Meta(description="the longest one")] = 5.0
    timeout_s: Annotated[Seconds, Meta(description="how long the run may take to end")] = 900.0
    request_timeout_s: Annotated[Seconds, Meta(description="for one answer")] = 30.0


class HttpSourceConfig(SourceConfig, tag="http", frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The stream that an HTTP request answers with."""

    url: Annotated[SecretUrl, Meta(description="user name and password in it become an Authorization header")]
    method: Annotated[Literal["GET", "POST", "PUT", "PATCH"], Meta(description="of the request")] = "GET"
    headers: Annotated[dict[str, Secret], Meta(description="of every request; values are secrets")] = {}  # noqa: RUF012 - msgspec copies it
    json: Annotated[dict[str, Any] | None, Meta(description="the body, encoded as JSON")] = None
    body: Annotated[str | None, Meta(description="the body, as it is; not together with `json`")] = None
    idempotent: Annotated[
        bool | None,
        Meta(description="whether the request may be sent again to resume or repeat; unless given, a GET may"),
    ] = None
    idle_timeout_s: Annotated[Seconds, Meta(description="how long nothing at all may come")] = 60.0
    connect_timeout_s: Annotated[Seconds, Meta(description="for finding the host and connecting to it")] = 10.0
    resync: Annotated[ResyncConfig | None, Meta(description="where the result is, should the stream break off")] = None


class FileSourceConfig(SourceConfig, tag="file", frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A recorded stream, or one that is still being written to a file."""

    path: Annotated[Text, Meta(description="of a regular file")]
    speed: Annotated[
        Annotated[float, Meta(gt=0)] | None, Meta(description="events a second; as fast as possible unless given")
    ] = None
    follow: Annotated[bool, Meta(description="wait for more at the end of the file")] = False
    poll_s: Annotated[Seconds, Meta(description="how often a followed file is looked at")] = 0.25


def _make_http(options: HttpSourceConfig) -> Source:
    from streamproc.sources.assistants_resync import AssistantsResync
    from streamproc.sources.http import HttpSource

    resync = options.resync
    return HttpSource(
        options.url.reveal(),
        method=options.method,
        json=options.json,
        body=options.body,
        headers=_revealed(options.headers),
        name=options.name,
        idempotent=options.idempotent,
        idle_timeout_s=options.idle_timeout_s,
        connect_timeout_s=options.connect_timeout_s,
        resync=None
        if resync is None
        else AssistantsResync(
            resync.base_url.reveal(),
            headers=_revealed(options.headers if resync.headers is None else resync.headers),
            params=resync.params,
            poll_s=resync.poll_s,
            max_poll_s=resync.max_poll_s,
            timeout_s=resync.timeout_s,
            request_timeout_s=resync.request_timeout_s,
        ),
    )


def _revealed(headers: Mapping[str, Secret]) -> dict[str, str]:
    return {name: value.reveal() for name, value in headers.items()}


async def _probe_http(options: HttpSourceConfig) -> str:
    return await dial(options.url)


async def dial(url: SecretUrl) -> str:
    """Connect to the host of a URL, and say which one it was; nothing is sent.

    Raises:
        OSError: it cannot be reached.
    """
    from yarl import URL

    parsed = URL(url.reveal())
    host, port = parsed.host or "", parsed.port or 0
    try:
        await (await anyio.connect_tcp(host, port)).aclose()
    except OSError as error:
        raise OSError(f"no connection to {host}:{port} ({error.strerror or type(error).__name__})") from error
    return f"connected to {host}:{port}"


def _make_file(options: FileSourceConfig) -> Source:
    from streamproc.sources.file import FileSource

    return FileSource(
        options.path, name=options.name, speed=options.speed, follow=options.follow, poll_s=options.poll_s
    )


async def _probe_file(options: FileSourceConfig) -> str:
    path = anyio.Path(options.path)
    try:
        found = await path.stat()
    except FileNotFoundError:
        if options.follow and await path.parent.is_dir():
            return "not there yet"
        raise
    if not stat.S_ISREG(found.st_mode):
        raise OSError("expected a regular file, something else is there")
    if not os.access(options.path, os.R_OK):
        raise PermissionError("may not be read")
    return f"{found.st_size} bytes"


# -- sinks -------------------------------------------------------------------------------------------------------------


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


# -- stores ------------------------------------------------------------------------------------------------------------


class SqliteStoreConfig(StoreConfig, tag="sqlite", frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One SQLite file, readable by any SQLite tool meanwhile. Needs the `store` extra."""

    path: Annotated[Text, Meta(description="of the file, on a local disk; its folder must be there")]
    synchronous: Annotated[
        Literal["normal", "full"],
        Meta(description="what a loss of power may cost. normal: the last commits · full: nothing, for a sync each"),
    ] = "normal"
    max_bytes: Annotated[
        Count | None, Meta(description="of the journal; beyond it reading waits for sinks; no bound unless given")
    ] = None
    keep_changes: Annotated[
        int, Meta(ge=0, description="how many of the newest changes are kept although every sink has them")
    ] = 10_000
    busy_timeout_s: Annotated[
        float, Meta(ge=0, description="how long a commit waits for another program that has the file locked")
    ] = 5.0


class MemoryStoreConfig(StoreConfig, tag="memory", frozen=True, kw_only=True, forbid_unknown_fields=True):
    """In memory, for trying things out: it ends with the process."""

    changes_max: Annotated[Count, Meta(description="how many of the newest changes are kept")] = 100_000
    ended_max: Annotated[Count, Meta(description="how many runs that have ended are kept")] = 1_000


def _make_sqlite(options: SqliteStoreConfig) -> Store:
    from streamproc.stores.sqlite import SqliteStore

    return SqliteStore(
        options.path,
        synchronous=options.synchronous,
        max_bytes=options.max_bytes,
        keep_changes=options.keep_changes,
        busy_timeout_s=options.busy_timeout_s,
    )


def _make_memory(options: MemoryStoreConfig) -> Store:
    from streamproc.stores.memory import MemoryStore

    return MemoryStore(changes_max=options.changes_max, ended_max=options.ended_max)


# -- the tables --------------------------------------------------------------------------------------------------------

BUILT_IN: Final[Mapping[Group, Mapping[str, PlugIn[Any]]]] = {
    "sources": {
        "http": PlugIn(HttpSourceConfig, _make_http, _probe_http),
        "file": PlugIn(FileSourceConfig, _make_file, _probe_file),
    },
    "sinks": {
        "jsonl": PlugIn(JsonlSinkConfig, _make_jsonl),
        "console": PlugIn(ConsoleSinkConfig, _make_console),
    },
    "stores": {
        "sqlite": PlugIn(SqliteStoreConfig, _make_sqlite),
        "memory": PlugIn(MemoryStoreConfig, _make_memory),
    },
}

KINDS_OF: Final[Mapping[type[Struct], Group]] = {
    SourceConfig: "sources",
    SinkConfig: "sinks",
    StoreConfig: "stores",
}
"""The group of kinds that a field of this type is one of."""


def kind_names(group: Group) -> tuple[str, ...]:
    """The kinds that a config may name: those built in, then those of other distributions."""
    own = BUILT_IN[group]
    return (*own, *dict.fromkeys(one.name for one in installed(group) if one.name not in own))


def plugin_of(group: Group, kind: str) -> PlugIn[Any]:
    """How to make a part of this kind. One that is built in goes before one of another distribution.

    Raises:
        KeyError: there is none.
        ConfigError: two distributions have it.
        PlugInError: it cannot be used.
    """
    if (own := BUILT_IN[group].get(kind)) is not None:
        return own
    found = [one for one in installed(group) if one.name == kind]
    if not found:
        raise KeyError(kind)
    if len(found) > 1:
        raise ConfigError(f"{kind!r} is brought by {' and by '.join(one.distribution for one in found)}; remove one")
    plugin: PlugIn[Any] = load_plugin(found[0])
    return plugin


def kind_of(options: SourceConfig | SinkConfig | StoreConfig) -> str:
    """The kind whose options these are."""
    return str(options.__struct_config__.tag)
