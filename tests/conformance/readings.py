"""An independent reading of Responses and Chat Completions streams: by the published `openai` package, as its users do.

The bytes go through an HTTP client whose transport hands them out, the package's own framing, its typed models and its
own accumulator; nothing of streamproc is used. The accumulators are strict: where one gives up on a stream that the
package itself can still iterate over, the typed events (or chunks) are summed up by a plain loop instead, and `by` says
so. What the accumulator said is in `failure` in both cases.

A stream that ends early, or whose response did not complete, is a failure as well: the accumulator then has no final
object, and the reading shows what it had until then.
"""

import json
import warnings
from itertools import chain
from typing import Any, Final, Literal

import httpx2
from msgspec import Struct
from msgspec.structs import replace
from openai import OpenAI

__all__ = ["Call", "Reading", "Usage", "read_chat", "read_responses"]

By = Literal["accumulator", "events"]
Json = Any  # a model as plain data: any member may be missing, whatever the package's types say

_LIFECYCLE: Final = frozenset(
    f"response.{what}" for what in ("created", "queued", "in_progress", "completed", "failed", "incomplete")
)
_CALLS: Final = ("mcp_approval_request", "program")  # kinds of calls whose names do not end in `_call`
_TEXTS: Final = ("arguments", "input", "code")  # where an item has what counts as its arguments,
_OBJECTS: Final = ("arguments", "action", "operation", "queries")  # as text or as data
_FAILURE_CHARS: Final = 80


class Usage(Struct, frozen=True):
    """Token counts; None where the stream has none."""

    input: int | None
    output: int | None
    total: int | None
    cached: int | None
    reasoning: int | None


class Call(Struct, frozen=True):
    """A tool call."""

    type: str  # as the wire names it: "function_call", "mcp_call"; in chats "function"
    name: str  # "" for kinds that have none
    arguments: str  # text as it is, data as compact JSON; code, input, action, operation and queries count as such
    id: str  # the call's, which for kinds without one is the item's


class Reading(Struct, frozen=True):
    """What a stream amounts to."""

    by: By
    texts: tuple[str, ...]  # one a message item, or one a choice; "" where it has none
    refusals: tuple[str, ...]  # in the same positions
    calls: tuple[Call, ...]  # in the order of output items, or of choices
    usage: tuple[Usage, ...]  # one a response that has it; of a chat at most one
    finish: tuple[str | None, ...]  # the last known status of each response, or the reason of each choice
    failure: str | None  # class and start of the text of what the accumulator raised, also when asked for its result


def read_responses(data: bytes, by: By = "accumulator") -> Reading:
    """Read a stream of a Responses API; `by="events"` skips the accumulator."""
    events = _response_events(data)
    return events if by == "events" else _chosen(_response_accumulated(data), events)


def read_chat(data: bytes, by: By = "accumulator") -> Reading:
    """Read a stream of Chat Completions chunks; `by="events"` skips the accumulator."""
    events = _chat_events(data)
    return events if by == "events" else _chosen(_chat_accumulated(data), events)


def _chosen(accumulated: tuple[Reading, bool], events: Reading) -> Reading:
    """The accumulator's reading, unless it gave up where iterating alone went on."""
    reading, gave_up = accumulated
    if not gave_up or events.failure == reading.failure:
        return reading
    return replace(events, failure=reading.failure)


def _parts(reading: Reading) -> Any:
    return reading.texts, reading.refusals, reading.calls, reading.usage, reading.finish


def _client(data: bytes) -> OpenAI:
    """A client whose requests are all answered by a stream of these bytes."""

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=data)

    http = httpx2.Client(transport=httpx2.MockTransport(answer), trust_env=False)
    return OpenAI(api_key="none", base_url="http://localhost/", max_retries=0, http_client=http)


def _quiet() -> Any:
    """Models of drifted data warn when they are dumped, also inside the accumulators; users are not stopped by that."""
    return warnings.catch_warnings(action="ignore")


def _plain(model: Any) -> Json:
    return model if model is None or isinstance(model, dict) else model.to_dict(mode="json", warnings=False)


def _failure(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).partition('; {')[0]}"[:_FAILURE_CHARS].rstrip(": ")


