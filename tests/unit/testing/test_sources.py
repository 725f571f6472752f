"""The checks of a source, on sources that break one rule each: a check that nothing can fail is none."""

import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from streamproc.errors import SourceError, SourceUnavailable
from streamproc.testing.sources import check_source
from tests.loopback import in_loopback_time

DATA = b"id: 1\ndata: a\n\nid: 2\ndata: b\n\ndata: c\n\nid: 3\ndata: d\n\n"
OFFSETS = {None: 0, "1": 15, "2": 30, "3": len(DATA)}


class Sound:
    """Keeps every rule; each class below breaks one."""

    name: Any = "sound"
    resumable = True
    repeatable = True

    @asynccontextmanager
    async def open(self, cursor: str | None) -> AsyncGenerator[AsyncIterator[bytes]]:
        yield self.chunks(cursor)

    async def chunks(self, cursor: str | None) -> AsyncGenerator[bytes]:
        await checkpoint()
        data = DATA[OFFSETS[cursor] :]
        for start in range(0, len(data), 7):
            yield data[start : start + 7]


class Plain:
    """Without a word on a further open there is none."""

    name = "plain"

    def __init__(self) -> None:
        self.opened = 0

    @asynccontextmanager
    async def open(self, cursor: str | None) -> AsyncGenerator[AsyncIterator[bytes]]:
        self.opened += 1
        assert self.opened == 1
        yield Sound().chunks(cursor)


class Once(Plain):
    """Says that it cannot be read again, and refuses."""

    resumable = False
    repeatable = False

    @asynccontextmanager
    async def open(self, cursor: str | None) -> AsyncGenerator[AsyncIterator[bytes]]:
        if self.opened:
            raise SourceError("once")
        async with super().open(cursor) as chunks:
            yield chunks


class NameIsNoText(Sound):
    name = 7


class NameIsEmpty(Sound):
    name = ""


class NameChanges(Sound):
    def __init__(self) -> None:
        self.name = os.urandom(8).hex()


class GivesText(Sound):
    async def chunks(self, cursor: str | None) -> AsyncGenerator[Any]:
        yield DATA.decode()


class LosesTheEnd(Sound):
    async def chunks(self, cursor: str | None) -> AsyncGenerator[bytes]:
        yield DATA[:-1]


class ChangesAByte(Sound):
    async def chunks(self, cursor: str | None) -> AsyncGenerator[bytes]:
        yield DATA.replace(b"c", b"C")


class EndsAtOnceTheSecondTime(Sound):
    def __init__(self) -> None:
        self.opened = 0

    async def chunks(self, cursor: str | None) -> AsyncGenerator[bytes]:
        self.opened += 1
        if self.opened == 1:
            yield DATA


class ReopensSecretly(Sound):
    resumable = False
    repeatable = False


class ResumesAtTheEvent(Sound):
    async def chunks(self, cursor: str | None) -> AsyncGenerator[bytes]:
        yield DATA[max(OFFSETS[cursor] - 15, 0) :]


class LeavesAFile(Sound):
    files: list[int] = []  # noqa: RUF012 - shared on purpose: whoever made the leak cleans it up

    @asynccontextmanager
    async def open(self, cursor: str | None) -> AsyncGenerator[AsyncIterator[bytes]]:
        self.files.append(os.open(os.devnull, os.O_RDONLY))
        yield self.chunks(cursor)


class LeavesAFileWhenCancelled(LeavesAFile):
    @asynccontextmanager
    async def open(self, cursor: str | None) -> AsyncGenerator[AsyncIterator[bytes]]:
        file = os.open(os.devnull, os.O_RDONLY)
        self.files.append(file)
        yield self.chunks(cursor)
        os.close(self.files.pop())


class NeverEnds(Sound):
    async def chunks(self, cursor: str | None) -> AsyncGenerator[bytes]:
        yield DATA
        await anyio.sleep_forever()


class Unavailable(Sound):
    async def chunks(self, cursor: str | None) -> AsyncGenerator[bytes]:
        yield DATA[:3]
        raise SourceUnavailable("not now")


class RaisesSomethingElse(Sound):
    async def chunks(self, cursor: str | None) -> AsyncGenerator[bytes]:
        yield DATA[:3]
        raise ConnectionError("secret")


