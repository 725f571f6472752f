"""The built-in run of the demo, and how fast something reads it.

It was written for this package: a code interpreter step, two parallel function calls whose fragments interleave, and,
in a second stream, their outputs and a message with a citation.
"""

import statistics
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

from streamproc.core.processor import StreamProcessor
from streamproc.core.sse import Frame, SSEParser

__all__ = ["bundled_paths", "bundled_streams", "frames_of", "merge", "microseconds_per_event"]

_NAMES: Final = ("demo-1.sse", "demo-2.sse")
_PASSES: Final = 15


def bundled_streams() -> list[bytes]:
    """The two streams of the run, in order."""
    folder = files("streamproc.cli")
    return [folder.joinpath(name).read_bytes() for name in _NAMES]


@contextmanager
def bundled_paths() -> Generator[list[Path]]:
    """The same streams as files."""
    folder = files("streamproc.cli")
    with ExitStack() as stack:
        yield [stack.enter_context(as_file(folder.joinpath(name))) for name in _NAMES]


def frames_of(streams: Sequence[bytes]) -> list[Frame]:
    """All events of some streams, as they are framed on the wire."""
    return [frame for stream in streams for frame in SSEParser().feed(stream)]


def merge(streams: Sequence[bytes]) -> tuple[StreamProcessor, int]:
    """Merge the streams of one run; returns the processor that holds the states, and how many changes there were."""
    proc = StreamProcessor(stream="demo")
    changes = 0
    for stream in streams:
        proc.open()
        changes += len(proc.feed(stream)) + len(proc.close())
    return proc, changes


def microseconds_per_event(streams: Sequence[bytes], work: Callable[[Sequence[bytes]], object]) -> float:
    """How long `work` takes for the streams, per event: the median of a few passes in this process.

    Processor time, so that whatever else a machine is busy with does not count against the slower one.
    """
    events = len(frames_of(streams))
    times: list[float] = []
    for _ in range(_PASSES):
        started = time.process_time()
        work(streams)
        times.append(time.process_time() - started)
    return statistics.median(times) / events * 1e6
