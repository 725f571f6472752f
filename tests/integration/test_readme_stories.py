"""The shell blocks of README, run as they stand: only addresses are replaced, and a pause is made to fit.

What follows `&` begins once the program before it is ready, as it does for people, who type slower.
"""

import json
import os
import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Final

import pytest
from anyio.from_thread import start_blocking_portal

from streamproc.testing import Response, ScriptedServer, stall_at
from tests.faults.kill.work import run_bytes, run_states
from tests.worker.process import ROOT, environment, free_port

STORY: Final = re.compile(r"^<!-- story: (?P<name>\w+) -->\n+```sh\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
RUN: Final = run_bytes(11, "birch", 0)
STATES: Final = run_states(11, "birch", 0)
STEPS: Final = {id for id, state in STATES.items() if state["object"] == "thread.run.step"}
AGENT: Final = """\
import warnings
from openai import OpenAI

warnings.simplefilter("ignore")
client = OpenAI(api_key="c4n4ry")
with client.beta.threads.runs.stream(thread_id="thread_birch_0", assistant_id="asst_1") as stream:
    stream.until_done()
print("the agent is done")
"""


def story(name: str) -> str:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = {match["name"]: match["body"] for match in STORY.finditer(text)}
    assert set(found) == {"proxy", "plug"}
    return found[name]


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(server):
        yield server


def run_in(folder: Path, script: str) -> str:
    """Run it where `streamproc` and `python` are those of the tests; what it leaves running is ended."""
    commands = folder / "bin"
    commands.mkdir()
    for name, words in (("streamproc", "-m streamproc.cli"), ("python", ""), ("sqlite3", f"{folder}/bin/sqlite.py")):
        (commands / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {words} "$@"\n', encoding="utf-8")
        (commands / name).chmod(0o755)
    # what sqlite3's own shell shows, for a machine that has none
    (commands / "sqlite.py").write_text(
        "import sqlite3, sys\nfor row in sqlite3.connect(sys.argv[1]).execute(sys.argv[2]):\n"
        "    print(*('' if item is None else item for item in row), sep='|')\n",
        encoding="utf-8",
    )
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", f"trap 'kill $(jobs -p) 2>/dev/null || true; wait || true' EXIT\n{script}"],
        cwd=folder,
        env=environment(PATH=os.pathsep.join([str(commands), os.environ["PATH"]])),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.slow
def test_point_any_sdk_at_the_proxy(tmp_path: Path, server: ScriptedServer) -> None:
    """The published client, with nothing but its base URL changed; its steps are rows when it is done."""
    server.script("/v1/threads/*/runs", [Response(RUN)], method="POST")
    (tmp_path / "agent.py").write_text(AGENT, encoding="utf-8")
    port = free_port()
    script = story("proxy").replace("https://api.openai.com", server.url).replace(":8080", f":{port}")
    ready = f"&\nuntil (: </dev/tcp/127.0.0.1/{port}) 2>/dev/null; do sleep 0.05; done\n"
    shown = run_in(tmp_path, script.replace("&\n", ready, 1)).splitlines()

    assert shown[0] == "the agent is done"
    calls, tokens = len(STEPS) - 1, sum(10 + number for number in range(len(STEPS) - 1))
    assert shown[1:] == [f'["look_up"]|completed|{calls}|{tokens}', "[]|completed|1|"]
    with closing(sqlite3.connect(tmp_path / "runs.db")) as store:
        assert {id for (id,) in store.execute("SELECT id FROM steps")} == STEPS
    assert b"c4n4ry" not in b"".join(path.read_bytes() for path in tmp_path.glob("runs.db*"))


@pytest.mark.slow
def test_pull_the_plug(tmp_path: Path, server: ScriptedServer) -> None:
    """Killed when the first step is there and the stream hangs; the second life brings what is missing, once."""
    server.script("/runs/live", [Response(stall_at(RUN, len(RUN) * 2 // 3)), Response(RUN)])
    half = (
        "until python -c \"import sqlite3; assert sqlite3.connect('file:runs.db?mode=ro', uri=True)"
        ".execute('SELECT count(*) FROM steps').fetchone()[0]\" 2>/dev/null; do sleep 0.05; done"
    )
    script = story("plug").replace("https://agents.example.com", server.url).replace("sleep 2", half)
    shown = run_in(tmp_path, script)

    steps = [json.loads(line) for line in shown.splitlines()]
    assert {step["id"]: step["status"] for step in steps} == dict.fromkeys(STEPS, "completed")
    with closing(sqlite3.connect(tmp_path / "runs.db")) as store:
        assert store.execute("SELECT DISTINCT epoch FROM streams").fetchall() == [(2,)]
        (head,) = store.execute("SELECT last FROM extent").fetchone()
    lines = [json.loads(line) for line in (tmp_path / "changes.jsonl").read_bytes().splitlines()]
    keys = [(line["stream"], line["epoch"], line["seq"]) for line in lines]
    assert len(keys) == len(set(keys)) == head
    states = {line["id"]: line["state"] for line in lines if "state" in line}
    assert {id: states[id] for id in STATES} == STATES
