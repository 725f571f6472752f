"""Sinks that are broken on purpose, as plug-ins of a worker, to see that the account would notice.

hasty    acknowledges what it has not written yet: what it holds is gone when it is killed
restless gives each attempt to send a change an id of its own: an endpoint takes what came again for something new
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.faults.sinks.far_side import FarSide, Open
from tests.faults.sinks.jsonl import JsonlFile
from tests.faults.sinks.webhook import WebhookReceiver
from tests.webhook_receiver import ReceiverProcess, new_secret

__all__ = ["BUILDS"]

_HASTY: Final = """\
from streamproc import encode_change
from streamproc.plugins import PlugIn, SinkConfig
from streamproc.sinks.jsonl import JsonlSink


class Hasty(SinkConfig, tag="hasty", frozen=True, kw_only=True, forbid_unknown_fields=True):
    path: str


class HastySink(JsonlSink):
    held = ()

    async def write(self, batch):
        self.held = (*self.held, *batch)
        if len(self.held) > 200:
            held, self.held = self.held, ()
            await super().write(held)

    async def __aexit__(self, *error):
        await super().write(self.held)
        await super().__aexit__(*error)


PLUGIN = PlugIn(Hasty, lambda options: HastySink(options.path, fsync="never"))
"""
_RESTLESS: Final = """\
import secrets

from streamproc.plugins import PlugIn
from streamproc.sinks import webhook
from streamproc.worker.config.webhook_kind import WebhookSinkConfig, make_webhook


class Restless(WebhookSinkConfig, tag="restless", frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


webhook.id_of = lambda change: f"msg_{secrets.token_hex(20)}"
PLUGIN = PlugIn(Restless, make_webhook)
"""


class _Hasty(JsonlFile):
    def sink(self) -> str:
        return '[[sinks]]\nkind = "hasty"\npath = "changes.jsonl"\n'


class _Restless(WebhookReceiver):
    def sink(self) -> str:
        return super().sink().replace('kind = "webhook"', 'kind = "restless"')


@contextmanager
def _hasty(folder: Path) -> Iterator[FarSide]:
    _install(folder, "hasty", _HASTY)
    yield _Hasty(folder)


@contextmanager
def _restless(folder: Path) -> Iterator[FarSide]:
    _install(folder, "restless", _RESTLESS)
    secret = new_secret()
    with ReceiverProcess(folder / "arrived.jsonl", secret) as server:
        yield _Restless(server, secret)


def _install(folder: Path, name: str, module: str) -> None:
    """As a distribution in the folder that workers run in, which is on their path."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[streamproc.sinks]\n{name} = {name}:PLUGIN\n", encoding="utf-8")
    (folder / f"{name}.py").write_text(module, encoding="utf-8")


BUILDS: Final[dict[str, tuple[Open, str, int]]] = {
    "hasty": (_hasty, "lost", 2),
    "restless": (_restless, "doubled", 4),
}
"""Each with the fault that it must be caught by, and the kills that this takes."""
