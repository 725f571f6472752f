"""The laws for Chat Completions, over well-formed and hostile streams of chunks.

docs/architecture.md, "What always holds", numbers them; the sections here follow its order. A *script* is one model
call, drawn as texts and calls first and then cut into chunks in the manner of one server or another. *Chunks* are
hostile: those of a script in which members are exchanged for junk, repeated, lost, and out of order.
"""

import json
import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamproc import Change, StreamProcessor, to_wire
from streamproc.core.dialect import Dialect
from streamproc.dialects import ChatDialect
from streamproc.testing import check_dialect
from tests.chats import DONE, ID, Json, calling, chunk, delta, ends, piece, role, says, stream, usage
from tests.properties.generators import (
    CUTS,
    FEW,
    JUNK,
    LIMITS,
    MANY,
    MUTATIONS,
    SOME,
    TERMINAL,
    TEXTS,
    Outcome,
    corrupted,
    cut,
    feed,
    finals,
    mutated,
    outcome,
    read,
)

pytestmark = pytest.mark.slow

# --- streams ----------------------------------------------------------------------------------------------------------


@dataclass
class Script:
    """One model call."""

    chunks: list[Json] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)  # of the choices
    calls: list[list[tuple[str, str, str]]] = field(default_factory=list)  # id, name and arguments, of the choices


@st.composite
def scripts(draw: Callable[..., Any], *, turn: int = 1, ends_well: bool = True) -> Script:
    """Well-formed streams: whatever a server's habits are, it is clear what they add up to."""
    script = Script()
    queues = [choice(draw, script, index, turn) for index in range(draw(st.integers(1, 2)))]
    order = draw(st.permutations([index for index, queue in enumerate(queues) for _ in queue]))
    turns = [iter(queue) for queue in queues]
    script.chunks = [next(turns[index]) for index in order]
    if draw(st.booleans()):
        script.chunks.append(usage(draw(st.integers(0, 9)), 1))
    if ends_well:
        script.chunks.append(DONE)
    return script


def choice(draw: Callable[..., Any], script: Script, index: int, turn: int) -> list[Json]:
    """Draw one choice; returns its chunks."""
    chunks: list[Json] = [role(index)] if draw(st.booleans()) else []
    text, calls = "", []
    for number in range(draw(st.integers(0, 3))):
        what = draw(st.sampled_from(["text", "reasoning", "refusal", "call", "call"]))
        whole = draw(TEXTS)
        if what == "text":
            text += whole
            chunks += [says(part, index) for part in parts(draw, whole)]
        elif what == "call":
            id, name = f"call_{turn}_{index}_{number}", draw(st.sampled_from(["f", "get_weather"]))
            calls.append((id, name, whole))
            chunks += call(draw, index, len(calls) - 1, calls[-1])
        else:
            chunks += [delta(index, **{what: part}) for part in parts(draw, whole)]
    script.texts.append(text)
    script.calls.append(calls)
    reason = draw(st.sampled_from(["stop", "tool_calls", "length", "content_filter", "eos"]))
    return [*chunks, ends(reason, index)]


def call(draw: Callable[..., Any], index: int, number: int, made: tuple[str, str, str]) -> list[Json]:
    """A call as one server or another cuts it up."""
    id, name, whole = made
    pieces = parts(draw, whole)
    match draw(st.sampled_from(["OpenAI", "Ollama", "whole", "no index", "all repeated"])):
        case "OpenAI":
            entries = [piece("", name, id=id, index=number), *(piece(part, index=number, type=None) for part in pieces)]
        case "Ollama":  # each call at the index of the first
            entries = [piece(pieces[0], name, id=id), *(piece(part, id=id) for part in pieces[1:])]
        case "whole":
            entries = [piece(whole, name, id=id, index=number)]
        case "no index":
            entries = [piece(part, name, id=id, index=None) for part in pieces]
        case _:
            entries = [piece(part, name, id=id, index=number) for part in pieces]
    return [calling(entry, index=index) for entry in entries]


def parts(draw: Callable[..., Any], whole: str) -> list[str]:
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=3)))
    return [whole[start:end] for start, end in pairwise([0, *cuts, len(whole)])]


