"""The fast path does what the general path does.

Text fragments are most of a stream, and merged without making frames, events or decoded data of them. A dialect that
names no `fragments` has no fast path, so the same bytes through both processors must give the same in every respect.
"""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamproc import Event, Limits, StreamProcessor
from streamproc.core.fragments import FRAGMENT_DECODERS
from streamproc.core.tree import COMPACT_AT
from tests.properties.generators import (
    BLOCKS,
    CUTS,
    FRAGMENTS,
    LIMITS,
    MANY,
    MUTATIONS,
    SOME,
    GeneralDialect,
    Outcome,
    Script,
    cut,
    feed,
    finals,
    mutated,
    read,
    scripts,
)
from tests.streams import (
    arguments,
    call,
    code,
    done,
    event,
    message,
    message_delta,
    run,
    sse,
    step,
    step_delta,
    text,
    words,
)

pytestmark = pytest.mark.slow

OPENINGS = [
    sse(
        step("created", "step_1", call("", id="c0", name="f"), code("", id="c1")), message("created", "msg_1", text(""))
    ),
    sse(
        step_delta(call("", index=0, id="c0", name="f"), {"index": 2, "id": "c2", **code("")}),
        step("created", "step_2"),
    ),
    sse(run(), step(), message(), arguments("x"), words("x"), message("created", "same"), words("x", id="same")),
]
"""After these there are places whose text grows."""

