"""One event on its way through the reducer: what each kind of it does to an object in each state."""

from typing import Any

import pytest
from msgspec import UNSET

from streamproc import Anomaly, Change, ErrorObject, Event, Limits, Reducer
from streamproc.core.anomalies import ANOMALY_KINDS
from streamproc.core.change import Note
from streamproc.core.context import StreamContext
from tests.streams import (
    anomalies,
    arguments,
    by_hand,
    call,
    calls,
    code,
    creation,
    done,
    event,
    message,
    message_delta,
    run,
    step,
    step_delta,
    text,
    thread,
    visible,
    wire,
    words,
)


class Stream:
    """A reducer and one stream that goes through it, event by event."""

    def __init__(self, *events: Event, limits: Limits | None = None) -> None:
        self.reducer = Reducer(limits)
        self.context = StreamContext.named("s")
        self.changes: list[Change] = []
        self.add(*events)

    def add(self, *events: Event) -> list[Change]:
        """Apply events; returns their changes."""
        new = [change for item in events for change in self.reducer.apply(item, self.context)]
        self.changes += new
        return new

    def step(self, id: str = "step_1") -> Any:
        return wire(self.reducer.steps[id])

    def tool_calls(self, id: str = "step_1") -> Any:
        return self.step(id)["step_details"]["tool_calls"]

    def message(self, id: str = "msg_1") -> Any:
        return wire(self.reducer.messages[id])

    def run(self, id: str = "run_1") -> Any:
        return wire(self.reducer.runs[id])

    def details(self) -> list[str]:
        """What anomalies said, in order."""
        return [change.data.detail for change in self.changes if change.kind == "anomaly"]

    @property
    def anomalies(self) -> list[str]:
        return anomalies(self.changes)


SNAPSHOTS = [run("created"), step("created"), message("created")]
DELTAS = [arguments("a"), words("a")]


# --- which event does what --------------------------------------------------------------------------------------------


def test_thread_created() -> None:
    """It changes nothing, and tells the thread of what comes later without one."""
    stream = Stream(thread("thread_7"), run("created", thread_id=UNSET))

    assert visible(stream.changes) == [("run_1", 1)]
    assert stream.changes[0].thread_id == "thread_7"
    assert stream.reducer.runs["run_1"].thread_id is UNSET


@pytest.mark.parametrize("id", [None, "", 7])
def test_thread_created_without_an_id(id: Any) -> None:
    """It tells nothing."""
    assert Stream(thread(id), run("created", thread_id=UNSET)).changes[0].thread_id is None


@pytest.mark.parametrize("name", ["thread.run.paused", "thread.run.step.queued", "thread.message.failed", "truncated"])
def test_unknown_event(name: str) -> None:
    """A name outside the vocabulary is reported and kept raw, whoever made the event."""
    unknown = event(name, {"id": "run_1"})
    stream = Stream(unknown)

    assert stream.anomalies == ["unknown_event"]
    assert (stream.changes[0].event, stream.changes[0].raw) == (name, unknown.raw)
    assert dict(stream.reducer.runs) == {}


def test_anomaly_of_the_dialect() -> None:
    """What a dialect could not decode travels on as it said, and is counted."""
    anomaly = Anomaly(kind="bad_json", event="thread.run.created", detail="no JSON (3 bytes)")
    stream = Stream(run(), Event("thread.run.created", anomaly, b"{]}"))
    change = stream.changes[-1]

    assert (change.kind, change.id, change.revision, change.seq) == ("anomaly", "", 0, 2)
    assert change.delta is anomaly
    assert (change.raw, change.state, change.run_id, change.thread_id) == (b"{]}", None, "run_1", "thread_1")
    assert stream.context.anomalies == {"bad_json": 1}


def test_error() -> None:
    """It is a change of its own, with the run and thread that the stream is about, and it ends the stream."""
    problem = ErrorObject(message="no", code="server_error")
    stream = Stream(run(), Event("error", problem, b"{}"))
    change = stream.changes[-1]

    assert (change.kind, change.event, change.id, change.revision, change.seq) == ("error", "error", "", 0, 2)
    assert change.state is problem
    assert (change.run_id, change.thread_id, change.raw, change.delta) == ("run_1", "thread_1", b"{}", None)
    assert stream.context.ended


def test_done() -> None:
    """It changes nothing, and may come twice."""
    stream = Stream(run(), done(), done())

    assert visible(stream.changes) == [("run_1", 1)]
    assert stream.anomalies == []
    assert stream.context.done


@pytest.mark.parametrize("late", [*SNAPSHOTS, *DELTAS, thread(), Event("error", ErrorObject(message=""))])
def test_reopened(late: Event) -> None:
    """An event after the end, without open(): reported once, processed all the same."""
    stream = Stream(step(), message(), done())
    assert not anomalies(stream.add())
    changes = stream.add(late, run("queued"))

    assert anomalies(changes) == ["reopened"]
    assert changes[0].event == late.name
    assert visible(changes)[-1][0] == "run_1"
    assert not stream.context.done


# --- snapshots --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("snapshot", SNAPSHOTS)
def test_first_snapshot(snapshot: Event) -> None:
    """It is the object, exactly, unknown members included."""
    snapshot = event(snapshot.name, {**snapshot.data, "new": {"deep": [1, None]}, "created_at": 1.5})
    change = Stream(snapshot).changes[0]

    assert wire(change.state) == snapshot.data
    assert (change.event, change.id, change.revision, change.seq) == (snapshot.name, snapshot.data["id"], 1, 1)
    assert (change.run_id, change.thread_id) == ("run_1", "thread_1")
    assert (change.delta, change.raw) == (None, snapshot.raw)
    assert change.kind == {"run": "run", "step": "step", "msg": "message"}[change.id.partition("_")[0]]


@pytest.mark.parametrize("snapshot", SNAPSHOTS)
def test_snapshot_made_by_hand(snapshot: Event) -> None:
    """The same as from the wire."""
    stream = Stream(by_hand(snapshot))

    assert wire(stream.changes[0].state) == snapshot.data
    assert stream.add(snapshot, by_hand(snapshot)) == []


@pytest.mark.parametrize("snapshot", SNAPSHOTS)
@pytest.mark.parametrize("id", [UNSET, None, "", 7, ["x"]])
def test_snapshot_without_an_id(snapshot: Event, id: Any) -> None:
    """It is no object; reported, and nothing is known afterwards."""
    stream = Stream(event(snapshot.name, {**snapshot.data, "id": id}))

    assert stream.anomalies == ["bad_json"]
    assert visible(stream.changes) == []
    assert stream.context.run_id is None


@pytest.mark.parametrize("snapshot", SNAPSHOTS)
def test_same_snapshot_again(snapshot: Event) -> None:
    """What changes nothing makes no change, whatever the event is called and however the JSON is written."""
    stream = Stream(snapshot)
    spaced = Event(snapshot.name, snapshot.data, snapshot.raw.replace(b",", b" , "))

    assert stream.add(snapshot, spaced, snapshot) == []
    assert [change.revision for change in stream.changes] == [1]


