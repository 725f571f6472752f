"""`streamproc dialects`: the names, and a page for each."""

import os
import pty
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from streamproc.cli import main
from streamproc.core import dialect as module
from streamproc.core.dialect import register_dialect
from streamproc.dialects import AssistantsDialect

PAGES = Path(__file__).resolve().parents[2] / "docs" / "dialects"
BUILT_IN = ("assistants", "auto", "chat", "responses")


class Result(NamedTuple):
    code: int
    out: str
    err: str


Cli = Callable[..., Result]


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command in this process."""

    def call(*words: str) -> Result:
        capfd.readouterr()
        code = main(list(words))
        captured = capfd.readouterr()
        return Result(code, captured.out, captured.err)

    return call


def test_all_are_listed(cli: Cli) -> None:
    """Each with what it reads."""
    code, out, err = cli("dialects")
    lines = {line.split()[0]: line.split(maxsplit=1)[1] for line in out.splitlines()}

    assert (code, err) == (0, "")
    assert lines.keys() >= set(BUILT_IN)
    assert lines["responses"].startswith("Streams of the Responses protocol")


@pytest.mark.parametrize("name", sorted(set(BUILT_IN) - {"auto"}))
def test_page_of_each(cli: Cli, name: str) -> None:
    """As it stands in the documentation."""
    assert cli("dialects", name) == (0, (PAGES / f"{name}.md").read_text(), "")


def test_unknown_dialect(cli: Cli) -> None:
    """The known ones are named."""
    code, out, err = cli("dialects", "telegraph")

    assert (code, out) == (2, "")
    assert "no dialect 'telegraph'; known: " in err


def test_dialect_without_a_page(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that somebody else brought is listed all the same."""
    monkeypatch.setattr(module, "_FACTORIES", dict(module._FACTORIES))
    register_dialect("telegraph", AssistantsDialect)

    assert "telegraph" in cli("dialects").out
    assert cli("dialects", "telegraph").code == 2


def test_page_on_a_terminal() -> None:
    """Set in type, as wide as the terminal."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "streamproc.cli", "dialects", "assistants"]
    with subprocess.Popen(command, stdout=follower, env={**os.environ, "TERM": "dumb", "COLUMNS": "80"}) as child:
        os.close(follower)
        shown = b""
        try:
            while chunk := os.read(leader, 65536):
                shown += chunk
        except OSError:  # the other end is closed
            pass
        assert child.wait() == 0
    os.close(leader)

    assert b"thread.message.delta" in shown
    assert b"|---|" not in shown
