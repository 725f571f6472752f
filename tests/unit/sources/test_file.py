"""`FileSource`: recordings, at a pace, and files that are still being written."""

import os
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from anyio import AsyncFile
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from streamproc.errors import ConfigError, SourceError, SourceUnavailable
from streamproc.protocols import ReopeningSource, ResyncingSource
from streamproc.sources.file import FileSource, _cut
from streamproc.testing.sources import check_source
from tests.loopback import in_loopback_time
from tests.streams import arguments, done, run, sse, step

STREAM = sse(run("created"), step("created"), arguments('{"a"'), arguments(":1}"), step("completed"), done())


async def pieces(source: FileSource) -> list[bytes]:
    async with source.open(None) as chunks:
        return [chunk async for chunk in chunks]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "run.sse"
    path.write_bytes(STREAM)
    return path


@pytest.mark.asyncio
async def test_bytes_come_complete_in_bounded_chunks(tmp_path: Path) -> None:
    """A large file is never in memory as a whole."""
    path = tmp_path / "large.sse"
    path.write_bytes(STREAM * 500)

    chunks = await pieces(FileSource(path))
    assert b"".join(chunks) == STREAM * 500
    assert max(map(len, chunks)) <= 64 * 1024


@pytest.mark.asyncio
async def test_contract_of_a_source(recording: Path, tmp_path: Path) -> None:
    """As checked for any source; a file that is not there fails, followed or not."""
    missing = tmp_path / "missing"
    failing = [lambda: FileSource(missing), lambda: FileSource(missing, follow=True), lambda: FileSource(tmp_path)]
    await check_source(lambda: FileSource(recording), STREAM, failing=failing)
    await check_source(lambda: FileSource(recording, speed=1e6), STREAM)


def test_what_a_further_open_does(recording: Path) -> None:
    """It reads a followed file again, which may be another one by then; a recording would only end as it did."""
    source = FileSource(recording, follow=True)

    assert isinstance(source, ReopeningSource)
    assert (source.repeatable, source.resumable) == (True, False)
    assert not isinstance(source, ResyncingSource)
    assert not isinstance(FileSource(recording), ReopeningSource)


def test_name(tmp_path: Path) -> None:
    """The path, which need not be text; or what it is given."""
    assert FileSource(tmp_path / "a.sse").name == str(tmp_path / "a.sse")
    assert FileSource(os.fsdecode(b"a\xff.sse")).name == "a\ufffd.sse"
    assert FileSource("a.sse", name="b").name == "b"
    assert repr(FileSource("a.sse", name="b")) == "FileSource('a.sse', name='b')"


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("path", "error", "reason"),
    [
        ("missing.sse", SourceError, "No such file or directory"),
        ("nul\0.sse", SourceError, "no file can have this name"),
        ("pipe", SourceError, "expected a regular file"),
        (".", SourceError, "expected a regular file"),
        ("run.sse/x", SourceError, "Not a directory"),
    ],
)
async def test_path_that_cannot_be_read(recording: Path, path: str, error: type[Exception], reason: str) -> None:
    """A pipe is refused before it is opened, which would wait for its other end."""
    os.mkfifo(recording.parent / "pipe")
    with pytest.raises(error, match=reason) as caught:
        await pieces(FileSource(recording.parent / path))

    assert type(caught.value) is error


@pytest.mark.asyncio
async def test_reading_that_fails() -> None:
    """Told as a SourceError. The kernel lets anybody open this file, and reads of its first page fail."""
    with pytest.raises(SourceError, match="Input/output error"):
        await pieces(FileSource("/proc/self/mem"))


@pytest.mark.asyncio
async def test_cursor_means_nothing_to_a_file(recording: Path) -> None:
    """Reading from the beginning instead would double what came before."""
    with pytest.raises(SourceError, match="a cursor came"):
        async with FileSource(recording).open("7"):
            pass


@pytest.mark.parametrize("settings", [{"speed": 0}, {"speed": -1.0}, {"poll_s": 0}])
def test_settings_that_cannot_work(settings: dict[str, float]) -> None:
    """Told when the source is made."""
    with pytest.raises(ConfigError, match="expected more than 0"):
        FileSource("a.sse", **settings)  # type: ignore[arg-type]


# --- pace -------------------------------------------------------------------------------------------------------------


@in_loopback_time
async def test_speed_is_events_a_second(recording: Path) -> None:
    """The first event at once, each further one an interval later; the bytes are the same."""
    started = anyio.current_time()
    events = await pieces(FileSource(recording, speed=100))

    assert b"".join(events) == STREAM
    assert len(events) == 6
    assert all(event.endswith(b"\n\n") for event in events)
    assert anyio.current_time() - started == pytest.approx(0.05)


