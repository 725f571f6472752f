"""The process that `demo --kill` kills: the built-in run through a pipeline with a store and a JSONL sink, slowly.

It knows nothing of being watched. Started again on the same folder it goes on with the same store and file, and reads
the streams from their beginning, in a new epoch.
"""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

import anyio
import structlog

from streamproc.cli.bundled import bundled_paths
from streamproc.core.change import Change
from streamproc.pipeline import Pipeline
from streamproc.sinks.jsonl import JsonlSink
from streamproc.sources.file import FileSource
from streamproc.stores.sqlite import SqliteStore

__all__ = ["CHANGES", "STORE", "WIRE", "main"]

STORE: Final = "runs.db"
CHANGES: Final = "changes.jsonl"
WIRE: Final = "wire.log"


class _Wire:
    """A JSONL sink, and a note of every change that is handed to it: "epoch seq stream" in lines of its own file."""

    name = "jsonl"

    def __init__(self, folder: Path) -> None:
        self._sink = JsonlSink(folder / CHANGES)
        self._path = folder / WIRE

    async def __aenter__(self) -> Self:
        await self._sink.__aenter__()
        self._fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        return self

    async def __aexit__(self, *error: object) -> None:
        os.close(self._fd)
        await self._sink.__aexit__(None, None, None)

    async def write(self, batch: Sequence[Change]) -> None:
        lines = "".join(f"{change.epoch} {change.seq} {change.stream}\n" for change in batch)
        os.write(self._fd, lines.encode())
        await self._sink.write(batch)


async def _ingest(folder: Path, speed: float) -> None:
    async with Pipeline(sinks=[_Wire(folder)], store=SqliteStore(folder / STORE)) as pipeline:
        with bundled_paths() as paths:
            for path in paths:
                await pipeline.run(FileSource(path, name=path.stem, speed=speed))


def main() -> None:
    """Arguments: the folder of the files, and events a second."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    anyio.run(_ingest, Path(sys.argv[1]), float(sys.argv[2]))


if __name__ == "__main__":
    main()
