"""The processor: bytes in, changes out; opening, closing and breaking of streams."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from streamproc import AssistantsDialect, Change, Event, Limits, Reducer, RunStep, StreamProcessor
from streamproc.core.change import encode_change
from streamproc.core.fragments import FRAGMENT_DECODERS
from streamproc.core.sse import Frame
from streamproc.errors import ConfigError, FrameTooLarge, LineTooLong
from tests.properties.generators import GeneralDialect
from tests.streams import (
    anomalies,
    arguments,
    call,
    creation,
    done,
    error,
    event,
    message,
    run,
    sse,
    step,
    step_delta,
    visible,
    wire,
    words,
)


class Recording:
    """A dialect that counts its streams' frames and ends, and says something at the end."""

    def __init__(self, *last: Event) -> None:
        self.cursor: str | None = None
        self.frames: list[Frame] = []
        self.finished = 0
        self.last = last

    def decode(self, frame: Frame) -> Sequence[Event]:
        self.frames.append(frame)
        self.cursor = frame.id or None
        return (
            ()
            if frame.data == b"skip"
            else (step("created", "step_1"), run("created"))
            if frame.data == b"two"
            else (run(),)
        )

    def finish(self) -> Sequence[Event]:
        self.finished += 1
        return self.last


STREAM = sse(
    run("created"),
    step(),
    arguments("é"),
    arguments("b"),
    arguments("c"),
    words("provisional"),
    event("x.y", {"a": 1}),
    step("completed", "step_1", call("ébc")),
    run("completed"),
    done(),
)


def seen(proc: StreamProcessor, *chunks: bytes) -> list[tuple[Any, ...]]:
    """All that a change says, of all changes of some chunks and of the end."""
    changes = [change for chunk in chunks for change in proc.feed(chunk)] + proc.close()
    return [
        (
            *(c.stream, c.epoch, c.seq, c.event, c.kind, c.id, c.revision, c.raw, c.note, c.delta),
            wire(c.state) if c.kind in ("run", "step", "message") else c.state,
        )
        for c in changes
    ]


# --- feeding ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000])
def test_any_chunks(size: int) -> None:
    """Where a stream is cut makes no difference at all."""
    chunks = [STREAM[start : start + size] for start in range(0, len(STREAM), size)]
    whole, cut = StreamProcessor(), StreamProcessor()

    assert seen(whole, STREAM) == seen(cut, *chunks)
    assert whole.anomalies == cut.anomalies == {"provisional": 1, "unknown_event": 1}


@pytest.mark.parametrize("end", ["\r", "\r\n"])
def test_any_line_ends(end: str) -> None:
    """Nor how its lines end."""
    events = [run("created"), step(), arguments("a"), arguments("b"), arguments("c"), done()]

    assert seen(StreamProcessor(), sse(*events)) == seen(StreamProcessor(), sse(*events, end=end))


def test_no_bytes() -> None:
    """They make no changes."""
    proc = StreamProcessor()

    assert (proc.feed(b""), proc.feed(b": ping\n\n"), proc.feed(b"\n\n\n")) == ([], [], [])
    assert proc.feed(sse(run())[:-1]) == []
    assert visible(proc.feed(b"\n")) == [("run_1", 1)]


def test_default_stream() -> None:
    """A stream without a name is called so; epochs begin at one."""
    change = StreamProcessor().feed(sse(run()))[0]

    assert (change.stream, change.epoch) == ("default", 1)


@pytest.mark.parametrize("comment", [b"", b": ping\n\n"])
def test_payload_of_a_change(comment: bytes) -> None:
    """It is what stood on the wire, on either way through."""
    events = [step(), arguments("a"), arguments("b"), arguments("c")]
    changes = StreamProcessor().feed(comment + sse(*events))

    assert [change.raw for change in changes] == [item.raw for item in events]
    assert [change.delta for change in changes] == [None, *(Reducer().apply(item)[-1].delta for item in events[1:])]


