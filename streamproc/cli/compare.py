"""`streamproc demo --compare`: the same bytes through the openai package's event handler and through streamproc.

Nothing in here says how it ends: both read the streams, and what they hold is laid side by side, together with what the
server itself said last about each step. Importing this module needs the openai package.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from streamproc.cli.bundled import frames_of, merge, microseconds_per_event
from streamproc.cli.oracle import Held, Oracle
from streamproc.core.lifecycle import TERMINAL
from streamproc.display.describe import excerpt
from streamproc.display.tables import new_table
from streamproc.display.terminal import clean
from streamproc.model.wire import to_wire

__all__ = ["Comparison", "facts", "last_words", "merge_here"]

_STEP_EVENT: Final = "thread.run.step."


class Comparison:
    """Both results, computed when it is made."""

    def __init__(self, streams: Sequence[bytes]) -> None:
        self._streams = streams
        self._oracle = Oracle()
        self._theirs = self._oracle.merge(streams)
        self._ours = merge_here(streams)

    def screen(self, width: int) -> RenderableType:
        """The two side by side; what the other lost, or has otherwise, is marked."""
        table = new_table(width, "object")
        table.add_column("", no_wrap=True)
        table.add_column(f"{self._oracle.name}, AssistantEventHandler", ratio=1, overflow="fold")
        table.add_column("streamproc", ratio=1, overflow="fold")
        for theirs, ours in (
            (self._theirs.runs, self._ours.runs),
            (self._theirs.steps, self._ours.steps),
            (self._theirs.messages, self._ours.messages),
        ):
            for id, data in ours.items():
                _add(table, id, facts(theirs.get(id, {})), facts(data))
        truth = last_words(self._streams)
        right = [sum(held.steps.get(id) == step for id, step in truth.items()) for held in (self._theirs, self._ours)]
        total = len(truth)
        return Group(
            table,
            Text(
                "Steps equal to the server's last word on them: "
                f"openai {right[0]} of {total}, streamproc {right[1]} of {total}"
            ),
            Text(
                "✗ differs. One handler a stream, as its documentation asks; shown is what get_final_run(), "
                "get_final_run_steps() and get_final_messages() return. Final steps pass through its hook "
                "on_run_step_done; the handler does not keep them.",
                style="dim",
            ),
        )

    def timing(self) -> str:
        """How long both take, reading included and nothing else."""
        theirs = microseconds_per_event(self._streams, self._oracle.read)
        ours = microseconds_per_event(self._streams, merge)
        return f"µs per event, measured in this process: openai {theirs:.0f}, streamproc {ours:.1f}"


def merge_here(streams: Sequence[bytes]) -> Held:
    """What streamproc holds after the streams."""
    proc, _ = merge(streams)
    tables: tuple[Mapping[str, Any], ...] = (proc.runs, proc.steps, proc.messages)
    return Held(*({id: msgspec.json.decode(to_wire(state)) for id, state in table.items()} for table in tables))


def last_words(streams: Sequence[bytes]) -> dict[str, Any]:
    """Step id -> its terminal snapshot, read from the events alone."""
    ends = {_STEP_EVENT + status for status in TERMINAL["step"]}
    snapshots = [msgspec.json.decode(frame.data) for frame in frames_of(streams) if frame.event in ends]
    return {snapshot["id"]: snapshot for snapshot in snapshots}


def facts(data: Mapping[str, Any]) -> dict[str, str]:
    """The facts about a run, a step or a message that are compared, by their label."""
    found = {"status": data.get("status"), "usage": _usage(data.get("usage"))}
    details: Mapping[str, Any] = data.get("step_details") or {}
    calls: Sequence[Mapping[str, Any]] = details.get("tool_calls") or ()
    for number, call in enumerate(calls, 1):
        payload: Mapping[str, Any] = call.get(call["type"]) or {}
        outputs = [output.get("logs") for output in payload.get("outputs") or ()]
        found |= {
            f"tool {number}": payload.get("name") or call.get("type"),
            f"  arguments {number}": payload.get("arguments") or payload.get("input"),
            f"  output {number}": payload.get("output") or "\n".join(filter(None, outputs)),
        }
    if "content" in data:
        found["text"] = "".join(block["text"]["value"] for block in data["content"] if block.get("type") == "text")
    return {label: value for label, value in found.items() if value}


def _usage(usage: Mapping[str, Any] | None) -> str:
    return "{prompt_tokens} + {completion_tokens} = {total_tokens}".format(**usage) if usage else ""


def _add(table: Table, id: str, theirs: Mapping[str, str], ours: Mapping[str, str]) -> None:
    for number, (label, value) in enumerate(ours.items()):
        other = theirs.get(label, "")
        same = other == value
        table.add_row(
            Text(clean(id) if number == 0 else ""),
            Text(label.rstrip("0123456789 ") if label.startswith(" ") else label),
            Text(excerpt(other)) if same else Text(f"✗ {excerpt(other) or 'nothing'}", style="red"),
            Text(excerpt(value), style="" if same else "green"),
            end_section=number == len(ours) - 1,
        )
