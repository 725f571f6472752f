"""How chunks are read member by member, whatever those hold. chat_reader.py reads the commonest ones."""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import UNSET, UnsetType

__all__ = ["code_of", "is_chunk", "last_error", "matches", "metadata_of", "text_of", "time_of"]

_METADATA: Final = ("system_fingerprint", "service_tier", "provider")


def is_chunk(data: Mapping[str, Any]) -> bool:
    """Whether a payload is a chunk; some servers give it no name, or an empty one, and some no choices."""
    return data.get("object") == "chat.completion.chunk" or isinstance(data.get("choices"), list)


def matches(event: str, payload: Mapping[str, Any]) -> bool:
    """Whether a frame is a chunk. Azure's first one has an empty `object`, other servers leave it out."""
    return event == "message" and is_chunk(payload) and payload.get("object") in ("chat.completion.chunk", "", None)


def text_of(value: object) -> str:
    """A member that should be text; "" when it is none."""
    return value if isinstance(value, str) else ""


def metadata_of(data: Mapping[str, Any]) -> dict[str, str]:
    """What tells one configuration of a server from another."""
    return {name: text for name in _METADATA if (text := text_of(data.get(name)))}


def time_of(created: object) -> int | None:
    """Seconds; some servers give fractions, others 0 for none."""
    if isinstance(created, float) and created.is_integer():
        created = int(created)
    return created if type(created) is int and created > 0 else None


def last_error(data: Mapping[str, Any]) -> dict[str, Any]:
    """An error as a run or a step has it, out of the shapes that errors have."""
    error = data.get("error") or data
    message = error.get("message") if isinstance(error, dict) else error
    return {"code": code_of(data) or "server_error", "message": message if isinstance(message, str) else ""}


def code_of(data: object) -> str | UnsetType:
    """The code of an error, else its type; often the number of an HTTP status."""
    error = data.get("error") or data if isinstance(data, dict) else None
    if isinstance(error, dict):
        for name in ("code", "type"):
            if isinstance(error.get(name), str | int):
                return str(error[name])
    return UNSET
