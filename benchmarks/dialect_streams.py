"""Seeded streams of the Responses API and of Chat Completions, as OpenAI's servers write them today.

Payloads have the members of recorded ones: numbers and padding on each delta, whole responses at both ends, the whole
configuration on each chunk. Both streams are one model turn: one message, then calls of a function, with as many deltas
in all as the tool-heavy workload. A call's arguments are valid JSON.

What a stream adds up to is kept beside it, by position instead of by id, since what becomes of ids is up to a dialect:
`CALLS` -> the arguments of each call, `MESSAGES` -> the text of each message.
"""

import json
import random
from collections.abc import Callable
from typing import Any, Final

from benchmarks.writer import TOKENS, Workload

__all__ = ["BY_DIALECT", "CALLS", "MESSAGES", "chat_stream", "responses_stream"]

CALLS: Final = "calls"
MESSAGES: Final = "messages"

_CREATED: Final = 1_787_150_252
_MODEL: Final = "gpt-5-nano-2025-08-07"
_LETTERS: Final = "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz0123456789"
_PAD: Final = 16  # a piece and its padding fill a multiple of this
_PARAMETERS: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"query": {"type": "string", "description": "What to look for (e.g., Berlin)"}},
    **{"required": ["query"], "additionalProperties": False},
}
_TOOL: Final[dict[str, Any]] = {
    **{"type": "function", "description": "Searches the archive", "name": "search_archive"},
    **{"output_schema": None, "parameters": _PARAMETERS, "strict": True},
}
_RESPONSE: Final[dict[str, Any]] = {
    **{"background": False, "completed_at": None, "error": None, "frequency_penalty": 0.0, "incomplete_details": None},
    **{"instructions": None, "max_output_tokens": None, "max_tool_calls": None, "model": _MODEL, "moderation": None},
    **{"output": [], "parallel_tool_calls": True, "presence_penalty": 0.0, "previous_response_id": None},
    **{"prompt_cache_key": None, "prompt_cache_retention": "in_memory", "safety_identifier": None},
    "reasoning": {"context": "current_turn", "effort": "medium", "mode": "standard", "summary": None},
    **{"service_tier": "auto", "store": False, "temperature": 1.0, "tool_choice": "auto", "tools": [_TOOL]},
    "text": {"format": {"type": "text"}, "verbosity": "medium"},
    **{"top_logprobs": 0, "top_p": 1.0, "truncation": "disabled", "usage": None, "user": None, "metadata": {}},
}
_RESPONSE_USAGE: Final = {
    **{"input_tokens": 1260, "input_tokens_details": {"cache_write_tokens": 0, "cached_tokens": 1024}},
    **{"output_tokens": 10_112, "output_tokens_details": {"reasoning_tokens": 64}, "total_tokens": 11_372},
}
_CHAT_USAGE: Final = {
    **{"prompt_tokens": 1260, "completion_tokens": 10_112, "total_tokens": 11_372},
    "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 0},
    "completion_tokens_details": {
        **{"reasoning_tokens": 64, "audio_tokens": 0},
        **{"accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0},
    },
}


def responses_stream(calls: int = 49, deltas: int = 200, seed: int = 42) -> Workload:
    """A response of one message and many calls, `deltas` each."""
    writer = _Responses(seed)
    writer.message(deltas)
    for _ in range(calls):
        writer.call(deltas)
    return writer.finish()


def chat_stream(calls: int = 49, deltas: int = 200, seed: int = 42) -> Workload:
    """A completion of one choice: text, then many tool calls, `deltas` each."""
    writer = _Chat(seed)
    writer.message(deltas)
    for index in range(calls):
        writer.call(index, deltas)
    return writer.finish()


BY_DIALECT: Final[dict[str, Callable[[], Workload]]] = {"responses": responses_stream, "chat": chat_stream}
"""Name of a dialect -> its workload."""


class _Writer:
    """What both have in common: ids, padding, pieces of text, and the account of what they add up to."""

    def __init__(self, name: str, seed: int) -> None:
        self._random = random.Random(seed)
        self._out = Workload(name, [], {MESSAGES: [], CALLS: []})

    def _id(self, prefix: str, length: int) -> str:
        return f"{prefix}_{''.join(self._random.choices(_LETTERS, k=length))}"

    def _padding(self, piece: str) -> str:
        return "".join(self._random.choices(_LETTERS, k=_PAD - len(piece) % _PAD))

    def _text(self, deltas: int) -> list[str]:
        pieces = self._random.choices(TOKENS["text"].split("|"), k=deltas)
        self._out.texts[MESSAGES].append("".join(pieces))
        return pieces

    def _arguments(self, deltas: int) -> list[str]:
        """An object with one text, the first and the last piece around it."""
        inner = self._random.choices(TOKENS["text"].split("|"), k=deltas - 2)
        pieces = ['{"query":"', *(json.dumps(piece, ensure_ascii=False)[1:-1] for piece in inner), '"}']
        self._out.texts[CALLS].append("".join(pieces))
        return pieces


class _Responses(_Writer):
    """Writes one response, item by item."""

    def __init__(self, seed: int) -> None:
        super().__init__("responses", seed)
        self._response_id = self._id("resp", 50)
        self._sequence = 0
        self._items: list[dict[str, Any]] = []
        for what in ("created", "in_progress"):
            self._snapshot(what, "in_progress")

    def message(self, deltas: int) -> None:
        item: dict[str, Any] = {"id": self._id("msg", 50), "type": "message", "status": "in_progress", "content": []}
        place = {"content_index": 0, "item_id": item["id"], "output_index": len(self._items)}
        part: dict[str, Any] = {"type": "output_text", "annotations": [], "logprobs": [], "text": ""}
        self._item("added", {**item, "role": "assistant"})
        self._event("response.content_part.added", {**place, "part": part})
        pieces = self._text(deltas)
        for piece in pieces:
            self._delta("output_text", piece, place, logprobs=[])
        part["text"] = "".join(pieces)
        self._event("response.output_text.done", {**place, "logprobs": [], "text": part["text"]})
        self._event("response.content_part.done", {**place, "part": part})
        self._done({**item, "status": "completed", "content": [part], "role": "assistant"})

    def call(self, deltas: int) -> None:
        item = {"id": self._id("fc", 50), "type": "function_call", "status": "in_progress", "arguments": ""}
        place = {"item_id": item["id"], "output_index": len(self._items)}
        named = {"call_id": self._id("call", 24), "name": "search_archive"}
        self._item("added", {**item, **named})
        pieces = self._arguments(deltas)
        for piece in pieces:
            self._delta("function_call_arguments", piece, place)
        whole = {"arguments": "".join(pieces)}
        self._event("response.function_call_arguments.done", {**whole, **place})
        self._done({**item, "status": "completed", **whole, **named})

    def finish(self) -> Workload:
        ending = {"completed_at": _CREATED + 60, "output": self._items, "usage": _RESPONSE_USAGE}
        self._snapshot("completed", "completed", **ending)
        return self._out

    def _item(self, what: str, item: dict[str, Any]) -> None:
        self._event(f"response.output_item.{what}", {"item": item, "output_index": len(self._items)})

    def _done(self, item: dict[str, Any]) -> None:
        self._item("done", item)
        self._items.append(item)

    def _delta(self, kind: str, piece: str, place: dict[str, Any], **members: Any) -> None:
        padding = {"obfuscation": self._padding(piece)}
        self._event(f"response.{kind}.delta", {**place, "delta": piece, **members, **padding})

    def _snapshot(self, what: str, status: str, **members: Any) -> None:
        head = {"id": self._response_id, "object": "response", "created_at": _CREATED, "status": status}
        self._event(f"response.{what}", {"response": {**head, **_RESPONSE, **members}})

    def _event(self, name: str, members: dict[str, Any]) -> None:
        payload = _json({"type": name, **members, "sequence_number": self._sequence})
        self._sequence += 1
        self._out.blocks.append(f"event: {name}\ndata: {payload}\n\n".encode())


class _Chat(_Writer):
    """Writes one completion, chunk by chunk."""

    def __init__(self, seed: int) -> None:
        super().__init__("chat", seed)
        self._chat_id = self._id("chatcmpl", 29)
        self._delta({"role": "assistant", "content": "", "refusal": None}, "")

    def message(self, deltas: int) -> None:
        for piece in self._text(deltas):
            self._delta({"content": piece}, piece)

    def call(self, index: int, deltas: int) -> None:
        named = {"id": self._id("call", 24), "type": "function"}
        self._call({"index": index, **named, "function": {"name": "search_archive", "arguments": ""}}, "")
        for piece in self._arguments(deltas):
            self._call({"index": index, "function": {"arguments": piece}}, piece)

    def finish(self) -> Workload:
        self._delta({}, "", "tool_calls")
        self._chunk([], "", _CHAT_USAGE)
        self._out.blocks.append(b"data: [DONE]\n\n")
        return self._out

    def _call(self, call: dict[str, Any], piece: str) -> None:
        self._delta({"tool_calls": [call]}, piece)

    def _delta(self, delta: dict[str, Any], piece: str, finish: str | None = None) -> None:
        self._chunk([{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}], piece)

    def _chunk(self, choices: list[dict[str, Any]], piece: str, usage: dict[str, Any] | None = None) -> None:
        head = {"id": self._chat_id, "object": "chat.completion.chunk", "created": _CREATED, "model": _MODEL}
        tier = {"service_tier": "default", "system_fingerprint": "fp_a288987b44"}
        rest = {"choices": choices, "usage": usage, "obfuscation": self._padding(piece)}
        self._out.blocks.append(f"data: {_json({**head, **tier, **rest})}\n\n".encode())


def _json(data: dict[str, Any]) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))
