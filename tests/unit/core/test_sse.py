"""The framing of server-sent events, one odd input at a time; then the limits and errors that it uses."""

import pickle
import tracemalloc

import pytest

from streamproc import errors
from streamproc.core.limits import Limits
from streamproc.core.sse import Frame, SSEParser
from streamproc.errors import FrameTooLarge, LimitExceeded, LineTooLong

BOM = b"\xef\xbb\xbf"


def parse(*chunks: bytes) -> list[tuple[str, bytes]]:
    """Event types and data of all frames."""
    parser = SSEParser()
    return [(frame.event, frame.data) for chunk in chunks for frame in parser.feed(chunk)]


def small(line: int, frame: int) -> SSEParser:
    return SSEParser(Limits(max_line_bytes=line, max_frame_bytes=frame))


# --- lines ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_each_kind_of_line_end(end: bytes) -> None:
    """LF, CR and CRLF end a line and, doubled, an event."""
    actual = parse(b"event: a" + end + b"data: 1" + end + end + b"data: 2" + end + end)

    assert actual == [("a", b"1"), ("message", b"2")]


def test_crlf_split_across_chunks() -> None:
    """A CRLF in two chunks is one line end."""
    assert parse(b"data: A\r", b"\ndata: B\r", b"\n", b"\r", b"\n") == [("message", b"A\nB")]


def test_empty_chunk_between_cr_and_lf() -> None:
    """An empty chunk does not make the parser forget the CR."""
    assert parse(b"data:a\r", b"", b"\ndata:b\n\n") == [("message", b"a\nb")]


def test_event_ended_by_cr_is_not_held_back() -> None:
    """A blank line that ends in CR dispatches at once; the LF after it is no further line."""
    parser = SSEParser()

    assert parser.feed(b"data: x\r\r") == [Frame("message", b"x", "")]
    assert parser.feed(b"\n") == []
    assert parser.feed(b"data: y\n\r") == [Frame("message", b"y", "")]


def test_only_cr_and_lf_end_a_line() -> None:
    """What Python calls a line boundary in text is data here."""
    data = "a\v\f\x1c\x1d\x1e\x85\u2028\u2029b".encode()

    assert [("message", data)] == parse(b"data: " + data + b"\n\n")


def test_blank_lines_before_between_and_after_events() -> None:
    """Blank lines without fields do nothing, wherever the chunks end."""
    data = b"\n\n\ndata: 1\n\n\n\n\ndata: 2\n\n\n"
    expected = [("message", b"1"), ("message", b"2")]

    assert parse(data) == expected
    assert parse(*(bytes([byte]) for byte in data)) == expected
    assert parse(b"\n", data, b"\n") == expected


def test_blank_line_split_across_chunks() -> None:
    """The two LF of a blank line may come in two chunks, with the next event in the second."""
    assert parse(b"data: 1\n", b"\ndata: 2\n", b"\n") == [("message", b"1"), ("message", b"2")]


def test_chunk_starting_with_lf_in_the_middle_of_a_line() -> None:
    """An LF that ends a pending line is not a blank line."""
    assert parse(b"data: 1", b"\ndata: 2\n\n") == [("message", b"1\n2")]


# --- byte order mark --------------------------------------------------------------------------------------------------


def test_bom_is_stripped_once() -> None:
    """The second mark belongs to the name of the field, which is unknown then."""
    assert parse(BOM + b"data: 1\n\n") == [("message", b"1")]
    assert parse(BOM + BOM + b"data: 1\n\ndata: 2\n\n") == [("message", b"2")]


def test_bom_split_across_chunks() -> None:
    """A mark that comes byte by byte is still one."""
    assert parse(b"", b"\xef", b"", b"\xbb", b"\xbfdata: 1\n\n") == [("message", b"1")]


def test_partial_bom_is_data() -> None:
    """Two bytes of a mark are a strange field name and, at the end, a cut stream."""
    assert parse(b"\xef\xbb", b"data: 1\n\ndata: 2\n\n") == [("message", b"2")]
    parser = SSEParser()
    parser.feed(b"\xef\xbb")

    assert parser.close()


