"""Room in one inbox; how lanes and readers use it is in test_fanout.py."""

import asyncio

import anyio
import anyio.lowlevel

from streamproc.delivery.room import Room
from tests.unit.delivery.sinks import virtual


@virtual
async def test_waiting_without_a_pause_returns_at_once() -> None:
    expired: list[str] = []

    await Room(4).wait(lambda: expired.append("expired"))

    assert (expired, anyio.current_time()) == ([], 0)


@virtual
async def test_room_at_the_last_moment_counts() -> None:
    """The time is up and the waiter about to be told, when room is made."""
    expired: list[str] = []
    room = Room(4)
    room.is_full = True
    room.begin_pause(0)
    async with anyio.create_task_group() as group:
        group.start_soon(room.wait, lambda: expired.append("expired"))
        await anyio.lowlevel.checkpoint()
        asyncio.get_running_loop().call_at(4, room.free)

    assert (expired, anyio.current_time()) == ([], 4)


@virtual
async def test_a_new_pause_is_not_cut_short_by_an_old_one() -> None:
    """Room was made and taken again in the moment in which the first pause was too long."""
    expired: list[float] = []
    room = Room(4)

    def fill() -> None:
        room.is_full = True
        room.begin_pause(asyncio.get_running_loop().time())

    def refill() -> None:
        room.free()
        fill()

    fill()
    async with anyio.create_task_group() as group:
        group.start_soon(room.wait, lambda: expired.append(anyio.current_time()))
        await anyio.lowlevel.checkpoint()
        asyncio.get_running_loop().call_at(4, refill)
        await anyio.sleep(5)
        await room.wait(lambda: expired.append(anyio.current_time()))

    assert expired == [8]
