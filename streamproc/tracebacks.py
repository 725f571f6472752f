"""An exception as text for a log event: where it came from and what it says, without the values of variables.

Given the exception itself (`exc_info`), many renderers of log events show the variables of each frame, structlog's own
among them, and those of ours hold content. A text they show as it is, under the same key, `exception`.
"""

from traceback import format_exception
from typing import Final

__all__ = ["traceback_text"]

_MAX: Final = 16_384  # characters; what an exception says may be as long as the content that it is about


def traceback_text(error: BaseException) -> str:
    """Return the traceback, causes included; of a very long one the beginning and the end."""
    text = "".join(format_exception(error)).rstrip("\n")
    if len(text) <= _MAX:
        return text
    half = _MAX // 2
    return f"{text[:half]}\n[{len(text) - 2 * half} characters left out]\n{text[-half:]}"
