"""What `replay` prints on stdout: JSON lines for programs, or tables where people look at a terminal."""

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal, Protocol, TypeAlias

import msgspec

from streamproc.cli.spent import Spent
from streamproc.cli.tally import Tally
from streamproc.core.body import Kind
from streamproc.core.change import Change, Note, encode_change
from streamproc.display.terminal import escape_json
from streamproc.model.message import Message
from streamproc.model.run import Run
from streamproc.model.run_step import RunStep
from streamproc.model.wire import WireObject, to_wire

if TYPE_CHECKING:
    from streamproc.cost import Prices

__all__ = ["Consumer", "Output", "Printer", "States", "TablePrinter", "states"]

Output: TypeAlias = Literal["steps", "changes", "messages", "runs", "summary"]

_KINDS: Final[dict[Output, Kind]] = {"steps": "step", "messages": "message", "runs": "run"}


class States(Protocol):
    """A table of states, such as a reducer."""

    @property
    def runs(self) -> Mapping[str, Run]: ...

    @property
    def steps(self) -> Mapping[str, RunStep]: ...

    @property
    def messages(self) -> Mapping[str, Message]: ...

    def note(self, kind: Kind, id: str) -> Note: ...


class Consumer(Protocol):
    """What `replay` hands on to: changes at once, states when their table is done, counts when an input was read."""

    @property
    def needs_states(self) -> bool: ...

    def changes(self, changes: Iterable[Change]) -> None: ...

    def table(self, found: States, names: list[str]) -> None: ...

    def input(self, tally: Tally) -> None: ...


TablePrinter: TypeAlias = Callable[[Kind, States, list[str]], None]


class Printer:
    """Writes what one `--output` asks for as early as it is known: changes at once, states when their table is done."""

    def __init__(
        self,
        output: Output,
        out: BinaryIO,
        *,
        escape: bool,
        show_table: TablePrinter | None = None,
        prices: "Prices | None" = None,
    ) -> None:
        """
        Args:
            output: what to print.
            out: where JSON lines go.
            escape: whether `out` is a terminal.
            show_table: shows states to people instead of writing them as JSON lines.
            prices: what a summary takes cost from; without them there is none in it.
        """
        self._output: Output = output
        self._out = out
        self._escape = escape
        self._show_table = show_table
        self._prices = prices
        self._spent = Spent(prices)  # of the input that is being read

    @property
    def needs_states(self) -> bool:
        """Whether states must be kept until they are printed."""
        return self._output in _KINDS

    def changes(self, changes: Iterable[Change]) -> None:
        """Some changes were made."""
        if self._output == "changes":
            self._write(map(encode_change, changes))
        elif self._output == "summary":
            self._spent.take(changes)

    def table(self, found: States, names: list[str]) -> None:
        """A table of states is complete; `names` are the inputs that it came from."""
        kind = _KINDS.get(self._output)
        if kind is None:
            return
        if self._show_table is not None:
            self._show_table(kind, found, names)
        else:
            self._write(_lines(kind, found))

    def input(self, tally: Tally) -> None:
        """An input was read."""
        if self._output == "summary":
            spent, self._spent = self._spent, Spent(self._prices)
            self._write([msgspec.json.encode(tally.summary() | spent.summary())])

    def _write(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            self._out.write(escape_json(line) if self._escape else line)
            self._out.write(b"\n")
        self._out.flush()


def states(kind: Kind, found: States) -> Iterable[tuple[WireObject, Note]]:
    """The objects of one kind in order of appearance, with what is known beside each."""
    table: Mapping[str, WireObject] = {"run": found.runs, "step": found.steps, "message": found.messages}[kind]
    for id, state in table.items():
        yield state, found.note(kind, id)


def _lines(kind: Kind, found: States) -> Iterable[bytes]:
    for state, note in states(kind, found):
        yield _line(to_wire(state), note)


def _line(wire: bytes, note: Note) -> bytes:
    """An object as one line; what is only inferred about it stands beside its members."""
    beside: dict[str, Any] = {}
    if note.inferred_status is not None:
        beside["inferred_status"] = note.inferred_status
    if note.truncated:
        beside["truncated"] = True
    if beside:
        return msgspec.json.encode({**msgspec.json.decode(wire), **beside})
    # A payload may span several lines, and this changes no value.
    return msgspec.json.format(wire, indent=-1) if b"\n" in wire else wire
