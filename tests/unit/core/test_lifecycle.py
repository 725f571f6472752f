"""Which statuses end what, and what the end of a run says of the objects still open."""

import pytest

from streamproc.core.lifecycle import STREAM_ENDING, TERMINAL, inferred_status


def test_terminal() -> None:
    """The ends of each kind of object, as the protocol lists them."""
    assert {
        "run": {"completed", "failed", "cancelled", "expired", "incomplete"},
        "step": {"completed", "failed", "cancelled", "expired"},
        "message": {"completed", "incomplete"},
    } == TERMINAL


def test_stream_ending() -> None:
    """A stream also ends where the run waits for its client."""
    assert {"requires_action", "completed", "failed", "cancelled", "expired", "incomplete"} == STREAM_ENDING


@pytest.mark.parametrize(
    ("run_status", "step_status", "message_status"),
    [
        ("completed", "completed", "completed"),
        ("failed", "failed", "incomplete"),
        ("cancelled", "cancelled", "incomplete"),
        ("expired", "expired", "incomplete"),
        ("incomplete", "failed", "incomplete"),
    ],
)
def test_inferred_status(run_status: str, step_status: str, message_status: str) -> None:
    """An open object ends as its run did, in a word of its own vocabulary."""
    assert inferred_status("step", run_status) == step_status
    assert inferred_status("message", run_status) == message_status
    assert step_status in TERMINAL["step"]
    assert message_status in TERMINAL["message"]
