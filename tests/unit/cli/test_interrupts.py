"""An interrupt is held until input is waited for; signals are real ones, sent to the process of the tests."""

import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest

from streamproc.cli.interrupts import interrupts_held
from streamproc.errors import ConfigError


@pytest.fixture(autouse=True)
def _as_in_the_foreground() -> Iterator[None]:
    """Tests that a shell runs in the background have SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def interrupt() -> None:
    signal.raise_signal(signal.SIGINT)


def test_between_two_chunks_it_is_held_until_the_next_one_is_asked_for() -> None:
    """What is done with a chunk is done to its end, and the next chunk is not read."""
    read, done = [], []

    def chunks() -> Iterator[bytes]:
        for chunk in (b"1", b"2"):
            read.append(chunk)
            yield chunk

    def go_through() -> None:
        with interrupts_held() as waiting:
            for chunk in waiting(chunks()):
                interrupt()
                done.append(chunk)

    with pytest.raises(KeyboardInterrupt):
        go_through()

    assert (read, done) == ([b"1"], [b"1"])


def test_before_the_first_chunk_nothing_is_read() -> None:
    """As while a store is opened."""
    with interrupts_held() as waiting:
        interrupt()
        with pytest.raises(KeyboardInterrupt):
            next(waiting(iter(lambda: pytest.fail("read"), b"")))


def test_while_a_chunk_is_waited_for_it_comes_at_once() -> None:
    """Where a read is blocked, that is what ends it."""
    went_on = []

    def chunks() -> Iterator[bytes]:
        interrupt()
        went_on.append(True)
        yield b"1"

    with interrupts_held() as waiting, pytest.raises(KeyboardInterrupt):
        list(waiting(chunks()))

    assert went_on == []


@pytest.mark.parametrize("how", ["read to its end", "given up", "broken"])
def test_after_an_input_it_is_held_again(how: str) -> None:
    """However going through it ended; printing what was merged comes after."""

    def chunks() -> Iterator[bytes]:
        yield b"1"
        if how == "broken":
            raise OSError

    printed = []

    def go_through() -> None:
        with interrupts_held() as waiting:
            through = waiting(chunks())
            with suppress(OSError):
                next(through)
                if how != "given up":
                    next(through, None)
            interrupt()
            printed.append(True)

    with pytest.raises(KeyboardInterrupt):
        go_through()

    assert printed == [True]


def test_it_is_not_raised_twice() -> None:
    """Whoever has caught it may go on, and leave."""
    with interrupts_held() as waiting:
        interrupt()
        with pytest.raises(KeyboardInterrupt):
            list(waiting([]))
        found = list(waiting([b"1"]))

    assert found == [b"1"]


def test_second_one_comes_at_once() -> None:
    """Something is taking too long."""
    with interrupts_held():
        interrupt()
        with pytest.raises(KeyboardInterrupt):
            interrupt()


def test_error_goes_before() -> None:
    """It says more than the interrupt."""

    def fail() -> None:
        with interrupts_held():
            interrupt()
            raise ConfigError("bad")

    with pytest.raises(ConfigError):
        fail()


def test_ignored_stays_ignored() -> None:
    """What a shell runs in the background is not ended by a ^C that is meant for the foreground."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with interrupts_held() as waiting:
        interrupt()
        found = list(waiting([b"1"]))

    assert found == [b"1"]


def test_handler_is_put_back() -> None:
    """Also after an error."""
    found = []
    with suppress(ConfigError), interrupts_held():
        found.append(signal.getsignal(signal.SIGINT))
        raise ConfigError("bad")
    found.append(signal.getsignal(signal.SIGINT))

    assert [handler == signal.default_int_handler for handler in found] == [False, True]