def test_next_snapshot_replaces() -> None:
    """Members that are gone are gone; nothing is merged."""
    stream = Stream(run("created", model="m", metadata={"a": "b"}), run("in_progress", started_at=3))

    assert stream.run() == run("in_progress", started_at=3).data
    assert visible(stream.changes) == [("run_1", 1), ("run_1", 2)]
    assert wire(stream.changes[0].state)["model"] == "m"


def test_snapshot_of_a_run_names_the_run() -> None:
    """Its own id is the run's, whatever else it says."""
    stream = Stream(run("created", "run_7", run_id="run_9"))

    assert stream.changes[0].run_id == "run_7"
    assert stream.context.run_id == "run_7"


def test_run_and_thread_of_the_stream() -> None:
    """An object that does not say where it belongs belongs to the stream's run and thread."""
    stream = Stream(run(), step(run_id=UNSET, thread_id=None), message(run_id="", thread_id=UNSET))

    assert [(change.run_id, change.thread_id) for change in stream.changes] == [("run_1", "thread_1")] * 3
    assert "run_id" not in stream.step()


def test_run_and_thread_of_an_object() -> None:
    """What an object says counts for it, and for what follows."""
    stream = Stream(run(), step(run_id="run_2", thread_id="thread_2"), message(run_id=UNSET, thread_id=UNSET))

    assert [(change.run_id, change.thread_id) for change in stream.changes[1:]] == [("run_2", "thread_2")] * 2


def test_no_run_for_a_step() -> None:
    """A snapshot that names no run disputes nothing, whatever run the stream is about by then."""
    stream = Stream(run(), step(), run("created", "run_2", thread_id="thread_2"))
    changes = stream.add(step("in_progress", run_id=UNSET, thread_id=UNSET))

    assert stream.anomalies == []
    assert [(change.run_id, change.thread_id) for change in changes] == [("run_1", "thread_1")]


def test_another_run_for_a_step() -> None:
    """Two runs for one step: reported; the snapshot is shown as it came."""
    stream = Stream(step(), step("in_progress", run_id="run_2"))

    assert stream.anomalies == ["id_conflict"]
    assert stream.step()["run_id"] == "run_2"


# --- statuses ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [run, step, message])
def test_name_and_status_disagree(make: Any) -> None:
    """The payload's status counts, the disagreement is reported before the change."""
    stream = Stream(make("in_progress", status="completed"), make("in_progress", status="in_progress"))

    assert stream.anomalies == ["status_conflict", "late_event"]
    assert stream.changes[0].kind == "anomaly"
    assert stream.changes[1].state.status == "completed"


@pytest.mark.parametrize("make", [run, step, message])
def test_created_with_any_status(make: Any) -> None:
    """`created` says nothing of the status."""
    assert Stream(make("created", status="completed")).anomalies == []


@pytest.mark.parametrize("status", [UNSET, None, 7, [], {"a": 1}])
@pytest.mark.parametrize("make", [run, step, message])
def test_no_status_in_the_payload(make: Any, status: Any) -> None:
    """Then the name of the event tells; the payload is shown as it came."""
    stream = Stream(make("in_progress", status=status), make("completed", status=status, new=1))
    late = stream.add(make("in_progress", status=status, new=2))

    assert anomalies(stream.changes) == ["late_event"]
    assert visible(late) == []
    assert [change.revision for change in stream.changes if change.kind != "anomaly"] == [1, 2]


@pytest.mark.parametrize("make", [run, step, message])
def test_created_without_a_status(make: Any) -> None:
    """It is open, and stays so until something ends it."""
    stream = Stream(make("created", status=UNSET), make("created", status=UNSET, new=1))

    assert stream.anomalies == []
    assert len(visible(stream.changes)) == 2


@pytest.mark.parametrize("make", [run, step, message])
@pytest.mark.parametrize("status", ["paused", "requires_action", "cancelling"])
def test_status_that_ends_nothing(make: Any, status: str) -> None:
    """An unknown status is kept as it came; another may follow."""
    stream = Stream(make("created"), make("created", status=status), make("completed"))

    assert stream.anomalies == []
    assert [change.state.status for change in stream.changes[1:]] == [status, "completed"]


ENDS = [
    *((run, status) for status in ("completed", "failed", "cancelled", "expired", "incomplete")),
    *((step, status) for status in ("completed", "failed", "cancelled", "expired")),
    *((message, status) for status in ("completed", "incomplete")),
]


@pytest.mark.parametrize(("make", "status"), ENDS)
def test_nothing_after_the_end(make: Any, status: str) -> None:
    """A terminal status never changes, and nothing else does; each attempt is reported."""
    stream = Stream(make(status))
    before = [change.state for change in stream.changes]
    stream.add(make("created"), make("in_progress"), make(status), make(status, completed_at=9, new=1))

    assert stream.anomalies == ["late_event"] * 3
    assert visible(stream.changes) == [(stream.changes[0].id, 1)]
    assert stream.changes[0].state == before[0]
    assert stream.details()[-1] == "refused after the terminal event: completed_at"


def test_two_ends() -> None:
    """The first one stands; the second is told apart from other late events."""
    stream = Stream(step("failed", failed_at=1), step("completed", completed_at=2), step("failed", failed_at=1))

    assert stream.anomalies == ["status_conflict", "late_event"]
    assert stream.step() == step("failed", failed_at=1).data
    assert stream.details()[1] == "refused after the terminal event: completed_at"


def test_two_ends_by_name() -> None:
    """Also when only the names of the events differ."""
    stream = Stream(step("failed", status=UNSET), step("completed", status=UNSET))

    assert stream.anomalies == ["status_conflict"]


def test_same_end_with_and_without_a_status() -> None:
    """A status that was told by the name before is no other one."""
    stream = Stream(step("completed", status=UNSET), step("completed", usage={"total_tokens": 3}))

    assert "status_conflict" not in stream.anomalies
    assert stream.step()["usage"] == {"total_tokens": 3}


@pytest.mark.parametrize("status", [[], {}, 7, True, None])
@pytest.mark.parametrize("late", [step("completed"), step_delta(call("x", index=0), delta=UNSET)])
def test_status_of_another_type_after_the_end(late: Event, status: Any) -> None:
    """Nothing is expected of a status, not even that it is text."""
    payload = {**late.data, "status": status}
    if "delta" in payload:
        payload = {**late.data, "delta": {"status": status}}
    stream = Stream(step("completed"), event(late.name, payload))

    assert stream.anomalies == ([] if status is None else ["late_event"])
    assert stream.step()["status"] == "completed"


# --- what a snapshot does to what deltas built up ---------------------------------------------------------------------

BARE = [
    UNSET,
    None,
    {},
    {"type": "tool_calls"},
    {"type": "tool_calls", "tool_calls": []},
    {"type": "tool_calls", "tool_calls": None},
]


