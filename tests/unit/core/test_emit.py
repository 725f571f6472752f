"""Runs written out again as an Assistants stream: from their changes, and from their last states."""

import json
from typing import Any

import pytest

from streamproc import Event, StreamProcessor, encode_sse
from streamproc.core.body import Kind
from streamproc.core.emit import Emitter, emit_states
from streamproc.core.patch import Patch
from streamproc.core.reducer import Reducer
from tests.streams import arguments, call, creation, done, error, message, run, sse, step, text, wire, words

RUN = [
    run("created"),
    step("created", "step_1", call("", name="f", index=0)),
    arguments('{"a":'),
    arguments("1}"),
    step("completed", "step_1", call('{"a":1}', name="f")),
    step("created", "step_2", step_details=creation("msg_1")),
    message("created"),
    words("Hel"),
    words("lo"),
    message("completed", "msg_1", text("Hello")),
    step("completed", "step_2", step_details=creation("msg_1")),
    run("completed", usage={"total_tokens": 3}),
    done(),
]


def emitted(stream: bytes) -> list[Event]:
    proc, emitter = StreamProcessor(), Emitter()
    return [*emitter.events([*proc.feed(stream), *proc.close()]), *emitter.end()]


def names(events: list[Event]) -> list[str]:
    return [event.name for event in events]


def again(events: list[Event]) -> StreamProcessor:
    """The states that a stream of these events gives."""
    proc = StreamProcessor()
    proc.feed(b"".join(map(encode_sse, events)))
    proc.close()
    return proc


def states(proc: StreamProcessor) -> list[Any]:
    tables: list[Any] = [proc.runs, proc.steps, proc.messages]
    return [{id: wire(state) for id, state in table.items()} for table in tables]


def stored(proc: StreamProcessor) -> list[tuple[Kind, bytes]]:
    """The run, then steps and messages, as a store has them."""
    tables: list[tuple[Kind, Any]] = [("run", proc.runs), ("step", proc.steps), ("message", proc.messages)]
    return [(kind, json.dumps(wire(state)).encode()) for kind, table in tables for state in table.values()]


def test_a_complete_stream_comes_out_as_it_was() -> None:
    """Byte for byte, since the canonical events are those of the protocol."""
    assert b"".join(map(encode_sse, emitted(sse(*RUN)))) == sse(*RUN)


def test_what_broke_off_has_no_end() -> None:
    """Its reader must know; what was only noted of open objects is no event."""
    assert names(emitted(sse(*RUN[:4]))) == names(RUN[:4])


def test_oddities_are_left_out() -> None:
    """An anomaly is nothing that a client of the protocol knows."""
    assert names(emitted(sse(run("created"), Event("no.such", None, b"{}"), run("completed"), done()))) == [
        "thread.run.created",
        "thread.run.completed",
        "done",
    ]


def test_error_that_the_run_tells_too() -> None:
    """Clients raise on an error event, so it goes out only where nothing else says what happened."""
    told = emitted(sse(run("created"), error("server_error"), run("failed", last_error={"code": "server_error"})))
    alone = emitted(sse(run("created"), error("server_error")))

    assert names(told) == ["thread.run.created", "thread.run.failed", "done"]
    assert names(alone) == ["thread.run.created", "error"]


def test_errors_that_are_kept_back_are_bounded() -> None:
    """A server may send nothing else."""
    assert names(emitted(sse(*[error("server_error")] * 200))) == ["error"] * 100


def test_translated_changes_are_whole() -> None:
    """What a dialect says by a patch goes out as the complete object."""
    reducer, emitter = Reducer(), Emitter()
    opened = Event(
        "thread.run.step.created", Patch(id="step_1", members={"status": "in_progress", "type": "tool_calls"})
    )
    closed = Event("thread.run.step.completed", Patch(id="step_1", members={"status": "completed"}))
    events = [event for made in (opened, closed) for event in emitter.events(reducer.apply(made))]

    assert json.loads(events[1].raw) == {
        "id": "step_1",
        "object": "thread.run.step",
        "status": "completed",
        "type": "tool_calls",
    }


def test_changes_made_by_hand() -> None:
    """They have no payload bytes, but say the same."""
    reducer, emitter = Reducer(), Emitter()
    (event,) = emitter.events(reducer.apply(Event("thread.run.created", {"id": "run_1", "status": "queued"})))

    assert encode_sse(event) == b'event: thread.run.created\ndata: {"id":"run_1","status":"queued"}\n\n'


def patched(*patches: tuple[str, dict[str, Any]], delta: Event | None = None) -> list[Event]:
    """The events for a step that patches build up; a delta comes after the first one."""
    reducer, emitter = Reducer(), Emitter()
    made = [Event(f"thread.run.step.{name}", Patch(id="step_1", members=members)) for name, members in patches]
    made[1:1] = [] if delta is None else [delta]
    return [*(event for one in made for event in emitter.events(reducer.apply(one))), *emitter.end()]


def details(arguments: str | None, **more: Any) -> dict[str, Any]:
    function = {"name": "f", "output": None, **more}
    if arguments is not None:
        function["arguments"] = arguments
    return {"type": "tool_calls", "tool_calls": [{"id": "call_1", "type": "custom", "function": function}]}


def told(events: list[Event]) -> list[Any]:
    """Name and arguments of each event; a delta's are what it adds."""
    found: list[Any] = []
    for event in events:
        payload = event.data if event.data is not None else json.loads(event.raw)
        calls = payload.get("delta", payload)["step_details"]["tool_calls"]
        found.append((event.name.rpartition(".")[2], [call.get("function", {}).get("arguments") for call in calls]))
    return found


