"""Coming from another handler: each row of docs/migration.md is run.

A row is tested by the function that is registered for its first cell. Where the published handler is a Python package,
it gets the same bytes beside the hooks here, and both are compared; what differs is what the remarks of the row say.
"""

import inspect
import json
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import anyio
import httpx2
import msgspec
import pytest
from azure.ai.agents.models import AgentEventHandler, AsyncAgentEventHandler, BaseAgentEventHandler
from openai import AssistantEventHandler, AsyncAssistantEventHandler, OpenAI, Stream
from openai.types.beta import AssistantStreamEvent

import streamproc
import streamproc.actions
import streamproc.core.sse
import streamproc.errors
import streamproc.hooks
from streamproc import Change, Event, Reducer, StreamProcessor, encode_sse
from streamproc.actions import required_action_of
from streamproc.core.sse import SSEParser
from streamproc.errors import HookError
from streamproc.hooks import HookDispatch, RunHooks
from tests.streams import (
    arguments,
    call,
    creation,
    done,
    error,
    event,
    message,
    message_delta,
    run,
    sse,
    step,
    step_delta,
    text,
    wire,
    words,
)
from tests.unit.hooks.recorder import hooked

DOCUMENT: Final = Path(__file__).resolve().parents[2] / "docs" / "migration.md"

Json: TypeAlias = Any
Called: TypeAlias = list[Any]


class Row(NamedTuple):
    section: str
    there: str
    here: str
    remarks: str


def read_rows() -> list[Row]:
    rows: list[Row] = []
    section = ""
    for line in DOCUMENT.read_text(encoding="utf-8").splitlines():
        if line.startswith("## "):
            section = line[3:]
        elif line.startswith("| `"):
            there, here, remarks = (cell.strip() for cell in line.strip("|").split("|"))
            rows.append(Row(section, there.strip("`"), here, remarks))
    return rows


ROWS: Final = read_rows()

# --- both sides -------------------------------------------------------------------------------------------------------

NOTE: Final = {"type": "file_path", "text": "t", "start_index": 0, "end_index": 1, "file_path": {"file_id": "f"}}
IMAGE: Final = {"type": "image_file", "image_file": {"file_id": "f"}}
CALL: Final = call("abc", id="c0", name="f", output=None)
COMMON: Final[dict[str, Any]] = {"metadata": {}, "assistant_id": "a", "created_at": 1}
MESSAGE: Final[dict[str, Any]] = {"attachments": [], **COMMON}
STREAM: Final = [
    *[run("created", **COMMON), run("queued", **COMMON, x=1), run("in_progress", **COMMON)],
    *[
        step("created", "step_1", **COMMON, type="tool_calls"),
        step("in_progress", "step_1", **COMMON, type="tool_calls"),
    ],
    step_delta(call("a", index=0, id="c0", name="f", output=None)),
    *[arguments("b"), arguments("c"), step("completed", "step_1", CALL, **COMMON, type="tool_calls", usage=None)],
    step("created", "step_2", step_details=creation(), type="message_creation", **COMMON),
    *[message("created", **MESSAGE), message("in_progress", **MESSAGE)],
    *[message_delta(text("d", index=0, annotations=[])), words("e"), words("f")],
    *[message_delta({"index": 1, **IMAGE})],
    message("completed", "msg_1", text("def", annotations=[]), IMAGE, **MESSAGE),
    step("completed", "step_2", step_details=creation(), type="message_creation", **COMMON),
    *[run("completed", **COMMON), done()],
]
"""A run with a function call and a message of a text and an image."""

NO_NEWS: Final = ("thread.run.step.in_progress", "thread.message.in_progress")
"""Its events that say nothing new of what was created in progress: they are no changes."""

REQUIRED: Final = {
    "type": "submit_tool_outputs",
    "submit_tool_outputs": {"tool_calls": [call("{}", id="c0", name="f")]},
}


