"""What a pipeline is given: the parts that a config describes."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from streamproc import Change, DeliveryPolicy, Pipeline
from streamproc.redaction import Redacted, Redaction
from streamproc.sinks import JsonlSink
from streamproc.sources import AssistantsResync, HttpSource, ResponsesResync
from streamproc.worker.config import (
    NamedSink,
    build_sinks,
    build_store,
    build_streams,
    load_config,
)
from tests.streams import done, message, run, sse, step, text


@pytest.mark.slow
@pytest.mark.asyncio
async def test_a_pipeline_of_a_config(tmp_path: Path) -> None:
    """What the file source reads is in the store, and in the sink under its name."""
    (tmp_path / "a.sse").write_bytes(sse(run("created"), step("completed"), run("completed"), done()))
    path = tmp_path / "streamproc.toml"
    path.write_text(
        """
        [store]
        path = "${DIR}/runs.db"
        [[sources]]
        kind = "file"
        name = "recorded"
        path = "${DIR}/a.sse"
        [[sinks]]
        kind = "jsonl"
        name = "ended"
        path = "${DIR}/a.jsonl"
        policy = { deliver = "final" }
        """,
        encoding="utf-8",
    )
    config = load_config(path, {"DIR": str(tmp_path)})
    async with Pipeline(build_sinks(config), store=build_store(config), limits=config.limits.core()) as pipeline:
        for stream in build_streams(config):
            (await pipeline.run(stream.source, dialect=stream.dialect)).raise_for_error()

    (account,) = pipeline.statistics()
    assert (account.name, account.acked) == ("ended", 2)
    assert len((tmp_path / "a.jsonl").read_bytes().splitlines()) == 2


def test_options_reach_the_parts(tmp_path: Path) -> None:
    """Those of the resync are the source's own headers unless it has some."""
    path = tmp_path / "streamproc.toml"
    path.write_text(
        """
        [[sources]]
        kind = "http"
        url = "https://api.example.com/v1/runs"
        method = "POST"
        headers = { Authorization = "Bearer x" }
        json = { stream = true }
        resync = { base_url = "https://api.example.com/v1" }
        [[sources]]
        kind = "http"
        name = "background"
        url = "https://api.example.com/v1/responses"
        method = "POST"
        json = { stream = true, background = true }
        headers = { Authorization = "Bearer x" }
        resume = { api = "responses" }
        resync = { api = "responses", base_url = "https://api.example.com/v1/responses" }
        [[sinks]]
        kind = "jsonl"
        path = "a.jsonl"
        policy = { batch_max = 3 }
        """,
        encoding="utf-8",
    )
    config = load_config(path, {})
    stream, background = build_streams(config)
    ((sink, policy),) = build_sinks(config)

    assert build_store(config) is None
    assert isinstance(stream.source, HttpSource)
    assert stream.source._body == b'{"stream":true}'
    resync = stream.source.resync.__self__  # type: ignore[attr-defined]
    assert isinstance(resync, AssistantsResync)
    assert resync._api._headers["Authorization"] == stream.source._headers["Authorization"] == "Bearer x"
    assert isinstance(background.source, HttpSource)
    assert background.source.resumable
    assert not stream.source.resumable
    assert isinstance(background.source.resync.__self__, ResponsesResync)  # type: ignore[attr-defined]
    assert isinstance(sink, NamedSink)
    assert isinstance(sink.sink, Redacted)
    assert isinstance(sink.sink.sink, JsonlSink)
    assert sink.name == "jsonl"
    assert policy == DeliveryPolicy(batch_max=3)


class Plain:
    """A sink that is no context manager."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    async def write(self, batch: Sequence[Change]) -> None:
        self.batches.append(len(batch))


@pytest.mark.asyncio
async def test_a_sink_that_is_not_entered_has_a_name_too() -> None:
    """It gets what it would get without one."""
    plain = Plain()
    async with NamedSink("plain", plain) as named:
        await named.write([])

    assert plain.batches == [0]


@pytest.mark.parametrize(
    ("usual", "own", "expected"),
    [
        ("", "", "usual"),
        ("", "redaction = true", "usual"),
        ("", "redaction = false", "none"),
        ("", "redaction = { keys = [] }", "own"),
        ("", 'redaction = "${OFF}"', "none"),
        ("[redaction]\nenabled = false", "", "none"),
        ("[redaction]\nenabled = false", "redaction = true", "usual"),
        ("[redaction]\nenabled = false", "redaction = {}", "own"),
    ],
)
def test_what_a_sink_is_redacted_with(tmp_path: Path, usual: str, own: str, expected: str) -> None:
    path = tmp_path / "streamproc.toml"
    text = f'{usual}\n[store]\nkind = "memory"\n[ingest]\n[[sinks]]\nkind = "jsonl"\npath = "a.jsonl"\n{own}\n'
    path.write_text(text, encoding="utf-8")
    config = load_config(path, {"OFF": "false"})
    ((named, _),) = build_sinks(config)

    assert isinstance(named, NamedSink)
    assert isinstance(named.sink, JsonlSink) == (expected == "none")
    assert isinstance(config.sinks[0].redaction, Redaction) == (expected == "own")


@pytest.mark.slow
@pytest.mark.asyncio
async def test_secrets_of_a_stream_are_in_the_store_alone(tmp_path: Path) -> None:
    """A worker masks them for its sinks unless it is told otherwise."""
    secret = "sk-aB3dE5gH7jK9mN1pQ4sT6vW8xYz0"
    said = text(f"the key is {secret}")
    (tmp_path / "a.sse").write_bytes(
        sse(run("created"), message("completed", content=[said]), run("completed"), done())
    )
    path = tmp_path / "streamproc.toml"
    sink = '[[sinks]]\nkind = "jsonl"\n'
    path.write_text(
        '[store]\nkind = "memory"\n[[sources]]\nkind = "file"\npath = "${DIR}/a.sse"\n'
        f'{sink}name = "masked"\npath = "${{DIR}}/masked.jsonl"\n'
        f'{sink}name = "whole"\npath = "${{DIR}}/whole.jsonl"\nredaction = false\n',
        encoding="utf-8",
    )
    config = load_config(path, {"DIR": str(tmp_path)})
    async with Pipeline(build_sinks(config), store=build_store(config)) as pipeline:
        for stream in build_streams(config):
            await pipeline.run(stream.source, dialect=stream.dialect)
        states = [message.text for message in pipeline.messages.values()]

    assert [f"the key is {secret}"] == states
    assert secret in (tmp_path / "whole.jsonl").read_text(encoding="utf-8")
    assert secret not in (tmp_path / "masked.jsonl").read_text(encoding="utf-8")
    assert "the key is [redacted:openai_key]" in (tmp_path / "masked.jsonl").read_text(encoding="utf-8")
