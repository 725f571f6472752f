"""Server-sent events: bytes in, frames out.

What lives here: the framing of WHATWG HTML, 9.2.6 "Interpreting an event stream", and nothing else. This file does not
know what a payload holds (it is never decoded here), where the bytes come from or how one reconnects.

Rules of the game: no state machine runs over the bytes. What is not finished by a blank line waits in one buffer,
what is finished is cut out in one piece, and all parsing is done on such whole blocks, after CRLF and CR have become
LF. That is why no split of the input can change the output. Each byte is copied and searched a bounded number of times.
"""

from collections.abc import Iterable
from io import BytesIO
from itertools import repeat
from typing import Final, TypeAlias

from msgspec import Struct

from streamproc.core.limits import Limits
from streamproc.errors import FrameTooLarge, LimitExceeded, LineTooLong

__all__ = ["Frame", "Run", "SSEParser", "make_frame"]


Run: TypeAlias = tuple[bytes | None, list[bytes], bytes]
"""Consecutive events of one name (None: without an event line), their payloads, and an end that each of these still
lacks (see `SSEParser.expect`)."""

_BOM: Final = b"\xef\xbb\xbf"
_MAX_RETRY_MS: Final = 2**31 - 1  # 24 days; browsers' timers end here too
_CR: Final = 13  # `13 in data` is much cheaper than `b"\r" in data`, which first tries the latter as a number
_LF: Final = 10

_LARGE: Final = 16384  # bytes of blocks from which on a list of their lines must not be much larger than they are,
_LONG: Final = 16  # which it is not when they are that long on average


class Frame(Struct, frozen=True, gc=False):
    """One server-sent event."""

    event: str  # "message" when the stream gave no type, or an empty one
    data: bytes  # the data lines as they came, joined by LF
    id: str  # the last event id once this event was complete; often set by an earlier one

    @property
    def text(self) -> str:
        """`data` as text; bytes that are not UTF-8 become U+FFFD."""
        return self.data.decode("utf-8", "replace")


