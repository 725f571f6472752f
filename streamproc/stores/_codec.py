"""The journal's blob: consecutive changes as MessagePack.

A *stretch* is a row of changes that differ in their text, sequence number and revision alone, both of which count up:
fragments for one place of one object. What they share is written once, so that a fragment costs little more than its
text. A *pass* is a row of stretches of one stream, epoch and time.

Each blob has a check sum over its positions and itself, so damage shows, and so does a blob in another one's place.
"""

import zlib
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from streamproc.core.anomalies import Anomaly
from streamproc.core.body import Body, Kind
from streamproc.core.change import NO_NOTE, Change, Note, Origin
from streamproc.core.events import MESSAGE_DELTA, STEP_DELTA
from streamproc.core.place import Around
from streamproc.errors import StoreError
from streamproc.model.thread import ErrorObject

__all__ = ["INTEGER_MAX", "check_sum", "decode", "encode", "payload_size"]

INTEGER_MAX: Final = 2**63 - 1  # what a column of a database holds

_ANOMALY: Final = 1
_ERROR: Final = 2
_JSON: Final = 3

_OBJECTS: Final = ("run", "step", "message")
_DELTAS: Final = (STEP_DELTA, MESSAGE_DELTA)


class _Stretch(Struct, array_like=True, gc=False):
    seq: int  # of the first change; likewise
    revision: int
    event: str
    kind: Kind
    id: str
    run_id: str | None
    thread_id: str | None
    pieces: list[bytes]
    before: bytes = b""
    after: bytes = b""
    note: tuple[str | None, bool, bool] | None = None
    form: int = 0  # of `data`
    data: bytes = b""
    state: bytes = b""  # the object after a change that is no delta, where the payload is not all of it


class _Pass(Struct, array_like=True, gc=False):
    stream: str
    epoch: int
    at: str | None
    stretches: list[_Stretch]


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[_Pass]).decode
_decode_anomaly: Final = msgspec.json.Decoder(Anomaly).decode
_decode_error: Final = msgspec.json.Decoder(ErrorObject).decode


def encode(changes: Sequence[Change]) -> tuple[bytes, list[tuple[Change, int]]]:
    """Return the blob of some changes, and of each stretch its last change with its offset.

    Raises:
        StoreError: a payload that was made by hand cannot be encoded, or a number is beyond 2**63 - 1.
    """
    passes: list[_Pass] = []
    ends: list[tuple[Change, int]] = []
    stretches: list[_Stretch] = []
    origin: Origin | None = None
    body: Body | None = None
    around: Around | None = None
    pieces: list[bytes] = []
    seq = revision = 0
    last: Change | None = None
    offset = -1
    for change in changes:
        if (
            change.around is around
            and around is not None
            and change.body is body
            and change.origin is origin
            and change.seq == seq + 1
            and change.revision == revision + 1
            and change.note is NO_NOTE
            and change.data is None
        ):
            seq += 1
            revision += 1
            pieces.append(change.piece)
        else:
            if last is not None:
                ends.append((last, offset))
            if change.origin is not origin:
                if origin is None or change.origin != origin:
                    stretches = []
                    passes.append(_Pass(change.stream, change.epoch, change.at, stretches))
                origin = change.origin
            body, around, seq, revision = change.body, change.around, change.seq, change.revision
            pieces = [change.piece]
            stretches.append(_stretch(change, pieces))
        last = change
        offset += 1
    if last is not None:
        ends.append((last, offset))
    if any(max(last.seq, last.revision, last.epoch) > INTEGER_MAX for last, _ in ends):
        raise StoreError("a change cannot be stored: its number is beyond 2**63 - 1")
    try:
        return _encode(passes), ends
    except UnicodeEncodeError as error:  # an id with half a surrogate pair, made by hand
        raise StoreError("a change cannot be stored: half a surrogate pair is no text") from error


def _stretch(change: Change, pieces: list[bytes]) -> _Stretch:
    body, around, note, data = change.body, change.around, change.note, change.data
    state = _state_beside(change)
    if not state and around is None and note is NO_NOTE and data is None:
        return _Stretch(
            change.seq, change.revision, change.event, body.kind, body.id, body.run_id, body.thread_id, pieces
        )
    form, encoded = (0, b"") if data is None else _encode_data(data)
    return _Stretch(
        change.seq,
        change.revision,
        change.event,
        body.kind,
        body.id,
        body.run_id,
        body.thread_id,
        pieces,
        around.before if around is not None else b"",
        around.after if around is not None else b"",
        None if note == NO_NOTE else (note.inferred_status, note.truncated, note.ended),
        form,
        encoded,
        state,
    )


def _state_beside(change: Change) -> bytes:
    """The state that a change left behind, if it shows one and its payload is not that already; else b""."""
    if change.event in _DELTAS or change.kind not in _OBJECTS:
        return b""
    try:
        state = change.body.wire(change.revision)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise StoreError("a change cannot be stored: no JSON can be made of its object") from error
    return b"" if state == change.piece else state


def _encode_data(data: object) -> tuple[int, bytes]:
    form = _ANOMALY if isinstance(data, Anomaly) else _ERROR if isinstance(data, ErrorObject) else _JSON
    try:
        return form, msgspec.json.encode(data)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise StoreError("a change cannot be stored: no JSON can be made of its payload") from error


def check_sum(first: int, last: int, blob: bytes | bytearray) -> int:
    """The check sum of a blob that holds the changes at these positions."""
    return zlib.crc32(blob, zlib.crc32(b"%d %d" % (first, last)))


def decode(first: int, last: int, crc: int, blob: bytes) -> list[Change]:
    """Return the changes of a blob.

    The state of a change that is no delta is in it. The bodies of deltas are empty: one for each object, to be given
    its newest state.

    Raises:
        StoreError: it is damaged.
    """
    if check_sum(first, last, blob) != crc:
        raise StoreError(f"the journal is damaged at position {first}: its check sum differs")
    try:
        passes = _decode(blob)
        changes = [change for one in passes for change in _changes(one)]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise StoreError(f"the journal is damaged at position {first}: it cannot be decoded") from error
    if len(changes) != last - first + 1:
        raise StoreError(f"the journal is damaged at position {first}: {len(changes)} changes for {last - first + 1}")
    return changes


def _changes(one: _Pass) -> Iterable[Change]:
    origin = Origin(one.stream, one.epoch, one.at)
    bodies: dict[tuple[object, ...], Body] = {}
    for stretch in one.stretches:
        key = stretch.kind, stretch.id, stretch.run_id, stretch.thread_id
        if stretch.event in _DELTAS or stretch.kind not in _OBJECTS:
            body = bodies.get(key)
            if body is None:
                body = bodies[key] = Body(*key, b"")
        else:
            body = Body(*key, stretch.state or stretch.pieces[0])
        around = Around(stretch.before, stretch.after) if stretch.before or stretch.after else None
        note = NO_NOTE if stretch.note is None else Note(*stretch.note)
        data = _decode_data(stretch.form, stretch.data)
        for number, piece in enumerate(stretch.pieces):
            yield Change(
                origin,
                stretch.seq + number,
                stretch.event,
                body,
                stretch.revision + number,
                data,
                piece,
                note,
                around,
            )


def _decode_data(form: int, data: bytes) -> Any:
    match form:
        case 1:
            return _decode_anomaly(data)
        case 2:
            return _decode_error(data)
        case 3:
            return msgspec.json.decode(data)
        case _:
            return None


def payload_size(change: Change) -> int:
    """Bytes of the payload of a change."""
    around = change.around
    return len(change.piece) if around is None else len(around.before) + len(change.piece) + len(around.after)
