"""What servers really send, scenario by scenario: the states, and the anomalies that tell of every repair.

The scenarios come from the published behaviour of servers and client libraries; each begins as bytes and ends as the
complete JSON of the objects. The last part holds the defects of published accumulators that we must not have.
"""

from typing import Any

import pytest
from msgspec import UNSET

from streamproc import Change, ErrorObject, Event, StreamProcessor
from streamproc.core.change import Note
from streamproc.model import McpToolCall, ToolCallsDetails, UnknownToolCall
from tests.streams import (
    anomalies,
    arguments,
    call,
    calls,
    code,
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
    visible,
    wire,
    words,
)


class Fed(StreamProcessor):
    """A processor with the changes of what it was fed."""

    def __init__(self, *events: Event) -> None:
        super().__init__()
        self.changes: list[Change] = []
        self.send(*events)

    def send(self, *events: Event) -> list[Change]:
        return self.take(sse(*events))

    def take(self, data: bytes) -> list[Change]:
        changes = self.feed(data)
        self.changes += changes
        return changes

    def end(self) -> list[Change]:
        changes = self.close()
        self.changes += changes
        return changes

    def step(self, id: str = "step_1") -> Any:
        return wire(self.steps[id])

    def tool_calls(self, id: str = "step_1") -> Any:
        return self.step(id)["step_details"]["tool_calls"]


def function(arguments: str, id: str, name: str, output: Any = None) -> dict[str, Any]:
    """A whole function call, as snapshots have it."""
    return call(arguments, id=id, name=name, output=output)


def opening(id: str, name: str, index: int = 0, step_id: str = "step_1") -> Event:
    """The first fragment of a function call, as servers send it."""
    return step_delta(call("", index=index, id=id, name=name, output=None), id=step_id)


# --- the scenarios ----------------------------------------------------------------------------------------------------


def test_1_two_tool_steps_both_using_index_0() -> None:
    """An index counts within its step."""
    proc = Fed(
        run(),
        *(step("created"), opening("call_1", "f"), arguments('{"a":'), arguments("1}")),
        step("completed", "step_1", function('{"a":1}', "call_1", "f")),
        *(step("created", "step_2"), opening("call_2", "g", step_id="step_2")),
        *(arguments('{"b"', id="step_2"), arguments(":2}", id="step_2")),
        done(),
    )
    proc.end()

    assert proc.tool_calls("step_1") == [function('{"a":1}', "call_1", "f")]
    assert proc.tool_calls("step_2") == [function('{"b":2}', "call_2", "g")]
    assert proc.anomalies == {}


def test_2_interleaved_calls() -> None:
    """Fragments for 0, 1, 0, 1 find their calls, and none is lost at a switch."""
    proc = Fed(run(), step(), opening("call_1", "f", 0), opening("call_2", "g", 1))
    changes = proc.send(*(arguments(letter, number % 2) for number, letter in enumerate("aAbBcC")))

    assert proc.tool_calls() == [function("abc", "call_1", "f"), function("ABC", "call_2", "g")]
    assert visible(changes) == [("step_1", revision) for revision in range(4, 10)]
    assert [wire(change.state)["step_details"]["tool_calls"][0]["function"]["arguments"] for change in changes] == [
        *("a", "a", "ab", "ab", "abc", "abc")
    ]
    assert proc.anomalies == {}


def test_3_duplicate_index_in_one_first_chunk() -> None:
    """Two entries of one index in the very first delta are one call."""
    twice = step_delta(call("", index=0, id="call_1", name="f"), call('{"city":', index=0))
    proc = Fed(run(), step(), twice, arguments('"Rome"}'))

    assert proc.tool_calls() == [call('{"city":"Rome"}', id="call_1", name="f")]
    assert proc.anomalies == {}