def plain(value: Any) -> Json:
    """Any argument of a hook, on either side, as JSON data without indexes inside; a change is left out."""
    if isinstance(value, Change):
        return None
    if hasattr(value, "to_dict"):
        value = value.to_dict(warnings=False)
    elif hasattr(value, "as_dict"):
        value = value.as_dict()
    elif isinstance(value, streamproc.Run | streamproc.RunStep | streamproc.Message):
        value = wire(value)
    elif isinstance(value, msgspec.Struct):
        value = msgspec.json.decode(msgspec.json.encode(value))
    return _without_index(value)


def _without_index(value: Json) -> Json:
    if isinstance(value, list):
        return [_without_index(item) for item in value]
    if isinstance(value, dict):
        return {name: _without_index(inner) for name, inner in value.items() if name != "index"}
    return value


class Side:
    """What hooks were called with, as JSON data, by name."""

    def __init__(self) -> None:
        self.called: list[tuple[str, Called]] = []

    def hook(self, name: str) -> Callable[..., None]:
        return lambda *args: self.called.append((name, [plain(arg) for arg in args if not isinstance(arg, Change)]))

    def of(self, name: str) -> list[Json]:
        """The first argument of each call of a hook."""
        return [args[0] if args else None for called, args in self.called if called == name]

    def second(self, name: str) -> list[Json]:
        return [args[1] for called, args in self.called if called == name]


def ours(events: Iterable[Event] = STREAM, *, close: bool = True) -> Side:
    """All hooks here, on these events."""
    side, hooks = Side(), RunHooks()
    for name in [name for name in dir(RunHooks) if name.startswith("on_")]:
        setattr(hooks, name, side.hook(name))
    drive(hooks, events, close=close)
    return side


def drive(hooks: RunHooks, events: Iterable[Event] = STREAM, *, close: bool = True, on_error: Any = "raise") -> None:
    dispatch, proc = HookDispatch(hooks, on_error=on_error), StreamProcessor()
    dispatch.dispatch(proc.feed(sse(*events)))
    if close:
        dispatch.dispatch(proc.close())
        dispatch.dispatch_end("default")


def states(name: str) -> list[Json]:
    """`change.state` in each call of a hook here."""
    found: list[Json] = []
    drive(hooked(**{name.removeprefix("on_"): lambda *args: found.append(wire(args[-1].state))}))
    return found


@pytest.fixture(scope="module")
def client() -> Iterator[OpenAI]:
    """Only there to make streams; it never connects to anything."""
    with OpenAI(api_key="none", base_url="http://localhost/") as made:
        yield made


class Openai:
    """The published handler of openai-python, with all its hooks noted, on the same bytes."""

    def __init__(self, client: OpenAI) -> None:
        self._client = client

    def handler(self, side: Side, events: Iterable[Event] = STREAM) -> AssistantEventHandler:
        handler = AssistantEventHandler()
        for name in public(AssistantEventHandler):
            if name.startswith("on_"):
                setattr(handler, name, side.hook(name))
        return self.started(handler, events)

    def started(self, handler: AssistantEventHandler, events: Iterable[Event] = STREAM) -> AssistantEventHandler:
        response = httpx2.Response(200, content=sse(*events), request=httpx2.Request("POST", "http://localhost/"))
        kinds: Any = AssistantStreamEvent
        handler._init(Stream[AssistantStreamEvent](cast_to=kinds, response=response, client=self._client))
        return handler

    def side(self, events: Iterable[Event] = STREAM) -> Side:
        side = Side()
        self.handler(side, events).until_done()
        return side


def azure(
    events: Iterable[Event] = STREAM, submit: Callable[..., Any] | None = None, side: Side | None = None
) -> tuple[Side, list[Any]]:
    """The published handler of azure-ai-agents on these events: its hooks, and what iterating it yields."""
    side = side or Side()
    handler: AgentEventHandler[Any] = AgentEventHandler()
    for name in public(AgentEventHandler):
        if name.startswith("on_"):
            setattr(handler, name, side.hook(name))
    handler.initialize(iter([sse(*events)]), submit or (lambda *_: None))
    return side, list(handler)


