"""A stream out of a file: `FileSource`, for recordings and for files that are still being written.

A recording has no timestamps (its objects carry `created_at` in whole seconds, its deltas carry nothing), so how fast
it once was cannot be told from it. `speed` therefore is a plain pace: so many events a second.
"""

import os
import re
import stat
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from os import PathLike
from typing import Final

import anyio
from anyio import AsyncFile, to_thread

from streamproc.errors import ConfigError, SourceError, SourceUnavailable

__all__ = ["FileSource"]

_CHUNK_BYTES: Final = 64 * 1024
_EVENT_END: Final = re.compile(rb"(?>\r\n|\r|\n)(?>\r\n|\r|\n)")  # a line end and an empty line


class FileSource:
    """The bytes of a file, from its beginning.

    Reading a file that is replaced or cut while it is followed goes on to its end and stops with `SourceUnavailable`:
    what is there now is a stream that starts over, and a further `open` reads it. A cut that was filled up again
    between two looks cannot be seen.

    Args:
        path: of a regular file.
        name: of the stream; the path unless given.
        speed: events a second; as fast as it can be read unless given.
        follow: at the end of the file wait for more, without end: whoever reads decides when the stream is complete.
            A file that is not there yet is `SourceUnavailable`.
        poll_s: how often a followed file is looked at.

    Raises:
        ConfigError: `speed` or `poll_s` is not above 0.
    """

    resumable: bool  # False, and `repeatable` True, for a file that is followed; others are read once
    repeatable: bool

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        name: str | None = None,
        speed: float | None = None,
        follow: bool = False,
        poll_s: float = 0.25,
    ) -> None:
        if speed is not None and speed <= 0:
            raise ConfigError(f"speed is {speed:g}; expected more than 0 events a second")
        if poll_s <= 0:
            raise ConfigError(f"poll_s is {poll_s:g}; expected more than 0 seconds")
        self._path = os.fspath(path)
        self._speed = speed
        self._follow = follow
        self._poll_s = poll_s
        if follow:  # a recording that breaks off would break off again
            self.resumable, self.repeatable = False, True
        # a file's name may be no text at all
        self.name = name if name is not None else os.fsencode(self._path).decode("utf-8", "replace")

    def __repr__(self) -> str:
        return f"FileSource({self._path!r}, name={self.name!r})"

    @asynccontextmanager
    async def open(self, cursor: str | None) -> AsyncGenerator[AsyncIterator[bytes]]:
        """Open the file; see `Source.open`.

        Raises:
            SourceUnavailable: a followed file is not there, or was replaced or cut.
            SourceError: there is no such file, or it cannot be read.
        """
        if cursor is not None:
            raise SourceError(f"{self.name}: a file is read from its beginning, a cursor came")
        file = await self._file()
        async with file, aclosing(self._chunks(file)) as chunks:
            if self._speed is None:
                yield chunks
                return
            async with aclosing(_paced(chunks, 1.0 / self._speed)) as events:
                yield events

    async def _file(self) -> AsyncFile[bytes]:
        try:
            # before it is opened: opening a pipe waits for its other end, and nothing could end that
            if not stat.S_ISREG((await anyio.Path(self._path).stat()).st_mode):
                raise SourceError(f"{self.name}: expected a regular file, something else is there")
            return await anyio.open_file(self._path, "rb", buffering=0)
        except (OSError, ValueError) as error:
            reason = self._reason(error)
            if self._follow and isinstance(error, FileNotFoundError):
                raise SourceUnavailable(reason) from error
            raise SourceError(reason) from error

    async def _chunks(self, file: AsyncFile[bytes]) -> AsyncGenerator[bytes]:
        is_over = False
        while True:
            while chunk := await self._read(file):
                yield chunk
            if not self._follow:
                return
            if is_over:
                raise SourceUnavailable(f"{self.name}: the file was replaced or cut")
            # what came between the last read and its replacement is read once more
            is_over = await to_thread.run_sync(self._starts_over, file)
            if not is_over:
                await anyio.sleep(self._poll_s)

    async def _read(self, file: AsyncFile[bytes]) -> bytes:
        try:
            return await file.read(_CHUNK_BYTES)
        except OSError as error:
            raise SourceError(self._reason(error)) from error

    def _starts_over(self, file: AsyncFile[bytes]) -> bool:
        """Whether the path now is another file, or this one is shorter than what was read of it."""
        own = os.fstat(file.wrapped.fileno())
        try:
            there = os.stat(self._path)
        except OSError:
            return False  # moved away; the next one is to come, and this one may still be written
        return not os.path.samestat(own, there) or own.st_size < file.wrapped.tell()

    def _reason(self, error: OSError | ValueError) -> str:
        return f"{self.name}: {getattr(error, 'strerror', None) or 'no file can have this name'}"


async def _paced(chunks: AsyncIterator[bytes], interval_s: float) -> AsyncGenerator[bytes]:
    """The same bytes cut after each event, one event an interval; a reader that is late is not hurried afterwards."""
    due = anyio.current_time()
    rest = b""
    async for chunk in chunks:
        *events, rest = _cut(rest + chunk)
        for event in events:
            await anyio.sleep_until(due)
            yield event
            due = max(due + interval_s, anyio.current_time())
    if rest:
        yield rest


def _cut(data: bytes) -> list[bytes]:
    """Whole events and, as the last piece, what follows them."""
    ends = [match.end() for match in _EVENT_END.finditer(data)]
    if len(data) - (ends[-1] if ends else 0) > _CHUNK_BYTES:
        ends.append(len(data))  # a part of a very long event, so that it is not searched again and again
    return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]
