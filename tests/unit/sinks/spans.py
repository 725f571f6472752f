"""What the tests of the OpenTelemetry sink share: events in, spans out."""

from typing import Any

import msgspec

from streamproc import Change, Event, StreamProcessor
from streamproc.core.change import Origin
from streamproc.sinks._otlp_content import Messages
from streamproc.sinks._otlp_names import NAMES, Semconv
from streamproc.sinks._otlp_spans import Span, SpanMaker
from tests.streams import done, sse

__all__ = ["changes_of", "one_span", "spans_of", "stamped"]


def changes_of(*events: Event, at: str | None = None, is_whole: bool = True) -> list[Change]:
    """The changes of a stream.

    Args:
        at: when they came in.
        is_whole: whether the stream says that it is over; else what is open is truncated.
    """
    proc = StreamProcessor(stream="s")
    changes = [*proc.feed(sse(*events, *([done()] if is_whole else []))), *proc.close()]
    return [stamped(change, at) for change in changes]


def stamped(change: Change, at: str | None) -> Change:
    """The same change, as a pipeline makes it."""
    return msgspec.structs.replace(change, origin=Origin(change.stream, change.epoch, at))


def spans_of(
    *events: Event, semconv: Semconv = "0.1", content: bool = False, provider: str = "openai", **more: Any
) -> list[Span]:
    """The spans of a stream, in their order."""
    maker = SpanMaker(NAMES[semconv], provider, Messages() if content else None)
    return [span for change in changes_of(*events, **more) for span in maker.spans_of(change)]


def one_span(*events: Event, name: str = "", **more: Any) -> Span:
    """The only span, or the only one of that name."""
    (span,) = (span for span in spans_of(*events, **more) if not name or span.name == name)
    return span