def test_bom_later_in_the_stream_is_data() -> None:
    """Only the start of the stream may have one."""
    assert parse(b"data: " + BOM + b"\n\n", BOM + b"data: 1\n\n") == [("message", BOM)]


# --- fields -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (b"data", b""),
        (b"data:", b""),
        (b"data: ", b""),
        (b"data:x", b"x"),
        (b"data:  x", b" x"),
        (b"data:\tx", b"\tx"),
        (b"data:\xc2\xa0x", b"\xc2\xa0x"),
        (b"data: x  ", b"x  "),
        (b"data: a: b", b"a: b"),
        (b"data\ndata", b"\n"),
        (b"data: 1\ndata\ndata: 3", b"1\n\n3"),
        (b"data: \0", b"\0"),
    ],
)
def test_data(block: bytes, expected: bytes) -> None:
    """The value starts after the first colon and one space; lines are joined by LF."""
    assert [("message", expected)] == parse(block + b"\n\n")


@pytest.mark.parametrize("line", [b"Data: x", b" data: x", b"da-ta: x", b"data_: x", b"data\0: x", b"x", b":", b": x"])
def test_unknown_fields_and_comments_are_ignored(line: bytes) -> None:
    """Field names are compared exactly."""
    assert parse(line + b"\n\n") == []
    assert parse(b"data: 1\n" + line + b"\nevent: a\ndata: 2\n\n") == [("a", b"1\n2")]


@pytest.mark.parametrize("line", [b"event", b"event:", b"event: "])
def test_empty_event_type_is_message(line: bytes) -> None:
    """No type and an empty one are the same; of several the last counts."""
    assert parse(line + b"\ndata: 1\n\n") == [("message", b"1")]
    assert parse(b"event: a\n" + line + b"\ndata: 1\n\n") == [("message", b"1")]


def test_block_without_data_is_no_event() -> None:
    """Its event type does not leak into the next block."""
    assert parse(b"event: ping\n\n", b"data: 1\n\n") == [("message", b"1")]


def test_bad_utf8_becomes_replacement_characters() -> None:
    """In text, event type and id; the data stay what they were."""
    (frame,) = SSEParser().feed(b"id: \xff\nevent: \xc0\xaf\ndata: a\xed\xa0\x80\n\n")

    assert frame == Frame("\ufffd\ufffd", b"a\xed\xa0\x80", "\ufffd")
    assert frame.text == "a\ufffd\ufffd\ufffd"


def test_character_split_across_chunks() -> None:
    """Chunks need not end on a character."""
    assert parse(b"data: \xe2", b"\x80", b"\xa6\n\n") == [("message", "…".encode())]


def test_str_is_refused() -> None:
    """Text has lost its line ends and marks already; the parser wants the bytes."""
    with pytest.raises(TypeError):
        SSEParser().feed("data: 1\n\n")  # type: ignore[arg-type]


# --- id and retry -----------------------------------------------------------------------------------------------------


def test_id_persists_until_replaced() -> None:
    """Frames carry the last event id, also when an earlier event or a block without data set it."""
    parser = SSEParser()
    frames = parser.feed(b"id: 1\ndata: a\n\ndata: b\n\nid:  2\n\n")
    frames += parser.feed(b"data: c\n\nid\ndata: d\n\n")

    assert [frame.id for frame in frames] == ["1", "1", " 2", ""]
    assert parser.last_event_id == ""


@pytest.mark.parametrize("value", [b"\0", b"x\0", b"\0x"])
def test_id_with_nul_is_ignored(value: bytes) -> None:
    """The former id stays."""
    parser = SSEParser()
    parser.feed(b"id: 7\n\nid: " + value + b"\ndata: x\n\n")

    assert parser.last_event_id == "7"


