"""What the worker logs: one line an event, safe for terminals, without what libraries say."""

import io
import json
import logging
from typing import Any, Literal

import pytest
import structlog
from structlog.contextvars import bound_contextvars

from streamproc.worker.config import LogConfig
from streamproc.worker.logs import logging_to

log = structlog.get_logger("streamproc")

HOSTILE = "\x1b[31mred\x9b2J\u202e\nnext\u2028line\x07"


def said(form: Literal["console", "json"], level: Literal["debug", "info", "warning"] = "info", **fields: Any) -> str:
    file = io.StringIO()
    with logging_to(file, LogConfig(format=form, level=level)):
        log.info("thing.happened", **fields)
    return file.getvalue()


def test_json_is_one_object_a_line_with_the_event_in_front() -> None:
    line = said("json", stream="s", count=2, ratio=0.5, none=None, yes=True, ids=["a", "b"])
    data = json.loads(line)

    assert line.count("\n") == 1
    assert list(data)[:3] == ["timestamp", "level", "event"]
    del data["timestamp"]
    assert data == {
        **{"level": "info", "event": "thing.happened", "stream": "s", "count": 2, "ratio": 0.5, "none": None},
        **{"yes": True, "ids": ["a", "b"]},
    }


def test_console_is_for_people() -> None:
    """Without colours, as this is no terminal."""
    line = said("console", stream="s", count=2)

    assert "[info     ] thing.happened" in line
    assert line.rstrip().endswith("stream=s count=2")


def test_console_of_a_terminal_has_colors() -> None:
    file = io.StringIO()
    with logging_to(file, LogConfig(), colors=True):
        log.info("thing.happened")

    assert "\x1b[" in file.getvalue()


@pytest.mark.parametrize("form", ["console", "json"])
@pytest.mark.parametrize("value", [HOSTILE, [HOSTILE], {HOSTILE: HOSTILE}, HOSTILE.encode(), ValueError(HOSTILE)])
def test_nothing_in_a_value_acts_on_a_terminal(form: Literal["console", "json"], value: object) -> None:
    """Whatever its type; nor begins another line."""
    line = said(form, value=value)

    assert line.count("\n") == 1
    assert not set("\x1b\x9b\x07\u202e\u2028") & set(line)
    assert "red" in line


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_long_value_is_cut(form: Literal["console", "json"]) -> None:
    assert len(said(form, value="x" * 100_000)) < 3000


def test_a_traceback_follows_its_event_on_a_console() -> None:
    """Line by line, and as harmless."""
    text = said("console", exception=f"Traceback:\n  File\nValueError: {HOSTILE}")

    assert text.splitlines()[1:3] == ["Traceback:", "  File"]
    assert "\x1b" not in text
    assert json.loads(said("json", exception="a\nb"))["exception"] == "a\nb"


def test_level_is_the_least_that_is_logged() -> None:
    assert said("json", "warning") == ""
    assert said("json", "debug") != ""


def test_what_is_bound_is_in_each_event() -> None:
    with bound_contextvars(stream="mine"):
        assert json.loads(said("json"))["stream"] == "mine"


@pytest.fixture
def library() -> logging.Logger:
    """A logger of somebody else's."""
    return logging.getLogger("some.library")


def test_of_what_libraries_say_only_name_and_place_are_told(library: logging.Logger) -> None:
    """Their texts may hold anything."""
    file = io.StringIO()
    with logging_to(file, LogConfig(format="json")):
        library.debug("secret")
        library.warning("secret %s", "secret")
        try:
            raise ValueError("secret")
        except ValueError:
            library.exception("secret")
    library.info("secret")
    first, second = (json.loads(line) for line in file.getvalue().splitlines())

    assert (first["event"], first["logger"], first["cause"]) == ("library.logged", "some.library", None)
    assert first["where"].startswith("test_logs:")
    assert second["cause"] == "ValueError"
    assert "secret" not in file.getvalue()


def test_a_log_without_a_reader_stops_nothing() -> None:
    """A pipe that was closed, or a file."""
    file = io.StringIO()
    with logging_to(file, LogConfig()):
        file.close()
        log.info("thing.happened")


def test_logging_is_as_it_was_afterwards() -> None:
    before = structlog.get_config()
    handlers = [*logging.getLogger().handlers]
    with logging_to(io.StringIO(), LogConfig()):
        assert structlog.get_config()["processors"] != before["processors"]

    assert structlog.get_config()["processors"] == before["processors"]
    assert logging.getLogger().handlers == handlers


def test_settings_of_ones_own_are_restored() -> None:
    own: list[Any] = [structlog.processors.KeyValueRenderer()]
    structlog.configure(processors=own)
    try:
        with logging_to(io.StringIO(), LogConfig()):
            pass
        assert structlog.get_config()["processors"] == own
    finally:
        structlog.reset_defaults()
