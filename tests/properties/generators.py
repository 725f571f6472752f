"""Hypothesis strategies for streams, and what a stream amounts to.

Two kinds of input. A *script* is one well-formed run: its final objects are drawn first and then cut into deltas, so
what the deltas must add up to is known without the code under test. *Blocks* are hostile: events of several runs in any
order, wrong types, unknown names, late and repeated events, broken payloads; each block is the bytes of one event.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, product
from typing import Any, Final, Literal, TypeAlias, TypeVar

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from msgspec import Struct

from streamproc import AssistantsDialect, Change, Event, Limits, StreamProcessor, encode_change, to_wire
from streamproc.core.dialect import Dialect
from streamproc.errors import LimitExceeded
from streamproc.model.wire import WireObject, from_wire
from tests.streams import (
    arguments,
    call,
    calls,
    code,
    creation,
    done,
    error,
    event,
    message,
    message_delta,
    run,
    sse,
    step,
    step_delta,
    text,
    thread,
    words,
)

__all__ = [
    "BLOCKS",
    "CUTS",
    "EVENTS",
    "FEW",
    "FRAGMENTS",
    "JUNK",
    "LIMITS",
    "MANY",
    "SOME",
    "TERMINAL",
    "Json",
    "Outcome",
    "Script",
    "Seen",
    "canonical",
    "corrupted",
    "cut",
    "feed",
    "finals",
    "is_empty",
    "mutated",
    "outcome",
    "read",
    "scripts",
]

Json: TypeAlias = Any
Draw: TypeAlias = Callable[..., Any]
T = TypeVar("T")

# A shared machine may be slow at making input; that is no defect of a law.
_CALM: Final = (HealthCheck.too_slow,)
FEW: Final = settings(max_examples=60, deadline=None, suppress_health_check=_CALM)
SOME: Final = settings(max_examples=150, deadline=None, suppress_health_check=_CALM)
MANY: Final = settings(max_examples=300, deadline=None, suppress_health_check=_CALM)

TERMINAL: Final[Mapping[str, frozenset[str]]] = {
    "runs": frozenset({"completed", "failed", "cancelled", "expired", "incomplete"}),
    "steps": frozenset({"completed", "failed", "cancelled", "expired"}),
    "messages": frozenset({"completed", "incomplete"}),
}
"""Table of a processor -> statuses that end an object there; by the protocol, not by the code under test."""

# --- well-formed runs -------------------------------------------------------------------------------------------------

_LETTERS: Final = 'ab{}:"\\ \r\n\t\0\x7f\x85é\u2028\ufeff😀'
TEXTS: Final = st.text(_LETTERS, max_size=10) | st.sampled_from(["", '{"a": 1}', "[DONE]"])
EXTRAS: Final = st.sampled_from(
    [{}, {}, {"x_flag": True}, {"x_deep": {"a": [1, 2.5, {"b": None}], "": ""}}, {"metadata": {"k": "v"}, "x": 2**70}]
)


@dataclass(frozen=True)
class Script:
    """One well-formed run."""

    streams: list[list[Event]]  # more than one where outputs were submitted; each ends with `done`
    finals: dict[str, Json]  # object id -> its last snapshot
    accumulated: dict[str, Json] = field(default_factory=dict)  # object id -> details that its deltas add up to

    @property
    def events(self) -> list[Event]:
        """All events, as if there were one stream."""
        return [item for stream in self.streams for item in stream if item.name != "done"]


class _Writer:
    """Draws the objects of one run and writes the events that tell of them."""

    def __init__(self, draw: Draw, *, azure: bool) -> None:
        self.draw = draw
        self.azure = azure
        self.streams: list[list[Event]] = [[]]
        self.finals: dict[str, Json] = {}
        self.accumulated: dict[str, Json] = {}
        self.extra: dict[str, Json] = draw(EXTRAS)

    def script(self) -> Script:
        draw = self.draw
        if draw(st.booleans()):
            self._write(thread())
        for what in ("created", "queued", "in_progress"):
            self._run(what)
        for number in range(draw(st.integers(0, 3))):
            self._step(f"{number}")
        self._run(draw(st.sampled_from(["completed", "completed", "failed", "incomplete", "expired", "cancelled"])))
        self._write(done())
        return Script(self.streams, self.finals, self.accumulated)

    def _write(self, item: Event) -> None:
        self.streams[-1].append(item)
        if isinstance(item.data, dict) and "delta" not in item.data:
            self.finals[item.data["id"]] = item.data

    def _run(self, what: str) -> None:
        ended = what not in ("created", "queued", "in_progress", "requires_action")
        usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7} if ended else None
        self._write(run(what, usage=usage, last_error=None, tools=[], **self.extra))

    def _step(self, number: str) -> None:
        if self.draw(st.booleans()):
            self._message_step(number)
        else:
            self._tool_step(number)

    def _message_step(self, number: str) -> None:
        draw, id, name = self.draw, f"step_{number}", f"msg_{number}"
        details = {"step_details": creation(name), "type": "message_creation", "id": id}
        self._snapshot(step, "created", usage=None, **details)
        self._snapshot(step, "in_progress", usage=None, **details)
        self._snapshot(message, "created", id=name)
        self._snapshot(message, "in_progress", id=name)
        content: list[Json] = []
        deltas: list[list[Json]] = []
        for _ in range(draw(st.integers(0, 3))):
            block, entries = self._block()
            content.append(block)
            deltas.append(entries)
        content = self._deltas(lambda group: message_delta(*group, id=name), content, deltas)
        self.accumulated[name] = content
        self._snapshot(message, draw(st.sampled_from(["completed", "incomplete"])), *content, id=name)
        self._snapshot(step, "completed", usage={"total_tokens": 5}, **details)

    def _tool_step(self, number: str) -> None:
        draw, id = self.draw, f"step_{number}"
        tool_calls: list[Json] = []
        deltas: list[list[Json]] = []
        for position in range(draw(st.integers(1, 3))):
            made, entries = self._call(f"call_{number}_{position}")
            tool_calls.append(made)
            deltas.append(entries)
        self._snapshot(step, "created", id=id, type="tool_calls", usage=None)
        self._snapshot(step, "in_progress", id=id, type="tool_calls", usage=None)
        tool_calls = self._deltas(lambda group: step_delta(*group, id=id), tool_calls, deltas)
        self.accumulated[id] = calls(*tool_calls)
        if draw(st.booleans()):
            self._run("requires_action")
            self._write(done())
            self.streams.append([])
            final = [self._with_output(made) for made in tool_calls]
            self._snapshot(step, "completed", *final, id=id, type="tool_calls", usage={"total_tokens": 5})
            self._run("queued")
            self._run("in_progress")
        else:
            what = draw(st.sampled_from(["completed", "failed", "cancelled", "expired"]))
            self._snapshot(step, what, *tool_calls, id=id, type="tool_calls", usage={"total_tokens": 5})

    def _snapshot(self, build: Callable[..., Event], what: str, *parts: Json, **members: Json) -> None:
        self._write(build(what, members.pop("id"), *parts, **{"metadata": {}, **members, **self.extra}))

    def _deltas(self, build: Callable[[list[Json]], Event], parts: list[Json], deltas: list[list[Json]]) -> list[Json]:
        """Write the deltas, those of different parts interleaved; returns the parts in the order they first appear."""
        draw = self.draw
        turns = draw(st.permutations([position for position, entries in enumerate(deltas) for _ in entries]))
        order = list(dict.fromkeys(turns))
        queues = [iter(entries) for entries in deltas]
        group: list[Json] = []
        for position in turns:
            group.append({"index": order.index(position), **next(queues[position])})
            if draw(st.integers(0, 3)):
                self._write(build(group))
                group = []
        if group:
            self._write(build(group))
        return [parts[position] for position in order]

    def _pieces(self, whole: str) -> list[str]:
        cuts = sorted(self.draw(st.lists(st.integers(0, len(whole)), max_size=3)))
        return [whole[start:end] for start, end in pairwise([0, *cuts, len(whole)])]

    def _call(self, id: str) -> tuple[Json, list[Json]]:
        """A tool call as its deltas leave it, and the entries of those deltas, without their index."""
        draw = self.draw
        kinds = ["function", "function", "code_interpreter", "file_search"]
        kind = draw(st.sampled_from([*kinds, "mcp", "bing_grounding", "x_tool"] if self.azure else kinds))
        if kind == "function":
            name, whole = draw(st.sampled_from(["f", "get_weather"])), draw(TEXTS)
            first, *rest = self._pieces(whole)
            start = call(first, name=name, output=None)
            return call(whole, id=id, name=name, output=None), [{"id": id, **start}, *map(call, rest)]
        if kind == "code_interpreter":
            whole, (outputs, fragments) = draw(TEXTS), self._outputs()
            first, *rest = self._pieces(whole)
            entries = [{"id": id, **code(first, outputs=[])}, *map(code, rest)]
            return code(whole, id=id, outputs=outputs), entries + [code(outputs=[piece]) for piece in fragments]
        if kind == "mcp":
            first, *rest = self._pieces(whole := draw(TEXTS))
            head = {"id": id, "type": "mcp", "server_label": "s", "name": "f"}
            pieces = [{"type": "mcp", "arguments": piece} for piece in rest]
            return {**head, "arguments": whole}, [{**head, "arguments": first}, *pieces]
        payload = {"bing_grounding": {"requesturl": "u"}, "x_tool": {"x": [1, {"y": None}]}}.get(kind, {})
        whole_call = {"id": id, "type": kind, kind: payload}
        return whole_call, [whole_call]

    def _outputs(self) -> tuple[list[Json], list[Json]]:
        outputs: list[Json] = []
        fragments: list[Json] = []
        for index in range(self.draw(st.integers(0, 2))):
            if self.draw(st.booleans()):
                image = {"type": "image", "image": {"file_id": f"file_{index}"}}
                outputs.append(image)
                fragments.append({"index": index, **image})
            else:
                whole = self.draw(TEXTS)
                outputs.append({"type": "logs", "logs": whole})
                fragments += ({"index": index, "type": "logs", "logs": piece} for piece in self._pieces(whole))
        return outputs, fragments

    def _block(self) -> tuple[Json, list[Json]]:
        """A content block as its deltas leave it, and the entries of those deltas, without their index."""
        draw = self.draw
        kind = draw(st.sampled_from(["text", "text", "refusal", "image_file", "image_url"]))
        if kind == "text":
            whole = draw(TEXTS)
            notes = [
                {"type": "file_path", "text": "t", "start_index": 0, "end_index": n, "file_path": {"file_id": "f"}}
                for n in range(draw(st.integers(0, 2)))
            ]
            first, *rest = self._pieces(whole)
            entries = [text(first, annotations=[]), *map(text, rest)]
            entries += [text(annotations=[{"index": index, **note}]) for index, note in enumerate(notes)]
            return text(whole, annotations=notes), entries
        if kind == "refusal":
            whole = draw(TEXTS)
            pieces = self._pieces(whole)
            return {"type": kind, kind: whole}, [{"type": kind, kind: piece} for piece in pieces]
        block = {"type": kind, kind: {"file_id": "f"} if kind == "image_file" else {"url": "u", "detail": "low"}}
        return block, [block]

    def _with_output(self, made: Json) -> Json:
        if made["type"] != "function":
            return made
        return {**made, "function": {**made["function"], "output": self.draw(TEXTS)}}


@st.composite
def scripts(draw: Draw, *, azure: bool = True) -> Script:
    """Well-formed runs: contiguous indexes, nothing resent; without `azure` only what OpenAI's own servers send."""
    return _Writer(draw, azure=azure).script()


