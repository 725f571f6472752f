"""What one choice becomes: when its steps open, what is in them, and how they end."""

from collections.abc import Mapping

import pytest

from streamproc import StreamProcessor
from streamproc.dialects import ChatDialect
from streamproc.dialects.translation import CUTS, Cut, Rules
from tests.chats import (
    DONE,
    ID,
    Json,
    after,
    calling,
    delta,
    ends,
    feed,
    message,
    piece,
    role,
    run,
    says,
    steps,
    stream,
    tools,
    usage,
    wire,
)

MESSAGE, TOOLS = f"{ID}:1:msg:0", f"{ID}:1:tools:0"


def names(*chunks: Json) -> list[str]:
    """The events that the last chunk makes."""
    proc = StreamProcessor("chat")
    proc.feed(stream(*chunks[:-1]))
    return [change.event for change in proc.feed(stream(chunks[-1]))]


def content(proc: StreamProcessor) -> Json:
    return message(proc)["content"]


def text(value: str, *annotations: Json) -> Json:
    return {"type": "text", "text": {"value": value, "annotations": [*annotations]}}


# --- when steps open --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "first",
    [role(), delta(role="assistant", content=None), delta(content=None, refusal=None, tool_calls=None), delta()],
)
def test_a_role_opens_no_step(first: Json) -> None:
    """An empty text precedes tool calls as well."""
    assert names(first) == ["thread.run.created"]


def test_the_first_text_opens_the_message() -> None:
    """With the step that creates it; the text is a delta like the others."""
    assert names(role(), says("a")) == ["thread.run.step.created", "thread.message.created", "thread.message.delta"]
    assert names(role(), says("a"), says("b")) == ["thread.message.delta"]


def test_the_first_call_opens_the_step_of_all() -> None:
    """Servers do not say when one call ends."""
    assert names(role(), calling(piece("", "f", id="a"))) == ["thread.run.step.created", "thread.run.step.delta"]
    assert names(calling(piece("", "f", id="a")), calling(piece("", "g", id="b", index=1))) == ["thread.run.step.delta"]


def test_the_objects() -> None:
    """Ids are made of the run, the turn and the choice; the message has that of the completion."""
    proc = feed(says("a"), calling(piece("1", "f", id="x")))

    assert after(steps(proc), "id", "run_id", "type", "step_details") == [
        {
            "id": MESSAGE,
            "run_id": ID,
            "type": "message_creation",
            "step_details": {"type": "message_creation", "message_creation": {"message_id": ID}},
        },
        {
            "id": TOOLS,
            "run_id": ID,
            "type": "tool_calls",
            "step_details": {
                "type": "tool_calls",
                "tool_calls": [
                    {"id": "x", "type": "function", "function": {"name": "f", "arguments": "1", "output": None}}
                ],
            },
        },
    ]
    assert message(proc)["role"] == "assistant"


# --- content ----------------------------------------------------------------------------------------------------------


def test_text_and_refusal_are_two_blocks() -> None:
    """In the order in which they come, however they interleave."""
    proc = feed(says("a"), delta(refusal="x"), says("b"), delta(refusal="y"), delta(refusal=""))
    other = feed(delta(refusal="x"), says("a"))

    assert content(proc) == [text("ab"), {"type": "refusal", "refusal": "xy"}]
    assert content(other) == [{"type": "refusal", "refusal": "x"}, text("a")]


def test_a_content_of_parts() -> None:
    """Mistral's: text is text, thoughts are reasoning."""
    proc = feed(
        says([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}, 5]}]),
        says([{"type": "thinking", "thinking": ", well"}, {"type": "text", "text": "a"}, "b"]),
        says("c"),
    )

    assert content(proc) == [text("abc")]
    assert steps(proc)[0]["extras"] == {"reasoning": [{"type": "thinking", "text": "hm, well"}]}
    assert dict(proc.anomalies) == {"truncated": 1}


def test_a_part_that_is_not_known() -> None:
    """It is reported; the others count."""
    proc = feed(says([{"type": "reference", "reference_ids": [1]}, None, {"type": "text", "text": 5}, "a"]))

    assert content(proc) == [text("a")]
    assert proc.anomalies["unknown_type"] == 3


@pytest.mark.parametrize("odd", [5, True, {}, {"text": "a"}])
def test_content_that_is_none(odd: Json) -> None:
    """It says nothing."""
    assert len(feed(says(odd), delta(refusal=odd, annotations=odd, tool_calls=odd, function_call=5)).steps) == 0


