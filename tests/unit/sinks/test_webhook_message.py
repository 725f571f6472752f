"""A message: its id, type, body, headers and signatures, as the reference implementation reads them."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace
from standardwebhooks import Webhook

from streamproc import Change, encode_change
from streamproc.core.change import Origin
from streamproc.errors import ConfigError
from streamproc.secret import Secret
from streamproc.sinks._webhook_message import body_of, checked_headers, id_of, rfc3339, signed, signers, type_of
from streamproc.testing.changes import odd_changes, ordinary_changes
from tests.webhook_receiver import new_secret

CHANGES = ordinary_changes("s", deltas=1)
NOON = "2026-01-01T12:00:00.000Z"


def of(stream: str, epoch: int = 1, seq: int = 1) -> Change:
    return replace(CHANGES[0], origin=Origin(stream, epoch), seq=seq)


# --- id ---------------------------------------------------------------------------------------------------------------


def test_id_is_a_function_of_stream_epoch_and_seq() -> None:
    """Of nothing else, in any process: what it is today it has to be tomorrow."""
    change = of("s", 3, 7)
    later = replace(change, event="thread.run.queued", origin=Origin("s", 3, NOON), revision=9)

    assert id_of(change) == id_of(later) == "msg_e468d8cc905ae34c57ffd5b98bf1f1d4270c543a"


@pytest.mark.parametrize("stream", ["", ".", "a.b.c", "x" * 10_000, "\ud800", "é \u2028\0", "1 1", "https://h/p?q"])
def test_id_is_short_and_has_no_dots(stream: str) -> None:
    """A dot would end it within what is signed."""
    message_id = id_of(of(stream))

    assert len(message_id) == 44
    assert message_id.removeprefix("msg_").isalnum()


def test_ids_differ() -> None:
    """Also where the parts, written side by side, would be the same."""
    keys = [("a", 1, 1), ("a", 1, 2), ("a", 2, 1), ("b", 1, 1), ("1", 1, 1), ("", 1, 11), ("1 1", 1, 1), ("", 11, 1)]

    assert len({id_of(of(*key)) for key in keys}) == len(keys)


# --- type and body ----------------------------------------------------------------------------------------------------


def test_types_of_an_ordinary_run() -> None:
    assert [type_of(change) for change in CHANGES] == [
        *("run.created", "run_step.created", "run_step.delta", "run_step.delta", "run_step.completed"),
        *("message.created", "message.delta", "message.completed", "run.completed"),
    ]


def test_types_of_states_that_stand_for_deltas() -> None:
    """What a sink with `deliver = "latest"` gets is no delta."""
    assert [type_of(change.as_snapshot()) for change in CHANGES if change.is_delta] == [
        *("run_step.updated", "run_step.updated", "message.updated"),
    ]


def test_types_of_odd_changes() -> None:
    types = {type_of(change) for change in odd_changes("s")}

    assert {"error", "anomaly.bad_json", "anomaly.truncated", "run_step.truncated"} <= types
    assert type_of(replace(CHANGES[0], event="x")) == "run.x"


@pytest.mark.parametrize("event", ["", "thread.run.", "thread.run.a b", "thread.run.é", "a." + "x" * 65, "a.<b>\n"])
def test_type_of_an_event_with_an_unusable_name(event: str) -> None:
    """A type is words with dots between them."""
    assert type_of(replace(CHANGES[0], event=event)) == "run.other"


def test_body_has_the_json_form_of_the_change() -> None:
    change = replace(CHANGES[0], origin=Origin("s", 1, "2026-01-01T11:00:00Z"))
    body = json.loads(body_of(change, NOON))

    assert body == {
        "type": "run.created",
        "timestamp": "2026-01-01T11:00:00Z",
        "data": json.loads(encode_change(change)),
    }
    assert json.loads(body_of(CHANGES[0], NOON))["timestamp"] == NOON


def test_time_is_written_as_a_change_has_it() -> None:
    assert rfc3339(datetime(2026, 1, 1, 12, tzinfo=UTC).timestamp()) == NOON


# --- signatures -------------------------------------------------------------------------------------------------------


def test_each_secret_signs() -> None:
    """The old one and the new one while a receiver changes it; a third has nothing to do with it."""
    old, new, other = (new_secret(seed) for seed in (b"old", b"new", b"other"))
    body = body_of(odd_changes("s")[-1], NOON).decode()
    headers = signed("msg_1", body, signers([old, Secret(new)]), datetime.now(UTC).timestamp())

    assert len(headers["webhook-signature"].split(" ")) == 2
    assert all(Webhook(secret).verify(body, headers) for secret in (old, new))
    with pytest.raises(Exception, match="No matching signature found"):
        Webhook(other).verify(body, headers)


def test_timestamp_is_in_whole_seconds() -> None:
    """And it is what is signed."""
    headers = signed("msg_1", "{}", signers([new_secret()]), 1_767_268_800.9)
    by_hand = Webhook(new_secret()).sign("msg_1", datetime.fromtimestamp(1_767_268_800, UTC), "{}")

    assert headers == {"webhook-id": "msg_1", "webhook-timestamp": "1767268800", "webhook-signature": by_hand}


def secret_of(size: int) -> str:
    return "whsec_" + base64.b64encode(b"k" * size).decode()


@pytest.mark.parametrize("secret", [secret_of(24), secret_of(64), secret_of(25).rstrip("="), secret_of(32)])
def test_secrets_of_the_form(secret: str) -> None:
    """Padding may be missing."""
    (signer,) = signers([secret])

    assert signer.sign("a", datetime.now(UTC), "{}") == Webhook(secret).sign("a", datetime.now(UTC), "{}")


@pytest.mark.parametrize(
    ("secrets", "said"),
    [
        ([], "secrets: expected at least one"),
        (["t0ken"], "secrets: number 1 has another form than whsec_ and base64"),
        ([""], "secrets: number 1 has another form than whsec_ and base64"),
        ([new_secret(), "t0ken"], "secrets: number 2 has another form than whsec_ and base64"),
        (["whsec_"], "secrets: number 1 holds 0 bytes; expected 24 to 64"),
        (["whsec_t0ken="], "secrets: number 1 has no base64 after whsec_"),
        (["whsec_t0ken!AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"], "secrets: number 1 has no base64 after whsec_"),
        (["whsec_é" + "A" * 40], "secrets: number 1 has no base64 after whsec_"),
        ([Secret(secret_of(23))], "secrets: number 1 holds 23 bytes; expected 24 to 64"),
        ([secret_of(65)], "secrets: number 1 holds 65 bytes; expected 24 to 64"),
    ],
)
def test_secrets_that_cannot_work(secrets: list[str | Secret], said: str) -> None:
    """Which one is said, and nothing of it."""
    with pytest.raises(ConfigError) as caught:
        signers(secrets)

    assert str(caught.value) == said


# --- headers ----------------------------------------------------------------------------------------------------------


def test_headers_of_every_kind() -> None:
    headers: dict[str, str | Secret] = {"X-A": "", "Authorization": Secret("Bearer x"), "x-b": "é\tb"}

    assert checked_headers(headers) == {"X-A": "", "Authorization": "Bearer x", "x-b": "é\tb"}


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"": "x"}, "headers: '' is no name of a header"),
        ({"a b": "x"}, "headers: 'a b' is no name of a header"),
        ({"a\r\nb": "x"}, "headers: 'a\\r\\nb' is no name of a header"),
        ({"Webhook-Id": "t0ken"}, "headers: Webhook-Id is set by the sink"),
        ({"HOST": "t0ken"}, "headers: HOST is set by the sink"),
        ({"content-type": "t0ken"}, "headers: content-type is set by the sink"),
        ({"x": "t0ken\r\ny: z"}, "headers: the value of x holds what no header can"),
        ({"x": Secret("t0ken\0")}, "headers: the value of x holds what no header can"),
        ({"x": "t0ken\ud800"}, "headers: the value of x holds what no header can"),
    ],
)
def test_headers_that_cannot_be_sent(headers: dict[str, Any], said: str) -> None:
    """Which one is said, and nothing of its value."""
    with pytest.raises(ConfigError) as caught:
        checked_headers(headers)

    assert str(caught.value) == said
