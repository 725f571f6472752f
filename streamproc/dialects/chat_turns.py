"""What the model calls of one agent run have in common, when each is a stream of its own.

An agent loop calls the model, runs the tools that it asked for, and calls it again with their outputs, until there is
an answer. The caller names the run; each call is a turn of it.
"""

from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar

from streamproc.dialects.translation import added_usage

__all__ = ["Calls", "ChatTurns"]

D = TypeVar("D")


class Calls:
    """The model calls of one run, as far as the next one must know of those before.

    Attributes:
        turn: which of them is the newest, from 1.
    """

    def __init__(self, turn: int = 0) -> None:
        self.turn = turn
        self._answers: list[tuple[str, str]] = []
        self._usage: dict[str, Any] = {}
        self._messages: set[str] = set()

    def message_id(self, native: str) -> str:
        """The id of the newest turn's message: the wire's, unless an earlier one has the same."""
        id = f"{native}:{self.turn}" if native in self._messages else native
        self._messages.add(id)
        return id

    def answer(self, call_id: str, output: str) -> None:
        """The output of a tool call, which the request of the next turn has."""
        self._answers.append((call_id, output))

    def take_answers(self) -> list[tuple[str, str]]:
        """The outputs since this was asked for last."""
        taken, self._answers = self._answers, []
        return taken

    def total(self, usage: Mapping[str, Any]) -> dict[str, Any]:
        """The usage of all turns, this one included. Asked for once a turn."""
        self._usage = added_usage(self._usage, usage)
        return self._usage


class ChatTurns(Generic[D]):
    """Makes the dialect of turn 1, 2, ...; each call is the next turn.

    turns = ChatDialect.turns("run_1")
    proc = StreamProcessor(turns)
    ...                             # the first stream
    turns.answer("call_1", "22 °C")
    proc.open()                     # the second
    """

    def __init__(self, make: Callable[[Calls], D], first_turn: int = 1) -> None:
        self._make = make
        self._calls = Calls(first_turn - 1)

    def __call__(self) -> D:
        self._calls.turn += 1
        return self._make(self._calls)

    @property
    def turn(self) -> int:
        """Which turn was begun last, from 1; before the first one, the number before it."""
        return self._calls.turn

    def answer(self, call_id: str, output: str) -> None:
        """Say what a tool gave: its step is completed when the next stream begins.

        Call it before the first bytes of that stream are processed.
        """
        self._calls.answer(call_id, output)
