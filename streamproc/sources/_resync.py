"""What a source can be given so that a broken stream is not the end of its run."""

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol, TypeAlias

from streamproc.model.message import Message
from streamproc.model.run import Run
from streamproc.model.run_step import RunStep

__all__ = ["AskForResult", "Resync"]

AskForResult: TypeAlias = Callable[[str, str | None], Coroutine[Any, Any, Sequence[Run | RunStep | Message]]]
"""The method below, as an attribute of a source that was given it."""


class Resync(Protocol):
    """How to ask a server for the result of a run; see `ResyncingSource.resync`."""

    async def resync(self, run_id: str, thread_id: str | None) -> Sequence[Run | RunStep | Message]: ...
