"""Whatever a config holds, what is wrong with it is told and nothing else happens."""

from pathlib import Path as FilePath
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import Struct

from streamproc.errors import ConfigError
from streamproc.worker.config import Document, WorkerConfig
from streamproc.worker.config.explain import explain
from streamproc.worker.config.places import Path
from streamproc.worker.config.reference import TABLES

SECTIONS = list(WorkerConfig.__struct_fields__)
KEYS = st.sampled_from(
    [
        "kind",
        "pilcy",
        "",
        "a\nb",
        "\x1b",
        *sorted({name for table in TABLES for name in table.options.__struct_fields__}),
    ]
)
VALUES = st.one_of(
    *(st.integers(-2, 70000), st.booleans(), st.floats(), st.dates(), st.text(max_size=20), st.integers(-(10**400))),
    st.sampled_from(["http", "file", "jsonl", "console", "sqlite", "memory", "full", "latest", "coalesce", "auto"]),
    st.sampled_from(["https://u:p@api.example.com:8701/v1?x", "http://[::1", "0.0.0.0", "::", "/dev/null", "a\0b"]),
)
TABLE = st.recursive(
    st.dictionaries(KEYS, VALUES, max_size=5),
    lambda inner: st.dictionaries(
        KEYS, st.one_of(VALUES, inner, st.lists(st.one_of(VALUES, inner), max_size=3)), max_size=5
    ),
    max_leaves=10,
)
CONFIGS = st.dictionaries(
    st.sampled_from([*SECTIONS, "sink"]), st.one_of(TABLE, st.lists(TABLE, max_size=3), VALUES), max_size=6
)


class Outcome(Struct):
    config: WorkerConfig | None
    told: str


def outcome(data: dict[str, Any], variables: dict[Path, tuple[str, ...]]) -> Outcome:
    document = Document(file=str(FilePath("c.toml")), data=data, lines={}, variables=variables, faults=())
    try:
        config = document.config()
    except ConfigError as error:
        return Outcome(None, str(error))
    explain(document, config)
    return Outcome(config, "")


@pytest.mark.slow
@given(CONFIGS)
def test_any_config_is_taken_or_its_mistakes_are_told(data: dict[str, Any]) -> None:
    """Each on one line that has a place."""
    result = outcome(data, {})

    assert (result.config is None) == bool(result.told)
    assert all(line.startswith("c.toml:1: ") for line in result.told.split("\n") if result.told)


@pytest.mark.slow
@given(st.sampled_from(["jsonl", "console"]), TABLE)
def test_any_options_of_a_sink(kind: str, options: dict[str, Any]) -> None:
    """They come closer to a whole config than random sections do."""
    data = {"ingest": {}, "sinks": [{"path": "a.jsonl", **options, "kind": kind}]}
    result = outcome(data, {})

    assert (result.config is None) == bool(result.told)


@pytest.mark.slow
@example("0\x1f")
@given(st.text())
def test_any_value_of_a_variable(value: str) -> None:
    """A number where one is expected, and told without being shown otherwise."""
    result = outcome({"store": {"kind": "memory"}, "ingest": {"port": value}}, {("ingest", "port"): ("PORT",)})

    if result.config is None:
        assert result.told == (
            "c.toml:1: ingest.port: expected a whole number from 0 to 65535, what ${PORT} gives is "
            f"{'something else' if value else 'empty'}"
        )
    else:
        assert result.config.ingest is not None
        assert result.config.ingest.port == int(value.strip())
