"""StreamProcessor: the bytes of one stream after another in, changes out; parser, dialect and reducer in a row."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from msgspec import Struct

from streamproc.core.change import Change, Origin
from streamproc.core.context import StreamContext
from streamproc.core.dialect import Dialect, DialectFactory, TextReader, dialect_factory, hot_decoders, text_readers
from streamproc.core.fragments import FragmentDecoder
from streamproc.core.limits import Limits
from streamproc.core.place import Around, Place, Places
from streamproc.core.reducer import Reducer
from streamproc.core.sse import Frame, SSEParser, make_frame
from streamproc.core.table import Record
from streamproc.core.tree import TextBuffer
from streamproc.errors import LimitExceeded
from streamproc.model.message import Message
from streamproc.model.run import Run
from streamproc.model.run_step import RunStep

__all__ = ["StreamProcessor"]


class StreamProcessor:
    """Turns the bytes of a run's event streams into changes and full states.

        proc = StreamProcessor()
        for chunk in response:
            for change in proc.feed(chunk):
                print(change.kind, change.id, change.state)
        proc.close()

    It does no IO and keeps no clock. States outlive streams: call `open` before the bytes of the next stream of the
    same runs (after `requires_action`, or a reconnect). Several processors may share one reducer; none is thread-safe.

    Attributes:
        truncated: whether the last stream that was closed ended without a terminal event.
    """

    def __init__(
        self,
        dialect: str | Dialect | DialectFactory = "assistants",
        reducer: Reducer | None = None,
        limits: Limits | None = None,
        stream: str = "default",
        *,
        epoch: int = 1,
    ) -> None:
        """
        Args:
            dialect: a name, an instance (used for every stream, so it must be stateless), or what makes one per stream.
            reducer: where states live; a new one by default. Share one to let several streams build the same runs.
            limits: what may grow how far; ignored for a given reducer, which has its own.
            stream: name of the stream in every change.
            epoch: see `open`.

        Raises:
            ConfigError: there is no dialect of that name.
        """
        self._new_dialect = _factory(dialect)
        self.reducer = reducer or Reducer(limits)
        self._limits = limits or self.reducer.limits
        self._max_line = self._limits.max_line_bytes
        self._context = StreamContext.named(stream, epoch)
        self._closed: bool  # `close` was called, and no `open` since
        self._failed: bool  # a LimitExceeded was raised
        self._lone: _Lone | None  # while nothing else has come since it was made
        self._recent: Place | None  # of the last text fragment
        self._repeated: tuple[bytes, Places] | None  # if the one before was for the same place
        self._start()

    def feed(self, data: bytes) -> list[Change]:
        """Process any slice of the stream; returns the changes of all events it completes.

        Raises:
            LimitExceeded: a line or frame is longer than `Limits` allows. Changes of the frames before it are returned
                first; then every call raises the same error until `open`.
        """
        lone = self._lone
        if (
            lone is not None  # the commonest chunk of all is one event for the text that grows
            and data.startswith(lone.opening)
            and data.endswith(lone.closing)
            and lone.touched == (record := lone.record).touched
            and len(data) <= self._max_line
        ):
            # If this is a text, it is JSON without a line end, and the chunk was one event indeed.
            literal = data[lone.start : lone.stop]
            change = self.reducer.append(record, lone.buffer, literal, self._context, lone.event, lone.around)
            if change is not None:
                return [change]
        self._lone, self._repeated = None, None
        changes: list[Change] = []
        if self._closed and data:  # `open` was forgotten: the reducer will say so
            self._start()
        try:
            found = self._parser.split(data)
        except LimitExceeded:
            self._failed = True
            raise
        for item in found:
            if isinstance(item, Frame):
                self._frame(item, changes)
                continue
            name, payloads, end = item
            read = self._texts.get(name)
            if read is not None:
                self._read(read, name, payloads, changes)
                continue
            decode = self._hot.get(name)
            if decode is None or name is None:
                for payload in payloads:
                    self._frame(make_frame(name, payload, self._parser.last_event_id), changes)
                continue
            places = self._context.places[name]
            if not end and places.last is not None:
                payloads, end = _without_end(payloads, places.last.after)
            if end:
                pending = iter(payloads)
                while (piece := self.reducer.extend(places, pending, end, self._context, changes)) is not None:
                    self._fragments(name, places, decode, iter((piece + end,)), changes)
            else:
                self._fragments(name, places, decode, iter(payloads), changes)
            self._expect(name, places)
        self._prepare(lone)
        return changes

    def close(self) -> list[Change]:
        """End this stream, once. Returns what its end reveals, and sets `truncated` when no terminal event was seen.

        Terminal are `done`, an error, and a run's last status here: terminal, or `requires_action`.

        Raises:
            LimitExceeded: a line or frame was too long, and no `feed` has said so yet; call `close` again.
        """
        if self._closed:
            return []
        try:
            self._parser.close()
        except LimitExceeded:
            if not self._failed:
                self._failed = True
                raise
        self._closed = True
        changes: list[Change] = []
        context = self._context
        for event in self._dialect.finish():
            changes += self.reducer.apply(event, context)
        self.truncated = not self.is_complete
        if self.truncated:
            changes += self.reducer.truncate(context)
        context.done = True
        return changes

    def open(self, *, epoch: int | None = None) -> None:
        """Begin the next stream of the same runs.

        Args:
            epoch: a higher number than before says that the stream starts again from its beginning (a reconnect without
                resume, a replay): a step created again then starts over, and `seq` counts from 1 again.

        Raises:
            ValueError: the epoch is lower than the current one.
        """
        self._context.open(epoch)
        self._start()

    def resume(self) -> None:
        """Go on with the same stream, over another connection, after the event at `cursor`.

        What the dialect knows of the stream it keeps, if it can be resumed at all (see core/dialect.py); otherwise this
        is `open`.
        """
        resume = getattr(self._dialect, "resume", None)
        if resume is None:
            self.open()
            return
        self._context.open(None)
        self._start(self._dialect)
        resume()

    def stamp(self, at: str | None) -> None:
        """Let all changes from now on say when they were made (RFC 3339, UTC); there is no clock here."""
        origin = self._context.origin
        if at != origin.at:
            self._context.origin = Origin(origin.stream, origin.epoch, at)

    def hydrate(self, obj: Run | RunStep | Message) -> list[Change]:
        """Take an authoritative state from elsewhere, e.g. from a list endpoint after a lost connection.

        Raises:
            ValueError: the object has no status.
        """
        self._lone = None
        return self.reducer.hydrate(obj, self._context)

    def infer(self, run_id: str, status: str) -> list[Change]:
        """Note how a run must have ended of which nothing is heard any more, see `Reducer.infer`."""
        return self.reducer.infer(run_id, status, self._context)

    def evict(self, run_id: str) -> None:
        """Forget a run with its steps and messages. Changes already handed out keep their views."""
        self.reducer.evict(run_id)

    @property
    def runs(self) -> Mapping[str, Run]:
        """Live view: run id -> current state."""
        return self.reducer.runs

    @property
    def steps(self) -> Mapping[str, RunStep]:
        """Live view: step id -> current state."""
        return self.reducer.steps

    @property
    def messages(self) -> Mapping[str, Message]:
        """Live view: message id -> current state."""
        return self.reducer.messages

    @property
    def anomalies(self) -> Mapping[str, int]:
        """Live view: kind of anomaly -> how often it was met, over all streams of this processor."""
        return MappingProxyType(self._context.anomalies)

    @property
    def stream(self) -> str:
        """Name of the stream in every change."""
        return self._context.origin.stream

    @property
    def epoch(self) -> int:
        """How the changes of this pass over the stream are told from those of an earlier one, see `open`."""
        return self._context.origin.epoch

    @property
    def run_id(self) -> str | None:
        """The run that the stream is about now; None before it said so."""
        return self._context.run_id

    @property
    def thread_id(self) -> str | None:
        """The thread of that run."""
        return self._context.thread_id

    @property
    def is_done(self) -> bool:
        """Whether the stream said that nothing follows."""
        return self._context.done

    @property
    def is_complete(self) -> bool:
        """Whether the stream may end here: it is done, saw an error or a run status that ends it, or needs neither."""
        return self._context.done or self._context.ended or bool(getattr(self._dialect, "is_complete", False))

    @property
    def cursor(self) -> str | None:
        """Where the wire can be resumed: the count of the dialect, else the last event id; None without either."""
        return self._dialect.cursor or self._parser.last_event_id or None

    @property
    def retry_ms(self) -> int | None:
        """The reconnection time that the stream asked for; None when it did not."""
        return self._parser.retry_ms

    def _start(self, dialect: Dialect | None = None) -> None:
        self._parser = SSEParser(self._limits)
        self._use(self._new_dialect() if dialect is None else dialect)
        self._lone = self._recent = self._repeated = None
        self.truncated = False
        self._failed = False
        self._closed = False

    def _use(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._hot = hot_decoders(dialect)
        self._texts = text_readers(dialect)
        self._is_choosing = hasattr(dialect, "chosen")

    def _expect(self, name: bytes, places: Places) -> None:
        """Look for more fragments like the last one, above all when the one before was for the same place."""
        place = places.last
        if place is not None:
            self._parser.expect(name, place.after)
            self._repeated = (name, places) if place is self._recent else None
            self._recent = place

    def _prepare(self, lone: "_Lone | None") -> None:
        """Be ready for a chunk that is one event like the last ones; `lone` is what was ready before."""
        if self._repeated is not None and self._parser.idle:
            self._lone = _lone(*self._repeated, lone)

    def _fragments(
        self, name: bytes, places: Places, decode: FragmentDecoder, payloads: Iterator[bytes], changes: list[Change]
    ) -> None:
        """Process payloads that most likely are text fragments."""
        apply = self.reducer.apply_fragments
        while (payload := apply(places, decode, payloads, self._context, changes)) is not None:
            self._frame(make_frame(name, payload, self._parser.last_event_id), changes)

    def _read(self, read: TextReader, name: bytes | None, payloads: list[bytes], changes: list[Change]) -> None:
        """Process payloads that most likely are text fragments of a wire that is translated."""
        at = 0
        while at < len(payloads):
            found = read(payloads, at)
            if found is None:
                self._frame(make_frame(name, payloads[at], self._parser.last_event_id), changes)
                at += 1
            else:
                spot, texts = found
                self.reducer.grow(spot, texts, self._context, changes)
                at += len(texts)
        self._parser.expect(name)

    def _frame(self, frame: Frame, changes: list[Change]) -> None:
        for event in self._dialect.decode(frame):
            changes += self.reducer.apply(event, self._context)
        if self._is_choosing and (chosen := getattr(self._dialect, "chosen", None)) is not None:
            self._use(chosen)


def _without_end(payloads: list[bytes], end: bytes) -> tuple[list[bytes], bytes]:
    """The payloads without an end that all of them have, and that end; as they are when one lacks it."""
    pieces: list[bytes] = []
    for payload in payloads:
        piece = payload.removesuffix(end)
        if piece is payload:
            return payloads, b""
        pieces.append(piece)
    return pieces, end


class _Lone(Struct, frozen=True):
    """How a chunk that is one event for the text that grows begins and ends, and where that text is."""

    opening: bytes
    closing: bytes
    start: int  # of what is between
    stop: int
    place: Place
    record: Record
    touched: int  # of the record: it must not have been since
    buffer: TextBuffer
    event: str
    around: Around


def _lone(name: bytes, places: Places, before: _Lone | None) -> _Lone | None:
    """For the last place of the events of that name; None when the general rules must see the next fragment."""
    place = places.last
    buffer = None if place is None or place.touched != place.record.touched else place.buffer()
    if place is None or buffer is None or places.object_id != place.record.body.id:
        return None
    if before is not None and before.place is place and before.touched == place.touched:
        return before
    # with the quotes, since around them JSON allows line ends
    opening, closing = b"event: " + name + b"\ndata: " + place.before + b'"', b'"' + place.after + b"\n\n"
    start, stop = len(opening) - 1, 1 - len(closing)
    return _Lone(opening, closing, start, stop, place, place.record, place.touched, buffer, places.event, place.around)


def _factory(dialect: str | Dialect | DialectFactory) -> DialectFactory:
    if isinstance(dialect, str):
        return dialect_factory(dialect)
    if callable(dialect):
        return dialect
    return lambda: dialect
