"""Second opinion: the published `openai` package, fed the same bytes.

On well-formed streams (one run, contiguous indexes, nothing resent) its event handler and this processor hold the same
steps and messages after each event. Where they differ on purpose, `DIFFERENCES` says what that handler does and what
happens here instead; each is run, and its test fails once the difference is gone. `AGREEMENTS` are inputs that look as
odd, on which both agree. Rows are named as in the notes on the protocol that the merge rules come from: 3.2 compares
merging case by case, 3.3 what is around it, 5.3 the handlers' own cursors.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx2
import pytest
from hypothesis import given
from msgspec import UNSET
from openai import APIError, AssistantEventHandler, BaseModel, OpenAI, Stream
from openai.types.beta import AssistantStreamEvent
from openai.types.beta.threads import Message

from streamproc import Event, StreamProcessor
from tests.properties.generators import SOME, Json, Script, scripts
from tests.streams import (
    arguments,
    call,
    error,
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

# --- both sides -------------------------------------------------------------------------------------------------------


class Held(NamedTuple):
    """What the other side holds after an event: its current step and message, None if it has none."""

    event: str
    step: Json
    message: Json


class Handler(AssistantEventHandler):
    """The published handler, with its content cursor set back for each message; see 5.3 in `DIFFERENCES`."""

    def on_message_created(self, message: Message) -> None:
        self._current_message_content_index = None


@pytest.fixture(scope="module")
def client() -> Iterator[OpenAI]:
    """Only there to make streams; it never connects to anything."""
    with OpenAI(api_key="none", base_url="http://localhost/") as made:
        yield made


def started(client: OpenAI, data: bytes, handler: AssistantEventHandler) -> AssistantEventHandler:
    response = httpx2.Response(200, content=data, request=httpx2.Request("POST", "http://localhost/"))
    kinds: Any = AssistantStreamEvent  # a union, which the signature does not foresee
    handler._init(Stream[AssistantStreamEvent](cast_to=kinds, response=response, client=client))
    return handler


def plain(model: BaseModel | None) -> Json:
    """A model as JSON data, only with the members that came, and without the index that stays in its entries."""
    return None if model is None else without_index(model.to_dict(warnings=False))


def without_index(value: Json) -> Json:
    if isinstance(value, list):
        return [without_index(item) for item in value]
    if isinstance(value, dict):
        return {name: without_index(inner) for name, inner in value.items() if name != "index"}
    return value


def held(handler: AssistantEventHandler) -> Iterator[Held]:
    for item in handler:
        yield Held(item.event, plain(handler.current_run_step_snapshot), plain(handler.current_message_snapshot))


def ours(*events: Event) -> StreamProcessor:
    proc = StreamProcessor()
    proc.feed(sse(*events))
    return proc


# --- well-formed streams ----------------------------------------------------------------------------------------------


def compare(client: OpenAI, proc: StreamProcessor, blocks: list[bytes]) -> int:
    """Feed both, event by event, and compare after each; returns how many states were compared."""
    handler = started(client, b"".join(blocks), Handler())
    created: dict[str, Json] = {}  # step id -> our state before its terminal event
    compared = 0
    for block, after in zip(blocks, held(handler), strict=False):
        changes = [change for change in proc.feed(block) if change.kind in ("step", "message")]
        if after.step is not None:
            created[after.step["id"]] = wire(proc.steps[after.step["id"]])

            assert after.step == created[after.step["id"]]
            assert all(after.step == wire(change.state) for change in changes if change.kind == "step")
            compared += 1
        if after.message is not None:
            assert after.message == wire(proc.messages[after.message["id"]])
            assert all(after.message == wire(change.state) for change in changes if change.kind == "message")
            compared += 1
    if created:
        assert list(created.values()) == [plain(final) for final in handler.get_final_run_steps()]
    assert "done" in blocks[-1].decode()
    return compared


@pytest.mark.slow
@SOME
@given(script=scripts(azure=False))
def test_well_formed_runs(client: OpenAI, script: Script) -> None:
    """The same after each event; also each stream of a run that goes on in a second one, which there starts anew."""
    proc = StreamProcessor()
    for number, stream in enumerate(script.streams):
        if number:
            proc.open()
        compare(client, proc, [sse(item) for item in stream])


@pytest.mark.slow
def test_well_formed_recordings(client: OpenAI, corpus: Path) -> None:
    """All recordings of real servers that are whole: 20 of the 33."""
    compared = [
        compare(
            client, StreamProcessor(), [block + b"\n\n" for block in path.read_bytes().split(b"\n\n") if block.strip()]
        )
        for path in (corpus / "assistants").glob("*.sse")
        if not path.name.startswith(("openai-php_client", "openai_openai-openapi"))
    ]

    assert len(compared) == 20
    assert sum(compared) == 2219


# --- differences ------------------------------------------------------------------------------------------------------


class Difference(NamedTuple):
    row: str  # of the comparison, and what it says of that handler (column P3 of 3.2)
    well_formed: bool  # whether a stream of a sound server shows it
    events: list[Event]
    look: Callable[[Json], Json]  # the part of the step or message that differs
    theirs: Json  # an exception type when the handler gives up
    ours: Json


class Agreement(NamedTuple):
    row: str
    events: list[Event]
    look: Callable[[Json], Json]
    both: Json


def whole(state: Json) -> Json:
    return state


def function(state: Json) -> Json:
    return [entry.get("function") for entry in state["step_details"]["tool_calls"]]


def ids(state: Json) -> Json:
    return [entry.get("id") for entry in state["step_details"]["tool_calls"]]


def notes(state: Json) -> Json:
    return state["content"][0]["text"]["annotations"]


def member(name: str) -> Callable[[Json], Json]:
    return lambda state: state.get(name)


def note(index: int, **members: Json) -> Event:
    return message_delta(text(index=0, annotations=[{"index": index, "type": "file_path", **members}]))


def search(**payload: Json) -> Event:
    return step_delta({"index": 0, "type": "file_search", "file_search": payload})


TWO_CALLS: Final = [step(), step_delta(call("a", index=0, id="c0"), call("b", index=1, id="c1"))]
FINAL: Final = step("completed", "step_1", call("a", id="c0", output="o"), usage={"total_tokens": 1})

DIFFERENCES: Final = [
    # merging
    Difference(
        "3.2 '3 <- 4: 7': numbers are added",
        False,
        [message(), words("a"), note(0, start_index=3), note(0, start_index=4)],
        notes,
        [{"type": "file_path", "start_index": 7}],
        [{"type": "file_path", "start_index": 4}],
    ),
    Difference(
        "3.2 '0.5 <- 0.5: 1.0': numbers are added",
        False,
        [step(), *[search(ranking_options={"score_threshold": 0.5})] * 2],
        lambda state: state["step_details"]["tool_calls"][0]["file_search"]["ranking_options"]["score_threshold"],
        1.0,
        0.5,
    ),
    Difference(
        "3.2 'true <- true: 2'",
        False,
        [step(), *[step_delta({"index": 0, "type": "x", "flag": True})] * 2],
        lambda state: repr(state["step_details"]["tool_calls"][0]["flag"]),
        "2",
        "True",
    ),
    Difference(
        '3.2 \'"x" <- 5, {} <- "s": unchanged\', for members that are no text by their name',
        False,
        [step(metadata={"k": {}}, x="x"), step_delta(delta={"metadata": {"k": "s"}, "x": 5})],
        lambda state: [state["metadata"], state["x"]],
        [{"k": {}}, "x"],
        [{"k": "s"}, 5],
    ),
    Difference(
        '3.2 \'id "step_1" <- "step_1": doubled\', for the id of a call that is sent again',
        False,
        [step(), *[step_delta(call("a", index=0, id="c0"))] * 2],
        ids,
        ["c0c0"],
        ["c0"],
    ),
    Difference(
        "3.2 'object / metadata values resent: doubled'",
        False,
        [step(metadata={"k": "v"}), step_delta(delta={"object": "thread.run.step", "metadata": {"k": "v"}})],
        lambda state: [state["object"], state["metadata"]],
        ["thread.run.stepthread.run.step", {"k": "vv"}],
        ["thread.run.step", {"k": "v"}],
    ),
    Difference(
        "3.2 '[] <- [{index 1}] (gap): position 0', so that what fills the gap is merged into it",
        False,
        [message(), message_delta(text("a", index=0, annotations=[])), note(1, text="b"), note(0, text="a")],
        notes,
        [{"type": "file_path", "text": "ba"}],
        [{"type": "file_path", "text": "a"}, {"type": "file_path", "text": "b"}],
    ),
    Difference(
        "3.2 '[] <- [{index 1}] (gap)', for a tool call: the handler then looks at its index and gives up",
        False,
        [step(), step_delta(call("b", index=1, id="c1")), step_delta(call("a", index=0, id="c0"))],
        ids,
        IndexError,
        ["c0", "c1"],
    ),
    Difference(
        "3.2 '[e0] <- [{index 5}]: appended at 1', so that an entry 1 is merged into it",
        False,
        [message(), message_delta(text("a", index=0, annotations=[])), *[note(at, text=f"{at}") for at in (0, 5, 1)]],
        notes,
        [{"type": "file_path", "text": "0"}, {"type": "file_path", "text": "51"}],
        [{"type": "file_path", "text": "0"}, {"type": "file_path", "text": "1"}, {"type": "file_path", "text": "5"}],
    ),
    Difference(
        "3.2 '[e0,e1] <- [{index -1}]: merges into the last entry'",
        False,
        [*TWO_CALLS, step_delta(call("x", index=-1))],
        function,
        [{"arguments": "a"}, {"arguments": "bx"}],
        [{"arguments": "a"}, {"arguments": "b"}, {"arguments": "x"}],
    ),
    Difference(
        "3.2 '[e0] <- entry without index: RuntimeError'",
        False,
        [step(), step_delta(call("a", index=0, id="c0")), step_delta(call("x"))],
        function,
        RuntimeError,
        [{"arguments": "ax"}],
    ),
    Difference(
        "3.2 'index \"0\" (string): TypeError' of the merging; the handler's models have made it a number before",
        False,
        [*TWO_CALLS, step_delta(call("x", index="0"))],
        function,
        [{"arguments": "ax"}, {"arguments": "b"}],
        [{"arguments": "a"}, {"arguments": "b"}, {"arguments": "x"}],
    ),
    Difference(
        "3.2 'file_search.results (entries have no index), second time: RuntimeError'",
        False,
        [step(), search(results=[{"file_id": "f"}]), search(results=[{"file_id": "f"}, {"file_id": "g"}])],
        lambda state: len(state["step_details"]["tool_calls"][0]["file_search"]["results"]),
        RuntimeError,
        2,
    ),
    Difference(
        '3.2 \'primitives ["a"] <- ["b"]: ["a","b"]\'',
        False,
        [step(), *[step_delta({"index": 0, "type": "x", "x": [value]}) for value in "ab"]],
        lambda state: state["step_details"]["tool_calls"][0]["x"],
        ["a", "b"],
        ["b"],
    ),
    Difference(
        "3.1, rule 2: `type` is overwritten, which makes the details another variant",
        False,
        [step(), step_delta(delta={"step_details": {"type": "mcp", "tool_calls": [call("a", index=0)]}})],
        lambda state: state["step_details"]["type"],
        "mcp",
        "tool_calls",
    ),
    Difference(
        "3.4 '`function.name`, `output`: exact repeat of the whole current value: no-op'",
        False,
        [step(), *[step_delta(call("a", index=0, name="f"))] * 2],
        function,
        [{"name": "ff", "arguments": "aa"}],
        [{"name": "f", "arguments": "aa"}],
    ),
    # around it
    Difference(
        "3.3 'step.in_progress: ignored for state'",
        True,
        [step(), step("in_progress", x=1)],
        member("x"),
        None,
        1,
    ),
    Difference(
        "3.3 'step terminal event: ignored for state: final steps keep status in_progress, usage null, no output'",
        True,
        [step("created", "step_1", usage=None), step_delta(call("a", index=0, id="c0", output=None)), FINAL],
        lambda state: [state["status"], state["usage"], function(state)],
        ["in_progress", None, [{"arguments": "a", "output": None}]],
        ["completed", {"total_tokens": 1}, [{"arguments": "a", "output": "o"}]],
    ),
    Difference(
        "3.3 'step terminal for a step not created in this stream: not recorded: No run steps found'",
        True,
        [FINAL],
        member("status"),
        RuntimeError,
        "completed",
    ),
    Difference(
        "3.3 'delta before created: KeyError aborts the stream'",
        False,
        [arguments("a"), step(step_details=UNSET)],
        function,
        KeyError,
        [{"arguments": "a"}],
    ),
    Difference(
        "5.3 'content cursor is not reset per message': fewer blocks in the next one end in an IndexError",
        True,
        [
            *[message(), words("a"), words("b", index=1), message("completed", "msg_1", text("a"), text("b"))],
            *[message("created", "msg_2"), message("completed", "msg_2", text("c"))],
        ],
        member("status"),
        IndexError,
        "completed",
    ),
]

AGREEMENTS: Final = [
    Agreement(
        "3.2 'null <- \"x\"'",
        [step(), step_delta(call("a", index=0, output=None)), step_delta(call(index=0, output="x"))],
        function,
        [{"arguments": "a", "output": "x"}],
    ),
    Agreement(
        "3.2 '\"x\" <- null'",
        [step(), step_delta(call("a", index=0, name="x")), step_delta(call(None, index=0, name=None))],
        function,
        [{"name": "x", "arguments": "a"}],
    ),
    Agreement(
        "3.2 '\"x\" <- 5', for text",
        [step(), step_delta(call("a", index=0)), step_delta(call(5, index=0))],
        function,
        [{"arguments": "a"}],
    ),
    Agreement("3.2 '[] <- [{index 0}]'", [step(), step_delta(call("a", index=0))], function, [{"arguments": "a"}]),
    Agreement(
        "3.2 '[] <- two entries index 0'",
        [step(), step_delta(call("a", index=0), call("b", index=0))],
        function,
        [{"arguments": "ab"}],
    ),
    Agreement(
        "3.2 'key absent <- two entries index 0'",
        [step(step_details={"type": "tool_calls"}), step_delta(call("a", index=0), call("b", index=0))],
        function,
        [{"arguments": "ab"}],
    ),
    Agreement(
        "3.2 '[e0] <- two entries index 0'",
        [step(), step_delta(call("a", index=0)), step_delta(call("b", index=0), call("c", index=0))],
        function,
        [{"arguments": "abc"}],
    ),
    Agreement(
        "3.2 '[{no index}] <- [{index 0}]'",
        [step("created", "step_1", call("a", id="c0")), step_delta(call("b", index=0))],
        function,
        [{"arguments": "ab"}],
    ),
    Agreement(
        "3.2 'file_search.results, first time'",
        [step(), search(results=[{"file_id": "f"}])],
        lambda state: state["step_details"]["tool_calls"][0]["file_search"],
        {"results": [{"file_id": "f"}]},
    ),
    Agreement(
        "3.3 'step.created: stores snapshot'", [step("created", "step_1", call("a", id="c0"), x=1)], member("x"), 1
    ),
    Agreement(
        "3.3 'message terminal: replaces snapshot'",
        [message(), words("a"), message("completed", "msg_1", text("b"))],
        lambda state: state["content"][0]["text"],
        {"value": "b"},
    ),
]


def their_final(client: OpenAI, events: list[Event]) -> Json:
    """The last step, or the last message of a stream without steps; the type of what the handler raised."""
    handler = started(client, sse(run(), *events), AssistantEventHandler())
    try:
        if "message" in events[0].name:
            return plain(handler.get_final_messages()[-1])
        return plain(handler.get_final_run_steps()[-1])
    except (KeyError, IndexError, RuntimeError) as failure:
        return type(failure)


def our_final(events: list[Event]) -> Json:
    proc = ours(run(), *events)
    *_, state = proc.messages.values() if "message" in events[0].name else proc.steps.values()
    return wire(state)


@pytest.mark.parametrize("case", DIFFERENCES, ids=lambda case: case.row)
def test_a_listed_difference_occurs(client: OpenAI, case: Difference) -> None:
    """The handler does what the row says of it, and this processor does not."""
    found = their_final(client, case.events)
    theirs = found if isinstance(case.theirs, type) else case.look(found)

    assert theirs == case.theirs
    assert case.look(our_final(case.events)) == case.ours
    assert theirs != case.ours


@pytest.mark.parametrize("case", AGREEMENTS, ids=lambda case: case.row)
def test_no_difference_where_none_is_listed(client: OpenAI, case: Agreement) -> None:
    """The handler does what the row says of it, and so does this processor."""
    assert case.look(their_final(client, case.events)) == case.both
    assert case.look(our_final(case.events)) == case.both


def test_entries_keep_no_index(client: OpenAI) -> None:
    """There the index of a delta stays in the merged entry; here entries are those of a snapshot, which have none."""
    events = [step(), step_delta(call("a", index=0))]
    handler = started(client, sse(*events), AssistantEventHandler())
    (final,) = handler.get_final_run_steps()

    assert final.to_dict()["step_details"]["tool_calls"][0]["index"] == 0  # type: ignore[index]
    assert "index" not in our_final(events)["step_details"]["tool_calls"][0]


def test_a_delta_of_another_message(client: OpenAI) -> None:
    """3.3: there it is merged into the current message, id unchecked; here into its own."""
    events = [message(), message("created", "msg_2"), words("a")]
    handler = started(client, sse(*events), AssistantEventHandler())
    proc = ours(*events)
    (current,) = (plain(item) for item in handler.get_final_messages() if item.id == "msg_2")

    assert current["content"] == [text("a")]
    assert [wire(item)["content"] for item in proc.messages.values()] == [[text("a")], []]


def test_a_message_that_was_read_early(client: OpenAI) -> None:
    """3.3, "snapshot identity": there what was handed out changes later (a message; a step is rebuilt); here never."""
    events = [message(), words("a"), words("b")]
    handler = started(client, sse(*events), AssistantEventHandler())
    early = [handler.current_message_snapshot for _ in handler]
    changes = StreamProcessor().feed(sse(*events))

    assert [plain(item)["content"][0]["text"]["value"] for item in early] == ["ab", "ab", "ab"]
    assert [wire(change.state)["content"] for change in changes] == [[], [text("a")], [text("ab")]]


def test_a_step_that_was_read_early(client: OpenAI) -> None:
    """3.3, "snapshot identity": a new object per delta, so both sides keep the old one; here it costs nothing."""
    events = [step(), arguments("a"), arguments("b")]
    handler = started(client, sse(*events), AssistantEventHandler())
    early = [handler.current_run_step_snapshot for _ in handler]
    changes = StreamProcessor().feed(sse(*events))

    assert [plain(item) for item in early] == [wire(change.state) for change in changes]


@pytest.mark.parametrize(
    ("payload", "theirs"),
    [({"message": "m", "type": "t"}, None), ({"error": {"message": "m"}}, APIError), ("plain", json.JSONDecodeError)],
    ids=["3.3 'error, flat: not raised'", "3.3 'error, nested: APIError'", "plain text"],
)
def test_an_error_event(client: OpenAI, payload: Json, theirs: type[Exception] | None) -> None:
    """There its shape decides whether it is seen, and how; here all shapes are one kind of change, and no end."""
    events = [step(), error(payload), arguments("a")]
    handler = started(client, sse(*events), AssistantEventHandler())
    if theirs is None:
        handler.until_done()
    else:
        with pytest.raises(theirs):
            handler.until_done()
    changes = StreamProcessor().feed(sse(*events))

    assert [change.kind for change in changes] == ["step", "error", "step"]
    assert changes[1].state.message in ("m", "plain")


def test_both_kinds_of_streams_show_differences() -> None:
    """A sound server's streams show four of them; the others need a stream that resends, skips or misnumbers."""
    assert sum(case.well_formed for case in DIFFERENCES) == 4
    assert len(DIFFERENCES) == 21
