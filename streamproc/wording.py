"""What texts of errors and log events say, where content has to be kept out of them.

`traceback_text` is an exception as a field of a log event. Given the exception itself (`exc_info`), many renderers show
the variables of each frame, structlog's own among them, and those of ours hold content. A text they show as it is,
under the same key, `exception`.
"""

import os
import socket
import ssl
from traceback import format_exception, format_tb
from typing import Final

__all__ = ["came", "system_reason", "traceback_text", "where_text"]

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


def system_reason(error: BaseException) -> str | None:
    """Return why the system could not connect, read or write, in its own words; None when it says nothing.

    Not in those of the exception: aiohttp's, their `strerror` too, quote the URL with all that is in it.
    """
    match getattr(error, "os_error", error):  # `ClientConnectorError` has it
        case socket.gaierror() as unresolved:
            return unresolved.strerror or "no address"
        case ssl.SSLError() as refused:
            reason: str | None = getattr(refused, "reason", None)  # of errors of OpenSSL alone
            return reason
        case OSError(errno=int(number)) if number:
            return os.strerror(number)
        case _:
            return None
