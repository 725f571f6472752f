"""The JSON Schema of a config file, for editors that complete and check TOML by one.

msgspec makes it from the structs. Kinds of source, sink and store are unions told apart by `kind`, so for it the fields
that hold them get the union of all kinds as their type, those of other distributions included.
"""

import types
from functools import reduce
from operator import or_
from typing import Any, Final

import msgspec
from msgspec import Struct
from msgspec.structs import fields

from streamproc.errors import ConfigError
from streamproc.plugins import Group
from streamproc.secret import Secret
from streamproc.worker.config.described import describe
from streamproc.worker.config.kinds import kind_names, plugin_of
from streamproc.worker.config.reference import TABLES
from streamproc.worker.config.sections import WorkerConfig

__all__ = ["config_schema"]

_TITLE: Final = "streamproc.toml"


def config_schema() -> dict[str, Any]:
    """The schema of the whole file; a plug-in that cannot be imported is left out."""
    stores, sources, sinks = _union("stores"), _union("sources"), _union("sinks")
    unions: dict[str, Any] = {
        "store": stores | None,
        "sources": types.GenericAlias(list, (sources,)),
        "sinks": types.GenericAlias(list, (sinks,)),
    }
    members = [(field.name, unions.get(field.name, field.type), field.default) for field in fields(WorkerConfig)]
    whole = msgspec.defstruct(_TITLE, members, kw_only=True, forbid_unknown_fields=True)
    (top,), parts = msgspec.json.schema_components([whole], schema_hook=_hook, ref_template="#/$defs/{name}")
    described: dict[str, type[Struct]] = {_TITLE: WorkerConfig, **{one.__name__: one for one in _structs()}}
    for name, part in parts.items():
        for key, member in list(part.get("properties", {}).items()):
            cls = described.get(name)
            if cls is not None and key in cls.__struct_fields__ and (text := describe(cls, key)):
                member.setdefault("description", text)
            if key != "kind":
                part["properties"][key] = _or_variable(member)
            elif name == "SqliteStoreConfig":
                part["required"] = [one for one in part["required"] if one != "kind"]  # the default
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": _TITLE, **top}
    return {**document, "$defs": parts}


def _or_variable(member: dict[str, Any]) -> dict[str, Any]:
    """The same, or a string with a variable in it."""
    if member.get("type") not in ("integer", "number", "boolean") and "enum" not in member:
        return member
    beside: dict[str, Any] = {key: member[key] for key in ("description", "default") if key in member}
    itself = {key: value for key, value in member.items() if key not in beside}
    return {**beside, "anyOf": [itself, {"type": "string", "pattern": r"\$\{"}]}


def _union(group: Group) -> Any:
    found: list[Any] = []
    for name in kind_names(group):
        try:
            found.append(plugin_of(group, name).options)
        except ConfigError:
            continue
    return reduce(or_, found)


def _structs() -> list[type[Struct]]:
    return [table.options for table in TABLES]


def _hook(cls: type[Any]) -> dict[str, Any]:
    if issubclass(cls, Secret):
        return {"type": "string", "minLength": 1}
    raise NotImplementedError
