"""check_dialect: the built-in dialect passes, and each way to break the contract is found and named."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from streamproc import Anomaly, AssistantsDialect, Event
from streamproc.core.dialect import Dialect
from streamproc.core.sse import Frame
from streamproc.testing.dialects import check_dialect
from tests.streams import arguments, call, done, message, run, sse, step, text, words

pytestmark = pytest.mark.slow  # each check decodes hundreds of payloads, several times

RECORDING = sse(
    run("created"),
    step("created", "step_1", call("", name="f", index=0)),
    *(arguments(f"é{n}") for n in range(5)),
    message("created"),
    *(words(f"word {n} ") for n in range(5)),
    message("completed", "msg_1", text("".join(f"word {n} " for n in range(5)))),
    run("completed"),
    done(),
)


def test_assistants_dialect_passes(corpus: Path) -> None:
    """On recordings of several servers."""
    recordings = [path.read_bytes() for path in sorted((corpus / "assistants").glob("*.sse"))]
    complete = [recording for recording in recordings if b"\n\n" in recording and len(recording) < 30_000]

    check_dialect(AssistantsDialect, complete[:8])

    assert len(complete) >= 8


class Sound:
    """A dialect that leaves all work to the built-in one; the broken ones differ in one thing."""

    def __init__(self) -> None:
        self._inner = AssistantsDialect()
        self.cursor: str | None = None

    def decode(self, frame: Frame) -> Sequence[Event]:
        return self._inner.decode(frame)

    def finish(self) -> Sequence[Event]:
        return []


def test_sound_dialect_passes() -> None:
    check_dialect(Sound, [RECORDING, RECORDING.replace(b"\n", b"\r\n")])


class RaisesOnBadJson(Sound):
    def decode(self, frame: Frame) -> Sequence[Event]:
        if frame.data != b"[DONE]":
            msgspec.json.decode(frame.data)
        return super().decode(frame)


class RaisesOnDamage(Sound):
    """It knows the payloads that anybody thinks of, and trusts the others."""

    def decode(self, frame: Frame) -> Sequence[Event]:
        if frame.data.startswith(b'{"id":"run_1"') and not frame.data.endswith(b"}"):
            raise KeyError("status")
        return super().decode(frame)


class RaisesAtTheEnd(Sound):
    """Of a stream that had no beginning."""

    def __init__(self) -> None:
        super().__init__()
        self._run: str | None = None

    def finish(self) -> Sequence[Event]:
        assert self._run is not None
        return []


class ReturnsGenerator(Sound):
    def decode(self, frame: Frame) -> Any:
        def events() -> Iterator[Event]:
            yield from AssistantsDialect().decode(frame)

        return events()


class ReturnsFrames(Sound):
    def decode(self, frame: Frame) -> Any:
        return [frame]


class InventsNames(Sound):
    def decode(self, frame: Frame) -> Sequence[Event]:
        return [msgspec.structs.replace(event, name=f"my.{event.name}") for event in super().decode(frame)]


class CursorOfNumbers(Sound):
    def decode(self, frame: Frame) -> Sequence[Event]:
        self.cursor = 7  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
        return super().decode(frame)


class CursorBeforeItBegan(Sound):
    def __init__(self) -> None:
        super().__init__()
        self.cursor = ""


class SharesItsState(Sound):
    """What one stream said is not said again by another."""

    seen: ClassVar[set[bytes]] = set()

    def decode(self, frame: Frame) -> Sequence[Event]:
        if frame.data in self.seen and frame.data.startswith(b'{"id":"step_1"'):
            return []
        self.seen.add(frame.data)
        return super().decode(frame)


class CountsStreams(Sound):
    """The end of each stream is another event."""

    streams: ClassVar[int] = 0

    def finish(self) -> Sequence[Event]:
        CountsStreams.streams += 1
        return [Event("thread.run.failed", {"id": f"run_{CountsStreams.streams}", "object": "thread.run"})]


class CannotBeMerged(Sound):
    def decode(self, frame: Frame) -> Sequence[Event]:
        return [Event("thread.run.created", ["no", "object"])]


@pytest.mark.parametrize(
    ("factory", "said"),
    [
        (RaisesOnBadJson, "payloads made up: decode, of a frame 'message' of 0 bytes, raised DecodeError"),
        (RaisesOnDamage, "recording 0, damaged: decode, of a frame 'thread.run."),
        (RaisesAtTheEnd, "an empty stream: finish raised AssertionError"),
        (ReturnsGenerator, "payloads made up: decode, of a frame 'message' of 0 bytes, returned a generator, expected"),
        (ReturnsFrames, "payloads made up: decode, of a frame 'message' of 0 bytes, returned a Frame among its events"),
        (InventsNames, "payloads made up: decode, of a frame 'message' of 6 bytes, returned an event 'my.done'; expec"),
        (CursorOfNumbers, "payloads made up: decode, of a frame 'message' of 0 bytes, left a cursor that is no text"),
        (CursorBeforeItBegan, "an empty stream: it has a cursor before its first frame"),
        (SharesItsState, "recording 0: two instances that decode the same frames give other events than one"),
        (CountsStreams, "recording 0: two instances that decode the same frames give other events than one"),
        (CannotBeMerged, "payloads made up: event 'thread.run.created' cannot be merged: "),
    ],
)
def test_broken_dialect_is_found(factory: Callable[[], Dialect], said: str) -> None:
    """The text says in which recording, and what happened; never what was in it."""
    with pytest.raises(AssertionError) as caught:
        check_dialect(factory, [RECORDING])

    assert str(caught.value).startswith(f"check_dialect, {said}")


def test_fast_path_of_its_own_that_disagrees_is_found() -> None:
    """A dialect may hand its fragment decoders to the processor, which uses them where the chunks allow it."""

    class Disagrees(Sound):
        fragments = AssistantsDialect.fragments

        def decode(self, frame: Frame) -> Sequence[Event]:
            if b"word 3" in frame.data:
                return [Event("no.such.event", Anomaly(kind="unknown_event", event=frame.event), frame.data)]
            return super().decode(frame)

    with pytest.raises(AssertionError, match="recording 0: its `fragments` or `texts` give other changes"):
        check_dialect(Disagrees, [RECORDING])


def test_changes_that_differ_with_the_chunks_are_found() -> None:
    """Here: with how often the same stream came, the fifth time being the first one that is cut."""

    class Tires(Sound):
        streams: ClassVar[int] = 0

        def decode(self, frame: Frame) -> Sequence[Event]:
            Tires.streams += frame.event == "thread.run.completed" and b'"run_1"' in frame.data
            return super().decode(frame) if Tires.streams < 5 else []

    with pytest.raises(AssertionError, match="recording 0: cut into single bytes it gives other changes than as a who"):
        check_dialect(Tires, [RECORDING])


@pytest.mark.parametrize(
    ("recordings", "said"),
    [([], "recordings: there is none"), ([b""], "recording 0: it holds no complete event")],
)
def test_check_of_nothing_is_no_check(recordings: list[bytes], said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        check_dialect(AssistantsDialect, recordings)
