"""Pipeline: streams, connections, hooks and sinks together, in virtual time; and that nothing is left behind."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from random import Random
from typing import Any

import anyio
import pytest
from structlog.testing import capture_logs

from streamproc import (
    Change,
    DeliveryPolicy,
    Event,
    Limits,
    Message,
    Pipeline,
    Retry,
    Run,
    RunHooks,
    RunStep,
    StreamProcessor,
    StreamResult,
    to_wire,
)
from streamproc.actions import RequiredAction
from streamproc.dialects import ChatDialect
from streamproc.errors import (
    ConfigError,
    HookError,
    LineTooLong,
    SourceError,
    SourceUnavailable,
    StoreError,
    StreamTruncated,
)
from streamproc.protocols import Source
from streamproc.sinks.memory import MemorySink
from streamproc.stores.memory import MemoryStore
from streamproc.testing.memory import HANG, Raise, ScriptedSink, ScriptedSource, Slow, Unavailable
from tests.chats import calling, ends, piece, says, stream
from tests.streams import arguments, call, done, message, run, sse, step, words
from tests.unit.delivery.sinks import virtual

OPENING = sse(run("created"), step("created"), arguments("a"))
ENDING = sse(arguments("b"), step("completed", "step_1", call("ab")), run("completed"), done())
WHOLE = OPENING + ENDING
LOST = Raise(SourceUnavailable("reset"))
ACTION = {
    "type": "submit_tool_outputs",
    "submit_tool_outputs": {
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}}]
    },
}
WAITING = sse(run("created"), step("created"), arguments("a"), run("requires_action", required_action=ACTION), done())
GOING_ON = sse(step("completed", "step_1", call("a")), run("in_progress"), message("created"), words("hi"))
LAST = sse(message("completed"), run("completed"), done())


class Kept(RunHooks):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_step_done(self, step: RunStep, change: Change, /) -> None:
        self.seen.append(f"{step.id} {change.inferred_status or step.status}")

    def on_truncated(self, change: Change, /) -> None:
        self.seen.append(f"truncated {change.id}")

    def on_end(self, stream: str, run_id: str | None, /) -> None:
        self.seen.append(f"end {stream} {run_id}")


class Resyncing(ScriptedSource):
    """A source that can ask for the result."""

    def __init__(self, *connections: Any, answers: Sequence[Any], **options: Any) -> None:
        super().__init__(*connections, **options)
        self.asked: list[tuple[str, str | None]] = []
        self._answers = list(answers)

    async def resync(self, run_id: str, thread_id: str | None) -> Sequence[Run | RunStep | Message]:
        self.asked.append((run_id, thread_id))
        await anyio.lowlevel.checkpoint()
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        found: Sequence[Run | RunStep | Message] = answer
        return found


def results() -> list[Run | RunStep | Message]:
    """What the server's lists say once the run has ended."""
    step_state = RunStep(
        id="step_1", object="thread.run.step", status="completed", run_id="run_1", step_details=None, type="tool_calls"
    )
    return [step_state, Run(id="run_1", object="thread.run", status="completed")]


def told(sink: MemorySink | ScriptedSink) -> list[tuple[int, int, str]]:
    changes = sink.changes if isinstance(sink, MemorySink) else sink.taken
    return [(change.epoch, change.seq, change.event.removeprefix("thread.")) for change in changes]


def piped(*sinks: Any, **options: Any) -> Pipeline:
    """A pipeline that began at second 1 and whose jitter is always the same."""
    return Pipeline(sinks, random=Random(1), now=lambda: 1.0, **options)


# --- one stream -------------------------------------------------------------------------------------------------------


@virtual
async def test_a_stream_reaches_hooks_and_sinks() -> None:
    """Every change, in order, stamped; the states are there afterwards."""
    hooks, sink = Kept(), MemorySink()
    async with piped(sink, hooks=hooks) as pipeline:
        result = await pipeline.run(ScriptedSource([OPENING, ENDING], name="s"))

    assert result == StreamResult(stream="s", run_id="run_1", epoch=1000, connections=1, truncated=False, error=None)
    assert result.raise_for_error() is result
    assert [seq for _, seq, _ in told(sink)] == [1, 2, 3, 4, 5, 6]
    assert {change.at for change in sink.changes} == {"1970-01-01T00:00:01.000Z"}
    assert hooks.seen == ["step_1 completed", "end s run_1"]
    assert to_wire(pipeline.steps["step_1"]) == to_wire(sink.changes[4].state)
    assert pipeline.runs["run_1"].status == "completed"
    assert not pipeline.messages
    assert [each.acked for each in pipeline.statistics()] == [6]