def test_id_of_an_incomplete_block_is_not_taken() -> None:
    """A client that reconnects must ask for that block again."""
    parser = SSEParser()
    parser.feed(b"id: 1\ndata: a\n\nid: 2\ndata: b\n")

    assert parser.close()
    assert parser.last_event_id == "1"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"5000", 5000),
        (b"03000", 3000),
        (b"0", 0),
        (b"000", 0),
        (b"2147483647", 2**31 - 1),
        (b"2147483648", 2**31 - 1),
        (b"10000000000", 2**31 - 1),
        (b"9" * 5000, 2**31 - 1),
        (b"0" * 5000 + b"7", 7),
        (b"", None),
        (b" 5", None),
        (b"+5", None),
        (b"-1", None),
        (b"1_000", None),
        (b"1e3", None),
        (b"3.5", None),
        ("١٢".encode(), None),
        (b"12\0", None),
    ],
)
def test_retry(value: bytes, expected: int | None) -> None:
    """Only ASCII digits count; numbers beyond any timer become the largest one."""
    parser = SSEParser()
    parser.feed(b"retry: " + value + b"\n\n")

    assert parser.retry_ms == expected


def test_retry_without_blank_line() -> None:
    """It counts when its own line is complete, whether or not the block ever is."""
    complete, incomplete = SSEParser(), SSEParser()
    complete.feed(b"retry: 5\r")
    incomplete.feed(b"retry: 55")

    assert complete.close()
    assert incomplete.close()
    assert (complete.retry_ms, incomplete.retry_ms) == (5, None)


# --- the end of the stream --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        (b"", False),
        (b"\n", False),
        (b"\r\n", False),
        (b":", False),
        (b": a\n:", False),
        (b"data: x", True),
        (b"data: x\n", True),
        (b"d", True),
        (b": a\ndata", True),
        (b"event: a\r", True),
        (b'{"error": "no stream at all"}', True),
    ],
)
def test_close_tells_whether_a_block_was_pending(rest: bytes, expected: bool) -> None:
    """Any line that is no comment counts, complete or not."""
    parser = SSEParser()
    parser.feed(b"data: 1\n\n" + rest)

    assert parser.close() is expected


def test_after_close_another_stream_may_follow() -> None:
    """Nothing of the first is left but the id and the reconnection time."""
    parser = SSEParser()
    parser.feed(b"id: 1\nretry: 5\n\ndata: lost\r")
    parser.close()

    assert parser.feed(b"\n" + b"data: 2\n\n") == [Frame("message", b"2", "1")]
    assert parser.close() is False
    assert parser.feed(BOM + b"data: 3\n\n") == [Frame("message", b"3", "1")]
    assert parser.retry_ms == 5


# --- runs ----------------------------------------------------------------------------------------------------------


def test_split_gives_runs_for_regular_blocks() -> None:
    """One or many, with and without an event line, whole or in pieces."""
    parser = SSEParser()

    assert parser.split(b"event: a\ndata: 1\n\n") == [(b"a", [b"1"], b"")]
    assert parser.split(b"data: \n\n") == [(None, [b""], b"")]
    several = b"event: \ndata: 1\n\nevent: c\ndata: 2\n\nevent: c\ndata:  3\n\n"
    assert parser.split(several + b"eve") == [(b"", [b"1"], b""), (b"c", [b"2", b" 3"], b"")]
    assert parser.split(b"nt: d\nda") == []
    assert parser.split(b"ta: 4\n\n") == [(b"d", [b"4"], b"")]
    assert parser.split(b"data: 5\r\n\r\n") == [(None, [b"5"], b"")]


@pytest.mark.parametrize(
    "odd",
    [
        b"data:2\n\n",
        b"data: 2\n\n\n",
        b"data: 2\ndata: 3\n\n",
        b"data: 2\nevent: a\n\n",
        b"event: a\n\n",
        b"event: a\nevent: b\ndata: 2\n\n",
        b"event:a\ndata: 2\n\n",
        b"id: 1\ndata: 2\n\n",
        b": ping\n\n",
        b": ping\ndata: 2\n\n",
        b"\n",
        b"event: \ndata: 2\n\ndata: 3\n\n",
    ],
)
def test_split_gives_frames_for_anything_else_and_then_runs_again(odd: bytes) -> None:
    """One odd block, at any place of the chunk, and the whole chunk goes the general way; the next one does not."""
    regular = b"event: a\ndata: 1\n\n"
    parser = SSEParser()
    for data in (odd, odd + regular, regular + odd, regular + odd + regular):
        found = parser.split(data)

        assert all(isinstance(frame, Frame) for frame in found)
        assert [(frame.event, frame.data) for frame in found if isinstance(frame, Frame)] == parse(data)
        assert parser.split(regular) == [(b"a", [b"1"], b"")]


