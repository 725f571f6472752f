"""The JSON Schema that editors complete and check a config by, held to what a validator makes of it."""

import json
import re
import tomllib
from importlib.resources import files
from pathlib import Path

import jsonschema_rs
import pytest

from streamproc.worker.config.schema import config_schema
from tests.unit.distribution import install
from tests.unit.worker.config.test_load import SINK, WHOLE
from tests.unit.worker.test_config_mistakes import MISTAKES, Mistake, complete


def is_valid(text: str) -> bool:
    data = json.loads(json.dumps(tomllib.loads(text), default=str))  # an editor's validator sees a date as a string
    return jsonschema_rs.validator_for(config_schema()).is_valid(data)


def test_sound_configs_are_valid() -> None:
    """The one to begin with, one with every section, and variables where a number is expected."""
    assert is_valid(files("streamproc.worker.config").joinpath("starter.toml").read_text(encoding="utf-8"))
    assert is_valid(WHOLE)


# Of form, and not a rule between keys, of variables, or of what a URL or a token is.
OF_FORM = [
    mistake
    for mistake in MISTAKES
    if re.search(r"unknown key|expected (one of|a |true)|is missing; add", mistake.told)
    and not re.search(r"what \$\{|visible ASCII|base URL|finite", mistake.told)
]


@pytest.mark.parametrize("mistake", OF_FORM, ids=[mistake.title for mistake in OF_FORM])
def test_mistakes_of_form_are_seen_while_typing(mistake: Mistake) -> None:
    """Unknown keys, wrong types, and what is missing."""
    assert not is_valid(complete(mistake))


def test_each_key_is_described() -> None:
    """An editor shows what it means."""
    parts = config_schema()["$defs"]
    bare = [
        f"{name}.{key}"
        for name, part in parts.items()
        for key, member in part["properties"].items()
        if key != "kind" and not member.get("description")
    ]

    assert bare == []


def test_plug_ins_are_in_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Those that can be imported."""
    entries = {"sinks": {"diary": "schema_plugin:PLUGIN", "broken": "schema_plugin:ABSENT"}}
    install(monkeypatch, tmp_path, "schema_plugin", entries, module=SINK)

    assert is_valid('[[sinks]]\nkind = "diary"\nmixed = "x"\n')
    assert not is_valid('[[sinks]]\nkind = "diary"\nmixed = []\n')
    assert not is_valid('[[sinks]]\nkind = "broken"\n')
