"""Hooks of content blocks: texts, annotations, refusals and images, per message and index."""

from typing import Any

from streamproc import Event, StreamProcessor
from streamproc.hooks import HookDispatch
from tests.streams import done, message, message_delta, run, sse, text, words
from tests.unit.hooks.recorder import TEXTS, hooked, told

ALL = f"{TEXTS} annotation refusal_delta refusal_done image_file_done image_url_done"


def refusal(fragment: str, index: int = 0) -> Event:
    return message_delta({"index": index, "type": "refusal", "refusal": fragment})


def note(name: str, **members: Any) -> dict[str, Any]:
    return {"type": "file_citation", "text": name, **members}


def test_a_text_is_created_and_done_once() -> None:
    """With every fragment in between, also the creating one."""
    events = [run(), message(), words("a"), words("b"), words("c"), message("completed", "msg_1", text("abc"))]

    assert told(TEXTS, events) == [
        ("text_created", "a"),
        *[("text_delta", (0, piece)) for piece in "abc"],
        ("text_done", "abc"),
    ]


def test_blocks_are_kept_apart() -> None:
    """Two texts and a refusal that grow in turn."""
    growing = [words("b", 0), words("y", 1), refusal("n", 2), words("c", 0), refusal("o", 2)]
    final = message("completed", "msg_1", text("bc"), text("y"), {"type": "refusal", "refusal": "no"})

    assert told(ALL, [run(), message(), *growing, final]) == [
        ("text_created", "b"),
        ("text_delta", (0, "b")),
        ("text_created", "y"),
        ("text_delta", (1, "y")),
        ("refusal_delta", (2, "n")),
        ("text_delta", (0, "c")),
        ("refusal_delta", (2, "o")),
        ("text_done", "bc"),
        ("text_done", "y"),
        ("refusal_done", "no"),
    ]


def test_a_second_message_at_index_0() -> None:
    """No text of the first one is told again under the second."""
    first = [message(), words("a"), message("completed", "msg_1", text("a"))]
    second = [message("created", "msg_2"), words("x", 0, "msg_2"), message("completed", "msg_2", text("x"))]

    assert told("message_created message_done " + TEXTS, [run(), *first, *second]) == [
        *[("message_created", "msg_1"), ("text_created", "a"), ("text_delta", (0, "a")), ("text_done", "a")],
        ("message_done", "msg_1"),
        *[("message_created", "msg_2"), ("text_created", "x"), ("text_delta", (0, "x")), ("text_done", "x")],
        ("message_done", "msg_2"),
    ]


def test_only_the_final_message_came() -> None:
    """Of each block what there is to tell of it."""
    blocks = [
        text("a", annotations=[note("1"), note("2")]),
        {"type": "refusal", "refusal": "no"},
        {"type": "image_file", "image_file": {"file_id": "f"}},
        {"type": "image_url", "image_url": {"url": "u"}},
        {"type": "x_block"},
        {"type": "text"},
        "odd",
    ]
    found = told(ALL, [run(), message("completed", "msg_1", *blocks)])

    assert [name for name, _ in found] == [
        *["text_created"] * 2,
        *["annotation"] * 2,
        *["text_done", "refusal_done", "image_file_done", "image_url_done", "text_done"],
    ]
    assert [about for name, about in found if name.startswith(("refusal", "image"))] == ["no", "f", "u"]


def test_an_image_is_done_with_its_message() -> None:
    """It comes whole in a delta, and is told at the end."""
    image = {"type": "image_file", "image_file": {"file_id": "f"}}
    events = [run(), message(), message_delta({"index": 0, **image})]

    assert told(ALL, events) == []
    assert told(ALL, [*events, message("completed", "msg_1", image)]) == [("image_file_done", "f")]


def test_each_annotation_is_told_once() -> None:
    """As it comes in a delta; in the final message only those that did not."""
    deltas = [
        message_delta(text("a", index=0, annotations=[])),
        message_delta(text(index=0, annotations=[note("1", index=1)])),
        message_delta(text(index=0, annotations=[note("0", index=0), "odd", note("1", index=1)])),
    ]
    final = message("completed", "msg_1", text("a", annotations=[note("0"), note("1"), note("2")]))
    seen: list[object] = []
    hooks = hooked(annotation=lambda annotation, change: seen.append(annotation.text))
    HookDispatch(hooks, on_error="raise").dispatch(StreamProcessor().feed(sse(run(), message(), *deltas, final)))

    assert seen == ["1", "0", "2"]


def test_annotations_that_are_no_list() -> None:
    """A lone object is an annotation; a text is none."""
    lone = message_delta(text("a", index=0, annotations=note("1", index=0)))
    odd = message_delta(text("b", index=0, annotations="odd"))

    assert [name for name, _ in told("annotation", [run(), message(), lone, odd])] == ["annotation"]


def test_a_message_that_was_cut_short() -> None:
    """Incomplete is an end, and so is the end of its run."""
    events = [run(), message(), words("a"), words("b")]
    cut = ("text_done", "ab")

    assert told(TEXTS, [*events, message("incomplete", "msg_1", text("ab"))])[-1] == cut
    assert told(TEXTS + " message_done", [*events, run("failed")])[-2:] == [cut, ("message_done", "msg_1")]


def test_a_refusal_without_text_is_no_fragment() -> None:
    """Nor is one that is no text."""
    odd = message_delta({"index": 1, "type": "refusal", "refusal": 5})

    assert told("refusal_delta", [run(), message(), refusal(""), refusal("n"), odd]) == [("refusal_delta", (0, "n"))]


def test_a_text_without_a_value() -> None:
    """The block is there before its text."""
    events = [run(), message(), message_delta(text(index=0, annotations=[])), words("a")]

    assert [about for name, about in told(TEXTS, events) if name == "text_delta"] == [(0, "a")]
    assert len(told("text_created", events)) == 1


def test_a_payload_that_is_no_object_is_no_text() -> None:
    """The block is of type text, and holds something else."""
    odd = message_delta({"index": 0, "type": "text", "text": "odd"})

    assert told("text_delta refusal_delta", [run(), message(), odd, done()]) == []


def test_the_last_text_is_that_of_the_snapshot() -> None:
    """Where it differs from what the deltas added up to, the snapshot is right."""
    events = [run(), message(), words("a"), message("completed", "msg_1", text("A!"))]

    assert told("text_done", events) == [("text_done", "A!")]


def test_hooks_of_refusals_alone_follow_no_text() -> None:
    """A fragment of text passes by, the refusal after it does not."""
    events = [run(), message(), words("a"), words("b"), refusal("n", 1)]

    assert told("refusal_delta", events) == [("refusal_delta", (1, "n"))]
