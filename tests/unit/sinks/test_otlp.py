"""OtlpSink against a collector on loopback: what arrives, and what each of its answers leads to."""

import gzip
import ssl
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
import trustme
from structlog.testing import capture_logs

from streamproc import Change
from streamproc.core.change import Origin
from streamproc.errors import ConfigError, SinkRejected, SinkUnavailable
from streamproc.protocols import Sink
from streamproc.secret import Secret
from streamproc.sinks.otlp import OtlpSink
from streamproc.testing.changes import ordinary_changes
from streamproc.testing.sinks import Key, check_sink
from tests.otlp_receiver import OtlpReceiver, Told, keys, latest, running
from tests.worker.process import free_port

CHANGES = ordinary_changes("s", deltas=2)
FINAL = [change for change in CHANGES if change.is_final and change.kind in ("run", "step")]


@asynccontextmanager
async def sending(
    receiver: OtlpReceiver | None = None, **options: Any
) -> AsyncGenerator[tuple[OtlpSink, OtlpReceiver]]:
    """A sink, and the receiver that it sends to."""
    async with running(receiver or OtlpReceiver()) as there, OtlpSink(there.url, env={}, **options) as sink:
        yield sink, there


# --- the contract -----------------------------------------------------------------------------------------------------


class Offered:
    """A sink that notes what it was offered, in order: a collector knows nothing of changes that are no spans."""

    def __init__(self, sink: OtlpSink, offered: list[Change]) -> None:
        self._sink = sink
        self._offered = offered

    async def __aenter__(self) -> Sink:
        await self._sink.__aenter__()
        return self

    async def __aexit__(self, *raised: Any) -> None:
        await self._sink.__aexit__(*raised)

    async def write(self, batch: Sequence[Change]) -> None:
        self._offered += batch
        await self._sink.write(batch)


@pytest.mark.asyncio
@pytest.mark.parametrize("options", [{}, {"compression": "gzip"}, {"content": True}, {"max_request_bytes": 1024}])
async def test_contract(options: dict[str, Any]) -> None:
    """Whatever is a span has arrived once it was acknowledged, in order; all other changes are acknowledged, too."""
    offered: list[Change] = []
    receiver = OtlpReceiver()
    async with running(receiver):

        def arrived() -> Iterable[Key]:
            there = set(keys(receiver.spans))
            for change in offered:
                key = (change.stream, change.epoch, change.seq)
                if key in there or not makes_spans(change):
                    yield key

        def make() -> Sink:
            return Offered(OtlpSink(receiver.url, env={}, **options), offered)

        await check_sink(make, far_side=arrived)
    with_spans = {(change.stream, change.epoch, change.seq) for change in offered if makes_spans(change)}

    assert with_spans == set(keys(receiver.spans))


def makes_spans(change: Change) -> bool:
    if not change.is_final or change.kind not in ("run", "step"):
        return False
    if change.kind == "run":
        return True
    details = getattr(change.state.step_details, "type", None)
    return details == "message_creation" or (details == "tool_calls" and bool(change.state.step_details.tool_calls))