STEP = (
    '{"id":"step_1","object":"thread.run.step.delta","delta":{"step_details":{"type":"tool_calls","tool_calls":[%s]}}}'
)
MESSAGE = '{"id":"msg_1","object":"thread.message.delta","delta":{"content":[%s]}}'
NEARLY = [
    *(
        ("thread.run.step.delta", STEP % entry)
        for entry in (
            '{"index":0,"type":"function","function":{"arguments":"a"}}',
            ' { "function" : { "arguments" : "a" } , "type" : "function" , "index" : 0 } ',
            '{"index":-0,"type":"function","function":{"arguments":"a"}}',
            '{"index":0.0,"type":"function","function":{"arguments":"a"}}',
            '{"index":"0","type":"function","function":{"arguments":"a"}}',
            '{"index":true,"type":"function","function":{"arguments":"a"}}',
            '{"index":18446744073709551616,"type":"function","function":{"arguments":"a"}}',
            '{"index":1,"index":0,"type":"function","function":{"arguments":"a"}}',
            '{"index":0,"type":"function","type":"function","function":{"arguments":"a"}}',
            '{"index":0,"type":"code_interpreter","type":"function","function":{"arguments":"a"}}',
            '{"index":0,"type":"function","function":{"arguments":"a","arguments":"b"}}',
            '{"index":0,"type":"function","function":{"arguments":"a"},"function":{"arguments":"b"}}',
            '{"index":0,"type":"function","function":{"arguments":""}}',
            '{"index":0,"type":"function","function":{"arguments":null}}',
            '{"index":0,"type":"function","function":{"arguments":1}}',
            '{"index":0,"type":"function","function":{}}',
            '{"index":0,"type":"function","function":{"arguments":"a","output":"o"}}',
            '{"index":0,"type":"function","function":{"arguments":"\\ud83d\\ude00\\u0000\\n"}}',
            '{"index":0,"type":"function","function":{"arguments":"\\ud83d"}}',
            '{"index":0,"id":"c0","type":"function","function":{"arguments":"a"}}',
            '{"index":0,"id":"c9","type":"function","function":{"arguments":"a"}}',
            '{"index":0,"id":"c9","type":"function","function":{"name":"g","arguments":""}}',
            '{"index":0,"id":null,"type":"function","function":{"arguments":"a"}}',
            '{"index":0,"type":"code_interpreter","code_interpreter":{"input":"a"}}',
            '{"index":0,"type":"code_interpreter","function":{"arguments":"a"}}',
            '{"index":0,"function":{"arguments":"a"}}',
            '{"index":0,"type":"x_tool","function":{"arguments":"a"}}',
            '{"type":"function","function":{"arguments":"a"}}',
            '{"index":2,"type":"code_interpreter","code_interpreter":{"input":"a"}}',
            '{"index":2,"type":"code_interpreter","code_interpreter":{"input":"a","outputs":[]}}',
            '{"index":0,"type":"function","function":{"arguments":"a"}},{"index":0,"type":"function","function":{"arguments":"b"}}',
            "",
            "null",
        )
    ),
    *(
        ("thread.message.delta", MESSAGE % entry)
        for entry in (
            '{"index":0,"type":"text","text":{"value":"a"}}',
            '{"index":0,"type":"text","text":{"value":"a","annotations":[]}}',
            '{"index":1,"type":"text","text":{"value":"a"}}',
            '{"index":0,"type":"refusal","refusal":"r"}',
            '{"type":"text","text":{"value":"a"}}',
            '{"index":0,"type":"text","text":"a"}',
        )
    ),
    (
        "thread.run.step.delta",
        STEP.replace("step_1", "msg_1") % '{"index":0,"type":"function","function":{"arguments":"a"}}',
    ),
    (
        "thread.run.step.delta",
        STEP.replace(".delta", "") % '{"index":0,"type":"function","function":{"arguments":"a"}}',
    ),
    (
        "thread.run.step.delta",
        STEP.replace('"id":"step_1",', "") % '{"index":0,"type":"function","function":{"arguments":"a"}}',
    ),
    (
        "thread.run.step.delta",
        STEP.replace('"step_1"', '"step_2","id":"step_1"')
        % '{"index":0,"type":"function","function":{"arguments":"a"}}',
    ),
    (
        "thread.run.step.delta",
        STEP.replace('"tool_calls",', '"mcp",') % '{"index":0,"type":"function","function":{"arguments":"a"}}',
    ),
    (
        "thread.run.step.delta",
        STEP.replace('"delta":{', '"x":1,"delta":{') % '{"index":0,"type":"function","function":{"arguments":"a"}}',
    ),
    (
        "thread.run.step.delta",
        STEP.replace('"delta":{', '"delta":{"x":1,') % '{"index":0,"type":"function","function":{"arguments":"a"}}',
    ),
    ("thread.message.delta", STEP % '{"index":0,"type":"function","function":{"arguments":"a"}}'),
    (
        "thread.message.delta",
        MESSAGE.replace('"content"', '"role":"user","content"') % '{"index":0,"type":"text","text":{"value":"a"}}',
    ),
    ("thread.message.chunk", MESSAGE % '{"index":0,"type":"text","text":{"value":"a"}}'),
    ("message", STEP % '{"index":0,"type":"function","function":{"arguments":"a"}}'),
    ("", MESSAGE % '{"index":0,"type":"text","text":{"value":"a"}}'),
]
"""Payloads that are fragments, or miss being one by a hair."""


def spelled(build: Callable[[str, int, str], Event], literal: bytes, index: int, id: str, how: str) -> bytes:
    """A fragment whose text is any bytes between quotation marks, in one of several ways to write JSON."""
    item = build("@@", index, id)
    separators = (" , ", " : ") if "wide" in how else (",", ":")
    payload = json.dumps(item.data, separators=separators, sort_keys="sorted" in how).encode()
    return sse(Event(item.name, None, payload.replace(b"@@", literal)))


def input_of(fragment: str, index: int, id: str) -> Event:
    return step_delta(code(fragment, index=index), id=id)


LITERALS = [
    *(b"a", b"", b"\\u00e9", b"\\n", b'\\"', b"\xc3\xa9", b"\\ud83d\\ude00"),
    *(b'"', b'","x":"', b"\xff", b'a"}', b"\\ud800", b"\\x", b"\x01", b"\xed\xa0\x80"),
    *(b"step_1", b"step_2", b"function", b"tool_calls", b"index", b"0", b"thread.run.step.delta", b"text", b"value"),
]
"""Texts as they stand in JSON: plain, escaped, no text at all, and such as stand elsewhere in a payload too."""

