"""What a source can be given so that a broken stream is not the end of its run."""

from collections.abc import Sequence
from typing import Protocol

from streamproc.model.message import Message
from streamproc.model.run import Run
from streamproc.model.run_step import RunStep

__all__ = ["Resync"]


class Resync(Protocol):
    """How to ask a server for the result of a run; see `ResyncingSource.resync`."""

    async def resync(self, run_id: str, thread_id: str | None) -> Sequence[Run | RunStep | Message]: ...
