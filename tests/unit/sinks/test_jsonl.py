"""JsonlSink: its settings, what it does when it is cancelled or killed, and the contract."""

import errno
import os
import random
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import IO, Any

import anyio
import anyio.to_thread
import pytest
from structlog.testing import capture_logs

from streamproc import Reducer
from streamproc.core.events import Event as CanonicalEvent
from streamproc.errors import ConfigError, SinkRejected, SinkUnavailable
from streamproc.sinks import jsonl
from streamproc.sinks._jsonl_file import Fsync
from streamproc.sinks.jsonl import JsonlSink
from streamproc.testing.changes import ordinary_changes
from streamproc.testing.sinks import check_sink
from tests.conftest import ROOT
from tests.unit.sinks.files import in_order, keys, text_in, text_of

CHANGES = ordinary_changes("s", deltas=5)
PATIENCE_S = 10.0  # for what takes a moment


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "changes.jsonl"


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "value", "said"),
    [
        ("rotate_bytes", 0, "rotate_bytes is 0; expected 1 or more bytes"),
        ("keep", -1, "keep is -1; expected 0 or more files"),
        ("fsync", "often", 'fsync is \'often\'; expected "always", "interval" or "never"'),
        ("fsync_interval_s", 0.0, "fsync_interval_s is 0; expected more than 0 seconds"),
    ],
)
def test_settings_that_cannot_work(path: Path, setting: str, value: Any, said: str) -> None:
    options: dict[str, Any] = {setting: value}
    with pytest.raises(ConfigError) as caught:
        JsonlSink(path, **options)

    assert str(caught.value) == said


def test_extra_that_is_missing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "find_spec", lambda name: None)

    with pytest.raises(ConfigError, match=r'needs an extra: pip install "streamproc\[jsonl\]"'):
        JsonlSink(path)