def public(handler: type) -> set[str]:
    return {name for name in dir(handler) if not name.startswith("_")}


# --- the rows ---------------------------------------------------------------------------------------------------------

Check: TypeAlias = Callable[[Openai], Awaitable[None] | None]
CHECKS: Final[dict[tuple[str, str], Check]] = {}


def row(section: str, *there: str) -> Callable[[Check], Check]:
    """Register the test of one or more rows."""

    def register(check: Check) -> Check:
        for name in there:
            assert (section, name) not in CHECKS
            CHECKS[section, name] = check
        return check

    return register


def same(section: str, there: str, hook: str, *, theirs: slice = slice(None), here: slice = slice(None)) -> None:
    """Register a row whose hooks get the same, apart from those calls that the remarks tell of."""
    name = there.partition("(")[0]

    @row(section, there)
    def check(openai: Openai) -> None:
        expected, found = openai.side().of(name)[theirs], ours().of(hook)[here]

        assert expected
        assert found == expected


PYTHON, NODE, AZURE = "openai-python", "openai-node", "Azure AI agents"

same(PYTHON, "on_run_step_created(run_step)", "on_step_created")
same(PYTHON, "on_run_step_delta(delta, snapshot)", "on_step_delta")
same(PYTHON, "on_run_step_done(run_step)", "on_step_done")
same(PYTHON, "on_tool_call_created(tool_call)", "on_tool_call_created")
same(PYTHON, "on_message_created(message)", "on_message_created")
same(PYTHON, "on_message_delta(delta, snapshot)", "on_message_delta")
same(PYTHON, "on_message_done(message)", "on_message_done")
same(PYTHON, "on_text_created(text)", "on_text_created")
same(PYTHON, "on_image_file_done(image_file)", "on_image_file_done")
same(PYTHON, "on_tool_call_done(tool_call)", "on_tool_call_done", theirs=slice(1))  # there it is called three times


@row(PYTHON, "on_event(event)")
def check_on_event(openai: Openai) -> None:
    """The same events, by name and payload; `run.queued` and the like are changes where they say something new."""
    names: list[tuple[str, Json]] = []
    drive(hooked(change=lambda change: names.append((change.event, json.loads(change.raw)))))
    theirs = [(item["event"], _without_index(item["data"])) for item in openai.side().of("on_event")]

    assert [(name, _without_index(data)) for name, data in names] == [item for item in theirs if item[0] not in NO_NEWS]


@row(PYTHON, "on_tool_call_delta(delta, snapshot)")
def check_on_tool_call_delta(openai: Openai) -> None:
    """There the fragment that creates a call does not come, and others do not know the call's id."""
    theirs = [delta["function"]["arguments"] for delta in openai.side().of("on_tool_call_delta")]
    here = ours().of("on_tool_call_delta")

    assert (theirs, [delta["function"]["arguments"] for delta in here]) == (["b", "c"], ["a", "b", "c"])
    assert {(delta["id"], delta["type"]) for delta in here} == {("c0", "function")}


@row(PYTHON, "on_text_delta(delta, snapshot)")
def check_on_text_delta(openai: Openai) -> None:
    theirs, here = openai.side(), ours([*STREAM[:-4], message_delta(text(index=0, annotations=[{"index": 0, **NOTE}]))])

    assert [delta["value"] for delta in theirs.of("on_text_delta")] == ["d", "e", "f"]
    assert [delta["value"] for delta in here.of("on_text_delta")] == ["d", "e", "f"]
    assert [snapshot["value"] for snapshot in theirs.second("on_text_delta")] == ["d", "de", "def"]
    assert [state["content"][0]["text"]["value"] for state in states("on_text_delta")] == ["d", "de", "def"]


@row(PYTHON, "on_text_done(text)")
def check_on_text_done(openai: Openai) -> None:
    """There it comes when the next block begins, here with the end of the message; the text is the same."""
    assert ours().of("on_text_done") == openai.side().of("on_text_done") == [text("def", annotations=[])["text"]]


