"""Deltas whose place is not plain: they are told by the state, and nothing is lost or shown too early."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from streamproc.core.change import Change, encode_change
from streamproc.core.context import StreamContext
from streamproc.core.events import Event, encode_sse
from streamproc.core.limits import Limits
from streamproc.core.processor import StreamProcessor
from streamproc.core.reducer import Reducer
from streamproc.redaction.changes import Redactor
from streamproc.redaction.objects import DEPTH_MASK
from streamproc.redaction.rules import Redaction
from tests.unit.redaction.examples import CANARIES, pieces
from tests.unit.redaction.streams import Reader, arrived, journalled

Json = dict[str, Any]

RULES = Redaction().rules
SECRET = CANARIES["openai"].secret
STEP: Json = {"id": "step_1", "object": "thread.run.step", "run_id": "run_1", "thread_id": "t", "type": "tool_calls"}
OPEN: Json = {**STEP, "status": "in_progress", "step_details": {"type": "tool_calls", "tool_calls": []}}


def event(name: str, payload: Json) -> Event:
    return Event(name, payload, msgspec.json.encode(payload))


def call(*entries: Json, **members: Any) -> Event:
    details = {"type": "tool_calls", "tool_calls": [*entries]}
    return event("thread.run.step.delta", {"id": "step_1", "delta": {"step_details": details}, **members})


def arguments(text: str, index: int | None = 0, **members: Any) -> Json:
    entry = {"index": index, "type": "function", **members, "function": {"arguments": text}}
    return {name: value for name, value in entry.items() if value is not None}


def created(**members: Any) -> Event:
    return event("thread.run.step.created", {**OPEN, **members})


def made(*events: Event, limits: Limits | None = None) -> list[Change]:
    reducer, context = Reducer(limits), StreamContext.named("s")
    return [change for one in events for change in reducer.apply(one, context)]


def shown(changes: Sequence[Change], redactor: Redactor | None = None) -> list[Change]:
    """The changes redacted; a reader of them knows what each state shows, and no piece of the secret."""
    redactor = redactor or Redactor(RULES)
    out = [redactor.change(change) for change in changes]
    for change in out:
        seen = arrived(change)
        assert [piece for piece in pieces(SECRET) if piece in seen] == []
    return out


def forms(changes: Sequence[Change]) -> list[str]:
    """How each change of an object is told."""
    return ["delta" if change.is_delta else "state" for change in changes if change.kind != "anomaly"]


def last_arguments(changes: Sequence[Change]) -> list[str]:
    calls = msgspec.json.decode(changes[-1].body.wire(changes[-1].revision))["step_details"]["tool_calls"]
    return [one["function"]["arguments"] for one in calls]


def function_in(change: Change) -> Json:
    """What a delta says of a call's function."""
    function: Json = msgspec.json.decode(encode_change(change))["delta"]["step_details"]["tool_calls"][0]["function"]
    return function


def test_no_index() -> None:
    """The only call, or the one with the id: the reducer knows, the delta does not say."""
    told = shown(made(created(), call(arguments(SECRET[:9], None)), call(arguments(SECRET[9:] + " x.", None))))

    assert forms(told) == ["state", "state", "state"]
    assert last_arguments(told) == ["[redacted:openai_key] x."]


def test_index_that_two_calls_claim() -> None:
    """From then on only the state tells which of them a delta is for."""
    told = shown(
        made(
            created(),
            call(arguments("a ", id="call_1")),
            call(arguments(SECRET[:9], id="call_2")),
            call(arguments(SECRET[9:] + " b.")),
        )
    )

    assert forms(told) == ["state", "delta", "state", "state"]
    assert last_arguments(told) == ["a ", "[redacted:openai_key] b."]


def test_id_that_comes_with_another_index() -> None:
    told = shown(
        made(
            created(),
            call(arguments(SECRET[:9], id="call_1")),
            call(arguments(SECRET[9:] + " b.", 3, id="call_1")),
        )
    )

    assert forms(told) == ["state", "delta", "state"]
    assert last_arguments(told) == ["[redacted:openai_key] b."]


def test_whole_call_that_comes_again() -> None:
    """The reducer takes no notice of it; that it is no fragment can be told from its length at most."""
    whole = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "a b "}}
    told = shown(made(created(), call(whole), call(whole, arguments("c ", 1)), call(arguments("d "))))

    assert forms(told) == ["state", "delta", "state", "delta"]
    assert last_arguments(told) == ["a b d ", "c "]