@virtual
async def test_what_follows_done_is_not_waited_for() -> None:
    """A server that keeps the connection open after the end holds nobody up."""
    source = ScriptedSource([WHOLE, HANG])
    async with piped() as pipeline:
        result = await pipeline.run(source)

    assert not result.truncated
    assert source.open_connections == 0


@virtual
async def test_a_plain_iterable_is_a_source() -> None:
    """Whatever `IterableSource` takes, `run` takes too."""
    async with piped() as pipeline:
        assert (await pipeline.run([OPENING])).truncated
        assert not (await pipeline.run([ENDING])).truncated


@virtual
async def test_streams_side_by_side() -> None:
    """Several sources on one pipeline; changes of each are in order."""
    sink = MemorySink()
    async with piped(sink) as pipeline, anyio.create_task_group() as tasks:
        for name in ("one", "two", "three"):
            data = WHOLE.replace(b"_1", f"_{name}".encode())
            items = [item for at in range(0, len(data), 50) for item in (Slow(0.01), data[at : at + 50])]
            tasks.start_soon(pipeline.run, ScriptedSource(items, name=name))

    assert len(sink.changes) == 18
    for name in ("one", "two", "three"):
        assert [change.seq for change in sink.changes if change.stream == name] == [1, 2, 3, 4, 5, 6]
        assert pipeline.steps[f"step_{name}"].status == "completed"


@virtual
async def test_two_streams_of_one_name() -> None:
    """One after the other is a new epoch; at the same time is a mistake, and harms nothing."""
    sink = MemorySink()
    async with piped(sink) as pipeline, anyio.create_task_group() as tasks:
        tasks.start_soon(pipeline.run, ScriptedSource([OPENING, Slow(1), ENDING]))
        await anyio.sleep(0.5)
        with pytest.raises(ConfigError, match="'scripted' is being followed already"):
            await pipeline.run(ScriptedSource([WHOLE]))
        await anyio.sleep(1)
        result = await pipeline.run(ScriptedSource([WHOLE.replace(b"_1", b"_2")]))
        assert result.epoch == 1001

    assert [epoch for epoch, _, _ in told(sink)] == [1000] * 6 + [1001] * 6


async def _run(pipeline: Pipeline) -> None:
    await pipeline.run([WHOLE])


async def _changes(pipeline: Pipeline) -> None:
    assert [change async for change in pipeline.changes([WHOLE])]


async def _tee(pipeline: Pipeline) -> None:
    assert [chunk async for chunk in pipeline.tee(given(WHOLE))]


@pytest.mark.parametrize("use", [_run, _changes, _tee])
def test_a_pipeline_that_is_not_open(use: Any) -> None:
    """It says what is missing."""

    @virtual
    async def used() -> None:
        pipeline = piped()
        with pytest.raises(ConfigError, match="use `async with Pipeline"):
            await use(pipeline)
        async with pipeline:
            await use(pipeline)
        with pytest.raises(ConfigError, match="not open"):
            await use(pipeline)

    used()


# --- lost connections -------------------------------------------------------------------------------------------------


@virtual
async def test_resume_goes_on_in_the_same_epoch() -> None:
    """From the last event id; seq goes on, nothing is doubled."""
    ids = OPENING.replace(b"\n\n", b"\nid: 7\n\n")
    source = ScriptedSource([ids, LOST], [LOST], [ENDING], resumable=True)
    sink = MemorySink()
    with capture_logs() as logs:
        async with piped(sink) as pipeline:
            result = await pipeline.run(source)

    assert source.cursors == [None, "7", "7"]
    assert (result.connections, result.truncated) == (3, False)
    assert [(epoch, seq) for epoch, seq, _ in told(sink)] == [(1000, seq) for seq in range(1, 7)]
    assert [(log["event"], log["way"], log["attempt"]) for log in logs] == [
        ("stream.reconnecting", "resume", 1),
        ("stream.reconnecting", "resume", 2),
    ]


@virtual
async def test_restart_begins_a_new_epoch() -> None:
    """The stream from its beginning gives the states of a run that was never interrupted."""
    source = ScriptedSource([OPENING, LOST], [WHOLE], repeatable=True)
    sink = MemorySink()
    async with piped(sink) as pipeline:
        result = await pipeline.run(source)

    assert (result.epoch, result.truncated) == (1001, False)
    assert pipeline.steps["step_1"].status == "completed"
    assert {epoch for epoch, _, _ in told(sink)} == {1000, 1001}
    assert not any(change.kind == "anomaly" for change in sink.changes)


