"""Which kinds of source, sink and store there are: those built in, then those of other distributions.

The built-in ones stand in source_kinds.py, sink_kinds.py and store_kinds.py; a kind of another distribution is found by
its entry point, see streamproc/plugins.py.
"""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from streamproc.errors import ConfigError
from streamproc.plugins import Group, PlugIn, SinkConfig, SourceConfig, StoreConfig, installed, load_plugin
from streamproc.worker.config.sink_kinds import SINKS
from streamproc.worker.config.source_kinds import SOURCES
from streamproc.worker.config.store_kinds import STORES

__all__ = ["BUILT_IN", "KINDS_OF", "kind_names", "kind_of", "plugin_of"]

BUILT_IN: Final[Mapping[Group, Mapping[str, PlugIn[Any]]]] = {"sources": SOURCES, "sinks": SINKS, "stores": STORES}

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