@pytest.mark.parametrize("bare", BARE)
@pytest.mark.parametrize("end", ["in_progress", "completed"])
def test_snapshot_without_details(bare: Any, end: str) -> None:
    """It never erases what was accumulated; the rest of it counts."""
    stream = Stream(step("created", "step_1", call("", id="c", name="f")), arguments("{"), arguments("}"))
    before = stream.step()["step_details"]
    changes = stream.add(step(end, step_details=bare, new=1))

    assert anomalies(changes) == ["kept_partial"]
    assert stream.step() == {**step(end, step_details=bare, new=1).data, "step_details": before}
    assert visible(changes) == [("step_1", 4)]


@pytest.mark.parametrize("bare", BARE)
@pytest.mark.parametrize("end", ["in_progress", "completed"])
def test_snapshot_without_the_details_of_the_last_one(bare: Any, end: str) -> None:
    """The same when a snapshot alone had them."""
    stream = Stream(step("created", step_details=creation()), step(end, step_details=bare, new=1))

    assert stream.anomalies == ["kept_partial"]
    assert stream.step() == {**step(end, step_details=creation(), new=1).data}


@pytest.mark.parametrize("bare", [UNSET, None, []])
@pytest.mark.parametrize("end", ["in_progress", "completed", "incomplete"])
def test_snapshot_without_content(bare: Any, end: str) -> None:
    """A message keeps its text alike."""
    stream = Stream(message(), words("Hel"), words("lo"), message(end, content=bare))

    assert stream.anomalies == ["kept_partial"]
    assert stream.message() == message(end, "msg_1", text("Hello")).data


def test_details_go_on_after_they_were_kept() -> None:
    """Later fragments find their places."""
    stream = Stream(step(), arguments("a"), step("in_progress"), arguments("b"), arguments("c"), step("in_progress"))
    stream.add(arguments("d"))

    assert stream.tool_calls() == [call("abcd")]
    assert stream.anomalies == ["kept_partial"] * 2
    assert visible(stream.changes) == [("step_1", revision) for revision in range(1, 6)]


def test_delta_that_was_refused_keeps_nothing() -> None:
    """What it touched has not grown, so a snapshot with less is no loss."""
    odd = step("created", "step_1", call("{}"), "stray")
    stream = Stream(odd, step_delta({"index": 1, "type": "function"}), step("created", "step_1", call("{}")))

    assert stream.anomalies == ["type_conflict"]
    assert len(stream.tool_calls()) == 1


def test_details_of_a_snapshot_go_on_after_they_were_kept() -> None:
    """Also when there was no delta yet."""
    stream = Stream(
        step("created", "step_1", call("a", id="c")), step("in_progress", step_details=None), arguments("b")
    )

    assert stream.tool_calls() == [call("ab", id="c")]
    assert stream.anomalies == ["kept_partial"]


def test_bare_after_bare() -> None:
    """Nothing is kept where nothing was."""
    stream = Stream(step(), step("in_progress", step_details=None), step("completed", step_details=UNSET))

    assert stream.anomalies == []
    assert "step_details" not in stream.step()


def test_nothing_accumulated_by_deltas() -> None:
    """A delta that says nothing of the details leaves nothing to keep."""
    stream = Stream(step(), step_delta(delta={"usage": {"total_tokens": 1}}), step("in_progress", new=1))

    assert stream.anomalies == []
    assert stream.step() == step("in_progress", new=1).data


def test_smaller_snapshot_before_the_end() -> None:
    """It does not shrink what deltas built up; its other members count."""
    stream = Stream(step(), arguments("ab"), arguments("c", index=1))
    changes = stream.add(step("in_progress", "step_1", call("ab"), usage=None))

    assert anomalies(changes) == ["kept_partial"]
    assert stream.step() == step("in_progress", "step_1", call("ab"), call("c"), usage=None).data
    assert stream.details() == ["a snapshot with less step_details than was accumulated"]


def test_larger_snapshot_before_the_end() -> None:
    """It is taken as it is."""
    stream = Stream(step(), arguments("ab"), step("in_progress", "step_1", call("abc", id="c"), call("d")))

    assert stream.anomalies == []
    assert stream.tool_calls() == [call("abc", id="c"), call("d")]
    stream.add(arguments("e"), arguments("f", index=1))
    assert stream.tool_calls() == [call("abce", id="c"), call("df")]


def test_equal_snapshot_before_the_end() -> None:
    """It changes nothing, and deltas go on from it."""
    stream = Stream(step(), arguments("ab", index=3))

    assert stream.add(step("in_progress", "step_1", call("ab"))) == []
    assert stream.add(arguments("c"))[0].state.step_details.tool_calls[0].function.arguments == "abc"


def test_snapshot_of_another_shape_before_the_end() -> None:
    """Other details than those accumulated do not replace them."""
    stream = Stream(step(), arguments("ab"), step("in_progress", step_details=creation()))

    assert stream.anomalies == ["kept_partial"]
    assert stream.tool_calls() == [call("ab")]


def test_snapshots_alone_replace() -> None:
    """Where no delta came, a smaller snapshot is simply the newest."""
    stream = Stream(step("created", "step_1", call("abc")), step("in_progress", "step_1", call("a")))

    assert stream.anomalies == []
    assert stream.tool_calls() == [call("a")]


@pytest.mark.parametrize(
    ("final", "lengths"),
    [(call("abd"), (3, 3)), (call("ab"), (3, 2)), (call("abcd"), (3, 4)), (call(None), (3, 0))],
)
def test_divergence(final: Any, lengths: tuple[int, int]) -> None:
    """The terminal snapshot stands; that the text differs is reported with lengths."""
    stream = Stream(step(), arguments("ab"), arguments("c"), step("completed", "step_1", final))

    assert stream.anomalies == ["divergence"]
    assert stream.tool_calls() == [final]
    assert stream.details() == [f"{lengths[0]} characters accumulated, {lengths[1]} in the snapshot"]


def test_divergence_of_a_missing_call() -> None:
    """A call that deltas built and the terminal snapshot does not have is lost text."""
    stream = Stream(step(), arguments("ab"), arguments("cde", index=1), step("completed", "step_1", call("ab")))

    assert stream.tool_calls() == [call("ab")]
    assert stream.anomalies == ["divergence"]


def test_divergence_of_a_message() -> None:
    """Content is compared alike, and of several texts the first that differs is told."""
    stream = Stream(message(), words("one"), words("two", index=1))
    stream.add(message("completed", "msg_1", text("one"), text("twofold")))

    assert stream.anomalies == ["divergence"]
    assert stream.details() == ["3 characters accumulated, 7 in the snapshot"]


@pytest.mark.parametrize("more", [{}, {"usage": {"total_tokens": 1}, "completed_at": 5}])
def test_end_that_agrees(more: dict[str, Any]) -> None:
    """Equal text, and outputs that deltas never had: no anomaly, and exactly the snapshot."""
    final = step("completed", "step_1", call("abc", id="c", output="done"), **more)
    stream = Stream(step(), arguments("ab"), arguments("c"), final)

    assert stream.anomalies == []
    assert stream.step() == final.data