@virtual
async def test_resync_takes_the_result() -> None:
    """Asked for again when the server is not ready; the run's end comes from there."""
    source = Resyncing([OPENING, LOST], answers=[SourceUnavailable("busy", 3.0), results()])
    sink, hooks = MemorySink(), Kept()
    with capture_logs() as logs:
        async with piped(sink, hooks=hooks) as pipeline:
            result = await pipeline.run(source)

    assert source.asked == [("run_1", "thread_1")] * 2
    assert (result.truncated, result.error) == (False, None)
    assert pipeline.steps["step_1"].status == "completed"
    assert hooks.seen == ["step_1 completed", "end scripted run_1"]
    assert [log["event"] for log in logs] == ["stream.reconnecting", "stream.reconnecting", "stream.resynced"]
    assert [log["wait_s"] >= 3.0 for log in logs[:2]] == [False, True]


@virtual
async def test_resync_that_is_refused_is_asked_for_once() -> None:
    """An error that no attempt can change is the stream's end."""
    source = Resyncing([OPENING, LOST], answers=[SourceError("forbidden")])
    async with piped() as pipeline:
        result = await pipeline.run(source)

    assert len(source.asked) == 1
    assert (result.truncated, str(result.error)) == (True, "forbidden")


@virtual
async def test_resync_that_tells_of_no_end_is_truncated() -> None:
    """A result that is none leaves the stream as it was."""
    source = Resyncing([OPENING, LOST], answers=[[]] * 3)
    async with piped(retry=Retry(max_attempts=3)) as pipeline:
        result = await pipeline.run(source)

    assert result.truncated
    assert isinstance(result.error, StreamTruncated)


@pytest.mark.parametrize(
    ("connections", "options", "error"),
    [
        ([[OPENING, LOST]], {}, SourceUnavailable("reset")),
        ([[OPENING]], {}, StreamTruncated("scripted")),
        ([[OPENING, Raise(SourceError("gone"))], [WHOLE]], {"repeatable": True}, SourceError("gone")),
        ([Raise(SourceError("forbidden"))], {"repeatable": True}, SourceError("forbidden")),
        ([[OPENING, LOST]] * 3, {"repeatable": True}, SourceUnavailable("reset")),
        ([[OPENING]], {"resumable": True}, StreamTruncated("scripted")),
    ],
)
def test_truncated(connections: list[Any], options: dict[str, Any], error: SourceError) -> None:
    """What cannot go on is marked, delivered, told to hooks, logged once and in the result; nothing is raised."""

    @virtual
    async def followed() -> None:
        hooks, sink = Kept(), MemorySink()
        with capture_logs() as logs:
            async with piped(sink, hooks=hooks, retry=Retry(max_attempts=3)) as pipeline:
                result = await pipeline.run(ScriptedSource(*connections, **options))
                with pytest.raises(type(error)):
                    result.raise_for_error()

        opened = any(connections) and not isinstance(connections[0], Raise)
        assert result.truncated
        assert str(result.error) == str(error)
        assert [log["cause"] for log in logs if log["event"] == "stream.truncated"] == [str(error)]
        assert sink.changes[-1].truncated is opened
        assert hooks.seen[-1] == f"end scripted {'run_1' if opened else None}"
        assert len({each.acked for each in pipeline.statistics()} - {len(sink.changes)}) == 0

    followed()


@pytest.mark.parametrize(("connection", "connections"), [([OPENING, Slow(70), LOST], 3), ([Slow(70), b":\n", LOST], 5)])
def test_silence_is_no_health(connection: list[Any], connections: int) -> None:
    """Only bytes after a minute end a row of failures; a server that falls silent each time is given up."""

    @virtual
    async def followed() -> None:
        source = ScriptedSource(*[connection] * 5, repeatable=True)
        async with piped(retry=Retry(max_attempts=3)) as pipeline:
            result = await pipeline.run(source)

        assert result.truncated
        assert connections == result.connections

    followed()


@virtual
async def test_a_stream_that_is_complete_needs_no_end() -> None:
    """A connection that breaks after the run's end was not truncated."""
    async with piped() as pipeline:
        result = await pipeline.run(ScriptedSource([WHOLE.replace(sse(done()), b""), LOST]))

    assert (result.truncated, result.error) == (False, None)


@virtual
async def test_the_server_s_reconnection_time_is_kept() -> None:
    """No attempt comes before it."""
    source = ScriptedSource([b"retry: 7000\n\n" + OPENING], [WHOLE], repeatable=True)
    async with piped() as pipeline:
        began_s = anyio.current_time()
        await pipeline.run(source)

        assert anyio.current_time() - began_s == 7.0


@virtual
async def test_a_limit_ends_the_stream() -> None:
    """What came before it is delivered; the result says which limit it was."""
    sink = MemorySink()
    async with piped(sink, limits=Limits(max_line_bytes=1000)) as pipeline:
        result = await pipeline.run(ScriptedSource([OPENING, b"data: " + b"x" * 2000, ENDING], repeatable=True))

    assert result.truncated
    assert isinstance(result.error, LineTooLong)
    assert len(told(sink)) > 3
    assert sink.changes[-1].truncated


