"""How an input begins."""

from collections.abc import Iterator

import pytest

from streamproc.cli.opening import Opening, look_ahead
from streamproc.errors import FrameTooLarge
from tests.streams import done, error, run, sse, step, thread


def test_input_is_given_whole() -> None:
    """What was looked at is not lost, and what is behind it was not read."""
    read: list[int] = []

    def chunks() -> Iterator[bytes]:
        for number, chunk in enumerate([b": x\n\n", sse(run()), sse(step()), sse(done())]):
            read.append(number)
            yield chunk

    opening = look_ahead(chunks(), "assistants")

    assert read == [0, 1]
    assert opening.size == len(b": x\n\n" + sse(run()))
    assert b"".join(opening.chunks) == b": x\n\n" + sse(run(), step(), done())
    assert read == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("data", "first", "begins_run"),
    [
        (sse(run("created"), step()), "thread.run.created", True),
        (sse(thread(), step()), "thread.run.step.created", True),
        (sse(run("created")).replace(b"{", b"["), None, True),
        (sse(step("completed"), run("created")), "thread.run.step.completed", False),
        (sse(error("gone"), run("queued")), "thread.run.queued", False),
        (sse(done()), None, False),
    ],
)
def test_first_event_that_tells(data: bytes, first: str | None, begins_run: bool) -> None:
    """Of a run, a step or a message; what comes before it may only show that a run begins."""
    opening = look_ahead([data], "assistants")

    assert opening.has_events
    assert (opening.first and opening.first.name) == first
    assert opening.begins_run == begins_run


def test_little_is_parsed_of_a_long_chunk() -> None:
    """Damage behind the first event is not met."""
    opening = look_ahead([sse(run()) + b"\n" * 5000 + b"data: x" * 3_000_000], "assistants")

    assert opening.first is not None
    assert opening.limit is None


def test_other_formats_are_not_read_to_their_end() -> None:
    """The first chunk shows what it is."""
    chunks = iter([b"\x7fELF\0", b"more", b"and more"])
    opening = look_ahead(chunks, "assistants")

    assert not opening.has_events
    assert next(chunks) == b"more"


@pytest.mark.slow
def test_undecided_input_is_held_up_to_a_limit() -> None:
    """Comments without end are no reason to fill the memory."""
    chunks = iter([b": " + b"x" * 1_000_000 + b"\n\n"] * 100)
    opening = look_ahead(chunks, "assistants")

    assert opening.size < 40_000_000
    assert not opening.has_events
    assert len(list(chunks)) > 50


@pytest.mark.slow
def test_limit_in_the_first_event_is_kept() -> None:
    """It is told later, in words."""
    opening = look_ahead([b"data: x\n" * 1_000_000] * 5, "assistants")

    assert isinstance(opening.limit, FrameTooLarge)


def test_no_input() -> None:
    """Nothing was seen, nothing is there."""
    opening = look_ahead([], "assistants")

    assert (opening.head, opening.has_events, list(opening.chunks)) == (b"", False, [])
    assert Opening(iter(())).first is None