def test_runs_of_names() -> None:
    """Events of one name after another keep their order among others, with and without a name."""
    proc = StreamProcessor()
    events = [step(), arguments("a"), arguments("b"), message(), words("c"), words("d"), arguments("e"), words("f")]
    changes = proc.feed(
        sse(*events) + sse(step("in_progress", new=1), named=False) + sse(arguments("g"), arguments("h"))
    )

    assert [change.id for change in changes] == ["step_1"] * 3 + ["msg_1"] * 3 + ["step_1", "msg_1", *["step_1"] * 4]
    assert [change.data.kind for change in changes if change.data] == ["kept_partial"]
    assert proc.messages["msg_1"].text == "cdf"
    assert wire(proc.steps["step_1"])["step_details"]["tool_calls"] == [call("abegh")]


# --- the end of a stream ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "events",
    [
        [run(), done()],
        [run(), step(), done()],
        [done()],
        [run("completed")],
        [run("requires_action"), step("in_progress")],
        [run("incomplete")],
        [run("cancelling"), run("expired")],
        [run("completed", "run_0"), run("completed")],
        [run(), error({"message": "no"})],
        [error("plain text")],
        [run("in_progress", status="failed")],
    ],
)
def test_complete(events: list[Event]) -> None:
    """`done`, an error, and a status after which nothing more is to come end a stream."""
    proc = StreamProcessor()
    proc.feed(sse(*events))

    assert proc.close() == []
    assert not proc.truncated
    assert "truncated" not in proc.anomalies


@pytest.mark.parametrize(
    "events",
    [
        [],
        [run()],
        [run("cancelling")],
        [step("completed"), message("completed")],
        [run("requires_action"), run("queued")],
        [run("completed"), run("created", "run_2")],
        [error({"message": "no"}), run()],
        [event("thread.run.paused", {})],
    ],
)
def test_truncated(events: list[Event]) -> None:
    """Anything else breaks off, and says so."""
    proc = StreamProcessor()
    proc.feed(sse(*events))
    outcomes = [proc.truncated, anomalies(proc.close()), proc.truncated]

    assert outcomes == [False, ["truncated"], True]
    assert proc.anomalies["truncated"] == 1


def test_truncated_marks_what_is_open() -> None:
    """Its state is what has come; the mark stands beside it."""
    proc = StreamProcessor()
    proc.feed(sse(run(), step(), arguments("a"), arguments("b"), step("completed", "step_2")))
    changes = proc.close()

    assert visible(changes) == [("step_1", 4), ("run_1", 2)]
    assert changes[-2].truncated
    assert changes[-2].state.status == "in_progress"
    assert wire(changes[-2].state) == step("created", "step_1", call("ab")).data
    assert proc.reducer.note("step", "step_1").truncated
    assert not proc.reducer.note("step", "step_2").truncated


def test_unfinished_event_at_the_end() -> None:
    """It is thrown away: half a payload is no payload, a whole one without a blank line neither."""
    proc = StreamProcessor()
    proc.feed(sse(run(), step()) + sse(run("completed"))[:-1])

    assert anomalies(proc.close()) == ["truncated"]
    assert proc.runs["run_1"].status == "in_progress"


def test_close_twice() -> None:
    """A stream ends once."""
    dialect = Recording(run("queued"))
    proc = StreamProcessor(dialect)
    proc.feed(sse(run()))
    changes = proc.close()

    assert [change.kind for change in changes] == ["run", "anomaly", "run"]
    assert proc.close() == []
    assert proc.truncated
    assert dialect.finished == 1


def test_close_without_a_stream() -> None:
    """No bytes at all are a stream that broke off."""
    proc = StreamProcessor()

    assert [change.id for change in proc.close()] == [""]
    assert proc.truncated


def test_what_the_dialect_says_at_the_end() -> None:
    """It counts before the stream is called complete or not."""
    proc = StreamProcessor(Recording(step(), run("completed")))
    changes = proc.close()

    assert visible(changes) == [("step_1", 1), ("run_1", 1), ("step_1", 2)]
    assert not proc.truncated


# --- the next stream --------------------------------------------------------------------------------------------------


