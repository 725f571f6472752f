"""docs/usage.md: its examples run, what it says they print is what they print, and its table of reasons is complete."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final, get_args

import pytest

from streamproc.cost import Unpriced
from tests.conftest import ROOT

PAGE: Final = (ROOT / "docs" / "usage.md").read_text(encoding="utf-8")
EXAMPLES: Final = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
(SHOWN,) = re.findall(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
DEMO: Final = [str(ROOT / "streamproc" / "cli" / f"demo-{number}.sse") for number in (1, 2)]
AMOUNT: Final = re.compile(r"\d\S* dollars")  # the price table is not ours, and may be corrected


def run_example(code: str, folder: Path) -> str:
    example = folder / "example.py"
    example.write_text(code, encoding="utf-8")
    command = [sys.executable, "-W", "error", str(example), *DEMO]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=env)

    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


@pytest.mark.slow
def test_first_example_prints_what_is_shown(tmp_path: Path) -> None:
    """Amounts apart, of which there is one for each step with usage and one for all."""
    printed = run_example(EXAMPLES[0], tmp_path)

    assert AMOUNT.sub("", printed) == AMOUNT.sub("", SHOWN)
    assert len(AMOUNT.findall(printed)) == 4


@pytest.mark.slow
@pytest.mark.parametrize("code", EXAMPLES[1:])
def test_other_examples_run(code: str, tmp_path: Path) -> None:
    assert run_example(code, tmp_path) == ""


def test_each_reason_has_a_row() -> None:
    """In the order of the code."""
    table = PAGE.partition("| `why` | means |")[2]
    rows = re.findall(r"^\| `(\w+)` \| ", table, re.MULTILINE)

    assert tuple(rows) == get_args(Unpriced)
