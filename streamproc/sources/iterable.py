"""A stream out of an iterable: `IterableSource`, for responses that a client has opened already, and for events.

    aiohttp    IterableSource(response.content.iter_any())
    httpx      IterableSource(response.aiter_bytes())              # or iter_bytes() of a sync client, threaded=True
    openai     IterableSource(response.iter_bytes())               # of `with_streaming_response`; sync: threaded=True
    openai     IterableSource(await client.beta.threads.runs.create(..., stream=True))      # its event objects
    azure      IterableSource(stream.response_iterator)            # azure-ai-agents; sync: threaded=True

Events are written out as the bytes of a stream, so that whatever comes next knows one form. No client is imported here:
what an item is shows in the members that it has.
"""

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Iterable,
    Mapping,
)
from contextlib import asynccontextmanager
from inspect import isawaitable
from typing import Any, Final

import anyio
import msgspec
import structlog
from anyio import to_thread
from anyio.lowlevel import checkpoint
from msgspec import Struct

from streamproc.core.events import Event, encode_sse, snapshot_event
from streamproc.errors import ConfigError, SourceError, SourceUnavailable
from streamproc.model.message import Message
from streamproc.model.run import Run
from streamproc.model.run_step import RunStep
from streamproc.model.wire import to_wire
from streamproc.sources._resync import AskForResult, Resync
from streamproc.wording import came

__all__ = ["IterableSource"]

log = structlog.get_logger("streamproc")

_END: Final = object()
_CLOSE_TIMEOUT_S: Final = 5.0


class IterableSource:
    """The bytes, or the events, that an iterable gives; it can be opened once.

    An item is bytes or text, cut anywhere; an `Event`; a Run, RunStep or Message; or anything with the members `event`
    (the name) and `data`: a mapping, a struct, an object of the `openai` package, JSON text, or None.

    What was given is closed when the stream ends, if it has a method `aclose` or `close`, as generators do.

    Args:
        iterable: sync or async. A sync one is asked in the event loop, so it must not wait for anything...
        threaded: ... unless this is set: then each item is waited for in a worker thread. That wait cannot be
            interrupted; a cancelled pipeline ends when the item has come.
        name: of the stream.
        resync: where the result can be had when the iterable breaks off, e.g. `AssistantsResync`.

    Raises:
        ConfigError: it is a single text, chunk or event.
    """

    def __init__(
        self,
        iterable: Iterable[Any] | AsyncIterable[Any],
        *,
        name: str = "default",
        threaded: bool = False,
        resync: Resync | None = None,
    ) -> None:
        if isinstance(iterable, str | bytes | bytearray | memoryview | Mapping):  # iterable, but not in a useful way
            raise ConfigError(
                f"expected an iterable of bytes, text or events, {came(iterable)}; "
                "HttpSource(url) reads a URL, FileSource(path) a file, IterableSource([data]) what is there already"
            )
        self.name = name
        self._iterable = iterable
        self._threaded = threaded
        self._was_opened = False
        if resync is not None:
            # an attribute that is there or not, since that is what `isinstance(source, ResyncingSource)` looks at
            self.resync: AskForResult = resync.resync

    def __repr__(self) -> str:
        return f"IterableSource({type(self._iterable).__name__}, name={self.name!r})"

    @asynccontextmanager
    async def open(self, cursor: str | None) -> AsyncGenerator[AsyncIterator[bytes]]:
        """Start to iterate; see `Source.open`.

        Raises:
            SourceUnavailable: the iterable raised; what it raised is the cause.
            SourceError: it was opened before, or an item is none of the above.
        """
        if self._was_opened:
            raise SourceError(f"{self.name}: an iterable can be read once")
        if cursor is not None:
            raise SourceError(f"{self.name}: an iterable is read from its beginning, a cursor came")
        self._was_opened = True
        items = _Items(self._iterable, threaded=self._threaded)
        try:
            yield _Chunks(items, self.name)
        finally:
            try:
                with anyio.move_on_after(_CLOSE_TIMEOUT_S, shield=True):
                    await items.close()
            except Exception as error:  # whatever it was to give has been given
                log.warning("source.close_failed", source=self.name, cause=type(error).__name__)


class _Items:
    """Sync and async iterables in one form."""

    def __init__(self, iterable: Iterable[Any] | AsyncIterable[Any], *, threaded: bool) -> None:
        self._iterable = iterable
        self._iterator = aiter(iterable) if isinstance(iterable, AsyncIterable) else iter(iterable)
        self._threaded = threaded

    async def next(self) -> Any:
        """The next item, or _END."""
        if isinstance(self._iterator, AsyncIterator):
            return await anext(self._iterator, _END)
        if self._threaded:
            return await to_thread.run_sync(next, self._iterator, _END)
        await checkpoint()  # or else nothing could run, or cancel, until the end
        return next(self._iterator, _END)

    async def close(self) -> None:
        opened = [self._iterator] if self._iterator is self._iterable else [self._iterator, self._iterable]
        for item in opened:
            close = getattr(item, "aclose", None) or getattr(item, "close", None)
            if close is not None:
                done = await to_thread.run_sync(close) if self._threaded else close()
                if isawaitable(done):
                    await done


class _Chunks:
    """Items as bytes. Not a generator: nothing has to be closed when somebody stops reading."""

    def __init__(self, items: _Items, name: str) -> None:
        self._items = items
        self._name = name

    def __aiter__(self) -> "_Chunks":
        return self

    async def __anext__(self) -> bytes:
        try:
            item = await self._items.next()
        except SourceError:
            raise
        except Exception as error:
            raise SourceUnavailable(f"{self._name}: the iterable raised {type(error).__name__}") from error
        if item is _END:
            raise StopAsyncIteration
        try:
            return _as_bytes(item)
        except (TypeError, ValueError) as error:
            raise SourceError(
                f"{self._name}: expected bytes, text or an event, an item of type {type(item).__name__} came"
            ) from error


def _as_bytes(item: object) -> bytes:
    match item:
        case bytes():
            return item
        case bytearray() | memoryview():
            return bytes(item)
        case str():
            return item.encode("utf-8", "replace")
        case Event():
            return encode_sse(item)
        case Run() | RunStep() | Message():
            return encode_sse(snapshot_event(item))
        case Mapping():
            name, data = item.get("event"), item.get("data")
        case _:
            name, data = getattr(item, "event", None), getattr(item, "data", None)
    if not isinstance(name, str):
        raise TypeError("no event name")
    return encode_sse(Event(name, None, _payload(data)))


def _payload(data: object) -> bytes:
    """The JSON of an event's data; b"" for none."""
    if data is None:
        return b""
    if isinstance(data, str):
        return data.encode("utf-8", "replace")
    if isinstance(data, Struct):
        return to_wire(data)
    if isinstance(data, Mapping):
        return msgspec.json.encode(data if isinstance(data, dict) else dict(data))
    dump = getattr(data, "model_dump_json", None)
    if dump is None:
        raise TypeError("no JSON object")
    # as the client's own `to_json`: only what was sent, by the names on the wire; a value of a type that the client
    # does not know is no reason for a warning
    text: str = dump(exclude_unset=True, by_alias=True, warnings=False)
    return text.encode()