# --- hostile events ---------------------------------------------------------------------------------------------------

JUNK: Final[Sequence[Json]] = [
    None,
    True,
    False,
    0,
    1,
    -1,
    1025,
    2**70,
    0.0,
    1.5,
    "",
    "x",
    "step_1",
    "tool_calls",
    "completed",
    "é\u2028😀\n",
    [],
    [None],
    [1, "a"],
    [{}],
    [{"index": 0}],
    [[]],
    {},
    {"": None},
    {"a": {"b": [1]}},
    {"type": "x"},
    {"type": "function", "index": 1, "id": "c1", "function": {"arguments": "a"}},
]

_INDEXES: Final = [0, 1, 2, 7, 1026, 5000, -1, True, "0", 0.0, None, 2**70]
_ENTRIES: Final[Sequence[Json]] = [
    *({"index": index, **call("a")} for index in _INDEXES),
    *({"index": index, "id": id, **call("", name="f", output=None)} for index, id in product((0, 1), ("c0", "c1"))),
    call("b"),
    call("b", id="c0"),
    call("b", id="c9"),
    call("", index=0),
    call(index=0, name="f"),
    call(index=0, output="o"),
    call(index=1, name=None, output=""),
    code("i", index=0),
    code("i", index=1, id="c1", outputs=[]),
    code(index=1, outputs=[{"index": 0, "type": "logs", "logs": "l"}, {"index": 0, "type": "logs", "logs": "l"}]),
    code(index=1, outputs=[{"index": 2, "type": "image", "image": {"file_id": "f"}}]),
    {"index": 0, "type": "mcp", "name": "f", "arguments": "a", "output": "o"},
    {"index": 1, "type": "x_tool", "x_tool": {"a": 1}},
    {"index": 1, "type": "bing_grounding", "id": "c1", "bing_grounding": {"k": "v"}},
    {"index": 0, "type": "file_search", "file_search": {"results": [{"file_id": "f", "score": 0.5}]}},
    {"index": 0, "type": "openapi", "function": {"name": "f", "arguments": "a"}},
]
_CALLS: Final[Sequence[Sequence[Json]]] = [
    [],
    [call("a", id="c0", name="f", output=None)],
    [call("aa", id="c0", name="f", output="out"), code("i", id="c1", outputs=[{"type": "logs", "logs": "l"}])],
    [{"id": "c0", "type": "x_tool", "x_tool": {}}, "stray"],
]
_BLOCKS: Final[Sequence[Json]] = [
    *({"index": index, **text("a")} for index in _INDEXES),
    text("b"),
    text("", index=0),
    text("c", index=0, annotations=[]),
    text(index=0, annotations=[{"index": 0, "type": "file_citation", "text": "t"}]),
    {"index": 1, "type": "refusal", "refusal": "r"},
    {"index": 1, "type": "x_block", "x_block": {"a": 1}},
    {"index": 0, "type": "image_file", "image_file": {"file_id": "f"}},
]
_RUNS: Final = ("run_1", "run_2")
_STEPS: Final = ("step_1", "step_2", "same")
_MESSAGES: Final = ("msg_1", "same")
_OPEN: Final = ("created", "in_progress")
_MISFITS: Final[Sequence[Json]] = [{}, {"a": 1}, ["x"], 5, "x", "message_creation"]
_USAGE: Final[Sequence[Json]] = [None, {}, {"total_tokens": 5}]

