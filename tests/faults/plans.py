"""The faults: what a server, or the net before it, does to a run's stream.

A fault makes a plan out of chance and the stream: what the first connections bring, what the first questions for a
result are answered with, and how many attempts to connect find nobody. Everything after that is fine.
"""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from streamproc.testing.server import (
    Action,
    Cut,
    Response,
    Send,
    Wait,
    corrupted,
    cut_at,
    reset_at,
    slices,
    stall_at,
)

__all__ = ["ABILITIES", "FAULTS", "IDLE_TIMEOUT_S", "Ability", "Fault", "Plan"]

Ability: TypeAlias = Literal["resume", "restart", "resync", "none"]
ABILITIES: Final[tuple[Ability, ...]] = ("resume", "restart", "resync", "none")
"""GET with event ids · GET without · POST, whose result can be asked for · POST alone."""

IDLE_TIMEOUT_S: Final = 0.4

_FRAMINGS: Final[tuple[Literal["chunked", "length", "close"], ...]] = ("chunked", "length", "close")

Make: TypeAlias = Callable[[bytes], Response]
"""A connection: what the request asks for -> the answer."""


class Plan(Struct, frozen=True, kw_only=True):
    """One fault, in every detail."""

    connections: Sequence[Make] = ()
    resyncs: Sequence[Response] = ()
    refused: frozenset[int] = frozenset()  # numbers of the attempts to connect, from 0, that find nobody
    lossy: bool = True  # whether a client that cannot ask again loses something
    final: bool = False  # whether the answer to whoever asks again forbids any further attempt
    run_is_known: bool = True  # whether the client knows by then which run it is about
    damaged: bytes | None = None  # the stream as it is sent, when that is not the run's
    takes_s: float = 0.0  # the waits of the script, and those for a silent server

    def outcome(self, ability: Ability) -> str:
        """What must become of it; with damaged bytes anything that is told, or cannot be."""
        if not self.lossy:
            return "equal"
        can_go_on = ability in ("resume", "restart") or (ability == "resync" and self.run_is_known)
        return "equal" if can_go_on and not self.final else "truncated"


Fault: TypeAlias = Callable[[Random, Sequence[bytes]], Plan]


def _place(random: Random, blocks: Sequence[bytes]) -> int:
    """Where a stream breaks: at any byte before its run has ended."""
    return random.randrange(len(b"".join(blocks[:-1])))


