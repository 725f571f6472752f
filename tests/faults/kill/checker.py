"""The checker: what lives noted, against what the store and the JSONL file hold.

It keeps its own account of the journal: position -> change, as far as any look at the store ever showed it. After every
life `after_life` looks at notes and store as the dead process left them; `at_end` looks at everything once a life has
left in order. Faults have a kind each, all of which must stay empty:

    lost          a change whose append returned, or that a cursor or retention has passed, is not where it must be
    doubled       a change is at two positions, or in two lines of the file
    phantom       something is in the journal, in a row or at a sink that was never attempted or is not in the journal
    out of order  seq or position is not the next one
    wrong state   a row, or what the lines of the file amount to, is not what it must be
    damaged       integrity_check, a check sum, or a line
    failed        a life ended in a way of its own
"""

import json
import sqlite3
import zlib
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import msgspec
from msgspec import Struct

from streamproc.stores._codec import decode
from tests.faults.kill.life import DATABASE, LINES, is_rejected
from tests.faults.kill.notes import Key, Note, Object, key_of, notes_in, object_of
from tests.faults.kill.work import STREAMS, run_id, run_states

__all__ = ["FAULTS", "Checker"]

FAULTS: Final = ("lost", "doubled", "phantom", "out of order", "wrong state", "damaged", "failed")

_TABLES: Final = ("runs", "steps", "messages")
_TABLE_OF: Final = {"run": "runs", "step": "steps", "message": "messages"}
_SAMPLES: Final = 5  # of each kind of fault that are kept as text


class _Newest(Struct):
    position: int
    epoch: int
    revision: int


class _AtSink(Struct):
    """What a sink got, in the order of its first arrivals: positions 1 to `top`."""

    top: int = 0
    again: int = 0  # arrivals that were not the first
    acked: int = 0  # positions up to this one were acknowledged or rejected
    cursor: int = 0


