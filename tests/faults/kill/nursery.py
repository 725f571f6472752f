"""Where lives are born: a process that has imported everything, and forks one child after the other.

`Nursery` is its side in the test, `python -m tests.faults.kill.nursery` the process itself. A fork takes milliseconds
where a new interpreter takes most of a second, and a child's end is seen by who forked it.
"""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec
from msgspec import Struct

from tests.faults.kill.life import Spec, live

__all__ = ["Birth", "Ended", "Nursery"]

_HUNG_S: Final = 40.0


class Birth(Struct, frozen=True):
    pid: int


class Ended(Struct, frozen=True):
    """How a life ended."""

    status: int  # exit code; minus the signal's number when one killed it
    was_reached: bool = False  # the point that was aimed at
    was_there: bool = False  # and it died there
    is_hung: bool = False


class Nursery:
    """Starts lives, one at a time, and ends them."""

    def __enter__(self) -> Self:
        self._report, theirs = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(theirs)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,  # `select` must see what has not been read
            pass_fds=[theirs],
            cwd=Path(__file__).parents[3],
        )
        os.close(theirs)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        os.close(self._report)

    def live(self, spec: Spec, *, kill_after_s: float | None = None) -> Ended:
        """Let a life be lived, and kill it `kill_after_s` after its birth, or after it reached what it is aimed at."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(msgspec.json.encode(spec) + b"\n")
        out, report = self._process.stdout.fileno(), self._report
        pid = msgspec.json.decode(self._process.stdout.readline(), type=Birth).pid
        told = b""
        if kill_after_s is not None:
            ready = [report]
            if spec.aim is not None:
                ready, _, _ = select.select([report, out], [], [], _HUNG_S)
                told += os.read(report, 1) if report in ready else b""
            if spec.aim is None or told:
                select.select([out], [], [], kill_after_s)  # it may end by itself before
            if not select.select([out], [], [], 0)[0]:
                os.kill(pid, signal.SIGKILL)
        is_hung = not select.select([out], [], [], _HUNG_S)[0]
        if is_hung:
            os.kill(pid, signal.SIGKILL)
        status = msgspec.json.decode(self._process.stdout.readline(), type=Ended).status
        while select.select([report], [], [], 0)[0]:
            told += os.read(report, 64)
        return Ended(status, was_reached=b"R" in told, was_there=told == b"R", is_hung=is_hung)


def main() -> None:
    report = int(sys.argv[1])
    for line in sys.stdin.buffer:
        spec = msgspec.json.decode(line, type=Spec)
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = live(spec, report)
            finally:
                os._exit(code)
        _say(Birth(pid))
        _, status = os.waitpid(pid, 0)
        _say(Ended(os.waitstatus_to_exitcode(status)))


def _say(what: Struct) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(what) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
