"""How values and types are told to people."""

from datetime import date
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta, Struct, inspect

from streamproc.secret import Secret
from streamproc.worker.config.wording import expectation, got, hint, quoted, suggestion


class Inner(Struct):
    x: int = 0


@pytest.mark.parametrize(
    ("form", "key", "told"),
    [
        (int, "a", "a whole number"),
        (int | None, "a", "a whole number"),
        (Annotated[int, Meta(ge=1, le=5)], "a", "a whole number from 1 to 5"),
        (Annotated[int, Meta(le=5)], "a", "a whole number of at most 5"),
        (Annotated[float, Meta(lt=1)], "a", "a number below 1"),
        (float, "wait_s", "a number of 0 or more"),
        (Annotated[float, Meta(gt=0)], "wait_s", "a number above 0"),
        (bool, "a", "true or false"),
        (Annotated[str, Meta(min_length=1, max_length=9)], "a", "a string of at most 9 characters that is not empty"),
        (Secret, "a", "a string that is not empty"),
        (Literal["b", "a"], "a", 'one of "a", "b"'),
        (tuple[int, ...], "a", "a list of whole numbers"),
        (list[float], "a", "a list of numbers"),
        (dict[str, Secret], "a", "a table of strings"),
        (dict[str, Any], "a", "a table"),
        (tuple[Inner, ...], "a", "a list of tables"),
        (Inner, "a", "a table"),
        (int | str, "a", "something else"),
    ],
)
def test_what_is_expected(form: Any, key: str, told: str) -> None:
    """In words that need no knowledge of types."""
    assert expectation(inspect.type_info(form), key) == told


@pytest.mark.parametrize(
    ("value", "shown", "hidden"),
    [
        (True, "true", "true or false"),
        (1.5, "1.5", "a number"),
        (10**400, "a number", "a number"),
        ("a\x1b[31m", '"a[31m"', "a string"),
        ("x" * 61, "a string", "a string"),
        ([1], "a list", "a list"),
        ({}, "a table", "a table"),
        (date(2026, 1, 31), "a date or time", "a date or time"),
        (object(), "something else", "something else"),
    ],
)
def test_what_came(value: Any, shown: str, hidden: str) -> None:
    """A secret is not shown, nor is what is long."""
    assert got(value) == shown
    assert got(value, secret=True) == hidden


@pytest.mark.parametrize(
    ("form", "value", "key", "told"),
    [
        (int, " 5 ", "a", "; write 5 without quotes"),
        (float, "1.5", "a", "; write 1.5 without quotes"),
        (float, "1.5h", "wait_s", "; write seconds, as a number: 5400"),
        (float, "250 ms", "wait_s", "; write seconds, as a number: 0.25"),
        (int, "10MB", "max_bytes", "; write bytes, as a number: 10000000"),
        (int, "2 gib", "max_bytes", "; write bytes, as a number: 2147483648"),
        (int, "2 gib", "a", ""),
        (float, "5m", "a", ""),
        (float, float("nan"), "a", "; write a finite number"),
        (bool, "True", "a", "; write true without quotes"),
        (bool, "yes", "a", ""),
        (Literal["open", "closed"], "opened", "a", '; did you mean "open"?'),
        (Literal["open", "closed"], "x", "a", ""),
        (str, 5, "a", "; write it in quotes"),
        (tuple[str, ...], {}, "a", ""),
        (tuple[str, ...], "x", "a", "; write it in [ ]"),
        (tuple[Inner, ...], {}, "sinks", "; write [[sinks]], with two brackets"),
        (Inner, [], "log", "; write [log], with one bracket"),
        (dict[str, str], "x", "headers", "; write headers = { name = value, ... }"),
    ],
)
def test_what_to_write_instead(form: Any, value: Any, key: str, told: str) -> None:
    """Where something better than the expectation is known."""
    assert hint(inspect.type_info(form), value, key) == told


def test_words_that_are_close() -> None:
    """Case and dashes do not count; a word that is far from all gets no suggestion."""
    assert suggestion("Max-Bytes", ["max_bytes", "path"]) == '; did you mean "max_bytes"?'
    assert suggestion("colour", ["max_bytes", "path"]) == ""


def test_a_text_in_quotes() -> None:
    """Safe for a terminal, on one line, and cut if it is long."""
    assert quoted('a "b"\n\x1b[0m\u202e') == '"a \\"b\\" [0m"'
    assert quoted("x" * 100) == f'"{"x" * 60}..."'
    assert quoted("\ud83e") == '"?"'