def test_members_that_deltas_touched_beside_the_details() -> None:
    """Only details are kept; of everything else the snapshot has the last word."""
    stream = Stream(step(), step_delta(delta={"usage": {"total_tokens": 1}, "metadata": {"a": "b"}}), arguments("a"))
    stream.add(step("in_progress", new=1))

    assert stream.step() == step("in_progress", "step_1", call("a"), new=1).data


# --- after the end ----------------------------------------------------------------------------------------------------


def test_late_event_fills_gaps() -> None:
    """Usage, metadata and a tool's output may come after the end, once."""
    stream = Stream(step("completed", "step_1", call("{}", id="c", name="f", output=None), usage=None, new=1))
    late = step("completed", "step_1", call("{}", id="c", name="f", output="42"), usage={"total_tokens": 3}, new=1)
    changes = stream.add(late)

    assert anomalies(changes) == []
    assert visible(changes) == [("step_1", 2)]
    assert stream.step() == late.data
    assert wire(stream.changes[0].state)["usage"] is None
    assert stream.add(late) == []


def test_late_delta_fills_gaps() -> None:
    """Some servers send a tool's output as a delta after `completed`."""
    stream = Stream(step("completed", "step_1", call("{}", id="c", output=None), code("x", outputs=[])))
    changes = stream.add(
        step_delta(call(output="42", index=0), code(index=1, outputs=[{"index": 0, "type": "logs", "logs": "y"}]))
    )

    assert anomalies(changes) == []
    assert visible(changes) == [("step_1", 2)]
    assert stream.tool_calls() == [
        call("{}", id="c", output="42"),
        code("x", outputs=[{"type": "logs", "logs": "y"}]),
    ]
    assert changes[0].delta is not None


def test_late_delta_that_fills_and_offends() -> None:
    """What fits is taken, the rest is refused; the anomaly comes first."""
    stream = Stream(step("completed", "step_1", call("{}", id="c")))
    changes = stream.add(step_delta(call("more", output="42", index=0)))

    assert anomalies(changes) == ["late_event"]
    assert [change.kind for change in changes] == ["anomaly", "step"]
    assert stream.tool_calls() == [call("{}", id="c", output="42")]
    assert stream.details() == ["refused after the terminal event: arguments"]


@pytest.mark.parametrize("late", [arguments("x"), step_delta(delta={}), words("x"), message_delta(delta={})])
def test_late_delta(late: Event) -> None:
    """Text after the end is refused; a delta that says nothing is no offence."""
    stream = Stream(step("completed", "step_1", call("a")), message("completed", "msg_1", text("a")), late)

    assert stream.anomalies == ([] if late.data["delta"] == {} else ["late_event"])
    assert len(visible(stream.changes)) == 2


def test_late_names_are_those_of_the_protocol() -> None:
    """A name that the sender made up is content, and is not told."""
    stream = Stream(step("completed"), step("completed", s3cret=1, completed_at=5, failed_at=6))

    assert stream.details() == ["refused after the terminal event: completed_at, failed_at"]


def test_late_event_does_not_move_the_object() -> None:
    """Run and thread of an ended object stay what they were."""
    stream = Stream(step("completed"), run("created", "run_2", thread_id="thread_2"))
    changes = stream.add(step("completed", run_id=UNSET, thread_id=UNSET, metadata={"a": "b"}))

    assert [(change.run_id, change.thread_id) for change in changes] == [("run_1", "thread_1")]


# --- deltas -----------------------------------------------------------------------------------------------------------


def test_delta() -> None:
    """The change refers to the object as it is now, and to what the delta said."""
    stream = Stream(step(), arguments("a"))
    change = stream.changes[-1]
    typed: Any = change.delta

    assert (change.event, change.kind, change.id) == ("thread.run.step.delta", "step", "step_1")
    assert (change.revision, change.seq, change.run_id, change.thread_id) == (2, 2, "run_1", "thread_1")
    assert typed.step_details.tool_calls[0].function.arguments == "a"
    assert change.state.step_details.tool_calls[0].function.arguments == "a"
    assert wire(change.state) == step("in_progress", "step_1", call("a")).data


def test_delta_made_by_hand() -> None:
    """The same as from the wire."""
    stream = Stream(step(), by_hand(arguments("a")))

    assert stream.changes[-1].delta == Stream(step(), arguments("a")).changes[-1].delta
    assert stream.tool_calls() == [call("a")]


@pytest.mark.parametrize(
    "delta", [{}, {"step_details": None}, {"step_details": {}}, {"step_details": {"type": "tool_calls"}}]
)
def test_delta_that_says_nothing(delta: Any) -> None:
    """It makes no change, before and after others."""
    stream = Stream(step(), step_delta(delta=delta))
    assert len(stream.changes) == 1
    stream.add(arguments("a"), arguments("b"), step_delta(delta=delta), arguments("c"))

    assert visible(stream.changes) == [("step_1", revision) for revision in (1, 2, 3, 4)]
    assert stream.anomalies == []
    assert stream.tool_calls() == [call("abc")]


@pytest.mark.parametrize("delta", [{}, {"content": None}, {"content": []}, {"role": "assistant"}])
def test_message_delta_that_says_nothing(delta: Any) -> None:
    """It makes no change, before and after others."""
    stream = Stream(message(), message_delta(delta=delta))
    assert len(stream.changes) == 1
    stream.add(words("a"), words("b"), message_delta(delta=delta), words("c"))

    assert visible(stream.changes) == [("msg_1", revision) for revision in (1, 2, 3, 4)]
    assert stream.anomalies == []
    assert stream.message()["content"] == [text("abc")]


@pytest.mark.parametrize("odd", ["text", 5, True, ["a"], [{"index": 0}]])
def test_delta_of_another_shape(odd: Any) -> None:
    """Whatever stands where details should is no reason to raise, nor to lose what is there."""
    stream = Stream(step(), arguments("a"), arguments("b"), step_delta(delta={"step_details": odd}), arguments("c"))
    first = Stream(step_delta(delta={"step_details": odd}), arguments("c"))

    assert stream.anomalies == ["type_conflict"]
    assert stream.tool_calls() == [call("abc")]
    assert first.anomalies == ["provisional", "type_conflict"]


def test_message_delta_of_another_shape() -> None:
    """A lone object is taken as a list of one; anything else is refused."""
    lone = message_delta(delta={"content": text("b", index=0)})
    stream = Stream(message(), words("a"), lone, message_delta(delta={"content": "x"}), lone, words("c"))

    assert stream.anomalies == ["type_conflict"]
    assert stream.message()["content"] == [text("abbc")]


@pytest.mark.parametrize("name", ["thread.run.step.delta", "thread.message.delta"])
@pytest.mark.parametrize("delta", [UNSET, None, 5, "text", ["a"]])
def test_delta_that_is_no_object(name: str, delta: Any) -> None:
    """Reported; the object is as it was, and one that is not known is not made."""
    known = Stream(step(), message(), event(name, {"id": "step_1", "delta": delta}))
    unknown = Stream(event(name, {"id": "step_1", "delta": delta}))

    assert known.anomalies == unknown.anomalies == ["bad_json"]
    assert visible(unknown.changes) == []
    assert len(unknown.reducer.steps) == len(unknown.reducer.messages) == 0