def test_3_duplicate_index_where_the_list_is_absent() -> None:
    """Also when the step has no list yet, or none at all."""
    twice = step_delta(call("a", index=0, id="call_1"), call("b", index=0), call("c", index=0))

    for details in (None, UNSET, {"type": "tool_calls"}, {"type": "tool_calls", "tool_calls": None}):
        assert Fed(step(step_details=details), twice).tool_calls() == [call("abc", id="call_1")]


def test_4_index_gap_that_is_filled_later() -> None:
    """A call may come before its predecessors; its place is its index."""
    proc = Fed(run(), step(), opening("call_3", "h", 2), arguments("c", 2), opening("call_1", "f", 0), arguments("a"))
    sparse = proc.tool_calls()
    proc.send(opening("call_2", "g", 1), arguments("b", 1), arguments("c", 2), arguments("a", 0))

    assert sparse == [function("a", "call_1", "f"), function("c", "call_3", "h")]
    assert proc.tool_calls() == [
        function("aa", "call_1", "f"),
        function("b", "call_2", "g"),
        function("cc", "call_3", "h"),
    ]
    assert proc.anomalies == {}


@pytest.mark.parametrize("index", [-1, True, False, "0", 1.5, None])
def test_5_bad_index(index: Any) -> None:
    """The id tells which call is meant; where it cannot, the entry is appended. Each is reported."""
    proc = Fed(step("created", "step_1", call("", id="call_1"), call("", id="call_2")))
    proc.send(step_delta(call("a", index=index, id="call_2")), step_delta(call("b", index=index)))

    assert proc.tool_calls() == [call("", id="call_1"), call("a", id="call_2"), call("b")]
    assert proc.anomalies == {"index_invalid": 2}


def test_5_absent_index() -> None:
    """It is no offence where there is one call at most, or an id that tells."""
    proc = Fed(step(), step_delta(call("a", id="call_1")), step_delta(call("b")), arguments("c"))
    proc.send(step_delta(call("x", id="call_2")), step_delta(call("d", id="call_1"), call("y", id="call_2")))

    assert proc.tool_calls() == [call("abcd", id="call_1"), call("xy", id="call_2")]
    assert proc.anomalies == {"index_invalid": 1}


@pytest.mark.parametrize("index", [1024, 65_536, 2**53, 2**63, 2**64, 2**70])
def test_5_huge_index(index: int) -> None:
    """It is refused before it can cost anything."""
    proc = Fed(step(), step_delta(call("a", index=index)), arguments("b"))

    assert proc.tool_calls() == [call("b")]
    assert proc.anomalies == {"index_gap": 1}


def test_6_delta_before_created() -> None:
    """The step is made for it, belongs to the stream's run, and learns the rest when it is created."""
    proc = Fed(run(), opening("call_1", "f"), arguments("a"), arguments("b"))
    before = proc.step()
    proc.send(step(assistant_id="asst_1"), arguments("c"))

    assert before == {
        "id": "step_1",
        "object": "thread.run.step",
        "run_id": "run_1",
        "thread_id": "thread_1",
        "step_details": calls(function("ab", "call_1", "f")),
    }
    assert proc.step() == step("created", "step_1", function("abc", "call_1", "f"), assistant_id="asst_1").data
    assert proc.anomalies == {"provisional": 1}


def test_6_delta_before_anything() -> None:
    """A stream that was joined late has no run to name."""
    proc = Fed(arguments("a"), words("b"))

    assert [change.run_id for change in proc.changes] == [None] * 4
    assert proc.tool_calls() == [call("a")]
    assert proc.messages["msg_1"].text == "b"
    assert proc.anomalies == {"provisional": 2}


FIRST = [
    run("created"),
    run("queued"),
    run("in_progress"),
    step(usage=None),
    step("in_progress", usage=None),
    opening("call_1", "f"),
    arguments('{"city":'),
    arguments('"Rome"}'),
    run("requires_action", required_action={"type": "submit_tool_outputs"}),
    done(),
]
SECOND = [
    step("completed", "step_1", function('{"city":"Rome"}', "call_1", "f", "sunny"), usage={"total_tokens": 9}),
    run("queued", required_action=None),
    run("in_progress"),
    step("created", "step_2", step_details=creation(), usage=None),
    message("created"),
    step("in_progress", "step_2", step_details=creation(), usage=None),
    words("It is "),
    words("sunny."),
    message("completed", "msg_1", text("It is sunny.", annotations=[])),
    step("completed", "step_2", step_details=creation(), usage={"total_tokens": 5}),
    run("completed", usage={"total_tokens": 14}),
    done(),
]


