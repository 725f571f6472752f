"""check_sink: sound sinks pass, and each way to break the contract is found and named."""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import anyio
import anyio.lowlevel
import pytest

from streamproc import Change
from streamproc.errors import SinkRejected, SinkUnavailable
from streamproc.protocols import Sink
from streamproc.testing.memory import HANG, Raise, ScriptedSink, Unavailable
from streamproc.testing.sinks import Key, check_sink
from tests.loopback import in_loopback_time


class FarSide:
    """What arrived, in order; a change that comes again is ignored, as an idempotent sink's far side does."""

    def __init__(self) -> None:
        self.changes: dict[Key, Change] = {}

    def take(self, batch: Sequence[Change]) -> None:
        for change in batch:
            self.changes.setdefault((change.stream, change.epoch, change.seq), change)

    def keys(self) -> list[Key]:
        return [*self.changes]


class Sound:
    """A sound sink that can be entered; the broken ones differ in one thing."""

    def __init__(self, far_side: FarSide) -> None:
        self.far_side = far_side
        self.is_open = False

    async def __aenter__(self) -> Self:
        await anyio.lowlevel.checkpoint()
        self.is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self.is_open = False
        return None

    async def write(self, batch: Sequence[Change]) -> None:
        assert self.is_open
        await anyio.lowlevel.checkpoint()
        self.far_side.take(batch)


@pytest.mark.asyncio
@pytest.mark.parametrize("asks", ["plainly", "with a coroutine", "not at all"])
async def test_sound_sink_passes(asks: str) -> None:
    """The far side may be asked either way; without one less is known."""
    far_side = FarSide()
    made: list[Sound] = []

    def make() -> Sound:
        assert not any(sink.is_open for sink in made)
        made.append(Sound(far_side))
        return made[-1]

    async def keys() -> list[Key]:
        return far_side.keys()

    ask: dict[str, Callable[[], Any] | None] = {
        "plainly": far_side.keys,
        "with a coroutine": keys,
        "not at all": None,
    }
    await check_sink(make, far_side=ask[asks])

    assert [sink.is_open for sink in made] == [False] * len(made)
    assert {change.kind for change in far_side.changes.values()} == {"run", "step", "message", "error", "anomaly"}
    assert any(change.inferred_status for change in far_side.changes.values())
    assert any(change.truncated for change in far_side.changes.values())


@pytest.mark.asyncio
async def test_sink_that_cannot_be_entered_passes() -> None:
    class Plain:
        async def write(self, batch: Sequence[Change]) -> None:
            far_side.take(batch)

    far_side = FarSide()

    await check_sink(Plain, far_side=far_side.keys)


@pytest.mark.asyncio
async def test_sink_may_be_unavailable_for_a_while_and_reject_what_is_odd() -> None:
    """Delivery deals with that, so the check does too."""

    class Moody(Sound):
        attempts = 0

        async def write(self, batch: Sequence[Change]) -> None:
            Moody.attempts += 1
            if Moody.attempts % 2:
                raise SinkUnavailable("busy", 0.0)
            odd = [change for change in batch if change.kind in ("anomaly", "error")]
            await super().write([change for change in batch if change not in odd])
            if odd:
                raise SinkRejected("odd", odd)

    far_side = FarSide()

    await check_sink(lambda: Moody(far_side), far_side=far_side.keys)


class WithoutWrite:
    pass


class PlainWrite(Sound):
    def write(self, batch: Sequence[Change]) -> None:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]
        self.far_side.take(batch)


class CannotBeEntered(Sound):
    async def __aenter__(self) -> Self:
        raise SinkUnavailable("no")


class CannotBeLeft(Sound):
    async def __aexit__(self, *args: object) -> None:
        raise OSError("no")


class SwallowsExceptions(Sound):
    async def __aexit__(self, *args: object) -> bool:
        return True


class ReplacesExceptions(Sound):
    async def __aexit__(self, kind: object, error: object, traceback: object) -> None:
        if isinstance(error, Exception):
            raise type(error)