def test_frames_after_the_end() -> None:
    """Without open() they are an anomaly, one a stream, and no loss."""
    proc = StreamProcessor()
    proc.feed(sse(run(), step(), done()))
    changes = proc.feed(sse(arguments("a"), arguments("b"), arguments("c")))

    assert anomalies(changes) == ["reopened"]
    assert visible(changes) == [("step_1", 2), ("step_1", 3), ("step_1", 4)]
    proc.close()
    assert anomalies(proc.feed(sse(arguments("d")))) == ["reopened"]
    assert wire(proc.steps["step_1"])["step_details"]["tool_calls"] == [call("abcd")]


def test_end_of_frames_after_the_end() -> None:
    """To forget open() loses nothing: that such a stream broke off is told as well."""
    dialects: list[Recording] = []

    def factory() -> Recording:
        dialects.append(Recording())
        return dialects[-1]

    proc = StreamProcessor(factory)
    proc.feed(b"data: one\n\n")
    first = [change.kind for change in proc.close()]
    proc.feed(b"data: two\n\n")
    second = [change.kind for change in proc.close()]

    assert first == ["anomaly", "run"]
    assert second == ["anomaly", "step", "run"]
    assert proc.anomalies == {"truncated": 2, "reopened": 1}
    assert [dialect.finished for dialect in dialects] == [1, 1]


def test_open() -> None:
    """The next stream goes on with the same runs; seq goes on, anomalies add up, `truncated` is the last stream's."""
    proc = StreamProcessor(stream="s")
    first = proc.feed(sse(run(), step(), arguments("a"), event("x.y", {}))) + proc.close()
    truncated = [proc.truncated]
    proc.open()
    truncated.append(proc.truncated)
    second = proc.feed(sse(arguments("b"), arguments("c"), event("x.y", {}), done())) + proc.close()
    truncated.append(proc.truncated)

    assert [change.seq for change in [*first, *second]] == list(range(1, 11))
    assert {(change.stream, change.epoch) for change in [*first, *second]} == {("s", 1)}
    assert wire(proc.steps["step_1"])["step_details"]["tool_calls"] == [call("abc")]
    assert proc.anomalies == {"unknown_event": 2, "truncated": 1}
    assert truncated == [True, False, False]


def test_open_knows_the_run() -> None:
    """The second stream of a run has no `run.created`; what it does not say is as it was."""
    proc = StreamProcessor()
    proc.feed(sse(run("requires_action"), done()))
    proc.open()

    assert proc.feed(sse(arguments("a")))[-1].run_id == "run_1"
    assert anomalies(proc.close()) == ["truncated"]


def test_open_forgets_the_last_step() -> None:
    """A delta without an id at the start of a stream belongs nowhere."""
    proc = StreamProcessor()
    proc.feed(sse(step(), message(), arguments("a"), words("b"), done()))
    proc.open()

    assert anomalies(proc.feed(sse(step_delta(call("x", index=0), id=None)))) == ["bad_json"]
    assert anomalies(proc.feed(sse(event("thread.message.delta", {"delta": {}})))) == ["bad_json"]


def test_open_throws_unfinished_bytes_away() -> None:
    """Half an event of one stream is not the beginning of the next one."""
    proc = StreamProcessor()
    proc.feed(sse(run()) + b"event: thread.run.completed\ndata: {")
    proc.open()

    assert visible(proc.feed(b"\xef\xbb\xbf" + sse(step()))) == [("step_1", 1)]
    assert proc.anomalies == {}


def test_open_a_higher_epoch() -> None:
    """Changes say so, and seq counts from one again; the same epoch is just the next stream."""
    proc = StreamProcessor(epoch=3)
    numbers = []
    for epoch in (None, 3, 5, None, 5):
        proc.open(epoch=epoch)
        numbers += [(change.epoch, change.seq) for change in proc.feed(sse(event("x.y", {}), event("x.y", {})))]

    assert numbers == [(3, 1), (3, 2), (3, 3), (3, 4), (5, 1), (5, 2), (5, 3), (5, 4), (5, 5), (5, 6)]
    assert proc.anomalies == {"unknown_event": 10}


