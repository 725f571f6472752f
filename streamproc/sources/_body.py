"""The bytes of an answer as they come, with a limit on silence that costs next to nothing while they do.

A cancel scope with a deadline around each read would cost as much as the read. So a stream has one timer, which is not
set anew for every read: when it fires, it looks whether the read of that moment has waited long enough, and if not,
waits for the rest. Time between two reads is the reader's and does not count.

Who has many answers to read may `poll` them instead of waiting for each.
"""

import asyncio
from typing import Any, cast

import aiohttp

from streamproc.errors import SourceUnavailable
from streamproc.loop_clock import loop_clock
from streamproc.sources._http import Border

__all__ = ["Body"]


class Body:
    """Iterates over the chunks of an answer. Not a generator: a reader may stop anywhere; then call `close`.

    Iterating raises `SourceUnavailable` after `idle_timeout_s` of silence or when the connection turns out to be
    closed, and what `border` makes of other errors.
    """

    __slots__ = (
        *("_border", "_content", "_host", "_idle_timeout_s", "_loop", "_now_s", "_seen_bytes", "_timer"),
        "_waits_since_s",
    )

    def __init__(self, content: aiohttp.StreamReader, border: Border, host: str, idle_timeout_s: float) -> None:
        self._content = content
        self._border = border
        self._host = host
        self._idle_timeout_s = idle_timeout_s
        self._loop = asyncio.get_running_loop()
        self._now_s = loop_clock()
        self._waits_since_s: float | None = None  # when the read under way began
        self._timer: asyncio.TimerHandle | None = None
        self._seen_bytes = 0  # of what ever came, at the last poll
        content.on_eof(self._ended)

    def __aiter__(self) -> "Body":
        return self

    async def __anext__(self) -> bytes:
        self._waits_since_s = began_s = self._now_s()
        if self._timer is None:
            self._timer = self._loop.call_at(began_s + self._idle_timeout_s, self._look)
        try:
            chunk = await self._content.readany()
        except Exception as error:
            chunk = self._rest(error)
            if not chunk:
                if isinstance(error, RuntimeError):  # all that aiohttp says after a chunk that breaks the framing
                    raise SourceUnavailable(f"{self._host}: {error}") from error
                with self._border:
                    raise
        finally:
            self._waits_since_s = None
        if not chunk:
            raise StopAsyncIteration
        return chunk

    def poll(self) -> bytes | None:
        """Give what has come, see `PolledChunks`. Silence has no limit here."""
        content = self._content
        came_bytes = content.total_bytes
        if came_bytes == self._seen_bytes:
            return b""
        try:
            chunk = content.read_nowait()  # after which more may have come, which the next poll must see
        except Exception:
            return None  # iterating meets it too, and says what it means
        if content.is_eof():
            return chunk or None
        self._seen_bytes = came_bytes
        return chunk

    def _ended(self) -> None:
        self._seen_bytes = -1  # there is something to look at, though no bytes came

    def close(self) -> None:
        """Forget the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._waits_since_s is None:
            return
        due_s = self._waits_since_s + self._idle_timeout_s
        if self._now_s() < due_s:
            self._timer = self._loop.call_at(due_s, self._look)
        else:  # this wakes the reader
            error = SourceUnavailable(f"{self._host} sent nothing for {self._idle_timeout_s:g} s")
            self._content.set_exception(error)

    def _rest(self, error: BaseException) -> bytes:
        """What came before the error and is still unread: aiohttp raises at once, whatever it holds."""
        self._content.set_exception(cast(Any, None))
        try:
            return self._content.read_nowait()
        finally:
            self._content.set_exception(error)
