"""Thread, and the error object a stream may carry: the two wire objects that belong to no run."""

from typing import Any

from msgspec import UNSET, Struct

from streamproc.model.wire import Metadata, Opt, Timestamp, WireObject

__all__ = ["ErrorObject", "Thread"]


class Thread(WireObject, frozen=True, kw_only=True):
    """A conversation."""

    id: str = ""
    object: Opt[str] = UNSET  # "thread"
    created_at: Opt[Timestamp] = UNSET
    metadata: Opt[Metadata] = UNSET
    tool_resources: Opt[dict[str, Any]] = UNSET


class ErrorObject(Struct, frozen=True, kw_only=True):
    """An error the server reported inside the stream; the three wire shapes all decode to this."""

    code: Opt[str] = UNSET
    message: str = ""
    param: Opt[str] = UNSET
    type: Opt[str] = UNSET
