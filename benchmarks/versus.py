"""How much faster than others on the same bytes. Each peer is a process; the peers and the core take turns.

A peer's time is compared with that of a core's process of the same turn, and the median of the turns counts. Peers in
Python are compared by CPU time, median of their rounds; node by wall time, best of 12 rounds ("fully warm") against the
median of ours.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from benchmarks.checks import losses
from benchmarks.node import NodeUnavailable, install
from benchmarks.table import Row
from benchmarks.workloads import Workload, mix, tool_heavy
from benchmarks.writer import Texts

__all__ = ["Peer", "PeerFailed", "Report", "python", "rows", "run"]

_ROOT: Final = Path(__file__).resolve().parent.parent
_CHUNK_BYTES: Final = 4096
_WARM_ROUNDS: Final = 12
_LIMIT_S: Final = 600


class PeerFailed(Exception):
    """A peer's process ended with an error; the text is the last line of it."""


class Peer(NamedTuple):
    """How a peer is run."""

    key: str
    what: str
    command: tuple[str, ...]  # what follows the stream, the chunk size and the rounds is in `extra`
    rounds: int
    extra: tuple[str, ...] = ()
    is_node: bool = False
    remark: str = ""


class Report(Struct):
    """What a peer's process prints."""

    version: str
    cpu: list[float]
    wall: list[float]
    texts: Texts


def python(module: str) -> tuple[str, ...]:
    """The command of a peer that is a module of `benchmarks.peers`."""
    return (sys.executable, "-m", f"benchmarks.peers.{module}")


_CORE: Final = Peer("core", "", python("core"), _WARM_ROUNDS)
_STATES: Final = Peer("core-states", "", python("core"), 3, ("states",))
_PYTHON_PEERS: Final = (
    ("openai", Peer("openai-handler", "openai AssistantEventHandler / core", python("openai_handler"), 2)),
    ("openai", Peer("openai-raw", "openai raw typed stream, no merging / core", python("openai_raw"), 2)),
    (
        "azure.ai.agents",
        Peer("azure-handler", "azure AgentEventHandler, no merging / core", python("azure_handler"), 2),
    ),
    ("httpx_sse httpx", Peer("httpx-sse", "httpx-sse + json.loads, no merging / core", python("httpx_sse_json"), 5)),
)


def rows(turns: int, *, quick: bool) -> Iterator[Row]:
    """Yield a row for each peer, of all workloads."""
    peers, missing = _available()
    yield from missing
    for workload in [tool_heavy(steps=10)] if quick else [tool_heavy(), mix()]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "stream.sse"
            path.write_bytes(workload.stream)
            yield from _failing(peers, path)
            reports = [{peer.key: run(peer, path) for peer in (_CORE, *peers, _STATES)} for _ in range(turns)]
        suffix = "" if workload.name == "tool-heavy" else f".{workload.name}"
        for peer in peers:
            yield _row(peer, workload, suffix, reports)
            if peer.key == "openai-handler":
                value = median(median(turn[peer.key].cpu) / median(turn[_STATES.key].cpu) for turn in reports)
                what = f"{peer.what} reading the state of every change, {workload.name}"
                yield Row(f"peers.openai-handler-states{suffix}", what, value, "x", places=1)


def _available() -> tuple[list[Peer], list[Row]]:
    """The peers that can run here, and a row that says why for each that cannot."""
    peers: list[Peer] = []
    missing: list[Row] = []
    for modules, peer in _PYTHON_PEERS:
        if all(_is_installed(module) for module in modules.split()):
            peers.append(peer)
        else:
            remark = "skipped: pip install -r benchmarks/requirements.txt"
            missing.append(Row(f"peers.{peer.key}", peer.what, None, "x", remark))
    try:
        for package in install():
            command = ("node", str(_ROOT / "benchmarks" / "peers" / "openai_node.mjs"))
            what = f"openai npm {package.version} AssistantStream, fully warm / core"
            remark = f"wants node {package.wants_node}" if package.wants_node else ""
            peers.append(Peer(package.name, what, command, _WARM_ROUNDS, (str(package.folder),), True, remark))
    except NodeUnavailable as reason:
        missing.append(Row("peers.openai-node", "openai npm package / core", None, "x", f"skipped: {reason}"))
    return peers, missing


def _failing(peers: list[Peer], path: Path) -> Iterator[Row]:
    """Take out the peers that cannot read this stream at all, and yield a row for each that says so."""
    for peer in [*peers]:
        try:
            run(peer._replace(rounds=0), path)
        except PeerFailed as failure:
            peers.remove(peer)
            yield Row(f"peers.{peer.key}", peer.what, None, "x", f"failed: {failure}")


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a parent package is missing
        return False


def run(peer: Peer, path: Path) -> Report:
    """Run a peer's process on the stream in a file.

    Raises:
        PeerFailed: it ended with an error.
    """
    command = [*peer.command, str(path), str(_CHUNK_BYTES), str(peer.rounds), *peer.extra]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    if done.returncode:
        raise PeerFailed((done.stderr.strip() or "no message").splitlines()[-1])
    return msgspec.json.decode(done.stdout, type=Report)


def _row(peer: Peer, workload: Workload, suffix: str, reports: Sequence[dict[str, Report]]) -> Row:
    assert not losses(workload.texts, reports[0][_CORE.key].texts), "the core lost text"
    if peer.is_node:
        theirs = [min(turn[peer.key].wall) for turn in reports]
        ours = [median(turn[_CORE.key].wall) for turn in reports]
    else:
        theirs = [median(turn[peer.key].cpu) for turn in reports]
        ours = [median(turn[_CORE.key].cpu) for turn in reports]
    value = median(its / mine for its, mine in zip(theirs, ours, strict=True))
    rate = len(workload.blocks) / median(theirs)
    first = reports[0][peer.key]
    remarks = [f"{first.version}: {rate:,.0f} events/s", losses(workload.texts, first.texts) or "all texts right"]
    remarks += [peer.remark] if peer.remark else []
    return Row(f"peers.{peer.key}{suffix}", f"{peer.what}, {workload.name}", value, "x", "; ".join(remarks), 1)