def finals(proc: StreamProcessor) -> dict[str, Any]:
    """All objects as they are now."""
    return {obj.id: wire(obj) for mapping in (proc.runs, proc.steps, proc.messages) for obj in mapping.values()}


def test_7_second_stream_after_tool_outputs() -> None:
    """The step of the first stream gets its output and usage in the second one, which begins with its end."""
    proc = Fed(*FIRST)
    proc.end()
    waiting = finals(proc)
    proc.open()
    changes = proc.send(*SECOND)
    proc.end()

    assert waiting["run_1"]["status"] == "requires_action"
    assert waiting["step_1"]["status"] == "in_progress"
    assert waiting["step_1"]["step_details"] == calls(function('{"city":"Rome"}', "call_1", "f"))
    assert visible(changes)[0] == ("step_1", 5)
    assert finals(proc) == {
        "run_1": SECOND[-2].data,
        "step_1": SECOND[0].data,
        "step_2": SECOND[-3].data,
        "msg_1": SECOND[-4].data,
    }
    assert proc.anomalies == {}
    assert not proc.truncated


def test_7_second_stream_alone() -> None:
    """Without the first one, the end of the step is all of it, and nothing is missing."""
    proc = Fed(*SECOND)
    proc.end()

    assert finals(proc) == {
        "run_1": SECOND[-2].data,
        "step_1": SECOND[0].data,
        "step_2": SECOND[-3].data,
        "msg_1": SECOND[-4].data,
    }
    assert visible(proc.changes)[0] == ("step_1", 1)
    assert proc.anomalies == {}


def test_7_two_streams_or_one() -> None:
    """Where a run is cut into streams makes no difference to its final states."""
    one, two = Fed(*FIRST[:-1], *SECOND), Fed(*FIRST)
    two.open()
    two.send(*SECOND)

    assert finals(one) == finals(two)
    assert one.anomalies == two.anomalies == {}


def test_8_id_and_name_resent() -> None:
    """Neither is doubled, whatever else the fragment says."""
    parts = ('{"a"', ":", "1}")
    proc = Fed(step(), *(step_delta(call(part, index=0, id="call_1", name="get_weather")) for part in parts))

    assert proc.tool_calls() == [call('{"a":1}', id="call_1", name="get_weather")]
    assert proc.anomalies == {}


def test_8_name_in_pieces() -> None:
    """A name that does come in fragments is put together."""
    proc = Fed(step(), *(step_delta(call(index=0, name=part)) for part in ("get_", "weather", "get_weather")))

    assert proc.tool_calls() == [call(name="get_weather")]
    assert proc.anomalies == {}


def test_9_whole_call_resend() -> None:
    """`created` has all calls; then one delta repeats some of them, complete, numbered from 0 over those alone."""
    internal = {"id": "call_0", "type": "file_search", "file_search": {"results": [{"file_id": "f", "score": 0.5}]}}
    external = [function('{"a":1}', "call_1", "f"), function("{}", "call_2", "g")]
    proc = Fed(
        run("in_progress"),
        step("created", "step_1", internal, *external),
        step_delta(*({"index": index, **item} for index, item in enumerate(external))),
        run("completed", status="requires_action"),
        done(),
    )
    proc.end()

    assert proc.tool_calls() == [internal, *external]
    assert visible(proc.changes) == [("run_1", 1), ("step_1", 1), ("run_1", 2)]
    assert proc.anomalies == {"id_conflict": 2, "status_conflict": 1}
    assert proc.runs["run_1"].status == "requires_action"


