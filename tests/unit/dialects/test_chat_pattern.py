"""Patterns: chunks that differ in their text and their padding, and all that makes them differ in more."""

import json
from collections.abc import Callable

import pytest

from streamproc import StreamProcessor
from streamproc.core.change import encode_change
from streamproc.dialects.chat_pattern import Pattern
from tests.chats import Json, calling, delta, ends, piece, role, says

TEXTS = ["a", " ", 'é"\\\n', "\u2028", "🙂", "0", "}", '"},', "obfuscation", '","obfuscation":"x"}']


def payload(text: str, pad: str | None = None, **more: Json) -> bytes:
    members: dict[str, Json] = {"id": "a", "text": text, **more}
    if pad is not None:
        members["obfuscation"] = pad
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode()


def read(example: bytes) -> str | None:
    """As a dialect would: nothing for a payload that says more."""
    try:
        data = json.loads(example)
    except ValueError:
        return None
    return data["text"] if data.keys() <= {"id", "text", "n", "obfuscation"} and data["id"] == "a" else None


def learned(example: bytes, text: str) -> Pattern:
    pattern = Pattern.learn(example, text, read)
    assert pattern is not None
    return pattern


@pytest.mark.parametrize("teacher", [text for text in TEXTS if text != "obfuscation"])
@pytest.mark.parametrize("pad", [None, "Ab1"])
def test_chunks_that_are_alike(teacher: str, pad: str | None) -> None:
    """Whatever text teaches it, and with padding of any length."""
    pattern = learned(payload(teacher, pad, n=1), teacher)
    pads = [pad and pad * (1 + number) for number in range(len(TEXTS))]

    assert pattern.texts([payload(*both, n=1) for both in zip(TEXTS, pads, strict=True)]) == TEXTS


@pytest.mark.parametrize(
    "other",
    [
        payload(""),
        payload("x", "p"),
        payload("x", n=1),
        payload("x")[1:],
        payload("x") + b" ",
        b'{"id":"b","text":"x"}',
        b'{"id":"a","text":5}',
        b'{"id":"a","text":"x","text":"y"}',
        b'{"id":"a","text":"\xff"}',
        b'{"id":"a","text":"x',
        b"",
    ],
)
def test_chunks_that_are_not(other: bytes) -> None:
    """What came before them is taken."""
    pattern = learned(payload("t"), "t")

    assert pattern.texts([payload("a"), other, payload("b")]) == ["a"]


@pytest.mark.parametrize("pad", ["", " ", '"', "\\n", "a-b", 'x","n":"1', "é"])
@pytest.mark.parametrize("end", ['"}', '"', '"}}', '","n":1}'])
def test_padding_that_is_more_than_that(pad: str, end: str) -> None:
    """It may hold another member, or be no JSON."""
    pattern = learned(payload("t", "p"), "t")
    other = f'{{"id":"a","text":"x","obfuscation":"{pad}{end}'.encode()

    assert pattern.texts([payload("a", "p"), other]) == ["a"]


@pytest.mark.parametrize(
    ("example", "text"),
    [
        (payload("t", n="t"), "t"),
        (payload("t", "t"), "t"),
        (payload("obfuscation", "p"), "obfuscation"),
        (b'{"id":"a","text":"\\u0074"}', "t"),
        (payload("t", "p", x=1), "t"),
    ],
)
def test_chunks_that_teach_nothing(example: bytes, text: str) -> None:
    """The same text stands elsewhere, is spelled otherwise, or the payload says more."""
    assert Pattern.learn(example, text, read) is None


def sse(items: list[Json]) -> bytes:
    return b"".join(b"data: %b\n\n" % json.dumps(item, separators=(",", ":")).encode() for item in items)


def padded(item: Json, number: int) -> Json:
    return {**item, "obfuscation": "x" * (number % 7)}


def plain(item: Json, number: int) -> Json:
    return item


def timed(item: Json, number: int) -> Json:
    """As servers write them that tell the time in each chunk."""
    return {**item, "created": number}


@pytest.mark.parametrize("size", [150, 700, 100_000])
@pytest.mark.parametrize("dress", [plain, padded, timed])
def test_same_changes_without_patterns(
    size: int, dress: Callable[[Json, int], Json], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a text, of calls one after the other and in turns, and of two choices."""
    items = [role(), *map(says, "abcdefgh"), ends(None, index=1, content="x"), *map(says, "ij")]
    items += [delta(1, content="y"), delta(1, content="z"), delta(content="k", refusal="no"), *map(says, "lm")]
    for index in (0, 1):
        items += [calling(piece("", "f", index=index, id=f"call_{index}"))]
        items += [calling(piece(text, index=index)) for text in TEXTS]
    items += [calling(piece(text, index=index)) for text in TEXTS for index in (0, 1)]
    data = sse([dress(item, number) for number, item in enumerate([*items, ends("tool_calls"), ends("stop", index=1)])])
    told = []
    for learn in (Pattern.learn, lambda *_: None):
        monkeypatch.setattr(Pattern, "learn", learn)
        proc = StreamProcessor("chat")
        changes = [change for at in range(0, len(data), size) for change in proc.feed(data[at : at + size])]
        told.append([encode_change(change) for change in [*changes, *proc.close()]])

    assert told[0] == told[1]
    assert dict(proc.anomalies) == {}


def test_a_wire_without_patterns() -> None:
    """After a few that were of no use none is looked for."""
    asked: list[bytes] = []
    proc = StreamProcessor("chat")
    learn = Pattern.learn

    def counted(payload: bytes, text: str, read: Callable[[bytes], str | None]) -> Pattern | None:
        asked.append(payload)
        return learn(payload, text, read)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Pattern, "learn", counted)
        for number, item in enumerate([role(), *map(says, "x" * 100)]):
            proc.feed(sse([timed(item, number)]))

    assert len(asked) == 8
    assert [message.text for message in proc.messages.values()] == ["x" * 100]
