"""What the library logs, told to people: warnings and errors, a line each, on stderr like everything else they read."""

from collections.abc import Generator
from contextlib import contextmanager
from logging import WARNING

import structlog
from structlog.typing import EventDict, WrappedLogger

from streamproc.cli.notes import note

__all__ = ["logs_as_notes"]


@contextmanager
def logs_as_notes() -> Generator[None]:
    """Within it, the log goes to stderr; afterwards it is configured as it was."""
    before = structlog.get_config() if structlog.is_configured() else None
    structlog.configure(
        processors=[_note],
        wrapper_class=structlog.make_filtering_bound_logger(WARNING),
        cache_logger_on_first_use=False,
    )
    try:
        yield
    finally:
        if before is None:
            structlog.reset_defaults()
        else:
            structlog.configure(**before)


def _note(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    facts = ", ".join(f"{name} {value}" for name, value in event.items() if name != "event")
    note(f"{event['event']}: {facts}")
    raise structlog.DropEvent
