"""A sink behind redaction: what arrives, what comes again, what is rejected."""

from collections.abc import AsyncIterator, Callable, Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import msgspec
import pytest
from rich.console import Console

from streamproc.core.change import Change, encode_change
from streamproc.core.processor import StreamProcessor
from streamproc.delivery.policy import DeliveryPolicy, Retry
from streamproc.errors import SinkRejected, SinkUnavailable
from streamproc.pipeline import Pipeline
from streamproc.protocols import Sink
from streamproc.redaction import Redacted, Redaction
from streamproc.sinks import CallbackSink, ConsoleSink, JsonlSink, MemorySink
from streamproc.sources import IterableSource
from streamproc.stores import MemoryStore, SqliteStore
from streamproc.testing import check_sink
from tests import chats, response_streams
from tests.unit.redaction.examples import CANARIES, Canary, pieces
from tests.unit.redaction.streams import arrived, canonical, cut

FEW = [CANARIES[name] for name in ("openai", "aws, secret", "jwt", "url", "key, in JSON in JSON", "bearer")]


def chat(parts: Sequence[str]) -> bytes:
    """A message, a call of a function and a refusal, of which each text is this one."""
    return chats.stream(
        chats.role(),
        *map(chats.says, parts),
        *(chats.delta(refusal=part) for part in parts),
        chats.calling(chats.piece("", "f", id="call_1")),
        *(chats.calling(chats.piece(part)) for part in parts),
        chats.ends("tool_calls"),
        chats.DONE,
    )


def responses(parts: Sequence[str]) -> bytes:
    whole = "".join(parts)
    told = response_streams
    return told.sse(
        told.response(),
        told.added(told.OPEN),
        told.event("content_part.added", id=told.MESSAGE, content_index=0, part=told.text()),
        *(told.delta("output_text", part, id=told.MESSAGE, content_index=0) for part in parts),
        told.event("output_text.done", id=told.MESSAGE, content_index=0, text=whole),
        told.done(told.message(told.text(whole))),
        told.added(told.function_call(status="in_progress"), 1),
        *(told.delta("function_call_arguments", part, 1, told.CALL) for part in parts),
        told.done(told.function_call(whole, status="completed"), 1),
        told.response("failed", error={"code": "server_error", "message": whole}, metadata={"x": whole}),
    )


def changes_of(dialect: str, text: str, sizes: Sequence[int]) -> list[Change]:
    parts = cut(text, sizes)
    if dialect == "assistants":
        return canonical(parts, parts, parts, parts, parts, secret=text)
    proc = StreamProcessor(dialect)
    return proc.feed((chat if dialect == "chat" else responses)(parts)) + proc.close()


def assert_no_piece(canary: Canary, seen: str) -> None:
    allowed = canary.shown
    escaped = msgspec.json.encode(canary.secret).decode()[1:-1]
    twice = msgspec.json.encode(escaped).decode()[1:-1]
    secret = pieces(canary.secret) | pieces(escaped) | pieces(twice)
    assert [piece for piece in secret if piece in seen and piece not in allowed] == []


@pytest.mark.asyncio
@pytest.mark.parametrize("dialect", ["assistants", "chat", "responses"])
@pytest.mark.parametrize("canary", FEW, ids=[canary.name for canary in FEW])
async def test_no_piece_of_a_secret_arrives(dialect: str, canary: Canary, tmp_path: Path) -> None:
    """In a file, in memory, at a function and on a screen; cut at many places, in batches of any size."""
    got: list[Change] = []
    screen = StringIO()
    file = tmp_path
    for number, sizes in enumerate([(2, 3), (7,), (19, 1)]):
        changes = changes_of(dialect, f"see {canary.text} ok", sizes)
        memory = MemorySink()
        file = tmp_path / f"{number}.jsonl"
        sinks: list[Sink] = [
            JsonlSink(file, fsync="never"),
            memory,
            CallbackSink(got.extend),
            ConsoleSink(Console(file=screen, width=200, _environ={})),
        ]
        for sink in sinks:
            async with Redacted(sink) as redacted:
                for at in range(0, len(changes), 1 + number * 3):
                    await redacted.write(changes[at : at + 1 + number * 3])
        assert_no_piece(canary, file.read_text(encoding="utf-8"))
        assert_no_piece(canary, "\n".join(map(arrived, memory.changes)))
        assert len(changes) == len(memory.changes)
    assert_no_piece(canary, "\n".join(map(arrived, got)))
    assert_no_piece(canary, screen.getvalue())
    assert f"[redacted:{canary.name}]" in file.read_text(encoding="utf-8")


