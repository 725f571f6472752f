"""What runs have come to so far, and waiting for it.

An outcome refers to the newest change of each object of its run, so it keeps no state and no text of its own. A run is
*settled* once nothing more is to be expected of it: it ended, or its stream did (broken off, or at a required action
that nobody answered). One that goes on in a later stream is unsettled again.

Runs are forgotten whole: those that ended beyond `Limits.max_closed_runs`, the oldest first, open ones beyond
`Limits.max_open_runs`, and whichever the owner of the streams evicts.
"""

from collections.abc import AsyncGenerator, Iterable

import anyio

from streamproc.core.change import Change
from streamproc.core.limits import Limits
from streamproc.errors import StreamprocError
from streamproc.hooks.texts import TextFeed, texts_of

__all__ = ["Outcome", "Outcomes", "Tracked"]


class Outcome:
    """One run: its newest change, its steps and messages in order of appearance, and who reads its text."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.run: Change | None = None
        self.steps: dict[str, Tracked] = {}
        self.messages: dict[str, Tracked] = {}
        self.status: object = None  # the last one that hooks were told of
        self.asked: tuple[str, ...] = ()  # ids of the calls in the last required action they were told of
        self.ended = False
        self.settled = False
        self.feeds: list[TextFeed] = []


class Tracked:
    """One step or message: the newest change of it, and what hooks were told of it."""

    __slots__ = ("aliases", "annotations", "done", "known", "last", "lost", "outcome", "places")

    def __init__(self, last: Change, outcome: Outcome) -> None:
        self.last = last
        self.outcome = outcome
        self.done = False
        self.known: set[int] = set()  # the parts that hooks were told of, by index
        self.aliases: dict[int, int] = {}  # index since the last snapshot -> the one hooks know; those that differ
        self.lost: dict[int, object] = {}  # parts that a later snapshot does not have
        self.annotations: dict[int, set[int]] = {}  # index of a block -> the annotations that hooks were told of
        self.places: dict[object, object] = {}  # what stands around a text fragment -> where that goes

    def finish(self) -> None:
        """Keep no more than it takes to stay silent about whatever comes late."""
        self.done = True
        self.known, self.aliases, self.lost, self.annotations, self.places = set(), {}, {}, {}, {}


class Outcomes:
    """All runs that one `RunHooks` was told of."""

    def __init__(self) -> None:
        self.limits = Limits()
        self._is_attached = False  # whether somebody tells of changes
        self.steps: dict[str, Tracked] = {}
        self.messages: dict[str, Tracked] = {}
        self._open: dict[str, Outcome] = {}
        self._ended: dict[str, Outcome] = {}
        self._streams: dict[str, dict[str, None]] = {}  # stream that goes on -> its runs, the current one last
        self._latest: str | None = None  # the run that began last
        self._is_over = False  # no stream goes on that could bring a run
        self._event: anyio.Event | None = None  # set and replaced at each news

    # -- told -------------------------------------------------------------------------------------------------------

    def attach(self, limits: Limits) -> None:
        """Somebody will tell of changes."""
        self.limits = limits
        self._is_attached = True
        self._is_over = False

    def hear(self, stream: str) -> dict[str, None]:
        """Something came on a stream; returns the runs it was about so far."""
        self._is_over = False
        return self._streams.setdefault(stream, {})

    def enter(self, stream: str, run_id: str) -> Outcome:
        """The outcome of the run that a change on a stream is about; "" stands for an unknown run."""
        runs = self.hear(stream)
        if next(reversed(runs), None) != run_id:
            runs.pop(run_id, None)
            runs[run_id] = None
        outcome = self._open.get(run_id) or self._ended.get(run_id)
        if outcome is None:
            if len(self._open) >= self.limits.max_open_runs:
                self.evict(next(iter(self._open)))
            outcome = self._open[run_id] = Outcome(run_id)
            self._latest = run_id
            self.tell()
        outcome.settled = outcome.ended
        return outcome

    def track(self, change: Change) -> tuple[Tracked, Change | None]:
        """What is known of the step or message that changed, and the change before; None when it is the first."""
        table = self.steps if change.kind == "step" else self.messages
        tracked = table.get(change.id)
        if tracked is None:
            outcome = self.enter(change.stream, change.run_id or "")
            tracked = table[change.id] = Tracked(change, outcome)
            self._add(tracked)
            return tracked, None
        last, tracked.last = tracked.last, change
        if last.body is not change.body or last.stream != change.stream or tracked.outcome.settled:
            outcome = self.enter(change.stream, change.run_id or "")
            if outcome is not tracked.outcome:  # it was made before its run was known
                self._members(tracked).pop(change.id, None)
                tracked.outcome = outcome
                self._add(tracked)
        return tracked, last

    def end(self, outcome: Outcome) -> None:
        """A run got a terminal status."""
        if not outcome.ended:
            outcome.ended = outcome.settled = True
            self._open.pop(outcome.run_id, None)
            self._ended[outcome.run_id] = outcome
            while len(self._ended) > max(self.limits.max_closed_runs, 1):  # what its end says of its steps is to come
                self.evict(next(iter(self._ended)))
            self.tell()

    def end_stream(self, stream: str) -> str | None:
        """Nothing more will come on a stream; returns the run it was about last."""
        runs = self._streams.pop(stream, {})
        self._settle(runs)
        self._is_over = self._is_over or not self._streams
        self.tell()
        return next((run_id for run_id in reversed(runs) if run_id), None)

    def close(self) -> None:
        """Nothing more will come at all."""
        for runs in self._streams.values():
            self._settle(runs)
        self._is_over = True
        self.tell()

    def evict(self, run_id: str) -> None:
        """Forget a run. Who waits for it gets what it had come to."""
        outcome = self._open.pop(run_id, None) or self._ended.pop(run_id, None)
        if outcome is not None:
            outcome.settled = True
            for id in outcome.steps:
                self.steps.pop(id, None)
            for id in outcome.messages:
                self.messages.pop(id, None)
            self.tell()

    def tell(self) -> None:
        """Wake all who wait."""
        if self._event is not None:
            self._event.set()
            self._event = None

    def _settle(self, run_ids: Iterable[str]) -> None:
        for run_id in run_ids:
            if run_id in self._open:
                self._open[run_id].settled = True

    def _members(self, tracked: Tracked) -> dict[str, Tracked]:
        return tracked.outcome.steps if tracked.last.kind == "step" else tracked.outcome.messages

    def _add(self, tracked: Tracked) -> None:
        members = self._members(tracked)
        if len(members) >= self.limits.max_steps_per_run:
            oldest = next(iter(members))
            del members[oldest]
            (self.steps if members is tracked.outcome.steps else self.messages).pop(oldest, None)
        members[tracked.last.id] = tracked

    # -- asked ------------------------------------------------------------------------------------------------------

    async def begun(self, run_id: str | None) -> Outcome:
        """Wait until a run was seen.

        Raises:
            StreamprocError: there is none, and no stream left that could bring it.
        """
        while (outcome := self._find(run_id)) is None:
            if not self._is_attached:
                raise StreamprocError("expected hooks that belong to a pipeline; these will see no run")
            if self._is_over:
                raise StreamprocError("no run was seen" if run_id is None else f"run {run_id!r} was not seen")
            await self._news()
        return outcome

    async def settled(self, run_id: str | None) -> Outcome:
        """Wait until a run is settled; without an id, the one that began last.

        Raises:
            StreamprocError: as `begun`.
        """
        outcome = await self.begun(run_id)
        while not outcome.settled:
            await self._news()
            outcome = self._find(run_id) or outcome
        return outcome

    async def texts(self, run_id: str | None) -> AsyncGenerator[str, None]:
        """The text of a run from its beginning, in pieces as they come, until the run is settled.

        Raises:
            StreamprocError: as `begun`.
        """
        outcome = await self.begun(run_id)
        feed = TextFeed()
        for id, tracked in outcome.messages.items():
            for index, text in texts_of(tracked.last):
                feed.sync(id, tracked.aliases.get(index, index), text)
        outcome.feeds.append(feed)
        try:
            while True:
                if text := feed.take():
                    yield text
                elif outcome.settled:
                    return
                else:
                    await self._news()
        finally:
            outcome.feeds.remove(feed)

    def _find(self, run_id: str | None) -> Outcome | None:
        key = self._latest if run_id is None else run_id
        return None if key is None else self._open.get(key) or self._ended.get(key)

    async def _news(self) -> None:
        if self._event is None:
            self._event = anyio.Event()
        await self._event.wait()
