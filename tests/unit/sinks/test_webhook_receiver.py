"""The receiver that the tests of the webhook sink look at: what it records, and that it does as it is told."""

from datetime import UTC, datetime
from http.client import HTTPConnection, RemoteDisconnected
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from tests.webhook_receiver import ReceiverProcess, arrived, keys, new_secret, taken

SECRET = new_secret()
BODY = '{"data":{"stream":"s","epoch":1,"seq":2}}'


def post(receiver: ReceiverProcess, id: str, secret: str = SECRET, timeout_s: float = 10.0) -> int:
    now = datetime.now(tz=UTC)
    headers = {
        "webhook-id": id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(id, now, BODY),
    }
    connection = HTTPConnection("127.0.0.1", receiver.port, timeout=timeout_s)
    try:
        connection.request("POST", "/hook", body=BODY, headers=headers)
        return connection.getresponse().status
    finally:
        connection.close()


def test_receiver_records_and_does_as_it_is_told(tmp_path: Path) -> None:
    """Also over a kill, after which it has the same port and the same file."""
    with ReceiverProcess(tmp_path / "arrived.jsonl", SECRET) as receiver:
        statuses = [post(receiver, "first"), post(receiver, "forged", new_secret(b"another"))]
        receiver.tell(status=503, times=1)
        statuses += [post(receiver, "refused"), post(receiver, "again")]
        receiver.tell(cut=True)
        with pytest.raises(RemoteDisconnected):
            post(receiver, "cut")
        receiver.tell(hang=True)
        with pytest.raises(TimeoutError):
            post(receiver, "hung", timeout_s=0.1)
        receiver.kill()
        with pytest.raises(ConnectionRefusedError):
            post(receiver, "lost")
        receiver.start()
        statuses.append(post(receiver, "last"))
        receiver.pause()
        with pytest.raises(TimeoutError):
            post(receiver, "paused", timeout_s=0.1)
        receiver.resume()
    found = arrived(receiver.record)[:7]  # the paused one may come after all

    assert statuses == [204, 204, 503, 204, 204]
    assert [one.id for one in found] == ["first", "forged", "refused", "again", "cut", "hung", "last"]
    assert [one.id for one in found if not one.valid] == ["forged"]
    assert [one.id for one in taken(receiver.record)][:4] == ["first", "forged", "again", "last"]
    assert keys(found[:1]) == [("s", 1, 2)]