def test_delta_with_a_status() -> None:
    """A status comes with a snapshot; what ended by any other way could end again."""
    stream = Stream(step(), *(step_delta(delta={"status": status}) for status in ("completed", "failed")))

    assert [change.state.status for change in stream.changes if change.kind == "step"][-1] != "failed"


@pytest.mark.parametrize("id", [UNSET, None, "", 7])
def test_delta_without_an_id(id: Any) -> None:
    """It belongs to the step, or message, that the stream spoke of last."""
    stream = Stream(step("created", "step_1"), step("created", "step_2"), message("created", "msg_1"))
    changes = stream.add(step_delta(call("a", index=0), id=id), message_delta(text("b", index=0), id=id))

    assert anomalies(changes) == ["provisional", "provisional"]
    assert [change.id for change in changes] == ["step_2", "step_2", "msg_1", "msg_1"]
    assert stream.tool_calls("step_2") == [call("a")]
    assert stream.message()["content"] == [text("b")]


def test_delta_without_an_id_after_a_delta() -> None:
    """A delta names the last step and message too."""
    stream = Stream(
        step("created", "step_1"), step("created", "step_2"), message("created", "msg_1"), message("created", "msg_2")
    )
    stream.add(arguments("a", id="step_1"), words("b", id="msg_1"))
    changes = stream.add(step_delta(call("c", index=0), id=None), message_delta(text("d", index=0), id=None))

    assert visible(changes) == [("step_1", 3), ("msg_1", 3)]


@pytest.mark.parametrize("make", [step_delta, message_delta])
def test_delta_without_an_id_and_nothing_before(make: Any) -> None:
    """It belongs nowhere: a step is no message, and the other way round."""
    other = message() if make is step_delta else step()
    stream = Stream(other, make(id=None))

    assert stream.anomalies == ["bad_json"]
    assert len(visible(stream.changes)) == 1


# --- deltas before their object ---------------------------------------------------------------------------------------


def test_provisional_step() -> None:
    """A step is made, in the stream's current run and thread, with no more than is known of it."""
    stream = Stream(thread("thread_7"), run(thread_id=UNSET), arguments("a"), arguments("b"))
    change = stream.changes[-2]

    assert stream.anomalies == ["provisional"]
    assert [change.kind for change in stream.changes] == ["run", "anomaly", "step", "step"]
    assert (change.run_id, change.thread_id, change.revision) == ("run_1", "thread_7", 1)
    assert stream.step() == {
        "id": "step_1",
        "object": "thread.run.step",
        "run_id": "run_1",
        "thread_id": "thread_7",
        "step_details": calls(call("ab")),
    }


def test_provisional_message() -> None:
    """A message alike; without a run and thread where none are known."""
    stream = Stream(words("a"))

    assert stream.anomalies == ["provisional"]
    assert stream.message() == {"id": "msg_1", "object": "thread.message", "content": [text("a")]}
    assert (stream.changes[-1].run_id, stream.changes[-1].thread_id) == (None, None)


def test_provisional_step_of_an_empty_delta() -> None:
    """That there is a step is news."""
    stream = Stream(step_delta(delta={}))

    assert visible(stream.changes) == [("step_1", 1)]
    assert stream.step() == {"id": "step_1", "object": "thread.run.step"}


@pytest.mark.parametrize("details", [*BARE, calls(call("")), calls(call("a", id="c")), creation()])
def test_created_after_deltas(details: Any) -> None:
    """It fills in what is missing, and leaves what was accumulated."""
    stream = Stream(run(), arguments("a"), arguments("b"), step(step_details=details, assistant_id="asst_1"))
    bare = details in BARE

    assert stream.anomalies == ["provisional"] if bare else ["provisional", "kept_partial"]
    assert stream.step() == step("created", "step_1", call("ab"), assistant_id="asst_1").data
    stream.add(arguments("c"), step("in_progress", step_details=None))
    assert stream.tool_calls() == [call("abc")]
    assert stream.anomalies[-1] == "kept_partial"  # it is provisional no longer


def test_created_after_deltas_with_more() -> None:
    """A snapshot that has all of it and more is taken as it is."""
    stream = Stream(arguments("a"), step("created", "step_1", call("ab", id="c")), arguments("c"))

    assert stream.anomalies == ["provisional"]
    assert stream.tool_calls() == [call("abc", id="c")]


def test_created_after_an_empty_delta() -> None:
    """Nothing is kept where nothing was."""
    stream = Stream(step_delta(delta={}), step())

    assert stream.anomalies == ["provisional"]
    assert stream.step() == step().data
    assert visible(stream.changes) == [("step_1", 1), ("step_1", 2)]


def test_end_after_deltas_alone() -> None:
    """The terminal snapshot may be the first one."""
    stream = Stream(arguments("a"), step("completed", "step_1", call("a", id="c")))

    assert stream.anomalies == ["provisional"]
    assert stream.step() == step("completed", "step_1", call("a", id="c")).data


def test_end_without_details_after_deltas_alone() -> None:
    """What was accumulated stays, under the snapshot's other members."""
    stream = Stream(arguments("a"), step("completed", step_details=None), step("completed", step_details=None))

    assert stream.anomalies == ["provisional"]
    assert stream.step() == step("completed", "step_1", call("a")).data


def test_provisional_step_learns_its_run() -> None:
    """Its snapshot says where it belongs, so the end of that run is the end of it too."""
    stream = Stream(arguments("a"), step("created"), run("completed"))

    assert stream.changes[-1].run_id == "run_1"
    assert stream.changes[-1].inferred_status == "completed"
    assert stream.reducer.note("step", "step_1") == Note(inferred_status="completed")


def test_provisional_step_keeps_its_place() -> None:
    """It counts from its first delta, so it is the older one when its run grows too large."""
    stream = Stream(run(), arguments("a"), step("created", "step_2"), step(), limits=Limits(max_steps_per_run=2))
    stream.add(step("created", "step_3"))

    assert list(stream.reducer.steps) == ["step_2", "step_3"]


def test_provisional_step_of_another_run() -> None:
    """The run was a guess of ours, so to learn another one is no conflict."""
    stream = Stream(run(), arguments("a"), step("created", run_id="run_2"), run("completed"))

    assert stream.reducer.note("step", "step_1") == Note()
    stream.add(run("completed", "run_2"))
    assert stream.reducer.note("step", "step_1") == Note(inferred_status="completed")
    assert stream.anomalies == ["provisional"]


@pytest.mark.parametrize("make", [step, message])
def test_object_learns_its_run(make: Any) -> None:
    """An object that came as a snapshot without a run learns it as well."""
    stream = Stream(make("created", run_id=UNSET), run("created"), make("in_progress"), run("completed"))

    assert stream.changes[-1].inferred_status == "completed"


