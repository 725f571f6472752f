"""The workloads of other dialects: what they add up to, as the openai package reads them, and what their floor is."""

import json
from collections.abc import Callable

import msgspec
import pytest

from benchmarks.checks import held_texts, losses
from benchmarks.dialect_floor import ChatDelta, ResponseDelta, dialect_jobs
from benchmarks.dialect_streams import BY_DIALECT, CALLS, MESSAGES, chat_stream, responses_stream
from benchmarks.floor import decode_all
from benchmarks.peers import openai_chat, openai_responses
from benchmarks.workloads import tool_heavy
from benchmarks.writer import Texts, Workload
from streamproc import StreamProcessor
from tests.conformance.readings import Reading, read_chat, read_responses

MAKERS: dict[str, Callable[[], Workload]] = {
    "responses": lambda: responses_stream(calls=3, deltas=30),
    "chat": lambda: chat_stream(calls=3, deltas=30),
}
READERS: dict[str, Callable[[bytes], Reading]] = {"responses": read_responses, "chat": read_chat}
DELTAS: dict[str, type] = {"responses": ResponseDelta, "chat": ChatDelta}


@pytest.mark.parametrize("dialect", MAKERS)
def test_stream_adds_up_to_its_texts(dialect: str) -> None:
    """As read by the package's accumulator, which would raise on anything that its server does not send."""
    workload = MAKERS[dialect]()
    reading = READERS[dialect](workload.stream)

    assert (reading.by, reading.failure) == ("accumulator", None)
    assert {MESSAGES: [*reading.texts], CALLS: [call.arguments for call in reading.calls]} == workload.texts
    assert [len(workload.texts[kind]) for kind in (MESSAGES, CALLS)] == [1, 3]
    assert {call.name for call in reading.calls} == {"search_archive"}
    assert [usage.total for usage in reading.usage] == [11_372]


@pytest.mark.parametrize("dialect", MAKERS)
def test_arguments_are_json(dialect: str) -> None:
    """A call that is whole has arguments that can be read, and its text is not all plain."""
    workload = MAKERS[dialect]()

    assert all(json.loads(arguments)["query"] for arguments in workload.texts[CALLS])
    assert not workload.stream.isascii()


@pytest.mark.parametrize("dialect", MAKERS)
def test_stream_is_a_function_of_its_arguments(dialect: str) -> None:
    """The same call gives the same stream."""
    assert MAKERS[dialect]() == MAKERS[dialect]()


def test_another_seed_gives_another_stream() -> None:
    """The seed is what a workload depends on."""
    assert responses_stream(1, 20).blocks != responses_stream(1, 20, seed=1).blocks
    assert chat_stream(1, 20).blocks != chat_stream(1, 20, seed=1).blocks


@pytest.mark.slow
@pytest.mark.parametrize("dialect", BY_DIALECT)
def test_as_many_deltas_as_the_tool_heavy_workload(dialect: str) -> None:
    """All of them are of the narrow kind, and hardly anything else is in the stream."""
    work = dialect_jobs(dialect, BY_DIALECT[dialect]())
    narrow = [payload for decode, payload in work if isinstance(decode(payload), DELTAS[dialect])]
    fragments = sum(b'"thread.run.step.delta"' in block for block in tool_heavy().blocks)

    assert len(narrow) == 10_000
    assert abs(fragments - len(narrow)) < 100
    assert len(work) - len(narrow) < 200


@pytest.mark.parametrize("dialect", MAKERS)
def test_floor_reads_every_payload(dialect: str) -> None:
    """One job an event, except for the end mark; what is narrow there holds all that the pieces add up to."""
    workload = MAKERS[dialect]()
    work = dialect_jobs(dialect, workload)
    narrow = [decoded for decode, payload in work if isinstance(decoded := decode(payload), DELTAS[dialect])]
    decode_all(work)

    assert len(work) == len(workload.blocks) - (dialect == "chat")
    assert len(narrow) == 4 * 30
    assert "".join(map(piece_of, narrow)) == "".join([*workload.texts[MESSAGES], *workload.texts[CALLS]])


def piece_of(delta: object) -> str:
    if isinstance(delta, ResponseDelta):
        return delta.delta
    assert isinstance(delta, ChatDelta)
    found = delta.choices[0].delta
    return found.tool_calls[0].function.arguments if found.tool_calls else str(found.content)


@pytest.mark.parametrize(
    "choice",
    [
        {"index": 0, "delta": {"content": "", "role": "assistant"}},
        {"index": 0, "delta": {"content": ""}, "finish_reason": "stop"},
        {"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "c", "function": {"arguments": ""}}]}},
        {"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": ""}}]}},
    ],
    ids=["role", "reason", "id of a call", "name"],
)
def test_chunk_with_more_than_a_piece_is_no_delta(choice: dict[str, object]) -> None:
    """The floor must not skip what a program has to see."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(json.dumps({"choices": [choice]}), type=ChatDelta)


@pytest.mark.parametrize(
    ("dialect", "texts"),
    [
        ("responses", lambda chunks: openai_responses.texts_of(openai_responses.accumulate(chunks))),
        ("chat", lambda chunks: openai_chat.texts_of(openai_chat.accumulate(chunks))),
    ],
    ids=["responses", "chat"],
)
def test_helper_holds_the_texts(dialect: str, texts: Callable[[list[bytes]], Texts]) -> None:
    """What is timed beside ours has done the work, from chunks that split events."""
    workload = MAKERS[dialect]()

    assert texts(workload.chunks(4096)) == workload.texts


def test_held_texts_are_those_of_calls_and_messages() -> None:
    """By position, of all steps and messages that a processor holds."""
    workload = tool_heavy(steps=2, deltas=10)
    proc = StreamProcessor()
    proc.feed(workload.stream)

    assert held_texts(proc) == {CALLS: [text for texts in workload.texts.values() for text in texts], MESSAGES: []}
    assert losses({CALLS: ["abcd"]}, {CALLS: ["ab"]}) == "1 of 1 texts are wrong, 50% of the characters lost"
