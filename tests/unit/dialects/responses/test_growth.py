"""Texts that grow: fragments, whole texts, refusals and annotations, and what does not fit."""

import pytest

from streamproc import StreamProcessor
from tests.response_streams import (
    MESSAGE,
    OPEN,
    Json,
    added,
    changed,
    delta,
    done,
    event,
    fed,
    function_call,
    message,
    refusal,
    response,
    sse,
    text,
    texts_of,
)
from tests.streams import wire

# --- texts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "payloads",
    [
        [event("output_text.done", content_index=0, text="Hi")],
        [event("content_part.done", content_index=0, part=text("Hi"))],
        [event("content_part.added", content_index=0, part=text("Hi"))],
        [delta("output_text", "", content_index=0), event("output_text.done", content_index=0, text="Hi")],
        [delta("output_text", "Hi"), event("output_text.done", content_index=0, text="Hi")],
        [delta("output_text", "Hi", content_index="0")],
        [done(message(text("Hi")))],
        [delta("output_text", "H"), delta("output_text", "i"), done(message())],
        [delta("output_text", "H"), delta("output_text", "i"), done(message(text()))],
    ],
)
def test_ways_to_say_a_text(payloads: list[Json]) -> None:
    """Whole texts count where no fragment was seen; an item that says nothing takes nothing away."""
    proc = fed(response(), added(OPEN), *payloads)

    assert texts_of(proc) == ["Hi"]
    assert not proc.anomalies.keys() - {"truncated"}


def test_done_says_another_text() -> None:
    """It is right; the difference is counted."""
    proc = fed(response(), added(OPEN), delta("output_text", "Hx"), done(message(text("Hi"))))

    assert texts_of(proc) == ["Hi"]
    assert proc.anomalies == {"divergence": 1, "truncated": 1}


@pytest.mark.parametrize(
    "payloads",
    [
        [delta("refusal", "N", content_index=1), delta("refusal", "o", content_index=1)],
        [event("refusal.done", content_index=1, refusal="No")],
        [event("content_part.added", content_index=1, part=refusal()), delta("refusal", "No", content_index=1)],
        [event("content_part.done", content_index=1, part=refusal("No"))],
        [delta("refusal", "No", content_index=1), event("refusal.done", content_index=1, refusal="No")],
    ],
)
def test_ways_to_refuse(payloads: list[Json]) -> None:
    """Beside a text."""
    proc = fed(response(), added(OPEN), delta("output_text", "Hm", content_index=0), *payloads)
    content = wire(proc.messages[MESSAGE])["content"]

    assert content == [
        {"type": "text", "text": {"value": "Hm", "annotations": []}},
        {"type": "refusal", "refusal": "No"},
    ]


def test_a_block_that_is_no_text() -> None:
    """It comes with the item."""
    proc = fed(
        response(), added(OPEN), event("content_part.added", part={"type": "x"}), event("content_part.added", part=5)
    )

    assert wire(proc.messages[MESSAGE])["content"] == []


def test_annotations() -> None:
    """They come one by one, and again with the item; an unknown one stays as it is."""
    notes: list[Json] = [{"type": "file_path", "file_id": "f", "index": 0}, {"type": "x"}]
    payloads = [
        event("output_text.annotation.added", content_index=0, annotation_index=at, annotation=note)
        for at, note in enumerate(notes)
    ]
    proc = StreamProcessor("responses")
    proc.feed(sse(response(), added(OPEN), delta("output_text", "Hi", content_index=0), *payloads))
    before = wire(proc.messages[MESSAGE])["content"]
    proc.feed(sse(done(message(text("Hi", *notes)))))

    assert before == wire(proc.messages[MESSAGE])["content"]
    assert [note["type"] for note in before[0]["text"]["annotations"]] == ["file_path", "x"]


def test_an_annotation_before_any_text() -> None:
    """It begins the block; without an index it goes to the end."""
    proc = fed(response(), added(OPEN), event("output_text.annotation.added", annotation={"type": "x"}))

    assert wire(proc.messages[MESSAGE])["content"][0]["text"] == {"value": "", "annotations": [{"type": "x"}]}