@virtual
async def test_a_limit_that_shows_only_at_the_end() -> None:
    """The last chunk had changes before it; the result says so all the same."""
    data = OPENING + b"data: " + b"x" * 2000
    async with piped(limits=Limits(max_line_bytes=1000)) as pipeline:
        result = await pipeline.run(ScriptedSource([data]))

    assert isinstance(result.error, LineTooLong)


@virtual
async def test_an_exception_of_a_source_that_is_a_bug_is_raised() -> None:
    """The stream is ended properly all the same."""
    hooks, sink = Kept(), MemorySink()
    async with piped(sink, hooks=hooks) as pipeline:
        with pytest.raises(ZeroDivisionError):
            await pipeline.run(ScriptedSource([OPENING, Raise(ZeroDivisionError())], repeatable=True))

    assert hooks.seen[-1] == "end scripted run_1"
    assert sink.changes[-1].truncated


# --- the tool loop ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_async", [False, True])
def test_tool_loop(is_async: bool) -> None:
    """The answer's stream goes on with the same run: one sequence of changes, one end."""

    @virtual
    async def looped() -> None:
        asked: list[RequiredAction] = []

        def submit(action: RequiredAction) -> Source:
            asked.append(action)
            return ScriptedSource([GOING_ON, LAST] if len(asked) == 2 else [WAITING.replace(b"c1", b"c2")], name="x")

        async def submit_later(action: RequiredAction) -> Source:
            await anyio.sleep(1)
            return submit(action)

        hooks, sink = Kept(), MemorySink()
        async with piped(sink, hooks=hooks) as pipeline:
            result = await pipeline.run(ScriptedSource([WAITING]), submit=submit_later if is_async else submit)

        assert [(each.id, each.name, each.arguments) for action in asked for each in action.calls] == [
            ("c1", "f", {"x": 1}),
            ("c2", "f", {"x": 1}),
        ]
        assert (result.stream, result.connections, result.truncated) == ("scripted", 3, False)
        assert [seq for _, seq, _ in told(sink)] == [*range(1, len(sink.changes) + 1)]
        assert {change.stream for change in sink.changes} == {"scripted"}
        assert pipeline.runs["run_1"].status == "completed"
        assert hooks.seen == ["step_1 completed", "end scripted run_1"]

    looped()


@virtual
async def test_no_tool_loop_without_submit() -> None:
    """A run that requires action ends its stream; the run may go on in another one."""
    async with piped() as pipeline:
        first = await pipeline.run(ScriptedSource([WAITING]))
        status = pipeline.runs["run_1"].status
        await pipeline.run(ScriptedSource([GOING_ON, LAST]))

        assert (first.truncated, status) == (False, "requires_action")
        assert pipeline.steps["step_1"].status == "completed"


@virtual
async def test_a_submit_that_raises() -> None:
    """It is the user's own; the stream has been ended."""

    def submit(action: RequiredAction) -> Source:
        raise KeyError(action.calls[0].id)

    hooks = Kept()
    async with piped(hooks=hooks) as pipeline:
        with pytest.raises(KeyError, match="c1"):
            await pipeline.run(ScriptedSource([WAITING]), submit=submit)

    assert hooks.seen == ["end scripted run_1"]


@virtual
async def test_tool_loop_of_a_server_that_says_no_done() -> None:
    """That action is required shows only when the stream ends."""
    turns = ChatDialect.turns("run_1")
    answer = ScriptedSource([stream(says("22"), ends("stop"))])

    def submit(action: RequiredAction) -> Source:
        turns.answer(action.calls[0].id, "22")
        return answer

    async with piped() as pipeline:
        asking = ScriptedSource([stream(calling(piece("{}", "f", id="call_1")), ends("tool_calls"))])
        result = await pipeline.run(asking, dialect=turns, submit=submit)

    assert (result.connections, result.truncated, result.error) == (2, False, None)
    assert [step.status for step in pipeline.steps.values()] == ["completed", "completed"]
    assert pipeline.runs["run_1"].status == "completed"


@pytest.mark.parametrize("end", [[], [LOST]])
def test_a_completion_that_is_complete_is_not_asked_for_again(end: list[Any]) -> None:
    """Whatever becomes of the connection after the last `finish_reason`: another answer would be another one."""

    @virtual
    async def followed() -> None:
        source = ScriptedSource([stream(says("Hi"), ends("stop")), *end], repeatable=True)
        async with piped(dialect="auto") as pipeline:
            result = await pipeline.run(source)

        assert (result.connections, result.truncated, result.error) == (1, False, None)
        assert [run.status for run in pipeline.runs.values()] == ["completed"]

    followed()