def _usage(data: Json, given: str, made: str) -> tuple[Usage, ...]:
    """Nothing or one."""
    if not data:
        return ()
    cached = (data.get(f"{given}_tokens_details") or {}).get("cached_tokens")
    reasoning = (data.get(f"{made}_tokens_details") or {}).get("reasoning_tokens")
    input, output, total = (data.get(f"{what}_tokens") for what in (given, made, "total"))
    return (Usage(input, output, total, cached, reasoning),)


# --- Responses --------------------------------------------------------------------------------------------------------


def _response_accumulated(data: bytes) -> tuple[Reading, bool]:
    """The accumulator's reading, and whether it gave up before the end of the stream."""
    state: Json = {}
    event: Any
    with _quiet(), _client(data) as client, client.responses.stream(model="any", input="any") as stream:
        held = stream._state
        try:
            for event in stream:
                if event.type in _LIFECYCLE:
                    state = _plain(getattr(event, "response", None)) or state
        except Exception as error:
            return _response(state, _held(held._output_items, held._completed_output), "accumulator", error), True
        try:
            state = _plain(stream.get_final_response())
        except RuntimeError as error:
            return _response(state, _held(held._output_items, held._completed_output), "accumulator", error), False
    return _response(state, state.get("output") or [], "accumulator"), False


def _held(open_items: dict[int, Any], done_items: dict[int, Any]) -> list[Json]:
    """The items that an accumulator without a final response has; it reads itself in the same way."""
    items = {**open_items, **done_items}
    return [_plain(items[index]) for index in sorted(items)]


def _response_events(data: bytes) -> Reading:
    """Sum up the typed events, for each response of the stream: it is a new one with each `response.created`.

    The items as they streamed count; those of the last snapshot of a response only if none did.
    """
    responses: list[tuple[Json, dict[int, Json]]] = [({}, {})]  # the last snapshot, and output index -> item
    failure: Exception | None = None
    event: Any
    with _quiet(), _client(data) as client:
        try:
            for event in client.responses.create(model="any", input="any", stream=True):
                if event.type == "response.created" and responses[-1] != ({}, {}):
                    responses.append(({}, {}))
                state, items = responses[-1]
                if event.type in _LIFECYCLE:
                    state.update(_plain(getattr(event, "response", None)) or {})
                elif str(event.type).startswith("response."):
                    _apply(items, _plain(event))
        except Exception as error:
            failure = error
    parts = [
        _response(state, [items[index] for index in sorted(items)] or state.get("output") or [], "events")
        for state, items in responses
    ]
    texts, refusals, calls, usage, finish = (sum(column, ()) for column in zip(*map(_parts, parts), strict=True))
    return Reading("events", texts, refusals, calls, usage, finish, _failure(failure) if failure else None)


def _apply(items: dict[int, Json], event: Json) -> None:
    kind, index = event["type"], event.get("output_index", 0)
    if kind in ("response.output_item.added", "response.output_item.done"):
        if event.get("item"):
            items[index] = event["item"]
        return
    member, _, what = kind.removeprefix("response.").rpartition(".")
    text = event.get("delta") if what == "delta" else event.get(member.rpartition("_")[2])
    if not isinstance(text, str):
        return
    item = items.setdefault(index, {})
    if member in ("output_text", "refusal"):
        at, parts = event.get("content_index") or 0, item.setdefault("content", [])
        parts += [{} for _ in range(at + 1 - len(parts))]
        item["type"], holder, name = "message", parts[at], member.rpartition("_")[2]
        holder["type"] = member
    elif member in ("function_call_arguments", "mcp_call_arguments"):
        holder, name = item, "arguments"
    elif member == "custom_tool_call_input":
        holder, name = item, "input"
    elif member == "code_interpreter_call_code":
        holder, name = item, "code"
    else:
        return
    item.setdefault("type", member.rpartition("_")[0])
    holder[name] = (holder.get(name) or "") + text if what == "delta" else text


