"""One stream of the ingest server: from its first request to its end, over as many requests as its client needs.

Its state changes in one synchronous step for each piece of a body, so that whatever cancels a request in between leaves
an offset that is right.
"""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from anyio import CancelScope, Event
from msgspec import UNSET, Struct, UnsetType

from streamproc.model.run import Run
from streamproc.pipeline import Pipeline, PushedStream
from streamproc.worker.ingest_body import Lines

__all__ = ["BodyKind", "IngestStream", "RunSummary", "Stopped", "StreamSummary"]

BodyKind: TypeAlias = Literal["sse", "ndjson"]
Stopped: TypeAlias = Literal["silent", "replaced", "draining"]
"""Why a request was stopped here: nothing came, another one took its place, the server stops."""

_RUNS_MAX: Final = 100  # that a summary names


class RunSummary(Struct, frozen=True, kw_only=True):
    """A run that a stream spoke of, as it is now."""

    id: str
    status: str | None  # None if it is not known, or not any more
    inferred_status: str | UnsetType = UNSET
    steps: int = 0
    messages: int = 0


class StreamSummary(Struct, frozen=True, kw_only=True):
    """A stream so far; the answer to its last request, and to who asks for it."""

    stream: str
    state: Literal["active", "interrupted", "ended"]
    epoch: int
    offset: int  # bytes of the body that were processed, from its beginning
    truncated: bool  # it ended before it said that it was complete
    failure: str | None  # what made it end, if it was not the end of its body
    changes: int
    anomalies: Mapping[str, int]
    runs: tuple[RunSummary, ...]  # in order of appearance, at most a hundred


class IngestStream:
    """A stream that is open: one request is attached to it at a time, or it waits for the next one.

    Attributes:
        offset: bytes of the body that were processed; of one that was compressed, of what it holds.
        heard_s: when a request last brought something; None while none is waited for.
    """

    def __init__(self, name: str, kind: BodyKind, dialect: str, pushed: PushedStream, pipeline: Pipeline) -> None:
        self.name = name
        self.kind: BodyKind = kind
        self.dialect = dialect
        self.pushed = pushed
        self.offset = 0
        self.heard_s: float | None = None
        self.failure: str | None = None
        self._pipeline = pipeline
        self._lines = Lines() if kind == "ndjson" else None
        self._runs: dict[str | None, None] = {}
        self._changes = 0
        self._scope: CancelScope | None = None
        self._stopped: Stopped | None = None
        self._free = Event()

    # -- requests -----------------------------------------------------------------------------------------------------

    def attach(self) -> CancelScope:
        """Take a request's place; it reads its body within this scope, and calls `detach` in the end."""
        self._scope, self._stopped, self._free = CancelScope(), None, Event()
        return self._scope

    def detach(self) -> Stopped | None:
        """Leave it again; returns why that was, if the request was stopped."""
        self._scope = None
        self.heard_s = None
        self._free.set()
        return self._stopped

    @property
    def is_attached(self) -> bool:
        return self._scope is not None

    def stop(self, why: Stopped) -> None:
        """Let the request that is attached, if there is one, end."""
        if self._scope is not None:
            self._stopped = self._stopped or why
            self._scope.cancel()

    async def released(self) -> None:
        """Return once no request is attached."""
        while self._scope is not None:
            await self._free.wait()

    # -- content ------------------------------------------------------------------------------------------------------

    async def feed(self, piece: bytes) -> None:
        """Process a piece of the body, and wait until there is room for more.

        Raises:
            LimitExceeded: nothing more of the stream can be processed.
        """
        self._take(piece if self._lines is None else self._lines.frames(piece))
        self.offset += len(piece)
        await self.pushed.room()

    def _take(self, data: bytes) -> None:
        changes = self.pushed.take(data)
        self._changes += len(changes)
        if len(self._runs) < _RUNS_MAX:
            self._runs.update(dict.fromkeys([change.run_id for change in changes]))

    def end_of_body(self) -> None:
        """Process what its end completes."""
        if self._lines is not None:
            self._take(self._lines.end())

    # -- what became of it --------------------------------------------------------------------------------------------

    def end(self) -> StreamSummary:
        """End the stream, wherever it is; what it left open is marked as truncated."""
        result = self.pushed.end()
        if result.error is not None:
            self.failure = self.failure or str(result.error)
        return self._summary("ended", truncated=result.truncated)

    def summary(self) -> StreamSummary:
        """The stream so far."""
        return self._summary("active" if self.is_attached else "interrupted", truncated=False)

    def _summary(self, state: Literal["active", "interrupted", "ended"], *, truncated: bool) -> StreamSummary:
        return StreamSummary(
            stream=self.name,
            state=state,
            epoch=self.pushed.epoch,
            offset=self.offset,
            truncated=truncated,
            failure=self.failure,
            changes=self._changes,
            anomalies=dict(self.pushed.anomalies),
            runs=tuple(_run(self._pipeline, id) for id in [*filter(None, self._runs)][:_RUNS_MAX]),
        )


def _run(pipeline: Pipeline, id: str) -> RunSummary:
    reducer = pipeline.reducer
    run: Run | None = reducer.runs.get(id)
    kinds = [kind for kind, _ in reducer.members(id)]
    inferred = None if run is None else reducer.note("run", id).inferred_status
    return RunSummary(
        id=id,
        status=None if run is None or not isinstance(run.status, str) else run.status,
        inferred_status=UNSET if inferred is None else inferred,
        steps=kinds.count("step"),
        messages=kinds.count("message"),
    )
