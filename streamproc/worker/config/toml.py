"""Keys and values as TOML has them. The standard library only reads TOML."""

import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from typing import Any, Final

import msgspec

__all__ = ["toml_key", "toml_value"]

_BARE: Final = re.compile(r"[A-Za-z0-9_-]+")


def toml_key(key: str) -> str:
    """A key, quoted if it has to be."""
    return key if _BARE.fullmatch(key) else toml_value(key)


def toml_value(value: Any) -> str:
    """A value on one line; tables are inline."""
    match value:
        case bool():
            return str(value).lower()
        case int():
            return str(value)
        case float():
            return repr(value)  # inf and nan are spelt alike
        case str():
            # JSON's strings are TOML's, except that TOML has DEL escaped and knows no half surrogate pairs
            text = value.encode("utf-8", "replace").decode()
            return msgspec.json.encode(text).decode().replace("\x7f", "\\u007f")
        case datetime() | date() | time():
            return value.isoformat()
        case Mapping():
            members = ", ".join(f"{toml_key(str(key))} = {toml_value(member)}" for key, member in value.items())
            return f"{{ {members} }}" if members else "{}"
        case Sequence():
            return f"[{', '.join(toml_value(one) for one in value)}]"
        case _:
            raise TypeError(f"no TOML for {type(value).__name__}")