class Numbered(AssistantsDialect):
    """Knows which connection it is on."""

    def __init__(self) -> None:
        self.connections = 1

    def resume(self) -> None:
        self.connections += 1


def test_resume_keeps_the_dialect() -> None:
    """What it knows of the stream holds over a connection; unfinished bytes do not, and nor do revisions start over."""
    proc = StreamProcessor(Numbered)
    dialect = proc._dialect
    proc.feed(sse(run("created"), step("created")) + b"event: thread.run.st")
    proc.resume()
    (change,) = proc.feed(sse(step("completed")))

    assert proc._dialect is dialect
    assert isinstance(dialect, Numbered)
    assert dialect.connections == 2
    assert (change.epoch, change.seq, change.revision) == (1, 3, 2)


def test_resume_of_a_dialect_that_cannot() -> None:
    """It is made anew, as for any other stream."""
    proc = StreamProcessor()
    dialect = proc._dialect
    proc.resume()

    assert proc._dialect is not dialect


def test_open_a_lower_epoch() -> None:
    """It is refused, and the stream goes on as it was."""
    proc = StreamProcessor(stream="s", epoch=3)
    proc.feed(sse(run()) + sse(step())[:10])
    with pytest.raises(ValueError, match="epoch 2 of stream 's' is below the current 3"):
        proc.open(epoch=2)

    assert visible(proc.feed(sse(step())[10:])) == [("step_1", 1)]


def test_replay_of_a_complete_run_is_complete() -> None:
    """That nothing new was in it does not make it a stream that broke off."""
    proc = StreamProcessor()
    events = sse(run("created"), step("completed"), run("completed"))
    proc.feed(events)
    proc.close()
    proc.open(epoch=2)
    proc.feed(events)

    assert proc.close() == []
    assert not proc.truncated


# --- limits -----------------------------------------------------------------------------------------------------------


def test_limit_exceeded() -> None:
    """What came before is returned first; then every call raises, until open() begins a new stream."""
    proc = StreamProcessor(limits=Limits(max_line_bytes=300, max_frame_bytes=400))
    changes = proc.feed(sse(run(), step(), arguments("a"), arguments("x" * 300), step("completed")))

    assert visible(changes) == [("run_1", 1), ("step_1", 1), ("step_1", 2)]
    for _ in range(2):
        with pytest.raises(LineTooLong) as raised:
            proc.feed(sse(step("completed")))
        assert (raised.value.limit, raised.value.maximum) == ("max_line_bytes", 300)
    assert [change.kind for change in proc.close()] == ["anomaly", "step", "run"]
    assert proc.truncated
    proc.open()
    assert visible(proc.feed(sse(arguments("b"), arguments("c")))) == [("step_1", 4), ("step_1", 5)]
    assert [change.kind for change in proc.close()] == ["anomaly", "step"]


def test_limit_exceeded_at_the_end() -> None:
    """When no call was left to say so, the end of the stream does, and ends at the second try."""
    proc = StreamProcessor(limits=Limits(max_line_bytes=300, max_frame_bytes=400))
    proc.feed(sse(run(), arguments("x" * 300)))
    with pytest.raises(LineTooLong):
        proc.close()

    assert anomalies(proc.close()) == ["truncated"]


def test_frame_too_large() -> None:
    """A block of many lines has a bound too."""
    proc = StreamProcessor(limits=Limits(max_line_bytes=100, max_frame_bytes=200))
    with pytest.raises(FrameTooLarge):
        proc.feed(b"data: 1\n" * 30)


@pytest.mark.parametrize("extra", [0, 1])
def test_limit_at_its_boundary(extra: int) -> None:
    """A line as long as the limit passes."""
    line = sse(run()).split(b"\n")[1]
    proc = StreamProcessor(limits=Limits(max_line_bytes=len(line) - extra, max_frame_bytes=10_000))

    if extra:
        with pytest.raises(LineTooLong):
            proc.feed(sse(run()))
    else:
        assert visible(proc.feed(sse(run()))) == [("run_1", 1)]