@pytest.mark.parametrize(
    "payload",
    [
        event("output_text.delta", 1, delta="Hi"),
        event("function_call_arguments.delta", 0, delta="Hi"),
        event("mcp_call_arguments.done", 2, arguments="Hi"),
        event("function_call_arguments.delta", 3, delta="Hi"),
    ],
)
def test_a_fragment_of_a_text_that_is_not_there(payload: Json) -> None:
    """A call has no words, a message no arguments, a file search neither."""
    search = {"id": "fs_0123456789abcdef", "type": "file_search_call", "status": "in_progress"}
    proc = fed(
        response(), added(OPEN), added(function_call(), 1), added(search, 2), added({"type": "reasoning"}, 3), payload
    )

    assert proc.anomalies == {"type_conflict": 1, "truncated": 1}


@pytest.mark.parametrize(
    "payload",
    [
        event("refusal.delta", 1, delta="Hi"),
        event("output_text.annotation.added", 1, annotation={}),
        event("web_search_call.searching", 0),
        event("image_generation_call.partial_image", 0, partial_image_b64="AAAA"),
        event("reasoning_text.delta", 0, delta="hm"),
        event("output_text.delta", 0),
        event("output_text.delta", 0, delta=5),
        event("refusal.delta", 0),
        event("output_text.annotation.added", 0),
        event("content_part.added", 0),
        event("image_generation_call.partial_image", 1),
    ],
)
def test_what_does_not_fit_its_item(payload: Json) -> None:
    """It changes nothing, like what lacks what it is about."""
    proc = StreamProcessor("responses")
    proc.feed(sse(response(), added(OPEN), added(function_call(), 1)))

    assert changed(proc, payload) == []


@pytest.mark.parametrize(
    "payload",
    [delta("output_text", "!", content_index=0), delta("output_text", "!", content_index=1), delta("refusal", "No")],
)
def test_a_fragment_of_what_is_done(payload: Json) -> None:
    """It comes too late."""
    proc = fed(response(), added(OPEN), delta("output_text", "Hi", content_index=0), done(message(text("Hi"))), payload)

    assert texts_of(proc) == ["Hi"]
    assert proc.anomalies == {"late_event": 1, "truncated": 1}


@pytest.mark.parametrize(
    "payload",
    [
        event("output_text.done", content_index=0, text="Hi"),
        event("content_part.done", content_index=1, part=text("Hi")),
        event("refusal.done", content_index=1, refusal="No"),
        event("output_text.annotation.added", annotation={"type": "x"}),
        event("web_search_call.searching", 1),
        event("image_generation_call.partial_image", 1, partial_image_b64="AAAA"),
        event("reasoning_text.done", 2, text="hm"),
        done(message(text("other"))),
    ],
)
def test_what_is_said_again_of_what_is_done(payload: Json) -> None:
    """Nothing happens."""
    proc = StreamProcessor("responses")
    thought = {"id": "rs_0123456789abcdef", "type": "reasoning"}
    search = {"id": "ws_0123456789abcdef", "type": "web_search_call"}
    proc.feed(sse(response(), done(message(text("Hi"))), done(search, 1), done(thought, 2)))

    assert changed(proc, payload) == []


def test_a_block_far_away() -> None:
    """No message has so many."""
    proc = fed(response(), added(OPEN), delta("output_text", "Hi", content_index=2**70))

    assert proc.anomalies == {"index_gap": 2, "truncated": 1}


def test_many_texts_at_a_time() -> None:
    """More than are read fast; all of them grow."""
    payloads = [delta("output_text", "Hi", content_index=number) for number in range(300)]
    proc = fed(response(), added(OPEN), *payloads, *payloads)

    assert texts_of(proc) == ["HiHi" * 300]
    assert not proc.anomalies.keys() - {"truncated"}
