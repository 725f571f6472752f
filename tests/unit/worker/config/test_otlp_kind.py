"""Spans in a config: each option reaches the sink, and no secret is shown."""

from pathlib import Path

import pytest

from streamproc.errors import SinkUnavailable
from streamproc.testing.changes import ordinary_changes
from streamproc.worker.config import load_config
from streamproc.worker.config.build import build_sinks
from tests.otlp_receiver import OtlpReceiver, Told, running

CHANGES = ordinary_changes("s", deltas=2)
CONFIG = """
[ingest]

[[sinks]]
kind = "otlp"
{endpoint} = "${{URL}}"
headers = {{ Authorization = "Bearer ${{TOKEN}}" }}
timeout_s = 0.2
compression = "gzip"
service_name = "tests"
resource = {{ "deployment.environment.name" = "ci" }}
provider = "anthropic"
content = true
max_request_bytes = 1024
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "streamproc.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.asyncio
@pytest.mark.parametrize(("endpoint", "path"), [("endpoint", "/x/v1/traces"), ("traces_endpoint", "/x")])
async def test_a_collector_of_a_config(tmp_path: Path, endpoint: str, path: str) -> None:
    receiver = OtlpReceiver()
    async with running(receiver):
        env = {"URL": f"{receiver.url}/x?key=hidden", "TOKEN": "t0ken"}
        config = load_config(write(tmp_path, CONFIG.format(endpoint=endpoint)), env)
        ((sink, _),) = build_sinks(config)
        async with sink:  # type: ignore[attr-defined]  # the one of a config has a context
            await sink.write([*CHANGES, *ordinary_changes("t", deltas=2)])
            receiver.tell(Told(hang=True))
            with pytest.raises(SinkUnavailable, match=r"within 0\.2 s"):
                await sink.write(CHANGES)
    first = receiver.requests[0]

    assert len(receiver.requests) > 2
    assert first.path == path
    assert first.headers["authorization"] == "Bearer t0ken"
    assert first.headers["content-encoding"] == "gzip"
    assert first.resource == {"service.name": "tests", "deployment.environment.name": "ci"}
    assert receiver.spans[1].attributes["gen_ai.provider.name"] == "anthropic"
    assert "gen_ai.tool.call.arguments" in receiver.spans[0].attributes
    assert not any(secret in repr(config) for secret in ("t0ken", "hidden"))


def test_a_config_that_leaves_it_to_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also the other version of the conventions, and files that are read when the sink is entered."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.example:4318")
    text = (
        '[ingest]\n[[sinks]]\nkind = "otlp"\nsemconv = "1.36"\nca_file = "none.pem"\n'
        'client_cert_file = "none.pem"\nclient_key_file = "none.pem"\n'
    )
    ((sink, _),) = build_sinks(load_config(write(tmp_path, text), {}))

    assert repr(sink.sink) == "OtlpSink(collector.example:4318)"  # type: ignore[attr-defined]  # the one behind the name