def test_9_whole_call_resend_at_its_own_index() -> None:
    """The same when the numbers agree; then there is nothing to report."""
    external = [function('{"a":1}', "call_1", "f"), function("{}", "call_2", "g")]
    proc = Fed(
        step("created", "step_1", *external),
        step_delta(*({"index": index, **item} for index, item in enumerate(external))),
    )

    assert proc.tool_calls() == external
    assert visible(proc.changes) == [("step_1", 1)]
    assert proc.anomalies == {}


def test_9_whole_mcp_call_resend() -> None:
    """A call whose name and arguments stand on the call itself is not doubled either."""
    whole = {"id": "call_1", "type": "mcp", "name": "f", "arguments": "{}", "server_label": "s"}
    proc = Fed(step("created", "step_1", whole), step_delta({"index": 0, **whole}))

    assert proc.tool_calls() == [whole]


def test_10_expires_at_on_a_running_step() -> None:
    """It says when the step would expire, not that it did."""
    proc = Fed(step(expires_at=1_700_000_600, expired_at=None))
    state = proc.steps["step_1"]

    assert (state.expires_at, state.expired_at, state.status) == (1_700_000_600, None, "in_progress")
    proc.send(step("completed", expires_at=None, completed_at=1_700_000_001))
    assert (proc.steps["step_1"].expires_at, proc.steps["step_1"].expired_at) == (None, UNSET)


def test_11_mcp_delta_on_a_tool_calls_step() -> None:
    """The step's details keep their type, so that they can still be read; the call is an MCP call."""

    def mcp(fragment: str, **members: Any) -> Event:
        entry = {"index": 0, "type": "mcp", "arguments": fragment, **members}
        return step_delta(delta={"step_details": {"type": "mcp", "tool_calls": [entry]}})

    proc = Fed(run(), step(), mcp('{"q"', id="call_1", name="search", server_label="s"), mcp(":"), mcp("1}"))
    details = proc.steps["step_1"].step_details

    assert isinstance(details, ToolCallsDetails)
    assert details.tool_calls == (McpToolCall(id="call_1", name="search", arguments='{"q":1}', server_label="s"),)
    assert proc.anomalies == {"type_conflict": 3}


def test_12_unknown_tool_type() -> None:
    """It is kept with all its members, and can be read as a dict."""
    odd = {"id": "call_1", "type": "teleport", "teleport": {"to": ["Rome", {"lat": 41.9}], "force": None}, "x": 1}
    proc = Fed(step("created", "step_1", odd), step_delta({"index": 0, "teleport": {"force": True, "to": ["Oslo"]}}))
    details: Any = proc.steps["step_1"].step_details

    assert proc.tool_calls() == [{**odd, "teleport": {"to": ["Oslo"], "force": True}}]
    assert details.tool_calls == (UnknownToolCall(proc.tool_calls()[0]),)
    assert wire(proc.changes[1].state) == step("created", "step_1", odd).data
    assert proc.anomalies == {"unknown_type": 1}


def test_12_unknown_event() -> None:
    """It passes through raw, and disturbs nothing."""
    odd = event("thread.run.step.paused", {"id": "step_1", "why": ["?"]})
    proc = Fed(run(), step(), odd, arguments("a"))

    assert [(change.event, change.raw) for change in proc.changes if change.kind == "anomaly"] == [(odd.name, odd.raw)]
    assert proc.tool_calls() == [call("a")]
    assert proc.anomalies == {"unknown_event": 1}


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (
            {"code": "server_error", "message": "Sorry", "param": None, "type": "server_error"},
            ErrorObject(code="server_error", message="Sorry", param=None, type="server_error"),
        ),
        (
            {"error": {"code": "server_error", "message": "Sorry", "param": None, "type": "server_error"}},
            ErrorObject(code="server_error", message="Sorry", param=None, type="server_error"),
        ),
        ("upstream died", ErrorObject(message="upstream died")),
        ('"upstream died"', ErrorObject(message="upstream died")),
    ],
)
def test_13_error(payload: Any, expected: ErrorObject) -> None:
    """Flat, nested and plain errors are one typed thing, which ends the stream and nothing else."""
    proc = Fed(run(), step(), arguments("a"), error(payload))
    change = proc.changes[-1]

    assert (change.kind, change.event, change.state) == ("error", "error", expected)
    assert (change.run_id, change.id, change.revision) == ("run_1", "", 0)
    assert proc.end() == []
    assert not proc.truncated
    assert proc.steps["step_1"].status == "in_progress"
    assert proc.anomalies == {}


