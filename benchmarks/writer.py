"""Writes the events of a made-up stream, and keeps account of what they add up to.

Objects have the members, and fragments the lengths, of recorded streams: half of the fragments are one or two
characters long, few more than nine. The account is kept beside the stream, never by the code that is measured.
"""

import json
import random
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["TOKENS", "Texts", "Workload", "Writer", "chunks"]

Texts = dict[str, list[str]]
"""Id of a step or message -> the text of each of its tool calls or content blocks."""

TOKENS: Final = {  # kind of fragment -> what it may be, with | between
    "code_interpreter": (
        "x|=|(|)| =| +|)\n| import| sym|py| as| sp|\n|\n\n|#| Define| the| variable|e|*x|,| '|')\n|solution|print|[|]|"
        ' for| in|"|\\"|df'
    ),
    "function": (
        '{"|":"|","|"}|location|unit|c|elsius| San| Francisco|,| CA|days|":|3|query| weather| in| Z|ürich|-|1|0| to|'
        "morrow|\\n| and|ig|en|\\u00e9|}"
    ),
    "text": (
        ' the| of|,|.| and| to| equation| is|x| a| we| solve|\n\n|-| course|"|Of| Jane| café| naïve|日本|語| 😀| step|'
        ":| **|**| isolate|lee|ve|1| \\("
    ),
}
_LETTERS: Final = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz0123456789"
_CREATED: Final = 1_711_565_970
_RUN: Final[dict[str, Any]] = {
    **{"started_at": None, "expires_at": _CREATED + 600, "cancelled_at": None, "failed_at": None},
    **{"required_action": None, "last_error": None, "model": "gpt-4o-mini", "tools": [{"type": "code_interpreter"}]},
    "instructions": "Please address the user as Jane Doe. The user has a premium account.",
    **{"tool_resources": {"code_interpreter": {"file_ids": []}}, "metadata": {}, "temperature": 1.0, "top_p": 1.0},
    **{"max_completion_tokens": None, "truncation_strategy": {"type": "auto", "last_messages": None}},
    **{"incomplete_details": None, "response_format": "auto", "tool_choice": "auto", "parallel_tool_calls": True},
}
_STEP: Final = {"cancelled_at": None, "expires_at": _CREATED + 600, "failed_at": None, "last_error": None}
_MESSAGE: Final[dict[str, Any]] = {
    **{"incomplete_details": None, "incomplete_at": None, "completed_at": None},
    **{"role": "assistant", "attachments": [], "metadata": {}},
}
_USAGE: Final = {"prompt_tokens": 260, "completion_tokens": 12, "total_tokens": 272}


@dataclass(frozen=True)
class Workload:
    """One stream, and what it adds up to."""

    name: str
    blocks: list[bytes]
    texts: Texts = field(default_factory=dict[str, list[str]])  # what the deltas alone add up to
    states: dict[str, Any] = field(default_factory=dict[str, Any])  # id -> terminal snapshot, as JSON data

    @property
    def stream(self) -> bytes:
        """All bytes."""
        return b"".join(self.blocks)

    def chunks(self, size: int) -> list[bytes]:
        """The stream in pieces of `size` bytes; 0: one event a piece."""
        return chunks(self.stream, size) if size else self.blocks


def chunks(data: bytes, size: int) -> list[bytes]:
    """`data` in pieces of `size` bytes."""
    return [data[at : at + size] for at in range(0, len(data), size)]


