"""What the parts of a config have to agree on: rules over a whole `WorkerConfig`, each with the place to mend.

Nothing here opens a file or a connection, but sources, sinks and the store are made once, since what they cannot be
made of is a mistake in the config too.
"""

import os
import re
from collections.abc import Iterator, Mapping, Set
from ipaddress import ip_address
from typing import Any, Final, TypeAlias

from msgspec import Struct
from yarl import URL

from streamproc.core.dialect import dialect_names
from streamproc.errors import ConfigError
from streamproc.plugins import Group, SinkConfig, SourceConfig, StoreConfig
from streamproc.secret import Secret, SecretUrl
from streamproc.worker.config.decode import refusal
from streamproc.worker.config.kinds import kind_of, plugin_of
from streamproc.worker.config.places import Path
from streamproc.worker.config.sections import WorkerConfig
from streamproc.worker.config.sink_kinds import JsonlSinkConfig
from streamproc.worker.config.source_kinds import HttpSourceConfig
from streamproc.worker.config.store_kinds import SqliteStoreConfig
from streamproc.worker.config.wording import quoted, suggestion

__all__ = ["is_loopback", "lint"]

Found: TypeAlias = Iterator[tuple[Path, str]]

_TOKEN_MIN: Final = 16  # characters, where anybody can try
_TOKEN: Final = re.compile(r"[\x21-\x7e]+")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]*")
_ANY: Final = frozenset({"0.0.0.0", "::"})
_SERVERS: Final = ("ingest", "proxy", "admin")


def lint(config: WorkerConfig) -> list[tuple[Path, str]]:
    """All that is wrong with a config whose values are right each by itself: path and text."""
    requests = [*_requests(config)]
    return [
        *_purpose(config),
        *_dialects(config),
        *requests,
        *_upstream(config),
        *_binds(config),
        *_ports(config),
        *_parts(config, broken={path[:2] for path, _ in requests}),
        *_files(config),
    ]


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to a server that listens on `host`; a name other than localhost is not."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _purpose(config: WorkerConfig) -> Found:
    if not config.sources and config.ingest is None and config.proxy is None:
        yield (), "nothing comes in; add [[sources]], [ingest] or [proxy]"
    if not config.sinks and config.store is None:
        yield (), "nothing goes out; add [store] or [[sinks]]"


def _dialects(config: WorkerConfig) -> Found:
    named: list[tuple[Path, SourceConfig | Any]] = [(("sources", at), one) for at, one in enumerate(config.sources)]
    named += [((name,), getattr(config, name)) for name in ("ingest", "proxy")]
    known = ("auto", *(name for name in dialect_names() if name != "auto"))
    for path, section in named:
        if section is not None and section.dialect not in known:
            names = ", ".join(known)
            near = suggestion(section.dialect, known)
            yield (*path, "dialect"), f"no dialect {quoted(section.dialect)}; known: {names}{near}"


def _requests(config: WorkerConfig) -> Found:
    """What HTTP can be asked for."""
    for at, source in enumerate(config.sources):
        if not isinstance(source, HttpSourceConfig):
            continue
        path: Path = ("sources", at)
        yield from _address(source.url, (*path, "url"))
        yield from _headers(source.headers, (*path, "headers"))
        if source.json is not None and source.body is not None:
            yield (*path, "body"), "json is given too, and a request has one body; remove one of the two"
        if (resync := source.resync) is not None:
            yield from _address(resync.base_url, (*path, "resync", "base_url"))
            yield from _headers(resync.headers or {}, (*path, "resync", "headers"))


def _address(url: SecretUrl, path: Path) -> Found:
    if _http_url(url) is None:
        yield path, 'expected an absolute URL of http or https, e.g. "https://api.example.com/v1"; something else came'


def _headers(headers: Mapping[str, Secret], path: Path) -> Found:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            yield (*path, name), "no header can have this name; letters, digits and - are safe"
        elif not _HEADER_VALUE.fullmatch(value.reveal()):
            yield (*path, name), "a header cannot hold a line break or control character; remove it"


def _upstream(config: WorkerConfig) -> Found:
    if (proxy := config.proxy) is None:
        return
    path: Path = ("proxy", "upstream")
    url = _http_url(proxy.upstream)
    if url is None:
        yield from _address(proxy.upstream, path)
    elif url.query_string or url.fragment:
        yield path, "expected a base URL, one with a query or fragment came; cut it off before the ?"
    elif url.port == proxy.port and _is_same(url.host or "", proxy.host):
        yield path, "is the proxy's own address, so requests would go round in a circle; name the API's"


def _is_same(host: str, own: str) -> bool:
    return host == own or (is_loopback(host) and (is_loopback(own) or own in _ANY))


