"""RunHooks: the methods people override, and what a run came to, to be awaited.

The rules for all hooks:

* Each may be `def` or `async def`. Sync hooks run at once; async ones run in order, one after the other within a run,
  and beside those of other runs. A hook that is not overridden costs nothing.
* The last argument is the change that the hook is about: `change.state` is the whole object as of then, `change.id` its
  id, `change.run_id` its run. Snapshot or delta, early or late, it stays true.
* Per object, and per tool call or block of one (told apart by index), there is one `created` and one `done`, whatever
  the order of events: also when the stream began in the middle, or only the final object came. `created` comes with the
  first sign of it. `done` comes with the object's terminal status, or when its run ended and left it open
  (`change.inferred_status` tells). What a server adds after that shows in `on_change` alone.
* Each delta that changed something is told, the first one of a part right after its `created`.
* For one change: `on_change`, then `created` of the object and of its parts, deltas of parts, the delta of the object,
  then `done` of parts and of the object.
"""

from collections.abc import AsyncGenerator, Awaitable
from typing import Final, TypeAlias

from streamproc.actions import RequiredAction
from streamproc.core.anomalies import Anomaly
from streamproc.core.change import Change
from streamproc.core.events import MessageDelta, StepDelta
from streamproc.errors import StreamprocError
from streamproc.hooks.fragments import CallFragment, TextFragment
from streamproc.hooks.outcomes import Outcomes
from streamproc.model.message import Annotation, ImageFile, ImageUrl, Message, Text
from streamproc.model.run import Run
from streamproc.model.run_step import RunStep
from streamproc.model.thread import ErrorObject
from streamproc.model.tool_calls import ToolCall

__all__ = ["HookResult", "RunHooks", "outcomes_of"]

HookResult: TypeAlias = Awaitable[None] | None
"""What a hook returns: nothing, or as a coroutine function something to await."""

_OUTCOMES: Final = "_outcomes"