def test_details_of_a_tool_type_before_created() -> None:
    """Azure names a tool where the type of the details belongs; the snapshot knows better."""
    delta = {"step_details": {"type": "mcp", "tool_calls": [{"index": 0, "type": "mcp", "arguments": "a"}]}}
    stream = Stream(step_delta(delta=delta), step())

    assert stream.step()["step_details"] == calls({"type": "mcp", "arguments": "a"})


# --- unknown types ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "unknown"),
    [
        (step("created", "step_1", call()), step("created", "step_1", {"type": "teleport"})),
        (step(step_details=creation()), step(step_details={"type": "dream", "dream": {"a": [1]}})),
        (step(step_details={"type": "activities"}), step(step_details={"type": "dream"})),
        (message("created", "msg_1", text("a")), message("created", "msg_1", {"type": "hologram", "hologram": 1})),
        (step_delta(call(index=0)), step_delta({"index": 0, "type": "teleport"})),
        (message_delta(text(index=0)), message_delta({"index": 0, "type": "hologram"})),
    ],
)
def test_unknown_type(known: Event, unknown: Event) -> None:
    """Reported once per object and type, and kept as it came."""
    plain = Stream(known)
    odd = Stream(unknown)
    state = wire(odd.changes[-1].state)
    again = odd.add(unknown)

    assert "unknown_type" not in plain.anomalies
    assert odd.anomalies.count("unknown_type") == 1
    assert anomalies(again) == []
    if "delta" not in unknown.data:
        assert state == unknown.data


def test_unknown_types_of_two_objects() -> None:
    """Each object reports its own, each type once."""
    odd = [{"type": "a"}, {"type": "b"}, {"type": "a"}]
    stream = Stream(
        step("created", "step_1", *odd), step("in_progress", "step_1", *odd), step("created", "step_2", *odd)
    )

    assert stream.anomalies == ["unknown_type"] * 4
    assert [change.id for change in stream.changes if change.kind == "anomaly"] == ["step_1"] * 2 + ["step_2"] * 2


@pytest.mark.parametrize("odd", [None, 5, ["function"], {"a": 1}, UNSET])
def test_type_that_is_no_text(odd: Any) -> None:
    """It is not a type that could be unknown."""
    stream = Stream(step("created", "step_1", {"type": odd}, "x"), message("created", "msg_1", {"type": odd}, 5))
    stream.add(step_delta({"index": 2, "type": odd}), step(step_details={"type": odd, "tool_calls": {"type": "x"}}))

    assert "unknown_type" not in stream.anomalies


def test_type_of_a_delta_s_details() -> None:
    """A delta may carry a tool's type there; the step's own type is known and stays."""
    stream = Stream(step(), step_delta(delta={"step_details": {"type": "mcp", "tool_calls": []}}))

    assert stream.anomalies == ["type_conflict"]
    assert stream.step()["step_details"] == calls()


@pytest.mark.parametrize("count", [63, 64, 65, 200])
def test_many_unknown_types(count: int) -> None:
    """No more than 64 are reported per object."""
    stream = Stream(step())
    for number in range(count):
        stream.add(step_delta({"index": number, "type": f"type_{number}"}))

    assert stream.anomalies == ["unknown_type"] * min(count, 64)
    assert len(stream.tool_calls()) == count


def test_runs_have_no_types() -> None:
    """What a run lists are definitions, not calls."""
    details = {"type": "dream", "tool_calls": [{"type": "x"}]}

    assert Stream(run(content=[{"type": "x"}], step_details=details)).anomalies == []


# --- the end of a run -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("end", "step_status", "message_status"),
    [
        ("completed", "completed", "completed"),
        ("failed", "failed", "incomplete"),
        ("cancelled", "cancelled", "incomplete"),
        ("expired", "expired", "incomplete"),
        ("incomplete", "failed", "incomplete"),
    ],
)
def test_run_ends_with_open_members(end: str, step_status: str, message_status: str) -> None:
    """Each open step and message gets an inferred status beside it, in order; its own status stays."""
    stream = Stream(
        run(), step(), message(), arguments("a"), step("completed", "step_2"), step("created", "step_3", run_id="run_2")
    )
    changes = stream.add(run(end))

    assert visible(changes) == [("run_1", 2), ("step_1", 3), ("msg_1", 2)]
    assert [change.inferred_status for change in changes] == [None, step_status, message_status]
    assert [change.event for change in changes] == [f"thread.run.{end}"] * 3
    assert [change.state.status for change in changes] == [end, "in_progress", "in_progress"]
    assert [change.seq for change in changes] == [7, 8, 9]
    assert (changes[1].raw, changes[1].delta, changes[1].run_id) == (b"", None, "run_1")
    assert stream.reducer.note("step", "step_1") == Note(inferred_status=step_status)
    assert stream.reducer.note("step", "step_2") == stream.reducer.note("step", "step_3") == Note()
    assert stream.anomalies == []


@pytest.mark.parametrize("status", ["requires_action", "cancelling", "queued", "paused"])
def test_run_that_does_not_end(status: str) -> None:
    """Its members stay open without a word."""
    stream = Stream(run(), step(), run("created", status=status))

    assert len(visible(stream.changes)) == 3
    assert stream.reducer.note("step", "step_1") == Note()


def test_run_that_is_known_by_its_end_alone() -> None:
    """Its members are those that named it."""
    stream = Stream(step(), run("failed"))

    assert visible(stream.changes) == [("step_1", 1), ("run_1", 1), ("step_1", 2)]
    assert stream.changes[-1].inferred_status == "failed"


def test_run_that_ends_by_the_name_of_an_event() -> None:
    """The payload may be the same as before."""
    stream = Stream(run("created", status=UNSET), step(), run("completed", status=UNSET))

    assert stream.reducer.note("step", "step_1") == Note(inferred_status="completed")


@pytest.mark.parametrize(
    "later",
    [step("in_progress", new=1), step("created"), step("completed"), arguments("b"), step_delta(delta={})],
)
def test_real_event_after_an_inferred_status(later: Event) -> None:
    """Anything the server says of the step itself takes the inference away."""
    stream = Stream(run(), step(), arguments("a"), run("completed"))
    changes = stream.add(later)

    assert visible(changes) == [("step_1", 4)]
    assert changes[-1].inferred_status is None
    assert stream.reducer.note("step", "step_1") == Note()


def test_same_snapshot_after_an_inferred_status() -> None:
    """Even one that says nothing new."""
    stream = Stream(run(), step(), run("completed"))
    changes = stream.add(step())

    assert visible(changes) == [("step_1", 3)]
    assert changes[0].note == Note()
    assert stream.add(step()) == []


def test_step_of_a_run_that_ended() -> None:
    """It is taken in, and nothing is inferred for it until its run says so."""
    stream = Stream(run("completed"), step())

    assert visible(stream.changes) == [("run_1", 1), ("step_1", 1)]
    assert stream.reducer.note("step", "step_1") == Note()