_SNAPSHOTS: Final[Sequence[Event]] = [
    *(run(what, id) for what, id in product((*_OPEN, "queued", "cancelling", "requires_action"), _RUNS)),
    *(run(what, id) for what, id in product(sorted(TERMINAL["runs"]), _RUNS)),
    *(
        step(what, id, *parts, run_id=run_id)
        for what, id, parts, run_id in product((*_OPEN, "completed", "failed"), _STEPS, _CALLS, _RUNS)
    ),
    *(step(what, "step_1", usage=usage, x_new={"a": [1]}) for what, usage in product((*_OPEN, "completed"), _USAGE)),
    *(step(what, "step_1", step_details=None, metadata={"k": "v"}) for what in (*_OPEN, "expired")),
    *(step(what, "step_1", completed_at=1, last_error={"code": "x"}, type="tool_calls") for what in (*_OPEN, "failed")),
    *(message(what, "msg_1", completed_at=1, metadata={}, attachments=[{}]) for what in (*_OPEN, "completed")),
    *(run(what, "run_1", completed_at=1, model="m", usage={"total_tokens": 5}) for what in (*_OPEN, "completed")),
    *(step(what, "step_2", step_details=creation()) for what in (*_OPEN, "cancelled")),
    *(
        message(what, id, *parts)
        for what, id, parts in product(
            (*_OPEN, "completed", "incomplete"),
            _MESSAGES,
            ([], [text("a", annotations=[])], [text("ab"), {"type": "?"}]),
        )
    ),
    event("thread.run.step.completed", {"id": "step_1", "object": "thread.run.step", "run_id": "run_1"}),
    event("thread.run.step.in_progress", {"id": "step_1"}),
    event("thread.run.completed", {"id": "run_1", "status": "requires_action"}),
    event("thread.run.in_progress", {"id": "run_2", "status": "paused"}),
    event("thread.message.completed", {"id": "same"}),
]
_DELTAS: Final[Sequence[Event]] = [
    *(step_delta(entry, id=id) for entry, id in product(_ENTRIES, _STEPS)),
    *(step_delta(one, two) for one, two in product(_ENTRIES[:5], _ENTRIES[8:20])),
    *(step_delta(delta=delta) for delta in ({}, {"step_details": None}, {"x": 1}, {"step_details": {"type": "mcp"}})),
    *(step_delta(delta={"status": status, "completed_at": 1}) for status in ("completed", "failed", "in_progress")),
    *(step_delta(delta={"step_details": {"type": junk}}) for junk in _MISFITS),
    *(step_delta({"index": 0, "id": junk, "type": junk, "function": junk}) for junk in _MISFITS),
    *(message_delta(block, id=id) for block, id in product(_BLOCKS, _MESSAGES)),
    *(message_delta(delta=delta) for delta in ({}, {"content": None}, {"role": "user"}, {"content": text("a")})),
    *(message_delta(delta={"status": status}) for status in ("completed", "incomplete")),
]
_ID_LESS: Final[Sequence[Event]] = [
    *(step_delta(entry, id=None) for entry in _ENTRIES[:8]),
    *(message_delta(block, id="") for block in _BLOCKS[:4]),
    event("thread.run.step.delta", {"delta": {"step_details": calls(call("n", index=0))}}),
]
_OTHERS: Final[Sequence[Event]] = [
    thread(),
    thread("thread_2"),
    done(),
    error({"message": "m", "type": "t"}),
    error({"error": {"message": "m", "code": None}}),
    error("plain text"),
    event("thread.run.step.x_new", {"id": "step_1", "status": "completed"}),
    event("x", {"a": [1]}),
    event("thread.message.chunk", {"id": "msg_1", "delta": {"content": [text("k", index=0)]}}),
]