@virtual
async def test_tool_loop_with_a_limit_that_shows_only_at_the_end() -> None:
    """What was asked for is known all the same."""
    asked: list[RequiredAction] = []

    def submit(action: RequiredAction) -> Source:
        asked.append(action)
        return ScriptedSource([GOING_ON, LAST])

    async with piped(limits=Limits(max_line_bytes=1000)) as pipeline:
        waiting = WAITING[: WAITING.index(b"event: done")] + b"data: " + b"x" * 2000
        result = await pipeline.run(ScriptedSource([waiting]), submit=submit)

    assert len(asked) == 1
    assert (result.truncated, pipeline.runs["run_1"].status) == (False, "completed")


# --- changes and tee --------------------------------------------------------------------------------------------------


@virtual
async def test_changes_are_given_as_they_come() -> None:
    """All of them, those of the end included, and one chunk at most is read ahead of a slow reader."""
    source = ScriptedSource([OPENING, *[sse(arguments(text)) for text in "bcde"]])
    sink = MemorySink()
    async with piped(sink) as pipeline:
        changes = pipeline.changes(source)
        seen = [(await anext(changes)).event]
        await anyio.sleep(5)
        assert len(sink.changes) == 4
        with pytest.raises(StreamTruncated):
            await drained(changes, seen)

    assert seen == [change.event for change in sink.changes]
    assert seen[-1] == "truncated"
    assert len(seen) == 10


@virtual
async def test_leaving_the_changes_early() -> None:
    """The connection is closed, the rest marked, and the pipeline goes on."""
    source, sink = ScriptedSource([OPENING, HANG]), MemorySink()
    async with piped(sink) as pipeline:
        async with aclosing(pipeline.changes(source)) as changes:
            async for _ in changes:
                break
        await anyio.sleep(1)
        assert source.open_connections == 0
        assert not (await pipeline.run(ScriptedSource([WHOLE.replace(b"_1", b"_2")]))).truncated

    assert "truncated" in {change.event for change in sink.changes}


@virtual
async def test_changes_abandoned_when_the_pipeline_is_left() -> None:
    """Nobody asks for the rest any more; leaving does not wait for it."""
    source = ScriptedSource([OPENING, HANG])
    pipeline = piped()
    async with pipeline:
        changes = pipeline.changes(source)
        await anext(changes)
    await changes.aclose()

    assert source.open_connections == 0


async def drained(changes: AsyncGenerator[Change], seen: list[str]) -> None:
    async for change in changes:
        seen += [change.event]


def test_a_pipeline_is_made_anywhere() -> None:
    """Outside of an event loop too, as a module's constant for example; it is entered inside one."""
    pipeline = piped(MemorySink())

    @virtual
    async def used() -> None:
        async with pipeline:
            assert not (await pipeline.run([WHOLE])).truncated

    used()


async def given(*chunks: bytes | Exception) -> AsyncGenerator[bytes]:
    for chunk in chunks:
        await anyio.lowlevel.checkpoint()
        if isinstance(chunk, Exception):
            raise chunk
        yield chunk


@virtual
async def test_tee_gives_the_same_bytes() -> None:
    """Cut as they came, whatever they are, while the run is processed."""
    sink = MemorySink()
    chunks = [OPENING[:70], b"", OPENING[70:], b"\xff\n\n", ENDING]
    async with piped(sink) as pipeline:
        seen = [chunk async for chunk in pipeline.tee(given(*chunks), stream="t")]

    assert seen == chunks
    assert [change.event for change in sink.changes][-1] == "thread.run.completed"
    assert {change.stream for change in sink.changes} == {"t"}


@virtual
async def test_tee_passes_on_what_breaks_a_limit() -> None:
    """Processing ends there; the bytes do not."""
    sink = MemorySink()
    chunks = [OPENING, b"x" * 2000, b"x" * 2000, ENDING]
    with capture_logs() as logs:
        async with piped(sink, limits=Limits(max_line_bytes=1000)) as pipeline:
            seen = [chunk async for chunk in pipeline.tee(given(*chunks))]

    assert seen == chunks
    assert sink.changes[-1].truncated
    assert [log["cause"] for log in logs] == ["expected at most 1000 (max_line_bytes), more came"]


@virtual
async def test_tee_lets_exceptions_pass() -> None:
    """They are the user's; what came before is kept and marked."""
    sink = MemorySink()
    async with piped(sink) as pipeline:
        with pytest.raises(OSError, match="gone"):
            [chunk async for chunk in pipeline.tee(given(OPENING, OSError("gone")))]

    assert sink.changes[-1].truncated


@virtual
async def test_tee_waits_for_a_sink_that_is_behind() -> None:
    """The chunk is given first; the next one is asked for when there is room."""
    policy = DeliveryPolicy(inbox_max=1, batch_max=1)
    async with piped((ScriptedSink(Slow(5)), policy)) as pipeline:
        began_s = anyio.current_time()
        waits = [anyio.current_time() - began_s async for _ in pipeline.tee(given(OPENING, ENDING))]

    assert waits == [0.0, 5.0]


