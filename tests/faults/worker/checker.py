"""Do the store, the sink's file, the log and the clients agree? Faults have a kind each, all of which must stay empty:

lost          a run whose end was answered is not in the store, or a change of the journal not in the file
doubled       a change is in the file twice
redelivered   a sink got again what it had acknowledged to a life that was told to end
left          a life that was told to end left something for the next one
wrong state   a run, step or message is not what its stream said
out of order  lines of the file are not in the order of the journal
failed        a life ended otherwise than it should
late          it took longer than its deadline
leaked        a secret is in a log or a metric
"""

import json
import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from streamproc import Change
from streamproc.stores._codec import decode
from tests.faults.kill.work import run_states
from tests.worker.process import WorkerProcess

__all__ = ["FAULTS", "Checker"]

FAULTS: Final = (
    *("lost", "doubled", "redelivered", "left", "wrong state", "out of order", "failed", "late", "leaked"),
)

_SAMPLES: Final = 5
_TABLES: Final = ("runs", "steps", "messages")

Key = tuple[str, int, int]


class Checker:
    """Of all lives in one folder.

    Attributes:
        counts: kind of fault -> how many.
        samples: some of them, as text.
        again: changes that came to the sink although they were in its file, after lives that were killed.
        changes: in the journal, in the end.
    """

    def __init__(self, folder: Path, seed: int, secrets: Sequence[str]) -> None:
        self.counts: Counter[str] = Counter()
        self.samples: list[str] = []
        self.again = 0
        self.changes = 0
        self.log_lines = 0
        self._folder = folder
        self._seed = seed
        self._secrets = secrets
        self._was_gentle = True  # the life before

    def fault(self, kind: str, text: str) -> None:
        assert kind in FAULTS
        self.counts[kind] += 1
        if self.counts[kind] <= _SAMPLES:
            self.samples.append(f"{kind}: {text}")

    def look_at_metrics(self, worker: WorkerProcess) -> None:
        """No secret is in them."""
        _, text = worker.ask("GET", "admin", "/metrics")
        self._look_for_secrets("a metric", text.decode())

    def after_life(self, worker: WorkerProcess, *, is_gentle: bool) -> None:
        """What its log and the store say."""
        self._look_for_secrets("the log", worker.log())
        events = worker.events()
        self.log_lines += len(events)
        again = sum(entry["changes"] for entry in events if entry["event"] == "sink.duplicates_skipped")
        self.again += again
        if again and self._was_gentle:
            self.fault("redelivered", f"{again} changes")
        self._was_gentle = is_gentle
        if is_gentle:
            stopped = events[-1]
            if (stopped["event"], stopped.get("left"), stopped.get("lost")) != ("worker.stopped", 0, 0):
                self.fault("left", str(stopped))
            with self._store() as store:
                (head,) = store.execute("SELECT last FROM extent").fetchone()
                for sink, position in store.execute("SELECT sink, position FROM cursors"):
                    if position != head:
                        self.fault("left", f"the cursor of {sink} is {position}, the journal ends at {head}")

    def _look_for_secrets(self, where: str, text: str) -> None:
        for secret in self._secrets:
            if secret in text:
                self.fault("leaked", f"{secret} in {where}")

    def at_end(self, sent: Mapping[str, int]) -> None:
        """Everything, for the number of runs that each client was answered about."""
        changes, _ = self.look_at_store(sent)
        self._compare([(change.stream, change.epoch, change.seq) for change in changes], self._lines())

    def look_at_store(self, sent: Mapping[str, int]) -> tuple[Sequence[Change], Mapping[str, Any]]:
        """The store alone, without what came to a sink; returns the journal, and id -> state of all objects."""
        truth: dict[str, Any] = {}
        for client, count in sent.items():
            for number in range(count):
                truth |= run_states(self._seed, client, number)
        with self._store() as store:
            rows: dict[str, Any] = {}
            for table in _TABLES:
                rows |= {id: json.loads(state) for id, state in store.execute(f"SELECT id, state FROM {table}")}
            journal = [
                change
                for first, last, crc, blob in store.execute("SELECT first, last, crc, blob FROM journal ORDER BY first")
                for change in decode(first, last, crc, blob)
            ]
        for id, state in truth.items():
            if id not in rows:
                self.fault("lost", f"{id} is in no row")
            elif rows[id] != state:
                self.fault("wrong state", id)
        self.changes = len(journal)
        return journal, rows

    def _compare(self, journal: Sequence[Key], lines: Sequence[Key]) -> None:
        for key, count in Counter(lines).items():
            if count > 1:
                self.fault("doubled", f"{key} is in {count} lines")
        for key in set(journal) - set(lines):
            self.fault("lost", f"{key} is not in the file")
        if [*dict.fromkeys(lines)] != [*dict.fromkeys(journal)] and not self.counts["lost"]:
            self.fault("out of order", "the lines of the file")

    def _lines(self) -> list[Key]:
        found: list[Key] = []
        for line in (self._folder / "changes.jsonl").read_bytes().splitlines():
            change = json.loads(line)
            found.append((change["stream"], change["epoch"], change["seq"]))
        return found

    def _store(self) -> "closing[sqlite3.Connection]":
        return closing(sqlite3.connect(f"{(self._folder / 'runs.db').as_uri()}?mode=ro", uri=True))
