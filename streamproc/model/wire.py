"""What every wire object of the model shares.

Three rules hold for all structs in this package. *Open*: every field may be absent (`UNSET`), null (`None`) or a value,
enums are plain strings, and an unknown `type` decodes to a dict of its own. *Frozen*: an object is a view handed to
several consumers at once. *Lossless*: a struct holds only declared fields, so an object that came from a stream keeps
its complete JSON beside them, and `to_wire` returns it.

This module knows nothing of streams, deltas or merging.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import fields, force_setattr

__all__ = [
    "Metadata",
    "Opt",
    "Timestamp",
    "UnknownVariant",
    "WireObject",
    "attach_wire",
    "from_wire",
    "open_variant",
    "open_variants",
    "to_wire",
]

T = TypeVar("T")
S = TypeVar("S", bound=Struct)

Opt: TypeAlias = Union[T, UnsetType, None]  # noqa: UP007 - a generic alias cannot be written with `|`
Timestamp: TypeAlias = int | float
"""Unix seconds; some servers send fractions."""
Metadata: TypeAlias = dict[str, Any]

_WIRE = "_wire"


class WireObject(Struct, frozen=True, kw_only=True, dict=True):
    """Base of the top-level objects (Run, RunStep, Message, Thread), which remember the JSON they came from."""


class UnknownVariant(dict[str, Any]):
    """An object whose `type` this version does not know: all its members, as they came."""

    @property
    def type(self) -> str:
        """The discriminator, or "" when the object carries none."""
        value = self.get("type")
        return value if isinstance(value, str) else ""

    @property
    def id(self) -> str:
        """The object's id, or "" when it carries none."""
        value = self.get("id")
        return value if isinstance(value, str) else ""


def attach_wire(obj: WireObject, wire: bytes | Callable[[], bytes]) -> None:
    """Remember the complete JSON of `obj` (or how to make it) for `to_wire`."""
    vars(obj)[_WIRE] = wire


def to_wire(obj: Struct) -> bytes:
    """Return the complete wire JSON of a model object: unknown fields included, absent fields absent.

    A struct alone holds only declared fields; objects that came out of a stream (`change.state`, `proc.steps[...]`)
    remember the rest. Objects built by hand, and changed copies, encode their fields.
    """
    wire = getattr(obj, "__dict__", {}).get(_WIRE)
    if wire is None:
        return msgspec.json.encode(obj)
    return wire if isinstance(wire, bytes) else wire()


def from_wire(cls: type[S], data: Mapping[str, Any]) -> S:
    """Build `cls` from decoded JSON, leaving out (`UNSET`) each declared field whose value has the wrong type.

    Never raises on JSON data: one misfit costs that field of its struct alone, however deep it lies, or that entry of
    a list of objects; `to_wire` still has it.
    """
    try:
        return msgspec.convert(data, cls)
    except msgspec.ValidationError:
        known: dict[str, Any] = {}
    for field in fields(cls):
        value = data.get(field.encode_name, UNSET)
        if value is UNSET:
            continue
        try:
            known[field.name] = msgspec.convert(value, field.type)
        except msgspec.ValidationError:
            rest = _salvage(value, field.type)
            if rest is not UNSET:
                known[field.name] = rest
    return cls(**known)


def _salvage(value: Any, annotation: Any) -> Any:
    """What is left of an object, or of a list of objects, without the misfits in it; `UNSET` when it is neither."""
    for member in (annotation, *get_args(annotation)):
        if isinstance(value, dict) and _is_struct(member):
            return from_wire(member, value)
        sequence = get_origin(member)
        if isinstance(value, list) and sequence in (list, tuple) and _is_struct(entry := get_args(member)[0]):
            return sequence(from_wire(entry, item) for item in value if isinstance(item, dict))
    return UNSET


def _is_struct(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Struct)


def open_variant(data: object, known: Mapping[str, type[Struct]], unknown: type[UnknownVariant]) -> Any:
    """Turn one JSON object into the struct its `type` names, or into `unknown` when the name is not known.

    Structs, null and `UNSET` are returned as they are; any other value (a stray string) is left out: `UNSET`.
    """
    if type(data) is not dict:
        return data if data is None or isinstance(data, Struct | UnknownVariant) else UNSET
    kind = data.get("type")
    cls = known.get(kind) if isinstance(kind, str) else None
    return unknown(data) if cls is None else from_wire(cls, data)


def open_variants(obj: Struct, field: str, known: Mapping[str, type[Struct]], unknown: type[UnknownVariant]) -> None:
    """Replace the JSON list in `obj.field` by a tuple of structs; called from `__post_init__` of frozen structs.

    An entry that is no JSON object becomes an `unknown` without members, so that the others keep their positions.
    """
    value = getattr(obj, field)
    if type(value) is list or type(value) is tuple:
        opened = (open_variant(item, known, unknown) for item in value)
        force_setattr(obj, field, tuple(unknown() if item is None or item is UNSET else item for item in opened))
