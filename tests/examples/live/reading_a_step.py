"""What is in a step: `match` tells its kinds apart, and those that were not invented yet."""

from streamproc import RunStep
from streamproc.model import FunctionToolCall, MessageCreationDetails, ToolCallsDetails, UnknownDetails


def describe(step: RunStep) -> str:
    match step.step_details:
        case ToolCallsDetails(tool_calls=tuple() as calls):
            names = [call.function.name for call in calls if isinstance(call, FunctionToolCall) and call.function]
            return f"{step.id} calls {names}"
        case MessageCreationDetails():
            return f"{step.id} writes a message"
        case UnknownDetails() as details:  # a dict with all that came
            return f"{step.id} does something new: {details.type}"
        case _:  # None, UNSET, or a type you do not care about
            return step.id
