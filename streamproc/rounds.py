"""Rounds: many lively streams are looked at in turn, instead of waiting for each.

To be woken for a chunk costs more than to process it. While chunks come faster than tasks can usefully be woken for
them, one task looks every two milliseconds at what has come for any stream that takes part, and processes it in a row;
as network drivers stop taking interrupts under load and poll. Sinks are woken no more often than that anyway (see
delivery/fanout.py), so nothing reaches them noticeably later.

A stream takes part while its chunks follow each other closely, if its source lets itself be polled. All others, and
all of them while there is little to do, are read by their own tasks, at once.
"""

from asyncio import Future, get_running_loop
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from anyio import sleep
from anyio.abc import TaskGroup

from streamproc.core.change import Change
from streamproc.core.processor import StreamProcessor
from streamproc.loop_clock import loop_clock

__all__ = ["Rounds"]

_Poll: TypeAlias = Callable[[], bytes | None]
"""See `PolledChunks.poll`."""

_GAP_S: Final = 0.002  # between two rounds
_LIVELY_S: Final = 0.03  # a stream takes part if its last two chunks were no further apart ...
_PATIENCE_S: Final = 0.1  # ... until nothing of it has come for so long
_BULK_BYTES: Final = 8192  # such chunks cost little to be woken for, and must not wait for a round
_WINDOW_S: Final = 0.02  # in which chunks are counted
_BEGIN_HZ: Final = 1000.0  # chunks a second, of all lively streams that are waited for, with which rounds begin
_REVIEW: Final = 32  # rounds after which is looked whether they are worth it
_WORTH: Final = 1  # chunks a round that make them so


class _Member:
    """A stream that takes part."""

    __slots__ = ("heard_s", "poll", "proc", "released")

    def __init__(self, proc: StreamProcessor, poll: _Poll, now_s: float) -> None:
        self.proc = proc
        self.poll = poll
        self.heard_s = now_s
        self.released: Future[None] = get_running_loop().create_future()


class Rounds:
    """The streams of a pipeline that are read in rounds.

    Args:
        group: where the task runs while there is somebody to look at.
        offer: takes the changes of a round, and returns whether there may be no room for more.
        room: returns once there is; nobody is looked at until then.
        time: what changes are stamped with.
    """

    def __init__(
        self,
        group: TaskGroup,
        *,
        offer: Callable[[list[Change]], bool],
        room: Callable[[], Awaitable[None]],
        time: Callable[[], str],
    ) -> None:
        self._group = group
        self._offer = offer
        self._room = room
        self._time = time
        self._clock = loop_clock()
        self._members: dict[_Member, None] = {}
        self._is_running = self._is_closed = False
        self._number = 0  # of the round, since they began
        self._found = 0  # chunks since the last review
        self._is_busy = False  # so many chunks come that rounds are worth it
        self._counted = 0  # chunks in this window
        self._since_s = self._clock()

    def are_worth(self, chunk: bytes, before_s: float, now_s: float) -> bool:
        """Whether a stream should take part whose chunk came now, and the one before it then; asked for each chunk."""
        if now_s - before_s > _LIVELY_S or len(chunk) >= _BULK_BYTES:
            return False
        self._counted += 1
        if now_s - self._since_s >= _WINDOW_S:
            self._is_busy = self._counted >= _BEGIN_HZ * (now_s - self._since_s)
            self._counted, self._since_s = 0, now_s
        return (self._is_running or self._is_busy) and not self._is_closed

    async def follow(self, proc: StreamProcessor, poll: _Poll) -> float:
        """Let a stream take part for as long as it is lively; returns when it was last heard of.

        Raises:
            Exception: what processing or `poll` raised.
        """
        member = _Member(proc, poll, self._clock())
        self._members[member] = None
        if not self._is_running:
            self._is_running = True
            self._number = self._found = 0
            self._group.start_soon(self._run)
        try:
            await member.released
        finally:
            self._members.pop(member, None)
        return member.heard_s

    def close(self) -> None:
        """Give all streams back to their own tasks, for good."""
        self._is_closed = True
        self._disband()

    async def _run(self) -> None:
        try:
            while self._members:
                await sleep(_GAP_S)
                if self._look():
                    await self._room()
        finally:
            self._is_running = False
            self._disband()  # if this was cancelled

    def _look(self) -> bool:
        """Process what has come for anybody; returns whether there may be no room for more."""
        self._number += 1
        changes: list[Change] = []
        now_s, at = self._clock(), self._time()
        longest_ago_s = now_s - _PATIENCE_S
        for member in tuple(self._members):
            try:
                chunk = member.poll()
                if chunk:
                    member.proc.stamp(at)
                    changes += member.proc.feed(chunk)
            except Exception as error:  # its reader's to deal with; the others go on
                self._release(member, error)
                continue
            if chunk:
                member.heard_s = now_s
                self._found += 1
                if member.proc.is_done or len(chunk) >= _BULK_BYTES:
                    self._release(member)
            elif chunk is None or member.heard_s < longest_ago_s:
                self._release(member)
        if self._number % _REVIEW == 0:
            if self._found < _REVIEW * _WORTH:
                self._disband()
            self._found = 0
        return bool(changes) and self._offer(changes)

    def _release(self, member: _Member, error: Exception | None = None) -> None:
        del self._members[member]
        if member.released.done():  # its task was cancelled
            return
        if error is None:
            member.released.set_result(None)
        else:
            member.released.set_exception(error)

    def _disband(self) -> None:
        """Give all streams back; rounds begin again when many chunks are counted in a new window."""
        self._is_busy = False
        self._counted, self._since_s = 0, self._clock()
        for member in tuple(self._members):
            self._release(member)