def test_second_end_of_a_run_infers_nothing() -> None:
    """The inference is made once, by the first terminal event."""
    stream = Stream(run(), step(), run("completed"))

    assert stream.add(run("completed")) == []
    assert anomalies(stream.add(run("failed"))) == ["status_conflict"]
    assert stream.reducer.note("step", "step_1") == Note(inferred_status="completed")


# --- the end of a stream ----------------------------------------------------------------------------------------------


def test_truncated() -> None:
    """The open steps and messages of the stream's run are marked, and stay open."""
    stream = Stream(
        run(), step(), message(), arguments("a"), step("completed", "step_2"), step("created", "step_3", run_id="run_2")
    )
    stream.add(run("queued"))
    changes = stream.reducer.truncate(stream.context)

    assert anomalies(changes) == ["truncated"]
    assert changes[0].id == "run_1"
    assert visible(changes) == [("step_1", 3), ("msg_1", 2), ("run_1", 3)]
    assert [change.truncated for change in changes] == [False, True, True, True]
    assert [change.event for change in changes] == ["truncated"] * 4
    assert [change.seq for change in changes] == [8, 9, 10, 11]
    assert changes[1].note == Note(truncated=True)
    assert changes[1].state.status == "in_progress"
    assert (changes[1].delta, changes[1].raw) == (None, b"")
    assert stream.context.anomalies == {"truncated": 1}


def test_truncated_twice() -> None:
    """What is marked already is not marked again."""
    stream = Stream(run(), step())
    stream.reducer.truncate(stream.context)
    stream.add(message())

    assert visible(stream.reducer.truncate(stream.context)) == [("msg_1", 2)]


def test_truncated_without_a_run() -> None:
    """Objects of no known run are marked; where there is nothing, only the anomaly tells."""
    stream = Stream(arguments("a"))

    assert visible(stream.reducer.truncate(stream.context)) == [("step_1", 2)]
    nothing = Stream()
    changes = nothing.reducer.truncate(nothing.context)
    assert [(change.kind, change.id, change.run_id) for change in changes] == [("anomaly", "", None)]


@pytest.mark.parametrize("later", [step("in_progress"), step("created"), arguments("b"), step_delta(delta={})])
def test_real_event_after_truncation(later: Event) -> None:
    """It takes the mark away."""
    stream = Stream(run(), step(), arguments("a"))
    stream.reducer.truncate(stream.context)
    changes = stream.add(later)

    assert visible(changes) == [("step_1", 4)]
    assert stream.reducer.note("step", "step_1") == Note()


def test_truncated_after_the_end_of_the_run() -> None:
    """An inferred status stays beside the mark."""
    stream = Stream(run(), step(), run("completed"))
    changes = stream.reducer.truncate(stream.context)

    assert changes[-1].note == Note(inferred_status="completed", truncated=True)


def test_end_of_the_run_after_truncation() -> None:
    """The mark stays beside an inferred status: nothing was said of the step itself."""
    stream = Stream(run(), step())
    stream.reducer.truncate(stream.context)
    changes = stream.add(run("completed"))

    assert changes[-1].note == Note(inferred_status="completed", truncated=True)


# --- what anomalies say -----------------------------------------------------------------------------------------------

# Events that lead there, the event that is odd, and what is said of it: kind, id, detail.
ODDITIES: list[tuple[list[Event], Event, tuple[str, str, str]]] = [
    ([], Event("x.y", Anomaly(kind="bad_json", event="x.y", detail="no JSON"), b"{"), ("bad_json", "", "no JSON")),
    ([], run(id=""), ("bad_json", "", "a run without an id")),
    ([], step(id=""), ("bad_json", "", "a step without an id")),
    ([], step_delta(id=None), ("bad_json", "", "a step delta without an id")),
    ([], message_delta(id=None), ("bad_json", "", "a message delta without an id")),
    ([], step_delta(delta=None), ("bad_json", "step_1", "a step delta that holds no object")),
    ([], event("x.y", {}), ("unknown_event", "", "no event of this vocabulary")),
    ([], step("created", "step_1", {"type": "teleport"}), ("unknown_type", "step_1", "kept as it came")),
    ([step()], step("created", run_id="run_2"), ("id_conflict", "step_1", "run_id differs from the first one")),
    (
        [step("created", "step_1", call(id="a"))],
        step_delta(call(index=0, id="b")),
        ("id_conflict", "step_1", "index 0 of tool_calls holds another id; placed at 1"),
    ),
    (
        [step("created", "step_1", call(id="a"), call(id="b"))],
        step_delta(call(index=0, id="b")),
        ("id_conflict", "step_1", "index 0 of tool_calls holds another id; placed by id at 1"),
    ),
    (
        [step("created", "step_1", call())],
        step_delta({"index": 0, "type": "mcp"}),
        ("type_conflict", "step_1", "type differs from the first one"),
    ),
    (
        [step()],
        step_delta(delta={"step_details": {"type": "mcp", "tool_calls": []}}),
        ("type_conflict", "step_1", "the details carry the type of a tool"),
    ),
    (
        [step("created", "step_1", call(5))],
        arguments("a"),
        ("type_conflict", "step_1", "text for arguments, which holds no text"),
    ),
    (
        [message("created", "msg_1", text(5))],
        words("a"),
        ("type_conflict", "msg_1", "text for a member, which holds no text"),
    ),
    (
        [step(), step_delta(delta={"metadata": {}})],
        step_delta(delta={"metadata": 5}),
        ("type_conflict", "step_1", "a plain value for metadata, which is an object"),
    ),
    (
        [step(metadata=5)],
        step_delta(delta={"metadata": {}}),
        ("type_conflict", "step_1", "an object for metadata, which holds none"),
    ),
    ([message(content=5)], words("a"), ("type_conflict", "msg_1", "a list for content, which holds none")),
    ([message()], message_delta("x"), ("type_conflict", "msg_1", "an entry of content is no object")),
    ([message("created", "msg_1", "x")], words("a"), ("type_conflict", "msg_1", "entry 0 of content is no object")),
    (
        [],
        run("completed", status="failed"),
        ("status_conflict", "run_1", "the event is named completed, its payload differs"),
    ),
    ([step("failed")], step("completed"), ("status_conflict", "step_1", "another terminal status came first")),
    (
        [step()],
        step_delta(delta={"status": "completed"}),
        ("status_conflict", "step_1", "a status comes with a snapshot"),
    ),
    ([step("failed")], step(), ("late_event", "step_1", "refused after the terminal event: status")),
    ([step("failed")], arguments("a"), ("late_event", "step_1", "a delta after the terminal event")),
    (
        [step()],
        step_delta(call(index=1024)),
        ("index_gap", "step_1", "index 1024 of tool_calls is too far beyond -1"),
    ),
    (
        [step("created", "step_1", call(id="a"))],
        step_delta(call(index="0", id="a")),
        ("index_invalid", "step_1", "an index of tool_calls is str or negative"),
    ),
    (
        [step("created", "step_1", call(id="a"), call(id="b"))],
        step_delta(call("x")),
        ("index_invalid", "step_1", "no index in tool_calls, and no id that tells the entry"),
    ),
    (
        [step("created", "step_1", call())],
        step("in_progress"),
        ("kept_partial", "step_1", "a snapshot without step_details; the accumulated ones stay"),
    ),
    (
        [step(), arguments("ab")],
        step("in_progress", "step_1", call("a")),
        ("kept_partial", "step_1", "a snapshot with less step_details than was accumulated"),
    ),
    (
        [message(), words("ab")],
        message("completed", "msg_1", text("a")),
        ("divergence", "msg_1", "2 characters accumulated, 1 in the snapshot"),
    ),
    ([], arguments("a"), ("provisional", "step_1", "a delta before its step")),
    ([], words("a"), ("provisional", "msg_1", "a delta before its message")),
    ([step()], step_delta(id=None), ("provisional", "step_1", "a step delta without an id")),
    ([message()], message_delta(id=None), ("provisional", "msg_1", "a message delta without an id")),
    ([done()], run(), ("reopened", "", "an event after the end of the stream, without open()")),
    (
        [step(), arguments("x" * 56)],  # and 24 for the entry, its type and its function
        arguments("y"),
        ("limit", "step_1", "1 more characters would pass 80 in one object"),
    ),
    (
        [step("created", "step_1", {}, {}, {})],
        arguments("a", 3),
        ("limit", "step_1", "more than 3 entries in tool_calls"),
    ),
    (
        [step(), step(id="step_2")],
        step(id="step_3"),
        ("limit", "step_3", "more than 2 steps and messages; forgot 'step_1'"),
    ),
    ([run(), run(id="run_2")], run(id="run_3"), ("limit", "run_3", "more than 2 open runs; forgot run 'run_1'")),
]
BOUNDS = Limits(max_object_bytes=80, max_entries=3, max_steps_per_run=2, max_open_runs=2)


