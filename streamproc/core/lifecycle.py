"""Which statuses end an object, and what the end of a run says about the objects still open.

Statuses are open: an unknown one is kept as it came and ends nothing.
"""

from collections.abc import Mapping
from typing import Final

__all__ = ["STREAM_ENDING", "TERMINAL", "inferred_status"]

TERMINAL: Final[Mapping[str, frozenset[str]]] = {
    "run": frozenset({"completed", "failed", "cancelled", "expired", "incomplete"}),
    "step": frozenset({"completed", "failed", "cancelled", "expired"}),
    "message": frozenset({"completed", "incomplete"}),
}
"""Kind of object -> statuses that never change again."""

STREAM_ENDING: Final = TERMINAL["run"] | {"requires_action"}
"""Run statuses after which a server has nothing more to send on this stream."""

_STEP_OF_RUN: Final[Mapping[str, str]] = {"incomplete": "failed"}  # the rest keep their run's status
_MESSAGE_OF_RUN: Final[Mapping[str, str]] = {"completed": "completed"}  # all else leaves a message incomplete


def inferred_status(kind: str, run_status: str) -> str:
    """Return how a step or message that is open must have ended when its run ends with `run_status`.

    Shown beside the object, never merged into its status: a later real event overrides it.
    """
    if kind == "step":
        return _STEP_OF_RUN.get(run_status, run_status)
    return _MESSAGE_OF_RUN.get(run_status, "incomplete")
