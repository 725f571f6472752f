"""Several model calls that are one run: turns, outputs, usage."""

from streamproc import StreamProcessor
from streamproc.dialects import ChatDialect
from streamproc.dialects.translation import Rules
from tests.chats import DONE, ID, Json, calling, ends, feed, piece, run, says, steps, stream, usage, wire

CALL = [calling(piece('{"a":1}', "f", id="call_1")), ends("tool_calls"), usage(1, 2, cost=0.5, tier="a"), DONE]
ANSWER = [says("22"), ends("stop"), usage(3, 4, cost=1, prompt_tokens_details={"cached_tokens": 2}, tier="b"), DONE]


def test_a_turn_that_calls_tools_requires_action() -> None:
    """With the calls, their arguments complete; the step waits."""
    proc = feed(*CALL, dialect=ChatDialect.turns("run_1"))
    call = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}

    assert run(proc)["status"] == "requires_action"
    assert run(proc)["required_action"]["submit_tool_outputs"] == {"tool_calls": [call]}
    assert not proc.truncated


def test_a_run_of_two_turns() -> None:
    """One run; steps of each turn; the output closes the step that waits for it."""
    turns = ChatDialect.turns("run_1", thread_id="thread_1", assistant_id="asst_1")
    proc = StreamProcessor(turns)
    proc.feed(stream(*CALL))
    proc.close()
    turns.answer("call_1", "22 °C")
    proc.open()
    first, second, *_ = proc.feed(stream(*ANSWER))
    proc.close()

    assert (first.event, first.state.required_action) == ("thread.run.in_progress", None)
    assert (second.event, second.id) == ("thread.run.step.completed", "run_1:1:tools:0")
    assert [(step["id"], step["status"]) for step in steps(proc)] == [
        ("run_1:1:tools:0", "completed"),
        ("run_1:2:msg:0", "completed"),
    ]
    assert steps(proc)[0]["step_details"]["tool_calls"][0]["function"]["output"] == "22 °C"
    assert {(obj["thread_id"], obj["assistant_id"]) for obj in (run(proc), *steps(proc))} == {("thread_1", "asst_1")}
    assert (run(proc)["status"], run(proc)["required_action"]) == ("completed", None)
    assert not proc.anomalies


def test_usage_of_the_run_is_that_of_all_its_turns() -> None:
    """That of a step is its own turn's."""
    proc = StreamProcessor(ChatDialect.turns("run_1"))
    for chunks in (CALL, ANSWER):
        proc.feed(stream(*chunks))
        proc.close()
        proc.open()

    assert [step["usage"]["total_tokens"] for step in steps(proc)] == [3, 7]
    assert run(proc)["usage"] == {
        **{"prompt_tokens": 4, "completion_tokens": 6, "total_tokens": 10, "cost": 1.5, "tier": "b"},
        "prompt_tokens_details": {"cached_tokens": 2},
    }


def test_details_of_usage_are_summed_as_well() -> None:
    """Member by member."""
    chunks = [says("a"), ends("tool_calls"), usage(1, 1, completion_tokens_details={"reasoning_tokens": 5})]
    proc = StreamProcessor(ChatDialect.turns("run_1"))
    proc.feed(stream(*chunks[:1], calling(piece("", "f", id="x")), *chunks[1:], DONE))
    proc.open()
    proc.feed(stream(*chunks, DONE))

    assert run(proc)["usage"]["completion_tokens_details"] == {"reasoning_tokens": 10}


def test_outputs_are_told_of_once() -> None:
    """At the beginning of the next stream, whatever that holds."""
    turns = ChatDialect.turns("run_1")
    proc = StreamProcessor(turns)
    two: list[Json] = [calling(piece("1", "f", id="a"), piece("2", "g", id="b", index=1)), ends("tool_calls"), DONE]
    proc.feed(stream(*two))
    turns.answer("a", "x")
    proc.open()
    proc.feed(stream(says("y")))
    (step, _) = steps(proc)

    assert [call["function"]["output"] for call in step["step_details"]["tool_calls"]] == ["x", None]
    assert step["status"] == "in_progress"

    proc.open()
    proc.feed(stream(says("z")))

    assert not proc.anomalies