def _response(state: Json, items: list[Json], by: By, error: Exception | None = None) -> Reading:
    messages = [item for item in items if item.get("type") == "message"]
    return Reading(
        by,
        tuple(_joined(item, "text") for item in messages),
        tuple(_joined(item, "refusal") for item in messages),
        tuple(_call(item) for item in items if _is_call(item.get("type") or "")),
        _usage(state.get("usage"), "input", "output"),
        (state.get("status"),),
        _failure(error) if error else None,
    )


def _joined(message: Json, member: str) -> str:
    return "".join(part.get(member) or "" for part in message.get("content") or [])


def _is_call(kind: str) -> bool:
    return kind.endswith("_call") or kind in _CALLS


def _call(item: Json) -> Call:
    texts = (item[name] for name in _TEXTS if isinstance(item.get(name), str))
    objects = (item[name] for name in _OBJECTS if isinstance(item.get(name), (dict, list)))
    given = next(chain(texts, objects), "")
    return Call(item["type"], item.get("name") or "", _text(given), item.get("call_id") or item.get("id") or "")


def _text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


# --- Chat Completions -------------------------------------------------------------------------------------------------


def _chat_accumulated(data: bytes) -> tuple[Reading, bool]:
    """The accumulator's reading, and whether it gave up before the end of the stream."""
    with _quiet(), _client(data) as client, client.chat.completions.stream(model="any", messages=[]) as stream:
        failure: Exception | None = None
        gave_up = False
        try:
            stream.until_done()
        except Exception as error:
            failure, gave_up = error, True
        else:
            try:
                stream.get_final_completion()
            except Exception as error:
                failure = error
        try:
            held = _plain(stream.current_completion_snapshot)
        except AssertionError:  # not one chunk
            held = {}
        return _chat(held, "accumulator", failure), gave_up


def _chat_events(data: bytes) -> Reading:
    """Sum up the typed chunks; the last usage counts, and a tool call without an index is found by its id."""
    choices: dict[int, Json] = {}
    usage: Json = None
    failure: Exception | None = None
    with _quiet(), _client(data) as client:
        try:
            for chunk in client.chat.completions.create(model="any", messages=[], stream=True):
                plain = _plain(chunk)
                usage = plain.get("usage") or usage
                for choice in plain.get("choices") or []:
                    _sum_up(choices, choice)
        except Exception as error:
            failure = error
    held = {"usage": usage, "choices": [choices[index] for index in sorted(choices)]}
    return _chat(held, "events", failure)


def _sum_up(choices: dict[int, Json], choice: Json) -> None:
    held = choices.setdefault(choice.get("index") or 0, {"finish_reason": None, "message": {"tool_calls": []}})
    held["finish_reason"] = choice.get("finish_reason") or held["finish_reason"]
    message, delta = held["message"], choice.get("delta") or {}
    for name in ("content", "refusal"):
        if isinstance(delta.get(name), str):
            message[name] = message.get(name, "") + delta[name]
    for call in delta.get("tool_calls") or []:
        key = call.get("index", call.get("id"))
        mine = next((other for other in message["tool_calls"] if other["key"] == key), None)
        if mine is None:
            mine = {"key": key, "function": {"name": "", "arguments": ""}}
            message["tool_calls"].append(mine)
        function = call.get("function") or {}
        mine["id"] = call.get("id") or mine.get("id")
        mine["function"]["name"] = function.get("name") or mine["function"]["name"]
        mine["function"]["arguments"] += _text(function.get("arguments") or "")


def _chat(state: Json, by: By, error: Exception | None = None) -> Reading:
    choices = state.get("choices") or []
    messages = [choice.get("message") or {} for choice in choices]
    return Reading(
        by,
        tuple(_words(message.get("content")) for message in messages),
        tuple(_words(message.get("refusal")) for message in messages),
        tuple(_chat_call(call) for message in messages for call in message.get("tool_calls") or []),
        _usage(state.get("usage"), "prompt", "completion"),
        tuple(choice.get("finish_reason") for choice in choices),
        _failure(error) if error else None,
    )


def _words(content: Json) -> str:
    return content if isinstance(content, str) else "" if content is None else _text(content)


def _chat_call(call: Json) -> Call:
    function = call.get("function") or {}
    return Call(
        call.get("type") or "function",
        function.get("name") or "",
        _text(function.get("arguments") or ""),
        call.get("id") or "",
    )
