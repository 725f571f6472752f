"""Turns of the event loop: how much is let through in each, and in which order."""

import asyncio

import anyio
import anyio.lowlevel
import pytest

from streamproc.worker.ingest_turns import Turns


class Loop:
    """Counts the turns of the event loop, beside everything else that happens in it."""

    def __init__(self) -> None:
        self.turn = 0

    def start(self) -> None:
        self.turn += 1
        asyncio.get_running_loop().call_soon(self.start)


async def taken(sizes: list[int], bytes_max: int) -> list[int]:
    """In which turn, counted from that of the first one, each piece was let through; all come at once."""
    turns, loop, found = Turns(bytes_max), Loop(), dict[int, int]()

    async def take(number: int, size: int) -> None:
        await turns.take(size)
        found[number] = loop.turn

    loop.start()
    async with anyio.create_task_group() as group:
        for number, size in enumerate(sizes):
            group.start_soon(take, number, size)
    assert list(found) == list(range(len(sizes)))  # in their order
    return [turn - found[0] for turn in found.values()]


@pytest.mark.asyncio
async def test_what_fits_is_let_through_at_once() -> None:
    """Up to the bound, and once beyond it."""
    assert await taken([40, 40, 40], 100) == [0, 0, 0]


@pytest.mark.asyncio
async def test_what_does_not_fit_waits_for_the_next_turns() -> None:
    """In each of them as much as fits, with one piece at least."""
    found = await taken([60, 60, 60, 60, 500, 10, 10], 100)

    assert found[:2] == [0, 0]
    assert found[2] == found[3] < found[4] < found[5] == found[6]


@pytest.mark.asyncio
async def test_each_turn_has_its_own_bytes() -> None:
    """What was let through before does not count."""
    turns, loop = Turns(100), Loop()
    loop.start()
    await turns.take(1000)
    await anyio.lowlevel.checkpoint()
    await anyio.lowlevel.checkpoint()
    since = loop.turn
    await turns.take(1000)

    assert loop.turn == since


@pytest.mark.asyncio
async def test_one_that_is_cancelled_leaves_the_line() -> None:
    """And the ones behind it are served."""
    turns, served = Turns(100), list[str]()

    async def take(name: str, scope: anyio.CancelScope) -> None:
        with scope:
            await turns.take(100)
            served.append(name)

    async with anyio.create_task_group() as group:
        scopes = {name: anyio.CancelScope() for name in "abcd"}
        for name, scope in scopes.items():
            group.start_soon(take, name, scope)
        scopes["c"].cancel()

    assert served == ["a", "b", "d"]
    assert not turns._line