# --- states from elsewhere --------------------------------------------------------------------------------------------


def stated(made: Event) -> Run | RunStep:
    """The object of an event, as a client has it."""
    proc = StreamProcessor()
    proc.feed(sse(made))
    found: list[Run | RunStep] = [*proc.runs.values(), *proc.steps.values()]
    return found[0]


@virtual
async def test_hydrating_goes_on_in_one_stream() -> None:
    """Each call hands on its changes; sequence numbers count through."""
    sink = MemorySink()
    async with piped(sink) as pipeline:
        await pipeline.hydrate([stated(run("in_progress"))])
        await pipeline.hydrate([stated(step("completed")), stated(run("completed"))])

    assert [(change.stream, change.seq, change.event) for change in sink.changes] == [
        ("hydrated", 1, "thread.run.in_progress"),
        ("hydrated", 2, "thread.run.step.completed"),
        ("hydrated", 3, "thread.run.completed"),
    ]
    assert pipeline.runs["run_1"].status == "completed"


@virtual
async def test_hydrating_leaves_the_stream_of_the_run_alone() -> None:
    """What a client asks for in the middle of a stream does not end or replace that."""
    sink = MemorySink()
    async with piped(sink) as pipeline:
        chunks = pipeline.tee(given(OPENING, ENDING), stream="t")
        await anext(chunks)
        await pipeline.hydrate([stated(run("in_progress"))])
        rest = [chunk async for chunk in chunks]

    assert rest == [ENDING]
    assert {change.event for change in sink.changes if change.kind == "anomaly"} == set()
    assert pipeline.runs["run_1"].status == "completed"


@virtual
async def test_hydrating_leaves_out_what_has_no_status() -> None:
    """Some servers' messages have none."""
    async with piped(MemorySink()) as pipeline:
        changes = await pipeline.hydrate([Message(id="msg_1")])

    assert changes == []


@virtual
async def test_pipeline_can_take_a_stream_while_it_is_open() -> None:
    """Neither before nor after."""
    pipeline = piped(MemorySink())
    before = await pipeline.can_take()
    async with pipeline:
        within = await pipeline.can_take()

    assert (before, within, await pipeline.can_take()) == (False, True, False)


@virtual
async def test_pipeline_can_take_nothing_while_a_sink_is_behind() -> None:
    """A stream would have to wait."""
    policy = DeliveryPolicy(inbox_max=1, batch_max=1)
    async with piped((ScriptedSink(Slow(5)), policy)) as pipeline:
        chunks = pipeline.tee(given(OPENING, ENDING))
        await anext(chunks)
        takes = await pipeline.can_take()
        await chunks.aclose()

    assert takes is False


@virtual
async def test_pipeline_can_take_nothing_while_its_store_fails() -> None:
    """Whether it does is found out by writing."""

    class Failing(MemoryStore):
        async def next_epoch(self, stream: str) -> int:
            raise StoreError("the disk is full")

    async with Pipeline(store=Failing()) as pipeline:
        takes = await pipeline.can_take()

    assert takes is False


# --- sinks and hooks that fail ----------------------------------------------------------------------------------------


@virtual
async def test_a_sink_that_cannot_be_entered() -> None:
    """The error comes as it is, before anything is read; what was entered is left."""

    class Broken:
        async def __aenter__(self) -> None:
            await anyio.lowlevel.checkpoint()
            raise ConfigError("no such folder")

        async def __aexit__(self, *error: object) -> None:
            raise AssertionError

        async def write(self, batch: Sequence[Change]) -> None:
            raise AssertionError

    first = ScriptedSink()
    with pytest.raises(ConfigError, match="no such folder"):
        async with piped(first, Broken()):
            raise AssertionError

    assert (first.entered, first.left) == (1, 1)


@virtual
async def test_leaving_waits_for_sinks() -> None:
    """All that was read is delivered, also when the sink was not ready."""
    sink = ScriptedSink(Unavailable(2.0), Slow(1))
    async with piped(sink) as pipeline:
        await pipeline.run([WHOLE])

    assert len(sink.taken) == 6


@virtual
async def test_leaving_does_not_wait_for_ever() -> None:
    """What a sink has not taken by the deadline is dropped, and counted."""
    sink = ScriptedSink(HANG)
    async with piped(sink, drain_s=3) as pipeline:
        await pipeline.run([WHOLE])
        began_s = anyio.current_time()

    (account,) = pipeline.statistics()
    assert anyio.current_time() - began_s == 3.0
    assert (account.received, account.dropped, account.pending) == (6, 6, 0)