def _broken(
    random: Random, blocks: Sequence[bytes], actions: Callable[[bytes, int], list[Action]]
) -> tuple[Make, bool]:
    """A connection that breaks by chance, and whether the run is known by then."""
    at = _place(random, blocks)
    size = sum(map(len, blocks))
    framing = random.choice(_FRAMINGS)

    def make(data: bytes) -> Response:
        # who resumes asks for less, so the place is a share of what is asked for
        return Response(actions(data, at * len(data) // size), framing=framing)

    return make, at >= len(blocks[0])


def _breaking(
    random: Random, blocks: Sequence[bytes], actions: Callable[[bytes, int], list[Action]], maximum: int
) -> tuple[list[Make], bool]:
    """Up to so many broken connections, and whether the run is known after the first."""
    broken = [_broken(random, blocks, actions) for _ in range(random.randint(1, maximum))]
    return [make for make, _ in broken], broken[0][1]


def cut(random: Random, blocks: Sequence[bytes]) -> Plan:
    """The connection ends (FIN), up to three times."""
    connections, known = _breaking(random, blocks, cut_at, 3)
    return Plan(connections=connections, run_is_known=known)


def reset(random: Random, blocks: Sequence[bytes]) -> Plan:
    """The connection is torn down (RST), up to three times."""
    connections, known = _breaking(random, blocks, reset_at, 3)
    return Plan(connections=connections, run_is_known=known, takes_s=0.1)


def stall(random: Random, blocks: Sequence[bytes]) -> Plan:
    """The server falls silent, once or twice, while the connection stands."""
    connections, known = _breaking(random, blocks, stall_at, 2)
    return Plan(connections=connections, run_is_known=known, takes_s=IDLE_TIMEOUT_S * len(connections))


def framing(random: Random, blocks: Sequence[bytes]) -> Plan:
    """The chunks of the transfer coding are broken off within, between, or by something that is no chunk."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    at = _place(random, blocks)
    how = random.randrange(3)

    def make(data: bytes) -> Response:
        begun = data[: min(at, len(data) - 1)]
        chunk = b"%x\r\n%b\r\n" % (len(begun), begun) if begun else b""
        end = (b"", b"zz\r\n", b"%x\r\n%b" % (len(data), data[len(begun) : len(begun) + 1]))[how]
        return Response([Send(head + chunk), Wait(0.02), Send(end), Cut()], status=None)

    # the byte after `at` comes too when the last chunk is cut within
    return Plan(connections=[make], run_is_known=at >= len(blocks[0]) - (how == 2), takes_s=0.02)


def end_missing(random: Random, blocks: Sequence[bytes]) -> Plan:
    """The answer is complete as HTTP, and lacks the last events: `done`, or the run's end, or more."""
    missing = random.randint(1, 6)

    def make(data: bytes) -> Response:
        lost = sum(map(len, blocks[-missing:]))
        return Response(data[:-lost])

    return Plan(connections=[make], lossy=missing > 1)


def small_slices(random: Random, blocks: Sequence[bytes]) -> Plan:
    """Slow slices of any size, down to single bytes."""
    size = random.choice((40, 200, 1000))
    wait_s = 0.001
    count = len(b"".join(blocks)) / (size / 2)
    return Plan(
        connections=[lambda data: Response(slices(data, size, wait_s, random))],
        lossy=False,
        takes_s=count * (wait_s + 0.003),
    )


def pauses(random: Random, blocks: Sequence[bytes]) -> Plan:
    """Silence just shorter than the idle timeout, and a longer one in which comments are the only sign of life."""
    short_s = IDLE_TIMEOUT_S * 0.6
    at = random.randrange(len(blocks))

    def make(data: bytes) -> Response:
        start = sum(map(len, blocks[:at]))
        comments: list[Action] = [Send(b": still here\n\n"), Wait(short_s)] * 2
        return Response([Send(data[:start]), Wait(short_s), *comments, Send(data[start:])])

    return Plan(connections=[make], lossy=False, takes_s=3 * short_s)


def duplicate(random: Random, blocks: Sequence[bytes]) -> Plan:
    """Some events come twice in a row."""
    start = random.randrange(len(blocks))
    end = random.randint(start + 1, min(start + 12, len(blocks)))
    stream = b"".join([*blocks[:end], *blocks[start:]])
    return Plan(connections=[lambda _: Response(slices(stream, 700, 0, random))], lossy=False, damaged=stream)


def corrupt(random: Random, blocks: Sequence[bytes]) -> Plan:
    """One bit is turned over."""
    stream = b"".join(blocks)
    stream = corrupted(stream, random.randrange(len(stream)), 1 << random.randrange(8))
    return Plan(connections=[lambda _: Response(slices(stream, 700, 0, random))], lossy=False, damaged=stream)


def unavailable(random: Random, blocks: Sequence[bytes]) -> Plan:
    """The connection ends; who asks again gets 503 with Retry-After first."""
    connection, known = _broken(random, blocks, cut_at)
    answer = Response(b"", 503, {"Retry-After": "1"}, None, "length")
    return Plan(connections=[connection, lambda _: answer], resyncs=[answer], run_is_known=known, takes_s=0.2)


def wrong_mime(random: Random, blocks: Sequence[bytes]) -> Plan:
    """The connection ends; who asks again gets a page of HTML."""
    connection, known = _broken(random, blocks, cut_at)
    answer = Response(b"<html>Sign in</html>", 200, {}, "text/html", "length")
    return Plan(connections=[connection, lambda _: answer], resyncs=[answer], run_is_known=known, final=True)


def unreachable(random: Random, blocks: Sequence[bytes]) -> Plan:
    """The connection ends; who asks again finds nobody listening, once or twice."""
    connection, known = _broken(random, blocks, cut_at)
    return Plan(connections=[connection], refused=frozenset(range(1, random.randint(2, 3))), run_is_known=known)


def refused(random: Random, blocks: Sequence[bytes]) -> Plan:
    """Nobody listens at first. Nothing has been asked then, so that a POST can be sent again too."""
    return Plan(refused=frozenset(range(random.randint(1, 3))), lossy=False)


def busy(random: Random, blocks: Sequence[bytes]) -> Plan:
    """429 with Retry-After first: the server has done nothing yet."""
    answer = Response(b"", 429, {"Retry-After": "1"}, None, "length")
    count = random.randint(1, 2)
    return Plan(connections=[lambda _: answer] * count, lossy=False, takes_s=0.2 * count)


def server_error(random: Random, blocks: Sequence[bytes]) -> Plan:
    """5xx first: the server may have done something, so that only a GET is sent again."""
    count = random.randint(1, 2)
    status = random.choice((500, 502, 504))
    return Plan(connections=[lambda _: Response(b"", status, {}, None, "length")] * count, run_is_known=False)


FAULTS: Final[Mapping[str, Fault]] = {
    "cut": cut,
    "reset": reset,
    "stall": stall,
    "broken chunks": framing,
    "end missing": end_missing,
    "503 on reconnect": unavailable,
    "refused on reconnect": unreachable,
    "HTML on reconnect": wrong_mime,
    "refused first": refused,
    "429 first": busy,
    "5xx first": server_error,
    "slow slices": small_slices,
    "pauses": pauses,
    "duplicate": duplicate,
    "corrupt": corrupt,
}
