"""CallbackSink: each batch goes to a function."""

from collections.abc import Sequence

import pytest

from streamproc import Change
from streamproc.errors import SinkUnavailable
from streamproc.sinks.callback import CallbackSink
from streamproc.testing.changes import ordinary_changes
from streamproc.testing.sinks import check_sink

BATCH = ordinary_changes("s", deltas=1)


@pytest.mark.asyncio
async def test_plain_function() -> None:
    """It gets the batch as it is; what it returns is ignored."""
    got: list[Sequence[Change]] = []

    def take(batch: Sequence[Change]) -> int:
        got.append(batch)
        return len(batch)

    await CallbackSink(take).write(BATCH)

    assert got == [BATCH]
    assert got[0] is BATCH


@pytest.mark.asyncio
async def test_coroutine_function() -> None:
    """It has run to its end when the write returns; a bound method, or one that only returns an awaitable, will do."""
    done: list[int] = []

    class Program:
        async def take(self, batch: Sequence[Change]) -> None:
            done.append(len(batch))

    program = Program()
    await CallbackSink(program.take).write(BATCH)
    await CallbackSink(lambda batch: program.take(batch[:1])).write(BATCH)

    assert done == [len(BATCH), 1]


@pytest.mark.asyncio
@pytest.mark.parametrize("error", [SinkUnavailable("busy", 3.0), KeyError("bug")])
async def test_exceptions_pass_as_they_are(error: Exception) -> None:
    """Whoever delivers decides what they mean."""

    def plain(batch: Sequence[Change]) -> None:
        raise error

    async def coroutine(batch: Sequence[Change]) -> None:
        raise error

    raised = []
    for fn in (plain, coroutine):
        with pytest.raises(type(error)) as caught:
            await CallbackSink(fn).write(BATCH)
        raised.append(caught.value)

    assert raised == [error, error]


@pytest.mark.asyncio
async def test_keeps_the_contract() -> None:
    taken: list[Change] = []

    await check_sink(
        lambda: CallbackSink(taken.extend), far_side=lambda: [(each.stream, each.epoch, each.seq) for each in taken]
    )
