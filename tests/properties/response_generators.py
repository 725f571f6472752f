"""Hypothesis strategies for Responses streams: well-formed responses, and what comes of them when they are damaged.

A response is drawn as its final items first and then cut into events, those of different items interleaved, so what the
stream must add up to is known without the code under test.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from hypothesis import strategies as st

from tests.properties.generators import JUNK, TEXTS, Json, corrupted
from tests.response_streams import added, delta, done, event, numbered, response, sse, text

__all__ = ["BLOCKS", "RESPONSES", "SpokenResponse"]

_KINDS: Final = ("message", "message", "function_call", "mcp_call", "code_interpreter_call", "custom_tool_call")
_OTHERS: Final = ("web_search_call", "reasoning", "mcp_list_tools", "x_call")
_GROWING: Final = {
    "function_call": ("function_call_arguments", "arguments"),
    "mcp_call": ("mcp_call_arguments", "arguments"),
    "custom_tool_call": ("custom_tool_call_input", "input"),
    "code_interpreter_call": ("code_interpreter_call_code", "code"),
}


@dataclass(frozen=True)
class SpokenResponse:
    """One well-formed response."""

    payloads: list[Json]
    items: list[Json]  # as they are in the end


class _Speaker:
    """Draws the items of one response and the events that tell of them."""

    def __init__(self, draw: Callable[..., Any], number: int) -> None:
        self.draw = draw
        self.number = number

    def response(self) -> SpokenResponse:
        draw = self.draw
        kinds = draw(st.lists(st.sampled_from([*_KINDS, *_OTHERS]), max_size=4))
        items: list[Json] = []
        queues: list[list[Json]] = []
        for index, kind in enumerate(kinds):
            item, events = self._item(kind, index)
            items.append(item)
            queues.append(events)
        turns = draw(st.permutations([index for index, queue in enumerate(queues) for _ in queue]))
        told = [queues[turn].pop(0) for turn in turns]
        id = f"resp_{self.number:020}"
        usage = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
        status = draw(st.sampled_from(["completed", "completed", "failed", "incomplete"]))
        last = response(status, *items, id=id, usage=usage, incomplete_details={"reason": "max_output_tokens"})
        payloads = [response("created", id=id), response("in_progress", id=id), *told, last]
        return SpokenResponse(numbered(*payloads) if draw(st.booleans()) else payloads, items)

    def _item(self, kind: str, index: int) -> tuple[Json, list[Json]]:
        head: Json = {"id": f"item_{self.number:012}_{index}", "type": kind}
        if kind == "message":
            return self._message(head, index)
        if kind in ("function_call", "custom_tool_call"):
            head |= {"call_id": f"call_{self.number}_{index}", "name": self.draw(st.sampled_from(["f", "look_up"]))}
        if kind == "mcp_call":
            head |= {"name": "f", "server_label": "s"}
        final = {**head, "status": "completed"}
        events: list[Json] = []
        if kind in _GROWING:
            what, member = _GROWING[kind]
            final[member] = whole = self.draw(TEXTS)
            head[member] = ""
            events += (delta(what, piece, index, head["id"]) for piece in self._pieces(whole))
            events += self._maybe(event(f"{what}.done", index, head["id"], **{member: whole}))
        elif kind == "reasoning":
            final = {**head, "summary": [{"type": "summary_text", "text": "thought"}]}
            events.append(delta("reasoning_summary_text", "thought", index, head["id"], summary_index=0))
        elif kind == "web_search_call":
            final["action"] = {"type": "search", "query": self.draw(TEXTS)}
            events.append(event("web_search_call.searching", index, head["id"]))
        return final, [added({**head, "status": "in_progress"}, index), *events, done(final, index)]

    def _message(self, head: Json, index: int) -> tuple[Json, list[Json]]:
        parts: list[Json] = []
        events: list[Json] = []
        head |= {"role": "assistant", "content": []}
        for at in range(self.draw(st.integers(0, 2))):
            whole, place = self.draw(TEXTS), {"content_index": at}
            part: Json = text(whole) if self.draw(st.booleans()) else {"type": "refusal", "refusal": whole}
            empty: Json = text() if part["type"] == "output_text" else {"type": "refusal", "refusal": ""}
            events += self._maybe(event("content_part.added", index, head["id"], part=empty, **place))
            events += (delta(part["type"], piece, index, head["id"], **place) for piece in self._pieces(whole))
            if part["type"] == "output_text" and self.draw(st.booleans()):
                note = {"type": "file_path", "file_id": "f", "index": 0}
                part["annotations"].append(note)
                said = {"annotation_index": 0, "annotation": note, **place}
                events.append(event("output_text.annotation.added", index, head["id"], **said))
            member = "text" if part["type"] == "output_text" else "refusal"
            events += self._maybe(event(f"{part['type']}.done", index, head["id"], **{member: whole}, **place))
            events += self._maybe(event("content_part.done", index, head["id"], part=part, **place))
            parts.append(part)
        final = {**head, "status": "completed", "content": parts}
        return final, [added({**head, "status": "in_progress"}, index), *events, done(final, index)]

    def _pieces(self, whole: str) -> list[str]:
        cuts = sorted(self.draw(st.lists(st.integers(0, len(whole)), max_size=3)))
        return [whole[start:end] for start, end in pairwise([0, *cuts, len(whole)])]

    def _maybe(self, payload: Json) -> list[Json]:
        return [payload] if self.draw(st.booleans()) else []


@st.composite
def _responses(draw: Callable[..., Any]) -> list[SpokenResponse]:
    return [_Speaker(draw, number).response() for number in range(draw(st.integers(1, 2)))]


RESPONSES: Final = _responses()
"""One or two responses, one after the other."""


@st.composite
def _blocks(draw: Callable[..., Any]) -> list[bytes]:
    """The events of some responses: left out, sent again, exchanged, with members of any kind; `[DONE]` in between."""
    payloads = [payload for spoken in draw(RESPONSES) for payload in spoken.payloads]
    blocks: list[bytes] = []
    for payload in payloads:
        fate = draw(st.integers(0, 11))
        if fate == 0:
            continue
        if fate in (1, 2):
            places = draw(st.lists(st.tuples(st.integers(0, 40), st.sampled_from(JUNK)), min_size=1, max_size=2))
            payload = corrupted(payload, places)
        block = sse(payload, named=fate != 3)
        if fate == 4:
            block += sse(draw(st.sampled_from(_ODD)))
        blocks += [block] * (2 if fate == 5 else 1)
        if fate == 6 and len(blocks) > 1:
            blocks[-1], blocks[-2] = blocks[-2], blocks[-1]
    return blocks


_ODD: Final = (
    *("[DONE]", "null", '{"error": {"message": "m", "code": 5}}', '{"type": "error", "message": "m"}'),
    *('{"type": "response.x"}', '{"type": "response.done"}', '{"object": "response"}', '{"type": "response.created"}'),
    '{"type": "response.output_text.delta", "output_index": 0, "delta": "a"}',
    '{"type": "response.function_call_arguments.delta", "item_id": "x", "delta": "a"}',
    '{"type": "response.output_item.done", "item": {"type": "function_call_output", "call_id": "call_0_0"}}',
    '{"type": "response.output_item.done", "output_index": 0, "item": {"type": "message"}}',
)

BLOCKS: Final = _blocks()
"""The bytes of events that no server sends like this."""
