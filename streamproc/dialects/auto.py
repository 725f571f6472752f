"""The dialect of a stream whose wire format nobody named: found out from its first frame.

A frame that could be any dialect's (an error, a ping, bytes that are no JSON) decides nothing; it is read as canonical
ones are, and the next frame is asked.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from streamproc.core.dialect import Dialect, detect, dialect_factory
from streamproc.core.events import DONE, Event
from streamproc.core.sse import Frame
from streamproc.dialects.assistants import AssistantsDialect

__all__ = ["AutoDialect"]


class AutoDialect:
    """Decodes with the first registered dialect that recognises a frame."""

    def __init__(self) -> None:
        self.chosen: Dialect | None = None
        self._undecided = AssistantsDialect()

    @property
    def cursor(self) -> str | None:
        return None if self.chosen is None else self.chosen.cursor

    def decode(self, frame: Frame) -> Sequence[Event]:
        """Return the events of a frame; never raises."""
        if self.chosen is None and (name := detect(frame.event, _payload(frame))) is not None:
            self.chosen = dialect_factory(name)()
        return (self.chosen or self._undecided).decode(frame)

    def finish(self) -> Sequence[Event]:
        """Return what the end of the stream reveals."""
        return (self.chosen or self._undecided).finish()


def _payload(frame: Frame) -> Mapping[str, Any]:
    """The payload, if it is a JSON object; else nothing to recognise it by."""
    if frame.event == DONE or not frame.data.lstrip().startswith(b"{"):
        return {}
    try:
        data = msgspec.json.decode(frame.data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
