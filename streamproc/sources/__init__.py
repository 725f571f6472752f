"""Sources: where the bytes of a stream come from.

Each is imported when it is first used (PEP 562), since not every pipeline needs an HTTP client.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streamproc.sources.assistants_resync import AssistantsResync
    from streamproc.sources.file import FileSource
    from streamproc.sources.http import HttpSource
    from streamproc.sources.iterable import IterableSource
    from streamproc.sources.responses import ResponsesResume, ResponsesResync

__all__ = ["AssistantsResync", "FileSource", "HttpSource", "IterableSource", "ResponsesResume", "ResponsesResync"]

_LAZY = {
    "AssistantsResync": "streamproc.sources.assistants_resync",
    "FileSource": "streamproc.sources.file",
    "HttpSource": "streamproc.sources.http",
    "IterableSource": "streamproc.sources.iterable",
    "ResponsesResume": "streamproc.sources.responses",
    "ResponsesResync": "streamproc.sources.responses",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(_LAZY[name]), name)
    return value
