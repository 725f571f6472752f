"""The clock of the event loop."""

import asyncio
import time

import pytest

from streamproc.loop_clock import loop_clock


@pytest.mark.asyncio
async def test_the_clock_of_asyncio_itself() -> None:
    """What it gives is what the loop gives."""
    loop = asyncio.get_running_loop()
    before_s, now_s, after_s = loop.time(), loop_clock()(), loop.time()

    assert before_s <= now_s <= after_s
    assert loop_clock() is time.monotonic


def test_the_clock_of_another_loop() -> None:
    """It is asked as it is."""

    class Slow(asyncio.SelectorEventLoop):
        def time(self) -> float:
            return super().time() / 2

    async def clocks() -> tuple[float, float, float]:
        loop = asyncio.get_running_loop()
        return loop.time(), loop_clock()(), loop.time()

    with asyncio.Runner(loop_factory=Slow) as runner:
        before_s, now_s, after_s = runner.run(clocks())

    assert before_s <= now_s <= after_s < time.monotonic() * 0.75
