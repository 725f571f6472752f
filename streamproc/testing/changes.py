"""Changes for checking plug-ins: an ordinary run, and the odd things that streams hold.

All come out of a `StreamProcessor`, as real ones do. A name of their own for each stream keeps the checks apart that
share a far side.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from streamproc.core.change import Change
from streamproc.core.events import Event, encode_sse
from streamproc.core.processor import StreamProcessor

__all__ = ["odd_changes", "ordinary_changes"]

_HUGE: Final = 1024 * 1024  # characters
_TEXTS: Final = {
    "NUL": "a\0b",
    "controls": "\x01\x1b[31m\x1b]0;title\x07\x7f\x9b2J\r\n\t",
    "line ends of other standards": "a\u2028b\u2029c\u0085d\x0be\x0cf",
    "beyond the basic plane": "\U0001f9ea\U0001f469\u200d\U0001f680\U0010ffff",
    "right to left": "\u202eabc\u2066\u200f\u0645\u0631\u062d\u0628\u0627",
    "combining, and no characters": "e\u0301\u0323\ufeff\ufffe\uffff",
    "markup": "[bold]x[/bold] <b>&amp;</b> :smile: ${x} %s {0} '; DROP TABLE steps; --",
    "blank": "",
    "a space": " ",
}


def ordinary_changes(stream: str, deltas: int = 20) -> list[Change]:
    """A run with a step that calls a tool and a message, growing by so many deltas each, to their ends."""
    step = {"id": "step_1", "object": "thread.run.step", **_of_run(), "type": "tool_calls"}
    message = {"id": "msg_1", "object": "thread.message", **_of_run(), "role": "assistant"}
    call = {"id": "call_1", "type": "function"}
    fragments = [f"word {number} " for number in range(deltas)]
    text = "".join(fragments)
    events = [
        _run("created", "queued"),
        _event("thread.run.step.created", {**step, "status": "in_progress", "step_details": _calls()}),
        _step_delta({"index": 0, **call, "function": {"name": "search", "arguments": ""}}),
        *(_step_delta({"index": 0, "type": "function", "function": {"arguments": words}}) for words in fragments),
        _event(
            "thread.run.step.completed",
            {
                **step,
                "status": "completed",
                "step_details": _calls({**call, "function": {"name": "search", "arguments": text, "output": None}}),
                "usage": {"prompt_tokens": 1, "completion_tokens": deltas, "total_tokens": deltas + 1},
            },
        ),
        _event("thread.message.created", {**message, "status": "in_progress", "content": []}),
        *(_message_delta(words) for words in fragments),
        _event("thread.message.completed", {**message, "status": "completed", "content": [_text(text)]}),
        _run("completed", "completed"),
        Event("done", None, b"[DONE]"),
    ]
    return _changes(stream, events)


def odd_changes(stream: str) -> list[Change]:
    """Whatever else may come: anomalies, errors, unknown tools and statuses, huge and strange texts, a cut-off end."""
    step = {"object": "thread.run.step", **_of_run(), "status": "in_progress"}
    teleport = {"id": "call_9", "type": "teleport", "teleport": {"to": [None, 1.5, {"deep": [[]]}]}, "x": 10**18}
    events = [
        _run("created", "queued"),
        _event("thread.run.teleported", {"id": "run_1"}),  # unknown_event
        Event("thread.run.step.delta", None, b"{"),  # bad_json, about no object
        _event("thread.run.step.created", {**step, "id": "step_1", "step_details": _calls(teleport)}),
        _event("thread.run.step.created", {**step, "id": "step_2", "step_details": {"type": "dream", "dream": 1}}),
        _event("thread.run.step.created", {**step, "id": "step_3", "status": "sleepwalking", "metadata": None}),
        _event("thread.run.step.created", {"id": "s/../é \u2028*>.\0"}),  # nothing but an id
        _step_delta({"index": 10**18, "type": "function", "function": {"arguments": "x"}}),  # index_gap
        _message_delta("before its message"),  # provisional
        *(_message_delta(text) for text in _TEXTS.values()),
        _message_delta("x" * _HUGE),
        _event("error", {"code": None, "message": "the server is tired \u2028\0"}),
        _run("failed", "failed", last_error={"code": "server_error", "message": "sorry"}),  # with its steps open
    ]
    cut_off = [_run("created", "queued", id="run_2"), _event("thread.run.step.created", {**step, "id": "step_9"})]
    return _changes(stream, [*events, *cut_off])


def _changes(stream: str, events: Sequence[Event]) -> list[Change]:
    proc = StreamProcessor(stream=stream)
    return [*proc.feed(b"".join(map(encode_sse, events))), *proc.close()]


def _event(name: str, payload: dict[str, Any]) -> Event:
    return Event(name, None, msgspec.json.encode(payload))


def _run(what: str, status: str, id: str = "run_1", **members: Any) -> Event:
    payload = {"id": id, "object": "thread.run", "thread_id": "thread_1", "status": status, **members}
    return _event(f"thread.run.{what}", payload)


def _step_delta(*calls: dict[str, Any]) -> Event:
    payload = {"id": "step_1", "object": "thread.run.step.delta", "delta": {"step_details": _calls(*calls)}}
    return _event("thread.run.step.delta", payload)


def _message_delta(text: str) -> Event:
    delta = {"content": [{"index": 0, **_text(text)}]}
    return _event("thread.message.delta", {"id": "msg_1", "object": "thread.message.delta", "delta": delta})


def _calls(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"type": "tool_calls", "tool_calls": calls}


def _text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": {"value": value, "annotations": []}}


def _of_run() -> dict[str, str]:
    return {"run_id": "run_1", "thread_id": "thread_1"}