SPELLINGS = st.builds(
    spelled,
    st.sampled_from([arguments, words, input_of]),
    st.sampled_from(LITERALS),
    st.sampled_from([0, 0, 1]),
    st.sampled_from(["step_1", "step_1", "step_2", "msg_1"]),
    st.sampled_from(["plain", "plain", "sorted", "wide", "wide, sorted"]),
)

FEEDS = st.lists(
    st.one_of(
        FRAGMENTS.map(sse),
        SPELLINGS,
        SPELLINGS,
        st.sampled_from([f"event: {name}\ndata: {payload}\n\n".encode() for name, payload in NEARLY]),
        st.lists(FRAGMENTS, max_size=8).map(lambda events: sse(*events)),
        BLOCKS,
        st.sampled_from(OPENINGS),
    ),
    min_size=5,
    max_size=30,
)


SOMETIMES = st.lists(st.integers(0, 20), max_size=2)


def place_of(proc: StreamProcessor) -> tuple[Any, ...]:
    """What a stream remembers, beyond what merely speeds up the fast path."""
    now = proc._context
    return (
        now.origin,
        now.seq,
        now.run_id,
        now.thread_id,
        [places.object_id for places in now.places.values()],
        now.done,
        now.ended,
        now.anomalies,
    )


def both(
    chunks: Sequence[bytes], limits: Limits | None = None, opens: Sequence[int] = (), evicts: Sequence[int] = ()
) -> None:
    """Feed two processors side by side, one of them without a fast path, and compare all there is after each chunk.

    Before some chunks a new epoch is opened, before others a run is forgotten.
    """
    fast = StreamProcessor(limits=limits)
    general = StreamProcessor(GeneralDialect, limits=limits)
    results = Outcome(), Outcome()
    for number, chunk in enumerate(chunks):
        for proc, result in zip((fast, general), results, strict=True):
            if number in opens:
                proc.close()
                proc.open(epoch=number + 2)
            if number in evicts:
                proc.evict("run_1")
            changes, result.error = feed(proc, [chunk], close=False)
            result.seen += map(read, changes)
            result.anomalies, result.finals = dict(proc.anomalies), finals(proc)

        assert results[0] == results[1]
        assert place_of(fast) == place_of(general)
        if results[0].error:
            fast.open()
            general.open()


@MANY
@given(st.sampled_from(OPENINGS), FEEDS, CUTS, SOMETIMES, SOMETIMES)
def test_same_as_the_general_path(
    opening: bytes, feeds: list[bytes], cuts: list[float], opens: list[int], evicts: list[int]
) -> None:
    """On hostile streams, cut anywhere, over several streams and epochs."""
    both([opening, *feeds], opens=opens, evicts=evicts)
    both([opening, *cut(b"".join(feeds), cuts)])


@SOME
@given(st.sampled_from(OPENINGS), FEEDS, LIMITS)
def test_same_under_limits(opening: bytes, feeds: list[bytes], limits: Limits) -> None:
    """What is refused, evicted and raised is the same."""
    both([opening, *feeds], limits)
    both([opening, b"".join(feeds)], limits)


@SOME
@given(scripts(), MUTATIONS)
def test_same_for_a_mutated_run(script: Script, mutations: list[Any]) -> None:
    """Flipped bits, lost, repeated and foreign parts."""
    data = sse(*script.events)
    both([data])
    both([mutated(data, mutations)])


