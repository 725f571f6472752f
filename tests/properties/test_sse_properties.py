"""Laws of the framing: any chunking, any line ends and any comments give the same frames, at a linear cost.

The second opinion is `reference`, which reads byte by byte with the words of the standard and shares no idea, let
alone code, with the parser.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamproc.core.limits import Limits
from streamproc.core.sse import Frame, Run, SSEParser, make_frame
from streamproc.errors import FrameTooLarge, LimitExceeded, LineTooLong

BOM = b"\xef\xbb\xbf"

pytestmark = pytest.mark.slow
laws = settings(max_examples=400, deadline=None)


# --- inputs -----------------------------------------------------------------------------------------------------------


def regular(name: bytes | None, payload: bytes) -> bytes:
    event = b"" if name is None else b"event: " + name + b"\n"
    return event + b"data: " + payload + b"\n\n"


def joined(parts: Iterable[bytes]) -> bytes:
    return b"".join(parts)


LINE_ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])
NAMES = st.sampled_from([b"data", b"event", b"id", b"retry", b"", b"Data", BOM[:2]])
COLONS = st.sampled_from([b":", b": ", b":  ", b""])
VALUES = st.binary(max_size=6).map(lambda value: value.translate(None, b"\r\n"))
FREQUENT_LINES = st.sampled_from(
    [b"", b"data: 1", b"data:2", b"data", b"event: a", b"event: ", b": x", b"id: 7", b"retry: 5"]
)
LINES = FREQUENT_LINES | st.tuples(NAMES, COLONS, VALUES).map(joined)
REGULAR = st.builds(regular, st.none() | VALUES, VALUES)
PIECES = st.one_of(
    REGULAR,
    st.tuples(LINES, LINE_ENDS).map(joined),
    st.sampled_from([BOM, BOM[:1], BOM[1:2], BOM[2:], b"\n", b"\r", b"\n\n"]),
    st.binary(max_size=4),
)
STREAMS = st.tuples(st.sampled_from([b"", BOM]), st.lists(PIECES, max_size=12).map(joined)).map(joined)
CUTS = st.lists(st.floats(0, 1), max_size=12)


def cut(data: bytes, cuts: list[float]) -> list[bytes]:
    """Cut at fractions of the length."""
    positions = sorted(round(fraction * len(data)) for fraction in cuts)
    return [data[start:end] for start, end in pairwise([0, *positions, len(data)])]


def byte_by_byte(data: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in data]


# --- outcomes ---------------------------------------------------------------------------------------------------------


@dataclass
class Outcome:
    """All that a stream amounts to."""

    frames: list[Frame] = field(default_factory=list)
    error: type[LimitExceeded] | None = None
    is_pending: bool | None = None
    retry_ms: int | None = None
    last_event_id: str = ""


def frames_of(found: list[Run] | list[Frame], event_id: str) -> list[Frame]:
    """Turn what `split` returned into frames."""
    frames: list[Frame] = []
    for item in found:
        if isinstance(item, Frame):
            frames.append(item)
        else:
            name, payloads, end = item
            frames += [make_frame(name, payload + end, event_id) for payload in payloads]
    return frames


def outcome(chunks: list[bytes], limits: Limits | None = None, *, by_split: bool = False) -> Outcome:
    parser = SSEParser(limits)
    result = Outcome()
    try:
        for chunk in chunks:
            result.frames += frames_of(parser.split(chunk), parser.last_event_id) if by_split else parser.feed(chunk)
        result.is_pending = parser.close()
    except LimitExceeded as error:
        result.error = type(error)
    result.retry_ms, result.last_event_id = parser.retry_ms, parser.last_event_id
    return result


def reference(data: bytes, limits: Limits | None = None) -> Outcome:
    """Read byte by byte; a block that breaks a limit leaves no trace, nor does a byte order mark."""
    limits = limits or Limits()
    result = Outcome()
    if BOM.startswith(data):
        result.is_pending = data in (BOM[:1], BOM[:2])
        return result
    data = data.removeprefix(BOM)
    block: list[bytes] = []  # its complete lines
    line = b""
    for position, byte in enumerate(data):
        if byte not in b"\r\n":
            line += bytes([byte])
            if len(line) > limits.max_line_bytes:
                result.error = LineTooLong
                return result
            if len(b"\n".join([*block, line])) > limits.max_frame_bytes:
                result.error = FrameTooLarge
                return result
        elif byte == 13 or not position or data[position - 1] != 13:
            if line:
                block.append(line)
            else:
                interpret(block, result)
                block = []
            line = b""
    result.is_pending = any(not entry.startswith(b":") for entry in [*block, line] if entry)
    interpret([entry for entry in block if entry.startswith(b"retry")], result)
    return result


def interpret(block: list[bytes], result: Outcome) -> None:
    """Apply the complete lines of a block."""
    name, data = b"", []
    for line in block:
        value = line[line.index(b":") + 1 :] if b":" in line else b""
        value = value[1:] if value[:1] == b" " else value
        match line.split(b":")[0]:
            case b"event":
                name = value
            case b"data":
                data.append(value)
            case b"id" if 0 not in value:
                result.last_event_id = value.decode("utf-8", "replace")
            case b"retry" if value and all(48 <= byte <= 57 for byte in value):
                result.retry_ms = int(value)
    if data:
        result.frames.append(
            Frame(name.decode("utf-8", "replace") or "message", b"\n".join(data), result.last_event_id)
        )


# --- laws -------------------------------------------------------------------------------------------------------------


@laws
@given(STREAMS, CUTS)
def test_any_chunking_gives_what_the_standard_says(data: bytes, cuts: list[float]) -> None:
    """Frames, id, reconnection time and the answer of `close`, by `feed` and by `split`."""
    expected = reference(data)

    for chunks in ([data], cut(data, cuts), byte_by_byte(data)):
        assert outcome(chunks) == expected
        assert outcome(chunks, by_split=True) == expected


@laws
@given(st.lists(REGULAR | st.builds(lambda line: line + b"\n\n", LINES), max_size=8), CUTS)
def test_fast_form_equals_general_form(blocks: list[bytes], cuts: list[float]) -> None:
    """A comment in each block forces the general form; that changes nothing else."""
    data = b"".join(blocks)
    commented = b"".join(b":\n" + block for block in blocks)

    assert outcome([commented]) == outcome([data])
    assert outcome([commented]) == outcome(cut(data, cuts), by_split=True)


@laws
@given(st.lists(st.lists(st.tuples(st.booleans(), REGULAR), min_size=1, max_size=4), max_size=4))
def test_runs_come_exactly_when_all_blocks_are_regular_and_alike(chunks: list[list[tuple[bool, bytes]]]) -> None:
    """All with an event line or all without, whatever the chunks before were like."""
    parser = SSEParser()
    for chunk in chunks:
        found = parser.split(b"".join(block if is_regular else b":\n" + block for is_regular, block in chunk))
        are_alike = len({block.startswith(b"event") for _, block in chunk}) == 1

        assert (are_alike and all(regular for regular, _ in chunk)) is isinstance(found[0] if found else (), tuple)


@laws
@given(st.lists(LINES, max_size=20), st.data())
def test_a_comment_before_any_line_changes_nothing(lines: list[bytes], data: st.DataObject) -> None:
    """Not even between the lines of one event."""
    commented: list[bytes] = []
    for line in lines:
        commented += [b":x"] * data.draw(st.integers(0, 2)) + [line]

    assert outcome([b"\n".join([*lines, b""])]) == outcome([b"\n".join([*commented, b""])])


@laws
@given(st.lists(LINES, max_size=20), st.data())
def test_the_kind_of_line_end_changes_nothing(lines: list[bytes], data: st.DataObject) -> None:
    """Chosen anew for each line; only CR, empty line, LF is something else: one CRLF."""
    expected = outcome([joined(line + b"\n" for line in lines)])
    mixed = b""
    for line in lines:
        end = data.draw(LINE_ENDS)
        mixed += line + (b"\r" if not line and mixed.endswith(b"\r") and end == b"\n" else end)

    assert outcome([mixed]) == expected
    assert outcome(byte_by_byte(mixed)) == expected


TEXT = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=8)


def encode(frame: Frame) -> bytes:
    """Write an event; the simplest writer that can write them all."""
    lines = [b"id: " + frame.id.encode(), b"event: " + frame.event.encode()]
    lines += [b"data: " + line for line in frame.data.split(b"\n")]
    return b"\n".join(lines) + b"\n\n"


@laws
@given(
    st.lists(
        st.builds(Frame, TEXT.filter(bool), st.binary(max_size=12).map(lambda data: data.replace(b"\r", b"")), TEXT)
    ),
    CUTS,
)
def test_what_was_written_is_read(frames: list[Frame], cuts: list[float]) -> None:
    """Leading spaces, colons, empty lines and odd bytes included."""
    assert frames == outcome(cut(b"".join(map(encode, frames)), cuts)).frames


# --- limits -----------------------------------------------------------------------------------------------------------


@laws
@given(STREAMS, CUTS, st.integers(1, 12), st.integers(0, 12))
def test_limits_hold_under_any_chunking(data: bytes, cuts: list[float], line: int, more: int) -> None:
    """The same frames, then the same error, exact to the byte."""
    limits = Limits(max_line_bytes=line, max_frame_bytes=line + more)
    expected = reference(data, limits)

    for chunks in ([data], cut(data, cuts), byte_by_byte(data)):
        assert outcome(chunks, limits) == expected
        assert outcome(chunks, limits, by_split=True) == expected


@laws
@given(st.lists(st.binary(max_size=40) | PIECES, max_size=20), st.integers(1, 20), st.integers(0, 20))
def test_no_bytes_raise_anything_else_and_memory_is_bounded(chunks: list[bytes], line: int, more: int) -> None:
    """What waits for more is never longer than the longest block and one line end."""
    parser = SSEParser(Limits(max_line_bytes=line, max_frame_bytes=line + more))
    for chunk in chunks:
        with suppress(LimitExceeded):
            parser.feed(chunk)

        assert len(parser._pending) <= max(line + more + 1, len(BOM) - 1)


# --- cost -------------------------------------------------------------------------------------------------------------


class CountingBuffer(bytearray):
    """Counts the bytes that its methods copy or may search."""

    work = 0


def counted(name: str) -> Callable[..., Any]:
    method = getattr(bytearray, name)

    def call(buffer: CountingBuffer, *args: Any) -> Any:
        size = len(buffer)
        result = method(buffer, *args)
        match name:
            case "find":
                buffer.work += (size if result < 0 else result + 1) - args[1]
            case "endswith" | "__iadd__":
                buffer.work += len(args[0])
            case _:  # all of them, `clear` too: before it the content is copied out, which no method sees
                buffer.work += size
        return result

    return call


for name in vars(bytearray).keys() - vars(object).keys() - {"__len__"}:
    setattr(CountingBuffer, name, counted(name))


def work_per_byte(data: bytes, size: int, limits: Limits) -> float:
    parser = SSEParser(limits)
    parser._pending = buffer = CountingBuffer()
    with suppress(LimitExceeded):
        for start in range(0, len(data), size):
            parser.feed(data[start : start + size])
        parser.close()
    return buffer.work / len(data)


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    "data",
    [
        b"data: " + b"x" * 40_000,
        (b"data: " + b"x" * 93 + b"\n") * 400,
        (b"data: " + b"x" * 92 + b"\r\n") * 400 + b"\n",
        b"data\n" * 8_000,
        b": x\n" * 10_000,
        b"data: x\n\n" * 4_000,
        b"\r" * 40_000,
    ],
    ids=["one line", "long lines", "long lines with CRLF", "short lines", "comments", "events", "blank lines"],
)
@pytest.mark.parametrize("line", [99, 2**20], ids=["above max_line_bytes", "below all limits"])
def test_cost_is_linear(data: bytes, size: int, line: int) -> None:
    """Each byte that waits is touched a few times, whatever the size of the chunks and of what waits already."""
    assert work_per_byte(data, size, Limits(max_line_bytes=line)) < 5


def test_joining_many_data_lines_is_linear() -> None:
    """Sixteen times the lines take sixteen times as long; copying the data for each line would take 256 times."""

    def seconds(lines: int) -> float:
        start = time.process_time()
        SSEParser().feed(b"data\n" * lines + b"\n")
        return time.process_time() - start

    few, many = (min(seconds(lines) for _ in range(3)) for lines in (2**13, 2**17))

    assert many < 64 * few
