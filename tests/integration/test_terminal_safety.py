"""No command lets data act on the terminal: escape sequences, control characters and markup stay text, or are left out.

Each is run on a pseudo-terminal with data that holds them wherever text may be. With TERM=dumb nothing of ours writes
an escape sequence, so there must be none at all; on a terminal that knows them, none of those in the data may be there.
"""

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest

from tests.streams import arguments, call, code, done, error, event, message, run, sse, step, text, thread, words
from tests.worker.process import environment

MARK: Final = "h0stile"
HOSTILE: Final = (
    f"\x1b[38;5;99m{MARK}",  # colour, one that is none of ours
    f"\x1b]0;{MARK}\x07",  # the window's title
    f"\x1b]52;c;{MARK}\x1b\\",  # the clipboard
    f"\x1b]8;;file:///{MARK}\x1b\\",  # a link
    f"\x1b[2J\x1b[H{MARK}",  # clear the screen
    f"\x1b[6n{MARK}",  # an answer that is typed into the shell
    f"\x1bP{MARK}\x1b\\",  # a device control string
    f"\x9b2J{MARK}",  # C1
    f"\x9d0;{MARK}\x9c",
    f"\u202e{MARK}\u2066",  # reading direction
    f"x{MARK}\r\n\n\b\b\x7f\x00\v\f",  # other lines, other places
    f"\u2028{MARK}\u2029\x85",
    f"[red]{MARK}[/red][link=file:///x]{MARK}[/link][/]",  # markup of rich
    f":skull: [bold {MARK}",
)
UNSAFE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029]")
"""What must not come out but in sequences of our own; LF is there as the terminal has it, CR LF."""


def stream(at: int, bad: str) -> bytes:
    """A run with that text wherever a server may put text, ids included."""
    run_id, step_id, message_id = f"run_{at}{bad}", f"step_{at}{bad}", f"msg_{at}{bad}"
    own: dict[str, Any] = {"thread_id": f"thread_{bad}", "assistant_id": bad, "model": bad}
    ids: dict[str, Any] = {"run_id": run_id, "thread_id": f"thread_{bad}"}
    failure = {"code": bad, "message": bad}
    return sse(
        thread(f"thread_{bad}", metadata={bad: bad}),
        run("created", run_id, instructions=bad, tools=[{"type": bad}], metadata={bad: bad}, **own),
        step("created", step_id, call("", index=0, id=bad, name=bad), **ids),
        *(arguments(json.dumps({bad: bad}), id=step_id), event(f"thread.run.step.{bad}", {"id": bad, "object": bad})),
        step("failed", step_id, call(json.dumps({bad: bad}), id=bad, name=bad, output=bad), last_error=failure, **ids),
        step("created", f"{step_id}-2", code(bad, index=0, id=bad), **ids),
        step("completed", f"{step_id}-2", code(bad, id=bad, outputs=[{"type": "logs", "logs": bad}]), **ids),
        step("created", f"{step_id}-3", step_details={"type": bad, bad: bad}, type=bad, **ids),
        message("created", message_id, role=bad, **ids),
        *(words(bad, id=message_id), message("completed", message_id, text(bad, annotations=[]), role=bad, **ids)),
        *(error({"message": bad, "code": bad, "type": bad}), run("failed", run_id, last_error=failure, **own), done()),
    )


CORPUS: Final = b"".join(stream(at, bad) for at, bad in enumerate(HOSTILE)).replace(sse(done()), b"") + sse(done())

Words = Callable[[Path], list[str]]


