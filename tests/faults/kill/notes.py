"""The notes that a life takes beside the system under test: what it attempted, what was stored, sent and acknowledged.

Jepsen's idea of a set checker: the sets are kept outside, so that nothing under test can lose them. A note is one line
of JSON, written by one system call, in a file of its own for each life. What a killed process has written is there; a
last line without its end was not written, and says nothing.

    opened      the store is open, its newest change is at position `last`
    attempted   changes that are about to be appended to the store, and the objects that they are about
    stored      the ones attempted last are durable, the last one at position `last`
    sent        changes that a sink is about to get
    acked       it took the ones sent last, but for those `rejected`
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

import msgspec
from msgspec import Struct

from streamproc import Change
from streamproc.errors import SinkRejected
from streamproc.protocols import DeadLetter, JournalBatch, Sink, Store, StoredObject

__all__ = ["Key", "Note", "NotedSink", "NotedStore", "Notes", "Object", "key_of", "notes_in", "object_of"]

Key: TypeAlias = tuple[str, int, int]
"""Stream, epoch and seq of a change."""
Object: TypeAlias = tuple[str, str, int]
"""Kind, id and revision of the object of a change."""


class Note(Struct, frozen=True, omit_defaults=True):
    what: Literal["opened", "attempted", "stored", "sent", "acked"]
    keys: list[Key] = []
    objects: list[Object] = []
    sink: str = ""
    last: int = 0
    rejected: list[Key] = []


def key_of(change: Change) -> Key:
    return change.stream, change.epoch, change.seq


def object_of(change: Change) -> Object:
    return change.kind, change.id, change.revision


class Notes:
    """The notes of one life."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def take(self, note: Note) -> None:
        os.write(self._fd, msgspec.json.encode(note) + b"\n")


def notes_in(path: Path) -> Iterator[Note]:
    if path.exists():
        *lines, _ = path.read_bytes().split(b"\n")
        yield from (msgspec.json.decode(line, type=Note) for line in lines)


class NotedStore:
    """A store, and notes of what is appended to it."""

    def __init__(self, store: Store, notes: Notes) -> None:
        self.head = store.head
        self._store = store
        self._notes = notes

    async def __aenter__(self) -> Self:
        await self._store.__aenter__()
        self.head = self._store.head
        self._notes.take(Note("opened", last=self.head))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return await self._store.__aexit__(kind, error, traceback)

    async def append(self, changes: Sequence[Change]) -> int:
        keys, objects = [key_of(change) for change in changes], [object_of(change) for change in changes]
        self._notes.take(Note("attempted", keys, objects))
        last = await self._store.append(changes)
        self._notes.take(Note("stored", last=last))
        self.head = last
        return last

    async def read(self, after: int, *, count_max: int, size_max: int) -> JournalBatch:
        return await self._store.read(after, count_max=count_max, size_max=size_max)

    async def cursor(self, sink: str, *, required: bool) -> int:
        return await self._store.cursor(sink, required=required)

    def acknowledge(self, sink: str, position: int) -> None:
        self._store.acknowledge(sink, position)

    async def bury(self, letters: Sequence[DeadLetter], position: int) -> None:
        await self._store.bury(letters, position)

    async def next_epoch(self, stream: str) -> int:
        return await self._store.next_epoch(stream)

    async def open_objects(self) -> tuple[Sequence[StoredObject], Sequence[Change]]:
        return await self._store.open_objects()

    def statistics(self) -> Mapping[str, int]:
        return self._store.statistics()


class NotedSink:
    """A sink, and notes of what it gets and takes."""

    def __init__(self, sink: Sink, name: str, notes: Notes) -> None:
        self.name = name
        self._sink = sink
        self._notes = notes

    async def __aenter__(self) -> Self:
        if isinstance(self._sink, AbstractAsyncContextManager):
            await self._sink.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        if isinstance(self._sink, AbstractAsyncContextManager):
            await self._sink.__aexit__(*error)

    async def write(self, batch: Sequence[Change]) -> None:
        self._notes.take(Note("sent", [key_of(change) for change in batch], sink=self.name))
        try:
            await self._sink.write(batch)
        except SinkRejected as error:
            self._notes.take(
                Note(
                    "acked", sink=self.name, rejected=[key_of(one) for one in error.changes if isinstance(one, Change)]
                )
            )
            raise
        self._notes.take(Note("acked", sink=self.name))
