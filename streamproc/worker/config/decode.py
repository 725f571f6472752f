"""Decoded TOML into the structs of a config, with every mistake told at its place.

`msgspec.convert` would stop at the first mistake and shows values in its texts. So the types that msgspec reads off the
structs are followed here: all mistakes are collected. The value of a secret is never in a text, and what a variable
gave is in one only where it is of the right type.

A string in which a variable was replaced is read as a number or a boolean where one is expected, since TOML has no
other way to write `port = "${PORT}"`.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct, inspect

from streamproc.errors import ConfigError
from streamproc.plugins import Group
from streamproc.secret import Secret
from streamproc.worker.config.kinds import KINDS_OF, kind_names, plugin_of
from streamproc.worker.config.places import Path
from streamproc.worker.config.variables import UNKNOWN
from streamproc.worker.config.wording import (
    expectation,
    got,
    hint,
    is_seconds,
    listed,
    quoted,
    suggestion,
    without_metadata,
)

__all__ = ["Decoder", "refusal"]

S = TypeVar("S", bound=Struct)

_DEFAULT_KIND: Final[Mapping[Group, str]] = {"stores": "sqlite"}
_INT: Final = re.compile(r"[+-]?\d{1,18}", re.ASCII)
_FLOAT: Final = re.compile(r"[+-]?\d{1,18}(\.\d{1,18})?", re.ASCII)
_IS: Final = re.compile(r"(?P<name>\w+) is (?P<value>[^;]+); (?P<expected>expected .+)", re.DOTALL)
_COLON: Final = re.compile(r"(?P<name>\w+): (?P<text>.+)", re.DOTALL)


class Decoder:
    """Makes structs of decoded TOML.

    Args:
        variables: path of a string -> the variables in it.

    Attributes:
        faults: what is wrong: path and text.
    """

    def __init__(self, variables: Mapping[Path, tuple[str, ...]]) -> None:
        self._variables = variables
        self.faults: list[tuple[Path, str]] = []

    def struct(self, cls: type[S], table: Any, path: Path = ()) -> S | None:
        """The struct that a table is written for; None after a fault."""
        if (group := KINDS_OF.get(cls)) is not None:
            part: S | None = self._part(group, table, path)
            return part
        before = len(self.faults)
        if not isinstance(table, dict):
            self._mismatch(inspect.type_info(cls), table, path)
            return None
        kind = inspect.type_info(cls)
        assert isinstance(kind, inspect.StructType)
        types = {field.encode_name: field for field in kind.fields}
        raw = {field.encode_name: field.type for field in msgspec.structs.fields(cls)}
        values: dict[str, Any] = {}
        for key, value in table.items():
            if key not in types:
                self._unknown(key, types, (*path, key))
                continue
            made = self._value(types[key].type, raw[key], value, (*path, key))
            values[types[key].name] = made
        for key, field in types.items():
            if field.required and key not in table:
                self._add((*path, key), f"is missing; add {key} = {_example(field.type)}")
        return None if len(self.faults) > before else self._made(cls, values, path)

    def _made(self, cls: type[S], values: Mapping[str, Any], path: Path) -> S | None:
        try:
            return cls(**values)
        except (ConfigError, ValueError) as error:
            self.faults.append(refusal(cls, str(error), path))
            return None

    def _part(self, group: Group, table: Any, path: Path) -> Any:
        """The options of a source, a sink or a store."""
        if not isinstance(table, dict):
            key = str(path[-2] if isinstance(path[-1], int) else path[-1])
            write = f"[{key}], with one bracket" if group == "stores" else f"[[{key}]], and options below it"
            self._add(path, f"expected a table, got {got(table)}; write {write}")
            return None
        kinds = kind_names(group)
        name = table.get("kind", _DEFAULT_KIND.get(group))
        at = (*path, "kind")
        if name is UNKNOWN:  # told already
            return None
        if name is None:
            self._add(at, f"is missing; add kind = {' or '.join(quoted(one) for one in kinds)}")
            return None
        if not isinstance(name, str):
            self._add(at, f"expected one of {listed(kinds)}, got {got(name)}")
            return None
        try:
            plugin = plugin_of(group, name)
        except KeyError:
            if at in self._variables:
                self._mismatch(inspect.LiteralType(kinds), name, at)
                return None
            advice = suggestion(name, kinds) or "; `streamproc plugins` lists what is installed"
            self._add(at, f"expected one of {listed(kinds)}, got {quoted(name)}{advice}")
            return None
        except ConfigError as error:
            self._add(at, str(error))
            return None
        return self.struct(plugin.options, {key: value for key, value in table.items() if key != "kind"}, path)

    def _value(self, kind: inspect.Type, raw: Any, value: Any, path: Path) -> Any:
        if value is UNKNOWN:  # told already
            return None
        whole = without_metadata(kind)
        kind = _chosen(whole, value)
        match kind:
            case inspect.AnyType():
                return value
            case inspect.StructType(cls=cls):
                return self.struct(cls, value, path)
            case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item) if isinstance(value, list):
                items = [self._value(item, None, one, (*path, index)) for index, one in enumerate(value)]
                return tuple(items) if isinstance(kind, inspect.VarTupleType) else items
            case inspect.DictType(value_type=item) if isinstance(value, dict):
                return {key: self._value(item, None, one, (*path, key)) for key, one in value.items()}
            case _:
                pass
        if path in self._variables and isinstance(value, str):
            value = _read_as(kind, value)
        made = _scalar(kind, value, str(path[-1]))
        if made is None and raw is not None and not _is_ours(kind):
            made = _converted(raw, value)
        if made is None:
            self._mismatch(whole, value, path)
        return made

    def _mismatch(self, kind: inspect.Type, value: Any, path: Path) -> None:
        bare = without_metadata(kind)
        key = str(path[-1])
        expected = expectation(bare, key)
        if path in self._variables:
            names = ", ".join(f"${{{name}}}" for name in self._variables[path])
            self._add(path, f"expected {expected}, what {names} gives is {'something else' if value else 'empty'}")
        else:
            self._add(path, f"expected {expected}, got {got(value, secret=_is_secret(bare))}{hint(bare, value, key)}")

    def _unknown(self, key: str, types: Mapping[str, inspect.Field], path: Path) -> None:
        close = suggestion(key, list(types))
        if not close:
            for name, field in types.items():
                inner = without_metadata(field.type)
                if isinstance(inner, inspect.StructType) and key in inner.cls.__struct_fields__:
                    close = f"; it belongs under {quoted(name)}"
        if not close:
            close = f"; known here: {', '.join(types)}" if types else ""
        self._add(path, f"unknown key{close}")

    def _add(self, path: Path, text: str) -> None:
        self.faults.append((path, text))


def refusal(cls: type[Struct], text: str, path: Path) -> tuple[Path, str]:
    """The fault that a constructor told; where its text begins with the name of a field, it is at that one."""
    text = " ".join(text.split())
    for pattern in (_IS, _COLON):
        match = pattern.fullmatch(text)
        if match is not None and match["name"] in cls.__struct_fields__:
            said = match.groupdict()
            return (*path, match["name"]), said.get("text") or f"{said['expected']}, got {said['value']}"
    first = text.partition(" ")[0]
    return ((*path, first), text.removeprefix(f"{first} = ")) if first in cls.__struct_fields__ else (path, text)


def _is_secret(kind: inspect.Type) -> bool:
    """Whether a secret is expected, or something that is made of secrets."""
    match without_metadata(kind):
        case inspect.VarTupleType(item_type=inner) | inspect.ListType(item_type=inner):
            return _is_secret(inner)
        case inspect.DictType(value_type=inner):
            return _is_secret(inner)
        case inspect.CustomType():
            return True
        case _:
            return False


def _chosen(kind: inspect.Type, value: Any) -> inspect.Type:
    """The type that is meant, where it is a boolean or a table."""
    if not isinstance(kind, inspect.UnionType) or not any(isinstance(one, inspect.StructType) for one in kind.types):
        return kind
    wanted = inspect.StructType if isinstance(value, dict) else inspect.BoolType
    return next(one for one in kind.types if isinstance(one, wanted))


def _is_ours(kind: inspect.Type) -> bool:
    """Whether `_scalar` judges values of this type."""
    simple = inspect.IntType | inspect.FloatType | inspect.BoolType | inspect.StrType | inspect.LiteralType
    return isinstance(kind, simple) or (isinstance(kind, inspect.CustomType) and issubclass(kind.cls, Secret))


def _scalar(kind: inspect.Type, value: Any, key: str) -> Any:
    """The value if it is one of this type, else None."""
    match kind, value:
        case (inspect.BoolType(), bool()):
            return value
        case (_, bool()):
            return None
        case (inspect.IntType() as bounds, int()):
            return value if _is_within(bounds, value) else None
        case (inspect.FloatType() as bounds, (int() | float())):
            try:
                number = float(value)
            except OverflowError:
                return None
            is_valid = math.isfinite(number) and not (is_seconds(bounds, key) and number < 0)
            return number if is_valid and _is_within(bounds, number) else None
        case (inspect.StrType(min_length=least, max_length=most, pattern=pattern), str()):
            fits = (least or 0) <= len(value) and (most is None or len(value) <= most)
            return value if fits and (pattern is None or re.search(pattern, value)) else None
        case (inspect.LiteralType(values=values), _) if value in values:
            return value
        case (inspect.CustomType(cls=cls), str()) if issubclass(cls, Secret) and value:
            return cls(value)
        case _:
            return None


def _is_within(bounds: inspect.IntType | inspect.FloatType, value: float) -> bool:
    return not (
        (bounds.ge is not None and value < bounds.ge)
        or (bounds.gt is not None and value <= bounds.gt)
        or (bounds.le is not None and value > bounds.le)
        or (bounds.lt is not None and value >= bounds.lt)
    )


def _read_as(kind: inspect.Type, text: str) -> Any:
    """What variables gave, as a number or a boolean if one is expected and it is one."""
    stripped = text.strip()
    if isinstance(kind, inspect.IntType) and _INT.fullmatch(stripped):
        return int(stripped)
    if isinstance(kind, inspect.FloatType) and _FLOAT.fullmatch(stripped):
        return float(stripped)
    if isinstance(kind, inspect.BoolType) and stripped in ("true", "false"):
        return stripped == "true"
    return text


def _converted(raw: Any, value: Any) -> Any:
    """A value of a type that only a plug-in's options have, or None."""
    try:
        return msgspec.convert(value, raw)
    except (msgspec.ValidationError, TypeError):
        return None


def _example(kind: inspect.Type) -> str:
    texts = inspect.StrType | inspect.CustomType | inspect.LiteralType
    return '"..."' if isinstance(without_metadata(kind), texts) else "..."