@pytest.mark.asyncio
@pytest.mark.parametrize("make_source", [Sound, Plain, Once])
async def test_sound_source_passes(make_source: Any) -> None:
    """With what it says of itself; and so does its failing."""
    await check_source(make_source, DATA, failing=[Unavailable])


@pytest.mark.asyncio
async def test_stream_without_ids() -> None:
    """There is no cursor to resume at, so that is not checked."""

    class NoIds(Sound):
        async def chunks(self, cursor: str | None) -> AsyncGenerator[bytes]:
            assert cursor is None
            yield b"data: a\n\n"

    await check_source(NoIds, b"data: a\n\n")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("make_source", "reason"),
    [
        (NameIsNoText, "name: expected str, int came"),
        (NameIsEmpty, "name: it is empty"),
        (NameChanges, "name: two sources of one stream have different names"),
        (GivesText, "bytes: expected bytes, str came"),
        (LosesTheEnd, "bytes: it gave 53 bytes for 54; they differ from byte 53 on"),
        (ChangesAByte, "bytes: it gave 54 bytes for 54; they differ from byte 36 on"),
        (EndsAtOnceTheSecondTime, "reopening: a repeatable source, opened again, gave 0 bytes for 54"),
        (ReopensSecretly, "reopening: a source that is not repeatable was opened again; expected SourceError"),
        (ResumesAtTheEvent, "resuming: expected the 2 events after the cursor, 3 others came"),
    ],
)
async def test_broken_rule_is_named(make_source: Any, reason: str) -> None:
    """The error says which check failed, and how."""
    with pytest.raises(AssertionError, match=f"^{reason}"):
        await check_source(make_source, DATA)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("make_source", "reason"),
    [
        (LeavesAFile, r"bytes: \d+ files or sockets are left open"),
        (LeavesAFileWhenCancelled, r"cancelling: \d+ files or sockets are left open"),
    ],
)
async def test_leak_is_named(make_source: Any, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the check after which it was there."""
    monkeypatch.setattr("streamproc.testing.sources._SETTLE_S", 0.01)
    try:
        with pytest.raises(AssertionError, match=f"^{reason}"):
            await check_source(make_source, DATA)
    finally:
        while LeavesAFile.files:
            os.close(LeavesAFile.files.pop())


@pytest.mark.asyncio
async def test_task_that_is_left() -> None:
    """Counted like a file."""
    async with anyio.create_task_group() as tasks:

        class LeavesATask(Sound):
            @asynccontextmanager
            async def open(self, cursor: str | None) -> AsyncGenerator[AsyncIterator[bytes]]:
                tasks.start_soon(anyio.sleep_forever)
                yield self.chunks(cursor)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("streamproc.testing.sources._SETTLE_S", 0.01)
            with pytest.raises(AssertionError, match=r"^bytes: 1 tasks are left"):
                await check_source(LeavesATask, DATA)
        tasks.cancel_scope.cancel()


@pytest.mark.asyncio
async def test_what_was_left_a_moment_is_no_leak() -> None:
    """A far side in the same process needs a moment."""
    async with anyio.create_task_group() as tasks:

        class LeavesATaskBriefly(Sound):
            @asynccontextmanager
            async def open(self, cursor: str | None) -> AsyncGenerator[AsyncIterator[bytes]]:
                tasks.start_soon(anyio.sleep, 0.01)
                yield self.chunks(cursor)

        await check_source(LeavesATaskBriefly, DATA)


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("failing", "reason"),
    [
        (Sound, "failing: expected SourceError, the source ended without one"),
        (RaisesSomethingElse, "failing: expected SourceError, ConnectionError came"),
    ],
)
async def test_failure_of_the_wrong_kind(failing: Any, reason: str) -> None:
    """Only errors of the family tell a pipeline what to do."""
    with pytest.raises(AssertionError, match=f"^{reason}$"):
        await check_source(Sound, DATA, failing=[failing])


@in_loopback_time
async def test_source_that_hangs() -> None:
    """No check takes longer than it may."""
    with pytest.raises(TimeoutError):
        await check_source(NeverEnds, DATA, timeout_s=0.01)