class RunHooks:
    """Override what you need; `super().__init__()` need not be called. One instance may follow many runs.

    The methods at the end wait for what a run came to. Each takes a run's id, or means the run that began last. They
    return once the run ended, or its stream did: broken off, or at a required action that nobody answered.
    """

    # -- everything, and runs ---------------------------------------------------------------------------------------

    def on_change(self, change: Change, /) -> HookResult:
        """Each change, before all other hooks."""

    def on_run_status(self, run: Run, change: Change, /) -> HookResult:
        """A run has another status than before."""

    def on_requires_action(self, action: RequiredAction, change: Change, /) -> HookResult:
        """A run waits for tool outputs or approvals; once for the same calls."""

    # -- steps ------------------------------------------------------------------------------------------------------

    def on_step_created(self, step: RunStep, change: Change, /) -> HookResult:
        """A step is seen for the first time."""

    def on_step_delta(self, delta: StepDelta, change: Change, /) -> HookResult:
        """A step grew; what its tool calls got was told before."""

    def on_step_done(self, step: RunStep, change: Change, /) -> HookResult:
        """A step ended."""

    def on_tool_call_created(self, call: ToolCall, change: Change, /) -> HookResult:
        """A tool call is seen for the first time; of its arguments there may be a part only."""

    def on_tool_call_delta(self, delta: CallFragment, change: Change, /) -> HookResult:
        """A tool call grew. `delta` says which call it is, `delta.text` what its arguments or input got."""

    def on_tool_call_done(self, call: ToolCall, change: Change, /) -> HookResult:
        """The step of a tool call ended. This is after its outputs were submitted: see `on_requires_action`."""

    # -- messages ---------------------------------------------------------------------------------------------------

    def on_message_created(self, message: Message, change: Change, /) -> HookResult:
        """A message is seen for the first time."""

    def on_message_delta(self, delta: MessageDelta, change: Change, /) -> HookResult:
        """A message grew; what its blocks got was told before."""

    def on_message_done(self, message: Message, change: Change, /) -> HookResult:
        """A message ended, completed or not."""

    def on_text_created(self, text: Text, change: Change, /) -> HookResult:
        """A text block is seen for the first time."""

    def on_text_delta(self, delta: TextFragment, change: Change, /) -> HookResult:
        """A text block got `delta.value`."""

    def on_text_done(self, text: Text, change: Change, /) -> HookResult:
        """The message of a text block ended."""

    def on_annotation(self, annotation: Annotation, change: Change, /) -> HookResult:
        """A text block has an annotation that it had not before."""

    def on_refusal_delta(self, delta: TextFragment, change: Change, /) -> HookResult:
        """A refusal got `delta.value`."""

    def on_refusal_done(self, refusal: str, change: Change, /) -> HookResult:
        """The message of a refusal ended."""

    def on_image_file_done(self, image: ImageFile, change: Change, /) -> HookResult:
        """The message of an image ended."""

    def on_image_url_done(self, image: ImageUrl, change: Change, /) -> HookResult:
        """The message of an image ended."""

    # -- trouble, and the end ---------------------------------------------------------------------------------------

    def on_error(self, error: ErrorObject, change: Change, /) -> HookResult:
        """The server reported an error inside the stream."""

    def on_anomaly(self, anomaly: Anomaly, change: Change, /) -> HookResult:
        """An oddity was tolerated; an unknown event is one of them, its payload is `change.raw`."""

    def on_truncated(self, change: Change, /) -> HookResult:
        """A stream broke off: no terminal event came."""

    def on_end(self, stream: str, run_id: str | None, /) -> HookResult:
        """Nothing more will come on a stream, whatever the reason; `run_id` is the run it was about last."""

    # -- what a run came to -----------------------------------------------------------------------------------------

    async def until_done(self, run_id: str | None = None) -> None:
        """Wait for a run.

        Raises:
            StreamprocError: no such run was seen, and no stream is left that could bring it.
        """
        await outcomes_of(self).settled(run_id)

    async def final_run(self, run_id: str | None = None) -> Run:
        """Wait for a run and return it.

        Raises:
            StreamprocError: no such run was seen, or only steps and messages of it.
        """
        outcome = await outcomes_of(self).settled(run_id)
        if outcome.run is None:
            raise StreamprocError(f"of run {outcome.run_id!r} only steps or messages were seen")
        run: Run = outcome.run.state
        return run

    async def final_steps(self, run_id: str | None = None) -> tuple[RunStep, ...]:
        """Wait for a run and return its steps, in order of appearance.

        Raises:
            StreamprocError: as `until_done`.
        """
        outcome = await outcomes_of(self).settled(run_id)
        return tuple(tracked.last.state for tracked in outcome.steps.values())

    async def final_messages(self, run_id: str | None = None) -> tuple[Message, ...]:
        """Wait for a run and return its messages, in order of appearance.

        Raises:
            StreamprocError: as `until_done`.
        """
        outcome = await outcomes_of(self).settled(run_id)
        return tuple(tracked.last.state for tracked in outcome.messages.values())

    def text_deltas(self, run_id: str | None = None) -> AsyncGenerator[str, None]:
        """Iterate over a run's text from its beginning, in pieces as they come, until the run is done.

        It is a view of what arrived: a reader that begins late or is slow gets what it missed as one piece, so nothing
        but text that the messages hold anyway waits for it. Joined, the pieces are the messages' texts in order of
        arrival.

        Raises:
            StreamprocError: as `until_done`, when iterated.
        """
        return outcomes_of(self).texts(run_id)


def outcomes_of(hooks: RunHooks) -> Outcomes:
    """What these hooks were told of runs. Made when first needed, since a subclass may not call `__init__`."""
    found: Outcomes | None = vars(hooks).get(_OUTCOMES)
    if found is None:
        found = vars(hooks)[_OUTCOMES] = Outcomes()
    return found