def test_limits_of_a_given_reducer() -> None:
    """They count for the stream too, unless it has its own."""
    reducer = Reducer(Limits(max_line_bytes=100, max_entries=1))
    with pytest.raises(LineTooLong):
        StreamProcessor(reducer=reducer).feed(b"data: " + b"x" * 100)
    own = StreamProcessor(reducer=reducer, limits=Limits(max_entries=5))
    own.feed(sse(step("created", "step_1", call(), note="x" * 100), arguments("a", 1)))

    assert own.anomalies == {"limit": 1}


def test_default_limits() -> None:
    """Those of `Limits`."""
    assert StreamProcessor().reducer.limits == Limits()


# --- dialects ---------------------------------------------------------------------------------------------------------


def test_dialect_by_name() -> None:
    """The only one that needs no name."""
    assert seen(StreamProcessor("assistants"), STREAM) == seen(StreamProcessor(), STREAM)


def test_unknown_dialect() -> None:
    """Its name is told, with those that are known."""
    with pytest.raises(ConfigError, match=r"no dialect 'morse'; known: .*assistants"):
        StreamProcessor("morse")


def test_dialect_instance() -> None:
    """It serves every stream of the processor, frame by frame."""
    dialect = Recording()
    proc = StreamProcessor(dialect)
    proc.feed(b"id: 7\ndata: skip\n\ndata: two\n\n")
    proc.close()
    proc.open()
    proc.feed(b"event: e\ndata: one\n\n")

    assert [(frame.event, frame.data, frame.id) for frame in dialect.frames] == [
        ("message", b"skip", "7"),
        ("message", b"two", "7"),
        ("e", b"one", ""),
    ]
    assert dialect.finished == 1
    assert (list(proc.steps), list(proc.runs)) == (["step_1"], ["run_1"])


def test_dialect_factory() -> None:
    """One instance a stream."""
    made: list[Recording] = []

    def factory() -> Recording:
        made.append(Recording())
        return made[-1]

    proc = StreamProcessor(factory)
    for _ in range(3):
        proc.feed(b"data: one\n\n")
        proc.close()
        proc.open()

    assert [(len(dialect.frames), dialect.finished) for dialect in made] == [(1, 1)] * 3 + [(0, 0)]


def test_dialect_class() -> None:
    """A class is a factory."""
    assert seen(StreamProcessor(AssistantsDialect), STREAM) == seen(StreamProcessor(), STREAM)


def test_several_events_of_one_frame() -> None:
    """All of them are applied, in order."""
    assert visible(StreamProcessor(Recording()).feed(b"data: two\n\n")) == [("step_1", 1), ("run_1", 1)]


def test_cursor() -> None:
    """The dialect's; None where it has none."""
    dialect = Recording()
    proc = StreamProcessor(dialect)
    before = proc.cursor
    proc.feed(b"id: 7\ndata: x\n\ndata: y\n\n")

    assert (before, proc.cursor) == (None, "7")
    assert StreamProcessor().cursor is None


def test_ids_of_regular_events() -> None:
    """The last event id goes with each frame, also with those that have none of their own."""
    dialect = Recording()
    proc = StreamProcessor(dialect)
    proc.feed(b"id: 7\ndata: x\n\n")
    proc.feed(b"event: a\ndata: y\n\nevent: a\ndata: z\n\n")

    assert [(frame.event, frame.id) for frame in dialect.frames] == [("message", "7"), ("a", "7"), ("a", "7")]


def test_ids_of_what_is_no_fragment() -> None:
    """Also where text fragments take a shorter way."""

    class Short(Recording):
        fragments = FRAGMENT_DECODERS

    dialect = Short()
    proc = StreamProcessor(dialect)
    proc.feed(b"id: 7\ndata: x\n\n")
    proc.feed(sse(arguments("a"), arguments("b")))

    assert [frame.id for frame in dialect.frames] == ["7", "7", "7"]


# --- what it shows ----------------------------------------------------------------------------------------------------