def test_id_that_comes_with_each_fragment() -> None:
    told = shown(made(created(), *(call(arguments(part, id="call_1")) for part in ("a b ", "c ", "d e f g "))))

    assert forms(told) == ["state", "delta", "delta", "delta"]


def test_name_that_comes_again() -> None:
    """A name in pieces grows; a name that is said again says nothing."""
    named = [{"index": 0, "type": "function", "function": {"name": name, "arguments": ""}} for name in ("get_", "it ")]
    again = {"index": 0, "type": "function", "function": {"name": "get_it ", "arguments": "x "}}
    told = shown(made(created(), call(named[0]), call(named[1]), call(again)))
    calls = [function_in(change)["name"] for change in told[1:]]

    assert forms(told) == ["state", "delta", "delta", "delta"]
    assert calls == ["get_", "it ", ""]


def test_name_that_is_too_long_to_be_remembered() -> None:
    long = {"index": 0, "type": "function", "function": {"name": "n " * 200}}
    told = shown(made(created(), call(long), call({**long, "function": {"name": "more "}})))

    assert forms(told) == ["state", "delta", "state"]


def test_delta_that_is_refused_in_part() -> None:
    """An anomaly goes before it."""
    entries = arguments(SECRET[:9]), arguments("x", 5_000)
    told = shown(made(created(), call(*entries), call(arguments(SECRET[9:] + " x."))))

    assert forms(told) == ["state", "state", "delta"]
    assert last_arguments(told) == ["[redacted:openai_key] x."]


def test_sparse_indexes() -> None:
    """Entries are known by their indexes, also by a redactor that learns them from a state."""
    changes = made(
        created(),
        call(arguments("a ", 4)),
        call(arguments(SECRET[:9], 9)),
        call(arguments("b ", 4)),
        call(arguments(SECRET[9:] + " c.", 9)),
    )
    told = shown(changes[:3])
    later = shown(changes[3:])

    assert forms(told) == ["state", "delta", "delta"]
    assert forms(later) == ["state", "delta"]
    assert last_arguments(later) == ["a b ", "[redacted:openai_key] c."]
    assert b"[redacted:openai_key] c." in encode_change(later[1])


def test_sparse_indexes_from_a_journal() -> None:
    """It does not know them, so the first live delta is told by the state."""
    changes = made(created(), call(arguments("a ", 4)), call(arguments("b ", 9)), call(arguments("c ", 9)))
    told = shown([*journalled(changes[:3], changes[:3]), changes[3]])

    assert forms(told) == ["state", "state", "delta", "state"]
    assert last_arguments(told) == ["a ", "b c "]


def test_journal_that_is_behind_its_states() -> None:
    """A state shows more than its delta; what the deltas after it say is not said twice."""
    changes = made(created(), *(call(arguments(part)) for part in ("a ", "b ", SECRET[:9], SECRET[9:], " c ", "d ")))
    back = journalled(changes[:3], changes[:5])
    reader = Reader()
    told = shown([*back, *changes[3:]])
    for change in told:
        reader.read(change)

    assert forms(told) == ["state", "state", "delta", "delta", "delta", "delta", "delta"]
    assert b'"arguments":""' in encode_change(told[2])
    assert ["a b [redacted:openai_key] c d "] == [*reader.texts["step_1"].values()] == last_arguments(told)


def test_journal_that_is_behind_a_new_text() -> None:
    """The state shows a call that the deltas come to later."""
    changes = made(created(), call(arguments("a ")), call(arguments("b ", 1)), call(arguments("c ", 1)))
    told = shown([*journalled(changes[:2], changes[:3]), *changes[2:]])

    assert b'"arguments":""' in encode_change(told[2])
    assert b'"arguments":"c "' in encode_change(told[3])


def test_key_whose_text_grows() -> None:
    """The mask is shown once."""
    redactor = Redactor(Redaction(keys=("arguments",)).rules)
    changes = made(created(), *(call(arguments(part)) for part in ("", "a ", "b ")), call(arguments("c ")))
    told = [redactor.change(change) for change in changes]
    texts = [function_in(change)["arguments"] for change in told[1:]]

    assert texts == ["", "[redacted:key]", "", ""]
    assert last_arguments(told) == ["[redacted:key]"]


