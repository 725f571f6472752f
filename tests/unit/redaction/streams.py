"""Streams with secrets in them, what a reader makes of redacted changes, and changes as a journal gives them back."""

import random
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from streamproc.core.change import Change, encode_change
from streamproc.core.events import Event, encode_sse
from streamproc.core.processor import StreamProcessor
from streamproc.stores._codec import check_sum, decode, encode

__all__ = ["Reader", "arrived", "canonical", "cut", "journalled", "texts_of"]

_RUN: Final = {"run_id": "run_1", "thread_id": "thread_1"}


def cut(text: str, sizes: Sequence[int]) -> list[str]:
    """A text in parts of these sizes, over and over."""
    parts, at, number = [], 0, 0
    while at < len(text):
        size = sizes[number % len(sizes)]
        parts.append(text[at : at + size])
        at, number = at + size, number + 1
    return parts


def canonical(
    arguments: Sequence[str],
    code: Sequence[str] = (),
    logs: Sequence[str] = (),
    message: Sequence[str] = (),
    refusal: Sequence[str] = (),
    *,
    secret: str = "",
    order: random.Random | None = None,
) -> list[Change]:
    """The changes of a run whose texts come in these parts; `secret` stands in each place that is told whole."""
    step = {"id": "step_1", "object": "thread.run.step", **_RUN, "type": "tool_calls", "metadata": {"note": secret}}
    said = {"id": "msg_1", "object": "thread.message", **_RUN, "role": "assistant", "metadata": {secret: "x"}}
    deltas = [
        [_call({"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}})]
        + [_call({"index": 0, "type": "function", "function": {"arguments": part}}) for part in arguments],
        [
            _call({"index": 1, "id": "call_2", "type": "code_interpreter", "code_interpreter": {"input": ""}}),
            *(_call({"index": 1, "type": "code_interpreter", "code_interpreter": {"input": part}}) for part in code),
            *(
                _call({"index": 1, "code_interpreter": {"outputs": [{"index": 0, "type": "logs", "logs": part}]}})
                for part in logs
            ),
        ],
        [_said({"index": 0, "type": "text", "text": {"value": part, "annotations": []}}) for part in message],
        [_said({"index": 1, "type": "refusal", "refusal": part}) for part in refusal],
        [_call({"index": 2, "id": "call_3", "type": "teleport", "teleport": {"to": secret, "deep": [{"x": secret}]}})],
    ]
    calls = [
        {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "".join(arguments)}},
        {
            "id": "call_2",
            "type": "code_interpreter",
            "code_interpreter": {"input": "".join(code), "outputs": [{"type": "logs", "logs": "".join(logs)}]},
        },
        {"id": "call_3", "type": "teleport", "teleport": {"to": secret, "deep": [{"x": secret}]}},
    ]
    blocks = [
        {"type": "text", "text": {"value": "".join(message), "annotations": [{"type": "x", "text": secret}]}},
        {"type": "refusal", "refusal": "".join(refusal)},
    ]
    ended = {**step, "status": "completed", "step_details": {"type": "tool_calls", "tool_calls": calls}}
    events = [
        _event(
            "thread.run.created", {"id": "run_1", "object": "thread.run", "status": "queued", "instructions": secret}
        ),
        _event("thread.run.step.created", {**step, "status": "in_progress", "step_details": _details()}),
        _event("thread.message.created", {**said, "status": "in_progress", "content": []}),
        *_mixed([one for one in deltas if one], order),
        _event(f"thread.{secret}".replace("\n", " "), {"id": "run_1", "x": secret}),  # an event that is not known
        _event("thread.run.step.completed", ended),
        _event("thread.message.completed", {**said, "status": "completed", "content": blocks}),
        _event("error", {"code": None, "message": f"it broke: {secret}", "type": secret}),
        _event(
            "thread.run.failed",
            {
                **{"id": "run_1", "object": "thread.run", "status": "failed"},
                "last_error": {"code": "server_error", "message": secret},
                "metadata": {"password": "hunter22x", "deep": secret},
            },
        ),
    ]
    proc = StreamProcessor(stream="s")
    return [change for event in events for change in proc.feed(encode_sse(event))] + proc.close()


def _mixed(lists: list[list[Event]], order: random.Random | None) -> Iterable[Event]:
    lists = [[*one] for one in lists]
    while lists:
        one = order.choice(lists) if order is not None else lists[0]
        yield one.pop(0)
        if not one:
            lists.remove(one)


def _event(name: str, payload: dict[str, Any]) -> Event:
    return Event(name, None, msgspec.json.encode(payload))


def _details(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"type": "tool_calls", "tool_calls": calls}


def _call(call: dict[str, Any]) -> Event:
    delta = {"id": "step_1", "object": "thread.run.step.delta", "delta": {"step_details": _details(call)}}
    return _event("thread.run.step.delta", delta)


def _said(block: dict[str, Any]) -> Event:
    return _event(
        "thread.message.delta", {"id": "msg_1", "object": "thread.message.delta", "delta": {"content": [block]}}
    )


def journalled(changes: Sequence[Change], states: Sequence[Change]) -> list[Change]:
    """The changes as a journal gives them back; deltas show the newest of `states` of their object."""
    blob, _ = encode(changes)
    newest = {
        (change.kind, change.id): change.body.wire(change.revision) for change in states if change.state is not None
    }
    back = decode(1, len(changes), check_sum(1, len(changes), blob), blob)
    for change in back:
        if not change.body.raw:
            change.body.raw = newest.get((change.kind, change.id), b"")
    return back


def texts_of(state: Any, place: tuple[str, ...] = ()) -> dict[tuple[str, ...], str]:
    """The texts in JSON data that grow, by the names on the way to them; there is one of each."""
    if isinstance(state, str):
        grows = place[-1] in ("arguments", "input", "logs", "value", "refusal")
        return {place: state} if grows else {}
    if isinstance(state, list):
        return {at: text for item in state for at, text in texts_of(item, place).items()}
    items = state.items() if isinstance(state, dict) else ()
    return {at: text for name, value in items for at, text in texts_of(value, (*place, name)).items()}


class Reader:
    """What somebody knows of objects who reads the changes: states, and deltas put behind them."""

    def __init__(self) -> None:
        self.texts: dict[str, dict[tuple[str, ...], str]] = {}

    def read(self, change: Change) -> None:
        form = msgspec.json.decode(encode_change(change))
        if change.kind not in ("step", "message"):
            return
        if "state" in form:
            self.texts[change.id] = {at: text for at, text in texts_of(form["state"]).items() if text}
            return
        known = self.texts[change.id]
        for place, text in texts_of(form["delta"]).items():
            if text:
                known[place] = known.get(place, "") + text


def arrived(change: Change) -> str:
    """All that a sink can see of a change."""
    parts: list[bytes | str] = [encode_change(change), change.raw, repr(change.delta), repr(change.state), repr(change)]
    if change.kind in ("run", "step", "message"):
        parts.append(change.body.wire(change.revision))
    return "\n".join(part if isinstance(part, str) else part.decode() for part in parts)