@pytest.mark.parametrize(("name", "line"), [(b"a", b"event: a\n"), (None, b""), (b"", b"event: \n")])
def test_what_is_expected_is_cut_off(name: bytes | None, line: bytes) -> None:
    """Payloads of that name with that end come without it, one or many, until something else is expected."""
    one, other = line + b"data: 1}]\n\n", line + b"data: {2}]\n\n"
    parser = SSEParser()
    parser.expect(name, b"}]")

    assert parser.split(one) == [(name, [b"1"], b"}]")]
    assert parser.split(one + other + one) == [(name, [b"1", b"{2", b"1"], b"}]")]
    parser.expect(name, b"}]")
    assert parser.split(one) == [(name, [b"1"], b"}]")]
    assert parser.split(one + line + b"data: 3}\n\n") == [(name, [b"1}]", b"3}"], b"")]
    parser.expect(name, b"]")
    assert parser.split(one) == [(name, [b"1}"], b"]")]
    parser.expect(name)
    assert parser.split(one) == [(name, [b"1}]"], b"")]
    parser.expect(b"b", b"}]")
    assert parser.split(one) == [(name, [b"1}]"], b"")]


def test_what_is_expected_may_be_all_there_is_or_overlap() -> None:
    """A payload that is the expected end and nothing else; one too short for what is around it."""
    parser = SSEParser()
    parser.expect(b"a", b"}]")
    assert parser.split(b"event: a\ndata: }]\n\n") == [(b"a", [b""], b"}]")]
    parser.expect(b"b", b"}]")
    assert parser.split(b"event: a\ndata: 1}]\n\n") == [(b"a", [b"1}]"], b"")]
    parser.expect(None, b": ")
    assert parser.split(b"data: \n\n") == [(None, [b""], b"")]


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([b"data: 1\n\n"], [True]),
        ([b"data: 1\n\nd", b"ata: 2\n\n"], [False, True]),
        ([b"data: 1\r\n\r", b"\n"], [False, True]),
        ([b"\xef\xbb", b"\xbf", b":\n\n"], [False, True, True]),
        ([b"data: 1\n"], [False]),
    ],
)
def test_idle_between_blocks(chunks: list[bytes], expected: list[bool]) -> None:
    """Only where the next byte starts a block; never before the first byte, after the end or after a failure."""
    parser = SSEParser(Limits(max_line_bytes=20, max_frame_bytes=40))
    assert parser.idle is False
    seen = []
    for chunk in chunks:
        parser.feed(chunk)
        seen.append(parser.idle)

    assert seen == expected
    parser.close()
    assert parser.idle is False
    parser.feed(b"data: 1\n\n")
    with pytest.raises(LineTooLong):
        parser.feed(b"x" * 21)
    assert parser.idle is False


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_limits_count_each_line_of_a_block_that_comes_in_pieces(size: int) -> None:
    """Lines of just the length that is allowed pass, in one long block and in the next; one byte more does not."""
    parser = SSEParser(Limits(max_line_bytes=20, max_frame_bytes=1000))
    block = b"data: 12345678901234\n" * 9 + b"\n"
    for data in (block, block):
        frames = [frame for at in range(0, len(data), size) for frame in parser.feed(data[at : at + size])]
        assert [frame.data for frame in frames] == [b"\n".join([b"12345678901234"] * 9)]

    long = block[:-1] + b"data: 123456789012345"
    with pytest.raises(LineTooLong):
        [parser.feed(long[at : at + size]) for at in range(0, len(long), size)]


def test_close_sees_a_retry_in_any_complete_line() -> None:
    """Not only in the first line of the block that is thrown away."""
    parser = SSEParser()
    parser.feed(b"data: 1\nretry: 5\nid: 7\nretry: 6")

    assert parser.close() is True
    assert parser.retry_ms == 5


def test_empty_event_line_in_runs_is_message_in_frames() -> None:
    """Columns are raw, frames are not."""
    assert parse(b"event: \ndata: 1\n\ndata: 2\n\n") == [("message", b"1"), ("message", b"2")]