class SwallowsCancellation(Sound):
    async def __aexit__(self, kind: object, error: object, traceback: object) -> bool:
        return isinstance(error, anyio.get_cancelled_exc_class())


class StaysLocked(Sound):
    """What it holds is only let go when there is time for it."""

    async def __aenter__(self) -> Self:
        if self.far_side.__dict__.setdefault("locked", False):
            raise SinkUnavailable("locked")
        self.far_side.__dict__["locked"] = True
        return await super().__aenter__()

    async def __aexit__(self, *args: object) -> None:
        await anyio.lowlevel.checkpoint()
        self.far_side.__dict__["locked"] = False


class Loses(Sound):
    async def write(self, batch: Sequence[Change]) -> None:
        await super().write(batch[:-1])


class LosesShortBatches(Sound):
    """As one does that writes when enough has come together, and forgets the rest."""

    async def write(self, batch: Sequence[Change]) -> None:
        await super().write(batch if len(batch) > 3 else [])


class Reverses(Sound):
    async def write(self, batch: Sequence[Change]) -> None:
        await super().write(batch[::-1])


class WantsLists(Sound):
    async def write(self, batch: Sequence[Change]) -> None:
        await super().write(batch.copy())  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownArgumentType]


class ChokesOnRepeats(Sound):
    async def write(self, batch: Sequence[Change]) -> None:
        known = self.far_side.changes
        if any((change.stream, change.epoch, change.seq) in known for change in batch):
            raise ValueError("UNIQUE constraint failed")
        await super().write(batch)


class ChokesOnErrors(Sound):
    async def write(self, batch: Sequence[Change]) -> None:
        for change in batch:
            len(change.state.id if change.kind != "anomaly" else "")
        await super().write(batch)


class RejectsAll(Sound):
    async def write(self, batch: Sequence[Change]) -> None:
        raise SinkRejected("never", batch)


class RejectsNothing(Sound):
    async def write(self, batch: Sequence[Change]) -> None:
        raise SinkRejected("never", [])


class RejectsAndLoses(Sound):
    """It stops at the first one that it does not like."""

    async def write(self, batch: Sequence[Change]) -> None:
        odd = [change for change in batch if change.kind == "anomaly"]
        if odd:
            raise SinkRejected("odd", odd)
        await super().write(batch)


class BreaksWhenCancelled(Sound):
    is_writing = False

    async def write(self, batch: Sequence[Change]) -> None:
        if self.is_writing:
            raise RuntimeError("another write is running")
        self.is_writing = True
        await super().write(batch)
        self.is_writing = False


class AcknowledgesWhenCancelled(Sound):
    """What was cancelled counts as written, so that it is skipped when it comes again."""

    async def write(self, batch: Sequence[Change]) -> None:
        seen: set[Key] = self.far_side.__dict__.setdefault("seen", set())
        new = [change for change in batch if (change.stream, change.epoch, change.seq) not in seen]
        seen |= {(change.stream, change.epoch, change.seq) for change in new}
        await super().write(new)