def test_14_end_without_done() -> None:
    """Truncated: told, marked on what is open, and nothing invented."""
    proc = Fed(run(), step(), arguments("a"), message(), words("b"))
    changes = proc.end()

    assert proc.truncated
    assert anomalies(changes) == ["truncated"]
    marked = [("step_1", True), ("msg_1", True), ("run_1", True)]
    assert [(change.id, change.truncated) for change in changes[1:]] == marked
    assert [change.state.status for change in changes[1:3]] == ["in_progress"] * 2
    assert proc.anomalies == {"truncated": 1}


def test_15_framing() -> None:
    """CRLF, split characters, keep-alive comments and several data lines: the same states."""
    events = [run("created"), step(), opening("call_1", "f"), arguments('{"città":'), arguments('"🌍"}'), done()]
    crlf = b": ping\r\n\r\n" + sse(*events, end="\r\n").replace(b'"delta":', b'\r\ndata: "delta":\r\ndata: ')
    commented = sse(*events).replace(b"\n\n", b"\n\n: keep-alive\n\n")
    plain, split, bytewise = Fed(*events), Fed(), Fed()
    split.take(commented)
    for byte in crlf:
        bytewise.take(bytes([byte]))

    assert plain.tool_calls() == [function('{"città":"🌍"}', "call_1", "f")]
    assert finals(plain) == finals(split) == finals(bytewise)
    assert visible(plain.changes) == visible(split.changes) == visible(bytewise.changes)
    assert plain.anomalies == split.anomalies == bytewise.anomalies == {}


def test_16_in_progress_after_deltas() -> None:
    """It does not wipe out what they built."""
    proc = Fed(run(), step(), opening("call_1", "f"), arguments("a"), step("in_progress", new=1), arguments("b"))

    assert proc.step() == step("in_progress", "step_1", function("ab", "call_1", "f"), new=1).data
    assert proc.anomalies == {"kept_partial": 1}


def test_16_in_progress_of_a_message_after_deltas() -> None:
    """Nor the text of a message."""
    proc = Fed(message(), words("a"), message("in_progress", new=1), words("b"))

    assert wire(proc.messages["msg_1"]) == message("in_progress", "msg_1", text("ab"), new=1).data
    assert proc.anomalies == {"kept_partial": 1}


@pytest.mark.parametrize("details", [UNSET, None, {}, {"type": "tool_calls"}, {"type": "tool_calls", "tool_calls": []}])
def test_17_terminal_snapshot_with_empty_step_details(details: Any) -> None:
    """Everything else of it counts; the accumulated details stay."""
    proc = Fed(run(), step(usage=None), opening("call_1", "f"), arguments("a"), arguments("b"))
    proc.send(step("completed", step_details=details, usage={"total_tokens": 3}))
    expected = step("completed", "step_1", function("ab", "call_1", "f"), usage={"total_tokens": 3}).data

    assert proc.step() == expected
    assert proc.anomalies == {"kept_partial": 1}
    proc.send(step("completed", step_details=details, usage={"total_tokens": 3}))
    assert proc.step() == expected
    assert proc.anomalies == {"kept_partial": 1}


