"""What a user installs and reads first: metadata, the typing marker, and the commands and examples of README."""

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata, resources
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal

import streamproc
from streamproc.testing import Response, ScriptedServer, slices
from tests.streams import call, creation, done, message, run, sse, step, text, words

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


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """Where a run with two steps can be read, in small slices."""
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    stream = sse(
        run("created"),
        step("created", "step_1"),
        step("completed", "step_1", call("{}", id="c", name="weather", output="rain"), usage=usage),
        *(step("created", "step_2", step_details=creation()), message("created"), words("It will "), words("rain.")),
        message("completed", "msg_1", text("It will rain.", annotations=[])),
        step("completed", "step_2", step_details=creation(), usage=usage),
        *(run("completed"), done()),
    )
    server = ScriptedServer()
    server.script("/stream", [Response(slices(stream, 100))])
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(server):
        yield f"{server.url}/stream"


def run_example(code: str, url: str, folder: Path) -> str:
    """Run an example as it stands: in a process of its own, in an empty folder, with warnings as errors."""
    example = folder / "example.py"
    example.write_text(code, encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "-W", "error", str(example), url], cwd=folder, capture_output=True, text=True, check=False
    )

    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("code", python_blocks())
def test_readme_example_runs(code: str, url: str, tmp_path: Path) -> None:
    """Each of them; those that need a stream get its URL."""
    run_example(code, url, tmp_path)


@pytest.mark.slow
def test_readme_begins_with_three_lines_that_follow_a_stream(url: str, tmp_path: Path) -> None:
    """Hooks are called, the sink is fed, and the result says that the stream came to its end."""
    match = PYTHON_BLOCK.search(readme())
    assert match is not None
    code = match["body"]
    output = run_example(code, url, tmp_path)

    main = code.partition("async def main(url: str) -> None:\n")[2].partition("\n\n")[0]
    assert len(main.splitlines()) == 3
    assert re.findall(r"^(step_\d) completed$", output, re.MULTILINE) == ["step_1", "step_2"]
    assert "It will rain." in output
    assert "truncated=False, error=None" in output