class LeavesUncleanlyAfterCancel(Sound):
    was_cancelled = False

    async def write(self, batch: Sequence[Change]) -> None:
        try:
            await super().write(batch)
        except anyio.get_cancelled_exc_class():
            self.was_cancelled = True
            raise

    async def __aexit__(self, *args: object) -> None:
        if self.was_cancelled:
            raise RuntimeError("a write is under way")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("make", "said"),
    [
        (WithoutWrite, "enter and leave: WithoutWrite has no method `write`"),
        (PlainWrite, "one batch: `write` must be a coroutine function"),
        (CannotBeEntered, "enter and leave: entering it raised SinkUnavailable: no"),
        (CannotBeLeft, "enter and leave: leaving it raised OSError: no"),
        (SwallowsExceptions, "enter and leave: leaving it swallowed the exception that ended the block"),
        (ReplacesExceptions, "enter and leave: leaving it raised _OfTheCheck"),
        (SwallowsCancellation, "enter and leave: leaving it swallowed a cancellation"),
        (StaysLocked, "enter and leave: entering it raised SinkUnavailable: locked"),
        (Loses, "one batch: 1 acknowledged changes are not at the far side, first [('check.one_batch', 1, "),
        (LosesShortBatches, "many batches: 6 acknowledged changes are not at the far side"),
        (Reverses, "one batch: the changes of stream 'check.one_batch' are not in order at the far side"),
        (WantsLists, "many batches: write raised AttributeError: 'tuple' object has no attribute 'copy'"),
        (ChokesOnRepeats, "repeated batches: write raised ValueError: UNIQUE constraint failed"),
        (ChokesOnErrors, "odd changes: write raised AttributeError"),
        (RejectsAll, "one batch: an ordinary change was rejected: never (rejected changes:"),
        (RejectsNothing, "one batch: SinkRejected names no change"),
        (RejectsAndLoses, "odd changes: "),
        (BreaksWhenCancelled, "cancelled writes: write raised RuntimeError: another write is running"),
        (AcknowledgesWhenCancelled, "cancelled writes: "),
        (LeavesUncleanlyAfterCancel, "cancelled writes: leaving it raised RuntimeError: a write is under way"),
    ],
)
async def test_broken_sink_is_found(make: Callable[..., Any], said: str) -> None:
    """The text says in which check, and what happened."""
    far_side = FarSide()
    with pytest.raises(AssertionError) as caught:
        await check_sink(lambda: make(far_side) if issubclass(make, Sound) else make(), far_side=far_side.keys)  # type: ignore[arg-type]

    assert str(caught.value).startswith(f"check_sink, {said}")


@pytest.mark.asyncio
async def test_rejected_changes_must_be_of_the_batch() -> None:
    class RejectsOther(Sound):
        async def write(self, batch: Sequence[Change]) -> None:
            raise SinkRejected("never", [batch[0].as_snapshot(), object()])

    with pytest.raises(AssertionError, match="SinkRejected names changes that were not in the batch"):
        await check_sink(lambda: RejectsOther(FarSide()))


class HangsAtTheEnd(Sound):
    async def __aexit__(self, *args: object) -> None:
        await anyio.sleep_forever()


class CannotBeCancelled(Sound):
    """Its write is shielded, and takes for ever once it was cancelled."""

    async def write(self, batch: Sequence[Change]) -> None:
        try:
            await super().write(batch)
        except anyio.get_cancelled_exc_class():
            raise OSError("not now") from None


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: ScriptedSink(then=HANG), "one batch: write did not return within 0.01 s"),
        (lambda: HangsAtTheEnd(FarSide()), "enter and leave: leaving it did not return within 0.01 s"),
        (lambda: ScriptedSink(then=Unavailable()), "one batch: SinkUnavailable, 5 times in a row"),
        (lambda: ScriptedSink(then=Raise(KeyError("x"))), "one batch: write raised KeyError: 'x'"),
        (lambda: ScriptedSink(then=Raise(TimeoutError("x"))), "one batch: write raised TimeoutError: x"),
    ],
)
@in_loopback_time
async def test_hanging_sink_is_found(make: Callable[[], Sink], said: str) -> None:
    with pytest.raises(AssertionError) as caught:
        await check_sink(make, timeout_s=0.01)

    assert str(caught.value) == f"check_sink, {said}"


@pytest.mark.asyncio
async def test_cancelled_write_that_raises_something_else_is_found() -> None:
    with pytest.raises(AssertionError, match="cancelled writes: write raised OSError: not now"):
        await check_sink(lambda: CannotBeCancelled(FarSide()))


@pytest.mark.asyncio
async def test_write_that_ended_before_it_could_be_cancelled_may_have_failed() -> None:
    """SinkUnavailable is no failure of the check, there or elsewhere."""

    class FirstUnavailable(Sound):
        attempts = 0

        async def write(self, batch: Sequence[Change]) -> None:
            self.attempts += 1
            if self.attempts == 1:
                raise SinkUnavailable("warming up")
            await super().write(batch)

    far_side = FarSide()

    await check_sink(lambda: FirstUnavailable(far_side), far_side=far_side.keys)
