"""For processes that a test sends signals to."""

import signal
import subprocess
from typing import Final

__all__ = ["heed_interrupts", "interrupt"]

_PATIENCE_S: Final = 30.0


def heed_interrupts() -> None:
    """A shell lets what it runs in the background ignore SIGINT, and its children inherit that: the tests' as well."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupt(child: "subprocess.Popen[bytes]") -> None:
    """Press ^C and wait until a process has ended that waits for input.

    Python sees a signal that comes between its last look and the system call that reads only after that call, so one in
    a million is pressed again, as people do.
    """
    child.send_signal(signal.SIGINT)
    try:
        child.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        child.send_signal(signal.SIGINT)
        child.wait(_PATIENCE_S)
