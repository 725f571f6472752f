"""Which line a key of a TOML text stands on."""

import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.worker.config.places import Path, dotted, line_of, lines_of
from streamproc.worker.config.toml import toml_key, toml_value

TEXT = '''\
title = "a # no comment"  # one

[store]
path = """
two
lines"""
"quoted key" = 1
'literal.key' = { a = 1, b = [1, 2], "c d" = { e = true } }

[[sinks]]
kind = 'jsonl'

  [sinks.policy]
  inbox_max = 1_000
  retry.base_s = 0.5   # dotted
  retry.cap_s = 1e3

[[sinks]]
kind = """a\\"""b"""""
tokens = [
  "one", # first ]
  'two',

  [ { x = 1 },
    { y = 2 } ],
]
[sinks.policy]
at = 1979-05-27 07:32:00
since = 1979-05-27T07:32:00Z

[a . "b.c" . d]
e = -0.1
[limits]
[[list.inner]]
[[list.inner]]
x = inf
'''


def paths_of(value: Any, path: Path = ()) -> Iterator[Path]:
    """The path of each member and element."""
    members: Iterator[tuple[str | int, Any]] = iter(())
    if isinstance(value, dict):
        members = iter(value.items())
    elif isinstance(value, list):
        members = iter(enumerate(value))
    for key, member in members:
        yield (*path, key)
        yield from paths_of(member, (*path, key))


def test_each_path_has_a_line_and_nothing_else_has() -> None:
    """The parser of the standard library says which paths there are."""
    assert set(lines_of(TEXT)) == set(paths_of(tomllib.loads(TEXT)))


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("title",), 1),
        (("store",), 3),
        (("store", "path"), 4),
        (("store", "quoted key"), 7),
        (("store", "literal.key", "c d", "e"), 8),
        (("sinks",), 10),
        (("sinks", 0), 10),
        (("sinks", 0, "policy"), 13),
        (("sinks", 0, "policy", "retry"), 15),
        (("sinks", 0, "policy", "retry", "cap_s"), 16),
        (("sinks", 1), 18),
        (("sinks", 1, "tokens"), 20),
        (("sinks", 1, "tokens", 1), 22),
        (("sinks", 1, "tokens", 2, 1, "y"), 25),
        (("sinks", 1, "policy", "since"), 29),
        (("a", "b.c", "d", "e"), 32),
        (("list", "inner", 1, "x"), 36),
    ],
)
def test_lines(path: Path, line: int) -> None:
    """Multi-line strings, comments, dates with a space, nested lists and lists of tables are all counted."""
    assert lines_of(TEXT)[path] == line


def test_a_path_that_is_not_written_is_where_its_table_is() -> None:
    """Up to the whole file."""
    lines = lines_of(TEXT)

    assert line_of(lines, ("sinks", 1, "policy", "inbox_max")) == 27
    assert line_of(lines, ("sinks", 7, "kind")) == 10
    assert line_of(lines, ("proxy", "host")) == 1
    assert line_of({}, ()) == 1


def test_a_path_as_people_write_it() -> None:
    """Keys that need quotes have them."""
    assert dotted(("sinks", 1, "policy", "inbox_max")) == "sinks[1].policy.inbox_max"
    assert dotted(("sources", 0, "headers", "X-A b")) == 'sources[0].headers."X-A b"'


KEYS = st.text(max_size=5)
SCALARS = st.one_of(
    st.text(max_size=8), st.integers(), st.booleans(), st.floats(allow_nan=False), st.datetimes(), st.dates()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=12,
)


@pytest.mark.slow
@given(st.dictionaries(KEYS, VALUES, max_size=4), st.lists(st.dictionaries(KEYS, VALUES, max_size=3), max_size=3))
def test_any_document_is_followed(top: dict[str, Any], tables: list[dict[str, Any]]) -> None:
    """What is written comes back from the standard library's parser, and each of its paths has the right line."""
    top.pop("tables", None)
    expected: dict[Path, int] = {}
    lines: list[str] = []
    for key, value in top.items():
        lines.append(f"{toml_key(key)} = {toml_value(value)}")
        expected |= dict.fromkeys([(key,), *paths_of(value, (key,))], len(lines))
    for index, table in enumerate(tables):
        lines += ["# [comment]", "[[ tables ]]"]
        expected.setdefault(("tables",), len(lines))
        expected["tables", index] = len(lines)
        for key, value in table.items():
            lines.append(f"  {toml_key(key)} = {toml_value(value)} # = [ {{")
            expected |= dict.fromkeys([("tables", index, key), *paths_of(value, ("tables", index, key))], len(lines))
    text = "\n".join(lines)

    assert tomllib.loads(text) == {**top, **({"tables": tables} if tables else {})}
    assert lines_of(text) == expected