def test_what_only_the_last_snapshot_says() -> None:
    """A client that reads the first snapshot and deltas alone ends with it, too."""
    events = patched(
        ("created", {"status": "in_progress", "step_details": details("")}),
        ("completed", {"status": "completed", "step_details": details("{}", output="42")}),
    )

    assert told(events) == [("created", [""]), ("delta", ["{}"]), ("completed", ["{}"])]
    assert events[1].data["delta"]["step_details"] == {
        "type": "tool_calls",
        "tool_calls": [{"index": 0, "type": "custom", "function": {"arguments": "{}", "output": "42"}}],
    }


def test_arguments_that_are_exchanged() -> None:
    """They are told once, when they are known; a first guess would stay with the client."""
    events = patched(
        ("created", {"status": "in_progress", "step_details": details('{"diff":""}')}),
        ("completed", {"status": "completed", "step_details": details('{"diff":"+"}')}),
    )

    assert told(events) == [("created", [""]), ("delta", ['{"diff":"+"}']), ("completed", ['{"diff":"+"}'])]


def test_first_arguments_before_a_delta() -> None:
    """They are told before what is added to them."""
    delta = {"step_details": {"tool_calls": [{"index": 0, "function": {"arguments": "1}"}}]}}
    events = patched(
        ("created", {"status": "in_progress", "step_details": details('{"a":')}),
        ("completed", {"status": "completed"}),
        delta=Event("thread.run.step.delta", {"id": "step_1", "delta": delta}),
    )

    assert told(events) == [
        ("created", [""]),
        ("delta", ['{"a":']),
        ("delta", ["1}"]),
        ("completed", ['{"a":1}']),
    ]


def test_first_arguments_of_a_step_that_stays_open() -> None:
    """They are told at the end of a stream that broke off."""
    events = patched(("created", {"status": "in_progress", "step_details": details("{}")}))

    assert told(events) == [("created", [""]), ("delta", ["{}"])]


def test_what_cannot_be_told_by_a_delta() -> None:
    """A text that became another one; entries that are no objects; a call without a function."""
    old = {"type": "tool_calls", "tool_calls": [{"id": "a", "type": "x", "function": {"output": "one"}}, {"id": "b"}]}
    new = {"type": "tool_calls", "tool_calls": [{"id": "a", "type": "x", "function": {"output": "two"}}, "odd"]}
    events = patched(
        ("created", {"status": "in_progress", "step_details": old}),
        ("completed", {"status": "completed", "step_details": new}),
    )

    assert names(events) == ["thread.run.step.created", "thread.run.step.completed"]


def test_details_that_appear_late() -> None:
    """Of a step that had none, and of one that is told first when it has ended."""
    late = patched(
        ("created", {"status": "in_progress", "step_details": None}),
        ("completed", {"status": "completed", "step_details": details("{}")}),
    )
    only = patched(("completed", {"status": "completed", "step_details": details("{}")}))

    assert names(late) == ["thread.run.step.created", "thread.run.step.delta", "thread.run.step.completed"]
    assert names(only) == ["thread.run.step.completed"]


# --- from states ------------------------------------------------------------------------------------------------------


def test_states_give_a_stream_that_gives_the_states() -> None:
    """In the order that clients expect: a message while its step lasts."""
    proc = again(RUN)
    events = [*emit_states(stored(proc))]

    assert states(again(events)) == states(proc)
    assert again(events).anomalies == {}
    assert names(events) == [
        "thread.run.created",
        "thread.run.step.created",
        "thread.run.step.delta",
        "thread.run.step.completed",
        "thread.run.step.created",
        "thread.message.created",
        "thread.message.delta",
        "thread.message.completed",
        "thread.run.step.completed",
        "thread.run.completed",
        "done",
    ]


def test_states_of_a_run_that_goes_on() -> None:
    """Nothing is ended that has not, and a message that no step speaks of is told all the same."""
    proc = again([run("in_progress"), step("created", "step_1"), message("created"), words("Hel")])
    events = [*emit_states(stored(proc))]

    assert names(events) == [
        "thread.run.created",
        "thread.run.step.created",
        "thread.message.created",
        "thread.message.delta",
    ]
    assert again(events).messages["msg_1"].text == "Hel"


def test_states_of_a_run_that_requires_action() -> None:
    """That ends a stream, though not the run."""
    proc = again([run("requires_action", required_action={"type": "submit_tool_outputs"})])

    assert names([*emit_states(stored(proc))]) == ["thread.run.created", "thread.run.requires_action", "done"]


@pytest.mark.parametrize(
    "details", [None, "odd", {"type": "other"}, {"type": "message_creation", "message_creation": 7}]
)
def test_states_with_odd_details(details: Any) -> None:
    """They stay as they are."""
    state = {"id": "step_1", "status": "completed", "step_details": details}
    events = [*emit_states([("step", json.dumps(state).encode())])]

    assert names(events) == ["thread.run.step.created", "thread.run.step.completed"]
    assert events[1].data == state


def test_states_without_a_run() -> None:
    """A step of a run that was never seen, and entries that are no objects."""
    state = {
        "id": "step_1",
        "status": "in_progress",
        "step_details": {"type": "tool_calls", "tool_calls": [7, {"id": "a"}]},
    }
    created, delta = emit_states([("step", json.dumps(state).encode())])

    assert created.data["step_details"]["tool_calls"] == []
    assert delta.data["delta"]["step_details"]["tool_calls"] == [{"index": 1, "id": "a"}]


def test_states_of_a_message_without_text() -> None:
    """There is nothing to add to it."""
    state = {"id": "msg_1", "status": "completed", "content": []}
    events = [*emit_states([("message", json.dumps(state).encode())])]

    assert names(events) == ["thread.message.created", "thread.message.completed"]
