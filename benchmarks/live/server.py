"""The far side of the live rows: a process that sends many streams at a given pace, one event a write.

    python -m benchmarks.live.server        # prints its port on 127.0.0.1; ends with its standard input

A plan comes as JSON on a connection of its own. Then as many streams are accepted as it says, each answered with the
events that open its message. Once all of them are there, `go` is written to the first connection, the deltas are sent
in turns to all streams, `end` is written, and whatever comes back lets all streams end.
"""

import os
import socket
import sys
import threading
import time
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import msgspec
from msgspec import Struct

from benchmarks.writer import Writer

__all__ = ["Conversation", "Plan", "allow_sockets", "conversations"]

_HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
)
_FIRST: Final = 3  # deltas that belong to the opening: of hundreds, the first ones go another way through the core
_QUIET_S: Final = 0.2  # after the last stream was opened, and before the clock starts
_STEP_S: Final = 0.0005  # no wait is shorter; what is due by then is sent together, to one stream after the other


class Plan(Struct, frozen=True):
    """What to send."""

    sockets: int
    events: int  # deltas for each of them
    rate: float  # deltas a second, all sockets together
    stamped: bool = False  # each delta's text is @ and the time when it was sent, by `time.monotonic`

    @property
    def seconds(self) -> float:
        """How long that takes."""
        return self.sockets * self.events / self.rate


class Conversation(NamedTuple):
    """One stream: a run that writes one message."""

    opening: bytes
    deltas: Sequence[bytes]
    ending: bytes
    message_id: str
    text: str


@lru_cache(maxsize=2)
def conversations(sockets: int, events: int) -> tuple[Conversation, ...]:
    """The streams of a plan, the same in both processes."""
    return tuple(_conversation(seed, events) for seed in range(sockets))


def allow_sockets() -> None:
    """Let this process have as many files as it may."""
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _conversation(seed: int, events: int) -> Conversation:
    writer = Writer("live", seed)
    writer.message_step(_FIRST + events)
    made = writer.finish()
    start = next(number for number, block in enumerate(made.blocks) if block.startswith(b"event: thread.message.delta"))
    start += _FIRST
    ((message_id, (text,)),) = made.texts.items()
    opening, deltas, ending = made.blocks[:start], made.blocks[start : start + events], made.blocks[start + events :]
    return Conversation(b"".join(opening), deltas, b"".join(ending), message_id, text)


def _main() -> None:
    allow_sockets()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listening:
        print(listening.getsockname()[1], flush=True)
        while True:
            control, _ = listening.accept()
            with control:
                try:
                    _serve(listening, control)
                except (ConnectionError, TimeoutError) as error:  # the client gave up; the next one may not
                    print(f"live.server: {type(error).__name__}", file=sys.stderr)


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def _serve(listening: socket.socket, control: socket.socket) -> None:
    plan = msgspec.json.decode(control.recv(4096), type=Plan)
    talks = conversations(plan.sockets, plan.events)
    control.sendall(b"ready\n")
    control.settimeout(60.0)
    streams: list[socket.socket] = []
    try:
        for talk in talks:
            stream, _ = listening.accept()
            streams.append(stream)
            stream.settimeout(20.0)
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _read_request(stream)
            stream.sendall(_HEAD + _chunk(talk.opening))
        time.sleep(_QUIET_S)
        control.sendall(b"go\n")
        _send(plan, streams, talks)
        control.sendall(b"end\n")
        control.recv(100)
        for stream, talk in zip(streams, talks, strict=True):
            stream.sendall(_chunk(talk.ending) + b"0\r\n\r\n")
    finally:
        for stream in streams:
            stream.close()


def _send(plan: Plan, streams: Sequence[socket.socket], talks: Sequence[Conversation]) -> None:
    """Send all deltas, each when it is due."""
    ready = [] if plan.stamped else [[_chunk(delta) for delta in talk.deltas] for talk in talks]
    around = [_around(talk.deltas[1]) for talk in talks]
    start_s = time.monotonic()
    for number in range(plan.events * plan.sockets):
        turn, at = divmod(number, plan.sockets)
        due_s = start_s + number / plan.rate
        if due_s > (now_s := time.monotonic()):
            time.sleep(max(_STEP_S, due_s - now_s))
        if plan.stamped:
            before, after = around[at]
            streams[at].sendall(_chunk(b"%b@%.6f%b" % (before, time.monotonic(), after)))
        else:
            streams[at].sendall(ready[at][turn])


def _around(delta: bytes) -> tuple[bytes, bytes]:
    """What is before and after the text of a delta."""
    before, mark, rest = delta.partition(b'"value":"')
    return before + mark, rest[rest.rindex(b'"') :]


def _read_request(stream: socket.socket) -> None:
    """Read a request, with its body if it has one."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = stream.recv(65536)
        if not more:
            raise ConnectionError
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name == b"content-length":
            missing = int(value) - len(body)
            while missing > 0:
                missing -= len(stream.recv(missing))


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


if __name__ == "__main__":
    _main()
