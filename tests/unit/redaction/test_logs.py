"""Secrets in log events."""

import io

import msgspec
import pytest
import structlog

from streamproc.redaction import Redaction, redact_event
from streamproc.wording import traceback_text
from streamproc.worker.config import LogConfig
from streamproc.worker.logs import logging_to
from tests.unit.redaction.examples import CANARIES

SECRET = CANARIES["openai"].text


class Odd:
    """What only its text shows."""

    def __str__(self) -> str:
        return f"odd {SECRET}"


@pytest.mark.parametrize("form", ["json", "console"])
def test_every_value_of_an_event_is_redacted(form: str) -> None:
    """Also where a plug-in's exception quotes what it was given."""
    file = io.StringIO()
    try:
        raise ValueError(f"refused: {SECRET}")
    except ValueError as error:
        text = traceback_text(error)
    with logging_to(file, msgspec.convert({"format": form}, LogConfig), Redaction(truncate_chars=5), colors=False):
        structlog.get_logger("x").warning(
            f"it.said {SECRET}",
            exception=text,
            cause=f"quoted: {SECRET}",
            many=[SECRET, {"deep": (SECRET, {SECRET: 1}), 5: {SECRET}}],
            odd=Odd(),
            api_key="anything",
            count=5,
        )
    shown = file.getvalue()

    assert SECRET not in shown
    assert "anything" not in shown
    assert "quoted: [redacted:openai_key]" in shown
    assert "refused: [redacted:openai_key]" in shown
    assert "odd [redacted:openai_key]" in shown
    assert "[redacted:key]" in shown
    assert "truncated" not in shown


def test_numbers_and_names_stay() -> None:
    redact = redact_event()

    expected = {"event": "run.completed", "level": "info", "steps": 5, "ok": True, "none": None, "token": None}
    assert expected == redact(None, "info", {**expected})


def test_nothing_is_redacted_unless_asked_for() -> None:
    file = io.StringIO()
    with logging_to(file, LogConfig(format="json")):
        structlog.get_logger("x").warning("a", cause=SECRET)

    assert SECRET in file.getvalue()
