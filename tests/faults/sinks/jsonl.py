"""A JSONL file as a far side: an item is a change, and the file has one order for all of them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streamproc import Change
from tests.faults.sinks.far_side import Item, Reading, lose_last_line

__all__ = ["JsonlFile", "jsonl_file"]


class JsonlFile:
    """The sink leaves out what is in the file, and logs how much; nothing else could tell."""

    noun = "changes"
    delivers = ("changes",)
    clients = 4
    server = None

    def __init__(self, folder: Path) -> None:
        self._path = folder / "changes.jsonl"

    def sink(self) -> str:
        return '[[sinks]]\nkind = "jsonl"\npath = "changes.jsonl"\nfsync = "never"\n'

    def size(self) -> int:
        return self._path.stat().st_size if self._path.exists() else 0

    def repeated(self, skipped: int) -> int:
        return skipped

    def read(self, journal: Sequence[Change], states: Mapping[str, Any], skipped: int) -> Reading:
        every: list[Item] = [("", (change.stream, change.epoch, change.seq)) for change in journal]
        lines = map(json.loads, self._path.read_bytes().splitlines())
        return Reading(
            allowed=every,
            wanted=every,
            applied=[("", (line["stream"], line["epoch"], line["seq"])) for line in lines],
            repeated=skipped,
        )

    def lose_one(self) -> None:
        lose_last_line(self._path)


@contextmanager
def jsonl_file(folder: Path) -> Iterator[JsonlFile]:
    yield JsonlFile(folder)
