"""`replay --store`: what is replayed is journalled on the way, and goes on from what the store has.

A `Session` is the store while one table of states is built; the next table has a session of its own, because a reducer
takes over what a store has only when it is opened. `replay` is plain code in the main thread, so the store lives in an
event loop beside it, and whoever waits for it waits here.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Protocol

from anyio.from_thread import BlockingPortal, start_blocking_portal

from streamproc.core.body import Kind
from streamproc.core.change import Change, Note
from streamproc.core.limits import Limits
from streamproc.core.reducer import Reducer
from streamproc.errors import ConfigError, StoreError
from streamproc.model.message import Message
from streamproc.model.run import Run
from streamproc.model.run_step import RunStep
from streamproc.stores.sqlite import SqliteStore

__all__ = ["Keeper", "Session", "Shown", "keeping"]


class Keeper(Protocol):
    """Opens the store for one table of states after the other; leave a session before the next one is opened."""

    def __call__(self, limits: Limits) -> "Session": ...


@contextmanager
def keeping(path: str) -> Generator[Keeper]:
    """Keep what is replayed in the store at `path`, which is made if it is not there."""
    with start_blocking_portal() as portal:
        yield lambda limits: Session(portal, path, limits)


class Session:
    """An open store, the states built on it, and which of them are this session's.

    Attributes:
        reducer: has the runs that were open when the session began, too.

    Raises:
        ConfigError: on making one, the store cannot be opened.
    """

    def __init__(self, portal: BlockingPortal, path: str, limits: Limits) -> None:
        self.reducer = Reducer(limits)
        self._portal = portal
        self._store = SqliteStore(path)
        self._context = portal.wrap_async_context_manager(self._store)
        try:
            self._context.__enter__()
        except StoreError as error:
            raise ConfigError(str(error)) from error
        self._touched: set[tuple[Kind, str]] = set()
        self._runs: set[str | None] = set()
        self.reducer.restore(*portal.call(self._store.open_objects))

    def close(self) -> None:
        """Wait until everything is in the file, and close it."""
        self._context.__exit__(None, None, None)

    def next_epoch(self, stream: str) -> int:
        return self._portal.call(self._store.next_epoch, stream)

    def keep(self, changes: Sequence[Change]) -> None:
        """Make changes durable.

        Raises:
            StoreError: they are not.
        """
        if changes:
            self._portal.call(self._store.append, changes)
            for change in changes:
                self._touched.add((change.kind, change.id))
                self._runs.add(change.run_id)

    def shown(self) -> "Shown":
        """The states that this session was about."""
        return Shown(self.reducer, self._is_shown)

    def _is_shown(self, kind: Kind, id: str, run_id: object) -> bool:
        return (kind, id) in self._touched or (isinstance(run_id, str) and run_id in self._runs)

    @staticmethod
    def now() -> str:
        """RFC 3339, UTC."""
        return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Shown:
    """Those states of a reducer that a rule lets through."""

    def __init__(self, reducer: Reducer, is_shown: Callable[[Kind, str, object], bool]) -> None:
        self._reducer = reducer
        self._is_shown = is_shown

    @property
    def runs(self) -> Mapping[str, Run]:
        return {id: run for id, run in self._reducer.runs.items() if self._is_shown("run", id, id)}

    @property
    def steps(self) -> Mapping[str, RunStep]:
        return {id: step for id, step in self._reducer.steps.items() if self._is_shown("step", id, step.run_id)}

    @property
    def messages(self) -> Mapping[str, Message]:
        return {id: one for id, one in self._reducer.messages.items() if self._is_shown("message", id, one.run_id)}

    def note(self, kind: Kind, id: str) -> Note:
        return self._reducer.note(kind, id)