RAW = [
    *(b"{", b"null", b"[]", b"[DONE]", b"\xff", b'{"error":"x"}', b'{"error":{"code":1}}', b'{"object":"error"}'),
    b'{"choices":[{"index":0,"delta":{"content":"a\xff"}}]}',
    b'{"choices":[{"index":0,"delta":{"content":"a"}}],"x":' + b"[" * 250 + b"]" * 250 + b"}",
    b'{"choices":[{"index":0,"delta":{"content":"\\ud83e"}}]}',
    b'{"type":"ping"}',
]
ODD = [
    *(chunk(), chunk(id=None), chunk({}), chunk({"index": 1}), ends("error"), ends("stop", 1), ends("length")),
    *(delta(reasoning_details=[{"type": "x", "index": 0, "text": "a"}]), delta(audio={"id": "a", "transcript": "b"})),
    *(delta(annotations=[{"type": "url_citation", "url_citation": {"url": "u"}}]), delta(images=[{}])),
    *(delta(function_call={"name": "f", "arguments": "a"}), says([{"type": "text", "text": "a"}]), usage(1, 2)),
    calling(piece("a", id="x"), piece("b", index=1), piece("c", index=None)),
]
PLACES = st.lists(st.tuples(st.integers(0, 40), st.sampled_from(JUNK)), min_size=1, max_size=3)
SCRIPTED = st.builds(lambda script: script.chunks, scripts())
CORRUPTED = st.builds(
    lambda chunks, places: [item if isinstance(item, bytes) else corrupted(item, places) for item in chunks],
    SCRIPTED | st.lists(st.sampled_from(ODD), min_size=1, max_size=3),
    PLACES,
)
CHUNKS = st.lists(
    SCRIPTED | CORRUPTED | st.lists(st.sampled_from([*ODD, *RAW]), max_size=3), min_size=1, max_size=4
).map(lambda groups: [stream(item) for group in groups for item in group])
MAKERS: dict[str, Callable[[], Dialect]] = {
    "the wire's run": ChatDialect,
    "the caller's run": lambda: ChatDialect("run_1", 2, thread_id="thread_1"),
    "[DONE] suffices": lambda: ChatDialect(done_suffices=True),
}
MAKES = st.sampled_from([*MAKERS.values()])


def seen(chunks: Any, make: Callable[[], Dialect] = ChatDialect, limits: Any = None) -> Outcome:
    return outcome(chunks, limits, make())


def texts(proc: StreamProcessor) -> list[str]:
    """The texts of all messages."""
    blocks = [json.loads(to_wire(message))["content"] for message in proc.messages.values()]
    return ["".join(block["text"]["value"] for block in found if block["type"] == "text") for found in blocks]


def calls(proc: StreamProcessor) -> list[list[tuple[str, str, str]]]:
    """The calls of all steps."""
    steps = [json.loads(to_wire(step))["step_details"] for step in proc.steps.values()]
    return [
        [(item["id"], item["function"]["name"], item["function"]["arguments"]) for item in details["tool_calls"]]
        for details in steps
        if details["type"] == "tool_calls"
    ]


# --- 1. Chunking ------------------------------------------------------------------------------------------------------


@SOME
@given(CHUNKS, CUTS, MAKES)
def test_any_split_gives_the_same_changes(blocks: list[bytes], cuts: list[float], make: Callable[[], Dialect]) -> None:
    """Their JSON form, states, payloads, revisions and numbers; also what the stream amounts to in the end."""
    data = b"".join(blocks)
    expected = seen([data], make)

    assert expected == seen(cut(data, cuts), make)
    assert expected == seen(blocks, make)


@FEW
@given(scripts())
def test_byte_by_byte_gives_the_same_changes(script: Script) -> None:
    """The smallest slices there are."""
    data = stream(*script.chunks)

    assert seen([data]) == seen(data[at : at + 1] for at in range(len(data)))


@SOME
@given(CHUNKS, CUTS, LIMITS)
def test_any_split_gives_the_same_changes_up_to_the_same_limit(
    blocks: list[bytes], cuts: list[float], limits: Any
) -> None:
    """What is refused, evicted and raised does not depend on the split either."""
    data = b"".join(blocks)
    expected = seen([data, b"", b""], limits=limits)

    assert expected == seen([*cut(data, cuts), b"", b""], limits=limits)


class General(ChatDialect):
    """Without a fast path."""

    def __init__(self) -> None:
        super().__init__()
        self.texts = {}