@pytest.mark.parametrize(("name", "payload"), NEARLY)
@pytest.mark.parametrize("opening", OPENINGS, ids=["snapshots", "deltas", "fragments"])
def test_same_for_each_payload_that_is_nearly_a_fragment(opening: bytes, name: str, payload: str) -> None:
    """Between fragments, in one chunk or alone."""
    block = f"event: {name}\ndata: {payload}\n\n".encode()
    around = sse(arguments("1"), words("2"), step_delta(code("3", index=2)))
    both([opening, around, block, around, block, block, around])
    both([opening + around + block + around])


@pytest.mark.parametrize("end", [step("completed"), step("completed", "step_2"), run("failed"), done()])
def test_same_for_fragments_after_the_end_of_one_of_two_texts(end: Event) -> None:
    """Places were learned for both; that one, or the stream, is closed shows on the next fragment, alone or not."""
    opening = sse(run("created"), step("created"), step("created", "step_2"))
    turns = sse(arguments("1"), arguments("2", id="step_2")) * 3
    one, other = sse(arguments("3")), sse(arguments("4", id="step_2"))
    for last in (one, other):
        both([opening, turns, last, last, last, sse(end), last, one + other, other + one, other, one])
        both([opening, turns, last + sse(end), one + other + one, other])


@pytest.mark.parametrize(
    "odd", [b'"a"\n', b'\n"a"', b'"a"\r', b'"a"\n\n', b' "a" ', b'\t"a"', b'"a","b"', b'"a"\ndata: ', b""]
)
def test_same_for_a_chunk_that_is_one_event_and_odd(odd: bytes) -> None:
    """What JSON allows around a text is no part of it; a line end there ends the data line."""
    opening = sse(step("created"), arguments("1"))
    usual = sse(arguments("2"))
    both([opening, usual, usual, usual, usual.replace(b'"2"', odd), usual])


@pytest.mark.parametrize("how", ["plain", "sorted", "wide", "wide, sorted"])
@pytest.mark.parametrize("literal", LITERALS)
def test_same_for_a_text_that_stands_elsewhere_in_its_payload_too(literal: bytes, how: str) -> None:
    """What was learned from one payload is not taken for the text of another object's."""
    blocks = [
        spelled(build, text_of, index, id, how)
        for text_of in (literal, b"a", literal)
        for id in ("step_1", "step_2", "msg_1")
        for index in (0, 1)
        for build in (arguments, input_of, words)
    ]
    opening = sse(run(), step("created", "step_1"), step("created", "step_2"), message())
    both([opening, *blocks, *blocks])
    both([opening, b"".join(blocks), b"".join(reversed(blocks))])


@pytest.mark.parametrize("opening", OPENINGS, ids=["snapshots", "deltas", "fragments"])
def test_same_for_an_object_that_was_forgotten(opening: bytes) -> None:
    """What comes for it makes a new one; the old one does not grow behind everybody's back."""
    blocks = [sse(arguments("a"), words("b"), arguments("c")), sse(step_delta(code("d", index=1)), words("e"))]
    both([opening, *blocks, *blocks, *blocks], evicts=[3])
    both([opening, *blocks, sse(run("completed")), *blocks], Limits(max_closed_runs=0))
    both(
        [opening, *blocks, sse(step("created", "other"), message("created", "other")), *blocks],
        Limits(max_steps_per_run=2),
    )


