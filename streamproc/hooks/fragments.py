"""What the hooks of deltas are given: one fragment, and which part of its object it belongs to.

On the wire only the first fragment of a tool call says which call it is, and an index may be wrong, absent or taken. A
fragment here always tells its place as the reducer found it.
"""

from msgspec import UNSET, Struct

from streamproc.core.events import ToolCallDelta
from streamproc.model.wire import Opt

__all__ = ["CallFragment", "TextFragment"]


class TextFragment(Struct, frozen=True):
    """What a delta added to a text or a refusal."""

    index: int  # of the block in its message; the same for all fragments of the block
    value: str


class CallFragment(ToolCallDelta, frozen=True, kw_only=True):
    """What a delta added to a tool call. `index`, `id` and `type` are always those of the call."""

    index: int = 0  # of the call in its step; the same for all fragments of the call
    type: str = ""
    name: Opt[str] = UNSET  # this and the rest: of `mcp` calls, whose payload stands on the call itself
    arguments: Opt[str] = UNSET
    output: Opt[str] = UNSET
    server_label: Opt[str] = UNSET

    @property
    def text(self) -> str:
        """The piece of the text that grows: of a call's arguments, or of a code interpreter's input; else ""."""
        holder = self.function or self
        piece = self.code_interpreter.input if self.code_interpreter else holder.arguments
        return piece if isinstance(piece, str) else ""
