"""Keys and values as TOML has them."""

import tomllib
from datetime import date, datetime, time
from typing import Any

import pytest

from streamproc.worker.config.toml import toml_key, toml_value


@pytest.mark.parametrize(
    "value",
    [
        *(True, 0, -(2**70), 0.1, 1e300, 1e22, float("inf"), "", 'a "b" \\ c', "\t\n\x00\x1f\x7f\u2028\U0001f600"),
        *([], {}, [[1], ["a"]], {"a b": {"": [1.5]}}, datetime(2026, 1, 31, 12, 0, 1), date(2026, 1, 31), time(7, 5)),
    ],
)
def test_a_value_comes_back(value: Any) -> None:
    """The standard library's parser reads what was written."""
    assert tomllib.loads(f"key = {toml_value(value)}") == {"key": value}


@pytest.mark.parametrize("key", ["a", "max_bytes", "A-1", "", "a b", "a.b", 'a"b', "é"])
def test_a_key_comes_back(key: str) -> None:
    """With quotes where it needs them."""
    assert tomllib.loads(f"{toml_key(key)} = 1") == {key: 1}


def test_half_a_surrogate_pair_is_replaced() -> None:
    """TOML cannot hold it."""
    assert toml_value("\ud83e") == '"?"'


def test_what_toml_has_not_is_refused() -> None:
    """There is no null."""
    with pytest.raises(TypeError, match="NoneType"):
        toml_value(None)