def test_states() -> None:
    """Live views by id, of everything its reducer knows."""
    reducer = Reducer()
    proc = StreamProcessor(reducer=reducer)
    steps, runs, messages = proc.steps, proc.runs, proc.messages
    proc.feed(sse(run(), step(step_details=creation()), message()))

    assert (list(runs), list(steps), list(messages)) == (["run_1"], ["step_1"], ["msg_1"])
    assert proc.reducer is reducer
    assert isinstance(steps["step_1"], RunStep)
    assert wire(steps["step_1"]) == step(step_details=creation()).data
    assert steps["step_1"] == reducer.steps["step_1"]
    with pytest.raises(KeyError):
        steps["step_2"]


def test_anomalies_are_read_only() -> None:
    """They are counts to look at, and follow."""
    proc = StreamProcessor()
    counts: Any = proc.anomalies
    proc.feed(sse(event("x.y", {})))

    assert counts == {"unknown_event": 1}
    with pytest.raises(TypeError):
        counts["unknown_event"] = 0
    assert "provisional" not in counts


def test_hydrate_and_evict() -> None:
    """They are the reducer's, in the name of this stream."""
    proc = StreamProcessor(stream="s", epoch=4)
    changes = proc.hydrate(RunStep(id="step_1", run_id="run_1", status="completed"))

    assert [(change.stream, change.epoch, change.seq, change.event) for change in changes] == [
        ("s", 4, 1, "thread.run.step.completed")
    ]
    proc.evict("run_1")
    assert len(proc.steps) == 0
    assert changes[0].state.status == "completed"


def test_infer_belongs_to_the_stream_of_the_processor() -> None:
    """As all that it is told."""
    proc = StreamProcessor(stream="s", epoch=3)
    proc.feed(sse(run("created")))

    assert [(change.stream, change.epoch, change.seq) for change in proc.infer("run_1", "expired")] == [("s", 3, 2)]


def _half(proc: StreamProcessor) -> list[Change]:
    """An event whose other half follows."""
    data = sse(arguments("x", id="step_2"))
    return [*proc.feed(data[:30]), *proc.feed(data[30:])]


BETWEEN: dict[str, Callable[[StreamProcessor], object]] = {
    "nothing": lambda proc: [],
    "a comment": lambda proc: proc.feed(b": alive\n\n"),
    "an event in two chunks": _half,
    "a fragment for another step": lambda proc: proc.feed(sse(arguments("x", id="step_2"))),
    "another step": lambda proc: proc.feed(sse(step("created", "step_3"))),
    "the end of the step": lambda proc: proc.feed(sse(step("completed"))),
    "the end of the run": lambda proc: proc.feed(sse(run("completed"))),
    "done": lambda proc: proc.feed(sse(done())),
    "a state from elsewhere": lambda proc: proc.hydrate(
        RunStep(id="step_2", run_id="run_1", status="completed", type="tool_calls")
    ),
    "an inferred end": lambda proc: proc.infer("run_1", "expired"),
    "no run any more": partial(StreamProcessor.evict, run_id="run_1"),
    "a new stream": StreamProcessor.open,
    "a new pass": partial(StreamProcessor.open, epoch=2),
    "the end of the stream": StreamProcessor.close,
}


@pytest.mark.parametrize("name", BETWEEN)
def test_chunks_of_one_event_with_something_between(name: str) -> None:
    """What is kept to take such chunks quickly holds no longer than nothing else comes."""
    outcomes: list[Any] = []
    for dialect in (AssistantsDialect, GeneralDialect):
        proc = StreamProcessor(dialect)
        changes = proc.feed(
            sse(run("created"), step("created"), step("created", "step_2"), arguments("a", id="step_2"))
        )
        for text in "bcde":
            changes += proc.feed(sse(arguments(text)))
        found = BETWEEN[name](proc)
        changes += found if isinstance(found, list) else []
        for text in "fgh":
            changes += proc.feed(sse(arguments(text)))
        changes += proc.feed(sse(Event("thread.run.step.delta", {"delta": arguments("i").data["delta"]})))
        changes += proc.close()
        outcomes.append(([encode_change(change) for change in changes], dict(proc.steps), dict(proc.anomalies)))

    assert outcomes[1] == outcomes[0]
