"""A change as a message of Standard Webhooks: its id, its body, and the headers that sign exactly these bytes.

The id is a function of what identifies the change, so it is the same in each attempt, of each process; the timestamp
and with it the signatures are those of one attempt.

Source: Standard Webhooks 1.0.0, "Payload structure" and "Webhook headers".
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Raw

from streamproc.core.anomalies import Anomaly
from streamproc.core.change import Change, encode_change
from streamproc.errors import ConfigError
from streamproc.secret import Secret

if TYPE_CHECKING:
    from standardwebhooks import Webhook

__all__ = ["body_of", "checked_headers", "id_of", "rfc3339", "signed", "signers", "type_of"]

_KINDS: Final = {"step": "run_step"}
_PART: Final = re.compile(r"[A-Za-z0-9_]{1,64}")
_SECRET_BYTES: Final = range(24, 65)
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_NOT_IN_HEADERS: Final = re.compile("[\\x00-\\x08\\x0a-\\x1f\\x7f\\ud800-\\udfff]")  # a lone surrogate has no UTF-8
_OWN_HEADERS: Final = frozenset(
    {
        *("webhook-id", "webhook-timestamp", "webhook-signature", "content-type", "content-length"),
        *("content-encoding", "transfer-encoding", "host", "connection", "expect", "upgrade", "te", "trailer"),
    }
)


def id_of(change: Change) -> str:
    """The `webhook-id`: a hash of (stream, epoch, seq), always 44 characters of hexadecimal with a prefix."""
    key = f"{change.epoch} {change.seq} {change.stream}".encode("utf-8", "surrogatepass")
    return f"msg_{hashlib.sha256(key).hexdigest()[:40]}"


def type_of(change: Change) -> str:
    """The `type`: the kind of object and what happened to it, which is the last part of the event's name.

    `thread.run.step.completed` is "run_step.completed". A state that stands for all deltas before it is "updated"; an
    error is "error"; an anomaly is "anomaly" and its name; an event whose name has no such part is "other".
    """
    if change.kind == "error":
        return "error"
    last = change.event.rpartition(".")[2]
    if change.kind == "anomaly":
        last = change.data.kind if isinstance(change.data, Anomaly) else ""
    elif last == "delta" and not change.is_delta:
        last = "updated"
    return f"{_KINDS.get(change.kind, change.kind)}.{last if _PART.fullmatch(last) else 'other'}"


def body_of(change: Change, timestamp: str) -> bytes:
    """The payload: `type`, `timestamp`, and as `data` the JSON form of the change.

    Args:
        timestamp: for a change without a time of its own, RFC 3339.

    Raises:
        ValueError, TypeError, OverflowError, RecursionError, MsgspecError: no JSON can be made of it.
    """
    out = {"type": type_of(change), "timestamp": change.at or timestamp, "data": Raw(encode_change(change))}
    return msgspec.json.encode(out)


def signed(message_id: str, body: str, signers: Sequence["Webhook"], now_s: float) -> dict[str, str]:
    """The headers of one attempt: a signature for each secret, so that receivers can go from one to the next."""
    now = datetime.fromtimestamp(int(now_s), UTC)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now_s)),
        "webhook-signature": " ".join(signer.sign(message_id, now, body) for signer in signers),
    }


def rfc3339(now_s: float) -> str:
    return datetime.fromtimestamp(now_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def signers(secrets: Sequence[str | Secret]) -> "tuple[Webhook, ...]":
    """What signs with each of the secrets.

    Raises:
        ConfigError: there is none, or one has another form; the text shows none of it.
    """
    if not secrets:
        raise ConfigError("secrets: expected at least one")
    return tuple(_signer(number, secret) for number, secret in enumerate(secrets, 1))


def _signer(number: int, secret: str | Secret) -> "Webhook":
    from standardwebhooks import Webhook  # an extra

    text = secret.reveal() if isinstance(secret, Secret) else secret
    encoded = text.removeprefix("whsec_")
    if encoded == text:
        raise ConfigError(f"secrets: number {number} has another form than whsec_ and base64")
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ConfigError(f"secrets: number {number} has no base64 after whsec_") from None
    if len(key) not in _SECRET_BYTES:
        expected = f"{_SECRET_BYTES.start} to {_SECRET_BYTES.stop - 1}"
        raise ConfigError(f"secrets: number {number} holds {len(key)} bytes; expected {expected}")
    return Webhook(key)


def checked_headers(headers: Mapping[str, str | Secret]) -> dict[str, str]:
    """Headers that are sent with every request, revealed.

    Raises:
        ConfigError: one is no header, or one that the sink sets; the text shows no value.
    """
    found: dict[str, str] = {}
    for name, value in headers.items():
        text = value.reveal() if isinstance(value, Secret) else value
        if _HEADER_NAME.fullmatch(name) is None:
            raise ConfigError(f"headers: {name!r} is no name of a header")
        if name.lower() in _OWN_HEADERS:
            raise ConfigError(f"headers: {name} is set by the sink")
        if _NOT_IN_HEADERS.search(text):
            raise ConfigError(f"headers: the value of {name} holds what no header can")
        found[name] = text
    return found
