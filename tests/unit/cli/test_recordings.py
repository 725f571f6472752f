"""Inputs that hold no event, and streams that lost their blank lines."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc.cli.recordings import has_fields, lost_blank_lines, restore_blank_lines, why_no_stream
from tests.streams import done, run, sse, step

WHOLE = sse(run("created"), step(), run("completed"), done())


def damaged(end: str = "\n") -> bytes:
    """The stream as it is stored without blank lines."""
    lines = [line for line in WHOLE.decode().split("\n") if line]
    return "".join(line + end for line in lines).encode()


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    bounds = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[start:end] for start, end in pairwise(bounds)]


def test_blank_lines_come_back() -> None:
    """All events are finished again but the last one, which nothing shows to be whole."""
    assert b"".join(restore_blank_lines([damaged()])) == WHOLE.removesuffix(b"\n")


@given(st.lists(st.integers(0, 10_000), max_size=20), st.sampled_from(["\n", "\r", "\r\n"]))
def test_chunks_make_no_difference(cuts: list[int], end: str) -> None:
    """Neither for finding the damage nor for its repair, with any line end."""
    data = damaged(end)

    assert b"".join(restore_blank_lines(pieces(data, cuts))) == b"".join(restore_blank_lines([data]))
    assert lost_blank_lines(pieces(data, cuts))


def test_line_end_may_be_cut_in_two() -> None:
    """CR in one chunk and LF in the next are one line end."""
    cut = [b"event: a\r", b"\ndata: 1\r", b"\nevent: b\r", b"\ndata: 2\r\n"]

    assert b"".join(restore_blank_lines(cut)) == b"event: a\r\ndata: 1\r\n\nevent: b\r\ndata: 2\r\n"


@pytest.mark.parametrize(
    ("data", "is_damaged"),
    [
        (damaged(), True),
        (damaged("\r\n"), True),
        (b"event: a\ndata: 1\nevent: b\ndata: 2", True),
        (b"event: a\ndata: 1\n", False),
        (b"event: a\ndata: 1\nevent: b\n", False),
        (b"data: 1\ndata: 2\ndata: 3\n", False),
        (b'data: {"a":1}\ndata: {"b":2}\n', True),
        (b'data: {"a":1}\r\ndata:{"b":2}', True),
        (b'data: {"a":1}\ndata: [DONE]\n', True),
        (b'data: {"a":\ndata: 1}\n', False),
        (b'data: {"a":1}\nid: 7\n', False),
        (b"event: a\n: comment\ndata: 1\nevent: b\ndata: 2\n", False),
        (b"", False),
    ],
)
def test_damage_is_two_events_in_a_row(data: bytes, is_damaged: bool) -> None:
    """A name and its data, twice; a single event, or data alone, may be a stream that was cut."""
    assert lost_blank_lines([data]) == is_damaged


def test_objects_without_names_are_events_of_their_own() -> None:
    """Chunks of a chat have no `event:` line between them."""
    lines = b'data: {"a":1}\ndata: {"b":2}\ndata: [DONE]\n'

    assert b"".join(restore_blank_lines([lines])) == b'data: {"a":1}\n\ndata: {"b":2}\n\ndata: [DONE]\n'


def test_event_of_several_data_lines_stays_one() -> None:
    """A blank line goes before names only."""
    lines = b"event: a\ndata: 1\ndata: 2\nid: 7\nevent: b\ndata: 3\n"

    assert b"".join(restore_blank_lines([lines])) == lines
    assert b"".join(restore_blank_lines([lines.replace(b"id: 7\n", b"")])) == (
        b"event: a\ndata: 1\ndata: 2\n\nevent: b\ndata: 3\n"
    )


@pytest.mark.parametrize(
    ("head", "word"),
    [
        (b"\x1f\x8b\x08", "gzip"),
        (b"\xff\xfee\0", "UTF-16"),
        (b"\xfe\xff\0e", "UTF-16"),
        (b"PK\x03\x04\0", "binary"),
        (b"<!DOCTYPE html>", "an HTML page"),
        (b"\xef\xbb\xbf  <HTML>", "an HTML page"),
        (b"<Error><Code>AccessDenied</Code></Error>", "markup"),
        (b' {"error": {}}', "JSON"),
        (b'[{"event": "x"}]', "JSON"),
    ],
)
def test_other_formats_are_recognised(head: bytes, word: str) -> None:
    """By their first bytes."""
    assert word in (why_no_stream(head) or "")


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"hello",
        b": comment\n\n",
        WHOLE,
        b"data: \0\n\n",
        b"\xef\xbb\xbfdata: 1\n\n",
        b"<html>\rdata: 1\r\r",
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\nevent: x\r\n",
    ],
)
def test_what_may_be_a_stream_is_left_alone(head: bytes) -> None:
    """One line of an event is enough, whatever is around it."""
    assert why_no_stream(head) is None


def test_fields_are_at_the_start_of_a_line() -> None:
    """Within a line they are text."""
    assert has_fields(b"event: x")
    assert not has_fields(b"an event: x, some data: y")
