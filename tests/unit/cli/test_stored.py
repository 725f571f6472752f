"""Times as people write them."""

from datetime import datetime

import pytest

from streamproc.cli.stored import unix_time
from streamproc.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1767603605", 1767603605.0),
        ("1767603605.5", 1767603605.5),
        ("2026-01-05T09:00:05Z", 1767603605.0),
        ("2026-01-05 10:00:05+01:00", 1767603605.0),
        ("2026-01-05", datetime(2026, 1, 5).timestamp()),
        ("90s", 910.0),
        ("1.5m", 910.0),
        ("0h", 1000.0),
        ("1d", 1000.0 - 86400),
    ],
)
def test_times(text: str, expected: float) -> None:
    assert expected == unix_time("--since", text, lambda: 1000.0)


@pytest.mark.parametrize("text", ["", "now", "12", "2026-13-01", "-1h", "1w", "0001-01-01", "1e9", "nan", "\u0661s"])
def test_what_is_no_time(text: str) -> None:
    """Also a date before all clocks, and seconds that would be a year."""
    with pytest.raises(ConfigError, match=r"^--since: expected a time such as"):
        unix_time("--since", text, lambda: 1000.0)
