"""The first signal asks, a second one ends: in programs of their own, since nothing is left of the second one's."""

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import asyncio, os, signal, sys
pid, numbers = int(sys.argv[1]), [int(word) for word in sys.argv[2:]]
if pid:
    own, os.getpid = os.getpid(), lambda: pid  # as in a container
else:
    own = os.getpid()
from streamproc.worker.signals import first_signal

async def main():
    asked = asyncio.Event()
    told = []
    with first_signal(lambda name: (told.append(name), asked.set())):
        os.kill(own, numbers[0])
        await asked.wait()
        print(*told, flush=True)
        for number in numbers[1:]:
            os.kill(own, number)
            await asyncio.sleep(10)

asyncio.run(main())
"""


def ended(pid: int, *numbers: int) -> tuple[int, str]:
    """Exit code, and what was told."""
    words = [sys.executable, "-W", "error", "-c", PROGRAM, str(pid), *map(str, numbers)]
    result = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert result.stderr == ""
    return result.returncode, result.stdout.strip()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_one_is_told_by_its_name(number: signal.Signals) -> None:
    """And ends nothing by itself."""
    assert ended(0, number) == (0, number.name)


@pytest.mark.slow
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_one_is_left_to_the_system(second: signal.Signals) -> None:
    """Whichever the first one was."""
    assert ended(0, signal.SIGTERM, second) == (-second, "SIGTERM")


@pytest.mark.slow
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_the_first_process_of_a_container_exits_by_itself(second: signal.Signals) -> None:
    """The system would not end it; the code is the one that a shell says of the others."""
    assert ended(1, signal.SIGTERM, second) == (128 + second, "SIGTERM")


@pytest.mark.asyncio
async def test_handlers_are_as_they_were_when_none_came() -> None:
    from streamproc.worker.signals import first_signal

    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]
    with first_signal(print):
        assert signal.getsignal(signal.SIGTERM) not in before

    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)] == before
