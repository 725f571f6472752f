"""What is installed."""

from pathlib import Path

import pytest

from streamproc import __version__
from streamproc.worker.listing import Row, listing
from tests.unit.distribution import install
from tests.unit.worker.config.test_load import SINK


def test_what_comes_with_streamproc() -> None:
    """All kinds and dialects, with its version."""
    own = {(row.group, row.name, row.version, row.error) for row in listing() if row.distribution == "streamproc"}

    assert {
        ("sources", "http", __version__, None),
        ("sinks", "jsonl", __version__, None),
        ("stores", "sqlite", __version__, None),
        ("dialects", "assistants", __version__, None),
    } <= own


def test_what_others_bring(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With what is wrong with it."""
    entries = {
        "sinks": {"diary": "listed:PLUGIN", "jsonl": "listed:PLUGIN", "gone": "listed:GONE", "twice": "listed:A"},
        "dialects": {"corp_a": "listed:make", "corp_b": "listed:GONE"},
    }
    install(monkeypatch, tmp_path / "one", "listed", entries, module=SINK)
    install(monkeypatch, tmp_path / "two", "listed_too", {"sinks": {"twice": "listed_too:A"}})
    rows = {row.name: row for row in listing() if row.distribution == "listed"}

    assert rows["diary"] == Row(
        group="sinks", name="diary", version="1.2.3", distribution="listed", value="listed:PLUGIN", error=None
    )
    assert rows["jsonl"].error == "is not used: streamproc has this name itself"
    assert rows["gone"].error == "importing it raised AttributeError"
    assert rows["twice"].error == "'twice' is brought by listed and by listed_too; remove one"
    assert rows["corp_a"].error is None
    assert rows["corp_b"].error == "importing it raised AttributeError"
