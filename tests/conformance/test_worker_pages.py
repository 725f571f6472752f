"""docs/ingest.md and docs/admin.md: their commands are run, and their limits and codes are those of the code."""

import ast
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any, Final

import anyio
import anyio.to_thread
import pytest

from streamproc import Pipeline
from streamproc.worker.admin import Admin
from streamproc.worker.http import HttpServer, ServerLimits
from streamproc.worker.ingest import Ingest, IngestLimits
from tests.conftest import ROOT
from tests.streams import arguments, call, done, run, sse, step

DOCS: Final = ROOT / "docs"
EVENTS: Final = [
    *(run("created"), step("created"), arguments("a"), step("completed", "step_1", call("a")), run("completed")),
    done(),
]
RUN: Final = sse(*EVENTS)
LINES: Final = b"".join(
    b'{"event": "%b", "data": %b}\n' % (event.name.encode(), event.raw if event.data is not None else b'"[DONE]"')
    for event in EVENTS
)


def commands(page: str) -> list[tuple[str, str]]:
    """Each command of a page, and what it prints."""
    blocks = re.findall(r"^( *)```console\n(.*?)^\1```", (DOCS / page).read_text("utf-8"), re.DOTALL | re.MULTILINE)
    found: list[tuple[str, str]] = []
    for indent, block in blocks:
        for line in block.splitlines():
            line = line.removeprefix(indent)
            if line.startswith("$ "):
                found.append((line[2:], ""))
            else:
                found[-1] = found[-1][0], found[-1][1] + line
    return found


async def run_page(page: str, folder: Path) -> list[tuple[str, str, str]]:
    """Each command, what the page says that it prints, and what it does print."""
    (folder / "run.sse").write_bytes(RUN)
    (folder / "run-2.ndjson").write_bytes(LINES.replace(b"_1", b"_2"))
    (folder / "run-3.sse").write_bytes(RUN.replace(b"_1", b"_3"))
    token = "a-token-of-this-test"
    async with Pipeline() as pipeline, Ingest(pipeline) as ingest:
        if page == "admin.md":
            stream = await pipeline.push("demo")
            await stream.feed(RUN)
            stream.end()
        routes = (*ingest.routes, *Admin(pipeline).routes)
        async with HttpServer("both", routes, tokens=[token]) as server:
            env = {"PATH": os.environ["PATH"], "ADMIN": server.url, "INGEST": server.url, "TOKEN": token}

            def shell(command: str) -> str:
                done = subprocess.run(["bash", "-c", command], cwd=folder, env=env, capture_output=True, timeout=30)
                return done.stdout.decode().strip()

            return [(command, said, await anyio.to_thread.run_sync(shell, command)) for command, said in commands(page)]


def steady(text: str) -> Any:
    """Without what differs from run to run."""
    text = re.sub(r'"epoch":\d+', '"epoch":1', text)
    text = re.sub(r'"loop_lag_s":[\d.]+', '"loop_lag_s":0', text)
    return json.loads(text) if text.startswith("{") else text


@pytest.mark.asyncio
@pytest.mark.parametrize(("page", "count"), [("ingest.md", 5), ("admin.md", 4)])
async def test_commands_print_what_the_page_says(page: str, count: int, tmp_path: Path) -> None:
    """In their order, against one worker."""
    ran = await run_page(page, tmp_path)

    assert len(ran) == count
    for command, said, printed in ran:
        assert steady(printed) == steady(said), command


def tables(page: str) -> dict[str, str]:
    """First cell -> second, of the rows that begin with a name in code."""
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", (DOCS / page).read_text("utf-8"), re.MULTILINE)
    return dict(rows)


@pytest.mark.parametrize("limits", [IngestLimits(), ServerLimits()])
def test_limits_have_the_defaults_of_the_page(limits: Any) -> None:
    """All of them."""
    said = tables("ingest.md")
    units = {"256 MiB": 256 * 2**20, "32 KiB": 32 * 2**10, "16 KiB": 16 * 2**10, "none": None}
    found = {name: units.get(said[name], said[name]) for name in limits.__struct_fields__}

    assert {name: str(value) for name, value in found.items()} == {
        name: f"{value:g}" if isinstance(value, float) else str(value)
        for name, value in ((name, getattr(limits, name)) for name in limits.__struct_fields__)
    }


def codes() -> set[tuple[int, str]]:
    """Status and code of each refusal in the source, as far as both stand in one call."""
    found: set[tuple[int, str]] = set()
    for name in ("http", "ingest"):
        for node in ast.walk(ast.parse((ROOT / "streamproc" / "worker" / f"{name}.py").read_text("utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Name(id="Refused"),
                    args=[ast.Constant(value=int(status)), ast.Constant(value=str(code)), *_],
                ):
                    found.add((status, code))
                case ast.Call(func=ast.Name(id="_conflict"), args=[ast.Constant(value=str(code)), *_]):
                    found.add((409, code))
                case ast.Tuple(elts=[ast.Constant(value=int(status)), ast.Constant(value=str(code)), ast.Constant()]):
                    found.add((status, code))
                case _:
                    pass
    return found


def test_all_errors_are_in_the_table() -> None:
    """By status and code."""
    text = (DOCS / "ingest.md").read_text("utf-8")
    said = {
        (int(status), code)
        for statuses, listed in re.findall(r"^\| (\d+(?:, \d+)?) \| (.*?) \|", text, re.MULTILINE)
        for status in statuses.split(", ")
        for code in re.findall(r"`(\w+)`", listed)
    }
    missing = {(404, "method_not_allowed"), (405, "not_found"), (405, "unknown_stream")}  # of the row with two

    assert codes() == said - missing
