"""The examples of docs/sinks/otlp.md, with a collector in place of the one on port 4318."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from streamproc import Pipeline
from streamproc.cli.bundled import bundled_streams
from streamproc.sources import IterableSource
from streamproc.worker.config import load_config
from streamproc.worker.config.build import build_sinks
from tests.conftest import ROOT
from tests.otlp_receiver import OtlpReceiver, latest, running
from tests.otlp_traces import demo_spans

EXPECTED = {(span.name, span.span_id, span.parent_span_id) for span in demo_spans("0.1")}


def example(language: str, url: str) -> str:
    """The first block of a language, sending to another collector."""
    page = (ROOT / "docs" / "sinks" / "otlp.md").read_text(encoding="utf-8")
    found = re.search(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    assert found is not None
    assert "http://localhost:4318" in found[1]
    return found[1].replace("http://localhost:4318", url)


def sources() -> Sequence[IterableSource]:
    """The two streams of the built-in run."""
    return [IterableSource([stream], name=f"demo-{number}") for number, stream in enumerate(bundled_streams())]


def arrived(receiver: OtlpReceiver) -> set[tuple[str, str, str]]:
    return {(span.name, span.span_id, span.parent_span_id) for span in latest(receiver.spans).values()}


@pytest.mark.asyncio
async def test_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """It sends what one stream of a run ends."""
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_HEADERS", raising=False)
    receiver = OtlpReceiver()
    async with running(receiver):
        program: dict[str, Any] = {}
        exec(example("python", receiver.url), program)
        result = await program["traced"](sources()[0])

    assert result.error is None
    assert arrived(receiver) == {span for span in EXPECTED if span[0] == "execute_tool code_interpreter"}


@pytest.mark.asyncio
async def test_the_config(tmp_path: Path) -> None:
    """A worker's sink, with both streams of the run: the trace of the picture."""
    receiver = OtlpReceiver()
    async with running(receiver):
        path = tmp_path / "streamproc.toml"
        path.write_text(f"[ingest]\n\n{example('toml', receiver.url)}", encoding="utf-8")
        sinks = build_sinks(load_config(path, {}))
        async with Pipeline(sinks=sinks) as pipeline:
            for source in sources():
                await pipeline.run(source)

    assert arrived(receiver) == EXPECTED
    assert {request.resource["service.name"] for request in receiver.requests} == {"agents"}
