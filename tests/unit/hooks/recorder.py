"""Hooks that note what they are called with, in few words, and what drives them without a pipeline."""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from streamproc import Anomaly, Change, ErrorObject, Event, Run, StreamProcessor
from streamproc.actions import RequiredAction
from streamproc.hooks import CallFragment, HookDispatch, RunHooks, TextFragment
from streamproc.model import ImageFile, ImageUrl, Text
from tests.streams import sse

__all__ = ["CALLS", "TEXTS", "Recorder", "Told", "hooked", "record", "told"]

Told: TypeAlias = list[tuple[Any, ...]]

CALLS = "tool_call_created tool_call_delta tool_call_done"
TEXTS = "text_created text_delta text_done"


class Recorder(RunHooks):
    """Notes the name of each hook, without `on_`, and what it is about."""

    def __init__(self) -> None:
        self.told: Told = []


def hooked(**functions: Callable[..., Any]) -> RunHooks:
    """Hooks of which those of these names (without `on_`) are overridden by functions."""
    hooks = RunHooks()
    for name, function in functions.items():
        setattr(hooks, f"on_{name}", function)
    return hooks


def record(names: str) -> Recorder:
    """Hooks of which those of these names (without `on_`, with blanks between) are overridden."""
    hooks = Recorder()

    def noting(name: str) -> Any:
        return lambda *arguments: hooks.told.append((name, brief(arguments[0])))

    for name in names.split():
        setattr(hooks, f"on_{name}", noting(name))
    return hooks


def told(names: str, *streams: Iterable[Event]) -> Told:
    """What such hooks note of the streams of one table, each fed as one chunk."""
    hooks = record(names)
    dispatch = HookDispatch(hooks, on_error="raise")
    proc = StreamProcessor()
    for stream in streams:
        proc.open()
        dispatch.dispatch(proc.feed(sse(*stream)))
    return hooks.told


def brief(argument: Any) -> Any:
    """What tells one argument of a hook from another."""
    match argument:
        case CallFragment():
            return argument.index, argument.text
        case TextFragment():
            return argument.index, argument.value
        case Text():
            return argument.value
        case ImageFile():
            return argument.file_id
        case ImageUrl():
            return argument.url
        case Run():
            return argument.status
        case Change():
            return argument.event
        case Anomaly():
            return argument.kind
        case ErrorObject():
            return argument.message
        case RequiredAction():
            return [call.id for call in argument.calls]
        case _:
            return getattr(argument, "id", argument)