@pytest.mark.parametrize(("before", "odd", "expected"), ODDITIES)
def test_anomaly(before: list[Event], odd: Event, expected: tuple[str, str, str]) -> None:
    """Each says once what is odd, about which object, in which event; with the event's payload."""
    stream = Stream(*before, limits=BOUNDS)
    assert stream.anomalies == []
    changes = [change for change in stream.add(odd) if change.kind == "anomaly"]

    assert [(change.data.kind, change.data.id, change.data.detail) for change in changes] == [expected]
    assert (changes[0].event, changes[0].data.event, changes[0].id) == (odd.name, odd.name, expected[1])
    assert (changes[0].raw, changes[0].revision, changes[0].state) == (odd.raw, 0, None)
    assert stream.context.anomalies == {expected[0]: 1}


def test_anomaly_of_a_replaced_connection() -> None:
    """The same for what has no place in one stream alone."""
    reducer, old = Reducer(), StreamContext.named("s", 1)
    for item in (run(), step()):
        reducer.apply(item, StreamContext.named("s", 2))
    changes = [*reducer.apply(run("completed"), old), *reducer.apply(arguments("a"), old)]

    assert [(change.data.kind, change.id, change.data.detail) for change in changes] == [
        ("late_event", "run_1", "from a connection that was replaced"),
        ("late_event", "step_1", "from a connection that was replaced"),
    ]


def test_anomaly_of_a_truncated_stream() -> None:
    """It is made by no event of the wire."""
    stream = Stream(run())
    change = stream.reducer.truncate(stream.context)[0]

    assert change.delta == Anomaly(
        kind="truncated", event="truncated", id="run_1", detail="the stream ended without a terminal event"
    )


def test_every_kind_of_anomaly_is_tested() -> None:
    """The list is closed, and each of it can happen."""
    assert {expected[0] for _, _, expected in ODDITIES} | {"truncated"} == set(ANOMALY_KINDS)


def test_anomalies_hold_no_content() -> None:
    """Whatever a sender makes up, in names and values, at any place, none of it is in a report."""
    secret = "s3cret"
    odd: dict[str, Any] = {secret: secret, "type": secret, "arguments": {secret: 1}, "id": secret, "index": secret}
    events = [
        step("created", step_details=calls(odd, {**odd, "index": 5})),
        step("in_progress", step_details={"type": secret, secret: secret}, status=secret),
        step_delta(odd, {**odd, "index": 0}, {**odd, "index": 0, "id": secret * 2}, secret),
        step_delta(odd, {**odd, "index": 10**9}, {"index": 0, "logs": secret * 20}),
        step_delta(delta={"step_details": secret, secret: {secret: secret}, "metadata": secret}),
        step_delta(delta={"step_details": [secret], secret: secret, "metadata": {secret: secret}}),
        step_delta(id=secret, delta=secret),
        step("completed", "step_1", {**odd, "arguments": secret}),
        step("failed", "step_1", {**odd, "id": secret * 3}, **{secret: secret}),
        message("created", "msg_1", odd, secret),
        message_delta(odd, {"index": 0, "type": "text", "text": secret}),
        message("completed", "msg_1", {**odd, "arguments": secret}),
        message("incomplete", "msg_1", {**odd, "arguments": secret * 2}),
        run(secret, status="queued"),
        event(secret, {"id": secret}),
    ]
    stream = Stream(*events, limits=Limits(max_object_bytes=100))

    assert set(stream.anomalies) >= {"unknown_type", "type_conflict", "index_invalid", "late_event", "limit"}
    assert [detail for detail in stream.details() if secret in detail] == []


# --- counting ---------------------------------------------------------------------------------------------------------


def test_seq_and_revision() -> None:
    """`seq` counts all changes of a stream, anomalies included; a revision counts the visible ones of one object."""
    stream = Stream(run(), step(), message(), arguments("a"), event("x.y", {}), words("b"), arguments("", index=0))
    stream.add(step_delta(call("c", index=-1)), run("queued"), step("completed"), step("failed"))

    assert [change.seq for change in stream.changes] == list(range(1, 13))
    assert [(change.kind, change.id, change.revision) for change in stream.changes] == [
        ("run", "run_1", 1),
        ("step", "step_1", 1),
        ("message", "msg_1", 1),
        ("step", "step_1", 2),
        ("anomaly", "", 0),
        ("message", "msg_1", 2),
        ("anomaly", "step_1", 0),
        ("step", "step_1", 3),
        ("run", "run_1", 2),
        ("anomaly", "step_1", 0),
        ("step", "step_1", 4),
        ("anomaly", "step_1", 0),
    ]
    assert {change.stream for change in stream.changes} == {"s"}
    assert {change.epoch for change in stream.changes} == {1}


def test_anomalies_are_counted_as_they_are_reported() -> None:
    """One count for each change of that kind."""
    stream = Stream(step(), event("x.y", {}), event("x.y", {}), step_delta(call(index=-1)))

    assert stream.context.anomalies == {"unknown_event": 2, "index_invalid": 1}
    assert stream.anomalies == ["unknown_event", "unknown_event", "index_invalid"]
