"""The commonest deltas, as structs so narrow that decoding one proves what is in it.

Nearly every event of a run is one fragment of text for one known place: the arguments of a function call, the input of
a code interpreter, the text of a message. These structs fit exactly that and nothing more (no other member anywhere,
one entry, text where text belongs), so the reducer can append the text without looking further. Any other payload fails
to decode here and is merged as plain data, by the general rules.
"""

from collections.abc import Callable
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct, field

from streamproc.core.events import MESSAGE_DELTA, STEP_DELTA

__all__ = [
    "ENTRIES",
    "FRAGMENT_DECODERS",
    "Fragment",
    "FragmentDecoder",
    "FragmentError",
    "MessageFragment",
    "StepFragment",
    "TextPath",
]


class _Exact(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    pass


class _Arguments(_Exact, frozen=True):
    text: str = field(name="arguments")


class _Input(_Exact, frozen=True):
    text: str = field(name="input")


class _Value(_Exact, frozen=True):
    text: str = field(name="value")


class FunctionEntry(_Exact, frozen=True, tag="function"):
    index: int
    payload: _Arguments = field(name="function")


class CodeInterpreterEntry(_Exact, frozen=True, tag="code_interpreter"):
    index: int
    payload: _Input = field(name="code_interpreter")


class TextEntry(_Exact, frozen=True):
    index: int
    type: Literal["text"]  # a tag may be absent where nothing else is possible
    payload: _Value = field(name="text")


class _StepDetails(_Exact, frozen=True):
    type: Literal["tool_calls"]
    entries: tuple[FunctionEntry | CodeInterpreterEntry] = field(name="tool_calls")


class _StepDelta(_Exact, frozen=True):
    place: _StepDetails = field(name="step_details")


class _Content(_Exact, frozen=True):
    entries: tuple[TextEntry] = field(name="content")


class StepFragment(_Exact, frozen=True):
    """One fragment for one tool call of one step."""

    id: str
    delta: _StepDelta
    object: Literal["thread.run.step.delta"]

    @property
    def entry(self) -> FunctionEntry | CodeInterpreterEntry:
        return self.delta.place.entries[0]


class MessageFragment(_Exact, frozen=True):
    """One fragment for one text block of one message."""

    id: str
    delta: _Content
    object: Literal["thread.message.delta"]

    @property
    def entry(self) -> TextEntry:
        return self.delta.entries[0]


TextPath: TypeAlias = tuple[str, str, str]
"""The type of an entry, its member that grows, and the text therein."""

ENTRIES: Final[dict[type[Struct], TextPath]] = {
    FunctionEntry: ("function", "function", "arguments"),
    CodeInterpreterEntry: ("code_interpreter", "code_interpreter", "input"),
    TextEntry: ("text", "text", "value"),
}
"""The entry of a fragment -> where its text stands."""

Fragment: TypeAlias = StepFragment | MessageFragment
FragmentDecoder: TypeAlias = Callable[[bytes], Fragment]
FragmentError: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What a decoder raises for a payload that is something else."""

FRAGMENT_DECODERS: Final[dict[str, FragmentDecoder]] = {
    STEP_DELTA: msgspec.json.Decoder(StepFragment).decode,
    MESSAGE_DELTA: msgspec.json.Decoder(MessageFragment).decode,
}