@pytest.mark.parametrize("make", [run, step])
def test_18_two_different_ends(make: Any) -> None:
    """The first one stands."""
    proc = Fed(
        make("failed", failed_at=1, last_error={"code": "x"}),
        make("completed", completed_at=2, usage={"total_tokens": 3}),
    )
    state = wire(proc.changes[-1].state)

    assert state == {**make("failed", failed_at=1, last_error={"code": "x"}).data, "usage": {"total_tokens": 3}}
    assert proc.anomalies == {"status_conflict": 1, "late_event": 1}


WHOLE_RUN = [*FIRST[:-1], *SECOND]


@pytest.mark.parametrize("epoch", [None, 2])
def test_19_full_replay(epoch: int | None) -> None:
    """The same stream once more changes nothing that ended, in the same epoch or a new one."""
    proc = Fed(*WHOLE_RUN)
    proc.end()
    before = finals(proc)
    proc.open(epoch=epoch)
    changes = proc.send(*WHOLE_RUN)

    assert finals(proc) == before
    assert visible(changes) == []
    assert set(anomalies(changes)) == {"late_event"}
    assert {change.epoch for change in changes} == {epoch or 1}


def test_19_replay_of_an_unfinished_stream() -> None:
    """In a new epoch what is created again starts over, so a replay is the same as the first time."""
    proc = Fed(*FIRST)
    before = finals(proc)
    proc.end()
    proc.open(epoch=2)
    changes = proc.send(*FIRST)

    assert finals(proc) == before
    assert proc.tool_calls() == [function('{"city":"Rome"}', "call_1", "f")]
    assert [change.seq for change in changes] == list(range(1, len(changes) + 1))
    assert proc.anomalies == {}


def test_20_cancelling_then_completed() -> None:
    """To cancel is an attempt."""
    proc = Fed(run(), step(), run("cancelling"), step("completed"), run("completed"), done())
    proc.end()

    assert [change.state.status for change in proc.changes if change.kind == "run"] == [
        "in_progress",
        "cancelling",
        "completed",
    ]
    assert proc.anomalies == {}
    assert not proc.truncated


def test_21_incomplete() -> None:
    """It ends a run and a stream, and what is open with it."""
    details = {"reason": "max_completion_tokens"}
    proc = Fed(run(), step(step_details=creation()), message(), words("The answer is"))
    proc.send(message("incomplete", "msg_1", text("The answer is"), incomplete_details={"reason": "max_tokens"}))
    changes = proc.send(run("incomplete", incomplete_details=details))
    proc.end()

    assert wire(proc.runs["run_1"])["incomplete_details"] == details
    assert proc.messages["msg_1"].status == "incomplete"
    assert [(change.id, change.inferred_status) for change in changes] == [("run_1", None), ("step_1", "failed")]
    assert not proc.truncated
    assert proc.anomalies == {}


def test_22_run_expired_with_open_steps() -> None:
    """Their status is inferred and stands beside them; a real event overrides it."""
    proc = Fed(*FIRST)
    proc.open()
    changes = proc.send(run("expired"), done())
    inferred = proc.reducer.note("step", "step_1")
    later = proc.hydrate(proc.steps["step_1"])
    proc.open()
    last = proc.send(step("expired", "step_1", function('{"city":"Rome"}', "call_1", "f"), expired_at=7))

    assert [(change.id, change.inferred_status) for change in changes] == [("run_1", None), ("step_1", "expired")]
    assert inferred == Note(inferred_status="expired")
    assert [change.inferred_status for change in later] == [None]
    assert [(change.inferred_status, change.state.status) for change in last] == [(None, "expired")]
    assert proc.anomalies == {}


# --- the defects of published accumulators ----------------------------------------------------------------------------


