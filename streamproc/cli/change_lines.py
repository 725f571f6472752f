"""A change of the journal as one line: JSON with its position for programs, a few words for people."""

from typing import Any, Final

import msgspec
from msgspec import UNSET
from rich.text import Text

from streamproc.core.anomalies import Anomaly
from streamproc.core.change import NO_NOTE, Change, encode_change
from streamproc.display.tables import status_text
from streamproc.display.terminal import clean

__all__ = ["added", "change_line", "positioned"]

_ID_CHARS: Final = 14
_SAID_CHARS: Final = 200
_TEXTS: Final = frozenset({"value", "name", "arguments", "input", "output", "logs", "refusal"})


def positioned(position: int, change: Change) -> bytes:
    """The JSON form of a change, and as its last member the position in the journal, which `--from` takes."""
    return b'%s,"position":%d}' % (encode_change(change)[:-1], position)


def change_line(position: int, change: Change) -> Text:
    """Position, time, object, what happened to it, and the text that was added or the status that was said."""
    id = clean(change.id)
    id = f"{id[: _ID_CHARS - 1]}…" if len(id) > _ID_CHARS else id
    name = clean(change.event).removeprefix("thread.").removeprefix("run.") if change.kind != "run" else "run"
    line = Text.assemble(
        (f"{position:>6}  {clean((change.at or '')[11:23]):<12}  {id:<{_ID_CHARS}}  ", "dim"),
        (f"{name:<16}  ", "cyan"),
    )
    delta = change.delta
    if isinstance(delta, Anomaly):
        return line.append(delta.kind, "magenta")
    if change.kind == "error":
        return line.append(_said(change.state), "red")
    if delta is not None:
        return line.append(clean(added(delta)[:_SAID_CHARS]) or "...")
    status = status_text(_status(change), NO_NOTE)
    if change.inferred_status is not None or change.truncated:
        beside = f"run {change.inferred_status}" if change.inferred_status is not None else "cut off"
        status.append(f" ({clean(beside)})")
    return line.append_text(status)


def added(delta: Any) -> str:
    """The text that a delta brought, in whatever member of a tool call or message."""
    pieces: list[str] = []
    _collect(delta, pieces)
    return " ".join(pieces)


def _collect(value: Any, pieces: list[str]) -> None:
    if isinstance(value, list | tuple):
        for item in value:
            _collect(item, pieces)
        return
    if isinstance(value, msgspec.Struct):
        members = {name: getattr(value, name) for name in value.__struct_fields__}
    elif isinstance(value, dict):
        members = value
    else:
        return
    for name, member in members.items():
        if isinstance(member, str):
            if member and name in _TEXTS:
                pieces.append(member)
        elif member is not UNSET:
            _collect(member, pieces)


def _status(change: Change) -> str:
    """What the event itself said; the state that the store has of its object may be a later one."""
    try:
        said = msgspec.json.decode(change.raw).get("status")
    except (msgspec.MsgspecError, AttributeError, UnicodeDecodeError, RecursionError):
        said = None
    return said if isinstance(said, str) else change.event.rpartition(".")[2]


def _said(error: Any) -> str:
    parts = (getattr(error, "code", None), getattr(error, "message", None))
    return clean(": ".join(part for part in parts if isinstance(part, str))[:_SAID_CHARS]) or "error"
