"""Is everything there that a config names: real files, sockets and locks."""

import socket
import threading
from pathlib import Path

import pytest

from streamproc.testing import ScriptedServer
from streamproc.worker.check import connect
from streamproc.worker.config import WorkerConfig, load_config
from tests.unit.distribution import install


def config_of(folder: Path, text: str) -> WorkerConfig:
    path = folder / "streamproc.toml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, {"DIR": str(folder)})


async def verdicts(config: WorkerConfig, timeout_s: float = 5.0) -> list[tuple[str, bool, str]]:
    return [(one.part, one.ok, one.detail) for one in await connect(config, timeout_s)]


def taken_port(listen: bool = True) -> tuple[socket.socket, int]:
    """A socket on a loopback port; one that does not listen refuses connections."""
    taken = socket.socket()
    taken.bind(("127.0.0.1", 0))
    if listen:
        taken.listen()
    return taken, taken.getsockname()[1]


@pytest.mark.asyncio
async def test_all_is_there(tmp_path: Path) -> None:
    """One finding for each part, in the order of the sections; nothing is sent to a server."""
    (tmp_path / "a.sse").write_bytes(b"12345")
    async with ScriptedServer() as server:
        config = config_of(
            tmp_path,
            f"""
            [store]
            path = "${{DIR}}/runs.db"
            [[sources]]
            kind = "http"
            url = "{server.url}/runs"
            resync = {{ base_url = "{server.url}" }}
            [[sources]]
            kind = "file"
            path = "${{DIR}}/a.sse"
            [[sources]]
            kind = "file"
            path = "${{DIR}}/later.sse"
            follow = true
            [[sinks]]
            kind = "jsonl"
            path = "${{DIR}}/a.jsonl"
            [ingest]
            port = 0
            [proxy]
            upstream = "{server.url}"
            port = 0
            [admin]
            port = 0
            """,
        )
        host = server.url.removeprefix("http://")

        assert await verdicts(config) == [
            ("store", True, "opened and closed"),
            ("sources[0]", True, f"connected to {host}, connected to {host}"),
            ("sources[1]", True, "5 bytes"),
            ("sources[2]", True, "not there yet"),
            ("sinks[0]", True, "opened and closed"),
            ("proxy.upstream", True, f"connected to {host}"),
            ("ingest", True, "127.0.0.1 has free ports"),
            ("proxy", True, "127.0.0.1 has free ports"),
            ("admin", True, "127.0.0.1 has free ports"),
        ]
        assert server.requests == []


@pytest.mark.asyncio
async def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    """Each part by itself, with the reason."""
    refusing, port = taken_port(listen=False)
    listening, taken = taken_port()
    with refusing, listening:
        config = config_of(
            tmp_path,
            f"""
            [store]
            path = "${{DIR}}/nowhere/runs.db"
            [[sources]]
            kind = "http"
            url = "http://127.0.0.1:{port}/runs"
            [[sources]]
            kind = "file"
            path = "${{DIR}}/absent.sse"
            [[sources]]
            kind = "file"
            path = "${{DIR}}"
            [[sinks]]
            kind = "jsonl"
            path = "${{DIR}}/nowhere/a.jsonl"
            [ingest]
            port = {taken}
            """,
        )
        found = await verdicts(config)

    assert [(part, ok) for part, ok, _ in found] == [
        ("store", False),
        ("sources[0]", False),
        ("sources[1]", False),
        ("sources[2]", False),
        ("sinks[0]", False),
        ("ingest", False),
    ]
    details = [detail for _, _, detail in found]
    assert "there is no such folder" in details[0]
    assert details[1].startswith(f"no connection to 127.0.0.1:{port}")
    assert details[2] == "No such file or directory"
    assert details[3] == "expected a regular file, something else is there"
    assert details[5] == "Address already in use"


@pytest.mark.asyncio
async def test_a_store_that_a_worker_has_open(tmp_path: Path) -> None:
    """It is not free, which is said."""
    config = config_of(tmp_path, '[store]\npath = "${DIR}/runs.db"\n[ingest]\nport = 0\n')
    from streamproc.stores.sqlite import SqliteStore

    async with SqliteStore(tmp_path / "runs.db"):
        (store, _) = await verdicts(config)

    assert store[1] is False
    assert store[2].endswith("is open in another process; only one may use it")


SLOW = """
import anyio
from streamproc.plugins import PlugIn, SinkConfig, SourceConfig
from streamproc.sources import IterableSource

class Slow(SinkConfig, tag="slow", frozen=True, kw_only=True, forbid_unknown_fields=True):
    wait_s: float = 60.0

class SlowSink:
    def __init__(self, wait_s):
        self.wait_s = wait_s
    async def __aenter__(self):
        await anyio.sleep(self.wait_s)
        raise RuntimeError("kT3vQm9sXw2LbR8n")
    async def __aexit__(self, *error):
        return None
    async def write(self, batch):
        return None

class Bare(SourceConfig, tag="bare", frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass

SLOW = PlugIn(Slow, lambda options: SlowSink(options.wait_s))
BARE = PlugIn(Bare, lambda options: IterableSource([], name="bare"))
"""


@pytest.mark.asyncio
async def test_no_part_takes_longer_than_the_limit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """And the text of a foreign exception is not told."""
    entries = {"sinks": {"slow": "slow_plugin:SLOW"}, "sources": {"bare": "slow_plugin:BARE"}}
    install(monkeypatch, tmp_path / "site", "slow_plugin", entries, module=SLOW)
    text = '[[sources]]\nkind = "bare"\n[[sinks]]\nkind = "slow"\n[[sinks]]\nkind = "slow"\nname = "x"\nwait_s = 0\n'

    assert await verdicts(config_of(tmp_path, text), timeout_s=0.5) == [
        ("sources[0]", True, "made"),
        ("sinks[0]", False, "no answer within 0.5 s"),
        ("sinks[1]", False, "raised RuntimeError"),
    ]


def test_no_thread_is_left_behind(tmp_path: Path) -> None:
    """Everything that was opened is closed again."""
    import anyio

    config = config_of(tmp_path, '[store]\npath = "${DIR}/runs.db"\n[[sinks]]\nkind = "console"\n[ingest]\nport = 0\n')
    before = {*threading.enumerate()}
    found = anyio.run(connect, config, 60.0)
    more = {*threading.enumerate()} - before
    for thread in more:  # it may be about to end
        thread.join(10)

    assert [one.ok for one in found] == [True, True, True]
    assert not any(thread.is_alive() for thread in more)