def test_key_whose_text_a_journal_has_shown() -> None:
    redactor = Redactor(Redaction(keys=("arguments",)).rules)
    changes = made(created(), call(arguments("a ")), call(arguments("b ")), call(arguments("c ")))
    told = [redactor.change(change) for change in [*journalled(changes[:3], changes[:3]), changes[3]]]

    assert b'"arguments":""' in encode_change(told[3])


def test_provisional_object() -> None:
    """Made for a delta: that is no change in the middle of anything."""
    told = shown(made(call(arguments(SECRET[:9])), call(arguments(SECRET[9:] + " x."))))

    assert forms(told) == ["delta", "delta"]


def test_unknown_and_misplaced_members() -> None:
    """Wherever a secret stands in a delta: in a name, a map, a list, a misfit, too deep."""
    deep: Any = SECRET
    for _ in range(80):
        deep = [{"x": deep}]
    entry = {
        **arguments("x ", id=SECRET),
        "teleport": {"to": SECRET, SECRET: 1, "input": SECRET + " ", "deep": deep, "password": "hunter22x"},
        "openapi": {"text": SECRET, "many": [SECRET, {"arguments": SECRET}], "in": {"arguments": SECRET}},
    }
    delta = call(entry, SECRET, **{"x": SECRET, SECRET: "y"})  # type: ignore[arg-type]
    told = shown(made(created(metadata={SECRET: 1, f"{SECRET}x": 2}), delta, call(arguments("y "))))

    assert told[0].state.metadata == {"[redacted:openai_key]": 1, "[redacted:openai_key]-2": 2}
    assert DEPTH_MASK.encode() in told[-1].body.wire(told[-1].revision)
    assert b"hunter22x" not in told[-1].body.wire(told[-1].revision)


def test_delta_without_one() -> None:
    """A payload that says nothing of its object."""
    redactor = Redactor(RULES)
    changes = made(created(), call(arguments("x ")))
    odd = msgspec.structs.replace(changes[1], data=None, piece=b'{"id":"step_1","delta":3}', around=None)
    told = [redactor.change(changes[0]), redactor.change(odd)]

    assert told[1].raw == b'{"id":"step_1"}'


def test_delta_after_the_end() -> None:
    """It fills what was empty; then the state is shown, as a whole."""
    ended = {
        **STEP,
        "status": "completed",
        "step_details": {"type": "tool_calls", "tool_calls": [arguments(SECRET[:20])]},
    }
    output = {"index": 0, "function": {"output": SECRET}}
    told = shown(made(created(), event("thread.run.step.completed", ended), call(output)))

    assert forms(told) == ["state", "state", "state"]
    assert told[-1].state.step_details.tool_calls[0].function.output == "[redacted:openai_key]"


def test_changes_made_by_hand() -> None:
    """Payloads without bytes; one of them cannot be written as JSON, and it is left to the sink to say so."""
    details = {"type": "tool_calls", "tool_calls": [arguments("half \ud800 a pair ")]}
    by_hand = [
        Event("thread.run.step.created", OPEN),
        Event("thread.run.step.delta", {"id": "step_1", "delta": {"step_details": details}}),
    ]
    redactor = Redactor(RULES)
    told = [redactor.change(change) for change in made(*by_hand)]

    assert told[0].state.id == "step_1"
    assert told[1].data["delta"]["step_details"]["tool_calls"][0]["function"]["arguments"] == "half \ud800 a pair "


def test_object_that_the_table_has_forgotten() -> None:
    other = {**OPEN, "id": "step_2"}
    changes = made(
        created(),
        call(arguments("a ")),
        event("thread.run.step.created", other),
        call(arguments("b ")),
        call(arguments("c ")),
    )
    told = shown(changes, Redactor(RULES, objects_max=1))

    assert forms(told) == ["state", "delta", "state", "state", "delta"]


def test_object_that_ends_by_inference_stays_held_back() -> None:
    """Deltas may still come."""
    changes = made(
        event("thread.run.created", {"id": "run_1", "object": "thread.run", "status": "in_progress"}),
        created(),
        call(arguments(f"x {SECRET[:15]}")),
        event("thread.run.failed", {"id": "run_1", "object": "thread.run", "status": "failed"}),
        call(arguments(SECRET[15:] + " y.")),
    )
    told = shown(changes)
    states = {
        change.inferred_status: last_arguments([change]) for change in told if change.kind == "step" and change.seq > 3
    }

    assert states["failed"] == ["x "]
    assert last_arguments(told) == ["x [redacted:openai_key] y."]
    assert told[-1].is_delta