def _http_url(url: SecretUrl) -> URL | None:
    try:
        parsed = URL(url.reveal())
    except ValueError:
        return None
    return parsed if parsed.scheme in ("http", "https") and parsed.host else None


def _binds(config: WorkerConfig) -> Found:
    """Who can connect has to be known, unless it is this machine alone."""
    ingest, proxy, admin = config.ingest, config.proxy, config.admin
    if ingest is not None:
        if ingest.max_connections < ingest.max_streams:
            text = f"expected at least max_streams ({ingest.max_streams}), got {ingest.max_connections}"
            yield ("ingest", "max_connections"), text
        yield from _tokens(
            ("ingest",), ingest.host, {("ingest", "tokens", at): t for at, t in enumerate(ingest.tokens)}
        )
        if not ingest.tokens and not is_loopback(ingest.host):
            yield ("ingest", "host"), f'{quoted(ingest.host)} is not loopback; add tokens = ["${{INGEST_TOKEN}}"]'
    if admin is not None:
        yield from _tokens(("admin",), admin.host, {} if admin.token is None else {("admin", "token"): admin.token})
        if admin.token is None and not is_loopback(admin.host):
            yield ("admin", "host"), f'{quoted(admin.host)} is not loopback; add token = "${{ADMIN_TOKEN}}"'
    if proxy is not None and not proxy.allow_public and not is_loopback(proxy.host):
        text = "is not loopback, and the proxy knows no tokens of its own; add allow_public = true if that is meant"
        yield ("proxy", "host"), f"{quoted(proxy.host)} {text}"


def _tokens(section: Path, host: str, tokens: Mapping[Path, Secret]) -> Found:
    for path, token in tokens.items():
        if not _TOKEN.fullmatch(token.reveal()):
            yield (
                path,
                "expected a token of visible ASCII characters, others came; make one with `openssl rand -hex 32`",
            )
        elif len(token.reveal()) < _TOKEN_MIN and not is_loopback(host):
            text = f"expected {_TOKEN_MIN} characters or more where {'.'.join(map(str, section))}.host is not loopback"
            yield path, f"{text}, {len(token.reveal())} came; make one with `openssl rand -hex 32`"


def _ports(config: WorkerConfig) -> Found:
    taken: list[tuple[str, str, int]] = []
    for name in _SERVERS:
        if (server := getattr(config, name)) is None or server.port == 0:
            continue
        for other, host, port in taken:
            if port == server.port and (host == server.host or _ANY & {host, server.host}):
                yield (name, "port"), f"{port} is the port of [{other}] too; choose another one"
        taken.append((name, server.host, server.port))


def _parts(config: WorkerConfig, broken: Set[Path]) -> Found:
    """What cannot be made, unless it is known to be broken, and names that are there twice."""
    names: dict[str, Path] = {}
    for at, source in enumerate(config.sources):
        path: Path = ("sources", at)
        if path in broken:
            continue
        made, faults = _made("sources", source, path)
        yield from faults
        if made is not None:
            yield from _unique(made.name, path, names, given=source.name is not None)
    names = {}
    for at, sink in enumerate(config.sinks):
        path = ("sinks", at)
        _, faults = _made("sinks", sink, path)
        yield from faults
        yield from _unique(sink.name or kind_of(sink), path, names, given=sink.name is not None)
    if config.store is not None:
        _, faults = _made("stores", config.store, ("store",))
        yield from faults


def _made(
    group: Group, options: SourceConfig | SinkConfig | StoreConfig, path: Path
) -> tuple[Any, list[tuple[Path, str]]]:
    try:
        return plugin_of(group, kind_of(options)).make(options), []
    except ConfigError as error:
        return None, [refusal(type(options), str(error), path)]
    except Exception as error:  # of a plug-in; its text may hold anything
        return None, [(path, f"cannot be made, it raised {type(error).__name__}; ask whoever made that plug-in")]


def _unique(name: str, path: Path, seen: dict[str, Path], *, given: bool) -> Found:
    if name in seen:
        first = f"{seen[name][0]}[{seen[name][1]}]"
        text = "choose another one" if given else 'add name = "...", to tell them apart'
        yield (*path, "name"), f"{quoted(name)} is the name of {first} too; {text}"
    seen.setdefault(name, path)


def _files(config: WorkerConfig) -> Found:
    """One file belongs to one part."""
    seen: dict[str, str] = {}
    parts: list[tuple[Path, str, Struct | None]] = [(("store",), "store", config.store)]
    parts += [(("sinks", at), f"sinks[{at}]", sink) for at, sink in enumerate(config.sinks)]
    for path, name, part in parts:
        if isinstance(part, JsonlSinkConfig | SqliteStoreConfig):
            file = os.path.abspath(part.path)
            if file in seen:
                yield (*path, "path"), f"is the file of {seen[file]} too; choose another one"
            seen.setdefault(file, name)