def _input(fragment: str, index: int, id: str) -> Event:
    return step_delta(code(fragment, index=index), id=id)


def _fragment(build: Callable[[str, int, str], Event], fragment: str, index: int, id: str) -> Event:
    return build(fragment, index, id)


FRAGMENTS: Final = st.builds(
    _fragment,
    st.sampled_from([arguments, words, _input]),
    st.sampled_from(["a", "b", "é", "", "\n", '"', "arguments", "function", "text", "index", "step_1", "\0"]),
    st.sampled_from([0, 0, 0, 1, 2]),
    st.sampled_from(["step_1", "step_1", "step_2", "msg_1", "same"]),
)
"""Text fragments of the commonest form."""


def corrupted(value: Json, places: Iterable[tuple[int, Json]]) -> Json:
    """Replace the n-th member or entry found at any depth (modulo their number), again and again."""
    for number, junk in places:
        value = json.loads(json.dumps(value))
        spots: list[tuple[Any, Any]] = []
        todo = [value]
        while todo:
            item = todo.pop()
            keys = list(item) if isinstance(item, dict) else range(len(item)) if isinstance(item, list) else ()
            spots += ((item, key) for key in keys)
            todo += (item[key] for key in keys)
        if spots:
            holder, key = spots[number % len(spots)]
            holder[key] = junk
    return value