@SOME
@given(CHUNKS)
def test_the_fast_path_gives_the_changes_of_the_general_path(blocks: list[bytes]) -> None:
    """In every state and byte."""
    assert seen([b"".join(blocks)], General) == seen([b"".join(blocks)])


# --- 2. What a stream adds up to --------------------------------------------------------------------------------------


@MANY
@given(scripts())
def test_states_are_what_the_stream_was_cut_from(script: Script) -> None:
    """Texts and calls of all choices, whatever the server's habits; nothing is odd about them."""
    proc = StreamProcessor("chat")
    feed(proc, [stream(*script.chunks)])

    assert sorted(filter(None, texts(proc))) == sorted(filter(None, script.texts))
    assert sorted(calls(proc)) == sorted(filter(None, script.calls))
    assert [run.status for run in proc.runs.values()] == ["completed"]
    assert not proc.anomalies
    assert not proc.truncated


# --- 3. Linear --------------------------------------------------------------------------------------------------------

PIECE = "x" * 1000
PROBES: dict[str, Json] = {
    "text": says("abc"),
    "arguments": calling(piece("abc")),
    "arguments with an id": calling(piece("abc", id="call_0")),
    "without index": calling(piece("abc", id="call_0", index=None)),
    "the last call": calling(piece("abc", index=None)),
    "a refusal": delta(refusal="abc"),
    "reasoning": delta(reasoning="abc"),
    "details": delta(reasoning_details=[{"type": "x", "index": 0, "text": "abc"}]),
    "a source": delta(annotations=[{"type": "url_citation", "url_citation": {}}]),
    "nothing": delta(),
}


def costs(size: int) -> dict[str, int]:
    """Calls of functions that 40 chunks of a kind take in a stream of some size."""
    proc = StreamProcessor(ChatDialect("run_1"))
    for number in range(size):
        proc.feed(stream(says(PIECE), delta(reasoning=PIECE, refusal=PIECE), calling(piece(PIECE))))
        proc.feed(stream(calling(piece(PIECE, "f", id=f"call_{number}", index=number))))
    found: dict[str, int] = {}
    called = 0

    def count(frame: object, what: str, arg: object) -> None:
        nonlocal called
        called += what in ("call", "c_call")

    for name, probe in PROBES.items():
        data = stream(probe)
        proc.feed(data)
        called = 0
        sys.setprofile(count)
        for _ in range(40):
            proc.feed(data)
        sys.setprofile(None)
        found[name] = called
    return found


def test_a_chunk_costs_the_same_in_a_stream_of_any_length() -> None:
    """Counted, not timed."""
    small, large = costs(20), costs(300)

    assert {name for name in PROBES if large[name] > small[name] * 1.2 + 100} == set()


# --- 4. Views ---------------------------------------------------------------------------------------------------------


@SOME
@given(CHUNKS, st.randoms(use_true_random=False))
def test_a_state_read_late_is_what_it_was(blocks: list[bytes], rng: random.Random) -> None:
    """In any order, after everything else has come."""
    proc = StreamProcessor("chat")
    changes: list[Change] = []
    expected = []
    for block in blocks:
        for change in proc.feed(block):
            changes.append(change)
            expected.append(read(change))
    proc.close()
    late = [*range(len(changes))]
    rng.shuffle(late)

    assert [expected[at] for at in late] == [read(changes[at]) for at in late]


# --- 5. Terminal ------------------------------------------------------------------------------------------------------


@MANY
@given(CHUNKS, MAKES)
def test_what_ended_stays_as_it_is(blocks: list[bytes], make: Callable[[], Dialect]) -> None:
    """Nothing that a stream says after an object's end has a place in it, but a usage that it lacked."""
    proc = StreamProcessor(make())
    ended: dict[tuple[str, str], str] = {}
    for block in [*blocks, b""]:
        feed(proc, [block], close=not block)
        for name, table in finals(proc).items():
            for id, state in table.items():
                before, now = json.loads(ended.get((name, id), state)), json.loads(state)
                assert {"usage": now.get("usage"), **before} == {"usage": None, **now}
                if json.loads(state)["status"] in TERMINAL[name]:
                    ended[name, id] = state