@row(PYTHON, "on_exception(exception)")
def check_on_exception(openai: Openai) -> None:
    """There what a hook raises comes to `on_exception` and out of the iteration."""

    class Raising(RunHooks):
        def on_text_created(self, text: Any, change: Any = None, /) -> None:
            raise ValueError("mine")

    side = Side()
    handler = openai.handler(side)
    setattr(handler, "on_text_created", Raising().on_text_created)  # noqa: B010 - a method, for a type checker
    with pytest.raises(ValueError, match="mine"):
        handler.until_done()
    with pytest.raises(HookError) as failure:
        drive(Raising())

    assert len(side.of("on_exception")) == 1
    assert isinstance(failure.value.__cause__, ValueError)
    assert [item["message"] for item in ours([run(), error({"message": "m"})]).of("on_error")] == ["m"]


@row(PYTHON, "on_timeout()")
@row(NODE, "aborted")
def check_on_timeout(openai: Openai) -> None:
    """A stream that stops in the middle is truncated, whatever made it stop; one that is whole is not."""
    assert len([name for name, _ in ours(STREAM[:8]).called if name == "on_truncated"]) == 1
    assert [name for name, _ in ours().called if name == "on_truncated"] == []


@row(PYTHON, "on_end()")
def check_on_end(openai: Openai) -> None:
    assert openai.side().called[-1][0] == "on_end"
    assert ours().called[-1] == ("on_end", ["default", "run_1"])


@row(PYTHON, "current_event")
@row(NODE, "currentEvent()")
def check_current_event(openai: Openai) -> None:
    """The event that a hook is called for."""
    there: list[str] = []
    here: list[str] = []

    class Noting(AssistantEventHandler):
        def on_message_delta(self, delta: object, snapshot: object) -> None:
            there.append(self.current_event.event if self.current_event else "")

    openai.started(Noting()).until_done()
    drive(hooked(message_delta=lambda delta, change: here.append(change.event)))

    assert there == here == ["thread.message.delta"] * 4


@row(PYTHON, "current_run")
@row(NODE, "currentRun()")
def check_current_run(openai: Openai) -> None:
    proc = StreamProcessor()
    proc.feed(sse(*STREAM))
    handler = openai.handler(Side())
    handler.until_done()

    assert plain(handler.current_run) == ours().of("on_run_status")[-1] == plain(proc.runs["run_1"])


@row(PYTHON, "current_run_step_snapshot")
@row(NODE, "currentRunStepSnapshot()")
def check_current_run_step_snapshot(openai: Openai) -> None:
    snapshots = openai.side().second("on_run_step_delta")

    assert [_without_index(state) for state in states("on_step_delta")] == snapshots
    assert len(snapshots) == 3


@row(PYTHON, "current_message_snapshot")
@row(NODE, "currentMessageSnapshot()")
def check_current_message_snapshot(openai: Openai) -> None:
    snapshots = openai.side().second("on_message_delta")

    assert [_without_index(state) for state in states("on_message_delta")] == snapshots
    assert len(snapshots) == 4


@row(PYTHON, "text_deltas")
async def check_text_deltas(openai: Openai) -> None:
    hooks = RunHooks()
    drive(hooks)

    assert (
        "".join(openai.handler(Side()).text_deltas) == "".join([piece async for piece in hooks.text_deltas()]) == "def"
    )


@row(PYTHON, "until_done()")
@row(NODE, "done()", "emitted(event)")
@row(AZURE, "until_done()")
async def check_until_done(openai: Openai) -> None:
    hooks = RunHooks()
    drive(hooks, STREAM[:-1], close=False)
    await hooks.until_done()


@row(PYTHON, "get_final_run()")
@row(NODE, "finalRun()")
async def check_final_run(openai: Openai) -> None:
    """A run that ended incomplete is final as well."""
    hooks, cut = RunHooks(), RunHooks()
    drive(hooks)
    drive(cut, [run("incomplete")])

    assert plain(await hooks.final_run()) == plain(openai.handler(Side()).get_final_run())
    assert (await cut.final_run()).status == "incomplete"


