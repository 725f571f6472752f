"""Complete Response objects, as a GET gives them: the same runs, steps and messages that their streams make."""

from streamproc.core.reducer import Reducer
from streamproc.dialects.responses.dialect import ResponsesDialect
from streamproc.dialects.responses.response import Response
from streamproc.dialects.translation import Rules
from streamproc.model.message import Message
from streamproc.model.run import Run
from streamproc.model.run_step import MessageCreation, MessageCreationDetails, RunStep

__all__ = ["response_objects"]


def response_objects(
    response: Response, *, run_id: str = "", thread_id: str = "", assistant_id: str = "", rules: Rules | None = None
) -> list[Run | RunStep | Message]:
    """Return what a Response object holds: its steps, each with its message, in order, and the run last.

    Args:
        response: as decoded from JSON, of whatever status.
        run_id: as for the dialect, as are the others: given the same, the ids are the same.
    """
    dialect = ResponsesDialect(run_id=run_id, thread_id=thread_id, assistant_id=assistant_id, rules=rules)
    reducer = Reducer()
    for event in dialect.snapshot(response):
        reducer.apply(event)
    objects: list[Run | RunStep | Message] = []
    for step in reducer.steps.values():
        objects.append(step)
        match step.step_details:
            case MessageCreationDetails(message_creation=MessageCreation(message_id=str(id))):
                objects.append(reducer.messages[id])
            case _:
                pass
    return [*objects, *reducer.runs.values()]
