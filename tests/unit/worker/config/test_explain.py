"""The effective config, for people."""

import tomllib
from pathlib import Path

from streamproc.worker.config import load_config, read_document
from streamproc.worker.config.explain import explain
from tests.unit.worker.config.test_load import WHOLE, diary, write

__all__ = ["diary"]

ENVIRON = {"KEY": "kT3vQm9sXw2LbR8n", "PORT": "9000", "BODY": "a secret, perhaps"}


def explained(path: Path) -> str:
    document = read_document(path, ENVIRON)
    return explain(document, document.config())


def test_secrets_are_masked_and_all_else_is_there(tmp_path: Path) -> None:
    """It is TOML, and says of each value that was written where, and from which variables."""
    text = explained(write(tmp_path, WHOLE))
    data = tomllib.loads(text)

    assert ENVIRON["KEY"] not in text
    assert "pw" not in text
    assert data["sources"][0]["url"] == "https://***@api.example.com/v1/runs?***"
    assert data["sources"][0]["headers"] == {"Authorization": "***"}
    assert data["ingest"]["tokens"] == ["***", "***"]
    assert data["sinks"][0]["policy"]["retry"]["base_s"] == 1.0
    assert data["store"]["keep_changes"] == 10000
    assert "port = 9000  # line 36, ${PORT}\n" in text
    assert 'path = "./runs.db"  # line 3, ${DIR}\n' in text
    assert "keep_changes = 10000\n" in text
    assert "# rotate_bytes is not given\n" in text
    assert "# [sinks.policy] has its defaults\n" in text


def test_what_is_explained_is_a_config_again(tmp_path: Path) -> None:
    """Where nothing is masked it means the same."""
    path = write(
        tmp_path, '[store]\nkind = "memory"\n[[sinks]]\nkind = "console"\n[ingest]\nport = 1\n[limits]\ndrain_s = 3\n'
    )
    again = write(tmp_path, explained(path))

    assert load_config(again, {}) == load_config(path, {})
    assert "# no [[sources]]\n" in explained(path)
    assert "# no [proxy]\n" in explained(path)


def test_options_of_a_plug_in(diary: Path) -> None:
    """Structs in lists, enumerations and dates are written as TOML; secrets in them are masked."""
    options = 'since = 2026-01-31\npaper = "white"\nchapters = [{ title = "x", key = "${KEY}" }, { title = "y" }]\n'
    text = explained(write(diary, f'[ingest]\n[[sinks]]\nkind = "diary"\n{options}'))

    assert "since = 2026-01-31  # line 4\n" in text
    assert 'chapters = [{ title = "x", key = "***" }, { title = "y" }]  # line 6, ${KEY}\n' in text
    assert 'paper = "Paper.white"  # line 5\n' in text


def test_what_a_variable_gave_inside_of_a_body_is_masked(tmp_path: Path) -> None:
    """A body may be anything."""
    http = '[store]\nkind = "memory"\n[[sources]]\nkind = "http"\nurl = "https://api.example.com"\n'
    as_json = explained(write(tmp_path, http + 'json = { a = "${BODY}", b = ["x${BODY}"], c = "plain" }\n'))
    as_text = explained(write(tmp_path, http + 'body = "{${BODY}}"\n'))

    assert 'json = { a = "***", b = ["***"], c = "plain" }  # line 6, ${BODY}\n' in as_json
    assert 'body = "***"  # line 6, ${BODY}\n' in as_text


def test_redaction(tmp_path: Path) -> None:
    """What is masked for all sinks, and what a sink has in its place."""
    text = (
        '[redaction]\nmore_keys = ["pin"]\nexpressions = { customer = "C-[0-9]+" }\n'
        '[store]\nkind = "memory"\n[ingest]\n'
        '[[sinks]]\nkind = "console"\nredaction = false\n'
        '[[sinks]]\nkind = "jsonl"\npath = "a"\nredaction = { patterns = ["jwt"] }\n'
        '[[sinks]]\nkind = "jsonl"\nname = "b"\npath = "b"\n'
    )
    path = write(tmp_path, text)
    shown = explained(path)
    config = load_config(path, {})
    again = load_config(write(tmp_path, shown), {})

    assert again == config
    assert 'more_keys = ["pin"]  # line 2\n' in shown
    assert "redaction = false  # line 9\n" in shown
    assert "[sinks.redaction]\n" in shown
    assert "# redaction is not given\n" in shown