@row(PYTHON, "get_final_run_steps()")
@row(NODE, "finalRunSteps()")
async def check_final_run_steps(openai: Openai) -> None:
    """There steps stay as deltas left them."""
    hooks = RunHooks()
    drive(hooks)
    there = openai.handler(Side()).get_final_run_steps()
    here = await hooks.final_steps()

    assert [item.id for item in here] == [item.id for item in there] == ["step_1", "step_2"]
    assert [item.status for item in there] == ["in_progress"] * 2
    assert [item.status for item in here] == ["completed"] * 2


@row(PYTHON, "get_final_messages()")
@row(NODE, "finalMessages()")
async def check_final_messages(openai: Openai) -> None:
    hooks = RunHooks()
    drive(hooks)

    assert [plain(item) for item in await hooks.final_messages()] == [
        plain(item) for item in openai.handler(Side()).get_final_messages()
    ]


@row(PYTHON, "close()")
@row(NODE, "abort()")
async def check_close(openai: Openai) -> None:
    """The owner of the tasks is cancelled; who waits for the run is not left waiting."""
    hooks = RunHooks()
    dispatch, proc = HookDispatch(hooks), StreamProcessor()
    dispatch.dispatch(proc.feed(sse(*STREAM[:4])))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(dispatch.run)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    await hooks.until_done()

    assert [item.id for item in await hooks.final_steps()] == ["step_1"]


@row(PYTHON, "for event in handler", "runs.stream(...)", "threads.create_and_run_stream(...)")
@row(NODE, "for await (const event of stream)")
def check_iterating(openai: Openai) -> None:
    """Events there, changes here; of two that say nothing new there are no changes."""
    names = [item.event for item in openai.handler(Side())]
    changes = StreamProcessor().feed(sse(*STREAM))

    assert [change.event for change in changes] == [name for name in names if name not in NO_NEWS]


@row(PYTHON, "runs.submit_tool_outputs_stream(...)")
def check_submit_tool_outputs_stream(openai: Openai) -> None:
    """There a new handler knows nothing of the first stream; here it is one run."""
    first = [run(), step(), step_delta(call("{}", index=0, id="c0", name="f")), done()]
    first.insert(3, run("requires_action", required_action=REQUIRED))
    second = [step("completed", "step_1", call("{}", id="c0", name="f", output="o")), run("completed"), done()]
    proc = StreamProcessor()
    proc.feed(sse(*first))
    action = required_action_of(proc.runs["run_1"])
    proc.open()
    proc.feed(sse(*second))

    assert action is not None
    assert [(item.id, item.name, item.arguments) for item in action.calls] == [("c0", "f", {})]
    assert wire(proc.steps["step_1"])["step_details"]["tool_calls"][0]["function"]["output"] == "o"
    with pytest.raises(RuntimeError):
        openai.handler(Side(), second).get_final_run_steps()


# The emitter of openai-node has the hooks of openai-python under other names; see the rows above for what they get.
for _there, _here, _count in [
    ("run(run)", "on_run_status", 3),
    ("event(event)", "on_change", 17),
    ("messageCreated(message)", "on_message_created", 1),
    ("messageDelta(delta, snapshot)", "on_message_delta", 4),
    ("messageDone(message)", "on_message_done", 1),
    ("runStepCreated(runStep)", "on_step_created", 2),
    ("runStepDelta(delta, snapshot)", "on_step_delta", 3),
    ("runStepDone(runStep, snapshot)", "on_step_done", 2),
    ("toolCallCreated(toolCall)", "on_tool_call_created", 1),
    ("toolCallDelta(delta, snapshot)", "on_tool_call_delta", 3),
    ("toolCallDone(toolCall)", "on_tool_call_done", 1),
    ("textCreated(content)", "on_text_created", 1),
    ("textDelta(delta, snapshot)", "on_text_delta", 3),
    ("textDone(content, messageSnapshot)", "on_text_done", 1),
    ("imageFileDone(content, messageSnapshot)", "on_image_file_done", 1),
    ("connect()", "on_change", 17),
    ("end()", "on_end", 1),
    ("ended", "on_end", 1),
]:

    @row(NODE, _there)
    def check_called(openai: Openai, here: str = _here, count: int = _count) -> None:
        assert len([name for name, _ in ours().called if name == here]) == count