@pytest.mark.asyncio
@pytest.mark.parametrize("deliver", ["changes", "latest", "final"])
@pytest.mark.parametrize("kind", ["none", "memory", "sqlite"])
async def test_in_a_pipeline(deliver: Any, kind: str, tmp_path: Path) -> None:
    """Whatever a sink is given; with the sink of the original texts beside it."""
    canary = CANARIES["openai"]
    store = {"none": None, "memory": MemoryStore(), "sqlite": SqliteStore(tmp_path / "runs.db")}[kind]
    shown, plain = MemorySink(), MemorySink()
    policy = DeliveryPolicy(deliver=deliver)

    async def chunks() -> AsyncIterator[bytes]:
        yield chat(cut(canary.text, [5]))

    async with Pipeline([(Redacted(shown), policy), (plain, policy)], store=store) as pipeline:
        await pipeline.run(IterableSource(chunks(), name="s"), dialect="chat")

    assert [(one.seq, one.id, one.revision) for one in plain.changes] == [
        (one.seq, one.id, one.revision) for one in shown.changes
    ]
    assert canary.secret in "".join(map(arrived, plain.changes))
    assert_no_piece(canary, "".join(map(arrived, shown.changes)))


class Fickle:
    """A sink that takes nothing, or not all, when it is told so."""

    name = "fickle"

    def __init__(self, *answers: Callable[[Sequence[Change]], Exception | None]) -> None:
        self.answers = [*answers]
        self.batches: list[list[Change]] = []

    async def write(self, batch: Sequence[Change]) -> None:
        self.batches.append([*batch])
        if self.answers and (error := self.answers.pop(0)(batch)) is not None:
            raise error


def unavailable(batch: Sequence[Change]) -> Exception:
    return SinkUnavailable("not now")


@pytest.mark.asyncio
async def test_batch_that_comes_again_is_the_same() -> None:
    """Also where only a part of it comes first, as while a breaker is open."""
    changes = changes_of("assistants", CANARIES["jwt"].text, [3])
    sink = Fickle(unavailable, unavailable)
    redacted = Redacted(sink)
    for batch in (changes[:20], changes[:1]):
        with pytest.raises(SinkUnavailable):
            await redacted.write(batch)
    for batch in (changes[:1], changes[1:20], changes[20:]):
        await redacted.write(batch)
    straight = Redacted(MemorySink())
    await straight.write(changes)
    expected = [encode_change(change) for change in straight.sink.changes]  # type: ignore[attr-defined]

    assert expected[:20] == [*map(encode_change, sink.batches[0])]
    assert expected[:1] == [*map(encode_change, sink.batches[1])]
    assert expected == [encode_change(change) for batch in sink.batches[2:] for change in batch]
    assert redacted._waiting == {}


@pytest.mark.asyncio
async def test_what_was_given_up_is_forgotten() -> None:
    """The next batch begins with another change."""
    changes = changes_of("assistants", "words", [1])
    sink = Fickle(unavailable)
    redacted = Redacted(sink)
    with pytest.raises(SinkUnavailable):
        await redacted.write(changes[:5])
    await redacted.write(changes[5:])

    assert redacted._waiting == {}


