"""The commands about a config: `init`, `check`, `explain` and `plugins`."""

import json
import os
import pty
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from streamproc.cli import main
from streamproc.worker.config import InvalidConfig, load_config
from tests.conftest import ROOT
from tests.unit.distribution import install

CANARY = "kT3vQm9sXw2LbR8nYc5e"


class Result(NamedTuple):
    code: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


Cli = Callable[..., Result]


@pytest.fixture
def cli(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """Runs a command in this process, in a folder of the test's."""
    monkeypatch.chdir(tmp_path)

    def call(*words: object) -> Result:
        capfdbinary.readouterr()
        code = main([str(word) for word in words])
        captured = capfdbinary.readouterr()
        return Result(code, captured.out, captured.err.decode())

    return call


def on_free_ports(path: Path) -> None:
    """Another process may use the ports of the starter meanwhile."""
    path.write_text(
        path.read_text(encoding="utf-8").replace("port = 8700", "port = 0").replace("port = 8702", "port = 0")
    )


# -- init --------------------------------------------------------------------------------------------------------------


def test_init_prints_a_config_that_works(cli: Cli, tmp_path: Path) -> None:
    """`check` finds nothing wrong with it, and everything that it names."""
    printed, written = cli("init"), cli("init", "streamproc.toml")

    assert (printed.code, printed.err, written) == (0, "", Result(0, b"", ""))
    assert cli("init", "-").out == printed.out == (tmp_path / "streamproc.toml").read_bytes()
    assert cli("check", "streamproc.toml", "--offline") == Result(0, b"", "")
    on_free_ports(tmp_path / "streamproc.toml")
    checked = cli("check", "streamproc.toml")
    assert (checked.code, checked.err) == (0, "")
    assert [line["part"] for line in checked.lines] == ["store", "sinks[0]", "ingest", "admin"]


def test_what_the_starter_has_in_comments_works_too(cli: Cli, tmp_path: Path) -> None:
    """Each of them, uncommented."""
    text = cli("init").out.decode()
    lines = [line.removeprefix("# ") if " = " in line or line.startswith("# [") else line for line in text.splitlines()]
    path = tmp_path / "all.toml"
    path.write_text("\n".join(line for line in lines if not line.startswith("${NAME}")), encoding="utf-8")
    environ: dict[str, str] = dict.fromkeys(["INGEST_TOKEN", "ADMIN_TOKEN", "API_KEY", "ASSISTANT_ID"], CANARY)
    config = load_config(path, environ)

    assert config.ingest is not None
    assert config.ingest.host == "0.0.0.0"
    assert config.proxy is not None
    assert len(config.sources) == 1


def test_init_writes_over_nothing(cli: Cli, tmp_path: Path) -> None:
    """Unless it is told to."""
    (tmp_path / "mine.toml").write_text("mine")

    assert cli("init", "mine.toml") == Result(
        2, b"", "streamproc: mine.toml: is there already; add --force to write over it\n"
    )
    assert (tmp_path / "mine.toml").read_text() == "mine"
    assert cli("init", "mine.toml", "--force").code == 0
    assert "[store]" in (tmp_path / "mine.toml").read_text(encoding="utf-8")
    assert (
        cli("init", "nowhere/mine.toml").err
        == "streamproc: nowhere/mine.toml: cannot be written: No such file or directory\n"
    )


def test_init_prints_the_schema(cli: Cli, tmp_path: Path) -> None:
    """To standard output, or to where the first line of the config looks for it."""
    schema = cli("init", "--schema")
    cli("init", "--schema", "streamproc.schema.json")

    assert json.loads(schema.out)["title"] == "streamproc.toml"
    assert (tmp_path / "streamproc.schema.json").read_bytes() == schema.out
    assert b"./streamproc.schema.json" in cli("init").out.splitlines()[0]


# -- check -------------------------------------------------------------------------------------------------------------


def test_check_tells_each_mistake_on_a_line(cli: Cli, tmp_path: Path) -> None:
    """And opens nothing then."""
    (tmp_path / "bad.toml").write_text('[store]\npath = "runs.db"\nmax_byte = 1\n[ingest]\nport = "80"\n')

    assert cli("check", "bad.toml") == Result(
        2,
        b"",
        'streamproc: bad.toml:3: store.max_byte: unknown key; did you mean "max_bytes"?\n'
        'streamproc: bad.toml:5: ingest.port: expected a whole number from 0 to 65535, got "80"; '
        "write 80 without quotes\n",
    )
    assert not (tmp_path / "runs.db").exists()


def test_check_without_a_file(cli: Cli) -> None:
    """What to do is said."""
    assert cli("check", "absent.toml") == Result(
        2,
        b"",
        "streamproc: absent.toml: cannot be read: No such file or directory; "
        "`streamproc init` prints one to begin with\n",
    )


def test_check_tells_what_cannot_be_opened(cli: Cli, tmp_path: Path) -> None:
    """A line for each part, as text or as JSON, and exit code 1."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        (tmp_path / "c.toml").write_text(f'[store]\npath = "runs.db"\n[ingest]\nport = {port}\n')
        text, data = cli("check", "c.toml", "--output", "text"), cli("check", "c.toml")

    assert (text.code, data.code) == (1, 1)
    assert text.out.decode().splitlines() == [
        "ok      store             sqlite: opened and closed",
        "failed  ingest            server: Address already in use",
    ]
    assert [(line["part"], line["ok"]) for line in data.lines] == [("store", True), ("ingest", False)]


def test_check_shows_only_its_own_lines(cli: Cli, tmp_path: Path) -> None:
    """Not the empty table of a console sink."""
    (tmp_path / "c.toml").write_text('[ingest]\nport = 0\n[[sinks]]\nkind = "console"\n')
    checked = cli("check", "c.toml", "--output", "text")

    assert checked.out.decode().splitlines() == [
        "ok      sinks[0]          console: opened and closed",
        "ok      ingest            server: 127.0.0.1 has free ports",
    ]


@pytest.mark.parametrize("limit", ["0", "-1", "nan", "inf"])
def test_check_needs_a_time_limit(limit: str, cli: Cli) -> None:
    """One that ends."""
    checked = cli("check", "c.toml", f"--timeout-s={limit}")

    assert checked.code == 2
    assert "--timeout-s: expected more than 0 seconds" in checked.err


# -- explain -----------------------------------------------------------------------------------------------------------


def test_explain_shows_what_takes_effect(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables and defaults; no secret."""
    monkeypatch.setenv("ADMIN_TOKEN", CANARY)
    (tmp_path / "c.toml").write_text('[store]\nkind = "memory"\n[ingest]\n[admin]\ntoken = "${ADMIN_TOKEN}"\n')
    explained = cli("explain", "c.toml")

    assert (explained.code, explained.err) == (0, "")
    assert b'token = "***"  # line 5, ${ADMIN_TOKEN}\n' in explained.out
    assert b"port = 8700\n" in explained.out
    assert CANARY.encode() not in explained.out


def test_explain_tells_mistakes(cli: Cli, tmp_path: Path) -> None:
    """Like `check`."""
    (tmp_path / "c.toml").write_text("[ingset]\n")
    explained = cli("explain", "c.toml")

    assert (explained.code, explained.out) == (2, b"")
    assert 'c.toml:1: ingset: unknown key; did you mean "ingest"?' in explained.err


HOSTILE = "\x1b]0;x\x07\x1b[31m\u202e\x9b2J"


@pytest.mark.slow
@pytest.mark.parametrize("command", [("explain",), ("check", "--output", "text"), ("check", "--output", "json")])
def test_a_terminal_gets_no_escape_sequence(command: tuple[str, ...], tmp_path: Path) -> None:
    """Whatever a config holds."""
    name = json.dumps(HOSTILE)
    both = f"name = {name}\npath = {name}\n"
    text = f'[ingest]\nport = 0\n[[sources]]\nkind = "file"\n{both}[[sinks]]\nkind = "jsonl"\n{both}'
    (tmp_path / "c.toml").write_text(text, encoding="utf-8")
    leader, follower = pty.openpty()
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "dumb"}
    words = [sys.executable, "-m", "streamproc.cli", command[0], "c.toml", *command[1:]]
    child = subprocess.Popen(words, stdin=follower, stdout=follower, stderr=follower, env=environ, cwd=tmp_path)
    os.close(follower)
    shown = bytearray()
    while True:
        try:
            data = os.read(leader, 65536)
        except OSError:  # EIO: the child is gone
            break
        shown += data
    os.close(leader)

    assert child.wait() in (0, 1)
    assert b"sinks" in shown
    assert not {"\x1b", "\x07", "\u202e", "\x9b"} & set(shown.decode())