@row(NODE, "error(error)", "errored")
def check_node_error(openai: Openai) -> None:
    side = ours([run(), error({"message": "m", "type": "server_error"})])

    assert [item["message"] for item in side.of("on_error")] == ["m"]
    assert [name for name, _ in ours(STREAM[:5]).called if name in ("on_error", "on_truncated")] == ["on_truncated"]


@row(NODE, "abort(error)")
async def check_node_abort(openai: Openai) -> None:
    """Cancelled is no failure: nothing raises, no hook of an error is called."""
    side, hooks = Side(), RunHooks()
    for name in ("on_error", "on_end"):
        setattr(hooks, name, side.hook(name))
    dispatch, proc = HookDispatch(hooks, on_error="raise"), StreamProcessor()
    dispatch.dispatch(proc.feed(sse(*STREAM[:5])))
    with anyio.move_on_after(0):
        await dispatch.run()
    dispatch.dispatch_end("default")

    assert side.called == [("on_end", ["default", "run_1"])]


@row(NODE, "on(event, listener)", "off(event, listener)", "once(event, listener)")
def check_listeners(openai: Openai) -> None:
    """Functions are assigned to hooks before the pipeline is made."""
    heard: list[str] = []
    hooks = hooked(end=lambda stream, run_id: heard.append(stream))
    setattr(hooks, "on_message_created", lambda message, change: heard.append(message.id))  # noqa: B010 - as above
    drive(hooks)

    assert heard == ["msg_1", "default"]


@row(NODE, "toReadableStream()")
def check_to_readable_stream(openai: Openai) -> None:
    """Written out again it is a stream with the same outcome, for the published handler too."""
    changes = StreamProcessor().feed(sse(*STREAM))
    again = b"".join(encode_sse(Event(change.event, None, change.raw)) for change in changes)
    proc = StreamProcessor()
    proc.feed(again)

    assert wire(proc.messages["msg_1"])["content"][0]["text"]["value"] == "def"
    assert len(openai.side([Event(change.event, None, change.raw) for change in changes]).of("on_event")) == 17


@row(NODE, "fromReadableStream(stream)")
def check_from_readable_stream(openai: Openai) -> None:
    lines = [json.dumps({"event": item.name, "data": item.data}).encode() for item in STREAM if item.name != "done"]
    proc = StreamProcessor()
    for line in lines:
        proc.feed(b"data: " + line + b"\n\n")

    assert proc.runs["run_1"].status == "completed"
    assert [item.status for item in proc.steps.values()] == ["completed"] * 2


@row(NODE, "accumulateDelta(acc, delta)")
def check_accumulate_delta(openai: Openai) -> None:
    reducer = Reducer()
    for item in STREAM[3:8]:
        reducer.apply(item)

    assert wire(reducer.steps["step_1"])["step_details"]["tool_calls"] == [CALL]


# --- Azure ------------------------------------------------------------------------------------------------------------


@row(AZURE, "on_message_delta(delta)")
def check_azure_message_delta(openai: Openai) -> None:
    """The same deltas; there they are merged by nobody."""
    side, _ = azure()
    theirs = [item["delta"] for item in side.of("on_message_delta")]

    assert [_without_index(item) for item in theirs] == ours().of("on_message_delta")
    assert states("on_message_delta")[-1]["content"][0]["text"]["value"] == "def"


@row(AZURE, "on_thread_message(message)")
def check_azure_thread_message(openai: Openai) -> None:
    """There created, in progress and completed come to one hook; the first and the last are the two here."""
    side, _ = azure()
    theirs = [(item["id"], item["status"]) for item in side.of("on_thread_message")]
    here = ours()

    assert [(item["id"], item["status"]) for item in here.of("on_message_created")] == theirs[:1]
    assert [(item["id"], item["status"]) for item in here.of("on_message_done")] == theirs[-1:]
    assert len(theirs) == 3