class SSEParser:
    """Parses one stream.

    Attributes:
        last_event_id: what a client that reconnects sends as `Last-Event-ID`; set by completed blocks only.
        retry_ms: the reconnection time the stream asked for, None if it did not. It counts when its line is complete,
            whether or not its block ever is; for the last, incomplete block that is known after `close`.
        idle: whether the next byte starts a block, and nothing before it matters.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        limits = limits or Limits()
        self.last_event_id = ""
        self.retry_ms: int | None = None
        self._max_line = limits.max_line_bytes
        self._max_frame = limits.max_frame_bytes
        self._failure: LimitExceeded | None = None
        self._pending = bytearray()
        self._line_start = self._searched = 0  # see _check; both stay 0 while pending is short
        self._at_start = True
        self._skip_lf = False  # the last byte was a CR
        self.idle = False
        self._name: bytes | None = None  # of the events that are expected, see `expect`
        self._end = b""
        self._opening, self._closing = b"data: ", b"\n\n"

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that `data` completes.

        Args:
            data: any slice of the stream, empty ones included.

        Raises:
            LimitExceeded: a line or a block is too long. Frames before it are returned first, if need be by one call
                and the error raised by the next. The parser is finished: every further call raises the same error.
        """
        frames: list[Frame] = []
        for item in self.split(data):
            if isinstance(item, Frame):
                frames.append(item)
            else:
                name, payloads, end = item
                if end:
                    payloads = [payload + end for payload in payloads]
                frames += map(make_frame, repeat(name), payloads, repeat(self.last_event_id))
        return frames

    def split(self, data: bytes) -> list[Run] | list[Frame]:
        """Do what `feed` does without making a Frame for each event, where the stream allows it.

        Returns:
            Runs, if all blocks that `data` completes are exactly `event: NAME` and `data: PAYLOAD`, or all are only the
            latter. An empty NAME stays empty here; the id of all is `last_event_id`. Otherwise the frames, as `feed`
            returns them. An empty list if no event was completed.

        Raises:
            LimitExceeded: as `feed` does.
        """
        body = self._take(data)
        self.idle = not (self._pending or self._skip_lf or self._failure)
        if body:
            runs = self._runs(body)
            if runs is not None:
                return runs
        frames = self._frames(body) if body else []
        if self._failure is not None and not frames:
            # An exception keeps the traceback of each time it was raised.
            raise self._failure.with_traceback(None)
        return frames

    def close(self) -> bool:
        """End the stream; whatever is incomplete is thrown away, as the standard wants it.

        Afterwards the parser stands at the start of a stream again; `last_event_id` and `retry_ms` stay.

        Returns:
            True if a block was pending: it had at least one line, complete or not, that is no comment. The stream
            was probably cut off. False if nothing, or only comments, came after the last blank line.

        Raises:
            LimitExceeded: as `feed` does.
        """
        if self._failure is not None:
            raise self._failure.with_traceback(None)
        pending = bytes(self._pending)
        self._forget_pending()
        self._at_start, self._skip_lf, self.idle = True, False, False
        # There is no blank line in it, so that only a `retry` can have an effect.
        self._frames(pending[: pending.rfind(b"\n") + 1])
        return any(not line.startswith(b":") for line in BytesIO(pending))

    def _take(self, data: bytes) -> bytes:
        """Return all blocks that `data` completes, LF only and blank lines included, and keep what follows them.

        Never raises `LimitExceeded`: it sets `_failure` and returns the blocks before the offence.
        """
        if self._failure is not None:
            return b""
        if self._at_start:
            data = self._without_bom(data)
            if not data:
                return b""
        if self._skip_lf or _CR in data:
            data = self._with_lf_only(data)
        pending = self._pending
        end = data.rfind(b"\n\n") + 2
        # Without a blank line in the new bytes there is still one if they start with LF after a line end or a block.
        if end == 1 and (not data.startswith(b"\n") or (pending and not pending.endswith(b"\n"))):
            self._keep(data)
            return b""
        body, rest = data[:end], data[end:]
        if pending:
            body = b"".join((pending, body))
            self._forget_pending()
        if len(body) > self._max_line:
            body = self._within_limits(body)
        if rest and self._failure is None:
            self._keep(rest)
        return body

    def _without_bom(self, data: bytes) -> bytes:
        """Strip one byte order mark; while it may still become one, hold the input back and return nothing."""
        data = bytes(self._pending) + data
        if len(data) < len(_BOM) and _BOM.startswith(data):
            self._pending[:] = data
            return b""
        self._pending.clear()
        self._at_start = False
        return data.removeprefix(_BOM)

    def _with_lf_only(self, data: bytes) -> bytes:
        """Turn every line end into LF. A CR at the end counts at once; the LF that may follow it is swallowed."""
        if self._skip_lf and data:
            self._skip_lf = False
            data = data.removeprefix(b"\n")
        if _CR in data:
            self._skip_lf = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data

    def _keep(self, rest: bytes) -> None:
        """Append to the pending block, if it stays within the limits."""
        pending = self._pending
        pending += rest
        if len(pending) > self._max_line:
            try:
                self._line_start = self._check(pending, self._line_start, self._searched)
                self._searched = len(pending)
            except LimitExceeded as failure:
                self._failure = failure
                self._forget_pending()

    def _within_limits(self, body: bytes) -> bytes:
        """Return the blocks before the first one that breaks a limit."""
        start = 0
        for piece in body.split(b"\n\n"):
            try:
                self._check(piece.removeprefix(b"\n"))  # an odd number of LF in a row leaves one
            except LimitExceeded as failure:
                self._failure = failure
                return body[:start]
            start += len(piece) + 2
        return body

    def _check(self, block: bytes | bytearray, line: int = 0, searched: int = 0) -> int:
        """Check the limits, as if the bytes came one by one: the first byte too many decides which error it is.

        Args:
            block: the lines so far, without the blank line.
            line: where its last known line starts; all lines before have been checked.
            searched: how far its line ends are known.

        Returns:
            Where its last line starts.
        """
        while (end := block.find(b"\n", searched)) >= 0 and end - line <= self._max_line:
            line = searched = end + 1
        if end < 0:
            end = len(block)
        if end - line > self._max_line and line + self._max_line <= self._max_frame:
            raise LineTooLong("max_line_bytes", self._max_line)
        if len(block) - block.endswith(b"\n") > self._max_frame:
            raise FrameTooLarge("max_frame_bytes", self._max_frame)
        return line

    def expect(self, name: bytes | None, end: bytes = b"") -> None:
        """Look for events of this name first, and for payloads that end like this.

        What is expected makes the search cheaper and changes nothing else: payloads that are as expected `split`
        returns without that end, any other whole.
        """
        if name == self._name and end == self._end:
            return
        self._name = name
        self._end = end
        self._opening = b"data: " if name is None else b"event: " + name + b"\ndata: "
        self._closing = end + b"\n\n"

    def _runs(self, body: bytes) -> list[Run] | None:
        """Take regular blocks apart; None when one of them is not regular.

        The events of a stream are mostly like the one before, so one split at what is expected between two of them
        finds most without looking at each line. (What is searched for stays short: Python is slow at finding long
        strings.) A line feed anywhere else gives away a block that is not regular.
        """
        opening, closing = self._opening, self._closing
        if body.startswith(opening) and body.endswith(closing):
            pieces = body[len(opening) : -len(closing)].split(closing + opening)
            if len(opening) + len(closing) <= len(body) and not _any_lf(pieces):
                return [(self._name, pieces, self._end)]
        if len(body) > _LARGE and body.count(b"\n") * _LONG > len(body):
            return None
        lines = body.split(b"\n")
        lines.pop()  # what follows the last line end: nothing
        if len(lines) % 3 == 0 and not any(lines[2::3]):
            return _grouped(lines[::3], lines[1::3])
        if len(lines) % 2 == 0 and not any(lines[1::2]):
            return _grouped(repeat(None), lines[::2])
        return None

    def _frames(self, body: bytes) -> list[Frame]:
        """Interpret complete lines by the standard, one by one."""
        frames: list[Frame] = []
        name, event_id = b"", self.last_event_id
        data: bytes | bytearray | None = None
        for line in BytesIO(body):  # not split(): many short lines must not become a list that is larger than they are
            if line == b"\n":
                self.last_event_id = event_id
                if data is not None:
                    frames.append(make_frame(name, bytes(data), event_id))
                name, data = b"", None
                continue
            field, _, value = line[:-1].partition(b":")
            value = value.removeprefix(b" ")
            if field == b"data":
                if data is None:
                    data = value
                    continue
                if isinstance(data, bytes):  # a second line: from here on appending must not copy what is there
                    data = bytearray(data)
                data += b"\n" + value
            elif field == b"event":
                name = value
            elif field == b"id":
                if b"\0" not in value:
                    event_id = value.decode("utf-8", "replace")
            elif field == b"retry" and value.isdigit():  # ASCII digits only, since these are bytes
                # Eleven digits are beyond the maximum already; int() refuses some thousands of them.
                self.retry_ms = min(int(value.lstrip(b"0")[:11] or b"0"), _MAX_RETRY_MS)
        return frames

    def _forget_pending(self) -> None:
        self._pending.clear()
        self._line_start = self._searched = 0


def _any_lf(pieces: list[bytes]) -> bool:
    for piece in pieces:  # noqa: SIM110 - a generator costs more than the loop
        if _LF in piece:
            return True
    return False


def _grouped(names: Iterable[bytes | None], lines: list[bytes]) -> list[Run] | None:
    """The runs of events that are an `event` line (or none) and a `data` line each; None if a line is another one."""
    runs: list[Run] = []
    payloads: list[bytes] = []
    last: bytes | None = None
    for name, line in zip(names, lines, strict=False):
        payload = line.removeprefix(b"data: ")
        if payload is line:
            return None
        if name != last or not runs:
            if name is not None and not name.startswith(b"event: "):
                return None
            last, payloads = name, []
            runs.append((None if name is None else name[7:], payloads, b""))
        payloads.append(payload)
    return runs


def make_frame(name: bytes | None, payload: bytes, event_id: str) -> Frame:
    """Return the frame of one event of a run."""
    return Frame(name.decode("utf-8", "replace") if name else "message", payload, event_id)