# -- plugins -----------------------------------------------------------------------------------------------------------


def test_plugins_are_listed(cli: Cli) -> None:
    """As a table or as JSON lines."""
    data, table = cli("plugins"), cli("plugins", "--output", "table")

    assert (data.code, data.err) == (0, "")
    assert {"group": "sinks", "name": "jsonl"}.items() <= data.lines[2].items()
    assert table.code == 0
    assert "sqlite" in table.out.decode()


def test_a_broken_plug_in_is_listed(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """With the reason, and exit code 1."""
    install(monkeypatch, tmp_path / "site", "broken_cli", {"sinks": {"b": "broken_cli:X"}}, module="import nowhere_x")
    (row,) = (line for line in cli("plugins").lines if line["distribution"] == "broken_cli")

    assert row["error"] == "importing it raised ModuleNotFoundError: no module 'nowhere_x'"
    assert cli("plugins").code == 1
    assert "nowhere_x" in cli("plugins", "--output", "table").out.decode().replace("\n", "")


# -- secrets -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        '[admin]\nhost = "0.0.0.0"\ntoken = "x ${CANARY}"\n',
        '[ingest]\ntokens = "${CANARY}"\n',
        '[ingest]\nport = "${CANARY}"\n',
        '[proxy]\nupstream = "ftp://user:${CANARY}@api.example.com/?k=${CANARY}"\n',
        '[proxy]\nupstream = "https://user:${CANARY}@api.example.com/?k=${CANARY}"\n',
        '[[sources]]\nkind = "http"\nurl = "${CANARY}"\n',
        '[[sources]]\nkind = "http"\nurl = "https://api.example.com"\nheaders = { a = "${CANARY}\\n" }\n',
        '[[sources]]\nkind = "http"\nurl = "https://api.example.com"\nheaders = "${CANARY}"\n',
        '[[sources]]\nkind = "http"\nurl = "https://api.example.com"\njson = "${CANARY}"\n',
        '[[sinks]]\nkind = "${CANARY}"\n',
        '[log]\nlevel = "${CANARY}"\n',
    ],
)
def test_a_secret_is_in_no_error(text: str, tmp_path: Path) -> None:
    """Wherever it was put by mistake."""
    path = tmp_path / "c.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidConfig) as caught:
        load_config(path, {"CANARY": CANARY})

    assert CANARY not in str(caught.value)
    assert CANARY not in repr(caught.value)