def _pick(values: Sequence[T]) -> st.SearchStrategy[T]:
    """As `sampled_from`, for values whose `repr` is too long to be shown."""
    return st.integers(0, len(values) - 1).map(values.__getitem__)


_PLACES: Final = st.lists(st.tuples(st.integers(0, 40), st.sampled_from(JUNK)), min_size=1, max_size=3)
_VOCABULARY: Final = _pick(_SNAPSHOTS) | _pick(_DELTAS) | FRAGMENTS
_CORRUPTED: Final = st.builds(lambda item, places: event(item.name, corrupted(item.data, places)), _VOCABULARY, _PLACES)

EVENTS: Final = _VOCABULARY | _pick(_DELTAS) | FRAGMENTS | _pick(_OTHERS) | _CORRUPTED
"""Single events, each well-formed as a frame; deltas name their object, if at all, by an `id`."""


def _wrapped(item: Event) -> bytes:
    return sse(event("x", {"event": item.name, "data": item.data}), named=False)


def _many_lines(item: Event) -> bytes:
    return sse(Event(item.name, None, item.raw.replace(b",", b",\n").replace(b"}", b"\n}")), end="\r\n")


def _truncated(item: Event) -> bytes:
    return sse(Event(item.name, None, item.raw[:-1]))


def _not_utf8(item: Event) -> bytes:
    return sse(Event(item.name, None, item.raw.replace(b"a", b"\xff\xc3", 1)))