@row(AZURE, "on_thread_run(run)")
def check_azure_thread_run(openai: Openai) -> None:
    """There tools are run first and the hook comes after; here the other way round, and once for each status."""
    side = Side()
    events = [run("created"), run("queued", x=1), run("requires_action", required_action=REQUIRED), done()]

    def submit(*_: object) -> list[object]:
        side.called.append(("tools", []))
        return []

    azure(events, submit, side)
    here = ours(events)

    assert [item["status"] for item in side.of("on_thread_run")] == ["queued", "queued", "requires_action"]
    assert [item["status"] for item in here.of("on_run_status")] == ["queued", "requires_action"]
    assert [item["calls"][0]["arguments"] for item in here.of("on_requires_action")] == [{}]
    assert [name for name, _ in side.called] == [*["on_thread_run"] * 2, "tools", "on_thread_run", "on_done"]


@row(AZURE, "on_run_step(step)")
def check_azure_run_step(openai: Openai) -> None:
    side, _ = azure()
    theirs = [(item["id"], item["status"]) for item in side.of("on_run_step")]
    here = ours()

    assert [(item["id"], item["status"]) for item in here.of("on_step_created")] == [theirs[0], theirs[3]]
    assert [(item["id"], item["status"]) for item in here.of("on_step_done")] == [theirs[2], theirs[4]]


@row(AZURE, "on_run_step_delta(delta)")
def check_azure_run_step_delta(openai: Openai) -> None:
    side, _ = azure()
    theirs = [item["delta"]["step_details"] for item in side.of("on_run_step_delta")]

    assert theirs == [item["step_details"] for item in ours().of("on_step_delta")]


@row(AZURE, "on_error(data)")
def check_azure_error(openai: Openai) -> None:
    """There it is the text of a dict."""
    events = [run(), error({"error": {"message": "m", "code": "c"}})]
    side, _ = azure(events)

    assert side.of("on_error") == ["{'error': {'message': 'm', 'code': 'c'}}"]
    assert [(item["message"], item["code"]) for item in ours(events).of("on_error")] == [("m", "c")]


@row(AZURE, "on_done()")
def check_azure_done(openai: Openai) -> None:
    side, _ = azure()
    broken, _ = azure(STREAM[:-1])
    names = [name for name, _ in ours(STREAM[:8]).called if name in ("on_end", "on_truncated")]

    assert (len(side.of("on_done")), len(broken.of("on_done"))) == (1, 0)
    assert names == ["on_truncated", "on_end"]


@row(AZURE, "on_unhandled_event(event_type, event_data)")
def check_azure_unhandled_event(openai: Openai) -> None:
    """The name and the payload of an event that nobody knows."""
    events = [run(), event("thread.x", {"a": 1})]
    side, _ = azure(events)
    raws: list[tuple[str, str, bytes]] = []
    hooks = hooked(anomaly=lambda anomaly, change: raws.append((anomaly.kind, change.event, change.raw)))
    drive(hooks, events, close=False)

    assert side.called[-1] == ("on_unhandled_event", ["thread.x", "{'a': 1}"])
    assert raws == [("unknown_event", "thread.x", b'{"a":1}')]


@row(AZURE, "set_max_retry(max_retry)")
def check_azure_max_retry(openai: Openai) -> None:
    """Each round of a run is an action; whoever answers them counts."""
    rounds = []
    proc = StreamProcessor()
    for number in range(3):
        proc.open()
        required = {"submit_tool_outputs": {"tool_calls": [call("{}", id=f"c{number}", name="f")]}}
        proc.feed(sse(run("queued"), run("requires_action", required_action=required), done()))
        rounds.append(required_action_of(proc.runs["run_1"]))

    assert [item.calls[0].id for item in rounds if item is not None] == ["c0", "c1", "c2"]


