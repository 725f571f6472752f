"""What the parts of a config have to agree on: rules over a whole `WorkerConfig`, each with the place to mend.

Nothing here opens a file or a connection, but sources, sinks and the store are made once, since what they cannot be
made of is a mistake in the config too.
"""

import os
import re
from collections.abc import Mapping, Set
from typing import Any, Final

from msgspec import Struct

from streamproc.core.dialect import dialect_names
from streamproc.errors import ConfigError
from streamproc.plugins import Group, SinkConfig, SourceConfig, StoreConfig
from streamproc.secret import Secret
from streamproc.worker.config.decode import refusal
from streamproc.worker.config.kinds import kind_of, plugin_of
from streamproc.worker.config.places import Path, dotted
from streamproc.worker.config.sections import WorkerConfig
from streamproc.worker.config.servers import Found, address_faults, server_faults
from streamproc.worker.config.sink_kinds import JsonlSinkConfig
from streamproc.worker.config.source_kinds import FileSourceConfig, HttpSourceConfig
from streamproc.worker.config.store_kinds import SqliteStoreConfig
from streamproc.worker.config.wording import quoted, suggestion

__all__ = ["lint"]

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE: Final = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]*")


def lint(config: WorkerConfig) -> list[tuple[Path, str]]:
    """All that is wrong with a config whose values are right each by itself: path and text."""
    requests = [*_requests(config)]
    return [
        *_purpose(config),
        *_dialects(config),
        *requests,
        *server_faults(config),
        *_parts(config, broken={path[:2] for path, _ in requests}),
        *_files(config),
    ]


def _purpose(config: WorkerConfig) -> Found:
    if not config.sources and config.ingest is None and config.proxy is None:
        yield (), "nothing comes in; add [[sources]], [ingest] or [proxy]"
    if not config.sinks and config.store is None:
        yield (), "nothing goes out; add [store] or [[sinks]]"


def _dialects(config: WorkerConfig) -> Found:
    named: list[tuple[Path, SourceConfig | Any]] = [(("sources", at), one) for at, one in enumerate(config.sources)]
    named += [((name,), getattr(config, name)) for name in ("ingest", "proxy")]
    known = dialect_names()
    for path, section in named:
        if section is not None and section.dialect not in known:
            advice = suggestion(section.dialect, known) or "; `streamproc plugins` lists what is installed"
            yield (*path, "dialect"), f"there is no dialect {quoted(section.dialect)}{advice}"


def _requests(config: WorkerConfig) -> Found:
    """What HTTP can be asked for."""
    for at, source in enumerate(config.sources):
        if not isinstance(source, HttpSourceConfig):
            continue
        path: Path = ("sources", at)
        yield from address_faults(source.url, (*path, "url"))
        yield from _headers(source.headers, (*path, "headers"))
        if source.json is not None and source.body is not None:
            yield (*path, "body"), "json is given too, and a request has one body; remove one of the two"
        if source.resume is not None and source.resume.url is not None:
            yield from address_faults(source.resume.url, (*path, "resume", "url"))
        if (resync := source.resync) is not None:
            yield from address_faults(resync.base_url, (*path, "resync", "base_url"))
            yield from _headers(resync.headers or {}, (*path, "resync", "headers"))


def _headers(headers: Mapping[str, Secret], path: Path) -> Found:
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            yield (*path, name), "no header can have this name; letters, digits and - are safe"
        elif not _HEADER_VALUE.fullmatch(value.reveal()):
            yield (*path, name), "a header cannot hold a line break or control character; remove it"


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
        text = "choose another one" if given else 'add name = "...", to tell them apart'
        yield (*path, "name"), f"{quoted(name)} is the name of {dotted(seen[name])} too; {text}"
    seen.setdefault(name, path)


def _files(config: WorkerConfig) -> Found:
    """One file belongs to one part that writes it, and its path is taken as it is."""
    seen: dict[str, str] = {}
    parts: list[tuple[Path, Struct | None]] = [(("store",), config.store)]
    parts += [(("sources", at), source) for at, source in enumerate(config.sources)]
    parts += [(("sinks", at), sink) for at, sink in enumerate(config.sinks)]
    for path, part in parts:
        if not isinstance(part, JsonlSinkConfig | SqliteStoreConfig | FileSourceConfig):
            continue
        if part.path.startswith("~"):
            yield (*path, "path"), f"~ is not replaced; write {quoted('${HOME}' + part.path[1:])}"
        if not isinstance(part, FileSourceConfig):
            file = os.path.abspath(part.path)
            if file in seen:
                yield (*path, "path"), f"is the file of {seen[file]} too; choose another one"
            seen.setdefault(file, dotted(path))