@pytest.mark.asyncio
async def test_relative_path_means_where_the_program_was(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may go elsewhere later."""
    monkeypatch.chdir(path.parent)
    sink = JsonlSink(path.name)
    monkeypatch.chdir("/")
    async with sink:
        await sink.write(CHANGES)

    assert text_in(path) == text_of(CHANGES)


# --- writing ----------------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
async def test_statistics_over_restarts(path: Path) -> None:
    """One sink may be entered several times; it counts over all of them."""
    sink = JsonlSink(path)
    async with sink:
        await sink.write(CHANGES[:4])
    with open(path, "ab") as file:  # noqa: ASYNC230 (a file of a few bytes)
        file.write(b'{"stream":"s","epo')
    with capture_logs():
        async with sink:
            await sink.write(CHANGES)

    assert (sink.written, sink.skipped, sink.cut_bytes) == (len(CHANGES), 4, 18)
    assert text_in(path) == text_of(CHANGES)


@pytest.mark.asyncio
async def test_write_needs_an_entered_sink(path: Path) -> None:
    with pytest.raises(RuntimeError, match="enter it with `async with`"):
        await JsonlSink(path).write(CHANGES)


@pytest.mark.asyncio
async def test_failures_come_through(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of entering as well as those of writing."""
    async with JsonlSink(path) as sink:
        with pytest.raises(SinkUnavailable, match="has a writer already"):
            await JsonlSink(path).__aenter__()
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", raising(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))))
            with pytest.raises(SinkUnavailable, match=r"cannot be written: No space left on device \(ENOSPC\)"):
                await sink.write(CHANGES)
        await sink.write(CHANGES)

    assert text_in(path) == text_of(CHANGES)


@pytest.mark.asyncio
async def test_change_without_a_json_form_is_rejected(path: Path) -> None:
    """Half of a surrogate pair, which only a program can make; the others of its batch are written."""
    error = {"message": "\ud83e"}
    bad = Reducer().apply(CanonicalEvent("error", error))
    async with JsonlSink(path) as sink:
        with pytest.raises(SinkRejected) as caught:
            await sink.write([*CHANGES[:2], *bad, *CHANGES[2:]])

    assert caught.value.changes == bad
    assert str(caught.value) == "no JSON can be made of them (rejected changes: 1)"
    assert text_in(path) == text_of(CHANGES)


@pytest.mark.slow
@pytest.mark.asyncio
@pytest.mark.parametrize(("fsync", "rotate_bytes"), [("always", None), ("interval", 5000), ("never", 2000)])
async def test_keeps_the_contract(path: Path, fsync: Fsync, rotate_bytes: int | None) -> None:
    with capture_logs():
        await check_sink(lambda: JsonlSink(path, fsync=fsync, rotate_bytes=rotate_bytes), far_side=lambda: keys(path))
    found = keys(path)

    assert len(found) == len(set(found))


# --- a disk that hangs ------------------------------------------------------------------------------------------------


def raising(error: OSError) -> Any:
    def function(*args: Any) -> Any:
        raise error

    return function


@contextmanager
def hanging_disk(monkeypatch: pytest.MonkeyPatch) -> Generator[tuple[Event, Event]]:
    """Writes hang until the second event is set; the first one says that one does."""
    reached, go_on = Event(), Event()
    write = os.write

    def hang(fd: int, data: Any) -> int:
        reached.set()
        assert go_on.wait(PATIENCE_S)
        return write(fd, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", hang)
        try:
            yield reached, go_on
        finally:
            go_on.set()


async def begin_and_cancel(sink: JsonlSink, reached: Event) -> None:
    """Begin a write and cancel it in the middle."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(sink.write, CHANGES[:4])
        await anyio.to_thread.run_sync(reached.wait, PATIENCE_S)
        tasks.cancel_scope.cancel()


@pytest.mark.asyncio
async def test_cancelled_write_goes_on_by_itself(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sink is unavailable as long, and then knows what was written."""
    async with JsonlSink(path) as sink:
        with hanging_disk(monkeypatch) as (reached, go_on):
            await begin_and_cancel(sink, reached)
            with pytest.raises(SinkUnavailable, match="an earlier write has not come to its end") as caught:
                await sink.write(CHANGES[:4])
            go_on.set()
            while sink.written == 0:
                await anyio.lowlevel.checkpoint()
        with capture_logs():
            while True:
                try:
                    await sink.write(CHANGES)
                except SinkUnavailable:
                    await anyio.lowlevel.checkpoint()
                else:
                    break

    assert caught.value.retry_after_s == 0.05
    assert (sink.written, sink.skipped) == (len(CHANGES), 4)
    assert text_in(path) == text_of(CHANGES)


@pytest.mark.asyncio
async def test_leaving_does_not_wait_for_a_disk_for_ever(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is closed once the disk goes on; until then its lock is held, for it is still being written."""
    monkeypatch.setattr(jsonl, "_CLOSE_S", 0.01)
    with hanging_disk(monkeypatch) as (reached, go_on), capture_logs() as logs:
        async with JsonlSink(path) as sink:
            await begin_and_cancel(sink, reached)
        with pytest.raises(SinkUnavailable, match="has a writer already"):
            await JsonlSink(path).__aenter__()
        go_on.set()
        while sink._file._lock is not None:
            await anyio.lowlevel.checkpoint()
    async with JsonlSink(path) as again:
        await again.write(CHANGES[4:])

    assert logs == [
        {"event": "sink.close_abandoned", "log_level": "warning", "sink": "jsonl", "waited_s": 0.01},
    ]
    assert text_in(path) == text_of(CHANGES)


# --- kill -9 ----------------------------------------------------------------------------------------------------------

KILLS = 8
DELTAS = 10_000
AHEAD = 20  # writes until the kill, which may be long in coming
WRITER = """
import sys, anyio
from streamproc.sinks.jsonl import JsonlSink
from streamproc.testing.changes import ordinary_changes

async def main(path, start, writes, deltas):
    changes = ordinary_changes("s", deltas)
    async with JsonlSink(path, rotate_bytes=200_000) as sink:
        for _ in range(writes):
            size = 1 + start * 7919 % 50
            await sink.write(changes[start:start + size])
            start += size
            sys.stderr.write(f"{start}\\n")  # the logs go to stdout
            sys.stderr.flush()
        await anyio.sleep_forever()

anyio.run(main, sys.argv[1], *map(int, sys.argv[2:]))
"""


def start_writer(path: Path, start: int, writes: int) -> "subprocess.Popen[str]":
    """A process that writes from a position on, so often, and says which position it has reached after each write."""
    command = [sys.executable, "-c", WRITER, str(path), str(start), str(writes), str(DELTAS)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
@pytest.mark.asyncio
async def test_killed_in_the_middle_of_writes(path: Path) -> None:
    """Nothing that was acknowledged is lost, no line is torn or doubled, and the order is kept; again and again."""
    chance = random.Random(9)
    acknowledged = 0
    changes = ordinary_changes("s", DELTAS)
    for _ in range(KILLS):
        heard = chance.randrange(1, 15)
        start = max(0, acknowledged - 50)  # what was under way comes again
        writer = start_writer(path, start, heard + AHEAD)
        told: IO[str] | None = writer.stderr
        assert told is not None
        with writer, told:
            for _ in range(heard):
                acknowledged = max(acknowledged, int(told.readline() or acknowledged))
            with pytest.raises(SinkUnavailable, match="has a writer already"):
                await JsonlSink(path).__aenter__()
            writer.send_signal(signal.SIGKILL)
            for line in told:
                acknowledged = max(acknowledged, int(line))
            assert writer.wait() == -signal.SIGKILL
    with capture_logs():
        async with JsonlSink(path) as sink:
            whole = keys(path)
            await sink.write(changes[max(0, acknowledged - 50) :])

    assert 0 < acknowledged <= len(whole) < len(changes)
    assert [key.seq for key in whole] == [*range(1, len(whole) + 1)]
    assert text_in(path) == text_of(changes)
    assert len(in_order(path)) > 1