def test_ids_are_not_doubled() -> None:
    """Identities that are sent again are the same, at any depth."""
    entry = {"index": 0, "id": "call_1", "type": "code_interpreter", "code_interpreter": {"outputs": []}}
    image = {"index": 0, "type": "image", "image": {"file_id": "file_1"}}
    entry = {**entry, "code_interpreter": {"outputs": [image]}}
    block = {"index": 0, "type": "image_file", "image_file": {"file_id": "file_2", "detail": "low"}}
    more = {"id": "step_1", "object": "thread.run.step", "run_id": "run_1", "metadata": {"k": "v"}}
    proc = Fed(step(), message())
    proc.send(*[step_delta(delta={**more, "step_details": calls(entry)}), message_delta(block)] * 2)

    assert proc.tool_calls() == [
        {
            "id": "call_1",
            "type": "code_interpreter",
            "code_interpreter": {"outputs": [{"type": "image", "image": {"file_id": "file_1"}}]},
        }
    ]
    assert proc.step()["id"] == "step_1"
    assert proc.step()["metadata"] == {"k": "v"}
    assert wire(proc.messages["msg_1"])["content"] == [
        {"type": "image_file", "image_file": {"file_id": "file_2", "detail": "low"}}
    ]
    assert proc.anomalies == {}


def test_numbers_are_not_added() -> None:
    """The newest number stands."""
    proc = Fed(step())
    for number in (3, 4):
        results = [{"file_id": "f", "score": 0.5}]
        entry = {
            "index": 0,
            "type": "file_search",
            "file_search": {"ranking_options": {"score_threshold": 0.5}, "results": results},
        }
        proc.send(step_delta(delta={"usage": {"total_tokens": number}, "step_details": calls(entry)}))

    assert proc.step()["usage"] == {"total_tokens": 4}
    assert proc.tool_calls() == [
        {
            "type": "file_search",
            "file_search": {"ranking_options": {"score_threshold": 0.5}, "results": [{"file_id": "f", "score": 0.5}]},
        }
    ]


def test_booleans_stay_booleans() -> None:
    """True and true is true."""
    proc = Fed(step(), *[step_delta(delta={"flag": True})] * 2)

    assert proc.step()["flag"] is True


@pytest.mark.parametrize(
    ("first", "second", "expected", "reported"),
    [
        ({"x": "a"}, {"x": 5}, {"x": 5}, {}),
        ({"x": {"a": 1}}, {"x": "s"}, {"x": "s"}, {}),
        ({"function": {"name": "a"}}, {"function": "s"}, {"function": {"name": "a"}}, {"type_conflict": 1}),
        ({"arguments": "a"}, {"arguments": 5}, {"arguments": "a"}, {"type_conflict": 1}),
    ],
)
def test_mismatched_types_are_not_ignored(first: Any, second: Any, expected: Any, reported: dict[str, int]) -> None:
    """Either the newer value stands, or the older one does and it is told."""
    proc = Fed(step(), step_delta({"index": 0, **first}), step_delta({"index": 0, **second}))

    assert proc.tool_calls() == [expected]
    assert proc.anomalies == reported


def test_null_is_no_reset_and_no_error() -> None:
    """A null over a value changes nothing."""
    proc = Fed(
        step("created", "step_1", function("a", "call_1", "f", "o")),
        step_delta(call(None, index=0, id=None, name=None, output=None)),
    )

    assert proc.tool_calls() == [function("a", "call_1", "f", "o")]
    assert visible(proc.changes) == [("step_1", 1)]
    assert proc.anomalies == {}


def test_fragments_after_the_first_are_not_lost() -> None:
    """An empty list that gets its first entries merges the next ones with them."""
    proc = Fed(step("created", "step_1", code("", id="call_1", outputs=[])))
    proc.send(
        *(step_delta(code(part, index=0, outputs=[{"index": 0, "type": "logs", "logs": part}])) for part in "abc")
    )

    assert proc.tool_calls() == [code("abc", id="call_1", outputs=[{"type": "logs", "logs": "abc"}])]
    assert proc.anomalies == {}


def test_first_index_is_not_zero() -> None:
    """It does not land at position 0 to be doubled by the next one."""
    proc = Fed(step(), opening("call_2", "g", 1), arguments("x", 1), opening("call_1", "f", 0), arguments("y", 1))

    assert proc.tool_calls() == [function("", "call_1", "f"), function("xy", "call_2", "g")]