CITED = {"url": "u", "title": "t", "start_index": 1, "end_index": 2, "content": "c"}
CITATION = {
    **{"type": "url_citation", "text": "", "start_index": 1, "end_index": 2},
    "url_citation": {"url": "u", "title": "t", "content": "c"},
}


def test_annotations_are_those_of_the_text() -> None:
    """In the protocol's shape; they are numbered as they come."""
    one, two = {"type": "url_citation", "url_citation": CITED}, {"type": "x", "index": 9, "x": 1}
    proc = feed(says("a"), delta(annotations=[one, None]), says("b"), delta(annotations=[two]), ends("stop"), DONE)

    assert content(proc) == [text("ab", CITATION, {"type": "x", "x": 1})]
    assert not proc.anomalies


def test_annotations_before_the_text() -> None:
    """The text's block is there from then on."""
    proc = feed(delta(annotations=[{"type": "url_citation", "url_citation": {}}]), says("a"), says("b"))

    assert content(proc) == [text("ab", {"type": "url_citation", "text": "", "url_citation": {}})]


@pytest.mark.parametrize("annotations", [[], [None, 5]])
def test_annotations_that_are_none(annotations: Json) -> None:
    """They add nothing to the text."""
    proc = feed(says("a"), delta(annotations=annotations), says("b"))

    assert content(proc) == [text("ab")]


# --- ends -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["stop", "tool_calls", "function_call"])
def test_the_usual_reasons(reason: str) -> None:
    """The message is completed, and calls wait for their outputs, also when the reason is "stop"."""
    proc = feed(says("a"), calling(piece("1", "f", id="x")), ends(reason), DONE)

    assert [step["status"] for step in steps(proc)] == ["completed", "in_progress"]
    assert [step["metadata"] for step in steps(proc)] == [{}, {"awaiting": "output"}]
    assert message(proc)["status"] == "completed"


def test_calls_that_nobody_answers() -> None:
    """If that is the rule, their step ends with their arguments."""
    rules = Rules(tool_outputs="close")
    proc = feed(calling(piece("1", "f", id="x")), ends("tool_calls"), DONE, dialect=lambda: ChatDialect(rules=rules))

    assert after(steps(proc), "status", "metadata") == [{"status": "completed", "metadata": {}}]


@pytest.mark.parametrize(
    ("reason", "statuses", "codes"),
    [
        ("length", ["completed", "failed"], [None, "incomplete_arguments"]),
        ("content_filter", ["failed", "failed"], ["content_filter", "content_filter"]),
    ],
)
def test_content_that_was_cut_off(reason: str, statuses: list[str], codes: list[str | None]) -> None:
    """By the table of all dialects; the run was completed as far as it goes, and says why it goes no further."""
    proc = feed(says("a"), calling(piece('{"a', "f", id="x")), ends(reason), usage(1, 2), DONE)
    found = steps(proc)

    assert [step["status"] for step in found] == statuses
    assert [(step["last_error"] or {}).get("code") for step in found] == codes
    assert [step["metadata"] for step in found] == [{"incomplete_reason": reason}] * 2
    assert after([message(proc), run(proc)], "status", "incomplete_details") == [
        {"status": "incomplete", "incomplete_details": {"reason": reason}},
        {"status": "completed", "incomplete_details": {"reason": reason}},
    ]
    assert found[1]["usage"]["total_tokens"] == 3


def test_another_table_of_cuts() -> None:
    """The caller's."""
    rules = Rules(cuts={**CUTS, "insufficient_system_resource": Cut("failed", "failed", "overloaded")})
    proc = feed(says("a"), ends("insufficient_system_resource"), DONE, dialect=lambda: ChatDialect(rules=rules))

    assert (steps(proc)[0]["status"], steps(proc)[0]["last_error"]["code"]) == ("failed", "overloaded")


def test_a_reason_that_is_not_known() -> None:
    """It ends a choice as "stop" does, and stands in the metadata."""
    proc = feed(says("a"), calling(piece("1", "f", id="x")), ends("eos"), DONE)

    assert after(steps(proc), "status", "metadata") == [
        {"status": "completed", "metadata": {"finish_reason": "eos"}},
        {"status": "in_progress", "metadata": {"finish_reason": "eos", "awaiting": "output"}},
    ]


