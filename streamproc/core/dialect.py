"""The contract between a processor and a wire format, and the names of the formats that are installed.

Beside the members of `Dialect` a dialect may have some that make it fast or that few formats need:

    fragments   event name -> a decoder from fragments.py, if the text deltas of the wire are the canonical ones
    texts       event name (None: events without one) -> a `TextReader`, if they have to be translated
    resume      called when the same stream goes on over another connection; without it a resumed stream is a new one
    chosen      the dialect that this one found to be the right one; from then on that one decodes
    is_complete whether the stream may end here, where nothing has to say so; `finish` then tells how

What `fragments` or `texts` bring about is exactly what `decode` would.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol, TypeAlias

from streamproc.core.events import Event
from streamproc.core.fragments import FragmentDecoder
from streamproc.core.reducer import Hot
from streamproc.core.spot import TextReader
from streamproc.core.sse import Frame
from streamproc.errors import ConfigError

__all__ = [
    "Dialect",
    "DialectFactory",
    "Matches",
    "TextReader",
    "detect",
    "dialect_factory",
    "dialect_names",
    "hot_decoders",
    "register_dialect",
    "text_readers",
]


class Dialect(Protocol):
    """One wire format, translated into canonical events.

    One instance serves one stream; the processor makes a new one for each. Synchronous, without IO or a clock, and
    deterministic: the same frames always give the same events, or chunking would show. What is not understood becomes
    an event that carries an `Anomaly`; `decode` and `finish` never raise.
    """

    @property
    def cursor(self) -> str | None:
        """Where the wire can be resumed, as the source understands it; None when it cannot. An attribute will do."""
        ...

    def decode(self, frame: Frame) -> Sequence[Event]:
        """Return the events of one frame, in order; often one, at times none."""
        ...

    def finish(self) -> Sequence[Event]:
        """Return the events that the end of the stream implies. Called once, after the last frame."""
        ...


DialectFactory: TypeAlias = Callable[[], Dialect]

Matches: TypeAlias = Callable[[str, Mapping[str, Any]], bool]
"""Whether a frame is one of a dialect's, by its event name ("message" when it has none) and its payload."""

_FACTORIES: Final[dict[str, DialectFactory]] = {}
_MATCHES: Final[dict[str, Matches]] = {}


def register_dialect(name: str, factory: DialectFactory, matches: Matches | None = None) -> None:
    """Make a dialect known by name.

    Args:
        factory: called once per stream.
        matches: how "auto" recognises it; without this it has to be named.
    """
    _FACTORIES[name] = factory
    _MATCHES.pop(name, None)
    if matches is not None:
        _MATCHES[name] = matches


def dialect_names() -> tuple[str, ...]:
    """The names of all known dialects."""
    return tuple(_FACTORIES)


def dialect_factory(name: str) -> DialectFactory:
    """Return how to make the dialect called `name`.

    Raises:
        ConfigError: there is none of that name.
    """
    try:
        return _FACTORIES[name]
    except KeyError:
        raise ConfigError(f"no dialect {name!r}; known: {', '.join(_FACTORIES)}") from None


def detect(event: str, payload: Mapping[str, Any]) -> str | None:
    """Return the name of the dialect that a frame is one of; None when it could be any.

    Args:
        event: the frame's event name, "message" when it has none.
        payload: its data, decoded.
    """
    return next((name for name, matches in _MATCHES.items() if matches(event, payload)), None)


def hot_decoders(dialect: Dialect) -> Hot:
    """The `fragments` of a dialect, by the bytes of the event names."""
    fragments: Mapping[str, FragmentDecoder] = getattr(dialect, "fragments", {})
    return {name.encode(): decode for name, decode in fragments.items()}


def text_readers(dialect: Dialect) -> Mapping[bytes | None, TextReader]:
    """The `texts` of a dialect, by the bytes of the event names."""
    texts: Mapping[str | None, TextReader] = getattr(dialect, "texts", {})
    return {None if name is None else name.encode(): read for name, read in texts.items()}
