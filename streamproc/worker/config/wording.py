"""How values and types are told to people in the faults of a config, and what to write instead."""

import math
import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time
from difflib import get_close_matches
from typing import Any, Final

import msgspec
from msgspec import inspect

from streamproc.display.terminal import clean
from streamproc.secret import Secret

__all__ = ["expectation", "got", "hint", "is_seconds", "listed", "quoted", "suggestion", "without_metadata"]

_MAX_SHOWN: Final = 60
_AGO: Final = re.compile(r"(\d+(?:\.\d+)?) *(ms|s|sec|m|min|h|d)", re.ASCII)
_UNIT_S: Final = {"ms": 0.001, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
_SIZE: Final = re.compile(r"(\d{1,9}) *([kmgt])(i?)b?", re.ASCII | re.IGNORECASE)
_NUMBER: Final = re.compile(r"[+-]?\d{1,18}(\.\d{1,18})?", re.ASCII)


def quoted(text: str) -> str:
    """A text as TOML has it, safe to show, and cut if it is long."""
    text = clean(text)
    text = text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
    return msgspec.json.encode(text.encode("utf-8", "replace").decode()).decode()


def listed(words: Iterable[str]) -> str:
    """Words as a list in a sentence, quoted."""
    return ", ".join(quoted(word) for word in words)


def suggestion(word: str, known: Sequence[str]) -> str:
    """`; did you mean "..."?` for a word that is close to a known one, or ""."""
    near = get_close_matches(word.lower().replace("-", "_"), known, n=1, cutoff=0.6)
    return f"; did you mean {quoted(near[0])}?" if near else ""


def without_metadata(kind: inspect.Type) -> inspect.Type:
    """The type itself, without descriptions around it and without None beside it."""
    if isinstance(kind, inspect.Metadata):
        return without_metadata(kind.type)
    if isinstance(kind, inspect.UnionType):
        others = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
        if len(others) == 1:
            return without_metadata(others[0])
    return kind


def is_seconds(kind: inspect.Type, key: str) -> bool:
    """Whether a value is a duration by its key, and has no bounds of its own: it cannot be negative."""
    return isinstance(kind, inspect.FloatType) and key.endswith("_s") and kind.ge is None and kind.gt is None


def expectation(kind: inspect.Type, key: str = "", *, many: bool = False) -> str:
    """What a value of this type is: "a whole number from 0 to 65535".

    Args:
        key: that it is the value of.
        many: in the plural, without bounds.
    """
    bare = without_metadata(kind)
    if is_seconds(bare, key):
        return "a number of 0 or more"
    match bare:
        case inspect.IntType() as number:
            return "whole numbers" if many else f"a whole number{_range(number.ge, number.gt, number.le, number.lt)}"
        case inspect.FloatType() as number:
            return "numbers" if many else f"a number{_range(number.ge, number.gt, number.le, number.lt)}"
        case inspect.BoolType():
            return "true or false"
        case inspect.StrType(min_length=least, max_length=most):
            if many:
                return "strings"
            bound = f" of at most {most} characters" if most else ""
            return f"a string{bound}{' that is not empty' if least else ''}"
        case inspect.CustomType(cls=cls) if issubclass(cls, Secret):
            return "strings" if many else "a string that is not empty"
        case inspect.LiteralType(values=values):
            return f"one of {listed(str(value) for value in values)}"
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            return f"a list of {expectation(item, many=True)}"
        case inspect.DictType(value_type=inspect.AnyType()):
            return "a table"
        case inspect.DictType(value_type=item):
            return f"a table of {expectation(item, many=True)}"
        case inspect.StructType():
            return "tables" if many else "a table"
        case inspect.UnionType(types=types) if any(isinstance(one, inspect.StructType) for one in types):
            return "true, false or a table"
        case _:
            return "something else"


def _range(ge: float | None, gt: float | None, le: float | None, lt: float | None) -> str:
    if ge is not None and le is not None:
        return f" from {ge:g} to {le:g}"
    if gt is not None:
        return f" above {gt:g}"
    if ge is not None:
        return f" of {ge:g} or more"
    if le is not None:
        return f" of at most {le:g}"
    return "" if lt is None else f" below {lt:g}"


def got(value: Any, *, secret: bool = False) -> str:
    """What came, shown if it may be."""
    match value:
        case bool():
            return "true or false" if secret else str(value).lower()
        case int() | float():
            digits = str(value)
            return "a number" if secret or len(digits) > _MAX_SHOWN else digits
        case str():
            return "a string" if secret or len(value) > _MAX_SHOWN else quoted(value)
        case list():
            return "a list"
        case dict():
            return "a table"
        case datetime() | date() | time():
            return "a date or time"
        case _:
            return "something else"


def hint(kind: inspect.Type, value: Any, key: str) -> str:
    """What to write instead, as "; ..." after a fault, or "" where nothing better is known than the expectation."""
    match without_metadata(kind), value:
        case ((inspect.IntType() | inspect.FloatType()), str(text)):
            return _number_hint(text, key)
        case inspect.FloatType(), float(number) if not math.isfinite(number):
            return "; write a finite number"
        case inspect.BoolType(), str(text) if text.lower() in ("true", "false"):
            return f"; write {text.lower()} without quotes"
        case inspect.LiteralType(values=values), str(text):
            return suggestion(text, [str(one) for one in values])
        case ((inspect.StrType() | inspect.CustomType()), (bool() | int() | float())):
            return "; write it in quotes"
        case ((inspect.VarTupleType(item_type=inner) | inspect.ListType(item_type=inner)), dict()):
            is_tables = isinstance(without_metadata(inner), inspect.StructType)
            return f"; write [[{key}]], with two brackets" if is_tables else ""
        case ((inspect.VarTupleType() | inspect.ListType()), (str() | int())):
            return "; write it in [ ]"
        case inspect.StructType(), list():
            return f"; write [{key}], with one bracket"
        case ((inspect.StructType() | inspect.DictType()), str()):
            return f"; write {key} = {{ name = value, ... }}"
        case _:
            return ""


def _number_hint(text: str, key: str) -> str:
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return f"; write {text} without quotes"
    if key.endswith("_s") and (ago := _AGO.fullmatch(text)):
        return f"; write seconds, as a number: {float(ago[1]) * _UNIT_S[ago[2]]:g}"
    if key.endswith("bytes") and (size := _SIZE.fullmatch(text)):
        power = "kmgt".index(size[2].lower()) + 1
        return f"; write bytes, as a number: {int(size[1]) * (1024 if size[3] else 1000) ** power}"
    return ""
