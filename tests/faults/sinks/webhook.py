"""A webhook receiver as a far side: an item is a change, in the order of its run or, if it is of none, its stream.

The receiver takes all that comes and keeps the first of each `webhook-id`, as docs/sinks/webhook.md tells endpoints to.
So two ids for one change would be one too many, and one id for two changes one too few.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from streamproc import Change
from tests.faults.sinks.far_side import Item, Reading, lose_last_line
from tests.webhook_receiver import Arrived, ReceiverProcess, new_secret, taken

__all__ = ["WebhookReceiver", "webhook_receiver"]


class WebhookReceiver:
    """A receiver that is a process of its own."""

    noun = "changes"
    delivers = ("changes",)
    clients = 2  # a request for each fragment is slow

    def __init__(self, server: ReceiverProcess, secret: str) -> None:
        self.server = server
        self._secret = secret

    def sink(self) -> str:
        return (
            f'[[sinks]]\nkind = "webhook"\nurl = "{self.server.url}"\nsecrets = ["{self._secret}"]\n'
            'allow_http = true\nallow_networks = ["127.0.0.0/8"]\n'
        )

    def size(self) -> int:
        return self.server.record.stat().st_size if self.server.record.exists() else 0

    def repeated(self, skipped: int) -> int:
        requests = taken(self.server.record)
        return len(requests) - len({each.id for each in requests})

    def read(self, journal: Sequence[Change], states: Mapping[str, Any], skipped: int) -> Reading:
        requests = taken(self.server.record)
        first = {each.id: each for each in reversed(requests)}  # the earliest one is the last to be put in
        every = [_item(each.stream, each.epoch, each.seq, each.run_id) for each in journal]
        return Reading(
            allowed=every,
            wanted=every,
            applied=[_item_of(each.data) for each in requests if first[each.id] is each],
            repeated=len(requests) - len(first),
            wrong=[f"the signature of {each.id}" for each in requests if not each.valid]
            + [f"{each.id} is of two changes" for each in requests if _identity(each) != _identity(first[each.id])],
        )

    def lose_one(self) -> None:
        lose_last_line(self.server.record)


def _item_of(data: dict[str, Any]) -> Item:
    return _item(data["stream"], data["epoch"], data["seq"], data["run_id"])


def _item(stream: str, epoch: int, seq: int, run_id: str | None) -> Item:
    return run_id or f"stream {stream}", (stream, epoch, seq)


@contextmanager
def webhook_receiver(folder: Path) -> Iterator[WebhookReceiver]:
    secret = new_secret()
    with ReceiverProcess(folder / "arrived.jsonl", secret) as server:
        yield WebhookReceiver(server, secret)


def _identity(request: Arrived) -> list[object]:
    """What a request says is which change it is of. What redaction shows of that may be the delta the first time, and
    the object's state after a restart."""
    return [request.data.get(name) for name in ("stream", "epoch", "seq", "event", "kind", "id", "run_id", "revision")]
