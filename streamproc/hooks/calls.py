"""The hooks of tool calls."""

from collections.abc import Mapping
from typing import Any

import msgspec

from streamproc.core.change import Change
from streamproc.core.events import CodeInterpreterDelta, FunctionDelta
from streamproc.core.place import decode_text
from streamproc.core.tree import Node
from streamproc.hooks.fragments import CallFragment
from streamproc.hooks.listeners import Hook
from streamproc.hooks.outcomes import Tracked
from streamproc.hooks.telling import Telling
from streamproc.model.wire import from_wire

__all__ = ["Calls"]


class Calls(Telling):
    """Tells of the tool calls of steps."""

    @property
    def _creates(self) -> Hook | None:
        return self._on.on_tool_call_created

    def _follows_growth(self, tracked: Tracked) -> bool:
        return self._on.on_tool_call_delta is not None or self._on.on_tool_call_created is not None

    def follows_texts(self, tracked: Tracked) -> bool:
        return self._on.on_tool_call_delta is not None

    def _follows_snapshots(self, tracked: Tracked, *, ends: bool) -> bool:
        return self._on.on_tool_call_created is not None or (ends and self._on.on_tool_call_done is not None)

    def _created(self, part: Any, change: Change) -> None:
        if (hook := self._on.on_tool_call_created) is not None:
            self._call(hook, change, part)

    def _grew(self, node: Node, index: int, entry: Mapping[str, Any], tracked: Tracked, change: Change) -> CallFragment:
        place = {"index": index, "type": node.latest("type"), "id": node.latest("id")}
        known = {name: value for name, value in place.items() if isinstance(value, int | str)}
        fragment = from_wire(CallFragment, {**entry, **known})
        self._delta(fragment, change)
        return fragment

    def _delta(self, fragment: CallFragment, change: Change) -> None:
        if (hook := self._on.on_tool_call_delta) is not None:
            self._call(hook, change, fragment)

    def _grew_alike(self, found: CallFragment, tracked: Tracked, change: Change) -> None:
        text = decode_text(change.piece)
        if found.code_interpreter:
            fragment = msgspec.structs.replace(found, code_interpreter=CodeInterpreterDelta(input=text))
        else:
            fragment = msgspec.structs.replace(found, function=FunctionDelta(arguments=text))
        self._delta(fragment, change)

    def _done(self, part: Any, change: Change) -> None:
        if (hook := self._on.on_tool_call_done) is not None:
            self._call(hook, change, part)