@pytest.mark.parametrize("end", [b"", b"}", b"1}", b"}]}"])
def test_what_is_expected_changes_no_frame(end: bytes) -> None:
    """Whether payloads end like that, or only some of them, or none."""
    data = b"".join(b"event: a\ndata: {%b}\n\n" % payload for payload in (b"", b"1", b"21", b"[{1}]", b"3"))
    for chunk in (data, data + b"event: b\ndata: {1}\n\n", b": ping\n\n" + data, data[:20]):
        parser = SSEParser()
        parser.expect(b"a", end)

        assert [(frame.event, frame.data) for frame in parser.feed(chunk)] == parse(chunk)


# --- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_line_of_exactly_the_limit_passes(end: bytes) -> None:
    """The line end does not count."""
    parser = small(line=10, frame=100)

    assert parser.feed(b"data: 1234" + end + end) == [Frame("message", b"1234", "")]


@pytest.mark.parametrize("line", [b"data: 12345", b":3456789012", b"x" * 5000])
def test_line_longer_than_the_limit(line: bytes) -> None:
    """Comments and unknown fields count too, and nobody waits for the line end."""
    for data in (line, line + b"\n", line + b"\n\n", line + b"\r\r"):
        with pytest.raises(LineTooLong) as caught:
            small(line=10, frame=100).feed(data)

        assert (caught.value.limit, caught.value.maximum) == ("max_line_bytes", 10)


def test_block_of_exactly_the_limit_passes() -> None:
    """Line ends within the block count as one byte each, the last one and the blank line do not."""
    parser = small(line=10, frame=15)

    assert parser.feed(b"data: 1\r\ndata: 2\r\n\r\n") == [Frame("message", b"1\n2", "")]
    assert parser.feed(b"\n\ndata: 1\ndata: 2\n\n\n") == [Frame("message", b"1\n2", "")]
    assert parser.feed(b"data: 1\ndata: 2") == []
    assert parser.feed(b"\n") == []
    assert parser.feed(b"\n") == [Frame("message", b"1\n2", "")]


@pytest.mark.parametrize("block", [b"data: 1\ndata: 2\n:", b"data: 1\ndata: 23", b":\n" * 8 + b":"])
def test_block_longer_than_the_limit(block: bytes) -> None:
    """Whether or not it is complete, and whether or not it holds data."""
    for data in (block, block + b"\n", block + b"\n\n"):
        with pytest.raises(FrameTooLarge) as caught:
            small(line=10, frame=15).feed(data)

        assert (caught.value.limit, caught.value.maximum) == ("max_frame_bytes", 15)


def test_first_byte_too_many_decides_which_limit_it_is() -> None:
    """As if the bytes came one by one; with equal limits it is the line."""
    with pytest.raises(LineTooLong):
        small(line=10, frame=10).feed(b"x" * 11)
    with pytest.raises(LineTooLong):
        small(line=10, frame=15).feed(b"1234\n" + b"x" * 11)
    with pytest.raises(FrameTooLarge):
        small(line=10, frame=15).feed(b"12345\n" + b"x" * 11)
    with pytest.raises(FrameTooLarge):
        small(line=10, frame=15).feed(b"12345\n" + b"x" * 11 + b"\n\n")


@pytest.mark.parametrize("tail", [b"data: long enough to fail", b"data: long enough to fail\n\ndata: 3\n\ndata: 4"])
@pytest.mark.parametrize("first", [b"data: 1\n\n", b"data:1\n\n"])
def test_frames_before_an_offence_are_returned_first(first: bytes, tail: bytes) -> None:
    """The same call returns them, every later one raises the same error."""
    parser = small(line=10, frame=100)

    assert parser.feed(first + tail) == [Frame("message", b"1", "")]
    for call in (parser.feed, parser.split, parser.feed):
        with pytest.raises(LineTooLong):
            call(b"")
    with pytest.raises(LineTooLong):
        parser.close()


def test_blocks_without_frames_do_not_hold_an_error_back() -> None:
    """The error comes at once if the call has nothing to return; the blocks before it count all the same."""
    parser = small(line=10, frame=100)
    with pytest.raises(LineTooLong) as first:
        parser.feed(b": ping\n\nid: 1\nretry: 5\n\n" + b"x" * 11)
    with pytest.raises(LineTooLong) as second:
        parser.close()

    assert second.value is first.value
    assert (parser.last_event_id, parser.retry_ms) == ("1", 5)


