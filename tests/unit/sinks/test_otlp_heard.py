"""What is remembered of earlier changes, for the spans of final ones."""

from typing import Any

from streamproc import Change, StreamProcessor
from streamproc.sinks._otlp_heard import Heard
from streamproc.sinks._otlp_names import NAMES
from streamproc.sinks._otlp_spans import Span, SpanMaker
from tests.streams import creation, message, run, sse, step
from tests.unit.sinks.spans import stamped

CHAT: Any = {"step_details": creation("msg_1"), "created_at": None, "completed_at": None}
STREAM = sse(run(model="m-1"), step(**CHAT), message(), step("completed", **CHAT), run("completed", model="m-1"))


def changes() -> list[Change]:
    """One a second, from nine o'clock on."""
    found = StreamProcessor().feed(STREAM)
    return [stamped(change, f"2026-01-05T09:00:{second:02}Z") for second, change in enumerate(found)]


def spans_of(heard: list[Change]) -> dict[str, Span]:
    maker = SpanMaker(NAMES["0.1"], "openai")
    return {span.name: span for change in heard for span in maker.spans_of(change)}


def test_a_step_says_when_it_began_and_with_which_model() -> None:
    """Nothing of that is in its final state."""
    span = spans_of(changes())["chat m-1"]

    assert span.attributes["gen_ai.request.model"] == "m-1"
    assert span.end_ns - span.start_ns == 2 * 10**9
    assert "streamproc.start_unknown" not in span.attributes


def test_it_is_the_same_when_it_comes_again() -> None:
    """A batch that the collector did not take."""
    heard = changes()

    assert spans_of([*heard, *heard]) == spans_of(heard)


def test_a_final_change_alone() -> None:
    """Nobody knows when it began, or its model."""
    (final,) = (change for change in changes() if change.kind == "step" and change.is_final)
    span = spans_of([final])["chat"]

    assert (span.start_ns, span.attributes["streamproc.start_unknown"]) == (span.end_ns, True)
    assert "gen_ai.request.model" not in span.attributes


def test_the_oldest_are_forgotten() -> None:
    """As many of each kind are remembered as there is room for."""
    heard = Heard(max_objects=2)
    told = [
        stamped(change, f"2026-01-05T09:00:0{number}Z")
        for number in range(3)
        for change in StreamProcessor().feed(sse(run(id=f"run_{number}", model="m")))
    ]
    for change in told:
        heard.note(change)

    assert [heard.model(change.id) for change in told] == [None, "m", "m"]
    assert [heard.first_at(change) for change in told] == [None, told[1].at, told[2].at]
    assert heard.model(None) is None


def test_messages_and_changes_without_a_time_are_not_remembered() -> None:
    heard = Heard()
    for change in StreamProcessor().feed(STREAM):
        heard.note(change)
    notes = [change for change in changes() if change.kind == "message"]
    for note in notes:
        heard.note(note)

    assert [heard.first_at(note) for note in notes] == [None for _ in notes]
    assert not heard._first_at


def test_what_is_too_long_takes_little_memory() -> None:
    """Of the name of a model what a span can show; of an object with such an id nothing."""
    heard = Heard()
    for change in StreamProcessor().feed(sse(run(model="m" * 10_000), run(id="i" * 10_000, model="m"))):
        heard.note(stamped(change, "2026-01-05T09:00:00Z"))

    assert heard.model("run_1") == "m" * 1_025
    assert heard.model("i" * 10_000) is None
    assert [*heard._first_at] == [("run", "run_1")]
