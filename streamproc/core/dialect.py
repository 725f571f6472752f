"""The contract between a processor and a wire format, and the names of the formats that are installed."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, TypeAlias

from streamproc.core.events import Event
from streamproc.core.fragments import FragmentDecoder
from streamproc.core.reducer import Hot
from streamproc.core.sse import Frame
from streamproc.errors import ConfigError

__all__ = ["Dialect", "DialectFactory", "dialect_factory", "dialect_names", "hot_decoders", "register_dialect"]


class Dialect(Protocol):
    """One wire format, translated into canonical events.

    One instance serves one stream; the processor makes a new one for each. Synchronous, without IO or a clock, and
    deterministic: the same frames always give the same events, or chunking would show. What is not understood becomes
    an event that carries an `Anomaly`; `decode` and `finish` never raise.
    """

    cursor: str | None
    """Where the wire can be resumed, as the source understands it; None when it cannot."""

    def decode(self, frame: Frame) -> Sequence[Event]:
        """Return the events of one frame, in order; often one, at times none."""
        ...

    def finish(self) -> Sequence[Event]:
        """Return the events that the end of the stream implies. Called once, after the last frame."""
        ...


DialectFactory: TypeAlias = Callable[[], Dialect]

_FACTORIES: Final[dict[str, DialectFactory]] = {}


def register_dialect(name: str, factory: DialectFactory) -> None:
    """Make a dialect known by name; `factory` is called once per stream."""
    _FACTORIES[name] = factory


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


def hot_decoders(dialect: Dialect) -> Hot:
    """What the fast path needs to know of a dialect whose text deltas are the canonical ones on the wire.

    Such a dialect says so by a member `fragments`: event names -> decoders from fragments.py. The processor then merges
    most deltas without making frames and events of them.
    """
    fragments: Mapping[str, FragmentDecoder] = getattr(dialect, "fragments", {})
    return {name.encode(): decode for name, decode in fragments.items()}