def only(*words: str) -> Words:
    return lambda folder: [*words]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the corpus as files, some with names like their content, in a store, and as a worker's source."""
    path = tmp_path_factory.mktemp("hostile")
    names = ["corpus.sse", *(f"{at}-{bad.replace('/', '').replace(chr(0), '')}.sse" for at, bad in enumerate(HOSTILE))]
    for name in names:
        (path / name).write_bytes(CORPUS if name == "corpus.sse" else stream(0, HOSTILE[int(name.partition("-")[0])]))
    assert run_in(path, "replay", *names, "--store", "runs.db", "--output", "summary").returncode == 1
    sources = [
        f'[[sources]]\nkind = "file"\npath = {json.dumps(name)}\nname = {json.dumps(f"{at} {name}")}\n'
        for at, name in enumerate(names)
    ]
    sink = json.dumps("".join(HOSTILE)[:200])
    text = f'[[sinks]]\nkind = "console"\nname = {sink}\n[log]\nformat = "console"\nlevel = "debug"\n{"".join(sources)}'
    (path / "worker.toml").write_text(text, encoding="utf-8")
    (path / "bad.toml").write_text(f"{text}{json.dumps(sink)} = 1\n[{sink}]\n", encoding="utf-8")
    return path


def run_in(folder: Path, *words: str) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-m", "streamproc.cli", *words]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, check=False)


def shown(folder: Path, term: str, *words: str) -> str:
    """What a command shows on a terminal; it must end by itself, well or not."""
    leader, follower = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "streamproc.cli", *words],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=follower,
        stderr=follower,
        env=environment(TERM=term, STREAMPROC_LOG="console", COLUMNS="200"),
    )
    os.close(follower)
    found = bytearray()
    while True:
        try:
            data = os.read(leader, 65536)
        except OSError:  # EIO: the child is gone
            break
        if not data:
            break
        found += data
    os.close(leader)
    assert child.wait() in (0, 1, 2), found[-2000:]
    assert b"Traceback" not in found
    return found.decode("utf-8", "surrogateescape")


COMMANDS: Final[dict[str, Words]] = {
    "replay": only("replay", "corpus.sse"),
    "replay, names": lambda folder: ["replay", *sorted(path.name for path in folder.glob("*.sse"))],
    "replay, no such file": only("replay", HOSTILE[0].replace("/", "")),
    "replay changes": only("replay", "corpus.sse", "--output", "changes"),
    "replay messages": only("replay", "corpus.sse", "--output", "messages"),
    "replay runs": only("replay", "corpus.sse", "--output", "runs"),
    "replay summary": only("replay", "corpus.sse", "--output", "summary"),
    "replay steps as JSON": only("replay", "corpus.sse", "--json"),
    "steps": only("steps", "runs.db"),
    "steps as JSON": only("steps", "runs.db", "--output", "json"),
    "steps of no run": only("steps", "runs.db", "--run", HOSTILE[1]),
    "tail": only("tail", "runs.db", "--from", "start", "--until-idle", "0"),
    "tail as JSON": only("tail", "runs.db", "--from", "start", "--until-idle", "0", "--json"),
    "convert": only("convert", "corpus.sse"),
    "convert a stored run": only("convert", "--store", "runs.db", "--run", f"run_0{HOSTILE[0]}"),
    "run": only("run", "worker.toml"),
    "run a bad config": only("run", "bad.toml"),
    "run what is not there": only("run", HOSTILE[2].replace("/", "")),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_no_control_character_of_the_data_reaches_a_terminal(name: str, folder: Path) -> None:
    """None at all, where nothing of ours writes one."""
    found = shown(folder, "dumb", *COMMANDS[name](folder)).replace("\r\n", "\n")

    assert len(found) > 40
    assert UNSAFE.findall(found) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["replay", "steps", "tail", "convert", "run"])
def test_no_sequence_of_the_data_reaches_a_terminal_that_knows_them(name: str, folder: Path) -> None:
    """Those that are there are ours: colours, and the movements of a live table."""
    found = shown(folder, "xterm-256color", *COMMANDS[name](folder)).replace("\r\n", "\n")
    rest = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", found)

    assert MARK in found
    assert UNSAFE.findall(rest.replace("\r", "")) == []
    assert [bad for bad in HOSTILE if UNSAFE.search(bad) and bad in found] == []
    assert not re.search(r"\x1b\[(6n|2J|38;5;99m)", found)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["steps", "tail", "run"])
def test_markup_in_data_is_text(form: str, folder: Path) -> None:
    """It is shown as it stands, for whoever has to find it."""
    assert f"[red]{MARK}[/red]" in shown(folder, "dumb", *COMMANDS[form](folder)).replace("\r\n", "")