_STYLES: Final[Sequence[Callable[[Event], bytes]]] = [
    sse,
    lambda item: sse(item, named=False),
    _wrapped,
    _many_lines,
    _truncated,
    _not_utf8,
    lambda item: b": ping\nid: 7\nretry: 10\n" + sse(item),
    lambda item: sse(item, end="\r"),
    lambda item: sse(Event(item.name, None, b" " + item.raw.replace(b":", b" : "))),
    lambda item: sse(Event(item.name, None, item.raw + item.raw)),
    lambda item: sse(Event("thread.run.step.delta", None, item.raw)),
    lambda item: sse(Event(item.name, None, b'{"id":"step_1",' + item.raw[1:])),
]
_RAW: Final = [
    b"data:\n\n",
    b"event: error\ndata:\n\n",
    b"event: thread.run.created\ndata: null\n\n",
    b"event: thread.run.step.delta\n{}\n\n",
    b"data: [DONE]\n\n",
    b'data: {"error": "x"}\n\n',
    b'event: thread.run.created\ndata: {"id":"r","created_at":1' + b"0" * 400 + b"}\n\n",
    b"event: thread.run.step.created\ndata: " + b'{"a":' * 300 + b"1" + b"}" * 300 + b"\n\n",
    b'event: thread.run.step.created\ndata: {"id":"step_1","x":' + b"[" * 150 + b"]" * 150 + b"}\n\n",
    b"event: error\ndata: " + b"[" * 300 + b"\n\n",
    b"...\n\n",
    b"\n\n\n",
    b"\xef\xbb\xbf",
    b"event: \xff\ndata: {}\n\n",
]

BLOCKS: Final = st.one_of(
    EVENTS.map(sse),
    EVENTS.map(sse),
    _pick(_ID_LESS).map(sse),
    st.builds(lambda style, item: style(item), _pick(_STYLES), EVENTS),
    _pick(_RAW),
)
"""The bytes of one event, or of something like it."""


def mutated(data: bytes, mutations: Iterable[tuple[str, float, float, bytes]]) -> bytes:
    """Flip, delete, repeat, cut off or splice in, each at fractions of the length."""
    for what, first, second, junk in mutations:
        start, end = sorted((int(first * len(data)), int(second * len(data))))
        if what == "flip" and data:
            start = min(start, len(data) - 1)
            data = data[:start] + bytes([data[start] ^ (1 << end % 8)]) + data[start + 1 :]
        elif what == "delete":
            data = data[:start] + data[end:]
        elif what == "repeat":
            data = data[:end] + data[start:]
        elif what == "truncate":
            data = data[:end]
        elif what == "splice":
            data = data[:start] + junk + data[start:]
    return data


MUTATIONS: Final = st.lists(
    st.tuples(
        st.sampled_from(["flip", "flip", "flip", "delete", "repeat", "truncate", "splice"]),
        st.floats(0, 1),
        st.floats(0, 1),
        st.binary(max_size=6) | st.sampled_from([b"\n\n", b"\r", b'"', b"}", b"\ndata: ", b'"id":null,']),
    ),
    min_size=1,
    max_size=8,
)

