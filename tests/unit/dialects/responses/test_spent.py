"""The usage of a run that spans several responses."""

from typing import Any

import pytest

from streamproc import StreamProcessor
from streamproc.dialects import ResponsesDialect
from streamproc.dialects.responses import spent
from streamproc.dialects.responses.spent import Spent
from tests.response_streams import done, function_call, only_run, response, sse

CALL = function_call("{}", id="fc_1")


def usage(count: int) -> dict[str, Any]:
    return {"input_tokens": count, "output_tokens": 1, "input_tokens_details": {"cached_tokens": count}}


def calling(id: str | None, count: int) -> bytes:
    """A response that calls a tool, so that its run goes on; its end comes twice."""
    end = response("completed", CALL, id=id, usage=usage(count))
    return sse(response(id=id), done(CALL), end, end)


@pytest.mark.parametrize("restarts", [False, True])
def test_streams_of_one_run(restarts: bool) -> None:
    """The run has the sum. A response that is read again, or says its end again, counts once."""
    proc = StreamProcessor(ResponsesDialect.turns("run_1", thread_id="thread_1"))
    for id, count in (("resp_1", 100), ("resp_2", 7), ("resp_2", 7)):
        proc.feed(calling(id, count))
        proc.close()
        proc.open(epoch=proc.epoch + restarts)
    found = only_run(proc)

    assert (found["id"], found["thread_id"]) == ("run_1", "thread_1")
    assert found["usage"]["prompt_tokens"] == 107
    assert found["usage"]["completion_tokens"] == 2
    assert found["usage"]["total_tokens"] == 109
    assert found["usage"]["prompt_tokens_details"] == {"cached_tokens": 107}


def test_responses_without_an_id() -> None:
    """Each counts."""
    proc = StreamProcessor(ResponsesDialect.turns("run_1"))
    for count in (100, 7):
        proc.feed(calling(None, count))
        proc.open()

    assert only_run(proc)["usage"]["prompt_tokens"] == 107


def test_responses_of_one_stream() -> None:
    """The same, with or without a dialect for several streams."""
    proc = StreamProcessor(lambda: ResponsesDialect(run_id="run_1"))
    proc.feed(calling("resp_1", 1) + calling("resp_2", 2))

    assert only_run(proc)["usage"]["prompt_tokens"] == 3


def test_runs_that_the_wire_names() -> None:
    """Each has its own."""
    proc = StreamProcessor("responses")
    proc.feed(calling("resp_1234567890123", 1) + calling("resp_2345678901234", 2))

    assert [run.usage.prompt_tokens for run in proc.runs.values() if run.usage] == [1, 2]


def test_responses_that_are_told_apart_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest are one sum."""
    monkeypatch.setattr(spent, "_MAX_RESPONSES", 2)
    all_of_them = Spent()
    totals = [all_of_them.total(f"resp_{n}", {"total_tokens": 1})["total_tokens"] for n in range(5)]

    assert totals == [1, 2, 3, 4, 5]
    assert all_of_them.total("resp_4", {"total_tokens": 3})["total_tokens"] == 7
