"""The virtual clock: jumps, order, real sockets and threads, and what would hang."""

import asyncio
import socket
import time
from threading import Thread

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from streamproc.testing.clock import run_virtual


def test_a_day_passes_at_once() -> None:
    """Longer than the longest wait that asyncio asks of a selector, which is a day."""

    async def sleep() -> float:
        await anyio.sleep(3 * 86400.5)
        return anyio.current_time()

    began = time.monotonic()

    assert run_virtual(sleep) == 3 * 86400.5
    assert time.monotonic() - began < 10


def test_arguments_go_in_and_the_result_comes_out() -> None:
    async def add(first: int, second: int) -> int:
        return first + second

    assert run_virtual(add, 1, 2) == 3


def test_timers_fire_in_order_and_on_time() -> None:
    """Among them one that is set while another is waited for, and two at the same time."""
    fired: list[tuple[str, float]] = []

    async def wait(name: str, seconds: float) -> None:
        await anyio.sleep(seconds)
        fired.append((name, anyio.current_time()))

    async def main() -> None:
        async with anyio.create_task_group() as group:
            for name, seconds in [("c", 2.0), ("a", 0.5), ("b", 1.0), ("d", 2.0)]:
                group.start_soon(wait, name, seconds)

    run_virtual(main)

    assert fired == [("a", 0.5), ("b", 1.0), ("c", 2.0), ("d", 2.0)]


def test_cancel_scopes_and_timeouts_keep_virtual_time() -> None:
    async def main() -> list[float]:
        times = []
        with anyio.move_on_after(1.5):
            await anyio.sleep_forever()
        times.append(anyio.current_time())
        with pytest.raises(TimeoutError), anyio.fail_after(1):
            await anyio.sleep(2)
        times.append(anyio.current_time())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.sleep(9), 3)
        return [*times, anyio.current_time()]

    assert run_virtual(main) == [1.5, 2.5, 5.5]


def test_a_busy_loop_moves_no_clock() -> None:
    async def main() -> float:
        for _ in range(100):
            await anyio.lowlevel.checkpoint()
        return anyio.current_time()

    assert run_virtual(main) == 0


def test_sockets_are_served_before_the_clock_moves() -> None:
    async def main() -> tuple[bytes, float]:
        left, right = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=left)
        with right, anyio.fail_after(5):
            right.sendall(b"hello")
            received = await reader.read(5)
        writer.close()
        await writer.wait_closed()
        return received, anyio.current_time()

    assert run_virtual(main) == (b"hello", 0)


def test_a_socket_without_timers_is_waited_for() -> None:
    """A thread writes a little later, in real time, than the loop runs out of work."""

    async def main() -> bytes:
        left, right = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=left)

        def answer() -> None:
            time.sleep(0.05)
            right.sendall(b"late")

        with right:
            answering = Thread(target=answer)
            answering.start()
            received = await reader.read(4)
            answering.join()
        writer.close()
        await writer.wait_closed()
        return received

    assert run_virtual(main, patience_s=0.001) == b"late"


def test_a_thread_is_waited_for() -> None:
    def work() -> str:
        time.sleep(0.01)
        return "done"

    async def main() -> str:
        return await anyio.to_thread.run_sync(work)

    assert run_virtual(main, patience_s=60) == "done"


def test_what_would_hang_raises_and_leaves_no_task() -> None:
    ended = []

    async def wait() -> None:
        try:
            await anyio.sleep_forever()
        finally:
            ended.append("child")

    async def main() -> None:
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(wait)
        finally:
            ended.append("main")

    with pytest.raises(RuntimeError, match="every task waits"):
        run_virtual(main, patience_s=0.01)

    assert ended == ["child", "main"]