@MANY
@given(scripts(ends_well=False), st.integers(0, 40))
def test_a_stream_that_is_cut_completes_nothing_that_the_whole_does_not(script: Script, at: int) -> None:
    """Wherever it is cut, and each text that is said to be complete is as long as in the whole."""
    part, whole = StreamProcessor("chat"), StreamProcessor("chat")
    feed(part, [stream(*script.chunks[:at])])
    feed(whole, [stream(*script.chunks)])
    of_part, of_whole = finals(part), finals(whole)
    for id, state in of_part["steps"].items():
        if json.loads(state)["status"] in TERMINAL["steps"]:
            assert json.loads(state)["step_details"] == json.loads(of_whole["steps"][id])["step_details"]
            assert json.loads(state)["status"] == json.loads(of_whole["steps"][id])["status"]
    for id, state in of_part["messages"].items():
        if json.loads(state)["status"] == "completed":
            assert json.loads(state)["content"] == json.loads(of_whole["messages"][id])["content"]
    assert part.truncated == (any(run.status != "completed" for run in part.runs.values()) or not part.runs)


# --- 6. Continuation --------------------------------------------------------------------------------------------------


@SOME
@given(st.lists(scripts(), min_size=1, max_size=3), CUTS, st.booleans())
def test_turns_of_one_run_continue_it(calls_of_model: list[Script], cuts: list[float], closes: bool) -> None:
    """Through one processor or each through one of its own, with `close` or without: the same run in the end."""
    scripts_before = [renamed(script, number) for number, script in enumerate(calls_of_model)]
    one, others = StreamProcessor(ChatDialect.turns("run_1")), ChatDialect.turns("run_1")
    table = StreamProcessor()
    for number, data in enumerate(scripts_before):
        if number:
            one.open()
        feed(one, cut(data, cuts), close=closes)
        separate = StreamProcessor(others(), reducer=table.reducer)
        feed(separate, [data])

    assert finals(one) == finals(table)


def renamed(script: Script, number: int) -> bytes:
    """The stream of a completion with an id of its own."""
    return stream(*script.chunks).replace(ID.encode(), b"chatcmpl-AAAAAAAAAA%02d" % number)


@SOME
@given(scripts(), st.integers(0, 45))
def test_a_replay_from_the_start_changes_nothing_in_the_end(script: Script, prefix: int) -> None:
    """A prefix, then the stream again in a new epoch: the states of one pass."""
    expected, proc = StreamProcessor("chat"), StreamProcessor("chat")
    feed(expected, [stream(*script.chunks)])
    feed(proc, [stream(*script.chunks[:prefix])], close=False)
    proc.open(epoch=2)
    feed(proc, [stream(*script.chunks)])

    assert finals(expected) == finals(proc)


# --- 7. Tolerant ------------------------------------------------------------------------------------------------------


@MANY
@given(CHUNKS, MUTATIONS, MAKES)
def test_no_mutation_of_a_stream_raises(blocks: list[bytes], mutations: list[Any], make: Callable[[], Dialect]) -> None:
    """Flipped bits, lost, repeated and foreign parts, an early end."""
    assert seen([mutated(b"".join(blocks), mutations)], make).error == ""


@SOME
@given(CHUNKS)
def test_every_oddity_has_a_name(blocks: list[bytes]) -> None:
    """Anomalies are counted one by one as they travel, and say nothing of the content."""
    proc = StreamProcessor("chat")
    changes, _ = feed(proc, blocks)
    kinds = [change.delta.kind for change in changes if change.kind == "anomaly"]  # type: ignore[union-attr]

    assert dict(proc.anomalies) == {kind: kinds.count(kind) for kind in kinds}
    assert [change.seq for change in changes] == list(range(1, len(changes) + 1))


@settings(FEW, max_examples=15)
@given(CHUNKS.filter(bool))
def test_the_contract_of_a_dialect(blocks: list[bytes]) -> None:
    """Whatever the stream."""
    check_dialect(ChatDialect, [b"".join(blocks)])


def test_what_is_refused_is_not_kept() -> None:
    """However much of it comes: names of calls, choices, errors, payloads that are none."""
    proc = StreamProcessor("chat")
    proc.feed(stream(says("a")))
    sizes: list[int] = []
    for _ in range(3):
        for number in range(300):
            junk = f"{number:01000}"
            proc.feed(stream({"error": junk}, {"x": junk}, junk, chunk(junk), calling(junk, {"index": junk})))
            proc.feed(stream(delta(5000 + number, **{junk: junk}), {**chunk(), junk: junk}))
        sizes.append(len(proc.steps) + len(proc.messages) + len(proc.runs))

    assert sizes == [sizes[0]] * 3
