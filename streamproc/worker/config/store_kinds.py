"""The kinds of store: for each the options in a config file, and how it is made of them."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from msgspec import Meta

from streamproc.plugins import PlugIn, StoreConfig
from streamproc.protocols import Store
from streamproc.worker.config.values import Count, Text

__all__ = ["STORES", "MemoryStoreConfig", "SqliteStoreConfig"]


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


STORES: Final[Mapping[str, PlugIn[Any]]] = {
    "sqlite": PlugIn(SqliteStoreConfig, _make_sqlite),
    "memory": PlugIn(MemoryStoreConfig, _make_memory),
}