class Checker:
    """Of all lives in one folder.

    Attributes:
        counts: kind of fault -> how many.
        samples: some of them, as text.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.counts: Counter[str] = Counter()
        self.samples: list[str] = []
        self._folder = folder
        self._seed = seed
        self._attempted: set[Key] = set()
        self._stored_to = 0
        self._journal: dict[int, Key] = {}
        self._position: dict[Key, int] = {}
        self._newest: dict[tuple[str, str], _Newest] = {}
        self._last: dict[str, tuple[int, int]] = {}  # stream -> epoch and seq of its newest change
        self._sinks: dict[str, _AtSink] = {}
        self._head = 0
        self._letters: set[tuple[str, Key]] = set()

    def fault(self, kind: str, text: str) -> None:
        assert kind in FAULTS
        self.counts[kind] += 1
        if self.counts[kind] <= _SAMPLES:
            self.samples.append(f"{kind}: {text}")

    @property
    def changes(self) -> int:
        return self._head

    @property
    def again(self) -> int:
        """Changes that came to a sink more than once."""
        return sum(sink.again for sink in self._sinks.values())

    # -- after each life -----------------------------------------------------------------------------------------------

    def after_life(self, number: int) -> None:
        notes = [*notes_in(self._folder / f"life-{number}.notes")]
        attempted = Note("attempted")
        recovered = 0  # rows of objects whose newest change is up to there must not be behind
        for note in notes:
            if note.what == "opened":
                recovered = note.last
                if note.last < max(self._stored_to, self._head):
                    self.fault("lost", f"the store was opened at {note.last}, {self._stored_to} was durable")
            elif note.what == "attempted":
                attempted = note
                self._attempted.update(note.keys)
            elif note.what == "stored":
                self._stored_to = max(self._stored_to, note.last)
                self._take(note.last - len(attempted.keys) + 1, attempted.keys, attempted.objects)
        path = self._folder / DATABASE
        if not path.exists():
            if self._stored_to:
                self.fault("lost", "there is no store")
            return
        try:
            with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
                if not connection.execute("PRAGMA user_version").fetchone()[0]:
                    if self._stored_to:
                        self.fault("lost", "the store is empty")
                    return
                self._look_at(connection, recovered)
                self._arrivals(notes)
                self._look_at_cursors(connection)
        except sqlite3.DatabaseError as error:
            self.fault("damaged", str(error))

    def _look_at(self, connection: sqlite3.Connection, recovered: int) -> None:
        for (said,) in connection.execute("PRAGMA integrity_check"):
            if said != "ok":
                self.fault("damaged", said)
        first, last = connection.execute("SELECT first, last FROM extent").fetchone()
        if last < max(self._stored_to, self._head):
            self.fault("lost", f"the journal ends at {last}, {max(self._stored_to, self._head)} was durable")
        self._head = max(last, self._head)
        next_first = first
        rows = connection.execute("SELECT first, last, crc, blob FROM journal ORDER BY first")
        for start, end, crc, blob in rows:
            if start != next_first:
                self.fault("lost", f"a row of the journal begins at {start}, expected {next_first}")
            next_first = end + 1
            if zlib.crc32(blob, zlib.crc32(b"%d %d" % (start, end))) != crc:
                self.fault("damaged", f"check sum of the row at {start}")
                continue
            changes = decode(start, end, crc, blob)
            self._take(start, [key_of(change) for change in changes], [object_of(change) for change in changes])
        if next_first != last + 1:
            self.fault("lost", f"the rows of the journal end at {next_first - 1}, expected {last}")
        if len(self._journal) != last:  # what is not there any more was seen by an earlier look, or noted by nobody
            self.fault("lost", f"{last - len(self._journal)} positions up to {last} were cut before anybody saw them")
        self._look_at_rows(connection, recovered)

    def _take(self, start: int, keys: Sequence[Key], objects: Sequence[Object]) -> None:
        """Changes are at the positions from `start` on: so `append` said, or so the journal shows."""
        for position, (key, (kind, id, revision)) in enumerate(zip(keys, objects, strict=True), start):
            if position in self._journal:
                if self._journal[position] != key:
                    self.fault("lost", f"position {position} holds {key}, not {self._journal[position]} as before")
                continue
            if key in self._position:
                self.fault("doubled", f"{key} is at {self._position[key]} and {position}")
            if key not in self._attempted:
                self.fault("phantom", f"{key} at {position} was never attempted")
            stream, epoch, seq = key
            before = self._last.get(stream, (0, 0))
            if (epoch, seq) != (before[0], before[1] + 1) and not (epoch > before[0] and seq == 1):
                self.fault("out of order", f"{stream}: {epoch}, {seq} after {before}")
            self._last[stream] = epoch, seq
            self._journal[position] = key
            self._position[key] = position
            if kind in _TABLE_OF:
                self._newest[kind, id] = _Newest(position, epoch, revision)

    def _look_at_rows(self, connection: sqlite3.Connection, recovered: int) -> None:
        """The state of each object is the one of its newest change; only a large one that grew may be behind."""
        found: set[tuple[str, str]] = set()
        for kind, table in _TABLE_OF.items():
            query = f"SELECT id, epoch, revision, position, growing FROM {table}"
            for id, epoch, revision, position, growing in connection.execute(query):
                found.add((kind, id))
                newest = self._newest.get((kind, id))
                if newest is None or newest.position < position:
                    self.fault("phantom", f"the row of {id} is of position {position}, the journal knows {newest}")
                elif growing and newest.position > recovered:
                    continue
                elif (epoch, revision, position) != (newest.epoch, newest.revision, newest.position):
                    self.fault("wrong state", f"{id} is at {(epoch, revision, position)}, expected {newest}")
        for _, id in self._newest.keys() - found:
            self.fault("lost", f"{id} has no row")

    def _arrivals(self, notes: list[Note]) -> None:
        """First arrivals are the journal in its order; what comes again must have come before."""
        sent: dict[str, list[Key]] = {}
        for note in notes:
            sink = self._sinks.setdefault(note.sink, _AtSink()) if note.sink else _AtSink()
            if note.what == "sent":
                sent[note.sink] = note.keys
                self._sent(note.sink, sink, note.keys)
            elif note.what == "acked":
                expected = [key for key in sent[note.sink] if note.sink == "picky" and is_rejected(key[2])]
                if [tuple(key) for key in note.rejected] != expected:
                    self.fault("lost", f"{note.sink} rejected {note.rejected}, expected {expected}")
                positions = [self._position.get(key, 0) for key in sent[note.sink]]
                sink.acked = max(sink.acked, *positions)

    def _sent(self, name: str, sink: _AtSink, keys: list[Key]) -> None:
        for key in keys:
            position = self._position.get(key)
            if position is None:
                self.fault("phantom", f"{name} got {key}, which is not in the journal")
            elif position <= sink.top:
                sink.again += 1
            else:
                if position != sink.top + 1:
                    self.fault("out of order", f"{name} got position {position} after {sink.top}")
                sink.top = position

    def _look_at_cursors(self, connection: sqlite3.Connection) -> None:
        query = "SELECT sink, stream, epoch, seq FROM dead_letters"
        self._letters = {(sink, (stream, epoch, seq)) for sink, stream, epoch, seq in connection.execute(query)}
        lowest = self._head
        for name, position, gap in connection.execute("SELECT sink, position, gap FROM cursors"):
            sink = self._sinks.setdefault(name, _AtSink())
            lowest = min(lowest, position)
            if gap:
                self.fault("lost", f"retention cost {name} {gap} changes")
            if position < sink.cursor:
                self.fault("lost", f"the cursor of {name} went back from {sink.cursor} to {position}")
            if position > sink.acked:
                self.fault("lost", f"the cursor of {name} is {position}, acknowledged was {sink.acked}")
            for settled in range(sink.cursor + 1, position + 1):
                key = self._journal.get(settled)
                if name == "picky" and key and is_rejected(key[2]) and (name, key) not in self._letters:
                    self.fault("lost", f"{name} rejected {key}, the cursor passed it, and there is no dead letter")
            sink.cursor = max(sink.cursor, position)
        (first,) = connection.execute("SELECT first FROM extent").fetchone()
        if first - 1 > lowest:
            self.fault("lost", f"the journal begins at {first}, a cursor is {lowest}")

    # -- at the end ----------------------------------------------------------------------------------------------------

    def at_end(self) -> None:
        """All is delivered, and every state is the one of a process that never died."""
        for name, sink in self._sinks.items():
            if not (sink.top == sink.acked == sink.cursor == self._head):
                self.fault("lost", f"{name} is at {sink}, the journal at {self._head}")
        with closing(sqlite3.connect(f"{(self._folder / DATABASE).as_uri()}?mode=ro", uri=True)) as connection:
            rows: dict[str, Any] = {}
            for table in _TABLES:
                for id, state in connection.execute(f"SELECT id, state FROM {table}"):
                    rows[id] = json.loads(state)
        truth = self._truth(rows)
        self._compare("the row", rows, truth)
        self._compare("the file", self._lines(), truth)

    def _truth(self, rows: dict[str, Any]) -> dict[str, Any]:
        truth: dict[str, Any] = {}
        for stream in STREAMS:
            number = 0
            while run_id(stream, number) in rows:
                truth |= run_states(self._seed, stream, number)
                number += 1
        return truth

    def _compare(self, what: str, found: dict[str, Any], truth: dict[str, Any]) -> None:
        for id in truth.keys() | found.keys():
            if found.get(id) != truth.get(id):
                self.fault("wrong state", f"{what} of {id}")

    def _lines(self) -> dict[str, Any]:
        """The newest state of each object, from the file alone: lines applied by (epoch, revision), texts too."""
        states: dict[str, Any] = {}
        texts: dict[str, str] = {}
        at: dict[str, tuple[int, int]] = {}
        keys: list[Key] = []
        for path in (*sorted(self._folder.glob(f"{LINES}.0*")), self._folder / LINES):
            for line in path.read_bytes().splitlines():
                try:
                    change = msgspec.json.decode(line)
                    keys.append((change["stream"], change["epoch"], change["seq"]))
                except (msgspec.MsgspecError, KeyError, TypeError):
                    self.fault("damaged", f"a line of {path.name}")
                    continue
                id, version = change["id"], (change["epoch"], change["revision"])
                if change["kind"] not in _TABLE_OF or version <= at.get(id, (0, 0)):
                    continue
                at[id] = version
                self._apply(change, states, texts)
        self._compare_keys(keys)
        return states

    def _apply(self, change: dict[str, Any], states: dict[str, Any], texts: dict[str, str]) -> None:
        id = change["id"]
        if "state" in change:
            states[id] = change["state"]
            whole = "".join(part["text"]["value"] for part in change["state"].get("content", ()))
            if change["event"] == "thread.message.completed" and texts.get(id) != whole:
                self.fault("wrong state", f"the fragments of {id} are not its text")
            texts[id] = whole
        elif change["kind"] == "message":
            texts[id] = texts.get(id, "") + "".join(part["text"]["value"] for part in change["delta"]["content"])

    def _compare_keys(self, keys: list[Key]) -> None:
        for key, count in Counter(keys).items():
            if count > 1:
                self.fault("doubled", f"{key} is in {count} lines of the file")
            if key not in self._position:
                self.fault("phantom", f"{key} is in the file and not in the journal")
        for key in self._position.keys() - set(keys):
            self.fault("lost", f"{key} is not in the file")
        positions = [self._position.get(key, 0) for key in keys]
        if positions != sorted(positions):
            self.fault("out of order", "the lines of the file")
