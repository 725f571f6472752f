"""The dialects that are translated: how close each comes to its own decode floor, and to the openai package's helper.

As in core.py and versus.py, and with their methods: the floor takes turns with the core in one process, the package's
helper is a process that takes turns with a core's. Before any time counts, both must hold the texts of the workload.
"""

import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.checks import held_texts, losses
from benchmarks.dialect_floor import dialect_jobs
from benchmarks.dialect_streams import BY_DIALECT
from benchmarks.floor import decode_all
from benchmarks.rounds import alternate, cpu_time
from benchmarks.table import Row
from benchmarks.versus import Peer, python, run
from benchmarks.writer import Workload
from streamproc import StreamProcessor

__all__ = ["rows"]

_CHUNK_BYTES: Final = 4096
_HELPERS: Final = {
    "responses": Peer("openai-responses", "openai ResponseStream", python("openai_responses"), 2),
    "chat": Peer("openai-chat", "openai ChatCompletionStream", python("openai_chat"), 2),
}


def rows(rounds: int, turns: int) -> Iterator[Row]:
    """Yield two rows for each dialect."""
    for dialect, make in BY_DIALECT.items():
        workload = make()
        yield _against_floor(dialect, workload, rounds)
        yield _against_helper(dialect, workload, turns)


def _fed(dialect: str, pieces: list[bytes]) -> StreamProcessor:
    proc = StreamProcessor(dialect)
    for piece in pieces:
        proc.feed(piece)
    proc.close()
    return proc


def _against_floor(dialect: str, workload: Workload, rounds: int) -> Row:
    pieces, work = workload.chunks(_CHUNK_BYTES), dialect_jobs(dialect, workload)
    lost = losses(workload.texts, held_texts(_fed(dialect, pieces)))
    assert not lost, f"{dialect}: {lost}"
    times = alternate(
        {
            "floor": lambda: cpu_time(lambda: decode_all(work)),
            "core": lambda: cpu_time(lambda: _fed(dialect, pieces)),
        },
        rounds,
    )
    core, floor = (times.median(each) / len(work) * 1e9 for each in ("core", "floor"))
    what = f"{dialect} / its decode floor, 4 KiB chunks, tool-heavy"
    remarks = f"{core:,.0f} / {floor:,.0f} ns an event"
    return Row(f"dialect.{dialect}", what, times.ratio("core", "floor"), "x", remarks)


def _against_helper(dialect: str, workload: Workload, turns: int) -> Row:
    helper, core = _HELPERS[dialect], Peer("core", "", python("dialect_core"), 12, (dialect,))
    key, what = f"peers.{helper.key}", f"{helper.what} / {dialect}, tool-heavy"
    if find_spec("openai") is None:
        return Row(key, what, None, "x", "skipped: pip install -r benchmarks/requirements.txt")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stream.sse"
        path.write_bytes(workload.stream)
        reports = [(run(helper, path), run(core, path)) for _ in range(turns)]
    theirs, ours = reports[0]
    assert not losses(workload.texts, ours.texts), f"{dialect}: the core lost text"
    value = median(median(its.cpu) / median(mine.cpu) for its, mine in reports)
    rate = len(workload.blocks) / median(median(its.cpu) for its, _ in reports)
    remarks = f"{theirs.version}: {rate:,.0f} events/s; {losses(workload.texts, theirs.texts) or 'all texts right'}"
    return Row(key, what, value, "x", remarks, 1)
