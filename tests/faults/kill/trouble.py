"""Trouble with the disk or the database, as a pipeline meets it: one clear message, nothing damaged, and no loss after.

Stories as in scenarios.py, each in a life of its own. What stops a pipeline from opening is told by the exception,
once; what comes while it runs is told by logs, and it goes on when the cause is gone.
"""

import os
import resource
import shutil
import sqlite3
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final

import anyio
import msgspec
from structlog.testing import capture_logs

from streamproc import Change, Pipeline, StreamProcessor
from streamproc.errors import SinkUnavailable, StoreError
from streamproc.sinks.jsonl import JsonlSink
from streamproc.sources.iterable import IterableSource
from streamproc.stores.sqlite import SqliteStore
from tests.faults.kill.work import all_stored, run_bytes

__all__ = ["TROUBLE"]

_DATA: Final = run_bytes(1, "trouble", 1)  # a large one
_NOBODY: Final = 65534
_FULL_BYTES: Final = 60_000  # that a file may have while the disk is "full": a part of the run
_POLL_S: Final = 0.005
_PATIENCE_S: Final = 30.0


class _Refusing:
    """Takes nothing, so that all stays in the journal; known by the name of the sink that comes after it."""

    name = "JsonlSink"

    async def write(self, batch: Sequence[Change]) -> None:
        raise SinkUnavailable("closed today", 60.0)


# --- while a pipeline runs --------------------------------------------------------------------------------------------