class Odd(Exception):
    """Not an error of ours."""


@virtual
async def test_an_exception_in_the_body() -> None:
    """It comes as it was raised, and what was read is delivered first."""
    sink = ScriptedSink(Slow(1))

    async def use() -> None:
        async with piped(sink) as pipeline:
            await pipeline.run([WHOLE])
            raise Odd

    with pytest.raises(Odd):
        await use()

    assert len(sink.taken) == 6


class Failing(RunHooks):
    def on_step_done(self, step: RunStep, change: Change, /) -> None:
        raise Odd("sync")


class FailingLater(RunHooks):
    async def on_step_done(self, step: RunStep, change: Change, /) -> None:
        await anyio.sleep(1)
        raise Odd("async")


@virtual
async def test_a_hook_that_raises_is_logged() -> None:
    """By default it changes nothing."""
    sink = MemorySink()
    with capture_logs() as logs:
        async with piped(sink, hooks=[Failing(), FailingLater()]) as pipeline:
            await pipeline.run([WHOLE])

    assert [log["event"] for log in logs] == ["hook.failed", "hook.failed"]
    assert len(sink.changes) == 6


@pytest.mark.parametrize("hooks", [Failing(), FailingLater()])
def test_a_hook_that_may_raise(hooks: RunHooks) -> None:
    """Its error comes out of the pipeline, bare, with its cause; sinks have got everything."""

    @virtual
    async def raised() -> None:
        sink = MemorySink()

        async def use() -> None:
            async with piped(sink, hooks=hooks, on_hook_error="raise") as pipeline:
                await pipeline.run(ScriptedSource([WHOLE]))
                await anyio.sleep(60)

        with pytest.raises(HookError) as raising:
            await use()

        assert isinstance(raising.value.__cause__, Odd)
        assert told(sink)[-1][2] in ("run.completed", "run.step.completed")

    raised()


@virtual
async def test_a_slow_async_hook_holds_up_its_reader_only_beyond_the_bound() -> None:
    """256 batches may wait; the 257th chunk is not read before there is room."""

    class Slowly(RunHooks):
        async def on_change(self, change: Change, /) -> None:
            await anyio.sleep(1)

    chunks = [sse(run("created")), *(sse(arguments(str(number))) for number in range(300))]
    source = ScriptedSource(chunks)
    async with piped(hooks=Slowly(), drain_s=1000) as pipeline, anyio.create_task_group() as tasks:
        tasks.start_soon(pipeline.run, source)
        await anyio.sleep(0.5)
        held = len(to_wire(pipeline.steps["step_1"]))
        await anyio.sleep(400)
        assert len(to_wire(pipeline.steps["step_1"])) > held


@virtual
async def test_evict_forgets_a_run_everywhere() -> None:
    """States and what hooks know of it."""
    hooks = Kept()
    async with piped(hooks=hooks) as pipeline:
        await pipeline.run([WHOLE])
        pipeline.evict("run_1")

        assert not pipeline.steps
        assert not pipeline.runs
        assert pipeline.dead_letters == ()


# --- cancellation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("turns", range(60))
def test_cancelled_at_any_await(turns: int) -> None:
    """The connection is closed, no task is left, and sinks have got what was read."""

    @virtual
    async def cancelled() -> None:
        source = ScriptedSource([OPENING, Slow(1), ENDING[:100], LOST], [OPENING, Slow(1), ENDING], repeatable=True)
        hooks, sink = Kept(), ScriptedSink(Slow(0.5), Unavailable(0.1))

        async def use() -> None:
            async with piped(sink, hooks=hooks) as pipeline:
                await pipeline.run(source)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(use)
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()
                await anyio.sleep(0.07 if turns % 2 else 0)
            tasks.cancel_scope.cancel()

        assert source.open_connections == 0
        assert sink.entered == sink.left
        assert [change.seq for change in sink.taken][:3] in ([], [1], [1, 2], [1, 2, 3])

    cancelled()


# --- pushed streams ---------------------------------------------------------------------------------------------------


@virtual
async def test_a_pushed_stream_cut_anywhere() -> None:
    """Its changes are those of the same bytes from a source, and its end says what became of it."""
    sink = MemorySink()
    async with Pipeline(sinks=[sink]) as pipeline:
        stream = await pipeline.push("pushed")
        counts = [len(await stream.feed(WHOLE[at : at + 7])) for at in range(0, len(WHOLE), 7)]
        result = stream.end()

    assert sum(counts) == len(sink.changes) == 6
    assert (stream.received, stream.is_done, stream.epoch) == (len(WHOLE), True, result.epoch)
    assert (result.stream, result.run_id, result.truncated) == ("pushed", "run_1", False)