@pytest.mark.parametrize("reason", ["", 5, None, []])
def test_a_reason_that_is_none(reason: Json) -> None:
    """The choice is not finished."""
    proc = feed(says("a"), ends(reason), DONE)

    assert proc.truncated


def test_reasons_may_be_repeated_and_followed_by_more() -> None:
    """Nothing is lost: steps end when the stream does, by the last reason."""
    proc = feed(
        *(says("a"), calling(piece("1", "f", id="x")), ends("tool_calls", content="b")),
        *(calling(piece("2", "g", id="y", index=1)), ends("stop", content="c"), DONE),
    )

    assert content(proc) == [text("abc")]
    assert tools(proc) == [("x", "f", "1"), ("y", "g", "2")]
    assert not proc.anomalies


def test_nothing_at_all_was_said() -> None:
    """There is no step; the run has the usage."""
    proc = feed(role(), ends("stop"), usage(1, 0), DONE)

    assert (run(proc)["status"], len(proc.steps), run(proc)["usage"]["total_tokens"]) == ("completed", 0, 1)


@pytest.mark.parametrize(
    ("first", "reason", "status"),
    [
        (delta(reasoning="hm"), "stop", "completed"),
        (role(), "length", "incomplete"),
        (role(), "content_filter", "incomplete"),
    ],
    ids=["only thoughts", "cut off", "filtered"],
)
def test_an_answer_without_a_word(first: Json, reason: str, status: str) -> None:
    """It has a message that is empty, so that what became of it stands somewhere."""
    proc = feed(first, ends(reason), usage(1, 2), DONE)

    assert (message(proc)["status"], content(proc)) == (status, [])
    assert steps(proc)[0]["usage"]["total_tokens"] == 3


def test_messages_end_before_calls() -> None:
    """Whichever came first."""
    expected = ["thread.message.completed", "thread.run.step.completed", "thread.run.step.in_progress"]

    assert names(calling(piece("1", "f", id="x")), says("a"), ends("stop"), DONE)[:3] == expected


# --- reasoning and media ----------------------------------------------------------------------------------------------

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
SEEN = {"type": "image_url", "image_url": {"url": None, "media_type": "image/png", "encoded_chars": 4}}


def extras(*chunks: Json) -> list[Mapping[str, Json] | None]:
    return [step.get("extras") for step in steps(feed(*chunks))]


def thought(text: str) -> Json:
    return {"type": "reasoning", "text": text}


def test_reasoning_goes_to_the_step_it_led_to() -> None:
    """Pieces are joined."""
    found = extras(
        delta(reasoning="a"), delta(reasoning="b"), says("x"), delta(reasoning="c"), calling(piece("1", "f"))
    )

    assert found == [{"reasoning": [thought("ab")]}, {"reasoning": [thought("c")]}]


@pytest.mark.parametrize("last", [[], [ends("stop"), DONE]], ids=["truncated", "complete"])
def test_reasoning_that_comes_when_the_step_is_open(last: list[Json]) -> None:
    """It is there when the stream ends, after what led to the step."""
    found = extras(delta(reasoning="a"), says("x"), delta(reasoning="b"), delta(reasoning="c"), *last)

    assert found == [{"reasoning": [thought("a"), thought("bc")]}]


def test_reasoning_of_one_choice_is_not_that_of_another() -> None:
    """They interleave."""
    proc = feed(delta(reasoning="a"), delta(1, reasoning="b"), says("x", 1), says("y"))

    assert [step["extras"]["reasoning"] for step in steps(proc)] == [[thought("b")], [thought("a")]]


def test_images_and_sounds_are_described() -> None:
    """They make a message, without their bytes."""
    sound = {"id": "audio_1", "data": "AAAA", "transcript": "a"}
    (found,) = extras(delta(images=[IMAGE]), says([IMAGE]), delta(audio=sound), ends("stop"), DONE)

    assert found == {"images": [SEEN, SEEN], "audio": {"id": "audio_1", "transcript": "a"}}


def test_a_truncated_stream_of_thoughts() -> None:
    """There is no step to put them on."""
    assert extras(delta(reasoning="a")) == []


def test_notes_beyond_a_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are left out, which is reported once a choice."""
    monkeypatch.setattr("streamproc.dialects.chat_notes._MAX_CHARS", 3)
    proc = feed(*(delta(reasoning="ab") for _ in range(3)), delta(reasoning="c"), says("x"))

    assert wire(proc.steps[MESSAGE])["extras"] == {"reasoning": [thought("abc")]}
    assert proc.anomalies["limit"] == 1
