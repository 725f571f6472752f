"""Laws of hooks: what they are told of a run adds up to that run, however its bytes are cut, and whatever the bytes."""

from collections import Counter
from itertools import product
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from streamproc import Change, StreamProcessor
from streamproc.errors import LimitExceeded
from streamproc.hooks import CallFragment, HookDispatch, RunHooks, TextFragment
from streamproc.hooks.base import outcomes_of
from streamproc.hooks.listeners import Listeners
from tests.properties.generators import BLOCKS, CUTS, LIMITS, MANY, SOME, Script, cut, scripts
from tests.streams import sse, wire


class Told(RunHooks):
    """Counts, and keeps what deltas said per object and part."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()  # hook and id of the object
        self.texts: dict[tuple[str, int], str] = {}
        self.done: dict[str, list[Any]] = {}
        self.asked: list[tuple[str, ...]] = []
        for name in Listeners.__struct_fields__:
            if getattr(self, name) == getattr(super(), name):
                setattr(self, name, self._counting(name))

    def _counting(self, name: str) -> Any:
        def hook(*arguments: Any) -> None:
            change = arguments[-1]
            self.counts[name, change.id if isinstance(change, Change) else ""] += 1
            if isinstance(arguments[0], CallFragment):
                self._grow(change.id, arguments[0].index, arguments[0].text)
            elif isinstance(arguments[0], TextFragment):
                self._grow(change.id, arguments[0].index, arguments[0].value)
            elif name in ("on_tool_call_done", "on_text_done", "on_refusal_done"):
                self.done.setdefault(change.id, []).append(arguments[0])

        return hook

    def _grow(self, id: str, index: int, text: str) -> None:
        self.texts[id, index] = self.texts.get((id, index), "") + text


def told(script: Script, cuts: list[float]) -> Told:
    hooks = Told()
    dispatch, proc = HookDispatch(hooks, on_error="raise"), StreamProcessor()
    for stream in script.streams:
        proc.open()
        for chunk in cut(sse(*stream), cuts):
            dispatch.dispatch(proc.feed(chunk))
        dispatch.dispatch(proc.close())
    dispatch.dispatch_end("default")
    return hooks


def grown(part: dict[str, Any]) -> str:
    """The text of a part that its deltas build up."""
    payload = part if part["type"] == "mcp" else part.get(part["type"])
    if isinstance(payload, dict):
        payload = next((payload[name] for name in ("arguments", "input", "value") if name in payload), "")
    return payload if isinstance(payload, str) else ""


@SOME
@given(script=scripts(), cuts=CUTS)
def test_each_object_and_part_is_created_and_done_once(script: Script, cuts: list[float]) -> None:
    """For a well-formed run in any number of streams: as many as its final objects have."""
    hooks = told(script, cuts)
    expected: Counter[tuple[str, str]] = Counter()
    for id, final in script.finals.items():
        kind = final["object"]
        if kind == "thread.run.step":
            expected.update([("on_step_created", id), ("on_step_done", id)])
            count = len(final["step_details"].get("tool_calls", []))
            expected.update({("on_tool_call_created", id): count, ("on_tool_call_done", id): count})
        elif kind == "thread.message":
            expected.update([("on_message_created", id), ("on_message_done", id)])
            counts = Counter(block["type"] for block in final["content"])
            hooks_of = {"text": ("text_created", "text_done"), "refusal": ("refusal_done",)}
            for name in ("text", "refusal", "image_file", "image_url"):
                for hook in hooks_of.get(name, (f"{name}_done",)):
                    expected[f"on_{hook}", id] = counts[name]
            notes = sum(len(block["text"]["annotations"]) for block in final["content"] if block["type"] == "text")
            expected["on_annotation", id] = notes
    once = {key: count for key, count in hooks.counts.items() if key[0].endswith(("_created", "_done", "annotation"))}

    assert once == +expected
    assert hooks.counts["on_end", ""] == 1


@SOME
@given(script=scripts(), cuts=CUTS)
def test_deltas_add_up_to_the_final_texts(script: Script, cuts: list[float]) -> None:
    """Of each call and block, in order, by the index that its fragments carry."""
    hooks = told(script, cuts)
    expected = {
        (id, index): grown(part)
        for id, details in script.accumulated.items()
        for index, part in enumerate(details if isinstance(details, list) else details["tool_calls"])
    }

    assert {key: text for key, text in hooks.texts.items() if text} == {
        key: text for key, text in expected.items() if text
    }


@SOME
@given(script=scripts(), cuts=CUTS)
def test_how_bytes_are_cut_makes_no_difference(script: Script, cuts: list[float]) -> None:
    """Batches are of any size; hooks are told the same."""
    whole, pieces = told(script, []), told(script, cuts)

    assert (whole.counts, whole.texts, whole.done) == (pieces.counts, pieces.texts, pieces.done)


@MANY
@given(blocks=st.lists(BLOCKS, max_size=30), cuts=CUTS, again=st.integers(0, 30))
def test_whatever_comes_nothing_raises_and_nothing_is_told_twice(
    blocks: list[bytes], cuts: list[float], again: int
) -> None:
    """Hostile events, some of them in a second pass over the stream: one created and one done per object, at most."""
    hooks = Told()
    dispatch, proc = HookDispatch(hooks, on_error="raise"), StreamProcessor()
    try:
        for chunk in cut(b"".join(blocks), cuts):
            dispatch.dispatch(proc.feed(chunk))
        dispatch.dispatch(proc.close())
        proc.open(epoch=2)
        dispatch.dispatch(proc.feed(b"".join(blocks[:again])))
    except LimitExceeded:
        pass
    dispatch.dispatch_end("default")
    objects = {*proc.steps, *proc.messages}

    for kind, id in product(("step", "message"), objects):
        assert hooks.counts[f"on_{kind}_created", id] <= 1
        assert hooks.counts[f"on_{kind}_done", id] <= hooks.counts[f"on_{kind}_created", id]
    for id in proc.steps:
        created, done = hooks.counts["on_tool_call_created", id], hooks.counts["on_tool_call_done", id]
        if hooks.counts["on_step_done", id]:
            assert created == done
        else:
            assert done == 0
    assert len(hooks.counts) == 0 or hooks.counts["on_end", ""] == 1


@MANY
@given(blocks=st.lists(BLOCKS, max_size=20), limits=LIMITS)
def test_limits_that_are_met(blocks: list[bytes], limits: Any) -> None:
    """Objects are forgotten and come again; nothing raises but the documented limits, and what is kept is bounded."""
    hooks = Told()
    dispatch = HookDispatch(hooks, on_error="raise", limits=limits)
    proc = StreamProcessor(limits=limits)
    for block in blocks:
        try:
            changes = proc.feed(block)
        except LimitExceeded:
            proc.open()
            continue
        dispatch.dispatch(changes)
    outcomes = outcomes_of(hooks)
    runs = limits.max_open_runs + max(limits.max_closed_runs, 1)

    assert len(outcomes._open) <= limits.max_open_runs
    assert len(outcomes.steps) <= runs * limits.max_steps_per_run
    assert len(outcomes.messages) <= runs * limits.max_steps_per_run
    assert all(wire(tracked.last.state)["id"] == id for id, tracked in outcomes.steps.items())
