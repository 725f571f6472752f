"""docs/deploy.md: its files are ones that work here, and what it names is there."""

import configparser
import json
import re
import shlex
import tomllib
from pathlib import Path
from typing import Final

import pytest

from streamproc.cli.exits import Exit
from streamproc.worker.config import AdminConfig, IngestConfig, load_config
from tests.conftest import ROOT

PAGE: Final = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert isinstance(found, str)
    return found


def test_config_has_no_mistake(tmp_path: Path) -> None:
    """With the variables that the page tells to set; it logs for machines."""
    path = tmp_path / "streamproc.toml"
    path.write_text(block("toml"), encoding="utf-8")
    config = load_config(path, {"INGEST_TOKEN": "a" * 64, "ADMIN_TOKEN": "b" * 64})

    assert config.log.format == "json"
    assert config.ingest is not None
    assert config.admin is not None


def test_unit_waits_longer_than_the_worker_takes(tmp_path: Path) -> None:
    """It gives up on what cannot start, runs commands that are there, and asks for a user of its own."""
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]  # names keep their capitals, as typeshed has it not
    unit.read_string(block("ini"))
    service = unit["Service"]
    path = tmp_path / "streamproc.toml"
    path.write_text(block("toml"), encoding="utf-8")
    drain_s = load_config(path, {"INGEST_TOKEN": "a" * 64, "ADMIN_TOKEN": "b" * 64}).limits.drain_s

    assert int(service["TimeoutStopSec"]) >= 2 * drain_s + 10
    assert int(service["RestartPreventExitStatus"]) == Exit.USAGE
    assert shlex.split(service["ExecStart"])[1:] == ["run", "/etc/streamproc.toml"]
    assert shlex.split(service["ExecStartPre"])[1:] == ["check", "--offline", "/etc/streamproc.toml"]
    assert service["DynamicUser"] == "yes"
    assert service["WorkingDirectory"] == f"/var/lib/{service['StateDirectory']}"


def test_container_runs_as_nobody_special() -> None:
    """Without a shell around the worker, so that signals reach it; with the ports that it has by default."""
    lines = dict(line.split(" ", 1) for line in block("dockerfile").splitlines() if line[:1].isupper())

    assert int(lines["USER"]) > 0
    assert json.loads(lines["ENTRYPOINT"]) == ["streamproc", "run", "/etc/streamproc.toml"]
    assert {int(port) for port in lines["EXPOSE"].split()} == {IngestConfig().port, AdminConfig().port}
    assert f"127.0.0.1:{AdminConfig().port}/healthz" in lines["HEALTHCHECK"]


def test_extras_are_there() -> None:
    named = {name for names in re.findall(r'"streamproc\[([\w,]+)\]"', PAGE) for name in names.split(",")}

    assert named == {"cli", "store", "jsonl", "metrics", "uvloop"}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert named <= set(project["optional-dependencies"])


@pytest.mark.parametrize(
    ("page", "pattern"), [("admin.md", r"streamproc_[a-z_]+"), ("logging.md", r"`((?:store|sink|worker)\.\w+)`")]
)
def test_what_alerts_ask_for_is_told(page: str, pattern: str) -> None:
    """By name, in the tables of metrics and of log events."""
    alerts = PAGE.partition("## What to look after")[2]
    named = set(re.findall(pattern, alerts))
    table = (ROOT / "docs" / page).read_text(encoding="utf-8")

    assert len(named) >= 3
    assert {name for name in named if f"| `{name}` |" not in table} == set()
