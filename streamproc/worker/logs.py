"""What the worker logs: structlog on standard error, for people or for machines, and safe for both.

* One event, one line. Whatever could act on a terminal or begin another line is taken out of each value, and a value is
  cut at 2 KiB. The traceback of an event follows it on lines of its own, on a console only.
* Secrets are masked in each value and in tracebacks, should one be there in spite of it all.
* What libraries log by the standard library is told by name and place alone, since their texts may hold content.
* A log that cannot be written, because its reader is gone, stops nothing.
"""

import logging
import os
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, WrappedLogger

from streamproc.display.terminal import clean, escape_json, is_terminal
from streamproc.redaction import Redaction, redact_event
from streamproc.worker.config.sections import LogConfig

__all__ = ["logging_to"]

log = structlog.get_logger("streamproc")

_VALUE_MAX: Final = 2048
_TRACEBACK_MAX: Final = 16_384
_EVENT_WIDTH: Final = 26


@contextmanager
def logging_to(
    file: TextIO, config: LogConfig, redaction: Redaction | None = None, *, colors: bool | None = None
) -> Generator[None]:
    """Within it, events go to `file`; afterwards structlog and the standard library are as they were.

    Args:
        redaction: what is masked in every value; None for nothing.
        colors: whether a console gets them; by default if `file` is a terminal that knows them.
    """
    render: Any = _json_line
    if config.format == "console":
        colors = _knows_colors(file) if colors is None else colors
        render = structlog.dev.ConsoleRenderer(pad_event_to=_EVENT_WIDTH, colors=colors, sort_keys=False)
    before = structlog.get_config() if structlog.is_configured() else None
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *([redact_event(redaction)] if redaction is not None else []),
            _safe,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[config.level.upper()]),
        logger_factory=lambda *_: _Lines(file),
        cache_logger_on_first_use=False,
    )
    handler = _Libraries(logging.WARNING)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        if before is None:
            structlog.reset_defaults()
        else:
            structlog.configure(**before)


def _knows_colors(file: TextIO) -> bool:
    return is_terminal(file) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class _Lines:
    """Where lines go."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def msg(self, line: str) -> None:
        """Write a line, or nothing."""
        try:
            self._file.write(f"{line}\n")
            self._file.flush()
        except (OSError, ValueError):  # the reader has gone, or the file is closed
            pass

    debug = info = warning = error = critical = msg


def _safe(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    return {key: _traceback(value) if key == "exception" else _value(value) for key, value in event.items()}


def _traceback(value: object) -> str:
    return clean(str(value)[:_TRACEBACK_MAX], lines=True)


def _value(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {_text(key): _value(item) for key, item in value.items()}
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, str | bytes):
        return [_value(item) for item in value]
    return _text(value)


def _text(value: object) -> str:
    text = clean(str(value))
    return text if len(text) <= _VALUE_MAX else f"{text[:_VALUE_MAX]}..."


def _json_line(logger: WrappedLogger, method: str, event: EventDict) -> str:
    """One object, with the event before its fields."""
    first = {key: event.pop(key) for key in ("timestamp", "level", "event") if key in event}
    return escape_json(msgspec.json.encode({**first, **event})).decode()


class _Libraries(logging.Handler):
    """Takes what others log by the standard library."""

    def emit(self, record: logging.LogRecord) -> None:
        """Tell that something was said, where, and the kind of exception; not what."""
        error = record.exc_info[1] if record.exc_info else None
        cause = None if error is None else type(error).__name__
        log.warning("library.logged", logger=record.name, where=f"{record.module}:{record.lineno}", cause=cause)