@virtual
async def test_a_pushed_stream_that_is_broken_off() -> None:
    """It is truncated, and its name is free again."""
    async with Pipeline() as pipeline:
        stream = await pipeline.push("pushed")
        await stream.feed(OPENING)
        with pytest.raises(ConfigError, match="'pushed' is being followed already"):
            await pipeline.push("pushed")
        result = stream.end()
        again = await pipeline.push("pushed")

        assert result.truncated
        assert stream.anomalies == pipeline.anomalies == {"truncated": 1}
        assert again.epoch > stream.epoch
        again.end()
    assert pipeline.anomalies == {"truncated": 2}


@virtual
async def test_a_pushed_stream_of_no_known_dialect_holds_no_name() -> None:
    """So that the next one may have it."""
    async with Pipeline() as pipeline:
        with pytest.raises(ConfigError, match="no dialect 'nope'"):
            await pipeline.push("pushed", dialect="nope")
        stream = await pipeline.push("pushed")
        stream.end()


@virtual
async def test_a_pushed_stream_beyond_a_limit() -> None:
    """What broke the limit counts as not received."""
    async with Pipeline(limits=Limits(max_line_bytes=2000, max_frame_bytes=2000)) as pipeline:
        stream = await pipeline.push("pushed")
        await stream.feed(OPENING)
        with pytest.raises(LineTooLong):
            await stream.feed(b"data: " + b"x" * 3000)
        result = stream.end()

    assert stream.received == len(OPENING)
    assert isinstance(result.error, LineTooLong)


@virtual
async def test_a_pushed_stream_waits_for_sinks() -> None:
    """For as long as one of them has no room."""
    sink = ScriptedSink(Slow(5.0), then=Slow(5.0))
    policy = DeliveryPolicy(inbox_max=1, batch_max=1, max_pause_s=100.0)
    async with Pipeline(sinks=[(sink, policy)]) as pipeline:
        stream = await pipeline.push("pushed")
        await stream.feed(OPENING)
        waited_s = anyio.current_time()
        stream.end()

    assert waited_s >= 5.0


@virtual
async def test_silence_is_told_as_a_stream_of_its_own() -> None:
    """With a time, and one sequence over all runs."""
    sink = MemorySink()
    async with Pipeline(sinks=[sink], now=lambda: 1.0) as pipeline:
        for id in ("run_1", "run_2"):
            stream = await pipeline.push(id)
            await stream.feed(sse(run("created", id), run("requires_action", id)))
            stream.end()
            await pipeline.infer(id, "expired")
        await pipeline.infer("run_1", "expired")

    told = [change for change in sink.changes if change.event == "inferred"]
    assert [(change.stream, change.id, change.seq) for change in told] == [
        ("streamproc.idle", "run_1", 1),
        ("streamproc.idle", "run_2", 2),
    ]
    assert {change.at for change in told} == {"1970-01-01T00:00:01.000Z"}
    assert [change.inferred_status for change in told] == ["expired"] * 2


@virtual
async def test_hooks_hear_of_silence() -> None:
    """Who waits for a run gets what it had come to, also while its stream is open; what comes later counts again."""
    hooks = Kept()
    async with Pipeline(hooks=hooks) as pipeline:
        stream = await pipeline.push("pushed")
        await stream.feed(OPENING)
        changes = await pipeline.infer("run_1", "expired")
        final = await hooks.final_run("run_1")
        again = await pipeline.infer("run_1", "expired")
        await stream.feed(ENDING)
        stream.end()
        ended = await hooks.final_run("run_1")

    assert ([change.id for change in changes], again) == (["step_1", "run_1"], [])
    assert hooks.seen == ["step_1 expired", "end streamproc.idle run_1", "end pushed run_1"]
    assert (final.status, ended.status) == ("queued", "completed")


@virtual
async def test_each_batch_is_shown_as_it_is_handed_on() -> None:
    """Once, and none that is empty."""
    shown: list[int] = []
    async with Pipeline(on_changes=lambda changes: shown.append(len(changes))) as pipeline:
        await pipeline.run([OPENING[:20], OPENING[20:], ENDING])

    assert shown == [3, 3]


@virtual
async def test_flush_waits_until_the_store_has_it() -> None:
    """And what is more, it returns when nothing waits."""
    store = MemoryStore()
    async with Pipeline(store=store) as pipeline:
        stream = await pipeline.push("pushed")
        await stream.feed(WHOLE)
        before = store.head
        await pipeline.flush()
        after = store.head
        await pipeline.flush()
        stream.end()

    assert (before, after) == (0, 6)


@virtual
async def test_flush_without_a_store_returns() -> None:
    """Nothing is durable then, and nothing can become so."""
    async with Pipeline() as pipeline:
        await pipeline.run([OPENING])
        await pipeline.flush()
        assert pipeline.reducer.members("run_1") == [("step", "step_1")]