@in_loopback_time
async def test_late_reader_is_not_hurried(recording: Path) -> None:
    """After a pause the pace goes on; what was missed is not made up for."""
    async with FileSource(recording, speed=50).open(None) as events:
        await anext(events)
        await anyio.sleep(0.1)
        await anext(events)
        started = anyio.current_time()
        await anext(events)
        await anext(events)

    assert anyio.current_time() - started == pytest.approx(0.04)


@given(st.lists(st.sampled_from([b"\r\n", b"\n", b"\r", b"a", b"data: x"])).map(b"".join))
def test_cutting_loses_nothing(data: bytes) -> None:
    """The pieces are the data; all but the last end in an empty line."""
    parts = _cut(data)

    assert b"".join(parts) == data
    assert all(
        part.endswith((b"\n\n", b"\r\r", b"\r\n\r\n", b"\n\r\n", b"\r\n\r", b"\n\r", b"\r\r\n")) for part in parts[:-1]
    )


def test_crlf_alone_ends_no_event() -> None:
    """One line end of two characters is not two line ends."""
    assert _cut(b"a\r\nb\r\n\r\nc") == [b"a\r\nb\r\n\r\n", b"c"]


@pytest.mark.asyncio
async def test_very_long_event_is_passed_on_in_parts(tmp_path: Path) -> None:
    """So that the search for its end does not begin anew with each chunk; an unfinished event comes too."""
    data = b"data: " + b"x" * 300_000 + b"\n\ndata: y"
    path = tmp_path / "long.sse"
    path.write_bytes(data)
    events = await pieces(FileSource(path, speed=1e6))

    assert b"".join(events) == data
    assert max(map(len, events)) <= 2 * 64 * 1024


# --- follow -----------------------------------------------------------------------------------------------------------


class Watched(FileSource):
    """Counts how often the end of the file was met, and its path looked at."""

    looks = 0

    def _starts_over(self, file: AsyncFile[bytes]) -> bool:
        found = super()._starts_over(file)
        self.looks += 1
        return found


async def following(path: Path, *acts: Callable[[], object]) -> tuple[bytes, SourceError | None]:
    """What a followed file gives while one thing after the other happens to it, and how that ended."""
    came = b""
    raised: SourceError | None = None
    source = Watched(path, follow=True, poll_s=0.001)

    async def looked() -> None:
        """Between a look that may have begun before and the one after it, all that is there is read."""
        seen = source.looks
        while source.looks < seen + 2:
            await checkpoint()

    async with anyio.create_task_group() as tasks:

        async def act() -> None:
            await looked()
            for one in acts:
                one()
                await looked()
            tasks.cancel_scope.cancel()

        tasks.start_soon(act)
        try:
            async with source.open(None) as chunks:
                async for chunk in chunks:
                    came += chunk
        except SourceError as error:
            raised = error
        tasks.cancel_scope.cancel()
    return came, raised


def append(path: Path, data: bytes) -> Callable[[], object]:
    def act() -> None:
        with path.open("ab") as file:
            file.write(data)

    return act


@pytest.mark.asyncio
async def test_followed_file_grows(recording: Path) -> None:
    """What is appended comes, and the end of the file is not the end of the stream."""
    came, error = await following(recording, append(recording, b"one"), append(recording, b"two"))

    assert (came, error) == (STREAM + b"onetwo", None)


@pytest.mark.asyncio
async def test_followed_file_is_replaced(recording: Path) -> None:
    """The old one is read to its end; what is there now is another stream, for a further open."""
    moved = recording.with_suffix(".1")

    def rotate() -> None:
        recording.rename(moved)
        append(moved, b"last")()
        append(recording, b"new")()

    came, error = await following(recording, rotate)
    assert came == STREAM + b"last"
    assert isinstance(error, SourceUnavailable)
    assert await pieces(FileSource(recording)) == [b"new"]


@pytest.mark.asyncio
async def test_followed_file_is_cut(recording: Path) -> None:
    """A shorter file is a stream that starts over."""
    came, error = await following(recording, lambda: recording.write_bytes(b"new"))

    assert came == STREAM
    assert isinstance(error, SourceUnavailable)


@pytest.mark.asyncio
async def test_followed_file_is_moved_away(recording: Path) -> None:
    """Until another one takes its place it is the one that is followed."""
    moved = recording.with_suffix(".1")
    came, error = await following(recording, lambda: recording.rename(moved), append(moved, b"more"))

    assert (came, error) == (STREAM + b"more", None)


@pytest.mark.asyncio
async def test_followed_file_that_is_not_there_yet(tmp_path: Path) -> None:
    """Another attempt may find it."""
    with pytest.raises(SourceUnavailable, match="No such file"):
        await pieces(FileSource(tmp_path / "soon.sse", follow=True))
