"""The exit codes, which are a promise to scripts."""

from enum import IntEnum

__all__ = ["Exit"]


class Exit(IntEnum):
    """The worst code wins; an interrupt beats them all."""

    OK = 0
    DATA = 1  # the data or a run had errors: a failed run, an error event, a truncated stream, an undecodable payload
    USAGE = 2  # the command could not be carried out as given: a missing file, an unknown option, a missing package
    INTERRUPTED = 130
