"""What a campaign needs to know of a kind of sink: where its changes go, and how to read what arrived there.

A far side is entered before the first worker and left after the last one. What it reads is said in *items*: whatever
the sink's own identity is, by which a change that came twice is applied once, within a group that has an order. For a
JSONL file an item is a change, for a table the state of an object, for a trace a span.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from msgspec import Struct, field

from streamproc import Change

__all__ = ["FarSide", "Item", "Open", "Reading", "Server", "lose_last_line"]

Item: TypeAlias = tuple[str, Hashable]
"""The group within which there is an order, and the identity."""


class Server(Protocol):
    """A process, or several, that a sink talks to; it keeps its address and what it has taken over its lives."""

    def kill(self) -> None:
        """End it at once; returns when it has ended."""
        ...

    def start(self) -> None:
        """Begin its next life; returns when it answers."""
        ...

    def pause(self) -> None:
        """Leave it where it is: connections stay open, and nothing answers."""
        ...

    def resume(self) -> None:
        """Let it go on."""
        ...


class Reading(Struct, kw_only=True):
    """What arrived, and what should have."""

    allowed: Sequence[Item]  # all that the journal has, in its order
    wanted: Sequence[Item]  # those that have to be there in the end; of states the newest ones
    applied: Sequence[Item]  # what the far side made its own, in that order, after repeated ones were left out
    repeated: int  # how many came to it although it had them
    wrong: list[str] = field(default_factory=list)  # what is there, and is not what it should be


class FarSide(Protocol):
    """Where the changes of one campaign go."""

    @property
    def noun(self) -> str:
        """What its items are, in the plural."""
        ...

    @property
    def clients(self) -> int:
        """How many senders give the sink enough to do, and not much more."""
        ...

    @property
    def delivers(self) -> Sequence[str]:
        """By which `deliver` of its policy it can be fed; the first one is the usual one."""
        ...

    @property
    def server(self) -> Server | None:
        """What can be killed; None: there is nothing, as for a file."""
        ...

    def sink(self) -> str:
        """Its `[[sinks]]` in the config of a worker, without a policy."""
        ...

    def size(self) -> int:
        """A number that grows when something arrives; cheap."""
        ...

    def repeated(self, skipped: int) -> int:
        """How many items came that were there; `skipped` is what workers logged as such."""
        ...

    def read(self, journal: Sequence[Change], states: Mapping[str, Any], skipped: int) -> Reading:
        """Compare what arrived with the journal, and with the newest states by id (JSON data)."""
        ...

    def lose_one(self) -> None:
        """Take away what arrived last, to see that `read` notices."""
        ...


Open: TypeAlias = Callable[[Path], AbstractContextManager[FarSide]]
"""Makes one in a folder, which is the one that workers run in, too."""


def lose_last_line(path: Path) -> None:
    """What `lose_one` is where each arrival is a line of a file."""
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