class Writer:
    """Writes one stream, run by run, step by step."""

    def __init__(self, name: str, seed: int) -> None:
        self.random = random.Random(seed)
        self._out = Workload(name, [])
        self._assistant, self._thread = self._id("asst"), self._id("thread")
        self.start_run()

    def start_run(self) -> None:
        """Begin a run; the constructor did so for the first one."""
        self._run_id = self._id("run")
        for what in ("created", "queued", "in_progress"):
            self._run(what, "queued" if what == "created" else what)

    def next_run(self) -> None:
        """End the run and begin another one on the same thread."""
        self._run("completed", "completed")
        self.start_run()

    def finish(self) -> Workload:
        """End the run and the stream."""
        self._run("completed", "completed")
        self._out.blocks.append(b"event: done\ndata: [DONE]\n\n")
        return self._out

    def tool_step(self, deltas: int, calls: int, kind: str) -> None:
        """A step whose calls get `deltas` fragments in turns; a code interpreter's also an output at the end."""
        id, member = self._id("step"), "input" if kind == "code_interpreter" else "arguments"
        self._step(id, "created", "in_progress", _calls())
        self._step(id, "in_progress", "in_progress", _calls())
        made = [self._call(kind) for _ in range(calls)]
        for index, call in enumerate(made):
            self._step_delta(id, {"index": index, **call})
        texts = [""] * calls
        for number, piece in enumerate(self.random.choices(TOKENS[kind].split("|"), k=deltas)):
            index = number % calls
            texts[index] += piece
            self._step_delta(id, {"index": index, "type": kind, kind: {member: piece}})
        for index, call in enumerate(made):
            call[kind][member] = texts[index]
            if kind == "code_interpreter":
                call[kind]["outputs"] = [{"type": "logs", "logs": "[1]"}]
                logs = {"outputs": [{"index": 0, "type": "logs", "logs": "[1]"}]}
                self._step_delta(id, {"index": index, "type": kind, kind: logs})
        self._out.texts[id] = texts
        self._step(id, "completed", "completed", _calls(*made))

    def message_step(self, deltas: int) -> None:
        """A step that writes one message with one block of text."""
        id, message = self._id("step"), self._id("msg")
        details = {"type": "message_creation", "message_creation": {"message_id": message}}
        self._step(id, "created", "in_progress", details)
        self._step(id, "in_progress", "in_progress", details)
        self._message(message, "created", "in_progress", [])
        self._message(message, "in_progress", "in_progress", [])
        pieces = self.random.choices(TOKENS["text"].split("|"), k=deltas)
        for number, piece in enumerate(pieces):
            value = {"value": piece} if number else {"value": piece, "annotations": []}
            delta = {"content": [{"index": 0, "type": "text", "text": value}]}
            self._event("thread.message.delta", {"id": message, "object": "thread.message.delta", "delta": delta})
        text = "".join(pieces)
        self._out.texts[message] = [text]
        self._message(message, "completed", "completed", [{"type": "text", "text": {"value": text, "annotations": []}}])
        self._step(id, "completed", "completed", details)

    def _id(self, prefix: str) -> str:
        return f"{prefix}_{''.join(self.random.choices(_LETTERS, k=24))}"

    def _call(self, kind: str) -> dict[str, Any]:
        """A call as its first fragment shows it."""
        empty = {"name": "get_current_weather", "arguments": "", "output": None}
        payload = empty if kind == "function" else {"input": "", "outputs": []}
        return {"id": self._id("call"), "type": kind, kind: payload}

    def _event(self, name: str, data: dict[str, Any]) -> None:
        payload = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
        self._out.blocks.append(f"event: {name}\ndata: {payload}\n\n".encode())

    def _step_delta(self, id: str, call: dict[str, Any]) -> None:
        self._event("thread.run.step.delta", {"id": id, "object": "thread.run.step.delta", "delta": _delta(call)})

    def _snapshot(self, kind: str, what: str, id: str, status: str, members: dict[str, Any]) -> None:
        ids = {"assistant_id": self._assistant, "thread_id": self._thread}
        data = {"id": id, "object": kind, "created_at": _CREATED, **ids, "status": status, **members}
        if status == "completed":
            self._out.states[id] = json.loads(json.dumps(data))  # a copy of its own
        self._event(f"{kind}.{what}", data)

    def _run(self, what: str, status: str) -> None:
        self._snapshot("thread.run", what, self._run_id, status, {**_RUN, **_ending(status)})

    def _step(self, id: str, what: str, status: str, details: dict[str, Any]) -> None:
        members = {"run_id": self._run_id, "type": details["type"], **_STEP, "step_details": details}
        self._snapshot("thread.run.step", what, id, status, {**members, **_ending(status)})

    def _message(self, id: str, what: str, status: str, content: list[dict[str, Any]]) -> None:
        self._snapshot("thread.message", what, id, status, {"run_id": self._run_id, **_MESSAGE, "content": content})


def _calls(*calls: dict[str, Any]) -> dict[str, Any]:
    return {"type": "tool_calls", "tool_calls": [*calls]}


def _delta(call: dict[str, Any]) -> dict[str, Any]:
    return {"step_details": _calls(call)}


def _ending(status: str) -> dict[str, Any]:
    is_over = status == "completed"
    return {"completed_at": _CREATED + 7 if is_over else None, "usage": _USAGE if is_over else None}
