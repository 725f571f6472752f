"""What texts of errors and log events say, where content has to be kept out of them.

`traceback_text` is an exception as a field of a log event. Given the exception itself (`exc_info`), many renderers show
the variables of each frame, structlog's own among them, and those of ours hold content. A text they show as it is,
under the same key, `exception`.
"""

from traceback import format_exception, format_tb
from typing import Final

__all__ = ["came", "traceback_text", "where_text"]

_MAX: Final = 16_384  # characters; what an exception says may be as long as the content that it is about


def came(value: object) -> str:
    """What came in place of what was expected, without its content: "a list came", "the class RunHooks came"."""
    if isinstance(value, type):
        return f"the class {value.__name__} came"
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name} came"


def traceback_text(error: BaseException) -> str:
    """Return the traceback, causes included; of a very long one the beginning and the end."""
    text = "".join(format_exception(error)).rstrip("\n")
    if len(text) <= _MAX:
        return text
    half = _MAX // 2
    return f"{text[:half]}\n[{len(text) - 2 * half} characters left out]\n{text[-half:]}"


def where_text(error: BaseException) -> str:
    """Return the places an exception came through and its type, without what it says: that may be content."""
    return "".join([*format_tb(error.__traceback__), type(error).__name__])