@pytest.mark.asyncio
async def test_rejected_changes_are_the_originals() -> None:
    """Delivery makes dead letters of what it has sent."""
    changes = changes_of("assistants", CANARIES["jwt"].text, [3])
    sink = Fickle(lambda batch: SinkRejected("no", [batch[2], batch[4]]))
    redacted = Redacted(sink)
    with pytest.raises(SinkRejected) as caught:
        await redacted.write(changes[:6])

    assert caught.value.changes == [changes[2], changes[4]]
    assert all(one is other for one, other in zip(caught.value.changes, [changes[2], changes[4]], strict=True))
    assert redacted._waiting == {}


@pytest.mark.asyncio
async def test_rejected_changes_that_were_never_sent_stay_what_they_are() -> None:
    """A sink that names them is at fault, and delivery is to say so."""
    changes = changes_of("assistants", "words", [3])
    stranger = changes[-1]
    with pytest.raises(SinkRejected) as caught:
        await Redacted(Fickle(lambda batch: SinkRejected("no", [stranger]))).write(changes[:2])

    assert caught.value.changes == [stranger]


@pytest.mark.asyncio
async def test_other_exceptions_come_through() -> None:
    changes = changes_of("assistants", "words", [3])
    redacted = Redacted(Fickle(lambda batch: ZeroDivisionError()))
    with pytest.raises(ZeroDivisionError):
        await redacted.write(changes[:2])

    assert redacted._waiting == {}


@pytest.mark.asyncio
async def test_dead_letters_of_a_pipeline() -> None:
    """The accounts hold, and the letters have the changes as they came."""
    changes: list[Change] = []

    async def chunks() -> AsyncIterator[bytes]:
        yield chat([CANARIES["openai"].text])

    sink = Redacted(Fickle(lambda batch: SinkRejected("no", [batch[1]])))
    async with Pipeline([(sink, DeliveryPolicy(retry=Retry(base_s=0)))], on_changes=changes.extend) as pipeline:
        await pipeline.run(IterableSource(chunks(), name="s"), dialect="chat")
    (account,) = pipeline.statistics()
    (letter,) = pipeline.dead_letters

    assert "fickle" == account.name == letter.sink
    assert (1, len(changes) - 1) == (account.dead, account.acked)
    assert letter.change is changes[1]


@pytest.mark.asyncio
async def test_what_cannot_be_redacted_is_rejected() -> None:
    """It does not pass unredacted, and all others do."""
    changes = changes_of("assistants", "words", [3])
    broken = msgspec.structs.replace(changes[1], piece=b"{", data=None, around=None)
    memory = MemorySink()
    with pytest.raises(SinkRejected) as caught:
        await Redacted(memory).write([changes[0], broken, changes[2]])

    assert [broken] == caught.value.changes
    assert [changes[0].seq, changes[2].seq] == [change.seq for change in memory.changes]


@pytest.mark.asyncio
async def test_rejected_by_both() -> None:
    changes = changes_of("assistants", "words", [3])
    broken = msgspec.structs.replace(changes[1], piece=b"{", data=None, around=None)
    with pytest.raises(SinkRejected) as caught:
        await Redacted(Fickle(lambda batch: SinkRejected("no", [batch[0]]))).write([changes[0], broken, changes[2]])

    assert [changes[0], broken] == caught.value.changes
    assert caught.value.reason == "no; 1 of them cannot be redacted"


@pytest.mark.asyncio
@pytest.mark.parametrize("redaction", [None, Redaction(truncate_chars=20, expressions={"w": r"w[a-z]+d"})])
async def test_keeps_the_contract(tmp_path: Path, redaction: Redaction | None) -> None:
    path = tmp_path / "changes.jsonl"

    def keys() -> list[tuple[str, int, int]]:
        lines = path.read_bytes().splitlines() if path.exists() else []
        return [(line["stream"], line["epoch"], line["seq"]) for line in map(msgspec.json.decode, lines)]

    await check_sink(lambda: Redacted(JsonlSink(path, fsync="never"), redaction), far_side=keys)
    await check_sink(lambda: Redacted(MemorySink(), redaction))
