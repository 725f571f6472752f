"""Whether a delta costs the same whatever the state: by its size, by the number of calls, by the number of deltas."""

import gc
import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, islice
from statistics import median
from typing import Any, Final

from benchmarks.rounds import alternate, cpu_time
from benchmarks.table import Row
from benchmarks.writer import chunks
from streamproc import StreamProcessor, to_wire

__all__ = ["Growing", "rows"]

_KINDS: Final = {"arguments": "tool arguments", "text": "message text", "logs": "logs"}
_PIECES: Final = (
    "the",
    " x",
    "=",
    " equation",
    ",",
    " solve",
    " of",
    "1",
    " we",
    ' \\"a',
    " né",
    "):\\n",
)  # as in JSON
_FILL: Final = "0123456789abcdef" * 4
_LARGE: Final = 5_000_000
_SMALL: Final = 1024
_BATCH: Final = 200  # deltas whose time is taken together
_BATCHES: Final = 10


def rows(rounds: int) -> Iterator[Row]:
    """Yield all rows on growth."""
    for kind, label in _KINDS.items():
        yield _by_size(kind, label, rounds)
    for kind, label in _KINDS.items():
        yield _by_width(kind, label, rounds)
    yield from _by_length(max(1, rounds // 3))


class Growing:
    """An open run with one object whose texts grow; `kind` is one of "arguments", "text" and "logs"."""

    def __init__(self, kind: str, width: int = 1) -> None:
        self.kind = kind
        self.width = width
        self.proc = StreamProcessor()
        ids = '"run_id":"run_1","thread_id":"thread_1","status":"in_progress"'
        self.proc.feed(b'event: thread.run.created\ndata: {"id":"run_1","object":"thread.run","status":"queued"}\n\n')
        if kind == "text":
            made = f'"id":"msg_1","object":"thread.message",{ids},"role":"assistant","content":[]'
            self.proc.feed(f"event: thread.message.created\ndata: {{{made}}}\n\n".encode())
        else:
            details = '"type":"tool_calls","step_details":{"type":"tool_calls","tool_calls":[]}'
            made = f'"id":"step_1","object":"thread.run.step",{ids},{details}'
            self.proc.feed(f"event: thread.run.step.created\ndata: {{{made}}}\n\n".encode())
        for index in range(width):
            self.proc.feed(self.delta("", index, first=True))

    def delta(self, piece: str, index: int = 0, *, first: bool = False) -> bytes:
        """One event; `piece` is text as it stands in JSON, and `first` says that its entry begins."""
        if self.kind == "text":
            entry = f'{{"index":{index},"type":"text","text":{{"value":"{piece}"}}}}'
            made = f'"id":"msg_1","object":"thread.message.delta","delta":{{"content":[{entry}]}}'
            return f"event: thread.message.delta\ndata: {{{made}}}\n\n".encode()
        id = f'"id":"call_{index}",' if first else ""
        if self.kind == "arguments":
            entry = f'"type":"function","function":{{"arguments":"{piece}"}}'
        else:
            logs = f'{{"index":0,"type":"logs","logs":"{piece}"}}'
            entry = f'"type":"code_interpreter","code_interpreter":{{"outputs":[{logs}]}}'
        calls = f'{{"type":"tool_calls","tool_calls":[{{"index":{index},{id}{entry}}}]}}'
        made = f'"id":"step_1","object":"thread.run.step.delta","delta":{{"step_details":{calls}}}'
        return f"event: thread.run.step.delta\ndata: {{{made}}}\n\n".encode()

    def stream(self, count: int) -> bytes:
        """That many deltas of a few characters each; calls or blocks take turns."""
        block = [self.delta(piece, number % self.width) for number, piece in zip(range(count), cycle(_PIECES))]
        return b"".join(block)

    def feed(self, data: bytes) -> None:
        """Feed in chunks of 4 KiB."""
        for chunk in chunks(data, 4096):
            self.proc.feed(chunk)

    def fill(self, size: int) -> None:
        """Let each text grow by `size` characters, in fragments of 64."""
        for index in range(self.width):
            block = self.delta(_FILL, index) * 100
            for _ in range(size // (100 * len(_FILL))):
                self.proc.feed(block)
            for _ in range(size % (100 * len(_FILL)) // len(_FILL)):
                self.proc.feed(self.delta(_FILL, index))

    def length(self) -> int:
        """Characters that all texts have now."""
        obj: Any = self.proc.messages["msg_1"] if self.kind == "text" else self.proc.steps["step_1"]
        data = json.loads(to_wire(obj))
        if self.kind == "text":
            return sum(len(block["text"]["value"]) for block in data["content"])
        calls = data["step_details"]["tool_calls"]
        if self.kind == "arguments":
            return sum(len(call["function"]["arguments"]) for call in calls)
        return sum(len(call["code_interpreter"]["outputs"][0]["logs"]) for call in calls)


def _by_size(kind: str, label: str, rounds: int) -> Row:
    """The same deltas for a text of 5 MB and, each batch anew, for one of 1 KiB."""
    large = Growing(kind)
    large.fill(_LARGE)
    data = large.stream(_BATCH)

    def on_large() -> float:
        return sum(cpu_time(lambda: large.feed(data)) for _ in range(_BATCHES))

    def on_small() -> float:
        spent = 0.0
        for _ in range(_BATCHES):
            small = Growing(kind)
            small.fill(_SMALL)
            spent += cpu_time(lambda: small.feed(data))  # noqa: B023 - called at once
        return spent

    times = alternate({"large": on_large, "small": on_small}, rounds)
    added = sum(len(json.loads(f'"{piece}"')) for piece in islice(cycle(_PIECES), _BATCH))
    expected = _LARGE // len(_FILL) * len(_FILL) + added * _BATCHES * (rounds + 1)
    assert large.length() == expected, f"{label}: {large.length()} characters, {expected} were sent"
    costs = (times.median(name) / _BATCHES / _BATCH * 1e9 for name in ("large", "small"))
    remarks = "{:,.0f} / {:,.0f} ns a delta".format(*costs)
    return Row(
        f"growth.size.{kind}", f"a delta at 5 MB / at 1 KiB, {label}", times.ratio("large", "small"), "x", remarks
    )


def _by_width(kind: str, label: str, rounds: int) -> Row:
    """The same number of deltas for 100 calls (or blocks) in turns, and for one."""
    count = 5000

    def on(width: int) -> Callable[[], float]:
        data = Growing(kind, width).stream(count)

        def run() -> float:
            growing = Growing(kind, width)
            return cpu_time(lambda: growing.feed(data))

        return run

    times = alternate({"wide": on(100), "one": on(1)}, rounds)
    remarks = "{:,.0f} / {:,.0f} ns a delta".format(*(times.median(name) / count * 1e9 for name in ("wide", "one")))
    what = f"a delta with 100 in parallel / with 1, {label}"
    return Row(f"growth.width.{kind}", what, times.ratio("wide", "one"), "x", remarks)


def _by_length(rounds: int) -> Iterator[Row]:
    """Very many deltas on one step, and twice as many."""
    data = Growing("arguments").stream(200_000)
    once: list[float] = []
    twice: list[float] = []
    for _ in range(rounds):
        once.append(_spent_on([data]))
        twice.append(_spent_on([data, data]))
    yield Row("growth.200000", "200,000 deltas on one step", median(once), "s", f"{median(once) * 5:.2f} us a delta")
    doubled = median(double / single for double, single in zip(twice, once, strict=True))
    yield Row("growth.doubled", "400,000 deltas on one step / 200,000", doubled, "x", f"{median(twice):.2f} s")


def _spent_on(streams: Sequence[bytes]) -> float:
    growing = Growing("arguments")
    gc.collect()
    return cpu_time(lambda: deque(map(growing.feed, streams)))