def test_error_does_not_grow() -> None:
    """However often it is raised; its traceback would keep all those callers alive."""
    parser = small(line=10, frame=100)
    for _ in range(5):
        with pytest.raises(LineTooLong) as caught:
            parser.feed(b"x" * 11)
        with pytest.raises(LineTooLong) as caught_by_close:
            parser.close()

        assert (len(caught.traceback), len(caught_by_close.traceback)) == (3, 2)


def test_bom_does_not_count() -> None:
    """Neither whole nor while it is still incomplete."""
    parser = small(line=1, frame=1)

    assert parser.feed(BOM[:2]) == []
    assert parser.feed(BOM[2:] + b":\n\n") == []


def test_many_short_lines_in_one_block_take_little_memory() -> None:
    """No list of lines is made: it would be many times as large as the block."""
    data = b"data:ab\n" * 2**14
    parser = SSEParser()
    parser.feed(data)
    tracemalloc.start()
    (frame,) = parser.feed(b"\n")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(frame.data) == 3 * 2**14 - 1
    assert peak < 3 * len(data)


def test_limits_name_the_field_that_is_wrong() -> None:
    """Each has its minimum, and a line must fit into a frame."""
    for name in Limits.__struct_fields__:
        minimum = 0 if name == "max_closed_runs" else 1
        with pytest.raises(ValueError, match=f"^{name}: expected at least {minimum}, got {minimum - 1}$"):
            Limits(**{name: minimum - 1})
    with pytest.raises(ValueError, match=r"^max_line_bytes: expected at most max_frame_bytes \(2\), got 3$"):
        Limits(max_line_bytes=3, max_frame_bytes=2)

    assert Limits(max_closed_runs=0).max_closed_runs == 0
    assert Limits(max_line_bytes=2, max_frame_bytes=2).max_line_bytes == 2


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (errors.ConfigError("sinks: expected a list, got 3"), "sinks: expected a list, got 3"),
        (LineTooLong("max_line_bytes", 3), "expected at most 3 (max_line_bytes), more came"),
        (errors.SourceUnavailable("connection refused"), "connection refused"),
        (errors.SourceUnavailable("status 429", retry_after_s=1.5), "status 429 (retry after 1.5 s)"),
        (errors.StreamTruncated("main"), "expected a terminal event on stream 'main', its end came"),
        (errors.SinkUnavailable("timeout"), "timeout"),
        (errors.SinkUnavailable("status 503", retry_after_s=20), "status 503 (retry after 20 s)"),
        (errors.SinkRejected("too large", changes=["one", "two"]), "too large (rejected changes: 2)"),
        (errors.SinkGone("status 410"), "status 410"),
        (errors.HookError("on_delta"), "hook 'on_delta' raised None"),
    ],
)
def test_errors_speak_and_travel(error: errors.StreamprocError, text: str) -> None:
    """The text is built from the attributes, and both survive pickling."""
    copy = pickle.loads(pickle.dumps(error))

    assert str(error) == text
    assert (type(copy), vars(copy), str(copy)) == (type(error), vars(error), text)


def test_hook_error_shows_its_cause() -> None:
    """The exception of the hook is the cause."""
    with pytest.raises(errors.HookError, match=r"^hook 'on_delta' raised KeyError\('x'\)$"):
        raise errors.HookError("on_delta") from KeyError("x")


def test_errors_are_one_tree() -> None:
    """The families are the ones that callers act on."""
    families = (
        errors.ConfigError,
        LimitExceeded,
        errors.SourceError,
        errors.SinkError,
        errors.StoreError,
        errors.HookError,
    )
    public = {getattr(errors, name) for name in errors.__all__}

    assert all(issubclass(error, errors.StreamprocError) for error in public)
    assert public - {errors.StreamprocError} == {error for error in public if issubclass(error, families)}
    assert {FrameTooLarge, LineTooLong} == {error for error in public if issubclass(error, LimitExceeded)} - {
        LimitExceeded
    }
