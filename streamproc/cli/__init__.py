"""The command line. Importing this package is free: what needs the `cli` extra is imported by `main`."""

import sys
from collections.abc import Sequence
from importlib.util import find_spec

from streamproc.cli.interrupts import interrupts_held

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        argv: the arguments, without the program's name; those of the process by default.
    """
    if find_spec("cyclopts") is None or find_spec("rich") is None:
        sys.stderr.write('the command line needs an extra: pip install "streamproc[cli]"\n')
        return 2
    try:
        with interrupts_held():
            from streamproc.cli.app import run

        return run(sys.argv[1:] if argv is None else argv)
    except KeyboardInterrupt:  # the import takes a moment, too
        return 130
