"""check_sink: what every sink must do, as `streamproc.protocols.Sink` says it.

    async def test_my_sink(tmp_path):
        await check_sink(lambda: MySink(tmp_path / "out"), far_side=lambda: keys_in(tmp_path / "out"))

Each check makes its sink, enters it if it can be entered, and leaves it. They share a far side, but no stream. Run it
under a real clock: a write that hangs is found by a time limit.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from inspect import isawaitable
from typing import Any, Final, TypeAlias

import anyio
import anyio.lowlevel

from streamproc.core.change import Change
from streamproc.errors import SinkRejected, SinkUnavailable
from streamproc.protocols import Sink
from streamproc.testing.changes import odd_changes, ordinary_changes

__all__ = ["FarSide", "Key", "MakeSink", "check_sink"]

Key: TypeAlias = tuple[str, int, int]  # stream, epoch, seq
MakeSink: TypeAlias = Callable[[], Sink]
FarSide: TypeAlias = Callable[[], Iterable[Key] | Awaitable[Iterable[Key]]]

_ATTEMPTS: Final = 5  # of one batch, while the sink says that it is unavailable
_LONGEST_WAIT_S: Final = 1.0  # between two of them
_CANCEL_AFTER: Final = (0, 1, 2, 3, 5, 8, 13)  # turns of the event loop


async def check_sink(make_sink: MakeSink, *, far_side: FarSide | None = None, timeout_s: float = 10.0) -> None:
    """Check a sink against its contract; returns when all is well.

    Args:
        make_sink: makes one sink, each time for the same far side. Called several times, never while another one that
            was made is entered.
        far_side: the identities of the changes that have arrived where the sink sends them, in order of arrival; a
            change that arrived twice may be there twice. Without it nothing is known about loss and order.
        timeout_s: for one write, for entering and for leaving.

    Raises:
        AssertionError: the sink broke the contract; the text names the check and what happened.
    """
    checks = _Checks(make_sink, far_side, timeout_s)
    for check in (
        checks.enter_and_leave,
        checks.one_batch,
        checks.many_batches,
        checks.repeated_batches,
        checks.odd_changes,
        checks.cancelled_writes,
    ):
        await check()


class _Checks:
    """The checks, each a method that raises AssertionError."""

    def __init__(self, make_sink: MakeSink, far_side: FarSide | None, timeout_s: float) -> None:
        self._make_sink = make_sink
        self._far_side = far_side
        self._timeout_s = timeout_s
        self._check = ""

    async def enter_and_leave(self) -> None:
        """Without a write; with an exception, which must come through; while being cancelled."""
        self._check = "enter and leave"
        async with self._entered():
            pass
        error = _OfTheCheck()
        try:
            async with self._entered():
                raise error
        except _OfTheCheck as raised:
            self._assert(raised is error, "leaving it replaced the exception that ended the block")
        else:
            raise self._failure("leaving it swallowed the exception that ended the block")
        with anyio.CancelScope() as scope:
            async with self._entered():
                scope.cancel()
                await anyio.lowlevel.checkpoint()
        self._assert(scope.cancelled_caught, "leaving it swallowed a cancellation")
        async with self._entered():  # nothing of the earlier ones is in the way
            pass

    async def one_batch(self) -> None:
        self._check = "one batch"
        batch = ordinary_changes("check.one_batch", deltas=2)
        async with self._entered() as sink:
            await self._deliver(sink, batch)
            await self._arrived(batch)

    async def many_batches(self) -> None:
        """Batches of any size, of either kind of sequence, and two streams at a time."""
        self._check = "many batches"
        first, second = ordinary_changes("check.many_a", 100), ordinary_changes("check.many_b", 100)
        async with self._entered() as sink:
            for start, stop in _cuts(len(first)):
                await self._deliver(sink, first[start:stop])
                await self._deliver(sink, (*second[start:stop],))
            await self._arrived(first)
            await self._arrived(second)

    async def repeated_batches(self) -> None:
        """The same batch again, and batches cut otherwise; also by the next sink, as after a restart."""
        self._check = "repeated batches"
        changes = ordinary_changes("check.repeated")
        half, most = len(changes) // 2, len(changes) * 3 // 4
        async with self._entered() as sink:
            for batch in (changes[:half], changes[:half], changes[half - 3 : most]):
                await self._deliver(sink, batch)
        async with self._entered() as sink:
            for batch in (changes[half:most], changes[half + 1 :], changes):
                await self._deliver(sink, batch)
            await self._arrived(changes)

    async def odd_changes(self) -> None:
        """Also as sinks get them that want no deltas. It may reject them, but nothing else may happen."""
        self._check = "odd changes"
        odd = odd_changes("check.odd")
        states = [change.as_snapshot() for change in odd_changes("check.odd_states")]
        async with self._entered() as sink:
            await self._arrived(await self._deliver(sink, odd))
            for change in states:
                await self._arrived(await self._deliver(sink, [change]))
            usual = ordinary_changes("check.after_odd", deltas=1)
            await self._deliver(sink, usual)
            await self._arrived(usual)

    async def cancelled_writes(self) -> None:
        """A write that is cancelled anywhere leaves a sink that takes the batch when it comes again."""
        self._check = "cancelled writes"
        for turns in _CANCEL_AFTER:
            batch = ordinary_changes(f"check.cancelled_{turns}", deltas=50)
            async with self._entered() as sink:
                await self._cancel(sink, batch, turns)
                await self._deliver(sink, batch)
                await self._arrived(batch)
        batch = ordinary_changes("check.cancelled_and_left", deltas=50)
        async with self._entered() as sink:
            await self._cancel(sink, batch, 1)
        async with self._entered() as sink:
            await self._deliver(sink, batch)
            await self._arrived(batch)

    # --- parts of checks ----------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _entered(self) -> AsyncGenerator[Sink]:
        """A new sink, entered if it can be."""
        sink: Any = self._make_sink()
        self._assert(callable(getattr(sink, "write", None)), f"{type(sink).__name__} has no method `write`")
        if not hasattr(type(sink), "__aenter__"):
            yield sink
            return
        await self._call(sink.__aenter__(), "entering it")
        error: BaseException | None = None
        try:
            yield sink
        except BaseException as raised:
            error = raised
        kind, traceback = (type(error), error.__traceback__) if error is not None else (None, None)
        swallowed = await self._call(sink.__aexit__(kind, error, traceback), "leaving it", but=error)
        if error is not None and not swallowed:
            raise error

    async def _deliver(self, sink: Sink, batch: Sequence[Change]) -> list[Change]:
        """Write a batch as delivery does; returns the changes that were acknowledged."""
        for _ in range(_ATTEMPTS):
            try:
                await self._write(sink, batch)
            except SinkUnavailable as error:
                await anyio.sleep(min(error.retry_after_s or 0.0, _LONGEST_WAIT_S))
            except SinkRejected as error:
                rejected = {id(change) for change in error.changes}
                self._assert(bool(rejected), "SinkRejected names no change")
                self._assert(rejected <= set(map(id, batch)), "SinkRejected names changes that were not in the batch")
                self._assert(self._check == "odd changes", f"an ordinary change was rejected: {error}")
                return [change for change in batch if id(change) not in rejected]
            else:
                return [*batch]
        raise self._failure(f"SinkUnavailable, {_ATTEMPTS} times in a row")

    async def _write(self, sink: Sink, batch: Sequence[Change]) -> None:
        writing: Any = sink.write(batch)
        self._assert(isawaitable(writing), "`write` must be a coroutine function: `async def write(self, batch)`")
        await self._call(writing, "write", but=(SinkUnavailable, SinkRejected))

    async def _cancel(self, sink: Sink, batch: Sequence[Change], turns: int) -> None:
        """Begin a write and cancel it after some turns of the event loop."""
        failures: list[AssertionError] = []  # a task group would wrap them

        async def write() -> None:
            try:
                await self._write(sink, batch)
            except (SinkUnavailable, SinkRejected):
                pass  # it ended before it could be cancelled
            except AssertionError as error:
                failures.append(error)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(write)
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        for failure in failures:
            raise failure

    async def _call(
        self, call: Awaitable[object], what: str, *, but: BaseException | tuple[type[Exception], ...] | None = None
    ) -> object:
        """Wait for a call; whatever it raises that the contract does not know is a failed check."""
        try:
            with anyio.fail_after(self._timeout_s):
                try:
                    return await call
                except Exception as error:
                    if error is but or (isinstance(but, tuple) and isinstance(error, but)):
                        raise
                    raise self._failure(f"{what} raised {type(error).__name__}: {error}") from error
        except TimeoutError:
            raise self._failure(f"{what} did not return within {self._timeout_s:g} s") from None

    async def _arrived(self, changes: Sequence[Change]) -> None:
        """Whatever was acknowledged is at the far side, in order."""
        if self._far_side is None or not changes:
            return
        found = self._far_side()
        keys = [tuple(key) for key in (await found if isawaitable(found) else found)]
        stream = changes[0].stream
        first = {key: position for position, key in reversed([*enumerate(key for key in keys if key[0] == stream)])}
        wanted = [(change.stream, change.epoch, change.seq) for change in changes]
        missing = [key for key in wanted if key not in first]
        self._assert(not missing, f"{len(missing)} acknowledged changes are not at the far side, first {missing[:1]}")
        places = [first[key] for key in wanted]
        self._assert(places == sorted(places), f"the changes of stream {stream!r} are not in order at the far side")

    def _assert(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise self._failure(otherwise)

    def _failure(self, what: str) -> AssertionError:
        return AssertionError(f"check_sink, {self._check}: {what}")


class _OfTheCheck(Exception):
    """Raised inside an entered sink."""


def _cuts(total: int) -> Iterator[tuple[int, int]]:
    """Where batches start and stop: of 1, 2, 3, ... changes."""
    start, size = 0, 1
    while start < total:
        yield start, start + size
        start, size = start + size, size + 1
