"""docs/config.md: all keys as they are in the structs, and examples that work."""

import os
import re
from pathlib import Path
from typing import Final

from streamproc.worker.config import WorkerConfig, load_config
from streamproc.worker.config.described import keys
from streamproc.worker.config.kinds import BUILT_IN
from streamproc.worker.config.reference import TABLES, reference
from tests.conftest import ROOT

DOCUMENT: Final = ROOT / "docs" / "config.md"
MARK: Final = "test_reference.py` -->\n\n"


def test_the_reference_is_current() -> None:
    """What stands behind the mark is what the structs say."""
    text = DOCUMENT.read_text(encoding="utf-8")
    before, mark, _ = text.partition(MARK)
    if os.environ.get("STREAMPROC_WRITE_DOCS"):
        DOCUMENT.write_text(f"{before}{mark}{reference()}", encoding="utf-8")

    assert DOCUMENT.read_text(encoding="utf-8") == f"{before}{MARK}{reference()}"


def test_each_section_and_kind_has_its_table() -> None:
    """None that is built in is forgotten."""
    shown = {table.options for table in TABLES}
    kinds = {plugin.options for group in BUILT_IN.values() for plugin in group.values()}
    sections = {type(key.default) for key in keys(WorkerConfig) if key.name in ("limits", "log")}

    assert kinds | sections <= shown
    titles = " ".join(table.title for table in TABLES)
    assert [key.name for key in keys(WorkerConfig) if f"[{key.name}]" not in titles] == []


def test_each_key_is_explained() -> None:
    """In half a line."""
    assert [key.name for table in TABLES for key in keys(table.options) if not key.text] == []
    assert [key.name for table in TABLES for key in keys(table.options) if key.takes == "something else"] == []


def test_the_example_works(tmp_path: Path) -> None:
    """The first block is a whole config."""
    match = re.search(r"^```toml\n(.*?)^```$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert match is not None
    path = tmp_path / "streamproc.toml"
    path.write_text(match[1], encoding="utf-8")

    assert load_config(path, {}).ingest is not None