@pytest.mark.parametrize("payload", [b"[1]", b'{"error": {"message": "X"}}', b"not JSON", b""])
def test_error(payload: bytes) -> None:
    """What it says, in any of the shapes in which servers say it."""
    from streamproc.model.thread import ErrorObject

    raw = payload.replace(b"X", SECRET.encode())
    (change,) = made(Event("error", ErrorObject(code=SECRET, message=f"a {SECRET}", type=None), raw))
    (told,) = shown([change])

    assert told.state == ErrorObject(code="[redacted:openai_key]", message="a [redacted:openai_key]", type=None)


def test_anomaly_keeps_no_payload() -> None:
    """What was refused may be a piece of a secret."""
    (change,) = made(Event("thread.run.x", {"id": "run_1", "x": SECRET[:12]}, b'{"x":"' + SECRET[:12].encode() + b'"}'))
    told = Redactor(RULES).change(change)
    latest = Redactor(RULES).change(msgspec.structs.replace(change, data=None))

    assert (told.raw, told.data.kind) == (b"", "unknown_event")
    assert (latest.raw, latest.delta) == (b"", None)


def test_members_of_a_delta() -> None:
    """What is told whole in it is judged as it stands; ids and roles stay."""
    opened = event("thread.message.created", {"id": "msg_1", "object": "thread.message", "status": "in_progress"})
    delta = {"role": "assistant", "metadata": {"a": SECRET}, "attachments": [{"x": SECRET}], "password": 5}
    changes = made(opened, event("thread.message.delta", {"id": "msg_1", "extra": SECRET, "delta": delta}))
    told = shown(changes)
    mask = "[redacted:openai_key]"

    expected = {
        "role": "assistant",
        "metadata": {"a": mask},
        "attachments": [{"x": mask}],
        "password": "[redacted:key]",
    }
    assert {"id": "msg_1", "extra": mask, "delta": expected} == msgspec.json.decode(told[1].raw)


def test_state_with_misfits() -> None:
    """Entries that are no objects have a place, too."""
    details = {"type": "tool_calls", "tool_calls": [SECRET, arguments("a ")]}
    told = shown(made(created(step_details=details), call(arguments(SECRET[:9], 1)), call(arguments(SECRET[9:], 1))))

    assert forms(told) == ["state", "delta", "delta"]


def test_state_in_which_two_calls_have_one_id() -> None:
    details = {"type": "tool_calls", "tool_calls": [arguments("a ", id="call_1"), arguments("b ", id="call_1")]}
    told = shown(made(created(step_details=details), call(arguments(SECRET[:9], 1)), call(arguments(SECRET[9:], 1))))

    assert forms(told) == ["state", "state", "state"]


def test_more_places_than_are_remembered() -> None:
    """And an id that looks like what marks the place of a text."""
    events = [call(arguments("a ", index)) for index in range(300)]
    redactor, odd = Redactor(RULES), Redactor(RULES)
    told = [redactor.change(change) for change in made(created(), *events, *events)]
    named = [
        event("thread.run.step.created", {**OPEN, "id": "\0"}),
        *(
            event(
                "thread.run.step.delta",
                {
                    "id": "\0",
                    "object": "thread.run.step.delta",
                    "delta": {"step_details": {"type": "tool_calls", "tool_calls": [arguments(part)]}},
                },
            )
            for part in ("a ", "b ", "c ")
        ),
    ]

    assert last_arguments(told) == ["a a "] * 300
    assert last_arguments([odd.change(change) for change in fed(*named)]) == ["a b c "]


def fed(*events: Event) -> list[Change]:
    """The changes of a stream, as the fast path makes them."""
    proc = StreamProcessor()
    return [change for one in events for change in proc.feed(encode_sse(one))]


def test_fragments_in_many_places() -> None:
    """As they come from a stream."""
    events = [
        event(
            "thread.run.step.delta",
            {
                "id": "step_1",
                "object": "thread.run.step.delta",
                "delta": {"step_details": {"type": "tool_calls", "tool_calls": [arguments("a ", index)]}},
            },
        )
        for index in range(300)
    ]
    redactor = Redactor(RULES)
    told = [redactor.change(change) for change in fed(created(), *events, *events, *events)]

    assert sum(change.around is not None for change in told) >= 300
    assert last_arguments(told) == ["a a a "] * 300
