"""Stores: what makes a pipeline survive its process.

Each is imported when it is first used (PEP 562): `sqlite3` is for those who have a file.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamproc.stores.memory import MemoryStore
    from streamproc.stores.sqlite import SqliteStore

__all__ = ["MemoryStore", "SqliteStore"]

_LAZY = {"MemoryStore": "streamproc.stores.memory", "SqliteStore": "streamproc.stores.sqlite"}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(_LAZY[name]), name)
    return value
