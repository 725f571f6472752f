"""What the commands about a store share: opening it to look into it, and times as people write them.

A store is only read here, and a worker may write it meanwhile.
"""

import re
import sqlite3
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from streamproc.errors import ConfigError, StoreError
from streamproc.stores.queries import find, open_store

__all__ = ["check_run", "reading", "unix_time"]

_AGO: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd])", re.ASCII)
_UNIT_S: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@contextmanager
def reading(path: str) -> Generator[sqlite3.Connection]:
    """A connection that cannot write.

    Raises:
        ConfigError: there is no store that can be read at `path`.
        StoreError: reading failed later on.
    """
    try:
        opened = open_store(path)
        store = opened.__enter__()
    except StoreError as error:
        raise ConfigError(str(error)) from error
    except ValueError as error:  # a name that no file can have
        raise ConfigError(f"store {path!r}: no file can have this name") from error
    try:
        yield store
    except BaseException as error:
        if not opened.__exit__(type(error), error, error.__traceback__):
            raise
    else:
        opened.__exit__(None, None, None)


def check_run(store: sqlite3.Connection, run: str, path: str) -> None:
    """
    Raises:
        ConfigError: the store knows nothing of a run of that id, which would be a silent nothing otherwise.
    """
    if not any(any(find(store, kind, run=run, limit=1)) for kind in ("run", "step", "message")):
        raise ConfigError(f"{path}: no run {run!r}")


def unix_time(option: str, text: str, now: Callable[[], float] = time.time) -> float:
    """The Unix seconds of a time: a date or time of ISO 8601 (local where it names no zone), "2h" ago, or such seconds.

    Raises:
        ConfigError: it is none of these.
    """
    if ago := _AGO.fullmatch(text):
        return now() - float(ago[1]) * _UNIT_S[ago[2]]
    try:
        if re.fullmatch(r"[0-9]{9,}(\.[0-9]+)?", text):
            return float(text)
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise ConfigError(
            f"{option}: expected a time such as 2026-01-31, 2026-01-31T12:00:00Z or 2h (ago), got {text!r}"
        ) from None