async def disk_full(folder: Path) -> None:
    """No file can grow: the store and the sink wait, and go on when there is room."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (_FULL_BYTES, hard))

    await _while_running(
        folder, fill, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard)), "the disk reports an error"
    )


async def pages_full(folder: Path) -> None:
    """SQLite itself says that there is no room."""
    stores: list[SqliteStore] = []

    def pages(count: int) -> None:
        stores[0]._writer._connection.execute(f"PRAGMA max_page_count = {count}")

    await _while_running(folder, lambda: pages(1), lambda: pages(1_000_000), "the disk is full", stores)


async def locked_by_a_program(folder: Path) -> None:
    """Another program holds a transaction open."""
    with closing(sqlite3.connect(folder / "runs.db", isolation_level=None)) as other:
        await _while_running(
            folder,
            lambda: other.execute("BEGIN IMMEDIATE"),
            lambda: other.execute("ROLLBACK"),
            "another program has it locked",
        )


async def _while_running(
    folder: Path,
    begins: Callable[[], object],
    ends: Callable[[], object],
    cause: str,
    stores: list[SqliteStore] | None = None,
) -> None:
    path, lines = folder / "runs.db", folder / "changes.jsonl"
    store = SqliteStore(path, busy_timeout_s=0.02)
    if stores is not None:
        stores.append(store)
    over = anyio.Event()

    def told() -> list[Any]:
        return [log for log in logs if log["event"] == "store.unavailable"]

    async def watch() -> None:
        with anyio.fail_after(_PATIENCE_S):
            while not told():  # noqa: ASYNC110 - logs cannot be waited for
                await anyio.sleep(_POLL_S)
        assert _is_whole(path), "damaged while it lasted"
        ends()
        over.set()

    def chunks() -> Iterator[bytes]:
        for number, chunk in enumerate(_chunks()):
            if number == 1:
                begins()
            yield chunk

    with capture_logs() as logs:
        async with (
            Pipeline([JsonlSink(lines)], store=store, drain_s=_PATIENCE_S) as pipeline,
            anyio.create_task_group() as group,
        ):
            group.start_soon(watch)
            await pipeline.run(IterableSource(chunks(), name="s"))
            await over.wait()

    assert {log["cause"].partition(" (")[0] for log in told()} == {f"store {path} cannot be written: {cause}"}
    assert any(log["event"] == "store.recovered" for log in logs), "nothing says that it is over"
    assert _is_whole(path), "damaged"
    assert _keys(lines) == _expected("s"), "not all came, or not in order"


def _chunks() -> Iterator[bytes]:
    return (_DATA[at : at + 2000] for at in range(0, len(_DATA), 2000))


# --- before a pipeline runs -------------------------------------------------------------------------------------------


async def open_elsewhere(folder: Path) -> None:
    """Another process has the store open."""

    async def opens(path: Path, message: str) -> None:
        async with SqliteStore(path):
            await _is_refused(path, message)

    await _before_opening(folder, "store {} is open in another process; only one may use it", opens)


async def foreign_database(folder: Path) -> None:
    """At the path is the database of another program."""

    async def opens(path: Path, message: str) -> None:
        away = path.with_name("away.db")
        os.rename(path, away)
        with closing(sqlite3.connect(path)) as other:
            other.execute("CREATE TABLE theirs (x)")
        await _is_refused(path, message)
        os.rename(away, path)

    await _before_opening(folder, "{} is another program's database; nothing was changed", opens)


async def newer_schema(folder: Path) -> None:
    """A later version has migrated the database."""

    async def opens(path: Path, message: str) -> None:
        version = _set_version(path, 99)
        await _is_refused(path, message)
        _set_version(path, version)

    message = "{} has schema version 99, this streamproc knows up to 1; nothing was changed"
    await _before_opening(folder, message, opens)


async def read_only_folder(folder: Path) -> None:
    """Nothing can be made in the folder; whoever may do everything becomes somebody who may not."""

    async def opens(path: Path, message: str) -> None:
        with _read_only(path.parent):
            await _is_refused(path, message)

    own = Path(mkdtemp(prefix="streamproc-"))  # where others may get to, which they cannot in a test's folder
    try:
        await _before_opening(own, "store {} cannot be opened: ", opens)
    finally:
        shutil.rmtree(own)


async def _before_opening(folder: Path, message: str, opens: Callable[[Path, str], Coroutine[Any, Any, None]]) -> None:
    path, lines = folder / "runs.db", folder / "changes.jsonl"
    async with Pipeline([_Refusing()], store=SqliteStore(path), drain_s=0.05) as pipeline:
        await pipeline.run(IterableSource(_chunks(), name="s"))
        await all_stored(pipeline)
    await opens(path, message.format(path))
    async with Pipeline([JsonlSink(lines)], store=SqliteStore(path), drain_s=_PATIENCE_S) as pipeline:
        await pipeline.run(IterableSource(_chunks(), name="t"))

    assert _is_whole(path), "damaged"
    assert _keys(lines) == [*_expected("s"), *_expected("t")], "not all came, or not in order"


async def _is_refused(path: Path, message: str) -> None:
    lines = path.with_name("changes.jsonl")
    before = _bytes(path), _bytes(lines)
    said = ""
    with capture_logs() as logs:
        try:
            async with Pipeline([JsonlSink(lines)], store=SqliteStore(path)):
                pass
        except StoreError as error:
            said = str(error)

    assert said.startswith(message), f"it said {said!r}"
    assert before == (_bytes(path), _bytes(lines)), "something was changed"
    assert logs == [], "it was told twice"


@contextmanager
def _read_only(folder: Path) -> Iterator[None]:
    is_root = os.geteuid() == 0
    if is_root:
        for path in (folder, *folder.iterdir()):
            os.chown(path, _NOBODY, -1)
        os.seteuid(_NOBODY)
    os.chmod(folder, 0o500)
    try:
        yield
    finally:
        os.chmod(folder, 0o700)
        if is_root:
            os.seteuid(0)


def _set_version(path: Path, version: int) -> int:
    with closing(sqlite3.connect(path)) as connection:
        (before,) = connection.execute("PRAGMA user_version").fetchone()
        connection.execute(f"PRAGMA user_version = {version}")
        return int(before)


# --- what is there ----------------------------------------------------------------------------------------------------


def _bytes(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _is_whole(path: Path) -> bool:
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        said = connection.execute("PRAGMA integrity_check").fetchall()
        return [row[0] for row in said] == ["ok"]


def _keys(lines: Path) -> list[tuple[str, int]]:
    changes = [msgspec.json.decode(line) for line in lines.read_bytes().splitlines()]
    return [(change["stream"], change["seq"]) for change in changes]


def _expected(stream: str) -> list[tuple[str, int]]:
    proc = StreamProcessor(stream=stream)
    return [(change.stream, change.seq) for change in [*proc.feed(_DATA), *proc.close()]]


TROUBLE: Final[dict[str, Callable[[Path], Coroutine[Any, Any, None]]]] = {
    "disk full": disk_full,
    "pages full": pages_full,
    "locked by a program": locked_by_a_program,
    "open elsewhere": open_elsewhere,
    "foreign database": foreign_database,
    "newer schema": newer_schema,
    "read-only folder": read_only_folder,
}