def test_results_without_indexes_come_twice() -> None:
    """A list of results replaces the one before, and raises nothing."""
    results = [[{"file_id": "a"}], [{"file_id": "a"}, {"file_id": "b"}], []]
    proc = Fed(
        step(), *(step_delta({"index": 0, "type": "file_search", "file_search": {"results": r}}) for r in results)
    )

    assert proc.tool_calls() == [{"type": "file_search", "file_search": {"results": results[1]}}]
    assert proc.anomalies == {}


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "expired"])
def test_final_steps_are_final(status: str) -> None:
    """The end of a step is in its state, with usage and output."""
    final = step(status, "step_1", function("a", "call_1", "f", "o"), usage={"total_tokens": 2})
    proc = Fed(run(), step(usage=None), opening("call_1", "f"), arguments("a"), final, run("completed"), done())

    assert proc.step() == final.data
    assert proc.anomalies == {}


def test_end_of_a_step_that_was_not_created_here() -> None:
    """It is recorded."""
    final = step("completed", "step_1", function("a", "call_1", "f", "o"))

    assert Fed(run(), final, done()).step() == final.data


def test_unseen_objects_do_not_end_the_stream() -> None:
    """Nor does anything else that comes out of order."""
    proc = Fed(
        arguments("a"), words("b"), message("in_progress"), step("in_progress"), message("completed"), run("queued")
    )

    assert proc.tool_calls() == [call("a")]
    assert proc.messages["msg_1"].text == "b"
    assert proc.runs["run_1"].status == "queued"
    assert proc.anomalies == {"provisional": 2, "kept_partial": 1}


def test_end_of_a_message() -> None:
    """The final object replaces what was accumulated, and what differs is told."""
    final = message("completed", "msg_1", text("Hello!", annotations=[]), completed_at=4)
    proc = Fed(message(), words("Hel"), words("lo"), final)

    assert wire(proc.messages["msg_1"]) == final.data
    assert proc.anomalies == {"divergence": 1}


def test_delta_for_another_message() -> None:
    """It goes to the message it names, not to the one that happens to be open."""
    proc = Fed(message("created", "msg_1"), words("a", id="msg_1"), words("b", id="msg_2"), words("c", id="msg_1"))

    assert {id: obj.text for id, obj in proc.messages.items()} == {"msg_1": "ac", "msg_2": "b"}
    assert proc.anomalies == {"provisional": 1}


def test_states_handed_out_do_not_change() -> None:
    """A consumer that is late sees each state as it was."""
    proc = Fed(step(), arguments("a"), arguments("b"))
    early = [change.state for change in proc.changes]
    proc.send(arguments("c"), arguments("d"), step("completed", "step_1", call("abcd")))
    texts = [
        [item.get("function", {}).get("arguments") for item in wire(state)["step_details"]["tool_calls"]]
        for state in early
    ]

    assert texts == [[], ["a"], ["ab"]]
    assert [wire(change.state) for change in proc.changes[:3]] == [wire(state) for state in early]


@pytest.mark.parametrize("payload", [{"message": "no"}, {"error": {"message": "no"}}, "no"])
def test_errors_are_not_lost(payload: Any) -> None:
    """An error is a change wherever it comes, also after the end of the run, and before anything else."""
    for events in ([error(payload)], [run(), error(payload), run("failed")], [run("completed"), error(payload)]):
        proc = Fed(*events)

        assert [change.state for change in proc.changes if change.kind == "error"] == [ErrorObject(message="no")]
        assert proc.anomalies == {}


def test_continuation_is_not_lost() -> None:
    """The state is the run's, not the stream's."""
    proc = Fed(*FIRST)
    proc.open()
    proc.send(*SECOND)

    assert [(id, obj.status) for id, obj in proc.steps.items()] == [("step_1", "completed"), ("step_2", "completed")]
    assert proc.tool_calls()[0]["function"]["output"] == "sunny"