@pytest.mark.parametrize("room", range(-1, 4))
@pytest.mark.parametrize("fragment", ["a", "ab", "é😀"])
def test_the_limit_of_an_object_is_met_at_the_same_character(room: int, fragment: str) -> None:
    """What is equal to it still passes, in both; what was refused leaves room for something shorter."""
    opening = sse(
        run(), step(), step_delta(call("", index=0, id="c", name="f")), arguments("1234"), message(), words("1")
    )
    counted = StreamProcessor()
    counted.feed(opening)
    size = max(record.size for record in counted.reducer._table.records["step"].values())
    limits = Limits(max_object_bytes=size + len(fragment) + room)
    both(
        [opening, sse(arguments(fragment), arguments(fragment), arguments("a"), words(fragment)), sse(arguments("a"))],
        limits,
    )
    proc = StreamProcessor(limits=limits)
    proc.feed(opening)
    proc.feed(sse(arguments(fragment)))

    assert json.loads(finals(proc)["steps"]["step_1"])["step_details"]["tool_calls"][0]["function"]["arguments"] == (
        "1234" + fragment if room >= 0 else "1234"
    )
    assert proc.anomalies.get("limit", 0) == (room < 0)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_same_across_blocks_of_joined_text(size: int) -> None:
    """Fragments are joined now and then; neither that nor who reads in between shows, in chunks of any size."""
    events = [run(), step(), message(), step_delta({"index": 1, **code("")})]
    for number in range(COMPACT_AT + 20):
        events += [arguments(f"{number},"), words(f"{number};"), words("")]
        events += [arguments("x"), step_delta(code("y", index=1))] if number % 50 == 0 else []
    blocks = [sse(item) for item in events]
    both([b"".join(blocks[at : at + size]) for at in range(0, len(blocks), size)])


def test_one_delta_after_another_takes_the_fast_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without this, the tests here would compare the general path with itself."""
    proc = StreamProcessor()
    proc.feed(OPENINGS[2])
    monkeypatch.setattr(proc.reducer, "apply", None)
    changes = proc.feed(sse(arguments("a"), words("b"), arguments("c"), words("d", id="same")))

    assert [change.revision for change in changes] == [3, 3, 4, 3]


def test_only_exact_fragments_decode_as_such() -> None:
    """The shape that the fast path trusts: no other member, one entry, text where text belongs."""
    exact = [
        (name, payload)
        for name, payload in NEARLY
        if name in FRAGMENT_DECODERS and payload.count("index") == 1 and '"a"' in payload
    ]
    decoded = []
    for name, payload in exact:
        try:
            FRAGMENT_DECODERS[name](payload.encode())
        except Exception:
            continue
        decoded.append(payload)

    assert all(json.loads(payload).keys() == {"id", "object", "delta"} for payload in decoded)
    assert len(decoded) >= 5


def test_an_event_after_the_end_reopens_on_either_path() -> None:
    """Only the first one is odd."""
    both([OPENINGS[2], sse(done(), arguments("a"), arguments("b"), done()), sse(arguments("c")), sse(words("d"))])


def test_an_object_of_a_run_that_ended_is_marked_until_its_next_fragment() -> None:
    """The mark goes with the next fragment, and the ones after it are ordinary again."""
    both(
        [
            OPENINGS[2],
            sse(arguments("a"), run("completed")),
            sse(arguments("b"), arguments("c"), words("d"), words("e")),
        ]
    )


def test_two_streams_that_write_in_turns_share_a_place() -> None:
    """Each change names the stream that caused it; the text is that of both."""
    results = []
    for dialect in ("assistants", GeneralDialect):
        one = StreamProcessor(dialect, stream="one")
        two = StreamProcessor(dialect, one.reducer, stream="two")
        seen = [read(change) for change in one.feed(OPENINGS[2])]
        for proc in (one, two, two, one, one, two):
            seen += map(read, proc.feed(sse(arguments("a"), arguments("b"), words("c"))))
        results.append((seen, finals(one)))

    assert results[0] == results[1]


def test_an_id_less_delta_follows_the_last_fragment() -> None:
    """Wherever that one was merged."""
    id_less = event(
        "thread.run.step.delta",
        {"delta": {"step_details": step_delta(call("n", index=0)).data["delta"]["step_details"]}},
    )
    last = event(
        "thread.message.delta", {"delta": {"content": message_delta(text("n", index=0)).data["delta"]["content"]}}
    )
    both(
        [
            OPENINGS[2],
            sse(
                step("created", "step_2"),
                arguments("a", id="step_2"),
                arguments("b"),
                id_less,
                words("c", id="same"),
                last,
            ),
        ]
    )