LIMITS: Final = st.builds(
    lambda line, frame, gap, entries, size, runs, closed, steps: Limits(
        max_line_bytes=line,
        max_frame_bytes=line + frame,
        max_index_gap=gap,
        max_entries=entries,
        max_object_bytes=size,
        max_open_runs=runs,
        max_closed_runs=closed,
        max_steps_per_run=steps,
    ),
    st.sampled_from([60, 130, 200, 10_000]),
    st.sampled_from([0, 5, 50]),
    st.integers(1, 8),
    st.integers(1, 3),
    st.integers(1, 30),
    st.integers(1, 3),
    st.integers(0, 2),
    st.integers(1, 3),
)
"""Limits so small that they are met."""

# --- feeding and reading ----------------------------------------------------------------------------------------------

CUTS: Final = st.lists(st.floats(0, 1), max_size=12)


def cut(data: bytes, cuts: Iterable[float]) -> list[bytes]:
    """Cut at fractions of the length."""
    positions = sorted(round(fraction * len(data)) for fraction in cuts)
    return [data[start:end] for start, end in pairwise([0, *positions, len(data)])]


class Seen(Struct, frozen=True):
    """All that can be read from a change."""

    encoded: bytes
    state: bytes | None
    raw: bytes
    revision: int
    seq: int


@dataclass
class Outcome:
    """All that a stream amounts to."""

    seen: list[Seen] = field(default_factory=list)
    error: str = ""
    anomalies: dict[str, int] = field(default_factory=dict)
    truncated: bool = False
    finals: dict[str, dict[str, str]] = field(default_factory=dict)


def read(change: Change) -> Seen:
    """Read everything there is to a change; the fields of its state must say what its wire JSON says."""
    state, _ = change.state, change.delta
    wire = None if state is None else to_wire(state)
    if isinstance(state, WireObject) and wire is not None:
        assert state == from_wire(type(state), msgspec.json.decode(wire))
    return Seen(encode_change(change), wire, change.raw, change.revision, change.seq)


def feed(proc: StreamProcessor, chunks: Iterable[bytes], *, close: bool = True) -> tuple[list[Change], str]:
    """Feed one stream to its end or to the first error; returns the changes and the name of the error."""
    changes: list[Change] = []
    try:
        for chunk in chunks:
            changes += proc.feed(chunk)
        if close:
            changes += proc.close()
    except LimitExceeded as failure:
        return changes, type(failure).__name__
    return changes, ""


def finals(proc: StreamProcessor) -> dict[str, dict[str, str]]:
    """Every state in the table, as JSON data in one spelling."""
    tables: dict[str, Mapping[str, Any]] = {"runs": proc.runs, "steps": proc.steps, "messages": proc.messages}
    return {name: {id: canonical(to_wire(state)) for id, state in table.items()} for name, table in tables.items()}


def outcome(
    chunks: Iterable[bytes], limits: Limits | None = None, dialect: Dialect | Literal["assistants"] = "assistants"
) -> Outcome:
    """What one stream amounts to, its states read as the changes come."""
    proc = StreamProcessor(dialect, limits=limits)
    result = Outcome()
    try:
        for chunk in chunks:
            result.seen += map(read, proc.feed(chunk))
        result.seen += map(read, proc.close())
    except LimitExceeded as failure:
        result.error = type(failure).__name__
    result.anomalies, result.truncated, result.finals = dict(proc.anomalies), proc.truncated, finals(proc)
    return result


def canonical(wire: bytes | Json) -> str:
    """JSON data in one spelling; unlike `==` it tells 1, 1.0 and true apart."""
    return json.dumps(json.loads(wire) if isinstance(wire, bytes) else wire, sort_keys=True)


def is_empty(value: object) -> bool:
    """Whether a value says nothing."""
    return value is None or value in ("", [], {})


class GeneralDialect(AssistantsDialect):
    """The Assistants dialect without a fast path: every event takes the general one."""

    fragments = {}  # noqa: RUF012 - as in the base class
