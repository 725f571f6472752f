"""What is wrong with a config file: one line a mistake, each with its place and what to do."""

from collections.abc import Sequence

from msgspec import Struct

from streamproc.errors import ConfigError
from streamproc.worker.config.places import Path, dotted

__all__ = ["Fault", "InvalidConfig"]


class Fault(Struct, frozen=True):
    """One mistake."""

    file: str
    line: int
    path: Path  # () is the file as a whole
    text: str

    def __str__(self) -> str:
        place = f"{dotted(self.path)}: " if self.path else ""
        return f"{self.file}:{self.line}: {place}{self.text}"


class InvalidConfig(ConfigError):
    """A config file cannot work.

    Attributes:
        faults: all mistakes that were found, in the order of their lines; at least one.
    """

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = tuple(sorted(faults, key=lambda fault: fault.line))
        super().__init__(self.faults)

    def __str__(self) -> str:
        return "\n".join(str(fault) for fault in self.faults)