@row(AZURE, "for event_type, data, result in handler")
def check_azure_iterating(openai: Openai) -> None:
    _, items = azure()
    changes = StreamProcessor().feed(sse(*STREAM))
    theirs = [name for name, *_ in items if name not in ("done", *NO_NEWS)]

    assert [change.event for change in changes] == theirs


@row(AZURE, "initialize(response_iterator, submit_tool_outputs)")
def check_azure_initialize(openai: Openai) -> None:
    """There the next response is chained to the first; here the next stream of the run is opened."""
    handler: AgentEventHandler[Any] = AgentEventHandler()
    first, second = sse(run("queued"), done()), sse(run("completed"), done())
    handler.initialize(iter([first]), lambda *_: None)
    handler.initialize(iter([second]), lambda *_: None)
    proc = StreamProcessor()
    changes = proc.feed(first)
    proc.open()
    changes += proc.feed(second)

    theirs = [plain(data)["status"] for name, data, _ in handler if name != "done"]

    assert theirs == [change.state.status for change in changes] == ["queued", "completed"]


@row(AZURE, "BaseAgentEventHandler")
def check_azure_base(openai: Openai) -> None:
    """Raw events as text there, as frames here."""

    class Raw(BaseAgentEventHandler[str]):
        def _process_event(self, event_data_str: str) -> str:
            return event_data_str

    handler = Raw()
    handler.initialize(iter([sse(*STREAM)]), lambda *_: None)
    frames = SSEParser().feed(sse(*STREAM))

    assert list(handler) == [f"event: {frame.event}\ndata: {frame.text}" for frame in frames]


# --- the document -----------------------------------------------------------------------------------------------------


@pytest.mark.asyncio
@pytest.mark.parametrize("documented", ROWS, ids=lambda documented: f"{documented.section}: {documented.there}")
async def test_each_row(documented: Row, client: OpenAI) -> None:
    """What stands here behaves as its row says."""
    outcome = CHECKS[documented.section, documented.there](Openai(client))
    if inspect.isawaitable(outcome):
        await outcome


def test_each_test_has_its_row() -> None:
    assert {(documented.section, documented.there) for documented in ROWS} == CHECKS.keys()
    assert len(ROWS) == len(CHECKS)


NAMESPACES: Final[dict[str, object]] = {
    "hooks": RunHooks,
    "change": Change,
    "proc": StreamProcessor,
    "dispatch": HookDispatch,
}
MODULES: Final = (streamproc, streamproc.actions, streamproc.core.sse, streamproc.errors, streamproc.hooks)


@pytest.mark.parametrize("documented", ROWS, ids=lambda documented: f"{documented.section}: {documented.there}")
def test_each_counterpart_exists(documented: Row) -> None:
    """The names in the second cell, and the hooks in the third, with the arguments that they take."""
    codes = re.findall(r"`([^`]+)`", documented.here)
    hooks = re.findall(r"`(on_\w+\([^`]*\))`", documented.remarks)

    assert codes
    for code in [*codes, *hooks]:
        path, _, signature = code.partition("(")
        first, _, member = path.partition(".")
        if path.startswith("on_"):
            parameters = [*inspect.signature(getattr(RunHooks, path)).parameters][1:]
            assert signature == f"{', '.join(parameters)})"
        elif member:
            assert hasattr(NAMESPACES[first], member)
        else:
            assert any(hasattr(module, path) for module in MODULES)


def test_no_member_of_the_published_handlers_is_left_out() -> None:
    """All that is public in the installed packages, sync and async."""
    names = {
        section: {re.split(r"\W", row.there)[0] for row in ROWS if row.section == section}
        for section in (PYTHON, AZURE)
    }
    internals = {"response_iterator", "submit_tool_outputs", "buffer", "current_retry"}

    assert (public(AssistantEventHandler) | public(AsyncAssistantEventHandler)) - names[PYTHON] == set()
    assert (public(AgentEventHandler) | public(AsyncAgentEventHandler)) - names[AZURE] - internals == set()
