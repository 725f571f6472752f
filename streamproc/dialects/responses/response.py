"""The Response object: what it says about the run.

The whole of it comes with each event of the response's life; `run_members` takes what the protocol has members for, and
keeps the rest under `extras.response`. Its output items are not looked at here.
"""

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from streamproc.dialects.responses.parts import without_images
from streamproc.dialects.translation import canonical_usage, unique_id

__all__ = ["TERMINAL", "Response", "assistant_of", "native_id", "run_id_of", "run_members", "status_of", "thread_of"]

Response: TypeAlias = Mapping[str, Any]

TERMINAL: Final = frozenset({"completed", "failed", "incomplete", "cancelled"})
"""Statuses of a response that never change again."""

_TAKEN: Final[Mapping[str, tuple[type, ...]]] = {
    "created_at": (int, float),
    "completed_at": (int, float),
    "model": (str,),
    "instructions": (str,),
    "tools": (list,),
    "metadata": (dict,),
    "incomplete_details": (dict,),
    "temperature": (int, float),
    "top_p": (int, float),
    "parallel_tool_calls": (bool,),
}
"""Members that a run has too, with the types that they have there; a value of another type stays in the extras."""

_ELSEWHERE: Final = frozenset({"id", "object", "status", "output", "error"})


def native_id(response: Response) -> str:
    """The wire's id; "" if there is none."""
    id = response.get("id")
    return id if isinstance(id, str) else ""


def status_of(response: Response) -> str:
    """The wire's status; "" if there is none."""
    status = response.get("status")
    return status if isinstance(status, str) else ""


def run_id_of(response: Response) -> str:
    """The id of a run that nobody named."""
    marks = [response[name] for name in ("created_at", "model") if isinstance(response.get(name), (int, float, str))]
    return unique_id(response.get("id"), "response", *filter(None, (native_id(response), *marks)))


def thread_of(response: Response, given: str) -> str:
    """The conversation; without one what the caller gave, which may be where a chain of responses began."""
    conversation = response.get("conversation")
    id = conversation.get("id") if isinstance(conversation, Mapping) else conversation
    return id if isinstance(id, str) and id else given


def assistant_of(response: Response, given: str) -> str:
    """What the caller gave, else the agent, else the model."""
    agent = response.get("agent")
    names = (agent.get("agent_name"), agent.get("name")) if isinstance(agent, Mapping) else ()
    return next((name for name in (given, *names, response.get("model")) if isinstance(name, str) and name), "")


def run_members(response: Response, run_id: str) -> dict[str, Any]:
    """The members of the run that a response gives; what it does not say is absent."""
    members: dict[str, Any] = {}
    left: dict[str, Any] = {}
    for name, value in response.items():
        if value is None or name in _ELSEWHERE or (name == "usage" and canonical_usage(value)):
            continue
        if isinstance(value, _TAKEN.get(name, ())):
            members[name] = value
        else:
            left[name] = value
    if usage := canonical_usage(response.get("usage")):
        members["usage"] = usage
    error = response.get("error")
    if isinstance(error, Mapping):
        members["last_error"] = {"code": error.get("code"), "message": error.get("message")}
    if native_id(response) != run_id:
        left["id"] = response.get("id")
    if left:
        members["extras"] = {"response": without_images(left)}
    return members
