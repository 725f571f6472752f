"""docs/redaction.md: its examples run, and its lists are those of the code."""

import re
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Final

import anyio
import pytest
import structlog

from streamproc.redaction import DEFAULT_KEYS, Redaction
from streamproc.redaction.patterns import PATTERNS
from streamproc.redaction.rules import Rules
from streamproc.testing import ordinary_changes
from streamproc.worker.config import build_sinks, load_config
from tests.conftest import ROOT

PAGE: Final = (ROOT / "docs" / "redaction.md").read_text(encoding="utf-8")
EXAMPLES: Final = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
(CONFIG,) = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def rows(heading: str) -> list[str]:
    """The first cells of a table."""
    table = PAGE.partition(heading)[2].partition("\n\n")[0]
    return [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| `")]


def run(code: str) -> dict[str, Any]:
    """Run an example of the page as the module that it is."""
    with NamedTemporaryFile("w", suffix=".py", encoding="utf-8") as file:
        file.write(code)
        file.flush()
        loader = SourceFileLoader("example", file.name)
        spec = spec_from_loader("example", loader)
        assert spec is not None
        module = module_from_spec(spec)
        loader.exec_module(module)
    return vars(module)


def test_example_of_a_sink() -> None:
    names = run(EXAMPLES[0])
    changes = ordinary_changes("s", 3)
    anyio.run(names["main"], changes)

    assert [change.seq for change in changes] == [change.seq for change in names["sink"].sink.changes]


def test_example_of_a_log(capsys: pytest.CaptureFixture[str]) -> None:
    before = structlog.get_config()
    try:
        run(EXAMPLES[1])
        structlog.get_logger("x").info("said", cause="Bearer abcdefghijklmnop0123", token="x")
    finally:
        structlog.configure(**before)

    assert (
        capsys.readouterr().out == '{"cause": "Bearer [redacted:bearer]", "token": "[redacted:key]", "event": "said"}\n'
    )


def test_example_of_a_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "streamproc.toml"
    path.write_text(f'{CONFIG}\n[store]\nkind = "memory"\n[ingest]\n', encoding="utf-8")
    config = load_config(path, {})
    sinks: list[Any] = build_sinks(config)

    assert config.redaction.more_patterns == ("email",)
    assert [None, False, Redaction(patterns=("jwt",), keys=())] == [sink.redaction for sink in config.sinks]
    assert [type(sink.sink).__name__ for sink, _ in sinks] == ["Redacted", "JsonlSink", "Redacted"]


def test_each_pattern_and_key_has_a_row() -> None:
    keys = re.findall(r"`([a-z_]+)`", " ".join(rows("| names | |")))

    assert [f"`{name}`" for name in PATTERNS] == rows("| pattern | is |")
    assert sorted(DEFAULT_KEYS) == sorted(keys)


def test_what_is_held_back_at_most() -> None:
    rules: Rules = Redaction().rules
    (told,) = re.findall(r"At most (\d+) characters are held back", PAGE)

    assert int(told) - 80 < rules.reach <= int(told)
