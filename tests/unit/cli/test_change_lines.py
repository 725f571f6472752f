"""A change of the journal as a line."""

import json

import pytest

from streamproc import Change, Event, StreamProcessor, encode_change
from streamproc.cli.change_lines import change_line, positioned
from tests.streams import arguments, call, code, error, event, message, message_delta, run, sse, step, step_delta, text


def last(*events: Event) -> Change:
    proc = StreamProcessor()
    proc.stamp("2026-01-31T12:34:56.789Z")
    return proc.feed(sse(*events))[-1]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([run("created")], "run_1 run queued"),
        ([run("requires_action")], "run_1 run requires_action"),
        ([run("created"), step("created")], "step_1 step.created in_progress"),
        ([step("completed", status=None)], "step_1 step.completed completed"),
        ([step("created"), arguments('{"city')], 'step_1 step.delta {"city'),
        ([step("created"), arguments(" ")], "step_1 step.delta ..."),
        ([message("created"), message_delta(text("Hi\x1b[31m \u202eyou"))], "msg_1 message.delta Hi[31m you"),
        ([error({"code": "rate_limit", "message": "slow down"})], "error rate_limit: slow down"),
        ([event("thread.new", {"id": "x"})], "new unknown_event"),
    ],
)
def test_what_people_see(events: list[Event], expected: str) -> None:
    """Position, time, object, event; then the text that came or the status that the event said."""
    line = change_line(7, last(*events)).plain.split()

    assert line[:2] == ["7", "12:34:56.789"]
    assert " ".join(line[2:]) == expected


def test_text_of_any_kind_of_call() -> None:
    """Names, arguments, code and logs, one after the other."""
    shown = change_line(1, last(step("created"), step_delta(call("{", name="f"), code("1+1")))).plain

    assert shown.endswith("f { 1+1")


def test_long_ids_are_cut() -> None:
    """The columns stay where they are."""
    one, other = change_line(1, last(run("created", "run_T4mZkQ8eJx1HsVw5"))), change_line(123456, last(run("created")))

    assert "run_T4mZkQ8eJ…" in one.plain
    assert one.plain.index("queued") == other.plain.index("queued")


def test_open_object_says_what_is_beside_it() -> None:
    """Inferred, or cut off."""
    proc = StreamProcessor()
    changes = [*proc.feed(sse(run("created"), step("created"), run("expired"))), *proc.close()]
    shown = [change_line(1, change).plain for change in changes]

    assert any("(run expired)" in line for line in shown)


def test_json_line_has_its_position_last() -> None:
    change = last(run("created"))
    line = positioned(7, change)

    assert json.loads(line) == {**json.loads(encode_change(change)), "position": 7}
    assert line.endswith(b',"position":7}')
