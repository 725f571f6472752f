"""What a user installs and reads first: metadata, the typing marker, and the commands and examples of README."""

import re
import shlex
import subprocess
import sys
from importlib import metadata, resources
from pathlib import Path

import pytest

import streamproc

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"

# A mark on a line of its own, then the fenced block that it names. `.ci/run` looks for the same two things.
TEST_COMMAND = re.compile(r"^<!-- test-command -->\n+```\w*\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
PYTHON_BLOCK = re.compile(r"^```python\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


def readme() -> str:
    return README.read_text(encoding="utf-8") if README.exists() else ""


def python_blocks() -> list[object]:
    """The examples of README, each named by the line on which its code starts."""
    text = readme()
    return [
        pytest.param(match["body"], id=f"line-{text.count(chr(10), 0, match.start('body')) + 1}")
        for match in PYTHON_BLOCK.finditer(text)
    ]


def test_version_is_the_one_in_the_metadata() -> None:
    assert metadata.version("streamproc") == streamproc.__version__


def test_py_typed_is_in_the_package() -> None:
    assert resources.files(streamproc).joinpath("py.typed").is_file()


def test_all_extra_is_the_sum_of_the_others() -> None:
    extras = metadata.metadata("streamproc").get_all("Provides-Extra") or []
    wanted: dict[str, set[str]] = {extra: set() for extra in extras}
    for line in metadata.requires("streamproc") or []:
        requirement, _, marker = line.partition(";")
        for extra in extras:
            if re.search(rf"""extra == ['"]{re.escape(extra)}['"]""", marker):
                wanted[extra].add(requirement.strip())

    everything = wanted.pop("all")
    assert "cli" in wanted
    assert everything == set().union(*wanted.values())


def test_readme_marks_one_test_command() -> None:
    text = readme()

    assert text.count("<!-- test-command -->") == 1
    (match,) = TEST_COMMAND.finditer(text)
    words = shlex.split(match["body"])
    assert "\n" not in match["body"].strip(), "one command, on one line"
    assert words[-1].endswith("pytest"), "the command ends by running every test"


def test_readme_has_an_example() -> None:
    assert python_blocks()


@pytest.mark.slow
@pytest.mark.parametrize("code", python_blocks())
def test_readme_example_runs(code: str, tmp_path: Path) -> None:
    """Each example runs as it stands: in a process of its own, in an empty folder, with warnings as errors."""
    example = tmp_path / "example.py"
    example.write_text(code, encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-W", "error", str(example)], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert result.returncode == 0, result.stderr
