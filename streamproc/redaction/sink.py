"""Redacted: a sink whose changes are redacted before another one gets them."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Self

import msgspec

from streamproc.core.change import Change
from streamproc.errors import SinkRejected, SinkUnavailable
from streamproc.protocols import Sink
from streamproc.redaction.changes import Redactor
from streamproc.redaction.rules import Redaction

__all__ = ["Redacted"]


class Redacted:
    """Wraps a sink, and is that sink for whoever feeds it: in logs, in metrics, and of its position in a store.

    Promise: that of the sink inside. A batch that comes again is redacted in the same way, since what a change was
    redacted to is kept until the sink has answered for it; dead letters hold the changes as they were.

        Pipeline(sinks=[Redacted(JsonlSink("changes.jsonl"), Redaction())])
    """

    def __init__(self, sink: Sink, redaction: Redaction | None = None) -> None:
        """
        Args:
            sink: the one inside.
            redaction: what is masked; by default all that is known.
        """
        self.sink = sink
        self.name = str(getattr(sink, "name", None) or type(sink).__name__)
        self._redactor = Redactor((Redaction() if redaction is None else redaction).rules)
        self._waiting: dict[int, tuple[Change, Change | None]] = {}  # by identity: what came, and what was made of it

    async def __aenter__(self) -> Self:
        if isinstance(self.sink, AbstractAsyncContextManager):
            await self.sink.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        if isinstance(self.sink, AbstractAsyncContextManager):
            handled: bool | None = await self.sink.__aexit__(kind, error, traceback)
            return handled
        return None

    async def write(self, batch: Sequence[Change]) -> None:
        """Redact a batch and hand it on.

        Raises:
            SinkUnavailable: as the sink inside.
            SinkRejected: as the sink inside, with the changes as they came; or a change cannot be redacted, because
                what it holds is nested too deep or is no JSON.
        """
        shown = self._redacted(batch)
        rejected: list[object] = [before for before, after in shown if after is None]
        reason = "they cannot be redacted"
        try:
            await self.sink.write([after for _, after in shown if after is not None])
        except SinkUnavailable:
            raise
        except SinkRejected as error:
            originals = {id(after): before for before, after in shown}
            named = [originals.get(id(change), change) for change in error.changes]
            reason = f"{error.reason}; {len(rejected)} of them cannot be redacted" if rejected else error.reason
            rejected = named + rejected
        except Exception:
            self._settled(batch)  # they do not come again
            raise
        self._settled(batch)
        if rejected:
            raise SinkRejected(reason, rejected)

    def _redacted(self, batch: Sequence[Change]) -> list[tuple[Change, Change | None]]:
        """The changes of a batch, with what the sink inside gets of each: the same each time they come."""
        if batch and id(batch[0]) not in self._waiting:
            self._waiting.clear()  # those were given up
        out: list[tuple[Change, Change | None]] = []
        for change in batch:
            known = self._waiting.get(id(change))
            if known is None:
                try:
                    known = change, self._redactor.change(change)
                except (msgspec.MsgspecError, ValueError, TypeError, RecursionError):
                    known = change, None
                self._waiting[id(change)] = known
            out.append(known)
        return out

    def _settled(self, batch: Sequence[Change]) -> None:
        for change in batch:
            self._waiting.pop(id(change), None)