def test_an_output_is_that_of_a_call_of_its_run() -> None:
    """Servers that number calls give those of another run the same ids, and that may wait for its own output."""
    first = feed(*CALL, dialect=ChatDialect.turns("run_1"))
    turns = ChatDialect.turns("run_2", first_turn=2)
    turns.answer("call_1", "not for run_1")
    proc = StreamProcessor(turns, first.reducer, stream="other")
    proc.feed(stream(*ANSWER))

    assert [step["status"] for step in steps(proc)] == ["in_progress", "completed"]
    assert dict(proc.anomalies) == {"late_event": 1}


def test_calls_without_outputs_require_action_as_well() -> None:
    """Whether or not their step waits, the run goes on only when the caller says so."""
    rules = Rules(tool_outputs="close")
    proc = StreamProcessor(ChatDialect.turns("run_1", rules=rules))
    for chunks in (CALL, ANSWER):
        proc.feed(stream(*chunks))
        proc.open()

    assert [step["status"] for step in steps(proc)] == ["completed", "completed"]
    assert run(proc)["status"] == "completed"
    assert not proc.anomalies


def test_calls_that_were_cut_off_require_nothing() -> None:
    """The run ends; its calls cannot be made."""
    proc = feed(calling(piece('{"a', "f", id="x")), ends("length"), DONE, dialect=ChatDialect.turns("run_1"))

    assert run(proc)["status"] == "completed"
    assert run(proc)["required_action"] is None


def test_a_turn_whose_run_is_not_known() -> None:
    """It is made of what this turn says, in whatever process it is read."""
    proc = feed(*ANSWER, dialect=lambda: ChatDialect("run_1", 2))

    assert wire(proc.runs["run_1"])["status"] == "completed"
    assert [*proc.steps] == ["run_1:2:msg:0"]


def test_an_error_in_a_later_turn() -> None:
    """The run fails, though it has no chunk."""
    proc = StreamProcessor(ChatDialect.turns("run_1"))
    proc.feed(stream(*CALL))
    proc.open()
    proc.feed(stream({"error": "x"}))
    proc.close()

    assert run(proc)["status"] == "failed"
    assert not proc.anomalies


def test_each_stream_is_a_turn() -> None:
    """From 1."""
    turns = ChatDialect.turns("run_1")
    made = [turns(), turns()]

    assert turns.turn == 2
    assert made[0] is not made[1]


def test_a_run_that_another_process_left() -> None:
    """Its turns are counted on, so that their steps are new ones; the output completes the step of the old one."""
    first = feed(*CALL, dialect=ChatDialect.turns("run_1"))
    turns = ChatDialect.turns("run_1", first_turn=2)
    turns.answer("call_1", "22")
    proc = StreamProcessor(turns, first.reducer)
    proc.feed(stream(*ANSWER))
    proc.close()

    assert [(step["id"], step["status"]) for step in steps(proc)] == [
        ("run_1:1:tools:0", "completed"),
        ("run_1:2:msg:0", "completed"),
    ]
    assert (run(proc)["status"], turns.turn) == ("completed", 2)
    assert not proc.anomalies


def test_a_server_whose_completions_have_all_one_id() -> None:
    """The message of a later turn is another one all the same."""
    proc = StreamProcessor(ChatDialect.turns("run_1"))
    for text in "abc":
        proc.feed(stream(says(text), calling(piece("", "f", id=text)), ends("tool_calls"), DONE))
        proc.open()

    assert [*proc.messages] == [ID, f"{ID}:2", f"{ID}:3"]
    assert not proc.anomalies


def test_a_turn_that_nobody_opened() -> None:
    """It is the next one all the same, and the one that is opened then comes after it."""
    turns = ChatDialect.turns("run_1")
    proc = StreamProcessor(turns)
    second = stream(*CALL).replace(ID.encode(), b"chatcmpl-BBBBBBBBBBBB").replace(b"call_1", b"call_2")
    proc.feed(stream(*CALL) + second)
    proc.open()
    proc.feed(stream(*ANSWER))

    assert [*proc.steps] == ["run_1:1:tools:0", "run_1:2:tools:0", "run_1:3:msg:0"]
    assert (run(proc)["status"], run(proc)["usage"]["total_tokens"], turns.turn) == ("completed", 13, 3)
    assert dict(proc.anomalies) == {"reopened": 1}


def test_servers_that_give_no_reasons() -> None:
    """As for a single call."""
    proc = feed(CALL[0], DONE, dialect=ChatDialect.turns("run_1", done_suffices=True))

    assert run(proc)["status"] == "requires_action"
