"""One measured pass: a client follows the streams of a plan; the clock runs from the first delta to the last one."""

import asyncio
import gc
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, process_time
from typing import Final, NamedTuple, TypeVar

import msgspec
from anyio import create_task_group, fail_after

from benchmarks.live.clients import Client
from benchmarks.live.server import Plan, conversations

__all__ = ["LoopFactory", "Pass", "follow", "server"]

_ROOT: Final = Path(__file__).resolve().parent.parent.parent
_LIMIT_S: Final = 60.0
_AFTER_S: Final = 0.05  # for what is still on its way once the last delta was sent

LoopFactory = Callable[[], asyncio.AbstractEventLoop]
_C = TypeVar("_C", bound=Client)


class Pass(NamedTuple):
    """What one pass took."""

    events: int
    cpu_s: float  # of this process
    wall_s: float
    reads: int

    @property
    def event_s(self) -> float:
        """CPU seconds for each delta."""
        return self.cpu_s / self.events


@contextmanager
def server() -> Iterator[int]:
    """The far side as a process of its own; gives its port on 127.0.0.1."""
    command = [sys.executable, "-m", "benchmarks.live.server"]
    with subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()  # it ends with it
            process.wait(10)


def follow(port: int, loop_factory: LoopFactory | None, plan: Plan, client: Client) -> Pass:
    """Let a client follow the streams of a plan in an event loop of its own.

    Raises:
        AssertionError: a text did not arrive as it was sent.
    """
    conversations(plan.sockets, plan.events)  # here, since what is garbage now is not measured
    gc.collect()
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(_follow(port, plan, client))


async def _follow(port: int, plan: Plan, client: Client) -> Pass:
    with fail_after(_LIMIT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(msgspec.json.encode(plan))
        await _expect(reader, b"ready")
        async with create_task_group() as group:
            group.start_soon(client.follow, [f"http://127.0.0.1:{port}/{number}" for number in range(plan.sockets)])
            await _expect(reader, b"go")
            cpu_s, wall_s, reads = process_time(), perf_counter(), client.reads
            await _expect(reader, b"end")
            await asyncio.sleep(_AFTER_S)
            cpu_s, wall_s, reads = process_time() - cpu_s, perf_counter() - wall_s, client.reads - reads
            texts = client.texts()
            writer.write(b"close")
        writer.close()
        await writer.wait_closed()
    if texts is not None and not plan.stamped:
        expected = {each.message_id: each.text for each in conversations(plan.sockets, plan.events)}
        assert expected == texts, "a text did not arrive as it was sent"
    return Pass(plan.sockets * plan.events, cpu_s, wall_s, reads)


async def _expect(reader: asyncio.StreamReader, word: bytes) -> None:
    line = await reader.readline()
    if line.strip() != word:
        raise RuntimeError(f"the server said {line!r} instead of {word!r}")
