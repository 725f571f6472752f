"""What a source must pass: `check_source`."""

import os
from collections.abc import Callable, Sequence
from typing import Final

import anyio
from anyio.lowlevel import checkpoint

from streamproc.core.sse import Frame, SSEParser
from streamproc.errors import SourceError
from streamproc.protocols import PolledChunks, ReopeningSource, Source

__all__ = ["check_source"]

_FDS: Final = "/proc/self/fd"  # Linux
_SETTLE_S: Final = 1.0  # a far side in the same process needs a moment to see that we have left


async def check_source(
    make_source: Callable[[], Source],
    expected: bytes,
    *,
    failing: Sequence[Callable[[], Source]] = (),
    timeout_s: float = 10.0,
) -> None:
    """Check that a source keeps the contract of `Source`, and what it says of itself as a `ReopeningSource`.

    Args:
        make_source: makes the source of the same stream, again and again, none of them opened yet.
        expected: all bytes of that stream. For a resumable source it has events with ids, or resuming is not checked.
        failing: makers of sources that cannot be opened, or not be read to their end.
        timeout_s: for each single check.

    Raises:
        AssertionError: it does not; the text says which check failed.
        TimeoutError: a check took longer than `timeout_s`.
    """
    for check in (
        *(_check_name, _check_bytes, _check_polling, _check_reopening, _check_resuming, _check_leaving),
        _check_cancelling,
    ):
        before = _open_things()
        with anyio.fail_after(timeout_s):
            await check(make_source, expected)
        await _check_nothing_left(before, check.__name__.removeprefix("_check_"))
    for make_failing in failing:
        before = _open_things()
        with anyio.fail_after(timeout_s):
            await _check_failing(make_failing)
        await _check_nothing_left(before, "failing")


async def _check_name(make_source: Callable[[], Source], _: bytes) -> None:
    name = make_source().name
    _expect_type("name", name, str)
    _expect(name != "", "name: it is empty")
    _expect(make_source().name == name, "name: two sources of one stream have different names")


async def _check_bytes(make_source: Callable[[], Source], expected: bytes) -> None:
    _compare("bytes: it", await _read(make_source(), None), expected)


async def _check_polling(make_source: Callable[[], Source], expected: bytes) -> None:
    """Waiting and polling in turn, and polling alone to the end."""
    for waits in (True, False):
        parts: list[bytes] = []
        async with make_source().open(None) as chunks:
            if not isinstance(chunks, PolledChunks):
                return
            async for chunk in chunks:
                parts.append(chunk)
                while (more := chunks.poll()) is not None:
                    parts.append(more)
                    await anyio.sleep(0.001)
                    if waits and more:
                        break
        _compare("polling: it", b"".join(parts), expected)


async def _check_reopening(make_source: Callable[[], Source], expected: bytes) -> None:
    source = make_source()
    if not isinstance(source, ReopeningSource):
        return  # such a source is never opened twice
    _compare("reopening: the first time it", await _read(source, None), expected)
    if source.repeatable:
        _compare("reopening: a repeatable source, opened again,", await _read(source, None), expected)
        return
    try:
        await _read(source, None)
    except SourceError:
        return
    raise AssertionError("reopening: a source that is not repeatable was opened again; expected SourceError")


async def _check_resuming(make_source: Callable[[], Source], expected: bytes) -> None:
    frames = _frames(expected)
    ids = ["", *(frame.id for frame in frames)]  # an event without an id has the one of the event before
    with_id = [number for number, frame in enumerate(frames) if frame.id and frame.id != ids[number]]
    source = make_source()
    if not isinstance(source, ReopeningSource) or not source.resumable or not with_id:
        return
    last = with_id[(len(with_id) - 1) // 2]
    async with source.open(None) as chunks:
        async for _ in chunks:
            break
    rest = _frames(await _read(source, frames[last].id))
    missed = [_content(frame) for frame in frames[last + 1 :]]
    came = [_content(frame) for frame in rest]
    _expect(came == missed, f"resuming: expected the {len(missed)} events after the cursor, {len(came)} others came")


async def _check_leaving(make_source: Callable[[], Source], _: bytes) -> None:
    async with make_source().open(None):
        pass
    async with make_source().open(None) as chunks:
        async for _chunk in chunks:
            break


async def _check_cancelling(make_source: Callable[[], Source], _: bytes) -> None:
    """On entering, after the first bytes, and at each of the first awaits."""
    for turns in (0, 1, 2, 3, 5, 8, 13, 21, 34):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_read, make_source(), None)
            for _turn in range(turns):
                await checkpoint()
            tasks.cancel_scope.cancel()
    with anyio.CancelScope() as scope:
        async with make_source().open(None) as chunks:
            async for _chunk in chunks:
                scope.cancel()
                await checkpoint()


async def _check_failing(make_source: Callable[[], Source]) -> None:
    try:
        await _read(make_source(), None)
    except SourceError:
        return
    except Exception as error:
        raise AssertionError(f"failing: expected SourceError, {type(error).__name__} came") from error
    raise AssertionError("failing: expected SourceError, the source ended without one")


async def _check_nothing_left(before: tuple[int, int], check: str) -> None:
    """No task and no file or socket more than before, within a moment."""
    after = _open_things()
    with anyio.move_on_after(_SETTLE_S):
        while after[0] > before[0] or after[1] > before[1]:
            await anyio.sleep(0.005)
            after = _open_things()
    _expect(after[0] <= before[0], f"{check}: {after[0] - before[0]} tasks are left")
    _expect(after[1] <= before[1], f"{check}: {after[1] - before[1]} files or sockets are left open")


def _open_things() -> tuple[int, int]:
    """How many tasks, and how many files and sockets."""
    return len(anyio.get_running_tasks()), len(os.listdir(_FDS)) if os.path.isdir(_FDS) else 0


async def _read(source: Source, cursor: str | None) -> bytes:
    parts: list[bytes] = []
    async with source.open(cursor) as chunks:
        async for chunk in chunks:
            _expect_type("bytes", chunk, bytes)
            parts.append(chunk)
    return b"".join(parts)


def _frames(data: bytes) -> list[Frame]:
    return SSEParser().feed(data)


def _content(frame: Frame) -> tuple[str, bytes]:
    return frame.event, frame.data


def _expect_type(what: str, value: object, kind: type) -> None:
    _expect(isinstance(value, kind), f"{what}: expected {kind.__name__}, {type(value).__name__} came")


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:  # `assert` would vanish under `python -O`
        raise AssertionError(otherwise)


def _compare(what: str, came: bytes, expected: bytes) -> None:
    if came != expected:
        pairs = enumerate(zip(came, expected, strict=False))
        same = next((at for at, (one, other) in pairs if one != other), min(len(came), len(expected)))
        raise AssertionError(f"{what} gave {len(came)} bytes for {len(expected)}; they differ from byte {same} on")
