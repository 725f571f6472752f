"""check_dialect: what every dialect must do, as `streamproc.protocols.Dialect` says it.

    def test_my_dialect():
        check_dialect(MyDialect, [path.read_bytes() for path in recordings])

Beside the recordings themselves it decodes damaged ones, the damage being the same each time.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from random import Random
from typing import Any, Final

from streamproc.core.anomalies import Anomaly
from streamproc.core.change import encode_change
from streamproc.core.dialect import Dialect
from streamproc.core.events import EVENT_NAMES, Event
from streamproc.core.processor import StreamProcessor
from streamproc.core.sse import Frame, SSEParser

__all__ = ["check_dialect"]

_SEED: Final = 20
_PAYLOADS: Final = (
    *(b"", b" ", b"null", b"true", b"0", b"-1e400", b'""', b"[]", b"{}", b"[DONE]", b"not JSON", b'{"a":1}{"b":2}'),
    *(b"\xff\xfe", b'{"id":"\xc3"}', b'"\\ud83e"', b"\0", b"{", b'{"id":', b"[" * 10_000, b'{"a":' * 10_000),
    *(b"1" * 5_000, b'{"id":' + b"9" * 400 + b"}", b'{"type":null,"object":[],"event":{},"data":0,"index":true}'),
)
_NAMES: Final = ("message", "", "error", "done", "no.such.event", "\u2028", "thread.run.step.delta")
_DAMAGED: Final = 200  # payloads of a recording at most


def check_dialect(factory: Callable[[], Dialect], recordings: Iterable[bytes]) -> None:
    """Check a dialect against its contract; returns when all is well.

    Args:
        factory: makes an instance for one stream.
        recordings: streams of this wire format, as they came.

    Raises:
        AssertionError: the dialect broke the contract; the text names the recording by its position, and what happened.
    """
    _check_ends(factory)
    _check_payloads(factory, "payloads made up", [Frame(name, data, "") for name in _NAMES for data in _PAYLOADS])
    number = -1
    for number, recording in enumerate(recordings):
        about = f"recording {number}"
        frames = SSEParser().feed(recording)
        _assert(bool(frames), about, "it holds no complete event")
        _check_determinism(factory, about, frames)
        _check_chunking(factory, about, recording)
        _check_payloads(factory, f"{about}, damaged", _damage(frames))
    _assert(number >= 0, "recordings", "there is none")


class _Plain:
    """A dialect without the fast ways that it may have; see core/dialect.py."""

    def __init__(self, dialect: Dialect) -> None:
        self.decode = dialect.decode
        self.finish = dialect.finish
        self.cursor: str | None = None


def _check_ends(factory: Callable[[], Dialect]) -> None:
    """A stream may be empty, and cannot be resumed before it began."""
    about = "an empty stream"
    dialect = factory()
    _assert(dialect.cursor is None, about, "it has a cursor before its first frame")
    _finish(dialect, about)


def _check_determinism(factory: Callable[[], Dialect], about: str, frames: Sequence[Frame]) -> None:
    """The same frames give the same events, also when another stream is decoded at the same time."""
    alone = _events(factory(), about, frames)
    first, second = factory(), factory()
    together: list[Event] = []
    other: list[Event] = []
    for frame in frames:
        together += _decode(first, about, frame)
        other += _decode(second, about, frame)
    together += _finish(first, about)
    other += _finish(second, about)
    _assert(alone == together == other, about, "two instances that decode the same frames give other events than one")


def _check_chunking(factory: Callable[[], Dialect], about: str, recording: bytes) -> None:
    """However the bytes are cut, the changes are the same."""
    whole = _changes(factory, [recording])
    random = Random(_SEED)
    for what, chunks in (
        ("cut into single bytes", [recording[at : at + 1] for at in range(len(recording))]),
        ("cut at random", [*_cut(recording, random)]),
        ("cut behind each line", recording.splitlines(keepends=True)),
    ):
        _assert(_changes(factory, chunks) == whole, about, f"{what} it gives other changes than as a whole")
    plain = _changes(lambda: _Plain(factory()), [recording])
    _assert(plain == whole, about, "its `fragments` or `texts` give other changes than its `decode`")


def _check_payloads(factory: Callable[[], Dialect], about: str, frames: Sequence[Frame]) -> None:
    """Nothing raises, whether frames come alone or one after the other; and what comes out can be merged."""
    _events(factory(), about, frames)
    for frame in frames:
        _events(factory(), about, [frame])
    proc = StreamProcessor(factory)
    for event in _events(factory(), about, frames):
        try:
            proc.reducer.apply(event)
        except Exception as error:
            raise _failure(about, f"event {event.name!r} cannot be merged: {error!r}") from error


def _events(dialect: Dialect, about: str, frames: Iterable[Frame]) -> list[Event]:
    """All events of a stream, with its end."""
    events = [event for frame in frames for event in _decode(dialect, about, frame)]
    return [*events, *_finish(dialect, about)]


def _decode(dialect: Dialect, about: str, frame: Frame) -> Sequence[Event]:
    what = f"decode, of a frame {frame.event!r} of {len(frame.data)} bytes,"
    try:
        found = dialect.decode(frame)
        cursor: Any = dialect.cursor
    except Exception as error:
        raise _failure(about, f"{what} raised {type(error).__name__}") from error
    _assert(cursor is None or isinstance(cursor, str), about, f"{what} left a cursor that is no text")
    return _checked(found, about, what)


def _finish(dialect: Dialect, about: str) -> Sequence[Event]:
    """The end of a stream, which comes once."""
    try:
        found = dialect.finish()
    except Exception as error:
        raise _failure(about, f"finish raised {type(error).__name__}") from error
    return _checked(found, about, "finish")


def _checked(found: Any, about: str, what: str) -> Sequence[Event]:
    _assert(isinstance(found, Sequence), about, f"{what} returned a {type(found).__name__}, expected a sequence")
    for event in found:
        _assert(isinstance(event, Event), about, f"{what} returned a {type(event).__name__} among its events")
        known = event.name in EVENT_NAMES or isinstance(event.data, Anomaly)
        _assert(known, about, f"{what} returned an event {event.name!r}; expected a canonical name, or an Anomaly")
    return found  # type: ignore[no-any-return]


def _changes(factory: Callable[[], Dialect], chunks: Iterable[bytes]) -> list[bytes]:
    """The JSON form of all changes of a stream."""
    proc = StreamProcessor(factory)
    return [encode_change(change) for chunk in chunks for change in proc.feed(chunk)] + [
        encode_change(change) for change in proc.close()
    ]


def _damage(frames: Sequence[Frame]) -> list[Frame]:
    """Frames whose payload was cut off, or in which a few bytes were exchanged or left out; and in another order."""
    random = Random(_SEED)
    chosen = [*frames] if len(frames) <= _DAMAGED else random.sample(frames, _DAMAGED)
    damaged: list[Frame] = []
    for event, data, id in ((frame.event, frame.data, frame.id) for frame in chosen):
        at = random.randrange(len(data) + 1)
        damaged.append(Frame(event, data[:at], id))
        damaged.append(Frame(event, data[:at] + random.randbytes(2) + data[at + 2 :], id))
        damaged.append(Frame(event, data[: at // 2] + data[at:], id))
        damaged.append(Frame(random.choice(frames).event, data, id))
    random.shuffle(damaged)
    return damaged


def _cut(recording: bytes, random: Random) -> Iterator[bytes]:
    at = 0
    while at < len(recording):
        size = random.randrange(1, 200)
        yield recording[at : at + size]
        at += size


def _assert(holds: bool, about: str, otherwise: str) -> None:
    if not holds:
        raise _failure(about, otherwise)


def _failure(about: str, what: str) -> AssertionError:
    return AssertionError(f"check_dialect, {about}: {what}")
