"""A webhook in a config: each option reaches the sink, and no secret is shown."""

from pathlib import Path

import pytest

from streamproc.errors import SinkUnavailable
from streamproc.testing.changes import ordinary_changes
from streamproc.worker.config import load_config
from streamproc.worker.config.build import build_sinks
from tests.webhook_receiver import Receiver, Told, new_secret, running

CHANGES = ordinary_changes("s", deltas=0)
CONFIG = """
[ingest]

[[sinks]]
kind = "webhook"
name = "ours"
url = "${{URL}}"
secrets = ["${{NEW}}", "${{OLD}}"]
headers = {{ Authorization = "Bearer ${{TOKEN}}" }}
timeout_s = 0.2
max_in_flight = 2
allow_http = true
allow_networks = ["127.0.0.0/8"]
ports = [{port}]
"""


@pytest.mark.asyncio
async def test_a_webhook_of_a_config(tmp_path: Path) -> None:
    old, new = new_secret(b"old"), new_secret(b"new")
    receiver = Receiver(old)
    async with running(receiver):
        port = receiver.url.split(":")[2].split("/")[0]
        path = tmp_path / "streamproc.toml"
        path.write_text(CONFIG.format(port=port), encoding="utf-8")
        config = load_config(path, {"URL": receiver.url, "OLD": old, "NEW": new, "TOKEN": "t0ken"})
        ((sink, _),) = build_sinks(config)
        async with sink:  # type: ignore[attr-defined]  # the one of a config has a context
            await sink.write(CHANGES)
            receiver.tell(Told(hang=True))
            with pytest.raises(SinkUnavailable, match=r"within 0\.2 s"):
                await sink.write(CHANGES)
    first = receiver.arrived[0]

    assert all(one.valid for one in receiver.arrived)
    assert first.headers["authorization"] == "Bearer t0ken"
    assert first.headers["webhook-signature"].count("v1,") == 2
    assert not any(secret in repr(config) for secret in ("t0ken", old, new))


def test_authorities_of_a_config(tmp_path: Path) -> None:
    """They are read when the sink is entered."""
    path = tmp_path / "streamproc.toml"
    path.write_text(
        '[ingest]\n[[sinks]]\nkind = "webhook"\nurl = "https://hook.example"\nca_file = "none.pem"\n'
        f'secrets = ["{new_secret()}"]\n',
        encoding="utf-8",
    )

    assert len(build_sinks(load_config(path, {}))) == 1
