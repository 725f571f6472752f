"""Changes, turned into the hooks that are due for them.

The tracker knows what hooks were told of each object, so that each is created once and done once. It looks into a
change only as far as somebody listens: without listeners a change costs a note that it is the newest of its object.
"""

from collections.abc import Iterable

from streamproc.actions import required_action_of
from streamproc.core.body import Body
from streamproc.core.change import NO_NOTE, Change
from streamproc.core.turn import TRUNCATED
from streamproc.hooks.blocks import Blocks
from streamproc.hooks.calls import Calls
from streamproc.hooks.listeners import Listeners
from streamproc.hooks.outcomes import Outcomes, Tracked
from streamproc.hooks.telling import Call

__all__ = ["Tracker"]


class Tracker:
    """Follows the changes of many runs and calls the hooks that are due, in order."""

    def __init__(self, listeners: Listeners, outcomes: Outcomes, call: Call) -> None:
        self._on = listeners
        self._outcomes = outcomes
        self._call = call
        self._calls = Calls(listeners, call)
        self._blocks = Blocks(listeners, call)
        self._recent: Tracked | None = None  # of the last change, if it was about a step or message that is open
        self._body: Body | None = None

    def take(self, changes: Iterable[Change]) -> None:
        """Call what is due for a batch of changes."""
        silent: Tracked | None = None  # nobody wants to know how it grows
        try:
            for change in changes:
                recent = self._recent
                # the commonest change of all: one more text fragment for the object that grew last
                if recent is None or change.body is not self._body or change.around is None:
                    self._take(change)
                elif recent is silent:
                    recent.last = change
                elif change.stream != recent.last.stream:
                    self._take(change)
                elif not self._hears(recent):
                    silent = recent
                    recent.last = change
                else:
                    before, recent.last = recent.last, change
                    if (hook := self._on.on_change) is not None:
                        self._call(hook, change)
                    self._grew(recent, before, change)
        finally:
            if self._blocks.fed:
                self._blocks.fed = False
                self._outcomes.tell()

    def forget_recent(self) -> None:
        """To be called when an outcome was touched from elsewhere."""
        self._recent = self._body = None

    def _hears(self, tracked: Tracked) -> bool:
        """Whether anybody wants to know of text fragments for an object."""
        on = self._on
        if on.on_change is not None:
            return True
        if tracked.last.kind == "step":
            return on.on_step_delta is not None or self._calls.follows_texts(tracked)
        return on.on_message_delta is not None or self._blocks.follows_texts(tracked)

    def _take(self, change: Change) -> None:
        self.forget_recent()
        on = self._on
        if (hook := on.on_change) is not None:
            self._call(hook, change)
        match change.body.kind:
            case "step" | "message":
                self._object(change)
            case "run":
                self._run(change)
            case "error":
                self._outcomes.hear(change.stream)
                if (hook := on.on_error) is not None:
                    self._call(hook, change, change.state)
            case "anomaly":
                self._outcomes.hear(change.stream)
                if (hook := on.on_anomaly) is not None:
                    self._call(hook, change, change.data)
                if change.data.kind == TRUNCATED and (hook := on.on_truncated) is not None:
                    self._call(hook, change)

    def _run(self, change: Change) -> None:
        outcome = self._outcomes.enter(change.stream, change.id)
        outcome.run = change
        on = self._on
        if on.on_run_status is not None or on.on_requires_action is not None:
            run = change.state
            if isinstance(run.status, str) and run.status != outcome.status:
                outcome.status = run.status
                if (hook := on.on_run_status) is not None:
                    self._call(hook, change, run)
                if (hook := on.on_requires_action) is not None and (action := required_action_of(run)) is not None:
                    asked = tuple(call.id for call in action.calls)
                    if asked != outcome.asked:
                        outcome.asked = asked
                        self._call(hook, change, action)
        if change.note.ended:
            self._outcomes.end(outcome)

    def _object(self, change: Change) -> None:
        """A step or message changed."""
        tracked, before = self._outcomes.track(change)
        if tracked.done:
            return
        on, is_step = self._on, change.body.kind == "step"
        hook = on.on_step_created if is_step else on.on_message_created
        if before is None and hook is not None:
            self._call(hook, change, change.state)
        ends = _ends(change)
        if change.is_delta:
            self._grew(tracked, before, change)
        if ends or not change.is_delta:
            (self._calls if is_step else self._blocks).see(tracked, before, change, ends=ends)
        if ends:
            hook = on.on_step_done if is_step else on.on_message_done
            if hook is not None:
                self._call(hook, change, change.state)
            tracked.finish()
        elif not tracked.outcome.settled:
            self._recent, self._body = tracked, change.body

    def _grew(self, tracked: Tracked, before: Change | None, change: Change) -> None:
        """A step or message got a delta."""
        if change.body.kind == "step":
            self._calls.grow(tracked, before, change)
            hook = self._on.on_step_delta
        else:
            self._blocks.grow(tracked, before, change)
            hook = self._on.on_message_delta
        if hook is not None:
            self._call(hook, change, change.delta)


def _ends(change: Change) -> bool:
    """Whether the object has a terminal status, or must have ended with its run."""
    note = change.note
    return note is not NO_NOTE and (note.ended or note.inferred_status is not None)
