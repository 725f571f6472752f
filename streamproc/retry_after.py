"""How long a server asks to be left alone: the header Retry-After, for sources and sinks that speak HTTP."""

from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Final

__all__ = ["retry_after_s"]

_LONGEST_S: Final = 3600.0  # whoever retries has a cap of its own; beyond this it is no wait but a mistake


def retry_after_s(headers: Mapping[str, str], now_s: float) -> float | None:
    """The wait that an answer asks for, as seconds or as a date; None when it does not, or not in a known form.

    Args:
        now_s: seconds since 1970, for dates.
    """
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return min(float(value), _LONGEST_S)
    try:
        date = parsedate_to_datetime(value)
        wait_s = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now_s
    except (ValueError, OverflowError):
        return None
    return min(max(wait_s, 0.0), _LONGEST_S)
